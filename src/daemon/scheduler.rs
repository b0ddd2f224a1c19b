//! The scheduler: begins rotations when their time has come. What is due is told by `schedule` from what is stored; a tick is
//! recorded in the transaction that begins its rotation, so it comes once however often the process restarts (safety.md S15, L8).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use handover_rotation::name::CredentialName;
use tokio::sync::Semaphore;

use super::crew::Crew;
use super::desk::Desk;
use super::files::InForce;
use super::news::News;
use super::start::{Begin, NotBegun, playbook_of};
use crate::engine::EngineError;
use crate::journal::{Tick, Trigger};
use crate::schedule::{self, Past, Rule};

/// How often is looked for what is due.
const LOOK: Duration = Duration::from_secs(1);
/// The most rotations that are being begun at once: a burst at one time of the day must not run into every provider's limits.
const AT_ONCE: usize = 16;
/// After a failure that may pass, the time until the next try: doubled each time, up to the second.
const FIRST_RETRY_MS: u64 = 60_000;
const LAST_RETRY_MS: u64 = 15 * 60_000;

/// Begins rotations when their time has come.
pub struct Scheduler {
    crew: Arc<Crew>,
    desk: Arc<Desk>,
    /// Of each credential, what is stored.
    stored: BTreeMap<CredentialName, Stored>,
    /// When each is looked at next, in milliseconds since the Unix epoch.
    queue: BTreeSet<(u64, CredentialName)>,
    generation: Option<u64>,
    at_once: Arc<Semaphore>,
    /// What came of those that were set going.
    done: (tokio::sync::mpsc::UnboundedSender<Tried>, tokio::sync::mpsc::UnboundedReceiver<Tried>),
}

struct Stored {
    rule: Rule,
    last_ms: Option<u64>,
    known_ms: u64,
    tries: u32,
}

struct Tried {
    credential: CredentialName,
    at_ms: u64,
    result: Result<(), NotBegun>,
}

impl Scheduler {
    /// One that works with a crew.
    #[must_use]
    pub fn new(crew: Arc<Crew>) -> Self {
        let desk = Arc::clone(&crew.desk);
        Self {
            crew,
            desk,
            stored: BTreeMap::new(),
            queue: BTreeSet::new(),
            generation: None,
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            done: tokio::sync::mpsc::unbounded_channel(),
        }
    }

