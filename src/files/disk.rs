//! The file operations, each one a point at which a test, or the sandbox's full disk, can make it fail.
//!
//! Everything works on handles of folders and never follows a symbolic link. What to do in which order is in `replace`.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};
use std::time::Duration;

use rustix::fs::{
    self, AtFlags, CWD, FlockOperation, Gid, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid,
};
use rustix::io::{Errno, Result};
use zeroize::Zeroizing;

/// A file operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    OpenFolder,
    Lock,
    List,
    Look,
    Open,
    Read,
    Create,
    Write,
    Own,
    SetMode,
    Stamp,
    CopyAccess,
    SyncFile,
    Rename,
    SyncFolder,
    Remove,
}

/// How an operation is made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "only tests make other operations than the write fail"))]
pub(crate) enum Trouble {
    /// It fails and nothing has happened.
    Before(Errno),
    /// It fails halfway: for a write, half of the bytes are there; otherwise it has happened.
    After(Errno),
}

/// Decides whether an operation on the file of an entry fails.
pub(crate) type Hook = Box<dyn Fn(Op, &Path) -> Option<Trouble> + Send + Sync>;

/// The operations. A hook may make each of them fail.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) hook: Option<Hook>,
}

/// How often a later second is looked for, and how far apart: two seconds and a half in all.
const MOST_STAMPS: u32 = 250;
const STAMP_PAUSE: Duration = Duration::from_millis(10);

/// Flags of everything that is opened: no link is followed, nothing is inherited by children, a FIFO does not block.
const SAFE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

impl Disk {
    fn run<T>(&self, op: Op, path: &Path, act: impl FnOnce() -> Result<T>) -> Result<T> {
        match self.hook.as_ref().and_then(|hook| hook(op, path)) {
            None => act(),
            Some(Trouble::Before(errno)) => Err(errno),
            Some(Trouble::After(errno)) => act().and(Err(errno)),
        }
    }

    /// Opens a folder, refusing (`ELOOP`) a symbolic link anywhere on the way.
    pub(crate) fn open_folder(&self, path: &Path, folder: &Path) -> Result<OwnedFd> {
        self.run(Op::OpenFolder, path, || match open_at_once(folder) {
            Some(opened) => opened,
            None => open_by_steps(folder),
        })
    }

    pub(crate) fn try_lock(&self, path: &Path, folder: BorrowedFd<'_>) -> Result<()> {
        self.run(Op::Lock, path, || fs::flock(folder, FlockOperation::NonBlockingLockExclusive))
    }

    pub(crate) fn list(&self, path: &Path, folder: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>> {
        self.run(Op::List, path, || {
            fs::Dir::read_from(folder)?.map(|entry| Ok(entry?.file_name().to_bytes().to_vec())).collect()
        })
    }

    pub(crate) fn look(&self, path: &Path, folder: BorrowedFd<'_>, name: &OsStr) -> Result<Option<Stat>> {
        self.run(Op::Look, path, || match fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        })
    }

    pub(crate) fn open(&self, path: &Path, folder: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd> {
        self.run(Op::Open, path, || fs::openat(folder, name, OFlags::RDONLY | SAFE, Mode::empty()))
    }

    /// Opens a file to add to it, and makes it, readable by nobody else from its birth, where there is none.
    pub(crate) fn open_to_append(&self, path: &Path, folder: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | SAFE;
        self.run(Op::Open, path, || fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR))
    }

