//! The policy around changes of the clock, as a table that was made by hand: gap, the first moment after it; twice, the first.

use chrono_tz::Tz;

use super::{at, rule, since};
use crate::schedule::{Moved, upcoming};

/// An expression, a zone, a moment, and when it fires after that.
const TABLE: &[(&str, &str, &str, &[&str])] = &[
    // Berlin: 02:00 becomes 03:00 on 29 March 2026, and 03:00 becomes 02:00 on 25 October.
    (
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-28 12:00 +01:00",
        &["2026-03-29 03:00:00 +02:00", "2026-03-30 02:30:00 +02:00"],
    ),
    (
        "0,30 2,3 * * *",
        "Europe/Berlin",
        "2026-03-28 12:00 +01:00",
        &["2026-03-29 03:00:00 +02:00", "2026-03-29 03:30:00 +02:00", "2026-03-30 02:00:00 +02:00"],
    ),
    (
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-24 12:00 +02:00",
        &["2026-10-25 02:30:00 +02:00", "2026-10-26 02:30:00 +01:00"],
    ),
    (
        "0 * * * *",
        "Europe/Berlin",
        "2026-10-25 01:30 +02:00",
        &["2026-10-25 02:00:00 +02:00", "2026-10-25 03:00:00 +01:00", "2026-10-25 04:00:00 +01:00"],
    ),
    // From within the hour that comes twice, in its second half.
    ("*/20 2 * * *", "Europe/Berlin", "2026-10-25 02:10 +01:00", &["2026-10-26 02:00:00 +01:00"]),
    (
        "0 3 29 3 *",
        "Europe/Berlin",
        "2026-01-01 00:00 +01:00",
        &["2026-03-29 03:00:00 +02:00", "2027-03-29 03:00:00 +02:00"],
    ),
    // New York, 8 March and 1 November 2026.
    (
        "30 2 * * *",
        "America/New_York",
        "2026-03-07 12:00 -05:00",
        &["2026-03-08 03:00:00 -04:00", "2026-03-09 02:30:00 -04:00"],
    ),
    (
        "30 1 * * *",
        "America/New_York",
        "2026-10-31 12:00 -04:00",
        &["2026-11-01 01:30:00 -04:00", "2026-11-02 01:30:00 -05:00"],
    ),
    // Lord Howe moves by half an hour: 5 April and 4 October 2026.
    (
        "45 1 * * *",
        "Australia/Lord_Howe",
        "2026-04-04 12:00 +11:00",
        &["2026-04-05 01:45:00 +11:00", "2026-04-06 01:45:00 +10:30"],
    ),
    (
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-03 12:00 +10:30",
        &["2026-10-04 02:30:00 +11:00", "2026-10-05 02:15:00 +11:00"],
    ),
    // Casablanca goes back for Ramadan, and forward after it: 15 February and 22 March 2026.
    (
        "30 2 * * *",
        "Africa/Casablanca",
        "2026-02-14 12:00 +01:00",
        &["2026-02-15 02:30:00 +01:00", "2026-02-16 02:30:00 +00:00"],
    ),
    (
        "30 2 * * *",
        "Africa/Casablanca",
        "2026-03-21 12:00 +00:00",
        &["2026-03-22 03:00:00 +01:00", "2026-03-23 02:30:00 +01:00"],
    ),
    // Santiago changes at midnight, so that a day lacks its beginning, or an evening comes twice.
    (
        "0 0 * * *",
        "America/Santiago",
        "2026-09-05 12:00 -04:00",
        &["2026-09-06 01:00:00 -03:00", "2026-09-07 00:00:00 -03:00"],
    ),
    (
        "30 23 * * SAT",
        "America/Santiago",
        "2026-04-04 12:00 -03:00",
        &["2026-04-04 23:30:00 -03:00", "2026-04-11 23:30:00 -04:00"],
    ),
    ("30 0 * * *", "America/Sao_Paulo", "2018-11-03 12:00 -03:00", &["2018-11-04 01:00:00 -02:00"]),
    // Samoa left out a whole day.
    (
        "0 3 * * *",
        "Pacific/Apia",
        "2011-12-29 12:00 -10:00",
        &["2011-12-31 00:00:00 +14:00", "2011-12-31 03:00:00 +14:00", "2012-01-01 03:00:00 +14:00"],
    ),
    ("30 2 * * *", "UTC", "2026-03-29 02:30 +00:00", &["2026-03-30 02:30:00 +00:00"]),
    ("0 3 29 2 *", "UTC", "2096-03-01 00:00 +00:00", &["2104-02-29 03:00:00 +00:00"]),
];

#[test]
fn what_the_clock_leaves_out_fires_after_the_gap_and_what_it_shows_twice_fires_once() {
    for (cron, zone, after, fires) in TABLE {
        let zone: Tz = zone.parse().expect("a zone");
        let rule = rule(cron, zone);
        let ticks = upcoming(&rule, &since(at(after)), at(after), fires.len());
        let found: Vec<&str> = ticks.iter().map(|tick| tick.local.as_str()).collect();
        assert_eq!(found, *fires, "{cron} in {zone} after {after}");
    }
}

#[test]
fn a_time_that_the_clock_leaves_out_is_told_of() {
    let rule = rule("30 2 * * *", Tz::Europe__Berlin);
    let ticks = upcoming(&rule, &since(at("2026-03-28 12:00 +01:00")), at("2026-03-28 12:00 +01:00"), 2);
    assert_eq!(ticks[0].moved, Some(Moved::Gap("2026-03-29 02:30".to_owned())));
    assert_eq!(ticks[1].moved, None);
}

#[test]
fn moments_that_no_clock_can_show_have_no_tick_and_break_nothing() {
    const LAST: u64 = 253_370_764_799_000;
    let rule = rule("* * * * *", Tz::Pacific__Apia);
    for now in [0, 1, LAST - 1, LAST, LAST + 1, i64::MAX as u64, u64::MAX - 1, u64::MAX] {
        for past in [since(0), since(now), since(u64::MAX)] {
            let ticks = upcoming(&rule, &past, now, 2);
            assert!(ticks.iter().all(|tick| tick.fires_ms >= now), "{now}: {ticks:?}");
            assert!(now < LAST - 1 || past == since(0) && now <= LAST || ticks.is_empty(), "{now}: {ticks:?}");
            assert!(
                now > LAST || past == since(u64::MAX) || past == since(now) && now >= LAST - 1 || !ticks.is_empty(),
                "{now}"
            );
        }
    }
}
