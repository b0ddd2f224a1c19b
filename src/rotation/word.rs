//! A person's word (shape D). No list can tell what they did at the provider, so it is checked by logins; where it proves wrong
//! they are asked again, once the server has had its time.

use crate::command::Command;
use crate::name::Slot;
use crate::progress::{Progress, attempt, attempt_forever};
use crate::state::{Rotation, Version};
use crate::time::{Millis, Span};

/// From when on the server is expected to know of the last change of a version.
pub(crate) fn known_from(r: &Rotation, version: &Version) -> Millis {
    version.changed_at.after(Span(r.plan.facts.propagation.0.saturating_mul(2).saturating_add(5000)))
}

/// The server treats the version as it must since a person said that they did `command`: accepts it, or refuses it.
pub(crate) fn kept(r: &Rotation, slot: Slot, accepted: bool, command: Command, now: Millis) -> Progress {
    let Some(version) = r.versions.get(&slot).filter(|v| v.sealed) else { return Progress::ready() };
    let auth = Command::Auth(slot);
    match version.login.filter(|l| l.at >= version.changed_at) {
        Some(login) if login.accepted == accepted => Progress::ready(),
        Some(_) if now >= known_from(r, version) => Progress::ask(command),
        Some(_) => attempt_forever(r, auth, now),
        None => attempt(r, auth, now),
    }
}

/// The server has accepted a login with the version that was begun after `since`: what a list tells elsewhere.
pub(crate) fn accepted_after(r: &Rotation, slot: Slot, since: Millis, now: Millis) -> Progress {
    let auth = Command::Auth(slot);
    match r.sampled.get(&auth) {
        Some(at) if *at >= since && !r.tries.contains_key(&auth) => Progress::ready(),
        _ => attempt(r, auth, now),
    }
}

/// Whether a version was said to be done away with, and the server accepted its login after that.
#[must_use]
pub fn proved_wrong(version: &Version) -> bool {
    version.disable_intended && version.login.is_some_and(|l| l.accepted && l.at >= version.changed_at)
}
