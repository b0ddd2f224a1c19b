//! The kind `kubernetes` against a strict stand-in.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover::config::{Fields, Node};
use handover::secret::{Login, Secret};
use handover::stores::kubernetes::KubernetesStore;
use handover::stores::{EntryRef, Held, Store};
use handover_rotation::name::{EntryName, Username};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use serde_json::{Value, json};

use super::{stores, table};
use crate::support::lab::free_port;
use crate::support::lab::kubernetes::Cluster;
use crate::support::lab::proxy::Proxy;

fn place(name: &str) -> EntryRef {
    EntryRef {
        name: EntryName::new("cluster").expect("a name"),
        path: name.to_owned(),
        username_field: "smtp.username".to_owned(),
        password_field: "smtp_password".to_owned(),
    }
}

fn login(username: &str, password: &str) -> Login {
    Login { username: Username::new(username).expect("a name"), password: Secret::new(password.to_owned()) }
}

fn refused<T>(outcome: Outcome<T>) -> Fault {
    match outcome {
        Outcome::NotDone(fault) => fault,
        Outcome::Unknown(fault) => panic!("unknown: {fault}"),
        Outcome::Done(_) => panic!("it was done"),
    }
}

fn secret(username: &str, password: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "mailer"}, "annotations": {"x": "y"}, "uid": "u-1"},
        "type": "Opaque",
        "data": {
            "smtp.username": STANDARD.encode(username), "smtp_password": STANDARD.encode(password),
            "binary": STANDARD.encode([0xff, 0x00, 0x80]),
        },
    })
}

struct Bench {
    cluster: Cluster,
    folder: tempfile::TempDir,
    cutter: Proxy,
}

impl Bench {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        for (token, verbs) in [("writer", vec!["get", "update"]), ("reader", vec!["get"]), ("nobody", vec![])] {
            cluster.world().tokens.insert(token.to_owned(), verbs);
            std::fs::write(folder.path().join(token), format!("{token}\n")).expect("it is written");
        }
        let cutter = Proxy::before(cluster.port).await;
        cutter.cut_answers_to("PUT /api");
        Self { cluster, folder, cutter }
    }

    fn at(&self, port: u16, token: &str) -> KubernetesStore {
        let file = self.folder.path().join(token);
        let options = format!("address: http://127.0.0.1:{port}\nnamespace: mail\ntoken: {{file: {}}}\n", file.display());
        let node = Node::from_yaml("test.yaml", Path::new("/"), &options).unwrap_or_else(|p| panic!("{p}"));
        let mut fields = Fields::new(&node, "store");
        let read = KubernetesStore::options(&mut fields);
        let problems = fields.finish();
        KubernetesStore::open(read.unwrap_or_else(|| panic!("{problems}"))).unwrap_or_else(|fault| panic!("{fault}"))
    }

    fn ours(&self) -> KubernetesStore {
        self.at(self.cluster.port, "writer")
    }

    fn put(&self, name: &str, secret: Value) {
        self.cluster.world().put("mail", name, secret);
    }

    fn get(&self, name: &str) -> Value {
        self.cluster.world().secrets[&("mail".to_owned(), name.to_owned())].clone()
    }

    fn held(&self, name: &str) -> (String, String) {
        let data = self.get(name)["data"].clone();
        let text = |key: &str| {
            let bytes = STANDARD.decode(data[key].as_str().expect("a text")).expect("base64");
            String::from_utf8(bytes).expect("a text")
        };
        (text("smtp.username"), text("smtp_password"))
    }
}

#[async_trait]
impl stores::StoreBench for Bench {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.ours())
    }

    fn nowhere(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.at(free_port(), "writer")))
    }

    async fn forbidden(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.at(self.cluster.port, "reader")))
    }

    async fn cutting(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.at(self.cutter.port(), "writer")))
    }

    async fn entry(&self, name: &str, username: &str, password: &str) -> EntryRef {
        self.put(name, secret(username, password));
        place(name)
    }

    fn missing(&self) -> EntryRef {
        place("nobody.made-this")
    }

    async fn held(&self, entry: &EntryRef) -> (String, String) {
        Self::held(self, &entry.path)
    }

    async fn meddle(&self, entry: &EntryRef, username: &str, password: &str) {
        self.put(&entry.path, secret(username, password));
    }

    async fn sibling(&self, entry: &EntryRef) -> Result<bool, &'static str> {
        let (mut now, (username, password)) = (self.get(&entry.path), Self::held(self, &entry.path));
        let version = now["metadata"]["resourceVersion"].take();
        let mut then = secret(&username, &password);
        then["metadata"]["resourceVersion"] = Value::Null;
        for (key, value) in [("name", json!(entry.path)), ("namespace", json!("mail"))] {
            then["metadata"][key] = value;
        }
        then["apiVersion"] = json!("v1");
        then["kind"] = json!("Secret");
        Ok(version.is_string() && now == then)
    }
}

