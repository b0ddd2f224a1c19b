//! Replacing one file so that its path holds the old bytes or the new ones at every instant (safety.md S25).
//!
//! ```text
//! open folder, no links → lock it → sweep leftovers → load and check → (the caller edits)
//!   → temporary file 0600 → write → owner, access list, mode → fsync → still the same file? → rename → fsync folder
//! ```
//!
//! Up to the rename every failure is `NotDone` and the temporary file is removed; from the rename on, what cannot be
//! seen to have failed is `Unknown`. A writer that was killed leaves at most a file of mode 0600, or of the mode of the
//! replaced one, that the next writer in this folder removes: writers hold the lock, so what they find is nobody's.
//!
//! Kept: owner, group, mode, POSIX access list. Not kept: other extended attributes, an SELinux label that differs from
//! the folder's default, the inode, and with it any open handle or watch of the old file.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use rustix::fs::{self, FileType, Mode, Stat};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::disk::Disk;
use crate::mutant::{Mutant, broken};
use crate::random;

/// The largest file that is read, where nothing else is said.
const MOST_BYTES: usize = 1 << 20;

const LEFTOVER_START: &[u8] = b".handover-env-";
const LEFTOVER_END: &[u8] = b".tmp";
const LOCK_TRIES: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Why a replacement did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The path holds the old bytes.
    Before(Fault),
    /// The path holds the old bytes or the new ones.
    Maybe(Fault),
}

/// The outcome of a look, which changes nothing.
pub(crate) fn not_done<T>(result: Result<T, Fault>) -> Outcome<T> {
    result.map_or_else(Outcome::NotDone, Outcome::Done)
}

/// The outcome of a replacement.
pub(crate) fn written(result: Result<(), Failure>) -> Outcome<()> {
    match result {
        Ok(()) => Outcome::Done(()),
        Err(Failure::Before(fault)) => Outcome::NotDone(fault),
        Err(Failure::Maybe(fault)) => Outcome::Unknown(fault),
    }
}

/// File calls block, so they run on a thread of their own. A call that is given up runs on to its end there.
pub(crate) async fn apart<T: Send + 'static>(path: &str, work: impl FnOnce() -> Outcome<T> + Send + 'static) -> Outcome<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        let message = format!("{path}: the write was cut off inside Handover");
        Outcome::Unknown(Fault::new(FaultClass::Temporary, "HO0620", message).hint("read the entry to see what it holds"))
    })
}

/// The place of a file: its folder, opened and checked, and its name.
pub(crate) struct Place<'d> {
    pub(super) disk: &'d Disk,
    pub(super) path: PathBuf,
    pub(super) name: OsString,
    pub(super) folder: OwnedFd,
    pub(super) most: usize,
    in_a_new_second: bool,
    patience: u32,
}

/// A file that was read, kept open for its owner, mode and access list.
pub(crate) struct Loaded {
    /// Its bytes.
    pub(crate) text: Zeroizing<Vec<u8>>,
    file: OwnedFd,
    stat: Stat,
}

impl Loaded {
    /// The permission bits.
    pub(crate) fn mode(&self) -> u32 {
        self.stat.st_mode & 0o7777
    }

    /// Whether users that are neither the owner nor in the group may read it.
    pub(crate) fn is_open_to_others(&self) -> bool {
        Mode::from_raw_mode(self.stat.st_mode).contains(Mode::ROTH)
    }
}

