//! Looks for a probe in a Maildir. Reads only headers, each message once: a message in a Maildir never changes, it only
//! moves from `new` to `cur` and gains flags behind a colon.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use handover_rotation::outcome::Fault;
use rustix::fs::OFlags;
use tokio::time::{Instant, sleep, timeout_at};

use super::super::faults;
use super::super::message::NONCE_HEADER;
use super::super::reply::escape;

/// Headers longer than this are not ours.
const MOST_HEADER: u64 = 64 * 1024;
/// The wait after the first look, and the longest wait.
const WAITS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// A nonce longer than this is not ours.
const MOST_NONCE: usize = 64;

/// The nonce of each message that has been read, by its name without flags. `None`: it has none.
type Seen = HashMap<OsString, Option<String>>;

/// A Maildir on this machine.
pub(in crate::mail) struct Maildir {
    path: PathBuf,
    seen: Arc<Mutex<Seen>>,
}

impl Maildir {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, seen: Arc::default() }
    }

    pub(super) async fn look(&self, nonce: &str, within: Duration) -> Result<String, Fault> {
        let until = Instant::now() + within;
        let mut wait = WAITS.0;
        let mut unreadable = 0;
        loop {
            let (path, seen, wanted) = (self.path.clone(), Arc::clone(&self.seen), nonce.to_owned());
            let give_up = until.into_std();
            let scan = tokio::task::spawn_blocking(move || scan(&path, &seen, &wanted, give_up));
            match timeout_at(until, scan).await {
                Ok(Ok(Ok(Look { found: Some(name), .. }))) => return Ok(name),
                Ok(Ok(Ok(look))) => unreadable = look.unreadable,
                Ok(Ok(Err(error))) => return Err(faults::maildir(&self.path, &error)),
                // The scan was cut off.
                Ok(Err(_)) | Err(_) => {}
            }
            if Instant::now() + wait >= until {
                let place = self.path.display().to_string();
                let trouble = (unreadable > 0).then(|| format!("{unreadable} messages there cannot be read"));
                return Err(faults::not_arrived(&place, within, trouble.as_deref()));
            }
            sleep(wait).await;
            wait = (wait * 3 / 2).min(WAITS.1);
        }
    }
}

/// What one look saw.
#[derive(Default)]
struct Look {
    /// The place of the message that is looked for.
    found: Option<String>,
    /// How many messages could not be read.
    unreadable: usize,
}

/// One look: the place of the message with `nonce`, as `new/NAME` or `cur/NAME`.
fn scan(path: &Path, seen: &Mutex<Seen>, nonce: &str, give_up: std::time::Instant) -> io::Result<Look> {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let mut here = Seen::new();
    let mut look = Look::default();
    // `new` first: a message that moves to `cur` in between is then found there.
    'folders: for folder in ["new", "cur"] {
        for entry in fs::read_dir(path.join(folder))? {
            let name = entry?.file_name();
            if name.as_bytes().starts_with(b".") {
                continue;
            }
            let key = without_flags(&name);
            let known = match seen.get(&key).cloned() {
                Some(known) => known,
                None => match nonce_of(&path.join(folder).join(&name)) {
                    Ok(known) => known,
                    // Moved away, or not readable yet: look at it again next time.
                    Err(error) => {
                        look.unreadable += usize::from(error.kind() != io::ErrorKind::NotFound);
                        continue;
                    }
                },
            };
            if known.as_deref() == Some(nonce) {
                look.found = Some(format!("{folder}/{}", escape(name.as_bytes())));
            }
            here.insert(key, known);
            if look.found.is_some() || std::time::Instant::now() >= give_up {
                // Cut short: what was known stays known.
                here.extend(seen.drain());
                break 'folders;
            }
        }
    }
    *seen = here;
    Ok(look)
}

fn without_flags(name: &OsString) -> OsString {
    let bytes = name.as_bytes();
    let end = bytes.iter().position(|b| *b == b':').unwrap_or(bytes.len());
    OsString::from_vec(bytes[..end].to_vec())
}

/// The nonce in the header of a regular file. Links are not followed, and a pipe does not hold us.
fn nonce_of(path: &Path) -> io::Result<Option<String>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    header(BufReader::new(file.take(MOST_HEADER)))
}

