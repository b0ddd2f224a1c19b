//! What is read: rows with every check that a reader can make, headers, sealed secrets. It never changes anything.

use std::collections::BTreeSet;

use handover_rotation::name::RotationId;
use handover_rotation::time::Millis;
use rusqlite::{Connection, OptionalExtension, ToSql};

use super::rows::{COLUMNS, Held, int, rotation_id, row, sql, uint};
use super::write::{Gate, head, not_found};
use crate::journal::chain::{Begin, Break, Walk, genesis, row_hash, unknown_format};
use crate::journal::error::{JournalError, Kind};
use crate::journal::owner::{Liveness, Owner};
use crate::journal::record::{FORMAT, Filter, Header, Report, Row, Stamp, Why};

pub(super) fn meta(c: &Connection, key: &str) -> Result<Option<String>, JournalError> {
    c.prepare_cached("SELECT value FROM meta WHERE key = ?1")
        .and_then(|mut s| s.query_row([key], |r| r.get(0)).optional())
        .map_err(sql("read its own data"))
}

/// The columns that decide who may write to a rotation.
pub(super) fn header_of(c: &Connection, id: &RotationId) -> Result<Option<Gate>, JournalError> {
    type Columns = (i64, i64, bool, Option<String>, i64, i64);
    let found: Option<Columns> = c
        .prepare_cached("SELECT seq, epoch, finished, owner, lease_wall, lease_boot FROM rotations WHERE id = ?1")
        .and_then(|mut s| {
            s.query_row([id.as_str()], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?))).optional()
        })
        .map_err(sql("find a rotation"))?;
    let Some((seq, epoch, finished, owner, wall, boot)) = found else { return Ok(None) };
    Ok(Some(Gate { seq: uint(seq)?, epoch: uint(epoch)?, finished, held: Held::from(owner, wall, boot)? }))
}

pub(super) fn load(c: &Connection, instance: &str, id: &RotationId) -> Result<Vec<Row>, JournalError> {
    let Some(gate) = header_of(c, id)? else { return Err(not_found(id)) };
    let (credential, lineage, created_at) = c
        .prepare_cached("SELECT credential, lineage, created_at FROM rotations WHERE id = ?1")
        .and_then(|mut s| {
            s.query_row([id.as_str()], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?, r.get::<_, i64>(2)?)))
        })
        .map_err(sql("find a rotation"))?;
    let begin = Begin { credential: &credential, lineage: &lineage, created_at: Millis(uint(created_at)?) };
    let head = head(c, instance)?;
    let genesis = genesis(instance);

    let query = format!(
        "SELECT {COLUMNS}, p.hash, q.prev FROM events e LEFT JOIN events p ON p.n = e.n - 1
         LEFT JOIN events q ON q.n = e.n + 1 WHERE e.rotation = ?1 ORDER BY e.seq"
    );
    let mut statement = c.prepare_cached(&query).map_err(sql("read rows"))?;
    let mut found = statement.query([id.as_str()]).map_err(sql("read rows"))?;
    let mut rows: Vec<Row> = Vec::new();
    while let Some(r) = found.next().map_err(sql("read rows"))? {
        let before: Option<[u8; 32]> = r.get(13).map_err(sql("read a row"))?;
        let after: Option<[u8; 32]> = r.get(14).map_err(sql("read a row"))?;
        let row = row(r)?;
        if row.format != FORMAT {
            return Err(unknown_format(&row));
        }
        let expected = rows.last().map_or(1, |r| r.seq + 1);
        if row.seq != expected {
            return Err(gap(id, &format!("event {expected} is missing, the next one is {}", row.seq)));
        }
        let broken = |why: &str| Err(Break { n: row.n, why: why.to_owned() }.into());
        let before = if row.n == 1 { Some(genesis) } else { before };
        if before != Some(row.prev) {
            return broken("it does not follow the row before it");
        }
        if row_hash(&row, (row.seq == 1).then_some(begin)) != row.hash {
            return broken("its hash does not match its columns");
        }
        let follows = if row.n == head.n { after.is_none() } else { after == Some(row.hash) };
        if !follows {
            return broken("the row after it does not follow it");
        }
        rows.push(row);
    }
    let (seq, last) = rows.last().map_or((0, false), |r| (r.seq, r.last));
    if seq != gate.seq {
        return Err(gap(id, &format!("it ends with event {seq}, and {} were written", gate.seq)));
    }
    if last != gate.finished || rows.iter().rev().skip(1).any(|r| r.last) {
        return Err(gap(id, "its rows and its header do not agree on whether it has ended"));
    }
    Ok(rows)
}

