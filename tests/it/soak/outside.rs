//! The outside of the soak: accounts, entries, services and mail of many credentials, in memory. It keeps the rules by what is true,
//! and notes what breaks one. Calls take their time, fail now and then before or after they have happened, and may lose their caller
//! at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use handover::config::inventory::Inventory;
use handover::daemon::Opens;
use handover::engine::ports::{EntryPort, Ports, ServicePorts};
use handover::mail::{ArrivalReport, AuthReport, Mail, SendReport, Verdict};
use handover::providers::{CreatedVersion, ListedVersion, LiveState, Provider};
use handover::secret::{Login, Secret};
use handover::services::{Attest, Attestation, Reload};
use handover::stores::{EntryRef, Held, Store};
use handover_rotation::name::{CredentialName, Tag, Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::time::Span;

/// How many calls in a thousand fail before they happen, and as many after.
const FAULTS: u64 = 8;

struct Version {
    password: String,
    tag: Option<Tag>,
    active: bool,
}

/// A login as it is kept somewhere.
type Pair = (String, String);

pub(crate) struct Account {
    versions: BTreeMap<String, Version>,
    made: u32,
    entry: Pair,
    service: Pair,
    /// Every version that was ever there and is deleted.
    pub(crate) gone: Vec<String>,
    /// Those that have leaked.
    pub(crate) leaked: BTreeSet<String>,
}

impl Account {
    fn accepts(&self, (username, password): &Pair) -> bool {
        self.versions.get(username).is_some_and(|version| version.active && version.password == *password)
    }

    /// What its service sends with.
    pub(crate) fn current(&self) -> &str {
        &self.service.0
    }
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) accounts: BTreeMap<String, Account>,
    /// The rules that were broken.
    pub(crate) broken: Vec<String>,
    pub(crate) calls: u64,
    /// So many reads of entries fail, as something that passes does.
    pub(crate) busy: u32,
    chance: u64,
}

impl World {
    pub(crate) fn chance(&mut self, below: u64) -> u64 {
        // SplitMix64: small, and the same everywhere.
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    fn breaks(&mut self, what: String) {
        if self.broken.len() < 50 {
            self.broken.push(what);
        }
    }

    /// What is wrong with an account at rest.
    pub(crate) fn unclean(&self, name: &str) -> Vec<String> {
        let account = &self.accounts[name];
        let mut wrong = Vec::new();
        let active: Vec<&String> = account.versions.iter().filter(|(_, v)| v.active).map(|(id, _)| id).collect();
        if account.versions.len() != 1 || active.len() != 1 {
            wrong.push(format!("{name}: {} versions, active {active:?}", account.versions.len()));
        }
        if account.entry != account.service || !account.accepts(&account.service) {
            wrong.push(format!("{name}: its service has {}, its entry {}", account.service.0, account.entry.0));
        }
        wrong.extend(
            account
                .leaked
                .iter()
                .filter(|id| account.versions.get(*id).is_some_and(|v| v.active))
                .map(|id| format!("{name}: {id} has leaked and is accepted")),
        );
        wrong
    }
}

/// The outside, and what opens it.
#[derive(Clone)]
pub(crate) struct Outside(Arc<Mutex<World>>);

impl Outside {
    pub(crate) fn new(names: impl Iterator<Item = String>, seed: u64) -> Self {
        let account = |name: String| {
            let pair = (format!("{name}.v0"), format!("the first password of {name}"));
            let version = Version { password: pair.1.clone(), tag: None, active: true };
            let versions = BTreeMap::from([(pair.0.clone(), version)]);
            let account =
                Account { versions, made: 0, entry: pair.clone(), service: pair, gone: Vec::new(), leaked: BTreeSet::new() };
            (name, account)
        };
        let world = World { accounts: names.map(account).collect(), chance: seed, ..World::default() };
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("nobody panics with it")
    }
}

impl Opens for Outside {
    fn ports(&self, inventory: &Inventory, credential: &CredentialName, _leak: bool) -> Result<Ports, Fault> {
        let settings = &inventory.credentials[credential];
        let port = Arc::new(Port { outside: self.clone(), account: settings.account.clone() });
        let entry = |(name, entry): (&handover_rotation::name::EntryName, &handover::config::inventory::Entry)| {
            let place = EntryRef {
                name: name.clone(),
                path: entry.path.clone(),
                username_field: entry.username_field.clone(),
                password_field: entry.password_field.clone(),
            };
            (name.clone(), EntryPort { store: port.clone(), place })
        };
        let service = ServicePorts { reload: Some(port.clone()), attest: Some(port.clone()), test_send: None };
        let mut services = BTreeMap::new();
        if let Some((name, _)) = inventory.services_of(credential).next() {
            services.insert(name.clone(), service);
        }
        Ok(Ports {
            provider: port.clone(),
            account: settings.account.clone(),
            entries: settings.entries.iter().map(entry).collect(),
            services,
            mail: port,
        })
    }
}

/// Everything of one account.
struct Port {
    outside: Outside,
    account: String,
}

fn fault(class: FaultClass, text: &str) -> Fault {
    Fault::new(class, "HO0000", text)
}

fn facts() -> ProviderFacts {
    ProviderFacts {
        kind: "simulated".to_owned(),
        shape: Shape::Reversible,
        quota: 2,
        propagation: Span::seconds(2),
        request_timeout: Span::seconds(10),
        landing: Span(0),
        chooses_secret: false,
        tells_last_use: false,
    }
}

impl Port {
    /// A call: on its way, done, and on its way back. Whoever dies meanwhile does not know which.
    async fn call<T>(&self, work: impl FnOnce(&mut World, &str) -> Outcome<T>) -> Outcome<T> {
        let (there, back, harm) = {
            let mut world = self.outside.lock();
            world.calls += 1;
            (world.chance(60), world.chance(60), world.chance(1000))
        };
        tokio::time::sleep(Duration::from_millis(5 + there)).await;
        if harm < FAULTS {
            return Outcome::NotDone(fault(FaultClass::Temporary, "it is busy"));
        }
        let outcome = work(&mut self.outside.lock(), &self.account);
        tokio::time::sleep(Duration::from_millis(5 + back)).await;
        if harm < 2 * FAULTS { Outcome::Unknown(fault(FaultClass::Temporary, "the answer was lost")) } else { outcome }
    }

