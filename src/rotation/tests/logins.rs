//! Logins: how many are refused in a rotation, since a server that counts them locks the account (IP4); and whether the provider
//! has seen one with the new version before the old one is retired (S11).

use std::collections::BTreeMap;

use handover_rotation::command::{Command, Fact, SeenVersion};
use handover_rotation::event::{Ending, Event, FailureKind};
use handover_rotation::name::Slot;
use handover_rotation::outcome::{FaultClass, Outcome};
use handover_rotation::plan::{MOST_REFUSALS, Plan, Shape};
use handover_rotation::state::{Live, Phase};
use handover_rotation::time::{Millis, Span};

use crate::world::plans::{PLAYBOOKS, SHAPES, plan};
use crate::world::sim::{Fate, Sim};
use crate::world::{check_end, id, user};

const DONE: Phase = Phase::Ended(Ending::Done);

/// Refused logins by version: all, and the most in a row.
type Refused = BTreeMap<Slot, (u32, u8)>;

/// Runs until it rests.
fn count(sim: &mut Sim<'_>) -> Refused {
    let mut refused = Refused::new();
    let mut before: BTreeMap<Slot, u8> = BTreeMap::new();
    loop {
        for (slot, version) in &sim.r.versions {
            let was = before.insert(*slot, version.refusals).unwrap_or(0);
            let (all, most) = refused.entry(*slot).or_default();
            *all += u32::from(version.refusals.saturating_sub(was));
            *most = version.refusals.max(*most);
        }
        if !sim.turn() {
            return refused;
        }
    }
}

/// A provider whose servers know a change only after all the time that it declares.
fn spreading(plan: &Plan) -> Sim<'static> {
    let spread = plan.facts.propagation;
    Sim::new(plan).fates(move |call| {
        let slot = call.rotation.logs_in(call.command);
        let version = slot.filter(|s| !s.is_old()).and_then(|s| call.rotation.versions.get(&s));
        match version {
            Some(v) if call.now < v.changed_at.after(spread) => Fate::NotDone(FaultClass::Credential),
            _ => Fate::Well,
        }
    })
}

#[test]
fn ip4_a_whole_rotation_has_few_logins_refused() {
    println!("{:12} {:12} {:>9} refused: old, new (in a row)", "playbook", "shape", "spread");
    for name in PLAYBOOKS {
        for shape in SHAPES {
            for propagation in [Span(0), Span::seconds(2), Span::seconds(60), Span::minutes(15)] {
                let mut plan = plan(name, shape);
                plan.facts.propagation = propagation;
                let mut sim = spreading(&plan);
                let refused = count(&mut sim);
                let case = format!("{name} {shape:?} {propagation}: {refused:?}");
                assert_eq!(sim.r.phase, DONE, "{case}");
                check_end(&sim.world, &sim.r);
                let (old, old_row) = refused[&Slot::OLD];
                let (new, new_row) = refused[&Slot(1)];
                println!("{name:12} {shape:12?} {:>9} {old} ({old_row}), {new} ({new_row})", propagation.to_string());
                // The old login is seen to be refused twice where it is retired at all, and never tried again.
                assert_eq!((old, old_row), (2, 2), "{case}");
                // A leak waits for nobody's servers: everything is moved at the deadline, and each proof is asked for by itself.
                let most = MOST_REFUSALS * if plan.compromised { 4 } else { 1 };
                assert!(new <= u32::from(most) && new_row <= most, "{case}");
                assert_eq!(new > 0, propagation > Span(0), "{case}");
            }
        }
    }
}

#[test]
fn ip4_a_login_that_is_refused_for_ever_is_given_up_before_an_account_is_locked() {
    for shape in SHAPES {
        for propagation in [Span(0), Span::seconds(60)] {
            let mut plan = plan("scheduled", shape);
            plan.facts.propagation = propagation;
            let new_is_refused =
                |call: &crate::world::sim::Call<'_>| call.rotation.logs_in(call.command).is_some_and(|slot| !slot.is_old());
            let fates = |call: &crate::world::sim::Call<'_>| match new_is_refused(call) {
                true => Fate::NotDone(FaultClass::Credential),
                false => Fate::Well,
            };
            let mut sim = Sim::new(&plan).fates(fates);
            let refused = count(&mut sim);
            assert_eq!(sim.r.phase, Phase::Ended(Ending::RolledBack), "{shape:?}: {refused:?}");
            check_end(&sim.world, &sim.r);
            let (new, row) = refused[&Slot(1)];
            // In place nothing can be asked before everything is moved: some are under way at once when the last one counts.
            let most = MOST_REFUSALS + if shape == Shape::InPlace { 2 } else { 0 };
            assert!((2..=most).contains(&row), "{shape:?} {propagation}: {refused:?}");
            assert!(new <= u32::from(most), "{shape:?} {propagation}: {refused:?}");
        }
    }
}

