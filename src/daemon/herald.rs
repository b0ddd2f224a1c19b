//! The herald: puts into the outbox what people are to be told. It is read off the journal, not off the news, which may be lost: a
//! notice has the same id however often it is made, and the outbox keeps it once. Nothing waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use handover_rotation::name::RotationId;
use handover_rotation::state::Rotation;
use handover_rotation::time::Millis;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, watch};

use super::desk::Desk;
use super::leak::NOT_CONTAINED;
use super::news::News;
use super::outbox::{Delivery, rows};
use crate::engine::{EngineError, events};
use crate::journal::{Alert, AlertState, Filter, JournalError, Outbox};
use crate::notify::compose::{of_event, of_task, still_stuck};
use crate::notify::{Notice, NoticeKind, Notifiers, Severity};
use crate::registry::Registry;
use crate::usage::{Assessment, Strangers};

/// News are waited for a moment, so that a burst of events is one look.
const PAUSE: Duration = Duration::from_millis(200);
/// How often is looked for rotations that are still stuck, and for tasks of people.
const LOOK: Duration = Duration::from_secs(30);
/// At the start, what has ended no longer than this ago is told, if it was not.
const BACK_MS: u64 = 86_400_000;
/// How many alerts are read to see what was not told.
const MOST_ALERTS: u32 = 1_000;
/// How many alerts of a source that nothing is done about are told one by one in an hour.
const SINGLY: usize = 10;
const HOUR_MS: u64 = 3_600_000;
/// Who needs a person says so again after so long (safety.md L6).
const AGAIN_MS: u64 = 15 * 60_000;

/// Puts notices into the outbox.
pub(super) struct Herald {
    desk: Arc<Desk>,
    outbox: Arc<dyn Outbox>,
    notifiers: watch::Sender<Arc<Notifiers>>,
    generation: u64,
    wake: Arc<Notify>,
    /// Up to which event of each rotation was told.
    told: BTreeMap<RotationId, u64>,
    /// The alerts that were told one by one, by source and hour.
    singly: BTreeMap<(u64, String), BTreeSet<u64>>,
    /// News of alerts may have been lost: they are read off the journal.
    missed: bool,
}

impl Herald {
    /// A herald, and the delivery loop that empties what it fills.
    #[must_use]
    pub(super) fn new(desk: Arc<Desk>, outbox: Arc<dyn Outbox>) -> (Self, Delivery) {
        let files = desk.files.now();
        let (notifiers, watched) = watch::channel(Arc::new(Registry.notifiers(&files.inventory)));
        let wake = Arc::new(Notify::new());
        let clock = Arc::clone(&desk);
        let delivery = Delivery::new(Arc::clone(&outbox), watched, Arc::new(move || clock.wall_ms()), Arc::clone(&wake));
        let generation = files.generation;
        (
            Self { desk, outbox, notifiers, generation, wake, told: BTreeMap::new(), singly: BTreeMap::new(), missed: true },
            delivery,
        )
    }