fn gap(id: &RotationId, why: &str) -> JournalError {
    JournalError::new(Kind::Corrupt { n: None }, "HO0308", format!("the log of rotation {id} is not whole: {why}"))
        .hint("nothing may be done on it: restore the state folder from a backup, and look at the provider first")
}

/// The statement of a list. Only what is asked for stands in it: a condition that may be empty would keep it from every index.
pub(super) fn listing(filter: &Filter) -> String {
    let mut wanted: Vec<&str> = Vec::new();
    match filter.finished {
        Some(false) => wanted.push("finished = 0"),
        Some(true) => wanted.push("finished = 1"),
        None => {}
    }
    wanted.extend(filter.id.as_ref().map(|_| "id = ?"));
    wanted.extend(filter.credential.as_ref().map(|_| "credential = ?"));
    wanted.extend(filter.lineage.as_ref().map(|_| "lineage = ?"));
    wanted.extend(filter.since.map(|_| "(finished = 0 OR created_at >= ?)"));
    let wanted = if wanted.is_empty() { String::new() } else { format!("WHERE {}", wanted.join(" AND ")) };
    // Without counts of the rows the planner takes a scan from the newest for cheaper, which it is not where few are open.
    let open = filter.finished == Some(false) && filter.id.is_none() && filter.credential.is_none();
    let by = if open { "INDEXED BY one_rotation" } else { "" };
    // Rotations are written in the order of their first rows, so that the newest are found without looking at the rows of all.
    format!(
        "SELECT r.id, r.credential, r.lineage, r.created_at, r.seq, r.epoch, r.finished, r.owner, r.lease_wall, r.lease_boot
         FROM (SELECT rowid AS place, * FROM rotations {by} {wanted} ORDER BY rowid DESC LIMIT ?) r
         LEFT JOIN events e ON e.rotation = r.id AND e.seq = 1 ORDER BY e.n DESC, r.place DESC"
    )
}

pub(super) fn list(c: &Connection, filter: &Filter, observer: &Owner, now: &Stamp) -> Result<Vec<Header>, JournalError> {
    let query = listing(filter);
    let (id, since) = (filter.id.as_ref().map(RotationId::as_str), filter.since.map(|at| int(at.0)).transpose()?);
    let limit = filter.limit.map_or(-1, i64::from);
    let mut values: Vec<&dyn ToSql> = Vec::new();
    values.extend(id.as_ref().map(|value| value as &dyn ToSql));
    values.extend(filter.credential.as_ref().map(|value| value as &dyn ToSql));
    values.extend(filter.lineage.as_ref().map(|value| value as &dyn ToSql));
    values.extend(since.as_ref().map(|value| value as &dyn ToSql));
    values.push(&limit);
    let mut statement = c.prepare_cached(&query).map_err(sql("list rotations"))?;
    let mut found = statement.query(values.as_slice()).map_err(sql("list rotations"))?;
    let mut headers = Vec::new();
    // Whether a process lives is asked of the kernel: once, however many rotations it holds.
    let mut lives: Option<(Owner, Liveness)> = None;
    while let Some(r) = found.next().map_err(sql("list rotations"))? {
        let number = |i| r.get(i).map_err(sql("read a rotation")).and_then(uint);
        let text = |i| r.get::<_, String>(i).map_err(sql("read a rotation"));
        let owner: Option<String> = r.get(7).map_err(sql("read a rotation"))?;
        let (wall, boot) = (number(8)?, number(9)?);
        let held = Held::from(owner, i64::try_from(wall).unwrap_or(i64::MAX), i64::try_from(boot).unwrap_or(i64::MAX))?;
        let held = held.filter(|held| {
            let known = lives.as_ref().filter(|(owner, _)| *owner == held.owner).map(|(_, liveness)| *liveness);
            let liveness = known.unwrap_or_else(|| held.owner.liveness(observer));
            if known.is_none() {
                lives = Some((held.owner.clone(), liveness));
            }
            matches!(held.takeable_if(liveness, now), None | Some(Why::Itself))
        });
        headers.push(Header {
            id: rotation_id(text(0)?)?,
            credential: text(1)?,
            lineage: text(2)?,
            created_at: Millis(number(3)?),
            seq: number(4)?,
            epoch: number(5)?,
            finished: number(6)? == 1,
            holder: held.map(|h| h.owner),
        });
    }
    Ok(headers)
}

