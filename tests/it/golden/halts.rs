//! What this release cannot read halts: every command says so with a code that has a page, and nothing is done (safety.md S28).

use std::path::Path;

use handover::journal::{Append, Filter, Journal, NewEvent, Options, Owner, Room, SqliteJournal, system_stamp};

use super::wait;
use crate::support::exit::{DONE, ERROR, WAITING};
use crate::support::world::CREDENTIAL;
use crate::support::{Case, World};

/// Everything that would act on an open rotation or speak about it.
const COMMANDS: &[&[&str]] = &[
    &["resume", CREDENTIAL],
    &["approve", CREDENTIAL],
    &["abort", CREDENTIAL],
    &["status", CREDENTIAL],
    &["resume", "--due"],
    &["audit", "export", CREDENTIAL],
];

/// A rotation at a gate, whose journal is then written to by `change`.
fn at_a_gate(change: impl FnOnce(&Path), code: &str) {
    let world = World::start();
    let folder = world.dir().join("playbooks");
    let drill = std::fs::read_to_string(folder.join("drill.yaml")).expect("the drill is there");
    let gated = drill
        .replace("name: drill", "name: gated")
        .replace("  - deactivate", "  - approve: {by: oncall, within: 4h}\n  - deactivate");
    std::fs::write(folder.join("gated.yaml"), gated).expect("the playbook is written");
    let case = world.case("one").scale(8);
    let run = case.rotate("gated");
    assert_eq!(run.code(), WAITING, "{run}");
    let outside = || {
        let account = format!("{:?}", world.account().versions);
        (account, ["staging", "production"].map(|e| std::fs::read(world.env_file(e)).expect("an entry")))
    };
    let before = outside();

    change(&case.state);
    let rows = count(&case);
    for args in COMMANDS {
        let run = case.run(args);
        assert_eq!(run.code(), ERROR, "{args:?}: {run}");
        let said = run.finished()["fault"]["code"].clone();
        // The audit looks at the whole chain, and may meet the same break from its other side.
        assert!(said == code || args[0] == "audit" && said == "HO0307", "{args:?}: {run}");
        assert!(run.finished()["fault"]["hint"].as_str().is_some_and(|h| !h.is_empty()), "{args:?}: {run}");
    }
    // Nor does a new rotation of the same account begin beside it.
    let another = case.rotate("drill");
    assert_ne!(another.code(), DONE, "{another}");
    assert_eq!(outside(), before, "nothing outside has changed");
    assert_eq!(count(&case), rows, "nothing was written");
    let page = case.clone().in_words().run(&["explain", code]);
    assert_eq!(page.code(), DONE, "{page}");
    assert!(page.stdout.contains("Cause:") && page.stdout.contains("Do:"), "{page}");
}

fn count(case: &Case<'_>) -> i64 {
    let c = rusqlite::Connection::open(case.state.join("journal.db")).expect("opens");
    c.query_row("SELECT count(*) FROM events", [], |r| r.get(0)).expect("counts")
}

/// Adds a row as another release would: sound in every way, but for what it says.
fn add(state: &Path, payload: &str) {
    wait(async {
        let journal = SqliteJournal::open(Options::new(state)).expect("opens");
        let header = journal.list(Filter::default()).await.expect("lists").remove(0);
        let last = journal.load(&header.id).await.expect("loads").pop().expect("a row");
        let claim = journal.claim(&header.id, &Owner::current().expect("an owner")).await.expect("claims");
        let event = NewEvent { stamp: system_stamp(), at: last.at, payload: payload.to_owned(), known: Vec::new() };
        let (id, epoch, expected_seq) = (header.id.clone(), claim.epoch, claim.seq);
        let append = Append {
            id,
            epoch,
            expected_seq,
            events: vec![event],
            sealed: Vec::new(),
            notices: Vec::new(),
            room: Room::Ordinary,
        };
        journal.append(append).await.expect("appends");
        journal.release(&header.id, claim.epoch).await.expect("releases");
    });
}

/// Changes the database from the side.
fn intrude(state: &Path, change: &str) {
    let c = rusqlite::Connection::open(state.join("journal.db")).expect("opens");
    let triggers = "DROP TRIGGER events_stay; DROP TRIGGER events_are_final; PRAGMA foreign_keys = OFF;";
    c.execute_batch(&format!("{triggers} {change}")).expect("changes");
}

#[test]
fn an_event_of_a_newer_release_halts() {
    at_a_gate(|state| add(state, r#"{"event":"teleported","to":"elsewhere"}"#), "HO0431");
}

#[test]
fn an_event_with_a_value_that_this_release_does_not_know_halts() {
    at_a_gate(|state| add(state, r#"{"event":"finished","ending":"half-done"}"#), "HO0431");
}

#[test]
fn an_event_that_does_not_follow_halts() {
    at_a_gate(|state| add(state, r#"{"event":"step-finished","step":99}"#), "HO0432");
}

#[test]
fn a_second_beginning_halts() {
    at_a_gate(
        |state| {
            let c = rusqlite::Connection::open(state.join("journal.db")).expect("opens");
            let first: String =
                c.query_row("SELECT payload FROM events WHERE seq = 1", [], |r| r.get(0)).expect("the first row");
            drop(c);
            add(state, &first);
        },
        "HO0432",
    );
}

#[test]
fn a_row_of_a_newer_format_halts() {
    at_a_gate(|state| intrude(state, "UPDATE events SET format = 2 WHERE seq = 9;"), "HO0324");
}

#[test]
fn a_gap_in_the_rows_halts() {
    at_a_gate(|state| intrude(state, "DELETE FROM events WHERE seq = 9;"), "HO0307");
}

#[test]
fn a_log_that_is_shorter_than_what_was_written_halts() {
    at_a_gate(|state| intrude(state, "UPDATE rotations SET seq = seq + 1;"), "HO0308");
}

#[test]
fn a_log_whose_end_was_cut_off_halts() {
    // The anchor has seen more.
    at_a_gate(|state| intrude(state, "DELETE FROM events WHERE n = (SELECT max(n) FROM events);"), "HO0309");
}

#[test]
fn a_database_of_a_newer_schema_halts() {
    at_a_gate(|state| intrude(state, "PRAGMA user_version = 99;"), "HO0305");
}
