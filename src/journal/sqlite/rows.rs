//! Between columns and types: SQLite's errors as ours, numbers as its integers, rows as records. No statements here.

use handover_rotation::name::RotationId;
use handover_rotation::time::Millis;
use rusqlite::{ErrorCode, ffi};

use crate::journal::error::{JournalError, Kind};
use crate::journal::owner::{Liveness, Owner};
use crate::journal::record::{NewEvent, PAYLOAD_MAX, Row, Stamp, Why};
use crate::mutant::{Mutant, broken};

/// SQLite tells of a place that could not be read just once in the same words as of a file that is damaged for good.
const RESTORE: &str = "try again once, in case the disk only failed to read it (see the kernel's log); if it stays, keep the \
    state folder as it is, and restore it from a backup";

/// Makes SQLite's error ours, with what was being done.
pub(super) fn sql(doing: &'static str) -> impl Fn(rusqlite::Error) -> JournalError {
    move |e| {
        let (kind, code, hint) = match (e.sqlite_error_code(), e.sqlite_error().map(|e| e.extended_code)) {
            (Some(ErrorCode::DiskFull), _) | (_, Some(ffi::SQLITE_IOERR_SHMSIZE)) => {
                (Kind::Full, "HO0316", "make room on the disk of the state folder, then resume")
            }
            // The last is a log that many open at once, given up after ten seconds.
            (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed), _) => {
                (Kind::Locked, "HO0318", "see which process holds it: `fuser journal.db` in the state folder")
            }
            (
                Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied),
                _,
            ) => (Kind::Io, "HO0317", "see that the disk is sound and that this user may write to the state folder"),
            _ => (Kind::Corrupt { n: None }, "HO0306", RESTORE),
        };
        JournalError::new(kind, code, format!("cannot {doing} in the journal")).hint(hint).because(e)
    }
}

pub(super) fn damaged(text: impl Into<String>) -> JournalError {
    JournalError::new(Kind::Corrupt { n: None }, "HO0306", text).hint(RESTORE)
}

/// A number as SQLite keeps it.
pub(super) fn int(n: u64) -> Result<i64, JournalError> {
    i64::try_from(n).map_err(|_| invalid(format!("the number {n} is too large for the journal")))
}

pub(super) fn uint(n: i64) -> Result<u64, JournalError> {
    u64::try_from(n).map_err(|_| damaged(format!("the journal holds {n} where nothing below zero can be")))
}

pub(super) fn rotation_id(text: String) -> Result<RotationId, JournalError> {
    RotationId::new(text).map_err(|e| damaged("the journal holds a rotation with an impossible id").because(e))
}

pub(super) fn invalid(text: impl Into<String>) -> JournalError {
    JournalError::new(Kind::Invalid, "HO0323", text).hint("this is a mistake in Handover; please report it")
}

pub(super) fn check_events(events: &[NewEvent]) -> Result<(), JournalError> {
    if events.is_empty() {
        return Err(invalid("nothing to write was given"));
    }
    match events.iter().map(|e| e.payload.len()).find(|n| *n > PAYLOAD_MAX) {
        Some(n) => Err(invalid(format!("an event of {n} bytes is larger than {PAYLOAD_MAX}"))),
        None => Ok(()),
    }
}

/// The columns of `events`, in the order that `row` reads them.
pub(super) const COLUMNS: &str =
    "e.n, e.rotation, e.seq, e.epoch, e.format, e.wall_ms, e.boot_ms, e.boot_id, e.at, e.payload, e.last, e.prev, e.hash";

pub(super) fn row(r: &rusqlite::Row<'_>) -> Result<Row, JournalError> {
    fn get<T: rusqlite::types::FromSql>(r: &rusqlite::Row<'_>, i: usize) -> Result<T, JournalError> {
        r.get(i).map_err(sql("read a row"))
    }
    let number = |i| get(r, i).and_then(uint);
    Ok(Row {
        n: number(0)?,
        rotation: rotation_id(get(r, 1)?)?,
        seq: number(2)?,
        epoch: number(3)?,
        format: u16::try_from(number(4)?).unwrap_or(u16::MAX),
        stamp: Stamp { wall_ms: number(5)?, boot_ms: number(6)?, boot_id: get(r, 7)? },
        at: Millis(number(8)?),
        payload: get(r, 9)?,
        last: number(10)? == 1,
        prev: get(r, 11)?,
        hash: get(r, 12)?,
    })
}

/// Who holds a rotation, as its columns say.
pub(super) struct Held {
    pub(super) owner: Owner,
    pub(super) lease_wall: u64,
    pub(super) lease_boot: u64,
}

impl Held {
    pub(super) fn from(owner: Option<String>, lease_wall: i64, lease_boot: i64) -> Result<Option<Self>, JournalError> {
        let Some(owner) = owner else { return Ok(None) };
        let owner =
            serde_json::from_str(&owner).map_err(|e| damaged("the owner of a rotation cannot be read").because(e))?;
        Ok(Some(Self { owner, lease_wall: uint(lease_wall)?, lease_boot: uint(lease_boot)? }))
    }

    /// Why `claimer` may take it, if it may.
    pub(super) fn takeable(&self, claimer: &Owner, now: &Stamp) -> Option<Why> {
        self.takeable_if(self.owner.liveness(claimer), now)
    }

    /// The same, where whether it lives is known.
    pub(super) fn takeable_if(&self, liveness: Liveness, now: &Stamp) -> Option<Why> {
        match liveness {
            Liveness::Itself => Some(Why::Itself),
            Liveness::Gone => Some(Why::Gone),
            Liveness::Alive => None,
            Liveness::Elsewhere if broken(Mutant::LivingOwnerDead) => Some(Why::Gone),
            // On the same kernel the clock since boot tells, which no step of the wall clock moves (safety.md S29).
            Liveness::Elsewhere if self.owner.boot_id == now.boot_id => {
                (now.boot_ms >= self.lease_boot).then_some(Why::Expired)
            }
            Liveness::Elsewhere => (now.wall_ms >= self.lease_wall).then_some(Why::Expired),
        }
    }
}
