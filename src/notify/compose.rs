//! What people are told of a rotation: pure, a function of the state and the event that led to it. It decides nothing; the words say
//! what happened, what is safe next, and what to type.
//!
//! The id of a notice is made of the rotation and the event's number, so that whoever composes it again after a crash makes the
//! same notice, and the outbox keeps it once.

use std::collections::BTreeSet;

use handover_rotation::command::{Command, Fact};
use handover_rotation::decide::{Decision, Wanted, decide};
use handover_rotation::event::{Ending, Event, Failure, FailureKind};
use handover_rotation::name::ServiceName;
use handover_rotation::outcome::Outcome;
use handover_rotation::plan::Shape;
use handover_rotation::playbook::{Containment, OnFailure, Step};
use handover_rotation::state::{Live, Rotation};
use handover_rotation::time::{Millis, Span};

use super::text::{count, some_of};
use super::{Notice, NoticeKind, Severity};

/// The most names in a sentence.
const NAMES: usize = 8;
/// The most tasks of a list.
const TASKS: usize = 12;

/// What people are told of an event, if anything. `r` is the state with the event in it, `seq` its number in the rotation, `at_ms`
/// the wall clock.
#[must_use]
pub fn of_event(r: &Rotation, event: &Event, seq: u64, at_ms: u64) -> Option<Notice> {
    let what = seq.to_string();
    let make = |kind, severity, title: &str| about(r, kind, severity, &what, title, at_ms);
    let name = &r.plan.credential;
    match event {
        Event::Started { by, reason, .. } => Some(started(r, by, reason.as_deref(), make)),
        Event::StepStarted { step } => match r.plan.playbook.steps.get(*step) {
            Some(Step::Approve { by, within }) => Some(gate(r, by, *within, make)),
            _ => None,
        },
        Event::Compromised { within, source, .. } => {
            let title = format!("a login of {name} has leaked, says {source}");
            Some(
                make(NoticeKind::Containment, Severity::Critical, &title).say(&format!(
                    "It is to be shut out within {within}. Handover does that by itself, whatever else fails."
                )),
            )
        }
        Event::ContainmentBegan { unproven } => Some(containment_began(r, unproven, make)),
        Event::Settled { command, outcome: Outcome::Done(fact), .. } => contained(r, command, fact, make),
        // Where nothing was changed yet, its end says it all.
        Event::RollbackStarted { .. } if !r.has_changed_anything() && !r.is_leak() => None,
        Event::RollbackStarted { failure } => Some(going_back(r, failure, make)),
        Event::Stuck { failure, todo } => Some(stuck(r, failure, todo, make)),
        Event::Finished { ending } => Some(finished(r, *ending, make)),
        _ => None,
    }
}

/// What a person is asked to do at a provider without an API (shape D), if so now. The same for as long as it is the same task.
#[must_use]
pub fn of_task(r: &Rotation, now: Millis, at_ms: u64) -> Option<Notice> {
    let Decision::Act { person: Some(Wanted::Task(command)), .. } = decide(r, now) else { return None };
    let what = format!("task:{command}:{}", r.step);
    let severity = if r.must_contain() { Severity::Critical } else { Severity::Warning };
    let title = format!("{} waits for a person to {command}", r.plan.credential);
    let by_hand = r.plan.by_hand.as_ref();
    let then = match command {
        Command::Create(_) => format!("handover supply {} --username NAME --password-file FILE", r.id),
        _ => format!("handover done {}", r.id),
    };
    let notice = about(r, NoticeKind::Gate, severity, &what, &title, at_ms)
        .say(&format!(
            "It is to be done by hand for {} at {}. Handover checks it afterwards.",
            r.plan.account, r.plan.provider
        ))
        .say_all(by_hand.and_then(|h| h.console.as_ref()).map(|c| format!("Where: {c}")))
        .say_all(by_hand.and_then(|h| h.instructions.as_ref()));
    Some(notice.command(&then))
}

/// That a rotation is still stuck, for the `n`th time (safety.md L6).
#[must_use]
pub fn still_stuck(r: &Rotation, n: u32, at_ms: u64) -> Notice {
    let failure = r.failure.as_ref();
    let title = format!("the rotation of {} is still stuck and needs a person", r.plan.credential);
    let notice = about(r, NoticeKind::Stuck, Severity::Critical, &format!("still-stuck:{n}"), &title, at_ms)
        .say_all(failure.map(why))
        .say(rests(r));
    notice.command(&format!("handover status {}", r.id))
}

