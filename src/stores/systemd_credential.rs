//! The store `systemd-credential`: a login in one encrypted credential of systemd on this machine, as units load it with
//! `LoadCredentialEncrypted=`.
//!
//! Both values stand in one credential, as JSON or as an env text: two files cannot be replaced at once, and systemd may start a
//! unit by itself between the two. `systemd-creds` encrypts and decrypts, by its input and output only; the file is replaced here.

mod options;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

pub use self::options::{Format, SystemdCredentialOptions};
use super::env_file::{Dialect, read_text, set_text};
use super::object::Object;
use super::swap::{Kept, Swap};
use super::{EntryRef, Held, Store};
use crate::config::fields::Fields;
use crate::files::disk::Disk;
use crate::files::replace::{Failure, Loaded, Place, apart, not_done, written};
use crate::process::{Program, Run};
use crate::secret::{Login, Secret};

/// What a credential may hold, by systemd: 1 MiB, and encrypted and in base64 so much.
const MOST_PLAIN: usize = 1 << 20;
const MOST_FILE: usize = 2 << 20;
/// How often the program is run by a write, and the time for the file itself.
const RUNS: u64 = 3;
const FILE_TIME: u64 = 45_000;
/// How a credential begins that is sealed by no key at all: `CRED_AES256_GCM_BY_NULL` in systemd's `creds-util.h`.
const BY_NULL: [u8; 16] = [0x05, 0x84, 0x69, 0xda, 0xf6, 0xf5, 0x43, 0x24, 0x80, 0x05, 0x49, 0xda, 0x0f, 0x8e, 0xa2, 0xfb];

/// Keeps logins in encrypted credentials. The path of an entry is the file's absolute path; the credential's name is that of the file,
/// without `.cred`; its fields are keys in it.
///
/// # Guarantees
/// - At any instant the path holds the old bytes or the new ones, with both values of one login. Owner, group, mode and access list
///   are kept. Nothing is in the clear outside of memory and two pipes.
/// - What replaces the file was decrypted first under its name and holds the login.
///
/// # Assumptions
/// - Other Handover processes that write in the folder take the same lock; others are noticed but for the instant before the rename.
///
/// # Caveats
/// - A running service goes on with the credential that it was started with: only a restart gives it another.
/// - An expiry (`--not-after`) of the credential before is not kept.
pub struct SystemdCredentialStore {
    program: Program,
    options: SystemdCredentialOptions,
    disk: Arc<Disk>,
}

impl SystemdCredentialStore {
    /// A store with these options.
    ///
    /// # Errors
    /// `HO0634`: no such program can be meant.
    pub fn open(options: SystemdCredentialOptions) -> Result<Self, Fault> {
        Ok(Self { program: options.program()?, options, disk: Arc::default() })
    }

    /// Reads the options: `{with_key: host, format: env}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<SystemdCredentialOptions> {
        SystemdCredentialOptions::read(fields)
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        SystemdCredentialOptions::schema()
    }

    /// Files and programs take their time, so they run apart. A call that is given up runs on to its end there.
    async fn apart<T: Send + 'static>(
        &self,
        entry: &EntryRef,
        work: impl FnOnce(&Work) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        let job = Work {
            program: self.program.clone(),
            options: self.options.clone(),
            disk: Arc::clone(&self.disk),
            entry: entry.clone(),
            runtime: Handle::current(),
        };
        apart(&entry.path, move || work(&job)).await
    }
}

