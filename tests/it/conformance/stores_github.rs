//! The kind `github-actions` against a server written from its contract, and its sealed values against libsodium itself.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use handover::config::{Fields, Node};
use handover::secret::{Login, Secret};
use handover::stores::github_actions::GithubActionsStore;
use handover::stores::{EntryRef, Held, Hidden, Marks, Store};
use handover_rotation::name::{EntryName, Fingerprint, Username};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};

use super::{stores, table};
use crate::support::lab::clouds::Served;
use crate::support::lab::clouds::github::{Github, Token};
use crate::support::lab::free_port;
use crate::support::lab::proxy::Proxy;

const USER: &str = "SMTP_USERNAME";
const PASS: &str = "SMTP_PASSWORD";
const MARK: &str = "SMTP_PASSWORD_HANDOVER";

fn place(path: &str) -> EntryRef {
    EntryRef {
        name: EntryName::new("ci").expect("a name"),
        path: path.to_owned(),
        username_field: USER.to_owned(),
        password_field: PASS.to_owned(),
    }
}

fn login(username: &str, password: &str) -> Login {
    Login { username: Username::new(username).expect("a name"), password: Secret::new(password.to_owned()) }
}

fn mark(text: &str) -> Fingerprint {
    Fingerprint::new(text).expect("a mark")
}

fn refused<T>(outcome: Outcome<T>) -> Fault {
    match outcome {
        Outcome::NotDone(fault) => fault,
        Outcome::Unknown(fault) => panic!("unknown: {fault}"),
        Outcome::Done(_) => panic!("it was done"),
    }
}

fn doubtful<T>(outcome: Outcome<T>) -> Fault {
    match outcome {
        Outcome::Unknown(fault) => fault,
        Outcome::NotDone(fault) => panic!("not done: {fault}"),
        Outcome::Done(_) => panic!("it was done"),
    }
}

/// Where the secrets of an entry are, in the API.
fn api(path: &str) -> String {
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["orgs", name] => format!("orgs/{name}/actions"),
        [owner, name] => format!("repos/{owner}/{name}/actions"),
        [owner, name, _, rest @ ..] => format!("repos/{owner}/{name}/environments/{}", rest.join("/")),
        _ => panic!("{path}"),
    }
}

struct Bench {
    github: Served<Github>,
    folder: tempfile::TempDir,
    cutter: Proxy,
    /// What entries of the suite are called.
    form: &'static str,
}

impl Bench {
    async fn start(form: &'static str) -> Self {
        let github = Served::start(Github::new()).await;
        let folder = tempfile::tempdir().expect("a folder");
        let all = Token { scopes: None, writes_secrets: true, writes_variables: true, pushes: true, ends: None };
        for (name, token) in [
            ("fine", all.clone()),
            ("classic", Token { scopes: Some("repo, admin:org"), ..all.clone() }),
            ("narrow", Token { scopes: Some("read:org, public_repo"), ..Token::default() }),
            ("guest", Token { pushes: false, ..all.clone() }),
            ("blind", Token { writes_secrets: false, ..all.clone() }),
            ("ending", Token { ends: Some("2026-12-31 10:00:00 UTC"), ..all }),
        ] {
            github.state().tokens.insert(name.to_owned(), token);
        }
        for name in ["fine", "classic", "narrow", "guest", "blind", "ending", "stranger"] {
            std::fs::write(folder.path().join(name), format!("{name}\n")).expect("it is written");
        }
        let cutter = Proxy::before(github.port).await;
        cutter.cut_answers_to("PUT /");
        Self { github, folder, cutter, form }
    }

    fn at(&self, port: u16, token: &str) -> GithubActionsStore {
        let file = self.folder.path().join(token);
        let options = format!("address: http://127.0.0.1:{port}\ntoken: {{file: {}}}\n", file.display());
        let node = Node::from_yaml("test.yaml", Path::new("/"), &options).unwrap_or_else(|p| panic!("{p}"));
        let mut fields = Fields::new(&node, "store");
        let read = GithubActionsStore::options(&mut fields);
        let problems = fields.finish();
        GithubActionsStore::open(read.unwrap_or_else(|| panic!("{problems}"))).unwrap_or_else(|fault| panic!("{fault}"))
    }

    fn with(&self, token: &str) -> GithubActionsStore {
        self.at(self.github.port, token)
    }

    fn put(&self, entry: &EntryRef, username: &str, password: &str) {
        let mut github = self.github.state();
        for (name, value) in [(USER, username), (PASS, password)] {
            github.put(&api(&entry.path), name, value);
            if entry.path.starts_with("orgs/") {
                let secret = github.secrets.get_mut(&(api(&entry.path), name.to_owned())).expect("it was just put");
                (secret.visibility, secret.repositories) = (Some("selected".to_owned()), (1..=150).collect());
            }
        }
    }

