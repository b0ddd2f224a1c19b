//! The sealing key wrapped by a PKCS#11 token, as SoftHSM plays one. Tokens and keys are made by `softhsm2-util` and `pkcs11-tool`, as
//! docs/sealing.md shows.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::support::exit::{DONE, ERROR, REFUSED};
use crate::support::seal::{by, ends, killed, killed_anywhere, nothing_leaks, resumed, sealed, source, swapped};
use crate::support::{Case, World};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "pin-of-the-lab-0123456789-marked-pin";

/// A token with its key, in a folder of its own.
struct Token {
    folder: TempDir,
}

impl Token {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("tokens")).expect("a folder");
        let text = format!("directories.tokendir = {}\nlog.level = ERROR\n", folder.path().join("tokens").display());
        fs::write(folder.path().join("softhsm2.conf"), text).expect("it is written");
        fs::write(folder.path().join("pin"), format!("{PIN}\n")).expect("it is written");
        let token = Self { folder };
        token.run("softhsm2-util", &["--init-token", "--free", "--label", "handover", "--so-pin", "654321", "--pin", PIN]);
        token.make("seal", &["AES:32", "--sensitive"]);
        token
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("softhsm2.conf")
    }

    fn run(&self, program: &str, args: &[&str]) {
        let out = Command::new(program).args(args).env("SOFTHSM2_CONF", self.config()).output().expect("it starts");
        assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }

    fn make(&self, label: &str, key: &[&str]) {
        let mut args = vec!["--module", MODULE, "--token-label", "handover", "--login", "--pin", PIN];
        args.extend(["--keygen", "--label", label, "--key-type"]);
        args.extend(key);
        self.run("pkcs11-tool", &args);
    }

    /// The options of a source at this token.
    fn source(&self, world: &World, name: &str, more: &str) -> PathBuf {
        let pin = self.folder.path().join("pin");
        let usual = format!("pin: {{file: {}}}", pin.display());
        let more = if more.contains("pin:") { more.to_owned() } else { format!("{more}, {usual}") };
        let module = if more.contains("module:") { String::new() } else { format!("module: {MODULE}, ") };
        let token = if more.contains("token_label:") { "" } else { "token_label: handover, " };
        source(world, name, &format!("pkcs11: {{{module}{token}{more}}}"))
    }

    fn case<'a>(&self, world: &'a World, name: &str) -> Case<'a> {
        world.case(name).scale(8).env("SOFTHSM2_CONF", self.config().to_string_lossy()).env("HANDOVER_LOG", "trace")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_sealed_by_a_token_is_killed_rewrapped_handed_over_and_resumed() {
    let (world, token) = (World::start(), Token::new());
    let plain = token.case(&world, "one");
    let by_token = token.source(&world, "token", "key_label: seal");
    let case = by(&plain, &by_token);
    let first = killed(&case);
    assert!(case.state.join("seal.json").exists() && !case.state.join("seal.key").exists());

    // Without the token, or with another PIN, nothing goes on and nothing is changed.
    let wrapped = sealed(&case);
    let (tokens, away) = (token.folder.path().join("tokens"), token.folder.path().join("away"));
    fs::rename(&tokens, &away).expect("it is unplugged");
    fs::create_dir(&tokens).expect("a folder");
    for args in [&["resume", "newsletter"][..], &["seal", "rotate"], &["seal", "show"]] {
        ends(&case.run(args), REFUSED, &["HO0392", "there is no token handover"]);
    }
    fs::remove_dir(&tokens).expect("it is removed");
    fs::rename(&away, &tokens).expect("it is plugged in");
    let wrong = by(&plain, &token.source(&world, "wrong", "key_label: seal, pin: {env: LAB_PIN}")).env("LAB_PIN", "000000");
    let refused = wrong.run(&["seal", "show"]);
    ends(&refused, REFUSED, &["HO0392", "refuses the PIN"]);
    assert_eq!(sealed(&case), wrapped);

    let rotated = case.run(&["seal", "rotate"]);
    ends(&rotated, DONE, &[r#""changed":true"#]);
    let doctor = case.clone().in_words().run(&["doctor"]);
    ends(&doctor, DONE, &["pkcs11 (handover/seal), the journal's own", "stays in the token"]);

    // To another key of the token.
    token.make("next", &["AES:32", "--sensitive"]);
    let next = token.source(&world, "next", "key_label: next");
    assert_eq!(killed_anywhere(&plain, &["seal", "migrate", "--to", &next.to_string_lossy()], &by_token, &next), 3);
    ends(&case.run(&["seal", "show"]), ERROR, &["HO0391", "handover/next"]);
    let case = by(&plain, &next);
    let last = resumed(&case);
    nothing_leaks(&world, &case, &[PIN], &[&first, &refused, &rotated, &doctor, &last]);

    // What was wrapped for one journal opens for no other, by the token itself.
    let other = by(&token.case(&world, "other"), &next);
    ends(&other.rotate("drill"), DONE, &[]);
    swapped(&case, &other);
    ends(&other.run(&["seal", "show"]), REFUSED, &["HO0392", "does not decrypt it"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_could_leave_its_token_is_refused_and_none_is_ever_made() {
    let (world, token) = (World::start(), Token::new());
    token.make("open", &["AES:32", "--extractable"]);
    token.make("short", &["AES:16", "--sensitive"]);
    token.make("twice", &["AES:32", "--sensitive"]);
    token.make("twice", &["AES:32", "--sensitive"]);
    let before = world.account().versions.len();
    for (name, options, says) in [
        ("open", "key_label: open", "can be taken out of it"),
        ("short", "key_label: short", "does not have 256 bits"),
        ("twice", "key_label: twice", "several AES keys twice"),
        ("missing", "key_label: missing", "has no AES key missing"),
        ("elsewhere", "key_label: seal, token_label: other", "there is no token other"),
        ("unpinned", "key_label: seal, pin: {env: LAB_NO_PIN}", "the environment has no LAB_NO_PIN"),
        ("unloaded", "key_label: seal, module: /nowhere/libsofthsm2.so", "there is no PKCS#11 module"),
        ("unloadable", "key_label: seal, module: /bin/sh", "cannot be loaded as a PKCS#11 module"),
    ] {
        let case = by(&token.case(&world, name), &token.source(&world, name, options));
        ends(&case.run(&["doctor"]), ERROR, &[says]);
        ends(&case.rotate("drill"), REFUSED, &["HO0392", says]);
        assert!(!case.state.join("seal.json").exists() && !case.state.join("seal.key").exists());
    }
    assert_eq!(world.account().versions.len(), before);
    let seen = Command::new("pkcs11-tool")
        .args(["--module", MODULE, "--token-label", "handover", "--login", "--pin", PIN, "-O"])
        .env("SOFTHSM2_CONF", token.config())
        .output()
        .expect("it starts");
    // Those that were made here, and no other.
    assert_eq!(String::from_utf8_lossy(&seen.stdout).matches("Secret Key Object").count(), 5);
}
