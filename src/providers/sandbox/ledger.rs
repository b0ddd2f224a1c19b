//! The provider's database on disk: one file an account, replaced whole under a lock, so that several processes can use
//! it at once and a kill at any instant leaves the old or the new state.
//!
//! ```text
//! DIR/sandbox.json               shape and quota, fixed when the sandbox is made
//! DIR/accounts/NAME.json         the account and its versions, with passwords
//! DIR/accounts/NAME.seen.json    when each version was last accepted and refused; may lose its newest in a power cut
//! DIR/accounts/NAME.lock         held while either is changed
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use handover_rotation::name::VersionId;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::Shape;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::account::{Account, FORMAT, accounts_of};
use super::files::{self, Lasting, WriteError, file_fault};

/// How many versions an account may have unless a fault says otherwise; as SES has it.
pub const DEFAULT_QUOTA: u8 = 2;

/// What is fixed when a sandbox is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The version of this format.
    pub format: u32,
    /// How the provider keeps versions.
    pub shape: Shape,
    /// How many versions an account may have, inactive ones counted.
    pub quota: u8,
}

/// When a version was last accepted and refused, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Last accepted.
    pub used_at: Option<u64>,
    /// Last refused.
    pub refused_at: Option<u64>,
}

/// What the SMTP server made of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// 235.
    Used,
    /// 535.
    Refused,
}

/// The accounts of one sandbox.
#[derive(Clone, Debug)]
pub struct Ledger {
    dir: PathBuf,
    settings: Settings,
}

impl Ledger {
    /// Opens the ledger in `dir`, and makes it if there is none. `shape` is for a new one; `None` takes what is there.
    ///
    /// # Errors
    /// The folder cannot be used, or was made with another shape.
    pub fn make(dir: &Path, shape: Option<Shape>) -> Result<Self, Fault> {
        let accounts = dir.join("accounts");
        files::private_dir(&accounts).map_err(|e| file_fault("HO0509", "make", &accounts, &e))?;
        let path = dir.join("sandbox.json");
        let lock = dir.join("sandbox.lock");
        let _held = files::lock(&lock).map_err(|e| file_fault("HO0509", "lock", &lock, &e))?;
        if !path.exists() {
            let shape = shape.unwrap_or(Shape::Reversible);
            write_json(&path, &Settings { format: FORMAT, shape, quota: DEFAULT_QUOTA }, Lasting::PowerCut)
                .map_err(|e| file_fault("HO0509", "write", &path, &e.into()))?;
        }
        let ledger = Self::open(dir)?;
        match shape {
            Some(asked) if asked != ledger.settings.shape => {
                let message = format!("the sandbox in {} has another shape of provider than asked for", dir.display());
                Err(Fault::new(FaultClass::Permanent, "HO0511", message).hint("take another folder, or leave the shape out"))
            }
            _ => Ok(ledger),
        }
    }

