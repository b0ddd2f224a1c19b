//! Blackouts and jitter: nothing fires where it must not, nothing is lost by `defer`, and several that wait fire once.

use chrono_tz::Tz;
use handover_rotation::time::Span;

use super::{DAY, HOUR, MINUTE, at, blackout, rule, since};
use crate::schedule::{InBlackout, Moved, Rule, Tick, due, next, upcoming};

/// A Monday.
const START: &str = "2026-06-01 00:00 +00:00";

fn with(cron: &str, windows: &[(&str, &str)]) -> Rule {
    Rule { blackouts: windows.iter().map(|(from, to)| blackout(from, to)).collect(), ..rule(cron, Tz::UTC) }
}

fn fires(rule: &Rule, count: usize) -> Vec<String> {
    let start = at(START);
    upcoming(rule, &since(start), start, count).into_iter().map(|t| t.local[..16].to_owned()).collect()
}

#[test]
fn a_time_in_a_blackout_waits_for_its_end_or_does_not_fire() {
    let skip = |rule: Rule| Rule { in_blackout: InBlackout::Skip, ..rule };
    let weekend = with("0 3 * * *", &[("FRI 18:00", "MON 06:00")]);
    assert_eq!(fires(&weekend, 6)[3..], ["2026-06-04 03:00", "2026-06-05 03:00", "2026-06-08 06:00"]);
    assert_eq!(fires(&skip(weekend), 6)[3..], ["2026-06-05 03:00", "2026-06-09 03:00", "2026-06-10 03:00"]);
    let night = with("0 3 * * *", &[("22:00", "05:30")]);
    assert_eq!(fires(&night, 2), ["2026-06-01 05:30", "2026-06-02 05:30"]);
    // One after the other, and one within another.
    let dated = with(
        "0 3 * * TUE",
        &[("2026-06-02 00:00", "2026-06-04 00:00"), ("2026-06-03 00:00", "2026-06-05 12:00"), ("FRI 12:00", "FRI 13:00")],
    );
    assert_eq!(fires(&dated, 2), ["2026-06-05 13:00", "2026-06-09 03:00"]);
    // The end is not part of it.
    let short = with("0 3 * * *", &[("02:00", "03:00")]);
    assert_eq!(fires(&short, 1), ["2026-06-01 03:00"]);
    assert_eq!(fires(&skip(short), 1), ["2026-06-01 03:00"]);
}

#[test]
fn several_that_wait_for_one_end_fire_once() {
    let rule = Rule { jitter: Span::minutes(30), ..with("0 * * * *", &[("08:00", "17:59")]) };
    let start = at(START);
    let ticks: Vec<Tick> = upcoming(&rule, &since(start + 7 * HOUR), start + 8 * HOUR, 2);
    // The one of 17:00 for all from 08:00 on, before the one of 18:00.
    assert_eq!(ticks[0].at_ms, start + 17 * HOUR);
    assert_eq!(ticks[0].moved, Some(Moved::Blackout(0)));
    assert!(ticks[0].fires_ms >= start + 17 * HOUR + 59 * MINUTE && ticks[0].fires_ms < start + 18 * HOUR, "{ticks:?}");
    assert_eq!(ticks[1].at_ms, start + 18 * HOUR);
}

#[test]
fn nothing_is_due_in_a_blackout_whatever_was_missed() {
    let start = at(START);
    let rule = Rule { max_age: Some(Span(DAY)), ..with("0 3 * * *", &[("08:00", "18:00")]) };
    let past = crate::schedule::Past { current_ms: Some(1), ..since(start - 5 * DAY) };
    for minute in 0..600 {
        assert_eq!(due(&rule, &past, start + 8 * HOUR + minute * MINUTE), None, "{minute}");
    }
    let tick = next(&rule, &past, start + 9 * HOUR).expect("one");
    assert_eq!((tick.fires_ms, tick.moved.clone()), (start + 18 * HOUR, Some(Moved::Blackout(0))));
    assert!(due(&rule, &past, start + 18 * HOUR).is_some_and(|due| due.at_ms == tick.at_ms));
}

