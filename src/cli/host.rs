//! What preflight asks of this machine: room for the journal (P7) and a clock that can be right (P8). Whether the journal can be
//! written and flushed needs no question of its own: a rotation has begun only when its first row is durable.

use std::path::Path;

use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::time::Span;

/// The least free space in the state folder.
const LEAST_FREE: u64 = 64 << 20;
/// 2024-01-01: this program is younger.
const YEAR_2024: u64 = 1_704_067_200_000;
/// How far the clock may be behind the journal: clocks are set, and two machines may share an account.
const BEHIND: Span = Span::minutes(60);

/// What was found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Bytes that are free in the state folder.
    pub free: u64,
    /// The wall clock, in milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// When the newest rotation of the journal began, by the wall clock of then.
    pub newest_ms: Option<u64>,
}

/// Looks at this machine.
///
/// # Errors
/// Something is not as a rotation needs it.
pub(super) fn check(state: &Path, newest_ms: Option<u64>) -> Result<(), Fault> {
    let stat = rustix::fs::statvfs(state).map_err(|e| {
        Fault::new(FaultClass::Permanent, "HO0453", format!("the state folder {} cannot be looked at: {e}", state.display()))
    })?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    judge(state, Found { free, wall_ms: crate::journal::system_stamp().wall_ms, newest_ms })
}

/// Whether what was found is as a rotation needs it.
///
/// # Errors
/// It is not; the fault says what to do.
pub fn judge(state: &Path, found: Found) -> Result<(), Fault> {
    if found.free < LEAST_FREE {
        let message = format!("only {} MiB are free for the journal in {}", found.free >> 20, state.display());
        let fault = Fault::new(FaultClass::Permanent, "HO0454", message);
        return Err(fault.hint(format!("free at least {} MiB", LEAST_FREE >> 20)));
    }
    let fault = |message: String| Fault::new(FaultClass::Permanent, "HO0455", message);
    if found.wall_ms < YEAR_2024 {
        let fault = fault("the clock of this machine is before 2024".to_owned());
        return Err(fault.hint("set the clock: certificates cannot be checked with it"));
    }
    if let Some(newest) = found.newest_ms
        && found.wall_ms.saturating_add(BEHIND.0) < newest
    {
        let behind = Span(newest - found.wall_ms);
        let fault = fault(format!("the clock of this machine is {behind} behind the newest rotation of the journal"));
        return Err(fault.hint("set the clock; if it was wrong then and is right now, use a new state folder"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_000_000;
    const HOUR: u64 = 3_600_000;

    fn code(found: Found) -> Option<String> {
        let fault = judge(Path::new("/var/lib/handover"), found).err()?;
        assert!(fault.hint.is_some(), "{fault}");
        assert!(crate::explain::page(&fault.code).is_some(), "{fault}");
        Some(fault.code)
    }

    #[test]
    fn p7_a_journal_needs_64_mib() {
        let with = |free| code(Found { free, wall_ms: NOW, newest_ms: None });
        assert_eq!(with(64 << 20), None);
        assert_eq!(with(u64::MAX), None);
        assert_eq!(with((64 << 20) - 1).as_deref(), Some("HO0454"));
        assert_eq!(with(0).as_deref(), Some("HO0454"));
    }

    #[test]
    fn p7_a_folder_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let fault = check(&folder.path().join("gone"), None).expect_err("it is not there");
        assert_eq!(fault.code, "HO0453");
        assert!(fault.message.contains("gone"), "{fault}");
    }

    #[test]
    fn p8_a_clock_before_2024_or_behind_the_journal_is_refused() {
        let with = |wall_ms, newest_ms| code(Found { free: 1 << 30, wall_ms, newest_ms });
        assert_eq!(with(YEAR_2024, None), None);
        assert_eq!(with(YEAR_2024 - 1, None).as_deref(), Some("HO0455"));
        assert_eq!(with(0, None).as_deref(), Some("HO0455"));
        assert_eq!(with(NOW, Some(NOW)), None);
        assert_eq!(with(NOW, Some(NOW - 1000 * HOUR)), None);
        assert_eq!(with(NOW, Some(NOW + HOUR)), None, "it may have been set back a little");
        assert_eq!(with(NOW, Some(NOW + HOUR + 1)).as_deref(), Some("HO0455"));
        assert_eq!(with(NOW, Some(u64::MAX)).as_deref(), Some("HO0455"));
    }
}
