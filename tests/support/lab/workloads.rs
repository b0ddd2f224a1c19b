//! Workloads and their pods in the stand-in for a Kubernetes API server: generations, stamps of restarts, and a controller that goes on
//! by one step each time that somebody looks, so that nothing waits for time. Written from the API's reference; what a careful client
//! does not send is a panic here.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::kubernetes::{Cluster, status};

pub(crate) const STAMP: &str = "kubectl.kubernetes.io/restartedAt";

/// A workload with its pods.
pub(crate) struct Workload {
    /// `metadata` and `spec`.
    pub(crate) object: Value,
    pub(crate) pods: Vec<Pod>,
    observed: i64,
    /// Whether new pods never become available.
    pub(crate) sick: bool,
    /// For how many steps a pod goes on after it was told to end.
    pub(crate) grace: usize,
    /// How often it was restarted.
    pub(crate) restarts: usize,
}

#[derive(Clone)]
pub(crate) struct Pod {
    number: usize,
    /// That of the template which it was made of.
    pub(crate) stamp: Option<String>,
    ready: bool,
    /// The steps until it is gone.
    ends_in: Option<usize>,
}

impl Workload {
    /// A sound one with some pods.
    pub(crate) fn new(pods: usize) -> Self {
        let object = json!({
            "metadata": {"name": "mailer", "namespace": "mail", "generation": 1},
            "spec": {
                "replicas": pods,
                "selector": {"matchLabels": {"app": "mailer"}},
                "template": {
                    "metadata": {"labels": {"app": "mailer"}, "annotations": {"other": "kept"}},
                    "spec": {"containers": [{"name": "api", "env": [{"name": "SMTP_PASSWORD", "value": "not to be asked for"}]}]},
                },
            },
        });
        let pods = (0..pods).map(|number| Pod { number, stamp: None, ready: true, ends_in: None }).collect();
        Self { object, pods, observed: 1, sick: false, grace: 2, restarts: 0 }
    }

    pub(crate) fn generation(&self) -> i64 {
        self.object["metadata"]["generation"].as_i64().expect("a generation")
    }

    pub(crate) fn stamp(&self) -> Option<String> {
        self.object["spec"]["template"]["metadata"]["annotations"][STAMP].as_str().map(str::to_owned)
    }

    /// Puts a stamp there, as a restart does.
    pub(crate) fn restart(&mut self, stamp: &str) {
        self.object["spec"]["template"]["metadata"]["annotations"][STAMP] = json!(stamp);
        self.object["metadata"]["generation"] = json!(self.generation() + 1);
        self.restarts += 1;
    }

    /// One step of the controller: it sees the change, then it makes one pod at a time anew.
    fn step(&mut self) {
        let stamp = self.stamp();
        for pod in &mut self.pods {
            pod.ends_in = pod.ends_in.map(|steps| steps.saturating_sub(1));
        }
        self.pods.retain(|pod| pod.ends_in != Some(0));
        if self.observed < self.generation() {
            self.observed = self.generation();
            return;
        }
        let fresh = |pod: &Pod| pod.stamp == stamp && pod.ends_in.is_none();
        if let Some(begun) = self.pods.iter_mut().find(|pod| fresh(pod) && !pod.ready) {
            begun.ready = !self.sick;
        } else if let Some(old) = self.pods.iter_mut().find(|pod| !fresh(pod) && pod.ends_in.is_none()) {
            old.ends_in = Some(self.grace.max(1));
            let number = self.pods.iter().map(|pod| pod.number).max().unwrap_or(0) + 1;
            self.pods.push(Pod { number, stamp, ready: false, ends_in: None });
        }
    }

