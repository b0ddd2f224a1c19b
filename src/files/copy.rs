//! A private copy of a file, beside it, for a program that changes files in place: what it makes of the copy can be looked at before
//! it replaces the file, and a kill in between leaves the file as it was.
//!
//! It is made and removed under the lock of the folder. One that a kill leaves behind has the name and the mode of any other
//! leftover, and the next writer sweeps it.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::PathBuf;

use handover_rotation::outcome::{Fault, FaultClass};
use rustix::fs::{self, FileType};
use zeroize::Zeroizing;

use super::replace::{Place, temporary_name, trouble};

/// A copy, readable by nobody else, removed with this value.
pub(crate) struct Copy<'p, 'd> {
    place: &'p Place<'d>,
    name: String,
}

impl<'d> Place<'d> {
    /// Makes a copy with these bytes. Only under the lock.
    pub(crate) fn copy(&self, text: &[u8]) -> Result<Copy<'_, 'd>, Fault> {
        let (path, folder) = (&self.path, self.folder.as_fd());
        let name = temporary_name(path)?;
        let file = self.disk.create(path, folder, &name);
        let file = file.map_err(|errno| trouble(path, "make a copy beside it", errno))?;
        let copy = Copy { place: self, name };
        self.disk.write(path, file.as_fd(), text).map_err(|errno| trouble(path, "write a copy beside it", errno))?;
        Ok(copy)
    }
}

impl Copy<'_, '_> {
    /// Where it is, for the program.
    pub(crate) fn path(&self) -> PathBuf {
        self.place.path.with_file_name(&self.name)
    }

    /// What the program has made of it.
    pub(crate) fn read(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let Place { disk, path, folder, most, .. } = self.place;
        let look = |errno| trouble(path, "read the copy beside it", errno);
        let file = disk.open(path, folder.as_fd(), OsStr::new(&self.name)).map_err(look)?;
        let stat = fs::fstat(&file).map_err(look)?;
        let text = disk.read(path, file.as_fd(), *most).map_err(look)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || text.len() > *most {
            let message = format!("{}: the copy beside it became something else", path.display());
            return Err(Fault::new(FaultClass::Permanent, "HO0602", message).hint("who else writes in this folder?"));
        }
        Ok(text)
    }
}

impl Drop for Copy<'_, '_> {
    fn drop(&mut self) {
        // If this fails the next writer sweeps it.
        let _ = self.place.disk.remove(&self.place.path, self.place.folder.as_fd(), OsStr::new(&self.name));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::files::disk::Disk;

    #[test]
    fn a_copy_is_private_can_be_changed_by_others_and_is_gone_with_its_value() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.env");
        let disk = Disk::default();
        let place = Place::open(&disk, path.to_str().expect("text")).unwrap_or_else(|f| panic!("{f}"));
        place.lock().unwrap_or_else(|f| panic!("{f}"));
        let copy = place.copy(b"one").unwrap_or_else(|f| panic!("{f}"));
        assert_eq!(copy.path().parent(), path.parent());
        let mode = std::fs::metadata(copy.path()).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        std::fs::write(copy.path(), "two").expect("writes");
        assert_eq!(copy.read().unwrap_or_else(|f| panic!("{f}")).as_slice(), b"two");
        // A link in its place is not followed.
        std::fs::remove_file(copy.path()).expect("removes");
        std::os::unix::fs::symlink("/etc/passwd", copy.path()).expect("a link");
        assert_eq!(copy.read().expect_err("it is refused").code, "HO0601");
        // Nor a copy that cannot be written kept.
        drop(copy);
        let left = || std::fs::read_dir(folder.path()).expect("lists").count();
        assert_eq!(left(), 0);
        // What a kill leaves is swept like any leftover.
        std::mem::forget(place.copy(b"three").unwrap_or_else(|f| panic!("{f}")));
        assert_eq!(left(), 1);
        place.sweep().unwrap_or_else(|f| panic!("{f}"));
        assert_eq!(left(), 0);
    }
}
