//! The command line beside a daemon: what is asked goes through it, by its files only where they are those that were named; and a
//! daemon that dies, hangs or is gone holds up nobody and hides nothing.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::House;
use super::killed::Process;
use crate::support::run::Going;
use crate::support::world::CREDENTIAL;
use crate::support::{HANDOVER, Run, exit};

/// A command with the sandbox's files and the daemon's state.
fn command(house: &House, args: &[&str]) -> Command {
    let mut command = Command::new(HANDOVER);
    command.args(args).arg("--json").arg("--inventory").arg(house.inventory());
    command.arg("--playbooks").arg(house.world.dir().join("playbooks")).arg("--state").arg(&house.state);
    command
}

fn rotate<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["rotate", CREDENTIAL, "--yes"], more].concat()
}

fn run(house: &House, args: &[&str]) -> Run {
    Going::start(command(house, args)).end()
}

fn log(house: &House) -> PathBuf {
    house.world.dir().join("daemon.log")
}

/// Who wrote a row of the journal that says so.
fn begun_by(house: &House, rotation: &str) -> String {
    let shown = run(house, &["audit", "export", rotation, "--format", "json"]);
    let all: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap_or_else(|e| panic!("{e}: {shown}"));
    let text = all.to_string();
    let at = text.find("\"by\":\"").unwrap_or_else(|| panic!("{text}"));
    text[at + 6..].split('"').next().unwrap_or_default().to_owned()
}

#[test]
fn a_rotation_beside_a_daemon_goes_through_it_and_ends_as_it_would_here() {
    let house = House::new();
    let _process = Process::start(&house, &log(&house));
    let done = run(&house, &rotate(&["--playbook", "drill", "--time-scale", "8", "--reason", "a try"]));
    assert_eq!(done.code(), exit::DONE, "{done}");
    assert_eq!(done.outcome(), "done");
    let events = done.events();
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert!(numbers.len() > 20);
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "each event once, from the first: {done}");
    let by = begun_by(&house, &done.rotation());
    assert!(by.ends_with(&format!("(uid {})", rustix::process::geteuid().as_raw())), "the daemon has begun it: {by}");

    // What is refused has the status that it has here, and so has what nobody knows.
    let refused = run(&house, &rotate(&["--plan", "0123456789abcdef"]));
    assert_eq!(refused.code(), exit::REFUSED, "{refused}");
    assert!(refused.said().contains("HO0448"), "{refused}");
    let unknown = run(&house, &["rotate", "nobody", "--yes"]);
    assert_eq!(unknown.code(), exit::BAD_INPUT, "{unknown}");

    // Here all the same, which the journal allows.
    let here = run(&house, &rotate(&["--playbook", "drill", "--time-scale", "8", "--here"]));
    assert_eq!(here.code(), exit::DONE, "{here}");
    let by = begun_by(&house, &here.rotation());
    assert!(!by.contains("(uid"), "{by}");
}

#[test]
fn ctrl_c_leaves_it_to_the_daemon_where_it_is_looked_at_again_and_rolled_back() {
    let house = House::new();
    let _process = Process::start(&house, &log(&house));
    let mut going = Going::start(command(&house, &rotate(&["--playbook", "drill"])));
    let begun = going.wait_for(|event| event["event"] == "step-started").expect("it begins");
    let id = begun["rotation"].as_str().expect("an id").to_owned();
    going.signal(rustix::process::Signal::INT);
    let left = going.end();
    assert_eq!((left.code(), left.outcome().as_str()), (exit::WAITING, "waiting"), "{left}");
    assert!(left.stderr.contains("goes on in the daemon"), "{left}");
    assert!(left.stderr.contains(&format!(" abort {id}`")) && left.stderr.contains(&format!(" status {id}`")), "{left}");
    assert!(!left.stdout.contains("nobody is at work on it"), "{left}");

    // It runs on without anybody, `resume` only looks, and `abort` is heeded by the daemon and seen to its end.
    let looking = Going::start(command(&house, &["resume", &id]));
    let aborted = run(&house, &["abort", &id, "--reason", "a try"]);
    assert_eq!((aborted.code(), aborted.outcome().as_str()), (exit::ROLLED_BACK, "rolled-back"), "{aborted}");
    let looked = looking.end();
    assert_eq!(looked.code(), exit::ROLLED_BACK, "{looked}");
    assert!(looked.stderr.contains("goes on in the daemon"), "{looked}");
    assert_eq!(house.world.account().active().len(), 1);
    let late = run(&house, &["abort", &id]);
    assert_eq!(late.code(), exit::REFUSED, "{late}");
    assert_eq!(run(&house, &["resume", "--due"]).code(), exit::DONE);
}