#[test]
fn ip4_an_old_login_that_is_refused_when_it_is_back_is_tried_so_often_and_once_more_for_a_person() {
    for shape in SHAPES {
        let plan = plan("scheduled", shape);
        let mut sim = Sim::new(&plan).fates(|call| match (call.rotation.phase, call.command) {
            (Phase::RollingBack, Command::Auth(Slot::OLD)) => Fate::NotDone(FaultClass::Credential),
            (Phase::Forward, Command::Probe(_)) => Fate::NotDone(FaultClass::Permanent),
            _ => Fate::Well,
        });
        let refused = count(&mut sim);
        assert_eq!(sim.r.phase, Phase::Stuck { rolling_back: true }, "{shape:?}: {refused:?}");
        assert_eq!(refused[&Slot::OLD], (u32::from(MOST_REFUSALS), MOST_REFUSALS), "{shape:?}");
        for more in 1..=3 {
            sim.tell(&Event::Resumed { by: "a person".into() }).expect("it is stuck");
            sim.rest();
            assert_eq!(sim.r.old().refusals, MOST_REFUSALS + more, "{shape:?}");
        }
    }
}

#[test]
fn ip4_refusals_are_counted_for_the_login_name() {
    let mut sim = Sim::new(&plan("scheduled", Shape::InPlace));
    assert!(sim.until(|s| s.r.new_version().is_some_and(|v| v.live == Live::Active)));
    let mut r = sim.r.clone();
    r.flights.clear();
    // The provider has one name for both.
    for version in r.versions.values_mut() {
        version.username = Some(user("v0"));
        version.refusals = 0;
    }
    let login = |accepted| Event::Settled {
        effect: None,
        command: Command::Auth(Slot::OLD),
        began: r.at,
        outcome: Outcome::Done(Fact::Login { accepted, reply: "535".into() }),
    };
    let mut locked = r.clone();
    for _ in 0..3 {
        locked.apply(r.at, &login(false)).expect("it has a place");
    }
    assert!(locked.versions.values().all(|v| v.refusals == 3), "{:?}", locked.versions);
    locked.apply(r.at, &login(true)).expect("it has a place");
    assert!(locked.versions.values().all(|v| v.refusals == 0), "{:?}", locked.versions);
    r.versions.get_mut(&Slot(1)).expect("the new one").username = Some(user("v1"));
    r.apply(r.at, &login(false)).expect("it has a place");
    assert_eq!(r.versions.values().map(|v| v.refusals).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn ip4_a_server_that_refuses_everyone_is_weather_and_is_not_hammered() {
    let mut sim = Sim::new(&plan("scheduled", Shape::Reversible)).fates(|call| match call.command {
        Command::Probe(_) | Command::TestSend(_) | Command::Control => Fate::NotDone(FaultClass::Credential),
        _ => Fate::Well,
    });
    let refused = count(&mut sim);
    assert_eq!(sim.r.phase, Phase::Stuck { rolling_back: false }, "{refused:?}");
    assert_eq!(sim.r.failure.as_ref().map(|f| f.kind), Some(FailureKind::Environment));
    let calls_at_once = 2;
    for (_, most) in refused.values() {
        assert!(*most <= MOST_REFUSALS + calls_at_once, "{refused:?}");
    }
}

/// A plan for a provider that tells of uses, at its step `deactivate`, and a list in which the new version was used at `used`.
fn told(used: Option<u64>) -> (Sim<'static>, Fact) {
    let mut plan = plan("scheduled", Shape::Reversible);
    plan.facts.tells_last_use = true;
    let mut sim = Sim::new(&plan);
    let deactivates =
        |s: &Sim<'_>| s.r.current_step().is_some_and(|s| s.word() == "deactivate") && s.r.step_started.is_some();
    assert!(sim.until(deactivates));
    let seen = |version: &str, last_used| SeenVersion {
        id: id(version),
        username: user(version),
        tag: None,
        active: true,
        last_used,
        last_refused: None,
    };
    let new = sim.r.new_version().and_then(|v| v.id.clone()).expect("a new version");
    let list = Fact::Versions(vec![seen("v0", Some(1)), seen(new.as_str(), used)]);
    (sim, list)
}

#[test]
fn s11_a_provider_that_has_seen_no_login_with_the_new_version_stops_it_after_its_bound() {
    let (mut sim, _) = told(None);
    sim.world.used = None;
    let (began, step) = (sim.r.step_started.expect("it has begun"), sim.r.step);
    sim.rest();
    let looks = sim.made.iter().filter(|m| m.step == step && m.command == Command::ListVersions).count();
    assert!(looks > 3, "it has time to notice: {looks}");
    let bound = began.after(Span(sim.r.plan.facts.propagation.0 * 2 + 5000));
    assert!(sim.now >= bound, "{:?}", sim.now);
    let fault = &sim.r.failure.as_ref().expect("a failure").fault;
    assert!(fault.message.contains("the provider has seen no login with the new version"), "{fault}");
    assert_eq!(sim.r.phase, Phase::Ended(Ending::RolledBack), "nothing was retired");
    check_end(&sim.world, &sim.r);
}

#[test]
fn s11_a_provider_that_has_seen_it_lets_it_go_on() {
    let (mut sim, list) = told(Some(2));
    let settled = Event::Settled {
        effect: None,
        command: Command::ListVersions,
        began: Millis(sim.now.0),
        outcome: Outcome::Done(list),
    };
    sim.tell(&settled).expect("it has a place");
    sim.rest();
    assert_eq!(sim.r.phase, DONE, "{:?}", sim.r.failure);
}
