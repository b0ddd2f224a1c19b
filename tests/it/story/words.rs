//! What it says: refusals of bad words, plans bound by their hash, and the views of what was done.

use std::process::{Command, Stdio};

use rusqlite::Connection;
use serde_json::Value;

use super::{clean, ends, live};
use crate::support::exit::{BAD_INPUT, DONE, ERROR, REFUSED};
use crate::support::world::CREDENTIAL;
use crate::support::{Case, Going, HANDOVER, Run, World};

fn json(run: &Run) -> Vec<Value> {
    let parsed = run.stdout.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}")));
    parsed.collect()
}

/// A run for a person: without `--json`.
fn plain(world: &World, case: &Case<'_>, args: &[&str]) -> Run {
    let mut command = Command::new(HANDOVER);
    command.args(args).arg("--inventory").arg(world.dir().join("inventory.yaml"));
    command.arg("--playbooks").arg(world.dir().join("playbooks")).arg("--state").arg(&case.state);
    Going::start(command).end()
}

#[test]
fn a_changed_plan_is_refused() {
    let world = World::start();
    let case = world.case("one").scale(8);
    let plan = || {
        let run = case.run(&["plan", CREDENTIAL, "--playbook", "drill", "--time-scale", "8"]);
        ends(&run, DONE);
        json(&run)[0]["plan_hash"].as_str().expect("a hash").to_owned()
    };
    let bound = |hash: &str| {
        let args = ["rotate", CREDENTIAL, "--playbook", "drill", "--time-scale", "8", "--plan", hash];
        case.run(&args)
    };
    let hash = plan();
    assert_eq!(hash, plan(), "the same plan has the same hash");
    // Agreed by its hash, it needs no --yes.
    ends(&bound(&hash), DONE);
    let now = live(&world);
    let refused = bound(&hash);
    ends(&refused, REFUSED);
    assert!(refused.stdout.contains("HO0448") && refused.stdout.contains(&hash), "{refused}");
    let hint = refused.finished()["fault"]["hint"].to_string();
    assert!(hint.contains(" plan newsletter --playbook drill --time-scale 8`") && hint.contains(" --state "), "{hint}");
    assert_ne!(hash, plan());
    clean(&world, &now);
    assert_eq!(world.account().versions.len(), 2);
}

#[test]
fn nobody_is_taken_to_have_agreed() {
    let world = World::start();
    let case = world.case("one");
    let before = world.account();
    let run = case.run(&["rotate", CREDENTIAL, "--playbook", "drill"]);
    ends(&run, REFUSED);
    assert!(run.stdout.contains("HO0449"), "{run}");
    assert_eq!(world.account(), before);
}

/// What is typed, and what the answer must name.
const BAD: &[(&[&str], &str)] = &[
    (&["frobnicate"], "frobnicate"),
    (&["rotat", "newsletter"], "rotate"),
    (&["rotate"], "CREDENTIAL"),
    (&["rotate", "newslettre", "--yes"], "did you mean newsletter?"),
    (&["rotate", "news letter", "--yes"], "news letter"),
    (&["rotate", "newsletter", "--yes", "--playbook", "dril"], "did you mean drill?"),
    (&["rotate", "newsletter", "--yes", "--time-scale", "fast"], "fast"),
    (&["rotate", "newsletter", "--yes", "--time-scale", "0"], "time-scale"),
    (&["rotate", "newsletter", "--yess"], "--yes"),
    (&["plan", "nothing"], "nothing"),
    (&["plan", ""], "credential"),
    (&["impact", "newslettr"], "did you mean newsletter?"),
    (&["schedule", "newslettr"], "did you mean newsletter?"),
    (&["resume"], "ROTATION"),
    (&["resume", "x", "--due"], "--due"),
    (&["resume", "newsletter"], "newsletter"),
    (&["abort", "newsletter"], "newsletter"),
    (&["approve", "newsletter"], "newsletter"),
    (&["status", "nothing-here"], "nothing-here"),
    (&["history", "news letter"], "news letter"),
    (&["history", "--limit", "many"], "many"),
    (&["history", "--limit", "0"], "--limit"),
    (&["audit"], "verify"),
    (&["audit", "export", "nothing-here"], "nothing-here"),
    (&["audit", "export", "newsletter", "--format", "pdf"], "pdf"),
    (&["explain", "HO9999"], "HO9999"),
    (&["schema", "journal"], "journal"),
    (&["completions", "tcl"], "tcl"),
    (&["sandbox", "--fault", "rain=hard"], "rain"),
    (&["sandbox", "--fault", "propagation=soon"], "soon"),
    (&["sandbox", "--shape", "round"], "round"),
    (&["sandbox", "--traffic", "often"], "often"),
];

