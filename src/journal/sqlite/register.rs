//! The daemon's tables: statements only, each to be run inside of the writer's transaction or a read.

use handover_rotation::name::RotationId;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::rows::{damaged, int, invalid, rotation_id, sql, uint};
use crate::journal::error::{JournalError, Kind};
use crate::journal::record::{NewEvent, SealedBlob};
use crate::journal::register::{Alert, AlertChange, AlertState, Bearer, Known, NewAlert, Tick, TokenRow, Trigger};

/// Keeps what versions are known by, with the events and secrets that tell it.
pub(super) fn keep_known(
    c: &Connection,
    id: &RotationId,
    events: &[NewEvent],
    sealed: &[SealedBlob],
) -> Result<(), JournalError> {
    let of_events = events.iter().flat_map(|event| event.known.iter().map(|known| (&known.slot, &known.mark)));
    let of_secrets = sealed.iter().flat_map(|blob| blob.known.iter().map(|mark| (&blob.slot, mark)));
    for (slot, mark) in of_events.chain(of_secrets) {
        c.prepare_cached("INSERT INTO known (mark, rotation, slot) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")
            .and_then(|mut s| s.execute(params![mark, id.as_str(), slot]))
            .map_err(sql("keep what a version is known by"))?;
    }
    Ok(())
}

/// Records what set a rotation going; refuses what has set one going before.
pub(super) fn pull(
    c: &Connection,
    id: &RotationId,
    credential: &str,
    trigger: &Trigger,
    now_ms: u64,
) -> Result<(), JournalError> {
    match trigger {
        Trigger::Tick(at_ms) => {
            let tick = Tick {
                credential: credential.to_owned(),
                at_ms: *at_ms,
                what: "began".to_owned(),
                rotation: Some(id.clone()),
            };
            if tick_in(c, &tick)? {
                return Ok(());
            }
            let text = format!("the schedule of {credential} has had this time or a later one before");
            Err(JournalError::new(Kind::Ticked, "HO0332", text).hint("nothing was begun: a time comes once"))
        }
        Trigger::Alert(number) => {
            let (number, now) = (int(*number)?, int(now_ms)?);
            let changed = c
                .prepare_cached(
                    "UPDATE alerts SET state = 'containing', credential = ?2, rotation = ?3, changed_ms = ?4 WHERE number = ?1",
                )
                .and_then(|mut s| s.execute(params![number, credential, id.as_str(), now]))
                .map_err(sql("record an alert"))?;
            if changed == 1 { Ok(()) } else { Err(invalid(format!("there is no alert {number}"))) }
        }
    }
}

pub(super) fn tick_in(c: &Connection, tick: &Tick) -> Result<bool, JournalError> {
    let last: Option<i64> = c
        .prepare_cached("SELECT max(at_ms) FROM ticks WHERE credential = ?1")
        .and_then(|mut s| s.query_row([&tick.credential], |r| r.get(0)))
        .map_err(sql("look for the last tick"))?;
    let at = int(tick.at_ms)?;
    if last.is_some_and(|last| last >= at) {
        return Ok(false);
    }
    c.prepare_cached("INSERT INTO ticks (credential, at_ms, what, rotation) VALUES (?1, ?2, ?3, ?4)")
        .and_then(|mut s| s.execute(params![tick.credential, at, tick.what, tick.rotation.as_ref().map(RotationId::as_str)]))
        .map_err(sql("record a tick"))?;
    Ok(true)
}

pub(super) fn rules(c: &Connection, rules: &[(String, String)], now_ms: u64) -> Result<Vec<u64>, JournalError> {
    let now = int(now_ms)?;
    let mut since = Vec::with_capacity(rules.len());
    for (credential, mark) in rules {
        let at: i64 = c
            .prepare_cached(
                "INSERT INTO rules (credential, mark, since_ms) VALUES (?1, ?2, ?3) ON CONFLICT (credential) DO UPDATE
                 SET since_ms = CASE WHEN mark = ?2 THEN since_ms ELSE ?3 END, mark = ?2 RETURNING since_ms",
            )
            .and_then(|mut s| s.query_row(params![credential, mark, now], |r| r.get(0)))
            .map_err(sql("remember a schedule"))?;
        since.push(uint(at)?);
    }
    Ok(since)
}

