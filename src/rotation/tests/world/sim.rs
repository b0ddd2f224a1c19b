//! Runs by script: what becomes of each call, which answer comes first, and what comes from outside when.

use std::ops::{Deref, DerefMut};

use handover_rotation::apply::Illegal;
use handover_rotation::command::Command;
use handover_rotation::event::Event;
use handover_rotation::model::{Answer, Run, Turn};
use handover_rotation::outcome::FaultClass;
use handover_rotation::plan::Plan;
use handover_rotation::state::{Phase, Rotation};
use handover_rotation::time::Millis;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Well,
    /// Nothing happened, and that is known.
    NotDone(FaultClass),
    /// Nothing happened, and nobody knows.
    Lost,
    /// It happened, and nobody knows.
    Unanswered,
    /// The process dies before the call.
    KilledBefore,
    /// The process dies after the call, before its outcome is written.
    KilledAfter,
    /// The process dies after this call and all others that were started with it.
    KilledAfterAll,
    /// The process dies, and the call lands as late as it can.
    KilledLanding,
}

/// A call that is about to be made.
pub(crate) struct Call<'r> {
    /// Its number within the run, from 0.
    pub(crate) number: usize,
    pub(crate) now: Millis,
    pub(crate) rotation: &'r Rotation,
    pub(crate) command: &'r Command,
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) step: usize,
    pub(crate) phase: Phase,
    pub(crate) command: Command,
}

type Fates<'f> = Box<dyn FnMut(&Call<'_>) -> Fate + 'f>;
type Picks<'f> = Box<dyn FnMut(usize) -> usize + 'f>;

/// One run.
pub(crate) struct Sim<'f> {
    run: Run,
    /// Decisions and outcomes so far: between two of them anything may come from outside.
    pub(crate) turns: usize,
    pub(crate) made: Vec<Made>,
    /// Whether a new owner knows that the one before is dead.
    pub(crate) proven_dead: bool,
    fate: Fates<'f>,
    pick: Picks<'f>,
}

impl Deref for Sim<'_> {
    type Target = Run;
    fn deref(&self) -> &Run {
        &self.run
    }
}

impl DerefMut for Sim<'_> {
    fn deref_mut(&mut self) -> &mut Run {
        &mut self.run
    }
}

impl<'f> Sim<'f> {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            run: Run::begin(plan).expect("a plan that can begin"),
            turns: 0,
            made: Vec::new(),
            proven_dead: true,
            fate: Box::new(|_| Fate::Well),
            pick: Box::new(|_| 0),
        }
    }

    /// What becomes of each call.
    pub(crate) fn fates(mut self, fate: impl FnMut(&Call<'_>) -> Fate + 'f) -> Self {
        self.fate = Box::new(fate);
        self
    }

    /// Which of `n` calls under way ends next.
    pub(crate) fn picks(mut self, pick: impl FnMut(usize) -> usize + 'f) -> Self {
        self.pick = Box::new(pick);
        self
    }

    /// An event from outside.
    pub(crate) fn tell(&mut self, event: &Event) -> Result<(), Illegal> {
        self.run.tell(event)
    }

    /// Runs until it rests.
    pub(crate) fn rest(&mut self) -> &mut Self {
        while self.turn() {}
        self
    }

    /// Runs until `reached` or until it rests; whether it was reached.
    pub(crate) fn until(&mut self, mut reached: impl FnMut(&Self) -> bool) -> bool {
        loop {
            if reached(self) {
                return true;
            }
            if !self.turn() {
                return false;
            }
        }
    }

    /// One decision or one outcome. False when it rests.
    pub(crate) fn turn(&mut self) -> bool {
        let r = &self.run.r;
        assert!(self.turns < 20_000, "L1: no end: {:?} step {} tries {:?}", r.phase, r.step, r.tries);
        self.land();
        match self.run.turn() {
            Turn::Record(events) => self.run.record(&events),
            Turn::Start(commands) => self.start(commands),
            Turn::Busy => {
                let next = (self.pick)(self.run.calls.len()) % self.run.calls.len();
                self.run.settle(next);
            }
            Turn::Wait { until, .. } => {
                let r = &self.run.r;
                let until = until.unwrap_or_else(|| panic!("L2: nothing to do or wait for: {:?} {}", r.phase, r.step));
                self.wait(until);
            }
            Turn::Rest => return false,
        }
        assert_eq!(self.run.wrong(), Vec::<String>::new(), "at step {}", self.run.r.step);
        self.turns += 1;
        true
    }

    fn start(&mut self, commands: Vec<Command>) {
        let first = self.run.calls.len();
        self.run.start(commands);
        let mut dead = false;
        for index in first..self.run.calls.len() {
            let command = self.run.calls[index].command.clone();
            let call = Call { number: self.made.len(), now: self.run.now, rotation: &self.run.r, command: &command };
            let fate = if dead { Fate::Well } else { (self.fate)(&call) };
            self.made.push(Made { step: self.run.r.step, phase: self.run.r.phase, command });
            match fate {
                Fate::Well => self.run.land(index),
                Fate::NotDone(class) => self.run.prepare(index, Answer::NotDone(class)),
                Fate::Lost => self.run.prepare(index, Answer::Lost),
                Fate::Unanswered => self.run.prepare(index, Answer::Unanswered),
                Fate::KilledBefore => return self.killed(None),
                Fate::KilledAfter => {
                    self.run.land(index);
                    return self.killed(None);
                }
                Fate::KilledAfterAll => {
                    dead = true;
                    self.run.land(index);
                }
                Fate::KilledLanding => return self.killed(Some(index)),
            }
        }
        if dead {
            self.killed(None);
        }
    }

    /// The process is gone, and another one takes over. Of what was under way, at most one call lands, as late as it can.
    fn killed(&mut self, lands: Option<usize>) {
        let kept = lands.and_then(|index| self.run.calls.get(index)).map(|call| call.issued.clone());
        if self.proven_dead {
            self.run.die()
        } else {
            self.run.pause()
        }
        self.run.late.retain(|late| Some(&late.issued) == kept.as_ref());
        self.run.claim();
        self.land();
    }

    /// Calls of earlier owners land at the last moment.
    fn land(&mut self) {
        while let Some(due) = self.run.late.iter().position(|l| l.until <= self.run.now) {
            self.run.land_late(due);
        }
    }

    /// Time passes, and what may still land does so in its last moment.
    fn wait(&mut self, until: Millis) {
        while let Some(due) = self.run.late.iter().map(|l| l.until).filter(|t| *t <= until).min() {
            self.run.now = due.max(self.run.now);
            self.land();
        }
        self.run.wait(until);
    }
}
