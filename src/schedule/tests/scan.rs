//! The scan: looks at the clock of a zone every minute, as a person would who was told the policy, and says when they would have
//! started a rotation. Slow, and shares nothing with what it judges.

use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::{DAY, HOUR, MINUTE};

/// Minutes at the beginning of a while of which only what the clock showed counts: no clock was ever set back by more.
const REMEMBERED: usize = 26 * 60;

/// What a clock shows at each minute of a while.
pub(super) struct Clock {
    first_ms: u64,
    shown: Vec<NaiveDateTime>,
}

pub(super) fn utc(at_ms: u64) -> NaiveDateTime {
    DateTime::<Utc>::from_timestamp_millis(at_ms.try_into().expect("in range")).expect("in range").naive_utc()
}

fn shown(zone: Tz, at_ms: u64) -> NaiveDateTime {
    let at = utc(at_ms);
    at + zone.offset_from_utc_datetime(&at).fix()
}

impl Clock {
    pub(super) fn of(zone: Tz, from_ms: u64, until_ms: u64) -> Self {
        let first_ms = from_ms / MINUTE * MINUTE;
        Self { first_ms, shown: (first_ms..until_ms).step_by(MINUTE as usize).map(|at| shown(zone, at)).collect() }
    }

    /// The minutes at which an expression fires: as soon as the clock shows one of its times, or has jumped over it, unless it
    /// has shown that time before. What it showed in the first 26 hours is only remembered.
    pub(super) fn fires(&self, cron: &str) -> Vec<u64> {
        let cron = cron::Schedule::from_str(&format!("0 {cron}")).expect("an expression");
        let mut latest = self.shown[0];
        let mut found = Vec::new();
        for (n, shown) in self.shown.iter().enumerate() {
            let mut fires = false;
            while latest < *shown {
                latest += TimeDelta::minutes(1);
                fires |= cron.includes(Utc.from_utc_datetime(&latest));
            }
            if fires && n >= REMEMBERED {
                found.push(self.first_ms + n as u64 * MINUTE);
            }
        }
        found
    }
}

/// The minutes at which an expression fires in a while.
pub(super) fn fires(cron: &str, zone: Tz, from_ms: u64, until_ms: u64) -> Vec<u64> {
    Clock::of(zone, from_ms.saturating_sub(REMEMBERED as u64 * MINUTE), until_ms)
        .fires(cron)
        .into_iter()
        .filter(|at| *at >= from_ms)
        .collect()
}

/// The moments at which a clock changes in some years.
pub(super) fn changes(zone: Tz, years: std::ops::RangeInclusive<i32>) -> Vec<u64> {
    let offset = |at_ms: u64| zone.offset_from_utc_datetime(&utc(at_ms)).fix();
    let first = Utc.with_ymd_and_hms(*years.start(), 1, 1, 0, 0, 0).single().expect("a day").timestamp_millis() as u64;
    let days = (first..).step_by(DAY as usize).take_while(|at| years.contains(&utc(*at).year()));
    days.filter(|day| offset(*day) != offset(day + DAY))
        .map(|day| {
            let hour = (day..day + DAY).step_by(HOUR as usize).find(|at| offset(*at) != offset(at + HOUR)).expect("an hour");
            (hour..=hour + HOUR).step_by(MINUTE as usize).find(|at| offset(*at) != offset(hour)).expect("a minute")
        })
        .collect()
}
