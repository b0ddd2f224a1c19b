//! Five-field cron expressions: which times of the clock on the wall they mean, in order and in both directions.
//!
//! The library `cron` reads them. It is not asked for times: around a change of the clock it leaves out the day of the gap, fires
//! twice in the hour that comes twice, and counts on from the wrong one after a restart. What a time on the wall is as a moment
//! is `zone`'s business.

use std::str::FromStr;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta, Timelike};
use cron::TimeUnitSpec;

/// A cron expression that comes sooner or later. Weekdays and days of the month are never both given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u32,
    days: u32,
    months: u32,
    /// From Sunday, which is bit 0.
    weekdays: u32,
}

/// Days that are looked at for a time: no two are further apart than eight years, as 29 February is around 2100.
const MOST_DAYS: usize = 3000;
const DAY: u32 = 1440;

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let fail = |message: String, hint: &str| Err((message, hint.to_owned()));
        if text.starts_with('@') {
            return fail(format!("`{text}` is not a cron expression here"), "write it in five parts: `0 3 * * SUN`");
        }
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [_, _, day, _, weekday] = parts.as_slice() else {
            let message = format!("the cron expression has {} parts instead of 5", parts.len());
            return fail(message, "minute, hour, day of month, month, weekday: `0 3 * * SUN` is Sundays at 03:00");
        };
        let has_digit = |item: &str| item.split('/').next().is_some_and(|r| r.contains(|c: char| c.is_ascii_digit()));
        if weekday.split(',').any(has_digit) {
            let hint = "write SUN, MON, TUE, WED, THU, FRI, SAT: whether 1 is Sunday or Monday depends on whom you ask";
            return fail(format!("the weekday `{weekday}` is a number"), hint);
        }
        let open = |field: &str| matches!(field, "*" | "?");
        if !open(day) && !open(weekday) {
            let hint = "leave one of them `*`: some crons fire when either matches, others when both do";
            return fail(format!("both a day of month (`{day}`) and a weekday (`{weekday}`) are given"), hint);
        }
        if let Some(part) = parts.iter().find(|part| !is_one_field(part)) {
            let hint = "a part is `*`, `3`, `1-5`, or a list of these with commas; every fourth is `*/4`";
            return fail(format!("`{part}` in `{text}` is not one part of a cron expression"), hint);
        }
        let Ok(read) = cron::Schedule::from_str(&format!("0 {text}")) else {
            let hint = "minute 0-59, hour 0-23, day of month 1-31, month 1-12 or JAN-DEC, weekday SUN-SAT";
            return fail(format!("`{text}` is not a cron expression"), hint);
        };
        let cron = Self {
            text: parts.join(" "),
            minutes: read.minutes().iter().fold(0, |all, minute| all | 1 << minute),
            hours: bits(read.hours(), 0),
            days: bits(read.days_of_month(), 0),
            months: bits(read.months(), 0),
            // The library counts Sunday as 1.
            weekdays: bits(read.days_of_week(), 1),
        };
        let some_day = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default();
        if cron.from(some_day.into()).is_none() {
            return fail(format!("`{text}` never comes"), "no month has that day");
        }
        Ok(cron)
    }

    /// The expression as it was written, with single spaces.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The least time between two of its times on one day or from one day to the next, in minutes: a day if it comes once a day.
    #[must_use]
    pub fn spacing(&self) -> u32 {
        let first = self.minute_from(0).unwrap_or(0);
        let (mut least, mut last) = (DAY, first);
        while let Some(next) = self.minute_from(last + 1) {
            (least, last) = (least.min(next - last), next);
        }
        least.min(first + DAY - last)
    }

    /// Its first time at or after a time.
    pub(super) fn from(&self, at: NaiveDateTime) -> Option<NaiveDateTime> {
        let whole = on_the_minute(at)?;
        let at = if whole == at { at } else { whole.checked_add_signed(TimeDelta::minutes(1))? };
        let (mut day, mut minute) = (at.date(), minute_of(at));
        for _ in 0..MOST_DAYS {
            if has(self.months, day.month()) {
                if let Some(found) = self.minute_from(minute).filter(|_| self.has_day(day)) {
                    return day.and_hms_opt(found / 60, found % 60, 0);
                }
                day = day.succ_opt()?;
            } else {
                day = day.with_day(1)?.checked_add_months(chrono::Months::new(1))?;
            }
            minute = 0;
        }
        None
    }

    /// Its last time at or before a time.
    pub(super) fn up_to(&self, at: NaiveDateTime) -> Option<NaiveDateTime> {
        let at = on_the_minute(at)?;
        let (mut day, mut minute) = (at.date(), minute_of(at));
        for _ in 0..MOST_DAYS {
            if has(self.months, day.month()) {
                if let Some(found) = self.minute_up_to(minute).filter(|_| self.has_day(day)) {
                    return day.and_hms_opt(found / 60, found % 60, 0);
                }
                day = day.pred_opt()?;
            } else {
                day = day.checked_sub_days(Days::new(u64::from(day.day())))?;
            }
            minute = DAY - 1;
        }
        None
    }

    fn has_day(&self, day: NaiveDate) -> bool {
        has(self.days, day.day()) && has(self.weekdays, day.weekday().num_days_from_sunday())
    }

    /// The first minute of a day, from this one on.
    fn minute_from(&self, minute: u32) -> Option<u32> {
        let (hour, minute) = (minute / 60, minute % 60);
        let rest = self.minutes >> minute;
        if has(self.hours, hour) && rest != 0 {
            return Some(hour * 60 + minute + rest.trailing_zeros());
        }
        let later = self.hours.checked_shr(hour + 1).filter(|hours| *hours != 0)?;
        Some((hour + 1 + later.trailing_zeros()) * 60 + self.minutes.trailing_zeros())
    }

    /// The last minute of a day, up to this one.
    fn minute_up_to(&self, minute: u32) -> Option<u32> {
        let (hour, minute) = (minute / 60, minute % 60);
        let rest = self.minutes & (u64::MAX >> (63 - minute));
        if has(self.hours, hour) && rest != 0 {
            return Some(hour * 60 + rest.ilog2());
        }
        let earlier = self.hours & ((1 << hour) - 1);
        Some(earlier.checked_ilog2()? * 60 + self.minutes.ilog2())
    }
}

