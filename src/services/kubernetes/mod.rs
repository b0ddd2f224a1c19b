//! Services that are workloads of a cluster: a Deployment, a StatefulSet or a DaemonSet, restarted as `kubectl rollout restart` does
//! it, by a stamp in the template of its pods.
//!
//! A pod keeps the environment that it began with, so nothing less than new pods reads a Secret again. That the server took the stamp
//! is not believed alone: the controller must have seen it, as many new pods as are wanted must be available, and no pod without the
//! stamp may be left, one that is ending included.

mod pods;
mod workload;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{SecondsFormat, Utc};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use self::workload::{Kind, STAMP, Seen};
use super::Reload;
use crate::config::fields::Fields;
use crate::config::inventory::MOST_TIMEOUT;
use crate::config::schema;
use crate::kubernetes::ClusterOptions;
use crate::kubernetes::cluster::{Call, Cluster, is_name, is_not_found, is_object_name};
use crate::web::{Codes, Lost, outcome};

/// The time a rollout may take if the inventory says nothing: pods that end slowly get 30 s by default, and one by one.
const TIMEOUT: Span = Span::minutes(5);

/// Between two looks at a rollout: short at first, as small ones are quick.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

const CODES: Codes = Codes { unreachable: "HO0750", lost: "HO0751", forbidden: "HO0752", busy: "HO0753", odd: "HO0754" };

/// A workload.
pub struct KubernetesReload {
    cluster: ClusterOptions,
    kind: Kind,
    name: String,
    timeout: Span,
}

/// A workload in a cluster that can be asked.
struct Workload<'a> {
    cluster: Cluster,
    kind: Kind,
    name: &'a str,
    about: String,
}

impl KubernetesReload {
    /// What a service reads again by it.
    pub const REREADS: &'static str = "every pod is made anew: its environment from Secrets is read then, and only then, as is what \
                                       is mounted by `subPath`; other mounts of Secrets change by themselves after a while";

    /// Reads the options: see `docs/kinds/kubernetes-reload.md`.
    pub fn options(fields: &mut Fields<'_>) -> Option<Self> {
        let cluster = ClusterOptions::read(fields);
        let named: Vec<_> = Kind::ALL.into_iter().filter(|kind| fields.has(kind.key())).collect();
        let names = Kind::ALL.map(|kind| fields.optional_str(kind.key()));
        let timed = fields.has("timeout");
        let timeout = fields.optional_duration("timeout", Span::seconds(1)..=MOST_TIMEOUT);
        let [kind] = named[..] else {
            if fields.is_map() {
                let message =
                    format!("{} names {} workloads", fields.what(), if named.is_empty() { "no" } else { "several" });
                let key = named.first().map_or("deployment", |kind| kind.key());
                fields.problem("HO0113", key, message, "name one of `deployment`, `statefulset`, `daemonset`");
            }
            return None;
        };
        let name = names.into_iter().flatten().next()?;
        if !is_object_name(&name) {
            let hint = "write only its name: `newsletter-api`";
            fields.problem("HO0113", kind.key(), format!("`{}` is no name of a workload", kind.key()), hint);
            return None;
        }
        let timeout = if timed { timeout? } else { TIMEOUT };
        Some(Self { cluster: cluster?, kind, name, timeout })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        let mut properties = ClusterOptions::properties();
        for kind in Kind::ALL {
            properties.insert(kind.key().to_owned(), json!({"type": "string", "minLength": 1}));
        }
        properties.insert("timeout".to_owned(), schema::duration());
        let one = Kind::ALL.map(|kind| json!({"required": [kind.key()]}));
        json!({
            "type": "object", "additionalProperties": false, "required": ClusterOptions::REQUIRED,
            "oneOf": one, "properties": properties,
        })
    }

    async fn restart(&self) -> Result<(), Lost> {
        let cluster = Cluster::open(self.cluster.clone(), CODES).map_err(Lost::Before)?;
        let about = format!("{} {}/{}", self.kind.key(), cluster.namespace, self.name);
        let workload = Workload { cluster, kind: self.kind, name: &self.name, about };
        let end = Instant::now() + Duration::from_millis(self.timeout.0);
        let before = workload.see().await.map_err(Lost::before_the_change)?;
        if let Some((why, hint)) = before.cannot_restart() {
            return Err(Lost::Before(workload.fault(FaultClass::Permanent, why).hint(hint)));
        }
        // So that a missing permission is found before anything is done.
        workload.pods_before(&before, "").await.map_err(Lost::before_the_change)?;
        let stamp = Utc::now().to_rfc3339_opts(SecondsFormat::Nanos, true);
        if before.stamp() == Some(&stamp) {
            let fault = workload.fault(FaultClass::Temporary, "it was restarted at this very moment");
            return Err(Lost::Before(fault));
        }
        match workload.put(&stamp).await {
            Ok(()) => {}
            // Whether it got there can be seen.
            Err(Lost::Maybe(fault)) => match workload.see().await {
                Ok(seen) if seen.stamp() == Some(&stamp) => {}
                _ => return Err(Lost::Maybe(fault)),
            },
            Err(lost) => return Err(lost),
        }
        // From here on it has happened, whatever is seen of it.
        workload.follow(&stamp, end).await.map_err(Lost::Maybe)
    }
}

