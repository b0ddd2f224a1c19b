//! A plan: one playbook applied to one credential, with everything the machine needs to know, fixed before it starts.
//!
//! The plan is the snapshot that an approval binds to (safety.md S12, S31): a change of the inventory or the playbook
//! during a rotation does not reach it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::{
    CredentialName, EntryName, Environment, Fingerprint, ProviderName, ServiceName, StoreName, Username, VersionId,
};
use crate::playbook::{Containment, Playbook};
use crate::time::Span;

/// How a provider keeps versions: it decides what a rotation can promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// A: several versions, and disabling one can be reversed.
    Reversible,
    /// B: several versions, and a version can only be deleted.
    DeleteOnly,
    /// C: one password per account; overlap by alternating two accounts.
    Alternating,
    /// C: one password per account, changed in place with a gap.
    InPlace,
    /// D: no API; a person creates and revokes.
    Manual,
}

impl Shape {
    /// The letter and a few words, as `plan` shows them.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Reversible => "A: several versions, disabling can be reversed",
            Self::DeleteOnly => "B: several versions, no disabling, only deletion",
            Self::Alternating => "C: one password per account, two accounts in turn",
            Self::InPlace => "C: one password, changed in place with a gap",
            Self::Manual => "D: no API, a person creates and revokes",
        }
    }

    /// Whether one account has several versions, so that a request that is repeated makes another.
    #[must_use]
    pub fn keeps_several(self) -> bool {
        matches!(self, Self::Reversible | Self::DeleteOnly)
    }

    /// Whether the provider can be asked which versions there are. Where a person does it all, only logins can tell.
    #[must_use]
    pub fn lists(self) -> bool {
        self != Self::Manual
    }

    /// Whether old and new can be accepted at the same time.
    #[must_use]
    pub fn overlaps(self) -> bool {
        self != Self::InPlace
    }
}

/// What a provider can do and how fast: declared by its adapter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProviderFacts {
    /// The kind, such as `ses` or `sandbox`.
    pub kind: String,
    /// How it keeps versions.
    pub shape: Shape,
    /// How many versions one account may have, inactive ones counted; at least 1.
    pub quota: u8,
    /// How long a change may take until every server of the provider knows it.
    pub propagation: Span,
    /// After this long a call is given up as unknown.
    pub request_timeout: Span,
    /// How long a call may still land after the process that sent it has died; zero where the call is a local write.
    pub landing: Span,
    /// Whether Handover chooses the secret (then it is sealed before the call) or the provider does.
    pub chooses_secret: bool,
    /// Whether it tells within `propagation` when a version was last used: then that belongs to the evidence (S11).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tells_last_use: bool,
}

/// So many logins refused in a row, and no more is tried with that name: servers lock accounts after more (safety.md IP4). In a
/// leak they go on, far apart.
pub const MOST_REFUSALS: u8 = 8;

/// Where a person makes and revokes versions (shape D), as it is told to them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ByHand {
    /// The console: an address, or how to get there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<String>,
    /// What else they should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
}

/// One entry, as the plan fixed it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlannedEntry {
    /// The store it is in.
    pub store: StoreName,
    /// The kind of the store.
    pub store_kind: String,
    /// Where in the store: a path, shown to people.
    pub location: String,
    /// The environment it belongs to.
    pub environment: Environment,
    /// After this long a call to the store is given up as unknown.
    pub request_timeout: Span,
    /// How long a write may still land after the process that sent it has died; zero for a file.
    pub landing: Span,
    /// Whether the store gives no value back. What the entry holds is then known by a mark that was left beside it, and not at all
    /// before the first write; what services read from it, only they can tell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub write_only: bool,
}

/// One service, as the plan fixed it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlannedService {
    /// The entry it reads.
    pub entry: EntryName,
    /// The environment it belongs to.
    pub environment: Environment,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How it reloads, in a few words, such as `command systemctl`; `None` if it cannot be made to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<String>,
    /// What a person is asked to do to make it read again, where nothing else can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
    /// Whether it can be asked to send a test mail.
    pub test_send: bool,
    /// Whether it can be asked which version it presents.
    pub attest: bool,
    /// After this long a call to it is given up as unknown.
    pub request_timeout: Span,
}

impl PlannedService {
    /// Whether anything but a person's word can prove which version it uses. That it can send proves nothing of the kind: its
    /// mail passes with the old version as well (S11).
    #[must_use]
    pub fn can_prove(&self) -> bool {
        self.attest
    }

    /// Whether it cannot be asked anything at all.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        !self.attest && !self.test_send
    }
}

/// The version that is current when a rotation begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OldVersion {
    /// The provider's id.
    pub id: VersionId,
    /// Its login name.
    pub username: Username,
    /// Its fingerprint, if an entry holds its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
}