fn bits(field: &impl TimeUnitSpec, first: u32) -> u32 {
    field.iter().fold(0, |all, value| all | 1 << (value - first))
}

fn has(set: u32, value: u32) -> bool {
    set >> value & 1 == 1
}

fn minute_of(at: NaiveDateTime) -> u32 {
    at.hour() * 60 + at.minute()
}

fn on_the_minute(at: NaiveDateTime) -> Option<NaiveDateTime> {
    at.with_second(0)?.with_nanosecond(0)
}

/// Whether a part is one field. The reader of expressions needs no space between two: to it, `*4` is `* 4`, and all that follows
/// moves by one place.
fn is_one_field(part: &str) -> bool {
    let word = |word: &str| {
        let all = |is: fn(&u8) -> bool| word.as_bytes().iter().all(is);
        !word.is_empty() && (all(u8::is_ascii_digit) || all(u8::is_ascii_alphabetic))
    };
    part.split(',').all(|item| {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        word(step) && (matches!(range, "*" | "?") || word(from) && word(to))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cron_expressions_that_mean_one_thing_pass_and_others_do_not() {
        for text in ["0 3 * * SUN", "*/15 * * * *", "0 3 1 * *", "30 2 29 2 *", "0 0 * JAN-MAR MON-FRI", "0 3 * * MON,THU"] {
            assert_eq!(Cron::parse(text).map(|c| c.text().to_owned()), Ok(text.to_owned()));
        }
        for (text, want) in [
            ("0 3 * * 0", "is a number"),
            ("0 3 * * 1-5", "is a number"),
            ("0 3 * * MON-5", "is a number"),
            ("0 3 * *", "4 parts"),
            ("0 0 3 * * SUN", "6 parts"),
            ("@daily", "not a cron expression"),
            ("61 3 * * *", "not a cron expression"),
            ("0 3 30 2 *", "never comes"),
            ("0 3 1 * MON", "both"),
            ("0 3 * * Sonntag", "not a cron expression"),
            ("", "0 parts"),
            ("*5 * * * *", "`*5` in"),
            (",30 2 * * *", "`,30` in"),
            ("0 3 * * SUN*", "`SUN*` in"),
            ("0 3,, * * *", "`3,,` in"),
            ("*/ 3 * * *", "`*/` in"),
            ("1-2-3 3 * * *", "`1-2-3` in"),
        ] {
            assert!(Cron::parse(text).is_err_and(|(message, _)| message.contains(want)), "{text}: {:?}", Cron::parse(text));
        }
    }

    #[test]
    fn the_least_time_between_two_is_counted_over_midnight_too() {
        for (text, want) in [
            ("0 3 * * SUN", 1440),
            ("*/15 * * * *", 15),
            ("* * * * *", 1),
            ("0 3,15 * * *", 720),
            ("59,0 0,23 1 * *", 1),
            ("30 2,4 * * *", 120),
        ] {
            assert_eq!(Cron::parse(text).map(|c| c.spacing()), Ok(want), "{text}");
        }
    }
}
