//! What commands share: where the files are, the open journal, and the sandbox where it is asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handover_rotation::name::{CredentialName, RotationId};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::playbook::Playbook;
use handover_rotation::state::Rotation;
use handover_rotation::time::Millis;

use super::args::Global;
use tokio::sync::watch;

use super::failure::{Exit, Failure};
use super::signals::Signals;
use super::{flags, out};
use crate::config::inventory::Inventory;
use crate::config::load::load_inventory;
use crate::config::playbooks::load_playbooks;
use crate::engine::clock::{SystemClock, TrustedTime};
use crate::engine::{Engine, Signal, replay};
use crate::journal::{Filter, Header, Journal, KeySource, Options, Owner, SqliteJournal, open_seal};
use crate::keys;
use crate::registry::Registry;
use crate::sandbox::{RunningSandbox, SandboxOptions};

/// What commands share.
pub struct Context {
    /// What every command was given.
    pub global: Global,
    sandbox: Option<RunningSandbox>,
    signals: Option<Signals>,
}

impl Context {
    /// Looks where things are; with `--sandbox`, starts the sandbox unless it is running.
    ///
    /// # Errors
    /// The sandbox cannot be started.
    pub async fn open(global: Global, signals: Option<Signals>) -> Result<Self, Failure> {
        let sandbox = match global.sandbox && !crate::sandbox::is_running(&global.dir) {
            true => Some(super::sandbox::start(SandboxOptions::new(&global.dir)).await?),
            false => None,
        };
        Ok(Self { global, sandbox, signals })
    }

    /// What signals tell a rotation, from before it is begun or taken up: then none of them ends the process as it is.
    pub(super) fn signals(&self) -> watch::Receiver<Signal> {
        match &self.signals {
            Some(signals) => signals.arm(),
            // A command that runs no rotation; nobody tells it anything.
            None => watch::channel(Signal::Run).1,
        }
    }

    /// The same for a rotation that the daemon runs: a signal ends the look at it, and nothing else.
    pub(super) fn looking(&self) -> watch::Receiver<Signal> {
        match &self.signals {
            Some(signals) => signals.arm_look(),
            None => watch::channel(Signal::Run).1,
        }
    }

    /// What to say, and the exit status, when a second signal leaves a rotation at once.
    pub(super) fn leaving(&self, text: &str, exit: Exit) {
        if let Some(signals) = &self.signals {
            signals.leaving(flags::repeat(&self.global, text), exit);
        }
    }

    /// Whether a signal has asked to stop.
    pub(super) fn stopping(&self) -> bool {
        self.signals.as_ref().is_some_and(Signals::stopping)
    }

    /// Stops what was started here.
    pub async fn close(self) {
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
    }