pub(super) fn sealed(c: &Connection, id: &RotationId, slot: &str) -> Result<Option<Vec<u8>>, JournalError> {
    c.prepare_cached("SELECT blob FROM sealed WHERE rotation = ?1 AND slot = ?2")
        .and_then(|mut s| s.query_row([id.as_str(), slot], |r| r.get(0)).optional())
        .map_err(sql("read a sealed secret"))
}

pub(super) fn inbox(c: &Connection, id: &RotationId) -> Result<Vec<(u64, String)>, JournalError> {
    let found = c
        .prepare_cached("SELECT number, request FROM inbox WHERE rotation = ?1 ORDER BY number")
        .and_then(|mut s| {
            s.query_map([id.as_str()], |r| Ok((r.get::<_, i64>(0)?, r.get(1)?)))?.collect::<Result<Vec<_>, _>>()
        })
        .map_err(sql("read the inbox"))?;
    found.into_iter().map(|(number, request)| Ok((uint(number)?, request))).collect()
}

/// The rotations that something is asked of.
pub(super) fn asked(c: &Connection) -> Result<BTreeSet<RotationId>, JournalError> {
    let found: Vec<String> = c
        .prepare_cached("SELECT DISTINCT rotation FROM inbox")
        .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect())
        .map_err(sql("read the inbox"))?;
    found.into_iter().map(rotation_id).collect()
}

pub(super) fn verify(c: &Connection, instance: &str, observer: &Owner, now: &Stamp) -> Result<Report, JournalError> {
    let query = format!(
        "SELECT {COLUMNS}, r.credential, r.lineage, r.created_at FROM events e LEFT JOIN rotations r ON r.id = e.rotation ORDER BY e.n"
    );
    let mut statement = c.prepare_cached(&query).map_err(sql("read rows"))?;
    let mut found = statement.query([]).map_err(sql("read rows"))?;
    let mut walk = Walk::new(instance);
    while let Some(r) = found.next().map_err(sql("read rows"))? {
        let row = row(r)?;
        if row.format != FORMAT {
            return Err(unknown_format(&row));
        }
        let credential: Option<String> = r.get(13).map_err(sql("read a row"))?;
        let lineage: Option<String> = r.get(14).map_err(sql("read a row"))?;
        let created_at: Option<i64> = r.get(15).map_err(sql("read a row"))?;
        let begin = match (&credential, &lineage, created_at) {
            (Some(credential), Some(lineage), Some(at)) if row.seq == 1 => {
                Some(Begin { credential, lineage, created_at: Millis(uint(at)?) })
            }
            _ => None,
        };
        walk.step(&row, begin)?;
    }
    let headers = list(c, &Filter::default(), observer, now)?;
    Ok(walk.end(&headers)?)
}

pub(super) fn export(c: &Connection, id: Option<&RotationId>) -> Result<Vec<Row>, JournalError> {
    let query = format!("SELECT {COLUMNS} FROM events e WHERE ?1 IS NULL OR e.rotation = ?1 ORDER BY e.n");
    let mut statement = c.prepare_cached(&query).map_err(sql("read rows"))?;
    let mut found = statement.query([id.map(RotationId::as_str)]).map_err(sql("read rows"))?;
    let mut rows = Vec::new();
    while let Some(r) = found.next().map_err(sql("read rows"))? {
        rows.push(row(r)?);
    }
    Ok(rows)
}
