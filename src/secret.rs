//! Secrets: a type that cannot be printed, compared by `==`, cloned or serialised, and is wiped when it goes.
//!
//! A secret goes only to the provider, the store, SMTP AUTH and the sealed journal (safety.md S21).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use handover_rotation::name::Username;
use zeroize::Zeroizing;

/// A password or another secret value.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text as a secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The value. Each call is a place to look at in a review: the value must not leave the four places of S21.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether both hold the same value, in constant time for equal lengths.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }

    /// A copy of its own, for a second owner. Deliberately not `Clone`.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(Zeroizing::new(self.0.as_str().to_owned()))
    }
}

/// A username with its password.
pub struct Login {
    /// The login name, which is not secret.
    pub username: Username,
    /// The password.
    pub password: Secret,
}

impl Login {
    /// A copy of its own, for a second owner. Deliberately not `Clone`.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { username: self.username.clone(), password: self.password.duplicate() }
    }
}
