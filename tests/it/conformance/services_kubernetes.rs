//! The reload `kubernetes` against a strict stand-in.

use std::path::Path;

use handover::config::{Fields, Node};
use handover::services::Reload;
use handover::services::kubernetes::KubernetesReload;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use serde_json::json;

use crate::support::lab::free_port;
use crate::support::lab::kubernetes::Cluster;
use crate::support::lab::proxy::Proxy;
use crate::support::lab::workloads::{Pod, Workload};

const KINDS: [(&str, &str); 3] =
    [("deployment", "deployments"), ("statefulset", "statefulsets"), ("daemonset", "daemonsets")];

struct Bench {
    cluster: Cluster,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        let bench = Self { cluster: Cluster::start().await, folder: tempfile::tempdir().expect("a folder") };
        let all = vec![
            "list pods",
            "get deployments",
            "patch deployments",
            "get statefulsets",
            "patch statefulsets",
            "get daemonsets",
            "patch daemonsets",
        ];
        let without = |verb: &str| all.iter().copied().filter(|v| *v != verb).collect::<Vec<_>>();
        for (token, verbs) in [
            ("restarter", all.clone()),
            ("blind", without("get deployments")),
            ("idle", without("patch deployments")),
            ("short", without("list pods")),
        ] {
            bench.cluster.world().tokens.insert(token.to_owned(), verbs);
            std::fs::write(bench.folder.path().join(token), token).expect("it is written");
        }
        std::fs::write(bench.folder.path().join("stranger"), "stranger").expect("it is written");
        bench
    }

    fn put(&self, kind: &str, workload: Workload) {
        let mut world = self.cluster.world();
        world.workloads.clear();
        world.workloads.insert((kind.to_owned(), "mailer".to_owned()), workload);
    }

    fn reload(&self, port: u16, token: &str, rest: &str) -> KubernetesReload {
        let file = self.folder.path().join(token);
        let text =
            format!("address: http://127.0.0.1:{port}\nnamespace: mail\ntoken: {{file: {}}}\n{rest}\n", file.display());
        let node = Node::from_yaml("test.yaml", Path::new("/"), &text).unwrap_or_else(|p| panic!("{p}"));
        let mut fields = Fields::new(&node, "reload");
        let read = KubernetesReload::options(&mut fields);
        let problems = fields.finish();
        read.unwrap_or_else(|| panic!("{problems}"))
    }

    async fn restart(&self, rest: &str) -> Outcome<()> {
        self.reload(self.cluster.port, "restarter", rest).reload().await
    }

    fn with<T>(&self, look: impl FnOnce(&mut Workload) -> T) -> T {
        look(self.cluster.world().workloads.values_mut().next().expect("a workload"))
    }
}

