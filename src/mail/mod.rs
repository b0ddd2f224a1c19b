//! Mail: proving by real AUTH and real messages. The one kind is SMTP.
//!
//! ```text
//! smtp ──► client ──► lines          one connection, one command at a time
//!   │        ├─► tls                 the one way to set up TLS
//!   │        └─► reply ──► classify  what was said, and what it means (pure)
//!   ├────► auth ──► scram            the mechanisms (scram is pure)
//!   ├────► message                   the probe
//!   └────► arrival                   Maildir, IMAP, nowhere
//! letters                            messages to people, by the same client
//! ```
//!
//! A password goes into the bytes of AUTH and nowhere else: not into transcripts, faults, logs or `Debug`.

mod arrival;
mod auth;
mod classify;
mod client;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod doors;
mod faults;
mod letters;
mod lines;
mod message;
mod reply;
mod scram;
mod smtp;
#[cfg(test)]
mod tests;
mod tls;
mod transcript;

pub use client::Timeouts;
pub use letters::Letters;
pub use smtp::SmtpMail;
pub use transcript::Transcript;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use handover_rotation::outcome::Outcome;

use crate::secret::{Login, Secret};

/// Where a probe is looked for.
pub enum Arrival {
    /// A Maildir on this machine.
    Maildir {
        /// The folder that has `new` and `cur`.
        path: PathBuf,
    },
    /// A mailbox over IMAP with TLS.
    Imap {
        /// Host name, as the certificate must say it.
        host: String,
        /// Port, 993 by default.
        port: u16,
        /// A file of PEM certificates to trust instead of the system's.
        ca_file: Option<PathBuf>,
        /// Login name of the mailbox.
        username: String,
        /// Its password.
        password: Secret,
        /// The mailbox, `INBOX` by default.
        mailbox: String,
    },
    /// Nowhere: acceptance is the evidence.
    None,
}

/// What the server said to a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 235.
    Accepted,
    /// 535 or 525: a permanent word about the login.
    Refused,
}

/// What the server said, as evidence: no secret, no control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthReport {
    /// Accepted or refused.
    pub verdict: Verdict,
    /// The reply's code; where a login is shown by a token and gets none, the 401 of whoever gives them.
    pub code: u16,
    /// The enhanced status code (RFC 3463), such as `5.7.8`; or why there is no token, such as `AADSTS7000215`.
    pub enhanced: Option<String>,
    /// The mechanism that was used.
    pub mechanism: &'static str,
    /// TLS version and cipher, such as `TLSv1.3 TLS13_AES_256_GCM_SHA384`.
    pub tls: String,
}

/// A message that the server took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendReport {
    /// Message-ID without brackets.
    pub message_id: String,
    /// The reply to DATA's end, without control characters.
    pub reply: String,
}

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrivalReport {
    /// Where it was found, such as a file's name or an IMAP UID.
    pub place: String,
}

/// Sends and looks for mail for one credential.
///
/// # Guarantees
/// - Each `auth` and `send` uses a fresh connection, over verified TLS, never downgraded.
/// - Only a permanent reply about the login (535, 525; of who gives tokens, where it is shown by one) is `Refused`, or `NotDone` with a credential fault from `send`.
///   4yz, timeouts and TLS or policy trouble are `NotDone` with a temporary or environment fault.
/// - From `send`, a connection lost after the message's last byte went out is `Unknown`.
#[async_trait]
pub trait Mail: Send + Sync {
    /// Logs in and leaves.
    async fn auth(&self, login: &Login) -> Outcome<AuthReport>;

    /// Sends one probe with `nonce` in its subject and in the header `X-Handover-Nonce`.
    async fn send(&self, login: &Login, nonce: &str) -> Outcome<SendReport>;

    /// Waits until a message with `nonce` has arrived, `within` at the longest. `NotDone` with a temporary fault when it
    /// has not.
    async fn arrived(&self, nonce: &str, within: Duration) -> Outcome<ArrivalReport>;

    /// The address that probes and test mails go to.
    fn probe_to(&self) -> String;
}
