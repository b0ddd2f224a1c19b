//! A stand-in for CyberArk Conjur, written from its OpenAPI description and its controllers. The official Python client is run
//! against it, so that it is not only what the adapter believes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The most versions that are kept.
const VERSIONS: usize = 20;

#[derive(Default)]
pub(crate) struct World {
    /// API keys by login.
    pub(crate) keys: BTreeMap<String, String>,
    /// Passwords of users, who get their API key for it.
    pub(crate) passwords: BTreeMap<String, String>,
    /// Values by variable, the newest last. A variable without one was declared by a policy.
    pub(crate) variables: BTreeMap<String, Vec<Vec<u8>>>,
    /// Login, variable, privilege.
    pub(crate) permits: BTreeSet<(String, String, &'static str)>,
    /// Logins by the JSON of their tokens.
    tokens: BTreeMap<String, String>,
    /// How many tokens were made.
    pub(crate) logins: usize,
    /// The method and the variable of each call for a value.
    pub(crate) calls: Vec<String>,
    /// Writes to this variable are answered with this status, and not done.
    pub(crate) refuse: Option<(String, u16)>,
}

#[derive(Clone)]
pub(crate) struct Conjur {
    world: Arc<Mutex<World>>,
    pub(crate) port: u16,
}

impl Conjur {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let conjur = Self { world: Arc::default(), port };
        let router = Router::new()
            .route("/authn/{account}/login", get(login))
            .route("/authn/{account}/{login}/authenticate", post(authenticate))
            .route("/secrets", get(batch))
            .route("/secrets/{account}/variable/{*id}", get(fetch).post(set))
            .route("/resources/{account}/variable/{*id}", get(resource))
            .with_state(conjur.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        conjur
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("the world")
    }

    /// Declares variables, as a policy does, and lets a login do these things with them.
    pub(crate) fn permit(&self, login: &str, id: &str, privileges: &[&'static str]) {
        let mut world = self.world();
        world.variables.entry(id.to_owned()).or_default();
        for privilege in privileges {
            world.permits.insert((login.to_owned(), id.to_owned(), privilege));
        }
    }

    /// No token that was made so far is taken any more.
    pub(crate) fn forget_tokens(&self) {
        self.world().tokens.clear();
    }
}

/// Why a call is refused, as the server says it.
type Refusal = Box<Response>;

fn error(status: u16, code: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, axum::Json(json!({"error": {"code": code, "message": message}}))).into_response()
}

impl World {
    fn who(&self, headers: &HeaderMap) -> Result<String, Refusal> {
        let given = headers.get(header::AUTHORIZATION).and_then(|h| h.to_str().ok()).unwrap_or_default();
        let token = given.strip_prefix("Token token=\"").and_then(|rest| rest.strip_suffix('"'));
        let token = token.and_then(|t| STANDARD.decode(t).ok()).and_then(|t| String::from_utf8(t).ok());
        let login = token.and_then(|token| self.tokens.get(&token).cloned());
        login.ok_or_else(|| Box::new(error(401, "unauthorized", "Authorization missing or not valid")))
    }

    fn may(&self, login: &str, id: &str, privilege: &'static str) -> bool {
        self.permits.contains(&(login.to_owned(), id.to_owned(), privilege))
    }

    /// What nobody lets one do anything with is not there for one.
    fn sees(&self, login: &str, id: &str) -> bool {
        self.variables.contains_key(id) && ["read", "execute", "update"].iter().any(|p| self.may(login, id, p))
    }

    fn authorize(&self, login: &str, account: &str, id: &str, privilege: &'static str) -> Result<(), Refusal> {
        if account != "myorg" || !self.sees(login, id) {
            let message = format!("Variable '{id}' not found in account '{account}'");
            return Err(Box::new(error(404, "not_found", &message)));
        }
        if self.may(login, id, privilege) { Ok(()) } else { Err(Box::new(error(403, "forbidden", "Forbidden"))) }
    }
}

async fn login(State(conjur): State<Conjur>, headers: HeaderMap) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let given = given.strip_prefix("Basic ").and_then(|g| STANDARD.decode(g).ok()).and_then(|g| String::from_utf8(g).ok());
    let world = conjur.world();
    let key = given.as_deref().and_then(|g| g.split_once(':')).and_then(|(user, password)| {
        world.passwords.get(user).filter(|p| *p == password).and_then(|_| world.keys.get(user))
    });
    key.map_or_else(|| StatusCode::UNAUTHORIZED.into_response(), |key| key.clone().into_response())
}

