use super::super::tests::{at, question, version};
use super::*;

fn seen(time: &str, ip: &str, who: Who, accepted: bool) -> Sighting {
    Sighting { at_ms: at(time), address: ip.parse().ok(), who, accepted, times: 1 }
}

fn used(time: &str, ip: &str) -> Sighting {
    seen(time, ip, Who::Credential, true)
}

#[test]
fn what_lies_before_the_divide_is_usual_and_what_lies_after_it_is_asked_about() {
    let mut question = question();
    question.leaked_ms = Some(at("2026-11-22T00:00:00Z"));
    let mut tally = Tally::new(&question);
    for (time, ip) in [
        // Longer ago than is learned from, and after the end.
        ("2026-08-01T00:00:00Z", "192.0.2.1"),
        ("2026-11-26T00:01:00Z", "192.0.2.1"),
        // Usual, the second within the window too.
        ("2026-09-01T08:00:00Z", "192.0.2.1"),
        ("2026-11-20T09:00:00Z", "192.0.2.2"),
        // After the leak.
        ("2026-11-22T00:00:00Z", "192.0.2.3"),
        ("2026-11-23T10:00:00Z", "203.0.113.1"),
        ("2026-11-23T10:00:00Z", "unknown"),
    ] {
        tally.see(used(time, ip));
    }
    assert_eq!((tally.before.times, tally.window.times, tally.after.times), (2, 4, 3));
    assert_eq!(tally.window.first_ms, Some(at("2026-11-20T09:00:00Z")));
    let place = tally.networks[&Network::V4([192, 0, 2])];
    assert_eq!((place.before.times, place.after.times), (2, 1));
    assert_eq!(tally.nowhere.after.times, 1);
    assert_eq!((tally.hours_before[8], tally.hours_before[9], tally.hours_after[10]), (1, 1, 2));
    assert_eq!(tally.days_before(), 2);
}

#[test]
fn between_the_leak_and_a_later_window_nothing_counts() {
    let mut question = question();
    question.leaked_ms = Some(at("2026-11-10T00:00:00Z"));
    let mut tally = Tally::new(&question);
    tally.see(used("2026-11-09T00:00:00Z", "192.0.2.1"));
    tally.see(used("2026-11-15T00:00:00Z", "192.0.2.1"));
    tally.see(used("2026-11-20T00:00:00Z", "192.0.2.1"));
    assert_eq!((tally.before.times, tally.after.times, tally.window.times), (1, 1, 1));
}

#[test]
fn a_revoked_version_is_watched_by_itself() {
    let mut question = question();
    question.versions = vec![version("k1", "a"), version("k2", "b")];
    question.versions[0].revoked_ms = Some(at("2026-11-21T12:00:00Z"));
    let mut tally = Tally::new(&question);
    let old = Who::Version(0);
    tally.see(seen("2026-11-21T12:00:00Z", "192.0.2.1", old, true));
    tally.see(seen("2026-11-21T12:00:30Z", "192.0.2.1", old, true));
    tally.see(seen("2026-11-21T12:01:00Z", "192.0.2.1", old, true));
    tally.see(seen("2026-11-21T12:01:01Z", "203.0.113.1", old, true));
    tally.see(seen("2026-11-21T13:00:00Z", "203.0.113.1", old, false));
    tally.see(seen("2026-11-21T13:00:00Z", "203.0.113.1", Who::Version(1), true));
    tally.see(seen("2026-11-21T13:00:00Z", "203.0.113.1", Who::Credential, true));
    let [revoked, current] = &tally.versions[..] else { panic!("two versions") };
    assert_eq!((revoked.spreading.times, revoked.accepted.times, revoked.refused.times), (2, 1, 1));
    assert_eq!(revoked.networks.len(), 2);
    assert_eq!(*current, Revoked::default());
    assert_eq!((tally.window.times, tally.refused.times), (6, 1));
}

