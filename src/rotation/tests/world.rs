//! A world in virtual time around the machine: a provider, entries, services and mail that fail in every way, and a process
//! that dies at any instant. Whatever happens, a rotation ends clean or rests as stuck, and no rule is broken on the way.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use handover_rotation::command::{Command, Fact, SeenVersion, Which};
use handover_rotation::decide::{Decision, decide};
use handover_rotation::event::{Ending, Event};
use handover_rotation::invariant::unclean_end;
use handover_rotation::name::{
    EntryName, Environment, Fingerprint, RotationId, ServiceName, Slot, Tag, Username, VersionId,
};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{ArrivalKind, OldVersion, Plan, PlannedEntry, PlannedService, Policy, ProviderFacts, Shape};
use handover_rotation::playbook::{Containment, OnFailure, Playbook, Step};
use handover_rotation::state::{Phase, Rotation};
use handover_rotation::time::{Millis, Span};
use proptest::prelude::*;

fn env(name: &str) -> Environment {
    Environment::new(name).expect("a name")
}

fn playbook(name: &str) -> Playbook {
    let wave =
        |e: &str| vec![Step::Push { to: env(e) }, Step::Reload { services: env(e) }, Step::Verify { services: env(e) }];
    let mut steps = vec![Step::Preflight];
    let mut containment = None;
    match name {
        "emergency" => {
            containment = Some(Containment::RevokeFirst);
            steps.extend([Step::Deactivate, Step::Confirm, Step::Generate]);
            steps.extend(wave("staging"));
            steps.extend(wave("production"));
            steps.extend([Step::Confirm, Step::Delete]);
            steps.remove(2);
        }
        _ => {
            if name == "leak" {
                containment = Some(Containment::Deadline(Span::minutes(10)));
            }
            steps.push(Step::Generate);
            steps.extend(wave("staging"));
            steps.extend(wave("production"));
            if name == "scheduled" {
                steps.push(Step::Soak { lasting: Span::minutes(30) });
            }
            steps.extend([Step::Deactivate, Step::Confirm]);
            if name == "scheduled" {
                steps.push(Step::Watch { lasting: Span::minutes(60) });
            }
            steps.push(Step::Delete);
        }
    }
    Playbook {
        name: name.into(),
        summary: String::new(),
        steps,
        on_failure: OnFailure::RollBack,
        hold: Span::minutes(10),
        containment,
    }
}

fn plan(name: &str, shape: Shape) -> Plan {
    let mut entries = BTreeMap::new();
    let mut services = BTreeMap::new();
    for e in ["staging", "production"] {
        entries.insert(
            EntryName::new(e).expect("a name"),
            PlannedEntry {
                store: handover_rotation::name::StoreName::new("hosts").expect("a name"),
                store_kind: "env-file".into(),
                location: format!("/etc/{e}.env"),
                environment: env(e),
                request_timeout: Span::seconds(5),
                landing: Span(0),
            },
        );
        services.insert(
            ServiceName::new(format!("api-{e}")).expect("a name"),
            PlannedService {
                entry: EntryName::new(e).expect("a name"),
                environment: env(e),
                owner: None,
                reload: Some("http".into()),
                test_send: true,
                attest: true,
                request_timeout: Span::seconds(5),
            },
        );
    }
    let playbook = playbook(name);
    Plan {
        credential: handover_rotation::name::CredentialName::new("newsletter").expect("a name"),
        compromised: playbook.containment.is_some(),
        playbook,
        provider: handover_rotation::name::ProviderName::new("sandbox").expect("a name"),
        account: "newsletter".into(),
        facts: ProviderFacts {
            kind: "sandbox".into(),
            shape,
            quota: 2,
            propagation: Span::seconds(10),
            request_timeout: Span::seconds(5),
            landing: Span::seconds(5),
            chooses_secret: false,
        },
        smtp: "localhost:587".into(),
        arrival: ArrivalKind::Maildir,
        old: OldVersion { id: id("v0"), username: user("v0"), fingerprint: None },
        entries,
        services,
        policy: Policy::default(),
        time_scale: 1,
    }
}

