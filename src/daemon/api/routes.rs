//! The one table of routes. A new route is a line here and a function beside it; the router, the document and the test over all
//! routes and roles are made of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::access::{BY, Role, caller};
use super::call::{Call, Trouble, fields};
use super::serve::Peer;
use super::{Api, credentials, metrics, openapi, pages, rotations, watch};

/// The largest body that is taken, in bytes.
const BODY: usize = 256 << 10;
/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a route does.
type Act = fn(Arc<Api>, Call) -> BoxFuture<'static, Result<Response, Trouble>>;

/// What a route answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// A JSON object.
    Json,
    /// Plain text.
    Text,
    /// Metrics, in the text form of OpenMetrics.
    Metrics,
    /// A stream of events.
    Stream,
    /// A page for people.
    Page,
    /// What a page watches: a stream that says when to look again.
    Watch,
    /// What pages are made with: style and script.
    Asset,
}

/// Something that may be asked in the query, with its schema.
type Asked = (&'static str, fn() -> Value);

/// One route.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with its parts in braces.
    pub path: &'static str,
    /// Who may; `None` for everybody, which only health has, and what proves by itself where it comes from.
    pub role: Option<Role>,
    /// What it is for.
    pub summary: &'static str,
    /// The status when all is well.
    pub status: u16,
    /// What it answers.
    pub answers: Answers,
    /// The schema of the body, if it takes one.
    pub body: Option<fn() -> Value>,
    /// What may be asked in the query, with schemas.
    pub query: &'static [Asked],
    act: Act,
}

impl Route {
    /// Whether it is of the pages: whoever asks is known by their session, never by a token, and forms are checked.
    #[must_use]
    pub fn is_of_pages(&self) -> bool {
        matches!(self.answers, Answers::Page | Answers::Watch | Answers::Asset)
    }

    /// The names in the path.
    pub(super) fn params(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// The statuses of what does not go well.
    pub(super) fn troubles(&self) -> Vec<u16> {
        let mut statuses = Vec::new();
        if self.role.is_some() {
            statuses.extend([401, 403]);
        }
        if self.body.is_some() || !self.query.is_empty() {
            statuses.push(400);
        }
        if self.params().next().is_some() || self.body.is_some() {
            statuses.push(404);
        }
        if self.body.is_some() {
            statuses.extend([408, 409, 413, 415]);
        }
        if self.path.starts_with("/alerts/") {
            statuses.extend([400, 401, 403, 408, 413, 415, 429]);
        }
        statuses.extend([500, 503]);
        statuses
    }
}

macro_rules! route {
    ($method:ident $path:literal, $role:expr, $status:literal $answers:ident, $act:path, $summary:literal $(, body $body:expr)? $(, query $query:expr)?) => {
        Route {
            method: Method::$method,
            path: $path,
            role: $role,
            summary: $summary,
            status: $status,
            answers: Answers::$answers,
            body: route!(@body $($body)?),
            query: route!(@query $($query)?),
            act: |api, call| Box::pin($act(api, call)),
        }
    };
    (@body) => { None };
    (@body $body:expr) => { Some($body) };
    (@query) => { &[] };
    (@query $query:expr) => { $query };
}

fn limit() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100})
}

/// Left out, there is no limit.
fn page() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": 1000})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn boolean() -> Value {
    json!({"type": "string", "enum": ["true", "false"]})
}

