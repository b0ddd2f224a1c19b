//! A rotation's book: its state in memory and its rows in the journal, kept as one. Nothing is applied that is not written.

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
use crate::journal::{Append, Claim, Journal, Kind, NewEvent, Room, Row, SealedBlob, Wrote};

/// The state and where it is written.
pub(crate) struct Book {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    time: TrustedTime,
    epoch: u64,
    seq: u64,
    pub(crate) rotation: Rotation,
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
    NewEvent { stamp, at, payload }
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
        let stamp = rows.last().map_or_else(|| clock.stamp(), |row| row.stamp.clone());
        let time = TrustedTime::anchored(rotation.at, stamp);
        Ok(Self { journal, clock, time, epoch: claim.epoch, seq: rows.len() as u64, rotation })
    }

    pub(crate) fn now(&self) -> Millis {
        self.time.at(&self.clock.stamp()).max(self.rotation.at)
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// Writes the events and then applies them. They are tried on a copy first: what would be illegal is never written.
    pub(crate) async fn record(
        &mut self,
        events: &[Event],
        sealed: Vec<SealedBlob>,
    ) -> Result<Vec<(Millis, Event)>, EngineError> {
        let new: Vec<NewEvent> = events.iter().map(|e| written(e, self.clock.as_ref(), &self.time)).collect();
        let mut next = self.rotation.clone();
        for (event, row) in events.iter().zip(&new) {
            next.apply(row.at, event).map_err(EngineError::Rule)?;
        }
        let ends = next.ended().is_some();
        let settles = events.iter().all(|e| match e {
            Event::Settled { .. } | Event::Stuck { .. } | Event::Finished { .. } | Event::ContainmentBegan { .. } => true,
            // Containment is not held up by a full disk (boundary B16).
            Event::Intended { command: Command::Disable(slot) | Command::Delete(slot), .. } => {
                slot.is_old() && next.is_leak()
            }
            _ => false,
        });
        let room = if settles { Room::Reserve } else { Room::Ordinary };
        let told: Vec<(Millis, Event)> = events.iter().zip(&new).map(|(e, row)| (row.at, e.clone())).collect();
        let append =
            Append { id: self.rotation.id.clone(), epoch: self.epoch, expected_seq: self.seq, events: new, sealed, room };
        point("append.before");
        self.seq = self.write(append, ends).await?;
        point("append.after");
        self.rotation = next;
        Ok(told)
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
