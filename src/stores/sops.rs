//! The store `sops`: a login kept in a file that SOPS has encrypted, beside other values of it.
//!
//! ```text
//! lock folder → load → decrypt by pipe ─▶ what is held
//!   → private copy beside it → `sops set` twice → decrypt the copy ─▶ it holds the login, and nothing of it in the clear
//!   → replace the file by the copy's bytes (files/replace)
//! ```
//!
//! The `sops` program does all that needs a key. It is told values by its input only, never by arguments or environment, and it never
//! touches the file itself: so the two values change in one rename, and a kill at any moment leaves the old file or the new one.

mod index;
mod options;
mod rest;

use std::sync::Arc;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use self::index::{Found, Index};
pub use self::options::{Format, SopsOptions};
use super::swap::{Kept, Swap};
use super::{EntryRef, Held, Store};
use crate::config::fields::Fields;
use crate::files::disk::Disk;
use crate::files::replace::{Failure, Loaded, Place, apart, not_done, written};
use crate::process::{Program, Run};
use crate::random::hex_id;
use crate::secret::{Login, Secret};

/// The most that is read of what is decrypted: a file of 1 MiB holds less.
const MOST_OUTPUT: usize = 2 << 20;
/// How often the program is run by a write.
const RUNS: u64 = 4;
/// For the file itself, the lock on its folder above all.
const FILE_TIME: u64 = 45_000;

/// Keeps logins in SOPS files. The path of an entry is the file's absolute path; its fields are keys, or indexes of SOPS such as
/// `["smtp"]["password"]`.
///
/// # Guarantees
/// - At any instant the path holds the old bytes or the new ones, with both values of one login. Owner, group, mode and access list
///   are kept.
/// - What replaces the file was decrypted first, holds the login, differs in nothing else, and does not show the password.
/// - A file that something else than SOPS has changed (another MAC) is neither read nor written.
///
/// # Assumptions
/// - Other Handover processes that write in the folder take the same lock; others are noticed but for the instant before the rename.
///
/// # Caveats
/// - SOPS writes the whole file in its own way: values beside the two keep their bytes, blanks and quotes of YAML may not.
/// - Nothing is committed, and the data key stays: an old copy and the key open the old password for ever.
/// - `write` with an empty `expect` stands for "the entry holds no password yet"; only then are fields added, and never a file made.
pub struct SopsStore {
    program: Program,
    format: Option<Format>,
    disk: Arc<Disk>,
}

impl SopsStore {
    /// A store with these options.
    ///
    /// # Errors
    /// `HO0634`: no such program can be meant.
    pub fn open(options: SopsOptions) -> Result<Self, Fault> {
        Ok(Self { program: options.run()?, format: options.format, disk: Arc::default() })
    }

    /// Reads the options: `{environment: {SOPS_AGE_KEY_FILE: /etc/handover/age.key}}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<SopsOptions> {
        SopsOptions::read(fields)
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        SopsOptions::schema()
    }

    /// Files and programs take their time, so they run apart. A call that is given up runs on to its end there.
    async fn apart<T: Send + 'static>(
        &self,
        entry: &EntryRef,
        checking: bool,
        work: impl FnOnce(&Work) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        match Work::new(self, entry, checking) {
            Ok(job) => apart(&entry.path, move || work(&job)).await,
            Err(fault) => Outcome::NotDone(fault),
        }
    }
}

#[async_trait]
impl Store for SopsStore {
    fn kind(&self) -> &'static str {
        "sops"
    }

    /// What outlives this process works on a copy that nobody reads.
    fn landing(&self) -> Span {
        Span(0)
    }

    fn request_timeout(&self) -> Span {
        Span(self.program.request_timeout().0.saturating_mul(RUNS).saturating_add(FILE_TIME))
    }

    async fn check_writable(&self, entry: &EntryRef) -> Outcome<()> {
        self.apart(entry, true, |work| not_done(work.check_writable())).await
    }

    async fn read(&self, entry: &EntryRef) -> Outcome<Held> {
        self.apart(entry, false, |work| not_done(work.read())).await
    }

    async fn lacks(&self, entry: &EntryRef) -> String {
        match self.apart(entry, false, |work| not_done(work.lacks())).await {
            Outcome::Done(Some(lack)) => lack,
            Outcome::Done(None) => "it has a login now, and had none a moment ago".to_owned(),
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => fault.to_string(),
        }
    }

    async fn can_hold(&self, entry: &EntryRef, login: &Login) -> Outcome<()> {
        let login = login.duplicate();
        self.apart(entry, true, move |work| not_done(work.can_hold(&login))).await
    }

    async fn write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Outcome<()> {
        let login = login.duplicate();
        let expect: Vec<Secret> = expect.iter().map(|secret| secret.duplicate()).collect();
        self.apart(entry, false, move |work| written(work.write(&login, &expect))).await
    }
}

