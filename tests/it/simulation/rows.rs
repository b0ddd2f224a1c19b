//! The boundaries by name, and the rows of the fault matrix (safety.md) that each is. A call that has no line here has no points
//! in the sweep: the test at the end finds it in the sources.

use std::collections::BTreeSet;

/// A kind of boundary: what the simulation calls it, and its rows.
pub(crate) const KINDS: &[(&str, &[&str])] = &[
    ("begin", &["B0", "B3"]),
    ("claim", &["B1"]),
    ("renew", &["B1"]),
    ("release", &["B1"]),
    ("load", &["B1"]),
    ("unseal", &["B1"]),
    // The journal is the audit sink that effects wait for. The others, which nothing waits for: src/daemon/shipper_tests.rs.
    ("append", &["B3", "B18"]),
    ("intent", &["B3"]),
    ("finish", &["B3", "B18"]),
    ("inbox", &["B3"]),
    ("take", &["B3"]),
    ("seal", &["B5"]),
    ("host", &["B2"]),
    ("check", &["B2"]),
    ("list", &["B2", "B12"]),
    ("auth", &["B2", "B16"]),
    ("create", &["B4", "B17"]),
    ("write", &["B6", "B14"]),
    ("read", &["B7"]),
    ("reload", &["B8", "B14"]),
    ("attest", &["B8"]),
    ("send", &["B9", "B10"]),
    ("test-send", &["B9", "B10"]),
    ("arrival", &["B9"]),
    ("disable", &["B11", "B16"]),
    ("enable", &["B14", "B17"]),
    ("delete", &["B13", "B15", "B16"]),
];

/// Rows that come by only in the scenarios whose names begin so: the way back, leaks, and changes in place.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("B14", &["back", "adoption-of-a-rollback"]),
    ("B15", &["back", "adoption-of-a-rollback"]),
    ("B16", &["leak", "emergency"]),
    ("B17", &["in-place", "back-in-place", "adoption-in-place"]),
];

/// Rows of what no rotation calls or waits for, and where they are tested.
const BESIDE: &[(&str, &str)] = &[("B19", "src/daemon/outbox_tests.rs")];

/// Calls of the traits that a rotation does not make, each with the reason.
const ELSEWHERE: &[(&str, &str)] = &[
    ("post", "other processes ask; they hold no rotation"),
    ("verify", "for the audit; it changes nothing"),
    ("export_rows", "for the audit; it changes nothing"),
    ("key_mark", "before any rotation is held"),
    ("bind_key", "before any rotation is held"),
    ("flush", "housekeeping: what it moves is durable already"),
    ("asked", "the daemon looks whose inbox has something; what that is comes by `inbox`"),
    ("lacks", "words about an entry that was read already"),
    ("permitted", "asked while a rotation is planned, before it is begun; it changes nothing"),
    ("can_hold", "asked before what a person made is taken in; it changes nothing"),
    ("warnings", "words for a person, before and beside a rotation"),
];

/// Calls whose boundary has another name than their method.
const NAMED: &[(&str, &str)] = &[
    ("check_writable", "check"),
    ("arrived", "arrival"),
    ("sealed", "unseal"),
    ("take_from_inbox", "take"),
    ("test_send", "test-send"),
    ("write_marked", "write"),
];

/// The kind of a boundary: the first word of its name.
pub(crate) fn kind(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

/// Which kinds of boundaries each scenario passes, as in the table that the sweep is held to.
fn passed() -> BTreeSet<(String, String)> {
    let mut scenario = String::new();
    let mut passed = BTreeSet::new();
    for line in include_str!("snapshots/boundaries.snap").lines().skip_while(|l| !l.contains(" points")) {
        match line.strip_prefix("  ") {
            Some(of) => drop(passed.insert((kind(of).to_owned(), scenario.clone()))),
            None => line.split(':').next().unwrap_or_default().clone_into(&mut scenario),
        }
    }
    passed
}

/// Whether a boundary of this kind is this row somewhere in the sweep.
fn is_struck(passed: &BTreeSet<(String, String)>, of: &str, row: &str) -> bool {
    let only = ONLY_IN.iter().find(|(name, _)| *name == row).map(|(_, scenarios)| *scenarios);
    let counts = |scenario: &str| only.is_none_or(|only| only.iter().any(|start| scenario.starts_with(start)));
    passed.iter().any(|(kind, scenario)| kind == of && counts(scenario))
}

#[test]
fn every_row_of_the_fault_matrix_is_swept_or_named() {
    let passed = passed();
    let unknown: Vec<_> = passed.iter().filter(|(kind, _)| !KINDS.iter().any(|(known, _)| known == kind)).collect();
    assert!(unknown.is_empty(), "boundaries without a row: {unknown:?}");
    let all: Vec<String> = (0..20).map(|number| format!("B{number}")).collect();
    let mut swept = BTreeSet::new();
    for (kind, rows) in KINDS {
        for row in *rows {
            assert!(all.iter().any(|r| r == row), "the fault matrix has no row {row}");
            assert!(is_struck(&passed, kind, row), "{row}: no scenario of the sweep passes a boundary `{kind}` that is it");
            swept.insert(*row);
        }
    }
    for row in &all {
        let named = BESIDE.iter().find(|(name, _)| name == row);
        assert!(swept.contains(row.as_str()) != named.is_some(), "{row}: swept or named as tested elsewhere, {named:?}");
    }
    for (row, place) in BESIDE {
        let text = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(place));
        assert!(text.is_ok_and(|text| text.contains("#[tokio::test")), "{row}: no test in {place}");
    }
}

/// The methods that can wait, of a trait in a source file.
fn methods(path: &str, of: &str) -> Vec<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let start = text.find(&format!("pub trait {of}:")).unwrap_or_else(|| panic!("no trait {of} in {}", path.display()));
    let body = text[start..].split("\n}\n").next().unwrap_or_default();
    let found: Vec<String> = body
        .lines()
        .filter_map(|l| l.trim().strip_prefix("async fn ")?.split(['(', '<']).next().map(str::to_owned))
        .collect();
    assert!(!found.is_empty(), "no method of {of} was read");
    found
}

#[test]
fn every_call_of_a_port_and_of_the_journal_is_a_boundary() {
    let traits = [
        ("src/journal/mod.rs", "Journal"),
        ("src/providers/mod.rs", "Provider"),
        ("src/stores/mod.rs", "Store"),
        ("src/services/mod.rs", "Reload"),
        ("src/services/mod.rs", "Attest"),
        ("src/services/mod.rs", "TestSend"),
        ("src/mail/mod.rs", "Mail"),
    ];
    let mut without = Vec::new();
    for (path, of) in traits {
        for method in methods(path, of) {
            let name = NAMED.iter().find(|(m, _)| *m == method).map_or(method.as_str(), |(_, name)| *name);
            let known = KINDS.iter().any(|(kind, _)| *kind == name) || ELSEWHERE.iter().any(|(m, _)| *m == method);
            if !known {
                without.push(format!("{of}::{method}"));
            }
        }
    }
    assert!(
        without.is_empty(),
        "calls without points in the sweep: {}. Let the simulated adapter pass a boundary (`Sim::pass`), give it a line in KINDS of \
         tests/it/simulation/rows.rs, and renew the table of the sweep.",
        without.join(", ")
    );
}
