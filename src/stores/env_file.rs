//! The store `env-file`: a login kept as two keys of an env file on this machine.
//!
//! It joins the pure `editor` (which bytes) with `crate::files` (how they reach the disk, safety.md S25). It must not follow
//! links, leave a half-written file, or touch a byte that is not part of one of the two values.

mod dialect;
mod editor;
mod scan;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use handover_rotation::name::Username;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use rustix::io::Errno;

pub use self::dialect::{DIALECTS, Dialect, UnknownDialect};
pub use self::editor::{EditError, read as read_text, set as set_text};
use super::{EntryRef, Held, Store};
use crate::config::fields::Fields;
use crate::files::disk::{self, Disk, Op, Trouble};
use crate::files::replace::{Failure, Loaded, Place, apart, not_done, written};
use crate::secret::{Login, Secret};

/// What an inventory may say about a store of this kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EnvFileOptions {
    /// `dialect`: whose rules the files follow; `dotenv` if left out.
    pub dialect: Dialect,
}

/// Keeps logins in env files. The path of an entry is the file's absolute path, its fields are keys.
///
/// # Guarantees
/// - At any instant the path holds the old bytes or the new ones, whatever fails or is killed.
/// - Owner, group, mode and access list are kept; a file that was missing is made with mode 0600.
/// - A form that programs read in different ways, a key that stands twice, and a value that the dialect cannot hold are
///   refused with a permanent fault, before anything is written.
///
/// # Assumptions
/// - Other Handover processes that write in the folder take the same lock; an editor that does not is noticed but for the
///   instant between the last look and the rename.
///
/// # Caveats
/// - `write` with an empty `expect` stands for "the entry holds no password yet"; only then is a password added.
/// - A folder that everyone may write in is refused even with the sticky bit, those above it without one; folders that a
///   group may write in are not, since distributions make them so by default and members of the group could change the file
///   anyway.
/// - A file that everyone may read is written all the same, and warned of; one that everyone may write to is refused.
/// - See `files/replace.rs` for what is not kept, such as an SELinux label that differs from the folder's default.
pub struct EnvFileStore {
    dialect: Dialect,
    disk: Arc<Disk>,
}

impl EnvFileStore {
    /// A store with these options.
    #[must_use]
    pub fn new(options: EnvFileOptions) -> Self {
        Self { dialect: options.dialect, disk: Arc::default() }
    }

    /// The same, for the registry.
    ///
    /// # Errors
    /// None.
    pub fn open(options: EnvFileOptions) -> Result<Self, Fault> {
        Ok(Self::new(options))
    }

    /// Reads the options: `{dialect: dotenv|systemd|docker}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<EnvFileOptions> {
        let given = fields.has("dialect");
        let dialect = fields.optional_choice("dialect", &DIALECTS);
        Some(EnvFileOptions { dialect: if given { dialect? } else { Dialect::default() } })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        let names: Vec<&str> = DIALECTS.iter().map(|(name, _)| *name).collect();
        serde_json::json!({
            "type": "object", "additionalProperties": false, "properties": {"dialect": {"enum": names}}
        })
    }

    /// The same with a disk that is full (ENOSPC) for the entries that `full` says yes to, asked at each write of a
    /// temporary file with the path of the entry: for the sandbox and tests.
    #[must_use]
    pub fn with_fault(self, full: Box<dyn Fn(&Path) -> bool + Send + Sync>) -> Self {
        self.with_hook(Box::new(move |op, path| (op == Op::Write && full(path)).then_some(Trouble::After(Errno::NOSPC))))
    }

    fn with_hook(self, hook: disk::Hook) -> Self {
        Self { disk: Arc::new(Disk { hook: Some(hook) }), ..self }
    }

    /// File calls block, so they run apart. A call that is given up runs on to its end there.
    async fn apart<T: Send + 'static>(
        &self,
        entry: &EntryRef,
        work: impl FnOnce(&Work) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        let job = Work { dialect: self.dialect, disk: Arc::clone(&self.disk), entry: entry.clone() };
        apart(&entry.path, move || work(&job)).await
    }
}

