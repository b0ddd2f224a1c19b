//! Makes the golden journals of this release: real rotations of the built program in a sandbox at a neutral place.
//!
//! Does nothing unless `HANDOVER_GOLDEN` names that place, an empty folder; `scripts/golden-journals` sets the stage.

use std::path::{Path, PathBuf};

use handover::journal::{Journal, Options, SqliteJournal};
use rustix::process::Signal;

use super::{FILES, shelf, told, wait};
use crate::support::exit::{DONE, REFUSED, ROLLED_BACK, STUCK, WAITING};
use crate::support::world::CREDENTIAL;
use crate::support::{Case, World};

/// The name that the machine must have while they are made.
pub(super) const HOST: &str = "sandbox";

/// The release whose journals are made.
const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// A day becomes a second.
const QUICK: u32 = 86_400;

struct Stage {
    place: PathBuf,
}

impl Stage {
    /// One journal: a world of its own, always at the same place, and what is done in it.
    fn make(&self, name: &str, args: &[&str], play: impl FnOnce(&World, &Case<'_>)) {
        let folder = tempfile::Builder::new().prefix("sandbox").rand_bytes(0).tempdir_in(&self.place).expect("a folder");
        let world = World::within(folder, args);
        let case = world.case(name);
        play(&world, &case);
        keep(&case.state, &shelf().join(RELEASE).join(name));
    }
}

/// Takes a journal over: its database in one file without what was deleted, its anchor, and what it folds to.
fn keep(state: &Path, to: &Path) {
    wait(async {
        let journal = SqliteJournal::open(Options::new(state)).expect("the journal opens");
        journal.flush().await.expect("the anchor is written");
    });
    std::fs::create_dir_all(to).expect("a folder");
    let database = to.join(FILES[0]);
    let _ = std::fs::remove_file(&database);
    let from = rusqlite::Connection::open(state.join(FILES[0])).expect("the database opens");
    from.execute("VACUUM INTO ?1", [database.to_str().expect("a text")]).expect("the database is copied");
    std::fs::copy(state.join(FILES[1]), to.join(FILES[1])).expect("the anchor is copied");
    let copy = super::copy(to);
    std::fs::write(to.join("fold.txt"), told(copy.path())).expect("the fold is written");
}

/// The shipped drill under another name, with a part replaced.
fn playbook(world: &World, name: &str, from: &str, to: &str) {
    let folder = world.dir().join("playbooks");
    let drill = std::fs::read_to_string(folder.join("drill.yaml")).expect("the drill is there");
    assert!(drill.contains(from), "{drill}");
    let text = drill.replace("name: drill", &format!("name: {name}")).replace(from, to);
    std::fs::write(folder.join(format!("{name}.yaml")), text).expect("the playbook is written");
}

#[track_caller]
fn ends(case: &Case<'_>, playbook: &str, code: i32) {
    let run = case.rotate(playbook);
    assert_eq!(run.code(), code, "{run}");
}

#[test]
fn golden_journals_of_this_release() {
    let Some(place) = std::env::var_os("HANDOVER_GOLDEN").map(PathBuf::from) else {
        return println!("SKIPPED: golden journals are made by scripts/golden-journals only");
    };
    assert!(place.is_absolute(), "HANDOVER_GOLDEN must be an absolute path");
    assert_eq!(rustix::system::uname().nodename().to_string_lossy(), HOST, "see scripts/golden-journals");
    let stage = Stage { place };
    finished(&stage);
    open(&stage);
}

fn finished(stage: &Stage) {
    stage.make("scheduled-done", &[], |_, case| ends(&case.clone().scale(QUICK), "scheduled", DONE));
    stage.make("rolled-back", &[], |world, case| {
        world.fault("ignore-reload=newsletter-production");
        ends(&case.clone().scale(8), "drill", ROLLED_BACK);
    });
    stage.make("leak-done", &[], |_, case| ends(&case.clone().scale(60), "leak", DONE));
    stage.make("emergency-done", &[], |_, case| ends(case, "emergency", DONE));
    stage.make("in-place-done", &["--shape", "in-place"], |_, case| ends(&case.clone().scale(8), "drill", DONE));
    stage.make("alternating-done", &["--shape", "alternating"], |_, case| ends(&case.clone().scale(8), "drill", DONE));
    stage.make("refused", &[], |world, case| {
        world.fault("quota=1");
        ends(&case.clone().scale(QUICK), "scheduled", REFUSED);
    });
    stage.make("doubts-resolved", &[], |world, case| {
        world.fault("drop-answer=all");
        ends(&case.clone().scale(QUICK), "scheduled", DONE);
    });
    stage.make("aborted", &[], |_, case| {
        ends(case, "scheduled", WAITING);
        let aborted = case.run(&["abort", CREDENTIAL, "--reason", "changed my mind"]);
        assert_eq!(aborted.code(), ROLLED_BACK, "{aborted}");
    });
    stage.make("by-hand-done", BY_HAND, |world, case| {
        ends(case, "drill", WAITING);
        supplied(world, case);
        for action in ["disable", "delete"] {
            console(world, action, "newsletter.1");
            let done = case.run(&["done", CREDENTIAL]);
            assert_eq!(done.code(), if action == "delete" { DONE } else { WAITING }, "{done}");
        }
    });
    stage.make("resumed-after-kill", &[], |_, case| {
        for effect in ["create", "disable"] {
            killed_at(case, effect);
        }
        let resumed = case.resume();
        assert_eq!(resumed.code(), DONE, "{resumed}");
    });
}

/// A sandbox without an API.
const BY_HAND: &[&str] = &["--shape", "manual"];

/// What a person does at its console.
fn console(world: &World, action: &str, name: &str) -> serde_json::Value {
    let mut command = std::process::Command::new(crate::support::HANDOVER);
    command.args(["sandbox", "--json", "--dir"]).arg(world.dir()).args(["--person", action, name]);
    let out = command.output().expect("the program starts");
    serde_json::from_slice(&out.stdout).expect("JSON")
}

/// A version made by a person and handed over.
fn supplied(world: &World, case: &Case<'_>) {
    let did = console(world, "create", CREDENTIAL);
    let text = |key: &str| did[key].as_str().expect("a text").to_owned();
    let args = ["supply", CREDENTIAL, "--username", &text("username"), "--password-file", &text("password_file")];
    let run = case.run(&args);
    assert_eq!(run.code(), WAITING, "{run}");
}

/// Lets it run, or go on, until an effect of this kind is intended, and kills it there.
fn killed_at(case: &Case<'_>, effect: &str) {
    let begun = case.state.exists();
    let command = if begun { case.command(&["resume", CREDENTIAL]) } else { case.rotation_command("drill") };
    let mut going = crate::support::Going::start(command);
    going
        .wait_for(|e| e["event"] == "intended" && e["command"].get(effect).is_some())
        .unwrap_or_else(|| panic!("it comes to {effect}"));
    going.signal(Signal::KILL);
    assert!(going.end().was_killed());
}

fn open(stage: &Stage) {
    stage.make("stuck", &[], |world, case| {
        world.fault("smtp-4xx=mail");
        ends(&case.clone().scale(QUICK), "scheduled", STUCK);
    });
    stage.make("waiting-at-gate", &[], |world, case| {
        playbook(world, "gated", "  - deactivate", "  - approve: {by: oncall, within: 4h}\n  - deactivate");
        ends(&case.clone().scale(8), "gated", WAITING);
    });
    stage.make("waiting-for-a-person", BY_HAND, |world, case| {
        ends(case, "drill", WAITING);
        supplied(world, case);
    });
    stage.make("soaking", &[], |_, case| ends(case, "scheduled", WAITING));
    // A mail takes long enough that it has no outcome when its sender dies.
    stage.make("killed-in-mid-mail", &[], |_, case| {
        killed_at(case, "probe");
        assert!(told(&case.state).contains("under way"), "the mail had an outcome: make them again");
    });
}
