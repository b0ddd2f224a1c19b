//! A world whose every call takes the same time, and a plan for it: two environments, one service in each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_lc_rs::hmac;
use handover::engine::ports::{EntryPort, Ports, ServicePorts};
use handover::mail::{ArrivalReport, AuthReport, Mail, SendReport, Verdict};
use handover::providers::{CreatedVersion, ListedVersion, LiveState, Provider};
use handover::secret::{Login, Secret};
use handover::services::{Attest, Attestation, Reload, TestSend};
use handover::stores::{EntryRef, Held, Store};
use handover_rotation::name::{
    CredentialName, EntryName, Environment, ProviderName, ServiceName, StoreName, Tag, Username, VersionId,
};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{ArrivalKind, OldVersion, Plan, PlannedEntry, PlannedService, Policy, ProviderFacts, Shape};
use handover_rotation::playbook::Playbook;
use handover_rotation::time::Span;

/// How long every call takes.
pub(crate) const CALL: Duration = Duration::from_millis(50);
const PLACES: [&str; 2] = ["staging", "production"];

/// A call that was made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

struct Version {
    password: Secret,
    tag: Option<Tag>,
    active: bool,
}

#[derive(Default)]
struct State {
    versions: BTreeMap<String, Version>,
    entries: BTreeMap<String, Login>,
    services: BTreeMap<String, Login>,
    calls: Vec<Call>,
}

/// The provider, entries, services and mail of one credential.
pub(crate) struct Outside {
    state: Mutex<State>,
    noting: bool,
}

