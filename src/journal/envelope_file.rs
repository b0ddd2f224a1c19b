//! `seal.json`: the wrapped data key beside the journal. It is replaced whole, and durable before anything relies on it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::envelope::{Passing, WrappedBy};
use super::error::{JournalError, Kind, io as io_error};
use super::place::{private, sync_folder};

/// Its name.
pub(super) const FILE: &str = "seal.json";
/// What the names of files that are not whole yet begin with; the process follows.
pub(super) const TEMPORARY: &str = "seal-json.tmp.";
const MOST: u64 = 64 << 10;

/// What it holds. Nothing in it is secret without the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) format: u32,
    pub(super) instance: String,
    pub(super) source: String,
    pub(super) id: String,
    pub(super) wrapped: String,
    pub(super) key_version: Option<u64>,
    /// Nonce, sealed key and tag, as hex.
    pub(super) data_key: String,
}

/// Only the format, whatever else a later release writes.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Record {
    pub(super) fn by(&self) -> WrappedBy {
        WrappedBy { kind: self.source.clone(), id: self.id.clone(), version: self.key_version }
    }

    /// The record of a state folder, if it has one.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, JournalError> {
        let path = folder.join(FILE);
        let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io_error("read", &path, e).with_kind(Kind::Seal)),
        };
        let meta = file.metadata().map_err(|e| io_error("look at", &path, e).with_kind(Kind::Seal))?;
        private(&meta, &path, "HO0390").map_err(|e| e.with_kind(Kind::Seal))?;
        let mut text = Vec::new();
        file.take(MOST).read_to_end(&mut text).map_err(|e| io_error("read", &path, e).with_kind(Kind::Seal))?;
        let refuse = |what: &str, hint: &str| {
            JournalError::new(Kind::Seal, "HO0390", format!("{} {what}", path.display())).hint(hint)
        };
        if serde_json::from_slice::<Format>(&text).is_ok_and(|f| f.format != 1) {
            return Err(refuse("was written by a newer release", "use that release, or a newer one"));
        }
        let damaged = |_| refuse("is damaged", "put it back from where it is kept, from the time of the source's key");
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }

    /// Replaces the record. What fails or is killed leaves the old one or the new one.
    pub(super) fn write(&self, folder: &Path, passing: Passing<'_>) -> Result<(), JournalError> {
        let path = folder.join(FILE);
        let name = crate::random::hex_id(16).map_err(|e| io_error("name a file beside", &path, e))?;
        let temporary = folder.join(format!("{TEMPORARY}{}.{name}", std::process::id()));
        let fail = |e: io::Error| io_error("write", &path, e).with_kind(Kind::Seal);
        let text = serde_json::to_string_pretty(self).map_err(|e| fail(e.into()))?;
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        };
        let written = write();
        if written.is_ok() {
            passing("written")?;
        }
        written.and_then(|()| fs::rename(&temporary, &path)).map_err(|e| {
            let _ = fs::remove_file(&temporary);
            fail(e)
        })?;
        passing("renamed")?;
        sync_folder(folder).map_err(fail)
    }
}

/// Waits a few seconds for others that change the key of this folder. The lock ends with the value, or with the process.
pub(super) fn lock(folder: &Path) -> Result<File, JournalError> {
    const EVERY: Duration = Duration::from_millis(50);
    let file = File::open(folder).map_err(|e| io_error("open", folder, e))?;
    for _ in 0..200 {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(EVERY),
            Err(e) => return Err(io_error("lock", folder, io::Error::from(e))),
        }
    }
    let text = format!("another process is changing the sealing key in {}", folder.display());
    Err(JournalError::new(Kind::Locked, "HO0318", text).hint("try again; `fuser -v` on the folder names the process"))
}
