//! The desk: what all rooms of the daemon share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use handover_rotation::name::CredentialName;
use handover_rotation::outcome::Fault;
use tokio::sync::{Notify, broadcast};

use super::files::Files;
use super::ledger::Ledger;
use super::limits::Limits;
use super::news::News;
use crate::config::inventory::{Credential, Inventory};
use crate::engine::Engine;
use crate::engine::ports::Ports;
use crate::journal::Register;
use crate::registry::Registry;
use crate::schedule::{Past, Tick};

/// How many pieces of news a slow watcher may be behind before it loses some.
const NEWS: usize = 4096;

/// Opens what a rotation of a credential talks to.
pub trait Opens: Send + Sync {
    /// The adapters that the inventory names; in a leak, what cannot be built but the provider is tried again when it is called.
    ///
    /// # Errors
    /// A name leads nowhere, or one cannot be built.
    fn ports(&self, inventory: &Inventory, credential: &CredentialName, leak: bool) -> Result<Ports, Fault>;
}

impl Opens for Registry {
    fn ports(&self, inventory: &Inventory, credential: &CredentialName, leak: bool) -> Result<Ports, Fault> {
        if leak { Self.ports_in_leak(inventory, credential) } else { Self.ports(inventory, credential) }
    }
}

/// When a credential is rotated next, as it was found.
struct Next {
    /// The files, and what was known of the past.
    of: (u64, Option<u64>, Option<u64>),
    /// When it was looked for.
    since: u64,
    tick: Option<Tick>,
}

/// What all rooms share.
pub struct Desk {
    /// Runs rotations.
    pub engine: Engine,
    /// What is remembered beside them.
    pub register: Arc<dyn Register>,
    /// The files in force.
    pub files: Files,
    /// How each credential stands.
    pub ledger: Ledger,
    /// How much sources may bring.
    pub(super) limits: Limits,
    /// Alerts have come in.
    pub alerted: Notify,
    /// Something about rotations that nobody holds may have changed.
    pub unheld: Notify,
    news: broadcast::Sender<News>,
    /// Told at every look at the metrics, of every credential.
    next: Mutex<BTreeMap<CredentialName, Next>>,
    opens: Arc<dyn Opens>,
    /// Who acts, for the audit log.
    pub name: String,
}

impl Desk {
    /// A desk; `name` is who acts, as `user@host`.
    #[must_use]
    pub fn new(engine: Engine, register: Arc<dyn Register>, files: Files, name: String) -> Self {
        let news = broadcast::channel(NEWS).0;
        Self {
            engine,
            register,
            files,
            ledger: Ledger::default(),
            limits: Limits::default(),
            alerted: Notify::new(),
            unheld: Notify::new(),
            news,
            next: Mutex::default(),
            opens: Arc::new(Registry),
            name,
        }
    }

    /// With another outside than what the inventory names, for simulations.
    #[must_use]
    pub fn outside(mut self, opens: Arc<dyn Opens>) -> Self {
        self.opens = opens;
        self
    }

    /// What a rotation of a credential talks to, by the files in force.
    pub(super) fn ports(&self, inventory: &Inventory, credential: &CredentialName, leak: bool) -> Result<Ports, Fault> {
        self.opens.ports(inventory, credential, leak)
    }

    /// Tells whoever watches; nobody need.
    pub fn tell(&self, news: News) {
        drop(self.news.send(news));
    }

    /// Watches from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    /// The wall clock, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn wall_ms(&self) -> u64 {
        self.engine.clock.stamp().wall_ms
    }

    /// Reads the files again, and says how often that was done.
    ///
    /// # Errors
    /// They are bad: those before stay in force. In words.
    pub async fn reload(self: &Arc<Self>) -> Result<u64, String> {
        let desk = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || desk.files.reload().map_err(|problems| problems.to_string())).await;
        let result = read.unwrap_or_else(|_| Err("reading them broke off".to_owned()));
        self.tell(News::Reloaded { refused: result.as_ref().err().cloned() });
        match result {
            Ok(files) => {
                tracing::info!(credentials = files.inventory.credentials.len(), "inventory and playbooks were read again");
                Ok(files.generation)
            }
            Err(why) => {
                tracing::warn!("inventory and playbooks are refused, and those before stay in force: {why}");
                Err(why)
            }
        }
    }

    /// When the schedule rotates a credential next.
    #[must_use]
    pub fn next_run(&self, name: &CredentialName, credential: &Credential, now_ms: u64) -> Option<Tick> {
        let rule = credential.schedule.as_ref()?.rule.clone();
        let account = self.ledger.account(name.as_str());
        let past = Past {
            known_ms: now_ms,
            started_ms: account.latest.map(|latest| latest.began_ms),
            current_ms: account.current_ms,
            last_ms: None,
        };
        // It stays the same until it comes, or what it is made of changes; one that never comes is looked for again in an hour.
        let generation = self.files.now().generation;
        let mut kept = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.get(name)
            && kept.of == (generation, past.started_ms, past.current_ms)
            && (kept.since..kept.tick.as_ref().map_or(kept.since + 3_600_000, |tick| tick.fires_ms)).contains(&now_ms)
        {
            return kept.tick.clone();
        }
        let (of, tick) = ((generation, past.started_ms, past.current_ms), crate::schedule::next(&rule, &past, now_ms));
        kept.insert(name.clone(), Next { of, since: now_ms, tick: tick.clone() });
        tick
    }
}
