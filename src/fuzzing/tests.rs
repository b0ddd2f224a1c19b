//! The committed corpora, replayed: what a fuzz run once found stays found.

use std::path::{Path, PathBuf};

use super::{TARGETS, target};

/// More would make every test run longer for little.
const MOST_FILES: usize = 60;
const MOST_BYTES: u64 = 200 * 1024;

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

fn replay(name: &str) {
    let target = target(name).expect("the target is known");
    let mut inputs = 0;
    for entry in std::fs::read_dir(corpus(name)).expect("there is a corpus") {
        let path = entry.expect("lists").path();
        let input = std::fs::read(&path).expect("reads");
        if std::panic::catch_unwind(|| target(&input)).is_err() {
            panic!("{} breaks the target {name}", path.display());
        }
        inputs += 1;
    }
    assert!(inputs >= 5, "only {inputs} inputs for {name}");
}

#[test]
fn a_report_of_a_leak_shows_no_secret_and_a_refusal_nothing_of_it() {
    replay("alerts");
}

#[test]
fn schedules_come_as_they_say() {
    replay("calendar");
}

#[test]
fn an_edit_changes_two_values_and_nothing_else() {
    replay("env_file");
}

#[test]
fn what_is_shown_steers_no_terminal() {
    replay("escaping");
}

#[test]
fn an_imap_server_is_heard_alike_in_any_pieces() {
    replay("imap");
}

#[test]
fn a_problem_of_an_inventory_has_its_place_and_no_secret() {
    replay("inventory");
}

#[test]
fn rows_fold_or_are_refused_and_changed_ones_do_not_load() {
    replay("journal");
}

#[test]
fn nobody_passes_for_somebody_else_in_a_mail_log() {
    replay("mail_log");
}

#[test]
fn a_problem_of_a_playbook_has_its_place_and_no_secret() {
    replay("playbook");
}

#[test]
fn nothing_opens_but_what_was_sealed() {
    replay("sealed");
}

#[test]
fn an_smtp_server_is_heard_alike_in_any_pieces() {
    replay("smtp_reply");
}

#[test]
fn every_target_is_replayed_and_every_corpus_has_its_target_and_is_small() {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    let this = include_str!("tests.rs");
    assert!(names.iter().all(|name| this.contains(&format!("replay(\"{name}\")"))), "a target is not replayed");
    let mut found: Vec<String> = Vec::new();
    for folder in std::fs::read_dir(corpus("")).expect("there are corpora") {
        let folder = folder.expect("lists").path();
        found.push(folder.file_name().expect("a name").to_string_lossy().into_owned());
        let sizes: Vec<u64> = std::fs::read_dir(&folder)
            .expect("lists")
            .map(|f| f.and_then(|f| f.metadata()).expect("a file").len())
            .collect();
        let (files, bytes) = (sizes.len(), sizes.iter().sum::<u64>());
        assert!(files <= MOST_FILES && bytes <= MOST_BYTES, "{}: {files} files, {bytes} bytes", folder.display());
    }
    found.sort();
    assert_eq!(found, names);
}
