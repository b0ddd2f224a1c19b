//! The new version is lost, or said to be: when another one is made, how many there may be, and what is told of it. What each step
//! asks for is in `steps`.

use handover_rotation::decide::{Decision, decide};
use handover_rotation::event::Event;
use handover_rotation::name::Slot;
use handover_rotation::plan::Shape::{Manual, Reversible};
use handover_rotation::state::{Live, Login, Rotation, Version};
use handover_rotation::time::Millis;

use crate::world::hand::{BEGAN, NEW, at, changed, looked, refused, version, wants};

const T: u64 = BEGAN.0;

fn now(r: &Rotation) -> String {
    wants(r, BEGAN)
}

/// L7: versions that are lost one after the other are not made for ever.
#[test]
fn l7_the_versions_that_one_rotation_makes_are_few() {
    for (name, target, expected) in [
        ("scheduled", 3, "opens new#4"),
        ("scheduled", 4, "rolls back: Target HO0421"),
        ("leak", 4, "opens new#5"),
        ("leak", 15, "opens new#16"),
        ("leak", 16, "is stuck: Target HO0421"),
    ] {
        let r = changed(looked(at(name, Reversible, "generate")), |r| {
            let lost = Version { live: Live::Deleted, ..r.versions[&NEW].clone() };
            r.versions.insert(Slot(target), lost);
            r.versions.remove(&NEW);
            r.target = Slot(target);
        });
        assert_eq!(now(&r), expected, "{name} {target}");
    }
    // Outside of `generate` a version that was lost is not made again, but in a leak.
    for (name, step, expected) in [
        ("scheduled", "push", "rolls back: Target HO0422"),
        ("leak", "push", "opens new#2"),
        ("leak", "verify", "opens new#2"),
    ] {
        let r = changed(at(name, Reversible, step), |r| version(r, NEW).live = Live::Deleted);
        assert_eq!(now(&r), expected, "{name} {step}");
    }
}

#[test]
fn s3_no_version_is_made_beside_one_that_was_only_said_to_be_deleted() {
    let said = |login: Option<bool>, at_: u64| {
        changed(looked(at("leak", Manual, "generate")), |r| {
            r.containing = true;
            refused(r);
            let new = version(r, NEW);
            (new.live, new.compromised, new.sealed, new.changed_at) = (Live::Deleted, true, true, Millis(T - 100_000));
            new.login = login.map(|accepted| Login { at: Millis(at_), accepted, streak: 1 });
        })
    };
    assert_eq!(now(&said(None, 0)), "log in with the new version");
    assert_eq!(now(&said(Some(false), T - 200_000)), "log in with the new version", "refused before it was said");
    assert_eq!(now(&said(Some(true), T - 1_000)), "asks a person to delete the new version");
    assert_eq!(now(&said(Some(false), T - 1_000)), "opens new#2");
    let lost = changed(said(None, 0), |r| version(r, NEW).sealed = false);
    assert_eq!(now(&lost), "opens new#2", "nobody can try what nobody knows");
}

/// What a person is told of a new version that someone took away: the way on is another one where there is no way back.
#[test]
fn s18_a_new_version_that_is_gone_is_told_with_the_way_on() {
    let told = |r: &Rotation| {
        let Decision::Record(events) = decide(r, BEGAN) else { panic!("{}", now(r)) };
        let fault = events.iter().find_map(|event| match event {
            Event::RollbackStarted { failure } | Event::Stuck { failure, .. } => Some(failure.fault.clone()),
            _ => None,
        });
        fault.map(|f| format!("{}: {}", f.message, f.hint.unwrap_or_default())).expect("a failure")
    };
    let other = "is no longer active at the provider: someone disabled or deleted it";
    let disabled = "was disabled at the provider: find out who did that, and enable it";
    let deleted = "was deleted at the provider: find out who did that; going on makes another one";
    for (name, no_return, live, expected) in [
        ("scheduled", false, Live::Inactive, other),
        ("scheduled", false, Live::Deleted, other),
        ("scheduled", true, Live::Inactive, disabled),
        ("scheduled", true, Live::Deleted, deleted),
        ("scheduled", true, Live::Absent, other),
        ("leak", false, Live::Inactive, disabled),
    ] {
        let r = changed(at(name, Reversible, "push"), |r| {
            r.no_return = no_return;
            version(r, NEW).live = live;
        });
        let told = told(&r);
        assert!(told.starts_with(&format!("the new version v1 {expected}")), "{name} {no_return} {live:?}: {told}");
    }
}
