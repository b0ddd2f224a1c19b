//! Every fault of the sandbox, one at a time, under `scheduled` and under `leak`: each ends as the fault matrix of the safety
//! rules says, and the sandbox's own books agree. What got stuck ends well once the fault is gone.

use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::support::exit::{DONE, REFUSED, ROLLED_BACK, STUCK};
use crate::support::world::CREDENTIAL;
use crate::support::{HANDOVER, Run, World};

/// Worlds side by side: almost all of their time is waiting.
const WORLDS: usize = 6;

/// When the fault is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Before the rotation.
    Start,
    /// When this step begins, counted from 0.
    Step(usize),
}
use When::{Start, Step};

/// What is divided: a wait of half an hour becomes 20 ms, a day a second, the patience with bad weather nothing.
const QUICK: u32 = 86_400;
/// The soak lasts a second and a half.
const SOAK: u32 = 1_200;
/// The deadline of a leak is ten seconds.
const LEAK: u32 = 60;

struct Row {
    playbook: &'static str,
    scale: u32,
    fault: &'static str,
    when: When,
    /// The exit status.
    ends: i32,
    /// The exit status after the fault is gone and the rotation taken up again, where it was stuck.
    then: i32,
    /// Something that shows that the fault was met: in what the run says.
    seen: &'static str,
}

const fn scheduled(fault: &'static str, when: When, ends: i32, then: i32, seen: &'static str) -> Row {
    Row { playbook: "scheduled", scale: QUICK, fault, when, ends, then, seen }
}

const fn soaking(fault: &'static str, when: When, ends: i32, then: i32, seen: &'static str) -> Row {
    Row { playbook: "scheduled", scale: SOAK, fault, when, ends, then, seen }
}

const fn leak(fault: &'static str, when: When, ends: i32, then: i32, seen: &'static str) -> Row {
    Row { playbook: "leak", scale: LEAK, fault, when, ends, then, seen }
}

