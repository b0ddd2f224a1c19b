//! What was stored decides: missed times, clocks that jump, ages, distances, and what is in the way.

use chrono_tz::Tz;
use handover_rotation::time::Span;

use super::{DAY, HOUR, MINUTE, at, blackout, rule, since};
use crate::schedule::{
    AGAIN, Block, CatchUp, LATE, Moved, Open, Past, Rule, Tick, Why, blocked, due, missed, next, upcoming,
};

/// 2026-06-01 is a Monday.
const START: &str = "2026-06-01 03:00 +00:00";

fn daily() -> Rule {
    rule("0 3 * * *", Tz::UTC)
}

fn of(tick: Option<Tick>) -> Option<(u64, Why)> {
    tick.map(|tick| (tick.at_ms, tick.why))
}

#[test]
fn l8_missed_ticks_produce_exactly_one_that_makes_up_for_them() {
    let (rule, start) = (daily(), at(START));
    let back = start + 9 * DAY + 5 * HOUR;
    let tick = due(&rule, &since(start), back).expect("one");
    assert_eq!((tick.at_ms, tick.why), (start + 9 * DAY, Why::CaughtUp));
    assert_eq!(due(&rule, &since(tick.at_ms), back), None);
    assert_eq!(next(&rule, &since(tick.at_ms), back).map(|t| t.at_ms), Some(start + 10 * DAY));
    // Not so late as to count as missed.
    assert_eq!(of(due(&rule, &since(start), start + DAY + LATE.0)), Some((start + DAY, Why::Regular)));
    assert_eq!(of(due(&rule, &since(start), start + DAY + LATE.0 + 1)), Some((start + DAY, Why::CaughtUp)));
}

#[test]
fn l8_who_does_not_catch_up_is_told_once_what_was_missed() {
    let rule = Rule { catch_up: CatchUp::Skip, ..daily() };
    let start = at(START);
    let soon = start + DAY + LATE.0;
    assert_eq!(of(due(&rule, &since(start), soon)), Some((start + DAY, Why::Regular)), "a restart is no reason to miss one");
    assert_eq!(missed(&rule, &since(start), soon), None);
    assert_eq!(due(&rule, &since(start), soon + 1), None);
    assert_eq!(missed(&rule, &since(start), start + 9 * DAY + 5 * HOUR).map(|t| t.at_ms), Some(start + 9 * DAY));
    assert_eq!(missed(&rule, &since(start + 9 * DAY), start + 9 * DAY + 5 * HOUR), None);
    assert_eq!(next(&rule, &since(start), start + 9 * DAY + 5 * HOUR).map(|t| t.at_ms), Some(start + 10 * DAY));
    assert_eq!(missed(&daily(), &since(start), start + 9 * DAY + 5 * HOUR), None);
}

#[test]
fn s29_a_clock_that_goes_back_fires_nothing_again_and_one_that_runs_ahead_makes_many_ticks_one() {
    let (rule, start) = (daily(), at(START));
    for back in [1, MINUTE, HOUR, DAY, 40 * DAY] {
        assert_eq!(due(&rule, &since(start), start - back), None);
        assert_eq!(next(&rule, &since(start), start - back).map(|t| t.at_ms), Some(start + DAY));
    }
    let ahead = start + 400 * DAY;
    assert_eq!(of(due(&rule, &since(start), ahead)), Some((ahead, Why::Regular)));
    assert_eq!(of(due(&rule, &since(start), ahead + HOUR)), Some((ahead, Why::CaughtUp)));
    // And back again: what it did in the future counts, and is told.
    let past = since(ahead);
    assert_eq!(due(&rule, &past, start + DAY), None);
    assert_eq!(blocked(&rule, &past, None, start + DAY), [Block::Clock { last_ms: ahead }]);
    assert_eq!(blocked(&rule, &since(start), None, start - HOUR), []);
    let begun = Past { started_ms: Some(ahead), ..since(start) };
    assert_eq!(blocked(&daily(), &begun, None, start + DAY), [Block::Clock { last_ms: ahead }]);
}

#[test]
fn what_was_over_when_a_rule_came_into_force_was_not_missed() {
    let (rule, start) = (daily(), at(START));
    let past = Past { known_ms: start + 5 * HOUR, ..since(start - 30 * DAY) };
    assert_eq!(due(&rule, &past, start + 5 * HOUR), None);
    assert_eq!(next(&rule, &past, start + 5 * HOUR).map(|t| t.at_ms), Some(start + DAY));
    assert_eq!(of(due(&rule, &past, start + DAY)), Some((start + DAY, Why::Regular)));
    // What a rule is marked by: its times, and nothing that only moves them.
    let mark = |rule: &Rule| rule.mark();
    assert_eq!(mark(&Rule { jitter: Span::minutes(9), max_age: Some(Span(1)), ..daily() }), mark(&rule));
    assert_ne!(mark(&super::rule("0 4 * * *", Tz::UTC)), mark(&rule));
    assert_ne!(mark(&super::rule("0 3 * * *", Tz::Europe__Berlin)), mark(&rule));
}

