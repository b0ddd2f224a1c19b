//! Arbitrary expressions, zones, windows and restarts, against the scan and the library's own count.

use std::str::FromStr;

use chrono::{NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use handover_rotation::time::Span;
use proptest::prelude::*;

use super::scan::{changes, fires, utc};
use super::{DAY, HOUR, MINUTE, rule, since};
use crate::schedule::{Blackout, CatchUp, InBlackout, Past, Rule, Tick, Window, due, missed, next};

/// A field of numbers.
fn field(least: u32, most: u32) -> impl Strategy<Value = String> {
    let number = least..=most;
    let item = prop_oneof![
        3 => number.clone().prop_map(|n| n.to_string()),
        1 => (number.clone(), number.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (2..=most / 2).prop_map(|n| format!("*/{n}")),
        1 => (number, 2..=most / 2).prop_map(|(from, n)| format!("{from}/{n}")),
    ];
    prop_oneof![2 => Just("*".to_owned()), 3 => prop::collection::vec(item, 1..3).prop_map(|items| items.join(","))]
}

fn cron() -> impl Strategy<Value = String> {
    const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
    let weekday = prop_oneof![
        prop::sample::select(&DAYS[..]).prop_map(str::to_owned),
        (0..7usize, 0..7usize).prop_map(|(a, b)| format!("{}-{}", DAYS[a.min(b)], DAYS[a.max(b)])),
    ];
    let day = prop_oneof![
        3 => Just("* *".to_owned()),
        2 => field(1, 28).prop_map(|day| format!("{day} *")),
        2 => weekday.prop_map(|day| format!("* {day}")),
    ];
    let month = prop_oneof![3 => Just("*".to_owned()), 1 => field(1, 12)];
    (field(0, 59), field(0, 23), day, month).prop_map(|(minute, hour, day, month)| {
        let (day, weekday) = day.split_once(' ').expect("two fields");
        format!("{minute} {hour} {day} {month} {weekday}")
    })
}

/// A moment near a change of the clock of a zone, where it has one, else any. From 1973 on, as the scan goes by minutes: until then
/// Monrovia's clock was half a minute off.
fn moment() -> impl Strategy<Value = (Tz, u64)> {
    let zone = prop::sample::select(chrono_tz::TZ_VARIANTS.as_slice());
    (zone, 1973..2037i32, any::<prop::sample::Index>(), 0..26 * 60u64).prop_map(|(zone, year, which, minutes)| {
        let found = changes(zone, year..=year);
        let first = Utc.with_ymd_and_hms(year, 6, 1, 0, 0, 0).single().expect("a day").timestamp_millis() as u64;
        let near = if found.is_empty() { first } else { found[which.index(found.len())] };
        (zone, near - 25 * HOUR + minutes * MINUTE)
    })
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(config(250))]

    #[test]
    fn whatever_the_expression_and_the_zone_it_fires_when_the_scan_says((zone, from) in moment(), cron in cron()) {
        let until = from + DAY + 2 * HOUR;
        let rule = rule(&cron, zone);
        let scanned = fires(&cron, zone, from + 1, until);
        let mut now = from;
        for tick in &scanned {
            let found = next(&rule, &since(now), now).expect("one");
            prop_assert_eq!(found.fires_ms, *tick, "{} in {} after {}", cron, zone, utc(now));
            now = *tick;
        }
        let beyond = next(&rule, &since(now), now).map_or(u64::MAX, |t| t.fires_ms);
        prop_assert!(beyond >= until, "{} in {} after {}: {} was not scanned", cron, zone, utc(now), utc(beyond));
        // Back from the end: what was last is what the scan saw last.
        let last = due(&rule, &since(from), until - 1).map(|t| t.at_ms);
        prop_assert_eq!(last, scanned.last().copied(), "{} in {}", cron, zone);
    }
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn times_on_the_wall_are_counted_as_the_library_counts_them_in_utc(cron in cron(), seconds in 0..4_000_000_000i64) {
        let Ok(read) = crate::schedule::Cron::parse(&cron) else { return Ok(()) };
        let library = cron::Schedule::from_str(&format!("0 {cron}")).expect("reads");
        let start: NaiveDateTime = chrono::DateTime::<Utc>::from_timestamp(seconds, 0).expect("a time").naive_utc();
        let mut at = start;
        for expected in library.after(&Utc.from_utc_datetime(&start)).take(4) {
            let found = read.from(at + TimeDelta::seconds(1));
            prop_assert_eq!(found, Some(expected.naive_utc()), "{} after {}", cron, at);
            // And backwards: from it, itself; from just before it, what was before.
            at = expected.naive_utc();
            prop_assert_eq!(read.up_to(at + TimeDelta::seconds(59)), Some(at), "{} at {}", cron, at);
        }
        let before = read.up_to(at - TimeDelta::minutes(1));
        if let Some(before) = before {
            prop_assert_eq!(read.from(before), Some(before));
            prop_assert_eq!(read.from(before + TimeDelta::seconds(1)), Some(at), "{} before {}", cron, at);
        }
    }
}

/// A window of any form.
fn window() -> impl Strategy<Value = Window> {
    prop_oneof![
        (0..1440u32, 1..1000u32).prop_map(|(from, long)| Window::Daily(from, (from + long) % 1440)),
        (0..10_080u32, 1..6000u32).prop_map(|(from, long)| Window::Weekly(from, (from + long) % 10_080)),
        (0..20_000i64, 1..8000i64).prop_map(|(from, long)| {
            let start = chrono::NaiveDate::from_ymd_opt(2026, 10, 20).expect("a day").and_hms_opt(0, 0, 0).expect("a time");
            Window::Once(start + TimeDelta::minutes(from), start + TimeDelta::minutes(from + long))
        }),
    ]
}

/// A rule with everything, around the night of 25 October 2026.
fn whole() -> impl Strategy<Value = Rule> {
    let some = prop::sample::select(&["*/7 * * * *", "0 * * * *", "30 2 * * *", "0 1,2,3 * * *", "5 9-17/2 * * *"][..]);
    let windows = prop::collection::vec(window(), 0..3);
    let either = (any::<bool>(), any::<bool>());
    (some, windows, either, 0..90u64, 0..180u64, prop::option::of(1..6u64)).prop_map(
        |(cron, windows, (skip, once), jitter, apart, days)| Rule {
            jitter: Span::minutes(jitter),
            blackouts: windows.into_iter().map(|window| Blackout { window, reason: None }).collect(),
            in_blackout: if skip { InBlackout::Skip } else { InBlackout::Defer },
            catch_up: if once { CatchUp::Once } else { CatchUp::Skip },
            min_interval: Span::minutes(apart),
            max_age: days.map(|days| Span(days * DAY)),
            ..rule(cron, Tz::Europe__Berlin)
        },
    )
}

/// What is stored when a tick was dealt with at that moment.
fn dealt(past: &Past, tick: &Tick, now: u64) -> Past {
    Past { last_ms: Some(tick.at_ms), started_ms: Some(now), current_ms: Some(now), ..*past }
}

proptest! {
    #![proptest_config(config(60))]

    /// A process that comes and goes: nothing twice, nothing in a blackout, nothing too close, nothing before its time; and what
    /// was foretold is what happens.
    #[test]
    fn a_process_that_comes_and_goes_deals_with_each_tick_once(
        rule in whole(),
        away in prop::collection::vec((0..1440u64, 1..400u64), 0..5),
    ) {
        let start = super::at("2026-10-24 18:00 +02:00");
        let mut past = Past { current_ms: Some(start - DAY), ..since(start) };
        // What comes next as seen when something last changed, and from when.
        let mut foretold = None;
        for now in (start..start + DAY).step_by(MINUTE as usize) {
            if away.iter().any(|(from, long)| (*from..from + long).contains(&((now - start) / MINUTE))) {
                foretold = None;
                continue;
            }
            let found = due(&rule, &past, now);
            let next = foretold.get_or_insert_with(|| next(&rule, &past, now));
            let expected = next.as_ref().filter(|next| next.fires_ms <= now);
            prop_assert_eq!(found.as_ref().map(|t| t.at_ms), expected.map(|t| t.at_ms), "at {}: {:?}", utc(now), next);
            if let Some(tick) = found {
                prop_assert!(tick.at_ms > past.last_ms.unwrap_or(0), "{:?} again", tick);
                prop_assert!(tick.fires_ms <= now && tick.at_ms <= tick.fires_ms, "{:?} at {}", tick, utc(now));
                prop_assert!(!dark(&rule, now), "{:?} in a blackout", tick);
                prop_assert!(past.started_ms.is_none_or(|began| now - began >= rule.min_interval.0), "{:?} too soon", tick);
                past = dealt(&past, &tick, now);
                prop_assert_eq!(due(&rule, &past, now), None);
                foretold = None;
            } else if let Some(tick) = missed(&rule, &past, now) {
                past.last_ms = Some(tick.at_ms);
                prop_assert_eq!(missed(&rule, &past, now), None);
            }
        }
    }
}

/// Whether a minute is dark, by what the clock shows and nothing else. Too little where it shows a time twice.
fn dark(rule: &Rule, now: u64) -> bool {
    use chrono::{Datelike, Timelike};
    let shown = rule.timezone.from_utc_datetime(&utc(now)).naive_local();
    let minute = shown.hour() * 60 + shown.minute();
    let of_week = shown.weekday().num_days_from_monday() * 1440 + minute;
    let within = |from: u32, to: u32, at: u32| if from < to { (from..to).contains(&at) } else { at >= from || at < to };
    rule.blackouts.iter().any(|blackout| match blackout.window {
        Window::Daily(from, to) => within(from, to, minute),
        Window::Weekly(from, to) => within(from, to, of_week),
        Window::Once(from, to) => from <= shown && shown < to,
    })
}
