//! Bad weather: mail fails for everyone, which says nothing about the new version. It is waited out, then a person is called;
//! it never undoes a rotation by itself.

use handover_rotation::command::Command;
use handover_rotation::event::{Ending, Event, FailureKind};
use handover_rotation::name::Slot;
use handover_rotation::outcome::FaultClass;
use handover_rotation::plan::{Plan, Shape};
use handover_rotation::state::{Live, Phase};
use handover_rotation::time::Span;

use crate::world::plans::{SHAPES, plan};
use crate::world::sim::{Fate, Sim};
use crate::world::{check_end, id};

const DONE: Phase = Phase::Ended(Ending::Done);

/// A run in which preflight is through and `at` calls were made.
fn after_calls(plan: &Plan, at: usize) -> Sim<'static> {
    let mut sim = Sim::new(plan);
    sim.until(|s| s.made.len() >= at);
    sim
}

/// The numbers of the calls of an untroubled run: all, and those of preflight.
fn calls(plan: &Plan) -> (usize, usize) {
    let mut calm = Sim::new(plan);
    calm.rest();
    (calm.made.len(), calm.made.iter().filter(|m| m.step == 0).count())
}

#[test]
fn bad_weather_holds_and_never_rolls_back_by_itself() {
    let (mut passed, mut stayed) = (0, 0);
    for shape in SHAPES {
        let plan = plan("scheduled", shape);
        let (all, preflight) = calls(&plan);
        for at in preflight..all {
            // It passes within the hold.
            let mut sim = after_calls(&plan, at);
            let until = sim.now.after(Span::minutes(5));
            sim.world.weather = true;
            sim.until(|s| s.now >= until);
            sim.world.weather = false;
            sim.rest();
            assert_eq!(sim.r.phase, DONE, "{shape:?}, weather from call {at}: {:?}", sim.r.failure);
            check_end(&sim.world, &sim.r);
            passed += 1;

            // It stays until a person is called, and is gone when they set it going again.
            let mut sim = after_calls(&plan, at);
            let alive = sim.r.old().live;
            sim.world.weather = true;
            sim.rest();
            if sim.r.phase == DONE {
                continue;
            }
            let case = format!("{shape:?}, weather from call {at} for ever: {:?} {:?}", sim.r.phase, sim.r.failure);
            assert_eq!(sim.r.phase, Phase::Stuck { rolling_back: false }, "{case}");
            assert_eq!(sim.r.failure.as_ref().map(|f| f.kind), Some(FailureKind::Environment), "{case}");
            assert!(sim.world.accepted(&id("v1")), "{case}");
            if alive == Live::Active && sim.r.old().live == Live::Active {
                assert!(sim.world.accepted(&id("v0")), "{case}");
                assert!(sim.todo.iter().any(|line| line.contains("both are live")), "{case}: {:?}", sim.todo);
            }
            sim.world.weather = false;
            sim.tell(&Event::Resumed { by: "test".into() }).expect("it is stuck");
            sim.rest();
            assert_eq!(sim.r.phase, DONE, "{case}, then resumed: {:?}", sim.r.failure);
            check_end(&sim.world, &sim.r);
            stayed += 1;
        }
    }
    println!("weather that passes: {passed} cases; that stays until a person comes: {stayed}");
    assert!(passed > 100 && stayed > 100, "{passed} {stayed}");
}

#[test]
fn weather_in_preflight_refuses_the_start() {
    for shape in SHAPES {
        let plan = plan("scheduled", shape);
        let mut sim = Sim::new(&plan);
        sim.world.weather = true;
        sim.rest();
        assert_eq!(sim.r.phase, Phase::Ended(Ending::Refused), "{shape:?}");
        check_end(&sim.world, &sim.r);
    }
}

#[test]
fn mail_that_fails_with_the_new_version_alone_rolls_back_while_the_old_one_can_be_asked() {
    let (mut back, mut held) = (0, 0);
    for shape in SHAPES {
        let plan = plan("scheduled", shape);
        let (all, preflight) = calls(&plan);
        for at in preflight..all {
            let mut sim = after_calls(&plan, at);
            let at = sim.made.len();
            sim.world.only_old_sends = true;
            sim.rest();
            let case = format!("{shape:?} from call {at}: {:?} {:?}", sim.r.phase, sim.r.failure);
            check_end(&sim.world, &sim.r);
            match sim.r.phase {
                Phase::Ended(Ending::RolledBack) => back += 1,
                // The old version is retired, or there never were two: nobody can be asked.
                Phase::Stuck { .. } => {
                    assert!(sim.r.old().live != Live::Active, "{case}");
                    assert_eq!(sim.r.failure.as_ref().map(|f| f.kind), Some(FailureKind::Environment), "{case}");
                    held += 1;
                }
                phase => {
                    let asked = |c: &Command| c.is_mail() && *c != Command::Auth(Slot::OLD);
                    assert!(
                        phase == DONE && !sim.made[at..].iter().any(|m| asked(&m.command)),
                        "{case} {:?}",
                        &sim.made[at..]
                    );
                }
            }
        }
    }
    println!("rolled back: {back} cases; held, as the old version is retired: {held}");
    assert!(back > 50 && held > 10, "{back} {held}");
}

#[test]
fn a_new_version_that_is_refused_after_the_old_one_was_retired_brings_the_old_one_back() {
    let plan = plan("scheduled", Shape::Reversible);
    let watch = plan.playbook.steps.iter().position(|s| s.word() == "watch").expect("a watch");
    let mut sim = Sim::new(&plan).fates(|call| {
        let forward = call.rotation.phase == Phase::Forward && call.rotation.step == watch;
        if forward && call.command.is_mail() { Fate::NotDone(FaultClass::Credential) } else { Fate::Well }
    });
    sim.rest();
    assert_eq!(sim.r.phase, Phase::Ended(Ending::RolledBack), "{:?}", sim.r.failure);
    assert_eq!(sim.world.revived, 1);
    check_end(&sim.world, &sim.r);
}
