//! The journal in a SQLite file of this host, which several processes may share.
//!
//! ```text
//!   append, claim, … ──queue──▶ writer thread ──one transaction for all that wait──▶ journal.db
//!   load, list, …    ──blocking pool──▶ a second connection, which does not wait for writes
//! ```
//!
//! `open` makes sure of place, version and durability; `write` and `read` hold the statements. No SQLite call is made on a
//! thread of the async runtime, but where `Options::inline` asks for it.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod doors;
mod open;
mod outbox;
mod read;
mod register;
mod rows;
mod shipping;
mod write;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use handover_rotation::name::RotationId;
use rusqlite::Connection;

use self::writer::{Note, Writer};
use super::checkpoint::Checkpoint;
use super::error::{JournalError, Kind};
use super::outbox::{NewNotice, Outbox, Queued, Standing, Tried};
use super::owner::{Owner, system_stamp};
use super::record::{Append, Claim, Filter, Head, Header, NewRotation, Report, Room, Row, Stamp};
use super::register::{Alert, AlertChange, AlertState, Bearer, Known, NewAlert, Register, Tick, TokenRow};
use super::shipping::{Cursor, Item, Shipping};
use super::{Journal, Wrote};

/// Called on the writer's thread with `append.before` and `append.after`, around the commit of each append.
#[cfg(feature = "crash-points")]
pub type AppendHook = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Reads both clocks.
type ReadClock = Arc<dyn Fn() -> Stamp + Send + Sync>;

/// How to open a journal.
#[derive(Clone)]
pub struct Options {
    folder: PathBuf,
    clock: ReadClock,
    accept_head: bool,
    /// How long to wait for a lock of another process.
    patience: Duration,
    inline: bool,
    #[cfg(feature = "crash-points")]
    hook: Option<AppendHook>,
}

impl Options {
    /// The journal of a state folder, which is made where there is none.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            clock: Arc::new(system_stamp),
            accept_head: false,
            patience: Duration::from_secs(5),
            inline: false,
            #[cfg(feature = "crash-points")]
            hook: None,
        }
    }

    /// Leases are measured by this clock instead of the host's own.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> Stamp + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// A person has looked: takes the database as it is, and writes the anchor anew instead of comparing with it.
    #[must_use]
    pub fn accept_head(mut self) -> Self {
        self.accept_head = true;
        self
    }

    /// Everything happens at once on the caller's thread: the same transactions without threads of their own, so that tests in
    /// virtual time can be replayed. It blocks the runtime; nothing else is different.
    #[must_use]
    pub fn inline(mut self) -> Self {
        self.inline = true;
        self
    }

    /// Sets the crash points of appends.
    #[cfg(feature = "crash-points")]
    #[must_use]
    pub fn hook(mut self, hook: AppendHook) -> Self {
        self.hook = Some(hook);
        self
    }
}

/// The journal of a state folder. Dropping it writes the anchor and closes the database, which takes a moment.
pub struct SqliteJournal {
    instance: Arc<str>,
    folder: Arc<PathBuf>,
    observer: Arc<Owner>,
    clock: ReadClock,
    inline: bool,
    writer: Writer,
    reader: Arc<Mutex<Connection>>,
}

impl SqliteJournal {
    /// Opens the journal, and makes it where there is none. Blocks; meant for the start of a program.
    ///
    /// # Errors
    /// `Place`, `Version`, `Corrupt`, `RolledBack`, `Full`, `Io`, `Locked`.
    pub fn open(options: Options) -> Result<Self, JournalError> {
        let observer = Arc::new(Owner::current()?);
        let opened = open::open(&options)?;
        let parts = writer::Parts {
            connection: opened.writer,
            folder: opened.folder.clone(),
            instance: opened.instance.clone(),
            patience: options.patience,
            #[cfg(feature = "crash-points")]
            hook: options.hook,
        };
        let writer = Writer::start(parts, options.inline)?;
        Ok(Self {
            instance: opened.instance.into(),
            folder: Arc::new(opened.folder),
            observer,
            clock: options.clock,
            inline: options.inline,
            writer,
            reader: Arc::new(Mutex::new(opened.reader)),
        })
    }

