//! The delivery loop: takes what is due out of the outbox and tells it, each target in a task of its own, so that one that hangs or is
//! down delays no other. A notice is told at least once, or given up after days with a word in the log; no rotation waits for any
//! of it (fault matrix B19).
//!
//! ```text
//!   outbox ──targets with something to tell──▶ a task each ──due──▶ notifier ──▶ sent
//!                                                   ▲                    └──▶ again later, or given up
//!                                                   └── a pause after each failure, for this target alone
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use crate::journal::{JournalError, NewNotice, OUTBOX_WAIT_MOST, Outbox, Queued, Tried};
use crate::notify::{Notice, Notifiers};

/// How often the outbox is looked at without a call: what other processes put there is told as soon.
const LOOK: Duration = Duration::from_secs(5);
/// The wait after a first failure; doubled each time.
const BACKOFF: u64 = 5_000;
/// The longest pause of a target, and the longest wait of a notice while it is news: a page to one that is up again is not held
/// longer (safety.md L6).
const PAUSE_MOST: u64 = 60_000;
/// After so many tries, half an hour, a notice waits longer.
const PATIENT_AFTER: u32 = 30;
const PATIENT: u64 = 5 * 60_000;
/// After this long a notice is old news.
const GIVE_UP_AFTER: u64 = 72 * 3_600_000;
/// So many permanent refusals, over more than an hour, and a notice is given up.
const REFUSALS: u32 = 12;
/// What was told or given up is forgotten after this long: until then it is known again.
const KEEP: u64 = 30 * 24 * 3_600_000;
const SWEEP: Duration = Duration::from_secs(3_600);
/// The most of one target that is taken out at once.
const BATCH: u32 = 20;

/// Reads the wall clock, in milliseconds since the Unix epoch.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A row for each target that is to be told of a notice, for [`Append::notices`](crate::journal::Append) or [`Outbox::put`].
#[must_use]
pub fn rows(notifiers: &Notifiers, notice: &Notice) -> Vec<NewNotice> {
    let row = |target| NewNotice {
        id: notice.id.clone(),
        target,
        thread: notice.incident.clone(),
        text: notice.to_json(),
        at_ms: notice.at_ms,
    };
    notifiers.targets(notice).into_iter().map(row).collect()
}

/// The loop.
pub struct Delivery {
    outbox: Arc<dyn Outbox>,
    notifiers: watch::Receiver<Arc<Notifiers>>,
    clock: WallClock,
    wake: Arc<Notify>,
}

/// How a target has fared since it was last told something.
#[derive(Clone, Copy, Default)]
struct Health {
    failures: u32,
    paused_until: Option<Instant>,
}

impl Delivery {
    /// Delivers from `outbox` through the notifiers that are in force at the time. `wake` says that something was put there.
    #[must_use]
    pub fn new(
        outbox: Arc<dyn Outbox>,
        notifiers: watch::Receiver<Arc<Notifiers>>,
        clock: WallClock,
        wake: Arc<Notify>,
    ) -> Self {
        Self { outbox, notifiers, clock, wake }
    }

    /// Runs until its future is dropped. What was under way then is told again by the next one.
    pub async fn run(self) {
        let mut busy: JoinSet<(String, Health)> = JoinSet::new();
        let mut working: BTreeMap<String, Id> = BTreeMap::new();
        let mut resting: BTreeMap<String, Health> = BTreeMap::new();
        // Targets that were at work when it was looked: something new may be there for them.
        let mut missed: BTreeSet<String> = BTreeSet::new();
        let mut swept: Option<Instant> = None;
        let mut looked = Instant::now();
        let mut look = true;
        loop {
            if look {
                looked = Instant::now();
                let targets = self.outbox.targets().await.unwrap_or_else(|error| {
                    tracing::warn!(code = error.code, "the outbox cannot be read: {error}");
                    Vec::new()
                });
                resting.retain(|target, _| targets.contains(target));
                for target in targets {
                    if working.contains_key(&target) {
                        missed.insert(target);
                        continue;
                    }
                    let health = resting.get(&target).copied().unwrap_or_default();
                    if health.paused_until.is_some_and(|until| looked < until) {
                        continue;
                    }
                    let round = Round {
                        outbox: Arc::clone(&self.outbox),
                        notifiers: self.notifiers.borrow().clone(),
                        clock: Arc::clone(&self.clock),
                        target: target.clone(),
                        health,
                    };
                    working.insert(target, busy.spawn(round.run()).id());
                }
            }
            if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
                swept = Some(Instant::now());
                if let Err(error) = self.outbox.sweep((self.clock)().saturating_sub(KEEP)).await {
                    tracing::warn!(code = error.code, "the outbox cannot be swept: {error}");
                }
            }
            // Pauses that were over at the last look were seen there.
            let pauses = resting.values().filter_map(|h| h.paused_until).filter(|until| *until > looked);
            let next = pauses.chain([looked + LOOK]).min().unwrap_or(looked + LOOK);
            look = tokio::select! {
                () = tokio::time::sleep_until(next) => true,
                () = self.wake.notified() => true,
                Some(ended) = busy.join_next() => match ended {
                    Ok((target, health)) => {
                        working.remove(&target);
                        let again = missed.remove(&target);
                        // Only what has failed is remembered.
                        if health.failures == 0 {
                            resting.remove(&target);
                        } else {
                            resting.insert(target, health);
                        }
                        again
                    }
                    Err(error) => {
                        tracing::error!("a delivery broke off: {error}");
                        working.retain(|_, id| *id != error.id());
                        false
                    }
                },
            };
        }
    }
}

