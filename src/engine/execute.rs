//! Executes one command: the calls to adapters, each under its time limit, turned into facts. It decides nothing.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use handover_rotation::command::{Command, Fact, SeenVersion, Which};
use handover_rotation::name::{EntryName, Fingerprint, Slot, Tag, Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{ArrivalKind, Plan};
use handover_rotation::time::{Millis, Span};

use super::breaker::Breakers;
use super::clock::Clock;
use super::crash::point;
use super::keyring::Keyring;
use super::ports::{EntryPort, Ports, ServicePorts};
use crate::journal::Sealer;
use crate::mail::Verdict;
use crate::mutant::{Mutant, broken};
use crate::providers::{LiveState, Provider};
use crate::secret::{Login, Secret};
use crate::stores::{Held, Hidden, Marks};

/// The longest one login may take; an SMTP server may wait before it refuses.
const AUTH_LIMIT: Duration = Duration::from_secs(45);
/// The longest one submission may take.
const SEND_LIMIT: Duration = Duration::from_secs(90);

/// One command with all that it needs.
pub(crate) struct Job {
    pub(crate) command: Command,
    pub(crate) ports: Arc<Ports>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) keys: Keyring,
    /// The id of the version that the command changes, if known.
    pub(crate) id: Option<VersionId>,
    /// The tag of the version that the command makes.
    pub(crate) tag: Option<Tag>,
    /// The version that everything is moved to: mail is sent with no other.
    pub(crate) target: Slot,
    /// The secret that was sealed for the version that the command makes.
    pub(crate) chosen: Option<Secret>,
    /// Looks at this machine, for preflight.
    pub(crate) host: Arc<dyn Fn() -> Result<(), Fault> + Send + Sync>,
    /// When, by the clock since boot, an effect must have ended: its deadline in the journal, which whoever takes over waits for.
    pub(crate) until: Option<Millis>,
    /// Whether what everything is moved away from has leaked.
    pub(crate) leak: bool,
    /// Which targets are left alone; `None` in a leak, where nothing is.
    pub(crate) breakers: Option<Breakers>,
    /// Reads time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Entries whose foreign value a person has given up.
    pub(crate) given_up: GivenUp,
}

/// Entries whose foreign value a person has given up, each until it is overwritten: once, as whoever writes there may go on.
#[derive(Clone, Default)]
pub(crate) struct GivenUp(Arc<Mutex<BTreeSet<EntryName>>>);

impl GivenUp {
    pub(crate) fn of(entries: impl IntoIterator<Item = EntryName>) -> Self {
        Self(Arc::new(Mutex::new(entries.into_iter().collect())))
    }