#[test]
fn bad_words_on_the_command_line() {
    let world = World::start();
    let case = world.case("one");
    let before = world.account();
    for (args, named) in BAD {
        for json in [true, false] {
            let mut command = case.command(args);
            if !json {
                command = Command::new(HANDOVER);
                command.args(*args).arg("--inventory").arg(world.dir().join("inventory.yaml"));
                command.arg("--playbooks").arg(world.dir().join("playbooks")).arg("--state").arg(&case.state);
            }
            command.arg("--dir").arg(world.dir()).stdin(Stdio::null());
            let run = Going::start(command).end();
            assert_eq!(run.code(), BAD_INPUT, "{args:?}: {run}");
            assert!(run.said().contains(named), "{args:?} does not name {named}: {run}");
            assert!(json || run.stdout.is_empty(), "{args:?}: words for people go to stderr: {run}");
        }
    }
    assert_eq!(world.account(), before);
}

#[test]
fn schema_prints_those_of_this_build() {
    use handover::config::{inventory_schema, playbook_schema};
    for (file, schema) in [("inventory", inventory_schema(&handover::registry::Registry)), ("playbook", playbook_schema())] {
        let out = Command::new(HANDOVER).args(["schema", file]).output().expect("it starts");
        assert!(out.status.success(), "{file}");
        assert_eq!(serde_json::from_slice::<Value>(&out.stdout).expect("JSON"), schema, "{file}");
    }
}

#[test]
fn bad_places_are_named() {
    let world = World::start();
    let case = world.case("one");
    let broken = world.dir().join("broken.yaml");
    let text = std::fs::read_to_string(world.dir().join("inventory.yaml")).expect("the inventory");
    std::fs::write(&broken, text.replace("    account: newsletter", "    acount: newsletter")).expect("a file");
    let (inventory, missing) = (world.dir().join("inventory.yaml"), world.dir().join("nowhere.yaml"));
    let (inventory, broken, missing) = (inventory.display(), broken.display(), missing.display());
    let rows = [
        (format!("check --inventory {missing}"), "nowhere.yaml"),
        (format!("check --inventory {broken}"), "acount"),
        (format!("rotate newsletter --yes --inventory {broken}"), "acount"),
        (format!("plan newsletter --inventory {inventory} --playbooks {missing}"), "nowhere.yaml"),
        ("status --state postgres://someone:hunter2@db/handover".to_owned(), "postgres"),
    ];
    for (line, named) in rows {
        let mut args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if !line.contains("--state") {
            args.extend(["--state".to_owned(), case.state.display().to_string()]);
        }
        for json in [false, true] {
            let mut command = Command::new(HANDOVER);
            command.args(&args).args(json.then_some("--json"));
            let run = Going::start(command).end();
            assert_eq!(run.code(), BAD_INPUT, "{line}: {run}");
            assert!(run.said().contains(named), "{line} does not name {named}: {run}");
            assert!(!run.said().contains("hunter2"), "{run}");
        }
    }
}

