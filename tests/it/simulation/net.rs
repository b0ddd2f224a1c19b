//! The net between the machine and the world: each call takes its time, and may be lost, refused, doubled, or land when its
//! sender is long gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use tokio::sync::{Notify, oneshot};

use super::faults::Kind;
use super::meddle;
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
    Lands {
        after: u64,
        twice: bool,
        answer: Answer,
    },
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
        Fate::Lands { after, twice, answer }
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
        let epoch = self.process.epoch.load(Ordering::Relaxed);
        let fate = {
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
            Fate::Lands { after, twice, answer } => {
                let (tell, told) = oneshot::channel();
                let port = self.clone();
                self.sim.lock().flying += 1;
                tokio::spawn(async move {
                    if let Some((outcome, tell)) = port.fly(&call, epoch, after, twice, tell, &mut land).await {
                        port.answer(answer, outcome, tell).await;
                    }
                });
                told.await.unwrap_or_else(|_| unknown("broken answer"))
            }
        };
        self.process.may_die(&self.sim, Kind::CrashAfterCall).await;
        outcome
    }

    /// The way there. A sender that is gone by then shortens it to what can still land.
    async fn fly<T>(
        &self,
        call: &Call,
        epoch: u64,
        after: u64,
        twice: bool,
        mut tell: oneshot::Sender<Outcome<T>>,
        land: &mut (impl FnMut(&mut World, u64) -> Outcome<T> + Send),
    ) -> Option<(Outcome<T>, oneshot::Sender<Outcome<T>>)> {
        let arrived = tokio::select! {
            biased;
            () = tokio::time::sleep(Duration::from_millis(after)) => true,
            () = tell.closed() => false,
        };
        let mut late = "";
        if !arrived {
            if call.effect.is_none() || !self.sim.strikes(Kind::LandedLate) {
                self.sim.lock().flying -= 1;
                return None;
            }
            let rest = self.sim.between(0, self.landing);
            tokio::time::sleep(Duration::from_millis(rest)).await;
            late = " late";
        }
        let mut outcome = None;
        for round in 0..=u32::from(twice) {
            let now = self.sim.now();
            {
                let mut world = self.sim.lock();
                let world = &mut *world;
                if let (Some(effect), Some(target)) = (&call.effect, &call.target)
                    && let Some(why) = world.book.land(effect, target, epoch)
                {
                    world.breaks(why);
                }
                let landed = land(world, now);
                if round == 0 {
                    outcome = Some(landed);
                }
            }
            let said = outcome.as_ref().and_then(Outcome::fault).map_or("done", |f| &f.message);
            self.sim.note(|| format!("{} (process {}, epoch {epoch}): {said}{late}", call.label, self.process.number));
            self.sim.lock().check();
        }
        self.sim.lock().flying -= 1;
        meddle::stir(&self.sim);
        outcome.map(|o| (o, tell))
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