fn id(text: &str) -> VersionId {
    VersionId::new(text).expect("an id")
}

fn user(text: &str) -> Username {
    Username::new(text).expect("a name")
}

#[derive(Clone, Debug)]
struct Real {
    tag: Option<Tag>,
    active: bool,
}

/// What is true outside, and how it will misbehave.
struct World {
    versions: BTreeMap<VersionId, Real>,
    deleted: BTreeSet<VersionId>,
    created: u32,
    creates_in_flight_most: usize,
    entries: BTreeMap<EntryName, VersionId>,
    services: BTreeMap<ServiceName, VersionId>,
    /// For each call in turn: 0 to 5 well, 6 not done, 7 unknown and nothing happened, 8 unknown and it happened,
    /// 9 killed before the call, 10 killed after it.
    script: Vec<u8>,
    calls: usize,
    ignores_reload: bool,
    weather_until: usize,
    full: Option<EntryName>,
    in_place: bool,
}

enum Reply {
    Outcome(Outcome<Fact>),
    Killed,
}

impl World {
    fn new(plan: &Plan, script: Vec<u8>) -> Self {
        Self {
            versions: BTreeMap::from([(id("v0"), Real { tag: None, active: true })]),
            deleted: BTreeSet::new(),
            created: 0,
            creates_in_flight_most: 0,
            entries: plan.entries.keys().map(|e| (e.clone(), id("v0"))).collect(),
            services: plan.services.keys().map(|s| (s.clone(), id("v0"))).collect(),
            script,
            calls: 0,
            ignores_reload: false,
            weather_until: 0,
            full: None,
            in_place: plan.facts.shape == Shape::InPlace,
        }
    }

    fn which(&self, r: &Rotation, held: &VersionId) -> Which {
        r.versions.iter().find(|(_, v)| v.id.as_ref() == Some(held)).map_or(Which::Foreign, |(s, _)| Which::Slot(*s))
    }

    fn accepted(&self, version: &VersionId) -> bool {
        self.versions.get(version).is_some_and(|v| v.active)
    }

    fn call(&mut self, r: &Rotation, command: &Command) -> Reply {
        let fate = self.script.get(self.calls).copied().unwrap_or(0);
        self.calls += 1;
        let fault = |class| Fault::new(class, "HO0000", "as the script says");
        match fate {
            6 => return Reply::Outcome(Outcome::NotDone(fault(FaultClass::Temporary))),
            7 => return Reply::Outcome(Outcome::Unknown(fault(FaultClass::Temporary))),
            9 => return Reply::Killed,
            _ => {}
        }
        let outcome = self.act(r, command);
        match fate {
            8 => Reply::Outcome(Outcome::Unknown(fault(FaultClass::Temporary))),
            10 => Reply::Killed,
            _ => Reply::Outcome(outcome),
        }
    }

