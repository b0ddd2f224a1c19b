//! Marked secrets are looked for wherever they must not be (S21): standard output and error at trace level, logs, the database
//! with its write-ahead log, reports, temporary files, arguments and environments of all children. And a planted one is found
//! in each of these places, by the same search.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::exit::{DONE, ROLLED_BACK, STUCK, WAITING};
use crate::support::processes::ProcessWatch;
use crate::support::secrets::{Needle, found, found_under, needles};
use crate::support::world::CREDENTIAL;
use crate::support::{Going, HANDOVER, Run, World};

/// A service's abilities by command: each asks the sample service, and writes down what it was given.
const BY_COMMAND: &str = r#"#!/bin/bash
ability=$1 port=$2 service=$3 dump=$4
{ tr '\0' '\n' </proc/$$/cmdline; tr '\0' '\n' </proc/$$/environ; } >>"$dump"
ask() {
  exec 3<>"/dev/tcp/127.0.0.1/$port"
  printf '%s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: %s\r\n\r\n%s' "$1" "${#2}" "$2" >&3
  answer=$(cat <&3)
  printf '%s' "${answer#*$'\r\n\r\n'}"
  [[ $answer == 'HTTP/1.1 200'* ]]
}
case $ability in
  reload) ask "POST /$service/reload" '' ;;
  attest) ask "GET /$service/smtp-fingerprint?challenge=$5" '' ;;
  test-send) ask "POST /$service/test-send" "{\"nonce\":\"$5\",\"to\":\"$6\"}" ;;
esac
"#;

/// All forms of all passwords that the provider ever gave out.
fn all_needles(world: &World) -> Vec<Needle> {
    let usernames: BTreeMap<String, String> = world.account().versions.into_iter().map(|v| (v.id, v.username)).collect();
    let passwords = world.passwords();
    passwords.iter().flat_map(|(id, password)| needles(&usernames[id], password)).collect()
}

/// Where passwords belong: in the provider's books and in the entries.
fn belongs(world: &World) -> impl Fn(&Path) -> bool {
    let accounts = world.dir().join("accounts");
    let entries = ["staging", "production"].map(|e| world.env_file(e));
    move |file: &Path| file.starts_with(&accounts) || entries.iter().any(|e| e == file)
}

fn nowhere_in_files(world: &World, needles: &[Needle]) {
    let (seen, hits) = found_under(world.dir(), needles, &belongs(world));
    assert!(seen > 10, "only {seen} files were looked at");
    assert_eq!(hits, Vec::<String>::new());
}

fn nowhere_in(run: &Run, what: &str, needles: &[Needle]) {
    assert_eq!(found(run.stdout.as_bytes(), needles), Vec::<String>::new(), "standard output of {what}");
    assert_eq!(found(run.stderr.as_bytes(), needles), Vec::<String>::new(), "standard error of {what}");
}

/// The sandbox's inventory, with every service reached by command.
fn inventory_by_command(world: &World) -> PathBuf {
    let script = world.dir().join("ask-service");
    std::fs::write(&script, BY_COMMAND).expect("the script can be written");
    let dump = world.dir().join("given-to-commands");
    let text = std::fs::read_to_string(world.dir().join("inventory.yaml")).expect("the inventory is there");
    let mut changed = String::new();
    let mut service = String::new();
    let port = world.http_port().to_string();
    for line in text.lines() {
        if let Some(name) = line.trim().strip_suffix(':').filter(|n| n.starts_with("newsletter-")) {
            service = name.to_owned();
        }
        let action = |ability: &str| {
            let words = ["/bin/bash", &script.to_string_lossy(), ability, &port, &service, &dump.to_string_lossy()];
            serde_json::to_string(&words).expect("JSON")
        };
        let abilities = [("reload: {http", "reload"), ("test_send: {http", "test-send"), ("attest: {http", "attest")];
        match abilities.into_iter().find(|(start, _)| line.trim().starts_with(start)) {
            Some((_, ability)) => {
                let key = line.trim().split(':').next().unwrap_or_default();
                changed += &format!("    {key}: {{command: {}}}\n", action(ability));
            }
            None => changed += &format!("{line}\n"),
        }
    }
    let path = world.dir().join("by-command.yaml");
    std::fs::write(&path, changed).expect("the inventory can be written");
    path
}

