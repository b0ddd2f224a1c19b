//! The sandbox's own books, as `sandbox --status --json` tells them.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) running: bool,
    pub(crate) smtp: Smtp,
    pub(crate) credentials: Vec<Account>,
    pub(crate) services: BTreeMap<String, Traffic>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Smtp {
    pub(crate) host: String,
    pub(crate) starttls_port: u16,
    pub(crate) ca_file: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Account {
    pub(crate) credential: String,
    pub(crate) versions: Vec<Version>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) state: String,
    pub(crate) accepted: bool,
    pub(crate) tag: Option<String>,
    pub(crate) created_at: String,
    pub(crate) changed_at: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Traffic {
    pub(crate) sent: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
}

impl Status {
    pub(crate) fn account(&self, credential: &str) -> &Account {
        self.credentials.iter().find(|a| a.credential == credential).expect("the account is in the books")
    }

    /// What all services together have sent.
    pub(crate) fn traffic(&self) -> Traffic {
        self.services.values().fold(Traffic::default(), |all, one| Traffic {
            sent: all.sent + one.sent,
            refused: all.refused + one.refused,
            failed: all.failed + one.failed,
        })
    }
}

impl Account {
    /// The versions that the provider would still accept.
    pub(crate) fn active(&self) -> Vec<&Version> {
        self.versions.iter().filter(|v| v.state == "active").collect()
    }

    /// The versions that are not deleted.
    pub(crate) fn kept(&self) -> Vec<&Version> {
        self.versions.iter().filter(|v| v.state != "deleted").collect()
    }

    /// The most versions that were kept at one time, from the times in the books. Times are RFC 3339 in UTC of one form, so
    /// they compare as text.
    pub(crate) fn most_at_once(&self) -> usize {
        let kept_at =
            |v: &Version, at: &str| v.created_at.as_str() <= at && (v.state != "deleted" || v.changed_at.as_str() > at);
        let births = self.versions.iter().map(|v| v.created_at.as_str());
        births.map(|at| self.versions.iter().filter(|v| kept_at(v, at)).count()).max().unwrap_or(0)
    }
}
