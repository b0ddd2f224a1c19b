//! The three values an effect can end in. There is no fourth, and `Unknown` never turns into a failure by itself.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What came of an effect or an observation (safety.md S8).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome<T> {
    /// It happened, and this is what was learned.
    Done(T),
    /// It did not happen, and nothing outside has changed.
    NotDone(Fault),
    /// It may or may not have happened: a timeout, a lost answer, a 5xx. Only looking can tell.
    Unknown(Fault),
}

impl<T> Outcome<T> {
    /// Changes what was learned, and keeps the fault.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Done(value) => Outcome::Done(change(value)),
            Self::NotDone(fault) => Outcome::NotDone(fault),
            Self::Unknown(fault) => Outcome::Unknown(fault),
        }
    }

    /// The fault, if it did not end in `Done`.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Done(_) => None,
            Self::NotDone(fault) | Self::Unknown(fault) => Some(fault),
        }
    }
}

/// What kind of trouble a fault is: it decides between trying again, holding, and rolling back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultClass {
    /// May pass by itself: throttled, unreachable, 4xx of SMTP, 5xx of HTTP.
    Temporary,
    /// Repeating the same call will not help: permission, bad path, quota, disk full, a file that must not be touched.
    Permanent,
    /// The login itself was refused: evidence against the version that was used.
    Credential,
    /// TLS, IP block, sending quota or policy: says nothing about the version that was used.
    Environment,
}

/// Trouble in words that may be shown: never a secret, never the body of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fault {
    /// What kind of trouble.
    pub class: FaultClass,
    /// A stable code with a page of its own, such as `HO0601`.
    pub code: String,
    /// What went wrong, in lower case, to be read after "failed to …: ".
    pub message: String,
    /// What a person can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Fault {
    /// A fault of a class, with its code and message. Control characters in the message are replaced (threat T19).
    pub fn new(class: FaultClass, code: &str, message: impl Into<String>) -> Self {
        let message: String =
            message.into().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(600).collect();
        Self { class, code: code.to_owned(), message, hint: None }
    }

    /// The same with what a person can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}
