//! Leak alerts in the middle of things: at every moment, for the old version, the new one, and both (S19, L5).

use handover_rotation::event::{Ending, Event};
use handover_rotation::model::Run;
use handover_rotation::name::Slot;
use handover_rotation::plan::{Plan, Shape};
use handover_rotation::state::Phase;
use handover_rotation::time::Span;

use crate::world::plans::{PLAYBOOKS, SHAPES, plan};
use crate::world::sim::Sim;
use crate::world::{check_end, id};

const DONE: Phase = Phase::Ended(Ending::Done);

fn alert(slot: Slot) -> Event {
    Event::Compromised { slot, within: Span::minutes(10), source: "test".into() }
}

fn abort() -> Event {
    Event::AbortRequested { by: "test".into(), reason: None }
}

/// A run that has taken `at` turns, after being aborted at `aborted`, if it was.
fn at_turn(plan: &Plan, aborted: Option<usize>, at: usize) -> Sim<'static> {
    let mut sim = Sim::new(plan);
    if let Some(aborted) = aborted {
        sim.until(|s| s.turns == aborted);
        let _ = sim.tell(&abort());
    }
    sim.until(|s| s.turns == at);
    sim
}

fn turns(plan: &Plan, aborted: Option<usize>) -> usize {
    at_turn(plan, aborted, usize::MAX).turns
}

#[test]
fn s19_an_old_version_that_leaks_at_any_moment_never_comes_back() {
    let (mut cases, mut stuck) = (0, 0);
    for shape in SHAPES {
        for name in PLAYBOOKS {
            let plan = plan(name, shape);
            for at in 0..turns(&plan, None) {
                let mut sim = at_turn(&plan, None, at);
                sim.tell(&alert(Slot::OLD)).expect("it is not over");
                let revived = sim.world.revived;
                sim.rest();
                let case = format!("{name} {shape:?} at {at}: {:?} {:?}", sim.r.phase, sim.r.failure);
                assert_eq!(sim.r.phase, DONE, "{case}");
                assert_eq!(sim.world.revived, revived, "{case}");
                assert!(!sim.world.accepted(&id("v0")), "{case}");
                check_end(&sim.world, &sim.r);
                cases += 1;
            }
        }
        // In the middle of a rollback it turns round, or the rollback is over.
        let plan = plan("scheduled", shape);
        let aborted = turns(&plan, None) * 3 / 4;
        for at in aborted..turns(&plan, Some(aborted)) {
            let mut sim = at_turn(&plan, Some(aborted), at);
            sim.tell(&alert(Slot::OLD)).expect("it is not over");
            let revived = sim.world.revived;
            sim.rest();
            let case = format!("{shape:?} rolling back, at {at}: {:?} {:?}", sim.r.phase, sim.r.failure);
            assert!(sim.r.phase == DONE || matches!(sim.r.phase, Phase::Stuck { .. }), "{case}");
            assert!(!sim.world.accepted(&id("v0")), "{case}");
            assert_eq!(sim.world.revived, revived, "{case}");
            check_end(&sim.world, &sim.r);
            stuck += usize::from(sim.r.phase != DONE);
            cases += 1;
        }
    }
    println!("the old version leaks: {cases} cases, {stuck} of them contained and stuck");
    assert!(cases > 500);
}

#[test]
fn s19_a_new_version_that_leaks_at_any_moment_is_not_the_one_that_is_left() {
    let (mut cases, mut over) = (0, 0);
    for shape in SHAPES {
        for name in PLAYBOOKS {
            let plan = plan(name, shape);
            for at in 0..turns(&plan, None) {
                let mut sim = at_turn(&plan, None, at);
                if sim.tell(&alert(Slot(1))).is_err() {
                    assert!(!sim.r.versions.contains_key(&Slot(1)));
                    continue;
                }
                let leaked = sim.r.versions[&Slot(1)].id.clone();
                sim.rest();
                let case = format!("{name} {shape:?} at {at}: {:?} {:?}", sim.r.phase, sim.r.failure);
                check_end(&sim.world, &sim.r);
                if !plan.compromised && sim.r.no_return {
                    // The old one is gone: it ends, so that a rotation under `leak` can begin.
                    assert_eq!(sim.r.phase, DONE, "{case}");
                    over += 1;
                    continue;
                }
                let expected = if plan.compromised { DONE } else { Phase::Ended(Ending::RolledBack) };
                let nothing_made = sim.r.phase == Phase::Ended(Ending::Refused) && sim.world.created == 0;
                assert!(sim.r.phase == expected || nothing_made, "{case}");
                assert!(leaked.is_none_or(|v| !sim.world.accepted(&v)), "{case}: {:?}", sim.world.versions);
                cases += 1;
            }
        }
    }
    println!("the new version leaks: {cases} cases, and {over} after the old one was gone");
    assert!(cases > 500);
}

#[test]
fn s19_both_versions_leak_and_a_third_is_what_is_left() {
    let mut cases = 0;
    for shape in SHAPES {
        for name in PLAYBOOKS {
            let plan = plan(name, shape);
            for at in 0..turns(&plan, None) {
                let mut sim = at_turn(&plan, None, at);
                if sim.tell(&alert(Slot(1))).is_err() {
                    continue;
                }
                sim.tell(&alert(Slot::OLD)).expect("it is not over");
                let leaked = sim.r.versions[&Slot(1)].id.clone();
                sim.rest();
                let case = format!("{name} {shape:?} at {at}: {:?} {:?}", sim.r.phase, sim.r.failure);
                assert_eq!(sim.r.phase, DONE, "{case}");
                assert!(!sim.world.accepted(&id("v0")), "{case}");
                assert!(leaked.is_none_or(|v| !sim.world.accepted(&v)), "{case}");
                check_end(&sim.world, &sim.r);
                cases += 1;
            }
        }
    }
    println!("both versions leak: {cases} cases");
    assert!(cases > 500);
}

/// The password that is being set back when the alert comes still lands: the new one is gone, and another must be made.
#[test]
fn l5_an_old_password_that_was_being_set_back_is_shut_out_again() {
    for dies in [false, true] {
        let plan = plan("drill", Shape::InPlace);
        let mut sim = Sim::new(&plan);
        sim.world.ignores_reload = true;
        assert!(sim.until(|s| s.r.phase == Phase::RollingBack && !s.calls.is_empty()));
        sim.world.ignores_reload = false;
        sim.tell(&alert(Slot::OLD)).expect("it is not over");
        let run: &mut Run = &mut sim;
        let _ = run.go();
        if dies {
            run.die();
        }
        run.finish();
        assert_eq!(run.wrong(), Vec::<String>::new());
        assert_eq!(run.r.phase, DONE, "{:?} {:?}", run.r.failure, run.todo);
        assert_eq!(run.world.active(), [id("v2")]);
        check_end(&run.world, &run.r);
    }
}