    fn held(&self, entry: &EntryRef) -> (String, String) {
        let github = self.github.state();
        (github.value(&api(&entry.path), USER), github.value(&api(&entry.path), PASS))
    }

    fn marked(&self, entry: &EntryRef) -> Option<String> {
        self.github.state().variables.get(&(api(&entry.path), MARK.to_owned())).cloned()
    }
}

async fn hidden(store: &dyn Store, entry: &EntryRef) -> Hidden {
    match store.read(entry).await {
        Outcome::Done(Held::Hidden(hidden)) => hidden,
        Outcome::Done(_) => panic!("it can be read"),
        Outcome::NotDone(fault) | Outcome::Unknown(fault) => panic!("{fault}"),
    }
}

/// Writes a login with the mark `new` over one with the mark `old`.
async fn write(store: &dyn Store, entry: &EntryRef, username: &str, password: &str) -> Outcome<()> {
    let marks = Marks { new: mark("new"), expected: vec![mark("old"), mark("new")] };
    store.write_marked(entry, &login(username, password), &[&Secret::new("old".to_owned())], &marks).await
}

#[async_trait]
impl stores::StoreBench for Bench {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.with("classic"))
    }

    fn nowhere(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.at(free_port(), "classic")))
    }

    async fn forbidden(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.with("narrow")))
    }

    async fn cutting(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(Arc::new(self.at(self.cutter.port(), "classic")))
    }

    async fn entry(&self, name: &str, username: &str, password: &str) -> EntryRef {
        let entry = place(&self.form.replace("NAME", name));
        self.put(&entry, username, password);
        let mut github = self.github.state();
        github.put(&api(&entry.path), "OTHER", "kept");
        entry
    }

    fn missing(&self) -> EntryRef {
        place(&self.form.replace("NAME", "nobody"))
    }

    async fn held(&self, entry: &EntryRef) -> (String, String) {
        Self::held(self, entry)
    }

    async fn meddle(&self, entry: &EntryRef, username: &str, password: &str) {
        self.put(entry, username, password);
    }

    async fn sibling(&self, entry: &EntryRef) -> Result<bool, &'static str> {
        let github = self.github.state();
        let audience = !entry.path.starts_with("orgs/")
            || [USER, PASS].iter().all(|name| {
                let secret = &github.secrets[&(api(&entry.path), (*name).to_owned())];
                secret.visibility.as_deref() == Some("selected") && secret.repositories.len() == 150
            });
        Ok(audience && github.value(&api(&entry.path), "OTHER") == "kept")
    }
}

#[tokio::test]
async fn github_does_what_a_store_must() {
    for (kind, form) in [
        ("github-actions", "acme/NAME"),
        ("github-actions (environment)", "acme/news/environments/NAME eu/1"),
        ("github-actions (organization)", "orgs/NAME"),
    ] {
        let bench = Bench::start(form).await;
        table::hold(kind, &stores::run(&bench).await);
        assert!(bench.cutter.cut() >= 1);
    }
}

#[tokio::test]
async fn github_knows_its_own_login_again_until_somebody_writes() {
    let bench = Bench::start("").await;
    let (store, entry) = (bench.with("fine"), place("acme/news"));
    assert!(!store.reads_back());
    bench.put(&entry, "user-1", "old");
    assert_eq!(hidden(&store, &entry).await, Hidden::Unknown);
    assert!(store.lacks(&entry).await.contains("has not written it before"));
    assert!(matches!(write(&store, &entry, "user-2", "new").await, Outcome::Done(())));
    assert_eq!(bench.held(&entry), ("user-2".to_owned(), "new".to_owned()));
    // The order: the mark says first that something is under way, and the password comes last.
    let changes = ["POST variables", "PUT SMTP_USERNAME", "PUT SMTP_PASSWORD", "PATCH SMTP_PASSWORD_HANDOVER"];
    assert_eq!(bench.github.state().changes, changes);
    // Another process, another journal.
    assert_eq!(hidden(&bench.with("fine"), &entry).await, Hidden::Marked(mark("new")));
    let stored = bench.marked(&entry).expect("a mark");
    assert!(!stored.contains("user-2") && !stored.contains("new-"), "{stored}");
    assert!(matches!(write(&store, &entry, "user-2", "new").await, Outcome::Done(())));
    assert_eq!(bench.github.state().changes.len(), 4, "it is there already");
    for changed in [USER, PASS] {
        assert!(matches!(write(&store, &entry, "user-2", "new").await, Outcome::Done(())));
        bench.github.state().put("repos/acme/news/actions", changed, "foreign");
        assert_eq!(hidden(&store, &entry).await, Hidden::Changed);
        let lack = store.lacks(&entry).await;
        assert!(lack.starts_with(changed) && lack.contains(MARK), "{lack}");
        let fault = refused(write(&store, &entry, "user-2", "new").await);
        assert!(fault.code == "HO0611" && fault.message.contains(changed), "{fault}");
        // A person has given up what is there.
        let marks = Marks { new: mark("new"), expected: Vec::new() };
        assert!(matches!(store.write_marked(&entry, &login("user-2", "new"), &[], &marks).await, Outcome::Done(())));
        assert_eq!(hidden(&store, &entry).await, Hidden::Marked(mark("new")));
    }
    // Another installation's login, which this one does not know.
    let theirs = Marks { new: mark("theirs"), expected: vec![mark("new")] };
    let old = Secret::new("old".to_owned());
    assert!(matches!(store.write_marked(&entry, &login("user-7", "x"), &[&old], &theirs).await, Outcome::Done(())));
    assert_eq!(refused(write(&store, &entry, "user-2", "new").await).code, "HO0611");
    // Somebody has taken the mark away, or made it something else: nothing is known.
    for value in [None, Some("{}")] {
        let at = ("repos/acme/news/actions".to_owned(), MARK.to_owned());
        match value {
            None => drop(bench.github.state().variables.remove(&at)),
            Some(text) => drop(bench.github.state().variables.insert(at, text.to_owned())),
        }
        assert_eq!(hidden(&store, &entry).await, Hidden::Unknown);
        assert!(matches!(write(&store, &entry, "user-2", "new").await, Outcome::Done(())));
        assert_eq!(hidden(&store, &entry).await, Hidden::Marked(mark("new")));
    }
}

