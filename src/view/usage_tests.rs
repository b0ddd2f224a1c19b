use super::super::tests::stories::STYLE;
use super::*;
use crate::usage::{Coverage, Learned, VersionReport};

const DAY: u64 = 86_400_000;
/// 2026-11-26 12:00 UTC.
const NOW: u64 = 1_795_694_400_000;

macro_rules! golden {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        })
    };
}

fn count(times: u64, first_ms: u64, last_ms: u64) -> Count {
    Count { times, first_ms: Some(first_ms), last_ms: Some(last_ms) }
}

fn network(text: &str) -> Network {
    Network::of(text.parse().expect("an address"))
}

fn source(name: &str, kind: &str, standing: Standing) -> SourceReport {
    SourceReport {
        name: name.to_owned(),
        kind: kind.to_owned(),
        standing,
        uses: Count::default(),
        refused: Count::default(),
        own: 0,
        covered: Coverage::of(NOW - 60 * DAY, NOW),
        whole: true,
        sees: "every login".to_owned(),
        fault: None,
        notes: Vec::new(),
    }
}

fn quiet() -> Assessment {
    Assessment {
        format: 1,
        credential: "newsletter".to_owned(),
        verdict: Verdict::NoEvidence,
        why: vec![
            "relay sees every login, and saw none in all of the window".to_owned(),
            "this holds if the sources are of every server where newsletter can log in".to_owned(),
        ],
        strangers: Strangers::NothingUnusual,
        strangers_why: vec!["nobody was seen at all".to_owned()],
        since_ms: NOW - 30 * DAY,
        until_ms: NOW,
        leaked_ms: None,
        learned: Learned::default(),
        flags: Vec::new(),
        sources: vec![source("relay", "dovecot-log", Standing::Nothing)],
        versions: Vec::new(),
    }
}

/// A leak in which everything went wrong.
fn leaked() -> Assessment {
    let log = || "relay".to_owned();
    let old = || "newsletter-a".to_owned();
    let revoked_ms = NOW - DAY;
    let mut relay = source("relay", "dovecot-log", Standing::Used);
    relay.uses = count(431, NOW - 3 * DAY, NOW - 60_000);
    relay.refused = count(12, NOW - 20 * 3_600_000, NOW - 3_600_000);
    relay.own = 4;
    relay.notes = vec!["2 lines can be read in two ways and count for nobody".to_owned()];
    let mut trail = source("trail", "cloudtrail", Standing::Used);
    trail.uses = count(3, NOW - 2 * DAY, NOW - 2 * DAY + 90_000);
    trail.sees = "a part: sending over SES's SMTP interface is not in CloudTrail: it has calls of the API only".to_owned();
    (trail.covered, trail.whole) = (Coverage::of(NOW - DAY, NOW), false);
    let mut broken = source("activity", "sendgrid-activity", Standing::Failed);
    let fault = handover_rotation::outcome::Fault::new(
        handover_rotation::outcome::FaultClass::Permanent,
        "HO0963",
        "SendGrid at api.sendgrid.com: it answered 403 to: search the email activity",
    );
    broken.fault = Some(fault.hint("has the login that Handover uses here expired, and may it do this?"));
    Assessment {
        verdict: Verdict::Used,
        why: vec!["relay saw 431 uses".to_owned(), "trail saw 3 uses".to_owned()],
        strangers: Strangers::Flagged,
        strangers_why: vec!["7 flags speak for it".to_owned()],
        since_ms: NOW - 3 * DAY,
        leaked_ms: Some(NOW - 3 * DAY),
        learned: Learned {
            uses: 2610,
            days: 88,
            first_ms: Some(NOW - 92 * DAY),
            enough: true,
            networks: vec![network("192.0.2.7"), network("2001:db8:17::1")],
            more_networks: 0,
            hours: vec![0, 6, 7, 8, 9, 23],
        },
        flags: vec![
            Flag::AfterRevocation {
                source: log(),
                version: old(),
                revoked_ms,
                uses: count(2, NOW - 7_200_000, NOW - 3_600_000),
                networks: vec![network("203.0.113.9")],
            },
            Flag::ApiCall {
                source: "trail".to_owned(),
                call: "GetSendQuota".to_owned(),
                calls: count(1, NOW - 2 * DAY, NOW - 2 * DAY),
                recon: true,
            },
            Flag::ApiCall {
                source: "trail".to_owned(),
                call: "ListBuckets".to_owned(),
                calls: count(2, NOW - 2 * DAY, NOW - 2 * DAY + 90_000),
                recon: false,
            },
            Flag::UnfamiliarAddress {
                source: log(),
                network: network("203.0.113.9"),
                uses: count(14, NOW - 2 * DAY, NOW - 3_600_000),
            },
            Flag::ManyMoreAddresses { source: log(), uses: count(7, NOW - DAY, NOW) },
            Flag::OldNameRefused {
                source: log(),
                version: old(),
                tries: count(12, NOW - 20 * 3_600_000, NOW - 3_600_000),
                networks: vec![network("203.0.113.9"), network("198.51.100.1")],
            },
            Flag::VolumeSpike { source: log(), at_ms: NOW - 2 * DAY, per: "hour", uses: 300, most_before: 31 },
            Flag::ManyAddresses { source: log(), at_ms: NOW - 2 * DAY, networks: 64, most_before: 2 },
            Flag::OddHours { source: log(), hours: vec![2, 3, 4, 14], uses: 40 },
            Flag::WhileSpreading { source: log(), version: old(), uses: count(1, revoked_ms + 9_000, revoked_ms + 9_000) },
            Flag::AfterExposure { source: log(), uses: count(431, NOW - 3 * DAY, NOW - 60_000) },
        ],
        sources: vec![relay, trail, broken],
        versions: vec![
            VersionReport { version: old(), created_ms: None, revoked_ms: Some(revoked_ms), compromised: true },
            VersionReport {
                version: "newsletter-b".to_owned(),
                created_ms: Some(NOW - DAY - 600_000),
                revoked_ms: None,
                compromised: false,
            },
        ],
        ..quiet()
    }
}

