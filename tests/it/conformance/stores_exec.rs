//! The kind `exec` with a program in Python, which is also the example of docs/kinds/exec.md.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use handover::stores::exec::{ExecOptions, ExecStore};
use handover::stores::{EntryRef, Store};
use handover_rotation::name::EntryName;
use handover_rotation::time::Span;
use serde_json::{Value, json};

use super::{stores, table};

struct Bench {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Bench {
    /// The program is the Python block of the page.
    fn new() -> Self {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kinds/exec.md");
        let page = fs::read_to_string(page).expect("the page");
        let program = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a program");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store.py");
        fs::write(&path, program).expect("it is written");
        fs::create_dir(folder.path().join("data")).expect("a folder");
        Self { folder, program: path }
    }

    /// With `how` before what it does: the page's program does not know how to fail by itself.
    fn with(&self, name: &str, how: &str) -> Arc<dyn Store> {
        let folder = self.folder.path().join(if name == "nowhere" { "nowhere" } else { "data" });
        let path = self.folder.path().join(format!("{name}.py"));
        let program = fs::read_to_string(&self.program).expect("the program");
        fs::write(&path, program.replace("# ---", how)).expect("it is written");
        let argv =
            ["/usr/bin/python3", "-I", &path.to_string_lossy(), &folder.to_string_lossy()].map(str::to_owned).to_vec();
        let store = ExecStore::open(ExecOptions { argv, timeout: Span::seconds(20) });
        Arc::new(store.unwrap_or_else(|fault| panic!("{fault}")))
    }

    fn file(&self, entry: &EntryRef) -> PathBuf {
        self.folder.path().join("data").join(&entry.path)
    }

    fn place(name: &str) -> EntryRef {
        EntryRef {
            name: EntryName::new("own").expect("a name"),
            path: format!("{name}.json"),
            username_field: "user".to_owned(),
            password_field: "pass".to_owned(),
        }
    }

    fn put(&self, entry: &EntryRef, username: &str, password: &str) {
        let data = json!({"user": username, "pass": password, "other": {"kept": [1, "x"]}});
        fs::write(self.file(entry), data.to_string()).expect("it is written");
    }

    fn get(&self, entry: &EntryRef) -> Value {
        serde_json::from_str(&fs::read_to_string(self.file(entry)).expect("a text")).expect("json")
    }
}

#[async_trait]
impl stores::StoreBench for Bench {
    fn store(&self) -> Arc<dyn Store> {
        self.with("plain", "")
    }

    fn nowhere(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(self.with("nowhere", ""))
    }

    async fn forbidden(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(self.with("forbidden", "if call != 'read': answer('not-done', because='forbidden')"))
    }

    async fn cutting(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(self.with("cutting", "answer = lambda outcome, **more: sys.exit(9) if call == 'write' else print(json.dumps({'outcome': outcome, **more}))"))
    }

    async fn entry(&self, name: &str, username: &str, password: &str) -> EntryRef {
        let entry = Self::place(name);
        self.put(&entry, username, password);
        entry
    }

    fn missing(&self) -> EntryRef {
        Self::place("missing")
    }

    async fn held(&self, entry: &EntryRef) -> (String, String) {
        let data = self.get(entry);
        let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
        (text("user"), text("pass"))
    }

    async fn meddle(&self, entry: &EntryRef, username: &str, password: &str) {
        self.put(entry, username, password);
    }

    async fn sibling(&self, entry: &EntryRef) -> Result<bool, &'static str> {
        Ok(self.get(entry)["other"] == json!({"kept": [1, "x"]}))
    }
}

#[tokio::test]
async fn a_program_of_the_users_does_what_a_store_must() {
    table::hold("exec", &stores::run(&Bench::new()).await);
}