#[test]
fn a_window_goes_by_the_clock_of_the_zone_and_is_rather_too_long() {
    let rule = |windows: &[(&str, &str)]| Rule {
        timezone: Tz::Europe__Berlin,
        blackouts: windows.iter().map(|(from, to)| blackout(from, to)).collect(),
        ..rule("* * * * *", Tz::UTC)
    };
    let dark = |rule: &Rule, text: &str| rule.dark(at(text)).is_some();
    // 02:15 to 02:45 comes twice on 25 October 2026: dark from the first 02:15 to the second 02:45.
    let twice = rule(&[("SUN 02:15", "SUN 02:45")]);
    for (text, expected) in [
        ("2026-10-25 02:14 +02:00", false),
        ("2026-10-25 02:15 +02:00", true),
        ("2026-10-25 02:50 +02:00", true),
        ("2026-10-25 02:05 +01:00", true),
        ("2026-10-25 02:44 +01:00", true),
        ("2026-10-25 02:45 +01:00", false),
        ("2026-10-24 02:30 +02:00", false),
        ("2026-11-01 02:30 +01:00", true),
    ] {
        assert_eq!(dark(&twice, text), expected, "{text}");
    }
    // It is left out on 29 March; one that only begins in the gap begins after it.
    assert!(!dark(&twice, "2026-03-29 01:59 +01:00") && !dark(&twice, "2026-03-29 03:00 +02:00"));
    let into = rule(&[("2026-03-29 02:30", "2026-03-29 03:10")]);
    assert!(!dark(&into, "2026-03-29 01:59 +01:00") && dark(&into, "2026-03-29 03:00 +02:00"));
    assert!(dark(&into, "2026-03-29 03:09 +02:00") && !dark(&into, "2026-03-29 03:10 +02:00"));
}

#[test]
fn jitter_is_the_same_after_a_restart_and_in_every_release_and_differs_by_credential_and_tick() {
    let start = at(START);
    let of = |name: &str| {
        let rule = Rule { name: name.to_owned(), jitter: Span::minutes(10), ..rule("0 3 * * *", Tz::UTC) };
        let ticks = upcoming(&rule, &since(start), start, 5);
        ticks.iter().map(|t| (t.fires_ms - t.at_ms) / 1000).collect::<Vec<_>>()
    };
    // Changed, these would make every schedule fire at another time after an upgrade.
    assert_eq!(of("newsletter"), [377, 376, 413, 242, 327]);
    assert_eq!(of("invoices"), [39, 506, 123, 42, 84]);
    let mut all: Vec<u64> = (0..400).flat_map(|n| of(&format!("credential-{n}"))).collect();
    all.sort_unstable();
    assert!(all[0] < 5 && all[1999] > 595 && all[1999] <= 600, "{} to {}", all[0], all[1999]);
    for (tenth, at) in (1..10).zip((1..10).map(|tenth| all[tenth * 200])) {
        assert!(at.abs_diff(tenth * 60) < 15, "the {tenth}th tenth ends at {at}");
    }
}

#[test]
fn jitter_never_reaches_the_next_time() {
    let rule = Rule { jitter: Span::minutes(600), ..rule("*/5 * * * *", Tz::UTC) };
    let start = at(START);
    let ticks = upcoming(&rule, &since(start), start, 500);
    assert_eq!(ticks.len(), 500);
    for pair in ticks.windows(2) {
        assert_eq!(pair[1].at_ms, pair[0].at_ms + 5 * MINUTE);
        assert!(pair[0].fires_ms >= pair[0].at_ms && pair[0].fires_ms < pair[1].at_ms, "{pair:?}");
    }
}

#[test]
fn rules_that_never_fire_are_known() {
    let skip = |rule: Rule| Rule { in_blackout: InBlackout::Skip, ..rule };
    assert!(with("0 3 * * *", &[]).fires());
    assert!(with("0 3 * * SUN", &[("FRI 18:00", "MON 06:00")]).fires());
    assert!(!skip(with("0 3 * * SUN", &[("FRI 18:00", "MON 06:00")])).fires());
    assert!(skip(with("0 3 29 2 *", &[("FRI 18:00", "MON 06:00")])).fires());
    assert!(!skip(with("0 3 29 2 *", &[("02:00", "04:00")])).fires());
    assert!(!with("0 3 * * *", &[("06:00", "18:00"), ("18:00", "06:00")]).fires());
    assert!(skip(with("0 3 * * *", &[("2020-01-01 00:00", "2990-01-01 00:00")])).fires());
}
