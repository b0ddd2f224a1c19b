//! The kind `conjur` against a server written from its contract, and that server against the official Python client.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use handover::config::{Fields, Node};
use handover::secret::{Login, Secret};
use handover::stores::conjur::ConjurStore;
use handover::stores::{EntryRef, Held, Store};
use handover_rotation::name::{EntryName, Username};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};

use super::{stores, table};
use crate::support::lab::conjur::Conjur;
use crate::support::lab::free_port;
use crate::support::lab::proxy::Proxy;

const ALL: [&str; 3] = ["read", "execute", "update"];
const HOST: &str = "host/mail/handover";

fn place(path: &str) -> EntryRef {
    EntryRef {
        name: EntryName::new("conjur").expect("a name"),
        path: path.to_owned(),
        username_field: "user name".to_owned(),
        password_field: "pass+word".to_owned(),
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
    conjur: Conjur,
    folder: tempfile::TempDir,
    cutter: Proxy,
}

impl Bench {
    async fn start() -> Self {
        let conjur = Conjur::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        for login in [HOST, "reader"] {
            conjur.world().keys.insert(login.to_owned(), format!("key of {login}"));
            let file = folder.path().join(login.replace('/', "-"));
            std::fs::write(file, format!("key of {login}\n")).expect("it is written");
        }
        let cutter = Proxy::before(conjur.port).await;
        cutter.cut_answers_to("POST /secrets");
        Self { conjur, folder, cutter }
    }

    fn at(&self, port: u16, login: &str) -> ConjurStore {
        let file = self.folder.path().join(login.replace('/', "-"));
        let options = format!(
            "address: http://127.0.0.1:{port}\naccount: myorg\nlogin: {login}\napi_key: {{file: {}}}\n",
            file.display()
        );
        let node = Node::from_yaml("test.yaml", Path::new("/"), &options).unwrap_or_else(|p| panic!("{p}"));
        let mut fields = Fields::new(&node, "store");
        let read = ConjurStore::options(&mut fields);
        let problems = fields.finish();
        ConjurStore::open(read.unwrap_or_else(|| panic!("{problems}"))).unwrap_or_else(|fault| panic!("{fault}"))
    }

    fn ours(&self) -> ConjurStore {
        self.at(self.conjur.port, HOST)
    }

    fn put(&self, path: &str, username: &str, password: &str) {
        for (field, value) in [("user name", username), ("pass+word", password)] {
            let id = format!("{path}/{field}");
            self.conjur.permit(HOST, &id, &ALL);
            self.conjur.permit("reader", &id, &["read", "execute"]);
            self.conjur.world().variables.entry(id).or_default().push(value.as_bytes().to_vec());
        }
    }

    fn get(&self, path: &str) -> (String, String) {
        let world = self.conjur.world();
        let value = |field: &str| world.variables.get(&format!("{path}/{field}")).and_then(|v| v.last()).cloned();
        let text = |field: &str| String::from_utf8(value(field).unwrap_or_default()).expect("a text");
        (text("user name"), text("pass+word"))
    }
}

#[async_trait]
impl stores::StoreBench for Bench {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.ours())
    }

    fn nowhere(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.at(free_port(), HOST)))
    }

    async fn forbidden(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.at(self.conjur.port, "reader")))
    }

    async fn cutting(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.at(self.cutter.port(), HOST)))
    }

    async fn entry(&self, name: &str, username: &str, password: &str) -> EntryRef {
        let path = format!("prod/mail.{name}");
        self.put(&path, username, password);
        place(&path)
    }

    fn missing(&self) -> EntryRef {
        place("prod/nobody")
    }

    async fn held(&self, entry: &EntryRef) -> (String, String) {
        self.get(&entry.path)
    }

    async fn meddle(&self, entry: &EntryRef, username: &str, password: &str) {
        self.put(&entry.path, username, password);
    }

    async fn sibling(&self, _entry: &EntryRef) -> Result<bool, &'static str> {
        Err("nothing is kept beside the two variables")
    }
}

