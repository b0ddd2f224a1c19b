//! Services send mail with a credential. One file a kind; a service may use another kind for each of its three abilities.

use async_trait::async_trait;
use handover_rotation::outcome::Outcome;
use handover_rotation::time::Span;

mod answer;
pub mod command;
pub mod docker;
pub mod http;
pub mod kubernetes;
pub mod manual;
pub mod signal;
pub mod systemd;
mod told;

/// The answer of a service that was asked which version it presents.
///
/// Handover sends a fresh `challenge`; the service answers with its username and
/// `hex(HMAC-SHA-256(key = password, message = challenge))`. That proves possession, is not the same twice, and tells
/// nobody anything about the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The username that the running process presents.
    pub username: String,
    /// The proof in lower-case hex.
    pub proof: String,
}

/// Makes a service read its entry again.
///
/// # Guarantees
/// `Done` means that the reload was carried out, not that the service uses the new value: only attestation shows that
/// (finding 8 of safety.md).
///
/// # Errors
/// A timeout is `Unknown`. Output of the service is never part of a fault.
#[async_trait]
pub trait Reload: Send + Sync {
    /// The kind in a few words, such as `command systemctl`.
    fn describe(&self) -> String;
    /// After this long a call has surely ended.
    fn request_timeout(&self) -> Span;
    /// What the service reads again by it, in a sentence, where the kind can know that.
    fn rereads(&self) -> Option<&'static str> {
        None
    }
    /// What a person is asked to do, where nothing but a person can: then it is never called.
    fn by_hand(&self) -> Option<String> {
        None
    }
    /// Reloads.
    async fn reload(&self) -> Outcome<()>;
}

/// Asks a service which version it presents.
#[async_trait]
pub trait Attest: Send + Sync {
    /// After this long a call has surely ended.
    fn request_timeout(&self) -> Span;
    /// Asks; `challenge` is 32 hex digits.
    async fn attest(&self, challenge: &str) -> Outcome<Attestation>;
}

/// Asks a service to send a mail of its own.
#[async_trait]
pub trait TestSend: Send + Sync {
    /// After this long a call has surely ended.
    fn request_timeout(&self) -> Span;
    /// Asks it to send one mail to `to` with `nonce` in its subject. `Done` when it says that its server accepted it; a
    /// service that says its login was refused is `NotDone` with a credential fault.
    async fn test_send(&self, nonce: &str, to: &str) -> Outcome<()>;
}
