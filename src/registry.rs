//! The registry: kind names to adapters, the one list. A new kind is a file of its own and a line here.

pub mod alerts;
mod audit;
mod late;
mod notifiers;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use handover_rotation::name::{CredentialName, EntryName};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::ProviderFacts;
use handover_rotation::state::Rotation;
use serde_json::{Value, json};

use self::late::{action, mail_or_late, store_or_late};
use crate::config::fields::Fields;
use crate::config::inventory::{Arrival, Credential, Inventory, KindSpec};
use crate::config::kinds::{Kinds, Role};
use crate::config::notify::MailLogin;
use crate::engine::binding::differences;
use crate::engine::ports::{EntryPort, Ports, ServicePorts};
use crate::engine::sketch::usual_facts;
use crate::engine::{EngineError, Refusal};
use crate::mail::{SmtpMail, Timeouts};
use crate::providers::Provider;
use crate::providers::dovecot::DovecotProvider;
use crate::providers::entra::EntraProvider;
use crate::providers::exec::ExecProvider;
#[cfg(feature = "ldap")]
use crate::providers::ldap::LdapProvider;
use crate::providers::mailcow::MailcowProvider;
use crate::providers::mailersend::MailerSendProvider;
use crate::providers::mailgun::MailgunProvider;
use crate::providers::mailjet::MailjetProvider;
use crate::providers::manual::ManualProvider;
use crate::providers::resend::ResendProvider;
use crate::providers::sandbox::SandboxProvider;
use crate::providers::scaleway::ScalewayProvider;
use crate::providers::sendgrid::SendGridProvider;
use crate::providers::smtp2go::Smtp2goProvider;
use crate::providers::stalwart::StalwartProvider;
use crate::sandbox::{FaultyStore, disk_full};
use crate::services::command::CommandAction;
use crate::services::docker::DockerReload;
use crate::services::http::HttpAction;
use crate::services::kubernetes::KubernetesReload;
use crate::services::manual::ManualReload;
use crate::services::signal::SignalReload;
use crate::services::systemd::SystemdReload;
use crate::services::{Attest, Reload, TestSend};
use crate::stores::azure_key_vault::AzureKeyVaultStore;
use crate::stores::conjur::ConjurStore;
use crate::stores::env_file::EnvFileStore;
use crate::stores::exec::ExecStore;
use crate::stores::file::FileStore;
use crate::stores::gcp_secret_manager::GcpSecretManagerStore;
use crate::stores::github_actions::GithubActionsStore;
use crate::stores::gitlab_ci::GitlabStore;
use crate::stores::kubernetes::KubernetesStore;
use crate::stores::sops::SopsStore;
use crate::stores::systemd_credential::SystemdCredentialStore;
#[cfg(feature = "vault")]
use crate::stores::vault::VaultStore;
use crate::stores::{EntryRef, Store};
use crate::usage::dovecot_log::DovecotLog;
use crate::usage::exim_log::EximLog;
use crate::usage::mailgun_events::MailgunEvents;
use crate::usage::postfix_log::PostfixLog;
use crate::usage::sendgrid_activity::SendGridActivity;
use crate::usage::ses_events::SesEvents;
use crate::usage::{Evidence, Source};

/// All kinds of this build.
#[derive(Clone, Copy, Debug, Default)]
pub struct Registry;

