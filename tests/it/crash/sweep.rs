//! The sweep. Worlds run side by side; each takes the next point, dies there, recovers, and looks at everything.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::scenario::{SCENARIOS, Scenario, TRAFFIC};
use crate::support::aftermath::{Rest, look};
use crate::support::world::CREDENTIAL;
use crate::support::{Case, Going, Run, World};

/// Worlds side by side. A second of each recovery is the settle window of the last list of versions, which no time scale
/// divides, so there are many more than cores.
const WORLDS: usize = 12;
/// A world is left after this many cases, before its books and its mail grow long.
const CASES_A_WORLD: usize = 25;
/// Every so many points the recovery is killed too.
const KILL_RECOVERY: usize = 7;
/// A point that runs did not reach this many times in a row lies behind the end: how many appends and looks there are depends
/// on which answers come together.
const TRIES: usize = 3;

/// What was seen.
#[derive(Default)]
struct Tally {
    killed: usize,
    killed_again: usize,
    behind_the_end: usize,
    resumes: usize,
    rests: BTreeMap<Rest, usize>,
    violations: Vec<String>,
}

/// A point to die at: a name, and how many times it is passed before.
struct Point {
    scenario: &'static Scenario,
    /// As `HANDOVER_CRASH_AT` takes it: `append.before#17`.
    name: String,
    /// Its place among all points of all playbooks, from 0.
    number: usize,
}

#[test]
fn crash_sweep() {
    let mut points = VecDeque::new();
    let lists: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = SCENARIOS.iter().map(|scenario| (scenario, scope.spawn(|| list(scenario)))).collect();
        all.into_iter().map(|(scenario, list)| (scenario, list.join().expect("a run without a crash"))).collect()
    });
    for (scenario, names) in lists {
        for name in names.into_iter().step_by(scenario.every) {
            points.push_back(Point { scenario, name, number: points.len() });
        }
    }
    // For a look at a few points: `HANDOVER_SWEEP=leak:create`.
    if let Ok(only) = std::env::var("HANDOVER_SWEEP") {
        points.retain(|p| only.split(',').any(|o| p.to_string().starts_with(o)));
    }
    let total = points.len();
    let queue = Mutex::new(points);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..WORLDS {
            scope.spawn(|| work(&queue, &tally));
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "crash sweep: {total} points, {} scenarios, {} resumes, {} violations",
        SCENARIOS.len(),
        tally.resumes,
        tally.violations.len()
    );
    println!(
        "  killed at {}, in recovery too at {}, behind the end of their run {}; came to rest {:?}",
        tally.killed, tally.killed_again, tally.behind_the_end, tally.rests
    );
    assert!(tally.violations.is_empty(), "{}", tally.violations.join("\n"));
    assert_eq!(tally.killed + tally.behind_the_end, total, "every point was tried");
    assert!(tally.behind_the_end * 20 <= total, "{} points were not reached", tally.behind_the_end);
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.scenario.name, self.name)
    }
}

/// The points of a whole run.
fn list(scenario: &Scenario) -> Vec<String> {
    let world = scenario.world(&[]);
    let log = world.dir().join("points.log");
    let case = scenario.case(&world, "list").env("HANDOVER_CRASH_LOG", log.to_string_lossy());
    let run = case.rotate(scenario.playbook);
    assert_eq!(run.code(), scenario.ends, "{} without a crash: {run}", scenario.name);
    assert_eq!(world.unclean(None), Vec::<String>::new());
    let names = passed(&log);
    assert!(names.len() > 100, "{} passed only {} points", scenario.name, names.len());
    for wanted in scenario.passes {
        for side in ["before", "after"] {
            assert!(names.contains(&format!("{wanted}.{side}#1")), "{} has no point {wanted}.{side}", scenario.name);
        }
    }
    names
}

fn passed(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn work(queue: &Mutex<VecDeque<Point>>, tally: &Mutex<Tally>) {
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let mut waiting = next();
    while let Some(first) = waiting.take() {
        let scenario = first.scenario;
        let world = scenario.world(&["--traffic", TRAFFIC]);
        waiting = Some(first);
        for n in 0..CASES_A_WORLD {
            let Some(point) = waiting.take().or_else(next) else { return };
            if point.scenario.name != scenario.name {
                // It needs another world.
                waiting = Some(point);
                break;
            }
            let mut found = Tally::default();
            die_and_recover(&world, n, &point, &mut found);
            let broken = !found.violations.is_empty();
            tally.lock().unwrap_or_else(PoisonError::into_inner).take(found, &point);
            if broken {
                // What is broken stays out of the next case.
                break;
            }
        }
        waiting = waiting.or_else(next);
    }
}

impl Tally {
    fn take(&mut self, found: Self, point: &Point) {
        self.killed += found.killed;
        if self.killed.is_multiple_of(100) && found.killed > 0 {
            println!("  {} points, now {point}", self.killed);
        }
        self.killed_again += found.killed_again;
        self.behind_the_end += found.behind_the_end;
        self.resumes += found.resumes;
        for (rest, n) in found.rests {
            *self.rests.entry(rest).or_default() += n;
        }
        for violation in found.violations {
            let text = format!("{point}: {violation}");
            println!("VIOLATION {text}");
            self.violations.push(text);
        }
    }
}

fn die_and_recover(world: &World, n: usize, point: &Point, found: &mut Tally) {
    for attempt in 0..TRIES {
        let before = world.status();
        let case = point.scenario.case(world, &format!("{n}-{attempt}"));
        let log = world.dir().join(format!("points-{n}-{attempt}.log"));
        let mut command = case.rotation_command(point.scenario.playbook);
        command.env("HANDOVER_CRASH_AT", &point.name).env("HANDOVER_CRASH_LOG", &log);
        let run = Going::start(command).end();
        let passed = passed(&log);
        if run.was_killed() {
            found.killed += 1;
            let last = recover(&case, point, found);
            let times = found.killed + found.killed_again;
            let (rest, wrong) = look(world, &case, &before, &last, &point.scenario.broken(times));
            *found.rests.entry(rest).or_default() += 1;
            found.violations.extend(wrong.into_iter().map(|wrong| format!("{wrong}\n{last}")));
            return;
        }
        if passed.contains(&point.name) || run.code() != point.scenario.ends {
            found.violations.push(format!("it was not killed: {run}"));
            return;
        }
    }
    found.behind_the_end += 1;
}

/// Takes the rotation up again until it rests; the last run.
fn recover(case: &Case<'_>, point: &Point, found: &mut Tally) -> Run {
    if point.number.is_multiple_of(KILL_RECOVERY) {
        let mut command = case.command(&["resume", CREDENTIAL]);
        // Spread over the recovery: as many different places as there are cases.
        command.env("HANDOVER_CRASH_AT", (1 + point.number * 31 % 61).to_string());
        found.resumes += 1;
        let run = Going::start(command).end();
        found.killed_again += usize::from(run.was_killed());
    }
    found.resumes += 1;
    case.resume()
}