    /// Writes text to stdout, its commands with the flags that were given.
    ///
    /// # Errors
    /// Stdout cannot be written to.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        let text = if self.global.json { flags::repeat_json(&self.global, text) } else { flags::repeat(&self.global, text) };
        out::data(&text).map_err(Failure::output)
    }

    /// Writes what came of a rotation to stdout. Where that cannot be written it is told, and the exit status stays that of the
    /// rotation: whoever reads it decides on the login by it.
    pub(super) fn report(&self, text: &str) {
        if let Err(Failure::Fault(_, fault)) = self.text(text) {
            self.say(&format!("warning: {fault}: `handover history` lists how it ended"));
        }
    }

    /// Writes text to stderr, likewise.
    pub fn say(&self, text: &str) {
        out::note(&flags::repeat(&self.global, text));
    }

    /// The path of the inventory.
    #[must_use]
    pub fn inventory_path(&self) -> PathBuf {
        match (&self.global.inventory, self.global.sandbox) {
            (Some(path), _) => path.clone(),
            (None, true) => self.global.dir.join("inventory.yaml"),
            (None, false) => PathBuf::from("inventory"),
        }
    }

    /// The folder of playbooks.
    #[must_use]
    pub fn playbooks_path(&self) -> PathBuf {
        match (&self.global.playbooks, self.global.sandbox) {
            (Some(path), _) => path.clone(),
            (None, true) => self.global.dir.join("playbooks"),
            (None, false) => PathBuf::from("playbooks"),
        }
    }

    /// The folder of the journal.
    ///
    /// # Errors
    /// A URL, which this release does not take, or no place for a folder.
    pub fn state_path(&self) -> Result<PathBuf, Failure> {
        if let Some(state) = &self.global.state {
            if state.contains("://") {
                let fault = Fault::new(
                    FaultClass::Permanent,
                    "HO0450",
                    format!("--state {}: only folders are taken", scheme(state)),
                );
                return Err(Failure::new(Exit::BadInput, fault.hint("give a folder; PostgreSQL is not in this release")));
            }
            return Ok(PathBuf::from(state));
        }
        if self.global.sandbox {
            return Ok(self.global.dir.join("state"));
        }
        let base = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
        let home = || std::env::var_os("HOME").map(|h| Path::new(&h).join(".local/state"));
        match base.or_else(home) {
            Some(base) => Ok(base.join("handover")),
            None => {
                let fault =
                    Fault::new(FaultClass::Permanent, "HO0451", "there is no place for the journal: HOME is not set");
                Err(Failure::new(Exit::BadInput, fault.hint("give --state FOLDER")))
            }
        }
    }

    /// Reads the inventory.
    ///
    /// # Errors
    /// Every problem of its files.
    pub fn inventory(&self) -> Result<Inventory, Failure> {
        Ok(load_inventory(&self.inventory_path(), &Registry)?)
    }

    /// Reads the playbooks.
    ///
    /// # Errors
    /// Every problem of their files.
    pub fn playbooks(&self) -> Result<BTreeMap<String, Playbook>, Failure> {
        Ok(load_playbooks(&self.playbooks_path())?)
    }

    /// Opens the journal.
    ///
    /// # Errors
    /// It cannot be opened, or is not to be trusted.
    pub async fn journal(&self) -> Result<Arc<dyn Journal>, Failure> {
        Ok(self.register().await?)
    }

    /// Opens the journal, with what the daemon remembers in it.
    ///
    /// # Errors
    /// It cannot be opened, or is not to be trusted.
    pub(super) async fn register(&self) -> Result<Arc<SqliteJournal>, Failure> {
        let path = self.state_path()?;
        let opened = tokio::task::spawn_blocking(move || SqliteJournal::open(Options::new(path))).await;
        match opened {
            Ok(journal) => Ok(Arc::new(journal?)),
            Err(_) => {
                Err(Failure::new(Exit::Error, Fault::new(FaultClass::Permanent, "HO0452", "opening the journal broke off")))
            }
        }
    }

    /// Opens the journal to look into it, if there is one: none is made.
    ///
    /// # Errors
    /// It cannot be opened, or is not to be trusted.
    pub(super) async fn journal_if_any(&self) -> Result<Option<Arc<SqliteJournal>>, Failure> {
        match self.state_path()?.join("journal.db").exists() {
            true => self.register().await.map(Some),
            false => Ok(None),
        }
    }

    /// Opens the journal to look into it: none is made.
    ///
    /// # Errors
    /// There is none, or it cannot be opened, or is not to be trusted.
    pub async fn existing_journal(&self) -> Result<Arc<dyn Journal>, Failure> {
        Ok(self.existing_register().await?)
    }

    /// The same, with what the daemon remembers in it.
    ///
    /// # Errors
    /// There is none, or it cannot be opened, or is not to be trusted.
    pub(super) async fn existing_register(&self) -> Result<Arc<SqliteJournal>, Failure> {
        let path = self.state_path()?;
        if !path.join("journal.db").exists() {
            let message = format!("there is no journal in {}: nothing was ever begun from there", path.display());
            let fault = Fault::new(FaultClass::Permanent, "HO0475", message);
            let hint = "give --state FOLDER or --sandbox as they were given to `rotate`, and be who ran it";
            return Err(Failure::new(Exit::BadInput, fault.hint(hint)));
        }
        self.register().await
    }

    /// Where the sealing key is kept, if not in the state folder.
    ///
    /// # Errors
    /// Every problem of the file that names it.
    pub(super) fn key_source(&self) -> Result<Option<Box<dyn KeySource>>, Failure> {
        self.global.seal.as_deref().map(|path| self.key_source_of(path)).transpose()
    }

    /// The source that a file names.
    ///
    /// # Errors
    /// Every problem of it.
    pub(super) fn key_source_of(&self, path: &Path) -> Result<Box<dyn KeySource>, Failure> {
        keys::load(path, &self.state_path()?).map_err(|unusable| match unusable {
            keys::Unusable::Problems(problems) => problems.into(),
            keys::Unusable::Fault(fault) => Failure::new(Exit::BadInput, fault),
        })
    }

    /// Opens the journal and its sealing key for running rotations.
    ///
    /// # Errors
    /// They cannot be opened, or are not to be trusted.
    pub async fn engine(&self) -> Result<Engine, Failure> {
        Ok(self.engine_and_register().await?.0)
    }

    /// The same, with what the daemon remembers.
    ///
    /// # Errors
    /// They cannot be opened, or are not to be trusted.
    pub(super) async fn engine_and_register(&self) -> Result<(Engine, Arc<SqliteJournal>), Failure> {
        let register = self.register().await?;
        let journal: Arc<dyn Journal> = Arc::clone(&register) as Arc<dyn Journal>;
        let state = self.state_path()?;
        let source = self.key_source()?;
        let sealer = open_seal(journal.as_ref(), &state, source.as_deref()).await?;
        let newest =
            journal.list(Filter { limit: Some(100), ..Filter::default() }).await?.iter().map(|h| h.created_at.0).max();
        let host = move || super::host::check(&state, newest);
        let engine = Engine {
            journal,
            sealer: Arc::new(sealer),
            clock: Arc::new(SystemClock),
            owner: Owner::current()?,
            breakers: crate::engine::Breakers::default(),
            hashes: crate::engine::known::hashes,
            host: Arc::new(host),
        };
        Ok((engine, register))
    }
}