    /// Fills `text` from a place in the file.
    pub(crate) fn read_at(&self, path: &Path, file: BorrowedFd<'_>, text: &mut [u8], from: u64) -> Result<()> {
        self.run(Op::Read, path, || {
            let mut held = 0;
            while held < text.len() {
                match rustix::io::pread(file, &mut text[held..], from + held as u64) {
                    Ok(0) => return Err(Errno::IO),
                    Ok(n) => held += n,
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            Ok(())
        })
    }

    /// Reads at most `most` bytes and one, into memory that is wiped.
    pub(crate) fn read(&self, path: &Path, file: BorrowedFd<'_>, most: usize) -> Result<Zeroizing<Vec<u8>>> {
        self.run(Op::Read, path, || {
            // As large as the file is now, and wiped when it has to grow: a growing Vec would leave copies behind.
            let size = usize::try_from(fs::fstat(file)?.st_size).unwrap_or(0);
            let mut text = Zeroizing::new(vec![0; size.min(most) + 1]);
            let mut held = 0;
            loop {
                if held == text.len() {
                    if held > most {
                        break;
                    }
                    let mut larger = Zeroizing::new(vec![0; (held * 2).min(most + 1)]);
                    larger[..held].copy_from_slice(&text);
                    text = larger;
                }
                match rustix::io::read(file, &mut text[held..]) {
                    Ok(0) => break,
                    Ok(n) => held += n,
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            text.truncate(held);
            Ok(text)
        })
    }

    /// Makes a file that was not there, readable by nobody else from its birth.
    pub(crate) fn create(&self, path: &Path, folder: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | SAFE;
        self.run(Op::Create, path, || fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR))
    }

    pub(crate) fn write(&self, path: &Path, file: BorrowedFd<'_>, text: &[u8]) -> Result<()> {
        let torn = match self.hook.as_ref().and_then(|hook| hook(Op::Write, path)) {
            None => None,
            Some(Trouble::Before(errno)) => return Err(errno),
            Some(Trouble::After(errno)) => Some(errno),
        };
        let mut left = if torn.is_some() { &text[..text.len() / 2] } else { text };
        while !left.is_empty() {
            match rustix::io::write(file, left) {
                Ok(0) => return Err(Errno::IO),
                Ok(n) => left = &left[n..],
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        torn.map_or(Ok(()), Err)
    }

    pub(crate) fn own(&self, path: &Path, file: BorrowedFd<'_>, uid: Uid, gid: Gid) -> Result<()> {
        self.run(Op::Own, path, || fs::fchown(file, Some(uid), Some(gid)))
    }

    pub(crate) fn set_mode(&self, path: &Path, file: BorrowedFd<'_>, mode: Mode) -> Result<()> {
        self.run(Op::SetMode, path, || fs::fchmod(file, mode))
    }

    /// Makes sure that the file was changed in a later second than `second`: waits for the next one, or, where the clock has been
    /// put back, takes the one after `second`.
    pub(crate) fn stamp_after(&self, path: &Path, file: BorrowedFd<'_>, second: i64) -> Result<()> {
        let set = |to: Timespec| {
            let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: to };
            fs::futimens(file, &times)
        };
        self.run(Op::Stamp, path, || {
            for _ in 0..MOST_STAMPS {
                match second.saturating_add(1).saturating_sub(fs::fstat(file)?.st_mtime) {
                    ..=0 => return Ok(()),
                    1..=2 => {
                        std::thread::sleep(STAMP_PAUSE);
                        set(Timespec { tv_sec: 0, tv_nsec: UTIME_NOW })?;
                    }
                    _ => break,
                }
            }
            set(Timespec { tv_sec: second.saturating_add(1), tv_nsec: 0 })
        })
    }

    /// Gives `to` the access list of `from`, or none if that has none.
    pub(crate) fn copy_access(&self, path: &Path, from: Option<BorrowedFd<'_>>, to: BorrowedFd<'_>) -> Result<()> {
        self.run(Op::CopyAccess, path, || copy_access(from, to))
    }

    pub(crate) fn sync_file(&self, path: &Path, file: BorrowedFd<'_>) -> Result<()> {
        self.run(Op::SyncFile, path, || fs::fsync(file))
    }

    pub(crate) fn rename(&self, path: &Path, folder: BorrowedFd<'_>, from: &str, to: &OsStr) -> Result<()> {
        self.run(Op::Rename, path, || fs::renameat(folder, from, folder, to))
    }

    pub(crate) fn sync_folder(&self, path: &Path, folder: BorrowedFd<'_>) -> Result<()> {
        self.run(Op::SyncFolder, path, || fs::fsync(folder))
    }

    pub(crate) fn remove(&self, path: &Path, folder: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
        self.run(Op::Remove, path, || fs::unlinkat(folder, name, AtFlags::empty()))
    }
}

/// In one call where the kernel can refuse links on the whole way; `None` where it cannot.
#[cfg(target_os = "linux")]
fn open_at_once(folder: &Path) -> Option<Result<OwnedFd>> {
    use rustix::fs::ResolveFlags;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | SAFE;
    match fs::openat2(CWD, folder, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        // Old kernels lack the call, and some sandboxes answer EPERM for calls they do not know.
        // ENOTDIR may be a link in the last place: the walk tells which.
        Err(Errno::NOSYS | Errno::PERM | Errno::NOTDIR) => None,
        opened => Some(opened),
    }
}

#[cfg(not(target_os = "linux"))]
fn open_at_once(_: &Path) -> Option<Result<OwnedFd>> {
    None
}

/// The same folder by folder, each opened from the handle of the one before.
pub(crate) fn open_by_steps(folder: &Path) -> Result<OwnedFd> {
    // On the way only the right to pass is needed, not the right to read.
    #[cfg(target_os = "linux")]
    let pass = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let pass = OFlags::RDONLY | OFlags::DIRECTORY | SAFE;
    let last = OFlags::RDONLY | OFlags::DIRECTORY | SAFE;
    let names: Vec<&OsStr> = folder
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect();
    let mut at = fs::openat(CWD, "/", if names.is_empty() { last } else { pass }, Mode::empty())?;
    for (i, name) in names.iter().enumerate() {
        let flags = if i + 1 == names.len() { last } else { pass };
        at = match fs::openat(&at, *name, flags, Mode::empty()) {
            Err(Errno::NOTDIR) if is_link(at.as_fd(), name) => return Err(Errno::LOOP),
            opened => opened?,
        };
    }
    Ok(at)
}

fn is_link(folder: BorrowedFd<'_>, name: &OsStr) -> bool {
    fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| fs::FileType::from_raw_mode(stat.st_mode).is_symlink())
}

#[cfg(target_os = "linux")]
fn copy_access(from: Option<BorrowedFd<'_>>, to: BorrowedFd<'_>) -> Result<()> {
    const NAME: &str = "system.posix_acl_access";
    let mut list = vec![0; 65_536];
    let held = match from.map(|from| fs::fgetxattr(from, NAME, list.as_mut_slice())) {
        None | Some(Err(Errno::NODATA | Errno::NOTSUP)) => None,
        Some(Ok(n)) => Some(n),
        Some(Err(errno)) => return Err(errno),
    };
    if let Some(held) = held {
        return fs::fsetxattr(to, NAME, &list[..held], fs::XattrFlags::empty());
    }
    // A folder with a default list gives it to new files; the file that is replaced had none.
    match fs::fremovexattr(to, NAME) {
        Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
        Err(errno) => Err(errno),
    }
}

#[cfg(not(target_os = "linux"))]
fn copy_access(_: Option<BorrowedFd<'_>>, _: BorrowedFd<'_>) -> Result<()> {
    Ok(())
}