#[test]
fn a_version_that_is_too_old_is_due_at_once_and_again_a_day_after_what_did_not_help() {
    let start = at(START);
    let rule = Rule { max_age: Some(Span(90 * DAY)), ..rule("0 3 1 1 *", Tz::UTC) };
    let made = |made: u64| Past { current_ms: Some(made), ..since(start - 100 * DAY) };
    assert_eq!(due(&rule, &made(start - 90 * DAY + 1), start), None);
    let old = due(&rule, &made(start - 90 * DAY), start).expect("too old");
    assert_eq!((old.at_ms, old.fires_ms, old.why), (start, start, Why::TooOld));
    assert_eq!(next(&rule, &made(start - 80 * DAY), start).map(|t| t.fires_ms), Some(start + 10 * DAY));
    assert_eq!(due(&rule, &Past { current_ms: None, ..made(0) }, start), None, "an age that nobody knows");
    // It was tried, and the old version is still the current one.
    let tried = Past { last_ms: Some(start), started_ms: Some(start), ..made(start - 90 * DAY) };
    assert_eq!(due(&rule, &tried, start + AGAIN.0 - 1), None);
    assert_eq!(of(due(&rule, &tried, start + AGAIN.0)), Some((start + AGAIN.0, Why::TooOld)));
    // Nor was it if it could not even be begun.
    let dealt = Past { started_ms: None, ..tried };
    assert_eq!(due(&rule, &dealt, start + AGAIN.0 - 1), None);
    // One rotation is for the age and for a time that was missed.
    let rule = Rule { max_age: Some(Span(90 * DAY)), ..daily() };
    let both = Past { current_ms: Some(start - 90 * DAY + HOUR), ..since(start - 30 * DAY) };
    let tick = due(&rule, &both, start + 2 * HOUR).expect("one");
    assert_eq!((tick.at_ms, tick.why), (start + HOUR, Why::TooOld));
    let then = Past { last_ms: Some(tick.at_ms), ..both };
    assert_eq!(due(&rule, &then, start + 2 * HOUR), None);
}

#[test]
fn ages_are_seen_ahead_and_a_rotation_makes_them_young() {
    let start = at(START);
    let rule = Rule { max_age: Some(Span(10 * DAY)), ..rule("0 3 1 * *", Tz::UTC) };
    let past = Past { current_ms: Some(start), started_ms: Some(start), ..since(start) };
    let ticks: Vec<_> = upcoming(&rule, &past, start, 4).into_iter().map(|t| ((t.fires_ms - start) / DAY, t.why)).collect();
    assert_eq!(ticks, [(10, Why::TooOld), (20, Why::TooOld), (30, Why::Regular), (40, Why::TooOld)]);
}

#[test]
fn rotations_keep_their_distance_whoever_began_the_last_one() {
    let start = at(START);
    let rule = Rule { min_interval: Span::minutes(60), ..rule("*/15 * * * *", Tz::UTC) };
    let past = Past { started_ms: Some(start), ..since(start) };
    assert_eq!(due(&rule, &past, start + 59 * MINUTE), None);
    assert_eq!(blocked(&rule, &past, None, start + 59 * MINUTE), [Block::Interval { until_ms: start + HOUR }]);
    let fires: Vec<u64> = upcoming(&rule, &past, start, 3).iter().map(|t| t.fires_ms).collect();
    assert_eq!(fires, [start + HOUR, start + 2 * HOUR, start + 3 * HOUR]);
    // By a person at 02:30: the time at 03:00 waits, and is not lost.
    let by_hand = Past { started_ms: Some(start - 30 * MINUTE), ..since(start - DAY) };
    let rule = Rule { min_interval: Span::minutes(60), ..daily() };
    assert_eq!(due(&rule, &by_hand, start), None);
    let tick = next(&rule, &by_hand, start).expect("one");
    assert_eq!((tick.at_ms, tick.fires_ms, tick.moved), (start, start + 30 * MINUTE, Some(Moved::Interval)));
    assert_eq!(tick.local, "2026-06-01 03:30:00 +00:00");
}

#[test]
fn what_is_in_the_way_is_told_the_most_important_first() {
    let start = at(START);
    let rule = Rule {
        blackouts: vec![blackout("MON 02:00", "MON 04:00"), blackout("04:00", "05:00")],
        min_interval: Span::minutes(60),
        ..daily()
    };
    let past = Past { started_ms: Some(start - MINUTE), ..since(start - DAY) };
    let open = Open { rotation: "rot-1".to_owned(), stuck: false };
    let dark = Block::Blackout { which: 0, until_ms: Some(start + 2 * HOUR) };
    let held = Block::Interval { until_ms: start + 59 * MINUTE };
    let under_way = Block::UnderWay { rotation: "rot-1".to_owned() };
    assert_eq!(blocked(&rule, &past, Some(&open), start), [under_way, dark.clone(), held.clone()]);
    let stuck = Open { stuck: true, ..open };
    assert_eq!(blocked(&rule, &past, Some(&stuck), start)[0], Block::Stuck { rotation: "rot-1".to_owned() });
    assert_eq!(blocked(&rule, &since(0), None, start + 2 * HOUR), []);
    let endless = Rule { blackouts: vec![blackout("00:00", "12:00"), blackout("12:00", "00:00")], ..daily() };
    assert_eq!(blocked(&endless, &since(0), None, start), [Block::Blackout { which: 0, until_ms: None }]);
    assert_eq!((next(&endless, &since(0), start), due(&endless, &since(0), start)), (None, None));
}
