//! The daemon as a whole: starts its rooms, and ends them in order.

use std::sync::Arc;
use std::time::Duration;

use handover_rotation::outcome::Fault;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::api::{Api, Listen, Serving, serve};
use super::crew::Crew;
use super::desk::Desk;
use super::herald::Herald;
use super::leak::Responder;
use super::scheduler::Scheduler;
use crate::journal::Outbox;

/// How often is looked for changed files.
const LOOK: Duration = Duration::from_secs(2);

/// A daemon that runs.
pub struct Daemon {
    /// Its rotations.
    pub crew: Arc<Crew>,
    /// What is shared.
    pub desk: Arc<Desk>,
    /// Where it listens.
    pub serving: Vec<Serving>,
    stop: watch::Sender<bool>,
}

impl Daemon {
    /// Starts everything: first what listens, so that an alert is taken in while the rest is being read.
    ///
    /// # Errors
    /// It cannot listen somewhere.
    pub async fn start(
        desk: Arc<Desk>,
        outbox: Arc<dyn Outbox>,
        listen: Vec<(Listen, Option<TlsAcceptor>)>,
    ) -> Result<Self, Fault> {
        let crew = Crew::new(Arc::clone(&desk));
        let api = Api::new(Arc::clone(&crew));
        let (stop, stopped) = watch::channel(false);
        let mut serving = Vec::new();
        for (listen, tls) in listen {
            match serve(&api, listen, tls, stopped.clone()).await {
                Ok(one) => serving.push(one),
                Err(fault) => {
                    // What it listened on already does not look like a daemon that lives.
                    stop.send_replace(true);
                    leave(serving);
                    return Err(fault);
                }
            }
        }
        tokio::spawn(Arc::clone(&api).count_for_ever());
        tokio::spawn(Responder::new(Arc::clone(&crew)).respond_for_ever());
        tokio::spawn(Arc::clone(&crew).adopt_for_ever());
        let (herald, delivery) = Herald::new(Arc::clone(&desk), outbox);
        tokio::spawn(herald.tell_for_ever());
        tokio::spawn(delivery.run());
        tokio::spawn(super::witness::witness_for_ever(Arc::clone(&desk)));
        tokio::spawn(Arc::clone(&desk).keep_ledger());
        tokio::spawn(Arc::clone(&desk).watch_files());
        tokio::spawn(Arc::clone(&desk).inquire_for_ever());
        tokio::spawn(Arc::clone(&desk).ask_public_for_ever());
        tokio::spawn(Arc::clone(&desk).ask_for_ever(Arc::clone(&crew)));
        let (reader, scheduler) = (Arc::clone(&desk), Scheduler::new(Arc::clone(&crew)));
        tokio::spawn(async move {
            // What was rotated when belongs to what is due.
            if let Err(error) = reader.fill_ledger().await {
                tracing::warn!("how the credentials stand cannot be read: {}", error.fault());
            }
            scheduler.schedule_for_ever().await;
        });
        Ok(Self { crew, desk, serving, stop })
    }

    /// Stops: no new work, every rotation at its next safe boundary, answers under way given.
    pub async fn stop(self) {
        self.crew.stop().await;
        self.stop.send_replace(true);
        if let Err(error) = self.desk.engine.journal.flush().await {
            tracing::warn!(code = error.code, "the journal cannot be flushed: {error}");
        }
        leave(self.serving);
    }
}

/// Takes the sockets away.
fn leave(serving: Vec<Serving>) {
    for serving in serving {
        if let Listen::Unix(path) = serving.listen {
            drop(std::fs::remove_file(path));
        }
    }
}

impl Desk {
    /// Reads the files again when one has changed, for ever.
    async fn watch_files(self: Arc<Self>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let desk = Arc::clone(&self);
            if tokio::task::spawn_blocking(move || desk.files.changed()).await.unwrap_or_default() {
                drop(self.reload().await);
            }
        }
    }
}
