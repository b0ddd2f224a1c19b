//! Appending lines to a file of ours that others read: private from its birth, synced, and never half of a line glued to the next.
//!
//! The folder is held to the same as where files are replaced. A file is never cut but for what this call has written: it may be
//! marked append-only.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use handover_rotation::outcome::{Fault, FaultClass};
use rustix::fs::{self, Mode};
use rustix::io::Errno;

use super::replace::{Failure, Place, trouble};

/// As much as the last line may have.
const TAIL: u64 = 2 << 20;

impl Place<'_> {
    /// Appends lines, the last with its end. The lock is on the file and nobody waits for it: the folder's may be needed for a login.
    pub(crate) fn append(&self, lines: &[u8]) -> Result<(), Failure> {
        let (disk, path, folder) = (self.disk, &self.path, self.folder.as_fd());
        let before = |doing| move |errno| Failure::Before(trouble(path, doing, errno));
        if let Some(seen) = disk.look(path, folder, &self.name).map_err(before("look at the file"))? {
            self.check_kind(&seen).map_err(Failure::Before)?;
        }
        let file = disk.open_to_append(path, folder, &self.name).map_err(before("open the file"))?;
        let stat = fs::fstat(&file).map_err(before("look at the file"))?;
        self.check_kind(&stat).and_then(|()| self.check_alone(&stat)).map_err(Failure::Before)?;
        if Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH) {
            let mode = stat.st_mode & 0o7777;
            let message = format!("{}: others may write to this file (mode {mode:04o})", path.display());
            let fault = Fault::new(FaultClass::Permanent, "HO1075", message).hint(format!("chmod go-w {}", path.display()));
            return Err(Failure::Before(fault));
        }
        disk.try_lock(path, file.as_fd()).map_err(|errno| match errno {
            Errno::WOULDBLOCK => {
                let message = format!("{}: another process is adding to this file", path.display());
                Failure::Before(Fault::new(FaultClass::Temporary, "HO0617", message))
            }
            errno => Failure::Before(trouble(path, "lock the file", errno)),
        })?;
        let size = fs::fstat(&file).map_err(before("look at the file"))?.st_size;
        let size = u64::try_from(size).unwrap_or(0);
        let mut end = [b'\n'];
        if size > 0 {
            disk.read_at(path, file.as_fd(), &mut end, size - 1).map_err(before("read the end of the file"))?;
        }
        // A writer that was killed may have left half of a line: it stays, on a line of its own.
        let mended = [b"\n", lines].concat();
        let text = if end == [b'\n'] { lines } else { &mended };
        let wrote = disk.write(path, file.as_fd(), text).and_then(|()| disk.sync_file(path, file.as_fd()));
        if let Err(errno) = wrote {
            // So that a full disk is not filled with halves. Where that fails the next call mends it.
            let _ = fs::ftruncate(&file, size);
            let fault = trouble(path, "append to the file", errno);
            let full = matches!(errno, Errno::NOSPC | Errno::DQUOT | Errno::FBIG);
            return Err(Failure::Maybe(if full {
                fault.hint("free some space: what is missing is sent then")
            } else {
                fault
            }));
        }
        if size == 0 {
            disk.sync_folder(path, folder).map_err(|errno| Failure::Maybe(trouble(path, "sync the folder", errno)))?;
        }
        Ok(())
    }

    /// The last line that has its end; `None` if there is none, or no file.
    pub(crate) fn last_line(&self) -> Result<Option<String>, Fault> {
        let (disk, path, folder) = (self.disk, &self.path, self.folder.as_fd());
        let fault = |doing| move |errno| trouble(path, doing, errno);
        let Some(seen) = disk.look(path, folder, &self.name).map_err(fault("look at the file"))? else { return Ok(None) };
        self.check_kind(&seen)?;
        let file = match disk.open(path, folder, OsStr::new(&self.name)) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(trouble(path, "open the file", errno)),
        };
        let stat = fs::fstat(&file).map_err(fault("look at the file"))?;
        self.check_kind(&stat)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let from = size.saturating_sub(TAIL);
        let mut text = vec![0; usize::try_from(size - from).unwrap_or(0)];
        disk.read_at(path, file.as_fd(), &mut text, from).map_err(fault("read the end of the file"))?;
        let Some(whole) = text.iter().rposition(|b| *b == b'\n').map(|end| &text[..end]) else { return Ok(None) };
        let start = whole.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        Ok(Some(String::from_utf8_lossy(&whole[start..]).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;
    use crate::files::disk::{Disk, Op, Trouble};

    fn append(disk: &Disk, path: &Path, lines: &str) -> Result<(), String> {
        let told = |failure| match failure {
            Failure::Before(fault) => format!("before: {}", fault.code),
            Failure::Maybe(fault) => format!("maybe: {}", fault.code),
        };
        let place = Place::open(disk, path.to_str().unwrap()).map_err(|fault| fault.code.to_string())?;
        place.append(lines.as_bytes()).map_err(told)
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn lines_are_added_whole_to_a_file_that_is_private_from_its_birth() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let disk = Disk::default();
        let last = || Place::open(&disk, path.to_str().unwrap()).unwrap().last_line().unwrap();
        assert_eq!(last(), None);
        append(&disk, &path, "one\ntwo\n").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(last().as_deref(), Some("two"));
        // Half of a line that a killed writer left stays, on a line of its own.
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        assert_eq!(last().as_deref(), Some("two"));
        append(&disk, &path, "three\n").unwrap();
        assert_eq!(read(&path), "one\ntwo\nthr\nthree\n");
        std::fs::rename(&path, folder.path().join("audit.1")).unwrap();
        append(&disk, &path, "four\n").unwrap();
        assert_eq!(read(&path), "four\n");
    }

    #[test]
    fn whatever_fails_no_half_stays_where_it_can_be_taken_back() {
        for (op, said) in [(Op::Open, "before: HO0608"), (Op::Write, "maybe: HO0608"), (Op::SyncFile, "maybe: HO0608")] {
            for trouble in [Trouble::Before(Errno::NOSPC), Trouble::After(Errno::NOSPC)] {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("audit.jsonl");
                std::fs::write(&path, "one\n").unwrap();
                let disk = Disk { hook: Some(Box::new(move |at, _| (at == op).then_some(trouble))) };
                assert_eq!(append(&disk, &path, "two\n"), Err(said.to_owned()), "{op:?}");
                assert_eq!(read(&path), "one\n", "{op:?} {trouble:?}");
            }
        }
    }

    #[test]
    fn dangerous_places_are_refused_and_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("elsewhere"), "x\n").unwrap();
        std::fs::hard_link(at("elsewhere"), at("second")).unwrap();
        symlink(at("elsewhere"), at("link")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        std::fs::write(at("loose"), "x\n").unwrap();
        std::fs::set_permissions(at("loose"), std::fs::Permissions::from_mode(0o620)).unwrap();
        std::fs::create_dir(at("open")).unwrap();
        std::fs::set_permissions(at("open"), std::fs::Permissions::from_mode(0o777)).unwrap();
        symlink(folder.path(), at("way")).unwrap();
        let fifo = std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap();
        assert!(fifo.success());
        let table = [
            ("link", "before: HO0601"),
            ("second", "before: HO0603"),
            ("folder", "before: HO0602"),
            ("fifo", "before: HO0602"),
            ("loose", "before: HO1075"),
            ("open/audit", "HO0604"),
            ("way/audit", "HO0601"),
            ("nowhere/audit", "HO0621"),
        ];
        for (name, said) in table {
            assert_eq!(append(&Disk::default(), &at(name), "two\n"), Err(said.to_owned()), "{name}");
        }
        assert_eq!((read(&at("elsewhere")), read(&at("loose"))), ("x\n".to_owned(), "x\n".to_owned()));
    }
}
