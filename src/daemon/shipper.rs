//! The shipper: sends the audit log to each sink of the inventory, every row at least once and in order, each sink in a task of its
//! own, so that one that hangs, is slow or is down delays no other, and no rotation (safety.md S22, threat T23, fault matrix B18).
//!
//! ```text
//!   journal ──rows and checkpoints after the cursor──▶ a task each ──one batch──▶ sink ──▶ the cursor moves on
//!                                                          ▲                       └──▶ again later, for ever
//!                                                          └── a pause after each failure, for this sink alone
//! ```
//!
//! The journal is durable before any of this: a sink is a copy, and nothing waits for it. What must not happen: that a row is left
//! out, or that a log which is not the one that a sink has is sent there as if it were.

use std::sync::Arc;
use std::time::Duration;

use handover_rotation::outcome::{Fault, Outcome};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::outbox::WallClock;
use crate::audit::{Batch, Sink};
use crate::journal::{Cursor, JournalError, Kind, Shipping, head_of};
use crate::notify::{Notice, NoticeKind, Severity};

/// How often the log is looked at without a call: what other processes write is sent as soon.
const LOOK: Duration = Duration::from_secs(2);
/// The wait after a first failure; doubled each time.
const BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait: a sink that is up again has what it lacks within a minute.
const BACKOFF_MOST: Duration = Duration::from_secs(60);
/// People are told of a sink that has been behind for this long.
const BEHIND: Duration = Duration::from_secs(60);
/// And again while it lasts (safety.md L6).
const AGAIN: Duration = Duration::from_secs(15 * 60);
/// The most lines of one call.
const BATCH: u32 = 500;

/// Why nothing could be sent.
#[derive(Debug)]
pub enum Unsent {
    /// The sink did not take it.
    Sink(Box<Fault>),
    /// The journal cannot be read, or is not the one that the sink has.
    Log(JournalError),
}

impl Unsent {
    /// The same as a fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Sink(fault) => (**fault).clone(),
            Self::Log(error) => error.fault(),
        }
    }

    /// Whether a person must look before anything more is sent there.
    #[must_use]
    pub fn halts(&self) -> bool {
        matches!(self, Self::Log(error) if error.kind == Kind::RolledBack)
    }
}

impl From<JournalError> for Unsent {
    fn from(error: JournalError) -> Self {
        Self::Log(error)
    }
}

/// The way from a journal to one sink.
pub struct Route {
    log: Arc<dyn Shipping>,
    journal: String,
    name: String,
    sink: Arc<dyn Sink>,
    /// Where the sink is; `None` until it has been looked at.
    at: Option<Cursor>,
}

impl Route {
    /// The way from the journal of this name to the sink of this name.
    #[must_use]
    pub fn new(log: Arc<dyn Shipping>, journal: &str, name: &str, sink: Arc<dyn Sink>) -> Self {
        Self { log, journal: journal.to_owned(), name: name.to_owned(), sink, at: None }
    }

    /// Sends all that there is; how many lines that were.
    ///
    /// # Errors
    /// Why no more could be sent. What was sent before is not sent again.
    pub async fn send_all(&mut self) -> Result<u64, Unsent> {
        let mut sent = 0;
        loop {
            match self.step().await? {
                0 => return Ok(sent),
                lines => sent += lines,
            }
        }
    }

    /// The last row that the sink has, as far as is known.
    #[must_use]
    pub fn row(&self) -> Option<u64> {
        self.at.as_ref().map(|at| at.head.n)
    }