#[async_trait]
impl Store for EnvFileStore {
    fn kind(&self) -> &'static str {
        "env-file"
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
        let login = login.duplicate();
        self.apart(entry, move |work| not_done(work.can_hold(&login))).await
    }

    async fn write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Outcome<()> {
        let login = login.duplicate();
        let expect: Vec<Secret> = expect.iter().map(|secret| secret.duplicate()).collect();
        self.apart(entry, move |work| written(work.write(&login, &expect))).await
    }
}

/// One call, on a thread that may block.
struct Work {
    dialect: Dialect,
    disk: Arc<Disk>,
    entry: EntryRef,
}

impl Work {
    fn keys(&self) -> [&str; 2] {
        [&self.entry.username_field, &self.entry.password_field]
    }

    fn edit_fault(&self, error: &EditError) -> Fault {
        let (code, hint) = match error {
            EditError::Twice { .. } => ("HO0612", "remove one of the two lines"),
            EditError::Doubtful { .. } => ("HO0613", "write the line as KEY=value, or KEY='value' if it has odd characters"),
            EditError::Unclosed { .. } => {
                ("HO0614", "close the quote; if it is part of the value, quote the value with the other kind")
            }
            EditError::Bytes { .. } => ("HO0613", "remove the byte; lines end in LF or CR LF"),
            EditError::Unwritable { .. } => ("HO0615", "use a password of letters, digits, `_` and `-`"),
            EditError::Key { .. } => ("HO0616", "correct the entry's `fields`"),
            EditError::NotReadBack { .. } => ("HO0613", "end the file with a plain line"),
        };
        Fault::new(FaultClass::Permanent, code, format!("{}: {error}", self.entry.path)).hint(hint)
    }

