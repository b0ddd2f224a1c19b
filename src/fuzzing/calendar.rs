//! Schedules: an expression that is taken fires when a scan over all minutes says so, each time once and none left out, whatever
//! the zone, the jitter and the windows, and however often it is asked.
//!
//! An input is a line with the expression, one with the time zone, and one with the second since 1970 to start from. It may have
//! further ones: minutes of jitter, of the least interval and of absence, then windows as `FROM to TO`.

use chrono::{DateTime, Datelike, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use handover_rotation::time::Span;

use super::panic_at;
use crate::config::doors::rule;
use crate::schedule::{Blackout, Past, Rule, Tick, Window, due, next, upcoming};

/// Two thousand years: what a clock may say, right or wrong.
const SECONDS: i64 = 2000 * 366 * 86_400;
const MINUTE: u64 = 60_000;
/// From here on every clock differs from UTC by whole minutes: the last that did not was Monrovia's, until January 1972.
const WHOLE_MINUTES: u64 = 3 * 366 * 86_400_000;
/// How far the minutes after the start are all looked at.
const LOOKED: u64 = 1440;
/// What the clock has shown before the start is remembered for so long: no clock was ever set back by more.
const REMEMBERED: u64 = 26 * 60;

/// Runs one input.
pub(super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (cron, zone, start) = (line(), line(), line());
    let plain = match rule(cron, zone) {
        Ok(rule) => Rule { min_interval: Span(0), ..rule },
        Err((message, hint)) => return assert!(!message.is_empty() && !hint.is_empty()),
    };
    let start = start.trim().parse::<i64>().unwrap_or(1_790_000_000).rem_euclid(SECONDS);
    let start = u64::try_from(start).unwrap_or(0) * 1000;
    scanned(cron, &plain, start);
    let number = |line: &str| line.trim().parse::<u64>().unwrap_or(0);
    let (jitter, apart, away) = (number(line()) % 1441, number(line()) % 2881, number(line()) % 4321);
    let windows = lines.take(4).filter_map(|line| line.split_once(" to ")).filter_map(|(from, to)| {
        let window = Window::parse(from, to);
        if let Err((_, message, hint)) = &window {
            assert!(!message.is_empty() && !hint.is_empty());
        }
        Some(Blackout { window: window.ok()?, reason: None })
    });
    let whole = Rule {
        jitter: Span::minutes(jitter),
        min_interval: Span::minutes(apart),
        blackouts: windows.collect(),
        max_age: (away % 3 == 0).then(|| Span::minutes(away + 60)),
        ..plain
    };
    kept(&whole, start, away * MINUTE);
}

/// The next day against a scan over its minutes.
fn scanned(cron: &str, rule: &Rule, start: u64) {
    let Some(fields) = Fields::of(cron) else { return };
    if start < WHOLE_MINUTES || shown(rule, start + 2 * LOOKED * MINUTE).is_none() {
        return;
    }
    let first = (start / MINUTE + 1).saturating_sub(REMEMBERED) * MINUTE;
    let Some(mut latest) = shown(rule, first) else { return };
    let mut last = start;
    for minute in 1..REMEMBERED + LOOKED {
        let now = first + minute * MINUTE;
        let Some(shown) = shown(rule, now) else { return };
        let mut fires = false;
        while latest < shown {
            latest += TimeDelta::minutes(1);
            fires |= fields.has(latest);
        }
        if fires && now > start {
            let Some(tick) = next(rule, &since(last), last) else { panic_at(cron, "ends") };
            assert_eq!(tick.fires_ms, now, "{cron} in {}: the scan fires at {now}", rule.timezone);
            last = now;
        }
    }
    let end = first + (REMEMBERED + LOOKED - 1) * MINUTE;
    let beyond = next(rule, &since(last), last).map_or(u64::MAX, |tick| tick.fires_ms);
    assert!(beyond > end, "{cron} in {}: the scan does not fire at {beyond}", rule.timezone);
}

/// A process that was away for a while and then asks at the moments that it is told.
fn kept(rule: &Rule, start: u64, away: u64) {
    let mut past = Past { last_ms: Some(start), known_ms: 0, started_ms: None, current_ms: Some(start) };
    let mut now = start.saturating_add(away);
    let foretold = upcoming(rule, &past, now, 3);
    for told in &foretold {
        let Some(tick) = due(rule, &past, told.fires_ms) else {
            panic_at(rule.cron.text(), "is not due when it was foretold")
        };
        assert_eq!((tick.at_ms, tick.why), (told.at_ms, told.why), "{rule:?} from {start}");
        assert!(told.fires_ms >= now && tick.at_ms <= tick.fires_ms && tick.fires_ms <= told.fires_ms, "{tick:?}");
        assert!(past.last_ms < Some(tick.at_ms), "{tick:?} again, after {past:?}");
        assert!(!dark(rule, told.fires_ms), "{told:?} in a blackout of {rule:?}");
        let began = past.started_ms.unwrap_or(0);
        assert!(began == 0 || told.fires_ms >= began + rule.min_interval.0, "{told:?} too soon after {began}");
        // Not before it was foretold, whenever it is asked.
        if told.fires_ms > now {
            let between = now + (told.fires_ms - now) / 2;
            assert_eq!(due(rule, &past, now), None, "{rule:?} before {told:?}");
            assert_eq!(due(rule, &past, between), None, "{rule:?} before {told:?}");
            assert_eq!(next(rule, &past, between).as_ref().map(name), Some(name(told)), "{rule:?} from {between}");
        }
        now = told.fires_ms;
        past = Past { last_ms: Some(tick.at_ms), started_ms: Some(now), current_ms: Some(now), ..past };
        assert_eq!(due(rule, &past, now), None, "{rule:?} twice at {now}");
        assert_eq!(due(rule, &past, start), None, "{rule:?} again when the clock goes back to {start}");
    }
}

fn name(tick: &Tick) -> (u64, u64) {
    (tick.at_ms, tick.fires_ms)
}

fn since(last_ms: u64) -> Past {
    Past { last_ms: Some(last_ms), ..Past::default() }
}

/// What the clock shows at a whole minute; nothing where the library has no room around it.
fn shown(rule: &Rule, at_ms: u64) -> Option<NaiveDateTime> {
    let at = DateTime::<Utc>::from_timestamp_millis(at_ms.try_into().ok()?)?.naive_utc();
    (at.year() < 9990).then(|| at + rule.timezone.offset_from_utc_datetime(&at).fix())
}

/// Whether the clock shows a time within a window. Too little where it shows one twice.
fn dark(rule: &Rule, at_ms: u64) -> bool {
    let Some(shown) = shown(rule, at_ms) else { return false };
    let minute = shown.hour() * 60 + shown.minute();
    let of_week = shown.weekday().num_days_from_monday() * 1440 + minute;
    let within = |from: u32, to: u32, at: u32| if from < to { from <= at && at < to } else { at >= from || at < to };
    rule.blackouts.iter().any(|blackout| match blackout.window {
        Window::Daily(from, to) => within(from, to, minute),
        Window::Weekly(from, to) => within(from, to, of_week),
        Window::Once(from, to) => from <= shown && shown < to,
    })
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

    fn has(&self, at: NaiveDateTime) -> bool {
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
