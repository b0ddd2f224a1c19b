//! People: gates, signals, aborts from another terminal, long waits.

use rustix::process::Signal;
use serde_json::Value;

use super::{clean, ends, live, playbook};
use crate::support::exit::{DONE, REFUSED, ROLLED_BACK, STUCK, WAITING};
use crate::support::world::CREDENTIAL;
use crate::support::{Case, Going, World};

/// Holds the terminal, and far longer than a test: whoever waits at this soak is fetched from it.
const LONG_SOAK: (&str, &str) = ("soak: {for: 2s}", "soak: {for: 4m}");
/// The soak of the drill, counted from 0.
const SOAK: usize = 8;

/// A gate before the old version goes; the steps after it move by one.
const GATE: (&str, &str) = ("  - deactivate", "  - approve: {by: x, within: 4h}\n  - deactivate");
const GATE_STEP: usize = 9;

fn status(case: &Case<'_>) -> Value {
    let run = case.run(&["status", CREDENTIAL]);
    ends(&run, DONE);
    run.events().pop().expect("a status")
}

#[test]
fn abort_from_a_second_process_rolls_back() {
    let world = World::start();
    playbook(&world, "long", LONG_SOAK.0, LONG_SOAK.1);
    let case = world.case("one");
    let old = live(&world);
    let mut going = case.rotating("long");
    going.wait_for_step(SOAK).expect("it comes to the soak");
    assert!(status(&case)["holder"].as_str().is_some_and(|h| h.contains(&going.pid().to_string())), "{}", status(&case));
    let asked = case.run(&["abort", CREDENTIAL, "--reason", "changed my mind"]);
    ends(&asked, WAITING);
    assert_eq!(asked.events()[0]["event"], "requested", "{asked}");
    let first = going.end();
    ends(&first, ROLLED_BACK);
    assert_eq!(first.outcome(), "rolled-back");
    assert!(first.stdout.contains("changed my mind"), "the reason is in the log: {first}");
    clean(&world, &old);
    assert_eq!(world.account().versions.len(), 2);
    assert_eq!(case.broken_journal(true), Vec::<String>::new());
    let again = case.run(&["abort", CREDENTIAL]);
    ends(&again, REFUSED);
}

#[test]
fn a_second_rotation_of_the_same_credential_is_refused() {
    let world = World::start();
    let case = world.case("one");
    let mut going = case.rotating("drill");
    let step = going.wait_for_step(2).expect("it comes to the first push");
    let second = case.rotate("drill");
    ends(&second, REFUSED);
    let fault = &second.finished()["fault"];
    assert_eq!(fault["code"], "HO0311", "{second}");
    assert!(fault.to_string().contains(step["rotation"].as_str().expect("an id")), "it names the other one: {fault}");
    let resumed = case.resume();
    ends(&resumed, REFUSED);
    ends(&going.end(), DONE);
    clean(&world, &live(&world));
    assert_eq!(world.account().versions.len(), 2, "the second made none");
    assert_eq!(case.broken_journal(true), Vec::<String>::new());
}

#[test]
fn a_gate_waits_for_approval() {
    let world = World::start();
    playbook(&world, "gated", GATE.0, GATE.1);
    let case = world.case("one").scale(8);
    let old = live(&world);
    let first = case.rotate("gated");
    ends(&first, WAITING);
    let rest = first.finished();
    assert_eq!(rest["outcome"], "waiting");
    let command = rest["next"]["command"].as_str().unwrap_or_default();
    assert!(command.contains(" approve "), "{rest}");
    let waits = status(&case);
    assert_eq!(waits["holder"], Value::Null);
    assert!(waits["waiting"]["for"].to_string().contains("x to approve"), "{waits}");
    // Going on does not open it, and the clock alone does not either.
    ends(&case.resume(), WAITING);
    assert_eq!(world.account().active().len(), 2, "the old version lives until someone agrees");
    let approved = case.run(&["approve", CREDENTIAL]);
    ends(&approved, DONE);
    let now = live(&world);
    assert_ne!(old, now);
    clean(&world, &now);
    ends(&case.run(&["approve", CREDENTIAL]), REFUSED);
    assert_eq!(case.broken_journal(true), Vec::<String>::new());
}