    /// Sends the next batch; how many lines that were, 0 if it has all.
    async fn step(&mut self) -> Result<u64, Unsent> {
        // Only what has ended well is known: after a failure the sink is looked at again.
        let at = match self.at.take() {
            Some(at) => at,
            None => self.look().await?,
        };
        let items = self.log.next(&at, BATCH, self.sink.most()).await?;
        let Some(last) = items.last().map(|item| item.after.clone()) else {
            self.at = Some(at);
            return Ok(0);
        };
        let place = |c: &Cursor| format!("{}-{}", c.head.n, c.checkpoint);
        let id = format!("audit:{}:{}:{}", self.journal, place(&at), place(&last));
        let batch = Batch { id, lines: items.into_iter().map(|item| item.line).collect() };
        self.within(self.sink.put(&batch)).await?;
        crate::engine::crash::point("audit-sent");
        let last = Cursor { told_ms: at.told_ms, ..last };
        // It has them, whether or not that can be kept: after a restart it gets them again.
        if let Err(error) = self.log.shipped(&self.name, last.clone()).await {
            tracing::warn!(sink = self.name, code = error.code, "how far a sink has come cannot be kept: {error}");
        }
        crate::engine::crash::point("audit-shipped");
        self.at = Some(last);
        Ok(batch.lines.len() as u64)
    }

    async fn within(&self, call: impl Future<Output = Outcome<()>>) -> Result<(), Unsent> {
        let most = Duration::from_millis(self.sink.request_timeout().0);
        match tokio::time::timeout(most, call).await {
            Ok(Outcome::Done(())) => Ok(()),
            Ok(Outcome::NotDone(fault) | Outcome::Unknown(fault)) => Err(Unsent::Sink(Box::new(fault))),
            Err(_) => Err(self.hangs()),
        }
    }

    fn hangs(&self) -> Unsent {
        let what = format!("audit sink {}: no answer within {}", self.name, self.sink.request_timeout());
        Unsent::Sink(Box::new(Fault::new(handover_rotation::outcome::FaultClass::Temporary, "HO1081", what)))
    }

    /// Where the sink is: as the journal knows it, and as the sink shows, if it can. A sink may be ahead of what was written down, by
    /// what was sent before a crash, or behind it, if it lost something. In both it is what it has that counts, as long as that is ours.
    async fn look(&self) -> Result<Cursor, Unsent> {
        let known = self.log.cursor(&self.name).await?;
        let most = Duration::from_millis(self.sink.request_timeout().0);
        let last = tokio::time::timeout(most, self.sink.last()).await.map_err(|_| self.hangs())?;
        let last = last.map_err(|fault| Unsent::Sink(Box::new(fault)))?;
        let Some((journal, head)) = last.as_deref().and_then(head_of) else { return Ok(known) };
        if journal != self.journal {
            let text = format!("audit sink {} has the log of another journal, {journal}", self.name);
            return Err(Unsent::Log(another(text)));
        }
        match self.log.hash_at(head.n).await? {
            Some(hash) if hash == head.hash => Ok(Cursor { head, ..known }),
            found => {
                let why = if found.is_some() { "another one in" } else { "missing from" };
                let text = format!("audit sink {} has row {}, which is {why} this journal", self.name, head.n);
                Err(Unsent::Log(another(text)))
            }
        }
    }
}

fn another(text: String) -> JournalError {
    JournalError::new(Kind::RolledBack, "HO1070", text)
}

/// What keeps one sink supplied, for ever.
pub struct Line {
    route: Route,
    clock: WallClock,
    wake: Arc<Notify>,
    tell: Arc<dyn Fn(Notice) + Send + Sync>,
    /// Since when it lacks something, and was last told to.
    since: Option<Instant>,
    told: Option<Instant>,
    failures: u32,
}

impl Line {
    /// Supplies the sink at the end of a route. `wake` says that something was written, `tell` tells people.
    #[must_use]
    pub fn new(route: Route, clock: WallClock, wake: Arc<Notify>, tell: Arc<dyn Fn(Notice) + Send + Sync>) -> Self {
        Self { route, clock, wake, tell, since: None, told: None, failures: 0 }
    }

