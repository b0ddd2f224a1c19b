//! The writer: one thread that commits all requests that wait in one transaction, so that a thousand rotations share the
//! syncs of the disk. A request that fails is taken back alone; an answer is given only after the commit.
//!
//! After a commit of which nobody can say whether it happened it stops for good: the kernel may have dropped what a later
//! sync would then call safe.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::open::checkpoint;
use super::rows::sql;
use super::write::head;
use super::{Wrote, stopped};
use crate::journal::anchor::Anchor;
use crate::journal::error::{JournalError, Kind, io as io_error};
use crate::journal::record::Room;
use crate::journal::reserve::Reserve;

/// The most requests in one transaction, so that none waits for long.
const GROUP: usize = 256;
/// How far the anchor may lag, and how often a checkpoint is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// What the writer must know of a request.
#[derive(Clone, Copy)]
pub(super) struct Note {
    pub(super) room: Room,
    /// A rotation ends: destroyed secrets must leave the write-ahead log, and the anchor must know.
    pub(super) ends: bool,
    /// It has crash points.
    pub(super) append: bool,
}

impl Note {
    /// Claims, leases and the like: small, and needed to write outcomes on a full disk.
    pub(super) const SMALL: Self = Self { room: Room::Reserve, ends: false, append: false };
    /// What can be done without on a full disk: the reserve is not for it.
    pub(super) const SPARE: Self = Self { room: Room::Ordinary, ends: false, append: false };
}

trait Job: Send {
    fn note(&self) -> Note;
    /// Runs it in the open transaction and keeps the result. An error is given only where the transaction cannot go on.
    fn run(&mut self, c: &Connection) -> Result<bool, JournalError>;
    /// Answers with what was kept, or with why the transaction failed.
    fn answer(self: Box<Self>, failed: Option<&JournalError>);
}

struct Request<T, F> {
    note: Note,
    work: F,
    result: Option<Result<T, JournalError>>,
    reply: oneshot::Sender<Result<T, JournalError>>,
}

impl<T, F> Job for Request<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> Result<T, JournalError> + Send,
{
    fn note(&self) -> Note {
        self.note
    }

    fn run(&mut self, c: &Connection) -> Result<bool, JournalError> {
        let result = (self.work)(c);
        if let Err(e) = &result
            && matches!(e.kind, Kind::Full | Kind::Io | Kind::Locked)
        {
            return Err(e.duplicate());
        }
        let keep = result.is_ok();
        self.result = Some(result);
        Ok(keep)
    }

    fn answer(self: Box<Self>, failed: Option<&JournalError>) {
        let result = match (failed, self.result) {
            (Some(e), _) => Err(e.duplicate()),
            (None, Some(result)) => result,
            (None, None) => Err(stopped(Wrote::No)),
        };
        // Nobody may be waiting any more: the caller's future was dropped.
        let _ = self.reply.send(result);
    }
}

enum Message {
    Job(Box<dyn Job>),
    Flush(oneshot::Sender<Result<(), JournalError>>),
}

/// What the thread takes over.
pub(super) struct Parts {
    pub(super) connection: Connection,
    pub(super) folder: PathBuf,
    pub(super) instance: String,
    pub(super) patience: Duration,
    #[cfg(feature = "crash-points")]
    pub(super) hook: Option<super::AppendHook>,
}

/// The handle of the thread.
pub(super) struct Writer {
    way: Way,
    commits: Arc<AtomicU64>,
}

enum Way {
    Thread {
        queue: Option<Sender<Message>>,
        thread: Option<JoinHandle<()>>,
    },
    /// Each request on its caller's thread, at once.
    Inline(Box<Mutex<Thread>>),
}

