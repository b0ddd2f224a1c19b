//! The ledger: how each credential stands, in memory, for the schedule, the API and the metrics. Made of the journal at the start,
//! kept by the news, and by looks at what other processes run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use handover_rotation::event::{Ending, Event};
use handover_rotation::name::RotationId;
use handover_rotation::plan::Shape;
use handover_rotation::state::{Phase, Rotation};
use handover_rotation::time::Millis;

use super::desk::Desk;
use super::news::News;
use crate::engine::EngineError;
use crate::journal::{Filter, Header};
use crate::view::acts::{Asked, asked};

/// How many rotations of a credential are looked at for the last that was done.
const BACK: u32 = 5;
/// How often other processes' rotations are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The newest rotation of a credential, in short.
#[derive(Clone, Debug)]
pub struct Latest {
    /// Its id.
    pub id: RotationId,
    /// Provider and account.
    pub lineage: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub began_ms: u64,
    /// When something happened last.
    pub at_ms: u64,
    /// Its playbook.
    pub playbook: String,
    /// The step that is next or under way.
    pub step: String,
    /// Where it stands.
    pub phase: Phase,
    /// Whether a compromised version may still be accepted.
    pub exposed: bool,
    /// What a person is asked for.
    pub asked: Option<Asked>,
    /// The number of its events.
    pub seq: u64,
    /// Whether something in it may be asked of a person, without an event that says so.
    pub by_hand: bool,
}

impl Latest {
    fn of(rotation: &Rotation, seq: u64) -> Self {
        Self {
            id: rotation.id.clone(),
            lineage: format!("{}/{}", rotation.plan.provider, rotation.plan.account),
            began_ms: rotation.started_at.0,
            at_ms: rotation.at.0,
            playbook: rotation.plan.playbook.name.clone(),
            step: rotation.current_step().map(ToString::to_string).unwrap_or_default(),
            phase: rotation.phase,
            exposed: rotation.must_contain(),
            asked: asked(rotation, rotation.at),
            seq,
            by_hand: rotation.plan.by_hand.is_some()
                || rotation.shape() == Shape::Manual
                || rotation.plan.services.values().any(|service| service.by_hand.is_some()),
        }
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Ended(_))
    }

    /// Whether it needs a person.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        matches!(self.phase, Phase::Stuck { .. })
    }
}

/// How a credential stands.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Its newest rotation.
    pub latest: Option<Latest>,
    /// When its current version was made, as far as the journal knows, in milliseconds since the Unix epoch.
    pub current_ms: Option<u64>,
}

/// How each credential stands.
#[derive(Default)]
pub struct Ledger {
    accounts: RwLock<BTreeMap<String, Account>>,
}

impl Ledger {
    /// How one stands.
    #[must_use]
    pub fn account(&self, credential: &str) -> Account {
        self.accounts.read().unwrap_or_else(PoisonError::into_inner).get(credential).cloned().unwrap_or_default()
    }

    /// The rotation of a lineage that has not ended.
    #[must_use]
    pub fn open_of(&self, lineage: &str) -> Option<Latest> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts.values().filter_map(|a| a.latest.as_ref()).find(|l| l.is_open() && l.lineage == lineage).cloned()
    }

    /// All that have not ended.
    #[must_use]
    pub fn open(&self) -> Vec<(String, Latest)> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        let open = accounts.iter().filter_map(|(name, account)| Some((name.clone(), account.latest.clone()?)));
        open.filter(|(_, latest)| latest.is_open()).collect()
    }

    /// Takes in a rotation that has moved on by so many events; all of them where it was taken up just now.
    fn hear(&self, rotation: &Rotation, events: &[(Millis, Event)]) {
        let whole = matches!(events.first(), Some((_, Event::Started { .. })));
        let latest =
            self.account(rotation.plan.credential.as_str()).latest.filter(|latest| latest.id == rotation.id && !whole);
        self.take(rotation, latest.map_or(0, |latest| latest.seq) + events.len() as u64);
    }

    /// Takes in a rotation as it is now.
    pub fn take(&self, rotation: &Rotation, seq: u64) {
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        let account = accounts.entry(rotation.plan.credential.to_string()).or_default();
        if rotation.ended() == Some(Ending::Done) {
            let made = rotation.new_version().and_then(|version| version.made_at).map_or(rotation.at.0, |at| at.0);
            account.current_ms = account.current_ms.max(Some(made));
        }
        if account.latest.as_ref().is_none_or(|latest| latest.began_ms <= rotation.started_at.0) {
            account.latest = Some(Latest::of(rotation, seq));
        }
    }
}

impl Desk {
    /// Reads the journal once.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn fill_ledger(&self) -> Result<(), EngineError> {
        let mut of_each: BTreeMap<String, u32> = BTreeMap::new();
        let mut done: BTreeSet<String> = BTreeSet::new();
        for header in self.engine.journal.list(Filter::default()).await? {
            let seen = of_each.entry(header.credential.clone()).or_default();
            *seen += 1;
            if done.contains(&header.credential) || *seen > BACK {
                continue;
            }
            // One that cannot be read is the business of whoever works on it.
            if let Ok(rotation) = self.rotation(&header.id).await {
                if rotation.ended() == Some(Ending::Done) {
                    done.insert(header.credential.clone());
                }
                self.ledger.take(&rotation, header.seq);
            }
        }
        Ok(())
    }

    /// Keeps the ledger, for ever.
    pub async fn keep_ledger(self: Arc<Self>) {
        let mut news = self.watch();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut missed = false;
        loop {
            tokio::select! {
                heard = news.recv() => match heard {
                    Ok(News::Recorded { rotation, events }) if !events.is_empty() => self.ledger.hear(&rotation, &events),
                    Ok(_) => {}
                    // What was missed is seen by the next look.
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => missed = true,
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                },
                _ = look.tick() => match self.look_at_others(missed).await {
                    Ok(()) => missed = false,
                    Err(error) => tracing::warn!("the journal cannot be read: {}", error.fault()),
                },
            }
        }
    }

    /// Rotations that other processes have moved on, begun or ended; those that run here tell by themselves, unless that was missed.
    async fn look_at_others(&self, all: bool) -> Result<(), EngineError> {
        let known: BTreeMap<RotationId, u64> = self.ledger.open().into_iter().map(|(_, l)| (l.id, l.seq)).collect();
        let open = self.engine.journal.list(Filter { finished: Some(false), ..Filter::default() }).await?;
        let ours = |header: &Header| header.holder.as_ref() == Some(&self.engine.owner);
        let moved = |header: &&Header| match known.get(&header.id) {
            None => true,
            Some(seq) => *seq != header.seq && (all || !ours(header)),
        };
        let mut ids: Vec<(RotationId, u64)> = open.iter().filter(moved).map(|h| (h.id.clone(), h.seq)).collect();
        let still: BTreeSet<&RotationId> = open.iter().map(|header| &header.id).collect();
        ids.extend(known.keys().filter(|id| !still.contains(id)).map(|id| (id.clone(), 0)));
        for (id, seq) in ids {
            if let Ok(rotation) = self.rotation(&id).await {
                self.ledger.take(&rotation, seq);
                self.tell(News::Recorded { events: Arc::default(), rotation: Arc::new(rotation) });
            }
        }
        Ok(())
    }
}
