//! `exec`, with the program that its page shows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use handover::providers::Provider;
use handover::providers::exec::ExecProvider;
use handover::secret::Secret;
use handover_rotation::name::VersionId;
use serde_json::{Value, json};

use super::opened;
use crate::conformance::providers::{self, ProviderBench};
use crate::conformance::table;

struct Program {
    state: tempfile::TempDir,
    /// `reversible` or `delete-only`.
    shape: &'static str,
    /// `program` or `handover`.
    chosen_by: &'static str,
}

impl Program {
    fn new(shape: &'static str, chosen_by: &'static str) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        std::fs::write(state.path().join("accounts.json"), "{}").expect("it is written");
        Self { state, shape, chosen_by }
    }

    fn file(&self) -> PathBuf {
        self.state.path().join("accounts.json")
    }

    fn read(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.file()).expect("it is read")).expect("JSON")
    }

    fn open(&self, mode: &str) -> Arc<dyn Provider> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kinds/exec-provider.example.py");
        let text = format!(
            "{{argv: [python3, {}, {}, {mode}], shape: {}, chosen_by: {}}}",
            program.display(),
            self.file().display(),
            self.shape,
            self.chosen_by
        );
        opened(&text, ExecProvider::options, ExecProvider::open)
    }
}

#[async_trait]
impl ProviderBench for Program {
    fn provider(&self) -> Arc<dyn Provider> {
        self.open("all")
    }

    fn nowhere(&self) -> Result<Arc<dyn Provider>, &'static str> {
        Err("what the program talks to is its own business; one that is not there is a mistake of the inventory")
    }

    async fn forbidden(&self) -> Result<Arc<dyn Provider>, &'static str> {
        Ok(self.open("look"))
    }

    async fn cutting(&self) -> Result<Arc<dyn Provider>, &'static str> {
        Ok(self.open("cut"))
    }

    async fn account(&self, name: &str) -> (String, VersionId) {
        let mut state = self.read();
        let id = format!("by-hand-{name}");
        state[name] = json!([{"id": id, "username": "old", "tag": null, "state": "active", "password": "of another team"}]);
        std::fs::write(self.file(), state.to_string()).expect("it is written");
        (name.to_owned(), VersionId::new(id).expect("an id"))
    }

    async fn accepts(&self, account: &str, username: &str, password: &Secret) -> bool {
        let state = self.read();
        let versions = state[account].as_array().cloned().unwrap_or_default();
        versions.iter().any(|v| v["username"] == username && v["password"] == password.expose() && v["state"] == "active")
    }
}

#[tokio::test]
async fn keeps_the_contract() {
    table::hold("exec", &providers::run(&Program::new("reversible", "program")).await);
    table::hold("exec", &providers::run(&Program::new("reversible", "handover")).await);
}

#[tokio::test]
async fn keeps_the_contract_where_it_only_deletes() {
    table::hold("exec delete-only", &providers::run(&Program::new("delete-only", "program")).await);
}
