//! The trait of a source of alerts, and what goes in and out of it.

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;

use super::Report;

/// One delivery over HTTP, as it came.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// The value of a header by its name in lower case; `None` where it is missing, no text, or there more than once.
    pub headers: &'a (dyn Fn(&str) -> Option<&'a str> + Sync),
    /// The body, byte for byte.
    pub body: &'a [u8],
    /// Now, in milliseconds since the Unix epoch.
    pub now_ms: u64,
}

impl<'a> Delivery<'a> {
    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        (self.headers)(name)
    }
}

/// What an authentic delivery tells.
pub struct Received {
    /// Of what is signed, and of the source's name: seen before, it is a replay, and answered as if it were done.
    pub digest: [u8; 32],
    /// From then on a repetition is refused as stale, so that the digest may be forgotten, in milliseconds since the Unix epoch;
    /// `None` where the sender signs no time: it must be kept.
    pub stale_ms: Option<u64>,
    /// What leaked. Empty where the delivery tells of something else, such as a test or a new assignee.
    pub reports: Vec<Report>,
    /// An address that the source may be asked to confirm ([`Source::confirm`]), checked to be the sender's own.
    pub confirm: Option<String>,
    /// What people should know about the delivery itself, such as that the source will send no more.
    pub note: Option<String>,
}

/// A delivery that is not taken. It has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The status for the answer: 400, 401, 403, 413, 415 or 503.
    pub status: u16,
    /// A code with a page.
    pub code: &'static str,
    /// Why, in words of ours: nothing of the delivery is in it.
    pub why: String,
}

/// What a source can do besides receiving.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ability {
    /// It takes deliveries over HTTP.
    pub receives: bool,
    /// It is to be asked for incidents this often.
    pub polls_every: Option<Span>,
    /// Incidents can be closed there.
    pub closes: bool,
    /// It can be asked whether a secret is known to have leaked, by [`Source::known`].
    pub knows: bool,
}

/// What a source was found to have open.
pub struct Polled {
    /// Incidents and alerts.
    pub reports: Vec<Report>,
    /// Whether these are all: `false` where there were more pages than are asked for at once.
    pub complete: bool,
}

/// A hash that is known to have leaked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The hash that was asked for.
    pub hash: [u8; 32],
    /// In how many places it was seen.
    pub count: u64,
    /// One of them.
    pub url: Option<String>,
}

/// Tells of leaked secrets.
///
/// # Guarantees
/// - `receive` proves authenticity over the raw bytes in constant time before it reads them, refuses what is not fresh where the
///   sender signs a time, and what is larger than 256 KiB, deeper than 32 levels or has a key twice.
/// - Nothing of a delivery is in a [`Rejected`], a fault or a log.
/// - Calls end in three ways (safety.md S8), have a time limit and a bound on what is read, and are not repeated inside.
///
/// # Assumptions
/// - The caller remembers digests durably, limits the rate, and hashes and drops raw values at once.
///
/// # Caveats
/// - Most webhooks are sent once and never again. What can be polled must be polled.
#[async_trait]
pub trait Source: Send + Sync {
    /// What it can do.
    fn able(&self) -> Ability;

    /// Takes a delivery.
    ///
    /// # Errors
    /// The status and the reason, for the sender and the log.
    async fn receive(&self, delivery: &Delivery<'_>) -> Result<Received, Rejected>;

    /// Confirms a subscription by the address that [`Received::confirm`] has. Repeating it is safe.
    async fn confirm(&self, _address: &str) -> Outcome<()> {
        Outcome::NotDone(cannot("confirm a subscription"))
    }

    /// What is open there, seen or changed since a time in milliseconds since the Unix epoch.
    async fn poll(&self, _since_ms: u64) -> Outcome<Polled> {
        Outcome::NotDone(cannot("be asked for incidents"))
    }

    /// Asks for the marks and raw values of a report that came without, by its reference.
    async fn look(&self, _reference: &str) -> Outcome<Report> {
        Outcome::NotDone(cannot("be asked for an incident"))
    }

    /// Resolves the incident of a report as revoked, with a note. Only after the refusal of the secret is proven. An incident that
    /// is resolved already is `Done`.
    async fn close(&self, _reference: &str, _note: &str) -> Outcome<()> {
        Outcome::NotDone(cannot("close an incident"))
    }

    /// Which of these HMSL hashes are known to have leaked. Only their first 20 bits are sent.
    async fn known(&self, _hashes: &[[u8; 32]]) -> Outcome<Vec<Known>> {
        Outcome::NotDone(cannot("be asked for hashes"))
    }
}

fn cannot(what: &str) -> Fault {
    Fault::new(FaultClass::Permanent, "HO1101", format!("this source of alerts cannot {what}"))
        .hint("see docs/alerts.md for what each source can do")
}
