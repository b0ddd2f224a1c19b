//! Where a rotation meets limits of its surroundings: mail that goes on all the time, one process for everything, an impatient
//! person, an editor in the same file, and a disk that is full under the journal. Other stories: `story`.

use std::collections::BTreeMap;
use std::process::Command;

use rustix::process::Signal;

use crate::support::exit::{DONE, REFUSED, ROLLED_BACK, WAITING};
use crate::support::world::CREDENTIAL;
use crate::support::{Going, HANDOVER, Run, World, login};

const NOTHING: [String; 0] = [];

/// The username and password of each version, by its id.
fn logins(world: &World) -> BTreeMap<String, (String, String)> {
    let passwords = world.passwords();
    let versions = world.account().versions.into_iter();
    versions.map(|v| (v.id.clone(), (v.username, passwords[&v.id].clone()))).collect()
}

#[test]
fn one_rotation_after_the_other_and_no_mail_lost() {
    let world = World::with(&["--traffic", "50"]);
    let case = world.case("twice");
    let python = login::has_python();
    for round in 1..=2 {
        let before = logins(&world);
        let old = world.account().active()[0].id.clone();
        let run = case.rotate("drill");
        assert_eq!((run.code(), run.outcome().as_str()), (DONE, "done"), "{run}");
        let account = world.account();
        let new = account.active()[0].id.clone();
        assert_ne!(old, new);
        assert_eq!(world.unclean(Some(&new)), NOTHING);
        assert_eq!(account.kept().len(), 1);
        if python {
            let smtp = world.status().smtp;
            let (username, password) = &before[&old];
            assert_eq!(login::reply(&smtp, username, password), 535, "the old login, round {round}");
            let (username, password) = &logins(&world)[&new];
            assert_eq!(login::reply(&smtp, username, password), 235, "the new login, round {round}");
        }
    }
    let traffic = world.status().traffic();
    assert!(traffic.sent > 100, "the services sent next to nothing: {traffic:?}");
    assert_eq!((traffic.refused, traffic.failed), (0, 0), "mail was lost: {traffic:?}");
    assert_eq!(case.broken_journal(true), NOTHING);
    assert_eq!(case.run(&["audit", "verify"]).code(), DONE);
}

/// As the quick start does it: nothing runs before, one command does it all.
#[test]
fn everything_in_one_process() {
    let mut world = World::start();
    world.stop();
    let rotate = || {
        let mut command = Command::new(HANDOVER);
        command.args(["rotate", CREDENTIAL, "--sandbox", "--json", "--time-scale", "4", "--dir"]).arg(world.dir());
        Going::start(command).end()
    };
    for _ in 0..2 {
        let run = rotate();
        assert_eq!((run.code(), run.outcome().as_str()), (DONE, "done"), "{run}");
    }
    world.serve(&[]);
    assert_eq!(world.account().versions.len(), 3);
    assert_eq!(world.unclean(Some(&world.account().versions[2].id)), NOTHING);
}

#[test]
fn a_second_ctrl_c_leaves_at_once() {
    let world = World::start();
    let case = world.case("twice");
    world.fault("slow=400ms");
    let mut going = case.rotating("drill");
    going.wait_for_step(4).expect("it comes to verify");
    going.signal(Signal::INT);
    std::thread::sleep(std::time::Duration::from_millis(100));
    going.signal(Signal::INT);
    let left = going.end();
    assert_eq!(left.code(), WAITING, "{left}");
    let hint = left.stderr.lines().last().unwrap_or_default();
    let state = case.state.display();
    assert!(hint.contains("--state") && hint.contains(&format!("{state} resume newsletter-")), "{left}");
    world.fault("none");
    let resumed = case.resume();
    assert_eq!(resumed.code(), DONE, "{resumed}");
    assert_eq!(world.unclean(Some(&world.account().versions[1].id)), NOTHING);
}

#[test]
fn another_line_of_an_env_file_may_change_meanwhile() {
    let world = World::start();
    let case = world.case("line");
    let mut going = case.rotating("drill");
    going.wait_for_step(4).expect("it comes to verify staging");
    let path = world.env_file("production");
    let text = std::fs::read_to_string(&path).expect("the env file");
    std::fs::write(&path, text.replace("LISTEN_ADDR=127.0.0.1", "LISTEN_ADDR=127.0.0.2")).expect("it can be written");
    let run = going.end();
    assert_eq!(run.code(), DONE, "{run}");
    let text = std::fs::read_to_string(&path).expect("the env file");
    assert!(text.contains("LISTEN_ADDR=127.0.0.2"), "the colleague's line is gone: {text}");
}

