//! What the writer does inside of its transaction. Each function either does all of its change or returns an error, and the
//! caller takes the rest back; each may be run twice, when the first transaction did not come through.

use handover_rotation::name::RotationId;
use rusqlite::{Connection, OptionalExtension, params};

use super::read::{header_of, meta};
use super::register::{keep_known, pull};
use super::rows::{Held, int, invalid, rotation_id, sql};
use crate::journal::another_key;
use crate::journal::chain::{Begin, genesis, row_hash};
use crate::journal::error::{JournalError, Kind};
use crate::journal::owner::Owner;
use crate::journal::record::{Append, Claim, FORMAT, Head, LEASE, NewEvent, NewRotation, Row, SealedBlob, Stamp, TakenFrom};
use crate::mutant::{Mutant, broken};

/// The end of the chain.
pub(super) fn head(c: &Connection, instance: &str) -> Result<Head, JournalError> {
    let found = c
        .prepare_cached("SELECT n, hash FROM events ORDER BY n DESC LIMIT 1")
        .and_then(|mut s| s.query_row([], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, [u8; 32]>(1)?))).optional())
        .map_err(sql("find the last row"))?;
    match found {
        Some((n, hash)) => Ok(Head { n: super::rows::uint(n)?, hash }),
        None => Ok(Head { n: 0, hash: genesis(instance) }),
    }
}

pub(super) fn begin(
    c: &Connection,
    instance: &str,
    new: &NewRotation,
    owner: &Owner,
    now: &Stamp,
) -> Result<Claim, JournalError> {
    let other: Option<String> = c
        .prepare_cached("SELECT id FROM rotations WHERE lineage = ?1 AND finished = 0")
        .and_then(|mut s| s.query_row([&new.lineage], |r| r.get(0)).optional())
        .map_err(sql("look for another rotation"))?;
    if broken(Mutant::TwoAtOnce) {
        c.execute_batch("DROP INDEX IF EXISTS one_rotation").map_err(sql("begin a second rotation"))?;
    } else if let Some(other) = other {
        let other = rotation_id(other)?;
        return Err(JournalError::one_rotation(other));
    }
    if header_of(c, &new.id)?.is_some() {
        return Err(invalid(format!("the id {} was used by a rotation before", new.id)));
    }
    let first = new.events.first().ok_or_else(|| invalid("nothing to write was given"))?;
    let begin = Begin { credential: &new.credential, lineage: &new.lineage, created_at: first.at };
    let (wall, boot) = lease(now)?;
    let (at, holder) = (int(first.at.0)?, owner_text(owner)?);
    c.prepare_cached(
        "INSERT INTO rotations (id, credential, lineage, created_at, seq, epoch, owner, lease_wall, lease_boot)
         VALUES (?1, ?2, ?3, ?4, 0, 1, ?5, ?6, ?7)",
    )
    .and_then(|mut s| s.execute(params![new.id.as_str(), new.credential, new.lineage, at, holder, wall, boot]))
    .map_err(sql("begin a rotation"))?;
    let seq = insert(c, instance, &new.id, 1, 0, &new.events, false, Some(begin))?;
    touch(c, &new.id, seq, now)?;
    keep_sealed(c, &new.id, &new.sealed)?;
    keep_known(c, &new.id, &new.events, &new.sealed)?;
    if let Some(trigger) = &new.trigger {
        pull(c, &new.id, &new.credential, trigger, now.wall_ms)?;
    }
    Ok(Claim { epoch: 1, seq, taken_from: None })
}

pub(super) fn claim(c: &Connection, id: &RotationId, owner: &Owner, now: &Stamp) -> Result<Claim, JournalError> {
    let header = open_header(c, id)?;
    let taken_from = match header.held {
        None => None,
        Some(held) => match held.takeable(owner, now) {
            Some(why) => Some(TakenFrom { owner: held.owner, why }),
            None => return Err(busy(id, held.owner)),
        },
    };
    let epoch = header.epoch + 1;
    let (wall, boot) = lease(now)?;
    let (column, holder) = (int(epoch)?, owner_text(owner)?);
    c.prepare_cached("UPDATE rotations SET epoch = ?2, owner = ?3, lease_wall = ?4, lease_boot = ?5 WHERE id = ?1")
        .and_then(|mut s| s.execute(params![id.as_str(), column, holder, wall, boot]))
        .map_err(sql("claim a rotation"))?;
    Ok(Claim { epoch, seq: header.seq, taken_from })
}

