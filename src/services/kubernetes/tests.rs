//! What of a restart needs no cluster: the options, and how a workload's answer is read.

use std::path::Path;

use serde_json::{Value, json};

use super::workload::{Kind, Seen};
use super::*;
use crate::config::Node;

const SOUND: &str = "address: https://10.0.0.1:6443\nnamespace: mail\ntoken: {file: token}\ndeployment: mailer\n";

fn options(text: &str) -> Result<KubernetesReload, String> {
    let node = Node::from_yaml("test.yaml", Path::new("/"), text).unwrap_or_else(|p| panic!("{p}"));
    let mut fields = Fields::new(&node, "reload");
    let read = KubernetesReload::options(&mut fields);
    let problems = fields.finish();
    read.filter(|_| !problems.has_errors()).ok_or_else(|| problems.to_string())
}

#[test]
fn its_options_are_read_and_others_refused() {
    let read = options(SOUND).expect("they are sound");
    assert_eq!((read.describe().as_str(), read.timeout), ("kubernetes deployment/mailer", TIMEOUT));
    let read = options(&SOUND.replace("deployment: mailer", "daemonset: a.b\ntimeout: 90s")).expect("they are sound");
    assert_eq!((read.describe().as_str(), read.timeout), ("kubernetes daemonset/a.b", Span::seconds(90)));
    for (part, by, says) in [
        ("deployment: mailer", "", "names no workloads"),
        ("deployment: mailer", "deployment: mailer\nstatefulset: x", "names several workloads"),
        ("deployment: mailer", "deployment: ../x", "no name of a workload"),
        ("deployment: mailer", "deploiment: mailer", "did you mean `deployment`"),
        ("deployment: mailer", "deployment: mailer\ntimeout: 1h", "too long"),
        ("namespace: mail\n", "", "lacks the key `namespace`"),
    ] {
        let problems = options(&SOUND.replace(part, by)).err().unwrap_or_else(|| panic!("{by} was taken"));
        assert!(problems.contains(says), "{by}: {problems}");
    }
}

fn seen(kind: Kind, spec: Value, status: Value) -> Seen {
    let mut spec = spec;
    spec["template"] = json!({"metadata": {}});
    Seen::new(kind, json!({"metadata": {"generation": 3}, "spec": spec, "status": status})).expect("its form")
}

#[test]
fn a_rollout_is_through_when_all_that_is_wanted_is_new_and_available() {
    use Kind::{DaemonSet, Deployment, StatefulSet};
    for (kind, spec, status, lacks) in [
        (Deployment, json!({"replicas": 2}), json!({}), Some("has not seen")),
        (Deployment, json!({"replicas": 2}), json!({"observedGeneration": 2, "updatedReplicas": 2}), Some("has not seen")),
        (Deployment, json!({"replicas": 2}), json!({"observedGeneration": 3, "replicas": 2}), Some("0 of 2 pods are new")),
        (
            Deployment,
            json!({"replicas": 2}),
            json!({"observedGeneration": 3, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3}),
            Some("pods of before"),
        ),
        (
            Deployment,
            json!({"replicas": 2}),
            json!({"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}),
            Some("1 of 2 new pods are available"),
        ),
        (
            Deployment,
            json!({}),
            json!({"observedGeneration": 4, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}),
            None,
        ),
        (Deployment, json!({"replicas": 0}), json!({"observedGeneration": 3}), None),
        (
            StatefulSet,
            json!({"replicas": 1}),
            json!({"observedGeneration": 3, "updatedReplicas": 1, "readyReplicas": 1, "currentRevision": "a", "updateRevision": "b"}),
            Some("pods of before"),
        ),
        (
            StatefulSet,
            json!({"replicas": 1}),
            json!({"observedGeneration": 3, "updatedReplicas": 1, "currentRevision": "b", "updateRevision": "b"}),
            Some("0 of 1 new pods"),
        ),
        (
            StatefulSet,
            json!({"replicas": 1}),
            json!({"observedGeneration": 3, "updatedReplicas": 1, "readyReplicas": 1, "currentRevision": "b", "updateRevision": "b"}),
            None,
        ),
        (
            DaemonSet,
            json!({}),
            json!({"observedGeneration": 3, "desiredNumberScheduled": 3, "updatedNumberScheduled": 2, "numberAvailable": 3}),
            Some("2 of 3 pods are new"),
        ),
        (
            DaemonSet,
            json!({}),
            json!({"observedGeneration": 3, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}),
            None,
        ),
    ] {
        let told = format!("{kind:?} {spec} {status}");
        let standing = seen(kind, spec, status).standing();
        match lacks {
            None => assert_eq!(standing, None, "{told}"),
            Some(lacks) => assert!(standing.as_deref().is_some_and(|s| s.contains(lacks)), "{told}: {standing:?}"),
        }
    }
}

#[test]
fn what_would_not_restart_every_pod_is_refused() {
    for (spec, says) in [
        (json!({}), None),
        (json!({"paused": true}), Some("paused")),
        (json!({"updateStrategy": {"type": "OnDelete"}}), Some("OnDelete")),
        (json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}}), Some("partition")),
        (json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}}), None),
    ] {
        let why = seen(Kind::StatefulSet, spec.clone(), json!({})).cannot_restart();
        assert_eq!(why.is_some(), says.is_some(), "{spec}");
        assert!(says.is_none_or(|says| why.is_some_and(|(why, _)| why.contains(says))), "{spec}");
    }
}

#[test]
fn a_selector_is_asked_for_as_it_is_meant_or_not_at_all() {
    for (selector, says) in [
        (json!({"matchLabels": {"app": "mailer", "x.org/part": "api_1"}}), Some("app=mailer,x.org/part=api_1")),
        (
            json!({"matchExpressions": [
                {"key": "a", "operator": "In", "values": ["x", "y"]}, {"key": "b", "operator": "NotIn", "values": ["z"]},
                {"key": "c", "operator": "Exists"}, {"key": "d", "operator": "DoesNotExist", "values": []},
            ]}),
            Some("a in (x,y),b notin (z),c,!d"),
        ),
        // Every pod of the namespace would be meant.
        (json!({}), None),
        (json!({"matchLabels": {}}), None),
        (json!({"matchLabels": {"app": "a,b=c"}}), None),
        (json!({"matchLabels": {"a=b,c": "x"}}), None),
        (json!({"matchLabels": {"app": 7}}), None),
        (json!({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}), None),
        (json!({"matchExpressions": [{"operator": "Exists"}]}), None),
    ] {
        let seen = seen(Kind::Deployment, json!({"selector": selector}), json!({}));
        assert_eq!(seen.selector().as_deref(), says, "{selector}");
    }
    assert!(Seen::new(Kind::Deployment, json!({"kind": "Status"})).is_none());
}
