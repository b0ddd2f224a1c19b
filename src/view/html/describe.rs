//! Every event in words, for the table of an audit: nothing is left out there.

use handover_rotation::command::Fact;
use handover_rotation::event::{Ending, Event};
use handover_rotation::outcome::Outcome;
use handover_rotation::state::Rotation;

use crate::view::words;

/// The name of the event, what it says, and its tone.
pub(super) fn describe(event: &Event, r: &Rotation) -> (&'static str, String, &'static str) {
    let step = |n: &usize| {
        let name = r.plan.playbook.steps.get(*n).map_or_else(String::new, words::step);
        format!("step {} of {}: {name}", n + 1, r.plan.playbook.steps.len())
    };
    match event {
        Event::Started { by, plan_hash, .. } => ("started", format!("by {by}, plan {plan_hash}"), ""),
        Event::Claimed { epoch, by, proven_dead } => {
            let dead = if *proven_dead { "the process before is dead" } else { "the process before may still be alive" };
            ("claimed", format!("by {by}, epoch {epoch}; {dead}"), "")
        }
        Event::StepStarted { step: n } => ("step started", step(n), ""),
        Event::StepFinished { step: n } => ("step finished", step(n), "good"),
        Event::SlotOpened { slot } => ("version planned", format!("the {slot} version"), ""),
        Event::Intended { effect, command, .. } => {
            ("intended", format!("effect {effect}: {}", words::command(r, command)), "")
        }
        Event::Settled { effect, command, outcome, .. } => settled(*effect, &words::command(r, command), outcome, r),
        Event::AbortRequested { by, reason } => {
            let why = reason.as_ref().map_or_else(String::new, |w| format!(": {w}"));
            ("abort requested", format!("by {by}{why}"), "warn")
        }
        Event::Approved { step: n, by } => ("approved", format!("{} by {by}", step(n)), "good"),
        Event::Supplied { slot, .. } => ("supplied", format!("{} by a person", words::version(r, *slot)), ""),
        Event::TaskDone { command, by } => ("task done", format!("{}, says {by}", words::command(r, command)), ""),
        Event::Compromised { slot, within, source } => {
            ("compromised", format!("{}, says {source}; to be shut out within {within}", words::version(r, *slot)), "bad")
        }
        Event::ContainmentBegan { unproven } => {
            ("containment began", format!("not proven on the new version: {}", words::list(unproven)), "bad")
        }
        Event::RollbackStarted { failure } => ("rollback started", failure.fault.to_string(), "bad"),
        Event::Stuck { failure, todo } => ("stuck", format!("{}; to do: {}", failure.fault, todo.join("; ")), "bad"),
        Event::Resumed { by } => ("resumed", format!("by {by}"), ""),
        Event::Finished { ending } => match ending {
            Ending::Done => ("finished", "done".to_owned(), "good"),
            Ending::RolledBack => ("finished", "rolled back".to_owned(), "warn"),
            Ending::Refused => ("finished", "refused; nothing was changed".to_owned(), "warn"),
        },
    }
}

fn settled(effect: Option<u32>, what: &str, outcome: &Outcome<Fact>, r: &Rotation) -> (&'static str, String, &'static str) {
    let number = effect.map_or_else(String::new, |n| format!("effect {n}: "));
    match outcome {
        Outcome::Done(fact) => {
            let learned = fact_text(fact, r);
            let learned = if learned.is_empty() { learned } else { format!(": {learned}") };
            let name = if effect.is_some() { "done" } else { "seen" };
            (name, format!("{number}{what}{learned}"), "")
        }
        Outcome::NotDone(fault) => ("not done", format!("{number}{what}: {fault}"), "warn"),
        Outcome::Unknown(fault) => ("unknown", format!("{number}{what}: {fault}"), "warn"),
    }
}

fn fact_text(fact: &Fact, r: &Rotation) -> String {
    match fact {
        Fact::Done => String::new(),
        Fact::Versions(list) => {
            let seen = list.iter().map(|v| format!("{} {}", v.id, if v.active { "active" } else { "disabled" }));
            words::list(seen)
        }
        Fact::Created { id, username, fingerprint } => format!("{id}, login {username}, fingerprint {fingerprint}"),
        Fact::Holds(which) => format!("holds {}", words::which(r, *which)),
        Fact::Presents(which) => format!("presents {}", words::which(r, *which)),
        Fact::Login { accepted: true, reply } => format!("accepted, {reply}"),
        Fact::Login { accepted: false, reply } => format!("refused, {reply}"),
        Fact::Mailed { message, arrived: Some(place) } => format!("{message} found in {place}"),
        Fact::Mailed { message, arrived: None } => format!("{message} accepted by the server"),
    }
}
