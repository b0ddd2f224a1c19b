//! Whole stories, as people live them: one rotation after the other, two at once, changed minds, Ctrl-C, gates, strangers in
//! the account, in the files and on the disk; and every shape of provider.

use std::collections::BTreeMap;
use std::process::Command;

use rustix::process::Signal;

use crate::support::exit::{DONE, REFUSED, ROLLED_BACK, STUCK, WAITING};
use crate::support::world::CREDENTIAL;
use crate::support::{Going, HANDOVER, Run, World, login, service};

const NOTHING: [String; 0] = [];

/// A gate after everything is proven.
const GATED: &str = "version: 1
name: gated
summary: Waits for a person before the old version goes.
steps:
  - preflight
  - generate
  - push: {to: staging}
  - reload: {services: staging}
  - verify: {services: staging}
  - push: {to: production}
  - reload: {services: production}
  - verify: {services: production}
  - approve: {by: oncall@example.com, within: 4h}
  - deactivate
  - confirm
  - watch: {for: 1s}
  - delete
on_failure: roll-back
";
/// The position of the gate.
const GATE: usize = 8;

fn with_gate(world: &World) {
    std::fs::write(world.dir().join("playbooks/gated.yaml"), GATED).expect("the playbook can be written");
}

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
fn of_two_rotations_at_once_the_second_is_refused() {
    let world = World::start();
    let case = world.case("both");
    let mut first = case.rotating("drill");
    first.wait_for_step(4).expect("it comes to verify");
    let second = case.rotate("drill");
    assert_eq!(second.code(), REFUSED, "{second}");
    let first = first.end();
    assert_eq!(first.code(), DONE, "{first}");
    assert!(second.said().contains(&first.rotation()), "it does not name the rotation under way: {second}");
    assert_eq!(world.account().versions.len(), 2, "the refused one made a version");
    assert_eq!(world.unclean(None), NOTHING);
}

#[test]
fn a_changed_mind_in_another_terminal() {
    for step in [2, 4, 8, 11] {
        let world = World::start();
        let case = world.case("abort");
        let old = world.account().active()[0].id.clone();
        let mut going = case.rotating("drill");
        going.wait_for_step(step).expect("it comes to the step");
        let abort = case.run(&["abort", CREDENTIAL, "--reason", "not today"]);
        assert_eq!(abort.code(), WAITING, "{abort}");
        let run = going.end();
        assert_eq!((run.code(), run.outcome().as_str()), (ROLLED_BACK, "rolled-back"), "at step {step}: {run}");
        assert_eq!(world.unclean(Some(&old)), NOTHING);
        assert_eq!(world.account().kept().len(), 1);
        let again = case.run(&["abort", CREDENTIAL]);
        assert_eq!(again.code(), REFUSED, "what is over cannot be aborted: {again}");
    }
}

#[test]
fn a_gate_waits_and_is_opened_from_another_terminal() {
    let mut world = World::start();
    with_gate(&world);
    let waiting = world.case("gate").rotate("gated");
    assert_eq!((waiting.code(), waiting.outcome().as_str()), (WAITING, "waiting"), "{waiting}");
    assert_eq!(world.account().active().len(), 2, "both versions live while it waits");
    let rotation = waiting.rotation();
    let refused = world.case("gate").rotate("drill");
    assert_eq!(refused.code(), REFUSED, "what waits keeps its place: {refused}");
    // Nobody's approval is needed to look.
    let resumed = world.case("gate").resume();
    assert_eq!((resumed.code(), resumed.rotation()), (WAITING, rotation.clone()), "{resumed}");
    // What holds the versions may be restarted meanwhile.
    world.stop();
    world.serve(&[]);
    with_gate(&world);
    let case = world.case("gate");
    let approved = case.run(&["approve", &rotation]);
    assert_eq!((approved.code(), approved.outcome().as_str()), (DONE, "done"), "{approved}");
    assert_eq!(world.unclean(Some(&world.account().versions[1].id)), NOTHING);
    let again = case.run(&["approve", &rotation]);
    assert_eq!(again.code(), REFUSED, "{again}");

    // The same with a terminal that waits.
    let mut command = case.rotation_command("gated");
    command.arg("--wait");
    let mut going = Going::start(command);
    going.wait_for_step(GATE).expect("it comes to the gate");
    let approve = case.run(&["approve", CREDENTIAL]);
    assert_eq!(approve.code(), WAITING, "{approve}");
    let run = going.end();
    assert_eq!(run.code(), DONE, "{run}");
    assert_eq!(world.unclean(Some(&world.account().versions[2].id)), NOTHING);

    // And one that is not opened: nothing holds it, so the abort does the work itself.
    let waiting = case.rotate("gated");
    assert_eq!(waiting.code(), WAITING, "{waiting}");
    let abort = case.run(&["abort", CREDENTIAL]);
    assert_eq!(abort.code(), ROLLED_BACK, "{abort}");
    assert_eq!(world.unclean(Some(&world.account().versions[2].id)), NOTHING);
    assert_eq!(case.broken_journal(true), NOTHING);
}

