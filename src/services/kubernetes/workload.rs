//! What a workload shows of itself: whether it can be restarted, and how far a rollout is. Pure: it reads what was answered.

use serde_json::Value;

use super::{is_label_key, is_label_word};

/// The stamp of a restart, as `kubectl` writes it: each pod carries that of the template it was made of.
pub(super) const STAMP: &str = "kubectl.kubernetes.io/restartedAt";

/// The kinds that a rolling restart is known for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet];

    /// The option that names one, and how `kubectl` calls it.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
        }
    }

    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
        }
    }
}

/// A workload as it was answered.
pub(super) struct Seen {
    kind: Kind,
    object: Value,
}

impl Seen {
    /// `None` if it is not of that form.
    pub(super) fn new(kind: Kind, object: Value) -> Option<Self> {
        let seen = Self { kind, object };
        (seen.number("/metadata/generation")? > 0 && seen.object.pointer("/spec/template")?.is_object()).then_some(seen)
    }

    fn number(&self, pointer: &str) -> Option<i64> {
        self.object.pointer(pointer)?.as_i64()
    }

    /// A number of `status`, which leaves out what is 0.
    fn status(&self, key: &str) -> i64 {
        self.number(&format!("/status/{key}")).unwrap_or(0)
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.object.pointer(pointer)?.as_str()
    }

    /// The stamp of its template.
    pub(super) fn stamp(&self) -> Option<&str> {
        self.object.pointer("/spec/template/metadata/annotations")?.get(STAMP)?.as_str()
    }

    /// Why a restart of it would not restart every pod, and what to do.
    pub(super) fn cannot_restart(&self) -> Option<(&'static str, &'static str)> {
        if self.text("/metadata/deletionTimestamp").is_some() {
            return Some(("it is being deleted", "find out who deletes it"));
        }
        if self.object.pointer("/spec/paused").and_then(Value::as_bool).unwrap_or(false) {
            return Some(("its rollouts are paused", "go on with them: `kubectl rollout resume`"));
        }
        if self.text("/spec/updateStrategy/type") == Some("OnDelete") {
            return Some((
                "its `updateStrategy` is `OnDelete`, so a restart makes no pod anew",
                "let it be `RollingUpdate`, or restart it by a `command`",
            ));
        }
        if self.number("/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0) > 0 {
            return Some((
                "its `partition` keeps some pods as they are",
                "let `partition` be 0, or restart it by a `command`",
            ));
        }
        None
    }

    /// Why its controller does not expect the rollout to come to an end.
    pub(super) fn given_up(&self) -> Option<&'static str> {
        if self.text("/metadata/deletionTimestamp").is_some() {
            return Some("it is being deleted");
        }
        let conditions = self.object.pointer("/status/conditions")?.as_array()?;
        let late = conditions.iter().any(|condition| {
            let is = |key: &str, value: &str| condition.get(key).and_then(Value::as_str) == Some(value);
            is("type", "Progressing") && is("status", "False") && is("reason", "ProgressDeadlineExceeded")
        });
        (late && self.is_observed()).then_some("its new pods were not available within its `progressDeadlineSeconds`")
    }

    fn is_observed(&self) -> bool {
        self.number("/metadata/generation").is_some_and(|generation| self.status("observedGeneration") >= generation)
    }

    /// What its controller still lacks, in words; `None` if as many new pods as are wanted are available.
    pub(super) fn standing(&self) -> Option<String> {
        if !self.is_observed() {
            return Some("its controller has not seen the restart yet".to_owned());
        }
        // One where the spec leaves it out.
        let replicas = self.number("/spec/replicas").unwrap_or(1);
        let (wanted, updated, available) = match self.kind {
            Kind::Deployment => (replicas, self.status("updatedReplicas"), self.status("availableReplicas")),
            // Some releases do not tell how many are available.
            Kind::StatefulSet => (replicas, self.status("updatedReplicas"), self.status("readyReplicas")),
            Kind::DaemonSet => (
                self.status("desiredNumberScheduled"),
                self.status("updatedNumberScheduled"),
                self.status("numberAvailable"),
            ),
        };
        if updated < wanted {
            return Some(format!("{updated} of {wanted} pods are new"));
        }
        if self.kind == Kind::Deployment && self.status("replicas") > updated {
            return Some("pods of before still run".to_owned());
        }
        let revisions = ["currentRevision", "updateRevision"].map(|key| self.text(&format!("/status/{key}")));
        if self.kind == Kind::StatefulSet && wanted > 0 && revisions[0] != revisions[1] {
            return Some("pods of before still run".to_owned());
        }
        (available < wanted).then(|| format!("{available} of {wanted} new pods are available"))
    }

    /// The selector of its pods, as a query says it; `None` if it has none, or one that is not understood.
    pub(super) fn selector(&self) -> Option<String> {
        let selector = self.object.pointer("/spec/selector")?;
        let mut parts = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().filter(|value| is_label_word(value) && is_label_key(key))?;
            parts.push(format!("{key}={value}"));
        }
        for one in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let key = one.get("key")?.as_str().filter(|key| is_label_key(key))?;
            let values: Option<Vec<&str>> = one
                .get("values")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|value| value.as_str().filter(|value| is_label_word(value)))
                .collect();
            let values = values?.join(",");
            parts.push(match one.get("operator")?.as_str()? {
                "In" => format!("{key} in ({values})"),
                "NotIn" => format!("{key} notin ({values})"),
                "Exists" => key.to_owned(),
                "DoesNotExist" => format!("!{key}"),
                _ => return None,
            });
        }
        // Without a selector the query would mean every pod.
        (!parts.is_empty()).then(|| parts.join(","))
    }
}