impl<'d> Place<'d> {
    /// Opens the folder of `path`; refuses what S25 refuses.
    pub(crate) fn open(disk: &'d Disk, path: &str) -> Result<Self, Fault> {
        let path = PathBuf::from(path);
        let plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
        let (Some(parent), Some(name), true) =
            (path.parent(), path.file_name(), plain && !path.as_os_str().as_bytes().contains(&0))
        else {
            let message = format!("{}: the path must be absolute, name a file and have no `..`", path.display());
            return Err(
                Fault::new(FaultClass::Permanent, "HO0605", message).hint("write the whole path, such as /etc/app/smtp.env")
            );
        };
        let folder = disk.open_folder(&path, parent).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR => {
                let message = format!("{}: there is no such folder", parent.display());
                Fault::new(FaultClass::Permanent, "HO0621", message).hint("make the folder, or correct the entry's path")
            }
            errno => trouble(parent, "open the folder", errno),
        })?;
        let stat = fs::fstat(&folder).map_err(|errno| trouble(parent, "look at the folder", errno))?;
        if Mode::from_raw_mode(stat.st_mode).contains(Mode::WOTH) {
            let message = format!("{}: everyone may write in this folder, so anyone could swap the file", parent.display());
            return Err(Fault::new(FaultClass::Permanent, "HO0604", message).hint(format!("chmod o-w {}", parent.display())));
        }
        check_way(parent)?;
        let name = name.to_owned();
        Ok(Self { disk, path, name, folder, most: MOST_BYTES, in_a_new_second: false, patience: LOCK_TRIES })
    }

    /// The same, waiting for other writers six times as long: where a lock is held while programs run.
    pub(crate) fn patient(mut self) -> Self {
        self.patience = 6 * LOCK_TRIES;
        self
    }

    /// The same for files of at most `most` bytes.
    pub(crate) fn at_most(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// The same where each replacement gets a later second than the file before it: for readers that look at whole seconds and
    /// the size only. It may wait for the second to pass.
    pub(crate) fn in_a_new_second(mut self) -> Self {
        self.in_a_new_second = true;
        self
    }

    /// Waits a few seconds for other writers in the same folder. The lock is on the folder itself, leaves nothing behind
    /// and ends with this value, or with the process.
    pub(crate) fn lock(&self) -> Result<(), Fault> {
        for _ in 0..self.patience {
            match self.disk.try_lock(&self.path, self.folder.as_fd()) {
                Ok(()) => return Ok(()),
                Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(LOCK_PAUSE),
                Err(errno) => return Err(trouble(&self.path, "lock the folder", errno)),
            }
        }
        let message = format!("{}: another process holds the lock on the folder", self.path.display());
        Err(Fault::new(FaultClass::Temporary, "HO0617", message).hint("see which one with `fuser -v` on the folder"))
    }

    /// Removes what killed writers left. Only under the lock.
    pub(crate) fn sweep(&self) -> Result<(), Fault> {
        let names = self.disk.list(&self.path, self.folder.as_fd());
        let names = names.map_err(|errno| trouble(&self.path, "list the folder", errno))?;
        for name in names.iter().filter(|name| is_leftover(name)) {
            // One that cannot be removed hinders nothing: names are never used twice.
            let _ = self.disk.remove(&self.path, self.folder.as_fd(), OsStr::from_bytes(name));
        }
        Ok(())
    }

    /// Reads the file; `None` if there is none.
    pub(crate) fn load(&self) -> Result<Option<Loaded>, Fault> {
        let (disk, path, folder) = (self.disk, &self.path, self.folder.as_fd());
        let seen = disk.look(path, folder, &self.name).map_err(|errno| trouble(path, "look at the file", errno))?;
        let Some(seen) = seen else { return Ok(None) };
        // Before opening: to open a device can do things.
        self.check_kind(&seen)?;
        let file = match disk.open(path, folder, &self.name) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(trouble(path, "open the file", errno)),
        };
        let stat = fs::fstat(&file).map_err(|errno| trouble(path, "look at the file", errno))?;
        self.check_kind(&stat)?;
        self.check_alone(&stat)?;
        if Mode::from_raw_mode(stat.st_mode).contains(Mode::WOTH) {
            let mode = stat.st_mode & 0o7777;
            let message = format!(
                "{}: everyone may write to this file (mode {mode:04o}), so anyone could swap the login",
                path.display()
            );
            return Err(Fault::new(FaultClass::Permanent, "HO0623", message).hint(format!("chmod o-rwx {}", path.display())));
        }
        let text = disk.read(path, file.as_fd(), self.most).map_err(|errno| trouble(path, "read the file", errno))?;
        if text.len() > self.most {
            let message = format!("{}: the file is larger than {} MiB", path.display(), self.most >> 20);
            return Err(Fault::new(FaultClass::Permanent, "HO0606", message).hint("is it the right file?"));
        }
        Ok(Some(Loaded { text, file, stat }))
    }

    pub(super) fn check_kind(&self, stat: &Stat) -> Result<(), Fault> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(()),
            FileType::Symlink => Err(trouble(&self.path, "open the file", Errno::LOOP)),
            other => {
                let message = format!("{}: not a regular file but {other:?}", self.path.display());
                Err(Fault::new(FaultClass::Permanent, "HO0602", message).hint("point the entry to a regular file"))
            }
        }
    }

    pub(super) fn check_alone(&self, stat: &Stat) -> Result<(), Fault> {
        if stat.st_nlink <= 1 {
            return Ok(());
        }
        let message = format!("{}: the file has {} names (hard links)", self.path.display(), stat.st_nlink);
        Err(Fault::new(FaultClass::Permanent, "HO0603", message).hint("make it a file of its own, without other links"))
    }

    /// Makes sure that what was read survives a power failure: the writer of it may have been killed before it could.
    pub(crate) fn settle(&self, loaded: &Loaded) -> Result<(), Fault> {
        let file = self.disk.sync_file(&self.path, loaded.file.as_fd());
        let both = file.and_then(|()| self.disk.sync_folder(&self.path, self.folder.as_fd()));
        both.map_err(|errno| trouble(&self.path, "bring the file to the disk", errno))
    }

    /// Puts `text` in the place of what was loaded. Only under the lock.
    pub(crate) fn replace(&self, old: Option<&Loaded>, text: &[u8]) -> Result<(), Failure> {
        if broken(Mutant::WrittenInPlace) {
            return self.write_in_place(text).map_err(|errno| Failure::Before(trouble(&self.path, "write the file", errno)));
        }
        let name = temporary_name(&self.path).map_err(Failure::Before)?;
        if let Err(fault) = self.prepare(&name, old, text).and_then(|()| self.check_unchanged(old)) {
            self.discard(&name);
            return Err(Failure::Before(fault));
        }
        let (disk, path, folder) = (self.disk, &self.path, self.folder.as_fd());
        if let Err(errno) = disk.rename(path, folder, &name, &self.name) {
            let fault = trouble(path, "rename the new file over the old", errno);
            // If the new file still has its own name, the rename has not happened.
            return match disk.look(path, folder, OsStr::new(&name)) {
                Ok(Some(_)) => {
                    self.discard(&name);
                    Err(Failure::Before(fault))
                }
                Ok(None) | Err(_) => Err(Failure::Maybe(unsure(path))),
            };
        }
        disk.sync_folder(path, folder).map_err(|_| Failure::Maybe(unsure(path)))
    }

    /// What must not be done: only ever broken so by a test.
    fn write_in_place(&self, text: &[u8]) -> rustix::io::Result<()> {
        let file = fs::openat(&self.folder, &self.name, fs::OFlags::WRONLY | fs::OFlags::TRUNC, Mode::empty())?;
        self.disk.write(&self.path, file.as_fd(), text)
    }

    /// Proves that a file of this size, owner and mode can be made here, and takes it away again. Only under the lock.
    pub(crate) fn probe(&self, old: Option<&Loaded>, size: usize) -> Result<(), Fault> {
        self.check_replaceable(old)?;
        let name = temporary_name(&self.path)?;
        let proven = self.prepare(&name, old, &vec![b'#'; size]);
        let removed = self.disk.remove(&self.path, self.folder.as_fd(), OsStr::new(&name));
        proven?;
        removed.map_err(|errno| trouble(&self.path, "remove a temporary file beside it", errno))
    }

    fn prepare(&self, name: &str, old: Option<&Loaded>, text: &[u8]) -> Result<(), Fault> {
        let (disk, path, folder) = (self.disk, &self.path, self.folder.as_fd());
        let file =
            disk.create(path, folder, name).map_err(|errno| trouble(path, "make a temporary file beside it", errno))?;
        let file = file.as_fd();
        disk.write(path, file, text).map_err(|errno| trouble(path, "write a temporary file beside it", errno))?;
        let keep = |what, errno| {
            let message = format!("{}: its {what} cannot be kept ({errno})", path.display());
            let hint = "run Handover as the owner of the file, or as root";
            Fault::new(FaultClass::Permanent, "HO0610", message).hint(hint)
        };
        if broken(Mutant::ModeForgotten) {
            return disk.sync_file(path, file).map_err(|errno| trouble(path, "bring a temporary file to the disk", errno));
        }
        if let Some(Loaded { stat, .. }) = old {
            let made = fs::fstat(file).map_err(|errno| trouble(path, "look at a temporary file beside it", errno))?;
            if (made.st_uid, made.st_gid) != (stat.st_uid, stat.st_gid) {
                let (uid, gid) = (fs::Uid::from_raw(stat.st_uid), fs::Gid::from_raw(stat.st_gid));
                disk.own(path, file, uid, gid).map_err(|errno| keep("owner", errno))?;
            }
        }
        disk.copy_access(path, old.map(|o| o.file.as_fd()), file).map_err(|errno| keep("access list", errno))?;
        let mode = old.map_or(Mode::RUSR | Mode::WUSR, |o| {
            Mode::from_raw_mode(o.stat.st_mode) & (Mode::RWXU | Mode::RWXG | Mode::RWXO)
        });
        disk.set_mode(path, file, mode).map_err(|errno| keep("mode", errno))?;
        if let Some(Loaded { stat, .. }) = old.filter(|_| self.in_a_new_second) {
            let stamped = disk.stamp_after(path, file, stat.st_mtime);
            stamped.map_err(|errno| trouble(path, "give a temporary file beside it a later time", errno))?;
        }
        disk.sync_file(path, file).map_err(|errno| trouble(path, "bring a temporary file to the disk", errno))
    }

    fn discard(&self, name: &str) {
        // If this fails the next writer sweeps it.
        let _ = self.disk.remove(&self.path, self.folder.as_fd(), OsStr::new(name));
    }

    /// Someone's editor does not ask for our lock: what was loaded must still be what is there.
    fn check_unchanged(&self, old: Option<&Loaded>) -> Result<(), Fault> {
        let now = self.disk.look(&self.path, self.folder.as_fd(), &self.name);
        let now = now.map_err(|errno| trouble(&self.path, "look at the file", errno))?;
        let same = match (old, &now) {
            (None, None) => true,
            (Some(old), Some(now)) => same_file(&old.stat, now),
            _ => false,
        };
        if same {
            return Ok(());
        }
        let message = format!("{}: someone else changed the file at the same moment", self.path.display());
        Err(Fault::new(FaultClass::Temporary, "HO0618", message).hint("find out who writes the file besides Handover"))
    }

    /// A file that is a mount of its own (as containers get single files) or immutable cannot be renamed over.
    #[cfg(target_os = "linux")]
    fn check_replaceable(&self, old: Option<&Loaded>) -> Result<(), Fault> {
        use rustix::fs::{AtFlags, StatxAttributes, StatxFlags};
        let Some(old) = old else { return Ok(()) };
        let Ok(seen) = fs::statx(&old.file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS) else { return Ok(()) };
        let held = seen.stx_attributes & seen.stx_attributes_mask;
        let (what, hint) = if held.contains(StatxAttributes::MOUNT_ROOT) {
            ("is mounted by itself", "mount the folder that holds it, not the single file")
        } else if held.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND) {
            ("is marked immutable or append-only", "remove the mark with `chattr -ia`")
        } else {
            return Ok(());
        };
        let message = format!("{}: the file {what} and cannot be replaced", self.path.display());
        Err(Fault::new(FaultClass::Permanent, "HO0619", message).hint(hint))
    }

    #[cfg(not(target_os = "linux"))]
    fn check_replaceable(&self, _: Option<&Loaded>) -> Result<(), Fault> {
        Ok(())
    }
}

