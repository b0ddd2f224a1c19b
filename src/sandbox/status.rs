//! What a sandbox looks like from outside: read from its files, so it can be told by any process, running or not. No
//! password is in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use handover_rotation::name::{Tag, Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::Shape;
use serde::Serialize;

use super::layout::{HOST, Layout};
use super::traffic::{self, Traffic};
use crate::providers::sandbox::account::State;
use crate::providers::sandbox::faults::faults_on;
use crate::providers::sandbox::files::{self, file_fault};
use crate::providers::sandbox::ledger::Ledger;

/// What `handover sandbox --status --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Whether a process serves it now.
    pub running: bool,
    /// Where it listens, or last did.
    pub smtp: SmtpStatus,
    /// The Maildir.
    pub mail_dir: PathBuf,
    /// The inventory to use it with.
    pub inventory: PathBuf,
    /// How its provider keeps versions.
    pub shape: Shape,
    /// The accounts, in order of their names.
    pub credentials: Vec<CredentialStatus>,
    /// What each service has sent, by its name.
    pub services: BTreeMap<String, Traffic>,
    /// The faults that are on.
    pub faults: BTreeMap<String, String>,
}

/// Where the SMTP server listens.
#[derive(Clone, Debug, Serialize)]
pub struct SmtpStatus {
    /// The host, which the certificate names.
    pub host: String,
    /// Port for STARTTLS.
    pub starttls_port: u16,
    /// Port for TLS from the first byte.
    pub tls_port: u16,
    /// The certificate to trust.
    pub ca_file: PathBuf,
}

/// One account.
#[derive(Clone, Debug, Serialize)]
pub struct CredentialStatus {
    /// Its name.
    pub credential: String,
    /// All versions it ever had, oldest first.
    pub versions: Vec<VersionStatus>,
}

/// One version. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, Serialize)]
pub struct VersionStatus {
    /// The provider's id.
    pub id: VersionId,
    /// Its login name.
    pub username: Username,
    /// Where it stands in the provider's books.
    pub state: State,
    /// Whether the SMTP server accepts it now, which may lag behind.
    pub accepted: bool,
    /// What a rotation wrote on it.
    pub tag: Option<Tag>,
    /// When it was made.
    pub created_at: String,
    /// When its state last changed.
    pub changed_at: String,
    /// When a login with it was last accepted.
    pub last_used_at: Option<String>,
    /// When a login with it was last refused.
    pub last_refused_at: Option<String>,
}

/// Reads the status of the sandbox in `dir`.
///
/// # Errors
/// There is none, or its files cannot be read.
pub fn status(dir: &Path) -> Result<Status, Fault> {
    let layout = Layout::new(dir)?;
    let ledger = Ledger::open(&layout.dir)?;
    let ports = layout.last_ports()?.ok_or_else(|| {
        let message = format!("the sandbox in {} has never been started", layout.dir.display());
        Fault::new(FaultClass::Permanent, "HO0902", message)
            .hint(format!("start it with `handover sandbox --dir {}`", layout.dir.display()))
    })?;
    let now = files::now_ms();
    let mut credentials = Vec::new();
    for name in ledger.accounts()? {
        let Some(account) = ledger.read(&name)? else { continue };
        let seen = ledger.seen(&name);
        let told = account.versions.iter().map(|v| {
            let seen = seen.get(&v.id).copied().unwrap_or_default();
            VersionStatus {
                id: v.id.clone(),
                username: v.username.clone(),
                state: v.state,
                accepted: v.accepted_at(now),
                tag: v.tag.clone(),
                created_at: rfc3339(v.created_at),
                changed_at: rfc3339(v.changed_at),
                last_used_at: seen.used_at.map(rfc3339),
                last_refused_at: seen.refused_at.map(rfc3339),
            }
        });
        credentials.push(CredentialStatus { credential: name, versions: told.collect() });
    }
    let host = HOST.to_string();
    Ok(Status {
        running: is_running(&layout)?,
        smtp: SmtpStatus { host, starttls_port: ports.starttls, tls_port: ports.tls, ca_file: layout.ca_file() },
        mail_dir: layout.mail(),
        inventory: layout.inventory(),
        shape: ledger.settings().shape,
        credentials,
        services: services(&layout)?,
        faults: faults_on(&layout.dir)?,
    })
}

/// Whether a sandbox serves the folder, whichever process it runs in.
#[must_use]
pub fn running(dir: &Path) -> bool {
    Layout::new(dir).and_then(|layout| is_running(&layout)).unwrap_or(false)
}

/// A running sandbox holds its lock, and a killed one does not.
fn is_running(layout: &Layout) -> Result<bool, Fault> {
    let path = layout.running_lock();
    files::is_locked(&path).map_err(|e| file_fault("HO0903", "look at", &path, &e))
}

fn services(layout: &Layout) -> Result<BTreeMap<String, Traffic>, Fault> {
    let folder = layout.services();
    let trouble = |e: std::io::Error| file_fault("HO0903", "read", &folder, &e);
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).map_err(trouble)? {
        let name = entry.map_err(trouble)?.file_name().to_string_lossy().into_owned();
        if let Some(service) = name.strip_suffix(".traffic.json").filter(|n| !n.starts_with('.')) {
            all.insert(service.to_owned(), traffic::read(&folder.join(&name)));
        }
    }
    Ok(all)
}

fn rfc3339(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(DateTime::<Utc>::from_timestamp_millis).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
