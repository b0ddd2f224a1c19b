//! A safe place for the journal: modes, owner, links and file system, checked before anything is opened.
//!
//! What others may write to cannot be the truth, and a write-ahead log on a network file system is lost or torn.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::{JournalError, Kind, io as io_error};

/// Makes the folder (0700) or checks the one that is there; gives its path without links.
pub(crate) fn folder(path: &Path) -> Result<PathBuf, JournalError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| io_error("make the state folder", path, e))?;
    look(path)
}

/// Checks a folder that is there; gives its path without links.
pub(crate) fn look(path: &Path) -> Result<PathBuf, JournalError> {
    let path = path.canonicalize().map_err(|e| io_error("find the state folder", path, e))?;
    let meta = fs::symlink_metadata(&path).map_err(|e| io_error("look at the state folder", &path, e))?;
    if !meta.is_dir() {
        return Err(JournalError::new(Kind::Place, "HO0301", format!("{} is not a folder", path.display())));
    }
    mine(&meta, &path, "HO0301")?;
    if meta.mode() & 0o022 != 0 {
        let text =
            format!("the state folder {} may be written to by others (mode {:04o})", path.display(), meta.mode() & 0o7777);
        return Err(JournalError::new(Kind::Place, "HO0301", text)
            .hint(format!("chmod 700 {}, or name a folder that is only yours", path.display())));
    }
    if let Some(name) = network(&path)? {
        let text = format!("the state folder {} is on {name}, where SQLite's write-ahead log is not safe", path.display());
        return Err(JournalError::new(Kind::Place, "HO0303", text).hint("name a folder on a local disk with --state"));
    }
    Ok(path)
}

/// Makes an empty file of mode 0600, or checks the one that is there. True if it is new.
pub(crate) fn file(path: &Path) -> Result<bool, JournalError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            // The umask may have taken bits away; the owner must be able to read it.
            file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(|e| io_error("set the mode of", path, e))?;
            Ok(true)
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let meta = fs::symlink_metadata(path).map_err(|e| io_error("look at", path, e))?;
            private(&meta, path, "HO0302").map(|()| false)
        }
        Err(e) => Err(io_error("make", path, e)),
    }
}

/// Refuses what is not a plain file of this user that only this user can use.
pub(crate) fn private(meta: &Metadata, path: &Path, code: &'static str) -> Result<(), JournalError> {
    let refuse = |text: String| JournalError::new(Kind::Place, code, text);
    if !meta.is_file() {
        let what = if meta.is_symlink() { "a symbolic link" } else { "not a plain file" };
        return Err(refuse(format!("{} is {what}", path.display())).hint("name the file itself"));
    }
    mine(meta, path, code)?;
    if meta.nlink() > 1 {
        return Err(
            refuse(format!("{} has {} hard links", path.display(), meta.nlink())).hint("remove the other names of it")
        );
    }
    if meta.mode() & 0o077 != 0 {
        return Err(refuse(format!("{} is open to others (mode {:04o})", path.display(), meta.mode() & 0o7777))
            .hint(format!("find out who could read it, then chmod 600 {}", path.display())));
    }
    Ok(())
}

fn mine(meta: &Metadata, path: &Path, code: &'static str) -> Result<(), JournalError> {
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() == me {
        return Ok(());
    }
    Err(JournalError::new(Kind::Place, code, format!("{} belongs to user {}, not to user {me}", path.display(), meta.uid()))
        .hint("run as the user it belongs to"))
}

/// Makes a rename or a new name in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The name of the network file system that `path` is on, if it is on one.
fn network(path: &Path) -> Result<Option<&'static str>, JournalError> {
    let stat = rustix::fs::statfs(path).map_err(|e| io_error("find the file system of", path, e))?;
    // Some magics have their highest bit set, and the type differs by platform: compare 32 bits.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "file system magics have 32 bits")]
    let magic = stat.f_type as u32;
    Ok(network_name(magic))
}

fn network_name(magic: u32) -> Option<&'static str> {
    let name = match magic {
        0x0000_6969 => "NFS",
        0x0000_517B | 0xFF53_4D42 | 0xFE53_4D42 => "SMB/CIFS",
        0x0102_1997 => "9p",
        0x6573_5546 => "FUSE (which may be sshfs or another network file system)",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x00C3_6400 => "Ceph",
        0x0BD0_0BD0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x0116_1970 => "GFS2",
        0x7461_636F => "OCFS2",
        0x1983_0326 => "BeeGFS",
        0x786F_4256 => "a VirtualBox shared folder",
        0x6A65_6A63 => "virtiofs",
        0x0000_564C => "NCP",
        _ => return None,
    };
    Some(name)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::{file, folder, network_name};
    use crate::journal::Kind;

    #[test]
    fn folders_are_made_for_the_owner_only_and_loose_ones_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let made = folder(&dir.path().join("a/b")).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
        for (mode, accepted) in [(0o700, true), (0o755, true), (0o770, false), (0o757, false), (0o1777, false)] {
            fs::set_permissions(&made, Permissions::from_mode(mode)).unwrap();
            let result = folder(&made);
            assert_eq!(result.is_ok(), accepted, "{mode:o}");
            if let Err(e) = result {
                assert_eq!((e.kind, e.code), (Kind::Place, "HO0301"));
            }
        }
    }

    #[test]
    fn files_are_made_for_the_owner_only_and_others_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert!(file(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!file(&path).unwrap());

        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert_eq!(file(&path).unwrap_err().code, "HO0302");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();

        symlink(&path, dir.path().join("link")).unwrap();
        assert!(file(&dir.path().join("link")).unwrap_err().message.contains("symbolic link"));
        fs::hard_link(&path, dir.path().join("second")).unwrap();
        assert!(file(&path).unwrap_err().message.contains("hard links"));
        fs::create_dir(dir.path().join("d")).unwrap();
        assert!(file(&dir.path().join("d")).unwrap_err().message.contains("not a plain file"));
    }

    #[test]
    fn network_file_systems_are_known() {
        for magic in [0x6969, 0x517B, 0xFF53_4D42, 0xFE53_4D42, 0x0102_1997, 0x6573_5546, 0x00C3_6400] {
            assert!(network_name(magic).is_some(), "{magic:x}");
        }
        for (magic, name) in [
            (0xEF53, "ext4"),
            (0x0102_1994, "tmpfs"),
            (0x9123_683E, "btrfs"),
            (0x5846_5342, "xfs"),
            (0x794C_7630, "overlay"),
        ] {
            assert_eq!(network_name(magic), None, "{name}");
        }
    }
}