    fn act(&mut self, r: &Rotation, command: &Command) -> Outcome<Fact> {
        let weather = self.calls < self.weather_until;
        let bad = |class, text: &str| Outcome::NotDone(Fault::new(class, "HO0000", text));
        let real = |slot: &Slot| r.versions[slot].id.clone();
        match command {
            Command::CheckHost | Command::CheckWritable(_) => Outcome::Done(Fact::Done),
            Command::ListVersions => Outcome::Done(Fact::Versions(
                self.versions
                    .iter()
                    .map(|(i, v)| SeenVersion {
                        id: i.clone(),
                        username: user(i.as_str()),
                        tag: v.tag.clone(),
                        active: v.active,
                        last_used: None,
                        last_refused: None,
                    })
                    .collect(),
            )),
            Command::ReadEntry(e) => Outcome::Done(Fact::Holds(self.which(r, &self.entries[e]))),
            Command::Attest(s) => Outcome::Done(Fact::Presents(self.which(r, &self.services[s]))),
            Command::Auth(slot) => {
                if weather {
                    return bad(FaultClass::Temporary, "451");
                }
                let accepted = real(slot).is_some_and(|v| self.accepted(&v));
                Outcome::Done(Fact::Login { accepted, reply: if accepted { "235".into() } else { "535".into() } })
            }
            Command::Create(slot) => {
                self.created += 1;
                let new = id(&format!("v{}", self.created));
                if self.in_place {
                    for v in self.versions.values_mut() {
                        v.active = false;
                    }
                } else {
                    assert!(self.versions.len() < 2, "S3: a third version was asked for");
                }
                self.versions.insert(new.clone(), Real { tag: Some(r.tag(*slot)), active: true });
                self.creates_in_flight_most = self.creates_in_flight_most.max(self.versions.len());
                Outcome::Done(Fact::Created {
                    username: user(new.as_str()),
                    id: new,
                    fingerprint: Fingerprint::new("f").expect("f"),
                })
            }
            Command::Disable(slot) | Command::Enable(slot) => {
                let target = real(slot).expect("S10: an id");
                let enable = matches!(command, Command::Enable(_));
                if self.in_place && enable {
                    self.versions.retain(|i, _| *i == target);
                }
                match self.versions.get_mut(&target) {
                    Some(v) => {
                        v.active = enable;
                        Outcome::Done(Fact::Done)
                    }
                    None => bad(FaultClass::Permanent, "no such version"),
                }
            }
            Command::Delete(slot) => {
                let target = real(slot).expect("S10: an id");
                self.versions.remove(&target);
                if !r.is_leak() {
                    assert!(self.entries.values().all(|v| *v != target), "S2: an entry holds the deleted version");
                    assert!(self.services.values().all(|v| *v != target), "S2: a service uses the deleted version");
                }
                self.deleted.insert(target);
                Outcome::Done(Fact::Done)
            }
            Command::Write(e, slot) => {
                if self.full.as_ref() == Some(e) && !slot.is_old() {
                    return bad(FaultClass::Permanent, "disk full");
                }
                self.entries.insert(e.clone(), real(slot).expect("an id"));
                Outcome::Done(Fact::Done)
            }
            Command::Reload(s) => {
                if !self.ignores_reload {
                    let held = self.entries[&r.plan.services[s].entry].clone();
                    self.services.insert(s.clone(), held);
                }
                Outcome::Done(Fact::Done)
            }
            Command::Probe(_) | Command::TestSend(_) | Command::Control => {
                if weather {
                    return bad(FaultClass::Temporary, "451");
                }
                let used = match command {
                    Command::Probe(e) => self.entries[e].clone(),
                    Command::TestSend(s) => self.services[s].clone(),
                    _ => id("v0"),
                };
                if self.accepted(&used) {
                    Outcome::Done(Fact::Mailed { message: "m".into(), arrived: None })
                } else {
                    bad(FaultClass::Credential, "535")
                }
            }
        }
    }

    /// S1: outside of a leak and of a change in place, the login that each service presents is accepted, always.
    fn check(&self, r: &Rotation) {
        if r.is_leak() || self.in_place {
            return;
        }
        for (name, version) in &self.services {
            assert!(self.accepted(version), "S1: {name} uses {version}, which is refused, at step {}", r.step);
        }
    }
}