impl Workload<'_> {
    fn fault(&self, class: FaultClass, what: impl std::fmt::Display) -> Fault {
        self.cluster.api.fault(class, "HO0744", format!("{}: {what}", self.about))
    }

    fn call<'c>(&'c self, method: Method, verb: &'static str) -> Result<Call<'c>, Lost> {
        let plural = self.kind.plural();
        let url = self.cluster.api.url(&["apis", "apps", "v1", "namespaces", &self.cluster.namespace, plural, self.name])?;
        let rule =
            format!("{{apiGroups: [apps], resources: [{plural}], resourceNames: [{}], verbs: [get, patch]}}", self.name);
        Ok(Call { method, url, body: None, accept: None, about: &self.about, verb, rule })
    }

    async fn see(&self) -> Result<Seen, Lost> {
        let answer = self.cluster.ask(self.call(Method::GET, "get")?).await?;
        match answer.status.as_u16() {
            200 => answer
                .json()
                .and_then(|object| Seen::new(self.kind, object))
                .ok_or_else(|| self.cluster.api.garbled("get a workload")),
            404 => Err(self.not_there(is_not_found(&answer))),
            _ => Err(self.cluster.api.refused(&answer, "get a workload")),
        }
    }

    fn not_there(&self, found: bool) -> Lost {
        let (what, hint) = match found {
            true => ("there is no such workload", "correct its name and `namespace`"),
            false => ("what answers there is no API server", "correct `address`"),
        };
        Lost::Before(self.fault(FaultClass::Permanent, what).hint(hint))
    }

    /// Puts a stamp into the template, and leaves all else as it is.
    async fn put(&self, stamp: &str) -> Result<(), Lost> {
        let body = json!({"spec": {"template": {"metadata": {"annotations": {STAMP: stamp}}}}});
        let mut call = self.call(Method::PATCH, "patch")?;
        call.body = Some(("application/merge-patch+json", Zeroizing::new(body.to_string().into_bytes())));
        let answer = self.cluster.ask(call).await?;
        match answer.status.as_u16() {
            200..=299 => Ok(()),
            404 => Err(self.not_there(is_not_found(&answer))),
            409 => {
                let what = "another part of it was changed at the same moment, and it was not restarted";
                Err(Lost::Before(self.fault(FaultClass::Temporary, what)))
            }
            422 => {
                let fault = self.fault(FaultClass::Permanent, "the server does not take the stamp of a restart");
                Err(Lost::Before(fault.hint("look at the cluster's admission policies")))
            }
            _ => Err(self.cluster.api.refused(&answer, "restart a workload")),
        }
    }

    /// Looks until every pod has the stamp.
    async fn follow(&self, stamp: &str, end: Instant) -> Result<(), Fault> {
        let mut pause = FIRST_PAUSE;
        loop {
            let standing = match self.look(stamp).await {
                Ok(None) => return Ok(()),
                Ok(Some(standing)) => self.fault(FaultClass::Temporary, standing),
                // A look that was lost is not the end of a rollout.
                Err(Lost::Before(fault) | Lost::Maybe(fault)) if fault.class == FaultClass::Permanent => return Err(fault),
                Err(Lost::Before(fault) | Lost::Maybe(fault)) => fault,
            };
            if Instant::now() + pause >= end {
                return Err(standing.hint(format!(
                    "see `kubectl -n {} rollout status {}/{}`; a longer `timeout` helps where its pods are only slow",
                    self.cluster.namespace,
                    self.kind.key(),
                    self.name
                )));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What is still missing.
    async fn look(&self, stamp: &str) -> Result<Option<String>, Lost> {
        let seen = self.see().await?;
        if seen.stamp() != Some(stamp) {
            let fault = self.fault(FaultClass::Permanent, "somebody else changed its template while it was being restarted");
            return Err(Lost::Maybe(fault.hint("find out who: two that restart it hinder each other")));
        }
        if let Some(why) = seen.given_up() {
            let fault = self.fault(FaultClass::Permanent, why);
            return Err(Lost::Maybe(fault.hint("see the log of its new pods; they may not like their new login")));
        }
        if let Some(standing) = seen.standing() {
            return Ok(Some(standing));
        }
        Ok(match self.pods_before(&seen, stamp).await? {
            0 => None,
            left => Some(format!("{left} of its pods of before still run")),
        })
    }
}

#[async_trait]
impl Reload for KubernetesReload {
    fn describe(&self) -> String {
        format!("kubernetes {}/{}", self.kind.key(), self.name)
    }

    fn request_timeout(&self) -> Span {
        // Two looks and the change before the wait, and the last look after it.
        Span(self.timeout.0.saturating_add(60_000))
    }

    fn rereads(&self) -> Option<&'static str> {
        Some(Self::REREADS)
    }

    async fn reload(&self) -> Outcome<()> {
        outcome(self.restart().await)
    }
}

/// Whether a word may stand in a selector as it is.
fn is_label_word(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Whether it is a key of a label: a name, with a domain before it or not.
fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((domain, name)) => domain.split('.').all(is_name) && !name.is_empty() && is_label_word(name),
        None => !text.is_empty() && is_label_word(text),
    }
}

#[cfg(test)]
mod tests;
