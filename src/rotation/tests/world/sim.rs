//! Runs the machine in a world as the engine does: intents first, calls side by side, outcomes one at a time and in any order,
//! and a process that may die at every call.

use handover_rotation::apply::Illegal;
use handover_rotation::command::{Command, Fact};
use handover_rotation::decide::{Decision, decide};
use handover_rotation::event::Event;
use handover_rotation::name::RotationId;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::Plan;
use handover_rotation::state::{Phase, Rotation};
use handover_rotation::time::{Millis, Span};

use super::{Issued, World};

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

struct Running {
    effect: Option<u32>,
    command: Command,
    began: Millis,
    outcome: Outcome<Fact>,
}

type Fates<'f> = Box<dyn FnMut(&Call<'_>) -> Fate + 'f>;
type Picks<'f> = Box<dyn FnMut(usize) -> usize + 'f>;

/// One run.
pub(crate) struct Sim<'f> {
    pub(crate) world: World,
    pub(crate) r: Rotation,
    pub(crate) now: Millis,
    /// Decisions and outcomes so far: between two of them anything may come from outside.
    pub(crate) turns: usize,
    pub(crate) made: Vec<Made>,
    /// What a person was told when it last got stuck.
    pub(crate) todo: Vec<String>,
    /// Whether a new owner knows that the one before is dead.
    pub(crate) proven_dead: bool,
    fate: Fates<'f>,
    pick: Picks<'f>,
    running: Vec<Running>,
    landing: Vec<(Millis, Issued)>,
}

impl<'f> Sim<'f> {
    pub(crate) fn new(plan: &Plan) -> Self {
        let now = Millis(1_000_000);
        let started = Event::Started {
            rotation: RotationId::new("rot-1").expect("an id"),
            plan: Box::new(plan.clone()),
            plan_hash: "h".into(),
            old_sealed: true,
            by: "test".into(),
            reason: None,
        };
        Self {
            world: World::new(plan),
            r: Rotation::begin(now, &started).expect("started"),
            now,
            turns: 0,
            made: Vec::new(),
            todo: Vec::new(),
            proven_dead: true,
            fate: Box::new(|_| Fate::Well),
            pick: Box::new(|_| 0),
            running: Vec::new(),
            landing: Vec::new(),
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
        self.r.apply(self.now, event)
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
        assert!(self.turns < 20_000, "L1: no end: {:?} step {} tries {:?}", self.r.phase, self.r.step, self.r.tries);
        self.land();
        match decide(&self.r, self.now) {
            Decision::Record(events) => {
                for event in &events {
                    if let Event::Stuck { todo, .. } = event {
                        self.todo.clone_from(todo);
                    }
                    self.r.apply(self.now, event).expect("a decision is legal");
                }
            }
            Decision::Rest if self.running.is_empty() || self.r.ended().is_some() => return false,
            Decision::Rest => self.settle(),
            Decision::Act { start, wake, .. } => {
                let fresh: Vec<Command> =
                    start.into_iter().filter(|c| !self.running.iter().any(|r| r.command == *c)).collect();
                if !fresh.is_empty() {
                    self.start(fresh);
                } else if !self.running.is_empty() {
                    self.settle();
                } else {
                    let wake =
                        wake.unwrap_or_else(|| panic!("L2: nothing to do or wait for: {:?} {}", self.r.phase, self.r.step));
                    self.now = wake.max(self.now).after(Span(1));
                }
            }
        }
        self.turns += 1;
        true
    }

    fn start(&mut self, commands: Vec<Command>) {
        let began = self.now;
        let mut fresh = Vec::new();
        for command in commands {
            let effect = command.is_effect().then_some(self.r.next_effect);
            if let Some(effect) = effect {
                let event = Event::Intended { effect, command: command.clone(), deadline: began.after(Span::seconds(5)) };
                self.r.apply(began, &event).unwrap_or_else(|e| panic!("{e}"));
            }
            fresh.push((effect, command));
        }
        let mut dead = false;
        for (effect, command) in fresh {
            let call = Call { number: self.made.len(), now: began, rotation: &self.r, command: &command };
            let fate = if dead { Fate::Well } else { (self.fate)(&call) };
            self.made.push(Made { step: self.r.step, phase: self.r.phase, command: command.clone() });
            let issued = Issued::new(&self.r, &command);
            let fault = |class| Fault::new(class, "HO0000", "as the script says");
            let unknown = || Outcome::Unknown(fault(FaultClass::Temporary));
            let outcome = match fate {
                Fate::Well => self.act(&issued),
                Fate::NotDone(class) => Outcome::NotDone(fault(class)),
                Fate::Lost => unknown(),
                Fate::Unanswered => {
                    self.act(&issued);
                    unknown()
                }
                Fate::KilledBefore => return self.killed(),
                Fate::KilledAfter => {
                    self.act(&issued);
                    return self.killed();
                }
                Fate::KilledAfterAll => {
                    dead = true;
                    self.act(&issued)
                }
                Fate::KilledLanding => {
                    let landing = match &command {
                        Command::Write(entry, _) => self.r.plan.entries[entry].landing,
                        _ => self.r.plan.facts.landing,
                    };
                    // At the last moment of its deadline it was still on its way.
                    let late = if self.proven_dead { Span(0) } else { Span::seconds(5) };
                    let at = began.after(Span((landing.0 + late.0).saturating_sub(1)));
                    self.landing.push((at, issued));
                    return self.killed();
                }
            };
            self.running.push(Running { effect, command, began, outcome });
        }
        if dead {
            self.killed();
        }
    }

    fn act(&mut self, call: &Issued) -> Outcome<Fact> {
        let outcome = self.world.act(call);
        self.world.check(&self.r);
        outcome
    }

    /// The process is gone, and another one takes over.
    fn killed(&mut self) {
        self.running.clear();
        self.now = self.now.after(Span(if self.proven_dead { 10 } else { 1000 }));
        let event = Event::Claimed { epoch: 2, by: "test".into(), proven_dead: self.proven_dead };
        self.r.apply(self.now, &event).expect("a claim is legal");
        self.land();
    }

    /// Calls of dead processes land.
    fn land(&mut self) {
        for (at, call) in std::mem::take(&mut self.landing) {
            if at <= self.now {
                self.act(&call);
            } else {
                self.landing.push((at, call));
            }
        }
    }

    fn settle(&mut self) {
        let next = (self.pick)(self.running.len()) % self.running.len();
        let Running { effect, command, began, outcome } = self.running.remove(next);
        self.now = self.now.after(Span(50));
        self.r.apply(self.now, &Event::Settled { effect, command, began, outcome }).expect("an outcome is legal");
    }
}
