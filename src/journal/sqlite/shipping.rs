//! The statements of what is sent elsewhere, each inside of the writer's transaction or of a read.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{COLUMNS, damaged, int, row, sql, uint};
use super::write::head;
use crate::journal::checkpoint::Checkpoint;
use crate::journal::error::JournalError;
use crate::journal::record::Head;
use crate::journal::shipping::{Begun, Cursor, Item, Sent, another};

pub(super) fn hash_at(c: &Connection, instance: &str, n: u64) -> Result<Option<[u8; 32]>, JournalError> {
    if n == 0 {
        return Ok(Some(crate::journal::chain::genesis(instance)));
    }
    // A number that SQLite cannot keep is that of no row.
    let Ok(n) = i64::try_from(n) else { return Ok(None) };
    c.prepare_cached("SELECT hash FROM events WHERE n = ?1")
        .and_then(|mut s| s.query_row([n], |r| r.get(0)).optional())
        .map_err(sql("find a row"))
}

pub(super) fn cursor(c: &Connection, instance: &str, sink: &str) -> Result<Cursor, JournalError> {
    type Columns = (i64, [u8; 32], i64, Option<i64>);
    let found: Option<Columns> = c
        .prepare_cached("SELECT n, hash, checkpoint, told_ms FROM shipped WHERE sink = ?1")
        .and_then(|mut s| s.query_row([sink], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))).optional())
        .map_err(sql("find how far a sink has come"))?;
    let Some((n, hash, checkpoint, told)) = found else {
        let hash = crate::journal::chain::genesis(instance);
        return Ok(Cursor { head: Head { n: 0, hash }, checkpoint: 0, told_ms: None });
    };
    let head = Head { n: uint(n)?, hash };
    Ok(Cursor { head, checkpoint: uint(checkpoint)?, told_ms: told.map(uint).transpose()? })
}

pub(super) fn shipped(c: &Connection, sink: &str, cursor: &Cursor) -> Result<(), JournalError> {
    let (n, checkpoint) = (int(cursor.head.n)?, int(cursor.checkpoint)?);
    let told = cursor.told_ms.map(int).transpose()?;
    c.prepare_cached(
        "INSERT INTO shipped (sink, n, hash, checkpoint, told_ms) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (sink) DO UPDATE SET hash = CASE WHEN ?2 > n THEN ?3 ELSE hash END, n = max(n, ?2),
         checkpoint = max(checkpoint, ?4), told_ms = ?5",
    )
    .and_then(|mut s| s.execute(params![sink, n, cursor.head.hash, checkpoint, told]))
    .map_err(sql("write down how far a sink has come"))
    .map(drop)
}

/// Halts where the log is not the one that the sink has: the row up to which it has come must still be there.
fn check(c: &Connection, instance: &str, seen: &Head) -> Result<(), JournalError> {
    match hash_at(c, instance, seen.n)? {
        Some(hash) if hash == seen.hash => Ok(()),
        Some(_) => Err(another(format!("row {} of the journal is not the one that was sent", seen.n))),
        None => {
            let rows = head(c, instance)?.n;
            Err(another(format!("the journal has {rows} rows, and row {} was sent: it was cut or put back", seen.n)))
        }
    }
}

pub(super) fn next(
    c: &Connection,
    instance: &str,
    after: &Cursor,
    most: u32,
    bytes: usize,
) -> Result<Vec<Item>, JournalError> {
    check(c, instance, &after.head)?;
    let query = format!(
        "SELECT {COLUMNS}, r.credential, r.lineage, r.created_at FROM events e LEFT JOIN rotations r ON r.id = e.rotation
         WHERE e.n > ?1 ORDER BY e.n LIMIT ?2"
    );
    let mut statement = c.prepare_cached(&query).map_err(sql("read rows"))?;
    let mut found = statement.query(params![int(after.head.n)?, most]).map_err(sql("read rows"))?;
    let mut signed = checkpoints_after(c, after.checkpoint, most)?.into_iter().peekable();
    let (mut items, mut length, mut at) = (Vec::new(), 0, after.clone());
    let full = |items: &Vec<Item>, length: usize| items.len() >= most as usize || !items.is_empty() && length >= bytes;
    loop {
        while !full(&items, length)
            && let Some((number, checkpoint)) = signed.next_if(|(_, c)| c.head.n <= at.head.n)
        {
            at.checkpoint = number;
            length += push(&mut items, checkpoint.line(), &at);
        }
        if full(&items, length) {
            return Ok(items);
        }
        let Some(r) = found.next().map_err(sql("read rows"))? else { return Ok(items) };
        let sent = sent(instance, r)?;
        let (n, prev, hash) = (sent.row.n, sent.row.prev, sent.row.hash);
        if n != at.head.n + 1 || prev != at.head.hash || !sent.is_sound() {
            return Err(another(format!("row {n} of the journal does not follow from the one that was sent before it")));
        }
        at.head = Head { n, hash };
        length += push(&mut items, sent.line()?, &at);
    }
}