#[test]
fn a_gate_is_opened_while_a_rotation_waits_at_it() {
    let world = World::start();
    playbook(&world, "gated", GATE.0, GATE.1);
    let case = world.case("one").scale(8);
    let mut command = case.rotation_command("gated");
    command.arg("--wait");
    let mut going = Going::start(command);
    going.wait_for_step(1).expect("it begins");
    let early = case.run(&["approve", CREDENTIAL]);
    ends(&early, REFUSED);
    assert!(early.stdout.contains("HO0460"), "{early}");
    going.wait_for_step(GATE_STEP).expect("it comes to the gate");
    let posted = case.run(&["approve", CREDENTIAL]);
    ends(&posted, WAITING);
    ends(&going.end(), DONE);
    clean(&world, &live(&world));
    assert_eq!(case.broken_journal(true), Vec::<String>::new());
}

#[test]
fn ctrl_c_and_sigterm_leave_it_resumable() {
    let world = World::start();
    playbook(&world, "long", LONG_SOAK.0, LONG_SOAK.1);
    for (signal, step) in [(Signal::INT, 1), (Signal::TERM, 3), (Signal::INT, 7), (Signal::TERM, 11)] {
        let case = world.case(&step.to_string());
        let mut going = case.rotating("drill");
        going.wait_for_step(step).unwrap_or_else(|| panic!("it comes to step {step}"));
        going.signal(signal);
        let stopped = going.end();
        ends(&stopped, WAITING);
        let rest = stopped.finished();
        assert_eq!(rest["outcome"], "stopped", "step {step}");
        assert!(rest["next"]["command"].as_str().is_some_and(|c| c.contains(" resume ")), "{rest}");
        assert_eq!(status(&case)["holder"], Value::Null);
        assert_eq!(case.broken_journal(false), Vec::<String>::new());
        ends(&case.resume(), DONE);
        clean(&world, &live(&world));
        assert_eq!(case.broken_journal(true), Vec::<String>::new());
    }
    // In the midst of a wait there is nothing to wait for.
    let case = world.case("soak");
    let old = live(&world);
    let mut going = case.rotating("long");
    going.wait_for_step(SOAK).expect("it comes to the soak");
    going.signal(Signal::INT);
    ends(&going.end(), WAITING);
    ends(&case.run(&["abort", CREDENTIAL]), ROLLED_BACK);
    clean(&world, &old);
}

#[test]
fn a_long_soak_does_not_hold_the_terminal() {
    let world = World::start();
    let case = world.case("one");
    let old = live(&world);
    let first = case.rotate("scheduled");
    ends(&first, WAITING);
    assert_eq!(first.outcome(), "waiting", "{first}");
    assert_eq!(status(&case)["step"]["number"], SOAK + 1);
    assert_eq!(world.account().active().len(), 2);
    let due = case.run(&["resume", "--due"]);
    match due.code() {
        DONE => assert_eq!(due.stdout, "", "nothing was due, so nothing was done"),
        _ => {
            ends(&due, WAITING);
            assert_eq!(due.outcome(), "waiting");
        }
    }
    assert_eq!(status(&case)["step"]["number"], SOAK + 1);
    let aborted = case.run(&["abort", CREDENTIAL]);
    ends(&aborted, ROLLED_BACK);
    clean(&world, &old);
    assert_eq!(case.broken_journal(true), Vec::<String>::new());
    let none = case.run(&["resume", "--due"]);
    ends(&none, DONE);
    assert_eq!(none.stdout, "");
}

/// A compromised version that works and that nobody shuts out is the worst that can be left behind: everything says so.
#[test]
fn a_leak_that_is_left_is_not_called_safe() {
    let world = World::start();
    let case = world.case("one");
    let mut going = case.rotating("leak");
    going.wait_for_step(2).expect("it comes to the first push");
    going.signal(Signal::INT);
    let left = going.end();
    ends(&left, STUCK);
    assert_eq!(left.outcome(), "stopped", "{left}");
    let told = left.finished()["next"].clone();
    assert!(told["text"].to_string().contains("NOW: nobody is shutting out"), "{told}");
    let seen = case.run(&["status"]);
    ends(&seen, STUCK);
    let status = seen.events().pop().expect("a status");
    assert_eq!((&status["standing"], &status["holder"]), (&"not-shut-out".into(), &Value::Null), "{status}");
    assert!(status["not_safe"].to_string().contains("nobody shuts it out"), "{status}");
    assert!(!status["safe_now"].to_string().contains("leaving"), "{status}");
    let words = world.case("one").in_words().run(&["status", CREDENTIAL]);
    ends(&words, STUCK);
    assert!(words.stdout.starts_with("NOT SHUT OUT") && !words.stdout.contains("RUNNING"), "{words}");
    ends(&case.resume(), DONE);
    ends(&case.run(&["status", CREDENTIAL]), DONE);
    clean(&world, &live(&world));
}