async fn authenticate(
    State(conjur): State<Conjur>,
    Path((account, login)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut world = conjur.world();
    if account != "myorg" || world.keys.get(&login).is_none_or(|key| key.as_bytes() != body.as_ref()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    world.logins += 1;
    let number = world.logins;
    let payload = STANDARD.encode(json!({"sub": login, "iat": 1_700_000_000 + number}).to_string());
    let token = json!({"protected": STANDARD.encode("{}"), "payload": payload, "signature": number.to_string()}).to_string();
    world.tokens.insert(token.clone(), login);
    let wants_base64 = headers.get(header::ACCEPT_ENCODING).is_some_and(|h| h.as_bytes().eq_ignore_ascii_case(b"base64"));
    if wants_base64 { STANDARD.encode(token).into_response() } else { token.into_response() }
}

async fn batch(State(conjur): State<Conjur>, Query(query): Query<BTreeMap<String, String>>, headers: HeaderMap) -> Response {
    let mut world = conjur.world();
    let who = match world.who(&headers) {
        Ok(who) => who,
        Err(response) => return *response,
    };
    let ids: Vec<&str> = query.get("variable_ids").map(|ids| ids.split(',').collect()).unwrap_or_default();
    if ids.is_empty() || ids.iter().any(|id| id.trim().is_empty()) {
        return error(422, "CONJ00036E", "Missing parameter: variable_ids");
    }
    world.calls.push(format!("batch of {}", ids.len()));
    let mut found = serde_json::Map::new();
    for full in &ids {
        let id = full.strip_prefix("myorg:variable:").unwrap_or_default();
        let Some(value) = world.variables.get(id).and_then(|v| v.last()) else {
            return error(404, "CONJ00076E", &format!("Variable {full} is empty or not found."));
        };
        if !world.may(&who, id, "execute") {
            return error(403, "forbidden", "Forbidden");
        }
        match String::from_utf8(value.clone()) {
            Ok(text) => found.insert((*full).to_owned(), Value::String(text)),
            Err(_) => {
                return error(406, "CONJ00073E", "Issue encoding secret into JSON format, try including 'Accept: base64'");
            }
        };
    }
    axum::Json(Value::Object(found)).into_response()
}

async fn fetch(
    State(conjur): State<Conjur>,
    Path((account, id)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let mut world = conjur.world();
    let allowed = world.who(&headers).and_then(|who| world.authorize(&who, &account, &id, "execute"));
    if let Err(response) = allowed {
        return *response;
    }
    world.calls.push(format!("GET {id}"));
    let values = &world.variables[&id];
    let value = match query.get("version").map(|v| v.parse::<usize>()) {
        None => values.last(),
        Some(Ok(n @ 1..)) => values.get(n - 1),
        Some(_) => return error(422, "argument_error", "invalid type for parameter 'version'"),
    };
    match value {
        Some(value) => ([(header::CONTENT_TYPE, "application/octet-stream")], value.clone()).into_response(),
        None => error(404, "CONJ00076E", &format!("Variable {account}:variable:{id} is empty or not found.")),
    }
}

async fn set(
    State(conjur): State<Conjur>,
    Path((account, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut world = conjur.world();
    let allowed = world.who(&headers).and_then(|who| world.authorize(&who, &account, &id, "update"));
    if let Err(response) = allowed {
        return *response;
    }
    world.calls.push(format!("POST {id}"));
    if let Some((_, status)) = world.refuse.as_ref().filter(|(refused, _)| *refused == id) {
        return error(*status, "refused", "by the test");
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return error(422, "argument_error", "'value' may not be empty");
    }
    let values = world.variables.entry(id).or_default();
    if values.last().is_none_or(|last| last.as_slice() != body.as_ref()) {
        values.push(body.to_vec());
        if values.len() > VERSIONS {
            values.remove(0);
        }
    }
    StatusCode::CREATED.into_response()
}

async fn resource(
    State(conjur): State<Conjur>,
    Path((account, id)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let world = conjur.world();
    let who = match world.who(&headers) {
        Ok(who) => who,
        Err(response) => return *response,
    };
    if account != "myorg" || !world.sees(&who, &id) {
        return error(404, "not_found", "Variable not found");
    }
    if query.get("check").is_some_and(|check| check == "true") {
        let privilege = ["read", "execute", "update"].into_iter().find(|p| query.get("privilege").is_some_and(|q| q == p));
        let allowed = privilege.is_some_and(|p| world.may(&who, &id, p));
        return if allowed { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }.into_response();
    }
    axum::Json(json!({"id": format!("{account}:variable:{id}"), "secrets": []})).into_response()
}
