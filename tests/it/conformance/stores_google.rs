//! The kind `gcp-secret-manager` against a server written from its contract, and that server against Google's own Python client.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use handover::config::{Fields, Node};
use handover::secret::{Login, Secret};
use handover::stores::gcp_secret_manager::GcpSecretManagerStore;
use handover::stores::{EntryRef, Held, Store};
use handover_rotation::name::{EntryName, Username};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use serde_json::{Value, json};

use super::{stores, table};
use crate::support::lab::clouds::Served;
use crate::support::lab::clouds::google::{self, ACCESS, ADD, Google, PROJECT};
use crate::support::lab::free_port;
use crate::support::lab::proxy::Proxy;

fn place(path: &str) -> EntryRef {
    EntryRef {
        name: EntryName::new("cloud").expect("a name"),
        path: path.to_owned(),
        username_field: "user".to_owned(),
        password_field: "pass".to_owned(),
    }
}

fn login(username: &str, password: &str) -> Login {
    Login { username: Username::new(username).expect("a name"), password: Secret::new(password.to_owned()) }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn refused<T>(outcome: Outcome<T>) -> Fault {
    match outcome {
        Outcome::NotDone(fault) => fault,
        Outcome::Unknown(fault) => panic!("unknown: {fault}"),
        Outcome::Done(_) => panic!("it was done"),
    }
}

struct Bench {
    google: Served<Google>,
    folder: tempfile::TempDir,
    cutter: Proxy,
    /// Whether an entry is two secrets.
    two: bool,
}

impl Bench {
    async fn start(two: bool) -> Self {
        let (google, pem) = google::with_key();
        let google = Served::start(google).await;
        google.state().port = google.port;
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("key.json"), google::key_file(&pem, google.port)).expect("it is written");
        for (token, may) in [("looker", vec![ACCESS, "secretmanager.versions.get"]), ("adder", vec![ADD])] {
            google.state().tokens.insert(token.to_owned(), may);
            std::fs::write(folder.path().join(token), format!("{token}\n")).expect("it is written");
        }
        let cutter = Proxy::before(google.port).await;
        cutter.cut_answers_to(":addVersion");
        Self { google, folder, cutter, two }
    }

    fn at(&self, port: u16, auth: &str) -> GcpSecretManagerStore {
        let auth = auth.replace("FOLDER", &self.folder.path().to_string_lossy());
        let options = format!("project: {PROJECT}\naddress: http://127.0.0.1:{port}\nauth: {auth}\n");
        let node = Node::from_yaml("test.yaml", Path::new("/"), &options).unwrap_or_else(|p| panic!("{p}"));
        let mut fields = Fields::new(&node, "store");
        let read = GcpSecretManagerStore::options(&mut fields);
        let problems = fields.finish();
        GcpSecretManagerStore::open(read.unwrap_or_else(|| panic!("{problems}"))).unwrap_or_else(|fault| panic!("{fault}"))
    }

    fn ours(&self) -> GcpSecretManagerStore {
        self.at(self.google.port, "{service_account: {file: FOLDER/key.json}}")
    }

    fn with(&self, token: &str) -> GcpSecretManagerStore {
        self.at(self.google.port, &format!("{{token: {{file: FOLDER/{token}}}}}"))
    }

    fn put(&self, entry: &EntryRef, username: &str, password: &str) {
        let mut google = self.google.state();
        match entry.path.contains('*') {
            true => {
                google.add(&entry.path.replace('*', "user"), username);
                google.add(&entry.path.replace('*', "pass"), password);
            }
            false => {
                let object = json!({"user": username, "pass": password, "other": {"kept": [1, "x"]}});
                google.add(&entry.path, &object.to_string());
            }
        }
    }

    fn newest(&self, secret: &str) -> String {
        let google = self.google.state();
        let version = google.secrets[&Google::path(secret)].versions.last().expect("a version");
        String::from_utf8(version.data.clone()).expect("a text")
    }

    fn versions(&self, secret: &str) -> usize {
        self.google.state().secrets[&Google::path(secret)].versions.len()
    }

    fn object(&self, secret: &str) -> Value {
        serde_json::from_str(&self.newest(secret)).expect("JSON")
    }
}

