//! The kind `sops` with the real program, in each form of file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use handover::secret::{Login, Secret};
use handover::stores::sops::{SopsOptions, SopsStore};
use handover::stores::{EntryRef, Held, Store};
use handover_rotation::name::{EntryName, Username};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use serde_json::Value;

use super::{stores, table};
use crate::support::lab::sops::{Sops, program};

/// A form of file: how the two fields are named, and a document with room for the two values.
struct Form {
    name: &'static str,
    ending: &'static str,
    fields: [&'static str; 2],
    document: fn(&str, &str) -> String,
}

const FORMS: [Form; 4] = [
    Form {
        name: "yaml",
        ending: "yaml",
        fields: [r#"["smtp"]["user"]"#, r#"["smtp"]["pass"]"#],
        document: |u, p| {
            let smtp = format!("smtp:\n  # a comment\n  user: \"{u}\" # name\n  pass: \"{p}\"\n  list: [{{x: 1}}]\n");
            format!("# of the mailer\nhost: x\nkept: 12345678901234567890.5\n{smtp}last: [1, null, yes]\n")
        },
    },
    Form {
        name: "json",
        ending: "json",
        fields: ["user", r#"["deep"]["pass"]"#],
        document: |u, p| format!(r#"{{"user":"{u}","deep":{{"pass":"{p}","n":1.50}},"last":["y",true]}}"#),
    },
    Form {
        name: "dotenv",
        ending: "env",
        fields: ["SMTP_USERNAME", "SMTP_PASSWORD"],
        document: |u, p| format!("# of the mailer\nSMTP_HOST=x\nSMTP_USERNAME={u}\nSMTP_PASSWORD={p}\nLAST=y\n"),
    },
    Form {
        name: "ini",
        ending: "ini",
        fields: [r#"["smtp"]["user"]"#, r#"["smtp"]["pass"]"#],
        document: |u, p| format!("; of the mailer\n[smtp]\nhost = x\nuser = {u}\npass = {p}\n\n[other]\nlast = y\n"),
    },
];

struct Bench {
    sops: Sops,
    form: &'static Form,
}

impl Bench {
    fn new(form: &'static Form) -> Self {
        Self { sops: Sops::new(), form }
    }

    fn options(&self) -> SopsOptions {
        let program = program().to_str().expect("text").to_owned();
        let key = self.sops.key().to_str().expect("text").to_owned();
        SopsOptions { program, environment: vec![("SOPS_AGE_KEY_FILE".to_owned(), key)], ..SopsOptions::default() }
    }

    fn place(&self, name: &str) -> EntryRef {
        let path = self.sops.folder.path().join(format!("{name}.{}", self.form.ending));
        EntryRef {
            name: EntryName::new("own").expect("a name"),
            path: path.to_str().expect("text").to_owned(),
            username_field: self.form.fields[0].to_owned(),
            password_field: self.form.fields[1].to_owned(),
        }
    }

    fn put(&self, entry: &EntryRef, username: &str, password: &str, more: &[&str]) {
        self.sops.encrypt(Path::new(&entry.path), self.form.name, &(self.form.document)(username, password), more);
    }

    fn document(&self, entry: &EntryRef) -> Value {
        self.sops.decrypt(Path::new(&entry.path), self.form.name)
    }

    /// Files beside the entry's and the key.
    fn left_behind(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.sops.folder.path()).expect("lists").map(|e| e.expect("lists").path());
        all.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))).collect()
    }
}

fn open(options: SopsOptions) -> Arc<SopsStore> {
    Arc::new(SopsStore::open(options).unwrap_or_else(|fault| panic!("{fault}")))
}

/// The value at an index of SOPS.
fn at<'v>(document: &'v Value, index: &str) -> &'v Value {
    let steps = index.split(['[', ']']).filter(|step| !step.is_empty());
    steps.fold(document, |at, step| match step.parse::<usize>() {
        Ok(n) => &at[n],
        Err(_) => &at[step.trim_matches('"')],
    })
}

