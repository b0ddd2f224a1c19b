//! A rotation as spans: itself, its steps, and each call outside. Plain data for whoever collects traces; it holds ids, never a
//! secret, as events do.

use std::collections::BTreeMap;

use handover_rotation::command::Command;
use handover_rotation::event::Event;
use handover_rotation::outcome::Outcome;
use handover_rotation::state::Rotation;
use handover_rotation::time::Millis;

use super::words;

/// How what a span tells of has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Well.
    Done,
    /// Not well, and why.
    Failed(String),
    /// Nobody knows.
    Unknown(String),
}

/// One span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its key within the rotation.
    pub key: String,
    /// The key of the span that it belongs to; the rotation's own has none.
    pub parent: Option<String>,
    /// What kind of thing it is: the same word for all of a kind.
    pub name: &'static str,
    /// From when.
    pub from: Millis,
    /// Until when.
    pub to: Millis,
    /// How it ended.
    pub end: End,
    /// What else it tells.
    pub about: Vec<(&'static str, String)>,
    /// Whether it is a call outside.
    pub outside: bool,
}

/// The key of the rotation's own span.
const ROOT: &str = "rotation";

/// The spans of a rotation that has ended; empty where the events do not follow from each other.
#[must_use]
pub fn spans(events: &[(Millis, Event)]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut state: Option<Rotation> = None;
    // The step under way: its key, its words, when it began.
    let mut step: Option<(String, String, Millis)> = None;
    let mut tries: BTreeMap<usize, u32> = BTreeMap::new();
    for (n, (at, event)) in events.iter().enumerate() {
        let after = match state.take() {
            None => Rotation::begin(*at, event),
            Some(mut rotation) => rotation.apply(*at, event).map(|()| rotation),
        };
        let Ok(rotation) = after else { return Vec::new() };
        match event {
            Event::StepStarted { step: number } => {
                let again = tries.entry(*number).or_default();
                *again += 1;
                let words = rotation.plan.playbook.steps.get(*number).map(ToString::to_string).unwrap_or_default();
                step = Some((format!("step {number} {again}"), words, *at));
            }
            Event::StepFinished { .. } => spans.extend(step.take().map(|open| of_step(open, *at, End::Done))),
            Event::RollbackStarted { failure } | Event::Stuck { failure, .. } => {
                let why = failure.fault.message.clone();
                spans.extend(step.take().map(|open| of_step(open, *at, End::Failed(why))));
            }
            Event::Settled { command, began, outcome, .. } => {
                let end = match outcome {
                    Outcome::Done(_) => End::Done,
                    Outcome::NotDone(fault) => End::Failed(fault.to_string()),
                    Outcome::Unknown(fault) => End::Unknown(fault.to_string()),
                };
                spans.push(Span {
                    key: format!("call {n}"),
                    parent: Some(step.as_ref().map_or_else(|| ROOT.to_owned(), |(key, ..)| key.clone())),
                    name: name(command),
                    from: *began,
                    to: *at,
                    end,
                    about: vec![("handover.call", words::command(&rotation, command))],
                    outside: true,
                });
            }
            _ => {}
        }
        state = Some(rotation);
    }
    let Some(rotation) = state else { return Vec::new() };
    spans.extend(step.take().map(|open| of_step(open, rotation.at, End::Done)));
    spans.push(root(&rotation));
    spans
}

fn root(rotation: &Rotation) -> Span {
    let end = match words::phase(rotation) {
        "done" => End::Done,
        other => End::Failed(other.to_owned()),
    };
    Span {
        key: ROOT.to_owned(),
        parent: None,
        name: "rotation",
        from: rotation.started_at,
        to: rotation.at,
        end,
        about: vec![
            ("handover.rotation", rotation.id.to_string()),
            ("handover.credential", rotation.plan.credential.to_string()),
            ("handover.playbook", rotation.plan.playbook.name.clone()),
            ("handover.provider", rotation.plan.facts.kind.clone()),
            ("handover.outcome", words::phase(rotation).to_owned()),
        ],
        outside: false,
    }
}

fn of_step((key, words, from): (String, String, Millis), to: Millis, end: End) -> Span {
    let parent = Some(ROOT.to_owned());
    Span { key, parent, name: "step", from, to, end, about: vec![("handover.step", words)], outside: false }
}

fn name(command: &Command) -> &'static str {
    match command {
        Command::CheckHost => "check host",
        Command::ListVersions => "list versions",
        Command::CheckWritable(_) => "check entry",
        Command::ReadEntry(_) => "read entry",
        Command::Auth(_) => "log in",
        Command::Attest(_) => "ask service",
        Command::Create(_) => "create version",
        Command::Disable(_) => "disable version",
        Command::Enable(_) => "enable version",
        Command::Delete(_) => "delete version",
        Command::Write(..) => "write entry",
        Command::Reload(_) => "reload service",
        Command::Probe(_) => "send probe",
        Command::TestSend(_) => "send by service",
        Command::Control => "send control",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::stories;

    #[test]
    fn a_rotation_is_one_span_with_its_steps_and_their_calls() {
        for events in [stories::drill(), stories::rolled_back(), stories::done_after_trouble(), stories::leak_refused()] {
            let spans = spans(&events);
            let root = spans.last().expect("the rotation's own");
            assert_eq!((root.name, &root.parent), ("rotation", &None));
            let keys: std::collections::BTreeSet<&str> = spans.iter().map(|span| span.key.as_str()).collect();
            assert_eq!(keys.len(), spans.len(), "no key is there twice");
            for span in &spans {
                assert!(span.from <= span.to && root.from <= span.from && span.to <= root.to, "{span:?}");
                assert!(span.parent.as_deref().is_none_or(|parent| keys.contains(parent)), "{span:?}");
                assert!(span.outside || !span.key.starts_with("call"));
            }
            let settled = events.iter().filter(|(_, event)| matches!(event, Event::Settled { .. })).count();
            assert_eq!(spans.iter().filter(|span| span.outside).count(), settled);
        }
        let refused = spans(&stories::refused_by_provider());
        assert!(refused.iter().any(|span| matches!(&span.end, End::Failed(why) if !why.is_empty()) && span.outside));
        let spans = spans(&stories::rolled_back());
        assert!(spans.iter().any(|span| matches!(&span.end, End::Failed(why) if !why.is_empty()) && span.name == "step"));
        assert_eq!(spans.last().map(|root| root.end.clone()), Some(End::Failed("rolled-back".to_owned())));
    }

    #[test]
    fn an_answer_that_was_lost_is_neither_well_nor_failed() {
        let spans = spans(&stories::lost_answers());
        assert!(spans.iter().any(|span| matches!(span.end, End::Unknown(_))));
    }

    #[test]
    fn events_that_do_not_follow_make_no_trace() {
        let mut events = stories::drill();
        let effect = events.iter().position(|(_, event)| matches!(event, Event::Intended { .. })).expect("an effect");
        events.remove(effect);
        assert_eq!(spans(&events), Vec::new());
        assert_eq!(spans(&[]), Vec::new());
    }
}
