//! The clock of a leak: when it was told, when its containment began, was first tried, was acknowledged by the provider and proven by
//! a refused login. Read off the events of the rotation that contains it; what has not happened yet has no time.

use std::collections::BTreeSet;

use handover_rotation::command::{Command, Fact};
use handover_rotation::event::Event;
use handover_rotation::name::Slot;
use handover_rotation::outcome::Outcome;
use handover_rotation::time::Millis;

/// When each part came, in milliseconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock {
    /// The rotation knew of the leak.
    pub(super) begun: Option<u64>,
    /// The first call that shuts it out was to leave.
    pub(super) tried: Option<u64>,
    /// The provider has acknowledged one.
    pub(super) acknowledged: Option<u64>,
    /// The server has refused the login after that.
    pub(super) refused: Option<u64>,
    /// The rotation has ended.
    pub(super) ended: Option<u64>,
}

impl Clock {
    /// Of the events of a rotation.
    pub(super) fn of(events: &[(Millis, Event)]) -> Self {
        let mut clock = Self::default();
        let mut leaked: BTreeSet<Slot> = BTreeSet::new();
        let first = |place: &mut Option<u64>, at: Millis| {
            place.get_or_insert(at.0);
        };
        for (at, event) in events {
            match event {
                Event::Started { plan, .. } if plan.compromised => {
                    leaked.insert(Slot::OLD);
                    first(&mut clock.begun, *at);
                }
                Event::Compromised { slot, .. } => {
                    leaked.insert(*slot);
                    first(&mut clock.begun, *at);
                }
                Event::Intended { command: Command::Disable(slot) | Command::Delete(slot), .. } if leaked.contains(slot) => {
                    first(&mut clock.tried, *at);
                }
                Event::Settled { command, outcome: Outcome::Done(fact), .. } => match (command, fact) {
                    (Command::Disable(slot) | Command::Delete(slot), _) if leaked.contains(slot) => {
                        first(&mut clock.acknowledged, *at);
                    }
                    (Command::Auth(slot), Fact::Login { accepted: false, .. })
                        if leaked.contains(slot) && clock.acknowledged.is_some() =>
                    {
                        first(&mut clock.refused, *at);
                    }
                    _ => {}
                },
                Event::Finished { .. } => first(&mut clock.ended, *at),
                _ => {}
            }
        }
        clock
    }
}

/// Seconds, with a tenth where that says something.
pub(super) fn seconds(ms: u64) -> String {
    match ms {
        0..600_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => super::parts::coarse(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn seconds_have_a_tenth() {
        assert_eq!(
            (seconds(0), seconds(4_250), seconds(59_999), seconds(600_000)),
            ("0.0 s".into(), "4.2 s".into(), "59.9 s".into(), "10 min".into())
        );
    }
}
