//! Room kept back on the disk, so that on a full one it can still be written down what has already happened (threat T24).
//!
//! A file of random bytes, as zeros could be stored as nothing. It is given up when the disk is full, and made again when
//! there is room; until then nothing new may be begun.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::rand;

const SIZE: usize = 512 << 10;
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The reserve of a state folder.
pub(crate) struct Reserve {
    path: PathBuf,
    failed: Option<Instant>,
}

impl Reserve {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { path: folder.join("reserve"), failed: None }
    }

    /// Whether the room is there; makes it where it is not and can be.
    pub(crate) fn ensure(&mut self) -> bool {
        if fs::symlink_metadata(&self.path).is_ok_and(|m| m.is_file() && m.len() >= SIZE as u64) {
            return true;
        }
        if self.failed.is_some_and(|at| at.elapsed() < TRY_AGAIN) {
            return false;
        }
        let made = self.make();
        self.failed = if made { None } else { Some(Instant::now()) };
        made
    }

    fn make(&self) -> bool {
        let mut bytes = vec![0; SIZE];
        if rand::fill(&mut bytes).is_err() {
            return false;
        }
        let _ = fs::remove_file(&self.path);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
            file.write_all(&bytes)?;
            file.sync_all()
        };
        let made = write().is_ok();
        if !made {
            let _ = fs::remove_file(&self.path);
        }
        made
    }

    /// Gives the room up. True if there was some.
    pub(crate) fn release(&mut self) -> bool {
        self.failed = Some(Instant::now());
        fs::remove_file(&self.path).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Reserve, SIZE};

    #[test]
    fn it_is_made_whole_given_up_once_and_not_made_again_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reserve");
        fs::write(&path, "too small").unwrap();
        let mut reserve = Reserve::new(dir.path());
        assert!(reserve.ensure());
        assert_eq!(fs::metadata(&path).unwrap().len(), SIZE as u64);
        assert!(reserve.release() && !path.exists());
        assert!(!reserve.release() && !reserve.ensure());
        assert!(Reserve::new(dir.path()).ensure());
    }
}
