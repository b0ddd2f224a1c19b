//! The witness: signs the head of the audit log from time to time (safety.md S23), and keeps the tasks that send the log to the sinks of
//! the files in force.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::desk::Desk;
use super::news::News;
use super::outbox::WallClock;
use super::shipper::{Line, Route};
use crate::journal::{Checkpoint, JournalError, Kind, Shipping, Signer};
use crate::notify::{Notice, NoticeKind, Severity};
use crate::registry::Registry;

/// A checkpoint is made when the last one is this old,
const EVERY_MS: u64 = 3_600_000;
/// or this many rows back.
const EVERY_ROWS: u64 = 1_000;
/// How often is looked whether one is due.
const LOOK: Duration = Duration::from_secs(2);
/// After a failure it is left alone for so long.
const REST: Duration = Duration::from_secs(60);
/// News are waited for a moment, so that a burst of events is one look.
const PAUSE: Duration = Duration::from_millis(200);

/// Signs the head of the log, if that is due or `now` says so. None if nothing was written since the last time.
///
/// # Errors
/// `RolledBack` if the log does not have what was signed last: then nothing is signed. What the journal says otherwise.
pub async fn checkpoint(
    log: &dyn Shipping,
    signer: &Signer,
    journal: &str,
    wall_ms: u64,
    now: bool,
) -> Result<Option<Checkpoint>, JournalError> {
    let (last, head) = (log.last_checkpoint().await?, log.head().await?);
    let (row, at_ms) = last.as_ref().map_or((0, None), |last| (last.head.n, Some(last.wall_ms)));
    // A clock that went back makes one too.
    let old = at_ms.is_none_or(|at| wall_ms < at || wall_ms - at >= EVERY_MS);
    let due = now || old || head.n.saturating_sub(row) >= EVERY_ROWS;
    if let Some(last) = &last
        && (due || head.n < row)
        && log.hash_at(row).await? != Some(last.head.hash)
    {
        let text = format!("the journal does not have row {row} as it was signed: it was edited, cut or put back");
        return Err(JournalError::new(Kind::RolledBack, "HO1070", text));
    }
    if !due || head.n <= row {
        return Ok(None);
    }
    let made = signer.sign(journal, head, wall_ms);
    log.keep_checkpoint(made.clone()).await?;
    Ok(Some(made))
}

/// Signs, and keeps the sinks supplied, for ever.
pub(super) async fn witness_for_ever(desk: Arc<Desk>) {
    let mut lines: BTreeMap<String, (Arc<Notify>, JoinHandle<()>)> = BTreeMap::new();
    let mut generation = None;
    let mut news = desk.watch();
    // What ended while nobody looked.
    let mut leak_ended = true;
    let mut rests: Option<Instant> = None;
    loop {
        let files = desk.files.now();
        if generation != Some(files.generation) {
            generation = Some(files.generation);
            for (_, (_, task)) in std::mem::take(&mut lines) {
                task.abort();
            }
        }
        for name in files.inventory.audit.keys() {
            if lines.get(name).is_none_or(|(_, task)| task.is_finished()) {
                lines.insert(name.clone(), line(&desk, name));
            }
        }
        if rests.is_none_or(|until| until <= Instant::now()) {
            let signed = sign(&desk, leak_ended).await;
            leak_ended &= !signed;
            rests = (!signed).then(|| Instant::now() + REST);
        }
        for (wake, _) in lines.values() {
            wake.notify_one();
        }
        tokio::select! {
            heard = news.recv() => match heard {
                Ok(heard) => leak_ended |= ends_leak(&heard),
                Err(RecvError::Lagged(_)) => leak_ended = true,
                Err(RecvError::Closed) => return,
            },
            () = tokio::time::sleep(LOOK) => {}
        }
        tokio::time::sleep(PAUSE).await;
        while let Ok(heard) = news.try_recv() {
            leak_ended |= ends_leak(&heard);
        }
    }
}

fn ends_leak(heard: &News) -> bool {
    matches!(heard, News::Recorded { rotation, .. } if rotation.is_leak() && rotation.ended().is_some())
}

/// The task of one sink.
fn line(desk: &Arc<Desk>, name: &str) -> (Arc<Notify>, JoinHandle<()>) {
    let sinks = Registry.sinks(&desk.files.now().inventory);
    let wake = Arc::new(Notify::new());
    let Some(sink) = sinks.get(name) else { return (wake, tokio::spawn(std::future::pending())) };
    let log: Arc<dyn Shipping> = Arc::clone(&desk.register) as Arc<dyn Shipping>;
    let route = Route::new(log, desk.engine.journal.instance_id(), name, Arc::clone(sink));
    let (clock, teller) = (Arc::clone(desk), Arc::clone(desk));
    let clock: WallClock = Arc::new(move || clock.wall_ms());
    let tell = Arc::new(move |notice| teller.tell(News::Notice(Box::new(notice))));
    let task = tokio::spawn(Line::new(route, clock, Arc::clone(&wake), tell).run());
    (wake, task)
}

/// Whether the log is signed as far as it is due.
async fn sign(desk: &Desk, now: bool) -> bool {
    let (log, journal, now_ms) = (&*desk.register, desk.engine.journal.instance_id(), desk.wall_ms());
    match checkpoint(log, desk.engine.sealer.signer(), journal, now_ms, now).await {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(code = error.code, "the audit log is not signed: {error}");
            if error.kind == Kind::RolledBack {
                // Once an hour.
                let (what, title) = (format!("signed:{}", now_ms / EVERY_MS), "the audit log is not what was signed before");
                let notice = Notice::new(NoticeKind::Page, Severity::Critical, "audit", &what, title, now_ms);
                desk.tell(News::Notice(Box::new(notice.say(&error.to_string()).command("handover audit verify"))));
            }
            false
        }
    }
}
