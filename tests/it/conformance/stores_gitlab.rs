//! The kind `gitlab-ci` against a stand-in.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use handover::config::{Fields, Node};
use handover::secret::{Login, Secret};
use handover::stores::gitlab_ci::GitlabStore;
use handover::stores::{EntryRef, Held, Store};
use handover_rotation::name::{EntryName, Username};
use handover_rotation::outcome::{Fault, Outcome};
use serde_json::{Value, json};

use super::{stores, table};
use crate::support::lab::free_port;
use crate::support::lab::gitlab::Gitlab;
use crate::support::lab::proxy::Proxy;

const USER: &str = "SMTP_USERNAME";
const PASS: &str = "SMTP_PASSWORD";

fn place(project: &str) -> EntryRef {
    EntryRef {
        name: EntryName::new("ci").expect("a name"),
        path: project.to_owned(),
        username_field: USER.to_owned(),
        password_field: PASS.to_owned(),
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
    gitlab: Gitlab,
    folder: tempfile::TempDir,
    cutter: Proxy,
}

impl Bench {
    async fn start() -> Self {
        let gitlab = Gitlab::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        for (token, scopes) in [("writer", vec!["api"]), ("reader", vec!["read_api"]), ("nobody", vec![])] {
            gitlab.world().tokens.insert(token.to_owned(), scopes);
        }
        for token in ["writer", "reader", "nobody", "stranger"] {
            std::fs::write(folder.path().join(token), token).expect("it is written");
        }
        let cutter = Proxy::before(gitlab.port).await;
        cutter.cut_answers_to("PUT /api");
        Self { gitlab, folder, cutter }
    }

    fn at(&self, port: u16, token: &str) -> GitlabStore {
        let file = self.folder.path().join(token);
        let scope = "environment_scope: production";
        let options = format!("address: http://127.0.0.1:{port}\ntoken: {{file: {}}}\n{scope}\n", file.display());
        let node = Node::from_yaml("test.yaml", Path::new("/"), &options).unwrap_or_else(|p| panic!("{p}"));
        let mut fields = Fields::new(&node, "store");
        let read = GitlabStore::options(&mut fields);
        let problems = fields.finish();
        GitlabStore::open(read.unwrap_or_else(|| panic!("{problems}"))).unwrap_or_else(|fault| panic!("{fault}"))
    }

    fn ours(&self) -> GitlabStore {
        self.at(self.gitlab.port, "writer")
    }

    /// A variable of the scope, and one of the same key in another.
    fn variable(&self, project: &str, key: &str, value: &str, more: &Value) {
        for (scope, value) in [("production", value), ("*", "of another scope")] {
            let mut variable = json!({
                "key": key, "value": value, "variable_type": "env_var", "protected": true, "masked": false, "hidden": false,
                "raw": false, "environment_scope": scope, "description": "of the mailer",
            });
            for (name, value) in more.as_object().into_iter().flatten() {
                variable[name] = value.clone();
            }
            let place = (project.to_owned(), key.to_owned(), scope.to_owned());
            self.gitlab.world().variables.insert(place, variable);
        }
    }

    fn put(&self, project: &str, username: &str, password: &str) {
        self.variable(project, USER, username, &json!({}));
        self.variable(project, PASS, password, &json!({"masked": true}));
    }

    fn get(&self, project: &str, key: &str, scope: &str) -> Value {
        self.gitlab.world().variables[&(project.to_owned(), key.to_owned(), scope.to_owned())].clone()
    }

    fn held(&self, project: &str) -> (String, String) {
        let text = |key: &str| self.get(project, key, "production")["value"].as_str().expect("a text").to_owned();
        (text(USER), text(PASS))
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
        Ok(Arc::new(self.at(self.gitlab.port, "reader")))
    }

    async fn cutting(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.at(self.cutter.port(), "writer")))
    }

    async fn entry(&self, name: &str, username: &str, password: &str) -> EntryRef {
        let project = format!("group/{name}");
        self.put(&project, username, password);
        place(&project)
    }

    fn missing(&self) -> EntryRef {
        place("group/nobody")
    }

    async fn held(&self, entry: &EntryRef) -> (String, String) {
        Self::held(self, &entry.path)
    }

    async fn meddle(&self, entry: &EntryRef, username: &str, password: &str) {
        self.put(&entry.path, username, password);
    }

    async fn sibling(&self, entry: &EntryRef) -> Result<bool, &'static str> {
        let other = self.get(&entry.path, PASS, "*")["value"] == "of another scope";
        let ours = self.get(&entry.path, PASS, "production");
        let kept = ["protected", "masked"].iter().all(|name| ours[*name] == true);
        Ok(other && kept && ours["description"] == "of the mailer" && ours["environment_scope"] == "production")
    }
}

