//! What a person is told when a rotation is stuck: first what to mend and how to go on, then what is where, with exact ids (S18).
//! It never asks for what changes nothing: a service reads what its entry holds, so the entry comes before the service.

use crate::command::{Command, Which};
use crate::event::{Failure, FailureKind};
use crate::mutant::{Mutant, broken};
use crate::name::{ServiceName, Slot};
use crate::outcome::FaultClass;
use crate::state::{Live, Phase, Rotation};

/// The lines, most urgent first.
#[must_use]
pub fn todo(r: &Rotation, failure: &Failure) -> Vec<String> {
    if broken(Mutant::StuckSilently) {
        return Vec::new();
    }
    let mut lines = Vec::new();
    lines.extend(weather(r, failure));
    lines.push(format!("{}; then `handover resume {}`", mend(r, failure), r.id));
    versions(r, &mut lines);
    for (name, entry) in &r.entries {
        let place = r.plan.entries.get(name).map_or("", |e| e.location.as_str());
        let text = match entry.holds {
            Some(Which::Slot(slot)) if slot == wanted(r) && !slot.is_old() => continue,
            Some(which) => format!("holds {}", held(r, which)),
            None if entry.touched => {
                "was to be written, and was not read back since: going on reads it before it writes".to_owned()
            }
            None => continue,
        };
        lines.push(format!("entry {name} ({place}) {text}"));
    }
    for name in r.services.keys() {
        lines.extend(service(r, failure, name));
    }
    lines
}

/// The version that everything is to hold and present.
fn wanted(r: &Rotation) -> Slot {
    if matches!(r.phase, Phase::RollingBack | Phase::Stuck { rolling_back: true }) { Slot::OLD } else { r.target }
}

/// A version in words: with its id where `the new version` could be one of several.
fn held(r: &Rotation, which: Which) -> String {
    match which {
        Which::Slot(slot) if slot.0 > 1 => match r.versions.get(&slot).and_then(|v| v.id.as_ref()) {
            Some(id) => format!("the new version {id}"),
            None => "the new version".to_owned(),
        },
        other => other.to_string(),
    }
}

/// That the weather is to blame, and whether anything is lost by it.
fn weather(r: &Rotation, failure: &Failure) -> Option<String> {
    let of_mail = failure.command.as_ref().is_none_or(Command::is_mail);
    let text = match (failure.kind, of_mail, r.old().live) {
        (FailureKind::Environment, true, Live::Active) => {
            "mail fails with the old version too, so nothing speaks against the new one; both are live and safe"
        }
        (FailureKind::Environment, true, _) => {
            "mail fails for now, which by itself speaks against no version; the old one is no longer active"
        }
        (FailureKind::Environment, false, _) => {
            "the provider does not answer for now, which speaks against no version; nothing is retired meanwhile"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

/// What stopped it, as something to do.
fn mend(r: &Rotation, failure: &Failure) -> String {
    let fault = &failure.fault;
    if is_refusal(failure) {
        let who = match failure.command {
            Some(Command::Auth(slot)) => held(r, Which::Slot(slot)),
            _ => held(r, Which::Slot(wanted(r))),
        };
        return format!(
            "find out at the mail server {} why it refuses {who} ({}): restarting services does not help",
            r.plan.smtp, fault.message
        );
    }
    match &fault.hint {
        // A hint that says it all needs no more than the way on.
        Some(hint) => hint.trim_end_matches('.').to_owned(),
        None => format!("have this mended: {}", fault.message),
    }
}

/// Whether the server refused the login, which nothing but the server or another version mends.
fn is_refusal(failure: &Failure) -> bool {
    failure.fault.class == FaultClass::Credential && failure.command.as_ref().is_none_or(Command::is_mail)
}

fn versions(r: &Rotation, lines: &mut Vec<String>) {
    for (slot, version) in &r.versions {
        let Some(id) = &version.id else { continue };
        let state = match version.live {
            Live::Absent | Live::Deleted => continue,
            Live::Active => "is active",
            Live::Inactive => "is disabled",
            Live::Doubt => "is in doubt: the last call to the provider had no certain answer",
        };
        let role = if slot.is_old() { "old version" } else { "new version" };
        let compromised = if version.compromised { " (compromised: never enable it again)" } else { "" };
        lines.push(format!("{role} {id} of account {} {state}{compromised}", r.plan.account));
    }
}

fn service(r: &Rotation, failure: &Failure, name: &ServiceName) -> Option<String> {
    let (state, plan) = (r.services.get(name)?, r.plan.services.get(name)?);
    let wanted = wanted(r);
    if !wanted.is_old() && r.is_proven(name, wanted) || state.presents == Some(Which::Slot(Slot::OLD)) && !r.is_leak() {
        return None;
    }
    let owner = plan.owner.as_deref().map_or_else(String::new, |o| format!(", owner {o}"));
    let entry = &plan.entry;
    let in_entry = r.entries.get(entry).and_then(|e| e.holds);
    let good = in_entry == Some(Which::Slot(wanted));
    let presents = match state.presents {
        Some(which @ Which::Slot(slot)) => format!("presents {}{}", held(r, which), dead(r, slot)),
        Some(which) => format!("presents {}", held(r, which)),
        None => "is not proven".to_owned(),
    };
    let text = match (state.presents, good) {
        (Some(Which::Slot(slot)), true) if slot == wanted && is_refusal(failure) => {
            format!("{presents}, as it should, and cannot send while the server refuses it")
        }
        (Some(Which::Slot(slot)), true) if slot == wanted => format!("{presents}, as it should: nothing to do there"),
        (Some(_), true) => format!("{presents}, although entry {entry} holds {}: restart it", held(r, Which::Slot(wanted))),
        (None, true) if r.tries.contains_key(&Command::Reload(name.clone())) => {
            format!("{presents}: its reload did not work: restart it")
        }
        (None, true) => format!("{presents} yet: going on asks it again"),
        (_, false) => match in_entry {
            Some(which) => format!(
                "{presents}; entry {entry}, which it reads, holds {}: the entry comes first, a restart alone changes nothing",
                held(r, which)
            ),
            None => format!("{presents}; entry {entry}, which it reads, comes first: going on writes it, then reloads"),
        },
    };
    Some(format!("service {name}{owner} {text}"))
}

/// What a service is told to have that presents a version which is not accepted.
fn dead(r: &Rotation, slot: Slot) -> &'static str {
    match r.versions.get(&slot).map(|v| v.live) {
        Some(Live::Inactive) => ", which is disabled, so it cannot send",
        Some(Live::Deleted) => ", which is deleted, so it cannot send",
        _ => "",
    }
}
