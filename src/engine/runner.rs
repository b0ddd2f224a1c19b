//! The runner: asks the machine what to do, writes it down, does it, writes down what came of it.
//!
//! ```text
//!        ┌────────────── decide ◀──────────────┐
//!        │ events, intents                     │ outcomes, time, people
//!        ▼                                     │
//!   journal, in one transaction ──▶ jobs, side by side
//! ```
//!
//! It holds no state of its own but the jobs that are under way (S30). It must not start an effect whose intent is not durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use handover_rotation::command::{Command, Fact};
use handover_rotation::decide::{Decision, Wanted, decide};
use handover_rotation::event::{Ending, Event};
use handover_rotation::name::{EntryName, RotationId, Slot};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::state::{Phase, Rotation};
use handover_rotation::time::{Millis, Span};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

use super::book::Book;
use super::breaker::Breakers;
use super::clock::Clock;
use super::error::EngineError;
use super::execute::{Executed, GivenUp, Job};
use super::keyring::{Keyring, sealed_name};
use super::known;
use super::ports::Ports;
use crate::journal::{Journal, Kind, LEASE, Owner, SealedBlob, Sealer, Why};
use crate::mutant::{Mutant, broken as is_broken};
use crate::random;
use crate::secret::{Login, Secret};

/// How often a running rotation looks for what other processes ask of it.
const INBOX: Duration = Duration::from_millis(250);
/// A wait longer than this does not hold a terminal.
pub const LONG_WAIT: Span = Span::minutes(5);

/// What a running engine needs besides the ports of a credential.
#[derive(Clone)]
pub struct Engine {
    /// Where rotations are kept.
    pub journal: Arc<dyn Journal>,
    /// Seals their secrets.
    pub sealer: Arc<Sealer>,
    /// Reads time.
    pub clock: Arc<dyn Clock>,
    /// This process.
    pub owner: Owner,
    /// Looks at this machine: disk, journal, clock.
    pub host: Arc<dyn Fn() -> Result<(), Fault> + Send + Sync>,
    /// Which targets are left alone for now, by all rotations of this process.
    pub breakers: Breakers,
    /// What a secret that nobody can guess is known by to those who find it elsewhere.
    pub hashes: fn(&Secret) -> Vec<String>,
}

/// How a run came to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The rotation has ended.
    Ended(Ending),
    /// It needs a person.
    Stuck,
    /// It is safe and waits, until the given time at the latest.
    Waiting {
        /// When it goes on.
        until: Option<Millis>,
        /// The gate or the task that it waits for, if it waits for a person.
        person: Option<Wanted>,
    },
    /// It was told to stop at a safe boundary.
    Stopped,
}

/// What a run is told while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signal {
    /// Go on.
    #[default]
    Run,
    /// Stop at the next safe boundary: nothing new is started, and what is under way is waited for.
    Stop,
}

/// Gets to see every event as it is written.
pub trait Observer: Send {
    /// These events were written, and this is the state after them.
    fn recorded(&mut self, events: &[(Millis, Event)], rotation: &Rotation);
    /// These commands were started.
    fn started(&mut self, commands: &[Command], now: Millis);
    /// This is asked of a person now, or nothing. Told each time that it is thought about.
    fn asked(&mut self, _wanted: Option<&Wanted>, _rotation: &Rotation, _now: Millis) {}
}

/// An observer that looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn recorded(&mut self, _: &[(Millis, Event)], _: &Rotation) {}
    fn started(&mut self, _: &[Command], _: Millis) {}
}

/// One rotation under way.
pub struct Runner {
    pub(super) engine: Engine,
    ports: Arc<Ports>,
    pub(super) book: Book,
    pub(super) keys: Keyring,
    jobs: JoinSet<Executed>,
    running: BTreeMap<Id, Started>,
    given_up: GivenUp,
}

struct Started {
    effect: Option<u32>,
    command: Command,
    began: Millis,
}

impl Runner {
    /// A rotation that was just begun with `old` in its keyring, or is taken up again: then `old` is `None`, what was under way
    /// is interrupted, and the secrets are opened from the journal.
    ///
    /// # Errors
    /// The journal cannot be read, its rows do not fold, or a sealed secret does not open.
    pub async fn open(
        engine: Engine,
        ports: Arc<Ports>,
        id: &RotationId,
        claim: &crate::journal::Claim,
        by: &str,
    ) -> Result<Self, EngineError> {
        let mut book = Book::open(Arc::clone(&engine.journal), Arc::clone(&engine.clock), id, claim).await?;
        let resumed = book.rotation.step_started.is_some() || !book.rotation.flights.is_empty();
        if (resumed || claim.taken_from.is_some()) && !is_broken(Mutant::ClaimUnwritten) {
            let gone = claim.taken_from.as_ref().is_none_or(|t| matches!(t.why, Why::Gone | Why::Itself));
            // An owner that died before it had written anything knew of one that nobody has proven dead since.
            let proven_dead = gone && (book.written_by + 1 == claim.epoch || is_broken(Mutant::SuccessorTrusted));
            let event = Event::Claimed { epoch: claim.epoch, by: by.to_owned(), proven_dead };
            book.stage(event, Vec::new())?;
            book.flush().await?;
        }
        let keys = Keyring::default();
        let (jobs, running, given_up) = (JoinSet::new(), BTreeMap::new(), GivenUp::default());
        let mut runner = Self { engine, ports, book, keys, jobs, running, given_up };
        runner.open_sealed().await?;
        Ok(runner)
    }

