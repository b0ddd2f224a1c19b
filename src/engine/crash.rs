//! Crash points: places where a test kills the process. In ordinary builds they are nothing.
//!
//! With the feature `crash-points`, `HANDOVER_CRASH_LOG=FILE` notes each point that this process passes as `NAME#TIMES`, and
//! `HANDOVER_CRASH_AT=NAME#TIMES` kills it there with SIGKILL, so that a test can list the points first and then die at every
//! one. `HANDOVER_CRASH_AT=N` means the N-th point of all.

/// Passes a point.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn point(_name: &str) {}

/// Passes a point.
#[cfg(feature = "crash-points")]
pub fn point(name: &str) {
    use std::collections::BTreeMap;
    use std::io::Write as _;
    use std::sync::{LazyLock, Mutex, PoisonError};

    static PASSED: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());
    static AT: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("HANDOVER_CRASH_AT").ok());
    static LOG: LazyLock<Option<std::ffi::OsString>> = LazyLock::new(|| std::env::var_os("HANDOVER_CRASH_LOG"));
    // Held to the end: nothing else passes a point while the process dies at this one.
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    let all = passed.values().sum::<u64>() + 1;
    let times = passed.entry(name.to_owned()).or_default();
    *times += 1;
    if let Some(file) = LOG.as_ref()
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(file)
    {
        let _ = file.write_all(format!("{name}#{times}\n").as_bytes());
    }
    let here = |at: &String| *at == all.to_string() || *at == format!("{name}#{times}");
    if AT.as_ref().is_some_and(here) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
