//! Providers issue and retire versions. One file a kind, one conformance suite for all.

pub mod dovecot;
pub mod entra;
pub mod exec;
#[cfg(feature = "ldap")]
pub mod ldap;
pub mod mailcow;
pub mod mailersend;
pub mod mailgun;
pub mod mailjet;
pub mod manual;
pub mod resend;
mod rest;
pub mod sandbox;
pub mod scaleway;
pub mod sendgrid;
#[cfg(feature = "aws")]
pub mod ses;
pub mod smtp2go;
pub mod stalwart;

use std::sync::Arc;

use async_trait::async_trait;
use handover_rotation::name::{Tag, Username, VersionId};
use handover_rotation::outcome::Outcome;
use handover_rotation::plan::{ByHand, ProviderFacts};

use crate::oauth::Bearer;
use crate::random::PASSWORD_LENGTH;
use crate::secret::{Login, Secret};

/// Where a version stands at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LiveState {
    /// Accepted.
    Active,
    /// Refused, and can be made active again.
    Inactive,
}

/// A version as the provider lists it. Deleted versions are not listed.
#[derive(Clone, Debug)]
pub struct ListedVersion {
    /// The provider's id.
    pub id: VersionId,
    /// Its login name.
    pub username: Username,
    /// What a rotation wrote on it when it made it; `None` for a version that Handover did not make.
    pub tag: Option<Tag>,
    /// Active or inactive.
    pub state: LiveState,
    /// When it was made, in milliseconds since the Unix epoch, if the provider tells.
    pub created_at: Option<u64>,
    /// When it was last accepted, likewise.
    pub last_used_at: Option<u64>,
    /// When it was last refused, likewise.
    pub last_refused_at: Option<u64>,
}

/// A version just made.
pub struct CreatedVersion {
    /// The provider's id.
    pub id: VersionId,
    /// Its login name.
    pub username: Username,
    /// The password, where the provider chose it.
    pub secret: Option<Secret>,
}

/// Whether a provider lets us do what a rotation needs, as far as it can be told without doing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permitted {
    /// It does.
    Yes,
    /// Only trying tells.
    CannotTell,
}

/// Issues and retires the versions of one account.
///
/// # Guarantees
/// - A call that answers `Done` has happened at the provider; it may still be spreading for `facts().propagation`.
/// - `NotDone` means that nothing has changed and nothing will. Every doubt is `Unknown`: a timeout after the request may
///   have left, a reset, a 5xx, a 429 after sending (safety.md S8).
/// - No call repeats itself inside the adapter if it is not idempotent.
/// - `disable`, `enable` and `delete` touch exactly the id they are given. Repeating them is safe; `delete` of a version
///   that is gone is `Done`.
///
/// # Assumptions
/// - The caller recorded its intent before the call and gives up after `facts().request_timeout`.
///
/// # Caveats
/// - `list` may be stale for `facts().propagation`.
///
/// # Errors
/// Faults carry codes and ids, never the body of an answer.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What it can do and how fast.
    fn facts(&self) -> ProviderFacts;

    /// What a person is told who does what this provider has no API for (shape D).
    fn by_hand(&self) -> Option<ByHand> {
        None
    }

    /// How a login is shown where the SMTP server takes tokens and no passwords.
    fn bearer(&self) -> Option<Arc<Bearer>> {
        None
    }

    /// How long the password is to be where `facts().chooses_secret`; at least 32, so that it has 192 bits.
    fn secret_length(&self) -> usize {
        PASSWORD_LENGTH
    }

    /// Whether a login may be that of a listed version, told without asking anyone. Where all versions have one login name, it
    /// is the password that tells, if the kind can read it; a kind that cannot tell says yes, and the caller minds that several
    /// may fit.
    fn may_be(&self, version: &ListedVersion, login: &Login) -> bool {
        version.username == login.username
    }

    /// All versions of the account, ours and others'. Never called where `facts().shape` has no list.
    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>>;

    /// Whether creating, disabling, enabling and deleting versions of the account is permitted (preflight P2). It changes nothing.
    /// `NotDone` names the permission that is missing.
    async fn permitted(&self, _account: &str) -> Outcome<Permitted> {
        Outcome::Done(Permitted::CannotTell)
    }

    /// What a person should mend about the account, one sentence each: nothing that a rotation has to stop for.
    async fn warnings(&self, _account: &str) -> Vec<String> {
        Vec::new()
    }

    /// The same provider for a leak, where it acts otherwise there. What only makes a routine change safe must not keep accepted
    /// what has leaked: it writes what it can, and says `Unknown` of what may not be in force yet (safety.md L5, B16).
    fn in_leak(&self) -> Option<Arc<dyn Provider>> {
        None
    }

    /// What is to be said of a login that an entry holds, if its form alone tells something.
    fn remark(&self, _login: &Login) -> Option<String> {
        None
    }

    /// Makes a version marked with `tag`. `secret` is given where `facts().chooses_secret`.
    async fn create(&self, account: &str, tag: &Tag, secret: Option<&Secret>) -> Outcome<CreatedVersion>;

    /// Makes the version refused, reversibly. `NotDone` with a permanent fault where the shape has no such thing.
    async fn disable(&self, account: &str, id: &VersionId) -> Outcome<()>;

    /// Makes a disabled version accepted again. `secret` is its password, which kinds of shape C set again.
    async fn enable(&self, account: &str, id: &VersionId, secret: Option<&Secret>) -> Outcome<()>;

    /// Removes the version for good.
    async fn delete(&self, account: &str, id: &VersionId) -> Outcome<()>;
}
