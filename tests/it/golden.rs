//! Golden journals: those of every release open, verify, fold to what they folded to when they were made, and can be gone on
//! with (safety.md S28). What this release cannot read is left alone, by every command.
//!
//! `tests/golden/journals/RELEASE/NAME/` holds a database, its anchor and the fold as a text. `make` writes those of this
//! release; CONTRIBUTING.md says when.

mod halts;
mod make;

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use handover::engine::{events, replay};
use handover::journal::{Filter, Journal, Options, SqliteJournal};
use handover_rotation::event::Event;
use handover_rotation::state::Rotation;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::exit::{DONE, STUCK};
use crate::support::{Going, HANDOVER, Run};

/// What a journal's folder holds.
const FILES: [&str; 2] = ["journal.db", "anchor"];

fn shelf() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journals")
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(of).unwrap_or_else(|e| panic!("{}: {e}", of.display()));
    let mut folders: Vec<PathBuf> = entries.map(|e| e.expect("lists").path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    folders
}

/// All journals, those of the oldest release first.
fn journals() -> Vec<PathBuf> {
    folders(&shelf()).iter().flat_map(|release| folders(release)).collect()
}

/// A copy that may be written to: opening a journal does.
fn copy(journal: &Path) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in FILES {
        let to = folder.path().join(file);
        std::fs::copy(journal.join(file), &to).unwrap_or_else(|e| panic!("{}/{file}: {e}", journal.display()));
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).expect("is made private");
    }
    folder
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

/// Runs the program on a state folder, without a sandbox, an inventory or a network.
fn handover(state: &Path, args: &[&str]) -> Run {
    let mut command = Command::new(HANDOVER);
    command.args(args).arg("--state").arg(state).arg("--json").stdin(Stdio::null());
    Going::start(command).end()
}

/// The state of every rotation of a journal, as a text that shows each part of it that rules depend on.
fn told(state: &Path) -> String {
    let mut out = String::new();
    for (rotation, events) in rotations(state) {
        tell(&mut out, &rotation, &events).expect("a text");
    }
    out
}

fn rotations(state: &Path) -> Vec<(Rotation, Vec<Event>)> {
    let journal = SqliteJournal::open(Options::new(state)).unwrap_or_else(|e| panic!("it does not open: {e}"));
    wait(async {
        let report = journal.verify().await.unwrap_or_else(|e| panic!("it does not verify: {e}"));
        let headers = journal.list(Filter::default()).await.expect("it lists");
        assert_eq!((report.rotations, report.rows > 0), (headers.len() as u64, true));
        let mut found = Vec::new();
        for header in headers {
            let rows = journal.load(&header.id).await.unwrap_or_else(|e| panic!("it does not load: {e}"));
            let rotation = replay(&header.id, &rows).unwrap_or_else(|e| panic!("it does not fold: {e}"));
            assert_eq!(rotation.ended().is_some(), header.finished, "{}", header.id);
            found.push((rotation, events(&rows).expect("what folds is known").into_iter().map(|(_, e)| e).collect()));
        }
        found
    })
}

fn tell(out: &mut String, r: &Rotation, events: &[Event]) -> std::fmt::Result {
    writeln!(out, "rotation {} of {}, playbook {}", r.id, r.plan.credential, r.plan.playbook.name)?;
    writeln!(out, "events {} of {} ms", events.len(), r.at.since(r.started_at).0)?;
    writeln!(out, "phase {:?}", r.phase)?;
    writeln!(out, "step {} of {}, begun {}", r.step, r.plan.playbook.steps.len(), r.step_started.is_some())?;
    writeln!(out, "target {}, no return {}, containing {}", r.target, r.no_return, r.containing)?;
    for (slot, v) in &r.versions {
        let id = v.id.as_ref().map_or("?", |id| id.as_str());
        let marks = [("sealed", v.sealed), ("compromised", v.compromised), ("delete intended", v.delete_intended)];
        let marks: Vec<&str> = marks.iter().filter(|(_, is)| *is).map(|(mark, _)| *mark).collect();
        writeln!(out, "version {slot} {id}: {:?} {}", v.live, marks.join(", "))?;
        if let Some(login) = v.login {
            writeln!(out, "  login accepted {}, {} in a row", login.accepted, login.streak)?;
        }
    }
    for (name, e) in &r.entries {
        writeln!(out, "entry {name}: {:?}, {} mails with {}", e.holds, e.probes, e.probed)?;
    }
    for (name, s) in &r.services {
        writeln!(out, "service {name}: reloaded {:?}, presents {:?}, {} mails", s.reloaded, s.presents, s.sends)?;
    }
    for (effect, flight) in &r.flights {
        writeln!(out, "under way {effect}: {}", flight.command)?;
    }
    for (command, tries) in &r.tries {
        writeln!(out, "failed {command}: {} times, {}", tries.count, tries.fault.code)?;
    }
    if let Some(failure) = &r.failure {
        writeln!(out, "failure {:?}: {}", failure.kind, failure.fault.code)?;
    }
    writeln!(out, "gates opened {:?}, abort asked {}", r.approved, r.abort.is_some())
}

#[test]
fn the_journals_of_every_release_fold_to_what_they_did() {
    let journals = journals();
    assert!(journals.len() >= 10, "only {} journals", journals.len());
    for journal in journals {
        let folder = copy(&journal);
        let text = told(folder.path());
        let expected = journal.join("fold.txt");
        let expected = std::fs::read_to_string(&expected).unwrap_or_else(|e| panic!("{}: {e}", expected.display()));
        assert_eq!(text, expected, "{}", journal.display());
    }
}

#[test]
fn the_program_shows_every_golden_journal_and_says_what_is_next() {
    let mut unfinished = 0;
    for journal in journals() {
        let folder = copy(&journal);
        let verified = handover(folder.path(), &["audit", "verify"]);
        assert_eq!(verified.code(), DONE, "{}: {verified}", journal.display());
        let history = handover(folder.path(), &["history"]);
        assert_eq!((history.code(), history.events().len()), (DONE, rotations(folder.path()).len()), "{history}");
        for (rotation, _) in rotations(folder.path()) {
            let status = handover(folder.path(), &["status", rotation.id.as_str()]);
            let said = status.events().pop().unwrap_or_default();
            assert_eq!(said["rotation"], rotation.id.as_str(), "{status}");
            let stuck = matches!(rotation.phase, handover_rotation::state::Phase::Stuck { .. });
            assert_eq!(status.code(), if stuck { STUCK } else { DONE }, "{status}");
            if rotation.ended().is_none() {
                unfinished += 1;
                assert!(said["next"]["command"].as_str().is_some_and(|c| c.contains("handover ")), "{said}");
                assert_ne!(said["step"]["name"], Value::Null, "{said}");
            }
        }
    }
    assert!(unfinished >= 3, "only {unfinished} are unfinished");
}

#[test]
fn golden_journals_carry_no_secret_and_nothing_of_the_machine_that_made_them() {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for journal in journals() {
        let bytes = std::fs::read(journal.join(FILES[0])).expect("reads");
        assert!(bytes.len() <= 128 * 1024, "{} has {} bytes", journal.display(), bytes.len());
        let text = String::from_utf8_lossy(&bytes);
        for word in ["/dev/shm", "/tmp/", "/home/", "/work", "/root", "handover-it-"] {
            assert!(!text.contains(word), "{} names {word}", journal.display());
        }
        // A short name of a host may stand in any text by chance.
        assert!(host.len() < 5 || host == make::HOST || !text.contains(&host), "{} names {host}", journal.display());
    }
}