/// Runs until it rests. Returns the state and the number of events.
fn run(world: &mut World, plan: &Plan, abort_at: Option<usize>) -> (Rotation, usize) {
    let mut now = Millis(1_000_000);
    let rotation = RotationId::new("rot-1").expect("an id");
    let started = Event::Started {
        rotation,
        plan: Box::new(plan.clone()),
        plan_hash: "h".into(),
        old_sealed: true,
        by: "test".into(),
        reason: None,
    };
    let mut r = Rotation::begin(now, &started).expect("started");
    let mut events = 0;
    loop {
        assert!(events < 20_000, "L1: no end: {:?} step {} tries {:?}", r.phase, r.step, r.tries);
        if abort_at == Some(events) && r.ended().is_none() {
            // Refused where there is no way back: then it goes on.
            let _ = r.apply(now, &Event::AbortRequested { by: "test".into(), reason: None });
        }
        match decide(&r, now) {
            Decision::Record(list) => {
                for event in &list {
                    events += 1;
                    r.apply(now, event).expect("a decision is legal");
                }
            }
            Decision::Rest => return (r, events),
            Decision::Act { start, wake, .. } => {
                if start.is_empty() {
                    now = wake
                        .unwrap_or_else(|| panic!("L2: nothing to do and nothing to wait for: {:?} {}", r.phase, r.step))
                        .max(now);
                    now = now.after(Span(1));
                    continue;
                }
                for command in start {
                    let effect = command.is_effect().then_some(r.next_effect);
                    if let Some(effect) = effect {
                        let event =
                            Event::Intended { effect, command: command.clone(), deadline: now.after(Span::seconds(5)) };
                        r.apply(now, &event).unwrap_or_else(|e| panic!("{e}"));
                    }
                    let began = now;
                    let reply = world.call(&r, &command);
                    world.check(&r);
                    now = now.after(Span(50));
                    events += 1;
                    match reply {
                        Reply::Outcome(outcome) => {
                            r.apply(now, &Event::Settled { effect, command, began, outcome }).expect("an outcome is legal");
                        }
                        Reply::Killed => {
                            now = now.after(Span::seconds(1));
                            r.apply(now, &Event::Claimed { epoch: 2, by: "test".into(), proven_dead: true })
                                .expect("a claim is legal");
                            break;
                        }
                    }
                }
            }
        }
    }
}

fn check_end(world: &World, r: &Rotation) {
    assert_eq!(unclean_end(r), Vec::<String>::new());
    let active: Vec<&VersionId> = world.versions.iter().filter(|(_, v)| v.active).map(|(i, _)| i).collect();
    match r.phase {
        Phase::Ended(Ending::Done) => {
            let new = r.new_version().and_then(|v| v.id.clone()).expect("a new version");
            assert_eq!(active, [&new]);
            assert!(world.entries.values().all(|v| *v == new), "an entry was left behind");
            assert!(world.services.values().all(|v| *v == new), "a service was left behind");
        }
        Phase::Ended(Ending::RolledBack | Ending::Refused) => {
            assert_eq!(active, [&id("v0")]);
            assert!(world.in_place || world.versions.len() == 1, "an orphan is left: {:?}", world.versions);
            assert!(world.entries.values().all(|v| *v == id("v0")));
            assert!(world.services.values().all(|v| *v == id("v0")));
        }
        Phase::Stuck { .. } => {
            if r.is_leak() && !world.in_place {
                assert!(!world.accepted(&id("v0")), "L5: stuck while the compromised version is accepted");
            }
        }
        _ => panic!("it rests in {:?}", r.phase),
    }
}

const SHAPES: [Shape; 4] = [Shape::Reversible, Shape::DeleteOnly, Shape::Alternating, Shape::InPlace];
const PLAYBOOKS: [&str; 4] = ["scheduled", "drill", "leak", "emergency"];

#[test]
fn without_faults_every_playbook_ends_in_done_for_every_shape() {
    for shape in SHAPES {
        for name in PLAYBOOKS {
            let plan = plan(name, shape);
            let mut world = World::new(&plan, vec![]);
            let (r, _) = run(&mut world, &plan, None);
            assert_eq!(r.phase, Phase::Ended(Ending::Done), "{name} {shape:?}: {:?}", r.failure);
            check_end(&world, &r);
        }
    }
}

#[test]
fn one_fault_at_every_call_ends_clean() {
    let mut runs = 0;
    for shape in SHAPES {
        for name in PLAYBOOKS {
            let plan = plan(name, shape);
            let mut world = World::new(&plan, vec![]);
            run(&mut world, &plan, None);
            let calls = world.calls;
            for at in 0..calls {
                for fate in [6, 7, 8, 9, 10] {
                    let mut script = vec![0; at];
                    script.push(fate);
                    let mut world = World::new(&plan, script);
                    let (r, _) = run(&mut world, &plan, None);
                    assert_eq!(r.phase, Phase::Ended(Ending::Done), "{name} {shape:?} fate {fate} at {at}: {:?}", r.failure);
                    check_end(&world, &r);
                    runs += 1;
                }
            }
        }
    }
    assert!(runs > 1000, "{runs} runs");
}

