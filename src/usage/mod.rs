//! Was it used? Evidence of a credential's use, one file a source, and what is made of it: used, no evidence, or cannot tell.
//!
//! ```text
//!  logs     postfix_log  dovecot_log  exim_log ──▶ log      stamp  lines  rotated  names
//!  records  ses_events  cloudtrail (files) ──────▶ records                              ├──▶ tally ──▶ judge ──▶ assess
//!  APIs     cloudtrail  iam_last_used  ses_statistics  sendgrid_activity  mailgun_events
//! ```
//!
//! A source is read once and counted on the way, in memory that does not grow with it. Nothing that others have chosen is kept: no
//! line, no name that is not ours, no password. No source sees everything, and each says what it sees: that nothing was seen is worth
//! something only where all of the window was, by a source that would have seen it.

mod assess;
#[cfg(feature = "aws")]
pub mod cloudtrail;
mod coverage;
pub mod dovecot_log;
pub mod exim_log;
#[cfg(feature = "aws")]
pub mod iam_last_used;
mod judge;
mod lines;
mod log;
pub mod mailgun_events;
mod names;
mod network;
pub mod postfix_log;
mod question;
mod records;
mod rotated;
pub mod sendgrid_activity;
pub mod ses_events;
#[cfg(feature = "aws")]
pub mod ses_statistics;
mod stamp;
mod tally;
mod vendor;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, Outcome};

pub use self::assess::{Assessment, Learned, SourceReport, Standing, Strangers, Verdict, VersionReport, assess};
pub use self::coverage::{Coverage, Stretch};
pub use self::judge::{Flag, Weight};
pub use self::names::Who;
pub use self::network::Network;
pub use self::question::{LEARN, OwnLogin, Question, VersionTimes};
pub use self::tally::{Count, Sighting, Tally};

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod doors;

/// What of a credential's use a source shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Every login.
    Logins,
    /// Every mail that came by a login; a login that sent none leaves no trace.
    Mail,
    /// Only a part; the text says what is missing, to be read after "it shows a part: ".
    Part(&'static str),
}

/// Calls of an API that a key made.
pub type Calls = BTreeMap<String, Count>;

/// More names of calls than these are counted together.
const MOST_CALLS: usize = 64;

/// What a source has found.
#[derive(Clone, Debug)]
pub struct Found {
    /// What it would have seen.
    pub sight: Sight,
    /// Why what it saw may be of another credential, if that is so.
    pub shared: Option<&'static str>,
    /// What stretch of time it has seen.
    pub covered: Coverage,
    /// What it saw.
    pub seen: Tally,
    /// Calls of an API after the divide, by name, where the source tells.
    pub calls: Calls,
    /// What else is to be said, a sentence each.
    pub notes: Vec<String>,
}

impl Found {
    /// Nothing yet.
    #[must_use]
    pub fn new(question: &Question, sight: Sight) -> Self {
        Self {
            sight,
            shared: None,
            covered: Coverage::default(),
            seen: Tally::new(question),
            calls: Calls::new(),
            notes: Vec::new(),
        }
    }

    /// Counts a call of an API. Its name was written by AWS, and is checked all the same.
    fn call(&mut self, name: &str, at_ms: u64) {
        let sound = !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric());
        let name = if sound { name } else { "another call" };
        let name = if self.calls.len() >= MOST_CALLS && !self.calls.contains_key(name) { "another call" } else { name };
        self.calls.entry(name.to_owned()).or_default().add(at_ms, 1);
    }
}

/// A source of evidence.
///
/// # Guarantees
/// - It changes nothing, anywhere.
/// - `Done` says what was seen and what stretch of time was looked at; what was not looked at is not called covered.
/// - Memory is bounded, whatever there is to read. Nothing of a password, a line or the body of an answer is kept.
///
/// # Assumptions
/// - The inventory names sources only of the servers where the credential logs in.
///
/// # Caveats
/// - A source that was broken into tells what it was made to tell.
///
/// # Errors
/// `NotDone` and `Unknown` mean the same here: it could not be asked. Faults carry no line and no body.
#[async_trait]
pub trait Evidence: Send + Sync {
    /// Looks for uses of the credential.
    async fn look(&self, question: &Question) -> Outcome<Found>;
}

/// A source of the inventory.
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// How it is asked, or why it cannot be.
    pub evidence: Result<Arc<dyn Evidence>, Fault>,
}

#[cfg(test)]
pub(crate) mod tests {
    use handover_rotation::name::{CredentialName, Username, VersionId};
    use handover_rotation::time::Span;

    use super::*;

    pub(crate) fn at(text: &str) -> u64 {
        let found = chrono::DateTime::parse_from_rfc3339(text).expect("a time");
        u64::try_from(found.timestamp_millis()).expect("a time after 1970")
    }

    /// A window of a week, and no version yet.
    pub(crate) fn question() -> Question {
        Question {
            credential: CredentialName::new("newsletter").expect("a name"),
            kind: "dovecot".to_owned(),
            account: "newsletter".to_owned(),
            since_ms: at("2026-11-19T00:00:00Z"),
            until_ms: at("2026-11-26T00:00:00Z"),
            leaked_ms: None,
            spreading: Span::minutes(1),
            versions: Vec::new(),
            own: Vec::new(),
            patience: None,
        }
    }

    pub(crate) fn version(id: &str, username: &str) -> VersionTimes {
        VersionTimes {
            id: Some(VersionId::new(id).expect("an id")),
            username: Some(Username::new(username).expect("a name")),
            created_ms: None,
            revoked_ms: None,
            compromised: false,
        }
    }
}