    /// Opens the secrets that are sealed and not in the keyring: at first all of them, later that of a version whose login name
    /// only a look has told.
    async fn open_sealed(&mut self) -> Result<(), EngineError> {
        let r = &self.book.rotation;
        for (slot, version) in &r.versions {
            let (true, Some(username)) = (version.sealed, &version.username) else { continue };
            if self.keys.get(*slot).is_some() {
                continue;
            }
            if let Some(password) = opened(&self.engine, &r.id, *slot).await? {
                self.keys.insert(*slot, Login { username: username.clone(), password });
            }
        }
        Ok(())
    }

    /// The state.
    #[must_use]
    pub fn rotation(&self) -> &Rotation {
        &self.book.rotation
    }

    /// The rotation's trusted time.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.book.now()
    }

    /// The number of the next event.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.book.seq() + 1
    }

    /// All events so far, each with its time.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn events(&self) -> Result<Vec<(Millis, Event)>, EngineError> {
        super::book::events(&self.engine.journal.load(&self.book.rotation.id).await?)
    }

    /// What a person should mend about the places of the entries: nothing that the rotation has to stop for.
    pub async fn warnings(&self) -> Vec<String> {
        self.ports.warnings(false).await
    }

    /// Writes an event that a person caused.
    ///
    /// # Errors
    /// It has no place in the state, or the journal cannot be written.
    pub async fn tell(&mut self, event: Event, observer: &mut dyn Observer) -> Result<(), EngineError> {
        self.book.stage(event, Vec::new())?;
        self.flush(observer).await
    }

    /// Makes durable what is staged, and shows it.
    pub(super) async fn flush(&mut self, observer: &mut dyn Observer) -> Result<(), EngineError> {
        let told = self.book.flush().await?;
        if !told.is_empty() {
            observer.recorded(&told, &self.book.rotation);
        }
        Ok(())
    }

    /// A person gives up what someone else has put into these entries: each may be overwritten, once, by what this rotation
    /// wants there. To be told to the journal by whoever calls it.
    pub fn give_up(&mut self, entries: impl IntoIterator<Item = EntryName>) {
        self.given_up = GivenUp::of(entries);
    }

    /// Runs until it rests. With `patient` it also sits out long waits.
    ///
    /// # Errors
    /// The journal failed or was taken over, or a decision broke a rule. What is under way then has no outcome, and the next
    /// owner looks at it first.
    pub async fn run(
        &mut self,
        patient: bool,
        signal: &mut watch::Receiver<Signal>,
        observer: &mut dyn Observer,
    ) -> Result<Rest, EngineError> {
        let result = self.run_until_rest(patient, signal, observer).await;
        match &result {
            Ok(_) => self.book.release().await,
            Err(error) => self.last_words(error, observer).await,
        }
        result
    }

    /// What has happened is still written down where it can be: after a decision that broke a rule, and on a full disk, where
    /// the outcomes of what is under way are waited for.
    async fn last_words(&mut self, error: &EngineError, observer: &mut dyn Observer) {
        let wait = match error {
            EngineError::Rule(_) => false,
            EngineError::Journal(error) => error.kind == Kind::Full,
            _ => return,
        };
        let mut written = self.flush(observer).await;
        while wait
            && written.is_ok()
            && let Some(finished) = self.jobs.join_next_with_id().await
        {
            written = self.settle(finished);
            if written.is_ok() {
                written = self.flush(observer).await;
            }
        }
        if let Err(error) = written {
            tracing::warn!("the last outcomes could not be written: {error}");
        }
    }

    async fn run_until_rest(
        &mut self,
        patient: bool,
        signal: &mut watch::Receiver<Signal>,
        observer: &mut dyn Observer,
    ) -> Result<Rest, EngineError> {
        let mut renewal = tokio::time::interval(Duration::from_millis(LEASE.0 / 3));
        renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut inbox = tokio::time::interval(INBOX);
        inbox.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let stopping = *signal.borrow_and_update() == Signal::Stop;
            let now = self.book.now();
            let wake = match decide(&self.book.rotation, now) {
                Decision::Record(events) => {
                    for event in events {
                        self.book.stage(event, Vec::new())?;
                    }
                    continue;
                }
                Decision::Rest if self.running.is_empty() || self.book.rotation.ended().is_some() => {
                    if self.book.rotation.ended().is_none() && self.read_inbox(observer).await? {
                        continue;
                    }
                    // Only looks can be under way at an end, and what they would tell has no place any more.
                    self.jobs.abort_all();
                    self.flush(observer).await?;
                    return Ok(self.rest());
                }
                Decision::Rest => {
                    self.flush(observer).await?;
                    None
                }
                Decision::Act { start, wake, person } => {
                    self.start(if stopping { Vec::new() } else { start }, now, observer).await?;
                    observer.asked(person.as_ref(), &self.book.rotation, now);
                    if self.running.is_empty() {
                        if stopping {
                            return Ok(Rest::Stopped);
                        }
                        let rotation = &self.book.rotation;
                        let end = rotation.waits_until().filter(|_| rotation.tries.is_empty()).or(wake);
                        let long = person.is_some() || end.is_none_or(|t| t.since(now).0 > LONG_WAIT.0);
                        // A terminal is held for containment, however long: nobody else would do it.
                        if long && !patient && !rotation.must_contain() {
                            // What someone asked of an owner that is gone is not left lying for as long.
                            if self.read_inbox(observer).await? {
                                continue;
                            }
                            return Ok(Rest::Waiting { until: end, person });
                        }
                    }
                    wake
                }
            };
            let pause = wake.map_or(Duration::from_secs(3600), |w| Duration::from_millis(w.since(self.book.now()).0.max(1)));
            let woken = tokio::time::sleep(pause);
            tokio::pin!(woken);
            // An empty inbox and a lease decide nothing: only what may have changed the state is thought about.
            loop {
                tokio::select! {
                    // In this order, so that a run can be replayed. What comes seldom is first, so that nothing starves.
                    biased;
                    _ = renewal.tick() => self.book.renew().await?,
                    changed = signal.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return Ok(Rest::Stopped),
                    },
                    _ = inbox.tick() => if self.read_inbox(observer).await? { break },
                    Some(finished) = self.jobs.join_next_with_id(), if !self.running.is_empty() => {
                        self.settle(finished)?;
                        break;
                    }
                    () = &mut woken, if !stopping => break,
                }
            }
        }
    }

    fn rest(&self) -> Rest {
        match self.book.rotation.phase {
            Phase::Ended(ending) => Rest::Ended(ending),
            _ => Rest::Stuck,
        }
    }

    /// Starts what is not under way. Looks start at once: they change nothing. Effects start when their intents are durable, and
    /// with them all that led to them, in one transaction (S6).
    async fn start(&mut self, commands: Vec<Command>, now: Millis, observer: &mut dyn Observer) -> Result<(), EngineError> {
        self.open_sealed().await?;
        let running: Vec<&Command> = self.running.values().map(|s| &s.command).collect();
        let mut fresh: Vec<Command> = commands.into_iter().filter(|c| !running.contains(&c)).collect();
        let contains = |c: &Command| matches!(c, Command::Disable(slot) | Command::Delete(slot) if slot.is_old());
        if self.book.rotation.is_leak() && fresh.iter().any(contains) {
            // Containment waits for nothing, not for the intents of others either; those are asked for again.
            fresh.retain(contains);
        }
        let (effects, looks): (Vec<Command>, Vec<Command>) = fresh.iter().cloned().partition(Command::is_effect);
        if self.book.seals() && !is_broken(Mutant::SecretUsedEarly) {
            // A new secret is durable before anything uses it, a look too (S5).
            self.flush(observer).await?;
        }
        for command in looks {
            self.spawn(command, None, None, now, None);
        }
        let mut intended = Vec::new();
        for command in effects {
            let effect = self.book.rotation.next_effect;
            let mut sealed = Vec::new();
            let mut chosen = None;
            if let Command::Create(slot) = &command
                && self.book.rotation.plan.facts.chooses_secret
            {
                let secret = random::generate_password(self.ports.provider.secret_length(), random::ALPHABET)
                    .map_err(|e| EngineError::Refused(Fault::new(FaultClass::Permanent, "HO0406", e.to_string()).into()))?;
                let blob = self.engine.sealer.seal(&self.book.rotation.id, &sealed_name(*slot), &secret)?;
                if !is_broken(Mutant::ChosenUnsealed) {
                    let known = known::of_secret(&self.engine, &secret, true);
                    sealed.push(SealedBlob { slot: sealed_name(*slot), blob, known });
                }
                chosen = Some(secret);
            }
            let limit = self.limit(&command);
            // Both from now: what was flushed before this may have taken its time.
            let until = Millis(self.engine.clock.stamp().boot_ms).after(limit);
            let deadline = self.book.now().after(limit);
            self.book.stage(Event::Intended { effect, command: command.clone(), deadline }, sealed)?;
            intended.push((command, effect, chosen, until));
        }
        if is_broken(Mutant::IntentLate) {
            for (command, effect, chosen, until) in intended.drain(..) {
                self.spawn(command, Some(effect), chosen, now, Some(until));
            }
        }
        self.flush(observer).await?;
        if !fresh.is_empty() {
            observer.started(&fresh, now);
        }
        for (command, effect, chosen, until) in intended {
            self.spawn(command, Some(effect), chosen, now, Some(until));
        }
        Ok(())
    }

    fn spawn(
        &mut self,
        command: Command,
        effect: Option<u32>,
        chosen: Option<Secret>,
        began: Millis,
        until: Option<Millis>,
    ) {
        let handle = self.jobs.spawn(self.job(&command, chosen, until).run());
        self.running.insert(handle.id(), Started { effect, command, began });
    }

    fn job(&self, command: &Command, chosen: Option<Secret>, until: Option<Millis>) -> Job {
        let rotation = &self.book.rotation;
        let slot = command.slot_changed();
        Job {
            command: command.clone(),
            ports: Arc::clone(&self.ports),
            plan: Arc::clone(&rotation.plan),
            sealer: Arc::clone(&self.engine.sealer),
            keys: self.keys.share(),
            id: slot.and_then(|s| rotation.versions.get(&s)).and_then(|v| v.id.clone()),
            tag: slot.map(|s| rotation.tag(s)),
            target: rotation.target,
            chosen,
            until,
            host: Arc::clone(&self.engine.host),
            leak: rotation.is_leak(),
            // Containment is tried whatever has failed before.
            breakers: (!rotation.is_leak() || is_broken(Mutant::BreakerInLeak)).then(|| self.engine.breakers.clone()),
            clock: Arc::clone(&self.engine.clock),
            given_up: self.given_up.clone(),
        }
    }

    /// How long a command may take before its outcome is unknown.
    fn limit(&self, command: &Command) -> Span {
        let plan = &self.book.rotation.plan;
        let mail = Span(90_000).0.saturating_add(plan.policy.arrival.0);
        match command {
            Command::Write(name, _) => plan.entries.get(name).map_or(Span(0), |e| e.request_timeout),
            Command::Reload(name) => plan.services.get(name).map_or(Span(0), |s| s.request_timeout),
            Command::TestSend(_) | Command::Probe(_) | Command::Control => Span(mail),
            _ => plan.facts.request_timeout,
        }
    }

    /// Takes in how jobs ended: the one that woke us and all others that have ended since.
    fn settle(&mut self, first: Result<(Id, Executed), tokio::task::JoinError>) -> Result<(), EngineError> {
        let mut next = Some(first);
        while let Some(finished) = next {
            let (id, executed) = match finished {
                Ok(done) => done,
                Err(error) => (error.id(), broken()),
            };
            if let Some(Started { effect, command, began }) = self.running.remove(&id) {
                let (outcome, sealed) = self.keep(executed)?;
                self.book.stage(Event::Settled { effect, command, began, outcome }, sealed)?;
            }
            next = self.jobs.try_join_next_with_id();
        }
        Ok(())
    }

    /// Takes a new secret into the keyring and seals it, to be written with the outcome that brought it (S5).
    fn keep(&mut self, executed: Executed) -> Result<(Outcome<Fact>, Vec<SealedBlob>), EngineError> {
        let mut sealed = Vec::new();
        if let Some((slot, login)) = executed.made {
            let name = sealed_name(slot);
            let blob = self.engine.sealer.seal(&self.book.rotation.id, &name, &login.password)?;
            if !is_broken(Mutant::SecretUnsealed) {
                let known = known::of_secret(&self.engine, &login.password, true);
                sealed.push(SealedBlob { slot: name, blob, known });
            }
            self.keys.insert(slot, login);
        }
        Ok((executed.outcome, sealed))
    }
}

async fn opened(engine: &Engine, id: &RotationId, slot: Slot) -> Result<Option<Secret>, EngineError> {
    let name = sealed_name(slot);
    match engine.journal.sealed(id, &name).await? {
        Some(blob) => Ok(Some(engine.sealer.open(id, &name, &blob)?)),
        None => Ok(None),
    }
}

/// A job that panicked: what it did is unknown.
fn broken() -> Executed {
    let fault = Fault::new(FaultClass::Temporary, "HO0405", "the call broke off inside Handover");
    Executed { outcome: Outcome::Unknown(fault.hint("this is a bug: please report it")), made: None }
}
