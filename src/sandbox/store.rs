//! The sandbox's faults in front of a store: a lost answer to a write, and slowness. A full disk is simulated within the
//! store itself, where it hits in the middle of a write: see [`super::disk_full`].

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;

use crate::providers::sandbox::faults::{Effect, Faults, take_drop};
use crate::secret::{Login, Secret};
use crate::stores::{EntryRef, Held, Store};

/// A store whose calls the faults of a sandbox reach.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    dir: PathBuf,
}

impl FaultyStore {
    /// Puts the faults of the sandbox in `dir` in front of `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, dir: PathBuf) -> Self {
        Self { inner, dir }
    }

    async fn slow(&self) -> Result<(), Fault> {
        tokio::time::sleep(Faults::load(&self.dir)?.delay()).await;
        Ok(())
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn request_timeout(&self) -> Span {
        self.inner.request_timeout()
    }

    fn landing(&self) -> Span {
        self.inner.landing()
    }

    async fn check_writable(&self, entry: &EntryRef) -> Outcome<()> {
        match self.slow().await {
            Ok(()) => self.inner.check_writable(entry).await,
            Err(fault) => Outcome::NotDone(fault),
        }
    }

    async fn read(&self, entry: &EntryRef) -> Outcome<Held> {
        match self.slow().await {
            Ok(()) => self.inner.read(entry).await,
            Err(fault) => Outcome::NotDone(fault),
        }
    }

    async fn lacks(&self, entry: &EntryRef) -> String {
        self.inner.lacks(entry).await
    }

    async fn warnings(&self, entry: &EntryRef) -> Vec<String> {
        self.inner.warnings(entry).await
    }

    async fn can_hold(&self, entry: &EntryRef, login: &Login) -> Outcome<()> {
        self.inner.can_hold(entry, login).await
    }

    async fn write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Outcome<()> {
        if let Err(fault) = self.slow().await {
            return Outcome::NotDone(fault);
        }
        match self.inner.write(entry, login, expect).await {
            Outcome::Done(()) => match take_drop(&self.dir, Effect::Write) {
                Ok(false) => Outcome::Done(()),
                Ok(true) => {
                    let message = format!("the answer to the write of entry {} was lost (fault drop-answer)", entry.name);
                    Outcome::Unknown(Fault::new(FaultClass::Temporary, "HO0910", message))
                }
                Err(fault) => Outcome::Unknown(fault),
            },
            other => other,
        }
    }
}
