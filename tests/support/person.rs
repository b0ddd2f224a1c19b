//! The person at the console of a relay without an API (shape D): what they do there, and what they tell Handover.

use std::process::Command;

use serde_json::Value;

use super::world::CREDENTIAL;
use super::{Case, HANDOVER, Run, World};

/// What somebody does at the console.
pub(crate) fn person(world: &World, action: &str, name: &str) -> Value {
    let mut command = Command::new(HANDOVER);
    command.args(["sandbox", "--json", "--dir"]).arg(world.dir()).args(["--person", action, name]);
    let out = command.output().expect("the program starts");
    assert!(out.status.success(), "{action} {name}: {}", String::from_utf8_lossy(&out.stdout));
    serde_json::from_slice(&out.stdout).expect("JSON")
}

/// A login that somebody made, and the file of its password.
pub(crate) fn made(world: &World) -> (String, String) {
    let did = person(world, "create", CREDENTIAL);
    let text = |key: &str| did[key].as_str().expect("a text").to_owned();
    (text("username"), text("password_file"))
}

/// The command that hands it over.
pub(crate) fn supplying((username, file): &(String, String)) -> [&str; 6] {
    ["supply", CREDENTIAL, "--username", username, "--password-file", file]
}

/// What a status says that a person is asked.
pub(crate) fn asked(case: &Case<'_>) -> Value {
    case.run(&["status", CREDENTIAL]).events().pop().map(|status| status["asked"].clone()).unwrap_or_default()
}

pub(crate) fn done(case: &Case<'_>) -> Run {
    case.run(&["done", CREDENTIAL])
}