    /// Opens the ledger in `dir`.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(dir: &Path) -> Result<Self, Fault> {
        let path = dir.join("sandbox.json");
        let settings: Option<Settings> = read_json(&path)?;
        match settings {
            Some(settings) if settings.format == FORMAT => Ok(Self { dir: dir.to_path_buf(), settings }),
            Some(settings) => Err(newer(&path, settings.format)),
            None => {
                let message = format!("there is no sandbox in {}", dir.display());
                let hint = format!("start one with `handover sandbox --dir {}`", dir.display());
                Err(Fault::new(FaultClass::Permanent, "HO0501", message).hint(hint))
            }
        }
    }

    /// The folder of the sandbox.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is fixed.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// The names of the accounts, in order.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn accounts(&self) -> Result<Vec<String>, Fault> {
        let folder = self.dir.join("accounts");
        let trouble = |e: std::io::Error| file_fault("HO0509", "read", &folder, &e);
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(trouble)? {
            let name = entry.map_err(trouble)?.file_name().to_string_lossy().into_owned();
            if let Some(account) = name.strip_suffix(".json").filter(|n| !n.ends_with(".seen") && !n.starts_with('.')) {
                names.push(account.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// One account as it is now, or `None`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self, account: &str) -> Result<Option<Account>, Fault> {
        let Some(path) = self.path(account, "json") else { return Ok(None) };
        let found: Option<Account> = read_json(&path)?;
        match found {
            Some(found) if found.format != FORMAT => Err(newer(&path, found.format)),
            found => Ok(found),
        }
    }

    /// Makes an account by `first` if there is none of that name; answers whether it was made.
    ///
    /// # Errors
    /// The name cannot be used, `first` refused, or the file cannot be written.
    pub fn make_account(&self, name: &str, first: impl FnOnce(&mut Account) -> Result<(), Fault>) -> Result<bool, Fault> {
        let path = self.path(name, "json").ok_or_else(|| no_account(name))?;
        let _held = self.lock(name)?;
        if self.read(name)?.is_some() {
            return Ok(false);
        }
        let mut account = Account::new(name);
        first(&mut account)?;
        write_json(&path, &account, Lasting::PowerCut).map_err(|e| file_fault("HO0509", "write", &path, &e.into()))?;
        Ok(true)
    }

    /// Changes one account, alone among all processes. `NotDone` means that the file is as it was.
    pub fn change<T>(&self, account: &str, change: impl FnOnce(&mut Account) -> Result<T, Fault>) -> Outcome<T> {
        let (path, _held, mut found) = match self.for_change(account) {
            Ok(all) => all,
            Err(fault) => return Outcome::NotDone(fault),
        };
        let learned = match change(&mut found) {
            Ok(learned) => learned,
            Err(fault) => return Outcome::NotDone(fault),
        };
        match write_json(&path, &found, Lasting::PowerCut) {
            Ok(()) => Outcome::Done(learned),
            Err(WriteError::Before(error)) => Outcome::NotDone(file_fault("HO0509", "write", &path, &error)),
            Err(WriteError::After(error)) => Outcome::Unknown(file_fault("HO0509", "flush", &path, &error)),
        }
    }

    /// Whether the account's file and its folder may be written to by us. Changes nothing.
    ///
    /// # Errors
    /// They may not, or there is no such account.
    pub fn may_change(&self, account: &str) -> Result<(), Fault> {
        use rustix::fs::Access;
        let path = self.path(account, "json").filter(|p| p.exists()).ok_or_else(|| no_account(account))?;
        let folder = self.dir.join("accounts");
        for (path, access) in [(&folder, Access::WRITE_OK | Access::EXEC_OK), (&path, Access::READ_OK | Access::WRITE_OK)] {
            rustix::fs::access(path, access).map_err(|e| file_fault("HO0509", "write", path, &e.into()))?;
        }
        Ok(())
    }

    fn for_change(&self, account: &str) -> Result<(PathBuf, fs::File, Account), Fault> {
        let path = self.path(account, "json").ok_or_else(|| no_account(account))?;
        if !path.exists() {
            return Err(no_account(account));
        }
        let held = self.lock(account)?;
        let found = self.read(account)?.ok_or_else(|| no_account(account))?;
        Ok((path, held, found))
    }

    /// The account that a login name belongs to.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn account_of(&self, username: &str) -> Result<Option<Account>, Fault> {
        for name in accounts_of(username) {
            if let Some(account) = self.read(name)?
                && account.newest_of(username).is_some()
            {
                return Ok(Some(account));
            }
        }
        Ok(None)
    }

    /// When the versions of an account were last accepted and refused. A file that cannot be read counts as empty: it
    /// holds notes.
    #[must_use]
    pub fn seen(&self, account: &str) -> BTreeMap<VersionId, Seen> {
        self.path(account, "seen.json").and_then(|path| read_json(&path).ok().flatten()).unwrap_or_default()
    }

    /// Notes that a version was accepted or refused at `now`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note(&self, account: &str, id: &VersionId, sight: Sight, now: u64) -> Result<(), Fault> {
        let path = self.path(account, "seen.json").ok_or_else(|| no_account(account))?;
        let _held = self.lock(account)?;
        let mut seen = self.seen(account);
        let line = seen.entry(id.clone()).or_default();
        let slot = if sight == Sight::Used { &mut line.used_at } else { &mut line.refused_at };
        *slot = (*slot).max(Some(now));
        write_json(&path, &seen, Lasting::Kill).map_err(|e| file_fault("HO0509", "write", &path, &e.into()))
    }

    fn lock(&self, account: &str) -> Result<fs::File, Fault> {
        let path = self.path(account, "lock").ok_or_else(|| no_account(account))?;
        files::lock(&path).map_err(|e| file_fault("HO0509", "lock", &path, &e))
    }

    /// The path of an account's file; `None` for a name that is no safe file name.
    fn path(&self, account: &str, suffix: &str) -> Option<PathBuf> {
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let sound = !account.is_empty() && account.len() <= 64 && account.chars().all(safe);
        let free = !account.starts_with('.') && !account.ends_with(".seen");
        (sound && free).then(|| self.dir.join("accounts").join(format!("{account}.{suffix}")))
    }
}

fn no_account(account: &str) -> Fault {
    let account: String = account.chars().take(64).collect();
    Fault::new(FaultClass::Permanent, "HO0502", format!("the sandbox has no account {account:?}"))
}

fn newer(path: &Path, format: u32) -> Fault {
    let message = format!("{} has format {format}, this program knows {FORMAT}", path.display());
    Fault::new(FaultClass::Permanent, "HO0509", message).hint("use the newer program, or another folder")
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, Fault> {
    let bytes = files::read_if_there(path).map_err(|e| file_fault("HO0509", "read", path, &e))?;
    let Some(bytes) = bytes.map(Zeroizing::new) else { return Ok(None) };
    // The parser's own words are left out: they may quote the file, and the file holds passwords.
    serde_json::from_slice(&bytes).map(Some).map_err(|e| {
        let message = format!("{} is damaged at line {}, column {}", path.display(), e.line(), e.column());
        Fault::new(FaultClass::Permanent, "HO0509", message).hint("restore the file, or start over in an empty folder")
    })
}

fn write_json<T: Serialize>(path: &Path, value: &T, lasting: Lasting) -> Result<(), WriteError> {
    let bytes = serde_json::to_vec_pretty(value).map(Zeroizing::new).map_err(|e| WriteError::Before(e.into()))?;
    files::replace(path, &bytes, lasting)
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
