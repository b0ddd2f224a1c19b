//! Was it used? What the sources of evidence say of a leaked login: asked when its version is refused, and once more when the rotation
//! has ended, since logs come late. It is kept for the report, and people are told. It changes nothing outside, and nothing waits
//! for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use handover_rotation::name::{CredentialName, RotationId};
use handover_rotation::outcome::Outcome;
use handover_rotation::state::Rotation;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;

use super::desk::Desk;
use super::leak::{Kept, refused};
use super::news::News;
use crate::config::inventory::Inventory;
use crate::engine::EngineError;
use crate::engine::uses::{Past, past};
use crate::journal::{AlertState, Filter, Journal, Register};
use crate::providers::ListedVersion;
use crate::registry::Registry;
use crate::usage::{Assessment, Question, VersionTimes, assess};
use crate::view;
use crate::view::style::{Style, Zone};

const DAY_MS: u64 = 86_400_000;
/// The window where nothing tells when it leaked.
pub const USUAL_MS: u64 = 30 * DAY_MS;
/// The longest window: what is counted by the hour is bounded by it.
pub const MOST_MS: u64 = 400 * DAY_MS;
/// Rotations that are looked at for versions.
const MOST_ROTATIONS: u32 = 500;
/// How long one source may take: logs of many gigabytes are read from end to end.
const PATIENCE: Duration = Duration::from_secs(600);
/// How many leaks are asked about at once.
const AT_ONCE: usize = 2;
/// At the start, what was not asked of leaks no longer ago than this is.
const BACK_MS: u64 = DAY_MS;

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Its beginning, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Its end: now.
    pub until_ms: u64,
    /// When the secret was first exposed, if that is known.
    pub leaked_ms: Option<u64>,
    /// How long one source may take; `None` for as long as it needs.
    pub patience: Option<Duration>,
}

/// What the journal knows of a credential's past.
///
/// # Errors
/// It cannot be read.
pub async fn past_of(journal: &dyn Journal, name: &CredentialName) -> Result<Past, EngineError> {
    let filter = Filter { credential: Some(name.to_string()), limit: Some(MOST_ROTATIONS), ..Filter::default() };
    let mut rotations = Vec::new();
    for header in journal.list(filter).await?.iter().rev() {
        rotations.push(journal.load(&header.id).await?);
    }
    past(&rotations)
}

/// Asks the sources about a credential of the inventory; and what is to be said where the provider did not list its versions.
pub async fn assessed(
    inventory: &Inventory,
    name: &CredentialName,
    past: Past,
    window: &Window,
) -> (Assessment, Option<String>) {
    let facts = Registry.facts(inventory, name);
    let account = inventory.credentials.get(name).map(|c| c.account.clone()).unwrap_or_default();
    let (versions, remark) = listed(inventory, name, &account, facts.shape.lists(), past.versions).await;
    let question = Question {
        credential: name.clone(),
        kind: facts.kind,
        account,
        since_ms: window.since_ms,
        until_ms: window.until_ms,
        leaked_ms: window.leaked_ms,
        spreading: facts.propagation,
        versions,
        own: past.own,
        patience: window.patience,
    };
    (assess(&question, &Registry.evidence(inventory, name)).await, remark)
}

/// The versions with those that the provider has now, and what is to be said if it did not tell.
async fn listed(
    inventory: &Inventory,
    name: &CredentialName,
    account: &str,
    has_list: bool,
    mut versions: Vec<VersionTimes>,
) -> (Vec<VersionTimes>, Option<String>) {
    if !has_list {
        return (versions, None);
    }
    let list = match Registry.provider_of(inventory, name) {
        Ok(provider) => provider.list(account).await,
        Err(fault) => Outcome::NotDone(fault),
    };
    match list {
        Outcome::Done(list) => {
            merge(&mut versions, list);
            (versions, None)
        }
        Outcome::NotDone(fault) | Outcome::Unknown(fault) => {
            (versions, Some(format!("note: without the provider's list of versions: {fault}")))
        }
    }
}

/// A version that is listed has its login name and when it was made. When it was disabled, a list does not tell.
fn merge(versions: &mut Vec<VersionTimes>, list: Vec<ListedVersion>) {
    for listed in list {
        match versions.iter_mut().find(|v| v.id.as_ref() == Some(&listed.id)) {
            Some(known) => {
                known.username.get_or_insert(listed.username);
                known.created_ms = known.created_ms.or(listed.created_at);
            }
            None => versions.push(VersionTimes {
                id: Some(listed.id),
                username: Some(listed.username),
                created_ms: listed.created_at,
                revoked_ms: None,
                compromised: false,
            }),
        }
    }
}

/// Whether a rotation has a version that leaked.
#[must_use]
pub fn is_leak(rotation: &Rotation) -> bool {
    rotation.versions.values().any(|version| version.compromised)
}

/// Asks about the leak that a rotation contains, and keeps the answer for its report. `None` if the inventory does not have the
/// credential any more.
///
/// # Errors
/// The journal cannot be read or written.
pub async fn inquire(
    journal: &dyn Journal,
    register: &dyn Register,
    inventory: &Inventory,
    rotation: &Rotation,
    now_ms: u64,
    patience: Duration,
) -> Result<Option<Assessment>, EngineError> {
    let name = &rotation.plan.credential;
    if !inventory.credentials.contains_key(name) {
        return Ok(None);
    }
    let alerts = register.alerts_of(&rotation.id).await?;
    let exposed = alerts.iter().filter_map(|alert| serde_json::from_str::<Kept>(&alert.report).ok()?.exposed_ms).min();
    let leaked_ms = exposed.map(|at| at.clamp(now_ms.saturating_sub(MOST_MS), now_ms));
    let since_ms = leaked_ms.unwrap_or_else(|| now_ms.saturating_sub(USUAL_MS));
    let window = Window { since_ms, until_ms: now_ms, leaked_ms, patience: Some(patience) };
    let (assessment, remark) = assessed(inventory, name, past_of(journal, name).await?, &window).await;
    let style = Style { zone: Zone::Utc, unicode: true, ..Style::plain() };
    let mut text = view::usage::usage(&assessment, style);
    text.extend(remark);
    let document = json!({"format": 1, "text": text, "assessment": assessment}).to_string();
    register.keep_assessment(&rotation.id, now_ms, document).await?;
    Ok(Some(assessment))
}

