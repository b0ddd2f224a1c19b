//! The anchor: the head of the chain in a file beside the database, so that a database that was rolled back is noticed.
//!
//! It may lag behind the database, never run ahead of it: it is written after commits. Whoever can write both can forge both;
//! it is there against restored backups, cut tails and lost files (safety.md S23, threat T5).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, test_kill_process};

use super::error::{JournalError, Kind, io as io_error};
use super::place::{private, sync_folder};
use super::record::Head;
use super::{envelope_file, seal};

const TITLE: &str = "handover-anchor 1";
const TEMPORARY: &str = "anchor.tmp.";

/// The head of the journal of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) instance: String,
    pub(crate) head: Head,
}

impl Anchor {
    pub(crate) fn path(folder: &Path) -> PathBuf {
        folder.join("anchor")
    }

    /// The anchor of a state folder, if it has one.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, JournalError> {
        let path = Self::path(folder);
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io_error("look at", &path, e)),
        };
        private(&meta, &path, "HO0302")?;
        let text = fs::read_to_string(&path).map_err(|e| io_error("read", &path, e))?;
        let anchor = Self::parse(&text).ok_or_else(|| {
            rolled_back("HO0310", format!("{} is not an anchor that this release can read", path.display()))
        })?;
        Ok(Some(anchor))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        (lines.next()? == TITLE).then_some(())?;
        let instance = lines.next()?.to_owned();
        let (n, hash) = lines.next()?.split_once(':')?;
        let hash = hex::decode(hash).ok()?.try_into().ok()?;
        Some(Self { instance, head: Head { n: n.parse().ok()?, hash } })
    }

    /// Replaces the anchor: whole, and durable when this returns.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!("{TEMPORARY}{}.{count}", std::process::id()));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(format!("{TITLE}\n{}\n{}\n", self.instance, self.head).as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, Self::path(folder))
        };
        match write() {
            Ok(()) => sync_folder(folder),
            Err(e) => {
                let _ = fs::remove_file(&temporary);
                Err(e)
            }
        }
    }
}

/// Removes temporary files of writers that were killed, or whose disk failed even to remove them.
pub(crate) fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = |n: &str| {
            [TEMPORARY, seal::TEMPORARY, envelope_file::TEMPORARY]
                .iter()
                .find_map(|t| n.strip_prefix(t)?.split('.').next()?.parse().ok())
        };
        let Some(pid) = name.to_str().and_then(ours) else { continue };
        if Pid::from_raw(pid).is_none_or(|pid| test_kill_process(pid).is_err_and(|e| e == rustix::io::Errno::SRCH)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The journal is not the one, or not the state, that the anchor has seen.
pub(crate) fn rolled_back(code: &'static str, text: String) -> JournalError {
    JournalError::new(Kind::RolledBack, code, text).hint(
        "put the newest database back with its anchor; if a backup is meant, look at each open rotation's provider first",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Anchor, sweep};
    use crate::journal::Head;

    #[test]
    fn what_is_written_is_read_and_anything_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Anchor::read(dir.path()).unwrap(), None);
        for n in [0, 7, u64::MAX] {
            let anchor = Anchor { instance: "abc".to_owned(), head: Head { n, hash: [9; 32] } };
            anchor.write(dir.path()).unwrap();
            assert_eq!(Anchor::read(dir.path()).unwrap(), Some(anchor));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        for text in ["", "handover-anchor 2\nabc\n1:00", "handover-anchor 1\nabc\n1:00\n", "handover-anchor 1\nabc\n"] {
            fs::write(Anchor::path(dir.path()), text).unwrap();
            assert_eq!(Anchor::read(dir.path()).unwrap_err().code, "HO0310", "{text:?}");
        }
    }

    #[test]
    fn only_leftovers_of_dead_writers_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let mine = dir.path().join(format!("anchor.tmp.{}.0", std::process::id()));
        let key = dir.path().join(format!("sealing-key.tmp.{}.00ff", std::process::id()));
        let dead = ["anchor.tmp.2147483646.3", "sealing-key.tmp.2147483646.00ff"].map(|name| dir.path().join(name));
        for path in [&mine, &key, &dead[0], &dead[1]] {
            fs::write(path, "").unwrap();
        }
        sweep(dir.path());
        assert!(mine.exists() && key.exists());
        assert!(!dead.iter().any(|path| path.exists()));
    }
}
