//! The vendors' kinds, each run against a server written from the vendor's contract.

mod entra;
mod exec;
mod mailcow;
mod mailersend;
mod mailgun;
mod mailjet;
mod resend;
mod scaleway;
mod sendgrid;
mod smtp2go;
mod stalwart;
mod told_apart;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use handover::config::{Fields, Node};
use handover::providers::Provider;
use handover::secret::Secret;
use handover_rotation::name::VersionId;
use handover_rotation::outcome::Fault;

use super::providers::{self, ProviderBench};
use super::table;
use crate::support::lab::free_port;
use crate::support::lab::vendors::{FULL_KEY, LOOK_KEY, Served, Vendor};

/// A vendor's kind as the inventory has it: opened from the address and the rest of its options.
pub(super) struct Bench<V> {
    pub(super) server: Served<V>,
    open: fn(&str) -> Arc<dyn Provider>,
    more: String,
    /// What the kind calls its key.
    pub(super) key: &'static str,
    keys: tempfile::TempDir,
}

impl<V: Vendor> Bench<V> {
    /// `more` are options in YAML beside address and key, such as `, subuser: shop`; `ADDRESS` in it is the server's.
    pub(super) async fn start(vendor: V, open: fn(&str) -> Arc<dyn Provider>, more: &str) -> Self {
        let keys = tempfile::tempdir().expect("a folder");
        for key in [FULL_KEY, LOOK_KEY] {
            std::fs::write(keys.path().join(key), format!("{key}\n")).expect("it is written");
        }
        Self { server: Served::start(vendor).await, open, more: more.to_owned(), key: "api_key", keys }
    }

    fn at(&self, address: &str, key: &str) -> Arc<dyn Provider> {
        let (name, file) = (self.key, self.keys.path().join(key));
        let more = self.more.replace("ADDRESS", address);
        (self.open)(&format!("{{address: \"{address}\", {name}: {{file: {}}}{more}}}", file.display()))
    }

    /// Runs the suite and holds it to the kind's row.
    pub(super) async fn keeps_the_contract(&self, kind: &str) {
        let ran = providers::run(self).await;
        table::hold(kind, &ran);
        assert!(self.server.has_cut(), "no answer was cut off");
    }
}

/// Opens a kind from options in YAML.
pub(super) fn opened<O, P: Provider + 'static>(
    text: &str,
    options: fn(&mut Fields<'_>) -> Option<O>,
    open: fn(O) -> Result<P, Fault>,
) -> Arc<dyn Provider> {
    let node = Node::from_yaml("inventory.yaml", Path::new("/"), text).expect("YAML");
    let mut fields = Fields::new(&node, "provider");
    let read = options(&mut fields);
    let problems = fields.finish();
    assert!(!problems.has_errors(), "{problems}");
    Arc::new(open(read.expect("options")).expect("it opens"))
}

#[async_trait]
impl<V: Vendor> ProviderBench for Bench<V> {
    fn provider(&self) -> Arc<dyn Provider> {
        self.at(&self.server.address(), FULL_KEY)
    }

    fn nowhere(&self) -> Result<Arc<dyn Provider>, &'static str> {
        Ok(self.at(&format!("http://127.0.0.1:{}", free_port()), FULL_KEY))
    }

    async fn forbidden(&self) -> Result<Arc<dyn Provider>, &'static str> {
        Ok(self.at(&self.server.address(), LOOK_KEY))
    }

    async fn cutting(&self) -> Result<Arc<dyn Provider>, &'static str> {
        Ok(self.at(&self.server.cutting_address(), FULL_KEY))
    }

    async fn account(&self, name: &str) -> (String, VersionId) {
        let (account, id) = self.server.state().foreign(name);
        (account, VersionId::new(id).expect("an id"))
    }

    async fn accepts(&self, _account: &str, username: &str, password: &Secret) -> bool {
        self.server.state().accepts(username, password.expose())
    }
}
