//! Faults of single calls, and any faults anywhere.

use handover_rotation::event::{Ending, Event};
use handover_rotation::name::Slot;
use handover_rotation::outcome::FaultClass;
use handover_rotation::plan::{Plan, Shape};
use handover_rotation::playbook::Step;
use handover_rotation::state::Phase;
use handover_rotation::time::Span;
use proptest::prelude::*;

use crate::world::plans::{PLAYBOOKS, SHAPES, entry, plan, service};
use crate::world::sim::{Fate, Sim};
use crate::world::{check_end, id};

fn abort() -> Event {
    Event::AbortRequested { by: "test".into(), reason: None }
}

/// One fate for one call, by its number.
fn one(plan: &Plan, at: usize, fate: Fate) -> Sim<'static> {
    Sim::new(plan).fates(move |call| if call.number == at { fate } else { Fate::Well })
}

#[test]
fn without_faults_every_playbook_ends_in_done_for_every_shape() {
    for shape in SHAPES {
        for name in PLAYBOOKS {
            let plan = plan(name, shape);
            let mut sim = Sim::new(&plan);
            sim.rest();
            assert_eq!(sim.r.phase, Phase::Ended(Ending::Done), "{name} {shape:?}: {:?}", sim.r.failure);
            check_end(&sim.world, &sim.r);
        }
    }
}