    fn has(&self, name: &EntryName) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    fn overwritten(&self, name: &EntryName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// What came of it, and the secret to be sealed together with that.
pub(crate) struct Executed {
    pub(crate) outcome: Outcome<Fact>,
    pub(crate) made: Option<(Slot, Login)>,
}

/// How long a call may take, and how much of that was left when it began.
#[derive(Clone, Copy)]
struct Limit {
    whole: Duration,
    left: Duration,
}

impl From<Duration> for Limit {
    fn from(whole: Duration) -> Self {
        Self { whole, left: whole }
    }
}

/// A call under a limit; past it the outcome is unknown, never a failure (S8).
async fn limited<T>(name: &str, limit: impl Into<Limit>, call: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let limit = limit.into();
    point(&format!("{name}.before"));
    let outcome = tokio::time::timeout(limit.left, call).await.unwrap_or_else(|_| {
        let fault = Fault::new(
            FaultClass::Temporary,
            "HO0401",
            format!("no answer to {name} within {}", Span(limit.whole.as_millis() as u64)),
        );
        if broken(Mutant::TimeoutIsFailure) {
            return Outcome::NotDone(fault);
        }
        Outcome::Unknown(fault.hint("it may have happened; Handover looks before it does anything again"))
    });
    point(&format!("{name}.after"));
    outcome
}

fn duration(span: Span) -> Duration {
    Duration::from_millis(span.0)
}

pub(crate) fn random_hex(bytes: usize) -> Result<String, Fault> {
    crate::random::hex_id(bytes).map_err(|error| Fault::new(FaultClass::Permanent, "HO0406", error.to_string()))
}

fn missing(what: impl std::fmt::Display) -> Outcome<Fact> {
    let fault = Fault::new(FaultClass::Permanent, "HO0402", format!("{what} is not known here"));
    Outcome::NotDone(fault.hint("the inventory changed while the rotation was under way: put it back, then resume"))
}

impl Job {
    /// Executes it, unless its target is left alone for now.
    pub(crate) async fn run(self) -> Executed {
        if self.left() == Some(Duration::ZERO) {
            // This process stood still since it wrote the intent, and another one may have taken over.
            let message = format!("the time to {} was over before it could begin", self.command);
            let fault = Fault::new(FaultClass::Temporary, "HO0408", message).hint("nothing was sent");
            return Executed { outcome: Outcome::NotDone(fault), made: None };
        }
        let Some((breakers, target)) = self.breakers.clone().zip(self.shared_target()) else {
            return self.call().await;
        };
        let clock = Arc::clone(&self.clock);
        let now = || Millis(clock.stamp().boot_ms);
        if let Err(fault) = breakers.ask(&target, now(), self.plan.facts.request_timeout) {
            return Executed { outcome: Outcome::NotDone(fault), made: None };
        }
        let executed = self.call().await;
        breakers.learn(&target, now(), &executed.outcome);
        executed
    }

    /// What is left of an effect's time.
    fn left(&self) -> Option<Duration> {
        let now = Millis(self.clock.stamp().boot_ms);
        self.until.filter(|_| !broken(Mutant::DeadlineForgotten)).map(|until| duration(until.since(now)))
    }

    /// A limit, cut to what is left of the effect's time.
    fn within(&self, limit: Span) -> Limit {
        let whole = duration(limit);
        Limit { whole, left: self.left().map_or(whole, |left| left.min(whole)) }
    }

    /// What the command calls that other rotations call too. A file on this machine is nobody else's, and a service has one
    /// credential.
    fn shared_target(&self) -> Option<String> {
        match &self.command {
            Command::CheckHost | Command::Attest(_) | Command::Reload(_) | Command::TestSend(_) => None,
            Command::CheckWritable(name) | Command::ReadEntry(name) | Command::Write(name, _) => {
                let entry = self.plan.entries.get(name).filter(|e| e.landing > Span(0))?;
                Some(format!("store {}", entry.store))
            }
            Command::Auth(_) | Command::Probe(_) | Command::Control => Some(format!("mail server {}", self.plan.smtp)),
            _ => Some(format!("provider {}", self.plan.provider)),
        }
    }

    async fn call(mut self) -> Executed {
        let chosen = self.chosen.take();
        if let Command::Create(slot) = self.command {
            return self.create(slot, chosen).await;
        }
        Executed { outcome: self.look_or_change().await, made: None }
    }

    fn provider(&self) -> Arc<dyn Provider> {
        let provider = &self.ports.provider;
        self.leak.then(|| provider.in_leak()).flatten().unwrap_or_else(|| Arc::clone(provider))
    }

    async fn look_or_change(&self) -> Outcome<Fact> {
        let provider = self.provider();
        let account = self.ports.account.as_str();
        let limit = self.within(self.plan.facts.request_timeout);
        let done = |o: Outcome<()>| o.map(|()| Fact::Done);
        match &self.command {
            Command::CheckHost => match (self.host)() {
                Ok(()) => Outcome::Done(Fact::Done),
                Err(fault) => Outcome::NotDone(fault),
            },
            Command::ListVersions => {
                let listed = limited("list", limit, provider.list(account)).await;
                listed.map(|list| {
                    let seen = list.into_iter().map(|v| SeenVersion {
                        id: v.id,
                        username: v.username,
                        tag: v.tag,
                        active: v.state == LiveState::Active,
                        last_used: v.last_used_at,
                        last_refused: v.last_refused_at,
                    });
                    Fact::Versions(seen.collect())
                })
            }
            Command::CheckWritable(name) => match self.entry(name) {
                Some((entry, limit)) => {
                    done(limited("check-writable", limit, entry.store.check_writable(&entry.place)).await)
                }
                None => missing(name),
            },
            Command::ReadEntry(name) => self.read(name).await.map(|held| Fact::Holds(self.which(name, &held))),
            Command::Write(name, slot) => match (self.entry(name), self.keys.get(*slot)) {
                (Some((entry, limit)), Some(login)) if self.given_up.has(name) => {
                    self.overwrite(name, entry, limit, &login).await
                }
                (Some((entry, limit)), Some(login)) => {
                    let expect = self.keys.passwords();
                    let marks = self.marks(&login);
                    let write = entry.store.write_marked(&entry.place, &login, &expect, &marks);
                    done(limited("write", limit, write).await)
                }
                _ => missing(format!("{name} or the {slot} version")),
            },
            Command::Auth(slot) => match self.keys.get(*slot) {
                Some(login) => limited("auth", AUTH_LIMIT, self.ports.mail.auth(&login)).await.map(|report| {
                    let enhanced = report.enhanced.map_or_else(String::new, |e| format!(" {e}"));
                    Fact::Login {
                        accepted: report.verdict == Verdict::Accepted,
                        reply: format!("{}{enhanced}", report.code),
                    }
                }),
                None => missing(format!("the {slot} version's secret")),
            },
            Command::Attest(name) => match self.service(name.as_str()) {
                Some((ServicePorts { attest: Some(attest), .. }, limit)) => {
                    let challenge = match random_hex(16) {
                        Ok(challenge) => challenge,
                        Err(fault) => return Outcome::NotDone(fault),
                    };
                    let answer = limited("attest", limit, attest.attest(&challenge)).await;
                    answer.map(|a| Fact::Presents(self.keys.attested(&challenge, &a)))
                }
                _ => missing(name),
            },
            Command::Reload(name) => match self.service(name.as_str()) {
                Some((ServicePorts { reload: Some(reload), .. }, limit)) => {
                    done(limited("reload", limit, reload.reload()).await)
                }
                _ => missing(name),
            },
            Command::TestSend(name) => match self.service(name.as_str()) {
                Some((ServicePorts { test_send: Some(send), .. }, limit)) => {
                    let nonce = match random_hex(12) {
                        Ok(nonce) => nonce,
                        Err(fault) => return Outcome::NotDone(fault),
                    };
                    let to = self.ports.mail.probe_to();
                    match limited("test-send", limit.whole.max(SEND_LIMIT), send.test_send(&nonce, &to)).await {
                        Outcome::Done(()) => self.arrived(nonce.clone(), &nonce).await,
                        other => done(other),
                    }
                }
                _ => missing(name),
            },
            Command::Probe(name) => match self.read(name).await {
                Outcome::Done(held) => match (self.which(name, &held), held) {
                    (Which::Slot(slot), Held::Login(login)) if slot == self.target || broken(Mutant::ProbeUnread) => {
                        self.send(&login).await
                    }
                    // Nobody can read it: what was written is sent with.
                    (Which::Slot(slot), Held::Hidden(_)) if slot == self.target => match self.keys.get(slot) {
                        Some(login) => self.send(&login).await,
                        None => missing(format!("the {slot} version's secret")),
                    },
                    // Someone has changed it since: what it holds now proves nothing, and may be what has leaked (S19).
                    (which, _) => Outcome::Done(Fact::Holds(which)),
                },
                Outcome::NotDone(fault) => Outcome::NotDone(fault),
                // Nothing was sent: only the reading is in doubt, and reading changes nothing.
                Outcome::Unknown(fault) => Outcome::NotDone(fault),
            },
            Command::Control => match self.keys.get(Slot::OLD) {
                Some(login) => self.send(&login).await,
                None => missing("the old version's secret"),
            },
            Command::Disable(_) => match &self.id {
                Some(id) => done(limited("disable", limit, provider.disable(account, id)).await),
                None => missing("the version's id"),
            },
            Command::Delete(_) => match &self.id {
                Some(id) => done(limited("delete", limit, provider.delete(account, id)).await),
                None => missing("the version's id"),
            },
            Command::Enable(slot) => match &self.id {
                Some(id) => {
                    let login = self.keys.get(*slot);
                    let secret = login.as_ref().map(|l| &l.password);
                    done(limited("enable", limit, provider.enable(account, id, secret)).await)
                }
                None => missing("the version's id"),
            },
            Command::Create(slot) => missing(slot),
        }
    }

    /// Writes where a person has given up what is there. It is read again at once: a value that comes after it is theirs still.
    async fn overwrite(&self, name: &EntryName, entry: &EntryPort, limit: Limit, login: &Login) -> Outcome<Fact> {
        let held = match limited("read", limit, entry.store.read(&entry.place)).await {
            Outcome::Done(held) => held,
            // Reading changes nothing: the write was not begun.
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => return Outcome::NotDone(fault),
        };
        let expect = match &held {
            Held::Login(theirs) => vec![&theirs.password],
            Held::Nothing | Held::Hidden(_) => Vec::new(),
        };
        let marks = self.marks(login);
        let written = limited("write", limit, entry.store.write_marked(&entry.place, login, &expect, &marks)).await;
        if matches!(written, Outcome::Done(())) {
            self.given_up.overwritten(name);
        }
        written.map(|()| Fact::Done)
    }

    /// What stands for a login that is written, and for those that may be there, in a store that gives none back.
    fn marks(&self, login: &Login) -> Marks {
        let expected = self.keys.logins().map(|login| self.sealer.mark_of(login)).collect();
        Marks { new: self.sealer.mark_of(login), expected }
    }

    async fn create(&self, slot: Slot, chosen: Option<Secret>) -> Executed {
        let Some(tag) = &self.tag else { return Executed { outcome: missing(slot), made: None } };
        let limit = self.within(self.plan.facts.request_timeout);
        let provider = self.provider();
        let call = provider.create(&self.ports.account, tag, chosen.as_ref());
        match limited("create", limit, call).await {
            Outcome::Done(version) => match version.secret.or(chosen) {
                Some(password) => {
                    let fingerprint = self.sealer.fingerprint(&password);
                    let fact = created(version.id, &version.username, fingerprint);
                    let login = Login { username: version.username, password };
                    Executed { outcome: Outcome::Done(fact), made: Some((slot, login)) }
                }
                // It exists without a secret that anyone knows: found by its tag, it is deleted (S5).
                None => {
                    let fault =
                        Fault::new(FaultClass::Temporary, "HO0404", "the provider made a version and gave no secret");
                    Executed { outcome: Outcome::Unknown(fault), made: None }
                }
            },
            Outcome::NotDone(fault) => Executed { outcome: Outcome::NotDone(fault), made: None },
            Outcome::Unknown(fault) => Executed { outcome: Outcome::Unknown(fault), made: None },
        }
    }

    /// What an entry holds, to the machine. One whose foreign value counts for nothing holds nothing, and may be written; so does
    /// one that holds a half of each of two versions.
    fn which(&self, name: &EntryName, held: &Held) -> Which {
        let which = match held {
            Held::Login(login) if self.keys.is_half_written(login) => Which::Nothing,
            Held::Login(login) => self.keys.which(login),
            Held::Hidden(Hidden::Marked(mark)) => self.keys.find(|login| self.sealer.mark_of(login) == *mark),
            Held::Hidden(Hidden::Changed) => Which::Foreign,
            Held::Hidden(Hidden::Unknown) | Held::Nothing => Which::Nothing,
        };
        if which == Which::Foreign && self.given_up.has(name) { Which::Nothing } else { which }
    }

    async fn read(&self, name: &EntryName) -> Outcome<Held> {
        match self.entry(name) {
            Some((entry, limit)) => limited("read", limit, entry.store.read(&entry.place)).await,
            None => missing(name).map(|_| Held::Nothing),
        }
    }

    async fn send(&self, login: &Login) -> Outcome<Fact> {
        let nonce = match random_hex(12) {
            Ok(nonce) => nonce,
            Err(fault) => return Outcome::NotDone(fault),
        };
        match limited("send", SEND_LIMIT, self.ports.mail.send(login, &nonce)).await {
            Outcome::Done(report) => self.arrived(report.message_id, &nonce).await,
            Outcome::NotDone(fault) => Outcome::NotDone(fault),
            Outcome::Unknown(fault) => Outcome::Unknown(fault),
        }
    }

    async fn arrived(&self, message: String, nonce: &str) -> Outcome<Fact> {
        if self.plan.arrival == ArrivalKind::None {
            return Outcome::Done(Fact::Mailed { message, arrived: None });
        }
        let within = duration(self.plan.policy.arrival);
        let found = limited("arrival", within + Duration::from_secs(30), self.ports.mail.arrived(nonce, within)).await;
        found.map(|report| Fact::Mailed { message, arrived: Some(report.place) })
    }

    fn entry(&self, name: &EntryName) -> Option<(&EntryPort, Limit)> {
        let limit = self.plan.entries.get(name)?.request_timeout;
        Some((self.ports.entries.get(name)?, self.within(limit)))
    }

    fn service(&self, name: &str) -> Option<(&ServicePorts, Limit)> {
        let (_, planned) = self.plan.services.iter().find(|(n, _)| n.as_str() == name)?;
        let (_, ports) = self.ports.services.iter().find(|(n, _)| n.as_str() == name)?;
        Some((ports, self.within(planned.request_timeout)))
    }
}

fn created(id: VersionId, username: &Username, fingerprint: Fingerprint) -> Fact {
    Fact::Created { id, username: username.clone(), fingerprint }
}