/// A kind of provider.
struct ProviderKind {
    name: &'static str,
    check: fn(&mut Fields<'_>),
    schema: fn() -> Value,
    /// What is known of it without asking it, if its options are sound.
    facts: fn(&mut Fields<'_>) -> Option<ProviderFacts>,
    open: fn(&mut Fields<'_>) -> Result<Arc<dyn Provider>, Fault>,
}

/// Says why an entry's path or fields can be none of a kind of store: see [`Kinds::misnamed`].
type Misnamed = fn(&str, [&str; 2]) -> Option<(&'static str, String)>;

/// A kind of store.
struct StoreKind {
    name: &'static str,
    misnamed: Misnamed,
    check: fn(&mut Fields<'_>),
    schema: fn() -> Value,
    open: fn(&mut Fields<'_>) -> Result<Arc<dyn Store>, Fault>,
}

/// A kind of source of evidence.
struct UsageKind {
    name: &'static str,
    check: fn(&mut Fields<'_>),
    schema: fn() -> Value,
    open: fn(&mut Fields<'_>) -> Result<Arc<dyn Evidence>, Fault>,
}

/// A kind of action of a service. Which abilities it has, its constructors tell.
struct ActionKind {
    name: &'static str,
    check: fn(&mut Fields<'_>),
    schema: fn() -> Value,
    reload: Option<Open<dyn Reload>>,
    test_send: Option<Open<dyn TestSend>>,
    attest: Option<Open<dyn Attest>>,
    /// What a service reads again by it, where the kind alone says so.
    rereads: Option<&'static str>,
}

type Open<T> = fn(&mut Fields<'_>) -> Result<Arc<T>, Fault>;

/// A line of the table for a type with `options`, `schema`, `open` and, for providers, `usual`.
macro_rules! kind {
    (provider $name:literal $type:ty) => {
        ProviderKind {
            name: $name,
            check: |fields| {
                let _ = <$type>::options(fields);
            },
            schema: <$type>::schema,
            facts: |fields| <$type>::usual(&<$type>::options(fields)?).into(),
            open: |fields| {
                let options = <$type>::options(fields).ok_or_else(|| unreadable($name))?;
                Ok(Arc::new(<$type>::open(options)?))
            },
        }
    };
    (store $name:literal $type:ty) => {
        kind!(store $name $type, |_, _| None)
    };
    (store $name:literal $type:ty, $misnamed:expr) => {
        StoreKind {
            name: $name,
            misnamed: $misnamed,
            check: |fields| {
                let _ = <$type>::options(fields);
            },
            schema: <$type>::schema,
            open: |fields| {
                let options = <$type>::options(fields).ok_or_else(|| unreadable($name))?;
                Ok(Arc::new(<$type>::open(options)?))
            },
        }
    };
    (usage $name:literal $type:ty) => {
        UsageKind {
            name: $name,
            check: |fields| {
                let _ = <$type>::options(fields);
            },
            schema: <$type>::schema,
            open: |fields| {
                let options = <$type>::options(fields).ok_or_else(|| unreadable($name))?;
                Ok(Arc::new(<$type>::open(options)?))
            },
        }
    };
    (reload $name:literal $type:ty) => {
        ActionKind {
            name: $name,
            check: |fields| {
                let _ = <$type>::options(fields);
            },
            schema: <$type>::schema,
            reload: Some(|fields| Ok(Arc::new(<$type>::options(fields).ok_or_else(|| unreadable($name))?))),
            test_send: None,
            attest: None,
            rereads: Some(<$type>::REREADS),
        }
    };
    (all three $name:literal $type:ty) => {
        ActionKind {
            name: $name,
            check: |fields| {
                let _ = <$type>::options(fields);
            },
            schema: <$type>::schema,
            reload: Some(|fields| Ok(Arc::new(<$type>::options(fields).ok_or_else(|| unreadable($name))?))),
            test_send: Some(|fields| Ok(Arc::new(<$type>::options(fields).ok_or_else(|| unreadable($name))?))),
            attest: Some(|fields| Ok(Arc::new(<$type>::options(fields).ok_or_else(|| unreadable($name))?))),
            rereads: None,
        }
    };
}

const PROVIDERS: &[ProviderKind] = &[
    kind!(provider "dovecot" DovecotProvider),
    kind!(provider "entra" EntraProvider),
    kind!(provider "exec" ExecProvider),
    #[cfg(feature = "ldap")]
    kind!(provider "ldap" LdapProvider),
    kind!(provider "mailcow" MailcowProvider),
    kind!(provider "mailersend" MailerSendProvider),
    kind!(provider "mailgun" MailgunProvider),
    kind!(provider "mailjet" MailjetProvider),
    kind!(provider "manual" ManualProvider),
    kind!(provider "resend" ResendProvider),
    kind!(provider "sandbox" SandboxProvider),
    kind!(provider "scaleway" ScalewayProvider),
    kind!(provider "sendgrid" SendGridProvider),
    #[cfg(feature = "aws")]
    kind!(provider "ses" crate::providers::ses::SesProvider),
    kind!(provider "smtp2go" Smtp2goProvider),
    kind!(provider "stalwart" StalwartProvider),
];

const STORES: &[StoreKind] = &[
    #[cfg(feature = "aws")]
    kind!(store "aws-secrets-manager" crate::stores::aws_secrets_manager::SecretsManagerStore),
    #[cfg(feature = "aws")]
    kind!(store "aws-ssm" crate::stores::aws_ssm::SsmStore),
    kind!(store "azure-key-vault" AzureKeyVaultStore, AzureKeyVaultStore::misnamed),
    kind!(store "conjur" ConjurStore),
    kind!(store "env-file" EnvFileStore),
    kind!(store "exec" ExecStore),
    kind!(store "file" FileStore),
    kind!(store "gcp-secret-manager" GcpSecretManagerStore, GcpSecretManagerStore::misnamed),
    kind!(store "github-actions" GithubActionsStore, GithubActionsStore::misnamed),
    kind!(store "gitlab-ci" GitlabStore),
    kind!(store "kubernetes" KubernetesStore),
    kind!(store "sops" SopsStore),
    kind!(store "systemd-credential" SystemdCredentialStore),
    #[cfg(feature = "vault")]
    kind!(store "vault" VaultStore),
];

const ACTIONS: &[ActionKind] = &[
    kind!(all three "command" CommandAction),
    kind!(reload "docker" DockerReload),
    kind!(all three "http" HttpAction),
    kind!(reload "kubernetes" KubernetesReload),
    kind!(reload "manual" ManualReload),
    kind!(reload "signal" SignalReload),
    kind!(reload "systemd" SystemdReload),
];

const USAGE: &[UsageKind] = &[
    #[cfg(feature = "aws")]
    kind!(usage "cloudtrail" crate::usage::cloudtrail::CloudTrail),
    kind!(usage "dovecot-log" DovecotLog),
    kind!(usage "exim-log" EximLog),
    #[cfg(feature = "aws")]
    kind!(usage "iam-last-used" crate::usage::iam_last_used::IamLastUsed),
    kind!(usage "mailgun-events" MailgunEvents),
    kind!(usage "postfix-log" PostfixLog),
    kind!(usage "sendgrid-activity" SendGridActivity),
    kind!(usage "ses-events" SesEvents),
    #[cfg(feature = "aws")]
    kind!(usage "ses-statistics" crate::usage::ses_statistics::SesStatistics),
];

/// Kinds that bring in a large library, and the feature that they come with.
const OF_FEATURES: &[(Role, &str, &str)] = &[
    (Role::Provider, "ldap", "ldap"),
    (Role::Provider, "ses", "aws"),
    (Role::Store, "aws-secrets-manager", "aws"),
    (Role::Store, "aws-ssm", "aws"),
    (Role::Store, "vault", "vault"),
    (Role::Usage, "cloudtrail", "aws"),
    (Role::Usage, "iam-last-used", "aws"),
    (Role::Usage, "ses-statistics", "aws"),
];

impl Kinds for Registry {
    fn left_out(&self, role: Role, kind: &str) -> Option<&'static str> {
        let (_, _, feature) = OF_FEATURES.iter().find(|(r, k, _)| (*r, *k) == (role, kind))?;
        (!self.names(role).contains(&kind)).then_some(feature)
    }

    fn names(&self, role: Role) -> Vec<&'static str> {
        let able = |able: fn(&ActionKind) -> bool| ACTIONS.iter().filter(|k| able(k)).map(|k| k.name).collect();
        match role {
            Role::Provider => PROVIDERS.iter().map(|k| k.name).collect(),
            Role::Store => STORES.iter().map(|k| k.name).collect(),
            Role::Reload => able(|k| k.reload.is_some()),
            Role::TestSend => able(|k| k.test_send.is_some()),
            Role::Attest => able(|k| k.attest.is_some()),
            Role::Notifier => notifiers::names(),
            Role::Alert => alerts::KINDS.iter().map(|k| k.name).collect(),
            Role::Usage => USAGE.iter().map(|k| k.name).collect(),
            Role::Audit => audit::KINDS.iter().map(|k| k.name).collect(),
        }
    }

    fn check(&self, role: Role, kind: &str, fields: &mut Fields<'_>) {
        let check = match role {
            Role::Provider => PROVIDERS.iter().find(|k| k.name == kind).map(|k| k.check),
            Role::Store => STORES.iter().find(|k| k.name == kind).map(|k| k.check),
            Role::Alert => alerts::KINDS.iter().find(|k| k.name == kind).map(|k| k.check),
            Role::Usage => USAGE.iter().find(|k| k.name == kind).map(|k| k.check),
            Role::Audit => audit::KINDS.iter().find(|k| k.name == kind).map(|k| k.check),
            Role::Reload | Role::TestSend | Role::Attest => ACTIONS.iter().find(|k| k.name == kind).map(|k| k.check),
            Role::Notifier => notifiers::kind(kind).map(|k| k.check),
        };
        if let Some(check) = check {
            check(fields);
        }
    }

    fn misnamed(&self, store_kind: &str, path: &str, fields: [&str; 2]) -> Option<(&'static str, String)> {
        (STORES.iter().find(|k| k.name == store_kind)?.misnamed)(path, fields)
    }

    fn schema(&self, role: Role, kind: &str) -> Value {
        let schema = match role {
            Role::Provider => PROVIDERS.iter().find(|k| k.name == kind).map(|k| k.schema),
            Role::Store => STORES.iter().find(|k| k.name == kind).map(|k| k.schema),
            Role::Alert => alerts::KINDS.iter().find(|k| k.name == kind).map(|k| k.schema),
            Role::Usage => USAGE.iter().find(|k| k.name == kind).map(|k| k.schema),
            Role::Audit => audit::KINDS.iter().find(|k| k.name == kind).map(|k| k.schema),
            Role::Reload | Role::TestSend | Role::Attest => ACTIONS.iter().find(|k| k.name == kind).map(|k| k.schema),
            Role::Notifier => notifiers::kind(kind).map(|k| k.schema),
        };
        schema.map_or_else(|| json!(false), |schema| schema())
    }

    fn mail_login(&self, notifier_kind: &str, fields: &mut Fields<'_>) -> Option<MailLogin> {
        notifiers::kind(notifier_kind).and_then(|kind| kind.login)?(fields)
    }
}

impl Registry {
    /// The adapters of one credential.
    ///
    /// # Errors
    /// A kind cannot be built: an unreadable secret, a sandbox that is not there.
    pub fn ports(self, inventory: &Inventory, name: &CredentialName) -> Result<Ports, Fault> {
        self.adapters(inventory, name, false)
    }

    /// The same where a leak is to be contained: of what cannot be built now, all but the provider is tried again at each call.
    ///
    /// # Errors
    /// The provider cannot be built.
    pub fn ports_in_leak(self, inventory: &Inventory, name: &CredentialName) -> Result<Ports, Fault> {
        self.adapters(inventory, name, true)
    }

    fn adapters(self, inventory: &Inventory, name: &CredentialName, leak: bool) -> Result<Ports, Fault> {
        let credential = inventory
            .credentials
            .get(name)
            .ok_or_else(|| unknown(format!("there is no credential {name} in the inventory")))?;
        let spec = inventory
            .providers
            .get(&credential.provider)
            .ok_or_else(|| unknown(format!("there is no provider {} in the inventory", credential.provider)))?;
        let provider = provider(spec)?;
        let mut ports = Ports {
            account: credential.account.clone(),
            entries: self.places(inventory, name, leak)?,
            services: Default::default(),
            mail: mail_or_late(credential, &provider, leak)?,
            provider,
        };
        for (service_name, service) in inventory.services_of(name) {
            let port = ServicePorts {
                reload: service.reload.as_ref().map(|a| action(a, |k| k.reload, leak)).transpose()?,
                attest: service.attest.as_ref().map(|a| action(a, |k| k.attest, leak)).transpose()?,
                test_send: service.test_send.as_ref().map(|a| action(a, |k| k.test_send, leak)).transpose()?,
            };
            ports.services.insert(service_name.clone(), port);
        }
        Ok(ports)
    }

    /// The adapters of a rotation that was begun before, if the inventory is still what it was planned with.
    ///
    /// # Errors
    /// It is not, with every difference; or a kind cannot be built.
    pub fn ports_of(self, inventory: &Inventory, rotation: &Rotation) -> Result<Ports, EngineError> {
        self.fits(inventory, rotation)?;
        let leak = rotation.is_leak() || rotation.must_contain();
        self.adapters(inventory, &rotation.plan.credential, leak).map_err(|fault| EngineError::Refused(fault.into()))
    }

    /// Whether the inventory is still what a rotation was planned with.
    ///
    /// # Errors
    /// It is not, and what is different.
    pub fn fits(self, inventory: &Inventory, rotation: &Rotation) -> Result<(), EngineError> {
        // One that has leaked on the way waits for no more than one that was planned so.
        let leak = rotation.is_leak() || rotation.must_contain();
        if let [first, rest @ ..] = differences(&rotation.plan, inventory, leak).as_slice() {
            let message = format!("rotation {} was planned with another inventory: {first}", rotation.id);
            let hint = "put the inventory back as it was, then resume: evidence from elsewhere would prove nothing";
            let fault = Fault::new(FaultClass::Permanent, "HO0466", message).hint(hint);
            return Err(EngineError::Refused(Refusal { fault, details: rest.to_vec() }));
        }
        Ok(())
    }

    /// The entries of one credential with their stores.
    ///
    /// # Errors
    /// A kind cannot be built.
    pub fn entries(self, inventory: &Inventory, name: &CredentialName) -> Result<BTreeMap<EntryName, EntryPort>, Fault> {
        self.places(inventory, name, false)
    }

    fn places(
        self,
        inventory: &Inventory,
        name: &CredentialName,
        leak: bool,
    ) -> Result<BTreeMap<EntryName, EntryPort>, Fault> {
        let Some(credential) = inventory.credentials.get(name) else { return Ok(BTreeMap::new()) };
        let sandbox = inventory.providers.get(&credential.provider).and_then(sandbox_dir);
        let mut ports = BTreeMap::new();
        for (entry_name, entry) in &credential.entries {
            let spec = inventory
                .stores
                .get(&entry.store)
                .ok_or_else(|| unknown(format!("there is no store {} in the inventory", entry.store)))?;
            let place = EntryRef {
                name: entry_name.clone(),
                path: entry.path.clone(),
                username_field: entry.username_field.clone(),
                password_field: entry.password_field.clone(),
            };
            ports.insert(entry_name.clone(), EntryPort { store: store_or_late(spec, sandbox.as_deref(), leak)?, place });
        }
        Ok(ports)
    }
}

impl Registry {
    /// The sources that tell of a credential. One that cannot be opened is among them, with why: what it would have said is missing.
    #[must_use]
    pub fn evidence(self, inventory: &Inventory, name: &CredentialName) -> Vec<Source> {
        let open = |spec: &KindSpec| {
            let kind = USAGE.iter().find(|k| k.name == spec.kind).ok_or_else(|| unreadable(&spec.kind))?;
            (kind.open)(&mut Fields::new(&spec.options, "usage"))
        };
        let source = |(name, source): (&handover_rotation::name::UsageName, &crate::config::inventory::UsageSource)| {
            Source { name: name.to_string(), kind: source.spec.kind.clone(), evidence: open(&source.spec) }
        };
        inventory.usage_of(name).map(source).collect()
    }

    /// The provider of a credential by itself.
    ///
    /// # Errors
    /// It cannot be built, or there is none.
    pub fn provider_of(self, inventory: &Inventory, name: &CredentialName) -> Result<Arc<dyn Provider>, Fault> {
        let spec = inventory.credentials.get(name).and_then(|c| inventory.providers.get(&c.provider));
        provider(spec.ok_or_else(|| unknown(format!("there is no credential {name} in the inventory")))?)
    }

    /// What is known of a credential's provider without asking it: what it tells of itself where it is at hand, else what its
    /// kind usually is.
    #[must_use]
    pub fn facts(self, inventory: &Inventory, name: &CredentialName) -> ProviderFacts {
        let spec = inventory.credentials.get(name).and_then(|c| inventory.providers.get(&c.provider));
        let told = spec.and_then(|spec| {
            let kind = PROVIDERS.iter().find(|k| k.name == spec.kind)?;
            (kind.facts)(&mut Fields::new(&spec.options, "provider"))
        });
        told.unwrap_or_else(|| usual_facts(spec.map_or("", |s| s.kind.as_str())))
    }
}

impl Registry {
    /// What a service reads again by a kind of reload, in a sentence, where the kind alone says so.
    #[must_use]
    pub fn rereads(self, kind: &str) -> Option<&'static str> {
        ACTIONS.iter().find(|k| k.name == kind)?.rereads
    }
}

fn unknown(what: String) -> Fault {
    Fault::new(FaultClass::Permanent, "HO0440", what).hint("see `handover check`")
}

fn unreadable(kind: &str) -> Fault {
    Fault::new(FaultClass::Permanent, "HO0445", format!("the options of kind {kind} cannot be read"))
        .hint("see `handover check`")
}

/// The folder of the sandbox, where the provider is one: its faults reach stores too.
fn sandbox_dir(spec: &KindSpec) -> Option<std::path::PathBuf> {
    let options = (spec.kind == "sandbox").then(|| SandboxProvider::options(&mut Fields::new(&spec.options, "provider")))?;
    options.map(|o| o.dir)
}

fn provider(spec: &KindSpec) -> Result<Arc<dyn Provider>, Fault> {
    let kind = PROVIDERS.iter().find(|k| k.name == spec.kind).ok_or_else(|| unreadable(&spec.kind))?;
    (kind.open)(&mut Fields::new(&spec.options, "provider"))
}

fn store(spec: &KindSpec, sandbox: Option<&Path>) -> Result<Arc<dyn Store>, Fault> {
    let mut fields = Fields::new(&spec.options, "store");
    // The sandbox's faults reach env files.
    if let (Some(dir), "env-file") = (sandbox, spec.kind.as_str()) {
        let options = EnvFileStore::options(&mut fields).ok_or_else(|| unreadable("env-file"))?;
        let (dir, faults) = (dir.to_path_buf(), dir.to_path_buf());
        let store = EnvFileStore::open(options)?.with_fault(Box::new(move |path| disk_full(&faults, path)));
        return Ok(Arc::new(FaultyStore::new(Arc::new(store), dir)));
    }
    let kind = STORES.iter().find(|k| k.name == spec.kind).ok_or_else(|| unreadable(&spec.kind))?;
    (kind.open)(&mut fields)
}

fn mail(credential: &Credential) -> Result<SmtpMail, Fault> {
    let probe = &credential.probe;
    let arrival = match &probe.arrival {
        Arrival::None => crate::mail::Arrival::None,
        Arrival::Maildir(path) => crate::mail::Arrival::Maildir { path: path.clone() },
        Arrival::Imap { host, port, ca_file, username, password, mailbox } => crate::mail::Arrival::Imap {
            host: host.clone(),
            port: *port,
            ca_file: ca_file.clone(),
            username: username.clone(),
            password: password.read()?,
            mailbox: mailbox.clone(),
        },
    };
    SmtpMail::new(credential.smtp.clone(), &probe.from, &probe.to, arrival, Timeouts::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kind behind a feature that is missing in the table would be called unknown where it is only left out.
    #[test]
    fn kinds_behind_a_feature_are_told_from_kinds_that_nobody_knows() {
        let source = include_str!("registry.rs");
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        let mut behind = Vec::new();
        for pair in lines.windows(2) {
            let feature = pair[0].strip_prefix("#[cfg(feature = \"").and_then(|rest| rest.strip_suffix("\")]"));
            let kind = pair[1].strip_prefix("kind!(").and_then(|rest| rest.split_once(" \""));
            if let (Some(feature), Some((role, rest))) = (feature, kind) {
                let role = match role {
                    "provider" => Role::Provider,
                    "usage" => Role::Usage,
                    _ => Role::Store,
                };
                behind.push((role, rest.split('"').next().unwrap_or_default(), feature));
            }
        }
        behind.sort_unstable();
        let mut table = OF_FEATURES.to_vec();
        table.sort_unstable();
        assert_eq!(behind, table);
        for (role, kind, feature) in table {
            let known = Registry.names(role).contains(&kind);
            assert_eq!(Registry.left_out(role, kind), (!known).then_some(feature), "{kind}");
        }
        assert_eq!(Registry.left_out(Role::Store, "valut"), None);
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod store_tests;
