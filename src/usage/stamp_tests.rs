use super::*;

fn text(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).expect("a time").format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn ms(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis()
}

const BERLIN: LogZone = LogZone::Named(Tz::Europe__Berlin);

#[test]
fn stamps_of_every_form_are_read_and_others_are_not() {
    for (line, expected, rest) in [
        ("2026-11-26T22:01:02.123456+01:00 host x", "2026-11-26T21:01:02.123Z", "host x"),
        ("2026-11-26T22:01:02+0100 host x", "2026-11-26T21:01:02.000Z", "host x"),
        ("2026-11-26T22:01:02Z host x", "2026-11-26T22:01:02.000Z", "host x"),
        ("2026-11-26 22:01:02 -0330 [7] x", "2026-11-27T01:31:02.000Z", "[7] x"),
        ("2026-11-26 22:01:02.5 1abc <= x", "2026-11-26T21:01:02.500Z", "1abc <= x"),
        ("2026-07-26 22:01:02 1abc <= x", "2026-07-26T20:01:02.000Z", "1abc <= x"),
        ("2026-12-31 23:59:60 x", "2026-12-31T22:59:59.000Z", "x"),
        ("Nov 26 22:01:02 host x", "2026-11-26T21:01:02.000Z", "host x"),
        ("Nov  6 02:01:02 host x", "2026-11-06T01:01:02.000Z", "host x"),
        // The hour that comes twice, and the one that never was.
        ("Oct 25 02:30:00 host x", "2026-10-25T00:30:00.000Z", "host x"),
        ("2026-03-29 02:30:00 x", "2026-03-29T01:30:00.000Z", "x"),
    ] {
        let (stamp, after) = split(line).unwrap_or_else(|| panic!("{line}"));
        let mut dates = Dates::new(BERLIN, ms("2026-11-27T00:00:00Z"));
        assert_eq!((dates.moment(stamp).map(text).as_deref(), after), (Some(expected), rest), "{line}");
    }
    for line in [
        "",
        "Nov",
        "Nov 26",
        "Nov 26 22:01:02",
        "Nov 26 25:01:02 x",
        "Nov 26 22:61:02 x",
        "Nuv 26 22:01:02 x",
        "Nov 26 22-01-02 x",
        "2026-11-26",
        "2026-13-26T22:01:02Z x",
        "2026-02-29T22:01:02Z x",
        "2026-11-26T22:01:02+9900 x",
        "2026-11-26T22:01:02+01 x",
        "2026-11-26T22:01:02x y",
        "20261126T220102Z x",
        "9999999999 x",
        "Nov ü6 22:01:02 x",
        "2026-11-26T22:01:02+ü100 x",
        "é",
    ] {
        assert_eq!(split(line), None, "{line}");
    }
    // A date that its year does not have.
    let (stamp, _) = split("Feb 30 22:01:02 x").expect("a stamp");
    assert_eq!(Dates::new(BERLIN, ms("2026-11-27T00:00:00Z")).moment(stamp), None);
}

/// The years that lines get in a file that was last written at `anchor`.
fn years(anchor: &str, lines: &[&str]) -> Vec<String> {
    let zone = LogZone::Named(Tz::UTC);
    let anchor = ms(anchor);
    let stamps: Vec<Stamp> = lines.iter().map(|l| split(&format!("{l} x")).expect("a stamp").0).collect();
    let mut dates = Dates::new(zone, anchor);
    let mut moments: Vec<i64> = stamps.iter().filter_map(|s| dates.moment(*s)).collect();
    let ahead = dates.ahead(*moments.last().expect("a line"));
    if ahead > 0 {
        dates = Dates::earlier(zone, anchor, stamps[0], ahead);
        moments = stamps.iter().filter_map(|s| dates.moment(*s)).collect();
    }
    moments.iter().map(|at| text(*at)[..7].to_owned()).collect()
}

#[test]
fn the_year_is_inferred_from_the_order_of_lines_and_from_the_file() {
    for (anchor, lines, expected) in [
        ("2026-11-26T22:00:00Z", &["Nov 26 21:00:00"][..], &["2026-11"][..]),
        // Written after it, by a clock that is ahead.
        ("2026-11-26T22:00:00Z", &["Nov 26 23:30:00"], &["2026-11"]),
        (
            "2026-01-02T08:00:00Z",
            &["Dec 30 21:00:00", "Dec 31 23:59:59", "Jan  1 00:00:00", "Jan  2 07:00:00"],
            &["2025-12", "2025-12", "2026-01", "2026-01"],
        ),
        // A line of the old year comes late.
        (
            "2026-01-02T08:00:00Z",
            &["Dec 31 23:59:59", "Jan  1 00:00:00", "Dec 31 23:59:58", "Jan  1 00:00:01"],
            &["2025-12", "2026-01", "2025-12", "2026-01"],
        ),
        // A whole year, and one with a long silence.
        (
            "2026-12-31T23:00:00Z",
            &["Jan  1 00:00:00", "Jun  1 00:00:00", "Dec 31 22:00:00"],
            &["2026-01", "2026-06", "2026-12"],
        ),
        ("2026-12-31T23:00:00Z", &["Jan  3 00:00:00", "Dec 31 22:00:00"], &["2026-01", "2026-12"]),
        // A file over two ends of a year, that was never rotated.
        (
            "2026-02-01T08:00:00Z",
            &["Nov 26 21:00:00", "Jan  5 00:00:00", "Jul  5 00:00:00", "Dec 30 00:00:00", "Jan 31 00:00:00"],
            &["2024-11", "2025-01", "2025-07", "2025-12", "2026-01"],
        ),
        ("2024-03-01T00:00:00Z", &["Feb 29 12:00:00"], &["2024-02"]),
        ("2027-06-01T00:00:00Z", &["Feb 29 12:00:00"], &["2024-02"]),
    ] {
        assert_eq!(years(anchor, lines), expected, "{anchor} {lines:?}");
    }
}
