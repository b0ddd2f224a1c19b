//! The kind `azure-key-vault` against a server written from its contract, and that server against Microsoft's own Python client.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use handover::config::{Fields, Node};
use handover::secret::{Login, Secret};
use handover::stores::azure_key_vault::AzureKeyVaultStore;
use handover::stores::{EntryRef, Held, Store};
use handover_rotation::name::{EntryName, Username};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use serde_json::{Value, json};

use super::{stores, table};
use crate::support::lab::clouds::Served;
use crate::support::lab::clouds::azure::{Azure, CLIENT, TENANT};
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

/// What belongs to a secret beside its value.
fn beside() -> Value {
    json!({"contentType": "application/json", "tags": {"team": "growth"}, "attributes": {"exp": 1_830_000_000, "nbf": 1_700_000_000}})
}

struct Bench {
    azure: Served<Azure>,
    folder: tempfile::TempDir,
    cutter: Proxy,
    /// Whether an entry is two secrets.
    two: bool,
}

impl Bench {
    async fn start(two: bool) -> Self {
        let azure = Served::start(Azure::new()).await;
        azure.state().base = format!("http://127.0.0.1:{}", azure.port);
        azure.state().proofs = vec!["client-secret", "federated"];
        let folder = tempfile::tempdir().expect("a folder");
        for (token, may) in [("writer", vec!["get", "set"]), ("reader", vec!["get"]), ("setter", vec!["set"])] {
            azure.state().tokens.insert(token.to_owned(), may);
        }
        for text in ["writer", "reader", "setter", "stranger", "client-secret", "federated"] {
            std::fs::write(folder.path().join(text), format!("{text}\n")).expect("it is written");
        }
        let cutter = Proxy::before(azure.port).await;
        cutter.cut_answers_to("PUT /secrets");
        Self { azure, folder, cutter, two }
    }

    fn at(&self, port: u16, auth: &str) -> AzureKeyVaultStore {
        let auth = auth.replace("FOLDER", &self.folder.path().to_string_lossy());
        let auth = auth.replace("HERE", &format!("http://127.0.0.1:{}", self.azure.port));
        let options = format!("vault: http://127.0.0.1:{port}\nauth: {auth}\n");
        let node = Node::from_yaml("test.yaml", Path::new("/"), &options).unwrap_or_else(|p| panic!("{p}"));
        let mut fields = Fields::new(&node, "store");
        let read = AzureKeyVaultStore::options(&mut fields);
        let problems = fields.finish();
        AzureKeyVaultStore::open(read.unwrap_or_else(|| panic!("{problems}"))).unwrap_or_else(|fault| panic!("{fault}"))
    }

    fn with(&self, token: &str) -> AzureKeyVaultStore {
        self.at(self.azure.port, &format!("{{token: {{file: FOLDER/{token}}}}}"))
    }

    fn put(&self, entry: &EntryRef, username: &str, password: &str) {
        let mut azure = self.azure.state();
        match entry.path.contains('*') {
            true => {
                azure.set(&entry.path.replace('*', "user"), username, &json!({}));
                azure.set(&entry.path.replace('*', "pass"), password, &beside());
            }
            false => {
                let object = json!({"user": username, "pass": password, "other": {"kept": [1, "x"]}});
                azure.set(&entry.path, &object.to_string(), &beside());
            }
        }
    }

    fn newest(&self, secret: &str) -> Value {
        self.azure.state().secrets[secret].versions.last().expect("a version").clone()
    }

    fn versions(&self, secret: &str) -> usize {
        self.azure.state().secrets[secret].versions.len()
    }

    fn change(&self, secret: &str, change: impl FnOnce(&mut Value)) {
        change(self.azure.state().secrets.get_mut(secret).expect("it is there").versions.last_mut().expect("a version"));
    }
}

#[async_trait]
impl stores::StoreBench for Bench {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.with("writer"))
    }

    fn nowhere(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.at(free_port(), "{token: {file: FOLDER/writer}}")))
    }

    async fn forbidden(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.with("reader")))
    }

    async fn cutting(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.at(self.cutter.port(), "{token: {file: FOLDER/writer}}")))
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
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        match self.two {
            true => {
                let value = |field: &str| text(&self.newest(&entry.path.replace('*', field))["value"]);
                (value("user"), value("pass"))
            }
            false => {
                let object: Value = serde_json::from_str(&text(&self.newest(&entry.path)["value"])).expect("JSON");
                (text(&object["user"]), text(&object["pass"]))
            }
        }
    }

    async fn meddle(&self, entry: &EntryRef, username: &str, password: &str) {
        self.put(entry, username, password);
    }

    async fn sibling(&self, entry: &EntryRef) -> Result<bool, &'static str> {
        let (name, kept) = match self.two {
            true => (entry.path.replace('*', "pass"), true),
            false => {
                let value = self.newest(&entry.path)["value"].as_str().expect("a text").to_owned();
                let object: Value = serde_json::from_str(&value).expect("JSON");
                (entry.path.clone(), object["other"] == json!({"kept": [1, "x"]}))
            }
        };
        let newest = self.newest(&name);
        let dates = ["exp", "nbf"].iter().all(|date| newest["attributes"][date] == beside()["attributes"][date]);
        let rest = ["contentType", "tags"].iter().all(|key| newest[key] == beside()[key]);
        assert!(dates && rest, "what belongs to a secret is given to its next version: {newest}");
        if self.two { Err("nothing is kept beside the two secrets") } else { Ok(kept) }
    }
}

