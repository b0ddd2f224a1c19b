//! Secrets: a type that cannot be printed, compared by `==`, cloned or serialised, and is wiped when it goes.
//!
//! A secret goes only to the provider, the store, SMTP AUTH and the sealed journal (safety.md S21). What stands for one in texts,
//! a fingerprint or stars, is of another type and does not become one again: it can be written nowhere (S13).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use handover_rotation::name::Username;
use zeroize::Zeroizing;

/// A password or another secret value.
///
/// It is made of a text by name and of nothing else, and compared by name:
///
/// ```
/// use handover::secret::Secret;
/// let secret = Secret::new(String::from("correct horse"));
/// assert!(secret.matches(&secret.duplicate()));
/// assert_eq!(secret.expose(), "correct horse");
/// ```
///
/// What is redacted does not become one:
///
/// ```compile_fail,E0308
/// use handover::secret::Secret;
/// use handover_rotation::name::Fingerprint;
/// let secret = Secret::new(Fingerprint::new("k7:9f31c2aa").unwrap());
/// ```
///
/// ```compile_fail,E0277
/// use handover::secret::Secret;
/// use handover_rotation::name::Fingerprint;
/// let secret: Secret = Fingerprint::new("k7:9f31c2aa").unwrap().into();
/// ```
///
/// ```compile_fail,E0277
/// let secret: handover::secret::Secret = String::from("***").into();
/// ```
///
/// Nor is it printed, cloned, serialised or compared by `==`, which takes the longer the more is right (T15):
///
/// ```compile_fail,E0277
/// println!("{}", handover::secret::Secret::new(String::from("x")));
/// ```
///
/// ```compile_fail,E0277
/// println!("{:?}", handover::secret::Secret::new(String::from("x")));
/// ```
///
/// ```compile_fail,E0599
/// let secret = handover::secret::Secret::new(String::from("x")).clone();
/// ```
///
/// ```compile_fail,E0277
/// serde_json::to_string(&handover::secret::Secret::new(String::from("x")));
/// ```
///
/// ```compile_fail,E0369
/// let secret = handover::secret::Secret::new(String::from("x"));
/// let same = secret == secret.duplicate();
/// ```
///
/// ```compile_fail,E0614
/// let text = *handover::secret::Secret::new(String::from("x"));
/// ```
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

#[cfg(test)]
mod tests {
    use std::borrow::Borrow;
    use std::fmt::{Debug, Display, LowerHex};
    use std::hash::Hash;
    use std::ops::Deref;
    use std::str::FromStr;

    use handover_rotation::name::Fingerprint;
    use handover_rotation::outcome::Fault;

    use super::*;

    /// Does not build where the type has the trait: two implementations would fit then, and none is the only one. It tells on
    /// every toolchain for what reason, which `compile_fail` does not.
    macro_rules! has_none_of {
        ($type:ty: $($bound:path),+ $(,)?) => {$({
            trait Only<Which> {
                fn one() {}
            }
            impl<T: ?Sized> Only<()> for T {}
            enum Second {}
            impl<T: ?Sized + $bound> Only<Second> for T {}
            <$type as Only<_>>::one();
        })+};
    }

    #[test]
    fn s13_nothing_redacted_becomes_a_secret() {
        has_none_of!(
            Secret: From<Fingerprint>, From<&'static str>, From<String>, From<Username>, From<Fault>, From<Option<String>>,
            FromStr, Default, FromIterator<char>, serde::Deserialize<'static>,
        );
        has_none_of!(
            Login: From<Fingerprint>, From<(Username, Fingerprint)>, From<(Username, String)>, Default,
            serde::Deserialize<'static>,
        );
    }

    #[test]
    fn s21_a_secret_is_not_shown_copied_or_compared_by_chance() {
        has_none_of!(
            Secret: Debug, Display, LowerHex, Clone, Copy, serde::Serialize, PartialEq, PartialEq<str>, PartialEq<String>,
            PartialOrd, Hash, Deref, AsRef<str>, AsRef<[u8]>, Borrow<str>, Into<String>, Into<Vec<u8>>, Iterator,
        );
        has_none_of!(Login: Debug, Display, Clone, serde::Serialize, PartialEq, Hash, Deref, Into<String>);
    }

    #[test]
    fn two_secrets_are_compared_by_name() {
        assert!(Secret::new("a".to_owned()).matches(&Secret::new("a".to_owned())));
        assert!(!Secret::new("a".to_owned()).matches(&Secret::new("ab".to_owned())));
    }
}