#[tokio::test]
async fn gitlab_does_what_a_store_must() {
    let bench = Bench::start().await;
    table::hold("gitlab-ci", &stores::run(&bench).await);
    assert!(bench.cutter.cut() >= 1);
}

#[tokio::test]
async fn gitlab_expands_nothing_and_gets_out_of_a_half_written_entry() {
    let bench = Bench::start().await;
    let (store, entry) = (bench.ours(), place("group/x"));
    bench.put("group/x", "user-1", "old-old-old");
    let old = secret("old-old-old");
    let new = login("user-2", "new$HOME-new");
    assert!(matches!(store.write(&entry, &new, &[&old]).await, Outcome::Done(())));
    assert_eq!(bench.get("group/x", PASS, "production")["raw"], true);
    assert!(matches!(store.read(&entry).await, Outcome::Done(Held::Login(_))));
    assert_eq!(bench.gitlab.world().writes, [USER, PASS]);
    // The password is refused after the username was written: the username is put back.
    bench.put("group/x", "user-1", "old-old-old");
    bench.gitlab.world().refuse = Some((PASS.to_owned(), 403));
    assert_eq!(refused(store.write(&entry, &new, &[&old]).await).code, "HO0632");
    assert_eq!(bench.held("group/x"), ("user-1".to_owned(), "old-old-old".to_owned()));
    // It is not known whether it was: the truth is told, and going on mends it.
    bench.gitlab.world().refuse = Some((PASS.to_owned(), 502));
    let outcome = store.write(&entry, &new, &[&old]).await;
    assert!(matches!(&outcome, Outcome::Unknown(fault) if fault.code == "HO0633"), "{outcome:?}");
    assert_eq!(bench.held("group/x"), ("user-2".to_owned(), "old-old-old".to_owned()));
    bench.gitlab.world().refuse = None;
    assert!(matches!(store.write(&entry, &new, &[&old]).await, Outcome::Done(())));
    assert_eq!(bench.held("group/x"), ("user-2".to_owned(), "new$HOME-new".to_owned()));
}

#[tokio::test]
async fn gitlab_refuses_what_could_not_be_read_back_or_masked() {
    let bench = Bench::start().await;
    let (store, entry) = (bench.ours(), place("group/x"));
    assert!(store.lacks(&entry).await.contains("no variable SMTP_USERNAME"));
    assert_eq!(refused(store.check_writable(&entry).await).code, "HO0635");
    bench.put("group/x", "user-1", "old-old-old");
    assert!(matches!(store.can_hold(&entry, &login("u", "long-enough")).await, Outcome::Done(())));
    assert_eq!(refused(store.can_hold(&entry, &login("u", "short")).await).code, "HO0615");
    assert_eq!(refused(store.write(&entry, &login("user-1", "short"), &[&secret("old-old-old")]).await).code, "HO0634");
    bench.variable("group/x", PASS, "x", &json!({"hidden": true}));
    assert!(refused(store.check_writable(&entry).await).message.contains("hidden"));
    bench.variable("group/x", PASS, "pre$OTHER", &json!({}));
    assert!(refused(store.read(&entry).await).message.contains("expanded"));
    bench.variable("group/x", PASS, "pre$OTHER", &json!({"raw": true}));
    assert!(matches!(store.read(&entry).await, Outcome::Done(Held::Login(_))));
    for (token, says) in [("nobody", "may not"), ("stranger", "has expired")] {
        let fault = refused(bench.at(bench.gitlab.port, token).read(&entry).await);
        assert!(fault.code == "HO0632" && fault.message.contains(says), "{fault}");
    }
    let odd = EntryRef { password_field: "A-B".to_owned(), ..entry };
    assert_eq!(refused(store.read(&odd).await).code, "HO0616");
}
