//! What is where in the folder of a sandbox, and what its credentials, entries and services are called.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use handover_rotation::outcome::{Fault, FaultClass};
use serde::{Deserialize, Serialize};

use crate::providers::sandbox::files::{file_fault, read_if_there};

/// Where everything listens.
pub const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The sender of probes.
pub const PROBE_FROM: &str = "probe@sandbox.test";
/// The recipient of probes and test mails.
pub const PROBE_TO: &str = "inbox@sandbox.test";
/// The environments, each with one entry of the same name for every credential.
pub const ENVIRONMENTS: [&str; 2] = ["staging", "production"];

/// The ports of a sandbox, kept so that a restart uses the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// Submission with STARTTLS.
    pub starttls: u16,
    /// Submission with TLS from the first byte.
    pub tls: u16,
    /// The sample services.
    pub http: u16,
}

/// The paths in the folder of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The folder itself, absolute.
    pub dir: PathBuf,
}

impl Layout {
    /// The layout of `dir`, made absolute.
    ///
    /// # Errors
    /// The current folder is not known.
    pub fn new(dir: &Path) -> Result<Self, Fault> {
        let dir = std::path::absolute(dir).map_err(|e| file_fault("HO0903", "find", dir, &e))?;
        Ok(Self { dir })
    }

    /// The inventory that a second terminal uses.
    #[must_use]
    pub fn inventory(&self) -> PathBuf {
        self.dir.join("inventory.yaml")
    }

    /// The certificate to trust.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The Maildir.
    #[must_use]
    pub fn mail(&self) -> PathBuf {
        self.dir.join("mail")
    }

    /// The folder of the playbooks that come with it.
    #[must_use]
    pub fn playbooks(&self) -> PathBuf {
        self.dir.join("playbooks")
    }

    /// The folder of the services' files.
    #[must_use]
    pub fn services(&self) -> PathBuf {
        self.dir.join("services")
    }

    /// The env file of an entry, which its services read.
    #[must_use]
    pub fn env_file(&self, credential: &str, entry: &str) -> PathBuf {
        self.services().join(format!("{credential}-{entry}.env"))
    }

    /// What a service has sent.
    #[must_use]
    pub fn traffic_file(&self, service: &str) -> PathBuf {
        self.services().join(format!("{service}.traffic.json"))
    }

    /// The ports.
    #[must_use]
    pub fn ports_file(&self) -> PathBuf {
        self.dir.join("ports.json")
    }

    /// The file that a running sandbox holds locked.
    #[must_use]
    pub fn running_lock(&self) -> PathBuf {
        self.dir.join("running.lock")
    }

    /// The certificates and keys.
    #[must_use]
    pub fn tls(&self) -> PathBuf {
        self.dir.join("tls")
    }

    /// The ports it used last, if it ever ran.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn last_ports(&self) -> Result<Option<Ports>, Fault> {
        let path = self.ports_file();
        let bytes = read_if_there(&path).map_err(|e| file_fault("HO0903", "read", &path, &e))?;
        let Some(bytes) = bytes else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            let message = format!("{} is damaged: {e}", path.display());
            Fault::new(FaultClass::Permanent, "HO0903", message).hint("delete it: the next start chooses new ports")
        })
    }
}

/// The name of the `n`th credential, from 0: `newsletter`, then `newsletter2` and so on.
#[must_use]
pub fn credential_name(n: usize) -> String {
    if n == 0 { "newsletter".to_owned() } else { format!("newsletter{}", n.saturating_add(1)) }
}

/// The name of the `n`th service of an entry, from 0: `newsletter-staging`, then `newsletter-staging-2` and so on.
#[must_use]
pub fn service_name(credential: &str, entry: &str, n: usize) -> String {
    if n == 0 { format!("{credential}-{entry}") } else { format!("{credential}-{entry}-{}", n.saturating_add(1)) }
}
