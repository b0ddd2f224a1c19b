//! Clocks: the one file that reads time. It makes a rotation's trusted time, which never runs backwards and does not follow
//! steps of the wall clock (safety.md S29).

use handover_rotation::state::Rotation;
use handover_rotation::time::Millis;

use crate::journal::{Stamp, system_stamp};
use crate::mutant::{Mutant, broken};

/// Reads both clocks.
pub trait Clock: Send + Sync {
    /// Wall clock, time since boot, and which boot.
    fn stamp(&self) -> Stamp;
}

/// The clocks of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn stamp(&self) -> Stamp {
        system_stamp()
    }
}

/// The trusted time of one rotation, anchored at its last event.
#[derive(Clone, Debug)]
pub struct TrustedTime {
    at: Millis,
    stamp: Stamp,
    /// Whether too late is worse than too early: a leak is waiting to be shut out.
    urgent: bool,
}

impl TrustedTime {
    /// The time of a rotation that begins now.
    #[must_use]
    pub fn begin(stamp: Stamp) -> Self {
        Self { at: Millis(stamp.wall_ms), stamp, urgent: false }
    }

    /// The time of `rotation`, whose last event was written when the clocks showed `stamp`.
    #[must_use]
    pub fn of(rotation: &Rotation, stamp: Stamp) -> Self {
        Self { at: rotation.at, stamp, urgent: rotation.is_leak() }
    }

    /// The same, for a process that begins to count when the clocks show `now`: from then on only its boot clock counts,
    /// whatever the wall clock did between the boots. Otherwise one that went back would hold time still until it caught up.
    #[must_use]
    pub fn counted_from(self, now: Stamp) -> Self {
        Self { at: self.at(&now), stamp: now, urgent: self.urgent }
    }

    /// The time when the clocks show `stamp`.
    ///
    /// Within one boot only the boot clock counts, which sleeps are part of and nobody can set. After a restart of the machine
    /// the wall clock may be wrong in both ways, so only what the boot clock vouches for has passed: the time since the restart,
    /// or less if the wall clock says less. A wait can become longer but not shorter. In a leak the wall clock is believed: its
    /// deadline must not wait because the machine was off (safety.md B16).
    #[must_use]
    pub fn at(&self, stamp: &Stamp) -> Millis {
        let passed = if stamp.boot_id == self.stamp.boot_id && !broken(Mutant::WallClockTrusted) {
            stamp.boot_ms.saturating_sub(self.stamp.boot_ms)
        } else {
            let wall = stamp.wall_ms.saturating_sub(self.stamp.wall_ms);
            if self.urgent || broken(Mutant::WallClockTrusted) { wall } else { wall.min(stamp.boot_ms) }
        };
        Millis(self.at.0.saturating_add(passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(wall_ms: u64, boot_ms: u64, boot: &str) -> Stamp {
        Stamp { wall_ms, boot_ms, boot_id: boot.into() }
    }

    #[test]
    fn s29_a_step_of_the_wall_clock_moves_nothing() {
        let time = TrustedTime::begin(stamp(1_000_000, 500, "a"));
        let table = [
            ("as usual", stamp(1_060_000, 60_500, "a"), 1_060_000),
            ("an hour forward", stamp(4_660_000, 60_500, "a"), 1_060_000),
            ("an hour back", stamp(1, 60_500, "a"), 1_060_000),
            ("after a reboot", stamp(1_060_000, 50_000, "b"), 1_050_000),
            ("after a reboot, clock ahead", stamp(90_000_000, 50_000, "b"), 1_050_000),
            ("after a reboot, clock back", stamp(1, 50_000, "b"), 1_000_000),
            ("on a machine that has long been up", stamp(1_060_000, 9_000_000, "b"), 1_060_000),
        ];
        for (name, now, expected) in table {
            assert_eq!(time.at(&now), Millis(expected), "{name}");
        }
        // A leak does not wait because the machine was off.
        let urgent = TrustedTime { urgent: true, ..time };
        assert_eq!(urgent.at(&stamp(1_600_000, 50_000, "b")), Millis(1_600_000));
        assert_eq!(urgent.at(&stamp(9_600_000, 60_500, "a")), Millis(1_060_000), "within one boot nothing is different");
    }

    #[test]
    fn s29_a_wall_clock_that_went_back_over_a_reboot_holds_nothing_still() {
        let began = TrustedTime::begin(stamp(1_000_000, 500, "a"));
        assert_eq!(began.at(&stamp(400_000, 60_000, "b")), Millis(1_000_000), "nobody knows how long the machine was off");
        let counted = began.counted_from(stamp(400_000, 60_000, "b"));
        assert_eq!(counted.at(&stamp(400_100, 60_100, "b")), Millis(1_000_100), "but from then on time passes");
        assert_eq!(counted.at(&stamp(9_400_100, 60_100, "b")), Millis(1_000_100), "and by the boot clock only");
    }
}
