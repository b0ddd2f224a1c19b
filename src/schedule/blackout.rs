//! Blackout windows: in them nothing begins. A window is told by what the clock of the schedule's zone shows, every day, every
//! week, or once. Where the clock shows a time twice, a window begins at the first and ends at the second: rather too long.

use std::fmt;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use chrono_tz::Tz;

use super::zone;

/// A window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blackout {
    /// When.
    pub window: Window,
    /// Why, in the words of whoever wrote it.
    pub reason: Option<String>,
}

/// When a window begins and ends; the end is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// From `08:00` to `18:00`, every day; over midnight where it ends earlier than it begins. Minutes of the day.
    Daily(u32, u32),
    /// From `FRI 18:00` to `MON 06:00`, every week. Minutes of the week from Monday.
    Weekly(u32, u32),
    /// From `2026-12-19 00:00` to `2027-01-04 06:00`, once.
    Once(NaiveDateTime, NaiveDateTime),
}

/// A stretch of time in which nothing begins, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dark {
    pub(super) from_ms: u64,
    /// The first moment after it.
    pub(super) until_ms: u64,
    /// Which of the rule's windows it is.
    pub(super) which: usize,
}

const DAY: u32 = 1440;
const WEEK: u32 = 7 * DAY;
const WEEKDAYS: [&str; 7] = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];

/// One end of a window as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    Day(u32),
    Week(u32),
    Once(NaiveDateTime),
}

/// Which end of a window is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where it begins.
    From,
    /// Where it ends.
    To,
}

impl Window {
    /// Reads a window by its two ends, which have the same form: `08:00`, `FRI 18:00` or `2026-12-19 00:00`.
    ///
    /// # Errors
    /// Which end is wrong, what is wrong with it, and what to do.
    pub fn parse(from: &str, to: &str) -> Result<Self, (End, String, String)> {
        let unread = |end: End, text: &str| {
            let hint = "write `08:00` for every day, `FRI 18:00` for every week, or `2026-12-19 00:00` for once";
            (end, format!("`{text}` is not a time of a window"), hint.to_owned())
        };
        let begin = edge(from).ok_or_else(|| unread(End::From, from))?;
        let end = edge(to).ok_or_else(|| unread(End::To, to))?;
        let window = match (begin, end) {
            (Edge::Day(from), Edge::Day(to)) => Self::Daily(from % DAY, to % DAY),
            (Edge::Week(from), Edge::Week(to)) => Self::Weekly(from % WEEK, to % WEEK),
            (Edge::Once(from), Edge::Once(to)) => Self::Once(from, to),
            _ => {
                let hint = "give both a weekday, both a date, or neither".to_owned();
                return Err((End::To, format!("`{from}` and `{to}` are not ends of one window"), hint));
            }
        };
        match window {
            Self::Daily(from, to) | Self::Weekly(from, to) if from == to => {
                let hint = "without a `schedule`, nothing begins by itself at all".to_owned();
                Err((End::To, "the window ends where it begins: it would never end".to_owned(), hint))
            }
            Self::Once(from, to) if from >= to => {
                let hint = "write an end that comes after its beginning".to_owned();
                Err((End::To, "the window ends before it has begun".to_owned(), hint))
            }
            window => Ok(window),
        }
    }

    /// The stretch of this window that a moment is in, with its first moment and the first after it.
    fn around(&self, zone: Tz, at_ms: u64) -> Option<(u64, u64)> {
        let minutes = |day: NaiveDate, minutes: u32| {
            day.and_time(NaiveTime::MIN).checked_add_signed(TimeDelta::minutes(i64::from(minutes)))
        };
        let stretch = |from: NaiveDateTime, to: NaiveDateTime| {
            let (from, to) = (zone::begins(zone, from), zone::ends(zone, to));
            (from <= at_ms && at_ms < to).then_some((from, to))
        };
        let repeated = |first: NaiveDate, every: u32, from: u32, to: u32| {
            let to = if to <= from { to + every } else { to };
            // One before, as it may go on until now, and one after, as the clock may have been set back over its beginning.
            (0..3).find_map(|n| {
                let day = first.checked_add_days(Days::new(u64::from(n * every / DAY)))?;
                stretch(minutes(day, from)?, minutes(day, to)?)
            })
        };
        let today = zone::shown(zone, at_ms)?.date();
        match *self {
            Self::Once(from, to) => stretch(from, to),
            Self::Daily(from, to) => repeated(today.pred_opt()?, DAY, from, to),
            Self::Weekly(from, to) => {
                let back = 7 + u64::from(today.weekday().num_days_from_monday());
                repeated(today.checked_sub_days(Days::new(back))?, WEEK, from, to)
            }
        }
    }
}

/// The stretch of these windows that a moment is in: from the first beginning to the last end of those that it is in.
pub(super) fn dark(blackouts: &[Blackout], zone: Tz, at_ms: u64) -> Option<Dark> {
    let each = blackouts.iter().enumerate().filter_map(|(which, blackout)| {
        let (from_ms, until_ms) = blackout.window.around(zone, at_ms)?;
        Some(Dark { from_ms, until_ms, which })
    });
    each.reduce(|one, other| {
        let last = if other.until_ms > one.until_ms { other } else { one };
        Dark { from_ms: one.from_ms.min(other.from_ms), ..last }
    })
}