#[test]
fn one_fault_at_every_call_ends_clean() {
    let mut runs = 0;
    for shape in SHAPES {
        for name in PLAYBOOKS {
            let plan = plan(name, shape);
            let calls = Sim::new(&plan).rest().made.len();
            for at in 0..calls {
                for fate in [
                    Fate::NotDone(FaultClass::Temporary),
                    Fate::Lost,
                    Fate::Unanswered,
                    Fate::KilledBefore,
                    Fate::KilledAfter,
                    Fate::KilledLanding,
                ] {
                    let mut sim = one(&plan, at, fate);
                    sim.rest();
                    let done = Phase::Ended(Ending::Done);
                    assert_eq!(sim.r.phase, done, "{name} {shape:?} {fate:?} at {at}: {:?}", sim.r.failure);
                    check_end(&sim.world, &sim.r);
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} runs");
    assert!(runs > 1000, "{runs} runs");
}

#[test]
fn a_fault_at_any_call_ends_clean_where_an_entry_cannot_be_read() {
    let mut runs = 0;
    for shape in SHAPES {
        for name in ["drill", "leak"] {
            let mut plan = plan(name, shape);
            plan.entries.get_mut(&entry("production")).expect("an entry").write_only = true;
            let calls = Sim::new(&plan).rest().made.len();
            for at in 0..calls {
                for fate in [Fate::Lost, Fate::KilledBefore, Fate::KilledAfter, Fate::KilledLanding] {
                    let mut sim = one(&plan, at, fate);
                    sim.rest();
                    let done = Phase::Ended(Ending::Done);
                    assert_eq!(sim.r.phase, done, "{name} {shape:?} {fate:?} at {at}: {:?}", sim.r.failure);
                    check_end(&sim.world, &sim.r);
                    runs += 1;
                }
            }
            let mut sim = Sim::new(&plan);
            let moved = sim.until(|sim| sim.r.entries[&entry("production")].touched);
            if moved && sim.tell(&abort()).is_ok() {
                sim.rest();
                let back = Phase::Ended(Ending::RolledBack);
                assert_eq!(sim.r.phase, back, "{name} {shape:?}: {:?}", sim.r.failure);
                check_end(&sim.world, &sim.r);
            }
        }
    }
    assert!(runs > 500, "{runs} runs");
}

#[test]
fn s9_a_failed_create_leaves_no_orphan() {
    let plan = plan("scheduled", Shape::Reversible);
    let calls = Sim::new(&plan).rest().made.len();
    let create = (0..calls).find(|at| one(&plan, *at, Fate::Unanswered).rest().world.created == 2);
    assert!(create.is_some(), "no fault made a second create necessary");
}

#[test]
fn a_service_that_ignores_reloads_is_rolled_back() {
    for shape in SHAPES {
        let plan = plan("scheduled", shape);
        let mut sim = Sim::new(&plan);
        sim.world.ignores_reload = true;
        sim.rest();
        assert_eq!(sim.r.phase, Phase::Ended(Ending::RolledBack), "{shape:?} {:?}", sim.r.failure);
        check_end(&sim.world, &sim.r);
    }
}

/// Its mail passes with either version, and a person has vouched for it: only when the old one is refused does it show.
#[test]
fn a_service_that_cannot_say_what_it_uses_and_did_not_move_brings_the_old_version_back() {
    for shape in [Shape::Reversible, Shape::Alternating] {
        let mut plan = plan("scheduled", shape);
        plan.services.get_mut(&service("api-production")).expect("a service").attest = false;
        let retire = plan.playbook.steps.iter().position(|s| *s == Step::Deactivate).expect("a step");
        plan.playbook.steps.insert(retire, Step::Approve { by: "someone".into(), within: Span::minutes(5) });
        let mut sim = Sim::new(&plan);
        sim.world.deaf = Some(service("api-production"));
        sim.tell(&Event::Approved { step: retire, by: "someone".into() }).expect("a gate");
        sim.rest();
        assert_eq!(sim.r.phase, Phase::Ended(Ending::RolledBack), "{shape:?} {:?}", sim.r.failure);
        assert_eq!(sim.world.revived, 1, "{shape:?}: it had been retired");
        check_end(&sim.world, &sim.r);
    }
}

#[test]
fn l5_a_leak_is_contained_although_a_service_ignores_reloads() {
    for name in ["leak", "emergency"] {
        let plan = plan(name, Shape::Reversible);
        let mut sim = Sim::new(&plan);
        sim.world.ignores_reload = true;
        sim.rest();
        assert!(matches!(sim.r.phase, Phase::Stuck { .. }), "{name} {:?}", sim.r.phase);
        check_end(&sim.world, &sim.r);
        assert!(sim.world.entries.values().all(|v| *v != id("v0")), "the other entries were not moved");
    }
}

#[test]
fn a_full_disk_at_one_entry_is_rolled_back() {
    for full in ["staging", "production"] {
        let plan = plan("scheduled", Shape::Reversible);
        let mut sim = Sim::new(&plan);
        sim.world.full = Some(entry(full));
        sim.rest();
        assert_eq!(sim.r.phase, Phase::Ended(Ending::RolledBack), "{:?}", sim.r.failure);
        check_end(&sim.world, &sim.r);
    }
}

#[test]
fn abort_at_every_event_rolls_back_or_is_done() {
    for shape in SHAPES {
        let plan = plan("scheduled", shape);
        let turns = Sim::new(&plan).rest().turns;
        for at in 0..turns {
            let mut sim = Sim::new(&plan);
            sim.until(|s| s.turns == at);
            // Refused where there is no way back: then it goes on.
            let refused = sim.tell(&abort()).is_err();
            sim.rest();
            assert!(sim.r.ended().is_some(), "{shape:?} abort at {at}: {:?} {:?}", sim.r.phase, sim.r.failure);
            assert_eq!(refused, sim.r.ended() == Some(Ending::Done), "{shape:?} abort at {at}");
            check_end(&sim.world, &sim.r);
        }
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        10 => Just(Fate::Well),
        1 => Just(Fate::NotDone(FaultClass::Temporary)),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Unanswered),
        1 => Just(Fate::KilledBefore),
        1 => Just(Fate::KilledAfter),
        1 => Just(Fate::KilledAfterAll),
        1 => Just(Fate::KilledLanding),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]
    #[test]
    fn any_faults_anywhere_end_clean_or_stuck(
        script in prop::collection::vec(fate(), 0..120), order in prop::collection::vec(0usize..8, 1..20),
        shape in 0usize..4, name in 0usize..4, ignores_reload in prop::bool::weighted(0.1), full in prop::bool::weighted(0.1),
        abort_at in prop::option::weighted(0.2, 0usize..160), proven_dead in any::<bool>(),
        leaks in prop::collection::vec((0usize..160, 0u8..2), 0..3),
    ) {
        let plan = plan(PLAYBOOKS[name], SHAPES[shape]);
        let mut turn = 0;
        let mut sim = Sim::new(&plan)
            .fates(|call| script.get(call.number).copied().unwrap_or(Fate::Well))
            .picks(|n| {
                turn += 1;
                order[turn % order.len()] % n
            });
        sim.proven_dead = proven_dead;
        sim.world.ignores_reload = ignores_reload;
        sim.world.full = full.then(|| entry("production"));
        let alert = |slot| Event::Compromised { slot: Slot(slot), within: Span::minutes(10), source: "test".into() };
        let mut outside: Vec<(usize, Event)> = leaks.into_iter().map(|(at, slot)| (at, alert(slot))).collect();
        outside.extend(abort_at.map(|at| (at, abort())));
        outside.sort_by_key(|(at, _)| *at);
        for (at, event) in outside {
            if sim.until(|s| s.turns == at) {
                let _ = sim.tell(&event);
            }
        }
        sim.rest();
        check_end(&sim.world, &sim.r);
    }
}
