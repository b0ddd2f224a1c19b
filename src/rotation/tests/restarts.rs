//! Services that only a person restarts: they are asked, their word is checked by what the service presents, and nothing waits for
//! them that must not.

use handover_rotation::command::Command;
use handover_rotation::decide::Wanted;
use handover_rotation::event::{Ending, Event};
use handover_rotation::invariant::permit;
use handover_rotation::model::{Answer, Turn};
use handover_rotation::plan::Shape;
use handover_rotation::state::{Live, Phase};

use crate::by_hand::Relay;
use crate::world::check_end;
use crate::world::plans::{PLAYBOOKS, plan_by_hand, service};

const BOTH: [&str; 2] = ["staging", "production"];

fn restart(environment: &str) -> Command {
    Command::Reload(service(&format!("api-{environment}")))
}

#[test]
fn a_person_is_asked_for_each_service_once_and_what_it_presents_is_looked_at() {
    for name in PLAYBOOKS {
        for shape in [Shape::Reversible, Shape::InPlace] {
            let mut relay = Relay::of(&plan_by_hand(name, shape, &BOTH), &[]);
            assert_eq!(relay.until(None), Phase::Ended(Ending::Done), "{name} {shape:?}: {:?}", relay.run.r.failure);
            relay.asked.sort();
            assert_eq!(relay.asked, [restart("production"), restart("staging")], "{name} {shape:?}");
            check_end(&relay.run.world, &relay.run.r);
        }
        // The others are reloaded without anybody.
        let mut relay = Relay::of(&plan_by_hand(name, Shape::Reversible, &["production"]), &[]);
        assert_eq!(relay.until(None), Phase::Ended(Ending::Done), "{name}: {:?}", relay.run.r.failure);
        assert_eq!(relay.asked, [restart("production")], "{name}");
    }
}

#[test]
fn who_says_too_early_that_it_is_restarted_is_asked_again() {
    for name in PLAYBOOKS {
        let lie = restart("production");
        let mut relay = Relay::of(&plan_by_hand(name, Shape::Reversible, &BOTH), &[lie.clone(), lie.clone()]);
        assert_eq!(relay.until(None), Phase::Ended(Ending::Done), "{name}: {:?}", relay.run.r.failure);
        assert_eq!(relay.asked.iter().filter(|c| **c == lie).count(), 3, "{name}: {:?}", relay.asked);
        check_end(&relay.run.world, &relay.run.r);
    }
}

#[test]
fn a_word_that_proves_wrong_time_and_again_ends_in_the_old_version_everywhere() {
    let mut relay = Relay::of(&plan_by_hand("scheduled", Shape::Reversible, &BOTH), &[]);
    relay.run.world.deaf = Some(service("api-production"));
    assert_eq!(relay.until(None), Phase::Ended(Ending::RolledBack));
    let said = relay.asked.iter().filter(|c| **c == restart("production")).count();
    assert!((2..20).contains(&said), "{:?}", relay.asked);
    check_end(&relay.run.world, &relay.run.r);
}

#[test]
fn on_the_way_back_they_are_asked_again() {
    let mut relay = Relay::of(&plan_by_hand("scheduled", Shape::Reversible, &BOTH), &[]);
    assert_eq!(relay.until(Some(&restart("production"))), Phase::Forward);
    relay.asked.clear();
    // They have done it, and nobody has said so.
    let issued = Wanted::Task(restart("production"));
    let before = relay.run.r.clone();
    assert!(relay.run.person_acts(&issued, true));
    relay.run.r = before;
    relay.abort();
    assert_eq!(relay.until(None), Phase::Ended(Ending::RolledBack), "{:?}", relay.run.r.failure);
    relay.asked.sort();
    assert_eq!(relay.asked, [restart("production"), restart("staging")]);
    check_end(&relay.run.world, &relay.run.r);
}

#[test]
fn a_leak_is_shut_out_at_its_deadline_whoever_has_restarted_what() {
    for name in ["leak", "emergency"] {
        let mut relay = Relay::of(&plan_by_hand(name, Shape::Reversible, &BOTH), &[]);
        for _ in 0..2000 {
            match relay.run.go() {
                Turn::Busy => relay.run.answer(0, Answer::Well),
                Turn::Wait { until: Some(until), .. } => relay.run.wait(until),
                _ => break,
            }
            if relay.run.r.old().live == Live::Inactive {
                break;
            }
        }
        assert_eq!(relay.run.r.old().live, Live::Inactive, "{name}: {:?}", relay.run.r.phase);
        assert_eq!(relay.run.wrong(), Vec::<String>::new());
        assert_eq!(relay.until(None), Phase::Ended(Ending::Done), "{name}: {:?}", relay.run.r.failure);
        check_end(&relay.run.world, &relay.run.r);
    }
}

#[test]
fn only_a_person_restarts_it_and_only_where_a_person_does() {
    let mut relay = Relay::of(&plan_by_hand("scheduled", Shape::Reversible, &["production"]), &[]);
    relay.until(Some(&restart("production")));
    let r = &relay.run.r;
    let refused = permit(r, r.next_effect, &restart("production")).expect_err("nothing is called for it");
    assert!(refused.why.starts_with("S6"), "{refused}");
    let done = |environment: &str| Event::TaskDone { command: restart(environment), by: "test".into() };
    relay.run.tell(&done("staging")).expect_err("nobody is asked for that one");
    relay.run.tell(&Event::TaskDone { command: Command::Reload(service("other")), by: "test".into() }).expect_err("unknown");
    relay.run.tell(&done("production")).expect("it is asked for");
}
