//! Ports: the adapters that one credential's rotation talks to, as traits only.

use std::collections::BTreeMap;
use std::sync::Arc;

use handover_rotation::name::{EntryName, ServiceName};

use super::prepare::patience;
use crate::mail::Mail;
use crate::providers::Provider;
use crate::services::{Attest, Reload, TestSend};
use crate::stores::{EntryRef, Store};

/// Everything that a rotation of one credential talks to.
pub struct Ports {
    /// Issues the versions.
    pub provider: Arc<dyn Provider>,
    /// The account at the provider.
    pub account: String,
    /// Where the versions are kept.
    pub entries: BTreeMap<EntryName, EntryPort>,
    /// What uses them.
    pub services: BTreeMap<ServiceName, ServicePorts>,
    /// Proves by mail.
    pub mail: Arc<dyn Mail>,
}

impl Ports {
    /// What a person should mend about the account and the places of the entries: nothing that a rotation has to stop for.
    /// In a leak, only what is told at once.
    pub async fn warnings(&self, leak: bool) -> Vec<String> {
        let provider = async {
            let limit = std::time::Duration::from_millis(patience(self.provider.facts().request_timeout, leak).0);
            tokio::time::timeout(limit, self.provider.warnings(&self.account)).await.unwrap_or_default()
        };
        let asked = self.entries.iter().map(|(name, port)| async move {
            let limit = std::time::Duration::from_millis(patience(port.store.request_timeout(), leak).0);
            let told = tokio::time::timeout(limit, port.store.warnings(&port.place)).await.unwrap_or_default();
            told.into_iter().map(move |warning| format!("entry {name}: {warning}"))
        });
        let (mut told, entries) = futures::future::join(provider, futures::future::join_all(asked)).await;
        told.extend(entries.into_iter().flatten());
        told
    }
}

/// One entry with its store.
pub struct EntryPort {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The place in it.
    pub place: EntryRef,
}

/// The abilities of one service.
#[derive(Default)]
pub struct ServicePorts {
    /// Makes it read again.
    pub reload: Option<Arc<dyn Reload>>,
    /// Asks what it presents.
    pub attest: Option<Arc<dyn Attest>>,
    /// Makes it send.
    pub test_send: Option<Arc<dyn TestSend>>,
}
