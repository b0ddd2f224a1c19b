//! The sealing key wrapped by age: a rotation that is killed, rewrapped, handed over and resumed; and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::World;
use crate::support::exit::{BAD_INPUT, DONE, ERROR, REFUSED};
use crate::support::lab::sops::told;
use crate::support::seal::{by, ends, killed, killed_anywhere, nothing_leaks, resumed, sealed, source, swapped};

/// An identity in a file, and its recipient.
fn identity(folder: &Path, name: &str) -> (PathBuf, String) {
    let path = folder.join(name);
    told(Command::new("age-keygen").arg("-o").arg(&path), b"");
    let recipient = told(Command::new("age-keygen").arg("-y").arg(&path), b"");
    (path, String::from_utf8(recipient).expect("text").trim().to_owned())
}

/// The secret of an identity.
fn secret(identity: &Path) -> String {
    let text = fs::read_to_string(identity).expect("text");
    text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).expect("a key").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_sealed_by_age_is_killed_rewrapped_handed_over_and_resumed() {
    let (world, keys) = (World::start(), tempfile::tempdir().expect("a folder"));
    let (key, recipient) = identity(keys.path(), "key");
    let (spare, also) = identity(keys.path(), "spare");
    let options = format!("age: {{recipient: {recipient}, identity: {}, also: [{also}]}}", key.display());
    let age = source(&world, "age", &options);
    let plain = world.case("one").scale(8).env("HANDOVER_LOG", "trace");
    let case = by(&plain, &age);
    let first = killed(&case);
    assert!(case.state.join("seal.json").exists() && !case.state.join("seal.key").exists());

    // Without the identity nothing goes on, and nothing is changed.
    let wrapped = sealed(&case);
    let away = keys.path().join("away");
    fs::rename(&key, &away).expect("it is moved");
    for args in [&["resume", "newsletter"][..], &["seal", "rotate"], &["seal", "show"]] {
        ends(&case.run(args), REFUSED, &["HO0392", "cannot read the identity"]);
    }
    // One that others may read, one with a passphrase, and another one.
    fs::copy(&away, &key).expect("it is copied");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("a mode");
    ends(&case.run(&["seal", "show"]), REFUSED, &["HO0392", "others may read"]);
    fs::write(&key, "-----BEGIN AGE ENCRYPTED FILE-----\n").expect("it is written");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("a mode");
    ends(&case.run(&["seal", "show"]), REFUSED, &["HO0392", "passphrase"]);
    let (other, _) = identity(keys.path(), "other");
    fs::copy(&other, &key).expect("it is copied");
    ends(&case.run(&["seal", "show"]), REFUSED, &["HO0392", "does not decrypt with this identity"]);
    // The spare of `also` is as good as the first.
    fs::copy(&spare, &key).expect("it is copied");
    ends(&case.run(&["seal", "show"]), DONE, &["age"]);
    fs::copy(&away, &key).expect("it is copied");
    assert_eq!(sealed(&case), wrapped);

    let rotated = case.run(&["seal", "rotate"]);
    ends(&rotated, DONE, &[r#""changed":true"#]);
    assert_ne!(sealed(&case)["wrapped"], wrapped["wrapped"]);
    let doctor = case.clone().in_words().run(&["doctor"]);
    ends(&doctor, DONE, &[&format!("age ({recipient}), the journal's own"), "an identity of the 1 in `also`"]);

    // To a key file and back.
    let file = source(&world, "file", "file: {}");
    let (to_file, to_age) = (file.to_string_lossy().into_owned(), age.to_string_lossy().into_owned());
    assert_eq!(killed_anywhere(&plain, &["seal", "migrate", "--to", &to_file], &age, &file), 3);
    ends(&by(&plain, &file).run(&["seal", "migrate", "--to", &to_age]), DONE, &["rewrapped"]);
    let last = resumed(&case);
    nothing_leaks(&world, &case, &[&secret(&key), &secret(&spare)], &[&first, &rotated, &doctor, &last]);

    // What was wrapped for one journal opens for no other.
    let other = by(&world.case("other").scale(8), &age);
    ends(&other.rotate("drill"), DONE, &[]);
    swapped(&case, &other);
    ends(&other.run(&["seal", "show"]), REFUSED, &["HO0392", "no wrapping key of this journal"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_protects_nothing_or_does_not_fit_is_refused_before_anything_is_sealed() {
    let (world, keys) = (World::start(), tempfile::tempdir().expect("a folder"));
    let (key, recipient) = identity(keys.path(), "key");
    let (other, _) = identity(keys.path(), "other");
    let before = world.account().versions.len();
    let within = world.case("within");
    fs::create_dir(&within.state).expect("a folder");
    fs::set_permissions(&within.state, fs::Permissions::from_mode(0o700)).expect("a mode");
    fs::copy(&key, within.state.join("age.key")).expect("it is copied");
    let cases = [
        ("within", within.state.join("age.key"), recipient.clone(), "lies in the state folder"),
        ("unfit", other, recipient.clone(), "does not decrypt with this identity"),
        ("plugin", key.clone(), format!("age1nobody1{}", "q".repeat(50)), "does not encrypt"),
    ];
    for (name, identity, recipient, says) in cases {
        let file = source(&world, name, &format!("age: {{recipient: {recipient}, identity: {}}}", identity.display()));
        let case = by(&world.case(name).scale(8), &file);
        ends(&case.run(&["doctor"]), ERROR, &[says]);
        ends(&case.rotate("drill"), REFUSED, &["HO0392", says]);
        assert!(!case.state.join("seal.json").exists() && !case.state.join("seal.key").exists());
    }
    // An identity in the place of its recipient is not shown.
    let file = source(&world, "swapped", &format!("age: {{recipient: {}, identity: {}}}", secret(&key), key.display()));
    for args in [&["rotate", "newsletter", "--playbook", "drill", "--yes"][..], &["check"]] {
        let run = by(&world.case("swapped"), &file).run(args);
        ends(&run, BAD_INPUT, &["HO0114"]);
        assert!(!run.said().contains(&secret(&key)[20..40]), "{run}");
    }
    let file = source(
        &world,
        "gone",
        &format!("age: {{recipient: {recipient}, identity: {}, program: no-such-age}}", key.display()),
    );
    ends(&by(&world.case("gone"), &file).rotate("drill"), REFUSED, &["HO0392", "Debian package `age`"]);
    assert_eq!(world.account().versions.len(), before);
}
