//! An owner that stands still past its lease, on the machine of those who would take over: the kernel says that it lives, so
//! nobody does, and it goes on. Owners that cannot be seen lose theirs: `simulation` and the model play that, in virtual time.

use std::time::Duration;

use handover::journal::LEASE;
use rustix::process::Signal;

use crate::support::aftermath::{Broken, Rest, look};
use crate::support::{World, exit};

#[test]
fn an_owner_that_stood_still_past_its_lease_is_not_robbed_and_goes_on() {
    let world = World::with(&["--traffic", "500"]);
    let case = world.case("still").scale(8);
    let before = world.status();
    let mut going = case.rotating("drill");
    going.wait_for_step(4).expect("it comes to verify");
    going.signal(Signal::STOP);
    // A lease ends by time alone: there is nothing to wait for.
    for pause in [Duration::ZERO, Duration::from_millis(LEASE.0 + 2_000)] {
        std::thread::sleep(pause);
        let robber = case.resume();
        assert!(robber.code() != exit::DONE && robber.said().contains("HO0312"), "after {pause:?}: {robber}");
    }
    going.signal(Signal::CONT);
    let run = going.end();
    let broken = Broken { playbook: "drill", times: 0, mail_stops: false, in_place: false };
    let (rest, wrong) = look(&world, &case, &before, &run, &broken);
    assert!([Rest::Done, Rest::RolledBack].contains(&rest) && wrong.is_empty(), "{rest:?} {wrong:?}: {run}");
}
