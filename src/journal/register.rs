//! What the daemon remembers beside the rotations: ticks that were dealt with, alerts that came in, what versions are known by, and
//! who may use the API. Plain data and the trait; the tables are the database's.
//!
//! Nothing here decides what a rotation does: that is in its events. It must never hold a secret, or a hash of one that could be
//! guessed (threat T16).

use async_trait::async_trait;
use handover_rotation::name::RotationId;

use super::JournalError;
use super::shipping::Shipping;

/// What a version is known by: see `marks`. The journal does not know what the text means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The slot of the version, under the name that its secret is sealed with.
    pub slot: String,
    /// The mark, as text.
    pub mark: String,
}

/// Where a mark is known from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bearer {
    /// A version of a rotation.
    Rotation {
        /// The rotation.
        id: RotationId,
        /// The slot's sealed name.
        slot: String,
    },
    /// A version that an entry was found to hold.
    Stock {
        /// The credential.
        credential: String,
        /// The provider's id of it.
        version: String,
    },
}

/// What set a rotation going, recorded in the transaction that begins it: so it sets one going once (safety.md S15, B0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A time of the credential's schedule, in milliseconds since the Unix epoch.
    Tick(u64),
    /// A leak alert, by its number.
    Alert(u64),
}

/// A time of a schedule that was dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The credential.
    pub credential: String,
    /// The time, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What came of it, in a few words.
    pub what: String,
    /// The rotation that it began.
    pub rotation: Option<RotationId>,
}

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    /// It came in, and nobody has looked yet.
    New,
    /// Its version is being contained.
    Containing,
    /// Its version is refused, as proven; the incident is not yet closed where it came from.
    Contained,
    /// Nothing more to be done.
    Closed,
    /// It fits no version that was ever known: people were told, nothing was changed.
    Unknown,
}

impl AlertState {
    const ALL: [(Self, &'static str); 5] = [
        (Self::New, "new"),
        (Self::Containing, "containing"),
        (Self::Contained, "contained"),
        (Self::Closed, "closed"),
        (Self::Unknown, "unknown"),
    ];

    /// As it is kept and shown.
    #[must_use]
    pub fn text(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("", |(_, text)| text)
    }

    /// The state of a text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == text).map(|(state, _)| *state)
    }
}

/// An alert to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAlert {
    /// What tells its delivery from all others: one that was seen is a repetition.
    pub digest: [u8; 32],
    /// Which of the delivery's reports it is, from 0.
    pub part: u32,
    /// When it came, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The source's name.
    pub source: String,
    /// What it reports, as JSON without secrets.
    pub report: String,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its number.
    pub number: u64,
    /// When it came, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The source's name.
    pub source: String,
    /// What it reports, as JSON.
    pub report: String,
    /// Where it stands.
    pub state: AlertState,
    /// The credential that it concerns.
    pub credential: Option<String>,
    /// The rotation that contains it.
    pub rotation: Option<RotationId>,
    /// What was found, in words.
    pub note: String,
    /// When it was changed last.
    pub changed_ms: u64,
}

/// What has become known of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertChange {
    /// Where it stands now.
    pub state: AlertState,
    /// The credential, if known.
    pub credential: Option<String>,
    /// The rotation that contains it, if there is one.
    pub rotation: Option<RotationId>,
    /// What was found, in words.
    pub note: String,
}

/// Someone who may use the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Their name.
    pub name: String,
    /// Their role, as text.
    pub role: String,
    /// SHA-256 of the token, which has 256 bits of chance.
    pub hash: [u8; 32],
    /// When it was made.
    pub at_ms: u64,
}

/// What the daemon remembers.
///
/// # Guarantees
/// As of the journal: what returned `Ok` survives the loss of power, and happens whole or not at all.
///
/// # Errors
/// `Full`, `Locked`, `Io`, `Corrupt`.
#[async_trait]
pub trait Register: Shipping + Send + Sync {
    /// The last tick of each credential that was dealt with.
    ///
    /// # Errors
    /// See the trait.
    async fn last_ticks(&self) -> Result<Vec<Tick>, JournalError>;

    /// Since when each of these rules has been in force, in milliseconds since the Unix epoch: from `now_ms` for one that was not
    /// known or was another, each a credential with its rule's mark.
    ///
    /// # Errors
    /// See the trait.
    async fn rules(&self, rules: Vec<(String, String)>, now_ms: u64) -> Result<Vec<u64>, JournalError>;

    /// Records a tick that begins no rotation. False if one at that time or later was recorded before.
    ///
    /// # Errors
    /// See the trait.
    async fn tick(&self, tick: Tick) -> Result<bool, JournalError>;

    /// Keeps the alerts of one delivery. The numbers of those that are new; none if the delivery was seen before.
    ///
    /// # Errors
    /// See the trait.
    async fn take_alerts(&self, alerts: Vec<NewAlert>) -> Result<Vec<u64>, JournalError>;

    /// Changes what is known of an alert.
    ///
    /// # Errors
    /// See the trait.
    async fn change_alert(&self, number: u64, change: AlertChange, now_ms: u64) -> Result<(), JournalError>;

    /// Alerts, the newest first: of one state, or all; at most `limit`.
    ///
    /// # Errors
    /// See the trait.
    async fn alerts(&self, state: Option<AlertState>, limit: u32) -> Result<Vec<Alert>, JournalError>;

    /// The same of one state, those with numbers below this one.
    ///
    /// # Errors
    /// See the trait.
    async fn alerts_below(&self, state: AlertState, number: u64, limit: u32) -> Result<Vec<Alert>, JournalError>;

    /// One alert, if there is one of this number.
    ///
    /// # Errors
    /// See the trait.
    async fn alert(&self, number: u64) -> Result<Option<Alert>, JournalError>;

    /// What bears a mark.
    ///
    /// # Errors
    /// See the trait.
    async fn bearers(&self, mark: &str) -> Result<Vec<Bearer>, JournalError>;

    /// Remembers what a version is known by that an entry was found to hold.
    ///
    /// # Errors
    /// See the trait.
    async fn stock(&self, credential: &str, version: &str, marks: Vec<String>, now_ms: u64) -> Result<(), JournalError>;

    /// What the versions of a rotation are known by.
    ///
    /// # Errors
    /// See the trait.
    async fn known_of(&self, rotation: &RotationId) -> Result<Vec<Known>, JournalError>;

    /// The alerts that a rotation contains, the oldest first.
    ///
    /// # Errors
    /// See the trait.
    async fn alerts_of(&self, rotation: &RotationId) -> Result<Vec<Alert>, JournalError>;

    /// Keeps what the sources of evidence said of a rotation's leak, as JSON without secrets.
    ///
    /// # Errors
    /// See the trait.
    async fn keep_assessment(&self, rotation: &RotationId, at_ms: u64, document: String) -> Result<(), JournalError>;

    /// What they said and when, in milliseconds since the Unix epoch, the oldest first.
    ///
    /// # Errors
    /// See the trait.
    async fn assessments(&self, rotation: &RotationId) -> Result<Vec<(u64, String)>, JournalError>;

    /// Makes or replaces the token of a name.
    ///
    /// # Errors
    /// See the trait.
    async fn set_token(&self, token: TokenRow) -> Result<(), JournalError>;

    /// Takes the token of a name away. Whether there was one.
    ///
    /// # Errors
    /// See the trait.
    async fn drop_token(&self, name: &str) -> Result<bool, JournalError>;

    /// Everybody who has a token.
    ///
    /// # Errors
    /// See the trait.
    async fn tokens(&self) -> Result<Vec<TokenRow>, JournalError>;
}