struct Place(Arc<Outside>, &'static str);

fn parsed<T>(result: Result<T, handover_rotation::name::NameError>) -> T {
    result.unwrap_or_else(|e| panic!("a name of the bench {e}"))
}

fn refused(class: FaultClass, text: &str) -> Fault {
    Fault::new(class, "HO0000", text)
}

fn facts() -> ProviderFacts {
    ProviderFacts {
        kind: "fake".to_owned(),
        shape: Shape::Reversible,
        quota: 2,
        propagation: Span::seconds(2),
        request_timeout: Span::seconds(60),
        landing: Span(0),
        chooses_secret: false,
        tells_last_use: false,
    }
}

impl Outside {
    pub(crate) fn new(noting: bool) -> Arc<Self> {
        let outside = Arc::new(Self { state: Mutex::default(), noting });
        let mut state = outside.lock();
        let password = outside.login().password;
        state.versions.insert("v0".to_owned(), Version { password, tag: None, active: true });
        for place in PLACES {
            state.entries.insert(place.to_owned(), outside.login());
            state.services.insert(place.to_owned(), outside.login());
        }
        drop(state);
        outside
    }

    /// The login that is current at first.
    pub(crate) fn login(&self) -> Login {
        Login { username: parsed(Username::new("v0")), password: Secret::new("old password of the bench".to_owned()) }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// All calls in order, with the gap before each that nothing filled.
    pub(crate) fn print(&self) {
        let mut calls = self.calls();
        calls.sort_by_key(|c| c.began);
        let Some(first) = calls.first().map(|c| c.began) else { return };
        let mut idle = first;
        for call in calls {
            let gap = call.began.saturating_duration_since(idle).as_micros();
            println!("    {:>6} µs idle, at {:>5} ms {}", gap, (call.began - first).as_millis(), call.name);
            idle = idle.max(call.ended);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call: it takes its time, happens, and is noted.
    async fn call<T>(&self, name: &'static str, work: impl FnOnce(&mut State) -> T) -> T {
        let began = Instant::now();
        tokio::time::sleep(CALL).await;
        let mut state = self.lock();
        let result = work(&mut state);
        if self.noting {
            state.calls.push(Call { name, began, ended: Instant::now() });
        }
        result
    }

    /// The adapters.
    pub(crate) fn ports(self: &Arc<Self>) -> Ports {
        let entry = |place: &'static str| {
            let at = EntryRef {
                name: parsed(EntryName::new(place)),
                path: place.to_owned(),
                username_field: "U".to_owned(),
                password_field: "P".to_owned(),
            };
            (at.name.clone(), EntryPort { store: Arc::new(Place(Arc::clone(self), place)), place: at })
        };
        let service = |place: &'static str| {
            let port = Arc::new(Place(Arc::clone(self), place));
            let ports =
                ServicePorts { reload: Some(port.clone()), attest: Some(port.clone()), test_send: Some(port.clone()) };
            (parsed(ServiceName::new(format!("api-{place}"))), ports)
        };
        Ports {
            provider: Arc::new(Place(Arc::clone(self), "")),
            account: "account".to_owned(),
            entries: PLACES.into_iter().map(entry).collect(),
            services: PLACES.into_iter().map(service).collect(),
            mail: Arc::new(Place(Arc::clone(self), "")),
        }
    }
}

impl State {
    fn accepts(&self, login: &Login) -> bool {
        let version = self.versions.get(login.username.as_str());
        version.is_some_and(|v| v.active && v.password.matches(&login.password))
    }

    fn switch(&mut self, id: &VersionId, on: bool) -> Outcome<()> {
        match self.versions.get_mut(id.as_str()) {
            Some(version) => {
                version.active = on;
                Outcome::Done(())
            }
            None => Outcome::NotDone(refused(FaultClass::Permanent, "no such version")),
        }
    }
}

#[async_trait]
impl Provider for Place {
    fn facts(&self) -> ProviderFacts {
        facts()
    }

    async fn list(&self, _: &str) -> Outcome<Vec<ListedVersion>> {
        let listed = |(id, v): (&String, &Version)| ListedVersion {
            id: parsed(VersionId::new(id)),
            username: parsed(Username::new(id)),
            tag: v.tag.clone(),
            state: if v.active { LiveState::Active } else { LiveState::Inactive },
            created_at: None,
            last_used_at: None,
            last_refused_at: None,
        };
        self.0.call("list", |s| Outcome::Done(s.versions.iter().map(listed).collect())).await
    }

    async fn create(&self, _: &str, tag: &Tag, _: Option<&Secret>) -> Outcome<CreatedVersion> {
        let password = Secret::new("new password of the bench".to_owned());
        let version = Version { password: password.duplicate(), tag: Some(tag.clone()), active: true };
        self.0.call("create", |s| drop(s.versions.insert("v1".to_owned(), version))).await;
        let (id, username) = (parsed(VersionId::new("v1")), parsed(Username::new("v1")));
        Outcome::Done(CreatedVersion { id, username, secret: Some(password) })
    }

    async fn disable(&self, _: &str, id: &VersionId) -> Outcome<()> {
        self.0.call("disable", |s| s.switch(id, false)).await
    }

    async fn enable(&self, _: &str, id: &VersionId, _: Option<&Secret>) -> Outcome<()> {
        self.0.call("enable", |s| s.switch(id, true)).await
    }

    async fn delete(&self, _: &str, id: &VersionId) -> Outcome<()> {
        self.0.call("delete", |s| drop(s.versions.remove(id.as_str()))).await;
        Outcome::Done(())
    }
}

#[async_trait]
impl Store for Place {
    fn kind(&self) -> &'static str {
        "fake"
    }

    fn request_timeout(&self) -> Span {
        facts().request_timeout
    }

    async fn check_writable(&self, _: &EntryRef) -> Outcome<()> {
        self.0.call("check-writable", |_| Outcome::Done(())).await
    }

    async fn read(&self, _: &EntryRef) -> Outcome<Held> {
        let held = self.0.call("read", |s| s.entries.get(self.1).map(Login::duplicate)).await;
        Outcome::Done(held.map_or(Held::Nothing, Held::Login))
    }

    async fn write(&self, _: &EntryRef, login: &Login, _: &[&Secret]) -> Outcome<()> {
        let login = login.duplicate();
        self.0.call("write", |s| drop(s.entries.insert(self.1.to_owned(), login))).await;
        Outcome::Done(())
    }
}

#[async_trait]
impl Reload for Place {
    fn describe(&self) -> String {
        "fake".to_owned()
    }

    fn request_timeout(&self) -> Span {
        facts().request_timeout
    }

    async fn reload(&self) -> Outcome<()> {
        let read_again = |s: &mut State| {
            if let Some(login) = s.entries.get(self.1).map(Login::duplicate) {
                s.services.insert(self.1.to_owned(), login);
            }
        };
        self.0.call("reload", read_again).await;
        Outcome::Done(())
    }
}

#[async_trait]
impl Attest for Place {
    fn request_timeout(&self) -> Span {
        facts().request_timeout
    }

    async fn attest(&self, challenge: &str) -> Outcome<Attestation> {
        let Some(login) = self.0.call("attest", |s| s.services.get(self.1).map(Login::duplicate)).await else {
            return Outcome::NotDone(refused(FaultClass::Permanent, "no such service"));
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, login.password.expose().as_bytes());
        let proof = hex::encode(hmac::sign(&key, challenge.as_bytes()));
        Outcome::Done(Attestation { username: login.username.to_string(), proof })
    }
}

#[async_trait]
impl TestSend for Place {
    fn request_timeout(&self) -> Span {
        facts().request_timeout
    }

    async fn test_send(&self, _: &str, _: &str) -> Outcome<()> {
        match self.0.call("test-send", |s| s.services.get(self.1).is_some_and(|l| s.accepts(l))).await {
            true => Outcome::Done(()),
            false => Outcome::NotDone(refused(FaultClass::Credential, "535")),
        }
    }
}

#[async_trait]
impl Mail for Place {
    async fn auth(&self, login: &Login) -> Outcome<AuthReport> {
        let accepted = self.0.call("auth", |s| s.accepts(login)).await;
        Outcome::Done(AuthReport {
            verdict: if accepted { Verdict::Accepted } else { Verdict::Refused },
            code: if accepted { 235 } else { 535 },
            enhanced: None,
            mechanism: "PLAIN",
            tls: String::new(),
        })
    }

    async fn send(&self, login: &Login, nonce: &str) -> Outcome<SendReport> {
        match self.0.call("send", |s| s.accepts(login)).await {
            true => Outcome::Done(SendReport { message_id: nonce.to_owned(), reply: "250".to_owned() }),
            false => Outcome::NotDone(refused(FaultClass::Credential, "535")),
        }
    }

    async fn arrived(&self, nonce: &str, _: Duration) -> Outcome<ArrivalReport> {
        self.0.call("arrival", |_| ()).await;
        Outcome::Done(ArrivalReport { place: nonce.to_owned() })
    }

    fn probe_to(&self) -> String {
        "probe@example.com".to_owned()
    }
}

/// The plan of the `number`th credential.
pub(crate) fn plan(number: usize, playbook: &Playbook) -> Plan {
    let environment = |place: &str| parsed(Environment::new(place));
    let entry = |place: &&str| PlannedEntry {
        store: parsed(StoreName::new("fake")),
        store_kind: "fake".to_owned(),
        location: (*place).to_owned(),
        environment: environment(place),
        request_timeout: facts().request_timeout,
        landing: Span(0),
        write_only: false,
    };
    let service = |place: &&str| PlannedService {
        entry: parsed(EntryName::new(*place)),
        environment: environment(place),
        owner: None,
        reload: Some("fake".to_owned()),
        by_hand: None,
        test_send: true,
        attest: true,
        request_timeout: facts().request_timeout,
    };
    Plan {
        credential: parsed(CredentialName::new(format!("credential-{number}"))),
        playbook: playbook.clone(),
        provider: parsed(ProviderName::new("fake")),
        account: format!("account-{number}"),
        facts: facts(),
        smtp: "localhost:587".to_owned(),
        arrival: ArrivalKind::Maildir,
        old: OldVersion { id: parsed(VersionId::new("v0")), username: parsed(Username::new("v0")), fingerprint: None },
        compromised: false,
        entries: PLACES.iter().map(|p| (parsed(EntryName::new(*p)), entry(p))).collect(),
        services: PLACES.iter().map(|p| (parsed(ServiceName::new(format!("api-{p}"))), service(p))).collect(),
        policy: Policy::default(),
        time_scale: 1,
        bindings: Default::default(),
        by_hand: None,
    }
}