#[test]
fn status_history_audit_speak() {
    let world = World::start();
    let mut case = world.case("one").scale(8);
    // What is told to be typed holds this folder, and must stay JSON and must stay copyable.
    case.state = world.dir().join("a \"state\" of 'mine'");
    let waits = case.rotate("scheduled-not-there");
    ends(&waits, BAD_INPUT);
    let done = case.rotate("drill");
    ends(&done, DONE);
    let id = done.rotation();
    let reads: [&[&str]; 6] = [
        &["status"],
        &["status", CREDENTIAL],
        &["status", &id],
        &["history"],
        &["history", CREDENTIAL, "--limit", "1"],
        &["audit", "verify"],
    ];
    for args in reads {
        let run = case.run(args);
        ends(&run, DONE);
        let lines = json(&run);
        assert_eq!(lines.len(), usize::from(args != ["status"]), "{args:?}: {run}");
        let words = plain(&world, &case, args);
        ends(&words, DONE);
        assert!(!words.stdout.is_empty(), "{args:?}");
    }
    let status = json(&case.run(&["status", &id])).remove(0);
    assert_eq!((&status["phase"], &status["point_of_no_return"]), (&"done".into(), &true.into()), "{status}");
    let history = json(&case.run(&["history"])).remove(0);
    assert_eq!((&history["rotation"], &history["phase"]), (&id.as_str().into(), &"done".into()), "{history}");
    let verified = json(&case.run(&["audit", "verify"])).remove(0);
    assert_eq!(verified["rotations"], 1, "{verified}");
    schedules_speak(&world, &case, &history["new"]);

    let exported = plain(&world, &case, &["audit", "export", &id, "--format", "json"]);
    ends(&exported, DONE);
    let evidence: Value = serde_json::from_str(&exported.stdout).expect("JSON");
    assert_eq!(evidence["outcome"], "done");
    assert_eq!(evidence["rows"].as_array().map(Vec::len), verified["rows"].as_u64().map(|n| n as usize));
    let head = format!("{}:{}", verified["rows"], evidence["head"].as_str().unwrap_or_default());
    assert_eq!(verified["head"], head.as_str());
    let page = plain(&world, &case, &["audit", "export", &id, "--format", "html"]);
    ends(&page, DONE);
    assert!(page.stdout.starts_with("<!doctype html>") || page.stdout.starts_with("<!DOCTYPE html>"), "{page}");
    assert!(page.stdout.contains(&id) && page.stdout.trim_end().ends_with("</html>"));
    let file = world.dir().join("evidence.json");
    let written = file.to_string_lossy();
    ends(&plain(&world, &case, &["audit", "export", CREDENTIAL, "--format", "json", "--output", &written]), DONE);
    let again: Value = serde_json::from_slice(&std::fs::read(&file).expect("the file")).expect("JSON");
    assert_eq!(again["rows"], evidence["rows"]);
    for password in world.passwords().values() {
        for text in [&exported.stdout, &page.stdout, &done.stdout] {
            assert!(!text.contains(password.as_str()), "a password is in the evidence");
        }
    }
}

/// After a rotation: what it made is young, and the next one keeps its distance.
fn schedules_speak(world: &World, case: &Case<'_>, version: &Value) {
    let unscheduled = json(&case.run(&["schedule"])).remove(0);
    assert_eq!(unscheduled, serde_json::json!({"credential": CREDENTIAL, "schedule": null}));
    let scheduled = world.dir().join("scheduled.yaml");
    let text = std::fs::read_to_string(world.dir().join("inventory.yaml")).expect("the inventory");
    let schedule = "    schedule: {playbook: scheduled, cron: \"0 3 * * SUN\", timezone: Europe/Berlin, max_age: 90d}\n";
    std::fs::write(&scheduled, text.replace("    on_leak:", &format!("{schedule}    on_leak:"))).expect("a file");
    let mut case = case.clone().inventory(scheduled);
    let told = json(&case.run(&["schedule", CREDENTIAL])).remove(0);
    assert!(version.is_string() && told["version"] == *version, "{version}: {told}");
    assert!(told["age_ms"].as_u64().is_some_and(|age| age < 3_600_000), "{told}");
    assert_eq!((&told["blocked"][0]["by"], told["next"].as_array().map(Vec::len)), (&"interval".into(), Some(3)), "{told}");
    // Without a journal nothing is known of it, and none is made.
    case.state = world.dir().join("no-state");
    let told = json(&case.run(&["schedule"])).remove(0);
    assert_eq!((&told["version"], &told["blocked"], case.state.exists()), (&Value::Null, &serde_json::json!([]), false));
}