#[async_trait]
impl Store for SystemdCredentialStore {
    fn kind(&self) -> &'static str {
        "systemd-credential"
    }

    /// The program never touches the file.
    fn landing(&self) -> Span {
        Span(0)
    }

    fn request_timeout(&self) -> Span {
        Span(self.program.request_timeout().0.saturating_mul(RUNS).saturating_add(FILE_TIME))
    }

    async fn check_writable(&self, entry: &EntryRef) -> Outcome<()> {
        self.apart(entry, |work| not_done(work.check_writable())).await
    }

    async fn read(&self, entry: &EntryRef) -> Outcome<Held> {
        self.apart(entry, |work| not_done(work.read())).await
    }

    async fn lacks(&self, entry: &EntryRef) -> String {
        match self.apart(entry, |work| not_done(work.lacks())).await {
            Outcome::Done(lack) => lack,
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => fault.to_string(),
        }
    }

    async fn warnings(&self, entry: &EntryRef) -> Vec<String> {
        // A file that cannot be looked at is told of by `read`.
        match self.apart(entry, |work| not_done(work.sealed_by_nothing())).await {
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
    program: Program,
    options: SystemdCredentialOptions,
    disk: Arc<Disk>,
    entry: EntryRef,
    runtime: Handle,
}

impl Work {
    fn fault(&self, code: &str, what: impl std::fmt::Display) -> Fault {
        Fault::new(FaultClass::Permanent, code, format!("{}: {what}", self.entry.path))
    }

    fn place(&self) -> Result<Place<'_>, Fault> {
        Ok(Place::open(&self.disk, &self.entry.path)?.at_most(MOST_FILE).patient())
    }

    /// The argument that names the credential.
    fn name(&self) -> Result<String, Fault> {
        let file = Path::new(&self.entry.path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = file.strip_suffix(".cred").unwrap_or(file);
        if name.is_empty() || name.starts_with('.') || name.contains(':') || name.chars().any(char::is_control) {
            let fault = self.fault("HO0605", format!("`{name}` is no name of a credential"));
            return Err(fault.hint("name the file as in `LoadCredentialEncrypted=`, such as /etc/credstore.encrypted/smtp"));
        }
        Ok(format!("--name={name}"))
    }

    fn run(&self, args: &[&str], input: &[u8], refused: impl FnOnce() -> Fault) -> Result<Zeroizing<Vec<u8>>, Fault> {
        match self.runtime.block_on(self.program.run(args, Some(input), MOST_FILE)) {
            Run::Ended(status, output) if status.success() => Ok(output),
            Run::Ended(..) => Err(refused()),
            Run::NotStarted(fault) => Err(fault.hint("install systemd 250 or newer, or name it by `systemd_creds`")),
            Run::TimedOut(fault) => Err(fault),
        }
    }

    fn decrypt(&self, text: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let name = self.name()?;
        self.run(&["decrypt", "--newline=no", &name, "-", "-"], text, || {
            let what = format!("systemd-creds does not decrypt it ({name})");
            self.fault("HO0653", what).hint(
                "run Handover as root or by `systemd_creds: [sudo, -n, systemd-creds]`, on the machine that it was encrypted on, \
                 and see `systemd-creds decrypt`",
            )
        })
    }

    fn encrypt(&self, plain: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        if plain.len() > MOST_PLAIN {
            return Err(self.fault("HO0606", "a credential holds 1 MiB at most").hint("is it the right file?"));
        }
        let (name, key) = (self.name()?, format!("--with-key={}", self.options.with_key));
        let pcrs = self.options.tpm2_pcrs.as_ref().map(|pcrs| format!("--tpm2-pcrs={pcrs}"));
        let mut args = vec!["encrypt", name.as_str(), key.as_str()];
        args.extend(pcrs.as_deref());
        args.extend(["-", "-"]);
        self.run(&args, plain, || {
            let what = format!("systemd-creds does not encrypt with the key `{}`", self.options.with_key);
            self.fault("HO0653", what).hint("has this machine a TPM where `with_key` asks for one, and may Handover use it?")
        })
    }

    fn object(&self, plain: &[u8]) -> Result<Object, Fault> {
        let hint = "see `format` in docs/kinds/systemd-credential.md";
        let text = std::str::from_utf8(plain).map_err(|_| self.fault("HO0634", "it is no text").hint(hint))?;
        Object::read(text).map_err(|unfit| unfit.fault(self.entry.path.clone()))
    }

    fn kept(&self, plain: &[u8]) -> Result<Kept, Fault> {
        let fields = [self.entry.username_field.as_str(), self.entry.password_field.as_str()];
        match self.options.format {
            Format::Json => self.object(plain)?.kept(&self.entry).map_err(|why| self.fault("HO0634", why)),
            Format::Env => {
                let [username, password] =
                    read_text(plain, Dialect::default(), fields).map_err(|error| self.fault("HO0613", error))?;
                Ok(Kept::new(username, password))
            }
        }
    }

    /// What the credential would be with this login.
    fn with(&self, plain: &[u8], login: &Login) -> Result<Zeroizing<Vec<u8>>, Fault> {
        match self.options.format {
            Format::Json => Ok(Zeroizing::new(self.object(plain)?.with(&self.entry, login).as_bytes().to_vec())),
            Format::Env => {
                let pairs = [
                    (self.entry.username_field.as_str(), login.username.as_str()),
                    (self.entry.password_field.as_str(), login.password.expose()),
                ];
                set_text(plain, Dialect::default(), pairs).map_err(|error| {
                    self.fault("HO0615", error).hint("use a password of letters, digits, `_` and `-`, or the format `json`")
                })
            }
        }
    }

    /// The file with this credential, proven to be decrypted to it again.
    fn sealed(&self, plain: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let made = self.encrypt(plain)?;
        match self.decrypt(&made)?.as_slice() == plain {
            true => Ok(made),
            false => Err(self.fault("HO0653", "systemd-creds gives another credential back than it was given")),
        }
    }

    fn read(&self) -> Result<Held, Fault> {
        let Some(loaded) = self.place()?.load()? else { return Ok(Held::Nothing) };
        self.kept(&self.decrypt(&loaded.text)?)?.held(&self.entry.path, &self.entry.username_field)
    }

    fn lacks(&self) -> Result<String, Fault> {
        Ok(match self.place()?.load()? {
            None => "the file is missing".to_owned(),
            Some(loaded) => {
                self.kept(&self.decrypt(&loaded.text)?)?;
                let (username, password) = (&self.entry.username_field, &self.entry.password_field);
                format!("the credential lacks `{username}` or `{password}`, or one of them is empty")
            }
        })
    }

    fn sealed_by_nothing(&self) -> Result<Option<String>, Fault> {
        let Some(loaded) = self.place()?.load()? else { return Ok(None) };
        let begin: Vec<u8> = loaded.text.iter().copied().filter(|b| !b.is_ascii_whitespace()).take(24).collect();
        let id = STANDARD.decode(begin).unwrap_or_default();
        Ok(id.starts_with(&BY_NULL).then(|| {
            let path = &self.entry.path;
            format!("{path} is encrypted with no key at all (`--with-key=null`): whoever reads it has the password")
        }))
    }

    fn missing(&self) -> Fault {
        let fault = self.fault("HO0635", "the file is missing");
        fault.hint("encrypt it once by `systemd-creds encrypt` with the current login in it, or correct the entry's `path`")
    }

    /// Proves that the credential can be decrypted, made again and replaced.
    fn check_writable(&self) -> Result<(), Fault> {
        let place = self.place()?;
        place.lock()?;
        let loaded = place.load()?.ok_or_else(|| self.missing())?;
        let plain = self.decrypt(&loaded.text)?;
        self.kept(&plain)?;
        // With room for a longer login.
        let mut longer = Zeroizing::new(plain.to_vec());
        longer.resize(plain.len() + 2 * LONGEST_VALUE, b' ');
        let made = self.sealed(&longer)?;
        place.probe(Some(&loaded), made.len())
    }

    fn can_hold(&self, login: &Login) -> Result<(), Fault> {
        let Some(loaded) = self.place()?.load()? else { return Ok(()) };
        let made = self.with(&self.decrypt(&loaded.text)?, login)?;
        match self.kept(&made)?.is(login) {
            true => Ok(()),
            false => Err(self.fault("HO0615", "the login would be read back as another one")),
        }
    }

    fn write(&self, login: &Login, expect: &[Secret]) -> Result<(), Failure> {
        let before = Failure::Before;
        let place = self.place().map_err(before)?;
        place.lock().map_err(before)?;
        place.sweep().map_err(before)?;
        let loaded: Loaded = place.load().map_err(before)?.ok_or_else(|| before(self.missing()))?;
        let plain = self.decrypt(&loaded.text).map_err(before)?;
        let kept = self.kept(&plain).map_err(before)?;
        match kept.swap(login, expect) {
            Swap::Same => place.settle(&loaded).map_err(before),
            Swap::Foreign => Err(before(kept.foreign(&self.entry.path))),
            Swap::Replace => {
                let made = self.with(&plain, login).and_then(|plain| self.sealed(&plain)).map_err(before)?;
                place.replace(Some(&loaded), &made)
            }
        }
    }
}

/// Room that `check_writable` asks for each value: more than any provider's username or password.
const LONGEST_VALUE: usize = 256;

#[cfg(test)]
#[path = "systemd_credential_tests.rs"]
mod tests;
