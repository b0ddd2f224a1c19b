//! What the tests of sources of the sealing key share: files that name one, and rotations with sealed secrets.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::exit::DONE;
use super::secrets::{found, found_under, needles};
use super::{Case, Going, Run, World};

#[track_caller]
pub(crate) fn ends(run: &Run, code: i32, says: &[&str]) {
    assert_eq!(run.code(), code, "{run}");
    for words in says {
        assert!(run.said().contains(words), "{words} is not in {run}");
    }
}

/// A file in the world's folder that names a source.
pub(crate) fn source(world: &World, name: &str, options: &str) -> PathBuf {
    let path = world.dir().join(format!("{name}.yaml"));
    std::fs::write(&path, format!("version: 1\nseal:\n  {options}\n")).expect("it is written");
    path
}

/// The same case with another source.
pub(crate) fn by<'a>(case: &Case<'a>, file: &Path) -> Case<'a> {
    case.clone().env("HANDOVER_SEAL", file.to_string_lossy())
}

/// A rotation that was killed while both versions are live and their passwords are sealed.
pub(crate) fn killed(case: &Case<'_>) -> Run {
    let mut going = case.rotating("drill");
    let came = going.wait_for_step(9).is_some();
    assert!(came, "it does not come to deactivate: {}", going.end());
    going.signal(rustix::process::Signal::KILL);
    let run = going.end();
    assert!(run.was_killed(), "{run}");
    run
}

pub(crate) fn resumed(case: &Case<'_>) -> Run {
    let run = case.resume();
    assert_eq!(run.code(), DONE, "{run}");
    let broken = tokio::task::block_in_place(|| case.broken_journal(true));
    assert_eq!(broken, Vec::<String>::new());
    run
}

/// `seal.json` of a case.
pub(crate) fn sealed(case: &Case<'_>) -> Value {
    serde_json::from_slice(&std::fs::read(case.state.join("seal.json")).expect("it is there")).expect("JSON")
}

/// Puts `seal.json` of one case into another, under that one's name.
pub(crate) fn swapped(from: &Case<'_>, to: &Case<'_>) {
    let (mut foreign, own) = (sealed(from), sealed(to));
    foreign["instance"] = own["instance"].clone();
    std::fs::write(to.state.join("seal.json"), foreign.to_string()).expect("it is written");
}

/// `args` killed before, while and after the wrapping is replaced; afterwards one of the two sources opens the key. Every step is
/// killed by the tests with OpenBao. How often it was killed.
pub(crate) fn killed_anywhere(case: &Case<'_>, args: &[&str], from: &Path, to: &Path) -> usize {
    let (before, after) = (by(case, from), by(case, to));
    let mut points = 0;
    for point in ["wrapped", "written", "renamed"] {
        let mut command = before.command(args);
        command.env("HANDOVER_CRASH_AT", format!("seal-{point}#1")).env("HANDOVER_CRASH_LOG", case.state.join("points"));
        let run = Going::start(command).end();
        points += usize::from(run.was_killed());
        let opens = [&after, &before].iter().any(|case| case.run(&["seal", "show"]).code() == DONE);
        assert!(opens, "{args:?} killed at {point}: {run}");
    }
    if after.run(&["seal", "show"]).code() != DONE {
        ends(&before.run(args), DONE, &["rewrapped"]);
    }
    points
}

/// No form of a password that was given out, nor of what opens the key, in the state folder or in what was said.
pub(crate) fn nothing_leaks(world: &World, case: &Case<'_>, more: &[&str], runs: &[&Run]) {
    let names: Vec<(String, String)> = world.account().versions.into_iter().map(|v| (v.id, v.username)).collect();
    let passwords = world.passwords();
    let mut all: Vec<_> = names.iter().filter_map(|(id, n)| Some(needles(n, passwords.get(id)?))).flatten().collect();
    all.extend(more.iter().flat_map(|secret| needles("key", secret)));
    let (seen, hits) = found_under(&case.state, &all, &|_| false);
    assert!(seen > 3 && hits.is_empty(), "{hits:?}");
    for run in runs {
        assert_eq!(found(run.said().as_bytes(), &all), Vec::<String>::new(), "{run}");
    }
}
