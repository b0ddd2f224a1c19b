//! What the last finished rotation of an account has left: where no entry tells which version is current, its journal does.

use std::collections::BTreeSet;

use handover_rotation::name::{Slot, Username, VersionId};
use handover_rotation::state::{Live, Rotation};

/// What a finished rotation has left.
#[derive(Clone, Debug)]
pub struct Last {
    /// The version that it left active, unless it is known to be compromised.
    pub left: Option<(VersionId, Username)>,
    /// The login names of its versions.
    pub names: BTreeSet<Username>,
}

impl Last {
    /// What `rotation` has left.
    #[must_use]
    pub fn of(rotation: &Rotation) -> Self {
        let named = rotation.versions.values().filter_map(|version| version.username.clone());
        let left = [rotation.target, Slot::OLD].into_iter().find_map(|slot| {
            let version = rotation.versions.get(&slot).filter(|v| v.live == Live::Active && !v.compromised)?;
            version.id.clone().zip(version.username.clone())
        });
        Self { left, names: named.collect() }
    }
}