#[tokio::test]
async fn github_gets_out_of_a_write_that_ended_anywhere() {
    let bench = Bench::start("").await;
    let (store, entry) = (bench.with("fine"), place("acme/news"));
    bench.put(&entry, "user-1", "old");
    let refuse = |method, end, status| bench.github.state().refuse = Some((method, end, status, Vec::new()));
    // Nothing of the login was touched.
    for (method, end) in [("GET", "/public-key"), ("POST", "/variables"), ("PUT", USER)] {
        refuse(method, end, 403);
        assert_eq!(refused(write(&store, &entry, "user-2", "new").await).code, "HO0632", "{method} {end}");
        assert_eq!(bench.held(&entry), ("user-1".to_owned(), "old".to_owned()));
        assert_eq!(bench.marked(&entry), None, "{method} {end}");
    }
    // Of the two, the first was written: nobody knows any more what was there.
    for (method, end, status) in [("PUT", PASS, 403), ("PUT", PASS, 502), ("PATCH", MARK, 403), ("PUT", USER, 502)] {
        // With a mark that is there, what is refused here would be the first one.
        bench.github.state().variables.clear();
        refuse(method, end, status);
        doubtful(write(&store, &entry, "user-2", "new").await);
        assert_eq!(hidden(&store, &entry).await, Hidden::Unknown, "{method} {end} {status}");
        assert!(store.lacks(&entry).await.contains("not carried to its end"));
        bench.github.state().refuse = None;
        assert!(matches!(write(&store, &entry, "user-2", "new").await, Outcome::Done(())), "{method} {end} {status}");
        assert_eq!(bench.held(&entry), ("user-2".to_owned(), "new".to_owned()));
        assert_eq!(hidden(&store, &entry).await, Hidden::Marked(mark("new")));
        let back = Marks { new: mark("old"), expected: vec![mark("new")] };
        let new = Secret::new("new".to_owned());
        assert!(matches!(store.write_marked(&entry, &login("user-1", "old"), &[&new], &back).await, Outcome::Done(())));
    }
    // What was known before a write that was refused is known after it.
    refuse("PUT", USER, 403);
    assert_eq!(refused(write(&store, &entry, "user-2", "new").await).code, "HO0632");
    bench.github.state().refuse = None;
    assert_eq!(hidden(&store, &entry).await, Hidden::Marked(mark("old")));
    // Two writes within one second have one time.
    bench.github.state().held = true;
    assert!(matches!(write(&store, &entry, "user-2", "new").await, Outcome::Done(())));
    // It says that it took a secret, and its time does not move: it may not have been this one.
    bench.github.state().now += 60;
    bench.github.state().refuse = Some(("PUT", PASS, 204, Vec::new()));
    let back = Marks { new: mark("old"), expected: vec![mark("new")] };
    let new = Secret::new("new".to_owned());
    let fault = doubtful(store.write_marked(&entry, &login("user-1", "old"), &[&new], &back).await);
    assert!(fault.message.contains("tells of no change"), "{fault}");
    assert_eq!(hidden(&store, &entry).await, Hidden::Unknown);
}