#[tokio::test]
async fn azure_does_what_a_store_must() {
    for (two, kind) in [(false, "azure-key-vault"), (true, "azure-key-vault (two secrets)")] {
        let bench = Bench::start(two).await;
        table::hold(kind, &stores::run(&bench).await);
        assert!(bench.cutter.cut() >= 1);
        assert_eq!(bench.versions(if two { "lost-pass" } else { "lost" }), 2, "what is there makes no version");
    }
}

#[tokio::test]
async fn azure_explains_a_secret_that_was_deleted_and_can_come_back() {
    let bench = Bench::start(false).await;
    let (store, entry) = (bench.with("writer"), place("news"));
    let new = login("user-2", "new");
    assert_eq!(refused(store.check_writable(&entry).await).code, "HO0635");
    assert!(store.lacks(&entry).await.contains("no such secret in this vault"));
    bench.put(&entry, "user-1", "old");
    bench.azure.state().secrets.get_mut("news").expect("it is there").deleted = true;
    for fault in [
        refused(store.read(&entry).await),
        refused(store.check_writable(&entry).await),
        refused(store.write(&entry, &new, &[&secret("old")]).await),
    ] {
        assert_eq!(fault.code, "HO0636", "{fault}");
        assert!(fault.message.contains("can be recovered until 2027-02-16"), "{fault}");
        assert!(fault.hint.as_deref().is_some_and(|hint| hint.contains("az keyvault secret recover")), "{fault:?}");
    }
    // Between the look and the write, and where deleted secrets may not be seen.
    assert_eq!(refused(bench.with("setter").read(&entry).await).code, "HO0632");
    bench.azure.state().secrets.get_mut("news").expect("it is there").deleted = false;
    bench.change("news", |version| version["attributes"]["enabled"] = json!(false));
    assert!(matches!(store.read(&entry).await, Outcome::Done(Held::Nothing)));
    let lack = store.lacks(&entry).await;
    assert!(lack.contains("newest version is disabled"), "{lack}");
    assert_eq!(refused(store.write(&entry, &new, &[&secret("old")]).await).code, "HO0635");
}

#[tokio::test]
async fn azure_names_the_action_that_is_missing() {
    let bench = Bench::start(false).await;
    let entry = place("news");
    bench.put(&entry, "user-1", "old");
    for (token, action) in [("reader", "secrets/update/action"), ("setter", "secrets/getSecret/action")] {
        let fault = refused(bench.with(token).check_writable(&entry).await);
        assert_eq!((fault.code.as_str(), fault.class), ("HO0632", FaultClass::Permanent), "{fault}");
        assert!(fault.message.contains(action), "{fault}");
    }
    let fault = refused(bench.with("reader").write(&entry, &login("u", "new"), &[&secret("old")]).await);
    assert!(fault.code == "HO0632" && fault.message.contains("setSecret"), "{fault}");
    let fault = refused(bench.with("stranger").read(&entry).await);
    assert!(fault.code == "HO0632" && fault.message.contains("has expired"), "{fault}");
    bench.change("news", |version| version["managed"] = json!(true));
    assert!(refused(bench.with("writer").read(&entry).await).message.contains("belongs to a certificate"));
}

