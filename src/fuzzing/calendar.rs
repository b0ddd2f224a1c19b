//! Schedules: an expression that is taken comes at the times that it says, in its time zone, each once and none left out.
//!
//! An input is a line with the expression, one with the time zone, and one with the second since 1970 to start from.

use std::str::FromStr;

use chrono::{DateTime, Datelike, Duration, LocalResult, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use super::panic_at;
use crate::config::doors::schedule;

/// From the first year that the library of schedules knows, wherever the zone: it has none before 1970.
const FIRST: i64 = 366 * 86_400;
/// Two thousand years: what a clock may say, right or wrong.
const SECONDS: i64 = 2000 * 366 * 86_400;
/// How far the minutes between two times are all looked at.
const LOOKED: i64 = 3 * 1440;

/// Runs one input.
pub(super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (cron, zone, start) = (line(), line(), line());
    let zone = match schedule(cron, zone) {
        Ok(zone) => zone,
        Err((message, hint)) => return assert!(!message.is_empty() && !hint.is_empty()),
    };
    let start = start.trim().parse::<i64>().unwrap_or(1_790_000_000).rem_euclid(SECONDS) + FIRST;
    let Some(start) = Utc.timestamp_opt(start, 0).single() else { return };
    let Ok(found) = cron::Schedule::from_str(&format!("0 {cron}")) else { panic_at(cron, "is taken and cannot be read") };
    let mut before = start.with_timezone(&zone);
    for next in found.after(&before.clone()).take(3) {
        assert!(next > before, "{cron} in {zone}: {next} does not come after {before}");
        assert_eq!((next.second(), next.nanosecond()), (0, 0), "{next}");
        if let Some(fields) = Fields::of(cron) {
            assert!(fields.has(&next), "{cron} in {zone} does not come at {next}");
            between(cron, &fields, &before, &next);
        }
        before = next;
    }
}

/// No minute between two times is one of the expression, but for the hour that a change of the clock gives twice.
fn between(cron: &str, fields: &Fields, before: &DateTime<Tz>, next: &DateTime<Tz>) {
    let zone = before.timezone();
    let first = before.with_second(0).unwrap_or(*before) + Duration::minutes(1);
    let looked = (*next - first).num_minutes().min(LOOKED);
    for minute in 0..looked {
        let at = first + Duration::minutes(minute);
        let twice = matches!(zone.from_local_datetime(&at.naive_local()), LocalResult::Ambiguous(..));
        assert!(twice || !fields.has(&at), "{cron} in {zone} leaves {at} out, between {before} and {next}");
    }
}

/// The five fields as plain sets, read by rules of our own. Expressions that need more than these rules have none.
struct Fields([Vec<u32>; 5]);

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Fields {
    fn of(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts.as_slice() else { return None };
        Some(Self([
            set(minute, 0, 59, &[], 0)?,
            set(hour, 0, 23, &[], 0)?,
            set(day, 1, 31, &[], 0)?,
            set(month, 1, 12, &MONTHS, 1)?,
            set(weekday, 0, 6, &DAYS, 0)?,
        ]))
    }

    fn has(&self, at: &DateTime<Tz>) -> bool {
        let values = [at.minute(), at.hour(), at.day(), at.month(), at.weekday().num_days_from_sunday()];
        self.0.iter().zip(values).all(|(set, value)| set.contains(&value))
    }
}

/// The numbers of one field: `*`, `?`, `a`, `a-b`, each with `/step`, in a list.
fn set(text: &str, least: u32, most: u32, names: &[&str], first: u32) -> Option<Vec<u32>> {
    let number = |word: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(word));
        match named {
            Some(at) => u32::try_from(at).ok().map(|at| at + first),
            None if word.bytes().all(|b| b.is_ascii_digit()) => word.parse().ok().filter(|n| (least..=most).contains(n)),
            None => None,
        }
    };
    let mut found = Vec::new();
    for item in text.split(',') {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let step: usize = step.map_or(Some(1), |s| s.parse().ok().filter(|s| *s > 0))?;
        let (from, to) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            // `5/10` is read as from 5 to the end.
            None if item.contains('/') => (number(range)?, most),
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return None;
        }
        found.extend((from..=to).step_by(step));
    }
    Some(found)
}
