//! The provider `dovecot`: the users of a Dovecot, in a passwd-file or a table of SQLite or PostgreSQL (shape C).
//!
//! ```text
//! logins    what an account's login names have, and what becomes of it   pure
//! passwd    the lines of a passwd-file, byte by byte                     pure
//! books     the file under its lock, or the table in a transaction
//! postgres  the table, where it is in PostgreSQL
//! doveadm   hashes and flushes, by the server's own tool
//! ```
//!
//! A change is hashed, flushed on trial, written, and flushed: where the server cannot be reached nothing is begun, and where the
//! last flush fails nobody knows what the server still has in its cache. In a leak there is no trial: what has leaked is shut out of
//! the file at least, and a login tells when the server knows.

mod books;
mod doveadm;
mod logins;
mod options;
mod passwd;
#[cfg(feature = "postgres")]
mod postgres;

use std::sync::Arc;

use async_trait::async_trait;
use handover_rotation::name::{Tag, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::ProviderFacts;

use self::books::Account;
use self::logins::Logins;
pub use self::options::DovecotOptions;
use super::{CreatedVersion, ListedVersion, Permitted, Provider};
use crate::config::Fields;
use crate::files::replace::Failure;
use crate::random;
use crate::secret::Secret;

/// A Dovecot as a provider.
///
/// # Guarantees
/// - Every reader of the file finds the old bytes or the new ones, in a later second than before: the server compares whole seconds
///   and the size, and would miss a change without it.
/// - The lines of other users and the other parts of a line are kept byte for byte; in a table, every other column.
///
/// # Assumptions
/// - The login name is what stands in the file or table: `username_format` does not change it.
///
/// # Caveats
/// - Whoever is logged in stays so: a new password is asked for at the next login.
/// - `nologin` is not used to disable: the server hands such a user to Postfix as accepted.
pub struct DovecotProvider {
    options: Arc<DovecotOptions>,
    leak: bool,
}

impl DovecotProvider {
    /// A provider with these options: nothing is looked at before it is asked.
    ///
    /// # Errors
    /// None.
    pub fn open(options: DovecotOptions) -> Result<Self, Fault> {
        Ok(Self { options: Arc::new(options), leak: false })
    }

    /// Reads the options; see docs/kinds/dovecot.md.
    pub fn options(fields: &mut Fields<'_>) -> Option<DovecotOptions> {
        DovecotOptions::read(fields)
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        DovecotOptions::schema()
    }

    /// What it can do and how fast.
    #[must_use]
    pub fn usual(options: &DovecotOptions) -> ProviderFacts {
        options.facts()
    }

    /// The account's login names, if all of them could be.
    fn logins(&self, account: &str) -> Result<Vec<String>, Fault> {
        let logins = self.options.logins(account);
        match logins.iter().find(|name| !options::is_login(name)) {
            None => Ok(logins),
            Some(name) => {
                let message = format!("{name:?} is no login name that Dovecot and Handover both take");
                Err(Fault::new(FaultClass::Permanent, "HO0502", message).hint("correct `account` in the inventory"))
            }
        }
    }

    /// Files and databases block, so they are used on a thread that may.
    async fn apart<T: Send + 'static>(
        &self,
        account: &str,
        work: impl FnOnce(&DovecotOptions, &Account<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Outcome<T> {
        let logins = match self.logins(account) {
            Ok(logins) => logins,
            Err(fault) => return Outcome::NotDone(fault),
        };
        let (options, name) = (Arc::clone(&self.options), account.to_owned());
        let work = move || {
            let account = Account { name: &name, shape: options.shape, logins: &logins };
            match work(&options, &account) {
                Ok(value) => Outcome::Done(value),
                Err(Failure::Before(fault)) => Outcome::NotDone(fault),
                Err(Failure::Maybe(fault)) => Outcome::Unknown(fault),
            }
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
            Outcome::Unknown(Fault::new(FaultClass::Temporary, "HO0505", "the change was cut off inside Handover"))
        })
    }

    async fn change<T: Send + 'static>(
        &self,
        account: &str,
        change: impl FnOnce(&mut Logins) -> Result<T, Fault> + Send + 'static,
    ) -> Outcome<T> {
        let doveadm = &self.options.doveadm;
        let logins = match self.logins(account) {
            Ok(logins) => logins,
            Err(fault) => return Outcome::NotDone(fault),
        };
        if !self.leak
            && let Err(fault) = doveadm.flush(&logins).await
        {
            return Outcome::NotDone(fault);
        }
        let changed = self.apart(account, |options, account| options.place.change(account, change)).await;
        if !matches!(changed, Outcome::Done(_)) {
            return changed;
        }
        match doveadm.flush(&logins).await {
            Ok(()) => changed,
            Err(fault) => {
                let message = format!("the change is written, but the server may not know it yet: {}", fault.message);
                let hint = format!("`doveadm auth cache flush {}`", logins.join(" "));
                Outcome::Unknown(Fault::new(FaultClass::Temporary, "HO0531", message).hint(hint))
            }
        }
    }
}

