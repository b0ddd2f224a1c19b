//! People: a gate that waits for one, and a stuck rotation that one sets going again.

use handover_rotation::command::Command;
use handover_rotation::decide::{Decision, Wanted, decide};
use handover_rotation::event::{Ending, Event, FailureKind};
use handover_rotation::name::Slot;
use handover_rotation::outcome::FaultClass;
use handover_rotation::plan::{Plan, Shape};
use handover_rotation::playbook::Step;
use handover_rotation::state::{Live, Phase};
use handover_rotation::time::Span;

use crate::world::plans::{SHAPES, plan};
use crate::world::sim::{Fate, Sim};
use crate::world::{check_end, id};

const DONE: Phase = Phase::Ended(Ending::Done);

/// The routine rotation with a gate before the old version is retired, and where that gate is.
fn gated(shape: Shape) -> (Plan, usize) {
    let mut plan = plan("scheduled", shape);
    let gate = plan.playbook.steps.iter().position(|s| *s == Step::Deactivate).expect("a step");
    plan.playbook.steps.insert(gate, Step::Approve { by: "oncall".into(), within: Span::minutes(240) });
    (plan, gate)
}

/// What the machine asks of a person now.
fn wanted(sim: &Sim<'_>) -> Option<Wanted> {
    match decide(&sim.r, sim.now) {
        Decision::Act { person, start, .. } if start.is_empty() => person,
        _ => None,
    }
}

fn approved(step: usize) -> Event {
    Event::Approved { step, by: "someone".into() }
}

#[test]
fn a_gate_waits_for_a_person_and_then_goes_on() {
    for shape in SHAPES {
        let (plan, gate) = gated(shape);
        let mut sim = Sim::new(&plan);
        assert!(sim.until(|s| wanted(s) == Some(Wanted::Approval(gate))), "{shape:?}");
        assert!(sim.world.accepted(&id("v0")) || shape == Shape::InPlace, "{shape:?}: nothing is retired before the gate");
        sim.tell(&approved(gate + 1)).expect_err("that step is no gate");
        sim.tell(&approved(gate)).expect("a gate");
        assert_eq!(wanted(&sim), None, "{shape:?}");
        assert_eq!(sim.rest().r.phase, DONE, "{shape:?}");
        check_end(&sim.world, &sim.r);
    }
}

#[test]
fn a_gate_that_was_opened_early_does_not_wait() {
    let (plan, gate) = gated(Shape::Reversible);
    let mut sim = Sim::new(&plan);
    sim.tell(&approved(gate)).expect("a gate");
    assert!(!sim.until(|s| wanted(s).is_some()));
    assert_eq!(sim.r.phase, DONE);
}

#[test]
fn a_gate_that_nobody_opens_rolls_back_in_time() {
    for shape in SHAPES {
        let (plan, gate) = gated(shape);
        let mut sim = Sim::new(&plan);
        sim.until(|s| s.r.step == gate && s.r.step_started.is_some());
        let began = sim.now;
        sim.rest();
        assert_eq!(sim.r.phase, Phase::Ended(Ending::RolledBack), "{shape:?}");
        assert_eq!(sim.r.failure.as_ref().map(|f| f.kind), Some(FailureKind::Gate), "{shape:?}");
        assert!(sim.now >= began.after(Span::minutes(240)), "{shape:?}");
        check_end(&sim.world, &sim.r);
    }
}

#[test]
fn a_leak_does_not_wait_at_a_gate() {
    let (plan, gate) = gated(Shape::Reversible);
    let mut sim = Sim::new(&plan);
    sim.until(|s| s.r.step == gate && s.r.step_started.is_some());
    let alerted = sim.now;
    let alert = Event::Compromised { slot: Slot::OLD, within: Span::minutes(10), source: "test".into() };
    sim.tell(&alert).expect("it is not over");
    sim.until(|s| !s.world.accepted(&id("v0")));
    assert!(sim.now <= alerted.after(Span::minutes(11)), "contained {} after the alert", sim.now.since(alerted));
    sim.rest();
    assert_eq!(sim.r.phase, DONE, "{:?}", sim.r.failure);
    check_end(&sim.world, &sim.r);
}

