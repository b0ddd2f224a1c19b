use super::super::Who;
use super::super::tally::Sighting;
use super::super::tests::{at, question, version};
use super::*;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Three uses a day at 8, 9 and 10 o'clock UTC, for twenty days before the window.
fn usual_days(question: &Question) -> Tally {
    let mut tally = Tally::new(question);
    for day in 1..=20 {
        for hour in 8..=10 {
            used(&mut tally, question.since_ms - day * DAY + hour * HOUR, "192.0.2.7", 1);
        }
    }
    tally
}

fn used(tally: &mut Tally, at_ms: u64, ip: &str, times: u64) {
    tally.see(Sighting { at_ms, address: ip.parse().ok(), who: Who::Credential, accepted: true, times });
}

fn learned(tally: &Tally) -> Usual {
    let mut usual = Usual::default();
    usual.learn(tally);
    usual
}

fn judge(question: &Question, tally: &Tally) -> Vec<Flag> {
    let mut flags = flags("log", question, &learned(tally), tally, &Calls::new());
    sort(&mut flags);
    flags
}

fn names(flags: &[Flag]) -> Vec<String> {
    let name = |flag: &Flag| serde_json::to_value(flag).expect("JSON")["flag"].as_str().expect("a name").to_owned();
    flags.iter().map(name).collect()
}

#[test]
fn what_is_as_before_is_not_unusual() {
    let question = question();
    let mut tally = usual_days(&question);
    for hour in [7, 8, 9, 10, 11] {
        used(&mut tally, question.since_ms + hour * HOUR, "192.0.2.200", 1);
    }
    assert_eq!(judge(&question, &tally), []);
}

#[test]
fn a_network_that_was_never_seen_is_flagged_once_something_is_known() {
    let question = question();
    let mut tally = usual_days(&question);
    used(&mut tally, question.since_ms + 9 * HOUR, "203.0.113.9", 2);
    let found = judge(&question, &tally);
    let [Flag::UnfamiliarAddress { network, uses, .. }] = &found[..] else { panic!("{found:?}") };
    assert_eq!((network.to_string().as_str(), uses.times), ("203.0.113.0/24", 2));
    assert!(found[0].is_stranger());
    // Where nothing was seen before, everybody would be a stranger.
    let mut tally = Tally::new(&question);
    used(&mut tally, question.since_ms + 9 * HOUR, "203.0.113.9", 2);
    assert_eq!(judge(&question, &tally), []);
    // And where more was seen than is kept, nobody is.
    let mut tally = usual_days(&question);
    tally.beyond.before.add(question.since_ms - DAY, 1);
    used(&mut tally, question.since_ms + 9 * HOUR, "203.0.113.9", 2);
    assert_eq!(judge(&question, &tally), []);
}

#[test]
fn an_hour_is_odd_if_nothing_was_near_it() {
    let question = question();
    for (hour, odd) in [(6, true), (7, false), (11, false), (12, true), (23, true), (0, true)] {
        let mut tally = usual_days(&question);
        used(&mut tally, question.since_ms + hour * HOUR, "192.0.2.7", 1);
        let found = judge(&question, &tally);
        assert_eq!(names(&found), if odd { vec!["odd-hours"] } else { vec![] }, "{hour}");
    }
    // 19 uses before are too few.
    let mut tally = Tally::new(&question);
    for day in 1..=19 {
        used(&mut tally, question.since_ms - day * DAY, "192.0.2.7", 1);
    }
    used(&mut tally, question.since_ms + 12 * HOUR, "192.0.2.7", 1);
    assert_eq!(judge(&question, &tally), []);
    used(&mut tally, question.since_ms - 20 * DAY, "192.0.2.7", 1);
    assert_eq!(names(&judge(&question, &tally)), ["odd-hours"]);
}

