//! The one table of routes. A new route is a line here and a function beside it; the router, the document and the test over all
//! routes and roles are made of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::access::{BY, Role, caller};
use super::call::{Call, Trouble};
use super::serve::Peer;
use super::{Api, credentials, metrics, openapi, rotations, watch};

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
    let missing = || async { harden(Trouble::missing("address").into_response()) };
    let other =
        || async { harden(Trouble::new(StatusCode::METHOD_NOT_ALLOWED, "HO1006", "not with this method").into_response()) };
    router.fallback(missing).method_not_allowed_fallback(other)
}

async fn handle(api: Arc<Api>, route: &'static Route, params: RawPathParams, request: Request) -> Response {
    harden(match admitted(&api, route, &params, request).await {
        // In a task of its own: who hangs up does not cancel what they have asked for.
        Ok(call) => match tokio::spawn((route.act)(api, call)).await {
            Ok(Ok(response)) => response,
            Ok(Err(trouble)) => trouble.into_response(),
            Err(_) => {
                let trouble =
                    Trouble::new(StatusCode::INTERNAL_SERVER_ERROR, "HO1024", "the call broke off inside Handover");
                trouble.hint("look whether it was done before it is repeated; please report it").into_response()
            }
        },
        Err(trouble) => trouble.into_response(),
    })
}

/// The call, if whoever calls may make it.
async fn admitted(api: &Api, route: &Route, params: &RawPathParams, request: Request) -> Result<Call, Trouble> {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().cloned().unwrap_or(Peer::Network);
    let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let who = match route.role {
        None => None,
        Some(needed) => {
            let said = parts.headers.get(BY).and_then(|v| v.to_str().ok());
            let who = caller(&api.desk, &peer, authorization, said).await?;
            let who = who.ok_or_else(|| {
                Trouble::new(StatusCode::UNAUTHORIZED, "HO1007", "nobody is known by this token")
                    .hint("send `Authorization: Bearer TOKEN`; `handover token add` makes one")
            })?;
            if who.role < needed {
                let message = format!("{} is {}, and this needs {needed}", who.name, who.role);
                return Err(Trouble::new(StatusCode::FORBIDDEN, "HO1008", message));
            }
            Some(who)
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
    let query = reqwest::Url::parse(&format!("http://x/?{}", parts.uri.query().unwrap_or_default()))
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default();
    Ok(Call { who, params, query, headers: parts.headers, body })
}

/// What every answer carries: it is never kept, framed or taken for another kind.
fn harden(mut response: Response) -> Response {
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
