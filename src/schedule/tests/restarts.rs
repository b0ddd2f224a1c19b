//! Each change of the clock of three years in five zones, with a restart at every minute around it (safety.md S15, L8).

use chrono_tz::Tz;

use super::scan::{Clock, changes};
use super::{DAY, HOUR, MINUTE, rule, since};
use crate::schedule::{LATE, Why, due, next};

const ZONES: [Tz; 5] = [
    Tz::Europe__Berlin,
    Tz::America__New_York,
    Tz::Australia__Lord_Howe,
    Tz::Africa__Casablanca,
    // Changes at midnight. America/Sao_Paulo did so until 2019, and has no change in these years.
    Tz::America__Santiago,
];

const CRONS: [&str; 4] = ["30 2 * * *", "*/15 * * * *", "0 0,3,23 * * *", "10,50 1,2 * * SAT,SUN"];

/// How long the process is away.
const AWAY: [u64; 3] = [7 * MINUTE, 61 * MINUTE, 150 * MINUTE];

#[test]
fn s15_each_tick_fires_once_around_every_change_of_the_clock_with_a_restart_at_every_minute() {
    let (mut all, mut ticks) = (0, 0);
    for zone in ZONES {
        let found = changes(zone, 2026..=2028);
        assert_eq!(found.len(), 6, "{zone}: {found:?}");
        for change in found {
            let clock = Clock::of(zone, change - 4 * DAY, change + 26 * HOUR);
            for cron in CRONS {
                ticks += around(zone, cron, change, &clock.fires(cron));
                all += 1;
            }
        }
    }
    println!("{all} times of change and expression, {ticks} ticks, each with restarts at 361 minutes around the change");
    assert!(all == 120 && ticks > 800, "{all}, {ticks}");
}

/// All that a process which starts now knows is the last tick that was dealt with. So one that looks at each minute, knowing nothing
/// else, is one that was restarted at each.
fn around(zone: Tz, cron: &str, change: u64, fires: &[u64]) -> usize {
    let rule = rule(cron, zone);
    let after = |at: u64| fires.partition_point(|tick| *tick <= at);
    let mut count = 0;
    for now in (change - 2 * HOUR..=change + 4 * HOUR).step_by(MINUTE as usize) {
        let what = format!("{cron} in {zone}, {} minutes after the change", (now as i64 - change as i64) / MINUTE as i64);
        let (last, coming) = (fires[after(now - 1) - 1], fires.get(after(now)).copied());
        let tick = due(&rule, &since(last), now);
        let expected = (fires[after(now) - 1] == now).then_some(now);
        assert_eq!(tick.as_ref().map(|t| (t.at_ms, t.fires_ms, t.why)), expected.map(|t| (t, t, Why::Regular)), "{what}");
        count += usize::from(tick.is_some());
        // Dealt with: never again, and the next one comes when it should.
        let last = expected.unwrap_or(last);
        assert_eq!(due(&rule, &since(last), now), None, "{what}");
        let foretold = next(&rule, &since(last), now).map(|t| t.fires_ms);
        assert_eq!(foretold.filter(|at| *at < change + 26 * HOUR), coming, "{what}");
        // Away from now on: one stands for all that were missed, and it is the last of them.
        for away in AWAY {
            let back = now + away;
            let missed = &fires[after(now)..after(back)];
            let tick = due(&rule, &since(last), back);
            assert_eq!(tick.as_ref().map(|t| t.at_ms), missed.last().copied(), "{what}, away for {away} ms");
            if let Some(tick) = tick {
                assert_eq!(tick.why == Why::CaughtUp, back - tick.at_ms > LATE.0, "{what}, away for {away} ms");
                assert_eq!(due(&rule, &since(tick.at_ms), back), None, "{what}, away for {away} ms: twice");
            }
        }
    }
    count
}

#[test]
fn every_change_of_every_zone_in_these_years_goes_by_the_policy() {
    let mut seen = 0;
    for zone in chrono_tz::TZ_VARIANTS {
        for change in changes(zone, 2026..=2026) {
            let clock = Clock::of(zone, change - 30 * HOUR, change + 6 * HOUR);
            let rule = rule("*/30 * * * *", zone);
            let mut now = change - 3 * HOUR;
            for tick in clock.fires("*/30 * * * *").into_iter().filter(|tick| *tick > change - 3 * HOUR) {
                let found = next(&rule, &since(now), now).map(|t| t.fires_ms);
                assert_eq!(found, Some(tick), "{zone}");
                now = tick;
            }
            assert!(now > change + 5 * HOUR, "{zone}");
            seen += 1;
        }
    }
    assert!(seen > 200, "only {seen} changes were seen");
}
