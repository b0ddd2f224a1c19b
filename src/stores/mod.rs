//! Secret stores: where services read their login from. One file a kind.

use async_trait::async_trait;
use handover_rotation::name::{EntryName, Fingerprint};
use handover_rotation::outcome::Outcome;
use handover_rotation::time::Span;

use crate::secret::{Login, Secret};

#[cfg(feature = "aws")]
pub mod aws_secrets_manager;
#[cfg(feature = "aws")]
pub mod aws_ssm;
pub mod azure_key_vault;
pub mod conjur;
pub mod env_file;
pub mod exec;
pub mod file;
pub mod gcp_secret_manager;
pub mod github_actions;
pub mod gitlab_ci;
pub mod kubernetes;
mod object;
pub mod sops;
mod swap;
pub mod systemd_credential;
pub mod texts;
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
    /// A login that nobody can read.
    Hidden(Hidden),
}

/// What is known of a login that nobody can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// Handover has not written it, or a write was not carried to its end: which login it is cannot be known.
    Unknown,
    /// It was written together with this mark, and nobody has written since.
    Marked(Fingerprint),
    /// Somebody else has written since.
    Changed,
}

/// What stands for logins in a store that gives none back. A mark says nothing of its login to anybody but who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Of the login that is written.
    pub new: Fingerprint,
    /// Of those that may be there before.
    pub expected: Vec<Fingerprint>,
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

    /// Whether `read` gives logins back. One that takes values and gives none back answers [`Held::Hidden`]: which login it is
    /// can only be known by a mark that was left beside it.
    fn reads_back(&self) -> bool {
        true
    }

    /// Proves without changing anything that the entry can be written (preflight P1).
    async fn check_writable(&self, entry: &EntryRef) -> Outcome<()>;

    /// What the entry holds.
    async fn read(&self, entry: &EntryRef) -> Outcome<Held>;

    /// Why `read` answers [`Held::Nothing`] or [`Held::Hidden`], in words that follow the entry's name: never a value.
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

    /// Puts `login` in the entry, if it still holds one of the passwords in `expect`; where that is empty, whatever is there may
    /// go.
    async fn write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Outcome<()>;

    /// The same, and where nothing can be read back the new mark is kept beside the login: `read` gives it back until somebody
    /// else writes. There the expected marks stand for the passwords in `expect`.
    async fn write_marked(&self, entry: &EntryRef, login: &Login, expect: &[&Secret], _marks: &Marks) -> Outcome<()> {
        self.write(entry, login, expect).await
    }
}