#[async_trait]
impl stores::StoreBench for Bench {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.ours())
    }

    fn nowhere(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.at(free_port(), "{token: {file: FOLDER/looker}}")))
    }

    async fn forbidden(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.with("looker")))
    }

    async fn cutting(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.at(self.cutter.port(), "{service_account: {file: FOLDER/key.json}}")))
    }

    async fn entry(&self, name: &str, username: &str, password: &str) -> EntryRef {
        let entry = place(&if self.two { format!("{name}-*") } else { name.to_owned() });
        self.put(&entry, username, password);
        entry
    }

    fn missing(&self) -> EntryRef {
        place(if self.two { "nobody-*" } else { "nobody" })
    }

    async fn held(&self, entry: &EntryRef) -> (String, String) {
        match self.two {
            true => (self.newest(&entry.path.replace('*', "user")), self.newest(&entry.path.replace('*', "pass"))),
            false => {
                let object = self.object(&entry.path);
                let text = |key: &str| object[key].as_str().expect("a text").to_owned();
                (text("user"), text("pass"))
            }
        }
    }

    async fn meddle(&self, entry: &EntryRef, username: &str, password: &str) {
        self.put(entry, username, password);
    }

    async fn sibling(&self, entry: &EntryRef) -> Result<bool, &'static str> {
        match self.two {
            true => Err("nothing is kept beside the two secrets"),
            false => Ok(self.object(&entry.path)["other"] == json!({"kept": [1, "x"]})),
        }
    }
}

#[tokio::test]
async fn google_does_what_a_store_must() {
    for (two, kind) in [(false, "gcp-secret-manager"), (true, "gcp-secret-manager (two secrets)")] {
        let bench = Bench::start(two).await;
        table::hold(kind, &stores::run(&bench).await);
        assert!(bench.cutter.cut() >= 1);
        // What is there already makes no version; a token is used for many calls.
        assert_eq!(bench.versions(if two { "lost-pass" } else { "lost" }), 2, "a lost answer and its settlement");
        assert!(bench.google.state().logins <= 3, "{} logins", bench.google.state().logins);
    }
}

#[tokio::test]
async fn google_believes_no_damaged_value_and_tells_what_readers_of_latest_would_get() {
    let bench = Bench::start(false).await;
    let (store, entry) = (bench.ours(), place("news"));
    let new = login("user-2", "new");
    assert_eq!(refused(store.check_writable(&entry).await).code, "HO0635");
    bench.put(&entry, "user-1", "old");
    bench.google.state().damaged = true;
    let fault = refused(store.read(&entry).await);
    assert!(fault.code == "HO0634" && fault.message.contains("damaged on its way"), "{fault}");
    assert_eq!(refused(store.write(&entry, &new, &[&secret("old")]).await).class, FaultClass::Temporary);
    bench.google.state().damaged = false;
    for (state, says) in [("DISABLED", "version 2 is disabled"), ("DESTROYED", "version 2 is destroyed")] {
        bench.google.state().secrets.get_mut(&Google::path("news")).expect("it is there").versions.truncate(1);
        bench.put(&entry, "user-1", "old");
        bench.google.state().secrets.get_mut(&Google::path("news")).expect("it is there").versions[1].state = state;
        assert!(matches!(store.read(&entry).await, Outcome::Done(Held::Nothing)), "not version 1, which nobody gets");
        let lack = store.lacks(&entry).await;
        assert!(lack.contains(says), "{lack}");
        let fault = refused(store.write(&entry, &new, &[&secret("old")]).await);
        assert!(fault.code == "HO0635" && fault.message.contains(says), "{fault}");
    }
}

#[tokio::test]
async fn google_names_the_permission_that_is_missing() {
    let bench = Bench::start(false).await;
    let entry = place("news");
    bench.put(&entry, "user-1", "old");
    for (token, permission, role) in [("looker", ADD, "secretVersionAdder"), ("adder", ACCESS, "secretAccessor")] {
        let fault = refused(bench.with(token).check_writable(&entry).await);
        assert_eq!((fault.code.as_str(), fault.class), ("HO0632", FaultClass::Permanent), "{fault}");
        assert!(fault.message.contains(permission), "{fault}");
        assert!(fault.hint.as_deref().is_some_and(|hint| hint.contains(role) && hint.contains("news")), "{fault:?}");
    }
    std::fs::write(bench.folder.path().join("stranger"), "stranger").expect("it is written");
    let fault = refused(bench.with("stranger").read(&entry).await);
    assert!(fault.code == "HO0632" && fault.message.contains("has expired"), "{fault}");
}

