//! Crash points: places where a test kills the process. In ordinary builds they are nothing.
//!
//! With the feature `crash-points`, `HANDOVER_CRASH_AT=N` kills this process with SIGKILL at the N-th point it passes, and
//! `HANDOVER_CRASH_LOG=FILE` notes each point, so that a test can count them first and then die at every one.

/// Passes a point.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn point(_name: &str) {}

/// Passes a point.
#[cfg(feature = "crash-points")]
pub fn point(name: &str) {
    use std::io::Write as _;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static PASSED: AtomicU64 = AtomicU64::new(0);
    static AT: OnceLock<Option<u64>> = OnceLock::new();
    static LOG: OnceLock<Option<std::ffi::OsString>> = OnceLock::new();
    let number = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
    if let Some(file) = LOG.get_or_init(|| std::env::var_os("HANDOVER_CRASH_LOG"))
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(file)
    {
        // In one write: points are passed side by side.
        let _ = file.write_all(format!("{number} {name}\n").as_bytes());
    }
    let at = AT.get_or_init(|| std::env::var("HANDOVER_CRASH_AT").ok().and_then(|n| n.parse().ok()));
    if *at == Some(number) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
