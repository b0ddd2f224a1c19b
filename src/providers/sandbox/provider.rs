//! The adapter: the sandbox's accounts behind the contract of every provider. It works on the files, so it needs no
//! running server; the SMTP server sees its changes at once, or after the `propagation` fault.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use handover_rotation::name::{Tag, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::ProviderFacts;
use handover_rotation::time::Span;

use super::account::{Account, State, Terms, Version, chooses_secret};
use super::faults::{CreateError, Effect, Faults, take_drop};
use super::files::now_ms;
use super::ledger::Ledger;
use crate::config::Fields;
use crate::providers::{CreatedVersion, ListedVersion, LiveState, Permitted, Provider};
use crate::secret::Secret;

/// The least bound on propagation that the sandbox declares.
const PROPAGATION: Span = Span::seconds(2);
/// What the bound has above the `propagation` fault, so that a check at the bound finds the change made.
const PROPAGATION_MARGIN: Span = Span::seconds(1);

/// The sandbox as a provider.
#[derive(Clone, Debug)]
pub struct SandboxProvider {
    ledger: Arc<Ledger>,
}

/// What an inventory says about a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxProviderOptions {
    /// Its folder.
    pub dir: PathBuf,
}

impl SandboxProvider {
    /// Opens the sandbox, which need not be running.
    ///
    /// # Errors
    /// There is none in that folder, or its files cannot be read.
    pub fn open(options: SandboxProviderOptions) -> Result<Self, Fault> {
        Ledger::open(&options.dir).map(|ledger| Self { ledger: Arc::new(ledger) })
    }

    /// What it can do and how fast, by its own settings; `None` where there is none.
    #[must_use]
    pub fn usual(options: &SandboxProviderOptions) -> Option<ProviderFacts> {
        Self::open(options.clone()).ok().map(|provider| provider.facts())
    }

    /// Reads the options: `{dir: PATH}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<SandboxProviderOptions> {
        Some(SandboxProviderOptions { dir: fields.required_path("dir")? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        serde_json::json!({
            "type": "object", "additionalProperties": false, "required": ["dir"], "properties": {"dir": {"type": "string"}}
        })
    }

    fn dir(&self) -> &Path {
        self.ledger.dir()
    }

    /// What every call begins with: the faults, the delay, and whether there is anyone to talk to.
    async fn call(&self) -> Result<(Faults, Terms), Fault> {
        let faults = Faults::load(self.dir())?;
        tokio::time::sleep(faults.delay()).await;
        if faults.provider_down {
            let message = "the sandbox's provider cannot be reached (fault provider-down)";
            return Err(
                Fault::new(FaultClass::Temporary, "HO0501", message).hint("switch it off: --fault provider-down=off")
            );
        }
        let settings = self.ledger.settings();
        let quota = faults.quota.unwrap_or(settings.quota);
        let terms = Terms { shape: settings.shape, quota, now: now_ms(), delay: faults.propagation };
        Ok((faults, terms))
    }

    /// Changes an account on a thread that may wait for its lock, and loses the answer if a fault says so.
    async fn change<T: Send + 'static>(
        &self,
        account: &str,
        effect: Effect,
        change: impl FnOnce(&mut Account) -> Result<T, Fault> + Send + 'static,
    ) -> Outcome<T> {
        let (ledger, account) = (Arc::clone(&self.ledger), account.to_owned());
        let work = move || match ledger.change(&account, change) {
            Outcome::Done(learned) => match take_drop(ledger.dir(), effect) {
                Ok(false) => Outcome::Done(learned),
                Ok(true) => Outcome::Unknown(lost()),
                Err(fault) => Outcome::Unknown(fault),
            },
            other => other,
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Outcome::Unknown(lost()))
    }
}