#[test]
fn other_files_than_the_daemons_are_never_rotated_by() {
    let house = House::new();
    let _process = Process::start(&house, &log(&house));
    // The same bytes elsewhere: what a path in them means is not the same.
    let other = house.world.dir().join("mine");
    std::fs::create_dir(&other).expect("a folder");
    std::fs::copy(house.inventory(), other.join("inventory.yaml")).expect("a copy");
    let with = |inventory: &Path, args: &[&str]| {
        let mut command = Command::new(HANDOVER);
        command.args(args).arg("--json").arg("--inventory").arg(inventory).arg("--state").arg(&house.state);
        command.arg("--playbooks").arg(house.world.dir().join("playbooks"));
        Going::start(command).end()
    };
    let refused = with(&other.join("inventory.yaml"), &rotate(&["--playbook", "drill"]));
    assert_eq!(refused.code(), exit::REFUSED, "{refused}");
    assert!(refused.said().contains("HO1052") && refused.said().contains("another inventory"), "{refused}");

    // The daemon has refused what the file says now.
    let good = std::fs::read_to_string(house.inventory()).expect("it reads");
    std::fs::write(house.inventory(), format!("{good}\nnonsense: true\n")).expect("it writes");
    let refused = run(&house, &rotate(&["--playbook", "drill"]));
    assert_eq!(refused.code(), exit::REFUSED, "{refused}");
    assert!(refused.said().contains("HO1052") && refused.said().contains("has not taken"), "{refused}");

    // What was changed for the better a moment ago is waited for, and then rotated by.
    std::fs::write(house.inventory(), format!("{good}\n# mended\n")).expect("it writes");
    let done = run(&house, &rotate(&["--playbook", "drill", "--time-scale", "8"]));
    assert_eq!(done.code(), exit::DONE, "{done}");

    // Without a name of any, from a folder without any, the daemon's are told of and taken.
    let empty = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(HANDOVER);
    command.args(rotate(&["--playbook", "drill", "--time-scale", "8"])).arg("--state").arg(&house.state);
    let done = Going::start({
        command.current_dir(empty.path());
        command
    })
    .end();
    assert_eq!(done.code(), exit::DONE, "{done}");
    assert!(done.stderr.contains("by the daemon's files") && done.stdout.contains("point of no return"), "{done}");
}

#[test]
fn a_daemon_that_dies_meanwhile_is_told_of_and_waited_for() {
    let house = House::new();
    let process = Process::start(&house, &log(&house));
    let start = || {
        let mut going = Going::start(command(&house, &rotate(&["--playbook", "drill"])));
        going.wait_for(|event| event["event"] == "step-started" && event["step"] == 2).expect("it begins");
        going
    };
    // It comes back while it is waited for: the look goes on to the end.
    let going = start();
    process.kill();
    let process = Process::start(&house, &log(&house));
    let done = going.end();
    assert_eq!((done.code(), done.outcome().as_str()), (exit::DONE, "done"), "{done}");
    let numbers: Vec<u64> = done.events().iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "each event once: {done}");

    // It does not: what is known is said, and that it waits.
    let going = start();
    process.kill();
    let began = Instant::now();
    let left = going.end();
    assert!(began.elapsed() < Duration::from_secs(30), "{left}");
    assert_eq!((left.code(), left.outcome().as_str()), (exit::WAITING, "waiting"), "{left}");
    assert!(left.stderr.contains("the daemon has gone") && left.stderr.contains(" resume newsletter-"), "{left}");

    // Its socket is still there, and nobody listens: from now on it is as if there had never been one.
    assert!(super::exists(&house.socket()));
    let resumed = run(&house, &["resume", CREDENTIAL]);
    assert_eq!(resumed.code(), exit::DONE, "{resumed}");
    let here = run(&house, &rotate(&["--playbook", "drill", "--time-scale", "8"]));
    assert_eq!(here.code(), exit::DONE, "{here}");
}

#[test]
fn a_daemon_that_hangs_holds_up_nobody_and_no_leak() {
    let house = House::new();
    std::fs::create_dir(&house.state).expect("a folder");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&house.state, mode).expect("a mode");
    // It takes connections and says nothing.
    let hangs = UnixListener::bind(house.socket()).expect("a socket");
    let began = Instant::now();
    let refused = run(&house, &rotate(&["--playbook", "drill"]));
    assert_eq!(refused.code(), exit::REFUSED, "{refused}");
    assert!(refused.said().contains("HO1050") && refused.said().contains("--here"), "{refused}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let before = house.world.account().active()[0].id.clone();
    let contained = run(&house, &rotate(&["--playbook", "emergency"]));
    assert_eq!(contained.code(), exit::DONE, "{contained}");
    assert!(contained.stderr.contains("contained here"), "{contained}");
    assert!(!house.world.account().active().iter().any(|version| version.id == before), "{contained}");
    drop(hangs);
}
