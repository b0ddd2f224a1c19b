//! One run of the machine in a world: single moves, each total, and nothing that chooses between them.

use std::collections::BTreeSet;

use super::world::{Issued, World};
use crate::apply::Illegal;
use crate::command::{Command, Fact};
use crate::decide::{Decision, Wanted, decide};
use crate::event::Event;
use crate::name::{RotationId, VersionId};
use crate::outcome::{Fault, FaultClass, Outcome};
use crate::plan::Plan;
use crate::state::Rotation;
use crate::time::{Millis, Span};

/// How long an answer takes.
pub const TICK: Span = Span(50);
/// How long a call may take before its owner gives it up.
const LIMIT: Span = Span::seconds(5);
/// When every run begins.
const BEGIN: Millis = Millis(1_000_000);

/// A call of the living owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// The number of its effect; `None` for a look.
    pub effect: Option<u32>,
    /// What it does.
    pub command: Command,
    /// When it was started.
    pub began: Millis,
    /// What was sent.
    pub issued: Issued,
    /// What came of it, once it has happened and before its owner has heard of it.
    pub outcome: Option<Outcome<Fact>>,
}

/// A call whose owner has died, was replaced, or has given it up. It may still land.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Late {
    /// What was sent.
    pub issued: Issued,
    /// The last moment at which it may land.
    pub until: Millis,
}

/// How a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// As it is.
    Well,
    /// Nothing happened, and that is known.
    NotDone(FaultClass),
    /// Nothing happened, and nobody knows.
    Lost,
    /// It happened, and nobody knows.
    Unanswered,
    /// Nobody knows, and it may still happen.
    Late,
    /// It happens twice on its way, and is answered once.
    Twice,
    /// A look is answered by a server that has not heard of the last change.
    Stale,
}

/// What the machine asks for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// These events are to be written.
    Record(Vec<Event>),
    /// These calls are to be started.
    Start(Vec<Command>),
    /// Calls are under way; nothing else until one is answered.
    Busy,
    /// Nothing until this time, or until a person acts.
    Wait {
        /// When to ask again.
        until: Option<Millis>,
        /// What a person is asked for.
        person: Option<Wanted>,
    },
    /// It rests: it has ended or is stuck.
    Rest,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// What is true.
    pub world: World,
    /// What the journal says.
    pub r: Rotation,
    /// The time.
    pub now: Millis,
    /// Whether an owner holds the rotation.
    pub owned: bool,
    /// Whether the owner before may still be alive.
    pub paused: bool,
    /// How often an owner took it over.
    pub epoch: u64,
    /// What is under way.
    pub calls: Vec<Call>,
    /// What may still land.
    pub late: Vec<Late>,
    /// How many looks were answered.
    pub looks: usize,
    /// The versions whose secret the journal has: the outcome that brought it was written.
    pub sealed: BTreeSet<VersionId>,
    /// What a person was told when it last got stuck.
    pub todo: Vec<String>,
}

impl Run {
    /// The first event is written, and an owner holds it.
    ///
    /// # Errors
    /// The plan cannot be begun.
    pub fn begin(plan: &Plan) -> Result<Self, Illegal> {
        let rotation =
            RotationId::new("rot-1").map_err(|e| Illegal { event: "started", why: format!("the model's name {e}") })?;
        let started = Event::Started {
            rotation,
            plan: Box::new(plan.clone()),
            plan_hash: "h".into(),
            old_sealed: true,
            by: "model".into(),
            reason: None,
        };
        Ok(Self {
            world: World::new(plan),
            r: Rotation::begin(BEGIN, &started)?,
            now: BEGIN,
            owned: true,
            paused: false,
            epoch: 1,
            calls: Vec::new(),
            late: Vec::new(),
            looks: 0,
            sealed: BTreeSet::from([plan.old.id.clone()]),
            todo: Vec::new(),
        })
    }

