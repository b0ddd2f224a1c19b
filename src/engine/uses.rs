//! The versions of a credential and their times, by what the journal says of its rotations; and Handover's own logins with them, which
//! servers log like any other. Pure: rows in, plain data out.

use std::collections::BTreeMap;

use handover_rotation::command::{Command, Fact};
use handover_rotation::event::Event;
use handover_rotation::name::{EntryName, Slot, Username, VersionId};
use handover_rotation::outcome::Outcome;
use handover_rotation::time::Millis;

use super::book::events;
use super::error::EngineError;
use crate::journal::Row;
use crate::usage::{OwnLogin, VersionTimes};

/// What the journal knows of a credential's past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Its versions, the oldest first.
    pub versions: Vec<VersionTimes>,
    /// Handover's own logins.
    pub own: Vec<OwnLogin>,
}

/// The past of a credential, from the rows of its rotations, the oldest first.
///
/// # Errors
/// A row that is not an event of this release (S28).
pub fn past(rotations: &[Vec<Row>]) -> Result<Past, EngineError> {
    let mut past = Past::default();
    for rows in rotations {
        let mut reader = Reader { past: &mut past, slots: BTreeMap::new(), holds: BTreeMap::new() };
        for (row, (at, event)) in rows.iter().zip(events(rows)?) {
            reader.take(row.stamp.wall_ms, at, &event);
        }
    }
    Ok(past)
}

/// Reads one rotation.
struct Reader<'p> {
    past: &'p mut Past,
    /// Which version a slot is.
    slots: BTreeMap<Slot, usize>,
    /// What an entry was last written with.
    holds: BTreeMap<EntryName, Slot>,
}

impl Reader<'_> {
    fn take(&mut self, wall_ms: u64, at: Millis, event: &Event) {
        match event {
            Event::Started { plan, .. } => {
                let old = self.version(&plan.old.id, &plan.old.username);
                self.slots.insert(Slot::OLD, old);
                self.past.versions[old].compromised |= plan.compromised;
            }
            Event::Supplied { slot, fact, .. } => self.made(*slot, fact, wall_ms),
            Event::TaskDone { command, .. } => self.changed(command, wall_ms),
            Event::Compromised { slot, .. } => {
                if let Some(n) = self.slots.get(slot) {
                    self.past.versions[*n].compromised = true;
                }
            }
            Event::Settled { command, began, outcome: Outcome::Done(fact), .. } => {
                if let Command::Create(slot) = command {
                    self.made(*slot, fact, wall_ms);
                }
                self.changed(command, wall_ms);
                // Both times are of the rotation's own clock: their distance is by what the wall clock is taken back.
                self.own(command, fact, wall_ms.saturating_sub(at.since(*began).0), wall_ms);
            }
            _ => {}
        }
    }

    /// The place of a version, which is made where it is new.
    fn version(&mut self, id: &VersionId, username: &Username) -> usize {
        let versions = &mut self.past.versions;
        let known = versions.iter().position(|v| v.id.as_ref() == Some(id));
        known.unwrap_or_else(|| {
            versions.push(VersionTimes {
                id: Some(id.clone()),
                username: Some(username.clone()),
                created_ms: None,
                revoked_ms: None,
                compromised: false,
            });
            versions.len() - 1
        })
    }

    fn made(&mut self, slot: Slot, fact: &Fact, wall_ms: u64) {
        let Fact::Created { id, username, .. } = fact else { return };
        let n = self.version(id, username);
        self.slots.insert(slot, n);
        let version = &mut self.past.versions[n];
        // An account that comes back in its turn is a new version of the same name.
        (version.created_ms, version.revoked_ms, version.compromised) = (Some(wall_ms), None, false);
    }

    fn changed(&mut self, command: &Command, wall_ms: u64) {
        let (slot, revoked) = match command {
            Command::Disable(slot) | Command::Delete(slot) => (slot, true),
            Command::Enable(slot) => (slot, false),
            Command::Write(entry, slot) => {
                self.holds.insert(entry.clone(), *slot);
                return;
            }
            _ => return,
        };
        let Some(n) = self.slots.get(slot) else { return };
        let version = &mut self.past.versions[*n];
        version.revoked_ms = match revoked {
            true => version.revoked_ms.or(Some(wall_ms)),
            false => None,
        };
    }

    /// A login of Handover's own. A mail that a service sends is the service's.
    fn own(&mut self, command: &Command, fact: &Fact, from_ms: u64, to_ms: u64) {
        let (slot, accepted) = match (command, fact) {
            (Command::Auth(slot), Fact::Login { accepted, .. }) => (*slot, *accepted),
            (Command::Probe(entry), Fact::Mailed { .. }) => (self.holds.get(entry).copied().unwrap_or(Slot::OLD), true),
            (Command::Control, Fact::Mailed { .. }) => (Slot::OLD, true),
            _ => return,
        };
        if let Some(version) = self.slots.get(&slot) {
            self.past.own.push(OwnLogin { version: *version, from_ms, to_ms, accepted });
        }
    }
}

