//! Rows of a journal: any payloads are decoded and folded or refused, never worse; what folds can be decided on and shown; and
//! a row with one column changed from the side does not load (safety.md S23, S28).
//!
//! An input is the payloads, one a line, as `audit export` writes them. `@` and a number before a payload is its time.

use handover_rotation::apply::fold;
use handover_rotation::decide::decide;
use handover_rotation::event::Event;
use handover_rotation::name::RotationId;
use handover_rotation::state::Rotation;
use handover_rotation::time::Millis;
use rusqlite::types::Value;

use super::{assert_calm, below, chosen, panic_at};
use crate::engine::{events, replay};
use crate::journal::doors::{COLUMNS, Memory};
use crate::journal::{NewEvent, Row, Stamp};
use crate::view::style::Zone;
use crate::view::{Style, line, report, status};

const STEP: u64 = 1000;

/// Runs one input.
pub(super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(id) = RotationId::new("R1") else { return };
    let rows = rows(&id, text);
    let state = replay(&id, &rows);
    let Ok(events) = events(&rows) else {
        assert!(state.is_err(), "rows fold that cannot be decoded");
        return;
    };
    for (_, event) in &events {
        let again = serde_json::to_string(event).ok().and_then(|t| serde_json::from_str::<Event>(&t).ok());
        assert_eq!(again.as_ref(), Some(event), "an event changes on its way through a row");
    }
    match fold(events.iter().map(|(at, event)| (*at, event))) {
        Ok(rotation) => {
            assert_eq!(state.ok().as_ref(), Some(&rotation));
            folded(&rotation, &events);
            stored(data, &id, &rows);
        }
        Err((at, _)) => {
            assert!(state.is_err() && at <= events.len());
            // What came before the event that has no place has a state of its own.
            if at > 0 {
                assert!(fold(events[..at].iter().map(|(at, event)| (*at, event))).is_ok());
            }
        }
    }
}

fn rows(id: &RotationId, text: &str) -> Vec<Row> {
    let mut at = 1_790_000_000_000;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let row = |(i, line): (usize, &str)| {
        let seq = i as u64 + 1;
        let given = line.strip_prefix('@').and_then(|rest| rest.split_once(' '));
        let given = given.and_then(|(at, payload)| Some((at.parse::<u64>().ok()?, payload)));
        at = given.map_or(at + STEP, |(given, _)| given.min(i64::MAX as u64));
        let payload = given.map_or(line, |(_, payload)| payload).to_owned();
        let stamp = Stamp { wall_ms: at, boot_ms: seq, boot_id: "boot".to_owned() };
        let (prev, hash) = ([0; 32], [0; 32]);
        Row {
            n: seq,
            rotation: id.clone(),
            seq,
            epoch: 1,
            format: 1,
            stamp,
            at: Millis(at),
            payload,
            last: false,
            prev,
            hash,
        }
    };
    lines.enumerate().map(row).collect()
}

/// A state, however odd, is decided on the same way twice, and can be shown.
fn folded(rotation: &Rotation, events: &[(Millis, Event)]) {
    for later in [0, 1, 3_600_000, u64::MAX] {
        let now = Millis(rotation.at.0.saturating_add(later));
        assert_eq!(decide(rotation, now), decide(rotation, now));
    }
    let style = Style { zone: Zone::Utc, ..Style::plain() };
    let now = rotation.at;
    assert_calm("the status", &status::status(rotation, events, now, None, style));
    assert_calm("the report", &report::report(rotation, events, now, style));
    let json = status::status_json(rotation, events, now, None);
    assert!(json.is_object());
    if let Some((at, event)) = events.last() {
        for told in line::lines(event, *at, rotation, style) {
            assert_calm("a line of progress", &told);
        }
    }
}

/// Written to a journal and read again, it is the same; with one column changed, it does not load.
fn stored(data: &[u8], id: &RotationId, rows: &[Row]) {
    thread_local!(static MEMORY: Option<Memory> = Memory::new().ok());
    let new = |r: &Row| NewEvent { stamp: r.stamp.clone(), at: r.at, payload: r.payload.clone(), known: Vec::new() };
    MEMORY.with(|memory| {
        let Some(memory) = memory else { panic_at("the journal in memory", "cannot be made") };
        let look = |memory: &Memory| changed(data, memory, id, rows);
        if let Err(error) = memory.with(id, rows.iter().map(new).collect(), false, look) {
            panic_at("a journal in memory", &format!("cannot be written: {error}"));
        }
    });
}

fn changed(data: &[u8], memory: &Memory, id: &RotationId, rows: &[Row]) {
    let Ok(loaded) = memory.load(id) else { panic_at("what was written", "does not load") };
    assert!(loaded.iter().zip(rows).all(|(l, r)| (l.seq, l.at, &l.payload) == (r.seq, r.at, &r.payload)));
    assert_eq!((loaded.len(), memory.verify().ok().map(|r| r.rows)), (rows.len(), Some(rows.len() as u64)));

    let column = COLUMNS[below(data, 1, COLUMNS.len())];
    let seq = below(data, 2, rows.len()) as u64 + 1;
    let Some(before) = memory.column(column, seq) else { panic_at(column, "cannot be read") };
    let to = other(data, &before);
    if !memory.change(column, seq, &to) {
        return;
    }
    // A place that moved is looked up by where it was; a change that SQLite turned back into what was there is none.
    if column != "seq" && memory.column(column, seq).as_ref() == Some(&before) {
        return;
    }
    assert!(memory.load(id).is_err(), "a rotation loads with {column} of row {seq} changed from {before:?} to {to:?}");
    assert!(memory.verify().is_err(), "a journal verifies with {column} of row {seq} changed from {before:?} to {to:?}");
}

/// Another value than `before`: of the same kind with a bit changed, or of another kind.
fn other(data: &[u8], before: &Value) -> Value {
    let number = chosen(data, 3).cast_signed();
    let bit = 1_u8 << below(data, 4, 7);
    match (below(data, 5, 6), before) {
        (0, _) => Value::Integer(number),
        (1, _) => Value::Text(number.to_string()),
        (2, _) => Value::Blob(number.to_be_bytes().to_vec()),
        (3, Value::Integer(n)) => Value::Integer(n ^ i64::from(bit)),
        (_, Value::Integer(n)) => Value::Integer(n.wrapping_add(1)),
        (_, Value::Text(text)) => {
            let mut bytes = text.clone().into_bytes();
            let at = below(data, 6, bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bit;
            }
            Value::Text(String::from_utf8_lossy(&bytes).into_owned())
        }
        (_, Value::Blob(bytes)) => {
            let mut bytes = bytes.clone();
            let at = below(data, 6, bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bit;
            }
            Value::Blob(bytes)
        }
        (_, other) => other.clone(),
    }
}