#[async_trait]
impl Provider for DovecotProvider {
    fn facts(&self) -> ProviderFacts {
        self.options.facts()
    }

    fn in_leak(&self) -> Option<Arc<dyn Provider>> {
        Some(Arc::new(Self { options: Arc::clone(&self.options), leak: true }))
    }

    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>> {
        self.apart(account, |options, account| {
            options.place.read(account).and_then(|logins| logins.versions()).map_err(Failure::Before)
        })
        .await
    }

    /// The hash of a password that is thrown away, a flush, and a change of the file or table that is taken back unseen.
    async fn permitted(&self, account: &str) -> Outcome<Permitted> {
        let tried = async {
            let password = random::generate_password(random::PASSWORD_LENGTH, random::ALPHABET)
                .map_err(|error| Fault::new(FaultClass::Temporary, "HO0508", error.to_string()))?;
            self.options.doveadm.hash(self.options.scheme, &password).await?;
            self.options.doveadm.flush(&self.logins(account)?).await
        };
        if let Err(fault) = tried.await {
            return Outcome::NotDone(fault);
        }
        let may = self.apart(account, |options, account| options.place.permitted(account).map_err(Failure::Before)).await;
        may.map(|()| Permitted::Yes)
    }

    async fn warnings(&self, account: &str) -> Vec<String> {
        let found = self.apart(account, |options, account| {
            let mut warnings = Vec::new();
            if options.place.is_open_to_others() {
                warnings
                    .push("everyone on this machine can read the server's users and their hashes: chmod o-rwx".to_owned());
            }
            let logins = options.place.read(account).map_err(Failure::Before)?;
            for login in logins.unsalted() {
                warnings.push(format!("the password of {login} is kept in the clear or without a salt at the server"));
            }
            Ok(warnings)
        });
        // What cannot be read is told of by `list`.
        match found.await {
            Outcome::Done(warnings) => warnings,
            Outcome::NotDone(_) | Outcome::Unknown(_) => Vec::new(),
        }
    }

    async fn create(&self, account: &str, tag: &Tag, secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        let Some(secret) = secret else {
            let message = format!("account {account} takes its password from the caller, who gave none");
            return Outcome::NotDone(Fault::new(FaultClass::Permanent, "HO0507", message));
        };
        let hash = match self.options.doveadm.hash(self.options.scheme, secret).await {
            Ok(hash) => hash,
            Err(fault) => return Outcome::NotDone(fault),
        };
        let tag = tag.clone();
        let made = self.change(account, move |logins| logins.create(&tag, hash)).await;
        made.map(|(id, username)| CreatedVersion { id, username, secret: None })
    }

    async fn disable(&self, account: &str, id: &VersionId) -> Outcome<()> {
        let id = id.clone();
        self.change(account, move |logins| logins.disable(&id)).await
    }

    /// What was taken out is put back as it was, so the secret is not needed.
    async fn enable(&self, account: &str, id: &VersionId, _secret: Option<&Secret>) -> Outcome<()> {
        let id = id.clone();
        self.change(account, move |logins| logins.enable(&id)).await
    }

    async fn delete(&self, account: &str, id: &VersionId) -> Outcome<()> {
        let id = id.clone();
        self.change(account, move |logins| logins.delete(&id)).await
    }
}