#[async_trait]
impl stores::StoreBench for Bench {
    fn store(&self) -> Arc<dyn Store> {
        open(self.options())
    }

    fn nowhere(&self) -> Result<Arc<dyn Store>, &'static str> {
        Err(table::SOPS_KEYS)
    }

    async fn forbidden(&self) -> Result<Arc<dyn Store>, &'static str> {
        // Whoever may read a SOPS file may write it: who has no key may neither.
        Ok(open(SopsOptions { environment: Vec::new(), ..self.options() }))
    }

    async fn cutting(&self) -> Result<Arc<dyn Store>, &'static str> {
        Err(table::ON_A_COPY)
    }

    async fn entry(&self, name: &str, username: &str, password: &str) -> EntryRef {
        let entry = self.place(name);
        self.put(&entry, username, password, &[]);
        entry
    }

    fn missing(&self) -> EntryRef {
        self.place("missing")
    }

    async fn held(&self, entry: &EntryRef) -> (String, String) {
        assert_eq!(self.left_behind(), Vec::<PathBuf>::new());
        let document = self.document(entry);
        let text = |index: &str| at(&document, index).as_str().unwrap_or_default().to_owned();
        (text(&entry.username_field), text(&entry.password_field))
    }

    async fn meddle(&self, entry: &EntryRef, username: &str, password: &str) {
        self.put(entry, username, password, &[]);
    }

    async fn sibling(&self, entry: &EntryRef) -> Result<bool, &'static str> {
        // The whole document but the two values, as SOPS gives it, and as the bytes of its lines.
        let now = self.document(entry);
        let (username, password) = self.held(entry).await;
        let other = self.place("other");
        self.put(&other, &username, &password, &[]);
        let as_it_was = self.document(&other);
        fs::remove_file(&other.path).expect("it is removed");
        Ok(now == as_it_was)
    }
}

