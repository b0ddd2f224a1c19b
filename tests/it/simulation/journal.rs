//! The real journal in SQLite, on the caller's thread, behind a disk that fails. What it commits is copied into the book.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use handover::engine::{Request, replay};
use handover::journal::{
    Append, Claim, Filter, Header, Journal, JournalError, Kind as Trouble, NewEvent, NewRotation, Owner, Report, Room, Row,
    SealedBlob, SqliteJournal,
};
use handover_rotation::event::Event;
use handover_rotation::name::RotationId;

use super::book::tell;
use super::faults::Kind;
use super::net::Process;
use super::script::{Harm, Nature, Place, Strike};
use super::world::{Sim, State, Wish};

/// The journal as one process has opened it.
pub(crate) struct Disk {
    pub(crate) sim: Arc<Sim>,
    pub(crate) process: Arc<Process>,
    pub(crate) real: Arc<SqliteJournal>,
    /// After a commit of which nobody can say whether it happened, it stops for good, as the real one does.
    pub(crate) stopped: AtomicBool,
}

fn trouble(kind: Trouble, text: &str) -> JournalError {
    JournalError::new(kind, "HO0300", text)
}

impl Disk {
    /// What comes before a write: time, death, and a disk that has no room or fails.
    async fn before(&self, room: Option<Room>, strike: Option<Strike>) -> Result<(), JournalError> {
        self.process.alive().await;
        self.stand_still().await;
        self.struck_before(strike).await?;
        self.process.may_die(&self.sim, Kind::CrashBeforeCommit).await;
        let fails = if self.stopped.load(Ordering::Relaxed) {
            Some(trouble(Trouble::Io, "it has stopped writing"))
        } else if self.sim.strikes(Kind::JournalFails) {
            Some(trouble(Trouble::Io, "the disk fails"))
        } else if self.sim.strikes(Kind::JournalLocked) {
            Some(trouble(Trouble::Locked, "another process has locked it"))
        } else {
            room.and_then(|room| self.full(room))
        };
        match fails {
            None => Ok(()),
            Some(error) => {
                self.sim.note(|| format!("journal: {error}"));
                Err(error)
            }
        }
    }

    fn full(&self, room: Room) -> Option<JournalError> {
        let now = self.sim.now();
        for (kind, reserve) in [(Kind::JournalFull, false), (Kind::JournalFuller, true)] {
            if self.sim.strikes(kind) {
                let until = now + self.sim.between(1000, 600_000);
                self.sim.lock().full = (until, reserve);
            }
        }
        let (until, reserve_too) = self.sim.lock().full;
        let full = now < until && !self.sim.lock().faults.over(now) && (room == Room::Ordinary || reserve_too);
        full.then(|| trouble(Trouble::Full, "the disk is full"))
    }

    fn pass(&self, name: &str, nature: Nature) -> Option<Strike> {
        self.sim.pass(name, nature, self.process.number)
    }

    async fn struck_before(&self, strike: Option<Strike>) -> Result<(), JournalError> {
        match self.sim.hits(strike, Place::Before, self.process.number) {
            None => Ok(()),
            Some(Harm::Kill) => {
                self.process.killed(&self.sim).await;
                Ok(())
            }
            Some(Harm::Timeout) => Err(trouble(Trouble::Locked, "another process has locked it")),
            Some(Harm::Unknown) => Err(self.nobody_knows()),
            Some(_) => Err(trouble(Trouble::Io, "the disk fails")),
        }
    }

    fn nobody_knows(&self) -> JournalError {
        self.sim.note(|| "journal: the writer is told that nobody knows whether it is written".to_owned());
        self.stopped.store(true, Ordering::Relaxed);
        trouble(Trouble::Io, "the answer of the disk was lost").unknown()
    }

    /// What comes after a commit.
    async fn after(&self, strike: Option<Strike>) -> Result<(), JournalError> {
        match self.sim.hits(strike, Place::AfterEffect, self.process.number) {
            Some(Harm::Kill) => self.process.killed(&self.sim).await,
            Some(Harm::Unknown) => return Err(self.nobody_knows()),
            Some(Harm::Pause) => {
                let (still, _) = self.sim.standstill();
                self.sim.note(|| format!("process {} stands still for {still:?}", self.process.number));
                self.sim.wish(Wish::Standstill(0));
                tokio::time::sleep(still).await;
                self.process.alive().await;
            }
            _ if self.sim.is_doomed(self.process.number) => self.process.killed(&self.sim).await,
            _ => {}
        }
        self.process.may_die(&self.sim, Kind::CrashAfterCommit).await;
        self.stand_still().await;
        if self.sim.strikes(Kind::JournalUnknown) {
            return Err(self.nobody_knows());
        }
        self.process.alive().await;
        Ok(())
    }