pub(super) fn renew(c: &Connection, id: &RotationId, epoch: u64, now: &Stamp) -> Result<(), JournalError> {
    let header = open_header(c, id)?;
    held_by(id, header.epoch, epoch, header.held.is_some())?;
    touch(c, id, header.seq, now)
}

pub(super) fn release(c: &Connection, id: &RotationId, epoch: u64) -> Result<(), JournalError> {
    let header = open_header(c, id)?;
    held_by(id, header.epoch, epoch, true)?;
    c.prepare_cached("UPDATE rotations SET owner = NULL WHERE id = ?1")
        .and_then(|mut s| s.execute([id.as_str()]))
        .map_err(sql("release a rotation"))
        .map(drop)
}

pub(super) fn append(c: &Connection, instance: &str, new: &Append, last: bool, now: &Stamp) -> Result<u64, JournalError> {
    let header = open_header(c, &new.id)?;
    if !broken(Mutant::NoFence) {
        held_by(&new.id, header.epoch, new.epoch, header.held.is_some())?;
    }
    if header.seq != new.expected_seq && !broken(Mutant::NoSequence) {
        let text = format!("rotation {} is at event {}, and the writer knows only {}", new.id, header.seq, new.expected_seq);
        return Err(superseded(text));
    }
    let seq = insert(c, instance, &new.id, new.epoch, header.seq, &new.events, last, None)?;
    touch(c, &new.id, seq, now)?;
    keep_sealed(c, &new.id, &new.sealed)?;
    keep_known(c, &new.id, &new.events, &new.sealed)?;
    super::outbox::put(c, &new.notices)?;
    if last {
        c.prepare_cached("UPDATE rotations SET finished = 1, owner = NULL WHERE id = ?1")
            .and_then(|mut s| s.execute([new.id.as_str()]))
            .map_err(sql("finish a rotation"))?;
        if !broken(Mutant::SecretsKept) {
            c.prepare_cached("DELETE FROM sealed WHERE rotation = ?1")
                .and_then(|mut s| s.execute([new.id.as_str()]))
                .map_err(sql("destroy sealed secrets"))?;
        }
        // Nobody is left to take a request, and one may hold a sealed secret.
        c.prepare_cached("DELETE FROM inbox WHERE rotation = ?1")
            .and_then(|mut s| s.execute([new.id.as_str()]))
            .map_err(sql("remove requests"))?;
    }
    Ok(seq)
}

fn keep_sealed(c: &Connection, id: &RotationId, sealed: &[SealedBlob]) -> Result<(), JournalError> {
    for secret in sealed {
        c.prepare_cached(
            "INSERT INTO sealed (rotation, slot, blob) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET blob = ?3",
        )
        .and_then(|mut s| s.execute(params![id.as_str(), secret.slot, secret.blob]))
        .map_err(sql("keep a sealed secret"))?;
    }
    Ok(())
}

pub(super) fn post(c: &Connection, id: &RotationId, request: &str) -> Result<(), JournalError> {
    open_header(c, id)?;
    c.prepare_cached("INSERT INTO inbox (rotation, request) VALUES (?1, ?2)")
        .and_then(|mut s| s.execute(params![id.as_str(), request]))
        .map_err(sql("leave a request"))
        .map(drop)
}

pub(super) fn take_from_inbox(c: &Connection, id: &RotationId, number: u64) -> Result<(), JournalError> {
    let number = int(number)?;
    c.prepare_cached("DELETE FROM inbox WHERE rotation = ?1 AND number = ?2")
        .and_then(|mut s| s.execute(params![id.as_str(), number]))
        .map_err(sql("take a request"))
        .map(drop)
}

pub(super) fn bind_key(c: &Connection, mark: &str) -> Result<(), JournalError> {
    match meta(c, "key-mark")? {
        Some(bound) if bound == mark => Ok(()),
        Some(_) => Err(another_key()),
        None => c
            .execute("INSERT INTO meta (key, value) VALUES ('key-mark', ?1)", [mark])
            .map_err(sql("bind the sealing key"))
            .map(drop),
    }
}

