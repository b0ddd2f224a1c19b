//! The net between the machine and the world: each call takes its time, and may be lost, refused, doubled, or land when its
//! sender is long gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use tokio::sync::{Notify, oneshot};

use super::faults::Kind;
use super::meddle;
use super::script::{Harm, Nature, Place, Strike};
use super::world::{Sim, World};

/// One process of Handover.
pub(crate) struct Process {
    pub(crate) number: u32,
    pub(crate) epoch: AtomicU64,
    dead: AtomicBool,
    death: Notify,
}

impl Process {
    pub(crate) fn new(number: u32) -> Arc<Self> {
        Arc::new(Self { number, epoch: AtomicU64::new(0), dead: AtomicBool::new(false), death: Notify::new() })
    }

    pub(crate) fn die(&self) {
        self.dead.store(true, Ordering::Relaxed);
        self.death.notify_one();
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub(crate) async fn death(&self) {
        self.death.notified().await;
    }

    /// A dead process does nothing more.
    pub(crate) async fn alive(&self) {
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    /// Dies here, and does nothing more.
    pub(crate) async fn killed(&self, sim: &Sim) {
        sim.note(|| format!("process {} dies", self.number));
        self.die();
        self.alive().await;
    }

    /// Dies here if it is struck.
    pub(crate) async fn may_die(&self, sim: &Sim, kind: Kind) {
        if sim.strikes(kind) {
            sim.note(|| format!("process {} dies ({kind:?})", self.number));
            self.die();
        }
        self.alive().await;
    }
}

/// A port of the simulated world, as one process sees it.
#[derive(Clone)]
pub(crate) struct Port {
    pub(crate) sim: Arc<Sim>,
    pub(crate) process: Arc<Process>,
    /// The entry or service that it is.
    pub(crate) name: String,
    /// How long a call may still land after its sender died.
    pub(crate) landing: u64,
    pub(crate) timeout: u64,
}

/// A call.
pub(crate) struct Call {
    /// What it is in the story.
    pub(crate) label: String,
    /// Its name in the book, if it changes something.
    pub(crate) effect: Option<String>,
    /// What it changes, where two owners must not do so at once.
    pub(crate) target: Option<String>,
    /// Whether it may happen twice without harm.
    pub(crate) repeatable: bool,
}

pub(crate) fn fault(class: FaultClass, text: &str) -> Fault {
    Fault::new(class, "HO0000", text)
}

enum Fate {
    Refused(Fault),
    /// It never gets there; whether the sender is told.
    Lost(bool),
    Lands(Way),
}

/// How a call gets there and back.
struct Way {
    after: u64,
    twice: bool,
    /// It lands when its sender has given up.
    late: bool,
    answer: Answer,
    strike: Option<Strike>,
}

impl Fate {
    /// What a script says instead of chance.
    fn scripted(&mut self, before: Option<Harm>, strike: Option<Strike>) {
        match (before, &mut *self) {
            (Some(Harm::NotDone), _) => *self = Self::Refused(fault(FaultClass::Temporary, "unreachable")),
            (Some(Harm::Refused), _) => *self = Self::Refused(fault(FaultClass::Permanent, "refused for good")),
            (Some(Harm::Unknown), _) => *self = Self::Lost(true),
            (Some(Harm::Timeout), _) => *self = Self::Lost(false),
            // It stays away until its sender gives up.
            (Some(Harm::Late), Self::Lands(way)) => (way.late, way.after, way.strike) = (true, 3_600_000, strike),
            (_, Self::Lands(way)) => {
                way.strike = strike;
                match strike.filter(|s| s.place == Place::AfterEffect).map(|s| s.harm) {
                    Some(Harm::Unknown) => way.answer = Answer::Broken,
                    Some(Harm::Timeout) => way.answer = Answer::Lost,
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

enum Answer {
    After(u64),
    Broken,
    Lost,
}

impl Call {
    pub(crate) fn look(label: String) -> Self {
        Self { label, effect: None, target: None, repeatable: true }
    }

    pub(crate) fn effect(effect: String, target: Option<String>, repeatable: bool) -> Self {
        Self { label: effect.clone(), effect: Some(effect), target, repeatable }
    }

    fn fate(&self, world: &mut World, now: u64, limit: u64) -> Fate {
        let World { faults, chance, .. } = world;
        let effect = self.effect.is_some();
        let mut strikes = |kind| faults.strikes(kind, now, chance);
        if strikes(Kind::Unreachable) {
            return Fate::Refused(fault(FaultClass::Temporary, "unreachable"));
        }
        if strikes(Kind::RefusedForGood) {
            return Fate::Refused(fault(FaultClass::Permanent, "refused for good"));
        }
        if strikes(Kind::RequestLost) {
            return Fate::Lost(false);
        }
        if strikes(Kind::RequestBroken) {
            return Fate::Lost(true);
        }
        let slow = strikes(Kind::Slow);
        let twice = effect && self.repeatable && strikes(Kind::Twice);
        let broken = strikes(Kind::AnswerBroken);
        let lost = strikes(Kind::AnswerLost);
        let after = if slow { chance.between(limit / 2, limit * 2) } else { chance.between(5, 400) };
        let answer = match (broken, lost) {
            (true, _) => Answer::Broken,
            (_, true) => Answer::Lost,
            _ => Answer::After(chance.between(5, 400)),
        };
        Fate::Lands(Way { after, twice, late: false, answer, strike: None })
    }

    fn nature(&self) -> Nature {
        if self.effect.is_some() { Nature::Effect } else { Nature::Look }
    }
}

impl Port {
    /// Makes a call; `land` is what happens when it gets there.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        call: Call,
        mut land: impl FnMut(&mut World, u64) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        self.process.alive().await;
        let now = self.sim.now();
        self.sim.lock().calls += 1;
        if self.sim.is_broken() {
            self.process.die();
        }
        self.process.may_die(&self.sim, Kind::CrashBeforeCall).await;
        let number = self.process.number;
        let strike = self.sim.pass(&call.label, call.nature(), number);
        let before = match strike {
            // Seen when it lands.
            Some(Strike { place: Place::Before, harm: Harm::Late, .. }) => Some(Harm::Late),
            _ => self.sim.hits(strike, Place::Before, number),
        };
        if before == Some(Harm::Kill) {
            self.process.killed(&self.sim).await;
        }
        let epoch = self.process.epoch.load(Ordering::Relaxed);
        let mut fate = {
            let mut world = self.sim.lock();
            let world = &mut *world;
            if let Some(effect) = &call.effect {
                let target = call.target.as_deref().unwrap_or(effect);
                if let Some(why) = world.book.issue(effect, target, epoch) {
                    world.breaks(why);
                }
            }
            call.fate(world, now, self.timeout)
        };
        if self.sim.is_out(&self.name) {
            fate = Fate::Refused(fault(FaultClass::Temporary, "unreachable"));
        }
        fate.scripted(before, strike);
        let unknown = |text: &str| Outcome::Unknown(fault(FaultClass::Temporary, text));
        let outcome = match fate {
            Fate::Refused(fault) => {
                self.sleep(5, 300).await;
                self.sim.note(|| format!("{}: {}", call.label, fault.message));
                Outcome::NotDone(fault)
            }
            Fate::Lost(told) => {
                self.sleep(5, 300).await;
                self.sim.note(|| format!("{}: lost on its way", call.label));
                if !told {
                    std::future::pending::<()>().await;
                }
                unknown("broken request")
            }
            Fate::Lands(way) => {
                let (tell, told) = oneshot::channel();
                let port = self.clone();
                self.sim.lock().flying += 1;
                tokio::spawn(async move {
                    let Some((outcome, tell)) = port.fly(&call, epoch, &way, tell, &mut land).await else { return };
                    port.answer(way.answer, outcome, tell).await;
                    let again = way.strike.filter(|s| s.harm == Harm::Duplicate);
                    if port.sim.hits(again, Place::AfterReply, number).is_some() {
                        // Its sender has the answer by now, and has written nothing yet.
                        port.lands(&call, epoch, " once more", &mut land);
                    }
                });
                told.await.unwrap_or_else(|_| unknown("broken answer"))
            }
        };
        if strike.is_some_and(|s| s.harm == Harm::Kill) && self.sim.hits(strike, Place::AfterReply, number).is_some() {
            self.process.killed(&self.sim).await;
        }
        self.process.may_die(&self.sim, Kind::CrashAfterCall).await;
        outcome
    }

    /// The way there. A sender that is gone by then shortens it to what can still land.
    async fn fly<T>(
        &self,
        call: &Call,
        epoch: u64,
        way: &Way,
        mut tell: oneshot::Sender<Outcome<T>>,
        land: &mut (impl FnMut(&mut World, u64) -> Outcome<T> + Send),
    ) -> Option<(Outcome<T>, oneshot::Sender<Outcome<T>>)> {
        let arrived = tokio::select! {
            biased;
            () = tokio::time::sleep(Duration::from_millis(way.after)) => true,
            () = tell.closed() => false,
        };
        let mut late = "";
        if !arrived {
            let scripted = way.late || self.sim.lands_late();
            if call.effect.is_none() || !scripted && !self.sim.strikes(Kind::LandedLate) {
                self.sim.lock().flying -= 1;
                return None;
            }
            let rest = self.sim.between(0, self.landing);
            tokio::time::sleep(Duration::from_millis(rest)).await;
            late = " late";
        }
        let outcome = self.lands(call, epoch, late, land);
        let place = if way.late { Place::Before } else { Place::AfterEffect };
        let struck = self.sim.hits(way.strike, place, self.process.number);
        if way.twice || struck == Some(Harm::Duplicate) {
            self.lands(call, epoch, " once more", land);
        }
        if struck == Some(Harm::Kill) {
            self.sim.note(|| format!("process {} dies", self.process.number));
            self.process.die();
        }
        self.sim.lock().flying -= 1;
        meddle::stir(&self.sim);
        Some((outcome, tell))
    }

    /// It gets there.
    fn lands<T>(
        &self,
        call: &Call,
        epoch: u64,
        how: &str,
        land: &mut (impl FnMut(&mut World, u64) -> Outcome<T> + Send),
    ) -> Outcome<T> {
        let now = self.sim.now();
        let outcome = {
            let mut world = self.sim.lock();
            let world = &mut *world;
            if let (Some(effect), Some(target)) = (&call.effect, &call.target)
                && let Some(why) = world.book.land(effect, target, epoch)
            {
                world.breaks(why);
            }
            land(world, now)
        };
        let said = outcome.fault().map_or("done", |f| &f.message);
        self.sim.note(|| format!("{} (process {}, epoch {epoch}): {said}{how}", call.label, self.process.number));
        self.sim.lock().check();
        outcome
    }

    async fn answer<T>(&self, answer: Answer, outcome: Outcome<T>, tell: oneshot::Sender<Outcome<T>>) {
        match answer {
            Answer::After(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                let _ = tell.send(outcome);
            }
            Answer::Broken => drop(tell.send(Outcome::Unknown(fault(FaultClass::Temporary, "an error that says nothing")))),
            Answer::Lost => {
                // Never; but the sender can still go away.
                let mut tell = tell;
                tell.closed().await;
            }
        }
    }

    async fn sleep(&self, from: u64, to: u64) {
        let ms = self.sim.between(from, to);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}
