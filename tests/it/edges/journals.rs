//! Two state folders at one account: the lock of one journal does not hold the other, the tags at the provider do.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{ends, names};
use crate::support::exit::{BAD_INPUT, DONE, REFUSED, ROLLED_BACK};
use crate::support::world::CREDENTIAL;
use crate::support::{Going, HANDOVER, World};

/// The drill with a soak that is longer than a test.
fn long(world: &World) {
    let folder = world.dir().join("playbooks");
    let drill = std::fs::read_to_string(folder.join("drill.yaml")).expect("the drill is there");
    let text = drill.replace("name: drill", "name: long").replace("soak: {for: 2s}", "soak: {for: 4m}");
    assert_ne!(text, drill);
    std::fs::write(folder.join("long.yaml"), text).expect("the playbook can be written");
}

#[test]
fn a_rotation_of_another_journal_is_noticed_at_every_step() {
    let world = World::start();
    long(&world);
    let (mine, theirs) = (world.case("mine"), world.case("theirs").scale(8));
    // After the first push the entries do not agree, after the second they all hold the version of the other rotation.
    for step in [2, 4, 8] {
        let mut going = mine.rotating("long");
        let started = going.wait_for_step(step).expect("it comes to the step");
        let id = started["rotation"].as_str().expect("an id").to_owned();
        let before = world.account();
        assert_eq!(before.active().len(), 2);
        let refused = theirs.rotate("drill");
        ends(&refused, REFUSED);
        assert_eq!(refused.finished()["fault"]["code"], "HO0480", "step {step}: {refused}");
        let made =
            before.active().into_iter().find(|v| v.tag.as_ref().is_some_and(|t| t.contains(&id))).expect("the new one");
        names(&refused, &[&id, &made.id, "--ended-elsewhere"]);
        ends(&theirs.run(&["plan", CREDENTIAL, "--playbook", "drill"]), REFUSED);
        // A leak is told of it, and not held up.
        let leak = theirs.run(&["plan", CREDENTIAL, "--playbook", "leak"]);
        ends(&leak, DONE);
        names(&leak, &["WARNING", &id]);
        assert_eq!(theirs.run(&["history"]).events().len(), 0, "nothing was begun");
        ends(&mine.run(&["abort", CREDENTIAL]), 6);
        ends(&going.end(), ROLLED_BACK);
    }
    assert_eq!(world.unclean(None), Vec::<String>::new());
}

#[test]
fn a_new_state_folder_after_a_rotation_that_is_over_is_warned_and_goes_on() {
    let world = World::start();
    let (first, second) = (world.case("first").scale(8), world.case("second").scale(8));
    let done = first.rotate("drill");
    ends(&done, DONE);
    let plan = second.run(&["plan", CREDENTIAL, "--playbook", "drill"]);
    ends(&plan, DONE);
    names(&plan, &[&done.rotation(), "new state folder"]);
    let again = second.rotate("drill");
    ends(&again, DONE);
    assert!(again.stderr.contains(&done.rotation()), "it is told to who does not read the plan: {again}");
    // Its own versions are no news.
    let plan = second.run(&["plan", CREDENTIAL, "--playbook", "drill"]);
    assert!(!plan.stdout.contains("not in this journal"), "{plan}");
}

#[test]
fn a_journal_that_was_lost_is_gone_on_from_by_someone_who_vouches() {
    let world = World::start();
    long(&world);
    let (lost, new) = (world.case("lost"), world.case("new").scale(8));
    let mut going = lost.rotating("long");
    let started = going.wait_for_step(3).expect("it comes to the step");
    let id = started["rotation"].as_str().expect("an id").to_owned();
    going.signal(rustix::process::Signal::KILL);
    drop(going);
    ends(&new.rotate("drill"), REFUSED);
    let mut command = new.rotation_command("drill");
    command.args(["--ended-elsewhere", &id]);
    let vouched = Going::start(command).end();
    // Entries that hold different logins are another matter, and refused as such.
    ends(&vouched, REFUSED);
    assert_eq!(vouched.finished()["fault"]["code"], "HO0443", "{vouched}");
    assert_eq!(vouched.finished()["details"].as_array().map(Vec::len), Some(2), "{vouched}");
}

