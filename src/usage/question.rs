//! The question: which credential, since when, and what its versions were. Plain data; whoever asks makes it of the inventory and of
//! the journal.

use std::time::Duration;

use handover_rotation::name::{CredentialName, Username, VersionId};
use handover_rotation::time::Span;

/// How far back before the leak the usual is learned.
pub const LEARN: Span = Span::minutes(90 * 24 * 60);

/// Whether a credential was used.
#[derive(Clone, Debug)]
pub struct Question {
    /// The credential.
    pub credential: CredentialName,
    /// The kind of its provider, such as `ses`.
    pub kind: String,
    /// The account at the provider.
    pub account: String,
    /// Where the window begins, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Where the window ends: now.
    pub until_ms: u64,
    /// When the leak was first exposed, if there was one. Not when it was told: a secret is found within minutes.
    pub leaked_ms: Option<u64>,
    /// How long a version may still be accepted after its provider has called it disabled.
    pub spreading: Span,
    /// Its versions, as far as they are known.
    pub versions: Vec<VersionTimes>,
    /// The logins that Handover made itself.
    pub own: Vec<OwnLogin>,
    /// How long one source may take; `None` for as long as it needs.
    pub patience: Option<Duration>,
}

/// A version and its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionTimes {
    /// The provider's id.
    pub id: Option<VersionId>,
    /// Its login name.
    pub username: Option<Username>,
    /// When it was made, if that is known.
    pub created_ms: Option<u64>,
    /// When the provider called it disabled or deleted, if it still is.
    pub revoked_ms: Option<u64>,
    /// Whether others know it.
    pub compromised: bool,
}

impl VersionTimes {
    /// What people know it as: its id, else its login name.
    #[must_use]
    pub fn shown(&self) -> String {
        let name = || self.username.as_ref().map(ToString::to_string);
        self.id.as_ref().map(ToString::to_string).or_else(name).unwrap_or_else(|| "a version without a name".to_owned())
    }
}

/// A login that Handover made itself, to prove something. Servers log it like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnLogin {
    /// Which of the versions.
    pub version: usize,
    /// When it was begun, by the wall clock.
    pub from_ms: u64,
    /// When its answer was there.
    pub to_ms: u64,
    /// Whether it was accepted.
    pub accepted: bool,
}

impl Question {
    /// The moment that divides the usual from what is asked about: the first exposure, else the beginning of the window.
    #[must_use]
    pub fn divide_ms(&self) -> u64 {
        self.leaked_ms.unwrap_or(self.since_ms).min(self.until_ms)
    }

    /// From when on the usual is learned.
    #[must_use]
    pub fn learn_from_ms(&self) -> u64 {
        self.divide_ms().saturating_sub(LEARN.0)
    }

    /// The earliest moment that a source is asked about.
    #[must_use]
    pub fn earliest_ms(&self) -> u64 {
        self.learn_from_ms().min(self.since_ms)
    }
}