fn scheme(url: &str) -> &str {
    url.split("://").next().unwrap_or_default()
}

/// A credential's name as it was typed.
///
/// # Errors
/// It is not a name.
pub fn credential_name(text: &str) -> Result<CredentialName, Failure> {
    CredentialName::new(text).map_err(|error| {
        let fault =
            Fault::new(FaultClass::Permanent, "HO0456", format!("{text:?} is not the name of a credential: it {error}"));
        Failure::new(Exit::BadInput, fault)
    })
}

/// The rotation that was typed: its id, or a credential whose latest it is.
///
/// # Errors
/// There is none.
pub async fn find_rotation(journal: &dyn Journal, what: &str) -> Result<Header, Failure> {
    if let Ok(id) = RotationId::new(what)
        && let Some(header) = journal.list(Filter { id: Some(id), ..Filter::default() }).await?.pop()
    {
        return Ok(header);
    }
    // The newest that is under way, else the newest.
    let of_credential = journal.list(Filter { credential: Some(what.to_owned()), ..Filter::default() }).await?;
    if let Some(header) = of_credential.iter().find(|h| !h.finished).or_else(|| of_credential.first()) {
        return Ok(header.clone());
    }
    let all = journal.list(Filter::default()).await?;
    let known = all.iter().map(|h| h.id.as_str());
    let near = crate::config::suggest::nearest(what, known).map(|n| format!("did you mean {n}? "));
    let fault = Fault::new(FaultClass::Permanent, "HO0457", format!("there is no rotation or rotated credential {what:?}"));
    Err(Failure::new(Exit::BadInput, fault.hint(format!("{}`handover history` lists them", near.unwrap_or_default()))))
}

/// The trusted time of a rotation now.
pub(super) fn trusted_now(rotation: &Rotation, rows: &[crate::journal::Row]) -> Millis {
    let of = |row: &crate::journal::Row| TrustedTime::of(rotation, row.stamp.clone());
    rows.last().map_or(rotation.at, |row| of(row).at(&crate::journal::system_stamp()))
}

/// The state of a rotation, and its events.
///
/// # Errors
/// The journal cannot be read.
pub async fn read_rotation(journal: &dyn Journal, id: &RotationId) -> Result<(Rotation, Vec<crate::journal::Row>), Failure> {
    let rows = journal.load(id).await?;
    Ok((replay(id, &rows)?, rows))
}
