//! `handover usage` as a person runs it, beside a rotation of the sandbox: a log that somebody else's server would have written, and
//! what is made of it.

use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::support::exit::{BAD_INPUT, DONE};
use crate::support::world::CREDENTIAL;
use crate::support::{Case, Going, HANDOVER, Run, World};

const DAY: u64 = 86_400_000;

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_millis();
    u64::try_from(now).expect("a time")
}

fn line(at_ms: u64, what: &str) -> String {
    let at = chrono::DateTime::from_timestamp_millis(i64::try_from(at_ms).expect("a time")).expect("a time");
    format!("{} {what}\n", at.format("%Y-%m-%dT%H:%M:%S%.3fZ"))
}

fn login(at_ms: u64, name: &str, ip: &str) -> String {
    line(at_ms, &format!("submission-login: Info: Login: user=<{name}>, method=PLAIN, rip={ip}, lip=192.0.2.1, session=<x>"))
}

fn refused(at_ms: u64, name: &str, ip: &str) -> String {
    line(at_ms, &format!("auth: Info: passwd-file({name},{ip},<x>): Password mismatch (given password: hunter2)"))
}

/// The world's inventory with a log as a source.
fn inventory(world: &World, log: &str) -> PathBuf {
    let text = std::fs::read_to_string(world.dir().join("inventory.yaml")).expect("the inventory");
    let path = world.dir().join("with-usage.yaml");
    let usage = format!("usage:\n  relay: {{kind: dovecot-log, path: {log}, credentials: [{CREDENTIAL}]}}\n");
    std::fs::write(&path, text + &usage).expect("it is written");
    path
}

fn usage(case: &Case<'_>, inventory: &PathBuf, args: &[&str]) -> Run {
    let mut command = Command::new(HANDOVER);
    command.args(["usage", CREDENTIAL]).args(args).arg("--inventory").arg(inventory).arg("--state").arg(&case.state);
    Going::start(command).end()
}

fn json(run: &Run) -> Value {
    assert_eq!(run.code(), DONE, "{run}");
    serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run}"))
}

#[test]
fn a_revoked_version_that_still_logs_in_is_an_alarm_and_handovers_own_logins_are_none() {
    // Two names in turn: the log tells the versions apart.
    let world = World::with(&["--shape", "alternating"]);
    let inventory = inventory(&world, "dovecot.log");
    let log = world.dir().join("dovecot.log");
    let case = world.case("one").scale(60);
    let quiet = || -> String { (0..=190).rev().map(|n| line(now() - n * DAY / 2, "master: Info: nothing")).collect() };

    // Before anything is known: no journal, and a log without a login.
    std::fs::write(&log, quiet()).expect("it is written");
    let run = usage(&case, &inventory, &["--json", "--since", "7d"]);
    assert!(run.stderr.contains("without the journal's versions"), "{run}");
    let told = json(&run);
    assert_eq!(
        (&told["verdict"], &told["versions"][0]["version"]),
        (&"no-evidence".into(), &world.account().versions[0].id.clone().into())
    );

    let rotated = case.run(&["rotate", CREDENTIAL, "--playbook", "drill", "--time-scale", "60", "--yes"]);
    assert_eq!(rotated.code(), DONE, "{rotated}");
    let versions = world.account().versions;
    let (old, new) = (versions[0].username.clone(), versions[1].username.clone());
    let told = json(&usage(&case, &inventory, &["--json", "--since", "7d"]));
    let revoked = told["versions"][0]["revoked_ms"].as_u64().expect("it was revoked");
    assert!(told["versions"][1]["created_ms"].as_u64().expect("it was made") < revoked);

    // The server's log: the usual, what the rotation itself did, and a stranger with the old login after it was revoked.
    let mut lines: Vec<String> = quiet().lines().map(|l| format!("{l}\n")).collect();
    for day in 1..60 {
        lines.push(login(now() - day * DAY, &old, "192.0.2.7"));
    }
    lines.push(refused(revoked, &old, "192.0.2.50"));
    lines.push(login(now(), &new, "192.0.2.7"));
    // The sandbox's changes have spread after two seconds at most.
    let stranger = revoked + 2_050;
    lines.push(login(stranger, &old, "203.0.113.9"));
    lines.sort();
    std::fs::write(&log, lines.concat()).expect("it is written");
    while now() < stranger {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let leaked = i64::try_from(revoked - DAY / 2).expect("a time");
    let leaked = chrono::DateTime::from_timestamp_millis(leaked).expect("a time").to_rfc3339();
    let run = usage(&case, &inventory, &["--json", "--leaked-at", &leaked]);
    let told = json(&run);
    assert_eq!((&told["verdict"], &told["strangers"]), (&"used".into(), &"flagged".into()), "{told:#}");
    let flags: Vec<&str> =
        told["flags"].as_array().expect("flags").iter().map(|f| f["flag"].as_str().expect("a name")).collect();
    assert_eq!(flags[0], "after-revocation", "{told:#}");
    assert!(flags.contains(&"unfamiliar-address") && !flags.contains(&"old-name-refused"), "{flags:?}");
    assert_eq!(told["flags"][0]["networks"][0], "203.0.113.0/24");
    assert!(told["sources"][0]["own"].as_u64().is_some_and(|own| own >= 1), "{told:#}");
    assert!(!run.said().contains("hunter2"), "{run}");

    // As a person reads it.
    let run = usage(&case, &inventory, &["--leaked-at", &leaked]);
    assert!(
        run.stdout.contains("ALARM") && run.stdout.contains("still accepted") && !run.said().contains("hunter2"),
        "{run}"
    );
}

#[test]
fn what_is_asked_wrongly_is_refused_and_what_is_missing_is_told() {
    let world = World::start();
    let case = world.case("one");
    let inventory = inventory(&world, "gone/dovecot.log");
    for args in [&["--since", "yesterday"][..], &["--leaked-at", "2999-01-01"], &["--since", "500d"]] {
        let run = usage(&case, &inventory, args);
        assert_eq!(run.code(), BAD_INPUT, "{run}");
        assert!(run.stderr.contains("HO0968"), "{run}");
    }
    let told = json(&usage(&case, &inventory, &["--json"]));
    assert_eq!(told["verdict"], "cannot-tell");
    assert_eq!(told["sources"][0]["fault"]["code"], "HO0960", "{told:#}");
    // Without any source.
    let told = json(&usage(&case, &world.dir().join("inventory.yaml"), &["--json"]));
    assert_eq!(told["verdict"], "cannot-tell");
    assert!(told["why"][0].as_str().is_some_and(|why| why.contains("no source of evidence")), "{told:#}");
}
