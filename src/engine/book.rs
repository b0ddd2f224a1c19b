//! A rotation's book: its state in memory and its rows in the journal, kept as one. What is
//! applied is written before anything outside is changed for it.

use std::sync::Arc;

use handover_rotation::apply::fold;
use handover_rotation::command::Command;
use handover_rotation::event::Event;
use handover_rotation::name::RotationId;
use handover_rotation::state::Rotation;
use handover_rotation::time::Millis;

use super::clock::{Clock, TrustedTime};
use super::crash::point;
use super::error::EngineError;
use super::known;
use crate::journal::{Append, Claim, Journal, Kind, NewEvent, Room, Row, SealedBlob, Wrote};
use crate::mutant::{Mutant, broken};

/// The state and where it is written.
pub(crate) struct Book {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    time: TrustedTime,
    epoch: u64,
    seq: u64,
    /// The epoch that wrote the last row before this one.
    pub(crate) written_by: u64,
    /// The state, with what is staged.
    pub(crate) rotation: Rotation,
    /// Applied and not yet written.
    staged: Vec<Staged>,
}

struct Staged {
    event: Event,
    row: NewEvent,
    sealed: Vec<SealedBlob>,
}

/// The events of some rows, each with its time.
///
/// # Errors
/// A row that is not an event of this release (S28).
pub fn events(rows: &[Row]) -> Result<Vec<(Millis, Event)>, EngineError> {
    rows.iter()
        .enumerate()
        .map(|(i, row)| match serde_json::from_str(&row.payload) {
            Ok(event) => Ok((row.at, event)),
            Err(_) => Err(EngineError::UnknownEvent { rotation: row.rotation.to_string(), row: i + 1 }),
        })
        .collect()
}

/// The state after some rows.
///
/// # Errors
/// A row that is not an event of this release, or does not follow from those before it (S28).
pub fn replay(id: &RotationId, rows: &[Row]) -> Result<Rotation, EngineError> {
    let events = events(rows)?;
    fold(events.iter().map(|(at, event)| (*at, event))).map_err(|(row, why)| EngineError::Unfoldable {
        rotation: id.to_string(),
        row: row + 1,
        why,
    })
}

/// An event as the journal keeps it.
pub(crate) fn written(event: &Event, clock: &dyn Clock, time: &TrustedTime) -> NewEvent {
    let stamp = clock.stamp();
    let at = time.at(&stamp);
    // An event is plain data with text keys: serde_json has no way to refuse it.
    let payload = serde_json::to_string(event).unwrap_or_default();
    NewEvent { stamp, at, payload, known: known::of_event(event) }
}

impl Book {
    /// Opens the book of a rotation that was claimed.
    pub(crate) async fn open(
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        id: &RotationId,
        claim: &Claim,
    ) -> Result<Self, EngineError> {
        let rows = journal.load(id).await?;
        let rotation = replay(id, &rows)?;
        let now = clock.stamp();
        let written_by = rows.last().map_or(0, |row| row.epoch);
        let stamp = rows.last().map_or_else(|| now.clone(), |row| row.stamp.clone());
        let time = TrustedTime::of(&rotation, stamp).counted_from(now);
        let seq = rows.len() as u64;
        Ok(Self { journal, clock, time, epoch: claim.epoch, seq, written_by, rotation, staged: Vec::new() })
    }

