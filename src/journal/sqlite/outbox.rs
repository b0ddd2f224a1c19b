//! The statements of the outbox, inside of the writer's transaction or of a reader's.

use rusqlite::{Connection, params};

use super::rows::{int, invalid, sql, uint};
use crate::journal::error::JournalError;
use crate::journal::outbox::{NewNotice, OUTBOX_WAIT_MOST, Queued, Standing, Tried};

pub(super) fn check(notices: &[NewNotice]) -> Result<(), JournalError> {
    notices.iter().find_map(NewNotice::fault).map_or(Ok(()), |why| Err(invalid(why)))
}

pub(super) fn put(c: &Connection, notices: &[NewNotice]) -> Result<(), JournalError> {
    for notice in notices {
        let at = int(notice.at_ms)?;
        c.prepare_cached(
            "INSERT INTO outbox (id, target, thread, notice, made_at, next_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
             ON CONFLICT (id, target) DO NOTHING",
        )
        .and_then(|mut s| s.execute(params![notice.id, notice.target, notice.thread, notice.text, at]))
        .map_err(sql("keep a notice"))?;
    }
    Ok(())
}

pub(super) fn targets(c: &Connection) -> Result<Vec<String>, JournalError> {
    c.prepare_cached("SELECT DISTINCT target FROM outbox WHERE state = 'waiting' ORDER BY target")
        .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect())
        .map_err(sql("read the outbox"))
}

pub(super) fn due(c: &Connection, target: &str, now_ms: u64, most: u32) -> Result<Vec<Queued>, JournalError> {
    let (now, far) = (int(now_ms)?, int(now_ms.saturating_add(OUTBOX_WAIT_MOST))?);
    type Columns = (i64, String, String, String, i64, i64);
    let found: Vec<Columns> = c
        .prepare_cached(
            "SELECT number, id, thread, notice, made_at, attempts FROM outbox o
             WHERE target = ?1 AND state = 'waiting' AND (next_at <= ?2 OR next_at > ?3)
             AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.target = ?1 AND e.thread = o.thread AND e.state = 'waiting'
                             AND e.number < o.number)
             ORDER BY attempts, number LIMIT ?4",
        )
        .and_then(|mut s| {
            s.query_map(params![target, now, far, most], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?))
            })?
            .collect()
        })
        .map_err(sql("read the outbox"))?;
    let queued = |(number, id, thread, text, at, attempts): Columns| {
        let notice = NewNotice { id, target: target.to_owned(), thread, text, at_ms: uint(at)? };
        Ok(Queued { number: uint(number)?, notice, attempts: u32::try_from(attempts).unwrap_or(u32::MAX) })
    };
    found.into_iter().map(queued).collect()
}

pub(super) fn tried(c: &Connection, number: u64, tried: &Tried) -> Result<(), JournalError> {
    let (state, next, why) = match tried {
        Tried::Sent => ("sent", None, None),
        Tried::Again { at_ms, why } => ("waiting", Some(int(*at_ms)?), Some(why)),
        Tried::GivenUp { why } => ("given-up", None, Some(why)),
    };
    c.prepare_cached(
        "UPDATE outbox SET state = ?2, next_at = coalesce(?3, next_at), why = ?4, attempts = attempts + 1
         WHERE number = ?1 AND state = 'waiting'",
    )
    .and_then(|mut s| s.execute(params![int_or_none(number), state, next, why]))
    .map_err(sql("write down what came of a notice"))
    .map(drop)
}

/// A number that SQLite cannot keep is that of no row.
fn int_or_none(number: u64) -> Option<i64> {
    i64::try_from(number).ok()
}

pub(super) fn standing(c: &Connection) -> Result<Vec<Standing>, JournalError> {
    type Columns = (String, i64, Option<i64>, i64, Option<String>);
    let found: Vec<Columns> = c
        .prepare_cached(
            "SELECT target, sum(state = 'waiting'), min(CASE WHEN state = 'waiting' THEN made_at END), sum(state = 'given-up'),
             (SELECT why FROM outbox w WHERE w.target = o.target AND w.why IS NOT NULL ORDER BY number DESC LIMIT 1)
             FROM outbox o GROUP BY target ORDER BY target",
        )
        .and_then(|mut s| {
            s.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?)))?.collect()
        })
        .map_err(sql("read the outbox"))?;
    let one = |(target, waiting, oldest, given_up, why): Columns| {
        let oldest_ms = oldest.map(uint).transpose()?;
        Ok(Standing { target, waiting: uint(waiting)?, oldest_ms, given_up: uint(given_up)?, why })
    };
    found.into_iter().map(one).collect()
}

pub(super) fn sweep(c: &Connection, before_ms: u64) -> Result<u64, JournalError> {
    let before = int(before_ms)?;
    c.prepare_cached("DELETE FROM outbox WHERE state <> 'waiting' AND made_at < ?1")
        .and_then(|mut s| s.execute([before]))
        .map_err(sql("sweep the outbox"))
        .map(|n| n as u64)
}
