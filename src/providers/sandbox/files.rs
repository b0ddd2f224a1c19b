//! Files that are whole at any instant: written beside, flushed, then renamed over; changed by one process at a time.
//!
//! Used for everything that the sandbox keeps on disk. Not for the entries of services: those belong to their store.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use handover_rotation::outcome::{Fault, FaultClass};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The wall clock in milliseconds since the Unix epoch: the sandbox plays the outside world, which has its own clock.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// A fault about a file, with what was being done to it.
pub(crate) fn file_fault(code: &str, doing: &str, path: &Path, error: &io::Error) -> Fault {
    Fault::new(FaultClass::Permanent, code, format!("cannot {doing} {}: {error}", path.display()))
}

/// Makes a folder that only its owner can enter, and its parents.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Waits for the exclusive lock on `path`; the lock goes with the returned file, also when the process is killed.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let file = open_lock(path)?;
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes the exclusive lock on `path` if nobody has it.
pub(crate) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = open_lock(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether some process holds the lock on `path`. Looking takes a shared lock for an instant, so whoever wants the lock
/// tries more than once.
pub(crate) fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// The bytes of a file, or `None` if there is none.
pub(crate) fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a write must outlive a power cut, or only a kill.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// Flushed to the disk.
    PowerCut,
    /// Left to the system to flush: for notes that may be lost.
    Kill,
}

/// Why a file was not, or not surely, replaced.
pub(crate) enum WriteError {
    /// The old content is in place.
    Before(io::Error),
    /// The new content is in place, but perhaps not after a power cut.
    After(io::Error),
}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Before(error) | WriteError::After(error) => error,
        }
    }
}

/// Replaces `path` with `bytes`, mode 0600. The caller holds the lock that guards `path`: the temporary file has one name,
/// so that kills leave at most one behind, which the next write takes over.
pub(crate) fn replace(path: &Path, bytes: &[u8], lasting: Lasting) -> Result<(), WriteError> {
    let beside = beside(path);
    write_new(&beside, bytes, lasting)
        .and_then(|()| fs::rename(&beside, path))
        .inspect_err(|_| drop(fs::remove_file(&beside)))
        .map_err(WriteError::Before)?;
    if lasting == Lasting::PowerCut
        && let Some(parent) = path.parent()
    {
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(WriteError::After)?;
    }
    Ok(())
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.tmp"))
}

fn write_new(path: &Path, bytes: &[u8], lasting: Lasting) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    if lasting == Lasting::PowerCut { file.sync_all() } else { Ok(()) }
}
