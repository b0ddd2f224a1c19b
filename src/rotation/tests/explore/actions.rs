//! What may happen next in a run.

use std::hash::{DefaultHasher, Hash, Hasher};

use handover_rotation::command::Command;
use handover_rotation::decide::Wanted;
use handover_rotation::event::Event;
use handover_rotation::model::{Answer, Run, Turn};
use handover_rotation::name::{Slot, VersionId};
use handover_rotation::outcome::FaultClass;
use handover_rotation::plan::Shape;
use handover_rotation::state::Phase;
use handover_rotation::time::{Millis, Span};

use super::Budget;

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// A call under way is answered.
    Answer(usize, Answer),
    /// Nothing is under way, and time passes.
    Wait(Millis),
    /// The owner dies.
    Die,
    /// The owner is paused, with its calls in the air.
    Pause,
    /// Another owner takes over.
    Claim,
    /// A call of an earlier owner lands.
    Land(usize),
    /// A person does what is asked, or only says so.
    Person(Wanted, bool),
    /// A person asks to stop.
    Abort,
    /// A person sets a stuck rotation going again.
    Resume,
    /// An alert for a version.
    Leak(Slot),
    /// Someone else deletes a version.
    Deletes(VersionId),
    /// Someone else enables or disables a version.
    Switches(VersionId, bool),
    /// Someone else edits an entry.
    Edits,
    /// Someone else puts the old version back into an entry.
    PutsBack,
    /// A service restarts by itself and reads its entry.
    Restarts,
}

/// A run with what may still go wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) run: Run,
    pub(crate) left: Budget,
    /// Whether a person has set it going again already.
    pub(crate) resumed: bool,
    turn: Doing,
}

/// The machine's turn, in what matters for what may happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Doing {
    Busy,
    Waits(Option<Millis>, Option<Task>),
    Rests,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Task {
    Approve(usize),
    Do(Command),
}

impl State {
    pub(crate) fn new(run: Run, left: Budget) -> Self {
        let mut state = Self { run, left, resumed: false, turn: Doing::Rests };
        state.go();
        state
    }

    fn go(&mut self) {
        if !self.run.owned {
            self.turn = Doing::Rests;
            return;
        }
        self.turn = match self.run.go() {
            Turn::Busy => Doing::Busy,
            Turn::Wait { until, person } => Doing::Waits(
                until,
                person.map(|p| match p {
                    Wanted::Approval(step) => Task::Approve(step),
                    Wanted::Task(command) => Task::Do(command),
                }),
            ),
            _ => Doing::Rests,
        };
    }

    pub(crate) fn actions(&self, actions: &mut Vec<Action>) {
        if !self.run.wrong().is_empty() {
            return;
        }
        let ended = self.run.r.ended().is_some();
        if !self.run.owned {
            actions.push(Action::Claim);
        }
        for index in 0..self.run.late.len() {
            if !ended {
                actions.push(Action::Land(index));
            }
        }
        if !self.run.owned || ended {
            return;
        }
        match &self.turn {
            Doing::Busy => actions.push(Action::Answer(0, Answer::Well)),
            Doing::Waits(until, person) => {
                if let Some(task) = person {
                    let wanted = match task {
                        Task::Approve(step) => Wanted::Approval(*step),
                        Task::Do(command) => Wanted::Task(command.clone()),
                    };
                    if self.left.faults > 0
                        && self.left.total > 0
                        && matches!(&wanted, Wanted::Task(c) if !matches!(c, Command::Create(_)))
                    {
                        actions.push(Action::Person(wanted.clone(), false));
                    }
                    actions.push(Action::Person(wanted, true));
                }
                // A person who lets things wait is one of the things that go wrong.
                let idle = person.is_none() || self.left.outside > 0 && self.left.total > 0;
                if let (Some(until), true) = (until, idle) {
                    actions.push(Action::Wait(*until));
                }
            }
            Doing::Rests => {
                if matches!(self.run.r.phase, Phase::Stuck { .. }) && !self.resumed {
                    actions.push(Action::Resume);
                }
            }
        }
        if self.left.total == 0 {
            return;
        }
        if self.left.faults > 0 {
            self.faults(actions);
        }
        if self.left.crashes > 0 && self.turn != Doing::Rests {
            actions.extend([Action::Die, Action::Pause]);
        }
        if self.left.outside > 0 {
            self.outside(actions);
        }
    }

    /// What happens next when nothing goes wrong. None at the end.
    pub(crate) fn well(&self) -> Option<Action> {
        let mut actions = Vec::new();
        self.actions(&mut actions);
        let is_well = |a: &Action| matches!(a, Action::Answer(0, Answer::Well) | Action::Person(_, true));
        let waits = |a: &Action| matches!(a, Action::Wait(_));
        let at = actions.iter().position(is_well).or_else(|| actions.iter().position(waits))?;
        Some(actions.swap_remove(at))
    }