fn push(items: &mut Vec<Item>, line: String, at: &Cursor) -> usize {
    let length = line.len();
    items.push(Item { line, after: at.clone() });
    length
}

fn sent(instance: &str, r: &Row<'_>) -> Result<Sent, JournalError> {
    let row = row(r)?;
    let get = |i| r.get::<_, Option<String>>(i).map_err(sql("read a row"));
    let (credential, lineage) = (get(13)?, get(14)?);
    let created: Option<i64> = r.get(15).map_err(sql("read a row"))?;
    let begun = match (credential, lineage, created) {
        (Some(credential), Some(lineage), Some(at)) if row.seq == 1 => {
            Some(Begun { credential, lineage, created_at: uint(at)? })
        }
        _ => None,
    };
    Ok(Sent { journal: instance.to_owned(), row, begun })
}

pub(super) fn keep_checkpoint(c: &Connection, checkpoint: &Checkpoint) -> Result<(), JournalError> {
    let Checkpoint { head, wall_ms, key, signature, .. } = checkpoint;
    c.prepare_cached("INSERT INTO checkpoints (n, hash, wall_ms, key, signature) VALUES (?1, ?2, ?3, ?4, ?5)")
        .and_then(|mut s| {
            s.execute(params![int(head.n).unwrap_or(i64::MAX), head.hash, int(*wall_ms).unwrap_or(i64::MAX), key, signature])
        })
        .map_err(sql("keep a checkpoint"))
        .map(drop)
}

const CHECKPOINT: &str = "SELECT number, n, hash, wall_ms, key, signature, (SELECT value FROM meta WHERE key = 'instance')
    FROM checkpoints";

fn read(c: &Connection, query: &str, with: impl rusqlite::Params) -> Result<Vec<(u64, Checkpoint)>, JournalError> {
    type Columns = (i64, i64, [u8; 32], i64, String, Vec<u8>, Option<String>);
    let found: Vec<Columns> = c
        .prepare_cached(query)
        .and_then(|mut s| {
            s.query_map(with, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?, r.get(6)?)))?
                .collect()
        })
        .map_err(sql("read checkpoints"))?;
    let one = |(number, n, hash, wall, key, signature, journal): Columns| {
        let journal = journal.ok_or_else(|| damaged("the journal has no name of its own"))?;
        let head = Head { n: uint(n)?, hash };
        Ok((uint(number)?, Checkpoint { journal, head, wall_ms: uint(wall)?, key, signature }))
    };
    found.into_iter().map(one).collect()
}

fn checkpoints_after(c: &Connection, number: u64, most: u32) -> Result<Vec<(u64, Checkpoint)>, JournalError> {
    read(c, &format!("{CHECKPOINT} WHERE number > ?1 ORDER BY number LIMIT ?2"), params![int(number)?, most])
}

pub(super) fn checkpoints(c: &Connection) -> Result<Vec<Checkpoint>, JournalError> {
    Ok(read(c, &format!("{CHECKPOINT} ORDER BY number"), [])?.into_iter().map(|(_, checkpoint)| checkpoint).collect())
}

pub(super) fn last_checkpoint(c: &Connection) -> Result<Option<Checkpoint>, JournalError> {
    Ok(read(c, &format!("{CHECKPOINT} ORDER BY number DESC LIMIT 1"), [])?.pop().map(|(_, checkpoint)| checkpoint))
}
