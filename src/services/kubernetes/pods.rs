//! The pods of a workload, and which of them are of before a restart. A workload's status counts no pod that is ending, which may
//! go on for as long as it was granted, with the environment that it has.

use handover_rotation::outcome::FaultClass;
use reqwest::Method;
use serde::Deserialize;

use super::Workload;
use super::workload::{STAMP, Seen};
use crate::kubernetes::cluster::Call;
use crate::web::Lost;

/// Only what stands above a pod: its environment has no business here.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// In one answer.
const PAGE: &str = "250";

/// The most answers that are asked for.
const MOST_PAGES: usize = 40;

#[derive(Deserialize)]
struct List {
    kind: String,
    #[serde(default)]
    metadata: ListMetadata,
    items: Vec<Pod>,
}

#[derive(Default, Deserialize)]
struct ListMetadata {
    #[serde(default, rename = "continue")]
    more: String,
}

#[derive(Deserialize)]
struct Pod {
    metadata: PodMetadata,
}

#[derive(Deserialize)]
struct PodMetadata {
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

impl Workload<'_> {
    /// How many of its pods that have not ended do not have this stamp.
    pub(super) async fn pods_before(&self, seen: &Seen, stamp: &str) -> Result<usize, Lost> {
        let Some(selector) = seen.selector() else {
            let fault = self.fault(FaultClass::Permanent, "its selector of pods is not understood");
            return Err(Lost::Before(fault.hint("is it an API server that answers there?")));
        };
        let mut before = 0;
        let mut more = String::new();
        for _ in 0..MOST_PAGES {
            let mut url = self.cluster.api.url(&["api", "v1", "namespaces", &self.cluster.namespace, "pods"])?;
            url.query_pairs_mut()
                .append_pair("labelSelector", &selector)
                .append_pair("fieldSelector", "status.phase!=Succeeded,status.phase!=Failed")
                .append_pair("limit", PAGE);
            if !more.is_empty() {
                url.query_pairs_mut().append_pair("continue", &more);
            }
            let rule = "{apiGroups: [\"\"], resources: [pods], verbs: [list]}".to_owned();
            let about = format!("pods of {}", self.about);
            let call =
                Call { method: Method::GET, url, body: None, accept: Some(METADATA), about: &about, verb: "list", rule };
            let answer = self.cluster.ask(call).await?;
            if answer.status.as_u16() != 200 {
                return Err(self.cluster.api.refused(&answer, "list pods"));
            }
            let list: List = answer
                .json()
                .filter(|list: &List| list.kind == "PartialObjectMetadataList")
                .ok_or_else(|| self.cluster.api.garbled("list pods"))?;
            let has = |pod: &&Pod| pod.metadata.annotations.get(STAMP).is_some_and(|is| is == stamp);
            before += list.items.len() - list.items.iter().filter(has).count();
            more = list.metadata.more;
            if more.is_empty() {
                return Ok(before);
            }
        }
        let fault = self.fault(FaultClass::Permanent, "it has too many pods to look at");
        Err(Lost::Maybe(fault.hint("restart it by a `command`, such as `kubectl rollout restart`")))
    }
}
