//! The edges of an installation: two journals at one account, entries that do not agree, folders that are not ours, keys and
//! files that are not as they should be. Each is told with its name and a way out, before anything is changed.

mod entries;
mod folders;
mod journals;
mod leaks;

use crate::support::{Run, World};

/// The exit status must be this one.
#[track_caller]
fn ends(run: &Run, code: i32) {
    assert_eq!(run.code(), code, "{run}");
}

/// What it said names all of these.
#[track_caller]
fn names(run: &Run, wanted: &[&str]) {
    for part in wanted {
        assert!(run.said().contains(part), "{part:?} is not named: {run}");
    }
}

/// Changes the text of an entry's file.
fn edit(world: &World, environment: &str, change: impl Fn(&str) -> String) {
    let path = world.env_file(environment);
    let text = std::fs::read_to_string(&path).expect("the entry can be read");
    let changed = change(&text);
    assert_ne!(text, changed);
    std::fs::write(&path, changed).expect("the entry can be written");
}

/// A wrong password in the file, and no other byte changed.
fn spoil(world: &World, environment: &str, password: &str) {
    edit(world, environment, |text| {
        let held = text.split("\nSMTP_PASSWORD=").nth(1).and_then(|t| t.split('\n').next()).expect("it holds a password");
        text.replace(held, password)
    });
}
