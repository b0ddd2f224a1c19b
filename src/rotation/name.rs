//! Names and ids: what identifies things in files, journals and at providers, checked once at the border.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not a valid name or id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// The text is longer than the kind allows (characters).
    #[error("is longer than {0} characters")]
    TooLong(usize),
    /// A character that the kind does not allow.
    #[error("has the character {0:?}, which is not allowed")]
    Character(char),
}

/// Names that people write in inventories: letters, digits, `-`, `_`, `.`, at most 64.
fn check_name(text: &str) -> Result<(), NameError> {
    check(text, 64, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Ids that providers give: safe in logs and terminals (safety.md, threat T8).
fn check_id(text: &str) -> Result<(), NameError> {
    check(text, 256, |c| c.is_ascii_alphanumeric() || "._:@/+=-#".contains(c))
}

fn check(text: &str, most: usize, allowed: impl Fn(char) -> bool) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.chars().count() > most {
        return Err(NameError::TooLong(most));
    }
    text.chars().find(|c| !allowed(*c)).map_or(Ok(()), |c| Err(NameError::Character(c)))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and takes it as a name.
            ///
            /// # Errors
            /// The first rule that `text` breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The text of the name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name!(
    /// A credential of the inventory, such as `newsletter`.
    CredentialName,
    check_name
);
name!(
    /// A provider of the inventory.
    ProviderName,
    check_name
);
name!(
    /// A secret store of the inventory.
    StoreName,
    check_name
);
name!(
    /// An entry of a credential: one place in one store.
    EntryName,
    check_name
);
name!(
    /// A service of the inventory.
    ServiceName,
    check_name
);
name!(
    /// An environment, such as `staging` or `production`.
    Environment,
    check_name
);
name!(
    /// A source of leak alerts, such as `gitguardian`.
    AlertName,
    check_name
);
name!(
    /// A source of evidence of use, such as the log of a relay.
    UsageName,
    check_name
);
name!(
    /// One rotation.
    RotationId,
    check_name
);
name!(
    /// A version at the provider, by the provider's own key id.
    VersionId,
    check_id
);
name!(
    /// The login name of a version.
    Username,
    check_id
);
name!(
    /// A keyed, truncated hash of a password: the only thing derived from a secret that may be shown.
    Fingerprint,
    check_id
);
name!(
    /// What a provider is asked to write on a version that a rotation creates, so that it can be found again.
    Tag,
    check_id
);

impl Tag {
    /// The tag that a rotation writes on the version of a slot.
    #[must_use]
    pub fn of(rotation: &RotationId, slot: Slot) -> Self {
        Self(format!("handover:{rotation}.{}", slot.0))
    }

    /// Whether some rotation of Handover wrote it.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.0.starts_with("handover:")
    }
}

/// The number of a version within one rotation: 0 is the version that was current when it began, 1 and up are made by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u8);

impl Slot {
    /// The version that was current when the rotation began.
    pub const OLD: Self = Self(0);
    /// From here on up, versions that carry a tag of the rotation and were never asked for.
    const STRAYS: u8 = 128;

    /// Whether this is the version that was current when the rotation began.
    #[must_use]
    pub fn is_old(self) -> bool {
        self == Self::OLD
    }

    /// Whether this is a version that carries a tag of the rotation and was never asked for.
    #[must_use]
    pub fn is_stray(self) -> bool {
        self.0 >= Self::STRAYS
    }

    /// The `n`th stray, from 0.
    pub(crate) fn stray(n: usize) -> Option<Self> {
        u8::try_from(n).ok()?.checked_add(Self::STRAYS).map(Self)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.pad("old"),
            1 => f.pad("new"),
            n if n >= Self::STRAYS => f.pad(&format!("stray#{}", n - Self::STRAYS + 1)),
            n => f.pad(&format!("new#{n}")),
        }
    }
}