/// Adds rows to the chain; gives the sequence number of the last.
#[expect(clippy::too_many_arguments, reason = "each is a column or decides one")]
fn insert(
    c: &Connection,
    instance: &str,
    id: &RotationId,
    epoch: u64,
    mut seq: u64,
    events: &[NewEvent],
    last: bool,
    mut begin: Option<Begin<'_>>,
) -> Result<u64, JournalError> {
    let Head { mut n, hash: mut prev } = head(c, instance)?;
    let mut statement = c
        .prepare_cached(
            "INSERT INTO events (n, rotation, seq, epoch, format, wall_ms, boot_ms, boot_id, at, payload, last, prev, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )
        .map_err(sql("write a row"))?;
    for (i, event) in events.iter().enumerate() {
        n += 1;
        seq += 1;
        let mut row = Row {
            n,
            rotation: id.clone(),
            seq,
            epoch,
            format: FORMAT,
            stamp: event.stamp.clone(),
            at: event.at,
            payload: event.payload.clone(),
            last: last && i + 1 == events.len(),
            prev,
            hash: [0; 32],
        };
        row.hash = row_hash(&row, begin.take());
        if !broken(Mutant::ChainUnlinked) {
            prev = row.hash;
        }
        let (wall, boot) = (int(row.stamp.wall_ms)?, int(row.stamp.boot_ms)?);
        statement
            .execute(params![
                int(n)?,
                id.as_str(),
                int(seq)?,
                int(epoch)?,
                row.format,
                wall,
                boot,
                row.stamp.boot_id,
                int(row.at.0)?,
                row.payload,
                row.last,
                row.prev,
                row.hash
            ])
            .map_err(sql("write a row"))?;
    }
    Ok(seq)
}

/// Sets the last sequence number, and moves the end of the lease.
fn touch(c: &Connection, id: &RotationId, seq: u64, now: &Stamp) -> Result<(), JournalError> {
    let (wall, boot) = lease(now)?;
    let seq = int(seq)?;
    c.prepare_cached("UPDATE rotations SET seq = ?2, lease_wall = ?3, lease_boot = ?4 WHERE id = ?1")
        .and_then(|mut s| s.execute(params![id.as_str(), seq, wall, boot]))
        .map_err(sql("renew a lease"))
        .map(drop)
}

/// The columns of a rotation that decide who may write.
pub(super) struct Gate {
    pub(super) seq: u64,
    pub(super) epoch: u64,
    pub(super) finished: bool,
    pub(super) held: Option<Held>,
}

fn open_header(c: &Connection, id: &RotationId) -> Result<Gate, JournalError> {
    let gate = header_of(c, id)?.ok_or_else(|| not_found(id))?;
    if gate.finished {
        let text = format!("rotation {id} has ended");
        return Err(JournalError::new(Kind::Finished, "HO0315", text).hint("start a new one with `handover rotate`"));
    }
    Ok(gate)
}

fn held_by(id: &RotationId, epoch: u64, claimed: u64, held: bool) -> Result<(), JournalError> {
    if epoch == claimed && held {
        return Ok(());
    }
    Err(superseded(format!("rotation {id} was claimed or released since (epoch {epoch}, the writer has {claimed})")))
}

fn superseded(text: String) -> JournalError {
    JournalError::new(Kind::Superseded, "HO0313", text)
        .hint("another process goes on with it; this one must start no effect any more")
}

fn busy(id: &RotationId, other: Owner) -> JournalError {
    JournalError::new(Kind::Busy { other: Box::new(other.clone()) }, "HO0312", format!("rotation {id} is held by {other}"))
        .hint("wait for it, or stop that process (Ctrl-C or SIGTERM) and resume")
}

pub(super) fn not_found(id: &RotationId) -> JournalError {
    JournalError::new(Kind::NotFound, "HO0314", format!("there is no rotation {id} in this journal"))
        .hint("`handover history` lists them; --state names another journal")
}

fn lease(now: &Stamp) -> Result<(i64, i64), JournalError> {
    Ok((int(now.wall_ms.saturating_add(LEASE.0))?, int(now.boot_ms.saturating_add(LEASE.0))?))
}

fn owner_text(owner: &Owner) -> Result<String, JournalError> {
    serde_json::to_string(owner).map_err(|e| invalid("the owner cannot be written down").because(e))
}