    /// The object with its status, which leaves out what is 0.
    fn shown(&self, kind: &str) -> Value {
        let staying: Vec<&Pod> = self.pods.iter().filter(|pod| pod.ends_in.is_none()).collect();
        let stamp = self.stamp();
        let new = staying.iter().filter(|pod| pod.stamp == stamp).count();
        let ready = staying.iter().filter(|pod| pod.ready).count();
        let wanted = self.object["spec"]["replicas"].as_u64().unwrap_or(0);
        let counts: &[(&str, usize)] = match kind {
            "daemonsets" => &[
                ("desiredNumberScheduled", usize::try_from(wanted).expect("few")),
                ("currentNumberScheduled", staying.len()),
                ("updatedNumberScheduled", new),
                ("numberReady", ready),
                ("numberAvailable", ready),
            ],
            _ => &[
                ("replicas", staying.len()),
                ("updatedReplicas", new),
                ("readyReplicas", ready),
                ("availableReplicas", ready),
            ],
        };
        let mut shown = self.object.clone();
        shown["status"] = json!({"observedGeneration": self.observed});
        for (key, count) in counts.iter().filter(|(_, count)| *count > 0) {
            shown["status"][key] = json!(count);
        }
        if kind == "statefulsets" {
            let through = new == staying.len() && self.observed == self.generation();
            shown["status"]["updateRevision"] = json!(format!("mailer-{}", self.generation()));
            shown["status"]["currentRevision"] =
                json!(if through { format!("mailer-{}", self.generation()) } else { "mailer-1".into() });
        }
        let late = self.sick && self.observed == self.generation() && self.pods.iter().any(|pod| !pod.ready);
        if kind == "deployments" && late {
            shown["status"]["conditions"] = json!([
                {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
            ]);
        }
        shown
    }
}

type At = Path<(String, String, String)>;

pub(super) async fn read(State(cluster): State<Cluster>, Path((_, kind, name)): At, headers: HeaderMap) -> Response {
    let mut world = cluster.world();
    if let Some(refusal) = world.authorize(&headers, &format!("get {kind}"), &name) {
        return refusal;
    }
    let Some(workload) = world.workloads.get_mut(&(kind.clone(), name.clone())) else {
        return status(404, "NotFound", &format!("{kind}.apps \"{name}\" not found"));
    };
    workload.step();
    axum::Json(workload.shown(&kind)).into_response()
}

pub(super) async fn patch(
    State(cluster): State<Cluster>,
    Path((_, kind, name)): At,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut world = cluster.world();
    if let Some(refusal) = world.authorize(&headers, &format!("patch {kind}"), &name) {
        return refusal;
    }
    let form = headers.get(header::CONTENT_TYPE).and_then(|form| form.to_str().ok());
    assert_eq!(form, Some("application/merge-patch+json"), "a PATCH of another form");
    let patch: Value = serde_json::from_slice(&body).expect("a PATCH that is no JSON");
    let stamp =
        patch["spec"]["template"]["metadata"]["annotations"][STAMP].as_str().expect("a PATCH without a stamp").to_owned();
    assert_eq!(
        patch,
        json!({"spec": {"template": {"metadata": {"annotations": {STAMP: stamp}}}}}),
        "a PATCH that changes something else"
    );
    assert!(chrono::DateTime::parse_from_rfc3339(&stamp).is_ok(), "{stamp} is no time");
    if world.trouble {
        return status(500, "InternalError", "etcdserver: request timed out");
    }
    let Some(workload) = world.workloads.get_mut(&(kind.clone(), name.clone())) else {
        return status(404, "NotFound", &format!("{kind}.apps \"{name}\" not found"));
    };
    workload.restart(&stamp);
    let shown = workload.shown(&kind);
    if let Some(after) = world.after_patch.take() {
        after(&mut world);
    }
    axum::Json(shown).into_response()
}

/// Two pods an answer, whatever is asked for: a server may give fewer.
pub(super) async fn pods(
    State(cluster): State<Cluster>,
    Path(_): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let world = cluster.world();
    if let Some(refusal) = world.authorize(&headers, "list pods", "") {
        return refusal;
    }
    let asked = headers.get(header::ACCEPT).and_then(|form| form.to_str().ok()).unwrap_or_default();
    assert!(asked.contains("as=PartialObjectMetadataList"), "the environment of pods is asked for: {asked}");
    assert_eq!(query.get("labelSelector").map(String::as_str), Some("app=mailer"), "pods of others are asked for");
    let phases = "status.phase!=Succeeded,status.phase!=Failed";
    assert_eq!(query.get("fieldSelector").map(String::as_str), Some(phases), "pods that have ended are asked for");
    let from: usize = query.get("continue").map_or(0, |more| more.parse().expect("one of ours"));
    let all: Vec<&Pod> = world.workloads.values().flat_map(|workload| &workload.pods).collect();
    let items: Vec<Value> = all
        .iter()
        .skip(from)
        .take(2)
        .map(|pod| {
            let mut metadata = json!({"name": format!("mailer-{}", pod.number), "labels": {"app": "mailer"}});
            if let Some(stamp) = &pod.stamp {
                metadata["annotations"] = json!({STAMP: stamp});
            }
            json!({"metadata": metadata})
        })
        .collect();
    let more = if from + 2 < all.len() { (from + 2).to_string() } else { String::new() };
    axum::Json(json!({
        "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {"continue": more}, "items": items,
    }))
    .into_response()
}
