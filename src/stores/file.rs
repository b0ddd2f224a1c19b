//! The store `file`: a login kept as two files in one folder of this machine, as Docker, systemd and Kubernetes hand secrets to
//! services. `replace` brings the bytes to the disk (safety.md S25). What it must not do: follow links, or leave half a file.

use std::sync::Arc;

use async_trait::async_trait;
use handover_rotation::name::Username;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{EntryRef, Held, Store};
use crate::config::fields::Fields;
use crate::files::disk::Disk;
use crate::files::replace::{Failure, Loaded, Place, apart, not_done, written};
use crate::secret::{Login, Secret};

/// What an inventory may say about a store of this kind: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileOptions;

/// Keeps logins as files. The path of an entry is a folder's absolute path, its fields are names of files in it.
///
/// # Guarantees
/// - At any instant each file holds its old bytes or its new ones, whatever fails or is killed. Owner, group, mode, access list and
///   a line end after the value are kept; a file that was missing is made with mode 0600 and without one.
/// - If the password's file cannot be replaced after the username's was, the username is put back.
///
/// # Caveats
/// - Two files cannot be replaced at once. After a crash in between, `read` tells the new username with the old password, and
///   `write` goes on from it.
/// - `write` with an empty `expect` stands for "the entry holds no password yet"; only then is a password's file made.
pub struct FileStore {
    disk: Arc<Disk>,
}

impl FileStore {
    /// A store.
    ///
    /// # Errors
    /// None.
    pub fn open(_: FileOptions) -> Result<Self, Fault> {
        Ok(Self { disk: Arc::default() })
    }

    /// Reads the options: there are none.
    pub fn options(_: &mut Fields<'_>) -> Option<FileOptions> {
        Some(FileOptions)
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        json!({ "type": "object", "additionalProperties": false, "properties": {} })
    }

    async fn apart<T: Send + 'static>(
        &self,
        entry: &EntryRef,
        work: impl FnOnce(&Work) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        let job = Work { disk: Arc::clone(&self.disk), entry: entry.clone() };
        apart(&entry.path, move || work(&job)).await
    }
}

#[async_trait]
impl Store for FileStore {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn landing(&self) -> Span {
        Span(0)
    }

    fn request_timeout(&self) -> Span {
        Span::seconds(15)
    }

    async fn check_writable(&self, entry: &EntryRef) -> Outcome<()> {
        self.apart(entry, |work| not_done(work.check_writable())).await
    }

    async fn read(&self, entry: &EntryRef) -> Outcome<Held> {
        self.apart(entry, |work| not_done(work.read())).await
    }

    async fn lacks(&self, entry: &EntryRef) -> String {
        match self.apart(entry, |work| not_done(work.lacks())).await {
            Outcome::Done(Some(lack)) => lack,
            Outcome::Done(None) => "it has a login now, and had none a moment ago".to_owned(),
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => fault.to_string(),
        }
    }

    async fn warnings(&self, entry: &EntryRef) -> Vec<String> {
        // A file that cannot be looked at is told of by `read`.
        match self.apart(entry, |work| not_done(work.open_to_others())).await {
            Outcome::Done(warning) => warning.into_iter().collect(),
            Outcome::NotDone(_) | Outcome::Unknown(_) => Vec::new(),
        }
    }

    async fn can_hold(&self, entry: &EntryRef, login: &Login) -> Outcome<()> {
        // A username has no control characters. A password that begins or ends with blanks would be cut by many readers.
        let password = login.password.expose();
        if password.chars().any(char::is_control) || password.trim() != password {
            let message = format!("{}: the password has a line break in it, or a blank at one of its ends", entry.path);
            let fault = Fault::new(FaultClass::Permanent, "HO0615", message);
            return Outcome::NotDone(fault.hint("use a password of letters, digits, `_` and `-`"));
        }
        Outcome::Done(())
    }

    async fn write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Outcome<()> {
        let login = login.duplicate();
        let expect: Vec<Secret> = expect.iter().map(|secret| secret.duplicate()).collect();
        self.apart(entry, move |work| written(work.write(&login, &expect))).await
    }
}

/// One call, on a thread that may block.
struct Work {
    disk: Arc<Disk>,
    entry: EntryRef,
}

/// One of the two files.
struct File<'d> {
    place: Place<'d>,
    loaded: Option<Loaded>,
    path: String,
}

impl File<'_> {
    /// Its bytes without the line end after them.
    fn value(&self) -> Result<&str, Fault> {
        let bytes = self.loaded.as_ref().map_or(&[][..], |l| l.text.as_slice());
        let value = std::str::from_utf8(bytes).ok().map(|text| text.strip_suffix('\n').unwrap_or(text));
        let value = value.map(|text| text.strip_suffix('\r').unwrap_or(text));
        value.filter(|text| !text.chars().any(char::is_control)).ok_or_else(|| {
            let message = format!("{}: the file holds more than one line of text", self.path);
            Fault::new(FaultClass::Permanent, "HO0634", message).hint("a file of this kind holds one value: see `env-file`")
        })
    }

    /// The bytes that hold `value`, with the line end that is there now.
    fn with(&self, value: &str) -> Zeroizing<Vec<u8>> {
        let now = self.loaded.as_ref().map_or(&[][..], |l| l.text.as_slice());
        let end: &[u8] = match now {
            [.., b'\r', b'\n'] => b"\r\n",
            [.., b'\n'] => b"\n",
            _ => b"",
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(value.len() + end.len()));
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(end);
        bytes
    }

    fn replace(&self, value: &str) -> Result<(), Failure> {
        self.place.replace(self.loaded.as_ref(), &self.with(value))
    }
}

