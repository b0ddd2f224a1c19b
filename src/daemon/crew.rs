//! The crew: every rotation under way, each as a task of its own. What nobody holds is taken up, whoever began it; what waits for
//! long is let go, and taken up again in time or when someone asks something of it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use handover_rotation::command::Command;
use handover_rotation::event::Event;
use handover_rotation::name::RotationId;
use handover_rotation::state::{Phase, Rotation};
use handover_rotation::time::Millis;
use tokio::sync::watch;
use tokio::time::Instant;

use super::desk::Desk;
use super::files::InForce;
use super::news::News;
use super::start::NotBegun;
use crate::engine::binding::unmoved;
use crate::engine::{EngineError, Observer, Rest, Runner, Signal, replay};
use crate::journal::Filter;
use crate::registry::Registry;

/// How often is looked for rotations that nobody holds (safety.md L4).
const LOOK: Duration = Duration::from_secs(2);
/// How long one that could not be gone on with is left alone.
const RETRY: Duration = Duration::from_secs(5);

/// Every rotation under way.
pub struct Crew {
    pub(super) desk: Arc<Desk>,
    hands: Mutex<BTreeMap<RotationId, Hand>>,
    /// The files that each was begun with, or last gone on with.
    files: Mutex<BTreeMap<RotationId, Arc<InForce>>>,
    signal: watch::Sender<Signal>,
}

/// What a rotation does here.
enum Hand {
    /// It runs.
    Running,
    /// It rests, until someone asks something of it, or this moment.
    Resting(Option<Instant>),
}

impl Crew {
    /// A crew with nothing to do.
    #[must_use]
    pub fn new(desk: Arc<Desk>) -> Arc<Self> {
        Arc::new(Self { desk, hands: Mutex::default(), files: Mutex::default(), signal: watch::channel(Signal::Run).0 })
    }

    /// Whether it was told to stop.
    #[must_use]
    pub fn stopping(&self) -> bool {
        *self.signal.borrow() == Signal::Stop
    }

    /// Stops every rotation at its next safe boundary, and waits for that.
    pub async fn stop(&self) {
        self.signal.send_replace(Signal::Stop);
        while self.running() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.hands().values().filter(|hand| matches!(hand, Hand::Running)).count()
    }

    /// Whether it runs here.
    #[must_use]
    pub fn runs(&self, id: &RotationId) -> bool {
        matches!(self.hands().get(id), Some(Hand::Running))
    }

    fn hands(&self) -> std::sync::MutexGuard<'_, BTreeMap<RotationId, Hand>> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one that was begun or taken up, by these files.
    pub(super) async fn run(self: &Arc<Self>, runner: Runner, files: Arc<InForce>) {
        let id = runner.rotation().id.clone();
        self.hands().insert(id.clone(), Hand::Running);
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(id, files);
        let mut watcher = Watcher { desk: Arc::clone(&self.desk) };
        if let Ok(events) = runner.events().await {
            watcher.recorded(&events, runner.rotation());
        }
        let crew = Arc::clone(self);
        tokio::spawn(async move { crew.to_its_rest(runner, watcher).await });
    }

    async fn to_its_rest(self: Arc<Self>, mut runner: Runner, mut watcher: Watcher) {
        let id = runner.rotation().id.clone();
        let mut signal = self.signal.subscribe();
        let hand = match runner.run(false, &mut signal, &mut watcher).await {
            Ok(Rest::Ended(ending)) => {
                tracing::info!(rotation = %id, "ended: {ending:?}");
                None
            }
            Ok(Rest::Stuck) => Some(Hand::Resting(None)),
            Ok(Rest::Waiting { until, .. }) => {
                let until = until.map(|t| Instant::now() + Duration::from_millis(t.since(runner.now()).0));
                Some(Hand::Resting(until))
            }
            Ok(Rest::Stopped) => Some(Hand::Resting(None)),
            Err(error) => {
                self.halted(&id, &error);
                Some(Hand::Resting(Some(Instant::now() + RETRY)))
            }
        };
        drop(runner);
        {
            let mut hands = self.hands();
            match hand {
                Some(hand) => drop(hands.insert(id, hand)),
                None => {
                    hands.remove(&id);
                    self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                }
            }
        }
        self.desk.unheld.notify_waiters();
    }

    fn halted(&self, id: &RotationId, error: &EngineError) {
        let why = error.fault().to_string();
        tracing::warn!(rotation = %id, "cannot go on for now: {why}");
        self.desk.tell(News::Halted { rotation: id.clone(), why });
    }

    /// Takes up what nobody holds, for ever.
    pub async fn adopt_for_ever(self: Arc<Self>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.stopping() {
            // From before the look: what comes meanwhile is a reason for another one.
            let unheld = self.desk.unheld.notified();
            let began = Instant::now();
            if let Err(error) = self.adopt().await {
                tracing::warn!(code = error.fault().code, "rotations that nobody holds cannot be looked for: {error}");
            }
            // Many that come to rest at once are one reason to look: never more than a fifth of the time is spent on it.
            let pause = (began.elapsed() * 4).min(LOOK);
            tokio::select! {
                _ = look.tick() => {}
                () = async { unheld.await; tokio::time::sleep(pause).await } => {}
            }
        }
    }

