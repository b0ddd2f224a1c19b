//! Every hand-made break of the protocol is noticed, and by the rule that is there for it.
//!
//! A break is a switch of the whole process, so each is explored in a process of its own. Where the rules before an intent would
//! stop a break already, they are switched off for a second try: then the world, which trusts nothing, must notice.

use std::process::{Command, Stdio};
use std::time::Duration;

use handover_rotation::mutant::{Mutant, breaks};
use handover_rotation::plan::Shape;

use crate::explore::{Budget, Explorer, Way, explore};
use crate::world::plans::plan;

/// A break, where it shows, and the rules that may name it.
struct Break {
    mutant: Mutant,
    playbook: &'static str,
    shape: Shape,
    /// Whether the rules before an intent are switched off as well.
    unguarded: bool,
    /// Whether it shows only where two things go wrong, and so on the way.
    by_two: bool,
    rules: &'static [&'static str],
}

const fn on(mutant: Mutant, playbook: &'static str, shape: Shape, rules: &'static [&'static str]) -> Break {
    Break { mutant, playbook, shape, unguarded: false, by_two: false, rules }
}

const fn unguarded(mutant: Mutant, playbook: &'static str, shape: Shape, rules: &'static [&'static str]) -> Break {
    Break { mutant, playbook, shape, unguarded: true, by_two: false, rules }
}

const fn by_two(mutant: Mutant, playbook: &'static str, shape: Shape, rules: &'static [&'static str]) -> Break {
    Break { mutant, playbook, shape, unguarded: false, by_two: true, rules }
}

use Shape::{Alternating, DeleteOnly, InPlace, Manual, Reversible};

const BREAKS: &[Break] = &[
    on(Mutant::NoQuiescence, "scheduled", Reversible, &["S7"]),
    on(Mutant::PausedIsDead, "scheduled", Reversible, &["S7"]),
    on(Mutant::FlightForgotten, "scheduled", Reversible, &["S7"]),
    on(Mutant::CreateUnreconciled, "scheduled", Reversible, &["S3"]),
    unguarded(Mutant::CreateUnreconciled, "scheduled", Reversible, &["S3", "L3", "S7"]),
    on(Mutant::TimeoutIsFailure, "scheduled", Reversible, &["S8"]),
    on(Mutant::LostWriteIsDone, "scheduled", Reversible, &["S8"]),
    on(Mutant::AbsenceUnsettled, "scheduled", Reversible, &["S9"]),
    on(Mutant::StraysIgnored, "scheduled", Reversible, &["L3", "S4"]),
    on(Mutant::SweepSkipped, "scheduled", Reversible, &["L3", "S4"]),
    on(Mutant::PushedUnaccepted, "scheduled", Reversible, &["S1"]),
    unguarded(Mutant::PushedUnaccepted, "scheduled", Reversible, &["S1", "S16"]),
    on(Mutant::EvidenceSkipped, "scheduled", Reversible, &["S11"]),
    unguarded(Mutant::EvidenceSkipped, "scheduled", Reversible, &["S11"]),
    on(Mutant::OneServiceIsEnough, "scheduled", Reversible, &["S11"]),
    on(Mutant::ReloadIsProof, "scheduled", Reversible, &["S1", "S2"]),
    on(Mutant::PreflightSkipped, "scheduled", Reversible, &["P"]),
    on(Mutant::SoakShortened, "scheduled", Reversible, &["S29"]),
    on(Mutant::WatchShortened, "scheduled", Alternating, &["S29"]),
    on(Mutant::UndoOutOfOrder, "scheduled", Reversible, &["S17"]),
    unguarded(Mutant::UndoOutOfOrder, "scheduled", Reversible, &["S2", "S1"]),
    on(Mutant::EntriesNotRestored, "scheduled", Reversible, &["S4", "S17", "S2", "L1"]),
    on(Mutant::ServicesNotRestored, "scheduled", Reversible, &["S17", "S2", "S4"]),
    unguarded(Mutant::ServicesNotRestored, "scheduled", Reversible, &["S2", "S1"]),
    on(Mutant::DestroysTheOther, "scheduled", Reversible, &["S10"]),
    unguarded(Mutant::DestroysTheOther, "scheduled", Reversible, &["S2", "S11", "S1"]),
    on(Mutant::LeakRollsBack, "leak", Reversible, &["S19", "L5"]),
    unguarded(Mutant::LeakRollsBack, "leak", Reversible, &["S19", "L5"]),
    on(Mutant::SpoiltIsKept, "scheduled", Reversible, &["S19"]),
    on(Mutant::DeadlineIgnored, "leak", Reversible, &["L5", "L1"]),
    on(Mutant::StuckForgetsLeak, "leak", Reversible, &["L5"]),
    on(Mutant::ContainmentGivesUp, "emergency", Reversible, &["L5", "L2"]),
    on(Mutant::WatchForgetsLeak, "scheduled", DeleteOnly, &["L5"]),
    on(Mutant::TaskForgotten, "leak", Manual, &["S19", "L5", "S4"]),
    on(Mutant::RefusalUnproven, "scheduled", Manual, &["S4"]),
    on(Mutant::ForeignOverwritten, "scheduled", Reversible, &["S12"]),
    on(Mutant::ProbeUnread, "leak", Reversible, &["S19"]),
    on(Mutant::UnsealedUsed, "scheduled", Reversible, &["S5"]),
    on(Mutant::UndoIntoTheDead, "scheduled", Reversible, &["S16", "S17"]),
    unguarded(Mutant::UndoIntoTheDead, "scheduled", Reversible, &["S16", "S17", "S1", "S4"]),
    on(Mutant::AbortIgnored, "scheduled", Reversible, &["L9"]),
    on(Mutant::StuckSilently, "scheduled", Reversible, &["S18"]),
    on(Mutant::WakeForgotten, "scheduled", Reversible, &["L2"]),
    on(Mutant::NoQuiescence, "scheduled", InPlace, &["S7"]),
    unguarded(Mutant::ForeignOverwritten, "scheduled", Reversible, &["S12"]),
    unguarded(Mutant::EffectTwice, "scheduled", Reversible, &["S6", "S3", "S7"]),
    on(Mutant::EffectTwice, "scheduled", Reversible, &["S6", "S3"]),
    by_two(Mutant::LeakRollsBack, "scheduled", Reversible, &["S19", "L5"]),
    by_two(Mutant::StuckForgetsLeak, "scheduled", Reversible, &["L5"]),
    by_two(Mutant::ContainmentGivesUp, "scheduled", Reversible, &["L5", "L2"]),
];

const ONE: &str = "HANDOVER_BREAK";

/// What breaks under one break: the rule and the way there.
fn found(b: &Break) -> Option<(String, String)> {
    let all = if b.unguarded { vec![b.mutant, Mutant::NoPermit] } else { vec![b.mutant] };
    breaks(&all);
    if b.by_two {
        let broken = |budget, most| {
            Way::all(&plan(b.playbook, b.shape), budget).into_iter().take(1).find_map(|way| {
                let explorer = Explorer { plan: plan(b.playbook, b.shape), budget, fresh_owners: 16, way: Some(way) };
                explore(explorer, most, Duration::from_secs(120), 1).broken
            })
        };
        assert_eq!(broken(Budget::ONE, 1_000_000), None, "one thing that goes wrong is enough");
        return broken(Budget::TWO, 160_000);
    }
    // With as little going wrong as will do: the story is the simplest, and the search goes deep.
    [Budget::NONE, Budget::ONE, Budget::TWO].into_iter().find_map(|budget| {
        let explorer = Explorer { plan: plan(b.playbook, b.shape), budget, fresh_owners: 4, way: None };
        explore(explorer, 1_000_000, Duration::from_secs(120), 1).broken
    })
}

/// Run by `every_break_is_noticed` in a process of its own; by itself it explores the first break.
#[test]
fn one_break() {
    let Some(number) = std::env::var(ONE).ok().and_then(|n| n.parse::<usize>().ok()) else {
        let child = start(0).wait_with_output().expect("a child");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        return;
    };
    let (rule, story) = found(&BREAKS[number]).expect("it is noticed");
    println!("noticed by: {rule}\n{story}");
}

fn start(number: usize) -> std::process::Child {
    let me = std::env::current_exe().expect("a path");
    let arguments = ["--exact", "mutants::one_break", "--nocapture", "--test-threads=1"];
    let mut command = Command::new(me);
    command.args(arguments).env(ONE, number.to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("a child")
}

#[test]
fn every_break_is_noticed() {
    let mut wrong = Vec::new();
    let mut running = std::collections::VecDeque::new();
    let mut next = 0;
    let mut noticed = 0;
    println!("{:22} {:10} {:12} rule that noticed, moves", "break", "playbook", "shape");
    while next < BREAKS.len() || !running.is_empty() {
        while running.len() < 2 && next < BREAKS.len() {
            running.push_back((next, start(next)));
            next += 1;
        }
        let Some((number, child)) = running.pop_front() else { break };
        let output = child.wait_with_output().expect("a child");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let b = &BREAKS[number];
        let rules = named(&text);
        let moves = text.lines().filter(|l| l.contains("ms  ")).count();
        let guard = match (b.unguarded, b.by_two) {
            (true, _) => " (unguarded)",
            (_, true) => " (by two, on the way)",
            _ => "",
        };
        println!(
            "{:22} {:10} {:12} {rules:?}, {moves}{guard}",
            format!("{:?}", b.mutant),
            b.playbook,
            format!("{:?}", b.shape)
        );
        if rules.iter().any(|r| b.rules.contains(&r.as_str())) {
            noticed += 1;
        } else {
            wrong.push(format!(
                "{:?} should be noticed by {:?}:\n{text}\n{}",
                b.mutant,
                b.rules,
                String::from_utf8_lossy(&output.stderr)
            ));
        }
    }
    println!("{noticed} of {} breaks noticed", BREAKS.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The rules that the end of a story names: letters and a number before a colon.
fn named(text: &str) -> Vec<String> {
    let Some((_, end)) = text.rsplit_once("breaks ") else { return Vec::new() };
    let is_rule = |w: &&str| {
        let tail = w.trim_start_matches(|c: char| c.is_ascii_uppercase());
        !w.is_empty() && w.len() > tail.len() && tail.chars().all(|c| c.is_ascii_digit())
    };
    let mut rules: Vec<String> = end
        .split(':')
        .filter_map(|part| part.rsplit([' ', '"', '[', '`']).next())
        .filter(is_rule)
        .map(str::to_owned)
        .collect();
    rules.sort();
    rules.dedup();
    rules
}