#[test]
fn doctor_knows_the_key_of_the_journal() {
    let world = World::start();
    let case = world.case("one").in_words();
    let doctor = || case.run(&["doctor"]);
    names(&doctor(), &["ok  sealing key           a file, made at the first rotation"]);
    long(&world);
    let mut going = world.case("one").rotating("long");
    going.wait_for_step(3).expect("it comes to the step");
    going.signal(rustix::process::Signal::KILL);
    drop(going);
    ends(&doctor(), DONE);
    names(&doctor(), &["ok  sealing key           a file, the journal's own"]);
    let key = case.state.join("seal.key");
    let bytes = std::fs::read(&key).expect("the key is there");
    let other: Vec<u8> = bytes.iter().map(|b| !b).collect();
    std::fs::write(&key, other).expect("the key can be written");
    let wrong = doctor();
    ends(&wrong, 1);
    names(&wrong, &["NO  sealing key", "HO0320", "put the journal's own key file back"]);
    std::fs::remove_file(&key).expect("the key can be removed");
    let missing = doctor();
    ends(&missing, 1);
    names(&missing, &["NO  sealing key", "HO0319", "put it back"]);
    assert!(!key.exists(), "it is not made anew");
}

#[test]
fn doctor_refuses_the_folder_that_a_rotation_would_refuse() {
    let world = World::start();
    let case = world.case("open").in_words();
    std::fs::create_dir_all(&case.state).expect("a folder");
    std::fs::set_permissions(&case.state, std::fs::Permissions::from_mode(0o777)).expect("a mode");
    for args in [&["doctor"][..], &["rotate", CREDENTIAL, "--playbook", "drill", "--yes"]] {
        let run = case.run(args);
        ends(&run, 1);
        names(&run, &["HO0301", "chmod 700"]);
    }
    assert_eq!(std::fs::read_dir(&case.state).map(Iterator::count).ok(), Some(0), "nothing was made there");
}

#[test]
fn a_name_or_a_hash_that_is_none_is_bad_input() {
    let world = World::start();
    let case = world.case("typo").in_words().scale(8);
    ends(&case.rotate("drill"), DONE);
    let history = case.run(&["history", "newsleter"]);
    ends(&history, BAD_INPUT);
    names(&history, &["HO0440", "did you mean newsletter?"]);
    let plan = case.run(&["rotate", CREDENTIAL, "--plan", "zz"]);
    ends(&plan, BAD_INPUT);
    names(&plan, &["HO0448", "--plan \"zz\" is not the hash of a plan"]);
    let small = case.run(&["explain", "ho0448"]);
    ends(&small, DONE);
    names(&small, &["HO0448"]);
    assert_eq!(world.account().versions.len(), 2, "nothing more was made");
}

/// Whether a process has a handler for SIGTERM.
fn listens(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:")).and_then(|m| u64::from_str_radix(m.trim(), 16).ok());
    caught.is_some_and(|mask| mask >> 14 & 1 == 1)
}

#[test]
fn a_signal_before_the_beginning_ends_it_with_a_word() {
    let world = World::start();
    let case = world.case("one");
    let before = world.account();
    // Each look takes a while, so that there is a time before the beginning.
    world.fault("slow=3s");
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let going = case.rotating("drill");
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !listens(going.pid()) {
            assert!(std::time::Instant::now() < until, "it never listens");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        going.signal(signal);
        let run = going.end();
        ends(&run, REFUSED);
        names(&run, &["stopped before anything was changed"]);
        assert_eq!(run.outcome(), "refused");
    }
    world.fault("slow=off");
    assert_eq!(world.account(), before);
    let history = case.run(&["history"]);
    assert!(history.said().contains("HO0475"), "nothing was begun, and looking makes no journal: {history}");
    assert!(case.run(&["history"]).said().contains("HO0475"), "it was made by looking");
}

#[test]
fn pages_point_to_commands_that_work_before_the_first_rotation() {
    for code in ["HO0443", "HO0415", "HO0480", "HO0481", "HO0482"] {
        let run = Going::start({
            let mut command = Command::new(HANDOVER);
            command.args(["explain", code]);
            command
        })
        .end();
        ends(&run, DONE);
        assert!(!run.stdout.contains("handover status"), "{run}");
    }
}