#[tokio::test]
async fn conjur_does_what_a_store_must() {
    let bench = Bench::start().await;
    let ran = stores::run(&bench).await;
    table::hold("conjur", &ran);
    assert!(bench.cutter.cut() >= 1);
    let world = bench.conjur.world();
    // What it holds already is not written again, and a token is used for many calls.
    assert_eq!(world.variables["prod/mail.lost/pass+word"].len(), 2);
    assert!(world.calls.iter().any(|call| call == "batch of 2"));
    assert!(world.logins < 12, "{} logins", world.logins);
}

#[tokio::test]
async fn conjur_gets_out_of_a_half_written_entry() {
    let bench = Bench::start().await;
    let (store, entry) = (bench.ours(), place("half"));
    bench.put("half", "user-1", "old");
    // The password is refused after the username was written: the username is put back.
    bench.conjur.world().refuse = Some(("half/pass+word".to_owned(), 403));
    let fault = refused(store.write(&entry, &login("user-2", "new"), &[&secret("old")]).await);
    assert_eq!(fault.code, "HO0632");
    assert_eq!(bench.get("half"), ("user-1".to_owned(), "old".to_owned()));
    // Its answer is an error that leaves it open: so is the whole, and what is there is told as it is.
    bench.conjur.world().refuse = Some(("half/pass+word".to_owned(), 503));
    let outcome = store.write(&entry, &login("user-2", "new"), &[&secret("old")]).await;
    assert!(matches!(&outcome, Outcome::Unknown(fault) if fault.code == "HO0633"), "{outcome:?}");
    let Outcome::Done(Held::Login(held)) = store.read(&entry).await else { panic!("it reads") };
    assert_eq!((held.username.as_str(), held.password.expose()), ("user-2", "old"));
    // And going on from it, or back, mends it.
    bench.conjur.world().refuse = None;
    assert!(matches!(
        store.write(&entry, &login("user-1", "old"), &[&secret("old"), &secret("new")]).await,
        Outcome::Done(())
    ));
    assert_eq!(bench.get("half"), ("user-1".to_owned(), "old".to_owned()));
    assert!(matches!(store.write(&entry, &login("user-2", "new"), &[&secret("old")]).await, Outcome::Done(())));
    assert_eq!(bench.get("half"), ("user-2".to_owned(), "new".to_owned()));
    // The order: the username first, so that the password says how far it came.
    let calls = bench.conjur.world().calls.clone();
    let posts: Vec<_> = calls.iter().rev().filter(|c| c.starts_with("POST")).take(2).collect();
    assert_eq!(posts, ["POST half/pass+word", "POST half/user name"]);
}

#[tokio::test]
async fn conjur_tells_empty_from_missing_and_forbidden() {
    let bench = Bench::start().await;
    let store = bench.ours();
    // Declared by a policy, and without a value.
    for field in ["user name", "pass+word"] {
        bench.conjur.permit(HOST, &format!("empty/{field}"), &ALL);
    }
    let empty = place("empty");
    assert!(matches!(store.read(&empty).await, Outcome::Done(Held::Nothing)));
    assert!(store.lacks(&empty).await.contains("empty/user name has no value"));
    assert!(matches!(store.check_writable(&empty).await, Outcome::Done(())));
    assert_eq!(refused(store.write(&empty, &login("u", "p"), &[&secret("old")]).await).code, "HO0611");
    assert!(matches!(store.write(&empty, &login("u", "p"), &[]).await, Outcome::Done(())));
    // Not there, or not to be seen: the same answer, and both are named.
    let missing = place("missing");
    assert!(store.lacks(&missing).await.contains("answers 404 to both"));
    for outcome in [store.check_writable(&missing).await, store.write(&missing, &login("u", "p"), &[&secret("x")]).await] {
        assert_eq!(refused(outcome).code, "HO0635");
    }
    // Seen, and not to be written.
    bench.put("seen", "user", "old");
    let reader = bench.at(bench.conjur.port, "reader");
    let fault = refused(reader.check_writable(&place("seen")).await);
    assert_eq!((fault.code.as_str(), fault.class), ("HO0632", FaultClass::Permanent));
    assert!(fault.message.contains("reader may not update the variable seen/user name"), "{fault}");
    // No text.
    bench.conjur.world().variables.insert("seen/pass+word".to_owned(), vec![vec![0xff, 0xfe]]);
    assert_eq!(refused(store.read(&place("seen")).await).code, "HO0634");
    // A comma parts ids in the batch call: they are read one by one.
    bench.put("with,comma", "user", "old");
    assert!(matches!(store.read(&place("with,comma")).await, Outcome::Done(Held::Login(_))));
}

