//! Someone else changes things outside, at every moment: the new version is deleted, the retired one enabled, an entry edited.
//! Nothing of theirs is overwritten, and an end is only claimed that was looked at.

use std::collections::BTreeMap;

use handover_rotation::command::{Command, Which};
use handover_rotation::event::Ending;
use handover_rotation::model::Run;
use handover_rotation::name::Slot;
use handover_rotation::plan::Shape;
use handover_rotation::state::{Phase, Rotation};

use crate::world::plans::{SHAPES, entry, plan};
use crate::world::sim::Sim;
use crate::world::{World, check_end, id};

const DONE: Phase = Phase::Ended(Ending::Done);
const ROLLED_BACK: Phase = Phase::Ended(Ending::RolledBack);

/// Runs a playbook and meddles once, at every turn at which `meddle` finds something to do. Gives for each the run,
/// and how many calls were made before.
fn meddled(
    playbook: &str,
    shape: Shape,
    meddle: impl Fn(&mut World, &Rotation) -> bool,
) -> Vec<(Sim<'static>, usize, String)> {
    let plan = plan(playbook, shape);
    let turns = Sim::new(&plan).rest().turns;
    let mut runs = Vec::new();
    for at in 0..turns {
        let mut sim = Sim::new(&plan);
        sim.until(|s| s.turns == at);
        let run: &mut Run = &mut sim;
        if !meddle(&mut run.world, &run.r) {
            continue;
        }
        sim.world.meddled = true;
        let before = sim.made.len();
        sim.rest();
        let case = format!("{shape:?} at turn {at}, step {}: {:?} {:?}", sim.r.step, sim.r.phase, sim.r.failure);
        runs.push((sim, before, case));
    }
    runs
}

/// How often each rest was reached.
fn tell(what: &str, runs: &[(Sim<'_>, usize, String)]) {
    let mut rests: BTreeMap<String, usize> = BTreeMap::new();
    for (sim, ..) in runs {
        *rests.entry(format!("{:?}", sim.r.phase)).or_default() += 1;
    }
    println!("{what}: {} cases, {rests:?}", runs.len());
}

#[test]
fn a_new_version_that_someone_deletes_is_noticed() {
    for shape in SHAPES.into_iter().filter(|s| *s != Shape::InPlace) {
        let runs = meddled("scheduled", shape, |world, _| world.versions.remove(&id("v1")).is_some());
        tell(&format!("the new version is deleted, {shape:?}"), &runs);
        for (sim, before, case) in &runs {
            match sim.r.phase {
                // Lost while it was made, it is made again.
                DONE if sim.world.created == 2 => check_end(&sim.world, &sim.r),
                // Nobody looks after the last look.
                DONE => {
                    let looked = sim.made[*before..].iter().any(|m| m.command == Command::ListVersions);
                    assert!(!looked, "{case}");
                }
                ROLLED_BACK => check_end(&sim.world, &sim.r),
                // The old one is gone as well: a person must see to it.
                _ => assert!(sim.r.no_return, "{case}"),
            }
        }
        assert!(runs.iter().any(|(sim, ..)| sim.r.phase == ROLLED_BACK));
    }
}

#[test]
fn a_retired_version_that_someone_enables_is_not_left_alive() {
    for shape in [Shape::Reversible, Shape::Alternating] {
        let runs = meddled("scheduled", shape, |world, _| match world.versions.get_mut(&id("v0")) {
            Some(old) if !old.active => {
                old.active = true;
                true
            }
            _ => false,
        });
        tell(&format!("the retired version is enabled, {shape:?}"), &runs);
        for (sim, _, case) in &runs {
            assert!(matches!(sim.r.phase, DONE | ROLLED_BACK), "{case}");
            check_end(&sim.world, &sim.r);
        }
        assert!(runs.len() > 10);
    }
}

#[test]
fn s12_an_entry_that_someone_edits_is_never_overwritten() {
    for shape in SHAPES {
        for name in ["staging", "production"] {
            let runs = meddled("scheduled", shape, |world, _| {
                world.entries.insert(entry(name), id("theirs"));
                true
            });
            tell(&format!("entry {name} is edited, {shape:?}"), &runs);
            for (sim, before, case) in &runs {
                assert_eq!(sim.world.entries[&entry(name)], id("theirs"), "{case}");
                let looked = sim.made[*before..].iter().any(|m| m.command == Command::ReadEntry(entry(name)));
                match sim.r.phase {
                    // After the last look, or before a look of preflight was answered.
                    DONE => assert!(!looked, "{case}"),
                    Phase::Ended(Ending::Refused) => assert!(!sim.r.has_changed_anything(), "{case}"),
                    // Its own entry was never written.
                    ROLLED_BACK => assert!(!sim.r.entries[&entry(name)].touched, "{case}"),
                    Phase::Stuck { .. } => {
                        assert!(sim.todo.iter().any(|line| line.contains(name)), "{case}: {:?}", sim.todo);
                    }
                    _ => panic!("{case}"),
                }
                assert!(!sim.world.active().is_empty(), "{case}");
            }
        }
    }
}

#[test]
fn an_entry_that_someone_puts_back_does_not_end_as_done() {
    for shape in [Shape::Reversible, Shape::DeleteOnly, Shape::Alternating] {
        let runs = meddled("scheduled", shape, |world, r| {
            let back = r.entries[&entry("production")].holds == Some(Which::Slot(Slot(1)));
            if back {
                world.entries.insert(entry("production"), id("v0"));
            }
            back
        });
        tell(&format!("entry production is put back, {shape:?}"), &runs);
        for (sim, before, case) in &runs {
            let looked = sim.made[*before..].iter().any(|m| m.command == Command::ReadEntry(entry("production")));
            match sim.r.phase {
                DONE if looked => check_end(&sim.world, &sim.r),
                DONE => {}
                ROLLED_BACK => check_end(&sim.world, &sim.r),
                _ => assert!(sim.r.no_return, "{case}"),
            }
        }
        assert!(runs.len() > 10);
    }
}

/// In a leak it is not sent with, and it is moved again: nobody but this rotation knows the new version.
#[test]
fn s19_an_entry_that_someone_puts_back_to_what_leaked_is_moved_again() {
    for shape in SHAPES {
        let runs = meddled("leak", shape, |world, r| {
            let back = r.entries[&entry("production")].holds == Some(Which::Slot(Slot(1)));
            if back {
                world.entries.insert(entry("production"), id("v0"));
            }
            back
        });
        tell(&format!("entry production is put back in a leak, {shape:?}"), &runs);
        for (sim, before, case) in &runs {
            let read = |c: &Command| matches!(c, Command::ReadEntry(e) | Command::Probe(e) if *e == entry("production"));
            let looked = sim.made[*before..].iter().any(|m| read(&m.command));
            assert_eq!(sim.r.phase, DONE, "{case}: {:?}", sim.todo);
            if looked {
                check_end(&sim.world, &sim.r);
            }
        }
        assert!(runs.len() > 10, "{shape:?}: {}", runs.len());
    }
}