fn fault(outcome: Outcome<()>, unknown: bool) -> Fault {
    match outcome {
        Outcome::NotDone(fault) if !unknown => fault,
        Outcome::Unknown(fault) if unknown => fault,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_restart_is_done_when_every_pod_is_another_one() {
    let bench = Bench::start().await;
    for (kind, plural) in KINDS {
        bench.put(plural, Workload::new(3));
        let outcome = bench.restart(&format!("{kind}: mailer")).await;
        assert_eq!(outcome, Outcome::Done(()), "{kind}");
        bench.with(|workload| {
            let stamp = workload.stamp();
            assert!(stamp.is_some() && workload.restarts == 1, "{kind}");
            assert!(workload.pods.len() == 3 && workload.pods.iter().all(|pod: &Pod| pod.stamp == stamp), "{kind}");
            assert_eq!(workload.object["spec"]["template"]["metadata"]["annotations"]["other"], json!("kept"));
        });
    }
    // One that has no pods has none with an old login.
    bench.put("deployments", Workload::new(0));
    assert_eq!(bench.restart("deployment: mailer").await, Outcome::Done(()));
}

#[tokio::test]
async fn a_pod_that_is_ending_still_counts() {
    let bench = Bench::start().await;
    let mut slow = Workload::new(1);
    slow.grace = 10_000;
    bench.put("deployments", slow);
    let fault = fault(bench.restart("deployment: mailer\ntimeout: 2s").await, true);
    assert!(fault.code == "HO0744" && fault.message.contains("1 of its pods of before still run"), "{fault}");
    assert_eq!(fault.class, FaultClass::Temporary);
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_asking() {
    let bench = Bench::start().await;
    let proxy = Proxy::before(bench.cluster.port).await;
    bench.put("deployments", Workload::new(2));
    proxy.cut_answer_to("PATCH /apis");
    let reload = bench.reload(proxy.port(), "restarter", "deployment: mailer");
    assert_eq!(reload.reload().await, Outcome::Done(()));
    assert_eq!((proxy.cut(), bench.with(|w| w.restarts)), (1, 1));
    // An error that may mean anything, and no stamp.
    bench.cluster.world().trouble = true;
    assert_eq!(fault(bench.restart("deployment: mailer").await, true).code, "HO0753");
    assert_eq!(bench.with(|w| w.restarts), 1);
    bench.cluster.world().trouble = false;
    // What nobody can be asked about is not known.
    let gone = fault(bench.reload(free_port(), "restarter", "deployment: mailer").reload().await, false);
    assert_eq!(gone.code, "HO0750");
}

#[tokio::test]
async fn what_does_not_come_to_an_end_is_not_done() {
    let bench = Bench::start().await;
    let mut sick = Workload::new(2);
    sick.sick = true;
    bench.put("deployments", sick);
    let given_up = fault(bench.restart("deployment: mailer").await, true);
    assert!(given_up.message.contains("progressDeadlineSeconds"), "{given_up}");
    // Somebody else restarts it at the same moment.
    bench.put("deployments", Workload::new(2));
    bench.cluster.world().after_patch = Some(Box::new(|world| {
        world.workloads.values_mut().for_each(|workload| workload.restart("2026-01-01T00:00:00Z"));
    }));
    let other = fault(bench.restart("deployment: mailer").await, true);
    assert!(other.message.contains("somebody else changed its template"), "{other}");
    // It is deleted meanwhile.
    bench.put("deployments", Workload::new(2));
    bench.cluster.world().after_patch = Some(Box::new(|world| world.workloads.clear()));
    let gone = fault(bench.restart("deployment: mailer").await, true);
    assert!(gone.message.contains("no such workload"), "{gone}");
}

#[tokio::test]
async fn what_cannot_be_restarted_is_refused_before_anything_is_done() {
    let bench = Bench::start().await;
    let fresh = || bench.put("deployments", Workload::new(1));
    fresh();
    for (token, says) in
        [("blind", "may not get it"), ("idle", "may not patch it"), ("short", "may not list it"), ("stranger", "not taken")]
    {
        let fault = fault(bench.reload(bench.cluster.port, token, "deployment: mailer").reload().await, false);
        assert!(fault.code == "HO0752" && fault.message.contains(says), "{fault}");
        let rule = fault.hint.unwrap_or_default();
        assert!(token == "stranger" || rule.contains("apiGroups"), "{rule}");
    }
    for (name, change, says) in [
        ("mailer", json!({"paused": true}), "paused"),
        ("mailer", json!({"updateStrategy": {"type": "OnDelete"}}), "OnDelete"),
        ("mailer", json!({"selector": {}}), "selector"),
        ("nobody", json!({}), "no such workload"),
    ] {
        fresh();
        bench.with(|w| {
            for (key, value) in change.as_object().expect("a map") {
                w.object["spec"][key] = value.clone();
            }
        });
        let fault = fault(bench.restart(&format!("deployment: {name}")).await, false);
        assert!(fault.message.contains(says) && fault.class == FaultClass::Permanent, "{fault}");
        assert_eq!(bench.with(|w| w.restarts), 0, "{says}");
    }
}