#[test]
fn s9_a_failed_create_leaves_no_orphan() {
    let plan = plan("scheduled", Shape::Reversible);
    let mut world = World::new(&plan, vec![]);
    run(&mut world, &plan, None);
    // The call after the looks of preflight and the list of generate.
    let create = (0..world.calls).find(|at| {
        let mut script = vec![0; *at];
        script.push(8);
        let mut world = World::new(&plan, script);
        run(&mut world, &plan, None);
        world.created == 2
    });
    assert!(create.is_some(), "no fault made a second create necessary");
}

#[test]
fn a_service_that_ignores_reloads_is_rolled_back() {
    for shape in SHAPES {
        let plan = plan("scheduled", shape);
        let mut world = World::new(&plan, vec![]);
        world.ignores_reload = true;
        let (r, _) = run(&mut world, &plan, None);
        assert_eq!(r.phase, Phase::Ended(Ending::RolledBack), "{shape:?} {:?}", r.failure);
        check_end(&world, &r);
    }
}

#[test]
fn l5_a_leak_is_contained_although_a_service_ignores_reloads() {
    for name in ["leak", "emergency"] {
        let plan = plan(name, Shape::Reversible);
        let mut world = World::new(&plan, vec![]);
        world.ignores_reload = true;
        let (r, _) = run(&mut world, &plan, None);
        assert!(matches!(r.phase, Phase::Stuck { .. }), "{name} {:?}", r.phase);
        check_end(&world, &r);
        assert!(world.entries.values().all(|v| *v != id("v0")), "the other entries were not moved");
    }
}

#[test]
fn a_full_disk_at_one_entry_is_rolled_back() {
    for full in ["staging", "production"] {
        let plan = plan("scheduled", Shape::Reversible);
        let mut world = World::new(&plan, vec![]);
        world.full = Some(EntryName::new(full).expect("a name"));
        let (r, _) = run(&mut world, &plan, None);
        assert_eq!(r.phase, Phase::Ended(Ending::RolledBack), "{:?}", r.failure);
        check_end(&world, &r);
    }
}

#[test]
fn bad_weather_holds_and_never_rolls_back_by_itself() {
    let plan = plan("scheduled", Shape::Reversible);
    let mut calm = World::new(&plan, vec![]);
    run(&mut calm, &plan, None);
    for weather_until in [60, 100_000] {
        let mut world = World::new(&plan, vec![]);
        // Preflight is through; then mail stops for everyone.
        world.weather_until = weather_until;
        let script = vec![0; 0];
        world.script = script;
        let (r, _) = run(&mut world, &plan, None);
        // In preflight, weather refuses the start.
        assert_eq!(r.phase, Phase::Ended(Ending::Refused));
        check_end(&world, &r);
    }
}

#[test]
fn abort_at_every_event_rolls_back_or_is_done() {
    for shape in SHAPES {
        let plan = plan("scheduled", shape);
        let mut world = World::new(&plan, vec![]);
        let (_, events) = run(&mut world, &plan, None);
        for at in 0..events {
            let mut world = World::new(&plan, vec![]);
            let (r, _) = run(&mut world, &plan, Some(at));
            assert!(r.ended().is_some(), "{shape:?} abort at {at}: {:?} {:?}", r.phase, r.failure);
            check_end(&world, &r);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]
    #[test]
    fn any_faults_anywhere_end_clean_or_stuck(
        script in prop::collection::vec(prop_oneof![8 => 0u8..6, 5 => 6u8..11], 0..120),
        shape in 0usize..4, name in 0usize..4, ignores_reload in prop::bool::weighted(0.1), full in prop::bool::weighted(0.1),
        abort in prop::option::weighted(0.2, 0usize..80),
    ) {
        let plan = plan(PLAYBOOKS[name], SHAPES[shape]);
        let mut world = World::new(&plan, script);
        world.ignores_reload = ignores_reload;
        if full {
            world.full = Some(EntryName::new("production").expect("a name"));
        }
        let (r, _) = run(&mut world, &plan, abort);
        check_end(&world, &r);
    }
}
