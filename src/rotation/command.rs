//! Commands: the only way out of the machine, as plain data; and facts: what comes back.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{EntryName, Fingerprint, ServiceName, Slot, Tag, Username, VersionId};

/// Something the machine wants done or looked at. Each names its target, so a command is its own key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Look: disk, journal and clock of this machine (preflight P7, P8).
    CheckHost,
    /// Look: which versions the provider has.
    ListVersions,
    /// Look: whether an entry can be written (preflight P1).
    CheckWritable(EntryName),
    /// Look: what an entry holds.
    ReadEntry(EntryName),
    /// Look: log in with a version on a fresh connection.
    Auth(Slot),
    /// Look: ask a service which version it presents.
    Attest(ServiceName),
    /// Effect: make a version at the provider.
    Create(Slot),
    /// Effect: disable a version.
    Disable(Slot),
    /// Effect: make a disabled version active again; in place: set its password again.
    Enable(Slot),
    /// Effect: delete a version.
    Delete(Slot),
    /// Effect: write a version into an entry.
    Write(EntryName, Slot),
    /// Effect: make a service read again.
    Reload(ServiceName),
    /// Effect: send a mail with what an entry holds, and wait for it.
    Probe(EntryName),
    /// Effect: make a service send a mail, and wait for it.
    TestSend(ServiceName),
    /// Effect: send a mail with the old version at the same moment, to tell the version from the weather.
    Control,
}

impl Command {
    /// Whether it changes something outside: then its intent is durable before it starts (safety.md S6).
    #[must_use]
    pub fn is_effect(&self) -> bool {
        !matches!(
            self,
            Self::CheckHost
                | Self::ListVersions
                | Self::CheckWritable(_)
                | Self::ReadEntry(_)
                | Self::Auth(_)
                | Self::Attest(_)
        )
    }

    /// Whether it proves by mail: trouble with it may be the weather, which only a control can tell.
    #[must_use]
    pub fn is_mail(&self) -> bool {
        matches!(self, Self::Auth(_) | Self::Probe(_) | Self::TestSend(_))
    }

    /// Whether it changes versions at the provider.
    #[must_use]
    pub fn slot_changed(&self) -> Option<Slot> {
        match self {
            Self::Create(slot) | Self::Disable(slot) | Self::Enable(slot) | Self::Delete(slot) => Some(*slot),
            _ => None,
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CheckHost => f.write_str("check this machine"),
            Self::ListVersions => f.write_str("list versions"),
            Self::CheckWritable(entry) => write!(f, "check that {entry} can be written"),
            Self::ReadEntry(entry) => write!(f, "read {entry}"),
            Self::Auth(slot) => write!(f, "log in with the {slot} version"),
            Self::Attest(service) => write!(f, "ask {service} what it presents"),
            Self::Create(slot) => write!(f, "create the {slot} version"),
            Self::Disable(slot) => write!(f, "disable the {slot} version"),
            Self::Enable(slot) => write!(f, "enable the {slot} version"),
            Self::Delete(slot) => write!(f, "delete the {slot} version"),
            Self::Write(entry, slot) => write!(f, "write the {slot} version to {entry}"),
            Self::Reload(service) => write!(f, "reload {service}"),
            Self::Probe(entry) => write!(f, "send with what {entry} holds"),
            Self::TestSend(service) => write!(f, "have {service} send a mail"),
            Self::Control => f.write_str("control send with the old version"),
        }
    }
}

/// A version as the provider listed it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SeenVersion {
    /// The provider's id.
    pub id: VersionId,
    /// Its login name.
    pub username: Username,
    /// What a rotation wrote on it when it made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Active, or disabled.
    pub active: bool,
    /// When it was last accepted, in milliseconds since the Unix epoch, if the provider tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<u64>,
    /// When it was last refused, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refused: Option<u64>,
}

/// Which version something holds or presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// A version of this rotation.
    Slot(Slot),
    /// Something that this rotation does not know.
    Foreign,
    /// Nothing.
    Nothing,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot(slot) => write!(f, "the {slot} version"),
            Self::Foreign => f.write_str("a value that this rotation does not know"),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

/// What a command that is done has taught. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// It is done, and that is all.
    Done,
    /// The versions of the account.
    Versions(Vec<SeenVersion>),
    /// A version was made; its secret was sealed in the journal together with this fact.
    Created {
        /// The provider's id.
        id: VersionId,
        /// Its login name.
        username: Username,
        /// Its fingerprint.
        fingerprint: Fingerprint,
    },
    /// What an entry holds.
    Holds(Which),
    /// What a service presents.
    Presents(Which),
    /// Whether a login was accepted, and the reply's code.
    Login {
        /// 235, or a permanent refusal.
        accepted: bool,
        /// Code and enhanced code, such as `535 5.7.8`.
        reply: String,
    },
    /// A mail was accepted, and found where it was to arrive.
    Mailed {
        /// Message-ID or nonce.
        message: String,
        /// Where it was found; `None` where arrival is not looked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arrived: Option<String>,
    },
}