    async fn account<T>(&self, work: impl FnOnce(&mut Account) -> T) -> Outcome<T> {
        self.call(|world, name| Outcome::Done(work(world.accounts.get_mut(name).expect("an account")))).await
    }

    /// Takes a version out of use: no service may need it, unless it has leaked.
    async fn retire(&self, id: &VersionId, delete: bool) -> Outcome<()> {
        self.call(|world, name| {
            let account = world.accounts.get_mut(name).expect("an account");
            let used = account.service.0 == id.as_str() && account.accepts(&account.service);
            if used && !account.leaked.contains(id.as_str()) {
                world.breaks(format!("S1: {id} is taken from the service of {name}"));
                return Outcome::Done(());
            }
            match (account.versions.get_mut(id.as_str()), delete) {
                (None, _) => return Outcome::NotDone(fault(FaultClass::Permanent, "there is no such version")),
                (Some(version), false) => version.active = false,
                (Some(_), true) => {
                    account.versions.remove(id.as_str());
                    account.gone.push(id.to_string());
                }
            }
            Outcome::Done(())
        })
        .await
    }
}

fn login(pair: &Pair) -> Login {
    Login { username: Username::new(pair.0.as_str()).expect("a name"), password: Secret::new(pair.1.clone()) }
}

#[async_trait]
impl Provider for Port {
    fn facts(&self) -> ProviderFacts {
        facts()
    }

    async fn list(&self, _: &str) -> Outcome<Vec<ListedVersion>> {
        let listed = |(id, v): (&String, &Version)| ListedVersion {
            id: VersionId::new(id.as_str()).expect("an id"),
            username: Username::new(id.as_str()).expect("a name"),
            tag: v.tag.clone(),
            state: if v.active { LiveState::Active } else { LiveState::Inactive },
            created_at: None,
            last_used_at: None,
            last_refused_at: None,
        };
        self.account(|account| account.versions.iter().map(listed).collect()).await
    }

    async fn create(&self, _: &str, tag: &Tag, _: Option<&Secret>) -> Outcome<CreatedVersion> {
        self.call(|world, name| {
            let chance = world.chance(u64::MAX);
            let account = world.accounts.get_mut(name).expect("an account");
            if account.versions.len() >= 2 {
                world.breaks(format!("S3: a third version of {name}"));
                return Outcome::NotDone(fault(FaultClass::Permanent, "the account is full"));
            }
            account.made += 1;
            let pair = (format!("{name}.v{}", account.made), format!("password {chance:016x} of {name}"));
            let version = Version { password: pair.1.clone(), tag: Some(tag.clone()), active: true };
            account.versions.insert(pair.0.clone(), version);
            let Login { username, password } = login(&pair);
            Outcome::Done(CreatedVersion { id: VersionId::new(pair.0).expect("an id"), username, secret: Some(password) })
        })
        .await
    }

