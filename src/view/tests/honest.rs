//! Nothing is said to be well that is not known to be: each of these once was.

use handover_rotation::plan::Shape;
use handover_rotation::time::{Millis, Span};

use super::stories::{self, Events, START, STYLE, fold};
use crate::view::report::report;
use crate::view::standing::is_exposed;
use crate::view::status::{status, status_json};

/// Without line breaks, so that it can be searched.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn end(events: &Events) -> Millis {
    events[events.len() - 1].0.after(Span::seconds(41))
}

fn status_of(events: &Events, holder: Option<&str>) -> String {
    flat(&status(&fold(events), events, end(events), holder, STYLE))
}

fn report_of(events: &Events) -> String {
    flat(&report(&fold(events), events, end(events), STYLE))
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing:\n{text}");
    }
}

#[track_caller]
fn is_silent(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(!text.contains(part), "{part:?} is said:\n{text}");
    }
}

#[test]
fn refused_mails_are_a_gap_and_a_late_refusal_is_overlap() {
    let text = report_of(&stories::slow_server());
    says(&text, &["DONE", "gap: api-staging was without a login that works for", "both accepted for at least"]);
    is_silent(&text, &["no service was seen without", "api-production was without"]);
    let (low, high) = {
        let events = stories::slow_server();
        crate::view::story::Story::of(&events).expect("a story").overlap(end(&events))
    };
    let plain = stories::drill();
    let (_, before) = crate::view::story::Story::of(&plain).expect("a story").overlap(end(&plain));
    assert!(low <= high && high > before, "{low} {high}, without trouble {before}");
}

#[test]
fn what_was_not_seen_is_not_said_to_be_well() {
    let mut plan = stories::plan("drill", Shape::Reversible);
    for service in plan.services.values_mut() {
        (service.attest, service.test_send) = (false, false);
    }
    let text = report_of(&stories::drive(&plan, |_, _, _| None, true));
    says(&text, &["not known: whether api-production was without a login that works: it can prove nothing itself"]);
    is_silent(&text, &["no service was"]);
    let text = report_of(&stories::drill());
    says(&text, &["no service was seen without a login that works"]);
}

#[test]
fn a_leak_that_nobody_works_on_is_not_being_shut_out() {
    let events = stories::until(stories::leak_stuck(), Span::minutes(4));
    let r = fold(&events);
    for (minutes, due) in [(5, "it has to be by 03:22:04 (in 5m)"), (30, "it had to be by 03:22:04 (20m ago)")] {
        let now = START.after(Span::minutes(minutes));
        let text = flat(&status(&r, &events, now, None, STYLE));
        let first = "NOT SHUT OUT rot-7f3k newsletter, playbook leak: AKIA4711 is compromised and is NOT being shut out, because \
                     nobody is at work";
        assert!(text.starts_with(first), "{text}");
        says(&text, &["run `handover resume rot-7f3k` NOW", "not safe: leaving it", "next: handover resume rot-7f3k (NOW"]);
        is_silent(&text, &["RUNNING", "is shut out at", "safe now: leaving it", "is being shut out since"]);
        says(&text, &[due]);
        let json = status_json(&r, &events, now, None);
        assert_eq!(json["standing"], "not-shut-out");
        assert!(!json["safe_now"].to_string().contains("leaving"), "{json}");
    }
    assert!(is_exposed(&r, None) && !is_exposed(&r, Some("ana@ops1 4711")));
    // Whoever holds it must not be told that it may be stopped.
    let held = flat(&status(&r, &events, START.after(Span::minutes(5)), Some("ana@ops1 4711"), STYLE));
    says(&held, &["not safe: stopping the process: old AKIA4711 is compromised and nobody else shuts it out"]);
    is_silent(&held, &["safe now: stopping"]);
    // Once it is shut out, it may rest.
    assert!(!is_exposed(&fold(&stories::leak_stuck()), None));
}

#[test]
fn ending_a_leak_before_anything_was_done_is_not_safe() {
    let events = stories::until_step(stories::leak_stuck(), 1);
    let text = status_of(&events, None);
    says(&text, &["not safe: aborting: it just ends, and old AKIA4711 stays compromised and alive"]);
    is_silent(&text, &["safe now: aborting"]);
}

