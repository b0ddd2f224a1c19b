//! The registry: kind names to adapters, the one list. A new kind is a file of its own and a line here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use handover_rotation::name::{CredentialName, EntryName};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::ProviderFacts;
use serde_json::{Value, json};

use crate::config::fields::Fields;
use crate::config::inventory::{Arrival, Credential, Inventory, KindSpec, SecretRef};
use crate::config::kinds::{Kinds, Role};
use crate::engine::ports::{EntryPort, Ports, ServicePorts};
use crate::engine::sketch::usual_facts;
use crate::mail::{SmtpMail, Timeouts};
use crate::providers::Provider;
use crate::providers::manual::ManualProvider;
use crate::providers::sandbox::SandboxProvider;
use crate::sandbox::{FaultyStore, disk_full};
use crate::secret::Secret;
use crate::services::command::CommandAction;
use crate::services::http::HttpAction;
use crate::services::{Attest, Reload, TestSend};
use crate::stores::env_file::EnvFileStore;
use crate::stores::{EntryRef, Store};

/// All kinds of this build.
#[derive(Clone, Copy, Debug, Default)]
pub struct Registry;

const PROVIDERS: [&str; 2] = ["manual", "sandbox"];
const STORES: [&str; 1] = ["env-file"];
const ACTIONS: [&str; 2] = ["command", "http"];

impl Kinds for Registry {
    fn names(&self, role: Role) -> Vec<&'static str> {
        match role {
            Role::Provider => PROVIDERS.to_vec(),
            Role::Store => STORES.to_vec(),
            Role::Reload | Role::TestSend | Role::Attest => ACTIONS.to_vec(),
        }
    }

    fn check(&self, _role: Role, kind: &str, fields: &mut Fields<'_>) {
        match kind {
            "manual" => drop(ManualProvider::options(fields)),
            "sandbox" => drop(SandboxProvider::options(fields)),
            "env-file" => drop(EnvFileStore::options(fields)),
            "command" => drop(CommandAction::options(fields)),
            "http" => drop(HttpAction::options(fields)),
            _ => {}
        }
    }

    fn schema(&self, _role: Role, kind: &str) -> Value {
        match kind {
            "manual" => ManualProvider::schema(),
            "sandbox" => SandboxProvider::schema(),
            "env-file" => EnvFileStore::schema(),
            "command" => CommandAction::schema(),
            "http" => HttpAction::schema(),
            _ => json!(false),
        }
    }
}

impl Registry {
    /// The adapters of one credential.
    ///
    /// # Errors
    /// A kind cannot be built: an unreadable secret, a sandbox that is not there.
    pub fn ports(self, inventory: &Inventory, name: &CredentialName) -> Result<Ports, Fault> {
        let credential = inventory
            .credentials
            .get(name)
            .ok_or_else(|| unknown(format!("there is no credential {name} in the inventory")))?;
        let spec = inventory
            .providers
            .get(&credential.provider)
            .ok_or_else(|| unknown(format!("there is no provider {} in the inventory", credential.provider)))?;
        let mut ports = Ports {
            provider: provider(spec)?,
            account: credential.account.clone(),
            entries: self.entries(inventory, name)?,
            services: Default::default(),
            mail: Arc::new(mail(credential)?),
        };
        for (service_name, service) in inventory.services_of(name) {
            let port = ServicePorts {
                reload: service.reload.as_ref().map(action::<dyn Reload>).transpose()?,
                attest: service.attest.as_ref().map(action::<dyn Attest>).transpose()?,
                test_send: service.test_send.as_ref().map(action::<dyn TestSend>).transpose()?,
            };
            ports.services.insert(service_name.clone(), port);
        }
        Ok(ports)
    }

    /// The entries of one credential with their stores.
    ///
    /// # Errors
    /// A kind cannot be built.
    pub fn entries(self, inventory: &Inventory, name: &CredentialName) -> Result<BTreeMap<EntryName, EntryPort>, Fault> {
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
            ports.insert(entry_name.clone(), EntryPort { store: store(spec, sandbox.as_deref())?, place });
        }
        Ok(ports)
    }
}