/// The value of the nonce's header, unfolded.
fn header(mut text: impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut value: Option<Vec<u8>> = None;
    loop {
        line.clear();
        let count = text.read_until(b'\n', &mut line)?;
        let content = line.trim_ascii();
        let folded = line.first().is_some_and(|b| matches!(b, b' ' | b'\t'));
        match &mut value {
            Some(value) if folded => value.extend_from_slice(content),
            Some(value) => {
                let text = String::from_utf8(std::mem::take(value)).ok();
                return Ok(text.filter(|t| t.len() <= MOST_NONCE));
            }
            None if count == 0 || content.is_empty() => return Ok(None),
            None => {
                let split = content.iter().position(|b| *b == b':').and_then(|at| content.split_at_checked(at));
                if let Some((name, rest)) = split
                    && !folded
                    && name.eq_ignore_ascii_case(NONCE_HEADER.as_bytes())
                {
                    value = Some(rest.get(1..).unwrap_or_default().trim_ascii().to_vec());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use handover_rotation::outcome::FaultClass;

    use super::{Maildir, header};

    fn maildir() -> (tempfile::TempDir, Maildir) {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["new", "cur", "tmp"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let maildir = Maildir::new(dir.path().to_owned());
        (dir, maildir)
    }

    fn message(nonce: &str) -> String {
        format!("From: a@example.com\r\nX-Handover-Nonce: {nonce}\r\n\r\nbody\r\n")
    }

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(60);

    #[test]
    fn headers() {
        let table: [(&[u8], Option<&str>); 10] = [
            (b"X-Handover-Nonce: abc\r\n\r\n", Some("abc")),
            (b"x-handover-nonce:abc\n\n", Some("abc")),
            (b"A: b\r\nX-Handover-Nonce:\r\n abc\r\nC: d\r\n\r\n", Some("abc")),
            (b"X-Handover-Nonce: abc", Some("abc")),
            (b"A: b\r\n\r\nX-Handover-Nonce: abc\r\n", None),
            (b"Subject: x\r\n X-Handover-Nonce: abc\r\n\r\n", None),
            (b"", None),
            (b"X-Handover-Nonce\r\n\r\n", None),
            (b"X-Handover-Nonce: \xff\r\n\r\n", None),
            (b"X-Handover-Noncex: abc\r\n\r\n", None),
        ];
        for (text, want) in table {
            assert_eq!(header(text).unwrap().as_deref(), want, "{}", String::from_utf8_lossy(text));
        }
    }

    #[tokio::test]
    async fn found_in_new_and_in_cur() {
        let (dir, maildir) = maildir();
        fs::write(dir.path().join("new/1.a"), message("one")).unwrap();
        fs::write(dir.path().join("cur/2.b:2,S"), message("two")).unwrap();
        assert_eq!(maildir.look("one", LONG).await.unwrap(), "new/1.a");
        assert_eq!(maildir.look("two", LONG).await.unwrap(), "cur/2.b:2,S");
        // A reader has moved it meanwhile.
        fs::rename(dir.path().join("new/1.a"), dir.path().join("cur/1.a:2,")).unwrap();
        assert_eq!(maildir.look("one", LONG).await.unwrap(), "cur/1.a:2,");
    }

    #[tokio::test]
    async fn waits_until_it_is_there() {
        let (dir, maildir) = maildir();
        fs::write(dir.path().join("new/0.other"), message("other")).unwrap();
        let look = tokio::spawn(async move { maildir.look("late", LONG).await });
        tokio::task::yield_now().await;
        fs::write(dir.path().join("tmp/1.x"), message("late")).unwrap();
        fs::rename(dir.path().join("tmp/1.x"), dir.path().join("new/1.x")).unwrap();
        assert_eq!(look.await.unwrap().unwrap(), "new/1.x");
    }

    #[tokio::test]
    async fn never_there() {
        let (dir, maildir) = maildir();
        fs::write(dir.path().join("new/1.a"), message("one more")).unwrap();
        fs::write(dir.path().join("new/2.b"), message("xone")).unwrap();
        let fault = maildir.look("one", SHORT).await.unwrap_err();
        assert_eq!((fault.class, fault.code.as_str()), (FaultClass::Temporary, "HO0842"));
    }

    #[tokio::test]
    async fn not_a_maildir() {
        let dir = tempfile::tempdir().unwrap();
        let fault = Maildir::new(dir.path().to_owned()).look("one", LONG).await.unwrap_err();
        assert_eq!((fault.class, fault.code.as_str()), (FaultClass::Permanent, "HO0841"));
    }

    #[tokio::test]
    async fn each_message_is_read_once_and_forgotten_when_it_goes() {
        let (dir, maildir) = maildir();
        let path = dir.path().join("new/1.a");
        fs::write(&path, message("one")).unwrap();
        assert!(maildir.look("two", SHORT).await.is_err());
        // Were it read again, its new text would be found.
        fs::write(&path, message("two")).unwrap();
        assert!(maildir.look("two", SHORT).await.is_err());
        fs::remove_file(&path).unwrap();
        assert!(maildir.look("two", SHORT).await.is_err());
        assert!(maildir.seen.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn links_pipes_folders_and_huge_headers_are_passed_over() {
        let (dir, maildir) = maildir();
        let outside = dir.path().join("outside");
        fs::write(&outside, message("one")).unwrap();
        symlink(&outside, dir.path().join("new/1.link")).unwrap();
        fs::create_dir(dir.path().join("new/2.folder")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("new/3.pipe"), rustix::fs::Mode::RWXU).unwrap();
        let huge = format!("A: {}\r\n{}", "x".repeat(70 * 1024), message("one"));
        fs::write(dir.path().join("new/4.huge"), huge).unwrap();
        assert_eq!(maildir.look("one", SHORT).await.unwrap_err().code, "HO0842");
    }

    #[tokio::test]
    async fn names_are_shown_safely() {
        let (dir, maildir) = maildir();
        fs::write(dir.path().join("new/1.\x1b[2J"), message("one")).unwrap();
        assert_eq!(maildir.look("one", LONG).await.unwrap(), "new/1.\\u{1b}[2J");
    }
}
