//! Containment: a compromised version is made to be refused, whatever else fails. It is monotone, so it needs no fence and no
//! wait, and it is tried for ever (finding 10, L5).

use crate::command::Command;
use crate::event::Event;
use crate::forward::{generate, is_spoilt, needs_another, old_refused};
use crate::mutant::{Mutant, broken};
use crate::name::{EntryName, ServiceName, Slot};
use crate::outcome::FaultClass;
use crate::plan::Shape;
use crate::progress::{Progress, all, attempt_forever};
use crate::state::{Live, Rotation};
use crate::time::Millis;
use crate::wish::{entry_holds, entry_proven, listed_after, not_missing, service_proven, service_reloaded};

/// The event that begins containment, when it is due and has not begun.
pub(crate) fn due(r: &Rotation, now: Millis) -> Option<Event> {
    // With both versions compromised nothing is left to wait for.
    let at_once = is_spoilt(r);
    let due = !broken(Mutant::DeadlineIgnored)
        && r.is_leak()
        && !r.containing
        && (at_once || r.contain_by.is_some_and(|t| now >= t));
    due.then(|| {
        let unproven: Vec<ServiceName> =
            r.services.keys().filter(|s| r.target.is_old() || !r.is_proven(s, r.target)).cloned().collect();
        Event::ContainmentBegan { unproven }
    })
}

/// The compromised version is disabled; where the provider cannot disable, deleted. A doubt is answered by doing it again.
pub(crate) fn disabled(r: &Rotation, now: Millis) -> Progress {
    if matches!(r.old().live, Live::Inactive | Live::Deleted) {
        return Progress::ready();
    }
    let command = match r.shape() {
        // In place, the new password is what shuts the old one out.
        Shape::InPlace => return Progress::ready(),
        Shape::DeleteOnly => Command::Delete(Slot::OLD),
        _ => Command::Disable(Slot::OLD),
    };
    if r.flights.values().any(|f| f.command.slot_changed() == Some(Slot::OLD)) {
        return Progress::pending();
    }
    if r.shape() == Shape::Manual {
        return Progress::ask(command);
    }
    let Some(tries) = r.tries.get(&command) else { return Progress::go(command) };
    if broken(Mutant::ContainmentGivesUp) {
        return Progress::failed(crate::event::FailureKind::Target, Some(command), tries.fault.clone());
    }
    // It may be gone already, and then no call on it ever succeeds: a look ends that.
    let looked = r.sampled.get(&Command::ListVersions).is_some_and(|at| *at >= tries.last);
    let look = if looked { Progress::ready() } else { attempt_forever(r, Command::ListVersions, now) };
    attempt_forever(r, command, now).and(look)
}

/// Everything at once: the old version is shut out, so whatever can be moved to the new one is moved, in every environment,
/// and what fails holds up nothing else.
pub(crate) fn everything(r: &Rotation, now: Millis) -> Progress {
    let contained =
        disabled(r, now).then(|| if r.old().live == Live::Active { Progress::ready() } else { old_refused(r, now) });
    contained.and(moved(r, now))
}

/// A new version is made if there is none, and everything is moved to it, in every environment at once.
pub(crate) fn moved(r: &Rotation, now: Millis) -> Progress {
    let made = if needs_another(r) { Progress::pending() } else { generate(r, now) };
    made.then(|| entries_moved(r, |_| true, now).and(still_listed(r, now)))
}

/// What was moved before is moved again.
pub(crate) fn moved_again(r: &Rotation, now: Millis) -> Progress {
    entries_moved(r, |name| r.entries.get(name).is_some_and(|e| e.touched), now)
}

/// These entries hold the new version, the services that read them use it, and both are proven.
pub(crate) fn entries_moved(r: &Rotation, these: impl Fn(&EntryName) -> bool, now: Millis) -> Progress {
    let names = r.plan.entries.keys().filter(|name| these(name));
    let entries = names.map(|e| entry_holds(r, e, r.target, now).then(|| entry_proven(r, e, r.target, now)));
    let readers = r.plan.services.iter().filter(|(_, plan)| these(&plan.entry));
    let services = readers.map(|(name, plan)| {
        let held = entry_holds(r, &plan.entry, r.target, now);
        held.then(|| service_reloaded(r, name, r.target, now)).then(|| service_proven(r, name, r.target, now))
    });
    all(entries).and(all(services))
}

/// Where the new version is refused, someone else may have deleted it: only a list tells, and then another one is made.
pub(crate) fn still_listed(r: &Rotation, now: Millis) -> Progress {
    let refused = r.tries.iter().filter(|(c, t)| c.is_mail() && t.fault.class == FaultClass::Credential);
    match refused.map(|(_, tries)| tries.first).max() {
        Some(since) => listed_after(r, since, now).then(|| not_missing(r, r.target, now)),
        None => Progress::ready(),
    }
}