/// What can be said of a login at SES.
fn ses() -> Assessment {
    let mut statistics = source("volume", "ses-statistics", Standing::Perhaps);
    statistics.uses = count(9120, NOW - 14 * DAY, NOW - 900_000);
    statistics.sees = "a part: they are of a whole account, and a login that sends nothing is not in them".to_owned();
    (statistics.covered, statistics.whole) = (Coverage::of(NOW - 14 * DAY, NOW), false);
    statistics.notes = vec!["it counts the mail of the whole account, not of one key".to_owned()];
    Assessment {
        verdict: Verdict::CannotTell,
        why: vec![
            "volume has not seen all of the window".to_owned(),
            "sending over SES's SMTP interface is not in CloudTrail, and no other source sees every login".to_owned(),
        ],
        strangers: Strangers::CannotTell,
        strangers_why: vec![
            "volume has not seen all of the window".to_owned(),
            "nothing is known from before, so nobody can be told from anybody".to_owned(),
        ],
        sources: vec![statistics],
        ..quiet()
    }
}

#[test]
fn pages() {
    golden!("usage_no_evidence", usage(&quiet(), STYLE));
    golden!("usage_leaked", usage(&leaked(), STYLE));
    golden!("usage_cannot_tell", usage(&ses(), STYLE));
    golden!("usage_without_sources", usage(&Assessment { sources: Vec::new(), ..ses() }, STYLE));
}

#[test]
fn every_line_fits_and_is_quiet_without_colour() {
    for assessment in [quiet(), leaked(), ses()] {
        for width in [60, 80, 120] {
            let text = usage(&assessment, Style { width, ..STYLE });
            for line in text.lines() {
                assert!(line.chars().count() <= width, "{line:?}\n{text}");
                assert_eq!(line, line.trim_end(), "blanks at the end");
            }
            assert!(text.is_ascii() && !text.contains('\u{1b}'), "{text}");
        }
        let coloured = usage(&assessment, Style { colour: true, ..STYLE });
        let plain: String = coloured
            .split('\u{1b}')
            .enumerate()
            .map(|(n, part)| if n == 0 { part } else { part.split_once('m').map_or("", |p| p.1) })
            .collect();
        assert_eq!(plain, usage(&assessment, STYLE), "nothing is said by colour alone");
    }
}

#[test]
fn what_a_source_is_called_steers_no_terminal() {
    let mut assessment = leaked();
    assessment.sources[0].notes.push("a\u{1b}[2Jb\nnext: rm".to_owned());
    assessment.versions[0].version = "x\u{202e}y".to_owned();
    let text = usage(&assessment, STYLE);
    assert!(text.contains("a\\u{1b}[2Jb\\u{a}next: rm") && text.contains("x\\u{202e}y"), "{text}");
}

#[test]
fn hours_are_ranges() {
    for (list, expected) in [(&[][..], ""), (&[6], "06"), (&[0, 6, 7, 8, 23], "00, 06-08, 23")] {
        assert_eq!(hours(list), expected);
    }
}
