//! Death at every point: the real binary is killed with SIGKILL before and after every journal append and every outside
//! call, in every shipped playbook, and taken up again, until it ends in done or rolled back with nothing left over.

#[cfg(not(feature = "crash-points"))]
#[test]
fn crash_sweep() {
    println!("SKIPPED: the crash sweep: it is built with `--features crash-points` only");
}

#[cfg(feature = "crash-points")]
mod sweep;
