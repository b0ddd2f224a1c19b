//! The model's world with the tests' own plans, and runs by script.

pub(crate) mod hand;
pub(crate) mod plans;
pub(crate) mod sim;

use handover_rotation::event::Ending;
use handover_rotation::invariant::unclean_end;
pub(crate) use handover_rotation::model::World;
use handover_rotation::name::{Username, VersionId};
use handover_rotation::state::{Phase, Rotation};

pub(crate) fn id(text: &str) -> VersionId {
    VersionId::new(text).expect("an id")
}

pub(crate) fn user(text: &str) -> Username {
    Username::new(text).expect("a name")
}

/// Whether the world is as the rest that was reached promises.
pub(crate) fn check_end(world: &World, r: &Rotation) {
    assert_eq!(world.wrong, Vec::<String>::new());
    assert_eq!(unclean_end(r), Vec::<String>::new());
    match r.phase {
        Phase::Ended(Ending::Done) => {
            let new = r.new_version().and_then(|v| v.id.clone()).expect("a new version");
            assert_eq!(world.active(), std::slice::from_ref(&new));
            assert!(world.entries.values().all(|v| *v == new), "an entry was left behind");
            assert!(world.services.values().all(|v| *v == new), "a service was left behind");
        }
        Phase::Ended(Ending::RolledBack | Ending::Refused) => {
            assert_eq!(world.active(), [id("v0")]);
            assert!(world.in_place || world.versions.len() == 1, "an orphan is left: {:?}", world.versions);
            assert!(world.entries.values().all(|v| *v == id("v0")));
            assert!(world.services.values().all(|v| *v == id("v0")));
        }
        Phase::Stuck { .. } => {
            if r.is_leak() {
                assert!(!world.accepted(&id("v0")), "L5: stuck while the compromised version is accepted: {world:?} {r:#?}");
            }
        }
        _ => panic!("it rests in {:?}", r.phase),
    }
}