/// A notice about a rotation.
fn about(r: &Rotation, kind: NoticeKind, severity: Severity, what: &str, title: &str, at_ms: u64) -> Notice {
    let plan = &r.plan;
    let mut notice = Notice::new(kind, severity, r.id.as_str(), what, title, at_ms);
    notice.credential = Some(plan.credential.to_string());
    notice.rotation = Some(r.id.to_string());
    notice.services = plan.services.keys().map(ToString::to_string).collect();
    let owners: BTreeSet<&String> = plan.services.values().filter_map(|s| s.owner.as_ref()).collect();
    notice.owners = owners.into_iter().cloned().collect();
    let names = r.versions.values().filter_map(|v| v.username.as_ref()).chain([&plan.old.username]);
    let logins: BTreeSet<String> = names.map(ToString::to_string).chain([plan.account.clone()]).collect();
    notice.logins = logins.into_iter().collect();
    notice.cleaned()
}

fn started(r: &Rotation, by: &str, reason: Option<&str>, make: impl Fn(NoticeKind, Severity, &str) -> Notice) -> Notice {
    let (plan, name) = (&r.plan, &r.plan.credential);
    let depend = if plan.services.is_empty() {
        "No service is known to depend on it.".to_owned()
    } else {
        format!("It concerns {}: {}.", count(plan.services.len(), "service"), some_of(plan.services.keys(), NAMES))
    };
    let because = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let begun = format!("Begun by {by}{because}. Playbook {}.", plan.playbook.name);
    let notice = if plan.compromised {
        let title = format!("the login of {name} has leaked and is being replaced and shut out");
        let how = match plan.playbook.containment {
            Some(Containment::RevokeFirst) => {
                "It is shut out at once; services cannot send until they have the new one.".to_owned()
            }
            Some(Containment::Deadline(within)) => {
                format!("It is replaced first, and shut out after {within} whatever else has failed.")
            }
            None => "It is shut out as soon as the new one is in place.".to_owned(),
        };
        make(NoticeKind::Containment, Severity::Critical, &title).say(&how)
    } else {
        make(NoticeKind::Before, Severity::Info, &format!("the rotation of {name} begins")).say(match r.shape().overlaps() {
            true => "The old login stays valid until every service has sent mail with the new one.",
            false => "The password is changed in place: for a moment services have the wrong one.",
        })
    };
    notice.say(&depend).say(&begun).command(&format!("handover status {}", r.id))
}

fn gate(r: &Rotation, by: &str, within: Span, make: impl Fn(NoticeKind, Severity, &str) -> Notice) -> Notice {
    let title = format!("the rotation of {} waits for {by} to approve", r.plan.credential);
    let proven = r.services.keys().filter(|s| !r.target.is_old() && r.is_proven(s, r.target)).count();
    let otherwise = match r.plan.playbook.on_failure {
        _ if r.is_leak() => "The deadline of the containment does not wait for it.",
        OnFailure::RollBack => "If nobody does, everything is put back to the old login.",
        OnFailure::Stop => "If nobody does, it stops where it is.",
    };
    make(NoticeKind::Gate, Severity::Warning, &title)
        .say(&format!("{proven} of {} proven to use the new login.", count(r.plan.services.len(), "service")))
        .say(&format!("Within {within}. {otherwise}"))
        .say(&format!("To stop it instead: handover abort {}", r.id))
        .command(&format!("handover approve {}", r.id))
}

fn containment_began(r: &Rotation, unproven: &[ServiceName], make: impl Fn(NoticeKind, Severity, &str) -> Notice) -> Notice {
    let title = format!("the leaked login of {} is being shut out now", r.plan.credential);
    let cost = if unproven.is_empty() {
        "Every service is proven to use the new one.".to_owned()
    } else {
        format!("These may not be able to send until they have the new one: {}.", some_of(unproven, NAMES))
    };
    make(NoticeKind::Containment, Severity::Critical, &title)
        .say(&cost)
        .say("It is tried until the server refuses it. Never enable it again.")
        .command(&format!("handover status {}", r.id))
}

/// The two moments that end a leak: the provider has taken it back, and the server refuses it.
fn contained(
    r: &Rotation,
    command: &Command,
    fact: &Fact,
    make: impl Fn(NoticeKind, Severity, &str) -> Notice,
) -> Option<Notice> {
    if !r.is_leak() {
        return None;
    }
    let (name, old) = (&r.plan.credential, &r.plan.old.id);
    match (command, fact) {
        // Where it was disabled first, that it is deleted as well is no news.
        (Command::Disable(slot) | Command::Delete(slot), _) if slot.is_old() && shuts_out(r, command) => {
            let done = if matches!(command, Command::Disable(_)) { "disabled" } else { "deleted" };
            let title = format!("the leaked login of {name} is {done} at the provider");
            let after = r.at.since(r.started_at);
            Some(
                make(NoticeKind::Containment, Severity::Error, &title)
                    .say(&format!("{old}, {after} after the rotation began. Next the server is tried until it refuses it.")),
            )
        }
        // Only the first refusal is news.
        (Command::Auth(slot), Fact::Login { accepted: false, reply }) if slot.is_old() && first_refusal(r) => {
            let title = format!("the server refuses the leaked login of {name}");
            Some(
                make(NoticeKind::Containment, Severity::Warning, &title)
                    .say(&format!("Proven by a login on a fresh connection: {reply}."))
                    .say("What it was used for meanwhile: see the command.")
                    .command(&format!("handover usage {name}")),
            )
        }
        _ => None,
    }
}