#[tokio::test]
async fn google_gives_a_token_to_a_key_and_to_a_machine_and_another_when_it_is_refused() {
    let bench = Bench::start(false).await;
    let entry = place("news");
    bench.put(&entry, "user-1", "old");
    let machine = format!("{{metadata: {{address: \"http://127.0.0.1:{}\"}}}}", bench.google.port);
    for (auth, says) in [("{service_account: {file: FOLDER/key.json}}", "of-the-key"), (&machine, "of-the-machine")] {
        let store = bench.at(bench.google.port, auth);
        let before = bench.google.state().logins;
        assert!(matches!(store.read(&entry).await, Outcome::Done(Held::Login(_))));
        assert!(matches!(store.check_writable(&entry).await, Outcome::Done(())));
        assert_eq!(bench.google.state().logins, before + 1);
        assert!(bench.google.state().tokens.keys().any(|token| token.starts_with(says)));
        // It was revoked before its time: once more, with a new one.
        bench.google.state().tokens.retain(|token, _| !token.starts_with("of-"));
        assert!(matches!(store.write(&entry, &login("user-1", "old"), &[&secret("old")]).await, Outcome::Done(())));
        assert_eq!(bench.google.state().logins, before + 2);
    }
    for (file, says) in [
        ("not JSON", "is no JSON"),
        (r#"{"type": "external_account"}"#, "of another type"),
        (r#"{"type": "service_account", "token_uri": "http://127.0.0.1:1/token"}"#, "has no `private_key`"),
        (r#"{"type": "service_account", "private_key": "hush", "token_uri": "http://127.0.0.1:1/token"}"#, "cannot sign"),
        (r#"{"type": "service_account", "private_key": "hush", "token_uri": "http://example.com/token"}"#, "not https"),
    ] {
        std::fs::write(bench.folder.path().join("bad.json"), file).expect("it is written");
        let fault = refused(bench.at(bench.google.port, "{service_account: {file: FOLDER/bad.json}}").read(&entry).await);
        assert!(fault.message.contains(says) && !format!("{fault:?}").contains("hush"), "{fault}");
    }
    // Another key than the account's.
    let (_, pem) = google::with_key();
    std::fs::write(bench.folder.path().join("bad.json"), google::key_file(&pem, bench.google.port)).expect("it is written");
    let fault = refused(bench.at(bench.google.port, "{service_account: {file: FOLDER/bad.json}}").read(&entry).await);
    assert!(fault.code == "HO0632" && fault.message.contains(google::ACCOUNT), "{fault}");
}

#[tokio::test]
async fn google_refuses_what_does_not_fit_and_warns_of_what_ends() {
    let bench = Bench::start(false).await;
    let (store, entry) = (bench.ours(), place("news"));
    let long = json!({"user": "u", "pass": "old", "other": "x".repeat(65_490)});
    bench.google.state().add("news", &long.to_string());
    let old = secret("old");
    assert!(matches!(store.can_hold(&entry, &login("u", "new")).await, Outcome::Done(())));
    let longer = login("u", &"n".repeat(64));
    assert_eq!(refused(store.can_hold(&entry, &longer).await).code, "HO0615");
    assert_eq!(refused(store.write(&entry, &longer, &[&old]).await).code, "HO0615");
    bench.google.state().add("news", "just a text");
    let fault = refused(store.read(&entry).await);
    assert!(fault.code == "HO0634" && fault.hint.as_deref().is_some_and(|hint| hint.contains("`*`")), "{fault}");
    // A line end that came with `echo` is part of the value, and is told of.
    bench.put(&place("pair-*"), "user-1\n", "old");
    let fault = refused(store.read(&place("pair-*")).await);
    assert!(fault.code == "HO0622" && fault.message.contains("line end"), "{fault}");
    for path in ["", "a/b", "a.b", "../x", "*"] {
        let odd = EntryRef { username_field: "a b".to_owned(), ..place(path) };
        assert_eq!(refused(store.read(&odd).await).code, "HO0616", "{path}");
    }
    let more = [("expireTime", json!("2027-01-01T00:00:00Z")), ("rotation", json!({"rotationPeriod": "86400s"}))];
    bench.google.state().secrets.get_mut(&Google::path("news")).expect("it is there").more.extend(more);
    let told = store.warnings(&entry).await;
    assert!(
        told.len() == 2 && told[0].contains("ends at 2027-01-01") && told[1].contains("rotation of its own"),
        "{told:?}"
    );
}

#[tokio::test]
async fn google_keeps_what_came_in_between_in_the_history() {
    let bench = Bench::start(false).await;
    let (store, entry) = (bench.ours(), place("news"));
    bench.put(&entry, "user-1", "old");
    let foreign = json!({"user": "user-9", "pass": "foreign"}).to_string();
    bench.google.state().before_add = Some(Box::new(move |google| google.add("news", &foreign)));
    assert!(matches!(store.write(&entry, &login("user-2", "new"), &[&secret("old")]).await, Outcome::Done(())));
    assert_eq!((bench.versions("news"), bench.object("news")["pass"].as_str()), (3, Some("new")));
}

mod lab_clouds {
    use std::process::Command;

    use super::*;
    use crate::support::lab::venv;

    const SCRIPT: &str = r#"
import sys
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.cloud.secretmanager_v1.services.secret_manager_service.transports.rest import SecretManagerServiceRestTransport
from google.oauth2.credentials import Credentials

host, project = sys.argv[1:]
transport = SecretManagerServiceRestTransport(host=host, url_scheme="http", credentials=Credentials("official"))
client = SecretManagerServiceClient(transport=transport)
secret = f"projects/{project}/secrets/news"
latest = f"{secret}/versions/latest"
first = client.access_secret_version(name=latest)
assert first.name == f"{secret}/versions/1" and b"old" in first.payload.data, first.name
data = b'{"user": "official", "pass": "from the client"}'
added = client.add_secret_version(parent=secret, payload={"data": data, "data_crc32c": CHECKSUM})
assert added.name == f"{secret}/versions/2" and added.client_specified_payload_checksum, added
again = client.access_secret_version(name=latest)
assert again.payload.data == data and again.payload.data_crc32c == CHECKSUM
assert [v.name[-1] for v in client.list_secret_versions(parent=secret)] == ["2", "1"]
may = client.test_iam_permissions(
    request={"resource": secret, "permissions": ["secretmanager.versions.add", "x.y.z"]})
assert list(may.permissions) == ["secretmanager.versions.add"], may
client.disable_secret_version(name=f"{secret}/versions/2")
for error, call in [
    (BadRequest, lambda: client.access_secret_version(name=latest)),
    (NotFound, lambda: client.access_secret_version(name=f"projects/{project}/secrets/none/versions/latest")),
    (BadRequest, lambda: client.add_secret_version(parent=secret, payload={"data": data, "data_crc32c": 1})),
]:
    try:
        call()
        raise SystemExit(f"no {error}")
    except error:
        pass
client.enable_secret_version(name=f"{secret}/versions/2")
print("held")
"#;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_official_client_of_google_works_with_our_stand_in() {
        let bench = Bench::start(false).await;
        bench.put(&place("news"), "user-1", "old");
        let verbs = ["add", "access", "get", "list", "disable", "enable"];
        let may = verbs.map(|verb| &*Box::leak(format!("secretmanager.versions.{verb}").into_boxed_str())).to_vec();
        bench.google.state().tokens.insert("official".to_owned(), may);
        let host = format!("127.0.0.1:{}", bench.google.port);
        let data = br#"{"user": "official", "pass": "from the client"}"#;
        let checksum = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(data);
        let script = SCRIPT.replace("CHECKSUM", &checksum.to_string());
        let run = move || Command::new(venv("python")).args(["-c", &script, &host, PROJECT]).output().expect("python runs");
        let output = tokio::task::spawn_blocking(run).await.expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && output.stdout.starts_with(b"held"), "{said}");
        // And the adapter reads what it wrote.
        let Outcome::Done(Held::Login(held)) = bench.ours().read(&place("news")).await else { panic!("it reads") };
        assert_eq!(held.password.expose(), "from the client");
    }
}