#[test]
fn a_spike_is_three_times_the_most_before_and_not_a_few() {
    let question = question();
    for (uses, expected) in
        [(19, vec![]), (20, vec![("hour", 20, 1)]), (79, vec![("hour", 79, 1)]), (80, vec![("day", 80, 3), ("hour", 80, 1)])]
    {
        let mut tally = usual_days(&question);
        used(&mut tally, question.since_ms + 9 * HOUR, "192.0.2.7", uses);
        let found = judge(&question, &tally);
        let spikes: Vec<_> = found
            .iter()
            .map(|flag| match flag {
                Flag::VolumeSpike { per, uses, most_before, .. } => (*per, *uses, *most_before),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(spikes, expected, "{uses}");
    }
    // A service that always sends much.
    let mut tally = usual_days(&question);
    used(&mut tally, question.since_ms - DAY + 9 * HOUR, "192.0.2.7", 1000);
    used(&mut tally, question.since_ms + 9 * HOUR, "192.0.2.7", 3000);
    assert_eq!(judge(&question, &tally), []);
    used(&mut tally, question.since_ms + 9 * HOUR, "192.0.2.7", 10);
    assert_eq!(names(&judge(&question, &tally)), ["volume-spike", "volume-spike"]);
}

#[test]
fn more_than_ten_networks_on_a_day_are_many_unless_they_always_are() {
    let question = question();
    let day = |tally: &mut Tally, at_ms: u64, n: u8| {
        (0..n).for_each(|n| used(tally, at_ms + 9 * HOUR, &format!("198.51.{n}.1"), 1));
    };
    // The usual one is among those before.
    for (before, after, expected) in [(0, 10, false), (0, 11, true), (11, 12, false), (11, 13, true)] {
        let mut tally = usual_days(&question);
        day(&mut tally, question.since_ms - 3 * DAY, before);
        day(&mut tally, question.since_ms, after);
        let found = judge(&question, &tally);
        assert_eq!(names(&found).contains(&"many-addresses".to_owned()), expected, "{before} {after}: {found:?}");
    }
}

#[test]
fn a_revoked_version_that_is_accepted_is_an_alarm_and_comes_first() {
    let mut question = question();
    question.leaked_ms = Some(question.since_ms);
    question.versions = vec![version("AKIA1", "a"), version("AKIA2", "b")];
    question.versions[0].revoked_ms = Some(at("2026-11-20T12:00:00Z"));
    let mut tally = usual_days(&question);
    let mut seen = |time: &str, accepted: bool| {
        let who = Who::Version(0);
        tally.see(Sighting { at_ms: at(time), address: "203.0.113.9".parse().ok(), who, accepted, times: 1 });
    };
    seen("2026-11-20T12:00:10Z", true);
    seen("2026-11-20T13:00:00Z", false);
    seen("2026-11-21T09:00:00Z", true);
    let mut calls = Calls::new();
    calls.entry("GetSendQuota".to_owned()).or_default().add(question.since_ms, 1);
    calls.entry("ListBuckets".to_owned()).or_default().add(question.since_ms, 1);
    let mut found = flags("log", &question, &learned(&tally), &tally, &calls);
    sort(&mut found);
    assert_eq!(
        names(&found),
        [
            "after-revocation",
            "api-call",
            "api-call",
            "unfamiliar-address",
            "old-name-refused",
            "odd-hours",
            "while-spreading",
            "after-exposure"
        ]
    );
    let Flag::AfterRevocation { version, revoked_ms, uses, networks, .. } = &found[0] else { panic!("{found:?}") };
    assert_eq!((version.as_str(), *revoked_ms, uses.times), ("AKIA1", at("2026-11-20T12:00:00Z"), 1));
    assert_eq!(networks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["203.0.113.0/24"]);
    assert!(matches!(&found[1], Flag::ApiCall { call, recon: true, .. } if call == "GetSendQuota"), "{found:?}");
    assert_eq!(found.iter().map(Flag::weight).collect::<Vec<_>>()[..3], [Weight::Alarm, Weight::Alarm, Weight::Warning]);
    assert!(
        !Flag::OldNameRefused { source: String::new(), version: String::new(), tries: Count::default(), networks: vec![] }
            .is_stranger()
    );
}