impl Registry {
    /// What is known of a credential's provider without asking it: what it tells of itself where it is at hand, else what its
    /// kind usually is.
    #[must_use]
    pub fn facts(self, inventory: &Inventory, name: &CredentialName) -> ProviderFacts {
        let spec = inventory.credentials.get(name).and_then(|c| inventory.providers.get(&c.provider));
        let kind = spec.map_or("", |s| s.kind.as_str());
        spec.and_then(|s| provider(s).ok()).map_or_else(|| usual_facts(kind), |p| p.facts())
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
    let mut fields = Fields::new(&spec.options, "provider");
    match spec.kind.as_str() {
        "manual" => Ok(Arc::new(ManualProvider::options(&mut fields).ok_or_else(|| unreadable("manual"))?)),
        "sandbox" => {
            let options = SandboxProvider::options(&mut fields).ok_or_else(|| unreadable("sandbox"))?;
            Ok(Arc::new(SandboxProvider::open(&options.dir)?))
        }
        other => Err(unreadable(other)),
    }
}

fn store(spec: &KindSpec, sandbox: Option<&Path>) -> Result<Arc<dyn Store>, Fault> {
    let mut fields = Fields::new(&spec.options, "store");
    match spec.kind.as_str() {
        "env-file" => {
            let options = EnvFileStore::options(&mut fields).ok_or_else(|| unreadable("env-file"))?;
            let store = EnvFileStore::new(options);
            Ok(match sandbox.map(Path::to_path_buf) {
                Some(dir) => {
                    let faults = dir.clone();
                    let store = store.with_fault(Box::new(move |path| disk_full(&faults, path)));
                    Arc::new(FaultyStore::new(Arc::new(store), dir))
                }
                None => Arc::new(store),
            })
        }
        other => Err(unreadable(other)),
    }
}

/// An ability of a service, whichever it is: every kind of action has all three.
trait Ability {
    fn command(action: CommandAction) -> Arc<Self>;
    fn http(action: HttpAction) -> Arc<Self>;
}

macro_rules! ability {
    ($($ability:ty),*) => {$(
        impl Ability for $ability {
            fn command(action: CommandAction) -> Arc<Self> {
                Arc::new(action)
            }
            fn http(action: HttpAction) -> Arc<Self> {
                Arc::new(action)
            }
        }
    )*};
}

ability!(dyn Reload, dyn Attest, dyn TestSend);

fn action<A: Ability + ?Sized>(spec: &KindSpec) -> Result<Arc<A>, Fault> {
    let mut fields = Fields::new(&spec.options, "action");
    match spec.kind.as_str() {
        "command" => Ok(A::command(CommandAction::options(&mut fields).ok_or_else(|| unreadable("command"))?)),
        "http" => Ok(A::http(HttpAction::options(&mut fields).ok_or_else(|| unreadable("http"))?)),
        other => Err(unreadable(other)),
    }
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
            password: secret(password)?,
            mailbox: mailbox.clone(),
        },
    };
    SmtpMail::new(credential.smtp.clone(), &probe.from, &probe.to, arrival, Timeouts::default())
}

/// Reads a secret from where the inventory says it is. One line end after it is not part of it.
fn secret(at: &SecretRef) -> Result<Secret, Fault> {
    let fault =
        |what: String| Fault::new(FaultClass::Permanent, "HO0446", what).hint("the inventory says that a password is there");
    let text = match at {
        SecretRef::Env(name) => std::env::var(name).map_err(|_| fault(format!("the environment has no {name}")))?,
        SecretRef::File(path) => {
            std::fs::read_to_string(path).map_err(|e| fault(format!("cannot read {}: {e}", path.display())))?
        }
    };
    let text = zeroize::Zeroizing::new(text);
    Ok(Secret::new(text.strip_suffix('\n').unwrap_or(&text).trim_end_matches('\r').to_owned()))
}