#[test]
fn each_login_of_handover_answers_for_one_line() {
    let mut question = question();
    question.versions = vec![version("k1", "a"), version("k2", "b")];
    let from_ms = at("2026-11-21T12:00:00Z");
    question.own = vec![OwnLogin { version: 0, from_ms, to_ms: from_ms + 1000, accepted: false }];
    let old = Who::Version(0);
    for (first, own) in [
        (seen("2026-11-21T11:59:55Z", "192.0.2.1", old, false), 1),
        (seen("2026-11-21T12:00:06Z", "192.0.2.1", old, false), 1),
        (seen("2026-11-21T12:00:00Z", "192.0.2.1", Who::Credential, false), 1),
        (seen("2026-11-21T11:59:54Z", "192.0.2.1", old, false), 0),
        (seen("2026-11-21T12:00:07Z", "192.0.2.1", old, false), 0),
        (seen("2026-11-21T12:00:00Z", "192.0.2.1", Who::Version(1), false), 0),
        (seen("2026-11-21T12:00:00Z", "192.0.2.1", old, true), 0),
        (Sighting { times: 3, ..seen("2026-11-21T12:00:00Z", "192.0.2.1", old, false) }, 0),
    ] {
        let mut tally = Tally::new(&question);
        tally.see(first);
        assert_eq!(tally.own_seen, own, "{first:?}");
        tally.see(seen("2026-11-21T12:00:01Z", "192.0.2.1", old, false));
        tally.see(seen("2026-11-21T12:00:02Z", "192.0.2.1", old, false));
        assert_eq!(tally.own_seen, 1, "a second one is somebody else's");
    }
}

#[test]
fn two_parts_of_a_source_are_added() {
    let mut question = question();
    question.versions = vec![version("k1", "a")];
    question.versions[0].revoked_ms = Some(at("2026-11-21T12:00:00Z"));
    let all = [
        used("2026-11-01T08:00:00Z", "192.0.2.1"),
        used("2026-11-20T08:00:00Z", "192.0.2.1"),
        seen("2026-11-22T08:00:00Z", "203.0.113.1", Who::Version(0), true),
        seen("2026-11-22T09:00:00Z", "203.0.113.2", Who::Version(0), false),
        used("2026-11-22T08:30:00Z", "unknown"),
    ];
    let mut whole = Tally::new(&question);
    all.iter().for_each(|s| whole.see(*s));
    for cut in 0..=all.len() {
        let (mut one, mut two) = (Tally::new(&question), Tally::new(&question));
        all[..cut].iter().for_each(|s| one.see(*s));
        all[cut..].iter().for_each(|s| two.see(*s));
        one.merge(&two);
        assert_eq!(format!("{one:?}"), format!("{whole:?}"), "{cut}");
    }
}

#[test]
fn a_botnet_fills_no_memory_and_hides_no_use() {
    let question = question();
    let mut tally = Tally::new(&question);
    let mut other = Tally::new(&question);
    for n in 0..200_000_u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let address = Some(IpAddr::from([a + 1, b, c, 1]));
        let at_ms = question.since_ms + u64::from(n) * 3_000;
        let one = Sighting { at_ms, address, who: Who::Credential, accepted: true, times: 1 };
        tally.see(one);
        other.see(Sighting { address: Some(IpAddr::from([a + 101, b, c, 1])), ..one });
    }
    assert_eq!(tally.networks.len(), MOST_NETWORKS);
    assert_eq!(tally.after.times, 200_000);
    let kept = tally.kept();
    tally.merge(&other);
    assert!(kept < 2500 && tally.kept() < 2500, "{kept} {}", tally.kept());
    assert_eq!(tally.networks.values().map(|p| p.after.times).sum::<u64>() + tally.beyond.after.times, 400_000);
}

#[test]
fn a_name_that_one_database_does_not_know_is_refused_only_if_it_is_revoked() {
    let mut question = question();
    question.versions = vec![version("k1", "a"), version("k2", "b")];
    question.versions[0].revoked_ms = Some(at("2026-11-21T12:00:00Z"));
    let mut tally = Tally::new(&question);
    for (time, who) in [
        ("2026-11-21T11:00:00Z", Who::Version(0)),
        ("2026-11-21T13:00:00Z", Who::Version(0)),
        ("2026-11-21T13:00:00Z", Who::Version(1)),
        ("2026-11-21T13:00:00Z", Who::Credential),
    ] {
        tally.see_unknown(seen(time, "192.0.2.1", who, false));
    }
    assert_eq!((tally.refused.times, tally.versions[0].refused.times), (1, 1));
}

#[test]
fn a_login_that_was_accepted_after_the_revocation_is_nobodys_own() {
    let mut question = question();
    question.versions = vec![version("k1", "a")];
    let revoked = at("2026-11-21T12:00:00Z");
    question.versions[0].revoked_ms = Some(revoked);
    question.own = vec![OwnLogin { version: 0, from_ms: revoked - 1000, to_ms: revoked - 500, accepted: true }];
    let mut tally = Tally::new(&question);
    tally.see(seen("2026-11-21T12:00:01Z", "203.0.113.1", Who::Version(0), true));
    assert_eq!((tally.own_seen, tally.versions[0].spreading.times), (0, 1));
    tally.see(seen("2026-11-21T11:59:59Z", "192.0.2.1", Who::Version(0), true));
    assert_eq!(tally.own_seen, 1);
}