#[test]
fn a_drill_leaks_nothing_anywhere() {
    let world = World::start();
    let case = world.case("drill").inventory(inventory_by_command(&world)).env("HANDOVER_LOG", "trace").scale(4);
    let tmp = world.dir().join("tmp");
    std::fs::create_dir(&tmp).expect("a folder");
    let case = case.env("TMPDIR", tmp.to_string_lossy());

    // Killed while both versions are live, so that the write-ahead log is there to be looked at.
    let mut going = case.rotating("drill");
    let watch = ProcessWatch::of(going.pid());
    going.wait_for_step(9).expect("it comes to deactivate");
    going.signal(rustix::process::Signal::KILL);
    let killed = going.end();
    assert!(killed.was_killed());
    let needles = all_needles(&world);
    assert!(needles.len() > 50);
    let wal = case.state.join("journal.db-wal");
    assert!(std::fs::metadata(&wal).is_ok_and(|m| m.len() > 0), "there is no write-ahead log to look at");
    nowhere_in_files(&world, &needles);
    nowhere_in(&killed, "the killed run", &needles);
    assert!(killed.stderr.contains("C: AUTH"), "it did not log what it says to the server: {killed}");
    let mut seen = watch.seen();

    let going = Going::start(case.command(&["resume", CREDENTIAL]));
    let watch = ProcessWatch::of(going.pid());
    let resumed = going.end();
    seen.extend(watch.seen());
    assert_eq!(resumed.code(), DONE, "{resumed}");
    nowhere_in(&resumed, "resume", &needles);

    let commands = seen.iter().filter(|(_, bytes)| contains(bytes, b"ask-service")).count();
    assert!(commands > 3, "only {commands} commands were seen running, of {}", seen.len());
    for (pid, bytes) in &seen {
        assert_eq!(found(bytes, &needles), Vec::<String>::new(), "arguments or environment of process {pid}");
    }
    let given = std::fs::read_to_string(world.dir().join("given-to-commands")).expect("the commands wrote it");
    assert!(given.matches("test-send").count() >= 3 && given.contains("PATH="), "{given}");

    let rotation = resumed.rotation();
    let report = world.dir().join("report.html").to_string_lossy().into_owned();
    let data = world.dir().join("report.json").to_string_lossy().into_owned();
    let looks: [&[&str]; 10] = [
        &["status", CREDENTIAL],
        &["status"],
        &["history"],
        &["plan", CREDENTIAL, "--playbook", "drill"],
        &["impact", CREDENTIAL],
        &["check"],
        &["doctor"],
        &["audit", "verify"],
        &["audit", "export", &rotation, "--format", "html", "-o", &report],
        &["audit", "export", &rotation, "--format", "json", "-o", &data],
    ];
    for case in [case.clone(), case.clone().in_words()] {
        for look in looks {
            let run = case.run(look);
            assert_eq!(run.code(), DONE, "{look:?}: {run}");
            nowhere_in(&run, &look.join(" "), &needles);
        }
    }
    assert!(
        std::fs::metadata(&report).is_ok_and(|m| m.len() > 1000) && std::fs::metadata(&data).is_ok_and(|m| m.len() > 1000)
    );
    nowhere_in_files(&world, &needles);
}