/// How arrival of a probe is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArrivalKind {
    /// Looked for in a Maildir on this machine.
    Maildir,
    /// Looked for over IMAP.
    Imap,
    /// Not at all: acceptance by the server is the evidence, which is weaker.
    None,
}

/// Numbers of the machine that are not part of a playbook.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Policy {
    /// Consecutive successful sends that prove an entry or a service; at least 1 (S11 asks for 3).
    pub sends: u8,
    /// Attempts of one call before it counts as failed; at least 1.
    pub attempts: u8,
    /// Wait before the second attempt; doubled each time, with jitter.
    pub backoff: Span,
    /// The longest wait between two attempts.
    pub backoff_most: Span,
    /// Time between two samples of a soak or a watch.
    pub sample: Span,
    /// How long to wait for one mail to arrive.
    pub arrival: Span,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            sends: 3,
            attempts: 5,
            backoff: Span(500),
            backoff_most: Span::seconds(30),
            sample: Span::seconds(60),
            arrival: Span::minutes(2),
        }
    }
}

/// One playbook applied to one credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Plan {
    /// The credential.
    pub credential: CredentialName,
    /// The playbook, its waits already scaled.
    pub playbook: Playbook,
    /// The provider's name in the inventory.
    pub provider: ProviderName,
    /// The account at the provider.
    pub account: String,
    /// What the provider can do.
    pub facts: ProviderFacts,
    /// The SMTP server, `host:port` and the kind of TLS.
    pub smtp: String,
    /// How arrival is proven.
    pub arrival: ArrivalKind,
    /// The version to replace.
    pub old: OldVersion,
    /// Whether the version to replace is compromised: then it never comes back.
    pub compromised: bool,
    /// The entries.
    pub entries: BTreeMap<EntryName, PlannedEntry>,
    /// The services.
    pub services: BTreeMap<ServiceName, PlannedService>,
    /// The numbers.
    pub policy: Policy,
    /// What the waits of the playbook were divided by; 1 but in the sandbox.
    pub time_scale: u32,
    /// Where a person does what the provider has no API for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<ByHand>,
    /// What the inventory says beyond all this.
    #[serde(default, skip_serializing_if = "Bindings::is_empty")]
    pub bindings: Bindings,
}

/// What the inventory says of the things that a plan names, as a digest each: the plan stands for these and no others. The names
/// are written as a person reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bindings {
    /// What calls go to: the options of the provider and of the stores, the fields of the entries.
    pub targets: BTreeMap<String, String>,
    /// What is asked for proof: the probe, and what services attest and send with.
    pub evidence: BTreeMap<String, String>,
    /// How services are reloaded. It may be mended under way: what a reload has done is proven by evidence.
    pub means: BTreeMap<String, String>,
}

impl Bindings {
    /// Whether there are none, as in plans of before there were any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.evidence.is_empty() && self.means.is_empty()
    }
}

impl Plan {
    /// The environments of the entries and services, in order, each once.
    #[must_use]
    pub fn environments(&self) -> Vec<Environment> {
        let mut all: Vec<Environment> = self
            .entries
            .values()
            .map(|e| e.environment.clone())
            .chain(self.services.values().map(|s| s.environment.clone()))
            .collect();
        all.sort();
        all.dedup();
        all
    }

    /// Entries of one environment.
    pub fn entries_in<'a>(&'a self, environment: &'a Environment) -> impl Iterator<Item = &'a EntryName> {
        self.entries.iter().filter(move |(_, e)| e.environment == *environment).map(|(name, _)| name)
    }

    /// Services of one environment.
    pub fn services_in<'a>(&'a self, environment: &'a Environment) -> impl Iterator<Item = &'a ServiceName> {
        self.services.iter().filter(move |(_, s)| s.environment == *environment).map(|(name, _)| name)
    }

    /// Entries that give no value back, where no service that reads them tells what it presents: nothing proves what they hold.
    pub fn unvouched(&self) -> impl Iterator<Item = &EntryName> {
        let vouched = |name: &EntryName| self.services.values().any(|s| s.attest && s.entry == *name);
        self.entries.iter().filter(move |(name, e)| e.write_only && !vouched(name)).map(|(name, _)| name)
    }

    /// The deadline for containment, from the start, where the old version is compromised.
    #[must_use]
    pub fn containment_deadline(&self) -> Option<Span> {
        if !self.compromised {
            return None;
        }
        match self.playbook.containment {
            Some(Containment::Deadline(span)) => Some(span),
            Some(Containment::RevokeFirst) => Some(Span(0)),
            None => None,
        }
    }
}
