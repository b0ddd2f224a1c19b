//! The secrets of one rotation in memory, by version. They come from an entry, a provider or the sealed journal, and go when
//! the rotation rests.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::{constant_time, hmac};
use handover_rotation::command::Which;
use handover_rotation::name::Slot;

use crate::secret::{Login, Secret};
use crate::services::Attestation;

/// Logins by version.
#[derive(Default)]
pub(crate) struct Keyring(BTreeMap<Slot, Arc<Login>>);

impl Keyring {
    pub(crate) fn insert(&mut self, slot: Slot, login: Login) {
        self.0.insert(slot, Arc::new(login));
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<Arc<Login>> {
        self.0.get(&slot).cloned()
    }

    /// The same logins for a job of its own.
    pub(crate) fn share(&self) -> Self {
        Self(self.0.clone())
    }

    /// Which version a login is.
    pub(crate) fn which(&self, login: &Login) -> Which {
        self.find(|l| l.username == login.username && l.password.matches(&login.password))
    }

    /// The version of which `is` says so.
    pub(crate) fn find(&self, is: impl Fn(&Login) -> bool) -> Which {
        self.0.iter().find(|(_, l)| is(l)).map_or(Which::Foreign, |(slot, _)| Which::Slot(*slot))
    }

    /// Whether a login has the username of one version and the password of another: a write was cut off between the two, in a
    /// store that keeps them apart. Both are ours, so nothing of anybody else's is lost if it is written again.
    pub(crate) fn is_half_written(&self, login: &Login) -> bool {
        self.which(login) == Which::Foreign
            && self.0.values().any(|l| l.username == login.username)
            && self.0.values().any(|l| l.password.matches(&login.password))
    }

    /// Which version a service has proven to possess: `proof` is the HMAC-SHA-256 of the challenge under the password.
    pub(crate) fn attested(&self, challenge: &str, answer: &Attestation) -> Which {
        let Ok(proof) = hex::decode(&answer.proof) else { return Which::Foreign };
        let known = |l: &Login| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, l.password.expose().as_bytes());
            let expected = hmac::sign(&key, challenge.as_bytes());
            l.username.as_str() == answer.username
                && constant_time::verify_slices_are_equal(expected.as_ref(), &proof).is_ok()
        };
        self.find(known)
    }

    /// The logins of all versions.
    pub(crate) fn logins(&self) -> impl Iterator<Item = &Login> {
        self.0.values().map(AsRef::as_ref)
    }

    /// The passwords that an entry may hold before it is written.
    pub(crate) fn passwords(&self) -> Vec<&Secret> {
        self.0.values().map(|l| &l.password).collect()
    }
}

/// The name under which a version's secret is sealed.
pub(crate) fn sealed_name(slot: Slot) -> String {
    format!("slot-{}", slot.0)
}

#[cfg(test)]
mod tests {
    use handover_rotation::name::Username;

    use super::*;

    fn login(username: &str, password: &str) -> Login {
        Login { username: Username::new(username).expect("a name"), password: Secret::new(password.to_owned()) }
    }

    #[test]
    fn a_half_of_each_of_two_versions_is_half_written_and_not_anybody_elses() {
        let mut keys = Keyring::default();
        keys.insert(Slot(0), login("one", "p-one"));
        keys.insert(Slot(1), login("two", "p-two"));
        for (username, password, half) in [
            ("one", "p-one", false),
            ("two", "p-two", false),
            ("one", "p-two", true),
            ("two", "p-one", true),
            ("two", "p-three", false),
            ("three", "p-one", false),
        ] {
            assert_eq!(keys.is_half_written(&login(username, password)), half, "{username} {password}");
        }
    }
}