async fn suite(form: usize, kind: &str) {
    table::hold(kind, &stores::run(&Bench::new(&FORMS[form])).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sops_yaml_does_what_a_store_must() {
    suite(0, "sops").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sops_json_does_what_a_store_must() {
    suite(1, "sops (json)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sops_dotenv_does_what_a_store_must() {
    suite(2, "sops (dotenv)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sops_ini_does_what_a_store_must() {
    suite(3, "sops (ini)").await;
}

fn login(username: &str, password: &str) -> Login {
    Login { username: Username::new(username).expect("a name"), password: Secret::new(password.to_owned()) }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

#[track_caller]
fn refused<T>(outcome: Outcome<T>) -> Fault {
    match outcome {
        Outcome::NotDone(fault) => fault,
        Outcome::Done(_) => panic!("it is done"),
        Outcome::Unknown(fault) => panic!("it is unknown: {fault}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sops_refuses_is_told_as_what_it_is_and_changes_nothing() {
    let bench = Bench::new(&FORMS[2]);
    let (store, old) = (open(bench.options()), secret("old"));
    let entry = bench.place("one");
    let path = Path::new(&entry.path);
    let plain = (bench.form.document)("user-1", "old");
    let encrypted = || {
        bench.put(&entry, "user-1", "old", &[]);
        fs::read_to_string(path).expect("text")
    };
    let lines =
        |text: &str, keep: &dyn Fn(&str) -> bool| text.lines().filter(|l| keep(l)).map(|l| format!("{l}\n")).collect();
    let whole = encrypted();
    let moved: String = whole.replace("LAST=", "LATER=");
    let cases: [(&str, String, &str); 6] = [
        ("a value by hand", whole.replace("SMTP_HOST=ENC", "SMTP_HOST=x#ENC"), "HO0651"),
        ("a key under another name", moved, "HO0651"),
        ("no MAC", lines(&whole, &|line| !line.starts_with("sops_mac")), "HO0651"),
        ("a line taken out", lines(&whole, &|line| !line.starts_with("LAST")), "HO0651"),
        ("never encrypted", plain, "HO0634"),
        ("empty", String::new(), "HO0634"),
    ];
    for (what, text, code) in cases {
        fs::write(path, &text).expect("it is written");
        for fault in [
            refused(store.read(&entry).await),
            refused(store.check_writable(&entry).await),
            refused(store.write(&entry, &login("user-2", "new"), &[&old]).await),
        ] {
            assert_eq!((fault.code.as_str(), fault.class), (code, FaultClass::Permanent), "{what}: {fault}");
        }
        assert_eq!(fs::read_to_string(path).expect("text"), text, "{what}");
        assert_eq!(bench.left_behind(), Vec::<PathBuf>::new());
    }
    // Without the key: a mistake to mend in preflight, and what may pass once a rotation runs.
    let whole = encrypted();
    let keyless = open(SopsOptions { environment: Vec::new(), ..bench.options() });
    let fault = refused(keyless.check_writable(&entry).await);
    assert_eq!((fault.code.as_str(), fault.class), ("HO0650", FaultClass::Permanent));
    assert!(fault.hint.is_some_and(|hint| hint.contains("SOPS_AGE_KEY_FILE")));
    let fault = refused(keyless.write(&entry, &login("user-2", "new"), &[&old]).await);
    assert_eq!((fault.code.as_str(), fault.class), ("HO0650", FaultClass::Temporary));
    assert_eq!(fs::read_to_string(path).expect("text"), whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_sops_would_leave_in_the_clear_is_refused_in_preflight() {
    let bench = Bench::new(&FORMS[0]);
    let (store, entry) = (open(bench.options()), bench.place("one"));
    for rule in [&["--encrypted-regex", "^user$"][..], &["--unencrypted-regex", "^pass$"]] {
        bench.put(&entry, "user-1", "old", rule);
        let before = fs::read(&entry.path).expect("bytes");
        let fault = refused(store.check_writable(&entry).await);
        assert_eq!((fault.code.as_str(), fault.class), ("HO0652", FaultClass::Permanent), "{fault}");
        let fault = refused(store.write(&entry, &login("user-2", "new-one"), &[&secret("old")]).await);
        assert_eq!(fault.code, "HO0652", "{fault}");
        assert_eq!(fs::read(&entry.path).expect("bytes"), before);
    }
    // A username in the clear is no secret.
    bench.put(&entry, "user-1", "old", &["--encrypted-regex", "^pass$"]);
    assert!(matches!(store.check_writable(&entry).await, Outcome::Done(())));
    assert!(matches!(store.write(&entry, &login("user-2", "new-one"), &[&secret("old")]).await, Outcome::Done(())));
    let text = fs::read_to_string(&entry.path).expect("text");
    assert!(text.contains("user-2") && !text.contains("new-one"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_a_list_is_good_only_where_sops_hits_it() {
    let bench = Bench::new(&FORMS[0]);
    let store = open(bench.options());
    let fields = [r#"["smtp"][1]["user"]"#, r#"["smtp"][1]["pass"]"#].map(str::to_owned);
    let [username_field, password_field] = fields;
    let entry = EntryRef { username_field, password_field, ..bench.place("list") };
    let (old, new) = (secret("old"), login("user-2", "new-one"));
    let list = |comment: &str| format!("smtp:\n  - kept: 1\n  - user: user-1{comment}\n    pass: old\n  - kept: 2\n");
    bench.sops.encrypt(Path::new(&entry.path), "yaml", &list(""), &[]);
    assert!(matches!(store.check_writable(&entry).await, Outcome::Done(())));
    assert!(matches!(store.write(&entry, &new, &[&old]).await, Outcome::Done(())));
    // SOPS takes the comment for an item: it would set the login beside the old one.
    bench.sops.encrypt(Path::new(&entry.path), "yaml", &list(" # mind"), &[]);
    let before = fs::read(&entry.path).expect("bytes");
    for fault in [
        refused(store.check_writable(&entry).await),
        refused(store.can_hold(&entry, &new).await),
        refused(store.write(&entry, &new, &[&old]).await),
    ] {
        assert_eq!((fault.code.as_str(), fault.class), ("HO0615", FaultClass::Permanent), "{fault}");
        assert!(fault.hint.is_some_and(|hint| hint.contains("comments")));
    }
    assert_eq!(fs::read(&entry.path).expect("bytes"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_keeps_mode_and_the_ciphertext_of_all_else_and_tells_sops_nothing_by_arguments() {
    let bench = Bench::new(&FORMS[0]);
    let entry = bench.place("one");
    bench.put(&entry, "user-1", "Old+marked/7f3a=_9-x", &[]);
    fs::set_permissions(&entry.path, fs::Permissions::from_mode(0o640)).expect("a mode");
    let before = fs::read_to_string(&entry.path).expect("text");
    // What others on this machine can see of each run.
    let (spy, log) = (bench.sops.folder.path().join("spy"), bench.sops.folder.path().join("log"));
    let seen = "{ tr '\\0' '\\n' </proc/$$/cmdline; tr '\\0' '\\n' </proc/$$/environ; }";
    let text = format!("#!/bin/sh\n{seen} >>{}\nexec {} \"$@\"\n", log.display(), program().display());
    fs::write(&spy, text).expect("it is written");
    fs::set_permissions(&spy, fs::Permissions::from_mode(0o700)).expect("a mode");
    let store = open(SopsOptions { program: spy.to_str().expect("text").to_owned(), ..bench.options() });
    assert!(matches!(store.check_writable(&entry).await, Outcome::Done(())));
    let new = login("user-2", "New+\"mark'ed\\ /8b21=_4-y");
    assert!(matches!(store.can_hold(&entry, &new).await, Outcome::Done(())));
    assert!(matches!(store.write(&entry, &new, &[&secret("Old+marked/7f3a=_9-x")]).await, Outcome::Done(())));
    match store.read(&entry).await {
        Outcome::Done(Held::Login(held)) => assert!(held.password.matches(&new.password)),
        _ => panic!("it reads"),
    }
    let log = fs::read_to_string(&log).expect("text");
    assert!(log.matches("--value-stdin").count() >= 5, "{log}");
    for part in ["marked", "mark", "user-1", "user-2"] {
        assert!(!log.contains(part), "{part}: {log}");
    }
    let after = fs::read_to_string(&entry.path).expect("text");
    assert_eq!(fs::metadata(&entry.path).expect("it is there").permissions().mode() & 0o7777, 0o640);
    let changed: Vec<&str> =
        before.lines().filter(|line| !line.contains("lastmodified") && !after.contains(*line)).collect();
    // The two values and the MAC; the time too, but not within one second.
    assert_eq!(changed.len(), 3, "{changed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_cut_off_leaves_the_old_file_whole() {
    let bench = Bench::new(&FORMS[3]);
    let entry = bench.place("one");
    bench.put(&entry, "user-1", "old", &[]);
    let before = fs::read(&entry.path).expect("bytes");
    // The second value cannot be set; the first was. Then nothing can be seen any more.
    for how in ["exit 9", "kill -9 $$"] {
        let spy = bench.sops.folder.path().join("spy");
        let text = format!("#!/bin/sh\ncase \"$*\" in *'[\"pass\"]') {how};; esac\nexec {} \"$@\"\n", program().display());
        fs::write(&spy, text).expect("it is written");
        fs::set_permissions(&spy, fs::Permissions::from_mode(0o700)).expect("a mode");
        let store = open(SopsOptions { program: spy.to_str().expect("text").to_owned(), ..bench.options() });
        refused(store.write(&entry, &login("user-2", "new"), &[&secret("old")]).await);
        assert_eq!(fs::read(&entry.path).expect("bytes"), before, "{how}");
        assert_eq!(bench.left_behind(), Vec::<PathBuf>::new());
    }
    // What a kill left of a copy is swept by the next write.
    let left = bench.sops.folder.path().join(".handover-env-00112233445566778899aabbccddeeff.tmp");
    fs::write(&left, "half").expect("it is written");
    let store = open(bench.options());
    assert!(matches!(store.write(&entry, &login("user-2", "new"), &[&secret("old")]).await, Outcome::Done(())));
    assert_eq!(bench.left_behind(), Vec::<PathBuf>::new());
}