    async fn stand_still(&self) {
        let ms = if self.sim.strikes(Kind::Pause) {
            let ms = self.sim.between(2_000, 180_000);
            self.sim.note(|| format!("process {} stands still for {} s", self.process.number, ms / 1000));
            self.sim.wish(Wish::Standstill(ms));
            ms
        } else {
            self.sim.between(0, 3)
        };
        tokio::time::sleep(Duration::from_millis(ms)).await;
        self.process.alive().await;
    }

    /// Copies what was committed into the book. True if the script says that its writer dies of it.
    fn copy(&self, epoch: u64, events: &[NewEvent], sealed: &[SealedBlob]) -> bool {
        let (mut dies, mut batch) = (false, Vec::new());
        for event in events {
            let truth = self.sim.truth(&event.stamp);
            let parsed: Event = match serde_json::from_str(&event.payload) {
                Ok(event) => event,
                Err(error) => {
                    self.sim.lock().breaks(format!("S28: a row cannot be read: {error}"));
                    return false;
                }
            };
            self.sim.note(|| format!("  row of epoch {epoch}: {}", tell(&parsed)));
            let mut world = self.sim.lock();
            let gone = world.versions.get("v0").is_some_and(|v| v.state() == State::Deleted);
            if epoch != world.book.epoch {
                let latest = world.book.epoch;
                world.breaks(format!("S7: epoch {epoch} wrote after epoch {latest} had claimed"));
            }
            if let Some(why) = world.book.record(&parsed, truth, gone) {
                world.breaks(why);
            }
            drop(world);
            dies |= self.sim.cue(&parsed);
            batch.push(parsed);
        }
        let slots = sealed.iter().filter_map(|s| s.slot.strip_prefix("slot-")?.parse::<u8>().ok());
        let mut world = self.sim.lock();
        world.book.sealed.extend(slots);
        if let Some(why) = world.book.batch(&batch) {
            world.breaks(why);
        }
        dies
    }

