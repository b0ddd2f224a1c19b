//! The time at the beginning of a log line. Logs leave out the zone, and often the year: a zone is told by the inventory or is this
//! machine's, and the year is inferred from the order of the lines and from when the file was last written.

use chrono::{Datelike, Local, NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::Tz;

/// Lines may be a little ahead of what dates the file.
const SLACK_MS: i64 = 86_400_000;

/// A time as it stands in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// With year and zone: milliseconds since the Unix epoch.
    Full(i64),
    /// With a year and without a zone.
    Local(Civil),
    /// Without either; the year is 0.
    NoYear(Civil),
}

/// A date and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    year: i32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    milli: u32,
}

impl Civil {
    fn at(self, year: i32) -> Option<NaiveDateTime> {
        // A leap second is the one before it: nothing here counts seconds.
        NaiveDate::from_ymd_opt(year, self.month, self.day)?.and_hms_milli_opt(
            self.hour,
            self.minute,
            self.second.min(59),
            self.milli,
        )
    }
}

/// Whose clock a log was written by, where its lines do not say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogZone {
    /// The zone that the inventory names.
    Named(Tz),
    /// That of this machine.
    Here,
}

impl LogZone {
    /// The moment of a local time. In the hour that comes twice the first is meant; a time that never was is the moment an hour
    /// later.
    fn moment(self, local: NaiveDateTime) -> Option<i64> {
        fn of<Z: TimeZone>(zone: &Z, local: NaiveDateTime) -> Option<i64> {
            let found = zone.from_local_datetime(&local).earliest();
            let found = found.or_else(|| zone.from_local_datetime(&(local + chrono::Duration::hours(1))).earliest());
            found.map(|at| at.timestamp_millis())
        }
        match self {
            Self::Named(zone) => of(&zone, local),
            Self::Here => of(&Local, local),
        }
    }
}

/// Turns the stamps of one file into moments, line after line.
#[derive(Clone, Debug)]
pub(super) struct Dates {
    zone: LogZone,
    anchor_ms: i64,
    year: Option<i32>,
    month: u32,
    /// Whether a new year has begun in it.
    turned: bool,
    /// The last hour that was looked up, and how far its local time is from UTC.
    known: Option<((i32, u32, u32, u32), i64)>,
    /// Whether a zone had to be taken from elsewhere.
    pub zoneless: bool,
    /// Whether a year had to be inferred.
    pub yearless: bool,
}

impl Dates {
    /// For a file whose last line is not after `anchor_ms`.
    #[must_use]
    pub(super) fn new(zone: LogZone, anchor_ms: i64) -> Self {
        Self { zone, anchor_ms, year: None, month: 0, turned: false, known: None, zoneless: false, yearless: false }
    }

    /// The same, beginning `years` earlier than it would.
    #[must_use]
    pub(super) fn earlier(zone: LogZone, anchor_ms: i64, first: Stamp, years: i32) -> Self {
        let mut dates = Self::new(zone, anchor_ms);
        let _ = dates.moment(first);
        dates.year = dates.year.map(|year| year - years);
        dates
    }

    /// How many years the last line is after what dates the file: by so many its beginning was dated too late.
    #[must_use]
    pub(super) fn ahead(&self, last_ms: i64) -> i32 {
        let year = |ms: i64| chrono::DateTime::from_timestamp_millis(ms).map_or(0, |at| at.year());
        match self.yearless && last_ms > self.anchor_ms.saturating_add(SLACK_MS) {
            true => (year(last_ms) - year(self.anchor_ms)).max(1),
            false => 0,
        }
    }

    /// The moment of the next line; `None` for a date that there is not.
    pub(super) fn moment(&mut self, stamp: Stamp) -> Option<i64> {
        let civil = match stamp {
            Stamp::Full(ms) => return Some(ms),
            Stamp::Local(civil) => civil,
            Stamp::NoYear(civil) => {
                self.yearless = true;
                Civil { year: self.year_of(civil)?, ..civil }
            }
        };
        self.zoneless = true;
        self.local(civil)
    }

    fn local(&mut self, civil: Civil) -> Option<i64> {
        let local = civil.at(civil.year)?;
        let naive = local.and_utc().timestamp_millis();
        let hour = (civil.year, civil.month, civil.day, civil.hour);
        if let Some((known, offset)) = self.known
            && known == hour
        {
            return Some(naive - offset);
        }
        let moment = self.zone.moment(local)?;
        self.known = Some((hour, naive - moment));
        Some(moment)
    }

    /// The year of the next line: of the first, the latest that is not after what dates the file; of others, that of the line
    /// before, or one more when December is followed by January.
    fn year_of(&mut self, civil: Civil) -> Option<i32> {
        let Some(year) = self.year else {
            let latest = chrono::DateTime::from_timestamp_millis(self.anchor_ms)?.year() + 1;
            let fits = |year: &i32| {
                let moment = civil.at(*year).and_then(|local| self.zone.moment(local));
                moment.is_some_and(|at| at <= self.anchor_ms.saturating_add(SLACK_MS))
            };
            // Eight years are as far as a 29 February can be from the next.
            let year = (latest - 9..=latest).rev().find(fits)?;
            (self.year, self.month) = (Some(year), civil.month);
            return Some(year);
        };
        if civil.month + 6 <= self.month {
            (self.year, self.month, self.turned) = (Some(year + 1), civil.month, true);
            return Some(year + 1);
        }
        // A line of the old year that comes late.
        if self.turned && self.month == 1 && civil.month == 12 {
            return Some(year - 1);
        }
        self.month = civil.month;
        Some(year)
    }
}