pub(super) fn last_ticks(c: &Connection) -> Result<Vec<Tick>, JournalError> {
    let columns = |r: &Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get::<_, Option<String>>(3)?));
    let rows: Vec<(String, i64, String, Option<String>)> = c
        .prepare_cached(
            // SQLite takes the other columns from the row of the maximum.
            "SELECT credential, max(at_ms), what, rotation FROM ticks GROUP BY credential",
        )
        .and_then(|mut s| s.query_map([], columns)?.collect())
        .map_err(sql("list ticks"))?;
    rows.into_iter()
        .map(|(credential, at, what, rotation)| {
            Ok(Tick { credential, at_ms: uint(at)?, what, rotation: rotation.map(rotation_id).transpose()? })
        })
        .collect()
}

pub(super) fn take_alerts(c: &Connection, alerts: &[NewAlert]) -> Result<Vec<u64>, JournalError> {
    let mut numbers = Vec::new();
    for alert in alerts {
        let at = int(alert.at_ms)?;
        let new = c
            .prepare_cached(
                "INSERT INTO alerts (digest, part, at_ms, source, report, state, changed_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'new', ?3) ON CONFLICT DO NOTHING RETURNING number",
            )
            .and_then(|mut s| {
                s.query_row(params![alert.digest, alert.part, at, alert.source, alert.report], |r| r.get::<_, i64>(0))
                    .optional()
            })
            .map_err(sql("keep an alert"))?;
        numbers.extend(new.map(uint).transpose()?);
    }
    Ok(numbers)
}

pub(super) fn change_alert(c: &Connection, number: u64, change: &AlertChange, now_ms: u64) -> Result<(), JournalError> {
    let changed = c
        .prepare_cached(
            "UPDATE alerts SET state = ?2, credential = coalesce(?3, credential), rotation = coalesce(?4, rotation), note = ?5,
             changed_ms = ?6 WHERE number = ?1",
        )
        .and_then(|mut s| {
            s.execute(params![
                int(number).unwrap_or(-1),
                change.state.text(),
                change.credential,
                change.rotation.as_ref().map(RotationId::as_str),
                change.note,
                int(now_ms).unwrap_or(i64::MAX)
            ])
        })
        .map_err(sql("change an alert"))?;
    if changed == 1 { Ok(()) } else { Err(invalid(format!("there is no alert {number}"))) }
}

const ALERT: &str = "number, at_ms, source, report, state, credential, rotation, note, changed_ms";

/// Those below a number, the newest first. The states that are looked at for ever have an index, which only a statement that says
/// so uses.
pub(super) fn alerts(
    c: &Connection,
    state: Option<AlertState>,
    below: Option<u64>,
    limit: u32,
) -> Result<Vec<Alert>, JournalError> {
    let of = match state {
        None => String::new(),
        Some(state @ (AlertState::Closed | AlertState::Unknown)) => format!("AND state = '{}'", state.text()),
        Some(state) => format!("AND state = '{}' AND state NOT IN ('closed', 'unknown')", state.text()),
    };
    let below = below.map_or(i64::MAX, |number| i64::try_from(number).unwrap_or(i64::MAX));
    let query = format!("SELECT {ALERT} FROM alerts WHERE number < ?1 {of} ORDER BY number DESC LIMIT ?2");
    alerts_by(c, &query, params![below, limit])
}

pub(super) fn alerts_of(c: &Connection, id: &RotationId) -> Result<Vec<Alert>, JournalError> {
    let query = format!("SELECT {ALERT} FROM alerts WHERE rotation = ?1 ORDER BY number");
    alerts_by(c, &query, params![id.as_str()])
}

fn alerts_by(c: &Connection, query: &str, of: &[&dyn ToSql]) -> Result<Vec<Alert>, JournalError> {
    type Columns = (i64, i64, String, String, String, Option<String>, Option<String>, String, i64);
    let columns = |r: &Row<'_>| {
        Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?, r.get(6)?, r.get(7)?, r.get(8)?))
    };
    let rows: Vec<Columns> =
        c.prepare_cached(query).and_then(|mut s| s.query_map(of, columns)?.collect()).map_err(sql("list alerts"))?;
    rows.into_iter()
        .map(|(number, at, source, report, state, credential, rotation, note, changed)| {
            Ok(Alert {
                number: uint(number)?,
                at_ms: uint(at)?,
                source,
                report,
                state: AlertState::parse(&state).ok_or_else(|| damaged(format!("an alert has the state {state:?}")))?,
                credential,
                rotation: rotation.map(rotation_id).transpose()?,
                note,
                changed_ms: uint(changed)?,
            })
        })
        .collect()
}

pub(super) fn alert(c: &Connection, number: u64) -> Result<Option<Alert>, JournalError> {
    let query = format!("SELECT {ALERT} FROM alerts WHERE number = ?1");
    Ok(alerts_by(c, &query, params![int(number).unwrap_or(-1)])?.into_iter().next())
}

