//! Every hand-made break of the engine and the journal is noticed, and by the rule that is there for it.
//!
//! A break is a switch of the whole process, so each is played in a process of its own: seeds in which only what brings it to
//! light goes wrong, or points of the sweep. Built with `--features mutants` only:
//! `cargo nextest run --locked --workspace --features crash-points,mutants -E 'test(every_break_of_the_engine)'`.

use std::collections::VecDeque;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use handover::mutant::{Mutant, breaks};

use super::play::play;
use super::script::Harm;
use super::sweep::{Point, played, points_of};

/// What a break is played with.
#[derive(Clone, Copy)]
enum With {
    /// Seeds that suffer from these kinds of faults and from no others.
    Seeds(&'static str),
    /// The points of a scenario at which this strikes.
    Points(&'static str, Harm),
    /// A scenario at which nothing strikes.
    Played(&'static str),
    /// Take-overs in a row.
    Chain,
}

use With::{Chain, Played, Points, Seeds};

/// A break, where it shows, and the rules that may name it.
struct Break(Mutant, With, &'static [&'static str]);

const BREAKS: &[Break] = &[
    Break(Mutant::NoFence, Seeds("Pause,TakeOver"), &["S7"]),
    Break(Mutant::NoSequence, Points("forward", Harm::Duplicate), &["S7"]),
    Break(Mutant::ChainUnlinked, Played("forward"), &["S23", "S28"]),
    Break(Mutant::SecretsKept, Played("forward"), &["T18"]),
    Break(Mutant::LivingOwnerDead, Points("forward", Harm::Pause), &["S7"]),
    Break(Mutant::ClaimUnwritten, Points("forward", Harm::Kill), &["S6", "L1"]),
    Break(Mutant::SuccessorTrusted, Chain, &["S7"]),
    Break(Mutant::IntentLate, Played("forward"), &["S6"]),
    Break(Mutant::DeadlineForgotten, Points("forward", Harm::Pause), &["S7"]),
    Break(Mutant::TimeoutIsFailure, Seeds("AnswerLost,Slow,LandedLate"), &["S2", "S3", "S4", "S7"]),
    Break(Mutant::SecretUnsealed, Played("forward"), &["S5"]),
    Break(Mutant::ChosenUnsealed, Played("alternating"), &["S5"]),
    Break(Mutant::SecretUsedEarly, Seeds(""), &["S5"]),
    Break(Mutant::WallClockTrusted, Seeds("ClockForward"), &["S29"]),
    Break(Mutant::ProbeUnread, Played("leak-put-back"), &["S19"]),
    Break(Mutant::RequestLost, Played("back-from-staging"), &["L9"]),
    Break(Mutant::BreakerInLeak, Played("leak-in-the-dark"), &["L5"]),
    Break(Mutant::TwoAtOnce, Seeds("Second"), &["S14"]),
    Break(Mutant::AppliedUnwritten, Points("forward", Harm::NotDone), &["S30"]),
];

const ONE: &str = "HANDOVER_BREAK";
/// So much is tried before a break counts as not noticed.
const MOST: u64 = 4000;
const LONGEST: Duration = Duration::from_secs(90);

/// Where it was noticed, what was said, and the story.
fn noticed(with: With) -> Option<(String, String, String)> {
    let began = Instant::now();
    let late = || began.elapsed() > LONGEST;
    match with {
        Chain => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            let wrong = runtime.expect("a runtime").block_on(super::chain::proven_dead(&[2], 2));
            let why = "S7: an owner that nobody has proven dead counts as dead".to_owned();
            wrong.then(|| ("two take-overs in a row".to_owned(), why, String::new()))
        }
        Played(scenario) => {
            let played = played(scenario);
            played.broken.map(|why| (scenario.to_owned(), why, played.story))
        }
        Seeds(_) => (0..MOST).take_while(|_| !late()).find_map(|seed| {
            let played = play(seed, true, false);
            played.broken.map(|why| (format!("seed {seed}"), why, played.story))
        }),
        Points(scenario, harm) => {
            let points = points_of(scenario);
            // From the end: where versions are retired, most is at stake.
            let struck: Vec<&Point> = points.iter().rev().filter(|p| p.strikes.iter().all(|s| s.harm == harm)).collect();
            struck.into_iter().take_while(|_| !late()).find_map(|point| {
                let played = point.play(false);
                played.broken.map(|why| (point.describe(), why, played.story))
            })
        }
    }
}

/// Run by `every_break_of_the_engine_is_noticed` in a process of its own; by itself it plays the first break.
#[test]
fn one_break() {
    let number = std::env::var(ONE).ok().and_then(|n| n.parse::<usize>().ok());
    let Some(Break(mutant, with, _)) = number.and_then(|n| BREAKS.get(n)) else {
        let child = start(2).wait_with_output().expect("a child");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        return;
    };
    breaks(*mutant);
    let began = Instant::now();
    let (at, why, story) = noticed(*with).expect("it is noticed");
    let at: String = at.chars().take(60).collect();
    println!("{story}\nnoticed {why} | {at} | {:.1} s", began.elapsed().as_secs_f64());
}

fn start(number: usize) -> Child {
    let me = std::env::current_exe().expect("a path");
    let mut command = Command::new(me);
    command.args(["--exact", "simulation::breaks::one_break", "--nocapture", "--test-threads=1"]);
    if let Some(Break(_, Seeds(kinds), _)) = BREAKS.get(number) {
        command.env("HANDOVER_ONLY", kinds);
    }
    command.env(ONE, number.to_string()).env_remove("RUST_BACKTRACE");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a child")
}

#[test]
fn every_break_of_the_engine_is_noticed() {
    let began = Instant::now();
    let mut wrong = Vec::new();
    let mut running = VecDeque::new();
    let mut next = 0;
    println!("{:20} noticed by | at | after", "break");
    while next < BREAKS.len() || !running.is_empty() {
        while running.len() < 2 && next < BREAKS.len() {
            running.push_back((next, start(next)));
            next += 1;
        }
        let Some((number, child)) = running.pop_front() else { break };
        let output = child.wait_with_output().expect("a child");
        let text = String::from_utf8_lossy(&output.stdout);
        let Break(mutant, _, rules) = &BREAKS[number];
        let line = text.lines().find_map(|l| l.strip_prefix("noticed ")).unwrap_or("nothing");
        println!("{:20} {line}", format!("{mutant:?}"));
        let rule = line.split(':').next().unwrap_or_default();
        if !rules.contains(&rule) {
            wrong.push(format!(
                "{mutant:?} should be noticed by {rules:?}:\n{text}\n{}",
                String::from_utf8_lossy(&output.stderr)
            ));
        }
    }
    println!("{} of {} breaks noticed in {:.0} s", BREAKS.len() - wrong.len(), BREAKS.len(), began.elapsed().as_secs_f64());
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
