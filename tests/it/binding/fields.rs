//! Every field of a plan: a change of any of them is another plan, with another hash.

use std::collections::{BTreeMap, BTreeSet};

use handover::engine::plan_hash;
use handover_rotation::name::{CredentialName, EntryName, Environment, Fingerprint, ProviderName, ServiceName, StoreName};
use handover_rotation::name::{Username, VersionId};
use handover_rotation::plan::{ArrivalKind, OldVersion, Plan, PlannedEntry, PlannedService, Policy, ProviderFacts, Shape};
use handover_rotation::playbook::{Containment, OnFailure, Playbook, Step};
use handover_rotation::time::Span;
use serde_json::Value;

use super::{INVENTORY, inventory, plan};

type Change = (&'static str, fn(&mut Plan));

fn entry(plan: &mut Plan) -> &mut PlannedEntry {
    plan.entries.values_mut().next().expect("an entry")
}

fn service(plan: &mut Plan) -> &mut PlannedService {
    plan.services.values_mut().last().expect("a service")
}

fn step(plan: &mut Plan, word: &str) -> usize {
    plan.playbook.steps.iter().position(|s| s.word() == word).expect("a step")
}

fn environment() -> Environment {
    Environment::new("elsewhere").expect("a name")
}

/// One change a line: what a person who has approved the plan would not have approved.
const CHANGES: &[Change] = &[
    ("credential", |p| p.credential = CredentialName::new("other").expect("a name")),
    ("provider", |p| p.provider = ProviderName::new("other").expect("a name")),
    ("account", |p| p.account.push('x')),
    ("server", |p| p.smtp.push('x')),
    ("arrival", |p| p.arrival = ArrivalKind::None),
    ("compromised", |p| p.compromised = !p.compromised),
    ("time scale", |p| p.time_scale += 1),
    ("id of the current version", |p| p.old.id = VersionId::new("another").expect("an id")),
    ("login of the current version", |p| p.old.username = Username::new("another").expect("a name")),
    ("fingerprint of the current version", |p| p.old.fingerprint = None),
    ("kind", |p| p.facts.kind.push('x')),
    ("shape", |p| p.facts.shape = Shape::DeleteOnly),
    ("quota", |p| p.facts.quota += 1),
    ("propagation", |p| p.facts.propagation.0 += 1),
    ("limit of a call to the provider", |p| p.facts.request_timeout.0 += 1),
    ("landing at the provider", |p| p.facts.landing.0 += 1),
    ("who chooses the secret", |p| p.facts.chooses_secret = !p.facts.chooses_secret),
    ("an entry's name", |p| {
        let (_, planned) = p.entries.pop_first().expect("an entry");
        p.entries.insert(EntryName::new("renamed").expect("a name"), planned);
    }),
    ("an entry less", |p| drop(p.entries.pop_last())),
    ("an entry's store", |p| entry(p).store = StoreName::new("other").expect("a name")),
    ("an entry's kind", |p| entry(p).store_kind.push('x')),
    ("an entry's path", |p| entry(p).location.push('x')),
    ("an entry's environment", |p| entry(p).environment = environment()),
    ("limit of a call to a store", |p| entry(p).request_timeout.0 += 1),
    ("landing at a store", |p| entry(p).landing.0 += 1),
    ("whether an entry can be read", |p| entry(p).write_only = !entry(p).write_only),
    ("a service's name", |p| {
        let (_, planned) = p.services.pop_first().expect("a service");
        p.services.insert(ServiceName::new("renamed").expect("a name"), planned);
    }),
    ("a service less", |p| drop(p.services.pop_last())),
    ("a service's entry", |p| service(p).entry = EntryName::new("other").expect("a name")),
    ("a service's environment", |p| service(p).environment = environment()),
    ("a service's owner", |p| service(p).owner = None),
    ("a service's reload", |p| service(p).reload = None),
    ("a service's test_send", |p| service(p).test_send = !service(p).test_send),
    ("a service's attest", |p| service(p).attest = !service(p).attest),
    ("limit of a call to a service", |p| service(p).request_timeout.0 += 1),
    ("sends in a row", |p| p.policy.sends += 1),
    ("attempts", |p| p.policy.attempts += 1),
    ("first wait between attempts", |p| p.policy.backoff.0 += 1),
    ("longest wait between attempts", |p| p.policy.backoff_most.0 += 1),
    ("time between samples", |p| p.policy.sample.0 += 1),
    ("wait for a mail", |p| p.policy.arrival.0 += 1),
    ("playbook's name", |p| p.playbook.name.push('x')),
    ("playbook's summary", |p| p.playbook.summary.push('x')),
    ("on failure", |p| p.playbook.on_failure = OnFailure::Stop),
    ("hold", |p| p.playbook.hold.0 += 1),
    ("containment gone", |p| p.playbook.containment = None),
    ("containment's deadline", |p| p.playbook.containment = Some(Containment::Deadline(Span(1)))),
    ("order of the steps", |p| p.playbook.steps.reverse()),
    ("a step less", |p| {
        let confirm = step(p, "confirm");
        p.playbook.steps.remove(confirm);
    }),
    ("a step twice", |p| {
        let verify = step(p, "verify");
        let again = p.playbook.steps[verify].clone();
        p.playbook.steps.insert(verify, again);
    }),
    ("a wait", |p| {
        let watch = step(p, "watch");
        p.playbook.steps[watch] = Step::Watch { lasting: Span(1) };
    }),
    ("a step's environment", |p| {
        let push = step(p, "push");
        p.playbook.steps[push] = Step::Push { to: environment() };
    }),
    ("an option of the provider", |p| spoil(&mut p.bindings.targets)),
    ("what is asked for proof", |p| spoil(&mut p.bindings.evidence)),
    ("how services are reloaded", |p| spoil(&mut p.bindings.means)),
];

fn spoil(digests: &mut BTreeMap<String, String>) {
    digests.values_mut().for_each(|digest| digest.push('x'));
}

/// Each value in the JSON of a plan, by its path.
fn leaves(at: String, value: &Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| leaves(format!("{at}/{key}"), value, found)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, value)| leaves(format!("{at}/{i}"), value, found)),
        other => drop(found.insert(at, other.clone())),
    }
}

