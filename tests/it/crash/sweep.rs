//! The sweep. Worlds run side by side; each takes the next point, dies there, recovers, and looks at everything.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::support::ledger::Status;
use crate::support::world::CREDENTIAL;
use crate::support::{Case, Going, Run, World, exit};

/// The shipped playbooks, and what divides their waits so that a run takes a second.
const PLAYBOOKS: [(&str, u32); 4] = [("drill", 8), ("scheduled", 86_400), ("leak", 1), ("emergency", 1)];
/// Worlds side by side. Much of a recovery is waiting, so there are more than cores.
const WORLDS: usize = 5;
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
    nothing_begun: usize,
    over_already: usize,
    done: usize,
    rolled_back: usize,
    violations: Vec<String>,
}

/// A point to die at: a name, and how many times it is passed before.
struct Point {
    playbook: &'static str,
    scale: u32,
    /// As `HANDOVER_CRASH_AT` takes it: `append.before#17`.
    name: String,
    /// Its place among all points of all playbooks, from 0.
    number: usize,
}

#[test]
fn crash_sweep() {
    let mut points = VecDeque::new();
    for (playbook, scale) in PLAYBOOKS {
        for name in list(playbook, scale) {
            points.push_back(Point { playbook, scale, name, number: points.len() });
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
        "crash sweep: {total} points, {} playbooks, {} resumes, {} violations",
        PLAYBOOKS.len(),
        tally.resumes,
        tally.violations.len()
    );
    println!(
        "  killed at {}, in recovery too at {}, behind the end of their run {}; nothing had begun {}, all was over {}; \
         ended in done {}, rolled back {}",
        tally.killed,
        tally.killed_again,
        tally.behind_the_end,
        tally.nothing_begun,
        tally.over_already,
        tally.done,
        tally.rolled_back
    );
    assert!(tally.violations.is_empty(), "{}", tally.violations.join("\n"));
    assert_eq!(tally.killed + tally.behind_the_end, total, "every point was tried");
    assert!(tally.behind_the_end * 20 <= total, "{} points were not reached", tally.behind_the_end);
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.playbook, self.name)
    }
}

/// The points of a whole run.
fn list(playbook: &str, scale: u32) -> Vec<String> {
    let world = World::start();
    let log = world.dir().join("points.log");
    let case = world.case("list").scale(scale).env("HANDOVER_CRASH_LOG", log.to_string_lossy());
    let run = case.rotate(playbook);
    assert_eq!(run.code(), exit::DONE, "{playbook} without a crash: {run}");
    assert_eq!(world.unclean(None), Vec::<String>::new());
    let names = passed(&log);
    assert!(names.len() > 100, "{playbook} passed only {} points", names.len());
    for wanted in ["append", "create", "write", "reload", "send", "test-send", "attest", "auth", "disable", "delete"] {
        for side in ["before", "after"] {
            assert!(names.contains(&format!("{wanted}.{side}#1")), "{playbook} has no point {wanted}.{side}");
        }
    }
    names
}

fn passed(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn work(queue: &Mutex<VecDeque<Point>>, tally: &Mutex<Tally>) {
    loop {
        let world = World::with(&["--traffic", "1000"]);
        for n in 0..CASES_A_WORLD {
            let Some(point) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else { return };
            let mut found = Tally::default();
            die_and_recover(&world, n, &point, &mut found);
            let broken = !found.violations.is_empty();
            let mut all = tally.lock().unwrap_or_else(PoisonError::into_inner);
            all.take(found, &point);
            if broken {
                // What is broken stays out of the next case.
                break;
            }
        }
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
        self.nothing_begun += found.nothing_begun;
        self.over_already += found.over_already;
        self.done += found.done;
        self.rolled_back += found.rolled_back;
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
        let case = world.case(&format!("{n}-{attempt}")).scale(point.scale);
        let log = world.dir().join(format!("points-{n}-{attempt}.log"));
        let mut command = case.rotation_command(point.playbook);
        command.env("HANDOVER_CRASH_AT", &point.name).env("HANDOVER_CRASH_LOG", &log);
        let run = Going::start(command).end();
        let passed = passed(&log);
        if run.was_killed() {
            found.killed += 1;
            let last = recover(&case, point, found);
            for wrong in look(world, &case, &before, &last, point, found) {
                found.violations.push(format!("{wrong}\n{last}"));
            }
            return;
        }
        if passed.contains(&point.name) || run.code() != exit::DONE {
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

fn look(world: &World, case: &Case<'_>, before: &Status, last: &Run, point: &Point, found: &mut Tally) -> Vec<String> {
    let old = before.account(CREDENTIAL).active()[0].id.clone();
    let nothing_begun = last.code() == exit::BAD_INPUT && last.said().contains("HO0457");
    let over_already = last.code() == exit::REFUSED && last.said().contains("HO0458");
    if nothing_begun {
        found.nothing_begun += 1;
        let mut wrong = world.unclean(Some(&old));
        if world.account() != *before.account(CREDENTIAL) {
            wrong.push("nothing was begun, and the account was changed".to_owned());
        }
        let again = case.rotate(point.playbook);
        if again.code() != exit::DONE {
            wrong.push(format!("a rotation after that ended with {}: {again}", again.code()));
        }
        return wrong;
    }
    let after = world.status();
    let account = after.account(CREDENTIAL);
    let new: Vec<_> =
        account.versions.iter().filter(|v| !before.account(CREDENTIAL).versions.iter().any(|b| b.id == v.id)).collect();
    let mut wrong = match last.code() {
        exit::DONE => {
            found.done += 1;
            let target = new.last().map_or("a new version", |v| v.id.as_str());
            world.unclean_by(&after, Some(target))
        }
        exit::ROLLED_BACK => {
            found.rolled_back += 1;
            world.unclean_by(&after, Some(&old))
        }
        _ if over_already => {
            found.over_already += 1;
            world.unclean_by(&after, None)
        }
        other => vec![format!("the recovery ended with {other}")],
    };
    if account.kept().len() != 1 {
        wrong.push(format!("versions are left over: {:?}", account.kept()));
    }
    // Each death may lose the secret of one version, and no more.
    let deaths = found.killed + found.killed_again;
    if new.len() > 1 + deaths {
        wrong.push(format!("{} versions were made in {deaths} deaths: {new:?}", new.len()));
    }
    if let Some(foreign) = new.iter().find(|v| !v.tag.as_deref().is_some_and(|t| t.starts_with("handover:"))) {
        wrong.push(format!("{} has no tag of ours", foreign.id));
    }
    let (sent, then) = (after.traffic(), before.traffic());
    if point.playbook != "emergency" && (sent.refused != then.refused || sent.failed != then.failed) {
        wrong.push(format!("mail of the services was lost: {then:?}, then {sent:?}"));
    }
    wrong.extend(case.broken_journal(true));
    wrong
}