/// One call, on a thread that may block.
struct Work {
    program: Program,
    format: Format,
    disk: Arc<Disk>,
    entry: EntryRef,
    /// The username's and the password's.
    indexes: [Index; 2],
    runtime: Handle,
    /// Whether this is preflight: then a key that cannot be had is a mistake to mend, and later it may come back.
    checking: bool,
}

impl Work {
    fn new(store: &SopsStore, entry: &EntryRef, checking: bool) -> Result<Self, Fault> {
        let odd = |what: String, hint: &str| {
            Fault::new(FaultClass::Permanent, "HO0616", format!("{}: {what}", entry.path)).hint(hint)
        };
        let format = store.format.or_else(|| Format::of(&entry.path)).ok_or_else(|| {
            odd("its name does not say what form it has".to_owned(), "name the store's `format`: yaml, json, dotenv or ini")
        })?;
        let index = |text: &str| {
            let index = Index::read(text).map_err(|why| odd(format!("the field `{text}` {why}"), "correct `fields`"))?;
            let keys = index.keys();
            let fits = match (format, keys.as_deref()) {
                (Format::Yaml | Format::Json, Some(["sops", ..])) => false,
                (Format::Yaml | Format::Json, _) => true,
                (Format::Dotenv, Some([key])) => !key.starts_with("sops_"),
                (Format::Ini, Some([section, _])) => *section != "sops",
                (Format::Dotenv | Format::Ini, _) => false,
            };
            match fits {
                true => Ok(index),
                false => Err(odd(
                    format!("the field `{text}` is no place in a file of the form {}", format.name()),
                    "dotenv has keys, ini has [\"section\"][\"key\"], and what SOPS keeps for itself is not for logins",
                )),
            }
        };
        let indexes = [index(&entry.username_field)?, index(&entry.password_field)?];
        Ok(Self {
            program: store.program.clone(),
            format,
            disk: Arc::clone(&store.disk),
            entry: entry.clone(),
            indexes,
            runtime: Handle::current(),
            checking,
        })
    }

    fn fault(&self, class: FaultClass, code: &str, what: impl std::fmt::Display) -> Fault {
        Fault::new(class, code, format!("{}: {what}", self.entry.path))
    }

