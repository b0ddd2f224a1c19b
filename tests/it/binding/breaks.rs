//! Each hand-made break of an approval turns the test red that is there for it, which by itself is green.

use std::process::{Command, Stdio};

use handover::mutant::{Mutant, variable};

const BREAKS: &[(Mutant, &str)] = &[
    (Mutant::HashOfLess, "fields::s31_a_change_of_any_field_of_a_plan_changes_its_hash"),
    (Mutant::HashIgnored, "program::s31_what_has_changed_since_it_was_approved_is_refused_and_nothing_is_changed"),
];

/// Runs a test in a process of its own; the program that it starts is broken like itself.
fn is_green(test: &str, broken: Option<Mutant>) -> bool {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args(["--exact", &format!("binding::{test}")]).envs(broken.map(variable));
    let output = command.stdin(Stdio::null()).output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("running 1 test"), "there is no test {test}: {text}");
    output.status.success()
}

#[test]
fn every_break_of_an_approval_is_noticed() {
    for (mutant, test) in BREAKS {
        assert!(is_green(test, None), "{test} fails by itself");
        assert!(!is_green(test, Some(*mutant)), "{mutant:?} is not noticed by {test}");
        println!("{mutant:?} turns {test} red");
    }
    println!("{0} of {0} breaks noticed", BREAKS.len());
}
