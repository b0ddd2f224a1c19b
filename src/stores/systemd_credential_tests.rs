//! The options, and what cannot be tried on this machine; the real `systemd-creds` is asked in
//! `tests/it/conformance/lab_creds.rs`.

use std::os::unix::fs::PermissionsExt;

use handover_rotation::name::{EntryName, Username};

use super::*;
use crate::config::Node;

fn options(text: &str) -> Result<SystemdCredentialOptions, String> {
    let node = Node::from_yaml("test.yaml", Path::new("/etc/handover"), text).unwrap_or_else(|p| panic!("{p}"));
    let mut fields = Fields::new(&node, "store `units`");
    let read = SystemdCredentialStore::options(&mut fields);
    let problems = fields.finish();
    read.filter(|_| !problems.has_errors()).ok_or_else(|| problems.to_string())
}

#[test]
fn credential_options_say_which_keys_encrypt() {
    assert_eq!(options("{}").expect("they are sound"), SystemdCredentialOptions::default());
    let text = "with_key: host+tpm2\ntpm2_pcrs: '7+11'\nformat: env\nhost_key: host.key\nsystemd_creds: [sudo, -n, systemd-creds]\n";
    let read = options(text).expect("they are sound");
    assert_eq!((read.with_key, read.tpm2_pcrs.as_deref(), read.format), ("host+tpm2", Some("7+11"), Format::Env));
    assert_eq!(read.host_key, Some("/etc/handover/host.key".into()));
    for (text, says) in [
        // Nothing is encrypted by no key.
        ("with_key: 'null'\n", "with_key"),
        ("with_key: tpm2-absent\n", "with_key"),
        ("tpm2_pcrs: '7,11'\n", "registers"),
        ("tpm2_pcrs: '7+'\n", "registers"),
        ("tpm2_pcrs: '--x'\n", "registers"),
        ("systemd_creds: [bin/x]\n", "relative path"),
        ("format: yaml\n", "format"),
        ("timeout: 5h\n", "too long"),
    ] {
        let problems = options(text).expect_err(text);
        assert!(problems.contains(says), "{text}: {problems}");
    }
}

/// A store whose program turns its input around, and writes down its arguments.
fn store(folder: &Path, script: &str, options: SystemdCredentialOptions) -> SystemdCredentialStore {
    let program = folder.join("creds");
    let log = folder.join("log");
    std::fs::write(&program, format!("#!/bin/sh\necho \"$@\" >>{}\n{script}\n", log.display())).expect("writes");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).expect("a mode");
    let systemd_creds = vec![program.to_str().expect("text").to_owned()];
    // Short where it is waited for, and long where it must not be.
    let timeout = if script.contains("sleep") { Span(300) } else { Span::seconds(20) };
    let options = SystemdCredentialOptions { systemd_creds, timeout, ..options };
    SystemdCredentialStore::open(options).unwrap_or_else(|fault| panic!("{fault}"))
}

fn entry(folder: &Path, name: &str) -> EntryRef {
    EntryRef {
        name: EntryName::new("e").expect("a name"),
        path: folder.join(name).to_str().expect("text").to_owned(),
        username_field: "u".to_owned(),
        password_field: "p".to_owned(),
    }
}

fn told<T>(outcome: Outcome<T>) -> String {
    match outcome {
        Outcome::Done(_) => "done".to_owned(),
        Outcome::NotDone(fault) => format!("not done {} {:?}", fault.code, fault.class),
        Outcome::Unknown(fault) => format!("unknown {} {:?}", fault.code, fault.class),
    }
}

const HELD: &str = r#"{"u":"one","p":"two"}"#;

#[tokio::test]
async fn what_the_program_does_badly_leaves_the_file_as_it_was() {
    let login = Login { username: Username::new("new").expect("a name"), password: Secret::new("n-e-w".to_owned()) };
    for (script, expected) in [
        ("exit 1", "HO0653 Permanent"),
        ("kill -9 $$", "HO0653 Permanent"),
        ("exec sleep 30", "HO0633 Temporary"),
        ("echo hush", "HO0634 Permanent"),
        // It decrypts, and does not encrypt.
        ("case $1 in decrypt) cat;; *) exit 1;; esac", "HO0653 Permanent"),
        ("case $1 in decrypt) cat;; *) cat; echo more;; esac", "HO0653 Permanent"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path(), script, SystemdCredentialOptions::default());
        let entry = entry(folder.path(), "smtp.cred");
        std::fs::write(&entry.path, HELD).expect("writes");
        let checked = told(store.check_writable(&entry).await);
        let wrote = told(store.write(&entry, &login, &[&Secret::new("two".to_owned())]).await);
        for told in [checked, wrote] {
            assert!(told.contains(expected) && !told.contains("unknown"), "{script}: {told}");
        }
        assert_eq!(std::fs::read_to_string(&entry.path).expect("it is there"), HELD);
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 3);
    }
}

#[tokio::test]
async fn the_program_is_told_keys_and_names_by_arguments_and_values_by_its_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let given = SystemdCredentialOptions {
        with_key: "tpm2",
        tpm2_pcrs: Some("7+11".to_owned()),
        ..SystemdCredentialOptions::default()
    };
    let store = store(folder.path(), "cat", given);
    let entry = entry(folder.path(), "smtp.cred");
    std::fs::write(&entry.path, HELD).expect("writes");
    let login = Login { username: Username::new("new").expect("a name"), password: Secret::new("n-e-w".to_owned()) };
    assert_eq!(told(store.write(&entry, &login, &[&Secret::new("two".to_owned())]).await), "done");
    let log = std::fs::read_to_string(folder.path().join("log")).expect("it is there");
    assert_eq!(
        log,
        "decrypt --newline=no --name=smtp - -\nencrypt --name=smtp --with-key=tpm2 --tpm2-pcrs=7+11 - -\n\
         decrypt --newline=no --name=smtp - -\n"
    );
    for name in [".cred", "a:b"] {
        let entry = self::entry(folder.path(), name);
        std::fs::write(&entry.path, HELD).expect("writes");
        assert!(told(store.read(&entry).await).contains("HO0605"), "{name}");
    }
    // Values that are no text, and swapped fields.
    for (text, code) in [
        (r#"{"u":"one","p":7}"#, "HO0634"),
        (r#"{"u":"one two\n","p":"x"}"#, "HO0622"),
        (r#"{"u":"one","p":"x","n":1e300}"#, "HO0634"),
        ("[]", "HO0634"),
    ] {
        std::fs::write(&entry.path, text).expect("writes");
        assert!(told(store.read(&entry).await).contains(code), "{text}");
    }
}
