//! A stand-in for the project variables of GitLab, written from its API's documentation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

#[derive(Default)]
pub(crate) struct World {
    /// Scopes by token. `read_api` may look, `api` may write.
    pub(crate) tokens: BTreeMap<String, Vec<&'static str>>,
    /// By project, key and environment scope.
    pub(crate) variables: BTreeMap<(String, String, String), Value>,
    /// The keys that were written, in order.
    pub(crate) writes: Vec<String>,
    /// Writes to this key are answered with this status, and not done.
    pub(crate) refuse: Option<(String, u16)>,
}

#[derive(Clone)]
pub(crate) struct Gitlab {
    world: Arc<Mutex<World>>,
    pub(crate) port: u16,
}

impl Gitlab {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let gitlab = Self { world: Arc::default(), port };
        let router = Router::new()
            .route("/api/v4/personal_access_tokens/self", get(token))
            .route("/api/v4/projects/{project}/variables/{key}", get(read).put(write))
            .with_state(gitlab.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        gitlab
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("the world")
    }
}

fn message(status: u16, message: Value) -> Response {
    (StatusCode::from_u16(status).expect("a status"), axum::Json(json!({ "message": message }))).into_response()
}

impl World {
    fn scopes(&self, headers: &HeaderMap) -> Option<Vec<&'static str>> {
        let given = headers.get("private-token").and_then(|h| h.to_str().ok()).unwrap_or_default();
        self.tokens.get(given).cloned()
    }

    /// The one variable that is meant.
    fn place(
        &self,
        project: &str,
        key: &str,
        query: &BTreeMap<String, String>,
    ) -> Result<(String, String, String), (u16, &'static str)> {
        let wanted = query.get("filter[environment_scope]");
        let mut found = self.variables.keys().filter(|(p, k, s)| p == project && k == key && wanted.is_none_or(|w| w == s));
        match (found.next(), found.next()) {
            (None, _) => Err((404, "404 Variable Not Found")),
            (Some(one), None) => Ok(one.clone()),
            (Some(_), Some(_)) => {
                Err((409, "There are multiple variables with provided parameters. Please use 'filter[environment_scope]'"))
            }
        }
    }
}

async fn token(State(gitlab): State<Gitlab>, headers: HeaderMap) -> Response {
    match gitlab.world().scopes(&headers) {
        Some(scopes) => axum::Json(json!({"id": 1, "active": true, "scopes": scopes})).into_response(),
        None => message(401, json!("401 Unauthorized")),
    }
}

async fn read(
    State(gitlab): State<Gitlab>,
    Path((project, key)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let world = gitlab.world();
    match world.scopes(&headers) {
        None => message(401, json!("401 Unauthorized")),
        Some(scopes) if scopes.is_empty() => message(403, json!("403 Forbidden")),
        Some(_) => match world.place(&project, &key, &query) {
            Ok(place) => {
                let mut variable = world.variables[&place].clone();
                if variable["hidden"] == true {
                    variable["value"] = Value::Null;
                }
                axum::Json(variable).into_response()
            }
            Err((status, words)) => message(status, json!(words)),
        },
    }
}

async fn write(
    State(gitlab): State<Gitlab>,
    Path((project, key)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut world = gitlab.world();
    match world.scopes(&headers) {
        None => return message(401, json!("401 Unauthorized")),
        Some(scopes) if !scopes.contains(&"api") => {
            let body = json!({"error": "insufficient_scope", "scope": "api"});
            return (StatusCode::FORBIDDEN, axum::Json(body)).into_response();
        }
        Some(_) => {}
    }
    let place = match world.place(&project, &key, &query) {
        Ok(place) => place,
        Err((status, words)) => return message(status, json!(words)),
    };
    if let Some((_, status)) = world.refuse.as_ref().filter(|(refused, _)| *refused == key) {
        return message(*status, json!("by the test"));
    }
    let given: Value = serde_json::from_slice(&body).expect("a PUT that is no JSON");
    assert!(given["value"].is_string(), "a PUT without a value");
    let mut variable = world.variables[&place].clone();
    for (name, value) in given.as_object().expect("a map") {
        variable[name] = value.clone();
    }
    let value = variable["value"].as_str().unwrap_or_default();
    if variable["masked"] == true && (value.len() < 8 || value.contains(char::is_whitespace)) {
        return message(400, json!({"value": ["is invalid"]}));
    }
    world.writes.push(key);
    world.variables.insert(place, variable.clone());
    axum::Json(variable).into_response()
}