    /// How many transactions this handle has committed: many requests share one.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    async fn read<T, F>(&self, read: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, JournalError> + Send + 'static,
    {
        let reader = Arc::clone(&self.reader);
        self.away(move || {
            let connection = reader.lock().unwrap_or_else(PoisonError::into_inner);
            // One transaction, so that all statements of a read see the same moment.
            connection.execute_batch("BEGIN").map_err(rows::sql("begin to read"))?;
            let result = read(&connection);
            let end = connection.execute_batch("ROLLBACK").map_err(rows::sql("end a read"));
            result.and_then(|value| end.map(|()| value))
        })
        .await
    }

    /// Does blocking work where it may block.
    async fn away<T, F>(&self, work: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, JournalError> + Send + 'static,
    {
        if self.inline {
            return work();
        }
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|e| Err(JournalError::new(Kind::Io, "HO0325", "the reader of the journal stopped").because(e)))
    }

    async fn add(&self, append: Append, last: bool) -> Result<u64, JournalError> {
        rows::check_events(&append.events)?;
        outbox::check(&append.notices)?;
        let (instance, clock) = (Arc::clone(&self.instance), Arc::clone(&self.clock));
        let note = Note { room: append.room, ends: last, append: true };
        self.writer.write(note, move |c| write::append(c, &instance, &append, last, &clock())).await
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    fn instance_id(&self) -> &str {
        &self.instance
    }

    async fn begin(&self, new: NewRotation, owner: &Owner) -> Result<Claim, JournalError> {
        rows::check_events(&new.events)?;
        let (instance, clock, owner) = (Arc::clone(&self.instance), Arc::clone(&self.clock), owner.clone());
        let note = Note { room: Room::Ordinary, ends: false, append: true };
        self.writer.write(note, move |c| write::begin(c, &instance, &new, &owner, &clock())).await
    }

    async fn claim(&self, id: &RotationId, owner: &Owner) -> Result<Claim, JournalError> {
        let (id, clock, owner) = (id.clone(), Arc::clone(&self.clock), owner.clone());
        self.writer.write(Note::SMALL, move |c| write::claim(c, &id, &owner, &clock())).await
    }

    async fn renew(&self, id: &RotationId, epoch: u64) -> Result<(), JournalError> {
        let (id, clock) = (id.clone(), Arc::clone(&self.clock));
        self.writer.write(Note::SMALL, move |c| write::renew(c, &id, epoch, &clock())).await
    }

    async fn release(&self, id: &RotationId, epoch: u64) -> Result<(), JournalError> {
        let id = id.clone();
        self.writer.write(Note::SMALL, move |c| write::release(c, &id, epoch)).await
    }

    async fn append(&self, append: Append) -> Result<u64, JournalError> {
        self.add(append, false).await
    }

    async fn finish(&self, append: Append) -> Result<u64, JournalError> {
        self.add(append, true).await
    }

    async fn post(&self, id: &RotationId, request: &str) -> Result<(), JournalError> {
        let (id, request) = (id.clone(), request.to_owned());
        self.writer.write(Note::SMALL, move |c| write::post(c, &id, &request)).await
    }

    async fn inbox(&self, id: &RotationId) -> Result<Vec<(u64, String)>, JournalError> {
        let id = id.clone();
        self.read(move |c| read::inbox(c, &id)).await
    }

    async fn asked(&self) -> Result<BTreeSet<RotationId>, JournalError> {
        self.read(read::asked).await
    }

    async fn take_from_inbox(&self, id: &RotationId, number: u64) -> Result<(), JournalError> {
        let id = id.clone();
        self.writer.write(Note::SMALL, move |c| write::take_from_inbox(c, &id, number)).await
    }

    async fn load(&self, id: &RotationId) -> Result<Vec<Row>, JournalError> {
        let (id, instance) = (id.clone(), Arc::clone(&self.instance));
        self.read(move |c| read::load(c, &instance, &id)).await
    }

    async fn list(&self, filter: Filter) -> Result<Vec<Header>, JournalError> {
        let (observer, now) = (Arc::clone(&self.observer), (self.clock)());
        self.read(move |c| read::list(c, &filter, &observer, &now)).await
    }

    async fn sealed(&self, id: &RotationId, slot: &str) -> Result<Option<Vec<u8>>, JournalError> {
        let (id, slot) = (id.clone(), slot.to_owned());
        self.read(move |c| read::sealed(c, &id, &slot)).await
    }

    async fn verify(&self) -> Result<Report, JournalError> {
        let (instance, folder, observer, now) =
            (Arc::clone(&self.instance), Arc::clone(&self.folder), Arc::clone(&self.observer), (self.clock)());
        // The anchor first: it may lag behind the database, which goes on growing, but never the other way round.
        let anchor = self.away(move || super::anchor::Anchor::read(&folder)).await?;
        self.read(move |c| {
            open::compare(c, &instance, anchor.as_ref())?;
            read::verify(c, &instance, &observer, &now)
        })
        .await
    }

    async fn export_rows(&self, id: Option<&RotationId>) -> Result<Vec<Row>, JournalError> {
        let id = id.cloned();
        self.read(move |c| read::export(c, id.as_ref())).await
    }

    async fn key_mark(&self) -> Result<Option<String>, JournalError> {
        self.read(|c| read::meta(c, "key-mark")).await
    }

    async fn bind_key(&self, mark: &str) -> Result<(), JournalError> {
        let mark = mark.to_owned();
        self.writer.write(Note::SMALL, move |c| write::bind_key(c, &mark)).await
    }

    async fn flush(&self) -> Result<(), JournalError> {
        self.writer.flush().await
    }
}

#[async_trait]
impl Outbox for SqliteJournal {
    async fn put(&self, notices: Vec<NewNotice>) -> Result<(), JournalError> {
        outbox::check(&notices)?;
        // A page about a full disk must find room.
        self.writer.write(Note::SMALL, move |c| outbox::put(c, &notices)).await
    }