    fn current<'t>(&self, loaded: Option<&'t Loaded>) -> Result<[&'t str; 2], Fault> {
        let text = loaded.map_or(&[][..], |l| l.text.as_slice());
        let seen = editor::read(text, self.dialect, self.keys()).map_err(|error| self.edit_fault(&error))?;
        Ok(seen.map(Option::unwrap_or_default))
    }

    /// What is missing for a login, if anything is.
    fn lacks(&self) -> Result<Option<String>, Fault> {
        self.lack_of(Place::open(&self.disk, &self.entry.path)?.load()?.as_ref())
    }

    fn lack_of(&self, loaded: Option<&Loaded>) -> Result<Option<String>, Fault> {
        let Some(loaded) = loaded else { return Ok(Some("the file is missing".to_owned())) };
        let seen = editor::read(&loaded.text, self.dialect, self.keys()).map_err(|error| self.edit_fault(&error))?;
        Ok(self.keys().iter().zip(seen).find_map(|(key, value)| match value {
            None => Some(format!("the file has no `{key}`")),
            Some("") => Some(format!("`{key}` is empty")),
            Some(_) => None,
        }))
    }

    /// The mode is the owner's to choose and is kept, but not in silence (S25).
    fn open_to_others(&self) -> Result<Option<String>, Fault> {
        let loaded = Place::open(&self.disk, &self.entry.path)?.load()?;
        Ok(loaded.filter(Loaded::is_open_to_others).map(|loaded| {
            let (path, mode) = (&self.entry.path, loaded.mode());
            format!("everyone on this machine can read {path} (mode {mode:04o}) and the password in it: chmod o-rwx {path}")
        }))
    }

    fn read(&self) -> Result<Held, Fault> {
        let loaded = Place::open(&self.disk, &self.entry.path)?.load()?;
        let [username, password] = self.current(loaded.as_ref())?;
        if username.is_empty() || password.is_empty() {
            return Ok(Held::Nothing);
        }
        // The reason is left out: it may name a character, and if the two fields are swapped it is the password's.
        let username = Username::new(username).map_err(|_| {
            let message = format!("{}: `{}` is not a login name", self.entry.path, self.entry.username_field);
            Fault::new(FaultClass::Permanent, "HO0622", message).hint("are the two fields of the entry swapped?")
        })?;
        Ok(Held::Login(Login { username, password: Secret::new(password.to_owned()) }))
    }

    /// Proves that the file can be replaced, and that the login it holds could be put back by a rollback.
    fn check_writable(&self) -> Result<(), Fault> {
        let place = Place::open(&self.disk, &self.entry.path)?;
        place.lock()?;
        let loaded = place.load()?;
        let text = loaded.as_ref().map_or(&[][..], |l| l.text.as_slice());
        let [username, password] = self.current(loaded.as_ref())?;
        let keys = self.keys();
        let sample = "A".repeat(LONGEST_VALUE);
        let set = |text: &[u8], values: [&str; 2]| {
            let pairs = [(keys[0], values[0]), (keys[1], values[1])];
            editor::set(text, self.dialect, pairs).map_err(|error| self.edit_fault(&error))
        };
        let edited = set(text, [&sample, &sample])?;
        if !username.is_empty() && !password.is_empty() {
            set(&edited, [username, password])?;
        }
        place.probe(loaded.as_ref(), edited.len())
    }

    /// The text as it would be with this login, made and thrown away.
    fn can_hold(&self, login: &Login) -> Result<(), Fault> {
        let loaded = Place::open(&self.disk, &self.entry.path)?.load()?;
        let text = loaded.as_ref().map_or(&[][..], |l| l.text.as_slice());
        let [user_key, password_key] = self.keys();
        let pairs = [(user_key, login.username.as_str()), (password_key, login.password.expose())];
        editor::set(text, self.dialect, pairs).map(drop).map_err(|error| self.edit_fault(&error))
    }

    fn write(&self, login: &Login, expect: &[Secret]) -> Result<(), Failure> {
        let before = Failure::Before;
        let place = Place::open(&self.disk, &self.entry.path).map_err(before)?;
        place.lock().map_err(before)?;
        place.sweep().map_err(before)?;
        let loaded = place.load().map_err(before)?;
        let [username, password] = self.current(loaded.as_ref()).map_err(before)?;
        let held = Secret::new(password.to_owned());
        if let Some(loaded) = &loaded
            && username == login.username.as_str()
            && held.matches(&login.password)
        {
            return place.settle(loaded).map_err(before);
        }
        let expected = match password {
            "" => expect.is_empty(),
            _ => expect.iter().any(|secret| secret.matches(&held)),
        };
        if !expected {
            let what = match self.lack_of(loaded.as_ref()).map_err(before)? {
                Some(lack) => lack,
                None => "the entry holds another password than expected".to_owned(),
            };
            let message = format!("{}: {what}; someone else changed it", self.entry.path);
            let hint = "find out who wrote it; then run `handover status` for what is safe next";
            return Err(before(Fault::new(FaultClass::Permanent, "HO0611", message).hint(hint)));
        }
        let text = loaded.as_ref().map_or(&[][..], |l| l.text.as_slice());
        let [user_key, password_key] = self.keys();
        let pairs = [(user_key, login.username.as_str()), (password_key, login.password.expose())];
        let edited = editor::set(text, self.dialect, pairs).map_err(|error| before(self.edit_fault(&error)))?;
        place.replace(loaded.as_ref(), &edited)
    }
}

/// Room that `check_writable` asks for each value: more than any provider's username or password.
const LONGEST_VALUE: usize = 256;

#[cfg(test)]
#[path = "env_file/store_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "env_file/fault_tests.rs"]
mod fault_tests;

#[cfg(test)]
#[path = "env_file/call_tests.rs"]
mod call_tests;