    fn faults(&self, actions: &mut Vec<Action>) {
        let Some(call) = self.run.calls.first() else { return };
        let mut answers = vec![Answer::NotDone(FaultClass::Temporary), Answer::NotDone(FaultClass::Permanent), Answer::Lost];
        if call.command.is_mail() {
            answers.push(Answer::NotDone(FaultClass::Credential));
        }
        if call.command.is_effect() {
            answers.push(Answer::Unanswered);
            answers.push(Answer::Twice);
        }
        if call.command.slot_changed().is_some() || matches!(call.command, Command::Write(..)) {
            answers.push(Answer::Late);
        }
        let looks = matches!(call.command, Command::ListVersions | Command::Auth(_));
        if looks && self.run.world.is_settling(self.run.now, self.run.r.plan.facts.propagation) {
            answers.push(Answer::Stale);
        }
        actions.extend(answers.into_iter().map(|a| Action::Answer(0, a)));
        actions.extend((1..self.run.calls.len()).map(|i| Action::Answer(i, Answer::Well)));
    }

    fn outside(&self, actions: &mut Vec<Action>) {
        actions.push(Action::Abort);
        if self.turn == Doing::Rests && self.resumed {
            return;
        }
        actions.push(Action::Leak(Slot::OLD));
        if self.run.r.new_version().is_some_and(|v| v.id.is_some()) {
            actions.push(Action::Leak(self.run.r.target));
        }
        for (id, real) in &self.run.world.versions {
            let old = *id == self.run.r.plan.old.id;
            if !old {
                actions.push(Action::Deletes(id.clone()));
            }
            if self.run.r.shape() == Shape::Reversible {
                actions.push(Action::Switches(id.clone(), !real.active));
            }
        }
        actions.extend([Action::Edits, Action::Restarts]);
        if self.run.world.entries.values().next_back().is_some_and(|held| *held != self.run.r.plan.old.id) {
            actions.push(Action::PutsBack);
        }
    }

    pub(crate) fn after(&self, action: Action) -> Option<Self> {
        let mut next = self.clone();
        let run = &mut next.run;
        match &action {
            Action::Answer(index, answer) => {
                if *index > 0 || *answer != Answer::Well {
                    next.left.faults -= 1;
                    next.left.total -= 1;
                }
                run.answer(*index, *answer);
            }
            Action::Wait(until) => {
                if matches!(next.turn, Doing::Waits(_, Some(_))) {
                    next.left.outside -= 1;
                    next.left.total -= 1;
                }
                run.wait(*until);
            }
            Action::Die | Action::Pause => {
                next.left.crashes -= 1;
                next.left.total -= 1;
                if action == Action::Die { run.die() } else { run.pause() }
            }
            Action::Claim => run.claim(),
            Action::Land(index) => run.land_late(*index),
            Action::Person(wanted, honest) => {
                if !honest {
                    next.left.faults -= 1;
                    next.left.total -= 1;
                }
                if !run.person_acts(wanted, *honest) {
                    return None;
                }
            }
            Action::Resume => {
                next.resumed = true;
                run.tell(&Event::Resumed { by: "someone".into() }).ok()?;
            }
            outside => {
                next.left.outside -= 1;
                next.left.total -= 1;
                happens(run, outside)?;
            }
        }
        next.go();
        Some(next)
    }

    /// From one in `every` states: whoever holds it is gone, another one goes on without faults, and it comes to an end that
    /// keeps the rules, or rests with instructions.
    pub(crate) fn ends_with_a_fresh_owner(&self, every: u64) -> bool {
        if !self.is_tried(every) {
            return true;
        }
        let mut run = self.run.clone();
        if run.owned {
            run.die();
        }
        run.finish();
        run.wrong().is_empty()
    }

    /// From one in `every` states: whoever holds it goes on without faults, to such an end.
    pub(crate) fn ends_by_itself(&self, every: u64) -> bool {
        if !self.is_tried(every) {
            return true;
        }
        let mut run = self.run.clone();
        run.finish();
        run.wrong().is_empty()
    }

    fn is_tried(&self, every: u64) -> bool {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        every != 0 && hasher.finish().is_multiple_of(every) && self.run.wrong().is_empty() && self.run.r.ended().is_none()
    }
}

fn happens(run: &mut Run, action: &Action) -> Option<()> {
    match action {
        Action::Abort => run.tell(&Event::AbortRequested { by: "someone".into(), reason: None }).ok()?,
        Action::Leak(slot) => run.leak(*slot, Span::minutes(10)).ok()?,
        Action::Restarts => {
            // It reads what its entry holds, as after any crash of its own.
            let held: Vec<_> = run.r.plan.services.iter().map(|(s, p)| (s.clone(), p.entry.clone())).collect();
            for (service, entry) in held {
                let version = run.world.entries.get(&entry)?.clone();
                run.world.services.insert(service, version);
            }
        }
        meddling => {
            run.world.meddled = true;
            match meddling {
                Action::Deletes(id) => {
                    run.world.versions.remove(id)?;
                }
                Action::Switches(id, on) => run.world.versions.get_mut(id)?.active = *on,
                Action::Edits => {
                    let entry = run.world.entries.keys().next()?.clone();
                    run.world.entries.insert(entry, VersionId::new("someone-elses").ok()?);
                }
                Action::PutsBack => {
                    let entry = run.world.entries.keys().next_back()?.clone();
                    run.world.entries.insert(entry, run.r.plan.old.id.clone());
                }
                _ => return None,
            }
        }
    }
    Some(())
}
