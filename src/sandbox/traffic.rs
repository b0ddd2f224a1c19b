//! What a sample service has sent by itself, counted in a file, so that anyone can see whether a mail was lost.

use std::path::PathBuf;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::providers::sandbox::files::{Lasting, now_ms, read_if_there, replace};

/// Counts of the mails that a service sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Mails of its steady traffic that the server took.
    pub sent: u64,
    /// Mails of its steady traffic that were lost because the login was refused.
    pub refused: u64,
    /// Mails of its steady traffic that were not taken for another reason.
    pub failed: u64,
    /// Test mails that the server took.
    pub tests_sent: u64,
    /// Test mails that were not taken.
    pub tests_failed: u64,
    /// When it last sent anything, in milliseconds since the Unix epoch.
    pub last_at: Option<u64>,
}

/// The counts of one service and the file they are kept in.
pub(super) struct Counter {
    path: PathBuf,
    now: Mutex<Traffic>,
}

impl Counter {
    /// Goes on from what the file says.
    pub(super) fn open(path: PathBuf) -> Self {
        let now = read(&path);
        Self { path, now: Mutex::new(now) }
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Traffic)) {
        let mut now = self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut now);
        now.last_at = Some(now_ms());
        let written = serde_json::to_vec(&*now).map_err(std::io::Error::from).and_then(|bytes| {
            // Written under the lock, so that counts never run backwards in the file.
            replace(&self.path, &bytes, Lasting::Kill).map_err(Into::into)
        });
        if let Err(error) = written {
            tracing::warn!(%error, "sandbox: cannot keep the counts of a service");
        }
    }
}

/// The counts in a file; none if there is none.
pub(super) fn read(path: &std::path::Path) -> Traffic {
    read_if_there(path).ok().flatten().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}