    async fn targets(&self) -> Result<Vec<String>, JournalError> {
        self.read(outbox::targets).await
    }

    async fn due(&self, target: &str, now_ms: u64, most: u32) -> Result<Vec<Queued>, JournalError> {
        let target = target.to_owned();
        self.read(move |c| outbox::due(c, &target, now_ms, most)).await
    }

    async fn tried(&self, number: u64, tried: Tried) -> Result<(), JournalError> {
        self.writer.write(Note::SMALL, move |c| outbox::tried(c, number, &tried)).await
    }

    async fn standing(&self) -> Result<Vec<Standing>, JournalError> {
        self.read(outbox::standing).await
    }

    async fn sweep(&self, before_ms: u64) -> Result<u64, JournalError> {
        self.writer.write(Note::SMALL, move |c| outbox::sweep(c, before_ms)).await
    }
}

/// The answer of a thread that is no longer there.
fn stopped(wrote: Wrote) -> JournalError {
    let error = JournalError::new(Kind::Io, "HO0325", "the journal has stopped writing after a failure of the disk")
        .hint("see that the disk is sound, then start again: what was not answered is looked up in the journal first");
    match wrote {
        Wrote::No => error,
        Wrote::Unknown => error.unknown(),
    }
}

#[async_trait]
impl Register for SqliteJournal {
    async fn last_ticks(&self) -> Result<Vec<Tick>, JournalError> {
        self.read(register::last_ticks).await
    }

    async fn rules(&self, rules: Vec<(String, String)>, now_ms: u64) -> Result<Vec<u64>, JournalError> {
        self.writer.write(Note::SMALL, move |c| register::rules(c, &rules, now_ms)).await
    }

    async fn tick(&self, tick: Tick) -> Result<bool, JournalError> {
        self.writer.write(Note::SMALL, move |c| register::tick_in(c, &tick)).await
    }

    async fn take_alerts(&self, alerts: Vec<NewAlert>) -> Result<Vec<u64>, JournalError> {
        self.writer.write(Note::SMALL, move |c| register::take_alerts(c, &alerts)).await
    }

    async fn change_alert(&self, number: u64, change: AlertChange, now_ms: u64) -> Result<(), JournalError> {
        self.writer.write(Note::SMALL, move |c| register::change_alert(c, number, &change, now_ms)).await
    }