#[tokio::test]
async fn github_tells_a_limit_from_a_refusal_and_how_long_it_lasts() {
    let bench = Bench::start("").await;
    let (store, entry) = (bench.with("fine"), place("acme/news"));
    bench.put(&entry, "user-1", "old");
    for (status, headers, says) in [
        (429, vec![("retry-after", "60".to_owned())], "wait 60 s"),
        (403, vec![("retry-after", "30".to_owned())], "wait 30 s"),
        (403, vec![("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", "1795687500".to_owned())], "wait "),
    ] {
        bench.github.state().refuse = Some(("GET", USER, status, headers.clone()));
        let fault = refused(store.check_writable(&entry).await);
        assert_eq!((fault.code.as_str(), fault.class), ("HO0633", FaultClass::Temporary), "{fault}");
        assert!(fault.message.contains("enough requests") && fault.message.contains(says), "{fault}");
        bench.github.state().refuse = Some(("PUT", USER, status, headers));
        let fault = doubtful(write(&store, &entry, "user-2", "new").await);
        assert_eq!((fault.code.as_str(), fault.class), ("HO0633", FaultClass::Temporary), "{fault}");
    }
}

#[tokio::test]
async fn github_says_what_a_token_lacks_as_far_as_github_tells() {
    let bench = Bench::start("").await;
    let entry = place("acme/news");
    let fault = refused(bench.with("fine").check_writable(&entry).await);
    assert!(fault.code == "HO0635" && fault.message.contains("no secret SMTP_USERNAME"), "{fault}");
    bench.put(&entry, "user-1", "old");
    for (token, code, says) in [
        ("narrow", "HO0632", "may not write its secrets"),
        ("guest", "HO0632", "may not write its secrets"),
        ("stranger", "HO0632", "expired or was revoked"),
    ] {
        let fault = refused(bench.with(token).check_writable(&entry).await);
        assert!(fault.code == code && fault.message.contains(says), "{token}: {fault}");
    }
    // A fine-grained one is not told of: the plan says so, and the first write ends before anything is changed.
    let blind = bench.with("blind");
    assert!(matches!(blind.check_writable(&entry).await, Outcome::Done(())));
    let told = blind.warnings(&entry).await;
    assert!(told.len() == 1 && told[0].contains("only trying will show"), "{told:?}");
    let fault = refused(write(&blind, &entry, "user-2", "new").await);
    assert!(fault.hint.as_deref().is_some_and(|hint| hint.contains("`Secrets` and `Variables`")), "{fault:?}");
    assert_eq!((bench.held(&entry), bench.marked(&entry)), (("user-1".to_owned(), "old".to_owned()), None));
    assert_eq!(bench.with("classic").warnings(&entry).await, Vec::<String>::new());
    for (path, fields) in [("acme", [USER, PASS]), ("acme/news", ["GITHUB_X", PASS]), ("acme/news", ["A-B", PASS])] {
        let odd = EntryRef { username_field: fields[0].to_owned(), password_field: fields[1].to_owned(), ..place(path) };
        assert_eq!(refused(blind.read(&odd).await).code, "HO0616", "{path} {fields:?}");
    }
    assert_eq!(refused(blind.can_hold(&entry, &login("u", &"x".repeat(49_153))).await).code, "HO0615");
}

mod lab_clouds {
    use std::process::Command;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use dryoc::classic::crypto_box::crypto_box_seal;
    use dryoc::constants::{CRYPTO_BOX_PUBLICKEYBYTES, CRYPTO_BOX_SEALBYTES};

    use crate::support::lab::venv;

    /// As the documentation of GitHub seals a secret, and the other half of it.
    const SCRIPT: &str = r#"
import sys
from base64 import b64decode, b64encode
from nacl.public import PrivateKey, PublicKey, SealedBox

private = PrivateKey(bytes(range(32)))
if len(sys.argv) == 1:
    print(b64encode(bytes(private.public_key)).decode())
else:
    print(SealedBox(private).decrypt(b64decode(sys.argv[1])).decode())
"#;

    #[test]
    fn libsodium_opens_what_is_sealed_for_its_key() {
        let run = |arguments: &[&str]| {
            let output = Command::new(venv("python")).args(["-c", SCRIPT]).args(arguments).output().expect("python runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("a text").trim().to_owned()
        };
        let key = STANDARD.decode(run(&[])).expect("base64");
        let key: [u8; CRYPTO_BOX_PUBLICKEYBYTES] = key.try_into().expect("a key");
        let value = "New+marked/8b21=_4-y é";
        let mut sealed = vec![0; value.len() + CRYPTO_BOX_SEALBYTES];
        crypto_box_seal(&mut sealed, value.as_bytes(), &key).expect("it is sealed");
        assert_eq!(run(&[&STANDARD.encode(sealed)]), value);
    }
}
