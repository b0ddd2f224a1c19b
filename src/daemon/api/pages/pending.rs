//! What went wrong where no rotation tells of it: what could not be begun, what cannot go on here, files that are refused. Made of
//! the news, and of the ticks in the journal at the start; bounded.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use handover_rotation::name::{CredentialName, RotationId};

use super::super::Api;
use crate::daemon::news::News;

/// The most that is remembered of each.
const MOST: usize = 1000;

/// Why, and since when, in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Why {
    pub(super) why: String,
    pub(super) at_ms: u64,
}

#[derive(Default)]
struct Known {
    not_begun: BTreeMap<String, Why>,
    halted: BTreeMap<RotationId, Why>,
    files_ms: Option<u64>,
}

/// What is remembered.
#[derive(Default)]
pub(in super::super) struct Pending(Mutex<Known>);

impl Pending {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one piece of news in.
    pub(in super::super) fn hear(&self, news: &News, now_ms: u64) {
        let mut known = self.known();
        match news {
            News::NotBegun { credential, why } => put(&mut known.not_begun, credential.to_string(), why, now_ms),
            News::Halted { rotation, why } => put(&mut known.halted, rotation.clone(), why, now_ms),
            News::Recorded { events, rotation } if !events.is_empty() => {
                known.halted.remove(&rotation.id);
                let begun = |why: &Why| rotation.started_at.0 >= why.at_ms;
                if known.not_begun.get(rotation.plan.credential.as_str()).is_some_and(begun) {
                    known.not_begun.remove(rotation.plan.credential.as_str());
                }
            }
            News::Reloaded { refused: Some(_) } => {
                known.files_ms.get_or_insert(now_ms);
            }
            News::Reloaded { refused: None } => known.files_ms = None,
            News::Recorded { .. } | News::Alert { .. } | News::Assessed { .. } | News::Notice(_) => {}
        }
    }

    /// What could not be begun, and nothing of the credential was begun after that.
    pub(super) fn not_begun(&self, api: &Api) -> Vec<(String, Why)> {
        let files = api.desk.files.now();
        let there = |name: &str| CredentialName::new(name).is_ok_and(|name| files.inventory.credentials.contains_key(&name));
        let later = |name: &str| api.desk.ledger.account(name).latest.map(|latest| latest.began_ms);
        let all = self.known().not_begun.clone();
        all.into_iter().filter(|(name, why)| there(name) && later(name).is_none_or(|began| began < why.at_ms)).collect()
    }

    /// Rotations that cannot go on here for now.
    pub(super) fn halted(&self) -> Vec<(RotationId, Why)> {
        self.known().halted.iter().map(|(id, why)| (id.clone(), why.clone())).collect()
    }

    /// Since when changed files are refused.
    pub(super) fn files_ms(&self) -> Option<u64> {
        self.known().files_ms
    }
}

/// Keeps when it began, where it was there with the same words.
fn put<K: Ord>(map: &mut BTreeMap<K, Why>, key: K, why: &str, now_ms: u64) {
    if map.len() >= MOST && !map.contains_key(&key) {
        return;
    }
    let known = map.entry(key).or_insert_with(|| Why { why: why.to_owned(), at_ms: now_ms });
    why.clone_into(&mut known.why);
}

impl Api {
    /// Reads off the journal which times of schedules were refused last.
    pub(in super::super) async fn remember_refused(&self) {
        let ticks = self.desk.register.last_ticks().await.unwrap_or_default();
        let mut known = self.pending.known();
        for tick in ticks.into_iter().filter(|tick| tick.rotation.is_none()) {
            if let Some(why) = tick.what.strip_prefix("refused: ") {
                put(&mut known.not_begun, tick.credential, why, tick.at_ms);
            }
        }
    }
}