    pub(crate) fn now(&self) -> Millis {
        self.time.at(&self.clock.stamp()).max(self.rotation.at)
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// Applies an event, and keeps it to be written by the next `flush`. What has no place is neither applied nor written.
    ///
    /// Nothing outside may be changed by what was decided on it before it is flushed; a look may (S6).
    pub(crate) fn stage(&mut self, event: Event, sealed: Vec<SealedBlob>) -> Result<(), EngineError> {
        let row = written(&event, self.clock.as_ref(), &self.time);
        self.rotation.apply(row.at, &event).map_err(EngineError::Rule)?;
        self.staged.push(Staged { event, row, sealed });
        Ok(())
    }

    /// Writes what is staged, in one transaction, and gives what was written.
    ///
    /// # Errors
    /// The journal's. On a full disk, what has happened already is still written, in the reserve, and what was not yet begun is
    /// forgotten: the state is then what the journal says.
    pub(crate) async fn flush(&mut self) -> Result<Vec<(Millis, Event)>, EngineError> {
        if self.staged.is_empty() {
            return Ok(Vec::new());
        }
        // Intents of what can wait come last, as whatever was staged before them is why they are there.
        let new = self.staged.iter().position(|s| self.can_wait(&s.event)).unwrap_or(self.staged.len());
        let settles = self.staged[..new].iter().any(|s| self.settles(&s.event));
        let all = self.staged.len();
        let room = if settles && new == all { Room::Reserve } else { Room::Ordinary };
        match self.write_staged(all, room).await {
            Err(EngineError::Journal(error)) if error.kind == Kind::Full && error.wrote == Wrote::No => {
                if settles {
                    self.write_staged(new, Room::Reserve).await?;
                }
                self.staged.clear();
                let rows = self.journal.load(&self.rotation.id).await?;
                self.rotation = replay(&self.rotation.id, &rows)?;
                Err(error.into())
            }
            other => other,
        }
    }

    /// Whether a secret is staged.
    pub(crate) fn seals(&self) -> bool {
        self.staged.iter().any(|s| !s.sealed.is_empty())
    }

    /// An effect that must not be started where its intent could not be written without the reserve.
    fn can_wait(&self, event: &Event) -> bool {
        match event {
            // Containment is not held up by a full disk (boundary B16).
            Event::Intended { command: Command::Disable(slot) | Command::Delete(slot), .. } => {
                !(slot.is_old() && self.rotation.is_leak())
            }
            Event::Intended { .. } => true,
            _ => false,
        }
    }

    /// What must be written down even on a full disk.
    fn settles(&self, event: &Event) -> bool {
        match event {
            Event::Settled { .. } | Event::Stuck { .. } | Event::Finished { .. } | Event::ContainmentBegan { .. } => true,
            Event::Intended { .. } => !self.can_wait(event),
            // Whoever takes over a leak on a full disk goes on to contain it.
            Event::Claimed { .. } => self.rotation.is_leak(),
            _ => false,
        }
    }

    /// Writes the first `count` of what is staged. Where that fails they stay staged.
    async fn write_staged(&mut self, count: usize, room: Room) -> Result<Vec<(Millis, Event)>, EngineError> {
        let writing = &self.staged[..count];
        let ends = writing.iter().any(|s| matches!(s.event, Event::Finished { .. }));
        let append = Append {
            id: self.rotation.id.clone(),
            epoch: self.epoch,
            expected_seq: self.seq,
            events: writing.iter().map(|s| s.row.clone()).collect(),
            sealed: writing.iter().flat_map(|s| s.sealed.clone()).collect(),
            notices: Vec::new(),
            room,
        };
        point("append.before");
        self.seq = match self.write(append, ends).await {
            Err(_) if broken(Mutant::AppliedUnwritten) => self.seq,
            written => written?,
        };
        point("append.after");
        Ok(self.staged.drain(..count).map(|s| (s.row.at, s.event)).collect())
    }

    async fn write(&self, append: Append, ends: bool) -> Result<u64, EngineError> {
        let mut tries = 0;
        loop {
            let written =
                if ends { self.journal.finish(append.clone()).await } else { self.journal.append(append.clone()).await };
            match written {
                Ok(seq) => return Ok(seq),
                // Another process has the file: nothing was written, so the same may be tried again.
                Err(error) if error.kind == Kind::Locked && error.wrote == Wrote::No && tries < 20 => {
                    tries += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(50 * tries)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives the rotation back. Only when nothing is under way.
    pub(crate) async fn release(&self) {
        if self.rotation.ended().is_none()
            && let Err(error) = self.journal.release(&self.rotation.id, self.epoch).await
        {
            tracing::debug!(code = error.code, "the lease was not released");
        }
    }

    pub(crate) async fn renew(&self) -> Result<(), EngineError> {
        Ok(self.journal.renew(&self.rotation.id, self.epoch).await?)
    }

    pub(crate) fn journal(&self) -> &Arc<dyn Journal> {
        &self.journal
    }
}