    /// The rules that were broken so far.
    #[must_use]
    pub fn wrong(&self) -> &[String] {
        &self.world.wrong
    }

    pub(super) fn broken(&mut self, rule: impl Into<String>) {
        let rule = rule.into();
        if !self.world.wrong.contains(&rule) {
            self.world.wrong.push(rule);
        }
    }

    /// What the machine asks for. Nothing changes.
    #[must_use]
    pub fn turn(&self) -> Turn {
        match decide(&self.r, self.now) {
            Decision::Record(events) => Turn::Record(events),
            Decision::Rest if self.calls.is_empty() || self.r.ended().is_some() => Turn::Rest,
            Decision::Rest => Turn::Busy,
            Decision::Act { start, wake, person } => {
                let fresh: Vec<Command> =
                    start.into_iter().filter(|c| !self.calls.iter().any(|call| call.command == *c)).collect();
                if !fresh.is_empty() {
                    Turn::Start(fresh)
                } else if !self.calls.is_empty() {
                    Turn::Busy
                } else {
                    Turn::Wait { until: wake, person }
                }
            }
        }
    }

    /// Events are written.
    pub fn record(&mut self, events: &[Event]) {
        for event in events {
            if let Event::Stuck { todo, .. } = event {
                self.todo.clone_from(todo);
            }
            self.check_event(event);
            if let Err(illegal) = self.r.apply(self.now, event) {
                self.broken(format!("a decision is illegal: {illegal}"));
            }
        }
        self.check_rest();
    }

    /// An event from outside: a person or an alert.
    ///
    /// # Errors
    /// It has no place now; then nothing has changed.
    pub fn tell(&mut self, event: &Event) -> Result<(), Illegal> {
        self.r.apply(self.now, event)
    }

    /// Calls are started, their intents written before. Gives how many.
    pub fn start(&mut self, commands: Vec<Command>) -> usize {
        let began = self.now;
        let mut started = 0;
        for command in commands {
            let effect = command.is_effect().then_some(self.r.next_effect);
            self.check_start(&command);
            if let Some(effect) = effect {
                let event = Event::Intended { effect, command: command.clone(), deadline: began.after(LIMIT) };
                if let Err(illegal) = self.r.apply(began, &event) {
                    self.broken(format!("an intent is illegal: {illegal}"));
                    continue;
                }
            }
            let issued = Issued::new(&self.r, &command);
            self.calls.push(Call { effect, command, began, issued, outcome: None });
            started += 1;
        }
        started
    }

    /// The call happens; its owner has not heard of it yet.
    pub fn land(&mut self, index: usize) {
        let Some(call) = self.calls.get(index) else { return };
        if call.outcome.is_none() {
            let issued = call.issued.clone();
            let outcome = self.act(&issued);
            self.calls[index].outcome = Some(outcome);
        }
    }

    pub(super) fn act(&mut self, issued: &Issued) -> Outcome<Fact> {
        self.check_effect(issued);
        let outcome = self.world.act(self.now, issued);
        self.check_world();
        outcome
    }

    /// Decides what the owner will hear of a call, and lets it happen or not. Nothing is written yet.
    pub fn prepare(&mut self, index: usize, answer: Answer) {
        let Some(call) = self.calls.get(index) else { return };
        let issued = call.issued.clone();
        let fault = |class| Fault::new(class, "MODEL", "the failure that is tried here");
        let unknown = || Outcome::Unknown(fault(FaultClass::Temporary));
        let outcome = match answer {
            Answer::Well => return self.land(index),
            Answer::NotDone(class) => Outcome::NotDone(fault(class)),
            Answer::Lost => unknown(),
            Answer::Unanswered => {
                self.act(&issued);
                unknown()
            }
            Answer::Late => {
                self.leave_behind(&issued, self.now);
                unknown()
            }
            Answer::Twice => {
                let first = self.act(&issued);
                match &issued.command {
                    // One password set twice is one password.
                    Command::Create(_) if !self.r.shape().keeps_several() => {}
                    Command::Create(_) => {
                        self.world.create(&issued, true);
                    }
                    _ => {
                        self.act(&issued);
                    }
                }
                first
            }
            Answer::Stale => self.world.act_stale(&issued),
        };
        self.calls[index].outcome = Some(outcome);
    }

