//! Death at every point and at any moment: the real binary is killed with SIGKILL and taken up again, until it ends in done or
//! rolled back with nothing left over. `sweep` kills before and after every journal append and every outside call of every
//! scenario, `by_hand` where a person makes and revokes, `random` at moments that nobody has chosen.

mod random;
mod scenario;
mod still;

#[cfg(not(feature = "crash-points"))]
#[test]
fn crash_sweep() {
    println!("SKIPPED: the crash sweep: it is built with `--features crash-points` only");
}

#[cfg(feature = "crash-points")]
mod by_hand;
#[cfg(feature = "crash-points")]
mod sweep;