fn leaves_of(plan: &Plan) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    leaves(String::new(), &serde_json::to_value(plan).expect("JSON"), &mut found);
    found
}

/// A field that is new, and one that a journal would not keep, must come into the table: this does not build without.
fn nothing_is_left_out(plan: &Plan) {
    let Plan { credential: _, playbook, provider: _, account: _, facts, smtp: _, arrival: _, old, .. } = plan;
    let Plan { compromised: _, entries, services, policy, time_scale: _, bindings: _, .. } = plan;
    let Playbook { name: _, summary: _, steps: _, on_failure: _, hold: _, containment } = playbook;
    let ProviderFacts { kind: _, shape: _, quota: _, propagation: _, request_timeout: _, .. } = facts;
    let OldVersion { id: _, username: _, fingerprint } = old;
    let Policy { sends: _, attempts: _, backoff: _, backoff_most: _, sample: _, arrival: _ } = policy;
    assert!(containment.is_some() && fingerprint.is_some() && entries.len() > 1 && services.len() > 1);
    assert!(services.values().last().is_some_and(|s| s.owner.is_some()), "what is not set could not be changed");
}

#[test]
fn s31_a_change_of_any_field_of_a_plan_changes_its_hash() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut base = plan(&inventory(folder.path(), INVENTORY), "drill");
    (base.compromised, base.playbook.containment) = (true, Some(Containment::Deadline(Span::minutes(10))));
    // One at each end of the list, where the table changes them.
    base.services.remove(&ServiceName::new("shop-jobs").expect("a name"));
    base.old.fingerprint = Some(Fingerprint::new("k7:9f31c2aa").expect("a fingerprint"));
    nothing_is_left_out(&base);
    let hash = plan_hash(&base);
    assert_eq!(hash, plan_hash(&base.clone()), "the same plan has the same hash");
    assert!(hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{hash}");
    let was = leaves_of(&base);
    let mut seen = BTreeMap::from([(hash, "no change")]);
    let mut reached = BTreeSet::new();
    for (what, change) in CHANGES {
        let mut changed = base.clone();
        change(&mut changed);
        assert_ne!(changed, base, "{what}");
        let twin = seen.insert(plan_hash(&changed), what);
        assert_eq!(twin, None, "{what} has the hash of another plan");
        let is = leaves_of(&changed);
        reached.extend(was.iter().filter(|(path, value)| is.get(*path) != Some(*value)).map(|(path, _)| path.clone()));
        // What is approved is what a journal keeps.
        let kept: Plan = serde_json::from_value(serde_json::to_value(&changed).expect("JSON")).expect("a plan");
        assert_eq!(kept, changed, "{what}");
    }
    let missed: Vec<_> = was.keys().filter(|path| !reached.contains(*path)).collect();
    assert!(missed.is_empty(), "no change of these was tried: {missed:?}");
}