pub(super) fn bearers(c: &Connection, mark: &str) -> Result<Vec<Bearer>, JournalError> {
    let pair = |r: &Row<'_>| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?));
    let rotations: Vec<(String, String)> = c
        .prepare_cached(
            "SELECT k.rotation, k.slot FROM known k JOIN rotations r ON r.id = k.rotation WHERE k.mark = ?1 ORDER BY r.created_at DESC",
        )
        .and_then(|mut s| s.query_map([mark], pair)?.collect())
        .map_err(sql("look for a mark"))?;
    let stock: Vec<(String, String)> = c
        .prepare_cached("SELECT credential, version FROM stock WHERE mark = ?1 ORDER BY seen_ms DESC")
        .and_then(|mut s| s.query_map([mark], pair)?.collect())
        .map_err(sql("look for a mark"))?;
    let of = |(id, slot): (String, String)| Ok(Bearer::Rotation { id: rotation_id(id)?, slot });
    let mut found = rotations.into_iter().map(of).collect::<Result<Vec<_>, JournalError>>()?;
    found.extend(stock.into_iter().map(|(credential, version)| Bearer::Stock { credential, version }));
    Ok(found)
}

pub(super) fn stock(
    c: &Connection,
    credential: &str,
    version: &str,
    marks: &[String],
    now_ms: u64,
) -> Result<(), JournalError> {
    for mark in marks {
        c.prepare_cached(
            "INSERT INTO stock (mark, credential, version, seen_ms) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET seen_ms = ?4",
        )
        .and_then(|mut s| s.execute(params![mark, credential, version, int(now_ms).unwrap_or(i64::MAX)]))
        .map_err(sql("remember a version"))?;
    }
    Ok(())
}

pub(super) fn known_of(c: &Connection, id: &RotationId) -> Result<Vec<Known>, JournalError> {
    c.prepare_cached("SELECT slot, mark FROM known WHERE rotation = ?1 ORDER BY slot, mark")
        .and_then(|mut s| {
            s.query_map([id.as_str()], |r| Ok(Known { slot: r.get(0)?, mark: r.get(1)? }))?.collect::<Result<Vec<_>, _>>()
        })
        .map_err(sql("list what versions are known by"))
}

pub(super) fn keep_assessment(c: &Connection, id: &RotationId, at_ms: u64, document: &str) -> Result<(), JournalError> {
    c.prepare_cached("INSERT OR REPLACE INTO assessments (rotation, at_ms, document) VALUES (?1, ?2, ?3)")
        .and_then(|mut s| s.execute(params![id.as_str(), int(at_ms).unwrap_or(i64::MAX), document]))
        .map_err(sql("keep an assessment"))
        .map(drop)
}

pub(super) fn assessments(c: &Connection, id: &RotationId) -> Result<Vec<(u64, String)>, JournalError> {
    let rows: Vec<(i64, String)> = c
        .prepare_cached("SELECT at_ms, document FROM assessments WHERE rotation = ?1 ORDER BY at_ms")
        .and_then(|mut s| s.query_map([id.as_str()], |r| Ok((r.get(0)?, r.get(1)?)))?.collect())
        .map_err(sql("list assessments"))?;
    rows.into_iter().map(|(at, document)| Ok((uint(at)?, document))).collect()
}

pub(super) fn set_token(c: &Connection, token: &TokenRow) -> Result<(), JournalError> {
    c.prepare_cached(
        "INSERT INTO tokens (name, role, hash, at_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (name) DO UPDATE SET role = ?2, hash = ?3, at_ms = ?4",
    )
    .and_then(|mut s| s.execute(params![token.name, token.role, token.hash, int(token.at_ms).unwrap_or(i64::MAX)]))
    .map_err(sql("keep a token"))
    .map(drop)
}

pub(super) fn drop_token(c: &Connection, name: &str) -> Result<bool, JournalError> {
    c.prepare_cached("DELETE FROM tokens WHERE name = ?1")
        .and_then(|mut s| s.execute([name]))
        .map_err(sql("take a token away"))
        .map(|gone| gone > 0)
}

pub(super) fn tokens(c: &Connection) -> Result<Vec<TokenRow>, JournalError> {
    let columns = |r: &Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get::<_, [u8; 32]>(2)?, r.get::<_, i64>(3)?));
    let rows: Vec<(String, String, [u8; 32], i64)> = c
        .prepare_cached("SELECT name, role, hash, at_ms FROM tokens ORDER BY name")
        .and_then(|mut s| s.query_map([], columns)?.collect())
        .map_err(sql("list tokens"))?;
    rows.into_iter().map(|(name, role, hash, at)| Ok(TokenRow { name, role, hash, at_ms: uint(at)? })).collect()
}
