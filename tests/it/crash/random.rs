//! Death at any moment: worlds side by side, each with a rotation that is killed with SIGKILL after a time of chance, taken up
//! again and killed again, several times, until it is let go on to its end and everything is looked at. Only a process that the
//! signal really ended counts.
//!
//! The times come from a seed, which is printed; `HANDOVER_SEED` plays it again as far as the machine's timing allows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::scenario::{SCENARIOS, Scenario, TRAFFIC};
use crate::support::aftermath::{Rest, look};
use crate::support::world::CREDENTIAL;
use crate::support::{Going, Run, World, exit};

/// So many processes are killed.
const KILLS: usize = 1_000;
/// Worlds side by side: much of what a rotation does is waiting.
const WORLDS: usize = 10;
/// A world is left after this many cases, before its books grow long.
const CASES_A_WORLD: usize = 16;
/// A rotation is let go on to its end after at most so many deaths.
const DEATHS: u64 = 16;
/// One of so many is killed at any moment from the start of its process on, the others when the rotation has begun.
const FROM_THE_START: u64 = 8;

/// How soon the hasty ones are killed.
const SOON: Duration = Duration::from_millis(150);

/// Numbers by chance (xorshift64*), the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

#[derive(Default)]
struct Tally {
    /// By the playbook, how many processes were killed while they rotated, and while they recovered.
    rotating: BTreeMap<&'static str, usize>,
    recovering: BTreeMap<&'static str, usize>,
    /// Killed before they had told of anything: these do not count.
    too_early: usize,
    /// Ended before they were to be killed.
    too_late: usize,
    cases: usize,
    rests: BTreeMap<Rest, usize>,
    violations: Vec<String>,
}

#[test]
fn a_thousand_random_kills() {
    let seed = match std::env::var("HANDOVER_SEED") {
        Ok(seed) => seed.parse().expect("HANDOVER_SEED is a number"),
        Err(_) => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs(),
    };
    println!("random kills: HANDOVER_SEED={seed}");
    let began = Instant::now();
    let kills = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for worker in 0..WORLDS {
            let chance = Chance((seed ^ (worker as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)).max(1));
            let (kills, tally) = (&kills, &tally);
            scope.spawn(move || work(worker, chance, kills, tally));
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let killed: usize = tally.rotating.values().chain(tally.recovering.values()).sum();
    println!(
        "random kills: {killed} in {} rotations, {} violations, {:.0?}; HANDOVER_SEED={seed}",
        tally.cases,
        tally.violations.len(),
        began.elapsed()
    );
    println!(
        "  while rotating {:?}, while recovering {:?}; besides, {} before they were at work; {} ended before their time; \
         came to rest {:?}",
        tally.rotating, tally.recovering, tally.too_early, tally.too_late, tally.rests
    );
    assert!(tally.violations.is_empty(), "HANDOVER_SEED={seed}\n{}", tally.violations.join("\n\n"));
    assert!(killed >= KILLS, "only {killed} were killed");
    for scenario in SCENARIOS {
        let both = [&tally.rotating, &tally.recovering].map(|t| t.get(scenario.name).copied().unwrap_or_default());
        assert!(both.iter().all(|n| *n > 0), "{} was killed {both:?} times", scenario.name);
    }
    assert!(tally.rests.contains_key(&Rest::Done) && tally.rests.contains_key(&Rest::RolledBack), "{:?}", tally.rests);
}

fn work(worker: usize, mut chance: Chance, kills: &AtomicUsize, tally: &Mutex<Tally>) {
    // Each begins with another scenario, so that all have their turn in a short run too.
    for scenario in SCENARIOS.iter().cycle().skip(worker) {
        let world = scenario.world(&["--traffic", TRAFFIC]);
        // How long a whole run takes here and now: kills are spread over it.
        let began = Instant::now();
        let whole = scenario.case(&world, "whole").rotate(scenario.playbook);
        assert_eq!(whole.code(), scenario.ends, "{} without a kill: {whole}", scenario.name);
        let span = began.elapsed();
        for n in 0..CASES_A_WORLD {
            if kills.load(Ordering::SeqCst) >= KILLS {
                return;
            }
            let found = kill_and_recover(&world, scenario, n, span, &mut chance, kills);
            let broken = !found.violations.is_empty();
            tally.lock().unwrap_or_else(PoisonError::into_inner).take(found);
            if broken {
                break;
            }
        }
    }
}

impl Tally {
    fn take(&mut self, found: Self) {
        for (into, from) in [(&mut self.rotating, found.rotating), (&mut self.recovering, found.recovering)] {
            for (name, n) in from {
                *into.entry(name).or_default() += n;
            }
        }
        self.too_early += found.too_early;
        self.too_late += found.too_late;
        self.cases += found.cases;
        for (rest, n) in found.rests {
            *self.rests.entry(rest).or_default() += n;
        }
        for violation in &found.violations {
            println!("VIOLATION {violation}");
        }
        self.violations.extend(found.violations);
    }
}

/// One rotation with all its deaths.
fn kill_and_recover(
    world: &World,
    scenario: &'static Scenario,
    n: usize,
    span: Duration,
    chance: &mut Chance,
    kills: &AtomicUsize,
) -> Tally {
    let mut found = Tally { cases: 1, ..Tally::default() };
    let before = world.status();
    let case = scenario.case(world, &n.to_string());
    let deaths = 1 + chance.below(DEATHS) as usize;
    let mut moments = Vec::new();
    let mut ended = None;
    while moments.len() < deaths && ended.is_none() {
        // Most of them soon: claiming, looking, undoing what the death before has left. A late one may find nobody at work.
        let within = if chance.below(4) > 0 { span.min(SOON) } else { span };
        let moment = Duration::from_micros(chance.below(within.as_micros() as u64));
        let at_work = chance.below(FROM_THE_START) > 0;
        let begun = case.state.join("journal.db").exists();
        let command = if begun { case.command(&["resume", CREDENTIAL]) } else { case.rotation_command(scenario.playbook) };
        let run = killed_after(command, moment, at_work);
        if run.was_killed() {
            moments.push(moment);
            if run.events().is_empty() {
                // It was only about to rotate, or to take it up.
                found.too_early += 1;
                continue;
            }
            kills.fetch_add(1, Ordering::SeqCst);
            let counts = if begun { &mut found.recovering } else { &mut found.rotating };
            *counts.entry(scenario.name).or_default() += 1;
        } else {
            found.too_late += 1;
            ended = Some(run);
        }
    }
    let last = match ended {
        Some(run) if run.code() != exit::ERROR => run,
        Some(run) => {
            found.violations.push(format!("{} case {n}: it failed: {run}", scenario.name));
            run
        }
        None if case.state.exists() => case.resume(),
        // It died before it had so much as a folder.
        None => case.rotate(scenario.playbook),
    };
    let (rest, wrong) = look(world, &case, &before, &last, &scenario.broken(moments.len()));
    *found.rests.entry(rest).or_default() += 1;
    let at = format!("{} case {n} killed after {moments:?}", scenario.name);
    found.violations.extend(wrong.into_iter().map(|wrong| format!("{at}: {wrong}\n{last}")));
    found
}

/// Kills it after a time: from its start on, or from the first event that it tells.
fn killed_after(command: std::process::Command, moment: Duration, at_work: bool) -> Run {
    let mut going = Going::start(command);
    if at_work {
        going.wait_for(|_| true);
    }
    std::thread::sleep(moment);
    // It may have ended before; then there is nobody to kill, and the wait status says so.
    going.signal(Signal::KILL);
    going.end()
}