#[tokio::test]
async fn conjur_logs_in_again_and_says_when_it_may_not() {
    let bench = Bench::start().await;
    let (store, entry) = (bench.ours(), place("x"));
    bench.put("x", "user-1", "old");
    assert!(matches!(store.read(&entry).await, Outcome::Done(Held::Login(_))));
    assert_eq!(bench.conjur.world().logins, 1);
    bench.conjur.forget_tokens();
    assert!(matches!(store.write(&entry, &login("user-2", "new"), &[&secret("old")]).await, Outcome::Done(())));
    assert_eq!(bench.conjur.world().logins, 2);
    bench.conjur.world().keys.insert(HOST.to_owned(), "another".to_owned());
    bench.conjur.forget_tokens();
    let fault = refused(store.read(&entry).await);
    assert!(fault.code == "HO0632" && fault.message.contains("refused the login host/mail/handover"), "{fault}");
    assert!(!format!("{fault:?}").contains("key of"));
}

mod lab_conjur {
    use std::process::Command;

    use super::*;
    use crate::support::lab::venv;

    const SCRIPT: &str = r#"
import sys
from conjur_api import Client
from conjur_api.models import ConjurConnectionInfo, CredentialsData, SslVerificationMode
from conjur_api.providers import AuthnAuthenticationStrategy, SimpleCredentialsProvider
from conjur_api.errors.errors import HttpStatusError

url = sys.argv[1]
provider = SimpleCredentialsProvider()
provider.save(CredentialsData(machine=url, username="admin", password="Pass/word 1"))
client = Client(ConjurConnectionInfo(conjur_url=url, account="myorg"), SslVerificationMode.TRUST_STORE,
    AuthnAuthenticationStrategy(provider), async_mode=False)
assert client.login() == "key of admin"
assert client.get("prod/mail/user name") == b"user-1"
client.set("prod/mail/pass+word", "from the official client")
assert client.get("prod/mail/pass+word") == b"from the official client"
assert client.get("prod/mail/pass+word", "1") == b"old"
both = client.get_many("prod/mail/user name", "prod/mail/pass+word")
assert both == {"prod/mail/user name": "user-1", "prod/mail/pass+word": "from the official client"}, both
assert client.check_privilege("variable", "prod/mail/pass+word", "update")
assert not client.check_privilege("variable", "prod/mail/hidden", "update")
for name in ("prod/mail/hidden", "prod/mail/nowhere", "prod/mail/empty"):
    try:
        client.get(name)
        raise SystemExit(name + " has a value")
    except HttpStatusError as error:
        assert error.status == 404, error
try:
    client.set("prod/mail/empty", "")
    raise SystemExit("an empty value was taken")
except HttpStatusError as error:
    assert error.status == 422, error
print("held")
"#;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_official_client_of_conjur_works_with_our_stand_in() {
        let bench = Bench::start().await;
        bench.put("prod/mail", "user-1", "old");
        {
            let mut world = bench.conjur.world();
            world.keys.insert("admin".to_owned(), "key of admin".to_owned());
            world.passwords.insert("admin".to_owned(), "Pass/word 1".to_owned());
            world.variables.insert("prod/mail/hidden".to_owned(), vec![b"x".to_vec()]);
        }
        for id in ["prod/mail/user name", "prod/mail/pass+word", "prod/mail/empty"] {
            bench.conjur.permit("admin", id, &ALL);
        }
        let url = format!("http://127.0.0.1:{}", bench.conjur.port);
        let run = move || Command::new(venv("python")).args(["-c", SCRIPT, &url]).output().expect("python runs");
        let output = tokio::task::spawn_blocking(run).await.expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && output.stdout.starts_with(b"held"), "{said}");
        // And the adapter reads what it wrote.
        let Outcome::Done(Held::Login(held)) = bench.ours().read(&place("prod/mail")).await else { panic!("it reads") };
        assert_eq!(held.password.expose(), "from the official client");
    }
}
