//! Secret stores: where services read their login from. One file a kind.

use async_trait::async_trait;
use handover_rotation::name::EntryName;
use handover_rotation::outcome::Outcome;
use handover_rotation::time::Span;

use crate::secret::{Login, Secret};

#[cfg(feature = "aws")]
pub mod aws_secrets_manager;
#[cfg(feature = "aws")]
pub mod aws_ssm;
pub mod conjur;
pub mod env_file;
pub mod exec;
pub mod file;
pub mod gitlab_ci;
pub mod kubernetes;
mod object;
pub mod sops;
mod swap;
pub mod systemd_credential;
#[cfg(feature = "vault")]
pub mod vault;

/// One place in a store where a login is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRef {
    /// Its name in the inventory, for messages.
    pub name: EntryName,
    /// The path in the store.
    pub path: String,
    /// The field or key that holds the username.
    pub username_field: String,
    /// The field or key that holds the password.
    pub password_field: String,
}

/// What an entry holds.
pub enum Held {
    /// A username and a password.
    Login(Login),
    /// The entry or one of its two fields is missing or empty.
    Nothing,
}

/// Reads and writes entries.
///
/// # Guarantees
/// - `write` changes the two fields of the entry and nothing else, or nothing at all.
/// - `write` refuses, with `NotDone` and a permanent fault, when the entry does not hold `expect` any more.
/// - `read` after a `write` that answered `Done` sees it, unless someone else wrote.
///
/// # Assumptions
/// - One rotation writes an entry at a time (safety.md S14).
///
/// # Errors
/// `NotDone` only if nothing has changed; every doubt is `Unknown`. Faults never carry a value.
#[async_trait]
pub trait Store: Send + Sync {
    /// The kind, such as `env-file`.
    fn kind(&self) -> &'static str;

    /// After this long a call is given up as unknown.
    fn request_timeout(&self) -> Span;

    /// How long a write may still land after the process that sent it has died: zero for a file.
    fn landing(&self) -> Span {
        self.request_timeout()
    }

    /// Proves without changing anything that the entry can be written (preflight P1).
    async fn check_writable(&self, entry: &EntryRef) -> Outcome<()>;

    /// What the entry holds.
    async fn read(&self, entry: &EntryRef) -> Outcome<Held>;

    /// Why `read` answers [`Held::Nothing`], in words that follow the entry's name: never a value.
    async fn lacks(&self, _entry: &EntryRef) -> String {
        "it holds no login".to_owned()
    }

    /// What a person should mend about the place of the entry, one sentence each: nothing that a rotation has to stop for.
    async fn warnings(&self, _entry: &EntryRef) -> Vec<String> {
        Vec::new()
    }

    /// Whether the entry could hold `login` as it is: a kind may not be able to write every value. Changes nothing.
    async fn can_hold(&self, _entry: &EntryRef, _login: &Login) -> Outcome<()> {
        Outcome::Done(())
    }

    /// Puts `login` in the entry, if it still holds one of the passwords in `expect`.
    async fn write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Outcome<()>;
}