#[cfg(test)]
mod tests {
    use handover_rotation::name::RotationId;

    use super::*;
    use crate::journal::Stamp;
    use crate::view::tests::stories;

    /// Rows as the journal has them, by a wall clock that is an hour ahead.
    fn rows(events: &stories::Events) -> Vec<Row> {
        let row = |(n, (at, event)): (usize, &(Millis, Event))| Row {
            n: n as u64 + 1,
            rotation: RotationId::new("r1").expect("a name"),
            seq: n as u64 + 1,
            epoch: 1,
            format: 1,
            stamp: Stamp { wall_ms: at.0 + 3_600_000, boot_ms: 0, boot_id: String::new() },
            at: *at,
            payload: serde_json::to_string(event).expect("JSON"),
            last: false,
            prev: [0; 32],
            hash: [0; 32],
        };
        events.iter().enumerate().map(row).collect()
    }

    fn when(events: &stories::Events, which: impl Fn(&Event) -> bool) -> Option<u64> {
        events.iter().find(|(_, event)| which(event)).map(|(at, _)| at.0 + 3_600_000)
    }

    #[test]
    fn versions_have_their_times_by_the_wall_clock() {
        let events = stories::drill();
        let past = past(&[rows(&events)]).expect("events");
        let ids: Vec<String> = past.versions.iter().map(VersionTimes::shown).collect();
        assert_eq!(ids.len(), 2, "{ids:?}");
        let settled = |wanted: Command| {
            when(
                &events,
                move |e| matches!(e, Event::Settled { command, outcome: Outcome::Done(_), .. } if *command == wanted),
            )
        };
        assert_eq!(past.versions[0].created_ms, None);
        assert_eq!(past.versions[0].revoked_ms, settled(Command::Disable(Slot::OLD)));
        assert!(past.versions[0].revoked_ms.is_some());
        assert_eq!(past.versions[1].created_ms, settled(Command::Create(Slot(1))));
        assert_eq!(past.versions[1].revoked_ms, None);
        // Its logins with the old version after that were refused.
        let refused: Vec<&OwnLogin> = past.own.iter().filter(|own| !own.accepted).collect();
        assert!(!refused.is_empty() && refused.iter().all(|own| own.version == 0));
        assert!(past.own.iter().any(|own| own.accepted && own.version == 1));
        assert!(past.own.iter().all(|own| own.from_ms <= own.to_ms));
    }

    #[test]
    fn what_was_rolled_back_is_not_revoked() {
        let events = stories::rolled_back();
        let past = past(&[rows(&events)]).expect("events");
        assert_eq!(past.versions[0].revoked_ms, None);
        assert!(past.versions[1].revoked_ms.is_some(), "the new one was deleted");
    }

    #[test]
    fn a_version_of_two_rotations_is_one_and_a_leaked_one_is_compromised() {
        let (first, second) = (stories::drill(), stories::leak_stuck());
        let past = past(&[rows(&first), rows(&second)]).expect("events");
        let old = &past.versions[0];
        assert!(old.compromised);
        let ids: std::collections::BTreeSet<String> = past.versions.iter().map(VersionTimes::shown).collect();
        assert_eq!(ids.len(), past.versions.len());
    }
}