/// Whether the provider's kind of versions is shut out by this command.
fn shuts_out(r: &Rotation, command: &Command) -> bool {
    matches!(command, Command::Disable(_)) || r.shape() == Shape::DeleteOnly
}

fn first_refusal(r: &Rotation) -> bool {
    let old = r.old();
    matches!(old.live, Live::Inactive | Live::Deleted) && old.login.is_some_and(|l| !l.accepted && l.streak == 1)
}

fn going_back(r: &Rotation, failure: &Failure, make: impl Fn(NoticeKind, Severity, &str) -> Notice) -> Notice {
    let name = &r.plan.credential;
    let (severity, title) = match failure.kind {
        FailureKind::Abort => (Severity::Warning, format!("the rotation of {name} was stopped by a person")),
        FailureKind::Gate => (Severity::Warning, format!("the rotation of {name} was not approved in time")),
        FailureKind::Target | FailureKind::Environment => (Severity::Error, format!("the rotation of {name} has failed")),
    };
    let next = match r.is_leak() {
        true => "The leaked login is never put back: it goes on until that is shut out.",
        false => "Everything is being put back to the old login, by itself. There is nothing to do.",
    };
    make(NoticeKind::Failure, severity, &title)
        .say(&why(failure))
        .say_all(failure.fault.hint.as_ref().map(|hint| format!("Hint: {hint}")))
        .say(next)
        .command(&format!("handover status {}", r.id))
}

fn stuck(r: &Rotation, failure: &Failure, todo: &[String], make: impl Fn(NoticeKind, Severity, &str) -> Notice) -> Notice {
    let title = format!("the rotation of {} is stuck and needs a person", r.plan.credential);
    let more = todo.len().checked_sub(TASKS).filter(|n| *n > 0).map(|n| format!("… and {n} more: see the command."));
    make(NoticeKind::Stuck, Severity::Critical, &title)
        .say(&why(failure))
        .say(rests(r))
        .say_all(todo.iter().take(TASKS).map(|task| format!("- {task}")))
        .say_all(more)
        .say(&format!("Once that is done: handover resume {}", r.id))
        .command(&format!("handover status {}", r.id))
}

/// What holds while it is stuck.
fn rests(r: &Rotation) -> &'static str {
    if r.must_contain() {
        "The leaked login may still be accepted: this cannot wait."
    } else {
        "It rests and changes nothing more by itself; no other rotation of this login begins."
    }
}

fn finished(r: &Rotation, ending: Ending, make: impl Fn(NoticeKind, Severity, &str) -> Notice) -> Notice {
    let (name, old) = (&r.plan.credential, &r.plan.old.id);
    let took = format!("It took {}.", r.at.since(r.started_at));
    let reason = r.failure.as_ref().map(why);
    match ending {
        Ending::Done => {
            let new =
                r.new_version().and_then(|v| v.id.as_ref()).map_or_else(|| "the new one".to_owned(), ToString::to_string);
            let gone = match r.old().live {
                Live::Deleted => "is deleted",
                Live::Inactive => "is disabled",
                _ => "is no longer used",
            };
            let title = match r.is_leak() {
                true => format!("the leak of {name} is contained: the leaked login is dead, and the new one is in use"),
                false => format!("{name} was rotated"),
            };
            make(NoticeKind::End, Severity::Info, &title)
                .say(&format!("{} use {new}; {old} {gone}. {took}", count(r.plan.services.len(), "service")))
                .command(&format!("handover status {}", r.id))
                .last()
        }
        Ending::RolledBack => make(NoticeKind::End, Severity::Warning, &format!("{name} was not rotated: all is as it was"))
            .say(&format!("{old} is in use everywhere. {took}"))
            .say_all(reason)
            .say("Once the cause is mended, rotate again.")
            .command(&again(r))
            .last(),
        // Nothing was opened that this could close: someone should know why.
        Ending::Refused => {
            make(NoticeKind::Failure, Severity::Warning, &format!("{name} was not rotated: refused before anything changed"))
                .say_all(reason)
                .say(&format!("{old} is in use everywhere, as before."))
                .command(&again(r))
        }
    }
}

fn again(r: &Rotation) -> String {
    format!("handover rotate {} --playbook {}", r.plan.credential, r.plan.playbook.name)
}

/// What failed and why, with the code that has a page.
fn why(failure: &Failure) -> String {
    let fault = &failure.fault;
    match &failure.command {
        Some(command) => format!("Failed to {command}: {} ({}).", fault.message, fault.code),
        None => format!("{} ({}).", fault.message, fault.code),
    }
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
