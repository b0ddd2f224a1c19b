//! What is known in public: where the inventory has a source that can be asked, each rotation asks whether the hashes of the version
//! that it replaces are known to have leaked. What is known there is taken in like any other alert.
//!
//! Of a hash only the first 20 bits leave, and only of secrets that nobody can guess is there a hash at all. Nothing waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use handover_rotation::event::Event;
use handover_rotation::name::{RotationId, Slot};
use handover_rotation::outcome::{Fault, Outcome};
use tokio::sync::broadcast::error::RecvError;

use super::desk::Desk;
use super::news::News;
use crate::alerts::{Known, Report, Source};
use crate::engine::known::slot_of;
use crate::journal::{Bearer, JournalError};
use crate::marks::Mark;

/// After no answer it is asked again so often, further and further apart, and then given up: the next rotation asks again.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(30);

impl Desk {
    /// Asks about every rotation that begins or is taken up, for ever.
    pub(super) async fn ask_public_for_ever(self: Arc<Self>) {
        let mut news = self.watch();
        let mut asked = BTreeSet::new();
        loop {
            match news.recv().await {
                Ok(News::Recorded { events, rotation }) => {
                    let begins = events.iter().any(|(_, event)| matches!(event, Event::Started { .. }));
                    if begins && !rotation.plan.compromised && asked.insert(rotation.id.clone()) {
                        let (desk, id) = (Arc::clone(&self), rotation.id.clone());
                        tokio::spawn(async move { desk.ask_public(&id).await });
                    }
                }
                // Whoever is asked about none is asked about the next: it is a look, and no promise.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn ask_public(self: Arc<Self>, id: &RotationId) {
        let mut left: BTreeMap<String, Arc<dyn Source>> = BTreeMap::new();
        for (name, source) in &self.files.now().sources {
            if let Ok(source) = source
                && source.able().knows
            {
                left.insert(name.to_string(), Arc::clone(source));
            }
        }
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=TRIES {
            let mut again = BTreeMap::new();
            for (name, source) in left {
                if let Err(fault) = self.ask_one(id, &name, source.as_ref()).await {
                    tracing::warn!(rotation = %id, source = name, "what is known in public cannot be asked: {fault}");
                    again.insert(name, source);
                }
            }
            left = again;
            if left.is_empty() || attempt == TRIES {
                return;
            }
            tokio::time::sleep(pause).await;
            pause *= 4;
        }
    }

    async fn ask_one(&self, id: &RotationId, name: &str, source: &dyn Source) -> Result<(), Fault> {
        let hashes = self.hashes_of_old(id).await.map_err(|error| error.fault())?;
        if hashes.is_empty() {
            return Ok(());
        }
        match source.known(&hashes).await {
            Outcome::Done(found) => {
                for found in found {
                    let report = report(name, &found);
                    let digest = self.digest_of(&report);
                    self.take_in(digest, vec![report]).await.map_err(|error| error.fault())?;
                }
                Ok(())
            }
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => Err(fault),
        }
    }

    /// The hashes of the version that a rotation replaces: what was found then, and what the rotation that made it knew.
    async fn hashes_of_old(&self, id: &RotationId) -> Result<Vec<[u8; 32]>, JournalError> {
        let mut known = of_slot(self.register.known_of(id).await?, Some(Slot::OLD));
        let key = known.iter().find(|mark| matches!(Mark::parse(mark), Some(Mark::KeyId(_)))).cloned();
        for bearer in self.register.bearers(&key.unwrap_or_default()).await? {
            match bearer {
                Bearer::Rotation { id: made_by, slot } if made_by != *id => {
                    known.extend(of_slot(self.register.known_of(&made_by).await?, slot_of(&slot)));
                    break;
                }
                Bearer::Rotation { .. } | Bearer::Stock { .. } => {}
            }
        }
        let hashes: BTreeSet<[u8; 32]> = known
            .iter()
            .filter_map(|mark| match Mark::parse(mark) {
                Some(Mark::Hmsl(hash)) => Some(hash),
                _ => None,
            })
            .collect();
        Ok(hashes.into_iter().collect())
    }
}

fn of_slot(known: Vec<crate::journal::Known>, slot: Option<Slot>) -> Vec<String> {
    known.into_iter().filter(|known| slot_of(&known.slot) == slot).map(|known| known.mark).collect()
}

fn report(source: &str, found: &Known) -> Report {
    let places = if found.count == 1 { "one place".to_owned() } else { format!("{} places", found.count) };
    Report::new(source, &format!("seen in public, in {places}")).url(found.url.as_deref()).mark(Some(Mark::Hmsl(found.hash)))
}