#[test]
fn stuck_without_a_login_that_works_is_not_safe() {
    let text = status_of(&stories::leak_refused(), None);
    says(
        &text,
        &[
            "api-production uses new AKIA4712, which the server refused at",
            "not safe: leaving it: api-production, api-staging cannot send until the server accepts new AKIA4712",
            "1. find out at the mail server email-smtp.eu-central-1.amazonaws.com:587 starttls why it refuses the new version",
            "; then `handover resume rot-7f3k`",
            "service api-staging presents the new version, as it should, and cannot send while the server refuses it",
        ],
    );
    is_silent(&text, &["safe now: leaving it", "restart it"]);
    let json = {
        let events = stories::leak_refused();
        status_json(&fold(&events), &events, end(&events), None)
    };
    assert!(json["services"].as_array().is_some_and(|s| s.iter().all(|s| s["can_send"] == false)), "{json}");
}

#[test]
fn what_is_to_be_done_is_what_helps() {
    let text = status_of(&stories::leak_without_new(), None);
    says(
        &text,
        &[
            "1. have this mended: the provider makes no version now; then `handover resume rot-7f3k`",
            "presents the old version, which is disabled, so it cannot send; entry production, which it reads, holds the old version",
            "a restart alone changes nothing",
            "not safe: leaving it: api-production, api-staging cannot send until they are moved",
        ],
    );
    is_silent(&text, &["restart it"]);
    let text = status_of(&stories::leak_disk_full(), None);
    says(
        &text,
        &[
            "1. free some space; the file is untouched; then `handover resume rot-7f3k`",
            "was to be written, and was not read back since: going on reads it before it writes",
            "comes first: going on writes it, then reloads",
        ],
    );
    is_silent(&text, &["unknown value", "restart it"]);
    let text = status_of(&stories::leak_stuck(), None);
    says(&text, &["although entry production holds the new version: restart it"]);
}

#[test]
fn nobody_at_work_is_not_running() {
    let soaking = stories::until(stories::scheduled(), Span::minutes(12));
    let text = status_of(&soaking, None);
    assert!(text.starts_with("WAITING rot-7f3k"), "{text}");
    says(&text, &["until 03:42:12", "next: handover resume rot-7f3k", "cron: `handover resume --due`"]);
    is_silent(&text, &["RUNNING"]);
    let verifying = stories::until_step(stories::drill(), 7);
    let text = status_of(&verifying, None);
    assert!(text.starts_with("STOPPED rot-7f3k newsletter, playbook drill: nobody is at work on it"), "{text}");
    says(&text, &["next: handover resume rot-7f3k", "cron: `handover resume --due`"]);
    let text = status_of(&verifying, Some("ana@ops1 4711"));
    assert!(text.starts_with("RUNNING rot-7f3k") && !text.contains("cron:"), "{text}");
}

#[test]
fn an_entry_whose_write_was_lost_has_changed() {
    let text = report_of(&stories::lost_answers());
    says(&text, &["entry production /etc/newsletter/production.env -> new AKIA4712"]);
    let text = report_of(&stories::leak_disk_full());
    says(&text, &["/etc/newsletter/production.env was to be written; whether it was is not known"]);
}

#[test]
fn no_room_names_what_is_there() {
    let mut plan = stories::plan("drill", Shape::Reversible);
    plan.facts.quota = 1;
    let text = report_of(&stories::drive(&plan, |_, _, _| None, true));
    says(&text, &["HO0413", "have the provider allow one more"]);
    is_silent(&text, &["who uses"]);
    let text = report_of(&stories::refused_by_server());
    says(&text, &["see whether the server refuses every login"]);
}

#[test]
fn what_is_told_after_a_drill_keeps_its_time_scale() {
    let mut plan = stories::plan("drill", Shape::Reversible);
    (plan.facts.quota, plan.time_scale) = (1, 60);
    let text = report_of(&stories::drive(&plan, |_, _, _| None, true));
    says(&text, &["next: handover rotate newsletter --playbook drill --time-scale 60"]);
}

#[test]
fn several_new_versions_have_one_numbering() {
    // The answer to the first is lost, and so is its secret: another is made.
    let lost = |_: &handover_rotation::state::Rotation, c: &handover_rotation::command::Command, n: usize| {
        (matches!(c, handover_rotation::command::Command::Create(_)) && n == 0).then_some(stories::Trick::Lost)
    };
    let events = stories::drive(&stories::plan("drill", Shape::Reversible), lost, true);
    let text = report_of(&events);
    says(&text, &["new AKIA4713"]);
    is_silent(&text, &["new#"]);
}