#[async_trait]
impl Provider for SandboxProvider {
    fn facts(&self) -> ProviderFacts {
        let settings = self.ledger.settings();
        // A file of faults that cannot be read stops the calls, with its own fault; here the plain facts do.
        let faults = Faults::load(self.dir()).unwrap_or_default();
        let propagation = match faults.propagation {
            0 => PROPAGATION,
            spread => PROPAGATION.max(Span(spread.saturating_add(PROPAGATION_MARGIN.0))),
        };
        ProviderFacts {
            kind: "sandbox".to_owned(),
            shape: settings.shape,
            quota: faults.quota.unwrap_or(settings.quota),
            propagation,
            request_timeout: Span::seconds(2),
            // Calls are local writes under a lock: one that is not done when its process dies never will be.
            landing: Span(0),
            chooses_secret: chooses_secret(settings.shape),
            tells_last_use: true,
        }
    }

    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>> {
        let (faults, terms) = match self.call().await {
            Ok(both) => both,
            Err(fault) => return Outcome::NotDone(fault),
        };
        let (ledger, account) = (Arc::clone(&self.ledger), account.to_owned());
        let work = move || {
            let found = ledger.read(&account)?;
            let found = found.ok_or_else(|| {
                Fault::new(FaultClass::Permanent, "HO0502", format!("the sandbox has no account {account:?}"))
            })?;
            let seen = ledger.seen(&account);
            let young = |v: &&Version| v.created_at.saturating_add(faults.stale_list) <= terms.now;
            Ok(found.kept().filter(young).map(|v| listed(v, seen.get(&v.id).copied().unwrap_or_default())).collect())
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(versions)) => Outcome::Done(versions),
            Ok(Err(fault)) => Outcome::NotDone(fault),
            Err(_) => Outcome::Unknown(lost()),
        }
    }

    /// Its books are files: who may write them may do everything.
    async fn permitted(&self, account: &str) -> Outcome<Permitted> {
        let (ledger, account) = (Arc::clone(&self.ledger), account.to_owned());
        match tokio::task::spawn_blocking(move || ledger.may_change(&account)).await {
            Ok(Ok(())) => Outcome::Done(Permitted::Yes),
            Ok(Err(fault)) => Outcome::NotDone(fault),
            Err(_) => Outcome::Unknown(lost()),
        }
    }

    async fn create(&self, account: &str, tag: &Tag, secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        let (faults, terms) = match self.call().await {
            Ok(both) => both,
            Err(fault) => return Outcome::NotDone(fault),
        };
        let refused =
            |class| Fault::new(class, "HO0508", "the sandbox's provider makes no version now (fault create-error)");
        match faults.create_error {
            Some(CreateError::Temporary) => return Outcome::NotDone(refused(FaultClass::Temporary)),
            Some(CreateError::Permanent) => return Outcome::NotDone(refused(FaultClass::Permanent)),
            Some(CreateError::Unknown) => return Outcome::Unknown(refused(FaultClass::Temporary)),
            None => {}
        }
        let (tag, secret) = (tag.clone(), secret.map(Secret::duplicate));
        self.change(account, Effect::Create, move |account| {
            let made = account.create(&terms, Some(&tag), secret.as_ref())?;
            let made = account.versions.get(made).ok_or_else(lost)?;
            Ok(CreatedVersion {
                id: made.id.clone(),
                username: made.username.clone(),
                secret: (!terms.chooses_secret()).then(|| made.password.duplicate()),
            })
        })
        .await
    }

    async fn disable(&self, account: &str, id: &VersionId) -> Outcome<()> {
        let id = id.clone();
        match self.call().await {
            Ok((_, terms)) => self.change(account, Effect::Disable, move |account| account.disable(&terms, &id)).await,
            Err(fault) => Outcome::NotDone(fault),
        }
    }

    async fn enable(&self, account: &str, id: &VersionId, secret: Option<&Secret>) -> Outcome<()> {
        let (id, secret) = (id.clone(), secret.map(Secret::duplicate));
        let enable = move |account: &mut Account, terms: &Terms| account.enable(terms, &id, secret.as_ref());
        match self.call().await {
            Ok((_, terms)) => self.change(account, Effect::Enable, move |account| enable(account, &terms)).await,
            Err(fault) => Outcome::NotDone(fault),
        }
    }

    async fn delete(&self, account: &str, id: &VersionId) -> Outcome<()> {
        let id = id.clone();
        let delete = move |account: &mut Account, terms: &Terms| {
            account.delete(terms, &id);
            Ok(())
        };
        match self.call().await {
            Ok((_, terms)) => self.change(account, Effect::Delete, move |account| delete(account, &terms)).await,
            Err(fault) => Outcome::NotDone(fault),
        }
    }
}

fn listed(version: &Version, seen: super::ledger::Seen) -> ListedVersion {
    ListedVersion {
        id: version.id.clone(),
        username: version.username.clone(),
        tag: version.tag.clone(),
        state: if version.state == State::Active { LiveState::Active } else { LiveState::Inactive },
        created_at: Some(version.created_at),
        last_used_at: seen.used_at,
        last_refused_at: seen.refused_at,
    }
}

fn lost() -> Fault {
    Fault::new(FaultClass::Temporary, "HO0505", "the answer of the sandbox's provider was lost")
        .hint("whether it happened is found out by listing the account")
}

#[cfg(test)]
#[path = "provider_tests.rs"]
mod tests;