#[tokio::test]
async fn azure_gives_a_token_to_a_client_and_to_a_machine_and_another_when_it_is_refused() {
    let bench = Bench::start(false).await;
    let entry = place("news");
    bench.put(&entry, "user-1", "old");
    let client = format!("tenant: {TENANT}, client_id: {CLIENT}, login_address: \"HERE\"");
    for auth in [
        format!("{{client: {{{client}, client_secret: {{file: FOLDER/client-secret}}}}}}"),
        format!("{{client: {{{client}, federated_token: {{file: FOLDER/federated}}}}}}"),
        "{managed_identity: {address: \"HERE\"}}".to_owned(),
        format!("{{managed_identity: {{client_id: {CLIENT}, address: \"HERE\"}}}}"),
    ] {
        let store = bench.at(bench.azure.port, &auth);
        let before = bench.azure.state().logins;
        assert!(matches!(store.read(&entry).await, Outcome::Done(Held::Login(_))), "{auth}");
        assert!(matches!(store.check_writable(&entry).await, Outcome::Done(())));
        assert_eq!(bench.azure.state().logins, before + 1, "{auth}");
        // It was revoked before its time: once more, with a new one.
        bench.azure.state().tokens.retain(|token, _| !token.starts_with("token-"));
        assert!(matches!(store.read(&entry).await, Outcome::Done(Held::Login(_))));
        assert_eq!(bench.azure.state().logins, before + 2);
    }
    for (auth, says) in [
        (format!("{{client: {{{client}, client_secret: {{file: FOLDER/stranger}}}}}}"), "refused to sign in"),
        ("{managed_identity: {client_id: another, address: \"HERE\"}}".to_owned(), "refused to give a token"),
    ] {
        let fault = refused(bench.at(bench.azure.port, &auth).read(&entry).await);
        assert!(fault.code == "HO0632" && fault.message.contains(says), "{fault}");
    }
}

#[tokio::test]
async fn azure_refuses_names_and_values_that_do_not_fit_and_warns_of_an_end() {
    let bench = Bench::start(false).await;
    let (store, entry) = (bench.with("writer"), place("news"));
    bench.put(&entry, "user-1", "old");
    let long = login("u", &"n".repeat(25_000));
    assert_eq!(refused(store.can_hold(&entry, &long).await).code, "HO0615");
    assert_eq!(refused(store.write(&entry, &long, &[&secret("old")]).await).code, "HO0615");
    for path in ["", "a_b", "a/b", "a.b", "-é"] {
        assert_eq!(refused(store.read(&place(path)).await).code, "HO0616", "{path}");
    }
    let told = store.warnings(&entry).await;
    assert!(told.len() == 1 && told[0].contains("ends at 2027-12-28"), "{told:?}");
}

mod lab_clouds {
    use std::process::Command;

    use super::*;
    use crate::support::lab::venv;

    const SCRIPT: &str = r#"
import sys
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient
from azure.keyvault.secrets._shared import challenge_auth_policy

class Given:
    def get_token(self, *scopes, **options):
        assert scopes == ("https://vault.azure.net/.default",), scopes
        return AccessToken("official", 4102444800)

# The stand-in speaks plain http on loopback, which the client refuses to send a token over.
challenge_auth_policy._enforce_tls = lambda request: None
client = SecretClient(vault_url=sys.argv[1], credential=Given(), api_version="7.4", verify_challenge_resource=False)
first = client.get_secret("news")
assert "old" in first.value and first.properties.tags == {"team": "growth"}, first
made = client.set_secret("news", '{"user": "official", "pass": "from the client"}', content_type="application/json")
assert made.properties.version != first.properties.version
assert client.get_secret("news").properties.version == made.properties.version
assert client.get_secret("news", first.properties.version).value == first.value
assert len(list(client.list_properties_of_secret_versions("news"))) == 2
updated = client.update_secret_properties("news", made.properties.version)
assert updated.enabled and updated.version == made.properties.version, updated
client.update_secret_properties("news", made.properties.version, enabled=False)
try:
    client.get_secret("news")
    raise SystemExit("a disabled secret was shown")
except HttpResponseError as error:
    assert error.status_code == 403 and error.error.innererror["code"] == "SecretDisabled", error
client.update_secret_properties("news", made.properties.version, enabled=True)
try:
    client.get_secret("none")
    raise SystemExit("there is one")
except ResourceNotFoundError as error:
    assert error.error.code == "SecretNotFound", error
client.set_secret("gone", "x")
client.begin_delete_secret("gone")
assert client.get_deleted_secret("gone").scheduled_purge_date is not None
try:
    client.set_secret("gone", "y")
    raise SystemExit("a deleted secret was set")
except ResourceExistsError as error:
    assert error.error.innererror["code"] == "ObjectIsDeletedButRecoverable", error
client.begin_recover_deleted_secret("gone")
assert client.get_secret("gone").value == "x"
print("held")
"#;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_official_client_of_azure_works_with_our_stand_in() {
        let bench = Bench::start(false).await;
        bench.put(&place("news"), "user-1", "old");
        let all = vec!["get", "set", "list", "delete", "recover"];
        bench.azure.state().tokens.insert("official".to_owned(), all);
        let url = format!("http://127.0.0.1:{}", bench.azure.port);
        let run = move || Command::new(venv("python")).args(["-c", SCRIPT, &url]).output().expect("python runs");
        let output = tokio::task::spawn_blocking(run).await.expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && output.stdout.starts_with(b"held"), "{said}");
        // And the adapter reads what it wrote.
        let Outcome::Done(Held::Login(held)) = bench.with("writer").read(&place("news")).await else { panic!("it reads") };
        assert_eq!(held.password.expose(), "from the client");
    }
}