impl Work {
    fn file(&self, name: &str) -> Result<File<'_>, Fault> {
        if name.contains(['/', '\0']) || name.starts_with('.') {
            let message = format!("{}: `{name}` is no name of a file in this folder", self.entry.path);
            let fault = Fault::new(FaultClass::Permanent, "HO0616", message);
            return Err(fault.hint("the entry's `path` is a folder, and its `fields` are names of files in it"));
        }
        let path = format!("{}/{name}", self.entry.path.trim_end_matches('/'));
        Ok(File { place: Place::open(&self.disk, &path)?, loaded: None, path })
    }

    /// The two files, the username's first; locked against other writers of the folder if they are to be written.
    fn files(&self, lock: bool) -> Result<[File<'_>; 2], Fault> {
        let mut files = [self.file(&self.entry.username_field)?, self.file(&self.entry.password_field)?];
        if lock {
            // The lock is on the folder: one is enough, and a second would wait for the first.
            files[0].place.lock()?;
            files[0].place.sweep()?;
        }
        for file in &mut files {
            file.loaded = file.place.load()?;
        }
        Ok(files)
    }

    fn check_writable(&self) -> Result<(), Fault> {
        for file in self.files(true)? {
            file.value()?;
            file.place.probe(file.loaded.as_ref(), LONGEST_VALUE)?;
        }
        Ok(())
    }

    fn read(&self) -> Result<Held, Fault> {
        let [username, password] = self.files(false)?;
        let (name, password) = (username.value()?, password.value()?);
        if name.is_empty() || password.is_empty() {
            return Ok(Held::Nothing);
        }
        // The reason is left out: it may name a character, and if the two fields are swapped it is the password's.
        let name = Username::new(name).map_err(|_| {
            let message = format!("{}: it holds no login name", username.path);
            Fault::new(FaultClass::Permanent, "HO0622", message).hint("are the two fields of the entry swapped?")
        })?;
        Ok(Held::Login(Login { username: name, password: Secret::new(password.to_owned()) }))
    }

    fn lacks(&self) -> Result<Option<String>, Fault> {
        for file in self.files(false)? {
            if file.loaded.is_none() {
                return Ok(Some(format!("there is no file {}", file.path)));
            }
            if file.value()?.is_empty() {
                return Ok(Some(format!("{} is empty", file.path)));
            }
        }
        Ok(None)
    }

    fn open_to_others(&self) -> Result<Option<String>, Fault> {
        let [_, password] = self.files(false)?;
        let path = &password.path;
        Ok(password.loaded.as_ref().filter(|loaded| loaded.is_open_to_others()).map(|loaded| {
            let mode = loaded.mode();
            format!("everyone on this machine can read {path} (mode {mode:04o}), which is a password: chmod o-rwx {path}")
        }))
    }

    fn write(&self, login: &Login, expect: &[Secret]) -> Result<(), Failure> {
        let before = Failure::Before;
        let [username, password] = self.files(true).map_err(before)?;
        let (old_name, old) = (username.value().map_err(before)?, password.value().map_err(before)?);
        let held = Secret::new(old.to_owned());
        let (same_name, same) = (old_name == login.username.as_str(), held.matches(&login.password));
        let expected = match old {
            "" => expect.is_empty(),
            _ => same || expect.iter().any(|secret| secret.matches(&held)),
        };
        if !expected {
            let what = match (&password.loaded, old) {
                (None, _) => format!("there is no file {}", password.path),
                (_, "") => format!("{} is empty", password.path),
                _ => format!("{}: the entry holds another password than expected", password.path),
            };
            let fault = Fault::new(FaultClass::Permanent, "HO0611", format!("{what}; someone else changed it"));
            let hint = "find out who wrote it; then run `handover status` for what is safe next";
            return Err(before(fault.hint(hint)));
        }
        if !same_name {
            username.replace(login.username.as_str())?;
        }
        if !same {
            return match password.replace(login.password.expose()) {
                Err(Failure::Before(fault)) if !same_name => Err(self.put_back(&username, old_name, fault)),
                result => result,
            };
        }
        for file in [&username, &password] {
            // What was just replaced has come to the disk already.
            if let (Some(loaded), true) = (&file.loaded, same_name) {
                file.place.settle(loaded).map_err(before)?;
            }
        }
        Ok(())
    }

    /// The username is not left alone with a password of another version.
    fn put_back(&self, username: &File<'_>, old: &str, fault: Fault) -> Failure {
        let put = || -> Result<(), Failure> {
            let now = username.place.load().map_err(Failure::Before)?;
            username.place.replace(now.as_ref(), &username.with(old))
        };
        match !old.is_empty() && put().is_ok() {
            true => Failure::Before(fault),
            false => Failure::Maybe(fault),
        }
    }
}

/// Room that `check_writable` asks for each value: more than any provider's username or password.
const LONGEST_VALUE: usize = 256;

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
