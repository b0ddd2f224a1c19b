//! The checked inventory: what depends on what. Made only by `load`, so whoever holds one holds a sound one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use handover_rotation::name::{
    AlertName, CredentialName, EntryName, Environment, ProviderName, ServiceName, StoreName, UsageName,
};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::time::Span;

use super::diagnostic::Problems;
use super::node::Node;
use super::notify::NotifierSpec;
use super::source::Place;
use crate::egress::Allowed;
use crate::schedule::Rule;
use crate::secret::Secret;

/// Everything the inventory files say, merged and checked.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Providers by name.
    pub providers: BTreeMap<ProviderName, KindSpec>,
    /// Stores by name.
    pub stores: BTreeMap<StoreName, KindSpec>,
    /// Credentials by name.
    pub credentials: BTreeMap<CredentialName, Credential>,
    /// Services by name.
    pub services: BTreeMap<ServiceName, Service>,
    /// Who is told what, by name.
    pub notify: BTreeMap<String, NotifierSpec>,
    /// Where calls may go beside the public internet.
    pub egress: Allowed,
    /// Sources of leak alerts by name, which is the end of the address that they deliver to.
    pub alerts: BTreeMap<AlertName, KindSpec>,
    /// Sources of evidence of use by name.
    pub usage: BTreeMap<UsageName, UsageSource>,
    /// Where the audit log is sent, by name.
    pub audit: BTreeMap<String, KindSpec>,
    /// Problems that do not forbid its use, for whoever loads it to show.
    pub warnings: Problems,
    /// Where playbooks are named, for the check that needs the playbooks.
    pub(super) places: BTreeMap<String, Place>,
}

impl Inventory {
    /// The services that depend on a credential.
    pub fn services_of<'a>(
        &'a self,
        credential: &'a CredentialName,
    ) -> impl Iterator<Item = (&'a ServiceName, &'a Service)> {
        self.services.iter().filter(move |(_, s)| s.credential == *credential)
    }

    /// The sources that tell of a credential.
    pub fn usage_of<'a>(&'a self, credential: &'a CredentialName) -> impl Iterator<Item = (&'a UsageName, &'a UsageSource)> {
        self.usage.iter().filter(move |(_, s)| s.credentials.contains(credential))
    }
}

/// A thing whose options belong to its kind: the registry turns it into an adapter.
#[derive(Clone, Debug)]
pub struct KindSpec {
    /// The kind, such as `sandbox` or `env-file`; known to the registry.
    pub kind: String,
    /// The rest of its map, read by the kind with `Fields`, `kind` itself left out.
    pub options: Node,
}

/// A source that tells whether credentials were used.
#[derive(Clone, Debug)]
pub struct UsageSource {
    /// The credentials that it tells of, at least one.
    pub credentials: Vec<CredentialName>,
    /// Its kind and options.
    pub spec: KindSpec,
}

/// One SMTP login that services depend on.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The provider that issues it.
    pub provider: ProviderName,
    /// The account at the provider.
    pub account: String,
    /// Where it logs in.
    pub smtp: SmtpServer,
    /// How mail is proven.
    pub probe: Probe,
    /// Where it is kept.
    pub entries: BTreeMap<EntryName, Entry>,
    /// When it is rotated by the daemon.
    pub schedule: Option<Schedule>,
    /// What a leak alert starts: the name of a playbook.
    pub on_leak: Option<String>,
}

/// The submission server of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpServer {
    /// Host name, as the certificate must say it.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How TLS begins.
    pub tls: Tls,
    /// A file of PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// How TLS begins. There is no third.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// `tls: starttls`: in clear first, then STARTTLS, which must be offered (threat T4).
    StartTls,
    /// `tls: implicit`: from the first byte.
    Implicit,
}

/// How mail is proven.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Envelope sender and From of a probe.
    pub from: String,
    /// Envelope recipient and To of a probe.
    pub to: String,
    /// Where it is looked for.
    pub arrival: Arrival,
}

/// Where a probe is looked for.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// `arrival: none`: acceptance by the server is the evidence, which is weaker.
    None,
    /// `arrival: {maildir: PATH}`: a Maildir on this machine, the folder that has `new` and `cur`.
    Maildir(PathBuf),
    /// `arrival: {imap: {host, port, ca_file, username, password, mailbox}}`: over IMAP with TLS from the first byte.
    Imap {
        /// Host name, as the certificate must say it.
        host: String,
        /// Port, 993 by default.
        port: u16,
        /// A file of PEM certificates to trust instead of the system's.
        ca_file: Option<PathBuf>,
        /// Login name of the mailbox.
        username: String,
        /// Where its password is.
        password: SecretRef,
        /// `INBOX` by default.
        mailbox: String,
    },
}

/// Where a secret is, since it is never in these files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// `{env: NAME}`.
    Env(String),
    /// `{file: PATH}`.
    File(PathBuf),
}

impl SecretRef {
    /// Reads the secret from where it is. One line end after it is not part of it.
    ///
    /// # Errors
    /// `HO0446`: it is not there, is empty, or is no text.
    pub fn read(&self) -> Result<Secret, Fault> {
        let fault = |what: String| {
            Fault::new(FaultClass::Permanent, "HO0446", what).hint("the inventory says that a secret is there")
        };
        let text = match self {
            Self::Env(name) => std::env::var(name).map_err(|_| fault(format!("the environment has no {name}")))?,
            Self::File(path) => {
                std::fs::read_to_string(path).map_err(|e| fault(format!("cannot read {}: {e}", path.display())))?
            }
        };
        let text = zeroize::Zeroizing::new(text);
        let secret = text.strip_suffix('\n').unwrap_or(&text).trim_end_matches('\r');
        if secret.is_empty() {
            return Err(fault(match self {
                Self::Env(name) => format!("the variable {name} is empty"),
                Self::File(path) => format!("{} is empty", path.display()),
            }));
        }
        Ok(Secret::new(secret.to_owned()))
    }
}

/// One place in one store.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The store.
    pub store: StoreName,
    /// The path in it.
    pub path: String,
    /// The field that holds the username.
    pub username_field: String,
    /// The field that holds the password.
    pub password_field: String,
    /// The environment whose services read it.
    pub environment: Environment,
}

/// Software that sends mail with a credential.
#[derive(Clone, Debug)]
pub struct Service {
    /// The credential.
    pub credential: CredentialName,
    /// The entry of it that the service reads.
    pub entry: EntryName,
    /// The environment; the same as the entry's.
    pub environment: Environment,
    /// Who answers for it.
    pub owner: Option<String>,
    /// How bad it is if it stops.
    pub criticality: Criticality,
    /// How it is made to read again.
    pub reload: Option<KindSpec>,
    /// How it is asked to send a mail.
    pub test_send: Option<KindSpec>,
    /// How it is asked what it presents.
    pub attest: Option<KindSpec>,
}

/// How bad it is if a service stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Criticality {
    /// `low`.
    Low,
    /// `medium`, the default.
    #[default]
    Medium,
    /// `high`.
    High,
}

/// When a credential is rotated by the daemon.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The playbook.
    pub playbook: String,
    /// When.
    pub rule: Rule,
}

/// The longest waits that inventories may ask for.
pub const MOST_TIMEOUT: Span = Span::minutes(10);
