//! Who holds a rotation, and whether that process still lives, so that a dead owner's work is adopted and a live one's is not.
//!
//! On the same host and boot the kernel knows; elsewhere only the end of a lease tells. It must not be used as a fence: that
//! is the epoch in the journal (safety.md S7).

use std::fmt;
use std::fs;
use std::sync::OnceLock;

use aws_lc_rs::rand;
use rustix::process::{Pid, test_kill_process};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::error::{JournalError, Kind};
use super::record::Stamp;

/// A process that holds rotations. One per engine; two engines in one process differ by their nonce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The host's name.
    pub host: String,
    /// The process id, as seen in its own namespace.
    pub pid: u32,
    /// When the process started, in the kernel's ticks since boot: tells a reused pid apart.
    pub process_start: u64,
    /// The boot of the kernel that it runs on.
    pub boot_id: String,
    /// The pid namespace: the pid means nothing in another one.
    pub pid_namespace: String,
    /// Random, made anew for each engine.
    pub nonce: String,
}

impl Owner {
    /// This process, with a fresh nonce.
    ///
    /// # Errors
    /// `/proc` cannot be read, or there is no randomness.
    pub fn current() -> Result<Self, JournalError> {
        Self::of(std::process::id())
    }

    /// Another process of this host and namespace, as if it had made itself an owner.
    ///
    /// # Errors
    /// There is no such process, or `/proc` cannot be read.
    pub fn of(pid: u32) -> Result<Self, JournalError> {
        let unreadable = |what: &str| {
            JournalError::new(Kind::Io, "HO0327", format!("cannot tell who this process is: {what} cannot be read"))
                .hint("mount /proc: the owner of a rotation is known by it")
        };
        let (_, process_start) = stat(pid).ok_or_else(|| unreadable(&format!("/proc/{pid}/stat")))?;
        let mut nonce = [0; 16];
        rand::fill(&mut nonce).map_err(|_| unreadable("the system's randomness"))?;
        Ok(Self {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid,
            process_start,
            boot_id: boot_id().ok_or_else(|| unreadable("/proc/sys/kernel/random/boot_id"))?,
            pid_namespace: fs::read_link("/proc/self/ns/pid")
                .map_err(|_| unreadable("/proc/self/ns/pid"))?
                .to_string_lossy()
                .into_owned(),
            nonce: hex::encode(nonce),
        })
    }

    /// What can be told about `self` by `observer`.
    #[must_use]
    pub fn liveness(&self, observer: &Self) -> Liveness {
        if self == observer {
            return Liveness::Itself;
        }
        if self.host != observer.host {
            return Liveness::Elsewhere;
        }
        if self.boot_id != observer.boot_id {
            return Liveness::Gone;
        }
        if self.pid_namespace != observer.pid_namespace {
            return Liveness::Elsewhere;
        }
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Liveness::Gone };
        match stat(self.pid) {
            // A zombie has ended; only its parent has not looked yet.
            Some((state, start)) if start == self.process_start && !matches!(state, 'Z' | 'X') => Liveness::Alive,
            Some(_) => Liveness::Gone,
            // A /proc with hidepid shows nothing of other users, but a signal tells that they are there.
            None if test_kill_process(pid).is_err_and(|e| e == rustix::io::Errno::SRCH) => Liveness::Gone,
            None => Liveness::Elsewhere,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

/// What can be told about an owner from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It is the observer.
    Itself,
    /// It runs on this host.
    Alive,
    /// It has ended, or the host has been booted since.
    Gone,
    /// Its process cannot be seen from here: only its lease tells.
    Elsewhere,
}

/// State and start time out of `/proc/<pid>/stat`. The name in it may hold blanks and brackets, so it is read from the last one.
fn stat(pid: u32) -> Option<(char, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<(char, u64)> {
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// Read once: a process does not outlive its boot, and every stamp has it.
fn boot_id() -> Option<String> {
    static BOOT: OnceLock<String> = OnceLock::new();
    if let Some(known) = BOOT.get() {
        return Some(known.clone());
    }
    let read = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
    Some(BOOT.get_or_init(|| read).clone())
}

/// Reads both clocks of this host. For programs that have no engine; the engine gives its own.
#[must_use]
pub fn system_stamp() -> Stamp {
    let ms = |clock| {
        let time = clock_gettime(clock);
        u64::try_from(time.tv_sec).unwrap_or(0).saturating_mul(1000) + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
    };
    Stamp { wall_ms: ms(ClockId::Realtime), boot_ms: ms(ClockId::Boottime), boot_id: boot_id().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

    use super::{Liveness, Owner, parse_stat, system_stamp};

    #[test]
    fn a_process_name_with_brackets_does_not_mislead() {
        let tail = "S 1 1 1 0 -1 4194304 97 0 0 0 0 0 0 0 20 0 1 0 162367 3133440 362";
        for name in ["(cat)", "(a b)", "(x) R 1 (y)", "())"] {
            assert_eq!(parse_stat(&format!("77 {name} {tail}")), Some(('S', 162_367)), "{name}");
        }
        for broken in ["", "77 (cat", "77 (cat) S 1 2"] {
            assert_eq!(parse_stat(broken), None, "{broken}");
        }
    }

    #[test]
    fn liveness_is_told_by_host_boot_namespace_and_start() {
        let me = Owner::current().unwrap();
        let other = |change: fn(&mut Owner)| {
            let mut owner = Owner::current().unwrap();
            change(&mut owner);
            owner.liveness(&me)
        };
        assert_eq!(me.liveness(&me), Liveness::Itself);
        assert_eq!(other(|_| {}), Liveness::Alive);
        assert_eq!(other(|o| o.process_start += 1), Liveness::Gone);
        assert_eq!(other(|o| o.boot_id.push('x')), Liveness::Gone);
        assert_eq!(other(|o| o.pid = 0), Liveness::Gone);
        assert_eq!(other(|o| o.pid = u32::MAX), Liveness::Gone);
        assert_eq!(other(|o| o.host.push('x')), Liveness::Elsewhere);
        assert_eq!(other(|o| o.pid_namespace.push('x')), Liveness::Elsewhere);
    }

    #[test]
    fn a_killed_process_is_gone_before_and_after_its_parent_looks() {
        let me = Owner::current().unwrap();
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let owner = Owner::of(child.id()).unwrap();
        assert_eq!(owner.liveness(&me), Liveness::Alive);
        child.kill().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        assert_eq!(parse_stat(&std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap()).unwrap().0, 'Z');
        assert_eq!(owner.liveness(&me), Liveness::Gone);
        child.wait().unwrap();
        assert_eq!(owner.liveness(&me), Liveness::Gone);
    }

    #[test]
    fn both_clocks_of_this_host_are_read() {
        let (a, b) = (system_stamp(), system_stamp());
        assert!(a.wall_ms > 1_700_000_000_000 && a.boot_ms > 0 && b.boot_ms >= a.boot_ms);
        assert_eq!(a.boot_id, b.boot_id);
    }
}