#[test]
fn ctrl_c_and_sigterm_leave_it_resumable() {
    std::thread::scope(|scope| {
        for signal in [Signal::INT, Signal::TERM] {
            scope.spawn(move || {
                for step in [0, 2, 4, 8, 10] {
                    let world = World::start();
                    let case = world.case("stopped").scale(2);
                    let mut going = case.rotating("drill");
                    going.wait_for_step(step).expect("it comes to the step");
                    going.signal(signal);
                    let stopped = going.end();
                    assert_eq!((stopped.code(), stopped.outcome().as_str()), (WAITING, "stopped"), "step {step}: {stopped}");
                    let active = world.account().active().len();
                    assert!((1..=2).contains(&active), "{active} versions are active");
                    let resumed = case.resume();
                    assert_eq!((resumed.code(), resumed.rotation()), (DONE, stopped.rotation()), "step {step}: {resumed}");
                    assert_eq!(world.unclean(Some(&world.account().versions[1].id)), NOTHING);
                    assert_eq!(world.account().versions.len(), 2, "a safe boundary makes nothing twice");
                }
            });
        }
    });
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
    world.fault("none");
    let resumed = case.resume();
    assert_eq!(resumed.code(), DONE, "{resumed}");
    assert_eq!(world.unclean(Some(&world.account().versions[1].id)), NOTHING);
}

/// A version that Handover did not make fills the quota: it is named, and it stays.
#[test]
fn a_stranger_in_the_account_is_named_and_stays() {
    use handover::providers::Provider;
    use handover::providers::sandbox::SandboxProvider;
    use handover_rotation::name::Tag;

    let world = World::start();
    let provider = SandboxProvider::open(world.dir()).expect("the sandbox's provider");
    let tag = Tag::new("made-by-hand").expect("a tag");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let made = runtime.block_on(provider.create(CREDENTIAL, &tag, None));
    assert!(made.fault().is_none(), "{:?}", made.fault());
    let before = world.account();
    assert_eq!(before.active().len(), 2);
    let run = world.case("stranger").rotate("drill");
    assert_eq!(run.code(), REFUSED, "{run}");
    assert!(run.said().contains("newsletter#2"), "it does not name the stranger: {run}");
    assert_eq!(world.account().versions, before.versions, "it touched the account");
}

#[test]
fn an_env_file_that_someone_else_changes_is_not_overwritten() {
    let world = World::start();
    let case = world.case("changed");
    let old = world.account().active()[0].id.clone();
    let path = world.env_file("production");
    let first = std::fs::read_to_string(&path).expect("the env file");
    let mut going = case.rotating("drill");
    going.wait_for_step(8).expect("it comes to soak");
    let (_, written) = service::held(&path);
    let theirs = std::fs::read_to_string(&path).expect("the env file").replace(&written, "put-here-by-a-colleague");
    std::fs::write(&path, &theirs).expect("the env file can be written");
    let run = going.end();
    assert_eq!((run.code(), run.outcome().as_str()), (STUCK, "stuck"), "{run}");
    assert_eq!(std::fs::read_to_string(&path).expect("the env file"), theirs, "it was overwritten");
    assert!(run.said().contains(&*path.to_string_lossy()), "it does not say which file: {run}");
    assert!(world.account().active().iter().any(|v| v.id == old), "the old version was retired");
    // The colleague puts back what was there first.
    std::fs::write(&path, &first).expect("the env file can be written");
    let resumed = case.resume();
    assert_eq!(resumed.code(), ROLLED_BACK, "{resumed}");
    assert_eq!(world.unclean(Some(&old)), NOTHING);
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

#[test]
fn every_shape_ends_in_done_and_goes_back() {
    std::thread::scope(|scope| {
        for shape in ["delete-only", "alternating", "in-place"] {
            scope.spawn(move || {
                let world = World::with(&["--shape", shape]);
                let case = world.case("shape").scale(2);
                let old = world.account().active()[0].id.clone();
                world.fault("ignore-reload=all");
                let back = case.rotate("drill");
                assert_eq!(back.code(), ROLLED_BACK, "{shape}: {back}");
                assert_eq!(world.unclean(Some(&old)), NOTHING, "{shape}");
                world.fault("none");

                for round in 1..=2 {
                    let before = logins(&world);
                    let old = world.account().active()[0].id.clone();
                    let run = case.rotate("drill");
                    assert_eq!(run.code(), DONE, "{shape}, round {round}: {run}");
                    let new = world.account().active()[0].id.clone();
                    assert_ne!(old, new);
                    assert_eq!(world.unclean(Some(&new)), NOTHING, "{shape}, round {round}");
                    if login::has_python() {
                        let smtp = world.status().smtp;
                        let (username, password) = &before[&old];
                        assert_eq!(login::reply(&smtp, username, password), 535, "{shape}: the old login");
                        let (username, password) = &logins(&world)[&new];
                        assert_eq!(login::reply(&smtp, username, password), 235, "{shape}: the new login");
                    }
                }
                for playbook in ["leak", "emergency"] {
                    let run = case.rotate(playbook);
                    assert_eq!(run.code(), DONE, "{shape}, {playbook}: {run}");
                    assert_eq!(world.unclean(None), NOTHING, "{shape}, {playbook}");
                }
                assert_eq!(case.broken_journal(true), NOTHING, "{shape}");
            });
        }
    });
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

/// Runs a command that cannot make any file longer than this.
fn with_room_for(kilobytes: u32, command: Command) -> Run {
    let mut shell = Command::new("/bin/bash");
    shell.args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\""]).arg(kilobytes.to_string());
    shell.arg(command.get_program()).args(command.get_args());
    Going::start(shell).end()
}