/// What is copied out of an answer must work, and JSON must stay JSON, whatever the folder is called.
#[test]
fn told_commands_and_evidence_survive_a_strange_folder() {
    let world = World::start();
    let mut case = world.case("one").scale(8);
    case.state = world.dir().join("a \"state\" of 'mine'");
    let mut command = case.rotation_command("drill");
    command.args(["--reason", "as `handover resume` was asked for"]);
    let mut going = Going::start(command);
    going.wait_for_step(1).expect("it begins");
    going.signal(rustix::process::Signal::INT);
    let stopped = going.end();
    let rest = json(&stopped).pop().expect("a line");
    let told = rest["next"]["command"].as_str().expect("a command").to_owned();
    let typed = told.strip_prefix("handover").expect("a command of ours");
    let status = json(&case.run(&["status"])).pop().expect("a line");
    assert_eq!(status["next"]["command"], told.as_str(), "every answer tells the same");
    let out = Command::new("sh").args(["-c", &format!("\"$0\"{typed} --json"), HANDOVER]).output().expect("a shell");
    assert_eq!(out.status.code(), Some(DONE), "{told}: {}", String::from_utf8_lossy(&out.stderr));
    let exported = case.run(&["audit", "export", CREDENTIAL, "--format", "json"]);
    ends(&exported, DONE);
    let evidence: Value = serde_json::from_str(&exported.stdout).expect("JSON");
    assert_eq!(evidence["rows"][0]["event"]["reason"], "as `handover resume` was asked for", "evidence is not rewritten");
}

/// A hint is copied at three in the morning: its command says where things are, as all others do.
#[test]
fn commands_in_hints_say_where_things_are() {
    let world = World::start();
    let case = world.case("one").scale(8);
    let done = case.rotate("drill");
    ends(&done, DONE);
    let id = done.rotation();
    let hints: [(&[&str], &str); 4] = [
        (&["resume", &id], "status"),
        (&["abort", &id], "status"),
        (&["approve", &id], "status"),
        (&["resume", "nothing-here"], "history"),
    ];
    for (args, verb) in hints {
        let state = case.state.display().to_string();
        let words = plain(&world, &case, args);
        let hint = words.stderr.lines().find(|l| l.starts_with("hint: ")).unwrap_or_else(|| panic!("no hint: {words}"));
        assert!(hint.contains(&format!(" --state {state} {verb}")), "{args:?}: {hint}");
        let hint = case.run(args).finished()["fault"]["hint"].to_string();
        assert!(hint.contains(&format!(" --state {state} {verb}")), "{args:?}: {hint}");
    }
}

#[test]
fn lists_are_json_where_json_is_asked_for() {
    let world = World::start();
    let case = world.case("one");
    let dir = world.dir().display().to_string();
    let asked: [(&[&str], &str); 3] = [
        (&["explain"], "code"),
        (&["explain", "HO0508"], "text"),
        (&["sandbox", "--dir", &dir, "--fault", "list"], "fault"),
    ];
    for (args, field) in asked {
        let run = case.run(args);
        ends(&run, DONE);
        let lines = json(&run);
        assert!(!lines.is_empty() && lines.iter().all(|l| l[field].as_str().is_some_and(|t| !t.is_empty())), "{run}");
    }
}

#[test]
fn one_changed_byte_of_the_log_is_found() {
    let world = World::start();
    let case = world.case("one").scale(8);
    ends(&case.rotate("drill"), DONE);
    let verify = || case.run(&["audit", "verify"]);
    ends(&verify(), DONE);
    let change = |from: &str, to: &str| {
        let log = Connection::open(case.state.join("journal.db")).expect("the journal opens");
        let triggers = "DROP TRIGGER IF EXISTS events_are_final; DROP TRIGGER IF EXISTS events_stay;";
        log.execute_batch(triggers).expect("the triggers go");
        let sql = "UPDATE events SET payload = replace(payload, ?1, ?2) WHERE n = 1";
        assert_eq!(log.execute(sql, [from, to]).expect("the row changes"), 1);
    };
    change("\"drill\"", "\"drilL\"");
    let found = verify();
    ends(&found, ERROR);
    assert!(found.stdout.contains("row 1 "), "it says which: {found}");
    let export = case.run(&["audit", "export", CREDENTIAL, "--format", "json"]);
    ends(&export, ERROR);
    assert!(!export.stdout.contains("\"rows\""), "no evidence comes of it: {export}");
    change("\"drilL\"", "\"drill\"");
    ends(&verify(), DONE);
}
