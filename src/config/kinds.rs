//! What this module knows of adapters: names of kinds, and a way to check their options. The registry implements it, so that
//! configuration stays below the adapters.

use super::fields::Fields;
use super::notify::MailLogin;

/// What a kind is a kind of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Of a provider.
    Provider,
    /// Of a store.
    Store,
    /// Of a way to make a service read again.
    Reload,
    /// Of a way to have a service send a mail.
    TestSend,
    /// Of a way to ask a service what it presents.
    Attest,
    /// Of a way to tell people.
    Notifier,
    /// Of a source of leak alerts.
    Alert,
    /// Of a source of evidence of use.
    Usage,
    /// Of a place that the audit log is sent to.
    Audit,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Provider,
        Self::Store,
        Self::Reload,
        Self::TestSend,
        Self::Attest,
        Self::Notifier,
        Self::Alert,
        Self::Usage,
        Self::Audit,
    ];

    /// The word for it in a message.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Store => "store",
            Self::Reload => "reload",
            Self::TestSend => "test_send",
            Self::Attest => "attest",
            Self::Notifier => "notifier",
            Self::Alert => "alert source",
            Self::Usage => "usage",
            Self::Audit => "audit sink",
        }
    }
}

/// The kinds that this build knows.
///
/// # Guarantees
/// - `check` reads the options with the same function that the kind is built with, so that what passes here can be built.
/// - `check` contacts nothing and reads no file.
pub trait Kinds {
    /// The names of the kinds of a role.
    fn names(&self, role: Role) -> Vec<&'static str>;

    /// The feature that a kind needs which is not among `names` only because this build was made without it.
    fn left_out(&self, _role: Role, _kind: &str) -> Option<&'static str> {
        None
    }

    /// Reads the options of a known kind for their problems. The options of an action of a service may be a list, for kinds
    /// with a short form.
    fn check(&self, role: Role, kind: &str, fields: &mut Fields<'_>);

    /// The JSON Schema of the options. For providers, stores, sources of alerts and of evidence, and sinks: the schema of a map, without the
    /// key `kind`.
    fn schema(&self, role: Role, kind: &str) -> serde_json::Value;

    /// The login that a kind of notifier sends mail with, if it does and its options are sound.
    fn mail_login(&self, _notifier_kind: &str, _fields: &mut Fields<'_>) -> Option<MailLogin> {
        None
    }

    /// Why an entry with this path and these fields can be none of a kind of store, where that shows without asking the store: the
    /// key that is wrong, `path` or `fields`, and a sentence.
    fn misnamed(&self, _store_kind: &str, _path: &str, _fields: [&str; 2]) -> Option<(&'static str, String)> {
        None
    }

    /// Whether the paths of a kind of store are files of this machine: then relative ones start from the folder of the
    /// inventory file, and two stores of the kind can reach the same place.
    fn keeps_files(&self, store_kind: &str) -> bool {
        matches!(store_kind, "env-file" | "file" | "sops" | "systemd-credential")
    }
}