/// What a person hands over, directly and through the inbox of a process that runs: neither leaves it anywhere.
#[test]
fn what_a_person_hands_over_leaks_nothing_anywhere() {
    let person = |world: &World, action: &str, name: &str| -> serde_json::Value {
        let mut command = Command::new(HANDOVER);
        command.args(["sandbox", "--json", "--dir"]).arg(world.dir()).args(["--person", action, name]);
        serde_json::from_slice(&command.output().expect("the program starts").stdout).expect("JSON")
    };
    for held in [false, true] {
        let world = World::with(&["--shape", "manual"]);
        let case = world.case("manual").env("HANDOVER_LOG", "trace");
        let mut command = case.rotation_command("drill");
        if held {
            command.arg("--wait");
        }
        let mut going = Going::start(command);
        going.wait_for(|e| e["event"] == "asked").expect("it asks for a version");
        let first = if held { Err(going) } else { Ok(going.end()) };
        let did = person(&world, "create", CREDENTIAL);
        let text = |key: &str| did[key].as_str().expect("a text").to_owned();
        let (username, file) = (text("username"), text("password_file"));
        let needles = all_needles(&world);

        let args = ["supply", CREDENTIAL, "--username", &username, "--password-file", &file];
        let supply = Going::start(case.command(&args));
        let watch = ProcessWatch::of(supply.pid());
        let supplied = supply.end();
        assert_eq!(supplied.code(), WAITING, "{supplied}");
        for (pid, bytes) in watch.seen() {
            assert_eq!(found(&bytes, &needles), Vec::<String>::new(), "arguments or environment of process {pid}");
        }
        nowhere_in(&supplied, "supply", &needles);
        assert!(supplied.stderr.contains("C: AUTH"), "it did not log what it says to the server: {supplied}");
        // The file was the person's own, and may go now.
        std::fs::remove_file(&file).expect("the file is there");
        let rotate = first.unwrap_or_else(going_to_disable);
        nowhere_in(&rotate, "rotate", &needles);
        nowhere_in_files(&world, &needles);
        for look in [vec!["status", CREDENTIAL], vec!["audit", "export", CREDENTIAL], vec!["audit", "verify"]] {
            for case in [case.clone(), case.clone().in_words()] {
                nowhere_in(&case.run(&look), &look.join(" "), &needles);
            }
        }
        nowhere_in_files(&world, &needles);
    }
}

/// Killed as soon as it asks to disable, so that the write-ahead log is there to be looked at.
fn going_to_disable(mut going: Going) -> Run {
    going.wait_for(|e| e["event"] == "asked" && e["asked"]["action"] == "disable").expect("it has moved everything");
    going.signal(rustix::process::Signal::KILL);
    going.end()
}

#[test]
fn failing_runs_leak_nothing_anywhere() {
    // What fails, at which step it begins, and how the run ends.
    let table = [
        ("refuse-auth=new", 1, ROLLED_BACK),
        ("drop-answer=create:9", 0, ROLLED_BACK),
        ("smtp-4xx=data", 2, STUCK),
        ("tls-expired", 2, STUCK),
        ("ignore-reload=all", 1, ROLLED_BACK),
    ];
    std::thread::scope(|scope| {
        for (fault, step, ends) in table {
            scope.spawn(move || {
                let world = World::start();
                let case = world.case("fails").scale(86_400).env("HANDOVER_LOG", "trace");
                let mut going = case.rotating("scheduled");
                going.wait_for_step(step).expect("it comes to the step");
                handover::sandbox::set_fault(world.dir(), fault).expect("the fault can be switched");
                let run = going.end();
                let needles = all_needles(&world);
                assert_eq!(run.code(), ends, "{fault}: {run}");
                nowhere_in(&run, fault, &needles);
                for look in [vec!["status", CREDENTIAL], vec!["history"], vec!["audit", "export", CREDENTIAL]] {
                    for case in [case.clone(), case.clone().in_words()] {
                        nowhere_in(&case.run(&look), &look.join(" "), &needles);
                    }
                }
                nowhere_in_files(&world, &needles);
            });
        }
    });
}

/// Server, services and rotation in one process, for people to read, at trace level: Handover logs what it says to servers, and
/// libraries, which would log requests and answers with what is in them, are heard from warnings up.
#[test]
fn a_sandbox_in_the_same_process_leaks_nothing() {
    let mut world = World::start();
    world.stop();
    let mut command = Command::new(HANDOVER);
    command.args(["rotate", CREDENTIAL, "--playbook", "drill", "--time-scale", "4", "--sandbox", "--dir"]).arg(world.dir());
    command.env("HANDOVER_LOG", "trace");
    let run = Going::start(command).end();
    assert_eq!(run.code(), DONE, "{run}");
    assert!(run.stderr.contains("DEBUG") && run.stderr.contains("C: AUTH"), "it did not log at its lowest level: {run}");
    let others = run.stderr.lines().filter(|l| ["TRACE", "DEBUG", " INFO"].iter().any(|level| l.contains(level)));
    let others: Vec<&str> = others.filter(|line| !line.contains("handover")).collect();
    assert!(others.is_empty(), "libraries are logged: {others:#?}");
    let needles = all_needles(&world);
    nowhere_in(&run, "rotate --sandbox", &needles);
    nowhere_in_files(&world, &needles);
}