/// The stamp at the beginning of a line, and what comes after it. Knows RFC 3339 with its looser forms (`2026-11-26T22:01:02.5+01:00`,
/// `2026-11-26 22:01:02 +0100`, without a zone) and syslog's old form (`Nov 26 22:01:02`).
#[must_use]
pub(super) fn split(line: &str) -> Option<(Stamp, &str)> {
    let bytes = line.as_bytes();
    if bytes.first()?.is_ascii_digit() { full(line) } else { old(line) }
}

fn digits(bytes: &[u8]) -> Option<u32> {
    let mut number = 0_u32;
    for byte in bytes {
        number = number.checked_mul(10)?.checked_add(u32::from(byte.checked_sub(b'0').filter(|d| *d < 10)?))?;
    }
    Some(number)
}

fn time_of_day(bytes: &[u8]) -> Option<(u32, u32, u32)> {
    let [_, _, b':', _, _, b':', _, _] = bytes else { return None };
    let (hour, minute, second) = (digits(&bytes[..2])?, digits(&bytes[3..5])?, digits(&bytes[6..])?);
    (hour < 24 && minute < 60 && second <= 60).then_some((hour, minute, second))
}

/// `Nov 26 22:01:02 rest`, `Nov  6 22:01:02 rest`.
fn old(line: &str) -> Option<(Stamp, &str)> {
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let bytes = line.as_bytes();
    if bytes.len() < 16 || bytes[3] != b' ' || bytes[6] != b' ' || bytes[15] != b' ' {
        return None;
    }
    let month = MONTHS.chunks(3).position(|m| m == &bytes[..3])?;
    let day = if bytes[4] == b' ' { digits(&bytes[5..6]) } else { digits(&bytes[4..6]) }?;
    let (hour, minute, second) = time_of_day(&bytes[7..15])?;
    let month = u32::try_from(month).ok()? + 1;
    let civil = Civil { year: 0, month, day, hour, minute, second, milli: 0 };
    Some((Stamp::NoYear(civil), line.get(16..)?))
}

/// `2026-11-26T22:01:02.123456+01:00 rest` and its looser forms.
fn full(line: &str) -> Option<(Stamp, &str)> {
    let bytes = line.as_bytes();
    if bytes.len() < 19 || bytes[4] != b'-' || bytes[7] != b'-' || !matches!(bytes[10], b'T' | b' ') {
        return None;
    }
    let (year, month, day) = (digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..10])?);
    let (hour, minute, second) = time_of_day(&bytes[11..19])?;
    let mut at = 19;
    let mut milli = 0;
    if matches!(bytes.get(at), Some(b'.' | b',')) {
        let end = at + 1 + bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        let part = &bytes[at + 1..end.min(at + 4)];
        milli = digits(part)? * [1000, 100, 10, 1].get(part.len()).copied().unwrap_or(1);
        at = end;
    }
    let civil = Civil { year: i32::try_from(year).ok()?, month, day, hour, minute, second, milli: milli.min(999) };
    let local = civil.at(civil.year)?;
    let (offset, at) = offset(bytes, at)?;
    let rest = line.get(at..)?.trim_start_matches(' ');
    let stamp = match offset {
        Some(minutes) => Stamp::Full(local.and_utc().timestamp_millis() - minutes * 60_000),
        None => Stamp::Local(civil),
    };
    Some((stamp, rest))
}

/// An offset from UTC in minutes, with or without a blank before it; `None` inside where there is none. And where it ends.
fn offset(bytes: &[u8], at: usize) -> Option<(Option<i64>, usize)> {
    let start = if bytes.get(at) == Some(&b' ') { at + 1 } else { at };
    let ends = |end: usize| matches!(bytes.get(end), None | Some(b' '));
    if bytes.get(at) == Some(&b'Z') && ends(at + 1) {
        return Some((Some(0), at + 1));
    }
    if let Some(sign) = bytes.get(start).filter(|b| matches!(b, b'+' | b'-')) {
        let sign = if *sign == b'-' { -1 } else { 1 };
        let colon = usize::from(bytes.get(start + 3) == Some(&b':'));
        let (hours, minutes) = (bytes.get(start + 1..start + 3)?, bytes.get(start + 3 + colon..start + 5 + colon)?);
        let (hours, minutes) = (digits(hours)?, digits(minutes)?);
        let end = start + 5 + colon;
        return (hours < 24 && minutes < 60 && ends(end)).then_some((Some(sign * i64::from(hours * 60 + minutes)), end));
    }
    ends(at).then_some((None, at))
}

#[cfg(test)]
#[path = "stamp_tests.rs"]
mod tests;
