//! A strict stand-in for a Kubernetes API server: bearer tokens with verbs, Secrets with resource versions, `immutable`, dry runs, and
//! workloads (`workloads`).
//! Written from the API's reference. What the real server would let pass, but a careful client does not send, is a panic here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::workloads::{self, Workload};

/// What somebody else does at a moment.
pub(crate) type Meddling = Box<dyn FnOnce(&mut World) + Send>;

#[derive(Default)]
pub(crate) struct World {
    /// Verbs by token.
    pub(crate) tokens: BTreeMap<String, Vec<&'static str>>,
    /// By namespace and name.
    pub(crate) secrets: BTreeMap<(String, String), Value>,
    version: u64,
    /// How many writes were kept.
    pub(crate) writes: usize,
    /// Done once, directly before the next write is looked at.
    pub(crate) before_write: Option<Meddling>,
    /// By the plural of their kind and their name.
    pub(crate) workloads: BTreeMap<(String, String), Workload>,
    /// Done once, directly after the next restart.
    pub(crate) after_patch: Option<Meddling>,
    /// Whether restarts are answered with 500 and not done.
    pub(crate) trouble: bool,
}

#[derive(Clone)]
pub(crate) struct Cluster {
    world: Arc<Mutex<World>>,
    pub(crate) port: u16,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let cluster = Self { world: Arc::default(), port };
        let router = Router::new()
            .route("/api/v1/namespaces/{namespace}/secrets/{name}", get(read).put(replace))
            .route("/apis/apps/v1/namespaces/{namespace}/{kind}/{name}", get(workloads::read).patch(workloads::patch))
            .route("/api/v1/namespaces/{namespace}/pods", get(workloads::pods))
            .with_state(cluster.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        cluster
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("the world")
    }
}

impl World {
    /// Puts a Secret there, as somebody else would.
    pub(crate) fn put(&mut self, namespace: &str, name: &str, mut secret: Value) {
        self.version += 7;
        secret["metadata"]["name"] = json!(name);
        secret["metadata"]["namespace"] = json!(namespace);
        secret["metadata"]["resourceVersion"] = json!(self.version.to_string());
        secret["apiVersion"] = json!("v1");
        secret["kind"] = json!("Secret");
        self.secrets.insert((namespace.to_owned(), name.to_owned()), secret);
    }

    pub(super) fn authorize(&self, headers: &HeaderMap, verb: &str, name: &str) -> Option<Response> {
        let given = headers.get(header::AUTHORIZATION).and_then(|h| h.to_str().ok()).and_then(|h| h.strip_prefix("Bearer "));
        match given.and_then(|token| self.tokens.get(token)) {
            None => Some(status(401, "Unauthorized", "Unauthorized")),
            Some(verbs) if verbs.contains(&verb) => None,
            Some(_) => Some(status(403, "Forbidden", &format!("\"{name}\" is forbidden: cannot {verb}"))),
        }
    }
}

pub(super) fn status(code: u16, reason: &str, message: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code});
    (StatusCode::from_u16(code).expect("a status"), axum::Json(body)).into_response()
}

async fn read(
    State(cluster): State<Cluster>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let world = cluster.world();
    if let Some(refusal) = world.authorize(&headers, "get", &name) {
        return refusal;
    }
    match world.secrets.get(&(namespace, name.clone())) {
        Some(secret) => axum::Json(secret.clone()).into_response(),
        None => status(404, "NotFound", &format!("secrets \"{name}\" not found")),
    }
}

async fn replace(
    State(cluster): State<Cluster>,
    Path((namespace, name)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut world = cluster.world();
    if let Some(refusal) = world.authorize(&headers, "update", &name) {
        return refusal;
    }
    if let Some(before) = world.before_write.take() {
        before(&mut world);
    }
    assert!(headers.get(header::CONTENT_TYPE).is_some_and(|t| t == "application/json"), "a PUT without its type");
    let new: Value = serde_json::from_slice(&body).expect("a PUT that is no JSON");
    assert_eq!((new["metadata"]["name"].as_str(), new["metadata"]["namespace"].as_str()), (Some(&*name), Some(&*namespace)));
    let given = new["metadata"]["resourceVersion"].as_str().expect("a PUT that would overwrite whatever is there");
    for (key, value) in new["data"].as_object().expect("a PUT without data") {
        assert!(value.as_str().is_some_and(|v| STANDARD.decode(v).is_ok()), "{key} is not base64");
    }
    let Some(old) = world.secrets.get(&(namespace.clone(), name.clone())) else {
        return status(404, "NotFound", &format!("secrets \"{name}\" not found"));
    };
    if old["metadata"]["resourceVersion"] != given {
        let message =
            "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version";
        return status(409, "Conflict", message);
    }
    if old["immutable"] == true && old["data"] != new["data"] {
        return status(422, "Invalid", "data: Forbidden: field is immutable when `immutable` is set");
    }
    assert_eq!(old["type"], new["type"], "a PUT that changes the type");
    if query.get("dryRun").is_some_and(|dry| dry == "All") {
        return axum::Json(new).into_response();
    }
    world.writes += 1;
    world.put(&namespace, &name, new.clone());
    axum::Json(new).into_response()
}