    /// Works for ever.
    pub async fn schedule_for_ever(mut self) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.crew.stopping() {
            tokio::select! {
                _ = look.tick() => {}
                Some(tried) = self.done.1.recv() => self.tried(tried).await,
            }
            let files = self.desk.files.now();
            if self.generation != Some(files.generation) {
                match self.read(&files).await {
                    Ok(()) => self.generation = Some(files.generation),
                    Err(error) => tracing::warn!("what was scheduled cannot be read: {}", error.fault()),
                }
            }
            self.fire().await;
        }
    }

    /// Takes the rules of the files, and what is stored about them.
    async fn read(&mut self, files: &InForce) -> Result<(), EngineError> {
        let now_ms = self.desk.wall_ms();
        let rules: Vec<(CredentialName, Rule)> = files
            .inventory
            .credentials
            .iter()
            .filter_map(|(name, c)| Some((name.clone(), c.schedule.as_ref()?.rule.clone())))
            .collect();
        let marks = rules.iter().map(|(name, rule)| (name.to_string(), rule.mark())).collect();
        let since = self.desk.register.rules(marks, now_ms).await?;
        let last: BTreeMap<String, u64> =
            self.desk.register.last_ticks().await?.into_iter().map(|tick| (tick.credential, tick.at_ms)).collect();
        self.stored.clear();
        self.queue.clear();
        for ((name, rule), known_ms) in rules.into_iter().zip(since) {
            let stored = Stored { rule, last_ms: last.get(name.as_str()).copied(), known_ms, tries: 0 };
            self.stored.insert(name.clone(), stored);
            self.put(&name, now_ms);
        }
        Ok(())
    }

    fn past(&self, name: &CredentialName) -> Option<(&Rule, Past)> {
        let stored = self.stored.get(name)?;
        let account = self.desk.ledger.account(name.as_str());
        let past = Past {
            last_ms: stored.last_ms,
            known_ms: stored.known_ms,
            started_ms: account.latest.map(|latest| latest.began_ms),
            current_ms: account.current_ms,
        };
        Some((&stored.rule, past))
    }

    /// Queues a credential for its next time.
    fn put(&mut self, name: &CredentialName, now_ms: u64) {
        let Some((rule, past)) = self.past(name) else { return };
        let next = schedule::next(rule, &past, now_ms).map(|tick| tick.fires_ms);
        let missed = schedule::missed(rule, &past, now_ms).map(|_| now_ms);
        if let Some(at) = [next, missed].into_iter().flatten().min() {
            self.queue.insert((at, name.clone()));
        }
    }

    async fn fire(&mut self) {
        let now_ms = self.desk.wall_ms();
        while let Some((at, name)) = self.queue.first().cloned() {
            if at > now_ms || self.crew.stopping() {
                return;
            }
            self.queue.pop_first();
            self.look(&name, now_ms).await;
        }
    }

    /// Sets a credential going, if it is due.
    async fn look(&mut self, name: &CredentialName, now_ms: u64) {
        let Some((rule, past)) = self.past(name) else { return };
        if let Some(missed) = schedule::missed(rule, &past, now_ms) {
            self.dealt_with(name, missed.at_ms, "missed, and not caught up, as its `catch_up` says").await;
            return self.put(name, now_ms);
        }
        let Some(tick) = schedule::due(rule, &past, now_ms) else { return self.put(name, now_ms) };
        let files = self.desk.files.now();
        let Some(credential) = files.inventory.credentials.get(name) else { return };
        let begin = Begin {
            credential: name.clone(),
            playbook: playbook_of(credential, false),
            plan: None,
            by: "schedule".to_owned(),
            reason: Some(format!("due {}", tick.local)),
            trigger: Some(Trigger::Tick(tick.at_ms)),
            time_scale: 1,
            replaces: None,
        };
        let (crew, done, at_once) = (Arc::clone(&self.crew), self.done.0.clone(), Arc::clone(&self.at_once));
        tokio::spawn(async move {
            let _permit = at_once.acquire().await;
            let result = crew.begin(&begin).await.map(drop);
            drop(done.send(Tried { credential: begin.credential, at_ms: tick.at_ms, result }));
        });
    }

    async fn tried(&mut self, tried: Tried) {
        let Tried { credential, at_ms, result } = tried;
        let now_ms = self.desk.wall_ms();
        match result {
            Ok(()) => {
                if let Some(stored) = self.stored.get_mut(&credential) {
                    (stored.last_ms, stored.tries) = (stored.last_ms.max(Some(at_ms)), 0);
                }
            }
            Err(NotBegun::Before) => {
                if let Some(stored) = self.stored.get_mut(&credential) {
                    stored.last_ms = stored.last_ms.max(Some(at_ms));
                }
            }
            Err(NotBegun::UnderWay(id)) => {
                self.dealt_with(&credential, at_ms, &format!("rotation {id} was under way")).await;
            }
            Err(why) if why.passes() => {
                self.desk.tell(News::NotBegun { credential: credential.clone(), why: why.words() });
                tracing::warn!(%credential, "due, and not begun yet: {}", why.words());
                let Some(stored) = self.stored.get_mut(&credential) else { return };
                let pause = (FIRST_RETRY_MS << stored.tries.min(8)).min(LAST_RETRY_MS);
                stored.tries += 1;
                self.queue.insert((now_ms + pause, credential));
                return;
            }
            Err(why) => {
                self.desk.tell(News::NotBegun { credential: credential.clone(), why: why.words() });
                tracing::warn!(%credential, "due, and refused: {}", why.words());
                self.dealt_with(&credential, at_ms, &format!("refused: {}", why.words())).await;
            }
        }
        self.put(&credential, now_ms);
    }

    /// Records a tick that began nothing.
    async fn dealt_with(&mut self, name: &CredentialName, at_ms: u64, what: &str) {
        let tick = Tick { credential: name.to_string(), at_ms, what: what.to_owned(), rotation: None };
        if let Err(error) = self.desk.register.tick(tick).await {
            tracing::warn!(credential = %name, code = error.code, "a tick cannot be recorded: {error}");
        }
        if let Some(stored) = self.stored.get_mut(name) {
            stored.last_ms = stored.last_ms.max(Some(at_ms));
        }
    }
}