    fn place(&self) -> Result<Place<'_>, Fault> {
        Ok(Place::open(&self.disk, &self.entry.path)?.patient())
    }

    /// What a status of SOPS means (`cmd/sops/codes/codes.go` of it).
    fn refused(&self, status: Option<i32>, doing: &str) -> Fault {
        let Some(status) = status else {
            return self.fault(FaultClass::Temporary, "HO0633", format!("sops was killed while it was to {doing}"));
        };
        let (class, code, what, hint) = match status {
            128 | 111 | 112 => (
                if self.checking { FaultClass::Permanent } else { FaultClass::Temporary },
                "HO0650",
                "sops gets no key that opens the file",
                "name where the key is in the store's `environment`, such as SOPS_AGE_KEY_FILE, and see that Handover's user may use it",
            ),
            51 | 52 | 24 | 25 => (
                FaultClass::Permanent,
                "HO0651",
                "something else than sops has changed the file: its MAC or a value of it does not fit",
                "look with `git diff` what was changed by hand or by a merge, and encrypt it anew with sops",
            ),
            1 => (
                FaultClass::Permanent,
                "HO0634",
                "sops refuses it",
                "is it a file that sops has encrypted, and is sops 3.11 or newer? `sops decrypt FILE` says what it lacks",
            ),
            _ => (
                FaultClass::Permanent,
                "HO0634",
                "sops refuses it",
                "run sops by hand to see what it says; its output is not kept",
            ),
        };
        self.fault(class, code, format!("{what} (status {status}, {doing})")).hint(hint)
    }

    fn run(&self, args: &[&str], input: &[u8], most: usize, doing: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
        match self.runtime.block_on(self.program.run(args, Some(input), most)) {
            Run::Ended(status, output) if status.success() => Ok(output),
            Run::Ended(status, _) => Err(self.refused(status.code(), doing)),
            Run::NotStarted(fault) => Err(fault.hint("install sops 3.11 or newer, or name it by the store's `program`")),
            // It works on a copy: the file is as it was.
            Run::TimedOut(fault) => Err(fault),
        }
    }

    /// The document in the clear, as JSON.
    fn decrypt(&self, text: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        // What was loaded is what is decrypted: by its input, whatever happens to the path meanwhile.
        let args = ["decrypt", "--input-type", self.format.name(), "--output-type", "json", "/dev/stdin"];
        self.run(&args, text, MOST_OUTPUT, "decrypt")
    }

    fn found(&self, json: &[u8]) -> Result<[Found; 2], Fault> {
        let find = |index: &Index| {
            let odd = || self.fault(FaultClass::Permanent, "HO0634", "what sops prints of it is no JSON document");
            match index.find(json).map_err(|()| odd())? {
                Found::NoText => {
                    let what = format!("{index} is no text");
                    Err(self.fault(FaultClass::Permanent, "HO0634", what).hint("put it in quotes, by `sops edit`"))
                }
                Found::Twice => {
                    let what = format!("a key of {index} stands twice in the file");
                    Err(self.fault(FaultClass::Permanent, "HO0612", what).hint("remove one of the two, by `sops edit`"))
                }
                found => Ok(found),
            }
        };
        Ok([find(&self.indexes[0])?, find(&self.indexes[1])?])
    }

    fn kept(&self, text: &[u8]) -> Result<Kept, Fault> {
        self.kept_in(&self.decrypt(text)?)
    }

    fn kept_in(&self, json: &[u8]) -> Result<Kept, Fault> {
        let [username, password] = self.found(json)?;
        Ok(Kept::new(username.text(), password.text()))
    }

    /// What was made, in the clear, if it differs from the document before in the two values and in nothing else.
    fn only_these(&self, before: &[u8], made: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let after = self.decrypt(made)?;
        let (old, new) = (rest::rest(before, &self.indexes), rest::rest(&after, &self.indexes));
        if old.is_ok() && old == new {
            return Ok(after);
        }
        let what = "sops would change more than the two values";
        let hint =
            "keep the login in a map that is there: sops counts comments in a list as items of it, and hits another one";
        Err(self.fault(FaultClass::Permanent, "HO0615", what).hint(hint))
    }

    fn read(&self) -> Result<Held, Fault> {
        let Some(loaded) = self.place()?.load()? else { return Ok(Held::Nothing) };
        self.kept(&loaded.text)?.held(&self.entry.path, &self.entry.username_field)
    }

    /// What is missing for a login, if anything is.
    fn lacks(&self) -> Result<Option<String>, Fault> {
        let Some(loaded) = self.place()?.load()? else {
            return Ok(Some("the file is missing".to_owned()));
        };
        let found = self.found(&self.decrypt(&loaded.text)?)?;
        Ok(self.indexes.iter().zip(found).find_map(|(index, found)| match found {
            Found::Text(text) if text.is_empty() => Some(format!("{index} is empty")),
            Found::Missing => Some(format!("the file has no {index}")),
            Found::Text(_) | Found::NoText | Found::Twice => None,
        }))
    }

    /// The file with these values, the username's first; one that is `None` stays. Only under the lock.
    fn edited(&self, place: &Place<'_>, text: &[u8], values: [Option<&str>; 2]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let copy = place.copy(text)?;
        let path = copy.path();
        let path = path.to_str().ok_or_else(|| {
            let what = "its folder has a name that is no text";
            self.fault(FaultClass::Permanent, "HO0605", what).hint("give the folder another name")
        })?;
        let form = self.format.name();
        for (index, value) in self.indexes.iter().zip(values) {
            let Some(value) = value else { continue };
            // A JSON text, in memory that is wiped and never grows: six bytes for each at most.
            let mut input = Zeroizing::new(Vec::with_capacity(value.len() * 6 + 2));
            serde_json::to_writer(&mut *input, value)
                .map_err(|_| self.fault(FaultClass::Permanent, "HO0615", "the value cannot be told to sops"))?;
            let index = index.to_string();
            let args = ["set", "--input-type", form, "--output-type", form, "--value-stdin", path, index.as_str()];
            self.run(&args, &input, 0, "set a value")?;
        }
        copy.read()
    }

    /// Whether the password would stand in the clear: the file's own rules may leave its key out.
    fn hidden(&self, made: &[u8], password: &str) -> Result<(), Fault> {
        if !made.windows(password.len().max(1)).any(|part| part == password.as_bytes()) {
            return Ok(());
        }
        let what = format!("sops would leave {} in the clear", self.indexes[1]);
        let hint =
            "its name or a rule of the file (`encrypted_regex`, `unencrypted_suffix`) keeps it out: change that first";
        Err(self.fault(FaultClass::Permanent, "HO0652", what).hint(hint))
    }

    fn missing(&self) -> Fault {
        let fault = self.fault(FaultClass::Permanent, "HO0635", "the file is missing");
        fault.hint("encrypt it once by sops with the current login in it, or correct the entry's `path`")
    }

    /// Proves that the file can be decrypted, changed and replaced, and that what is set is hidden.
    fn check_writable(&self) -> Result<(), Fault> {
        let place = self.place()?;
        place.lock()?;
        let loaded = place.load()?.ok_or_else(|| self.missing())?;
        let json = self.decrypt(&loaded.text)?;
        self.kept_in(&json)?;
        let failed = |e: crate::random::RandomError| self.fault(FaultClass::Temporary, "HO0609", e);
        let sample = hex_id(LONGEST_VALUE / 2).map_err(failed)?;
        let made = self.edited(&place, &loaded.text, [None, Some(&sample)])?;
        self.hidden(&made, &sample)?;
        self.only_these(&json, &made)?;
        place.probe(Some(&loaded), made.len())
    }

    /// The file as it would be with this login, proven and thrown away.
    fn can_hold(&self, login: &Login) -> Result<(), Fault> {
        let place = self.place()?;
        place.lock()?;
        let Some(loaded) = place.load()? else { return Ok(()) };
        self.with(&place, &loaded, &self.decrypt(&loaded.text)?, login).map(drop)
    }

    /// The file with this login, proven to hold and to hide it.
    fn with(&self, place: &Place<'_>, loaded: &Loaded, json: &[u8], login: &Login) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let (username, password) = (login.username.as_str(), login.password.expose());
        let made = self.edited(place, &loaded.text, [Some(username), Some(password)])?;
        self.hidden(&made, password)?;
        if self.kept_in(&self.only_these(json, &made)?)?.is(login) {
            return Ok(made);
        }
        let what = "sops gives the login back as another one";
        Err(self.fault(FaultClass::Permanent, "HO0615", what).hint("use a password of letters, digits, `_` and `-`"))
    }

    fn write(&self, login: &Login, expect: &[Secret]) -> Result<(), Failure> {
        let before = Failure::Before;
        let place = self.place().map_err(before)?;
        place.lock().map_err(before)?;
        place.sweep().map_err(before)?;
        let loaded = place.load().map_err(before)?.ok_or_else(|| before(self.missing()))?;
        let json = self.decrypt(&loaded.text).map_err(before)?;
        let kept = self.kept_in(&json).map_err(before)?;
        match kept.swap(login, expect) {
            Swap::Same => place.settle(&loaded).map_err(before),
            Swap::Foreign => Err(before(kept.foreign(&self.entry.path))),
            Swap::Replace => {
                let made = self.with(&place, &loaded, &json, login).map_err(before)?;
                place.replace(Some(&loaded), &made)
            }
        }
    }
}

/// Room that `check_writable` asks for a value: more than any provider's password.
const LONGEST_VALUE: usize = 256;

#[cfg(test)]
#[path = "sops/store_tests.rs"]
mod tests;