pub(super) fn temporary_name(path: &Path) -> Result<String, Fault> {
    let id = random::hex_id(16)
        .map_err(|error| Fault::new(FaultClass::Temporary, "HO0609", format!("{}: {error}", path.display())))?;
    Ok(format!(".handover-env-{id}.tmp"))
}

/// Refuses a folder above `folder` in which anyone may rename what is on the way and put a folder of their own in its place.
/// With the sticky bit they may not, as in `/tmp`; they could make new names there, which is why `folder` itself is held to
/// more. Links were refused when it was opened, so the path is the real one, and one that is safe from the root on stays so.
fn check_way(folder: &Path) -> Result<(), Fault> {
    for above in folder.ancestors().skip(1) {
        let stat = fs::lstat(above).map_err(|errno| trouble(above, "look at the folder", errno))?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        if mode.contains(Mode::WOTH) && !mode.contains(Mode::SVTX) {
            let message =
                format!("{}: everyone may write in {}, so anyone could swap this folder", folder.display(), above.display());
            return Err(Fault::new(FaultClass::Permanent, "HO0604", message).hint(format!("chmod o-w {}", above.display())));
        }
    }
    Ok(())
}

/// Whether a name is one that [`temporary_name`] makes.
fn is_leftover(name: &[u8]) -> bool {
    let id = name.strip_prefix(LEFTOVER_START).and_then(|rest| rest.strip_suffix(LEFTOVER_END));
    id.is_some_and(|id| id.len() == 32 && id.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

fn same_file(a: &Stat, b: &Stat) -> bool {
    (a.st_dev, a.st_ino, a.st_size, a.st_mode, a.st_uid, a.st_gid)
        == (b.st_dev, b.st_ino, b.st_size, b.st_mode, b.st_uid, b.st_gid)
        && (a.st_mtime, a.st_mtime_nsec, a.st_ctime, a.st_ctime_nsec)
            == (b.st_mtime, b.st_mtime_nsec, b.st_ctime, b.st_ctime_nsec)
}

fn unsure(path: &Path) -> Fault {
    let message =
        format!("{}: the file was being replaced when the disk failed; it holds the old login or the new", path.display());
    Fault::new(FaultClass::Temporary, "HO0620", message).hint("read the entry to see which")
}

/// What an error of the system means for a person.
pub(super) fn trouble(path: &Path, doing: &str, errno: Errno) -> Fault {
    use FaultClass::{Permanent, Temporary};
    let (class, code, what, hint) = match errno {
        Errno::LOOP | Errno::MLINK => (
            Permanent,
            "HO0601",
            "a symbolic link is on the way".to_owned(),
            Some("give the real path (`realpath` shows it)"),
        ),
        Errno::ACCESS | Errno::PERM | Errno::ROFS => {
            let hint = "Handover needs to read the file and to make files in its folder";
            (Permanent, "HO0607", errno.to_string(), Some(hint))
        }
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => {
            (Permanent, "HO0608", "the disk is full".to_owned(), Some("free some space; the file is untouched"))
        }
        Errno::BUSY | Errno::TXTBSY | Errno::XDEV => {
            (Permanent, "HO0619", errno.to_string(), Some("mount the folder that holds it, not the single file"))
        }
        Errno::IO | Errno::NFILE | Errno::MFILE | Errno::NOMEM | Errno::AGAIN | Errno::INTR | Errno::STALE => {
            (Temporary, "HO0609", errno.to_string(), None)
        }
        _ => (Permanent, "HO0609", errno.to_string(), None),
    };
    let fault = Fault::new(class, code, format!("{}: cannot {doing}: {what}", path.display()));
    match hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}
