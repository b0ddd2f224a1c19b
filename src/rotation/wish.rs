//! Wishes about single targets: an entry holds a version, a service uses it, a version is in a state. Each compares what is
//! known with what is wanted and asks for the difference, so doing and undoing are the same code with another version.

use crate::command::{Command, Which};
use crate::event::FailureKind;
use crate::mutant::{Mutant, broken};
use crate::name::{EntryName, ServiceName, Slot};
use crate::outcome::{Fault, FaultClass};
use crate::plan::Shape;
use crate::progress::{Progress, all, attempt, once};
use crate::state::{Live, Rotation, Version};
use crate::time::{Millis, Span};
use crate::word::{self, is_gone, kept};

/// The entry holds the version, by read-back.
pub(crate) fn entry_holds(r: &Rotation, name: &EntryName, slot: Slot, now: Millis) -> Progress {
    let Some(entry) = r.entries.get(name) else { return Progress::ready() };
    let write = Command::Write(name.clone(), slot);
    if r.flights.values().any(|f| matches!(&f.command, Command::Write(n, _) if n == name)) {
        return Progress::pending();
    }
    match entry.holds {
        None if now < entry.quiet_until => Progress::wait(entry.quiet_until),
        None => {
            let read = Command::ReadEntry(name.clone());
            match (r.tries.contains_key(&write), r.tries.contains_key(&read)) {
                // A write that failed is looked at first, but not more often than it may be tried again.
                (true, false) => attempt(r, write.clone(), now).map_go(|| read),
                // Looking has a patience of its own, or a store that is gone would be looked at for ever (L1).
                _ => attempt(r, read, now),
            }
        }
        Some(Which::Slot(held)) if held == slot => Progress::ready(),
        Some(Which::Foreign) if broken(Mutant::ForeignOverwritten) => attempt(r, write, now),
        Some(Which::Slot(_) | Which::Nothing) => attempt(r, write, now),
        Some(Which::Foreign) => {
            let place = r.plan.entries.get(name).map_or("", |e| e.location.as_str());
            let fault = Fault::new(
                FaultClass::Permanent,
                "HO0417",
                format!(
                    "entry {name} ({place}) was changed by someone else: it holds a value that this rotation does not know"
                ),
            )
            .hint(format!(
                "find out who writes there; Handover does not overwrite it unless told so: `handover resume {} --overwrite {name}`",
                r.id
            ));
            Progress::failed(FailureKind::Target, Some(write), fault)
        }
    }
}

/// Handover has sent with what the entry holds, often enough in a row.
pub(crate) fn entry_proven(r: &Rotation, name: &EntryName, slot: Slot, now: Millis) -> Progress {
    let Some(entry) = r.entries.get(name) else { return Progress::ready() };
    if entry.probes >= r.plan.policy.sends && entry.probed == slot {
        return Progress::ready();
    }
    attempt(r, Command::Probe(name.clone()), now)
}

/// The service has read its entry again while it held the version.
pub(crate) fn service_reloaded(r: &Rotation, name: &ServiceName, slot: Slot, now: Millis) -> Progress {
    let (Some(plan), Some(service)) = (r.plan.services.get(name), r.services.get(name)) else { return Progress::ready() };
    if service.reloaded == Some(slot) {
        return if r.is_reloaded_by_hand(name) { word::restarted(r, name, slot, now) } else { Progress::ready() };
    }
    if plan.reload.is_none() {
        let fault = Fault::new(FaultClass::Permanent, "HO0418", format!("service {name} has no way to reload"))
            .hint("add `reload` to the service in the inventory");
        return Progress::failed(FailureKind::Target, Some(Command::Reload(name.clone())), fault);
    }
    reload(r, name, now)
}

/// The service is made to read again, or a person is asked to do that.
fn reload(r: &Rotation, name: &ServiceName, now: Millis) -> Progress {
    let command = Command::Reload(name.clone());
    if r.is_reloaded_by_hand(name) { Progress::ask(command) } else { attempt(r, command, now) }
}

/// The service presents the version and has sent with it, often enough in a row, where it can be asked to.
pub(crate) fn service_proven(r: &Rotation, name: &ServiceName, slot: Slot, now: Millis) -> Progress {
    let (Some(plan), Some(service)) = (r.plan.services.get(name), r.services.get(name)) else { return Progress::ready() };
    let mut wishes = Progress::ready();
    if plan.attest && service.presents != Some(Which::Slot(slot)) {
        wishes = wishes.and(attempt(r, Command::Attest(name.clone()), now));
    }
    if plan.test_send && service.sends < r.plan.policy.sends {
        wishes = wishes.and(attempt(r, Command::TestSend(name.clone()), now));
    }
    wishes
}