    /// Runs until its future is dropped. What was under way then is sent again by the next one.
    pub async fn run(mut self) {
        loop {
            let wait = match self.route.step().await {
                Ok(0) => {
                    self.caught_up().await;
                    LOOK
                }
                Ok(_) => {
                    self.failures = 0;
                    self.since.get_or_insert_with(Instant::now);
                    self.page("it takes what it lacks, and has not caught up", false).await;
                    continue;
                }
                Err(unsent) => {
                    let (fault, halts) = (unsent.fault(), unsent.halts());
                    tracing::warn!(sink = self.route.name, code = fault.code, "the audit log is not sent: {fault}");
                    self.failures = self.failures.saturating_add(1);
                    let since = *self.since.get_or_insert_with(Instant::now);
                    self.page(&fault.to_string(), halts).await;
                    let wait = (BACKOFF * 2_u32.saturating_pow(self.failures.min(7) - 1)).min(BACKOFF_MOST);
                    // A failure that lasts is told in time, however long the pause.
                    match self.told {
                        None => wait.min((since + BEHIND).saturating_duration_since(Instant::now()).max(BACKOFF)),
                        Some(_) => wait,
                    }
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // News are no reason to try a sink again that has just failed.
                () = self.wake.notified(), if self.failures == 0 => {}
            }
        }
    }

    async fn caught_up(&mut self) {
        self.failures = 0;
        self.since = None;
        self.told = None;
        let Some(at) = self.route.at.clone().filter(|at| at.told_ms.is_some()) else { return };
        let told_ms = at.told_ms.unwrap_or_default();
        let title = format!("the audit sink {} has everything again", self.route.name);
        let what = format!("{told_ms}:caught-up");
        let notice =
            self.notice(Severity::Info, &what, &title).say(&format!("It has every row up to {}.", at.head.n)).last();
        (self.tell)(notice);
        self.remember(Cursor { told_ms: None, ..at }).await;
    }

    /// Tells people that the sink is behind, once it has been so for long enough, and again while it lasts.
    async fn page(&mut self, why: &str, halts: bool) {
        let now = Instant::now();
        let due = match (self.told, self.since) {
            (Some(told), _) => now >= told + AGAIN,
            (None, Some(since)) => halts || now >= since + BEHIND,
            (None, None) => false,
        };
        if !due {
            return;
        }
        let Ok(at) = self.route.log.cursor(&self.route.name).await else { return };
        let first_ms = at.told_ms.unwrap_or_else(|| (self.clock)());
        let again = self.told.map_or(0, |_| (self.clock)().saturating_sub(first_ms) / 1000);
        let rows = self.route.log.head().await.map_or(0, |head| head.n.saturating_sub(at.head.n));
        let name = &self.route.name;
        let (severity, title) = match halts {
            true => (Severity::Critical, format!("the audit log is not the one that {name} has: nothing is sent there")),
            false => (Severity::Error, format!("the audit log is not reaching {name}: {rows} rows behind")),
        };
        let notice = self
            .notice(severity, &format!("{first_ms}:{again}"), &title)
            .say(why)
            .say("Rotations go on: the journal has every row, and what is missing is sent when it can be.")
            .command(if halts { "handover audit verify" } else { "handover audit ship" });
        (self.tell)(notice);
        self.told = Some(now);
        self.remember(Cursor { told_ms: Some(first_ms), ..at }).await;
    }

    fn notice(&self, severity: Severity, what: &str, title: &str) -> Notice {
        let incident = format!("audit:{}", self.route.name);
        Notice::new(NoticeKind::Page, severity, &incident, what, title, (self.clock)())
    }

    /// Keeps that people know, so that they are told of the end after a restart as well.
    async fn remember(&mut self, cursor: Cursor) {
        match self.route.log.shipped(&self.route.name, cursor.clone()).await {
            Ok(()) => {
                if let Some(at) = &mut self.route.at {
                    at.told_ms = cursor.told_ms;
                }
            }
            Err(error) => tracing::warn!(code = error.code, "that people were told cannot be kept: {error}"),
        }
    }
}

#[cfg(test)]
#[path = "shipper_tests.rs"]
mod tests;
