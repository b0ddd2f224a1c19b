//! Plans for the world: the shipped playbooks for each shape of provider, two environments, one service in each.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use handover_rotation::name::{CredentialName, EntryName, Environment, ProviderName, ServiceName, StoreName};
use handover_rotation::plan::{ArrivalKind, OldVersion, Plan, PlannedEntry, PlannedService, Policy, ProviderFacts, Shape};
use handover_rotation::playbook::Playbook;
use handover_rotation::time::Span;

use super::{id, user};

pub(crate) const SHAPES: [Shape; 4] = [Shape::Reversible, Shape::DeleteOnly, Shape::Alternating, Shape::InPlace];
pub(crate) const PLAYBOOKS: [&str; 4] = ["scheduled", "drill", "leak", "emergency"];

/// The files of `playbooks/` as they are loaded, by name, and once more as a change in place arranges them. This crate reads no
/// YAML: a test of the engine holds this copy equal to the files.
fn shipped() -> &'static BTreeMap<String, BTreeMap<String, Playbook>> {
    static SHIPPED: OnceLock<BTreeMap<String, BTreeMap<String, Playbook>>> = OnceLock::new();
    SHIPPED.get_or_init(|| serde_json::from_str(include_str!("playbooks.json")).expect("the copy of the shipped playbooks"))
}

#[test]
fn every_shipped_playbook_is_run() {
    let mut known = PLAYBOOKS;
    known.sort_unstable();
    assert_eq!(shipped()["as-written"].keys().collect::<Vec<_>>(), known);
}

pub(crate) fn entry(name: &str) -> EntryName {
    EntryName::new(name).expect("a name")
}

pub(crate) fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("a name")
}

/// The plan of a shipped playbook.
pub(crate) fn plan(name: &str, shape: Shape) -> Plan {
    let order = if shape == Shape::InPlace { "in-place" } else { "as-written" };
    plan_of(shipped()[order][name].clone(), shape)
}

/// The same, where only a person restarts the services of an environment.
pub(crate) fn plan_by_hand(name: &str, shape: Shape, environments: &[&str]) -> Plan {
    let mut plan = plan(name, shape);
    for service in plan.services.values_mut().filter(|s| environments.contains(&s.environment.as_str())) {
        service.by_hand = Some("have it restarted".into());
    }
    plan
}

/// The plan of any playbook.
pub(crate) fn plan_of(playbook: Playbook, shape: Shape) -> Plan {
    let mut entries = BTreeMap::new();
    let mut services = BTreeMap::new();
    for e in ["staging", "production"] {
        let environment = Environment::new(e).expect("a name");
        entries.insert(
            entry(e),
            PlannedEntry {
                store: StoreName::new("hosts").expect("a name"),
                store_kind: "env-file".into(),
                location: format!("/etc/{e}.env"),
                environment: environment.clone(),
                request_timeout: Span::seconds(5),
                landing: Span(0),
                write_only: false,
            },
        );
        services.insert(
            service(&format!("api-{e}")),
            PlannedService {
                entry: entry(e),
                environment,
                owner: None,
                reload: Some("http".into()),
                by_hand: None,
                test_send: true,
                attest: true,
                request_timeout: Span::seconds(5),
            },
        );
    }
    Plan {
        credential: CredentialName::new("newsletter").expect("a name"),
        compromised: playbook.containment.is_some(),
        playbook,
        provider: ProviderName::new("sandbox").expect("a name"),
        account: "newsletter".into(),
        facts: ProviderFacts {
            kind: "sandbox".into(),
            shape,
            quota: 2,
            propagation: Span::seconds(10),
            request_timeout: Span::seconds(5),
            landing: Span::seconds(5),
            chooses_secret: matches!(shape, Shape::Alternating | Shape::InPlace),
            tells_last_use: false,
        },
        smtp: "localhost:587".into(),
        arrival: ArrivalKind::Maildir,
        old: OldVersion { id: id("v0"), username: user("v0"), fingerprint: None },
        entries,
        services,
        // Sampled seldom, so that a watch of a day is a few samples and not thousands.
        policy: Policy { sample: Span::minutes(6 * 60), ..Policy::default() },
        time_scale: 1,
        bindings: Default::default(),
        by_hand: None,
    }
}