/// Whether these windows leave no minute of an ordinary week.
pub(super) fn cover_the_week(blackouts: &[Blackout]) -> bool {
    let mut free = [true; WEEK as usize];
    let mut darken = |from: u32, to: u32, every: u32, times: u32| {
        let length = (to + every - from) % every;
        for minute in (0..times).flat_map(|n| (0..length).map(move |m| from + n * every + m)) {
            free[(minute % WEEK) as usize] = false;
        }
    };
    for blackout in blackouts {
        match blackout.window {
            Window::Daily(from, to) => darken(from, to, DAY, 7),
            Window::Weekly(from, to) => darken(from, to, WEEK, 1),
            Window::Once(..) => {}
        }
    }
    !free.contains(&true)
}

fn edge(text: &str) -> Option<Edge> {
    let mut words = text.split_whitespace();
    match (words.next()?, words.next(), words.next()) {
        (time, None, None) => Some(Edge::Day(minute(time)?)),
        (day, Some(time), None) => {
            let minute = minute(time)?;
            if let Some(weekday) = WEEKDAYS.iter().zip(0..).find_map(|(word, n)| word.eq_ignore_ascii_case(day).then_some(n))
            {
                return Some(Edge::Week(weekday * DAY + minute));
            }
            let plain = day.len() == 10 && day.bytes().all(|b| b.is_ascii_digit() || b == b'-');
            let day = NaiveDate::parse_from_str(day, "%Y-%m-%d")
                .ok()
                .filter(|day| plain && (1970..=9998).contains(&day.year()))?;
            day.and_time(NaiveTime::MIN).checked_add_signed(TimeDelta::minutes(i64::from(minute))).map(Edge::Once)
        }
        _ => None,
    }
}

/// The minute of the day of `HH:MM`, up to `24:00`.
fn minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let two = |part: &str| (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse::<u32>().ok());
    let all = two(hour)?? * 60 + two(minute)?.filter(|minute| *minute < 60)?;
    (all <= DAY).then_some(all)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
        let day = |minute: u32| format!("{} {}", WEEKDAYS[(minute / DAY % 7) as usize], time(minute % DAY));
        let once = |at: &NaiveDateTime| at.format("%Y-%m-%d %H:%M").to_string();
        match self {
            Self::Daily(from, to) => write!(f, "{} to {}", time(*from), time(*to)),
            Self::Weekly(from, to) => write!(f, "{} to {}", day(*from), day(*to)),
            Self::Once(from, to) => write!(f, "{} to {}", once(from), once(to)),
        }
    }
}

impl fmt::Display for Blackout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{} ({reason})", self.window),
            None => self.window.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: &str, to: &str) -> Blackout {
        Blackout { window: Window::parse(from, to).unwrap_or_else(|e| panic!("{from} to {to}: {e:?}")), reason: None }
    }

    #[test]
    fn windows_are_read_and_written_alike_and_others_refused() {
        for (from, to, shown) in [
            ("08:00", "18:00", "08:00 to 18:00"),
            ("18:00", "24:00", "18:00 to 00:00"),
            ("FRI 18:00", "MON 06:00", "FRI 18:00 to MON 06:00"),
            ("sat 00:00", "sun 24:00", "SAT 00:00 to MON 00:00"),
            ("2026-12-19 00:00", "2026-12-31 24:00", "2026-12-19 00:00 to 2027-01-01 00:00"),
        ] {
            assert_eq!(window(from, to).to_string(), shown);
        }
        for (from, to, end, why) in [
            ("8:00", "18:00", End::From, "not a time"),
            ("08:00", "24:01", End::To, "not a time"),
            ("08:60", "18:00", End::From, "not a time"),
            ("FRI", "MON 06:00", End::From, "not a time"),
            ("FRI 18:00", "Montag 06:00", End::To, "not a time"),
            ("2026-12-19", "2026-12-20", End::From, "not a time"),
            ("2026-02-30 00:00", "2026-12-20 00:00", End::From, "not a time"),
            ("99999-01-01 00:00", "2026-12-20 00:00", End::From, "not a time"),
            ("+2026-1-01 00:00", "2026-12-20 00:00", End::From, "not a time"),
            ("FRI 18:00", "18:00", End::To, "one window"),
            ("FRI 18:00", "2026-12-20 00:00", End::To, "one window"),
            ("18:00", "18:00", End::To, "never end"),
            ("00:00", "24:00", End::To, "never end"),
            ("MON 00:00", "SUN 24:00", End::To, "never end"),
            ("2026-12-20 00:00", "2026-12-19 00:00", End::To, "before it has begun"),
            ("", "18:00", End::From, "not a time"),
            ("FRI 18:00 x", "18:00", End::From, "not a time"),
        ] {
            let read = Window::parse(from, to);
            assert!(read.as_ref().is_err_and(|(e, m, _)| *e == end && m.contains(why)), "{from} to {to}: {read:?}");
        }
    }

    #[test]
    fn whole_weeks_are_noticed_however_they_are_put_together() {
        assert!(cover_the_week(&[window("06:00", "18:00"), window("18:00", "06:00")]));
        assert!(cover_the_week(&[window("MON 00:00", "FRI 12:00"), window("FRI 11:59", "MON 00:00")]));
        assert!(!cover_the_week(&[window("MON 00:00", "FRI 12:00"), window("FRI 12:01", "MON 00:00")]));
        assert!(!cover_the_week(&[window("2020-01-01 00:00", "2990-01-01 00:00")]) && !cover_the_week(&[]));
    }
}
