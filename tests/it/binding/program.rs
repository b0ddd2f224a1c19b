//! The program: what was approved is what runs, and what was begun goes on only where it was begun.

use std::path::PathBuf;

use rustix::process::Signal;

use super::edited;
use crate::support::exit::{DONE, REFUSED, ROLLED_BACK};
use crate::support::world::CREDENTIAL;
use crate::support::{Run, World};

/// The sandbox's inventory with one text changed, in a file of its own.
fn changed(world: &World, from: &str, to: &str) -> PathBuf {
    let text = std::fs::read_to_string(world.dir().join("inventory.yaml")).expect("the inventory is there");
    let file = world.dir().join("changed.yaml");
    std::fs::write(&file, edited(&text, from, to)).expect("it can be written");
    file
}

fn files(world: &World) -> [Vec<u8>; 2] {
    ["staging", "production"].map(|e| std::fs::read(world.env_file(e)).expect("the entry is there"))
}

fn code(run: &Run) -> String {
    assert_eq!(run.code(), REFUSED, "{run}");
    run.finished()["fault"]["code"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn s31_what_has_changed_since_it_was_approved_is_refused_and_nothing_is_changed() {
    let world = World::start();
    let case = world.case("one").scale(8);
    let args = ["plan", CREDENTIAL, "--playbook", "drill", "--time-scale", "8"];
    let planned = case.run(&args);
    assert_eq!(planned.code(), DONE, "{planned}");
    let hash = planned.events()[0]["plan_hash"].as_str().expect("a hash").to_owned();
    let rotate = ["rotate", CREDENTIAL, "--playbook", "drill", "--time-scale", "8", "--plan", &hash];
    let (account, held) = (world.account(), files(&world));
    std::fs::copy(world.env_file("production"), world.dir().join("services/elsewhere.env")).expect("it can be copied");
    let edits = [
        // Another entry with the same login in it, other ways to ask for proof, another way to reload.
        ("newsletter-production.env", "elsewhere.env"),
        ("newsletter-production/smtp-fingerprint", "newsletter-staging/smtp-fingerprint"),
        ("newsletter-production/test-send", "newsletter-staging/test-send"),
        ("newsletter-production/reload", "newsletter-staging/reload"),
        ("to: inbox@sandbox.test", "to: other@sandbox.test"),
        ("owner: newsletter-oncall@sandbox.test", "owner: nobody@sandbox.test"),
        ("{kind: env-file}", "{kind: env-file, dialect: docker}"),
    ];
    for (from, to) in edits {
        let refused = case.clone().inventory(changed(&world, from, to)).run(&rotate);
        assert_eq!(code(&refused), "HO0448", "{to}: {refused}");
        assert_eq!(refused.outcome(), "refused");
    }
    let drill = world.dir().join("playbooks/drill.yaml");
    let text = std::fs::read_to_string(&drill).expect("the drill is there");
    for (from, to) in [("soak: {for: 2s}", "soak: {for: 1s}"), ("on_failure: roll-back", "on_failure: stop")] {
        std::fs::write(&drill, edited(&text, from, to)).expect("it can be written");
        assert_eq!(code(&case.run(&rotate)), "HO0448", "{to}");
    }
    std::fs::write(&drill, text).expect("it can be written");
    assert_eq!(world.account(), account);
    assert_eq!(files(&world), held);
    assert_eq!(case.run(&["history"]).events().len(), 0, "nothing was begun");
    // The approval is still good for what was approved.
    assert_eq!(case.run(&rotate).code(), DONE);
}

#[test]
fn s12_a_rotation_goes_on_only_with_the_inventory_that_it_was_planned_with() {
    let world = World::start();
    let case = world.case("one");
    let folder = world.dir().join("playbooks");
    let drill = std::fs::read_to_string(folder.join("drill.yaml")).expect("the drill is there");
    let long = edited(&edited(&drill, "name: drill", "name: long"), "soak: {for: 2s}", "soak: {for: 4m}");
    std::fs::write(folder.join("long.yaml"), long).expect("it can be written");
    let mut going = case.rotating("long");
    going.wait_for(|e| e["event"] == "step-started" && e["step"] == 8).expect("it comes to the soak");
    going.signal(Signal::KILL);
    assert!(going.end().was_killed());
    let told = || case.run(&["status", CREDENTIAL]).events().pop().expect("a status")["last_event_at"].clone();
    let (account, last) = (world.account(), told());
    let edits = [
        (
            "newsletter-production/smtp-fingerprint",
            "newsletter-staging/smtp-fingerprint",
            "the attest of service newsletter-production is not what it was",
        ),
        ("newsletter-production.env", "elsewhere.env", "entry production is hosts:"),
        ("account: newsletter", "account: other", "the account is sandbox/other and was sandbox/newsletter"),
        ("  newsletter-staging:\n", "  newsletter-canary:\n", "service newsletter-staging is gone"),
    ];
    for (from, to, says) in edits {
        let other = case.clone().inventory(changed(&world, from, to));
        for command in ["resume", "abort"] {
            let refused = other.run(&[command, CREDENTIAL]);
            assert_eq!(code(&refused), "HO0466", "{to}: {refused}");
            let fault = &refused.finished()["fault"];
            assert!(fault["message"].as_str().is_some_and(|m| m.contains(says)), "{says}: {fault}");
            assert!(fault["hint"].as_str().is_some_and(|h| h.contains("put the inventory back as it was")), "{fault}");
        }
        if to.contains("canary") {
            let details = other.resume().finished()["details"].clone();
            assert_eq!(details, serde_json::json!(["service newsletter-canary is new: this rotation would not move it"]));
        }
    }
    assert_eq!((world.account(), told()), (account, last), "nobody has taken it over");
    // Who answers for a service may change meanwhile.
    let other = changed(&world, "owner: newsletter-oncall@sandbox.test", "owner: nights@sandbox.test");
    let aborted = case.clone().inventory(other).run(&["abort", CREDENTIAL]);
    assert_eq!(aborted.code(), ROLLED_BACK, "{aborted}");
    assert_eq!(world.unclean(None), Vec::<String>::new());
}
