//! What SOPS may answer, played by a program that answers so; the real one is asked in `tests/it/conformance/lab_sops.rs`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use handover_rotation::name::{EntryName, Username};

use super::*;
use crate::config::Node;

fn options(text: &str) -> Result<SopsOptions, String> {
    let node = Node::from_yaml("test.yaml", Path::new("/etc/handover"), text).map_err(|p| p.to_string())?;
    let mut fields = Fields::new(&node, "store `secrets`");
    let read = SopsStore::options(&mut fields);
    let problems = fields.finish();
    read.filter(|_| !problems.has_errors()).ok_or_else(|| problems.to_string())
}

#[test]
fn sops_options_name_keys_by_their_files_and_never_a_key() {
    assert_eq!(options("{}").expect("they are sound"), SopsOptions::default());
    let read = options("environment: {SOPS_AGE_KEY_FILE: age.key, AWS_PROFILE: mail}\nformat: dotenv\ntimeout: 5s\n");
    let read = read.expect("they are sound");
    let expected = [("SOPS_AGE_KEY_FILE", "/etc/handover/age.key"), ("AWS_PROFILE", "mail")];
    assert_eq!(read.environment, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!((read.format, read.timeout), (Some(Format::Dotenv), Span::seconds(5)));
    for (text, says) in [
        ("environment: {SOPS_AGE_KEY: AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQ}\n", "HO01"),
        ("environment: {AWS_SECRET_ACCESS_KEY: hush}\n", "HO01"),
        ("environment: {VAULT_TOKEN: hush}\n", "HO01"),
        ("environment: {SOPS_AGE_KEYFILE: /x}\n", "SOPS_AGE_KEY_FILE"),
        ("program: bin/sops\n", "relative path"),
        ("format: toml\n", "format"),
        ("timeout: 5h\n", "too long"),
    ] {
        let problems = options(text).expect_err(text);
        assert!(problems.contains(says) && !problems.contains("hush") && !problems.contains("QQQQ"), "{text}: {problems}");
    }
}

struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    /// A file, and a program that is told which call it is and what stands in for it.
    fn new(script: &str) -> (Self, SopsStore) {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("smtp.yaml"), "one two\n").expect("writes");
        let program = folder.path().join("sops");
        let decrypt = "decrypt() { read u p; printf '{\"u\":\"%s\",\"p\":\"%s\"}' \"$u\" \"$p\"; }\n\
                       set() { read v; v=${v#?}; v=${v%?}; read u p <\"$1\"; \
                       case $2 in *u*) echo \"$v $p\" >\"$1\";; *) echo \"$u hidden-$v\" | rev >\"$1\";; esac; }\n";
        // $1 is the call; the copy and the index are the last two.
        let text = format!("#!/bin/bash\n{decrypt}call=$1; copy=${{@: -2:1}}; index=${{@: -1}}\n{script}\n");
        std::fs::write(&program, text).expect("writes");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).expect("a mode");
        let options = SopsOptions {
            program: program.to_str().expect("text").to_owned(),
            // Short where it is waited for, and long where it must not be.
            timeout: if script.contains("sleep") { Span(300) } else { Span::seconds(20) },
            ..SopsOptions::default()
        };
        let store = SopsStore::open(options).unwrap_or_else(|fault| panic!("{fault}"));
        (Self { folder }, store)
    }

    fn entry(&self) -> EntryRef {
        EntryRef {
            name: EntryName::new("e").expect("a name"),
            path: self.folder.path().join("smtp.yaml").to_str().expect("text").to_owned(),
            username_field: "u".to_owned(),
            password_field: "p".to_owned(),
        }
    }

    /// The file is as it was, and nothing lies beside it.
    #[track_caller]
    fn untouched(&self) {
        assert_eq!(std::fs::read(self.folder.path().join("smtp.yaml")).expect("it is there"), b"one two\n");
        assert_eq!(std::fs::read_dir(self.folder.path()).expect("lists").count(), 2);
    }
}

fn login(username: &str, password: &str) -> Login {
    Login { username: Username::new(username).expect("a name"), password: Secret::new(password.to_owned()) }
}

fn told<T>(outcome: Outcome<T>) -> String {
    match outcome {
        Outcome::Done(_) => "done".to_owned(),
        Outcome::NotDone(fault) => format!("not done {} {:?}", fault.code, fault.class),
        Outcome::Unknown(fault) => format!("unknown {} {:?}", fault.code, fault.class),
    }
}

