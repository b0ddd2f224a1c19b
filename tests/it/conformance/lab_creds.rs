//! The kind `systemd-credential` with the real `systemd-creds`, and a host's key in a folder of its own. No systemd runs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use handover::secret::{Login, Secret};
use handover::stores::systemd_credential::{Format, SystemdCredentialOptions, SystemdCredentialStore};
use handover::stores::{EntryRef, Store};
use handover_rotation::name::{EntryName, Username};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{stores, table};
use crate::support::lab::sops::told;

/// Where systemd keeps the key of the host.
const HOST_KEY: &str = "/var/lib/systemd/credential.secret";

struct Bench {
    folder: TempDir,
    format: Format,
}

impl Bench {
    fn new(format: Format) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("creds")).expect("a folder");
        Self { folder, format }
    }

    fn creds(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = Command::new("systemd-creds");
        command.args(args).args(["-", "-"]).env("SYSTEMD_CREDENTIAL_SECRET", self.folder.path().join("host.key"));
        told(&mut command, input)
    }

    fn encrypt(&self, path: &str, name: &str, key: &str, text: &str) {
        let made = self.creds(&["encrypt", &format!("--name={name}"), &format!("--with-key={key}")], text.as_bytes());
        fs::write(path, made).expect("it is written");
    }

    fn decrypt(&self, entry: &EntryRef) -> String {
        let name = Path::new(&entry.path).file_stem().expect("a name").to_string_lossy().into_owned();
        let text = self.creds(&["decrypt", &format!("--name={name}")], &fs::read(&entry.path).expect("it is there"));
        String::from_utf8(text).expect("text")
    }

    fn options(&self) -> SystemdCredentialOptions {
        let host_key = Some(self.folder.path().join("host.key"));
        SystemdCredentialOptions { format: self.format, with_key: "host", host_key, ..SystemdCredentialOptions::default() }
    }

    fn place(&self, name: &str) -> EntryRef {
        let path = self.folder.path().join(format!("creds/{name}.cred"));
        EntryRef {
            name: EntryName::new("own").expect("a name"),
            path: path.to_str().expect("text").to_owned(),
            username_field: "user".to_owned(),
            password_field: "pass".to_owned(),
        }
    }

    fn put(&self, entry: &EntryRef, username: &str, password: &str) {
        let name = Path::new(&entry.path).file_stem().expect("a name").to_string_lossy().into_owned();
        let text = match self.format {
            Format::Json => json!({"user": username, "pass": password, "other": {"kept": [1, "x"]}}).to_string(),
            Format::Env => format!("# kept\nuser={username}\npass={password}\nLAST=y\n"),
        };
        self.encrypt(&entry.path, &name, "host", &text);
    }
}

fn open(options: SystemdCredentialOptions) -> Arc<SystemdCredentialStore> {
    Arc::new(SystemdCredentialStore::open(options).unwrap_or_else(|fault| panic!("{fault}")))
}

#[async_trait]
impl stores::StoreBench for Bench {
    fn store(&self) -> Arc<dyn Store> {
        open(self.options())
    }

    fn nowhere(&self) -> Result<Arc<dyn Store>, &'static str> {
        Err(table::LOCAL_NETWORK)
    }

    async fn forbidden(&self) -> Result<Arc<dyn Store>, &'static str> {
        // As another machine, or a user that may not read the key of this one.
        Ok(open(SystemdCredentialOptions { host_key: Some(self.folder.path().join("other.key")), ..self.options() }))
    }

    async fn cutting(&self) -> Result<Arc<dyn Store>, &'static str> {
        Err(table::ON_A_COPY)
    }

    async fn entry(&self, name: &str, username: &str, password: &str) -> EntryRef {
        let entry = self.place(name);
        self.put(&entry, username, password);
        entry
    }

    fn missing(&self) -> EntryRef {
        self.place("missing")
    }

    async fn held(&self, entry: &EntryRef) -> (String, String) {
        let text = self.decrypt(entry);
        match self.format {
            Format::Json => {
                let value: Value = serde_json::from_str(&text).expect("JSON");
                let of = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
                (of("user"), of("pass"))
            }
            Format::Env => {
                let of = |key: &str| {
                    text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default().trim_matches('\'').to_owned()
                };
                (of("user="), of("pass="))
            }
        }
    }

    async fn meddle(&self, entry: &EntryRef, username: &str, password: &str) {
        self.put(entry, username, password);
    }

    async fn sibling(&self, entry: &EntryRef) -> Result<bool, &'static str> {
        let text = self.decrypt(entry);
        Ok(match self.format {
            Format::Json => serde_json::from_str::<Value>(&text).expect("JSON")["other"] == json!({"kept": [1, "x"]}),
            Format::Env => text.starts_with("# kept\n") && text.ends_with("LAST=y\n"),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_json_does_what_a_store_must() {
    table::hold("systemd-credential", &stores::run(&Bench::new(Format::Json)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_an_env_text_does_what_a_store_must() {
    table::hold("systemd-credential (env)", &stores::run(&Bench::new(Format::Env)).await);
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
async fn a_credential_of_another_name_or_machine_is_refused_and_one_of_no_key_is_warned_of() {
    let there = Path::new(HOST_KEY).exists();
    let bench = Bench::new(Format::Json);
    let (store, entry) = (open(bench.options()), bench.place("one"));
    bench.put(&entry, "user-1", "old");
    assert_eq!(store.warnings(&entry).await, Vec::<String>::new());
    let login = Login { username: Username::new("user-2").expect("a name"), password: Secret::new("new".to_owned()) };
    // As it would be refused by systemd when the unit starts.
    let other = bench.place("two");
    fs::copy(&entry.path, &other.path).expect("it is copied");
    let before = fs::read(&other.path).expect("bytes");
    let mut damaged = before.clone();
    damaged.truncate(before.len() / 2);
    for bytes in [before, damaged, b"not base64 !".to_vec()] {
        fs::write(&other.path, &bytes).expect("it is written");
        for fault in [
            refused(store.read(&other).await),
            refused(store.check_writable(&other).await),
            refused(store.write(&other, &login, &[&Secret::new("old".to_owned())]).await),
        ] {
            assert_eq!((fault.code.as_str(), fault.class), ("HO0653", FaultClass::Permanent), "{fault}");
        }
        assert_eq!(fs::read(&other.path).expect("bytes"), bytes);
    }
    // One that anybody can read is written with a key again, and told of before.
    bench.encrypt(&other.path, "two", "tpm2-absent", r#"{"user":"user-1","pass":"old"}"#);
    let warnings = store.warnings(&other).await;
    assert!(warnings.len() == 1 && warnings[0].contains("no key at all"), "{warnings:?}");
    assert!(matches!(store.write(&other, &login, &[&Secret::new("old".to_owned())]).await, Outcome::Done(())));
    assert_eq!(store.warnings(&other).await, Vec::<String>::new());
    // Nothing was made where systemd keeps the key of the host.
    assert_eq!(Path::new(HOST_KEY).exists(), there);
}
