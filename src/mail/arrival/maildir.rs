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
/// A subject is not read further than this.
const MOST_WORDS: usize = 32;

/// What could be a nonce in each message that has been read, by its name without flags: the value of our header, which our own
/// probes have, and the words of the subject, where a service puts it.
type Seen = HashMap<OsString, Vec<String>>;

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
                None => match nonces_of(&path.join(folder).join(&name)) {
                    Ok(known) => known,
                    // Moved away, or not readable yet: look at it again next time.
                    Err(error) => {
                        look.unreadable += usize::from(error.kind() != io::ErrorKind::NotFound);
                        continue;
                    }
                },
            };
            if known.iter().any(|known| known == nonce) {
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

/// What could be a nonce in the header of a regular file. Links are not followed, and a pipe does not hold us.
fn nonces_of(path: &Path) -> io::Result<Vec<String>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(Vec::new());
    }
    header(BufReader::new(file.take(MOST_HEADER)))
}

/// Which field a line belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Nonce,
    Subject,
    Other,
}

/// The value of the nonce's header, unfolded, and the words of the subject.
fn header(mut text: impl BufRead) -> io::Result<Vec<String>> {
    let (mut line, mut nonce, mut subject) = (Vec::new(), Vec::new(), Vec::new());
    let mut field = Field::Other;
    loop {
        line.clear();
        let count = text.read_until(b'\n', &mut line)?;
        let content = line.trim_ascii();
        if count == 0 || content.is_empty() {
            break;
        }
        let folded = line.first().is_some_and(|b| matches!(b, b' ' | b'\t'));
        let mut value = content;
        if !folded {
            let (name, rest) = content.split_at(content.iter().position(|b| *b == b':').unwrap_or(content.len()));
            let is = |wanted: &str| !rest.is_empty() && name.eq_ignore_ascii_case(wanted.as_bytes());
            field = match () {
                () if is(NONCE_HEADER) => Field::Nonce,
                () if is("Subject") => Field::Subject,
                () => Field::Other,
            };
            value = rest.get(1..).unwrap_or_default().trim_ascii();
        }
        match field {
            Field::Nonce => nonce.extend_from_slice(value),
            Field::Subject => {
                subject.push(b' ');
                subject.extend_from_slice(value);
            }
            Field::Other => {}
        }
    }
    let subject = String::from_utf8_lossy(&subject);
    let words = subject.split_whitespace().take(MOST_WORDS).map(str::to_owned);
    let found = String::from_utf8(nonce).ok().into_iter().chain(words);
    Ok(found.filter(|text| !text.is_empty() && text.len() <= MOST_NONCE).collect())
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
        let table: [(&[u8], &[&str]); 13] = [
            (b"X-Handover-Nonce: abc\r\n\r\n", &["abc"]),
            (b"x-handover-nonce:abc\n\n", &["abc"]),
            (b"A: b\r\nX-Handover-Nonce:\r\n abc\r\nC: d\r\n\r\n", &["abc"]),
            (b"X-Handover-Nonce: abc", &["abc"]),
            (b"A: b\r\n\r\nX-Handover-Nonce: abc\r\n", &[]),
            (b"Subject: x\r\n X-Handover-Nonce: abc\r\n\r\n", &["x", "X-Handover-Nonce:", "abc"]),
            (b"", &[]),
            (b"X-Handover-Nonce\r\n\r\n", &[]),
            (b"X-Handover-Nonce: \xff\r\n\r\n", &[]),
            (b"X-Handover-Noncex: abc\r\n\r\n", &[]),
            (b"subject: test of api\r\n abc\r\nTo: abc2\r\n\r\n", &["test", "of", "api", "abc"]),
            (b"X-Handover-Nonce: abc\r\nSubject: =?utf-8?q?x?= def\r\n\r\n", &["abc", "=?utf-8?q?x?=", "def"]),
            (b"Subject:\r\n\r\n", &[]),
        ];
        for (text, want) in table {
            assert_eq!(header(text).unwrap(), want, "{}", String::from_utf8_lossy(text));
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

    /// What a service is asked for: the nonce in its subject.
    #[tokio::test]
    async fn a_services_own_mail_is_found_by_its_subject() {
        let (dir, maildir) = maildir();
        fs::write(dir.path().join("new/1.a"), "To: inbox\nSubject: a test of the newsletter, one\n\n").unwrap();
        assert_eq!(maildir.look("one", LONG).await.unwrap(), "new/1.a");
        assert!(maildir.look("newsletter", SHORT).await.is_err(), "a part of a word");
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