/// The positive control: whatever form, whatever place.
#[test]
fn a_planted_secret_is_found_everywhere() {
    let world = World::start();
    let run = world.case("control").scale(8).rotate("drill");
    assert_eq!(run.code(), DONE, "{run}");
    let needles = all_needles(&world);
    let password = world.passwords().into_values().next_back().expect("a password");
    nowhere_in_files(&world, &needles);

    // Every form, in the middle of something else.
    for needle in &needles {
        let text = [b"before ".as_slice(), &needle.bytes, b" after"].concat();
        assert!(!found(&text, &needles).is_empty(), "{} is not found", needle.form);
    }
    // As the usual encoders write the whole of it, whatever stands before.
    use base64::Engine as _;
    for before in ["", "x", "xy", "xyz"] {
        let whole = format!("{before}{password}!");
        let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&whole);
        assert!(!found(encoded.as_bytes(), &needles).is_empty(), "base64 after {before:?}");
        assert!(!found(hex::encode(&whole).as_bytes(), &needles).is_empty(), "hex after {before:?}");
    }

    // Standard output and error.
    let mut shell = Command::new("/bin/bash");
    shell
        .args(["-c", "read -r s <\"$0\"; echo \"out $s\"; echo \"err $s\" >&2"])
        .arg(planted(&world, "one-line", &password));
    let said = Going::start(shell).end();
    assert!(!found(said.stdout.as_bytes(), &needles).is_empty() && !found(said.stderr.as_bytes(), &needles).is_empty());

    // Arguments and environments of children, of the child's children too.
    for (place, script, variable) in
        [("argument", "/bin/sleep 2; : \"$0\"", "no"), ("environment", "/bin/sleep 2; :", "yes")]
    {
        let mut shell = Command::new("/bin/bash");
        shell.args(["-c", script]);
        if variable == "yes" {
            shell.env("PLANTED", &password);
        } else {
            shell.arg(&password);
        }
        let mut child = shell.spawn().expect("a shell starts");
        let watch = ProcessWatch::of(child.id());
        child.wait().expect("it ends");
        let seen = watch.seen();
        assert!(seen.iter().any(|(_, bytes)| !found(bytes, &needles).is_empty()), "a planted {place} is not found");
    }

    // The database, while it is still in the write-ahead log.
    let database = world.dir().join("state-control/journal.db");
    let connection = rusqlite::Connection::open(&database).expect("the database opens");
    connection.pragma_update(None, "journal_mode", "WAL").expect("WAL");
    connection.execute("CREATE TABLE planted (text TEXT)", []).expect("a table");
    connection.execute("INSERT INTO planted VALUES (?1)", [&password]).expect("a row");
    let (_, hits) = found_under(world.dir(), &needles, &belongs(&world));
    assert!(hits.iter().any(|h| h.contains("journal.db-wal")), "{hits:?}");
    connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").expect("a checkpoint");
    drop(connection);
    let (_, hits) = found_under(world.dir(), &needles, &belongs(&world));
    assert!(hits.iter().any(|h| h.contains("journal.db:")), "{hits:?}");

    // Reports, logs, temporary files, mail.
    for place in
        ["report.html", "tmp/deep/one", "mail/new/message", "services/.newsletter-staging.env.tmp", "state-control/anchor"]
    {
        let path = planted(&world, place, &format!("<p>{password}</p>"));
        let (_, hits) = found_under(world.dir(), &needles, &belongs(&world));
        assert!(hits.iter().any(|h| h.starts_with(&*path.to_string_lossy())), "{place}: {hits:?}");
    }
}

fn planted(world: &World, place: &str, text: &str) -> PathBuf {
    let path = world.dir().join(place);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
    std::fs::write(&path, format!("{text}\n")).expect("the file can be written");
    path
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|w| w == wanted)
}