#[tokio::test]
async fn each_end_of_sops_is_told_as_what_it_is_and_leaves_the_file_as_it_was() {
    for (script, check, write) in [
        ("exit 128", "HO0650 Permanent", "HO0650 Temporary"),
        ("exit 111", "HO0650 Permanent", "HO0650 Temporary"),
        ("exit 51", "HO0651 Permanent", "HO0651 Permanent"),
        ("exit 52", "HO0651 Permanent", "HO0651 Permanent"),
        ("exit 25", "HO0651 Permanent", "HO0651 Permanent"),
        ("exit 1", "HO0634 Permanent", "HO0634 Permanent"),
        ("exit 200", "HO0634 Permanent", "HO0634 Permanent"),
        ("kill -9 $$", "HO0633 Temporary", "HO0633 Temporary"),
        ("exec sleep 30", "HO0633 Temporary", "HO0633 Temporary"),
        ("echo hush", "HO0634 Permanent", "HO0634 Permanent"),
        ("echo '{\"u\":\"one\",\"p\":7}'", "HO0634 Permanent", "HO0634 Permanent"),
        ("echo '{\"u\":\"one\",\"u\":\"one\",\"p\":\"x\"}'", "HO0612 Permanent", "HO0612 Permanent"),
        // It decrypts, and sets nothing.
        ("[ $call = decrypt ] && decrypt || exit 23", "HO0634 Permanent", "HO0634 Permanent"),
        ("[ $call = decrypt ] && decrypt || exit 0", "done", "not done HO0615 Permanent"),
        // It sets the values in the clear.
        ("[ $call = decrypt ] && { decrypt; exit; }; cat >\"$copy\"", "HO0652 Permanent", "HO0652 Permanent"),
        // The copy becomes something else.
        ("[ $call = decrypt ] && { decrypt; exit; }; rm \"$copy\"; mkdir \"$copy\"; touch \"$copy/x\"", "HO06", "HO06"),
    ] {
        let (desk, store) = Desk::new(script);
        let checked = told(store.check_writable(&desk.entry()).await);
        assert!(checked.contains(check), "{script}: {checked}");
        let wrote = told(store.write(&desk.entry(), &login("new", "n-e-w"), &[&Secret::new("two".to_owned())]).await);
        assert!(wrote.contains(write) && !wrote.contains("unknown"), "{script}: {wrote}");
        if script.contains("mkdir") {
            continue;
        }
        desk.untouched();
    }
}

#[tokio::test]
async fn a_second_value_that_cannot_be_set_leaves_the_first_unset_too() {
    let (desk, store) =
        Desk::new("[ $call = decrypt ] && { decrypt; exit; }; case $index in *p*) exit 23;; esac; set \"$copy\" \"$index\"");
    let wrote = store.write(&desk.entry(), &login("new", "n-e-w"), &[&Secret::new("two".to_owned())]).await;
    assert!(told(wrote).contains("not done HO0634"));
    desk.untouched();
    // And one that another has changed is not touched at all.
    let wrote = store.write(&desk.entry(), &login("new", "n-e-w"), &[&Secret::new("three".to_owned())]).await;
    assert!(told(wrote).contains("not done HO0611"));
    desk.untouched();
}

#[tokio::test]
async fn fields_that_a_form_does_not_have_are_refused_before_anything_is_run() {
    let (desk, mut store) = Desk::new("exit 9");
    for (format, field) in [
        (Format::Dotenv, r#"["a"]["b"]"#),
        (Format::Dotenv, "sops_mac"),
        (Format::Ini, "a"),
        (Format::Ini, r#"["sops"]["mac"]"#),
        (Format::Yaml, r#"["sops"]["mac"]"#),
        (Format::Json, "sops"),
        (Format::Yaml, r#"["a"#),
    ] {
        store.format = Some(format);
        let entry = EntryRef { password_field: field.to_owned(), ..desk.entry() };
        assert!(told(store.read(&entry).await).contains("HO0616"), "{field}");
    }
    store.format = None;
    let entry = EntryRef { path: "/x/smtp.enc".to_owned(), ..desk.entry() };
    assert!(told(store.read(&entry).await).contains("HO0616"));
    // A program that is not there.
    let options = SopsOptions { program: "no-such-sops".to_owned(), ..SopsOptions::default() };
    let store = SopsStore::open(options).unwrap_or_else(|fault| panic!("{fault}"));
    match store.read(&desk.entry()).await {
        Outcome::NotDone(fault) => assert!(fault.hint.is_some_and(|hint| hint.contains("3.11"))),
        other => panic!("{}", told(other)),
    }
}