/// The service is back on the old version. One that was never reloaded may still have restarted by itself: it is asked.
pub(crate) fn service_restored(r: &Rotation, name: &ServiceName, now: Millis) -> Progress {
    let (Some(plan), Some(service)) = (r.plan.services.get(name), r.services.get(name)) else { return Progress::ready() };
    let back = Some(Which::Slot(Slot::OLD));
    if !service.touched && plan.attest {
        return match service.presents {
            presents if presents == back => Progress::ready(),
            None => attempt(r, Command::Attest(name.clone()), now),
            // It answered, with another version: only a reload brings it back.
            Some(_) => reload(r, name, now),
        };
    }
    service_reloaded(r, name, Slot::OLD, now).then(|| {
        if plan.attest && service.presents != back {
            attempt(r, Command::Attest(name.clone()), now)
        } else {
            Progress::ready()
        }
    })
}

/// The version is in the state that `command` brings about.
pub(crate) fn version_is(r: &Rotation, slot: Slot, wanted: Live, command: Command, now: Millis) -> Progress {
    let Some(version) = r.versions.get(&slot) else { return Progress::ready() };
    if r.flights.values().any(|f| f.command.slot_changed() == Some(slot)) {
        return Progress::pending();
    }
    match version.live {
        live if live == wanted => Progress::ready(),
        Live::Doubt => resolved(r, slot, now),
        _ if r.shape() == Shape::Manual => Progress::ask(command),
        _ => attempt(r, command, now),
    }
}

/// The version does not exist.
pub(crate) fn gone(r: &Rotation, slot: Slot, version: &Version, now: Millis) -> Progress {
    match version.live {
        // A person's word is checked like a provider's.
        Live::Deleted if !is_gone(r, version) => kept(r, slot, false, Command::Delete(slot), now),
        Live::Absent | Live::Deleted => Progress::ready(),
        Live::Doubt => resolved(r, slot, now),
        Live::Active | Live::Inactive => version_is(r, slot, Live::Deleted, Command::Delete(slot), now),
    }
}

/// No stray that was seen is left.
pub(crate) fn strays_gone(r: &Rotation, now: Millis) -> Progress {
    all(r.strays().map(|(slot, version)| gone(r, slot, version, now)))
}

/// A list was asked for so late that it shows everything that our requests have made, repeated ones included (S9, L3).
pub(crate) fn makings_listed(r: &Rotation, now: Millis) -> Progress {
    let made = r.versions.values().filter_map(|v| v.made_at).max();
    let Some(made) = made.filter(|_| r.shape().keeps_several()) else { return Progress::ready() };
    let settled = made.after(r.plan.facts.propagation);
    if now < settled { Progress::wait(settled) } else { listed_after(r, settled, now) }
}

/// The doubt about a version is ended by looking: at once when nothing can land any more, and for an absence again after the
/// settle window (S9).
pub(crate) fn resolved(r: &Rotation, slot: Slot, now: Millis) -> Progress {
    let Some(version) = r.versions.get(&slot) else { return Progress::ready() };
    if version.live != Live::Doubt {
        return Progress::ready();
    }
    let propagation = r.plan.facts.propagation;
    let quiet = version.quiet_until;
    let settled = quiet.max(version.changed_at).after(propagation);
    let again = version.absent_since.map_or(settled, |first| first.after(Span(propagation.0 / 2)));
    let last = r.sampled.get(&Command::ListVersions).copied();
    let next = [quiet, settled, again].into_iter().find(|t| last.is_none_or(|l| l < *t)).unwrap_or_else(|| {
        // Looked at every time that counts and still in doubt: keep looking, a settle window apart.
        last.unwrap_or(again).after(Span(propagation.0.max(1000) / 2))
    });
    if now < next { Progress::wait(next) } else { attempt(r, Command::ListVersions, now) }
}

/// A list that was asked for since the step began, where there is one.
pub(crate) fn listed_once(r: &Rotation, now: Millis) -> Progress {
    if r.shape().lists() { once(r, Command::ListVersions, now) } else { Progress::ready() }
}

/// A list that was asked for after `since`, where there is one.
pub(crate) fn listed_after(r: &Rotation, since: Millis, now: Millis) -> Progress {
    if !r.shape().lists() {
        return Progress::ready();
    }
    match r.sampled.get(&Command::ListVersions) {
        Some(at) if *at >= since => Progress::ready(),
        _ => attempt(r, Command::ListVersions, now),
    }
}

/// The last list showed the version. One that it did not show is looked for again before anything relies on it (S9).
pub(crate) fn not_missing(r: &Rotation, slot: Slot, now: Millis) -> Progress {
    let Some(first) = r.versions.get(&slot).and_then(|v| v.absent_since) else { return Progress::ready() };
    let again = first.after(Span(r.plan.facts.propagation.0 / 2));
    if now < again { Progress::wait(again) } else { listed_after(r, again, now) }
}

impl Progress {
    /// The same timing for another command.
    fn map_go(mut self, other: impl FnOnce() -> Command) -> Self {
        if !self.go.is_empty() {
            self.go = vec![other()];
        }
        self
    }
}
