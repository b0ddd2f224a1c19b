//! The texts of schedules, on pasts that a person meets: all well, in the way, around a change of the clock, and odd.

use handover_rotation::name::{CredentialName, VersionId};
use handover_rotation::time::{Millis, Span};

use super::stories::{START, STYLE};
use crate::config::inventory::Schedule;
use crate::schedule::{Blackout, CatchUp, Cron, Open, Past, Rule, Window, blocked, upcoming};
use crate::view::Style;
use crate::view::schedule::{Scheduled, schedule_json, schedules};

const DAY: u64 = 86_400_000;

macro_rules! golden {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        })
    };
}

/// A credential with all that is known of it.
struct Case {
    name: CredentialName,
    schedule: Option<Schedule>,
    past: Past,
    open: Option<Open>,
    version: VersionId,
}

impl Case {
    fn new(name: &str, cron: &str, zone: chrono_tz::Tz, now: Millis) -> Self {
        let rule = Rule::new(name, Cron::parse(cron).expect("an expression"), zone);
        Self {
            name: CredentialName::new(name).expect("a name"),
            schedule: Some(Schedule { playbook: "scheduled".to_owned(), rule }),
            past: Past { known_ms: now.0, ..Past::default() },
            open: None,
            version: VersionId::new("AKIA4711").expect("an id"),
        }
    }

    fn rule(mut self, change: impl FnOnce(&mut Rule)) -> Self {
        change(&mut self.schedule.as_mut().expect("a schedule").rule);
        self
    }

    fn past(mut self, past: Past) -> Self {
        self.past = past;
        self
    }

    fn open(mut self, rotation: &str, stuck: bool) -> Self {
        self.open = Some(Open { rotation: rotation.to_owned(), stuck });
        self
    }

    fn shown(&self, now: Millis) -> Scheduled<'_> {
        let rule = self.schedule.as_ref().map(|s| &s.rule);
        Scheduled {
            credential: &self.name,
            schedule: self.schedule.as_ref(),
            version: self.past.current_ms.is_some().then_some(&self.version),
            made: self.past.current_ms.map(Millis),
            ticks: rule.map(|rule| upcoming(rule, &self.past, now.0, 3)).unwrap_or_default(),
            blocks: rule.map(|rule| blocked(rule, &self.past, self.open.as_ref(), now.0)).unwrap_or_default(),
        }
    }
}

fn window(from: &str, to: &str, reason: Option<&str>) -> Blackout {
    Blackout { window: Window::parse(from, to).expect("a window"), reason: reason.map(str::to_owned) }
}

/// Credentials at [`START`], a Sunday.
fn cases() -> Vec<Case> {
    let now = START;
    let ago = |days: u64| now.0 - days * DAY;
    let rotated =
        |days: u64| Past { last_ms: Some(ago(days)), started_ms: Some(ago(days)), current_ms: Some(ago(days)), known_ms: 0 };
    let berlin = chrono_tz::Tz::Europe__Berlin;
    let mut by_hand = Case::new("by-hand", "0 3 * * *", berlin, now);
    by_hand.schedule = None;
    vec![
        Case::new("newsletter", "0 3 * * SUN", berlin, now).past(rotated(3)).rule(|r| r.jitter = Span::minutes(10)),
        Case::new("invoices", "15 2 1 * *", chrono_tz::Tz::America__New_York, now).past(rotated(13)),
        Case::new("missed", "0 4 * * MON", berlin, now).past(rotated(20)),
        Case::new("old", "0 3 1 12 *", berlin, now).past(rotated(89)).rule(|r| r.max_age = Some(Span(90 * DAY))),
        Case::new("stuck", "0 3 * * *", berlin, now).past(rotated(2)).open("rot-7f3k", true),
        Case::new("running", "0 3 * * *", berlin, now).past(rotated(0)).open("rot-8a2b", false),
        Case::new("weekends", "0 12 * * *", berlin, now).rule(|r| {
            r.blackouts = vec![window("FRI 18:00", "MON 06:00", Some("nobody is there")), window("06:00", "06:30", None)];
            r.max_age = Some(Span(90 * DAY));
        }),
        Case::new("future", "0 3 * * *", berlin, now).past(Past { last_ms: Some(now.0 + 400 * DAY), ..rotated(9) }),
        by_hand,
    ]
}

#[test]
fn schedules_of_all_sorts() {
    let cases = cases();
    let shown: Vec<_> = cases.iter().map(|case| case.shown(START)).collect();
    golden!("schedule", schedules(&shown, START, STYLE));
    golden!("schedule_one", schedules(&shown[..1], START, STYLE));
    golden!("schedule_none", schedules(&shown[8..], START, STYLE));
    let json: Vec<String> =
        shown.iter().map(|one| serde_json::to_string_pretty(&schedule_json(one, START)).expect("JSON")).collect();
    golden!("schedule_json", json.join("\n"));
}

#[test]
fn schedules_around_a_change_of_the_clock() {
    // 27 March 2026, and the night of 25 October.
    for (name, now) in [("spring", 1_774_580_400_000), ("autumn", 1_792_843_200_000)] {
        let now = Millis(now);
        let past = Past { known_ms: now.0, ..Past::default() };
        let case = Case::new("newsletter", "30 2 * * *", chrono_tz::Tz::Europe__Berlin, now).past(past);
        golden!(format!("schedule_{name}"), schedules(&[case.shown(now)], now, STYLE));
    }
}

#[test]
fn schedules_fit_into_the_width_and_colour_adds_nothing() {
    let mut cases = cases();
    let long = "a-name-as-long-as-it-may-be-which-nobody-writes-but-somebody-will";
    cases.push(Case::new(&long[..64], "*/5 * * * *", chrono_tz::Tz::America__Argentina__ComodRivadavia, START).rule(|r| {
        r.blackouts = vec![window("00:00", "12:00", Some("\u{1b}[31mred\nnext: rm")), window("12:00", "00:00", None)];
        r.catch_up = CatchUp::Skip;
    }));
    let shown: Vec<_> = cases.iter().map(|case| case.shown(START)).collect();
    for width in [80, 100, 120] {
        let text = schedules(&shown, START, Style { width, ..STYLE });
        for line in text.lines() {
            assert!(line.chars().count() <= width, "{line:?}\n{text}");
            assert_eq!(line, line.trim_end());
        }
        assert!(text.is_ascii() && !text.contains('\u{1b}') && !text.contains("\nnext: rm"), "{text}");
        let coloured = schedules(&shown, START, Style { width, colour: true, ..STYLE });
        assert_ne!(coloured, text);
        assert_eq!(coloured.replace("\u{1b}[1m", "").replace("\u{1b}[33m", "").replace("\u{1b}[0m", ""), text);
    }
}
