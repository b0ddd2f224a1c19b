//! The desk: what all rooms of the daemon share.

use std::sync::Arc;

use tokio::sync::{Notify, broadcast};

use super::files::Files;
use super::ledger::Ledger;
use super::news::News;
use crate::engine::Engine;
use crate::journal::Register;

/// How many pieces of news a slow watcher may be behind before it loses some.
const NEWS: usize = 4096;

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
    /// Alerts have come in.
    pub alerted: Notify,
    /// Something about rotations that nobody holds may have changed.
    pub unheld: Notify,
    news: broadcast::Sender<News>,
    /// Who acts, for the audit log.
    pub name: String,
}

impl Desk {
    /// A desk; `name` is who acts, as `user@host`.
    #[must_use]
    pub fn new(engine: Engine, register: Arc<dyn Register>, files: Files, name: String) -> Self {
        let news = broadcast::channel(NEWS).0;
        Self { engine, register, files, ledger: Ledger::default(), alerted: Notify::new(), unheld: Notify::new(), news, name }
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
}
