//! Entries that do not hold what they should: the one that is wrong is named, and only if that is known.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::{edit, ends, names, spoil};
use crate::support::exit::{DONE, REFUSED, ROLLED_BACK, STUCK};
use crate::support::service::held;
use crate::support::world::CREDENTIAL;
use crate::support::{Run, World};

fn code(run: &Run) -> String {
    run.finished()["fault"]["code"].as_str().unwrap_or_default().to_owned()
}

fn message(run: &Run) -> String {
    run.finished()["fault"]["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn the_entry_with_the_wrong_password_is_the_one_that_is_named() {
    for (wrong, right) in [("production", "staging"), ("staging", "production")] {
        let world = World::start();
        let case = world.case("one").scale(8);
        spoil(&world, wrong, "mistyped-by-someone");
        let before = world.account();
        for run in [case.run(&["plan", CREDENTIAL, "--playbook", "drill"]), case.rotate("drill")] {
            ends(&run, REFUSED);
            assert_eq!(code(&run), "HO0482", "{run}");
            let blamed = format!("entry {wrong} ({}) holds a wrong login", world.env_file(wrong).display());
            assert!(message(&run).starts_with(&blamed), "{run}");
            assert!(message(&run).contains(&format!("what {right} ")) && message(&run).ends_with("works"), "{run}");
            assert!(!run.said().contains("mistyped-by-someone"), "{run}");
        }
        assert_eq!(world.account(), before);
    }
}

#[test]
fn without_evidence_no_entry_is_blamed() {
    let world = World::start();
    let case = world.case("one").scale(8);
    for environment in ["production", "staging"] {
        spoil(&world, environment, &format!("mistyped-in-{environment}"));
    }
    let run = case.rotate("drill");
    ends(&run, REFUSED);
    assert_eq!(code(&run), "HO0443", "{run}");
    assert!(!message(&run).contains("staging") && !message(&run).contains("production"), "{run}");
    let details = run.finished()["details"].to_string();
    for environment in ["production", "staging"] {
        assert!(details.contains(&world.env_file(environment).display().to_string()), "{run}");
    }
    assert_eq!(details.matches("fingerprint").count(), 2, "{run}");
    assert!(!run.said().contains("mistyped"), "{run}");
    // A leak waits for no such thing.
    ends(&case.run(&["plan", CREDENTIAL, "--playbook", "leak"]), DONE);
}

/// What stands where the login name should be is the password then, and may not be shown (S21).
#[test]
fn s21_swapped_fields_are_named_and_the_password_is_not() {
    let world = World::start();
    let case = world.case("one").scale(8);
    let (username, password) = held(&world.env_file("production"));
    for (environment, expected) in [("production", "HO0482"), ("staging", "HO0443")] {
        swap(&world, environment);
        for case in [case.clone(), case.clone().in_words()] {
            for run in [case.run(&["plan", CREDENTIAL, "--playbook", "drill"]), case.rotate("drill")] {
                ends(&run, REFUSED);
                names(&run, &[expected, "its two fields are swapped", "swap "]);
                assert!(!run.said().contains(&password), "{run}");
            }
        }
        let leak = case.run(&["plan", CREDENTIAL, "--playbook", "leak"]);
        assert!(!leak.said().contains(&password), "{leak}");
    }
    // A text that nobody knows as a login name may be a password as well.
    for environment in ["production", "staging"] {
        edit(&world, environment, |text| text.replace(&format!("SMTP_PASSWORD={username}"), "SMTP_PASSWORD=x"));
    }
    let run = case.rotate("drill");
    ends(&run, REFUSED);
    names(&run, &["HO0443", "not shown"]);
    assert!(!run.said().contains(&password), "{run}");
}

/// Where the provider has no list, a text is a login name only if somebody else knows it as one.
#[test]
fn s21_without_an_api_a_swapped_password_is_not_taken_for_a_login_name() {
    let world = World::with(&["--shape", "manual"]);
    let case = world.case("one");
    let (username, password) = held(&world.env_file("production"));
    let plan = |playbook: &str| case.run(&["plan", CREDENTIAL, "--playbook", playbook]);
    let sound = plan("leak");
    ends(&sound, DONE);
    names(&sound, &[&username]);
    for (environment, code, told) in
        [("production", "HO0482", "its two fields are swapped"), ("staging", "HO0443", "not shown")]
    {
        swap(&world, environment);
        for run in [plan("drill"), case.rotate("drill"), case.clone().in_words().rotate("drill")] {
            ends(&run, REFUSED);
            names(&run, &[code, told, "swap"]);
            assert!(!run.said().contains(&password), "{run}");
        }
        let leak = plan("leak");
        ends(&leak, if environment == "production" { DONE } else { REFUSED });
        assert!(!leak.said().contains(&password), "{leak}");
    }
}

/// Swaps the two values of an entry.
fn swap(world: &World, environment: &str) {
    let (username, password) = held(&world.env_file(environment));
    edit(world, environment, |text| {
        let (name, secret) = (format!("SMTP_USERNAME={username}"), format!("SMTP_PASSWORD={password}"));
        let (other, way) = (format!("SMTP_USERNAME={password}"), format!("SMTP_PASSWORD={username}"));
        text.replace(&name, "NAME").replace(&secret, "SECRET").replace("NAME", &other).replace("SECRET", &way)
    });
}

/// L5: one entry tells which login has leaked, and a store that does not answer holds nothing up.
#[test]
fn a_store_that_does_not_answer_does_not_hold_up_a_leak() {
    let world = World::start();
    let inventory = std::fs::read_to_string(world.dir().join("inventory.yaml")).expect("the inventory");
    let inventory = inventory
        .replacen("\nstores:\n", "\nstores:\n  deaf: {kind: exec, argv: [/bin/sleep, \"60\"], timeout: 60s}\n", 1)
        .replacen(
            "\n    entries:\n",
            "\n    entries:\n      deaf: {store: deaf, path: x, fields: {username: U, password: P}, environment: staging}\n",
            1,
        )
        .replacen(
            "\nservices:\n",
            "\nservices:\n  deaf: {credential: newsletter, entry: deaf, environment: staging, reload: {command: [/bin/true]}}\n",
            1,
        );
    let path = world.dir().join("deaf.yaml");
    std::fs::write(&path, inventory).expect("it is written");
    let case = world.case("one").inventory(path);
    let began = Instant::now();
    let run = case.run(&["plan", CREDENTIAL, "--playbook", "emergency"]);
    ends(&run, DONE);
    names(&run, &["entry deaf (x) cannot be read", "no answer within 2s"]);
    // Two looks of two seconds; each call of the store alone would take a minute.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}: {run}", began.elapsed());
}

#[test]
fn what_is_missing_is_said_to_be_missing() {
    let world = World::start();
    let (case, path) = (world.case("one").scale(8), |e: &str| world.env_file(e).display().to_string());
    let kept = std::fs::read_to_string(world.env_file("production")).expect("the entry");
    edit(&world, "production", |t| t.replace("SMTP_PASSWORD=", "SMTP_PASS="));
    let run = case.rotate("drill");
    ends(&run, REFUSED);
    assert_eq!(code(&run), "HO0481", "{run}");
    names(&run, &[&path("production"), "the file has no `SMTP_PASSWORD`"]);
    std::fs::remove_file(world.env_file("production")).expect("it can be removed");
    let run = case.rotate("drill");
    ends(&run, REFUSED);
    assert_eq!(code(&run), "HO0481", "{run}");
    names(&run, &[&path("production"), "the file is missing"]);
    assert!(!run.said().contains("someone changed it"), "{run}");
    // With none left, each has a line of its own with its path and its reason.
    std::fs::remove_file(world.env_file("staging")).expect("it can be removed");
    std::os::unix::fs::symlink("/dev/null", world.env_file("staging")).expect("a link");
    let run = case.clone().in_words().rotate("drill");
    ends(&run, REFUSED);
    names(&run, &["HO0443"]);
    let lines: Vec<&str> = run.stderr.lines().filter(|l| l.starts_with("  entry ")).collect();
    assert_eq!(lines.len(), 2, "{run}");
    assert!(lines.iter().any(|l| l.contains(&path("production")) && l.contains("the file is missing")), "{run}");
    assert!(lines.iter().any(|l| l.contains(&path("staging")) && l.contains("HO0601")), "{run}");
    std::fs::write(world.env_file("production"), kept).expect("it can be written");
}

#[test]
fn files_that_are_open_to_others_are_told_of_and_those_that_others_may_write_to_are_refused() {
    let world = World::start();
    let case = world.case("one").scale(8);
    let file = world.env_file("production");
    let chmod = format!("chmod o-rwx {}", file.display());
    let mode = |mode| std::fs::set_permissions(&file, Permissions::from_mode(mode)).expect("it is ours");
    mode(0o644);
    let plan = case.run(&["plan", CREDENTIAL, "--playbook", "drill"]);
    ends(&plan, DONE);
    names(&plan, &["WARNING", "0644", &chmod]);
    let doctor = case.clone().in_words().run(&["doctor"]);
    ends(&doctor, DONE);
    names(&doctor, &["!!  newsletter  ", "entry production: ", "0644", &chmod]);
    let done = case.clone().in_words().rotate("drill");
    ends(&done, DONE);
    assert!(done.stderr.contains(&chmod), "before it begins: {done}");
    assert!(done.stdout.contains("WARNING: entry production: everyone on this machine can read"), "{done}");
    mode(0o666);
    let before = world.account();
    let refused = case.rotate("drill");
    ends(&refused, REFUSED);
    names(&refused, &["HO0623", &chmod]);
    assert_eq!(world.account(), before);
    let doctor = case.clone().in_words().run(&["doctor"]);
    ends(&doctor, 1);
    names(&doctor, &["NO  newsletter production", "HO0623"]);
    mode(0o600);
    assert!(!case.run(&["plan", CREDENTIAL, "--playbook", "drill"]).stdout.contains("chmod"));
}

#[test]
fn a_value_that_nobody_knows_is_given_up_by_order_and_the_old_one_comes_back() {
    let world = World::start();
    let case = world.case("one");
    let old = world.account().active()[0].id.clone();
    let mut going = case.rotating("drill");
    going.wait_for_step(8).expect("it comes to the soak");
    for environment in ["production", "staging"] {
        spoil(&world, environment, "known-to-nobody");
    }
    let stuck = going.end();
    ends(&stuck, STUCK);
    names(&stuck, &["HO0417"]);
    let theirs = std::fs::read(world.env_file("production")).expect("the entry");
    // Neither way overwrites it without an order, and an order is for what is named.
    ends(&case.run(&["abort", CREDENTIAL]), STUCK);
    ends(&case.run(&["resume", CREDENTIAL, "--overwrite", "prodution"]), REFUSED);
    let one = case.run(&["resume", CREDENTIAL, "--overwrite", "staging"]);
    // Refused, if both were read already; else the other is found when it is read. It is not overwritten either way.
    match one.code() {
        STUCK => names(&one, &["HO0417", "entry production"]),
        _ => {
            ends(&one, REFUSED);
            names(&one, &["HO0483", "entry production"]);
        }
    }
    assert_eq!(std::fs::read(world.env_file("production")).expect("the entry"), theirs);
    let both = ["resume", CREDENTIAL, "--overwrite", "production", "--overwrite", "staging"];
    let back = case.run(&both);
    ends(&back, ROLLED_BACK);
    names(&back, &["who orders to overwrite entry production, staging"]);
    assert_eq!(world.unclean(Some(&old)), Vec::<String>::new());
    assert_eq!(case.broken_journal(true), Vec::<String>::new());
    ends(&case.run(&both), REFUSED);
}