#[tokio::test]
async fn kubernetes_does_what_a_store_must() {
    let bench = Bench::start().await;
    table::hold("kubernetes", &stores::run(&bench).await);
    assert_eq!(bench.cutter.cut(), 1);
}

#[tokio::test]
async fn kubernetes_does_not_overwrite_what_came_in_between() {
    let bench = Bench::start().await;
    let (store, entry) = (bench.ours(), place("x"));
    let (old, new) = (Secret::new("old".to_owned()), login("user-2", "new"));
    // Another login.
    bench.put("x", secret("user-1", "old"));
    bench.cluster.world().before_write = Some(Box::new(|world| world.put("mail", "x", secret("user-9", "foreign"))));
    let fault = refused(store.write(&entry, &new, &[&old]).await);
    assert_eq!((fault.code.as_str(), fault.class), ("HO0611", FaultClass::Permanent));
    assert_eq!(bench.held("x"), ("user-9".to_owned(), "foreign".to_owned()));
    // The same login beside another label: it may be tried again.
    bench.put("x", secret("user-1", "old"));
    bench.cluster.world().before_write = Some(Box::new(|world| world.put("mail", "x", secret("user-1", "old"))));
    let fault = refused(store.write(&entry, &new, &[&old]).await);
    assert_eq!((fault.code.as_str(), fault.class), ("HO0633", FaultClass::Temporary));
    // Our own, whose answer was lost.
    bench.put("x", secret("user-1", "old"));
    bench.cluster.world().before_write = Some(Box::new(|world| world.put("mail", "x", secret("user-2", "new"))));
    assert!(matches!(store.write(&entry, &new, &[&old]).await, Outcome::Done(())));
    // Deleted.
    bench.put("x", secret("user-1", "old"));
    bench.cluster.world().before_write = Some(Box::new(|world| world.secrets.clear()));
    assert_eq!(refused(store.write(&entry, &new, &[&old]).await).code, "HO0635");
    assert_eq!(bench.cluster.world().writes, 0);
}

#[tokio::test]
async fn kubernetes_refuses_what_cannot_be_written_before_anything_is() {
    let bench = Bench::start().await;
    let (store, entry) = (bench.ours(), place("x"));
    assert_eq!(refused(store.check_writable(&entry).await).code, "HO0635");
    assert!(store.lacks(&entry).await.contains("no such Secret"));
    let mut immutable = secret("user-1", "old");
    immutable["immutable"] = json!(true);
    bench.put("x", immutable);
    assert!(refused(store.check_writable(&entry).await).message.contains("immutable"));
    let old = Secret::new("old".to_owned());
    assert!(refused(store.write(&entry, &login("user-2", "new"), &[&old]).await).message.contains("immutable"));
    // Its data may be missing altogether, or lack a key.
    bench.put("x", json!({"type": "Opaque"}));
    assert!(matches!(store.read(&entry).await, Outcome::Done(Held::Nothing)));
    assert!(store.lacks(&entry).await.contains("no key `smtp.username`"));
    assert!(matches!(store.write(&entry, &login("user-2", "new"), &[]).await, Outcome::Done(())));
    assert_eq!(bench.held("x"), ("user-2".to_owned(), "new".to_owned()));
    // A line end that came with a file is part of the value, and is told of.
    bench.put("x", secret("user-1\n", "old"));
    let fault = refused(store.read(&entry).await);
    assert!(fault.code == "HO0622" && fault.message.contains("line end"), "{fault}");
    let binary = EntryRef { password_field: "binary".to_owned(), ..entry.clone() };
    assert_eq!(refused(store.read(&binary).await).code, "HO0634");
    // Logins that do not do.
    for (token, says) in [("nobody", "may not get"), ("stranger", "has expired")] {
        std::fs::write(bench.folder.path().join("stranger"), "stranger").expect("it is written");
        let fault = refused(bench.at(bench.cluster.port, token).read(&entry).await);
        assert!(fault.code == "HO0632" && fault.message.contains(says), "{fault}");
    }
    for path in ["../x", "a/b", "X", ""] {
        assert_eq!(refused(store.read(&place(path)).await).code, "HO0634", "{path}");
    }
    // Others that write it are told of.
    let mut owned = secret("user-1", "old");
    owned["metadata"]["ownerReferences"] = json!([{"kind": "ExternalSecret", "name": "x"}]);
    bench.put("x", owned);
    assert!(store.warnings(&entry).await[0].contains("ownerReferences"));
    let mut helm = secret("user-1", "old");
    helm["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("Helm");
    bench.put("x", helm);
    assert!(store.warnings(&entry).await[0].contains("managed by Helm"));
}
