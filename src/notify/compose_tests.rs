//! What people are told of whole rotations: the golden journals of every kind of play, event by event, as one text that is read in
//! a review; and what a hostile server can do to it.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use handover_rotation::apply::fold;
use handover_rotation::event::{Event, Failure, FailureKind};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::state::Rotation;

use super::{of_event, of_task, still_stuck};
use crate::engine::events;
use crate::journal::{Filter, Journal, Options, Row, SqliteJournal};
use crate::notify::Notice;

fn journals() -> Vec<PathBuf> {
    let shelf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journals/0.1.0");
    let mut found: Vec<PathBuf> = std::fs::read_dir(shelf).unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    found
}

/// The rotations of a journal, the oldest first.
fn rotations(journal: &Path) -> Vec<Vec<Row>> {
    let folder = tempfile::tempdir().unwrap();
    for file in ["journal.db", "anchor"] {
        let to = folder.path().join(file);
        std::fs::copy(journal.join(file), &to).unwrap();
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let journal = SqliteJournal::open(Options::new(folder.path()).inline()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut all = Vec::new();
        for header in journal.list(Filter::default()).await.unwrap().into_iter().rev() {
            all.push(journal.load(&header.id).await.unwrap());
        }
        all
    })
}

/// Each event of a rotation with the state that it led to.
fn history(rows: &[Row]) -> Vec<(Rotation, Event, &Row)> {
    let all = events(rows).unwrap();
    let state = |n| fold(all[..n].iter().map(|(at, event)| (*at, event))).unwrap();
    rows.iter().enumerate().map(|(n, row)| (state(n + 1), all[n].1.clone(), row)).collect()
}

fn shown(notice: &Notice) -> String {
    let ends = if notice.ends { ", the end" } else { "" };
    let (kind, severity) = (notice.kind.word(), notice.severity.word());
    format!("[{kind}, {severity}{ends}; owners {:?}; not through {:?}]\n{}\n", notice.owners, notice.logins, notice.text())
}

#[test]
fn what_people_are_told_of_each_kind_of_rotation() {
    let (mut text, mut ids, mut kinds) = (String::new(), BTreeSet::new(), BTreeSet::new());
    for journal in journals() {
        text.push_str(&format!("===== {}\n\n", journal.file_name().unwrap().to_string_lossy()));
        for rows in rotations(&journal) {
            let history = history(&rows);
            for (state, event, row) in &history {
                let Some(notice) = of_event(state, event, row.seq, row.stamp.wall_ms) else { continue };
                assert_eq!(of_event(state, event, row.seq, row.stamp.wall_ms).as_ref(), Some(&notice), "it is a function");
                assert!(ids.insert(notice.id.clone()), "{} twice", notice.id);
                kinds.insert(notice.kind);
                assert_eq!(notice.incident, row.rotation.as_str());
                text.push_str(&shown(&notice));
            }
            let (last, _, row) = history.last().unwrap();
            if let Some(task) = of_task(last, last.at, row.stamp.wall_ms) {
                text.push_str(&shown(&task));
            }
        }
    }
    assert!(kinds.len() >= 6, "{kinds:?}");
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("notices_of_the_golden_journals", text);
    });
}

#[test]
fn every_rotation_that_begins_is_told_of_and_each_that_ends_once() {
    for journal in journals() {
        for rows in rotations(&journal) {
            let history = history(&rows);
            let told: Vec<Notice> =
                history.iter().filter_map(|(state, event, row)| of_event(state, event, row.seq, 0)).collect();
            assert!(!told.is_empty(), "{}", journal.display());
            let over = history.last().unwrap().0.ended().is_some();
            let ends = told.iter().filter(|n| n.ends).count();
            assert!(ends <= 1 && (ends == 0 || over), "{}", journal.display());
            // Logins are told to the outbox, so that no mail goes through them.
            let plan = &history[0].0.plan;
            assert!(told.iter().all(|n| n.logins.contains(&plan.old.username.to_string())));
        }
    }
}

#[test]
fn what_a_server_said_stays_in_its_line_and_is_cut() {
    let stuck = journals().into_iter().find(|j| j.ends_with("stuck")).unwrap();
    let rows = rotations(&stuck).pop().unwrap();
    let (mut state, _, row) = history(&rows).pop().unwrap();
    let said = format!("535 go away\r\n\u{1b}[31m\u{202e}<script>alert(1)</script> <!channel> {}", "x".repeat(4_000));
    let mut fault = Fault::new(FaultClass::Permanent, "HO0801", said.clone());
    fault.message = said.clone();
    fault.hint = Some(said.clone());
    let failure = Failure { kind: FailureKind::Target, command: None, fault };
    state.failure = Some(failure.clone());
    let event = Event::Stuck { failure, todo: vec![said; 50] };
    let told = [of_event(&state, &event, 9, 0).unwrap(), still_stuck(&state, 1, 0)];
    assert_ne!(told[0].id, told[1].id);
    for notice in told {
        let lines: Vec<&str> = notice.text().lines().map(|_| "").collect();
        assert!(lines.len() < 60);
        for line in notice.lines.iter().chain([&notice.title]) {
            assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
            assert!(line.chars().count() <= 600);
        }
        assert!(notice.to_json().len() < 64 << 10);
        let slack = super::super::slack::body(&notice).to_string();
        assert!(!slack.contains("<script") && !slack.contains("<!channel>"), "{slack}");
        assert_eq!(row.rotation.as_str(), notice.incident);
    }
}
