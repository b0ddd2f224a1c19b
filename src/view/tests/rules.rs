//! Rules that hold for every text: it fits, it is quiet without colour, and nothing from outside can steer a terminal or a page.

use handover_rotation::command::{Command, Fact};
use handover_rotation::event::Event;
use handover_rotation::outcome::Outcome;
use handover_rotation::plan::Shape;
use handover_rotation::state::Rotation;
use handover_rotation::time::{Millis, Span};

use super::stories::{self, Events, STYLE, UNICODE, fold};
use crate::view::html::{AuditRow, audit_json, html};
use crate::view::plan::plan;
use crate::view::report::report;
use crate::view::status::status;
use crate::view::story::Story;
use crate::view::{Style, Zone};

fn all() -> Vec<(&'static str, Events)> {
    vec![
        ("drill", stories::drill()),
        ("trouble", stories::done_after_trouble()),
        ("rolled back", stories::rolled_back()),
        ("refused", stories::refused_in_preflight()),
        ("stuck", stories::stuck()),
        ("leak", stories::leak_stuck()),
        ("in place", stories::in_place()),
        ("approval", stories::waits_for_approval()),
        ("person", stories::waits_for_person()),
    ]
}

fn texts(events: &Events, style: Style) -> Vec<String> {
    let r = fold(events);
    let now = events[events.len() - 1].0;
    vec![status(&r, events, now, None, style), report(&r, events, now, style), plan(&r.plan, "3f9a", &[], style)]
}

/// Moments to look at: after each of the first events, then after every fifth, and at the end.
fn cuts(events: &Events) -> impl Iterator<Item = usize> {
    let n = events.len();
    (1..=n).filter(move |i| *i < 20 || i % 5 == 0 || *i == n)
}

#[test]
fn every_line_fits_into_the_width_at_every_moment() {
    for (name, events) in all() {
        for cut in cuts(&events) {
            let part = events[..cut].to_vec();
            for style in [STYLE, Style { width: 100, ..UNICODE }] {
                for text in texts(&part, style) {
                    for line in text.lines() {
                        assert!(line.chars().count() <= style.width, "{name} after {cut}: {line:?}\n{text}");
                        assert_eq!(line, line.trim_end(), "{name}: blanks at the end");
                    }
                    assert!(!text.contains('\u{1b}'), "{name}: an escape without colour");
                    assert!(style.unicode || text.is_ascii(), "{name}: not ASCII\n{text}");
                }
            }
        }
    }
}

#[test]
fn every_command_that_is_named_is_one_that_the_machine_takes() {
    for (name, events) in all() {
        for cut in cuts(&events) {
            let part = events[..cut].to_vec();
            let r = fold(&part);
            let text = status(&r, &part, r.at, None, STYLE);
            let mut next = r.clone();
            let takes = |next: &mut Rotation, event: Event| next.apply(r.at, &event).is_ok();
            if text.contains("handover abort rot") {
                let event = Event::AbortRequested { by: "x".into(), reason: None };
                assert!(takes(&mut next, event), "{name} after {cut}: abort is named and refused\n{text}");
            } else if text.contains("undo: never back") || text.contains("undo: none: past") {
                let event = Event::AbortRequested { by: "x".into(), reason: None };
                assert!(!takes(&mut next, event) || r.ended().is_some(), "{name} after {cut}: abort was possible\n{text}");
            }
            if text.contains("handover approve rot") {
                assert!(takes(&mut r.clone(), Event::Approved { step: r.step, by: "x".into() }), "{name}");
            }
            if r.ended().is_none() {
                assert!(text.contains("next: handover "), "{name} after {cut}: nothing to do next\n{text}");
            }
        }
    }
}

#[test]
fn colour_adds_escapes_and_nothing_else() {
    for (name, events) in all() {
        let plain = texts(&events, STYLE);
        let coloured = texts(&events, Style { colour: true, ..STYLE });
        for (plain, coloured) in plain.iter().zip(&coloured) {
            let mut stripped = coloured.clone();
            for code in ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m"] {
                stripped = stripped.replace(code, "");
            }
            assert_eq!(*plain, stripped, "{name}");
            assert_ne!(plain, coloured, "{name}: no colour at all");
        }
    }
}