/// One look at what a target is to be told.
struct Round {
    outbox: Arc<dyn Outbox>,
    notifiers: Arc<Notifiers>,
    clock: WallClock,
    target: String,
    health: Health,
}

impl Round {
    async fn run(mut self) -> (String, Health) {
        if let Err(error) = self.tell_all().await {
            tracing::warn!(code = error.code, "the outbox of {} cannot be used: {error}", self.target);
            self.pause(0);
        }
        (self.target, self.health)
    }

    async fn tell_all(&mut self) -> Result<(), JournalError> {
        loop {
            let due = self.outbox.due(&self.target, (self.clock)(), BATCH).await?;
            if due.is_empty() {
                return Ok(());
            }
            for queued in due {
                if !self.tell(&queued).await? {
                    return Ok(());
                }
            }
        }
    }

    /// Tells one; false if the target should be left alone for a while.
    async fn tell(&mut self, queued: &Queued) -> Result<bool, JournalError> {
        let Queued { number, notice: row, attempts } = queued;
        let notice = match Notice::from_json(&row.text) {
            Ok(notice) => notice,
            Err(why) => {
                let fault = Fault::new(FaultClass::Permanent, "HO1225", why);
                tracing::warn!(notice = row.id, target = self.target, code = fault.code, "a notice cannot be told: {fault}");
                self.outbox.tried(*number, Tried::GivenUp { why: fault.to_string() }).await?;
                return Ok(true);
            }
        };
        let limit = Duration::from_millis(self.notifiers.request_timeout(&self.target).0);
        let told = tokio::time::timeout(limit, self.notifiers.tell(&self.target, &notice)).await;
        let fault = match told {
            Ok(Outcome::Done(())) => {
                self.health = Health::default();
                self.outbox.tried(*number, Tried::Sent).await?;
                return Ok(true);
            }
            Ok(Outcome::NotDone(fault) | Outcome::Unknown(fault)) => fault,
            Err(_) => Fault::new(FaultClass::Temporary, "HO1211", format!("no end of the call within {limit:?}")),
        };
        let now = (self.clock)();
        let why = fault.to_string();
        let gone = fault.code == "HO1224";
        let refused = fault.class == FaultClass::Permanent && attempts + 1 >= REFUSALS;
        if gone || refused || now.saturating_sub(row.at_ms) >= GIVE_UP_AFTER {
            tracing::warn!(notice = row.id, target = self.target, code = fault.code, "a notice is given up: {why}");
            self.outbox.tried(*number, Tried::GivenUp { why }).await?;
            return Ok(true);
        }
        tracing::info!(notice = row.id, target = self.target, code = fault.code, "a notice was not told yet: {why}");
        let (again, pause) = match fault.class {
            // A word about this notice, not about the receiver.
            FaultClass::Permanent => (wait(*attempts), None),
            // Servers lock accounts whose password is tried again and again.
            FaultClass::Credential => (OUTBOX_WAIT_MOST, Some(OUTBOX_WAIT_MOST)),
            FaultClass::Temporary | FaultClass::Environment => {
                let most = if attempts + 1 < PATIENT_AFTER { PAUSE_MOST } else { PATIENT };
                (wait(*attempts).min(most), Some(0))
            }
        };
        self.outbox.tried(*number, Tried::Again { at_ms: now.saturating_add(again), why }).await?;
        if let Some(least) = pause {
            self.pause(least);
        }
        Ok(pause.is_none())
    }

    fn pause(&mut self, least: u64) {
        let pause = wait(self.health.failures).min(PAUSE_MOST).max(least);
        self.health.failures = self.health.failures.saturating_add(1);
        self.health.paused_until = Some(Instant::now() + Duration::from_millis(pause));
    }
}

/// How long to wait after the `n`th failure, counted from 0.
fn wait(n: u32) -> u64 {
    BACKOFF.saturating_mul(1 << n.min(10)).min(OUTBOX_WAIT_MOST)
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