fn states() -> Value {
    json!({"type": "string", "enum": ["new", "containing", "contained", "closed", "unknown"]})
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

fn wanted_plan() -> Value {
    object(
        &[],
        json!({"playbook": {"type": ["string", "null"]}, "time_scale": {"type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32}}),
    )
}

fn wanted_rotation() -> Value {
    object(
        &["credential"],
        json!({
            "credential": {"type": "string"},
            "playbook": {"type": ["string", "null"]},
            "plan": {"type": ["string", "null"], "description": "the hash of the plan that was agreed to: another one is refused"},
            "reason": {"type": ["string", "null"]},
            "time_scale": {"type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32, "description": "for the sandbox only"},
        }),
    )
}

fn reason() -> Value {
    object(&[], json!({"reason": {"type": ["string", "null"]}}))
}

fn nothing() -> Value {
    object(&[], json!({}))
}

const VIEWER: Option<Role> = Some(Role::Viewer);
const OPERATOR: Option<Role> = Some(Role::Operator);
const APPROVER: Option<Role> = Some(Role::Approver);
const ADMIN: Option<Role> = Some(Role::Admin);

/// All routes.
pub fn routes() -> &'static [Route] {
    static ROUTES: std::sync::LazyLock<Vec<Route>> = std::sync::LazyLock::new(|| {
        vec![
            route!(GET "/healthz", None, 200 Text, metrics::health, "Whether the process lives"),
            route!(GET "/readyz", None, 200 Text, metrics::ready, "Whether the journal can be read"),
            route!(GET "/metrics", VIEWER, 200 Metrics, metrics::metrics, "Metrics for Prometheus"),
            route!(GET "/openapi.json", VIEWER, 200 Json, document, "This document"),
            route!(GET "/api/v1/credentials", VIEWER, 200 Json, credentials::list, "Every credential: age, next run, newest rotation. With `limit` a page of them, by name; `next` is the `after` of the one that follows", query &[("limit", page), ("after", text)]),
            route!(GET "/api/v1/credentials/{credential}", VIEWER, 200 Json, credentials::one, "One credential"),
            route!(GET "/api/v1/credentials/{credential}/impact", VIEWER, 200 Json, credentials::impact, "The services that stop if it dies"),
            route!(POST "/api/v1/credentials/{credential}/plan", OPERATOR, 200 Json, credentials::plan, "Looks, and says what a rotation would do; changes nothing", body wanted_plan),
            route!(GET "/api/v1/rotations", VIEWER, 200 Json, rotations::list, "Rotations, the newest first", query &[("open", boolean), ("credential", text), ("limit", limit)]),
            route!(POST "/api/v1/rotations", OPERATOR, 201 Json, rotations::begin, "Begins a rotation", body wanted_rotation),
            route!(GET "/api/v1/rotations/{rotation}", VIEWER, 200 Json, rotations::one, "One rotation: what is going on, what is safe, the undo"),
            route!(GET "/api/v1/rotations/{rotation}/events", VIEWER, 200 Stream, watch::rotation, "Its events as they happen, from the first or after `Last-Event-ID`"),
            route!(POST "/api/v1/rotations/{rotation}/abort", OPERATOR, 202 Json, rotations::abort, "Rolls it back", body reason),
            route!(POST "/api/v1/rotations/{rotation}/resume", OPERATOR, 202 Json, rotations::resume, "Sets one that is stuck going again", body nothing),
            route!(POST "/api/v1/rotations/{rotation}/approve", APPROVER, 202 Json, rotations::approve, "Opens the gate that it waits at", body nothing),
            route!(GET "/api/v1/alerts", VIEWER, 200 Json, credentials::alerts, "Leak alerts, the newest first", query &[("state", states), ("limit", limit)]),
            route!(POST "/alerts/{source}", None, 202 Json, credentials::deliver, "Takes a leak alert in; its source proves where it comes from"),
            route!(GET "/api/v1/files", VIEWER, 200 Json, files, "Which inventory and playbooks are in force"),
            route!(POST "/api/v1/reload", ADMIN, 200 Json, reload, "Reads inventory and playbooks again", body nothing),
            route!(GET "/", VIEWER, 200 Page, pages::home, "What needs a person now, and every credential"),
            route!(GET "/alerts", VIEWER, 200 Page, pages::alerts, "Leak alerts with their clock"),
            route!(GET "/credentials/{credential}", VIEWER, 200 Page, pages::credential, "One credential"),
            route!(POST "/credentials/{credential}/plan", OPERATOR, 200 Page, pages::plan, "A plan to agree to"),
            route!(POST "/credentials/{credential}/rotate", OPERATOR, 303 Page, pages::rotate, "Begins what was agreed to"),
            route!(GET "/rotations/{rotation}", VIEWER, 200 Page, pages::rotation, "One rotation as it goes on"),
            route!(GET "/rotations/{rotation}/watch", VIEWER, 200 Watch, pages::watch, "Says when the page of a rotation is to be renewed"),
            route!(GET "/rotations/{rotation}/abort", OPERATOR, 200 Page, pages::ask_abort, "What aborting would do"),
            route!(POST "/rotations/{rotation}/abort", OPERATOR, 303 Page, pages::abort, "Aborts"),
            route!(GET "/rotations/{rotation}/resume", OPERATOR, 200 Page, pages::ask_resume, "What resuming would do"),
            route!(POST "/rotations/{rotation}/resume", OPERATOR, 303 Page, pages::resume, "Resumes"),
            route!(GET "/rotations/{rotation}/approve", APPROVER, 200 Page, pages::ask_approve, "What approving would do"),
            route!(POST "/rotations/{rotation}/approve", APPROVER, 303 Page, pages::approve, "Approves"),
            route!(GET "/login", None, 200 Page, pages::ask_login, "Where a token is given"),
            route!(POST "/login", None, 303 Page, pages::login, "Signs in"),
            route!(POST "/logout", VIEWER, 303 Page, pages::logout, "Signs out"),
            route!(GET "/assets/pages.css", None, 200 Asset, pages::style, "The style of pages"),
            route!(GET "/assets/pages.js", None, 200 Asset, pages::script, "The script of pages"),
        ]
    });
    &ROUTES
}

async fn document(_: Arc<Api>, _: Call) -> Result<Response, Trouble> {
    super::call::found(&openapi::document())
}

/// So that whoever plans with files of their own sees whether these are the same.
async fn files(api: Arc<Api>, _: Call) -> Result<Response, Trouble> {
    let (now, (inventory, playbooks)) = (api.desk.files.now(), api.desk.files.places());
    let contain: Vec<&String> =
        now.playbooks.iter().filter(|(_, p)| p.containment.is_some()).map(|(name, _)| name).collect();
    super::call::found(&json!({
        "inventory": std::path::absolute(inventory).unwrap_or_else(|_| inventory.to_owned()),
        "playbooks": std::path::absolute(playbooks).unwrap_or_else(|_| playbooks.to_owned()),
        "generation": now.generation,
        "digest": now.digest,
        "contain": contain,
    }))
}

async fn reload(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let rotations::Nothing {} = call.json()?;
    match api.desk.reload().await {
        Ok(generation) => super::call::found(&json!({"generation": generation})),
        Err(why) => Err(Trouble::new(
            StatusCode::CONFLICT,
            "HO1005",
            format!("the files are refused, those before stay in force: {why}"),
        )
        .hint("`handover check` shows every problem with its place")),
    }
}

/// The router.
pub(super) fn router(api: &Arc<Api>) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let filter = MethodFilter::try_from(route.method.clone()).unwrap_or(MethodFilter::GET);
        let api = Arc::clone(api);
        let act = move |params: RawPathParams, request: Request| handle(Arc::clone(&api), route, params, request);
        router = router.route(route.path, on(filter, act));
    }
    let missing = |headers: HeaderMap| async move { refused(&headers, Trouble::missing("address")) };
    let other = |headers: HeaderMap| async move {
        refused(&headers, Trouble::new(StatusCode::METHOD_NOT_ALLOWED, "HO1006", "not with this method"))
    };
    router.fallback(missing).method_not_allowed_fallback(other)
}

/// What is answered where there is no route: a page to those who want one.
fn refused(headers: &HeaderMap, trouble: Trouble) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    match accepts.contains("text/html") {
        true => pages::secured(pages::trouble(trouble, headers, "/")),
        false => harden(trouble.into_response()),
    }
}

async fn handle(api: Arc<Api>, route: &'static Route, params: RawPathParams, request: Request) -> Response {
    let (headers, place) = match route.is_of_pages() {
        true => (request.headers().clone(), request.uri().path_and_query().map_or("/", |p| p.as_str()).to_owned()),
        false => (HeaderMap::new(), String::new()),
    };
    let result = match admitted(&api, route, &params, request).await {
        // In a task of its own: who hangs up does not cancel what they have asked for.
        Ok(call) => match tokio::spawn((route.act)(api, call)).await {
            Ok(result) => result,
            Err(_) => {
                let trouble =
                    Trouble::new(StatusCode::INTERNAL_SERVER_ERROR, "HO1024", "the call broke off inside Handover");
                Err(trouble.hint("look whether it was done before it is repeated; please report it"))
            }
        },
        Err(trouble) => Err(trouble),
    };
    match (route.is_of_pages(), result) {
        (true, Ok(response)) => pages::secured(response),
        // Where a form was sent to, nobody can be brought back to.
        (true, Err(trouble)) => {
            let place = if route.method == Method::GET { place.as_str() } else { "/" };
            pages::secured(pages::trouble(trouble, &headers, place))
        }
        (false, Ok(response)) => harden(response),
        (false, Err(trouble)) => harden(trouble.into_response()),
    }
}

/// The call, if whoever calls may make it.
async fn admitted(api: &Api, route: &Route, params: &RawPathParams, request: Request) -> Result<Call, Trouble> {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().cloned().unwrap_or(Peer::Network);
    let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let asks_by_browser = route.is_of_pages() || parts.headers.contains_key(header::ORIGIN);
    if matches!(peer, Peer::User(_)) && asks_by_browser && !pages::is_local(&parts.headers) {
        let trouble = Trouble::new(StatusCode::FORBIDDEN, "HO1036", "this socket is not reached by such a name");
        return Err(trouble.hint("use http://localhost with the port that is forwarded to the socket"));
    }
    let (who, visit) = match route.role {
        None => (None, None),
        Some(needed) => {
            let said = parts.headers.get(BY).and_then(|v| v.to_str().ok());
            let (who, visit) = match route.is_of_pages() {
                true => pages::visitor(api, &peer, &parts.headers).await?.unzip(),
                false => (caller(&api.desk, &peer, authorization, said).await?, None),
            };
            let who = who.ok_or_else(|| match route.is_of_pages() {
                true => Trouble::new(StatusCode::UNAUTHORIZED, "HO1030", "sign in to see this"),
                false => Trouble::new(StatusCode::UNAUTHORIZED, "HO1007", "nobody is known by this token")
                    .hint("send `Authorization: Bearer TOKEN`; `handover token add` makes one"),
            })?;
            if who.role < needed {
                let message = format!("{} is {}, and this needs {needed}", who.name, who.role);
                return Err(Trouble::new(StatusCode::FORBIDDEN, "HO1008", message));
            }
            (Some(who), visit)
        }
    };
    let body = match tokio::time::timeout(PATIENCE, to_bytes(Body::new(body), BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return Err(Trouble::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "HO1009",
                "the body is larger than 256 KiB, or broke off",
            ));
        }
        Err(_) => {
            return Err(Trouble::new(StatusCode::REQUEST_TIMEOUT, "HO1010", "the body did not come within 10 seconds"));
        }
    };
    let params: BTreeMap<String, String> = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let query = fields(parts.uri.query().unwrap_or_default());
    let call = Call { who, visit, params, query, headers: parts.headers, body };
    if route.is_of_pages() && route.method != Method::GET {
        pages::check(&call)?;
    }
    Ok(call)
}

/// What every answer carries: it is never kept, framed or taken for another kind.
pub(super) fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}
