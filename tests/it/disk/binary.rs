//! The whole program with its state folder on a failing disk: it ends with a clear error, and goes on when the disk is sound.

use std::collections::{BTreeMap, VecDeque};
use std::os::unix::fs::DirBuilderExt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::support::aftermath::{Broken, Rest, look};
use crate::support::disk::{FailingDisk, How, Op, Seen, seen};
use crate::support::{Case, Going, Run, World, exit};

/// Worlds side by side.
const WORLDS: usize = 4;
/// How many operations of each way to fail are tried, spread over the whole run.
const SAMPLE: usize = 20;
/// A run of `drill` has at least so many operations in the state folder.
const LEAST: usize = 300;
/// Divides its waits.
const SCALE: u32 = 20;
const PLAYBOOK: &str = "drill";
/// A world is left after this many cases, before its books grow long.
const CASES_A_WORLD: usize = 20;

#[derive(Default)]
struct Tally {
    struck: usize,
    ends: BTreeMap<i32, usize>,
    rests: BTreeMap<Rest, usize>,
    violations: Vec<String>,
}

#[test]
fn a_rotation_on_a_failing_disk_ends_in_a_clear_error_and_goes_on() {
    let began = Instant::now();
    let disk = FailingDisk::build();
    let operations = sound(&disk);
    assert!(operations.len() >= LEAST, "only {} operations were seen", operations.len());
    let mut cases = VecDeque::new();
    for (i, how) in How::ALL.into_iter().enumerate() {
        let fitting: Vec<&Op> = operations.iter().filter(|op| how.fits(op)).collect();
        let step = (fitting.len() / SAMPLE).max(1);
        // Another start for each way to fail, so that together they meet more of the operations.
        cases.extend(fitting.into_iter().skip(i * step / How::ALL.len()).step_by(step).map(|op| (op.clone(), how)));
    }
    let total = cases.len();
    let queue = Mutex::new(cases);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..WORLDS {
            scope.spawn(|| work(&disk, &queue, &tally));
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "rotations on a failing disk: {} operations, {total} runs, {} struck, {} violations, {:.0?}",
        operations.len(),
        tally.struck,
        tally.violations.len(),
        began.elapsed()
    );
    println!("  ended with {:?}; then, on a sound disk, {:?}", tally.ends, tally.rests);
    assert!(tally.violations.is_empty(), "{}", tally.violations.join("\n\n"));
    assert_eq!(tally.struck, total, "each failure struck");
    assert!(tally.ends.get(&exit::ERROR).is_some_and(|n| *n * 4 > total), "the failures were not felt: {:?}", tally.ends);
}

/// The operations of a run on a sound disk.
fn sound(disk: &FailingDisk) -> Vec<Op> {
    let world = World::start();
    let case = ready(&world, "sound");
    let (run, seen) = rotate(disk, &world, &case, None);
    assert_eq!(run.code(), exit::DONE, "{run}");
    seen.all
}

/// A case whose state folder is there already.
fn ready<'a>(world: &'a World, name: &str) -> Case<'a> {
    let case = world.case(name).scale(SCALE);
    std::fs::DirBuilder::new().mode(0o700).create(&case.state).expect("a new folder");
    case
}

fn rotate(disk: &FailingDisk, world: &World, case: &Case<'_>, blow: Option<(usize, How)>) -> (Run, Seen) {
    let log = world.dir().join("disk.log");
    let mut command = case.rotation_command(PLAYBOOK);
    disk.under(&mut command, &case.state, &log, blow);
    let run = Going::start(command).end();
    (run, seen(&log))
}

fn work(disk: &FailingDisk, queue: &Mutex<VecDeque<(Op, How)>>, tally: &Mutex<Tally>) {
    loop {
        let world = World::with(&["--traffic", "1000"]);
        for n in 0..CASES_A_WORLD {
            let Some((op, how)) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else { return };
            let before = world.status();
            let case = ready(&world, &n.to_string());
            let (run, seen) = rotate(disk, &world, &case, Some((op.number, how)));
            if seen.struck.is_empty() && run.code() == exit::DONE {
                // This run had fewer operations: the last one that it fits is taken instead, in a case of its own.
                let last = seen.all.into_iter().rfind(|op| how.fits(op));
                let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                queue.extend(last.map(|op| (op, how)));
                continue;
            }
            let mut wrong = unclear(&run);
            let last = case.resume();
            let broken = Broken { playbook: PLAYBOOK, times: 1, mail_stops: false, in_place: false };
            let (rest, left) = look(&world, &case, &before, &last, &broken);
            if run.code() == exit::DONE && rest == Rest::RolledBack {
                wrong.push("it said that it was done, and was rolled back".to_owned());
            }
            wrong.extend(left);
            let clean = wrong.is_empty();
            let mut all = tally.lock().unwrap_or_else(PoisonError::into_inner);
            all.struck += 1;
            if seen.struck.is_empty() {
                all.violations.push(format!("{how:?}: it failed on a sound disk: {run}"));
            }
            *all.ends.entry(run.code()).or_default() += 1;
            *all.rests.entry(rest).or_default() += 1;
            for text in wrong {
                let at = format!("{how:?} at operation {} ({} {})", op.number, op.name, op.path);
                println!("VIOLATION {at}: {text}\n{run}\nthen {last}");
                all.violations.push(format!("{at}: {text}"));
            }
            if !clean {
                break;
            }
        }
    }
}

/// What is wrong with how it ended: it must be done, where the failure did no harm, or say what failed with a code that has a
/// page. It must not have called the failure of a disk the failure of a version, and rolled back.
fn unclear(run: &Run) -> Vec<String> {
    let mut wrong = Vec::new();
    if run.code() == exit::DONE {
        return wrong;
    }
    let fault = &run.finished()["fault"];
    let [code, message, hint] = ["code", "message", "hint"].map(|key| fault[key].as_str().unwrap_or_default());
    if ![exit::ERROR, exit::REFUSED].contains(&run.code())
        || !code.starts_with("HO03")
        || message.is_empty()
        || hint.is_empty()
    {
        wrong.push(format!("it ended with {} and {fault}", run.code()));
    }
    if handover::explain::page(code).is_none() {
        wrong.push(format!("{code} has no page"));
    }
    wrong
}
