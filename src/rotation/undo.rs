//! Rolling back: in reverse, until only the old version is live everywhere.
//!
//! The order is the rule (S16, S17): first the old version is seen to be active, then entries are put back, then services read
//! again and are asked, then the old login is tried, and only then the new version is deleted.
//!
//! | step | its undo |
//! |---|---|
//! | generate | delete the new version |
//! | push | write the old version, read back |
//! | reload | reload after the entry is back, ask what it presents |
//! | deactivate | enable the old version |
//! | preflight, verify, soak, approve, confirm, watch | nothing to undo |
//! | delete | none: the point of no return |

use crate::command::Command;
use crate::event::FailureKind;
use crate::mutant::{Mutant, broken};
use crate::name::{ServiceName, Slot};
use crate::outcome::{Fault, FaultClass};
use crate::plan::Shape;
use crate::progress::{Progress, all, once};
use crate::state::{Live, Rotation};
use crate::time::Millis;
use crate::wish::{entry_holds, gone, listed_once, makings_listed, resolved, service_restored, version_is};
use crate::word;

/// What is still missing until only the old version is live everywhere.
pub(crate) fn rolled_back(r: &Rotation, now: Millis) -> Progress {
    if !r.flights.is_empty() {
        return Progress::pending();
    }
    if !r.has_changed_anything() {
        // What is not as it was, someone else has changed: it is not ours to put back.
        return Progress::ready();
    }
    if broken(Mutant::UndoOutOfOrder) {
        return new_gone(r, now).then(|| entries_back(r, now)).then(|| services_back(r, now));
    }
    old_active(r, now)
        .then(|| entries_back(r, now))
        .then(|| services_back(r, now))
        .then(|| old_works(r, now))
        .then(|| new_gone(r, now))
        .then(|| still_sending(r, now))
}

/// A service that cannot say which version it uses shows only now that it does not need the new one.
fn still_sending(r: &Rotation, now: Millis) -> Progress {
    let unasked = affected(r).filter(|name| r.plan.services.get(*name).is_some_and(|s| s.test_send && !s.attest));
    all(unasked.map(|name| once(r, Command::TestSend(name.clone()), now)))
}

fn entries_back(r: &Rotation, now: Millis) -> Progress {
    if broken(Mutant::EntriesNotRestored) {
        return Progress::ready();
    }
    all(r.entries.iter().filter(|(_, e)| e.touched).map(|(name, _)| entry_holds(r, name, Slot::OLD, now)))
}

fn services_back(r: &Rotation, now: Millis) -> Progress {
    if broken(Mutant::ServicesNotRestored) {
        return Progress::ready();
    }
    all(affected(r).map(|name| service_restored(r, name, now)))
}

/// The services whose entry was written, or that were told to reload.
pub(crate) fn affected(r: &Rotation) -> impl Iterator<Item = &ServiceName> {
    r.plan.services.iter().filter_map(|(name, plan)| {
        let written = r.entries.get(&plan.entry).is_some_and(|e| e.touched);
        let reloaded = r.services.get(name).is_some_and(|s| s.touched);
        (written || reloaded).then_some(name)
    })
}

fn old_active(r: &Rotation, now: Millis) -> Progress {
    let old = r.old();
    if broken(Mutant::UndoIntoTheDead) {
        return Progress::ready();
    }
    if old.live == Live::Deleted {
        let fault =
            Fault::new(FaultClass::Permanent, "HO0426", format!("the old version {} no longer exists", r.plan.old.id))
                .hint("there is no way back; resume to go forward with the new version");
        return Progress::failed(FailureKind::Target, None, fault);
    }
    let replaced = r.shape() == Shape::InPlace && r.versions.iter().any(|(s, v)| !s.is_old() && v.live == Live::Doubt);
    if replaced {
        // In place, whether the new password was set decides whether the old one must be set again.
        return all(r.versions.keys().filter(|slot| !slot.is_old()).map(|slot| resolved(r, *slot, now)));
    }
    let active = version_is(r, Slot::OLD, Live::Active, Command::Enable(Slot::OLD), now);
    // Knowledge from before the rollback is not fresh enough once a disabling was on its way (S16).
    match old.disable_intended {
        true if r.shape() == Shape::Manual => {
            active.then(|| word::kept(r, Slot::OLD, true, Command::Enable(Slot::OLD), now))
        }
        true => active.then(|| listed_once(r, now)),
        false => active,
    }
}

fn old_works(r: &Rotation, now: Millis) -> Progress {
    if !r.old().sealed { Progress::ready() } else { once(r, Command::Auth(Slot::OLD), now) }
}

fn new_gone(r: &Rotation, now: Millis) -> Progress {
    if broken(Mutant::DestroysTheOther) {
        return version_is(r, Slot::OLD, Live::Deleted, Command::Delete(Slot::OLD), now);
    }
    let new = r.versions.iter().filter(|(slot, _)| !slot.is_old());
    all(new.map(|(slot, version)| match version.live {
        Live::Inactive if r.shape() == Shape::InPlace => Progress::ready(),
        _ => gone(r, *slot, version, now),
    }))
    .then(|| makings_listed(r, now))
}