/// Up to where a leak has been asked about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// The version is refused.
    Refused,
    /// The rotation has ended.
    Ended,
}

fn stage(rotation: &Rotation) -> Option<Stage> {
    match rotation.ended() {
        _ if !is_leak(rotation) => None,
        Some(_) => Some(Stage::Ended),
        None => refused(rotation).map(|_| Stage::Refused),
    }
}

impl Desk {
    /// Asks about every leak, for ever.
    pub(super) async fn inquire_for_ever(self: Arc<Self>) {
        let mut news = self.watch();
        let mut asked: BTreeMap<RotationId, Stage> = BTreeMap::new();
        let at_once = Arc::new(Semaphore::new(AT_ONCE));
        match self.unasked().await {
            Ok(rotations) => {
                for rotation in rotations {
                    self.set_going(rotation.into(), &mut asked, &at_once);
                }
            }
            Err(error) => tracing::warn!("leaks that were not asked about cannot be looked for: {}", error.fault()),
        }
        loop {
            match news.recv().await {
                Ok(News::Recorded { rotation, .. }) => self.set_going(rotation, &mut asked, &at_once),
                // What was missed is looked up in the journal.
                Err(RecvError::Lagged(_)) => {
                    for rotation in self.unasked().await.unwrap_or_default() {
                        self.set_going(rotation.into(), &mut asked, &at_once);
                    }
                }
                Ok(_) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Leaks of late of which nothing is kept since they were refused, or since they ended.
    async fn unasked(&self) -> Result<Vec<Rotation>, EngineError> {
        let since = self.wall_ms().saturating_sub(BACK_MS);
        let mut ids: Vec<RotationId> = self.ledger.open().into_iter().map(|(_, latest)| latest.id).collect();
        for state in [AlertState::Containing, AlertState::Contained, AlertState::Closed] {
            let alerts = self.register.alerts(Some(state), 1000).await?;
            ids.extend(alerts.into_iter().filter(|alert| alert.changed_ms >= since).filter_map(|alert| alert.rotation));
        }
        ids.sort();
        ids.dedup();
        let mut unasked = Vec::new();
        for id in ids {
            let rows = self.engine.journal.load(&id).await?;
            // Each row is of one event: the last is that of the end.
            let Some(last) = rows.last() else { continue };
            let rotation = crate::engine::replay(&id, &rows)?;
            let kept = self.register.assessments(&id).await?.last().map(|(at, _)| *at);
            let enough = match stage(&rotation) {
                None => true,
                Some(Stage::Refused) => kept.is_some(),
                Some(Stage::Ended) => kept.is_some_and(|at| at >= last.stamp.wall_ms),
            };
            if !enough {
                unasked.push(rotation);
            }
        }
        Ok(unasked)
    }

    fn set_going(
        self: &Arc<Self>,
        rotation: Arc<Rotation>,
        asked: &mut BTreeMap<RotationId, Stage>,
        at_once: &Arc<Semaphore>,
    ) {
        let Some(stage) = stage(&rotation) else { return };
        if asked.get(&rotation.id).is_some_and(|known| *known >= stage) {
            return;
        }
        asked.insert(rotation.id.clone(), stage);
        let (desk, at_once) = (Arc::clone(self), Arc::clone(at_once));
        tokio::spawn(async move {
            let Ok(_permit) = at_once.acquire_owned().await else { return };
            let files = desk.files.now();
            let (journal, register) = (desk.engine.journal.as_ref(), desk.register.as_ref());
            match inquire(journal, register, &files.inventory, &rotation, desk.wall_ms(), PATIENCE).await {
                Ok(Some(assessment)) => {
                    let rotation = rotation.id.clone();
                    desk.tell(News::Assessed { rotation, assessment: Arc::new(assessment) });
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(rotation = %rotation.id, "whether it was used cannot be kept: {}", error.fault());
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use handover_rotation::name::{Username, VersionId};

    use super::*;
    use crate::providers::LiveState;

    #[test]
    fn what_the_provider_lists_is_added_to_what_the_journal_knows() {
        let id = |id: &str| VersionId::new(id).expect("an id");
        let listed = |name: &str, at: u64| ListedVersion {
            id: id(name),
            username: Username::new(name).expect("a name"),
            tag: None,
            state: LiveState::Active,
            created_at: Some(at),
            last_used_at: None,
            last_refused_at: None,
        };
        let mut versions = vec![VersionTimes {
            id: Some(id("k1")),
            username: None,
            created_ms: None,
            revoked_ms: Some(9),
            compromised: true,
        }];
        merge(&mut versions, vec![listed("k1", 5), listed("k2", 7)]);
        assert_eq!(versions.len(), 2);
        assert_eq!((versions[0].created_ms, versions[0].revoked_ms, versions[0].compromised), (Some(5), Some(9), true));
        assert_eq!(versions[0].username.as_ref().map(Username::as_str), Some("k1"));
        assert_eq!((versions[1].shown().as_str(), versions[1].created_ms), ("k2", Some(7)));
    }
}
