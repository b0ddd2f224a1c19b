//! A person's word. No list can tell what they did at the provider (shape D), so it is checked by logins; where it proves wrong
//! they are asked again, once the server has had its time. A service that they restarted is asked what it presents.

use crate::command::{Command, Which};
use crate::event::FailureKind;
use crate::name::{ServiceName, Slot};
use crate::outcome::{Fault, FaultClass};
use crate::plan::{MOST_REFUSALS, Shape};
use crate::progress::{Progress, attempt, attempt_forever};
use crate::state::{Live, Rotation, Version};
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
        Some(_) if is_refused_for_good(version) => {
            let id = version.id.as_ref().map_or_else(|| slot.to_string(), ToString::to_string);
            let fault = Fault::new(
                FaultClass::Permanent,
                "HO0439",
                format!("the {slot} version {id} was said to be enabled again, and the server refuses it time and again"),
            )
            .hint("it may be gone for good: going on goes forward with the new version");
            Progress::failed(FailureKind::Target, Some(command), fault)
        }
        Some(_) if now >= known_from(r, version) => Progress::ask(command),
        Some(_) => attempt_forever(r, auth, now),
        // Of the old one on the way back nothing is given up before it was refused for good.
        None if accepted => attempt_forever(r, auth, now),
        None => attempt(r, auth, now),
    }
}

/// The service presents the version since a person said that they restarted it. If not, they are asked again, as often as
/// anything is tried.
pub(crate) fn restarted(r: &Rotation, name: &ServiceName, slot: Slot, now: Millis) -> Progress {
    let (Some(plan), Some(service)) = (r.plan.services.get(name), r.services.get(name)) else { return Progress::ready() };
    if !plan.attest || service.presents == Some(Which::Slot(slot)) {
        return Progress::ready();
    }
    let attest = attempt(r, Command::Attest(name.clone()), now);
    let again = service.presents.is_some() && attest.failed.is_none();
    if again { Progress::ask(Command::Reload(name.clone())) } else { attest }
}

/// Whether a version that is told to be deleted is: where only a person tells, once the server refuses it.
pub(crate) fn is_gone(r: &Rotation, version: &Version) -> bool {
    let refused = version.login.is_some_and(|l| !l.accepted && l.at >= version.changed_at);
    version.live == Live::Deleted && (r.shape() != Shape::Manual || !version.sealed || refused)
}

/// The server has refused the login so often in a row, whatever was said of it, that nobody waits for it any more.
pub(crate) fn is_refused_for_good(version: &Version) -> bool {
    version.refusals >= MOST_REFUSALS * 2 && version.login.is_some_and(|l| !l.accepted && l.at >= version.changed_at)
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