/// The same story with texts that people and servers could have chosen.
fn hostile() -> Events {
    let bad = "</text><script>alert(1)</script>\u{1b}[2J\r\nnext: rm -rf / \u{202e}";
    let mut plan = stories::plan("drill", Shape::Reversible);
    plan.account = bad.into();
    plan.smtp = bad.into();
    plan.playbook.summary = bad.into();
    for entry in plan.entries.values_mut() {
        entry.location = bad.into();
    }
    for service in plan.services.values_mut() {
        service.owner = Some(bad.into());
        service.reload = Some(bad.into());
    }
    let mut events = stories::drive(
        &plan,
        |_, c, n| {
            use handover_rotation::outcome::{Fault, FaultClass};
            let mut fault = Fault::new(FaultClass::Temporary, "HO0701", "x").hint("<b>\u{1b}[31m\nnext: rm");
            fault.message = "<img src=x>\u{1b}]0;x\u{7}\nnext: rm".into();
            matches!(c, Command::Reload(_) if n < 1).then_some(stories::Trick::Fails(fault))
        },
        true,
    );
    for (_, event) in &mut events {
        match event {
            Event::Started { by, reason, .. } => {
                *by = bad.into();
                *reason = Some(bad.into());
            }
            Event::Approved { by, .. } | Event::Claimed { by, .. } => *by = bad.into(),
            Event::Settled { outcome: Outcome::Done(fact), .. } => match fact {
                Fact::Login { reply, .. } => *reply = bad.into(),
                Fact::Mailed { message, arrived } => {
                    *message = bad.into();
                    *arrived = Some(bad.into());
                }
                _ => {}
            },
            _ => {}
        }
    }
    events
}

#[test]
fn text_from_outside_never_steers_a_terminal_or_makes_a_line_of_its_own() {
    let events = hostile();
    for cut in cuts(&events) {
        for text in texts(&events[..cut].to_vec(), UNICODE) {
            assert!(!text.chars().any(|c| c != '\n' && c.is_control()), "{text:?}");
            assert!(!text.contains('\u{202e}'), "{text}");
            assert!(!text.lines().any(|l| l.starts_with("next: rm")), "{text}");
        }
    }
}

fn audit(events: &Events) -> Vec<AuditRow> {
    let hash = |n: usize| format!("{:064x}", 0xfeed_0000_u64 + n as u64);
    let row = |(i, (at, event)): (usize, &(Millis, Event))| AuditRow {
        seq: i as u64 + 1,
        at: *at,
        epoch: 1,
        hash: hash(i + 1),
        prev: hash(i),
        event: event.clone(),
    };
    events.iter().enumerate().map(row).collect()
}

#[test]
fn an_html_report_is_alone_and_everything_in_it_is_escaped() {
    for (name, events) in all().into_iter().chain([("hostile", hostile())]) {
        let rows = audit(&events);
        let r = fold(&events);
        let page = html(&rows, &r, None, r.at, Zone::Utc).expect("a page");
        assert!(page.contains("default-src 'none'; style-src 'unsafe-inline'"), "{name}");
        for bad in
            ["<script", "<img", "<b>", "http://", "https://", "url(", "@import", "src=\"", "href=", "\u{1b}", "\u{202e}"]
        {
            assert!(!page.contains(bad), "{name}: {bad:?} in the page");
        }
        assert!(page.contains(&rows[rows.len() - 1].hash), "{name}: no head of the chain");
        assert_eq!(page.matches("<tr><td class=\"num\">").count(), rows.len(), "{name}: not every event is there");
        assert!(page.contains("<svg") && page.contains("</svg>"), "{name}");
        if let Ok(folder) = std::env::var("HANDOVER_SHOW_REPORTS") {
            std::fs::write(format!("{folder}/{}.html", name.replace(' ', "-")), &page).expect("a folder");
        }
    }
}

