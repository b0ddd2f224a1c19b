//! The clock of a leak: when the rotation that contains it came to each of its moments, told by its events. It reads and decides
//! nothing; whether a login is refused is judged here for all who ask.

use std::collections::BTreeSet;

use handover_rotation::command::Command;
use handover_rotation::event::{Ending, Event};
use handover_rotation::name::Slot;
use handover_rotation::plan::Shape;
use handover_rotation::state::{Live, Rotation, Version};

use super::book::events;
use super::error::EngineError;
use crate::journal::Row;

/// When a containment came to its moments, by the wall clock, in milliseconds since the Unix epoch; `None` for what has not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contained {
    /// The first call that shuts the login out was about to leave.
    pub first_attempt: Option<u64>,
    /// The provider has acknowledged that it is shut out.
    pub acknowledged: Option<u64>,
    /// The server has refused it.
    pub refused: Option<u64>,
    /// Every service was proven to use a version that has not leaked.
    pub moved: Option<u64>,
}

impl Contained {
    /// What the rows of a rotation tell; nothing of one without a leak.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn of(rows: &[Row]) -> Result<Self, EngineError> {
        let mut told = Self::default();
        let mut known = BTreeSet::new();
        let mut state: Option<Rotation> = None;
        for ((at, event), row) in events(rows)?.iter().zip(rows) {
            let after = match state.take() {
                None => Rotation::begin(*at, event),
                Some(mut rotation) => rotation.apply(*at, event).map(|()| rotation),
            };
            // A log that does not fold further is the business of whoever works on it.
            let Ok(rotation) = after else { break };
            let leaked: BTreeSet<Slot> = leaked(&rotation).map(|(slot, _)| slot).collect();
            if leaked != known {
                // Another version has leaked: it is to be shut out as well.
                (told, known) = (Self::default(), leaked);
            }
            if !known.is_empty() {
                told.take(&rotation, event, &known, row.stamp.wall_ms);
            }
            state = Some(rotation);
        }
        Ok(told)
    }

    fn take(&mut self, rotation: &Rotation, event: &Event, leaked: &BTreeSet<Slot>, wall_ms: u64) {
        // What was reached stays so: from disabled to deleted a login is in doubt, and not accepted.
        let reach = |moment: &mut Option<u64>, is: bool| *moment = moment.or(is.then_some(wall_ms));
        let attempt = matches!(event, Event::Intended { command, .. } if shuts_out(rotation, command, leaked));
        let acknowledged = leaked_are(rotation, is_gone);
        // By a person, or before it was told to have leaked, it is shut out without an attempt.
        reach(&mut self.first_attempt, attempt || acknowledged);
        reach(&mut self.acknowledged, acknowledged);
        reach(&mut self.refused, is_refused(rotation));
        reach(&mut self.moved, is_moved(rotation));
    }
}

fn leaked(rotation: &Rotation) -> impl Iterator<Item = (Slot, &Version)> {
    rotation.versions.iter().filter(|(_, version)| version.compromised).map(|(slot, version)| (*slot, version))
}

/// Whether there are leaked versions, and all of them are so.
fn leaked_are(rotation: &Rotation, so: impl Fn(&Version) -> bool) -> bool {
    let mut leaked = leaked(rotation).peekable();
    leaked.peek().is_some() && leaked.all(|(_, version)| so(version))
}

fn is_gone(version: &Version) -> bool {
    matches!(version.live, Live::Inactive | Live::Deleted | Live::Absent)
}

fn shuts_out(rotation: &Rotation, command: &Command, leaked: &BTreeSet<Slot>) -> bool {
    match command {
        Command::Disable(slot) | Command::Delete(slot) => leaked.contains(slot),
        // In place, the new password is what shuts the old one out.
        Command::Create(_) => rotation.shape() == Shape::InPlace,
        _ => false,
    }
}

/// Whether the leaked versions of a rotation are known to be refused: the server's word; where the version is gone for good at the end
/// of a rotation, that is proven as well.
#[must_use]
pub fn is_refused(rotation: &Rotation) -> bool {
    let done = matches!(rotation.ended(), Some(Ending::Done));
    leaked_are(rotation, |version| is_gone(version) && (done || version.login.is_some_and(|login| !login.accepted)))
}

/// Whether everything uses a version that has not leaked.
fn is_moved(rotation: &Rotation) -> bool {
    let target = rotation.target;
    let sound = !target.is_old() && rotation.versions.get(&target).is_some_and(|version| !version.compromised);
    sound
        && (rotation.services.keys().all(|name| rotation.is_proven(name, target)) || rotation.ended() == Some(Ending::Done))
}