    /// Works for ever.
    pub(super) async fn tell_for_ever(mut self) {
        let mut news = self.desk.watch();
        let mut dirty: BTreeSet<RotationId> = self.recent().await;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            for id in std::mem::take(&mut dirty) {
                if let Err(error) = self.rotation(&id).await {
                    tracing::warn!(rotation = %id, "what people are to be told cannot be written: {}", error.fault());
                    dirty.insert(id);
                }
            }
            if std::mem::take(&mut self.missed) {
                self.alerts().await;
            }
            tokio::select! {
                heard = news.recv() => match heard {
                    Ok(heard) => self.hear(heard, &mut dirty).await,
                    Err(RecvError::Lagged(_)) => {
                        self.missed = true;
                        dirty.extend(self.recent().await);
                    }
                    Err(RecvError::Closed) => return,
                },
                // All others tell by themselves.
                _ = look.tick() => {
                    let open = self.desk.ledger.open().into_iter().map(|(_, latest)| latest);
                    dirty.extend(open.filter(|latest| latest.is_stuck() || latest.by_hand).map(|latest| latest.id));
                }
            }
            tokio::time::sleep(PAUSE).await;
            while let Ok(heard) = news.try_recv() {
                self.hear(heard, &mut dirty).await;
            }
        }
    }

    /// Rotations that may have something that was not told.
    async fn recent(&self) -> BTreeSet<RotationId> {
        let since = self.desk.wall_ms().saturating_sub(BACK_MS);
        let of = Filter { since: Some(Millis(since)), ..Filter::default() };
        self.desk.engine.journal.list(of).await.unwrap_or_default().into_iter().map(|header| header.id).collect()
    }

    /// What people are to be told of the alerts of late, each once however often this is asked.
    async fn alerts(&mut self) {
        let since = self.desk.wall_ms().saturating_sub(BACK_MS);
        let notices = match self.desk.register.alerts(None, MOST_ALERTS).await {
            // The oldest first, so that the same ones are told one by one.
            Ok(alerts) => alerts.iter().rev().filter(|a| a.changed_ms >= since).filter_map(|a| self.of_alert(a)).collect(),
            Err(error) => {
                tracing::warn!(code = error.code, "alerts cannot be read: {error}");
                Vec::new()
            }
        };
        if let Err(error) = self.put(&notices).await {
            tracing::warn!(code = error.code, "what people are to be told of alerts cannot be written: {error}");
        }
    }

    async fn hear(&mut self, heard: News, dirty: &mut BTreeSet<RotationId>) {
        let now_ms = self.desk.wall_ms();
        let notice = match heard {
            News::Recorded { rotation, .. } => {
                dirty.insert(rotation.id.clone());
                return;
            }
            News::Alert { number } => match self.desk.register.alert(number).await {
                Ok(alert) => alert.and_then(|alert| self.of_alert(&alert)),
                Err(error) => {
                    tracing::warn!(code = error.code, "an alert cannot be read: {error}");
                    self.missed = true;
                    None
                }
            },
            News::NotBegun { credential, why } => {
                // Once an hour for each reason.
                let what = format!("{}:{}", now_ms / 3_600_000, digest(&why));
                let title = format!("a rotation of {credential} is due and cannot be begun");
                let notice =
                    Notice::new(NoticeKind::Failure, Severity::Error, &format!("begin:{credential}"), &what, &title, now_ms);
                let mut notice = notice.say(&why).command(&format!("handover plan {credential}"));
                notice.credential = Some(credential.to_string());
                Some(notice)
            }
            News::Halted { rotation, why } => {
                let what = format!("halted:{}:{}", now_ms / 3_600_000, digest(&why));
                let title = format!("rotation {rotation} cannot go on for now");
                let notice = Notice::new(NoticeKind::Page, Severity::Error, rotation.as_str(), &what, &title, now_ms);
                Some(notice.say(&why).command(&format!("handover status {rotation}")))
            }
            News::Assessed { rotation, assessment } => Some(of_assessment(&rotation, &assessment, now_ms)),
            News::Notice(notice) => Some(*notice),
            News::Reloaded { refused } => {
                self.reload();
                refused.map(|why| {
                    let title = "changed inventory or playbooks are refused; those before stay in force";
                    let notice = Notice::new(NoticeKind::Page, Severity::Warning, "files", &digest(&why), title, now_ms);
                    notice.command("handover check")
                })
            }
        };
        if let Some(notice) = notice
            && let Err(error) = self.put(&[notice]).await
        {
            tracing::warn!(code = error.code, "what people are to be told cannot be written: {error}");
        }
    }

    /// Takes the notifiers of the files in force.
    fn reload(&mut self) {
        let files = self.desk.files.now();
        if files.generation != self.generation {
            self.generation = files.generation;
            self.notifiers.send_replace(Arc::new(Registry.notifiers(&files.inventory)));
        }
    }

    async fn put(&self, notices: &[Notice]) -> Result<(), JournalError> {
        let notifiers = self.notifiers.borrow().clone();
        let new: Vec<_> = notices.iter().flat_map(|notice| rows(&notifiers, notice)).collect();
        if !new.is_empty() {
            self.outbox.put(new).await?;
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Tells what is new of a rotation.
    async fn rotation(&mut self, id: &RotationId) -> Result<(), EngineError> {
        let rows = self.desk.engine.journal.load(id).await?;
        let told = self.told.get(id).copied().unwrap_or(0);
        let all = events(&rows)?;
        let mut notices = Vec::new();
        let mut state: Option<Rotation> = None;
        for (seq, ((at, event), row)) in (1_u64..).zip(all.iter().zip(&rows)) {
            let after = match state.take() {
                None => Rotation::begin(*at, event),
                Some(mut rotation) => rotation.apply(*at, event).map(|()| rotation),
            };
            let Ok(after) = after else { break };
            if seq > told {
                notices.extend(of_event(&after, event, seq, row.stamp.wall_ms));
            }
            state = Some(after);
        }
        if let Some(rotation) = &state {
            let (now_ms, last) = (self.desk.wall_ms(), rows.last().map_or(0, |row| row.stamp.wall_ms));
            let passed = now_ms.saturating_sub(last);
            let now = Millis(rotation.at.0.saturating_add(passed));
            notices.extend(of_task(rotation, now, now_ms));
            let again = u32::try_from(passed / AGAIN_MS).unwrap_or(u32::MAX);
            if matches!(rotation.phase, handover_rotation::state::Phase::Stuck { .. }) && again > 0 {
                notices.push(still_stuck(rotation, again, now_ms));
            }
        }
        self.put(&notices).await?;
        match state.is_some_and(|rotation| rotation.ended().is_some()) {
            true => drop(self.told.remove(id)),
            false => drop(self.told.insert(id.clone(), all.len() as u64)),
        }
        Ok(())
    }
}

impl Herald {
    /// What people are told of an alert, if anything: those that are contained are told of by their rotation. Of those that nothing is
    /// done about, an hour has some one by one, and one word for the rest: what is being leaked must not drown in them (threat T21).
    fn of_alert(&mut self, alert: &Alert) -> Option<Notice> {
        let notice = of_alert(alert)?;
        // One that fits a version, and cannot be contained, is always told.
        if alert.state == AlertState::New && alert.note.starts_with(NOT_CONTAINED) {
            return Some(notice);
        }
        let hour = alert.changed_ms / HOUR_MS;
        let latest = self.desk.wall_ms() / HOUR_MS;
        self.singly.retain(|(of, _), _| of + 25 > latest);
        let told = self.singly.entry((hour, alert.source.clone())).or_default();
        if told.contains(&alert.number) || told.len() < SINGLY {
            told.insert(alert.number);
            return Some(notice);
        }
        let severity = notice.severity;
        let what = format!("{hour}:{}", severity.word());
        let title = format!("{} brings more alerts than are told one by one", alert.source);
        let more = Notice::new(notice.kind, severity, &format!("alerts:{}", alert.source), &what, &title, alert.changed_ms);
        let why =
            format!("{SINGLY} of an hour are told; those that fit a login of ours and cannot be shut out are told always");
        Some(more.say(&why).command("handover alert --list --limit 100"))
    }
}

/// What people are told of an alert, if anything: those that are contained are told of by their rotation.
fn of_alert(alert: &Alert) -> Option<Notice> {
    let (severity, title) = match alert.state {
        AlertState::Unknown => (
            Severity::Warning,
            format!("a leak alert of {} fits no login that was ever known: nothing was changed", alert.source),
        ),
        AlertState::New if alert.note.is_empty() => return None,
        AlertState::New => {
            (Severity::Critical, format!("a leaked login is NOT being shut out yet, says an alert of {}", alert.source))
        }
        AlertState::Closed => (Severity::Info, format!("an alert of {} is closed", alert.source)),
        AlertState::Containing | AlertState::Contained => return None,
    };
    let kind = if severity == Severity::Critical { NoticeKind::Page } else { NoticeKind::Alert };
    let what = format!("{}:{}", alert.state.text(), digest(&alert.note));
    let notice = Notice::new(kind, severity, &format!("alert:{}", alert.number), &what, &title, alert.changed_ms);
    let mut notice = notice.say(&alert.note);
    notice.credential.clone_from(&alert.credential);
    notice.rotation = alert.rotation.as_ref().map(ToString::to_string);
    Some(if alert.state == AlertState::Closed { notice.last() } else { notice })
}

/// What people are told of whether a leaked login was used: each answer once, since it is asked for twice.
fn of_assessment(rotation: &RotationId, a: &Assessment, now_ms: u64) -> Notice {
    let (severity, told) = match a.strangers {
        Strangers::Flagged => (Severity::Critical, "something speaks for its use by others"),
        Strangers::NothingUnusual => (Severity::Info, "nothing speaks for its use by others"),
        Strangers::CannotTell => (Severity::Warning, "whether others have used it cannot be told"),
    };
    let title = format!("the leaked login of {}: {told}", a.credential);
    let notice =
        Notice::new(NoticeKind::Containment, severity, &format!("used:{rotation}"), &digest(&title), &title, now_ms);
    let mut notice = notice.say_all(&a.strangers_why).command(&format!("handover usage {}", a.credential));
    notice.credential = Some(a.credential.clone());
    notice.rotation = Some(rotation.to_string());
    if a.strangers == Strangers::NothingUnusual { notice.last() } else { notice }
}

/// What tells one reason from another, in a few characters.
fn digest(text: &str) -> String {
    hex::encode(&aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref()[..4])
}