    /// Takes up what nobody holds and can go on.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn adopt(self: &Arc<Self>) -> Result<(), EngineError> {
        let journal = &self.desk.engine.journal;
        let open = journal.list(Filter { finished: Some(false), ..Filter::default() }).await?;
        let asked = journal.asked().await?;
        for header in open {
            let ours = header.holder.as_ref() == Some(&self.desk.engine.owner);
            if ours && self.is_new(&header.id) {
                continue;
            }
            if header.holder.is_some() && !ours || self.stopping() || !self.is_due(&header.id, &asked) {
                continue;
            }
            // One that cannot be taken up holds up no other.
            if let Err(error) = self.take(&header.id).await {
                self.halted(&header.id, &error);
                self.hands().insert(header.id, Hand::Resting(Some(Instant::now() + RETRY)));
            }
        }
        Ok(())
    }

    /// Whether nothing is known here of one that this process holds: it is being begun at this moment. Should its beginning have
    /// broken off after the first row, nobody runs it, so that it is due after a while.
    fn is_new(&self, id: &RotationId) -> bool {
        match self.hands().entry(id.clone()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(Hand::Resting(Some(Instant::now() + RETRY)));
                true
            }
        }
    }

    fn is_due(&self, id: &RotationId, asked: &BTreeSet<RotationId>) -> bool {
        match self.hands().get(id) {
            None => true,
            Some(Hand::Running) => false,
            Some(Hand::Resting(until)) => until.is_some_and(|t| t <= Instant::now()) || asked.contains(id),
        }
    }

    /// Takes one up. One that is stuck rests, unless someone asks something of it.
    async fn take(self: &Arc<Self>, id: &RotationId) -> Result<(), EngineError> {
        let rotation = self.desk.rotation(id).await?;
        let asked = !self.desk.engine.journal.inbox(id).await?.is_empty();
        if matches!(rotation.phase, Phase::Stuck { .. }) && !asked && !rotation.must_contain() {
            self.hands().insert(id.clone(), Hand::Resting(None));
            self.desk.tell(News::Recorded { events: Arc::default(), rotation: Arc::new(rotation) });
            return Ok(());
        }
        let (runner, files) = self.resume(id, &rotation).await?;
        self.run(runner, files).await;
        Ok(())
    }

    /// With the files in force; and where these are not what it was planned with any more, with those that it has gone by so far,
    /// unless something uses the credential now that it would not move.
    async fn resume(&self, id: &RotationId, rotation: &Rotation) -> Result<(Runner, Arc<InForce>), EngineError> {
        let mut files = self.desk.files.now();
        let before = self.files.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        match (Registry.fits(&files.inventory, rotation), before) {
            (Err(_), Some(before)) if rotation.is_leak() || unmoved(&rotation.plan, &files.inventory).is_empty() => {
                Registry.fits(&before.inventory, rotation)?;
                files = before;
            }
            (fits, _) => fits?,
        }
        let leak = rotation.is_leak() || rotation.must_contain();
        let ports = self.desk.ports(&files.inventory, &rotation.plan.credential, leak);
        let ports = ports.map_err(|fault| EngineError::Refused(fault.into()))?;
        Ok((self.desk.engine.resume(id, Arc::new(ports), &self.desk.name).await?, files))
    }

    /// Sets one that is stuck going again.
    ///
    /// # Errors
    /// It is not stuck, somebody else holds it, or the inventory is another one.
    pub async fn unstick(self: &Arc<Self>, id: &RotationId, by: &str) -> Result<(), NotBegun> {
        let rotation = self.desk.rotation(id).await?;
        let (mut runner, files) = self.resume(id, &rotation).await?;
        if matches!(runner.rotation().phase, Phase::Stuck { .. }) {
            let mut watcher = Watcher { desk: Arc::clone(&self.desk) };
            runner.tell(Event::Resumed { by: by.to_owned() }, &mut watcher).await?;
        }
        self.run(runner, files).await;
        Ok(())
    }

    /// Something was left in the inbox of a rotation: whoever rests looks.
    pub fn nudge(&self) {
        self.desk.unheld.notify_waiters();
    }
}

impl Desk {
    /// The state of a rotation.
    ///
    /// # Errors
    /// There is none, or the journal cannot be read.
    pub async fn rotation(&self, id: &RotationId) -> Result<Rotation, EngineError> {
        replay(id, &self.engine.journal.load(id).await?)
    }
}

/// Passes the events of a rotation on.
struct Watcher {
    desk: Arc<Desk>,
}

impl Observer for Watcher {
    fn recorded(&mut self, events: &[(Millis, Event)], rotation: &Rotation) {
        self.desk.tell(News::Recorded { events: Arc::new(events.to_vec()), rotation: Arc::new(rotation.clone()) });
    }

    fn started(&mut self, _: &[Command], _: Millis) {}
}