    async fn alerts(&self, state: Option<AlertState>, limit: u32) -> Result<Vec<Alert>, JournalError> {
        self.read(move |c| register::alerts(c, state, None, limit)).await
    }

    async fn alerts_below(&self, state: AlertState, number: u64, limit: u32) -> Result<Vec<Alert>, JournalError> {
        self.read(move |c| register::alerts(c, Some(state), Some(number), limit)).await
    }

    async fn alert(&self, number: u64) -> Result<Option<Alert>, JournalError> {
        self.read(move |c| register::alert(c, number)).await
    }

    async fn bearers(&self, mark: &str) -> Result<Vec<Bearer>, JournalError> {
        let mark = mark.to_owned();
        self.read(move |c| register::bearers(c, &mark)).await
    }

    async fn stock(&self, credential: &str, version: &str, marks: Vec<String>, now_ms: u64) -> Result<(), JournalError> {
        let (credential, version) = (credential.to_owned(), version.to_owned());
        self.writer.write(Note::SMALL, move |c| register::stock(c, &credential, &version, &marks, now_ms)).await
    }

    async fn known_of(&self, rotation: &RotationId) -> Result<Vec<Known>, JournalError> {
        let id = rotation.clone();
        self.read(move |c| register::known_of(c, &id)).await
    }

    async fn alerts_of(&self, rotation: &RotationId) -> Result<Vec<Alert>, JournalError> {
        let id = rotation.clone();
        self.read(move |c| register::alerts_of(c, &id)).await
    }

    async fn keep_assessment(&self, rotation: &RotationId, at_ms: u64, document: String) -> Result<(), JournalError> {
        let id = rotation.clone();
        self.writer.write(Note::SMALL, move |c| register::keep_assessment(c, &id, at_ms, &document)).await
    }

    async fn assessments(&self, rotation: &RotationId) -> Result<Vec<(u64, String)>, JournalError> {
        let id = rotation.clone();
        self.read(move |c| register::assessments(c, &id)).await
    }

    async fn set_token(&self, token: TokenRow) -> Result<(), JournalError> {
        self.writer.write(Note::SMALL, move |c| register::set_token(c, &token)).await
    }

    async fn drop_token(&self, name: &str) -> Result<bool, JournalError> {
        let name = name.to_owned();
        self.writer.write(Note::SMALL, move |c| register::drop_token(c, &name)).await
    }

    async fn tokens(&self) -> Result<Vec<TokenRow>, JournalError> {
        self.read(register::tokens).await
    }
}

#[async_trait]
impl Shipping for SqliteJournal {
    async fn head(&self) -> Result<Head, JournalError> {
        let instance = Arc::clone(&self.instance);
        self.read(move |c| write::head(c, &instance)).await
    }

    async fn hash_at(&self, n: u64) -> Result<Option<[u8; 32]>, JournalError> {
        let instance = Arc::clone(&self.instance);
        self.read(move |c| shipping::hash_at(c, &instance, n)).await
    }

    async fn cursor(&self, sink: &str) -> Result<Cursor, JournalError> {
        let (instance, sink) = (Arc::clone(&self.instance), sink.to_owned());
        self.read(move |c| shipping::cursor(c, &instance, &sink)).await
    }

    async fn next(&self, after: &Cursor, most: u32, bytes: usize) -> Result<Vec<Item>, JournalError> {
        let (instance, after) = (Arc::clone(&self.instance), after.clone());
        self.read(move |c| shipping::next(c, &instance, &after, most, bytes)).await
    }

    async fn shipped(&self, sink: &str, cursor: Cursor) -> Result<(), JournalError> {
        let sink = sink.to_owned();
        self.writer.write(Note::SPARE, move |c| shipping::shipped(c, &sink, &cursor)).await
    }

    async fn keep_checkpoint(&self, checkpoint: Checkpoint) -> Result<(), JournalError> {
        self.writer.write(Note::SPARE, move |c| shipping::keep_checkpoint(c, &checkpoint)).await
    }

    async fn checkpoints(&self) -> Result<Vec<Checkpoint>, JournalError> {
        self.read(shipping::checkpoints).await
    }

    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, JournalError> {
        self.read(shipping::last_checkpoint).await
    }
}
