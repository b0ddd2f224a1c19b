//! The person at the console of a sandbox without an API: makes, disables, enables and deletes versions by hand, as somebody
//! would at a provider's web page. Handover never calls this; whoever tries it out does.

use std::path::{Path, PathBuf};

use handover_rotation::name::{Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use serde::Serialize;

use super::layout::Layout;
use crate::providers::sandbox::account::{Account, State, Terms, new_password};
use crate::providers::sandbox::faults::Faults;
use crate::providers::sandbox::files::{self, Lasting, file_fault, now_ms};
use crate::providers::sandbox::ledger::Ledger;
use crate::secret::Secret;

/// What a person did.
#[derive(Clone, Debug, Serialize)]
pub struct Did {
    /// What: `create`, `disable`, `enable` or `delete`.
    pub action: String,
    /// The account.
    pub account: String,
    /// The login.
    pub username: Username,
    /// The provider's id.
    pub id: VersionId,
    /// Where the password of a version just made is: a page would show it once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// What can be done, and to what.
const ACTIONS: &str = "create ACCOUNT, disable LOGIN, enable LOGIN, delete LOGIN";

/// Does it.
///
/// # Errors
/// There is no such action, account or login, or the files cannot be written.
pub fn by_hand(dir: &Path, action: &str, name: &str) -> Result<Did, Fault> {
    let layout = Layout::new(dir)?;
    let ledger = Ledger::open(&layout.dir)?;
    let settings = ledger.settings();
    let delay = Faults::load(&layout.dir)?.propagation;
    let terms = Terms { shape: settings.shape, quota: settings.quota, now: now_ms(), delay };
    match action {
        "create" => create(&layout, &ledger, &terms, name),
        "disable" | "enable" | "delete" => change(&layout, &ledger, &terms, action, name),
        other => {
            let message = format!("a person at the sandbox's console cannot {other:?}");
            Err(Fault::new(FaultClass::Permanent, "HO0912", message).hint(format!("one of: {ACTIONS}")))
        }
    }
}

fn create(layout: &Layout, ledger: &Ledger, terms: &Terms, name: &str) -> Result<Did, Fault> {
    if ledger.read(name)?.is_none() {
        let all = ledger.accounts()?.join(", ");
        let message = format!("the sandbox has no account {name:?}");
        return Err(Fault::new(FaultClass::Permanent, "HO0502", message).hint(format!("it has: {all}")));
    }
    let secret = new_password()?;
    let made = ledger.change(name, |account| {
        let made = account.create(terms, None, Some(&secret))?;
        let version = account.versions.get(made).ok_or_else(|| no_version(name))?;
        Ok((version.id.clone(), version.username.clone(), version.password.duplicate()))
    });
    let (id, username, password) = done(made)?;
    let path = password_file(layout, &username);
    keep(&path, &password)?;
    Ok(Did { action: "create".to_owned(), account: name.to_owned(), username, id, password_file: Some(path) })
}

fn change(layout: &Layout, ledger: &Ledger, terms: &Terms, action: &str, name: &str) -> Result<Did, Fault> {
    let account = ledger.account_of(name)?.ok_or_else(|| no_version(name))?.name;
    let changed = ledger.change(&account, |account: &mut Account| {
        let found = account.versions.iter().rev().find(|v| v.username.as_str() == name && v.state != State::Deleted);
        let version = found.ok_or_else(|| no_version(name))?;
        let (id, username, password) = (version.id.clone(), version.username.clone(), version.password.duplicate());
        match action {
            "disable" => account.disable(terms, &id)?,
            "enable" => account.enable(terms, &id, Some(&password))?,
            _ => account.delete(terms, &id),
        }
        Ok((id, username))
    });
    let (id, username) = done(changed)?;
    if action == "delete" {
        // Nobody needs the password of what is gone.
        let _ = std::fs::remove_file(password_file(layout, &username));
    }
    Ok(Did { action: action.to_owned(), account, username, id, password_file: None })
}

fn no_version(name: &str) -> Fault {
    Fault::new(FaultClass::Permanent, "HO0506", format!("the sandbox has no login {name:?}"))
        .hint("`handover sandbox --status` lists them")
}

fn done<T>(outcome: Outcome<T>) -> Result<T, Fault> {
    match outcome {
        Outcome::Done(value) => Ok(value),
        Outcome::NotDone(fault) | Outcome::Unknown(fault) => Err(fault),
    }
}

fn password_file(layout: &Layout, username: &Username) -> PathBuf {
    // A login of the sandbox is its account's name with a number: a plain file name.
    layout.dir.join("person").join(format!("{username}.password"))
}

/// Only the owner can read it (S21).
fn keep(path: &Path, password: &Secret) -> Result<(), Fault> {
    let folder = path.parent().unwrap_or(path);
    files::private_dir(folder).map_err(|e| file_fault("HO0903", "make", folder, &e))?;
    files::replace(path, format!("{}\n", password.expose()).as_bytes(), Lasting::PowerCut)
        .map_err(|e| file_fault("HO0903", "write", path, &e.into()))
}
