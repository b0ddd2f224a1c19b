//! What a person is told when a rotation is stuck: what is where, with exact ids, and what to do about each (S18).

use crate::command::{Command, Which};
use crate::event::{Failure, FailureKind};
use crate::name::Slot;
use crate::state::{Live, Rotation};

/// The lines, most urgent first.
#[must_use]
pub fn todo(r: &Rotation, failure: &Failure) -> Vec<String> {
    let mut lines = Vec::new();
    if failure.kind == FailureKind::Environment {
        let of_mail = failure.command.as_ref().is_none_or(Command::is_mail);
        let text = match (of_mail, r.old().live) {
            (true, Live::Active) => {
                "mail fails with the old version too, so nothing speaks against the new one; both are live and safe"
            }
            (true, _) => "mail fails for now, which by itself speaks against no version; the old one is no longer active",
            (false, _) => {
                "the provider does not answer for now, which speaks against no version; nothing is retired meanwhile"
            }
        };
        lines.push(text.to_owned());
    }
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
    for (name, entry) in &r.entries {
        let place = r.plan.entries.get(name).map_or("", |e| e.location.as_str());
        let text = match entry.holds {
            Some(Which::Slot(slot)) if slot == r.target && !slot.is_old() => continue,
            Some(which) => format!("holds {which}"),
            None if entry.touched => "has an unknown value: read it".to_owned(),
            None => continue,
        };
        lines.push(format!("entry {name} ({place}) {text}"));
    }
    for (name, service) in &r.services {
        let target_proven = !r.target.is_old() && r.is_proven(name, r.target);
        if target_proven || service.presents == Some(Which::Slot(Slot::OLD)) && !r.is_leak() {
            continue;
        }
        let owner =
            r.plan.services.get(name).and_then(|s| s.owner.as_deref()).map_or_else(String::new, |o| format!(", owner {o}"));
        let text = match service.presents {
            Some(which) => format!("presents {which}"),
            None => "is not proven".to_owned(),
        };
        lines.push(format!("service {name}{owner} {text}: restart it, then resume"));
    }
    if let Some(hint) = &failure.fault.hint {
        lines.push(hint.clone());
    }
    lines
}