#[test]
fn an_audit_as_json_has_every_row_with_its_hashes() {
    let events = stories::rolled_back();
    let rows = audit(&events);
    let json = audit_json(&rows, &fold(&events), None, events[0].0);
    assert_eq!(json["outcome"], "rolled-back");
    assert_eq!(json["rows"].as_array().map(Vec::len), Some(events.len()));
    assert_eq!(json["rows"][1]["prev"], json["rows"][0]["hash"]);
    assert_eq!(json["head"], json["rows"][events.len() - 1]["hash"]);
    let back: Event = serde_json::from_value(json["rows"][3]["event"].clone()).expect("an event");
    assert_eq!(back, events[3].1);
}

#[test]
fn gaps_and_overlaps_are_measured() {
    let done = Story::of(&stories::drill()).expect("a story");
    let now = done.last.at;
    assert!(done.services.keys().all(|s| done.gap(s, now).is_none()));
    assert!(done.overlap(now).0.0 > 10_000, "{:?}", done.overlap(now));
    let in_place = Story::of(&stories::in_place()).expect("a story");
    let now = in_place.last.at;
    assert_eq!(in_place.overlap(now).1.0, 0);
    let gaps: Vec<_> = in_place.services.keys().map(|s| in_place.gap(s, now).expect("a gap").0).collect();
    // Production comes after staging, so its gap is the longer one; services are in order of their names.
    assert!(gaps[0] > gaps[1] && gaps[1] > 1000, "{gaps:?}");
    let leak = Story::of(&stories::leak_stuck()).expect("a story");
    let later = Millis(leak.last.at.0 + 60_000);
    let (first, second) = (leak.services.keys().next().expect("one"), leak.services.keys().next_back().expect("one"));
    assert!(leak.gap(first, later).expect("a gap").0 >= 60_000, "still without a login that works");
    assert_eq!(leak.gap(second, later), None);
}

#[test]
fn ip3_the_gap_is_told_before_and_measured_after_and_one_that_is_too_long_is_said() {
    let events = stories::in_place();
    let text = |events: &Events| {
        let story = Story::of(events).expect("a story");
        report(&story.last, events, story.last.at, Style::plain())
    };
    let before = fold(&events).plan.as_ref().clone();
    let most = crate::view::plan::gap_most(&before);
    let json = crate::view::plan::plan_json(&before, "h", &[]);
    assert_eq!(json["gap_ms_most"], most.0);
    assert!(json["gap_ms_estimate"].as_u64().is_some_and(|ms| ms > 0 && ms <= most.0), "{json}");
    let told = text(&events);
    assert!(told.contains("the longest gap is 5.4s") && !told.contains("WARNING"), "{told}");
    // The same run by a plan that foresaw less.
    let mut hasty = before;
    hasty.playbook.steps.retain(|s| !matches!(s.word(), "verify" | "push" | "reload"));
    hasty.facts.request_timeout = Span(1);
    hasty.entries.values_mut().for_each(|e| e.request_timeout = Span(1));
    hasty.services.values_mut().for_each(|s| s.request_timeout = Span(1));
    let short = crate::view::plan::gap_most(&hasty);
    let mut story = Story::of(&events).expect("a story");
    story.last.plan = hasty.into();
    let now = story.last.at;
    let warned = crate::view::evidence::measured(&story, now).expect("it is in place");
    assert!(warned.starts_with("WARNING: api-production was without mail for 5.4s, longer than the "), "{warned}");
    assert!(warned.contains(&short.to_string()) && warned.contains("growth-oncall@example.com"), "{warned}");
    let elsewhere = Story::of(&stories::drill()).expect("a story");
    assert_eq!(crate::view::evidence::measured(&elsewhere, now), None, "where old and new overlap there is no gap");
}

#[test]
fn a_story_whose_events_do_not_follow_says_where() {
    let mut events = stories::drill();
    events.remove(2);
    let story = Story::of(&events).expect("a story");
    let broken = story.broken.expect("a break");
    assert!(broken.starts_with("event "), "{broken}");
    assert!(Story::of(&events[1..]).is_none());
}
