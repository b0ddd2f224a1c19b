//! A password that is typed: at a real terminal, which does not show it and is as it was afterwards.

use std::process::Command;

use serde_json::Value;

use super::ends;
use crate::support::exit::{BAD_INPUT, WAITING};
use crate::support::person::made;
use crate::support::world::CREDENTIAL;
use crate::support::{Case, World};

/// What came of it at a terminal where this is typed.
struct Seen {
    shown: String,
    echoed: bool,
    status: i64,
}

/// Runs `supply` in a shell at a terminal, which tells afterwards how the terminal is.
fn typing(case: &Case<'_>, username: &str, typed: &str) -> Seen {
    let supply = case.command(&["supply", CREDENTIAL, "--username", username]);
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/terminal.py"));
    command.args(["it is not shown", typed, "sh", "-c", "\"$@\"; code=$?; stty -a; exit $code", "sh"]);
    command.arg(supply.get_program()).args(supply.get_args());
    let out = command.output().expect("python3 starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let seen: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    Seen {
        shown: seen["shown"].as_str().expect("a text").to_owned(),
        echoed: seen["echoed"].as_bool().unwrap_or_else(|| panic!("nothing was asked: {seen}")),
        status: seen["status"].as_i64().expect("a status"),
    }
}

#[test]
fn a_password_is_typed_without_being_shown_and_the_terminal_is_put_back() {
    let world = World::with(&["--shape", "manual"]);
    let case = world.case("one").in_words();
    ends(&case.rotate("drill"), WAITING);
    let (username, file) = made(&world);
    let password = std::fs::read_to_string(file).expect("the password").trim().to_owned();
    // Who gives up, types nothing, or types what it is not, has handed nothing over.
    for (keys, says, status) in [
        ("half\u{3}", "no password was given", BAD_INPUT),
        ("\r", "is empty", BAD_INPUT),
        ("a\tb\r", "control character", BAD_INPUT),
    ] {
        let seen = typing(&case, &username, keys);
        assert!(!seen.echoed && seen.shown.contains(says) && !seen.shown.contains("half"), "{}", seen.shown);
        assert_eq!(seen.status, i64::from(status), "{}", seen.shown);
        assert!(is_as_it_was(&seen.shown), "{}", seen.shown);
    }
    // Ctrl-U forgets what was typed before.
    let seen = typing(&case, &username, &format!("wrong\u{15}{password}\r"));
    assert_eq!((seen.echoed, seen.status), (false, i64::from(WAITING)), "{}", seen.shown);
    assert!(seen.shown.contains("password of ") && seen.shown.contains("disable the old version"), "{}", seen.shown);
    assert!(!seen.shown.contains(&password) && !seen.shown.contains("wrong"), "{}", seen.shown);
    assert!(is_as_it_was(&seen.shown), "{}", seen.shown);
}

/// What `stty` says of it: it shows what is typed, in lines, and sends signals.
fn is_as_it_was(shown: &str) -> bool {
    let words: Vec<&str> = shown.split_whitespace().map(|word| word.trim_end_matches(';')).collect();
    ["echo", "icanon", "isig"].iter().all(|word| words.contains(word))
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let world = World::with(&["--shape", "manual"]);
    let case = world.case("one");
    ends(&case.rotate("drill"), WAITING);
    let run = case.run(&["supply", CREDENTIAL, "--username", "newsletter.2"]);
    ends(&run, BAD_INPUT);
    assert_eq!(run.finished()["fault"]["code"], "HO0469", "{run}");
}
