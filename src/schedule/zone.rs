//! Between the clock on the wall of a time zone and moments. The policy for what the clock leaves out and what it shows twice
//! is here and nowhere else.
//!
//! ```text
//! begins(W)   the first moment at which the clock shows W or later       in a gap: the first after it; twice: the first
//! ends(W)     the moment from which it shows W or later for good         in a gap: the first after it; twice: the second
//! ```

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// No clock differs from UTC by this much, and no change of one is larger (`Pacific/Apia` once left out a day).
const MOST: TimeDelta = TimeDelta::hours(27);
/// The end of the year 9998. Later moments are nonsense, and the library has no room to move them around in.
const LAST_MS: u64 = 253_370_764_799_000;

/// What the clock of the zone shows at a moment, in milliseconds since the Unix epoch; nothing after the year 9998.
pub(super) fn shown(zone: Tz, at_ms: u64) -> Option<NaiveDateTime> {
    Some(local(zone, utc(at_ms)?))
}

/// The first moment at which the clock shows this time or a later one. Before 1970 counts as 1970.
pub(super) fn begins(zone: Tz, wall: NaiveDateTime) -> u64 {
    moment(match zone.offset_from_local_datetime(&wall) {
        LocalResult::Single(only) => wall - only.fix(),
        LocalResult::Ambiguous(one, other) => (wall - one.fix()).min(wall - other.fix()),
        LocalResult::None => jump(zone, wall),
    })
}

/// The moment from which on the clock shows this time or a later one for good. Before 1970 counts as 1970.
pub(super) fn ends(zone: Tz, wall: NaiveDateTime) -> u64 {
    moment(match zone.offset_from_local_datetime(&wall) {
        LocalResult::Single(only) => wall - only.fix(),
        LocalResult::Ambiguous(one, other) => (wall - one.fix()).max(wall - other.fix()),
        LocalResult::None => jump(zone, wall),
    })
}

/// How long ago the clock showed what it shows now, where it does so for the second time; else zero.
pub(super) fn repeated(zone: Tz, at_ms: u64) -> TimeDelta {
    let Some(at) = utc(at_ms) else { return TimeDelta::zero() };
    let wall = local(zone, at);
    match zone.offset_from_local_datetime(&wall) {
        LocalResult::Ambiguous(one, other) => at - (wall - one.fix()).min(wall - other.fix()),
        _ => TimeDelta::zero(),
    }
}

/// A moment as that zone writes it, such as `2026-03-29 03:00:00 +02:00`.
pub(super) fn text(zone: Tz, at_ms: u64) -> String {
    match utc(at_ms) {
        Some(at) => zone.from_utc_datetime(&at).format("%Y-%m-%d %H:%M:%S %:z").to_string(),
        None => format!("{at_ms} ms"),
    }
}

/// The end of the gap that this time is in. Within [`MOST`] around it the clock passes it once, in one jump.
fn jump(zone: Tz, wall: NaiveDateTime) -> NaiveDateTime {
    let (mut before, mut after) = (wall - MOST, wall + MOST);
    while after - before > TimeDelta::seconds(1) {
        let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
        if local(zone, middle) < wall {
            before = middle;
        } else {
            after = middle;
        }
    }
    after
}

fn local(zone: Tz, at: NaiveDateTime) -> NaiveDateTime {
    at + zone.offset_from_utc_datetime(&at).fix()
}

fn utc(at_ms: u64) -> Option<NaiveDateTime> {
    let ms = i64::try_from(at_ms).ok().filter(|_| at_ms <= LAST_MS)?;
    DateTime::<Utc>::from_timestamp_millis(ms).map(|at| at.naive_utc())
}

fn moment(at: NaiveDateTime) -> u64 {
    u64::try_from(at.and_utc().timestamp_millis()).unwrap_or(0)
}
