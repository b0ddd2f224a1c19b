//! The three properties of every step of every shipped playbook, for every shape of provider that has an API: a failure at it
//! unwinds cleanly; it done twice is the same as once; its undo done twice is the same as once.

use std::collections::BTreeSet;

use handover_rotation::command::Command;
use handover_rotation::event::{Ending, Event, FailureKind};
use handover_rotation::name::Slot;
use handover_rotation::outcome::FaultClass;
use handover_rotation::plan::Plan;
use handover_rotation::state::{Live, Phase};
use handover_rotation::time::{Millis, Span};

use crate::world::plans::{PLAYBOOKS, SHAPES, plan};
use crate::world::sim::{Call, Fate, Made, Sim};
use crate::world::{check_end, id};

const DONE: Phase = Phase::Ended(Ending::Done);
const ROLLED_BACK: Phase = Phase::Ended(Ending::RolledBack);
const REFUSED: Phase = Phase::Ended(Ending::Refused);
const KILLS: [Fate; 3] = [Fate::KilledAfter, Fate::KilledAfterAll, Fate::KilledLanding];

/// Every shipped playbook for every shape.
fn plans() -> impl Iterator<Item = (String, Plan)> {
    SHAPES.into_iter().flat_map(|shape| PLAYBOOKS.map(|name| (format!("{name} {shape:?}"), plan(name, shape))))
}

fn run(plan: &Plan) -> Sim<'static> {
    let mut sim = Sim::new(plan);
    sim.rest();
    sim
}

/// The commands that a run makes at each step, each once; past the last step is the sweep.
fn at_steps(plan: &Plan) -> BTreeSet<(usize, Command)> {
    run(plan).made.into_iter().map(|m| (m.step, m.command)).collect()
}

/// Everything that lives at the provider is named to the person who is called (S18).
fn check_told(sim: &Sim<'_>, case: &str) {
    for live in sim.world.versions.keys() {
        let known = sim.r.versions.values().any(|v| v.id.as_ref() == Some(live) && v.live != Live::Deleted);
        assert!(!known || sim.todo.iter().any(|line| line.contains(live.as_str())), "{case}: {live} in {:?}", sim.todo);
    }
}

#[test]
fn a_a_failure_that_stays_unwinds_cleanly_at_every_step() {
    let mut cases = 0;
    for (name, plan) in plans() {
        for (step, command) in at_steps(&plan) {
            for fate in [Fate::NotDone(FaultClass::Permanent), Fate::Lost, Fate::Unanswered] {
                // The leaked version is shut out as soon as the provider lets it be, however late that is.
                let contains =
                    matches!(command, Command::Disable(_) | Command::Delete(_) | Command::Create(_) | Command::ListVersions);
                let heals = if plan.compromised && contains { Span::minutes(120) } else { Span(u64::MAX) };
                let heals = Millis(1_000_000).after(heals);
                let mut sim = Sim::new(&plan).fates(|call| {
                    let here = call.rotation.phase == Phase::Forward && call.rotation.step == step;
                    if here && *call.command == command && call.now < heals { fate } else { Fate::Well }
                });
                sim.rest();
                let case = format!("{name}, `{command}` at step {step} {fate:?}: {:?} {:?}", sim.r.phase, sim.r.failure);
                check_failed(&sim, step, fate, &case);
                cases += 1;
            }
        }
    }
    println!("a failure that stays, at every call of every step: {cases} cases");
    assert!(cases > 500);
}

fn check_failed(sim: &Sim<'_>, step: usize, fate: Fate, case: &str) {
    check_end(&sim.world, &sim.r);
    let phase = sim.r.phase;
    let stuck = matches!(phase, Phase::Stuck { .. });
    if stuck {
        check_told(sim, case);
    }
    if sim.r.plan.compromised {
        assert_eq!(sim.world.revived, 0, "S19: {case}");
        assert!(phase == DONE || stuck, "{case}");
        assert!(!sim.world.accepted(&id("v0")), "L5: {case}");
        return;
    }
    if phase == DONE {
        // An answer that is lost may be made up for by looking.
        assert_ne!(fate, Fate::NotDone(FaultClass::Permanent), "{case}");
    } else if sim.r.no_return {
        assert!(stuck, "{case}");
        assert!(sim.world.entries.values().all(|v| *v == id("v1")), "{case}");
    } else {
        let ended = if sim.r.has_changed_anything() { ROLLED_BACK } else { REFUSED };
        assert!(phase == ended || stuck && is_weather(sim, fate), "{case}");
        assert_eq!(step == 0, ended == REFUSED && step != 1, "{case}");
    }
}

/// The failures that are not undone by themselves, but held and then told to a person: the provider is away, or mail is in
/// trouble and the old version cannot be asked whether it is the weather (W of the fault matrix).
fn is_weather(sim: &Sim<'_>, fate: Fate) -> bool {
    let weather = sim.r.failure.as_ref().is_some_and(|f| f.kind == FailureKind::Environment);
    weather && fate != Fate::NotDone(FaultClass::Permanent)
}