    /// The owner hears of a call that has happened or failed, and writes it down. The time moves by one [`TICK`].
    pub fn settle(&mut self, index: usize) {
        self.land(index);
        if index >= self.calls.len() {
            return;
        }
        let Call { effect, command, began, outcome, .. } = self.calls.remove(index);
        let Some(outcome) = outcome else { return };
        self.looks += usize::from(effect.is_none());
        self.now = self.now.after(TICK);
        self.drop_landed();
        if let Outcome::Done(Fact::Created { id, .. }) = &outcome {
            self.sealed.insert(id.clone());
        }
        let unknown = matches!(outcome, Outcome::Unknown(_)).then(|| command.clone());
        let before = self.r.versions.clone();
        if let Err(illegal) = self.r.apply(self.now, &Event::Settled { effect, command, began, outcome }) {
            self.broken(format!("an outcome is illegal: {illegal}"));
        }
        if let Some(command) = unknown {
            self.check_doubt(&command);
        }
        self.check_absence(&before);
        self.check_rest();
    }

    /// A call ends in this way.
    pub fn answer(&mut self, index: usize, answer: Answer) {
        self.prepare(index, answer);
        self.settle(index);
    }

    /// Time passes.
    pub fn wait(&mut self, until: Millis) {
        self.now = until.max(self.now).after(Span(1));
        self.drop_landed();
    }

    /// The owner dies. What it had under way may still land: for a call that was sent, as long as its target allows.
    pub fn die(&mut self) {
        let now = self.now;
        for call in std::mem::take(&mut self.calls) {
            if call.outcome.is_none() && call.command.is_effect() {
                self.leave_behind(&call.issued, now);
            }
        }
        self.owned = false;
    }

    /// The owner is only paused, and another one takes over: until its deadlines it may still make the calls it has written down.
    pub fn pause(&mut self) {
        for call in std::mem::take(&mut self.calls) {
            if call.outcome.is_none() && call.command.is_effect() {
                let last = self.now.max(call.began.after(LIMIT));
                self.leave_behind(&call.issued, last);
            }
        }
        self.paused = true;
        self.owned = false;
    }

    fn leave_behind(&mut self, issued: &Issued, sent: Millis) {
        let landing = match &issued.command {
            Command::Write(entry, _) => self.r.plan.entries.get(entry).map_or(Span(0), |e| e.landing),
            Command::Create(_) | Command::Disable(_) | Command::Enable(_) | Command::Delete(_) => self.r.landing(),
            // Reading an entry again late does no harm and is not waited for.
            _ => Span(0),
        };
        // It lands before the moment from which looks count, or at the very moment of its sender's death.
        let until = Millis(sent.after(landing).0.saturating_sub(1)).max(self.now);
        self.late.push(Late { issued: issued.clone(), until });
    }

    /// A new owner takes the rotation.
    pub fn claim(&mut self) {
        let proven_dead = !std::mem::take(&mut self.paused);
        self.epoch += 1;
        self.owned = true;
        self.now = self.now.after(Span(if proven_dead { 10 } else { 1000 }));
        self.drop_landed();
        let event = Event::Claimed { epoch: self.epoch, by: "model".into(), proven_dead };
        if let Err(illegal) = self.r.apply(self.now, &event) {
            self.broken(format!("a claim is illegal: {illegal}"));
        }
    }

    /// A call of an earlier owner lands.
    pub fn land_late(&mut self, index: usize) {
        if index < self.late.len() {
            let late = self.late.remove(index);
            self.act(&late.issued);
        }
    }

    fn drop_landed(&mut self) {
        let now = self.now;
        self.late.retain(|l| l.until >= now);
    }
}