/// Steps of `scheduled`: 0 preflight, 1 generate, 2 push, 3 reload, 4 verify staging, 5 push, 6 reload, 7 verify production,
/// 8 soak, 9 deactivate, 10 confirm, 11 watch, 12 delete. Of `leak`: the same to 7, then 8 deactivate, 9 confirm, 10 delete.
///
/// | boundary | what the matrix asks for |
/// |---|---|
/// | B2 preflight | abort clean: 3 |
/// | B4 create | nothing was made: abort clean, 3; unknown: looked up, and made anew if it is there without a secret |
/// | B6 push | a full disk keeps the old file: roll back, 4 |
/// | B8 reload | attest decides: roll back, 4 |
/// | B9, B10 mail | with the old version too: hold, then a person, 5; only with the new one: roll back, 4 |
/// | B11, B12 | the provider or mail away: hold, then a person, 5; the new one refused: enable the old one again, 4 |
/// | B16 leak | at the deadline the compromised version is dead whatever else fails; the rest waits for a person, 5 |
const ROWS: &[Row] = &[
    scheduled("propagation=1500ms", Start, DONE, 0, "535"),
    scheduled("propagation=1500ms", Step(1), DONE, 0, "535"),
    scheduled("stale-list=2s", Start, DONE, 0, r##""versions":[{"id":"newsletter#1""##),
    scheduled("refuse-auth=all", Start, REFUSED, 0, "535"),
    scheduled("refuse-auth=all", Step(2), STUCK, DONE, "535"),
    soaking("refuse-auth=all", Step(8), STUCK, DONE, "535"),
    scheduled("refuse-auth=all", Step(11), STUCK, ROLLED_BACK, "535"),
    scheduled("refuse-auth=new", Start, ROLLED_BACK, 0, "535"),
    soaking("refuse-auth=new", Step(8), ROLLED_BACK, 0, "535"),
    scheduled("refuse-auth=new", Step(9), ROLLED_BACK, 0, "535"),
    scheduled("refuse-auth=new", Step(11), ROLLED_BACK, 0, "535"),
    scheduled("refuse-auth=newsletter.1", Start, REFUSED, 0, "535"),
    scheduled("refuse-auth=newsletter.2", Start, ROLLED_BACK, 0, "535"),
    scheduled("smtp-4xx=auth", Start, REFUSED, 0, "45"),
    scheduled("smtp-4xx=auth", Step(2), STUCK, DONE, "45"),
    scheduled("smtp-4xx=mail", Start, STUCK, DONE, "45"),
    scheduled("smtp-4xx=rcpt", Start, STUCK, DONE, "45"),
    scheduled("smtp-4xx=data", Start, STUCK, DONE, "45"),
    soaking("smtp-4xx=data", Step(8), STUCK, DONE, "45"),
    scheduled("smtp-4xx=auth", Step(9), STUCK, DONE, "45"),
    scheduled("smtp-4xx=mail", Step(11), STUCK, DONE, "45"),
    scheduled("smtp-down", Start, REFUSED, 0, "421"),
    scheduled("smtp-down", Step(2), STUCK, DONE, "421"),
    soaking("smtp-down", Step(8), STUCK, DONE, "421"),
    scheduled("smtp-down", Step(11), STUCK, DONE, "421"),
    scheduled("tls-expired", Start, REFUSED, 0, "certificate"),
    scheduled("tls-expired", Step(2), STUCK, DONE, "certificate"),
    scheduled("tls-expired", Step(11), STUCK, DONE, "certificate"),
    scheduled("drop-answer=create", Start, DONE, 0, "HO0505"),
    scheduled("drop-answer=disable", Start, DONE, 0, "HO0505"),
    scheduled("drop-answer=delete", Start, DONE, 0, "HO0505"),
    scheduled("drop-answer=write", Start, DONE, 0, "HO0910"),
    scheduled("drop-answer=send", Start, DONE, 0, r#""unknown""#),
    scheduled("drop-answer=all", Start, DONE, 0, r#""unknown""#),
    scheduled("drop-answer=create:9", Start, ROLLED_BACK, 0, "HO0421"),
    scheduled("create-error=temporary", Start, REFUSED, 0, "HO0508"),
    scheduled("create-error=permanent", Start, REFUSED, 0, "HO0508"),
    scheduled("create-error=unknown", Start, REFUSED, 0, "HO0508"),
    scheduled("quota=1", Start, REFUSED, 0, "HO0413"),
    scheduled("quota=1", Step(1), REFUSED, 0, "HO0503"),
    scheduled("provider-down", Start, REFUSED, 0, "HO0501"),
    scheduled("provider-down", Step(1), REFUSED, 0, "HO0501"),
    soaking("provider-down", Step(8), STUCK, DONE, "HO0501"),
    scheduled("provider-down", Step(10), STUCK, DONE, "HO0501"),
    scheduled("provider-down", Step(11), STUCK, DONE, "HO0501"),
    scheduled("ignore-reload=all", Start, ROLLED_BACK, 0, "HO0416"),
    scheduled("ignore-reload=newsletter-production", Start, ROLLED_BACK, 0, "HO0416"),
    scheduled("disk-full=staging", Start, REFUSED, 0, "disk"),
    scheduled("disk-full=staging", Step(1), ROLLED_BACK, 0, "disk"),
    scheduled("disk-full=production", Step(4), ROLLED_BACK, 0, "disk"),
    scheduled("disk-full=all", Step(4), STUCK, ROLLED_BACK, "disk"),
    scheduled("slow=50ms", Start, DONE, 0, ""),
    leak("propagation=1500ms", Start, DONE, 0, "535"),
    leak("stale-list=2s", Start, DONE, 0, r##""versions":[{"id":"newsletter#1""##),
    leak("refuse-auth=all", Start, STUCK, DONE, "535"),
    leak("refuse-auth=all", Step(5), STUCK, DONE, "535"),
    leak("refuse-auth=new", Start, STUCK, DONE, "535"),
    leak("refuse-auth=newsletter.1", Start, DONE, 0, "535"),
    leak("smtp-4xx=auth", Start, STUCK, DONE, "45"),
    leak("smtp-4xx=mail", Start, STUCK, DONE, "45"),
    leak("smtp-4xx=rcpt", Start, STUCK, DONE, "45"),
    leak("smtp-4xx=data", Start, STUCK, DONE, "45"),
    leak("smtp-4xx=data", Step(5), STUCK, DONE, "45"),
    leak("smtp-down", Start, STUCK, DONE, "421"),
    leak("smtp-down", Step(2), STUCK, DONE, "421"),
    leak("tls-expired", Start, STUCK, DONE, "certificate"),
    leak("drop-answer=create", Start, DONE, 0, "HO0505"),
    leak("drop-answer=disable", Start, DONE, 0, "HO0505"),
    leak("drop-answer=delete", Start, DONE, 0, "HO0505"),
    leak("drop-answer=write", Start, DONE, 0, "HO0910"),
    leak("drop-answer=send", Start, DONE, 0, r#""unknown""#),
    leak("drop-answer=all", Start, DONE, 0, r#""unknown""#),
    leak("create-error=temporary", Start, STUCK, DONE, "HO0508"),
    leak("create-error=permanent", Start, STUCK, DONE, "HO0508"),
    leak("create-error=unknown", Start, STUCK, DONE, "HO0508"),
    leak("quota=1", Start, STUCK, DONE, "HO0503"),
    leak("ignore-reload=all", Start, STUCK, DONE, "HO0416"),
    leak("ignore-reload=newsletter-production", Start, STUCK, DONE, "HO0416"),
    leak("disk-full=staging", Start, STUCK, DONE, "disk"),
    leak("disk-full=all", Step(4), STUCK, DONE, "disk"),
    leak("slow=50ms", Start, DONE, 0, ""),
];

#[test]
fn every_fault_ends_as_the_matrix_says() {
    let only = std::env::var("HANDOVER_FAULT").ok();
    let rows = ROWS.iter().filter(|r| only.as_ref().is_none_or(|o| name(r).contains(o.as_str())));
    let queue = Mutex::new(rows.collect::<VecDeque<_>>());
    let count = queue.lock().unwrap_or_else(PoisonError::into_inner).len();
    let violations = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORLDS {
            scope.spawn(|| {
                loop {
                    let Some(row) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else { return };
                    let found = try_row(row);
                    for text in &found {
                        println!("{}: {text}", name(row));
                    }
                    let mut all = violations.lock().unwrap_or_else(PoisonError::into_inner);
                    all.extend(found.into_iter().map(|text| format!("{}: {text}", name(row))));
                }
            });
        }
    });
    let violations = violations.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("faults: {count} cases, {} violations", violations.len());
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// Every fault that the sandbox names is in the table, under both playbooks.
#[test]
fn no_fault_is_forgotten() {
    let out = std::process::Command::new(HANDOVER).args(["sandbox", "--fault", "list"]).output().expect("it starts");
    let text = String::from_utf8(out.stdout).expect("text");
    let named: BTreeSet<&str> = text.lines().filter_map(|l| l.split(['=', ' ']).next()).filter(|n| *n != "none").collect();
    assert!(named.len() >= 13, "{named:?}");
    for playbook in ["scheduled", "leak"] {
        let rows = ROWS.iter().filter(|r| r.playbook == playbook);
        let tried: BTreeSet<&str> = rows.filter_map(|r| r.fault.split('=').next()).collect();
        assert_eq!(tried, named, "{playbook}");
    }
}

fn name(row: &Row) -> String {
    format!("{} {} at {:?}", row.playbook, row.fault, row.when)
}

/// Whatever is wrong with how a row ends.
fn try_row(row: &Row) -> Vec<String> {
    let world = World::start();
    let case = world.case("one").scale(row.scale);
    let old = world.account().active()[0].id.clone();
    if row.fault.starts_with("stale-list") {
        // The sandbox's first version is as new as the sandbox: it has to come of age before young ones are hidden.
        std::thread::sleep(std::time::Duration::from_millis(2_100));
    }
    if row.when == Start {
        world.fault(row.fault);
    }
    let mut going = case.rotating(row.playbook);
    if let Step(step) = row.when {
        if going.wait_for_step(step).is_none() {
            return vec![format!("it never came to step {step}: {}", going.end())];
        }
        handover::sandbox::set_fault(world.dir(), row.fault).expect("the fault can be switched");
    }
    let run = going.end();
    let mut wrong = Vec::new();
    if run.code() != row.ends {
        return vec![format!("it ended with {}, not {}: {run}", run.code(), row.ends)];
    }
    if !run.said().contains(row.seen) {
        wrong.push(format!("the fault was not met: there is no {:?} in {run}", row.seen));
    }
    wrong.extend(stands(&world, row, &run, &old));
    world.fault("none");
    if run.code() == STUCK {
        let again = case.resume();
        if again.code() != row.then {
            wrong.push(format!("resumed without the fault, it ended with {}, not {}: {again}", again.code(), row.then));
            return wrong;
        }
        wrong.extend(ended(&world, &again, &old));
    }
    wrong.extend(case.broken_journal(true));
    wrong
}

/// How the books stand right after the run, the fault still on.
fn stands(world: &World, row: &Row, run: &Run, old: &str) -> Vec<String> {
    let account = world.account();
    let old_lives = account.active().iter().any(|v| v.id == *old);
    match run.code() {
        STUCK if row.playbook == "leak" && old_lives => vec!["L5: the compromised version is still active".to_owned()],
        STUCK if row.playbook == "leak" => Vec::new(),
        STUCK => {
            let mut wrong = Vec::new();
            if account.kept().len() > 2 {
                wrong.push(format!("more than two versions are kept: {:?}", account.kept()));
            }
            if account.active().is_empty() {
                wrong.push("no version is active".to_owned());
            }
            wrong
        }
        _ => ended(world, run, old),
    }
}

fn ended(world: &World, run: &Run, old: &str) -> Vec<String> {
    let account = world.account();
    let mut wrong = match run.code() {
        DONE => world.unclean(account.versions.last().map(|v| v.id.as_str())),
        _ => world.unclean(Some(old)),
    };
    if account.kept().len() != 1 {
        wrong.push(format!("versions of {CREDENTIAL} are left over: {:?}", account.kept()));
    }
    if run.code() == REFUSED && account.versions.len() > 1 {
        wrong.push(format!("refused, and yet it made versions: {:?}", account.versions));
    }
    wrong
}