impl Writer {
    pub(super) fn start(parts: Parts, inline: bool) -> Result<Self, JournalError> {
        let commits = Arc::new(AtomicU64::new(0));
        let mut reserve = Reserve::new(&parts.folder);
        if !reserve.ensure() {
            tracing::warn!("there is no room to keep a reserve in {}", parts.folder.display());
        }
        let folder = parts.folder.clone();
        let thread =
            Thread { parts, reserve, commits: Arc::clone(&commits), dirty: false, wet: false, anchored: None, dead: false };
        if inline {
            return Ok(Self { way: Way::Inline(Box::new(Mutex::new(thread))), commits });
        }
        let (queue, waiting) = channel();
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || thread.live(&waiting))
            .map_err(|e| io_error("start the writer of", &folder, e))?;
        Ok(Self { way: Way::Thread { queue: Some(queue), thread: Some(thread) }, commits })
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(super) async fn write<T, F>(&self, note: Note, work: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, JournalError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Job(Box::new(Request { note, work, result: None, reply })))?;
        answer.await.unwrap_or_else(|_| Err(stopped(Wrote::Unknown)))
    }

    pub(super) async fn flush(&self) -> Result<(), JournalError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Flush(reply))?;
        answer.await.unwrap_or_else(|_| Err(stopped(Wrote::No)))
    }

    fn send(&self, message: Message) -> Result<(), JournalError> {
        match &self.way {
            Way::Thread { queue, .. } => queue.as_ref().and_then(|q| q.send(message).ok()).ok_or_else(|| stopped(Wrote::No)),
            Way::Inline(thread) => {
                let mut thread = thread.lock().unwrap_or_else(PoisonError::into_inner);
                match message {
                    Message::Job(job) => thread.commit_group(VecDeque::from([job])),
                    Message::Flush(reply) => drop(reply.send(thread.flush())),
                }
                Ok(())
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        match &mut self.way {
            Way::Thread { queue, thread } => {
                *queue = None;
                if let Some(thread) = thread.take() {
                    let _ = thread.join();
                }
            }
            Way::Inline(thread) => thread.get_mut().unwrap_or_else(PoisonError::into_inner).end(),
        }
    }
}

struct Thread {
    parts: Parts,
    reserve: Reserve,
    commits: Arc<AtomicU64>,
    /// There are rows that the anchor does not know.
    dirty: bool,
    /// Destroyed secrets may still be in the write-ahead log.
    wet: bool,
    anchored: Option<Instant>,
    dead: bool,
}

impl Thread {
    fn live(mut self, waiting: &Receiver<Message>) {
        loop {
            let first = if self.dirty || self.wet {
                match waiting.recv_timeout(PAUSE) {
                    Err(RecvTimeoutError::Timeout) => {
                        self.tidy(true);
                        continue;
                    }
                    other => other.ok(),
                }
            } else {
                waiting.recv().ok()
            };
            let Some(first) = first else { break };
            let mut flushes = Vec::new();
            let mut group = VecDeque::new();
            for message in std::iter::once(first).chain(waiting.try_iter()).take(GROUP) {
                match message {
                    Message::Job(job) => group.push_back(job),
                    Message::Flush(reply) => flushes.push(reply),
                }
            }
            self.commit_group(group);
            for reply in flushes {
                let _ = reply.send(self.flush());
            }
        }
        self.end();
    }

    /// The last housekeeping.
    fn end(&mut self) {
        self.wet = true;
        self.tidy(true);
    }

    fn commit_group(&mut self, mut group: VecDeque<Box<dyn Job>>) {
        if group.is_empty() {
            return;
        }
        if self.dead {
            let error = stopped(Wrote::No);
            return group.into_iter().for_each(|job| job.answer(Some(&error)));
        }
        if !self.reserve.ensure() {
            group = refuse_ordinary(group);
        }
        let mut result = self.attempt(&mut group);
        if matches!(&result, Err(e) if e.kind == Kind::Full && e.wrote == Wrote::No) && self.reserve.release() {
            tracing::warn!("the disk is full: the journal uses its reserve for outcomes, and refuses anything new");
            group = refuse_ordinary(group);
            result = self.attempt(&mut group);
        }
        let ends = group.iter().any(|job| job.note().ends);
        match &result {
            Ok(()) => {
                self.dirty = true;
                self.wet |= ends;
            }
            Err(e) => self.dead |= e.wrote == Wrote::Unknown,
        }
        // Who ends a rotation may rely on it that its secrets are gone; nobody else waits for the housekeeping.
        if ends {
            self.tidy(true);
        }
        let failed = result.err();
        group.into_iter().for_each(|job| job.answer(failed.as_ref()));
        self.tidy(false);
    }

    /// One transaction for all of them; each in a savepoint of its own.
    fn attempt(&mut self, group: &mut VecDeque<Box<dyn Job>>) -> Result<(), JournalError> {
        if group.is_empty() {
            return Ok(());
        }
        self.point(group, "append.before");
        let c = &self.parts.connection;
        let mut run = || {
            step(c, "BEGIN IMMEDIATE").map_err(sql("begin to write"))?;
            for job in group.iter_mut() {
                step(c, "SAVEPOINT one").map_err(sql("begin to write"))?;
                if !job.run(c)? {
                    step(c, "ROLLBACK TO one").map_err(sql("write"))?;
                }
                step(c, "RELEASE one").map_err(sql("write"))?;
            }
            Ok(())
        };
        let committed = match run() {
            Ok(()) => step(c, "COMMIT").map_err(|e| {
                let e = sql("commit")(e);
                // With no room or no lock nothing valid has reached the log; after anything else that may be otherwise.
                if matches!(e.kind, Kind::Full | Kind::Locked) { e } else { e.unknown() }
            }),
            Err(e) => Err(e),
        };
        if committed.is_err() && !c.is_autocommit() {
            let _ = c.execute_batch("ROLLBACK");
        }
        committed?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.point(group, "append.after");
        Ok(())
    }

    #[cfg(feature = "crash-points")]
    fn point(&self, group: &VecDeque<Box<dyn Job>>, name: &'static str) {
        if let Some(hook) = &self.parts.hook {
            group.iter().filter(|job| job.note().append).for_each(|_| hook(name));
        }
    }

    #[cfg(not(feature = "crash-points"))]
    #[expect(clippy::unused_self, reason = "it is there for the crash tests only")]
    fn point(&self, group: &VecDeque<Box<dyn Job>>, _: &'static str) {
        debug_assert!(group.iter().all(|job| !job.note().ends || job.note().append), "only appends end a rotation");
    }

    /// Does what has been put off, if it is time. Trouble is told and tried again: what was asked for has been committed.
    fn tidy(&mut self, now: bool) {
        if self.dead || !(now || self.anchored.is_none_or(|at| at.elapsed() >= PAUSE)) {
            return;
        }
        if let Err(e) = self.flush() {
            tracing::warn!(code = e.code, "{e}");
        }
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        if self.dead {
            return Err(stopped(Wrote::No));
        }
        if self.dirty {
            let Parts { connection, folder, instance, .. } = &self.parts;
            let anchor = Anchor { instance: instance.clone(), head: head(connection, instance)? };
            self.anchored = Some(Instant::now());
            anchor.write(folder).map_err(|e| io_error("write the anchor in", folder, e))?;
            self.dirty = false;
        }
        if self.wet {
            self.wet = !checkpoint(&self.parts.connection, self.parts.patience)?;
        }
        Ok(())
    }
}

/// One statement of a transaction's frame, parsed once.
fn step(c: &Connection, statement: &str) -> rusqlite::Result<()> {
    c.prepare_cached(statement)?.execute([]).map(drop)
}

/// Answers those that may not use the reserve, and gives back the others.
fn refuse_ordinary(group: VecDeque<Box<dyn Job>>) -> VecDeque<Box<dyn Job>> {
    let full = JournalError::new(
        Kind::Full,
        "HO0316",
        "the disk of the state folder is full, and its reserve is kept for outcomes",
    )
    .hint("make room on the disk of the state folder, then resume");
    let (ordinary, rest): (VecDeque<_>, VecDeque<_>) = group.into_iter().partition(|job| job.note().room == Room::Ordinary);
    ordinary.into_iter().for_each(|job| job.answer(Some(&full)));
    rest
}