/// The disk under the journal is full from some write on: it halts, nothing is half done, and with room again it goes on.
#[test]
fn a_full_disk_under_the_journal_halts_and_goes_on() {
    let world = World::start();
    // The reserve and the key are there already, as on any machine that has rotated before.
    let case = world.case("full").scale(8);
    let first = case.rotate("drill");
    assert_eq!(first.code(), DONE, "{first}");
    let mut halted = 0;
    for kilobytes in [130, 180, 230, 290, 350, 420] {
        let old = world.account().active()[0].id.clone();
        let run = with_room_for(kilobytes, case.rotation_command("drill"));
        let stands = world.account();
        assert!(stands.active().iter().any(|v| v.id == old) || run.code() == DONE || stands.active().len() == 1, "{run}");
        if run.code() != DONE {
            halted += 1;
            assert_ne!(run.code(), ROLLED_BACK, "{run}");
            let resumed = case.resume();
            let nothing_begun = resumed.said().contains("HO0458") || resumed.said().contains("HO0457");
            let told = &run.finished()["rotation"];
            if run.said().contains("HO0316") && nothing_begun {
                assert_eq!((run.code(), told.is_null()), (REFUSED, true), "{run}");
            } else {
                assert!(told.is_string(), "the last line says which rotation it is: {run}");
            }
            assert!(
                nothing_begun || [DONE, ROLLED_BACK].contains(&resumed.code()),
                "{kilobytes} kB: {resumed}\nafter {run}"
            );
        }
        assert_eq!(world.unclean(None), NOTHING, "{kilobytes} kB: {run}");
        assert_eq!(world.account().kept().len(), 1);
    }
    assert!(halted >= 2, "the disk was never full: {halted}");
    assert_eq!(case.broken_journal(true), NOTHING);
}

/// What came of the login decides on the exit status, whatever becomes of the words about it.
#[test]
fn a_rotation_whose_report_cannot_be_written_ends_as_it_ended() {
    let world = World::start();
    for (n, case) in [world.case("words").in_words().scale(8), world.case("json").scale(8)].iter().enumerate() {
        let mut command = Command::new("/bin/sh");
        let rotate = case.rotation_command("drill");
        command.args(["-c", "exec \"$0\" \"$@\" >/dev/full"]).arg(rotate.get_program()).args(rotate.get_args());
        let run = Going::start(command).end();
        assert_eq!(run.code(), DONE, "{run}");
        assert!(run.stderr.contains("warning: ") && run.stderr.contains("HO0462"), "{run}");
        assert_eq!(world.account().versions.len(), n + 2);
    }
}

/// As long as nothing has begun nobody else shuts the login out: it is tried until the provider answers (L5).
#[test]
fn l5_a_leak_is_planned_for_until_the_provider_answers() {
    let world = World::start();
    let case = world.case("leak").scale(8);
    world.fault("provider-down");
    let mut going = case.rotating("leak");
    let told = going.wait_for(|line| line["event"] == "retrying").expect("it says that it cannot yet");
    assert_eq!(told["fault"]["code"], "HO0501", "{told}");
    world.fault("none");
    let run = going.end();
    assert_eq!(run.code(), DONE, "{run}");
    assert_eq!(world.unclean(Some(&world.account().versions[1].id)), NOTHING);
    // A routine rotation is refused at once, and so is a plan of either.
    world.fault("provider-down");
    for run in [case.rotate("drill"), case.run(&["plan", CREDENTIAL, "--playbook", "leak"])] {
        assert_eq!(run.code(), REFUSED, "{run}");
    }
    // Who gives up is told that nothing was done.
    let mut going = case.rotating("leak");
    going.wait_for(|line| line["event"] == "retrying").expect("it says so again");
    going.signal(Signal::INT);
    let run = going.end();
    assert_eq!((run.code(), run.outcome().as_str()), (REFUSED, "refused"), "{run}");
}

/// Runs a command that cannot make any file longer than this.
fn with_room_for(kilobytes: u32, command: Command) -> Run {
    let mut shell = Command::new("/bin/bash");
    shell.args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\""]).arg(kilobytes.to_string());
    shell.arg(command.get_program()).args(command.get_args());
    Going::start(shell).end()
}