    async fn disable(&self, _: &str, id: &VersionId) -> Outcome<()> {
        self.retire(id, false).await
    }

    async fn enable(&self, _: &str, id: &VersionId, _: Option<&Secret>) -> Outcome<()> {
        self.call(|world, name| {
            let account = world.accounts.get_mut(name).expect("an account");
            if account.leaked.contains(id.as_str()) {
                world.breaks(format!("S19: {id} has leaked and is enabled again"));
            } else if let Some(version) = account.versions.get_mut(id.as_str()) {
                version.active = true;
            }
            Outcome::Done(())
        })
        .await
    }

    async fn delete(&self, _: &str, id: &VersionId) -> Outcome<()> {
        self.retire(id, true).await
    }
}

#[async_trait]
impl Store for Port {
    fn kind(&self) -> &'static str {
        "simulated"
    }

    fn request_timeout(&self) -> Span {
        facts().request_timeout
    }

    async fn check_writable(&self, _: &EntryRef) -> Outcome<()> {
        self.account(|_| ()).await
    }

    async fn read(&self, _: &EntryRef) -> Outcome<Held> {
        self.call(|world, name| match world.busy.checked_sub(1) {
            Some(left) => {
                world.busy = left;
                Outcome::NotDone(fault(FaultClass::Temporary, "it is busy"))
            }
            None => Outcome::Done(Held::Login(login(&world.accounts[name].entry))),
        })
        .await
    }

    async fn write(&self, _: &EntryRef, new: &Login, _: &[&Secret]) -> Outcome<()> {
        let pair = (new.username.to_string(), new.password.expose().to_owned());
        self.call(|world, name| {
            let account = world.accounts.get_mut(name).expect("an account");
            if !account.accepts(&pair) && !account.leaked.contains(&pair.0) {
                world.breaks(format!("S16: {} is written for {name} and is not accepted", pair.0));
            } else if account.leaked.contains(&pair.0) {
                world.breaks(format!("S19: {} has leaked and is written for {name}", pair.0));
            } else {
                account.entry = pair;
            }
            Outcome::Done(())
        })
        .await
    }
}

#[async_trait]
impl Reload for Port {
    fn describe(&self) -> String {
        "simulated".to_owned()
    }

    fn request_timeout(&self) -> Span {
        facts().request_timeout
    }

    async fn reload(&self) -> Outcome<()> {
        self.account(|account| account.service = account.entry.clone()).await
    }
}

#[async_trait]
impl Attest for Port {
    fn request_timeout(&self) -> Span {
        facts().request_timeout
    }

    async fn attest(&self, challenge: &str) -> Outcome<Attestation> {
        self.account(|account| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, account.service.1.as_bytes());
            let proof = hex::encode(hmac::sign(&key, challenge.as_bytes()));
            Attestation { username: account.service.0.clone(), proof }
        })
        .await
    }
}

#[async_trait]
impl Mail for Port {
    async fn auth(&self, login: &Login) -> Outcome<AuthReport> {
        let pair = (login.username.to_string(), login.password.expose().to_owned());
        self.account(|account| {
            let accepted = account.accepts(&pair);
            AuthReport {
                verdict: if accepted { Verdict::Accepted } else { Verdict::Refused },
                code: if accepted { 235 } else { 535 },
                enhanced: None,
                mechanism: "PLAIN",
                tls: String::new(),
            }
        })
        .await
    }

    async fn send(&self, login: &Login, nonce: &str) -> Outcome<SendReport> {
        let pair = (login.username.to_string(), login.password.expose().to_owned());
        let nonce = nonce.to_owned();
        self.call(|world, name| match world.accounts[name].accepts(&pair) {
            true => Outcome::Done(SendReport { message_id: nonce, reply: "250".to_owned() }),
            false => Outcome::NotDone(fault(FaultClass::Credential, "535")),
        })
        .await
    }

    async fn arrived(&self, nonce: &str, _: Duration) -> Outcome<ArrivalReport> {
        let place = nonce.to_owned();
        self.account(|_| ArrivalReport { place }).await
    }

    fn probe_to(&self) -> String {
        "probe@example.com".to_owned()
    }
}