/// The permanent trouble of one command in one phase, and how the rotation ends when it is mended and someone resumes.
#[test]
fn s18_what_is_stuck_goes_on_when_it_is_mended() {
    let abort = Event::AbortRequested { by: "test".into(), reason: None };
    let write = |slot| Command::Write(crate::world::plans::entry("production"), slot);
    let table = [
        ("scheduled", Command::Delete(Slot::OLD), false, DONE),
        ("drill", Command::Delete(Slot::OLD), false, DONE),
        ("leak", write(Slot(1)), false, DONE),
        ("emergency", Command::Create(Slot(1)), false, DONE),
        ("scheduled", write(Slot::OLD), true, Phase::Ended(Ending::RolledBack)),
        ("scheduled", Command::Enable(Slot::OLD), true, Phase::Ended(Ending::RolledBack)),
        ("scheduled", Command::Delete(Slot(1)), true, Phase::Ended(Ending::RolledBack)),
        ("scheduled", Command::Auth(Slot::OLD), true, Phase::Ended(Ending::RolledBack)),
    ];
    for (name, command, rolling_back, ending) in table {
        let mended = std::cell::Cell::new(false);
        let plan = plan(name, Shape::Reversible);
        let mut sim = Sim::new(&plan).fates(|call| {
            let phase = if rolling_back { Phase::RollingBack } else { Phase::Forward };
            let broken = !mended.get() && *call.command == command && call.rotation.phase == phase;
            if broken { Fate::NotDone(FaultClass::Permanent) } else { Fate::Well }
        });
        if rolling_back {
            sim.until(|s| s.r.old().live == Live::Inactive);
            sim.tell(&abort).expect("there is a way back");
        }
        sim.rest();
        let case = format!("{name}, `{command}`: {:?} {:?}", sim.r.phase, sim.r.failure);
        assert_eq!(sim.r.phase, Phase::Stuck { rolling_back }, "{case}");
        assert!(!sim.todo.is_empty(), "{case}");
        assert!(!sim.turn(), "{case}: it rests until someone acts");
        // Resumed too early it is stuck again; nothing is lost by trying.
        sim.tell(&Event::Resumed { by: "test".into() }).expect("it is stuck");
        assert_eq!(sim.rest().r.phase, Phase::Stuck { rolling_back }, "{case}");
        mended.set(true);
        sim.tell(&Event::Resumed { by: "test".into() }).expect("it is stuck");
        assert_eq!(sim.rest().r.phase, ending, "{case}");
        check_end(&sim.world, &sim.r);
    }
}

#[test]
fn what_is_stuck_in_weather_can_be_rolled_back_instead() {
    let plan = plan("scheduled", Shape::Reversible);
    let mut sim = Sim::new(&plan);
    sim.until(|s| s.r.step == 4);
    sim.world.weather = true;
    assert_eq!(sim.rest().r.phase, Phase::Stuck { rolling_back: false });
    sim.world.weather = false;
    sim.tell(&Event::AbortRequested { by: "test".into(), reason: None }).expect("there is a way back");
    sim.rest();
    assert_eq!(sim.r.phase, Phase::Ended(Ending::RolledBack), "{:?}", sim.r.failure);
    check_end(&sim.world, &sim.r);
}

#[test]
fn what_a_person_has_mended_is_looked_at_afresh() {
    for shape in SHAPES {
        // Someone else's value in an entry, and what was there before put back.
        let routine = plan("scheduled", shape);
        let mut sim = Sim::new(&routine);
        sim.until(|s| matches!(s.r.current_step(), Some(Step::Soak { .. })));
        let place = crate::world::plans::entry("production");
        sim.world.entries.insert(place.clone(), id("theirs"));
        sim.rest();
        assert_eq!(sim.r.phase, Phase::Stuck { rolling_back: true }, "{shape:?} {:?}", sim.r.failure);
        assert_eq!(sim.world.entries[&place], id("theirs"), "{shape:?}");
        sim.world.entries.insert(place, id("v0"));
        sim.tell(&Event::Resumed { by: "test".into() }).expect("it is stuck");
        sim.rest();
        assert_eq!(sim.r.phase, Phase::Ended(Ending::RolledBack), "{shape:?} {:?}", sim.r.failure);
        check_end(&sim.world, &sim.r);

        // A service that reloaded in vain, and reads its entry now when it is told to.
        for name in ["leak", "emergency"] {
            let plan = plan(name, shape);
            let mut sim = Sim::new(&plan);
            sim.world.ignores_reload = true;
            sim.rest();
            assert_eq!(sim.r.phase, Phase::Stuck { rolling_back: false }, "{name} {shape:?} {:?}", sim.r.failure);
            sim.world.ignores_reload = false;
            sim.tell(&Event::Resumed { by: "test".into() }).expect("it is stuck");
            sim.rest();
            assert_eq!(sim.r.phase, DONE, "{name} {shape:?} {:?}", sim.r.failure);
            check_end(&sim.world, &sim.r);
        }
    }
}

/// Both versions are gone, and mail stands still: whoever resumes gets a new one, and not the same refusal again.
#[test]
fn what_is_stuck_without_any_version_goes_forward_with_another() {
    for shape in [Shape::Reversible, Shape::DeleteOnly, Shape::Alternating] {
        let plan = plan("scheduled", shape);
        let mut sim = Sim::new(&plan);
        assert!(sim.until(|s| s.r.no_return && !s.world.versions.contains_key(&id("v0"))), "{shape:?}");
        sim.world.meddled = true;
        sim.world.versions.remove(&id("v1")).expect("the new version");
        sim.rest();
        assert!(matches!(sim.r.phase, Phase::Stuck { .. }), "{shape:?}: {:?}", sim.r.phase);
        assert!(sim.todo.iter().any(|line| line.contains("going on makes another one")), "{:?}", sim.todo);
        sim.tell(&Event::Resumed { by: "someone".into() }).expect("it is stuck");
        sim.rest();
        assert_eq!(sim.r.phase, DONE, "{shape:?}: {:?} {:?}", sim.r.failure, sim.todo);
        check_end(&sim.world, &sim.r);
        assert_eq!(sim.world.active(), [id("v2")]);
    }
}