    async fn add(&self, append: Append, last: bool) -> Result<u64, JournalError> {
        let name = match (last, append.sealed.is_empty()) {
            (true, _) => "finish",
            (false, false) => "seal",
            (false, true) if append.events.iter().any(|e| e.payload.contains(r#""event":"intended""#)) => "intent",
            (false, true) => "append",
        };
        let strike = self.pass(name, if name == "intent" { Nature::Intent } else { Nature::Commit });
        self.before(Some(append.room), strike).await?;
        let again = (strike.is_some_and(|s| s.harm == Harm::Duplicate)).then(|| append.clone());
        let (epoch, events, sealed) = (append.epoch, append.events.clone(), append.sealed.clone());
        let seq = if last { self.real.finish(append).await } else { self.real.append(append).await };
        let seq = seq.inspect_err(|e| self.sim.note(|| format!("journal: process {}: {e}", self.process.number)))?;
        if self.copy(epoch, &events, &sealed) {
            self.process.killed(&self.sim).await;
        }
        if let Some(again) = again {
            let again = if last { self.real.finish(again).await } else { self.real.append(again).await };
            if again.is_ok() {
                self.sim.lock().breaks("S7: the same rows were taken twice".to_owned());
            }
        }
        self.after(strike).await?;
        Ok(seq)
    }

    /// L9: what was asked for is written before the request goes, or has no place.
    async fn heard(&self, id: &RotationId, number: u64) {
        if std::mem::take(&mut self.sim.lock().book.heard) {
            return;
        }
        let (Ok(rows), Ok(inbox)) = (self.real.load(id).await, self.real.inbox(id).await) else { return };
        let request = inbox.into_iter().find(|(n, _)| *n == number).and_then(|(_, text)| serde_json::from_str(&text).ok());
        let event = match request {
            Some(Request::Abort { by, reason }) => Event::AbortRequested { by, reason },
            Some(Request::Approve { step, by }) => Event::Approved { step, by },
            Some(Request::Compromised { slot, within, source }) => Event::Compromised { slot, within, source },
            // Of those of people at a console there are none here.
            Some(Request::Supply { .. } | Request::Done { .. }) | None => return,
        };
        let has_place = replay(id, &rows).is_ok_and(|mut rotation| rotation.apply(rotation.at, &event).is_ok());
        if has_place {
            self.sim.lock().breaks(format!("L9: a request goes before it is written: {}", tell(&event)));
        }
    }

    fn claimed(&self, epoch: u64) {
        self.process.epoch.store(epoch, Ordering::Relaxed);
        self.sim.note(|| format!("process {} claims with epoch {epoch}", self.process.number));
        self.sim.lock().book.epoch = epoch;
    }
}

#[async_trait]
impl Journal for Disk {
    fn instance_id(&self) -> &str {
        self.real.instance_id()
    }

    async fn begin(&self, new: NewRotation, owner: &Owner) -> Result<Claim, JournalError> {
        let strike = self.pass("begin", Nature::Commit);
        self.before(Some(Room::Ordinary), strike).await?;
        let again = (strike.is_some_and(|s| s.harm == Harm::Duplicate)).then(|| new.clone());
        let (events, sealed) = (new.events.clone(), new.sealed.clone());
        let claim = self.real.begin(new, owner).await?;
        self.claimed(claim.epoch);
        self.copy(claim.epoch, &events, &sealed);
        if let Some(again) = again
            && self.real.begin(again, owner).await.is_ok()
        {
            self.sim.lock().breaks("S14: the same rotation was begun twice".to_owned());
        }
        self.after(strike).await?;
        Ok(claim)
    }

    async fn claim(&self, id: &RotationId, owner: &Owner) -> Result<Claim, JournalError> {
        let strike = self.pass("claim", Nature::Commit);
        self.before(None, strike).await?;
        let mut claim = match self.real.claim(id, owner).await {
            Ok(claim) => claim,
            Err(refused) => {
                self.after(strike).await?;
                return Err(refused);
            }
        };
        if strike.is_some_and(|s| s.harm == Harm::Duplicate) {
            // Claimed twice: the later epoch counts, and its owner is the one before.
            claim = self.real.claim(id, owner).await?;
        }
        self.claimed(claim.epoch);
        self.after(strike).await?;
        Ok(claim)
    }

    async fn renew(&self, id: &RotationId, epoch: u64) -> Result<(), JournalError> {
        let strike = self.pass("renew", Nature::Renewal);
        self.before(None, strike).await?;
        self.real.renew(id, epoch).await?;
        if self.sim.hits(strike, Place::AfterEffect, self.process.number).is_some() {
            self.process.killed(&self.sim).await;
        }
        Ok(())
    }

    async fn release(&self, id: &RotationId, epoch: u64) -> Result<(), JournalError> {
        let strike = self.pass("release", Nature::Commit);
        self.before(None, strike).await?;
        self.real.release(id, epoch).await?;
        if strike.is_some_and(|s| s.harm == Harm::Duplicate) {
            // Given back already: whatever is said to it, nothing may come of it.
            drop(self.real.release(id, epoch).await);
        }
        self.after(strike).await
    }

    async fn append(&self, append: Append) -> Result<u64, JournalError> {
        self.add(append, false).await
    }

    async fn finish(&self, append: Append) -> Result<u64, JournalError> {
        self.add(append, true).await
    }

    async fn post(&self, id: &RotationId, request: &str) -> Result<(), JournalError> {
        self.real.post(id, request).await
    }

    async fn inbox(&self, id: &RotationId) -> Result<Vec<(u64, String)>, JournalError> {
        self.process.alive().await;
        // It is asked four times a second, for simulated years, and only the simulation leaves something in it.
        if self.sim.lock().posted == 0 {
            return Ok(Vec::new());
        }
        self.struck_before(self.pass("inbox", Nature::Reading)).await?;
        self.real.inbox(id).await
    }

    async fn take_from_inbox(&self, id: &RotationId, number: u64) -> Result<(), JournalError> {
        let strike = self.pass("take", Nature::Commit);
        self.before(None, strike).await?;
        self.heard(id, number).await;
        self.real.take_from_inbox(id, number).await?;
        if strike.is_some_and(|s| s.harm == Harm::Duplicate) {
            self.real.take_from_inbox(id, number).await?;
        }
        {
            let mut world = self.sim.lock();
            world.posted = world.posted.saturating_sub(1);
        }
        self.after(strike).await
    }

    async fn load(&self, id: &RotationId) -> Result<Vec<Row>, JournalError> {
        self.process.alive().await;
        self.struck_before(self.pass("load", Nature::Reading)).await?;
        if self.sim.strikes(Kind::JournalFails) {
            return Err(trouble(Trouble::Io, "the disk fails"));
        }
        self.real.load(id).await
    }

    async fn asked(&self) -> Result<BTreeSet<RotationId>, JournalError> {
        self.real.asked().await
    }

    async fn list(&self, filter: Filter) -> Result<Vec<Header>, JournalError> {
        self.real.list(filter).await
    }

    async fn sealed(&self, id: &RotationId, slot: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.process.alive().await;
        self.struck_before(self.pass("unseal", Nature::Reading)).await?;
        self.real.sealed(id, slot).await
    }

    async fn verify(&self) -> Result<Report, JournalError> {
        self.real.verify().await
    }

    async fn export_rows(&self, id: Option<&RotationId>) -> Result<Vec<Row>, JournalError> {
        self.real.export_rows(id).await
    }

    async fn key_mark(&self) -> Result<Option<String>, JournalError> {
        self.real.key_mark().await
    }

    async fn bind_key(&self, mark: &str) -> Result<(), JournalError> {
        self.real.bind_key(mark).await
    }

    async fn flush(&self) -> Result<(), JournalError> {
        self.real.flush().await
    }
}