/// The same command, whichever of the new versions it is about.
fn alike(command: &Command) -> Command {
    let one = |slot: Slot| if slot.is_old() { slot } else { Slot(1) };
    match command {
        Command::Create(slot) => Command::Create(one(*slot)),
        Command::Delete(slot) => Command::Delete(one(*slot)),
        Command::Write(entry, slot) => Command::Write(entry.clone(), one(*slot)),
        other => other.clone(),
    }
}

/// Dies at the call of each number in `at`, in the way of `fate`.
fn dying<'f>(plan: &Plan, fate: Fate, proven_dead: bool, mut here: impl FnMut(&Call<'_>) -> bool + 'f) -> Sim<'f> {
    let mut sim = Sim::new(plan).fates(move |call| if here(call) { fate } else { Fate::Well });
    sim.proven_dead = proven_dead;
    sim
}

#[test]
fn b_every_step_done_twice_is_the_same_as_once() {
    let mut cases = 0;
    for (name, plan) in plans() {
        let once = run(&plan);
        let steps: BTreeSet<usize> = once.made.iter().map(|m| m.step).collect();
        let check = |sim: &mut Sim<'_>, case: &str| {
            sim.rest();
            assert_eq!(sim.r.phase, once.r.phase, "{name} {case}: {:?}", sim.r.failure);
            assert_eq!(sim.world.roles(&sim.r), once.world.roles(&once.r), "{name} {case}");
            check_end(&sim.world, &sim.r);
        };
        for (fate, proven_dead) in KILLS.into_iter().flat_map(|fate| [(fate, true), (fate, false)]) {
            for (number, made) in once.made.iter().enumerate() {
                let mut sim = dying(&plan, fate, proven_dead, |call| call.number == number);
                check(&mut sim, &format!("{fate:?} `{}` at step {}", made.command, made.step));
                cases += 1;
            }
            // Every effect of the step in turn, each in a life of its own.
            for step in &steps {
                let mut died: BTreeSet<Command> = BTreeSet::new();
                let mut sim = dying(&plan, fate, proven_dead, |call| {
                    call.rotation.step == *step && call.command.is_effect() && died.insert(alike(call.command))
                });
                check(&mut sim, &format!("{fate:?} at every effect of step {step}"));
                cases += 1;
            }
        }
    }
    println!("a step done twice: {cases} cases");
    assert!(cases > 1000);
}

/// A run that is stopped when `step` is through. `None` where there is no way back.
fn stopped_after<'f>(mut sim: Sim<'f>, step: usize) -> Option<Sim<'f>> {
    assert!(sim.until(|s| s.r.step > step), "step {step} is reached");
    let abort = Event::AbortRequested { by: "test".into(), reason: None };
    sim.tell(&abort).is_ok().then_some(sim)
}

#[test]
fn c_the_undo_of_every_step_done_twice_is_the_same_as_once() {
    let (mut cases, mut without) = (0, 0);
    for (name, plan) in plans() {
        for step in 0..plan.playbook.steps.len() {
            let word = plan.playbook.steps[step].word();
            let Some(mut once) = stopped_after(Sim::new(&plan), step) else {
                assert!(word == "delete" || plan.compromised, "{name} {word} has no undo");
                without += 1;
                continue;
            };
            once.rest();
            assert_eq!(once.r.phase, if step == 0 { REFUSED } else { ROLLED_BACK }, "{name} after {word}");
            let back: Vec<(usize, &Made)> =
                once.made.iter().enumerate().filter(|(_, m)| m.phase == Phase::RollingBack).collect();
            let check = |sim: Sim<'_>, case: &str| {
                let mut sim = stopped_after(sim, step).expect("as before");
                sim.rest();
                assert_eq!(sim.r.phase, once.r.phase, "{name} after {word} {case}: {:?}", sim.r.failure);
                assert_eq!(sim.world.roles(&sim.r), once.world.roles(&once.r), "{name} after {word} {case}");
                check_end(&sim.world, &sim.r);
            };
            for (fate, proven_dead) in KILLS.into_iter().flat_map(|fate| [(fate, true), (fate, false)]) {
                for (number, made) in &back {
                    let sim = dying(&plan, fate, proven_dead, |call| call.number == *number);
                    check(sim, &format!("{fate:?} `{}`", made.command));
                    cases += 1;
                }
                let mut died: BTreeSet<Command> = BTreeSet::new();
                let sim = dying(&plan, fate, proven_dead, |call| {
                    let back = call.rotation.phase == Phase::RollingBack;
                    back && call.command.is_effect() && died.insert(alike(call.command))
                });
                check(sim, &format!("{fate:?} at every effect"));
                cases += 1;
            }
        }
    }
    println!("an undo done twice: {cases} cases, and {without} steps without a way back");
    assert!(cases > 1000 && without > 0);
}
