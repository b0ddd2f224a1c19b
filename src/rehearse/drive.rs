//! Drives runs of the model: calls are answered in the order in which they were made, and what a case says happens at its call.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use handover_rotation::command::Command;
use handover_rotation::event::{Ending, Event};
use handover_rotation::model::{Answer, Run, Turn};
use handover_rotation::name::{ServiceName, Slot, VersionId};
use handover_rotation::outcome::FaultClass;
use handover_rotation::plan::Plan;
use handover_rotation::state::Phase;
use handover_rotation::time::{Millis, Span};

use super::Seen;
use super::case::{Case, Ends, Fault, Finding, Lasting, Moment, Outage};

/// More moves than any run needs.
const MOST_MOVES: usize = 4_000;
/// How soon a version that leaks in mid-run must be dead, where its playbook does not say.
const LEAK: Span = Span::minutes(10);

/// Runs cases of one plan, and counts the states.
pub(super) struct Driver<'p> {
    plan: &'p Plan,
    seen: Seen,
}

/// One run under way.
struct Trip<'c> {
    run: Run,
    cases: &'c [Case],
    next: usize,
    sick: Vec<(Lasting, Command)>,
    calls: usize,
    impossible: bool,
    dark: BTreeMap<ServiceName, Span>,
    moments: Vec<(Moment, Phase)>,
}

impl<'p> Driver<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        Self { plan, seen: Seen::new() }
    }

    pub(super) fn states(&self) -> usize {
        self.seen.len()
    }

    /// The run without faults, and its calls.
    pub(super) fn plain(&mut self) -> (Finding, Vec<(Moment, Phase)>) {
        let (finding, moments) = self.travel(&[]);
        (finding, moments)
    }

    pub(super) fn run(&mut self, cases: &[Case]) -> Finding {
        self.travel(cases).0
    }

    fn travel(&mut self, cases: &[Case]) -> (Finding, Vec<(Moment, Phase)>) {
        let run = match Run::begin(self.plan) {
            Ok(run) => run,
            Err(illegal) => return (impossible(cases, &illegal.to_string()), Vec::new()),
        };
        let mut trip = Trip {
            run,
            cases,
            next: 0,
            sick: Vec::new(),
            calls: 0,
            impossible: false,
            dark: BTreeMap::new(),
            moments: Vec::new(),
        };
        for _ in 0..MOST_MOVES {
            let before = trip.run.now;
            if !trip.move_on() {
                break;
            }
            trip.note_dark(before);
            let mut hasher = DefaultHasher::new();
            trip.run.hash(&mut hasher);
            self.seen.insert(hasher.finish());
        }
        let moments = std::mem::take(&mut trip.moments);
        (trip.finding(), moments)
    }
}

impl Trip<'_> {
    /// One move. False when it rests.
    fn move_on(&mut self) -> bool {
        if !self.run.owned {
            self.land(self.run.now);
            self.run.claim();
            return true;
        }
        match self.run.go() {
            Turn::Busy => {
                self.call();
                true
            }
            Turn::Wait { until, person } => {
                if let Some(wanted) = person
                    && self.run.person_acts(&wanted, true)
                {
                    return true;
                }
                let Some(until) = until else { return false };
                self.land(until);
                self.run.wait(until);
                true
            }
            _ => false,
        }
    }

    /// The first call under way is answered.
    fn call(&mut self) {
        let Some(call) = self.run.calls.first() else { return };
        let command = call.command.clone();
        let number = self.calls;
        let moment = Moment { number, step: self.run.r.step, command: command.clone() };
        self.moments.push((moment, self.run.r.phase));
        let due = self.cases.get(self.next).filter(|c| c.moment.number == number).map(|c| c.fault.clone());
        let answer = match due {
            Some(fault) => {
                self.next += 1;
                match self.strike(&fault, &command) {
                    Some(answer) => answer,
                    // The call is gone, or what it would answer has changed: it comes again by itself.
                    None => return,
                }
            }
            None => self.by_health(&command),
        };
        self.calls += 1;
        self.run.answer(0, answer);
    }

    /// A fault strikes; gives the answer of the call that it struck at, if that is still to be answered.
    fn strike(&mut self, fault: &Fault, command: &Command) -> Option<Answer> {
        let sound = self.by_health(command);
        match fault {
            Fault::FailsOnce => return Some(Answer::NotDone(FaultClass::Temporary)),
            Fault::NoAnswer => return Some(Answer::Lost),
            Fault::DoneUnanswered => return Some(Answer::Unanswered),
            Fault::DoneLate => return Some(Answer::Late),
            Fault::DoneTwice => return Some(Answer::Twice),
            Fault::KilledBefore => {
                self.run.die();
                self.run.late.clear();
                return None;
            }
            Fault::KilledAfter => {
                self.run.land(0);
                self.run.die();
                self.run.late.clear();
                return None;
            }
            Fault::Frozen => {
                self.run.pause();
                return None;
            }
            Fault::Breaks(lasting) => {
                if let Lasting::DeafService(service) = lasting {
                    self.run.world.deaf = Some(service.clone());
                } else {
                    self.sick.push((lasting.clone(), command.clone()));
                }
                return Some(self.by_health(command));
            }
            Fault::Abort => self.tell(&Event::AbortRequested { by: "someone".into(), reason: None }),
            Fault::OldLeaks => self.leaks(Slot::OLD),
            Fault::NewLeaks => self.leaks(self.run.r.target),
            Fault::SomeoneDeletesNew => {
                let new = self.run.r.new_version().and_then(|v| v.id.clone());
                let gone = new.and_then(|id| self.run.world.versions.remove(&id));
                self.meddled(gone.is_some());
            }
            Fault::SomeoneEdits => {
                let entry = self.run.world.entries.keys().next().cloned();
                let edited = entry.zip(VersionId::new("someone-elses").ok());
                self.meddled(edited.is_some());
                if let Some((entry, value)) = edited {
                    self.run.world.entries.insert(entry, value);
                }
            }
            Fault::Restarts => {
                let read: Vec<_> = self.run.r.plan.services.iter().map(|(s, p)| (s.clone(), p.entry.clone())).collect();
                for (service, entry) in read {
                    if let Some(held) = self.run.world.entries.get(&entry).cloned() {
                        self.run.world.services.insert(service, held);
                    }
                }
            }
        }
        Some(sound)
    }

    fn tell(&mut self, event: &Event) {
        self.impossible |= self.run.tell(event).is_err();
    }

    fn leaks(&mut self, slot: Slot) {
        let known = self.run.r.versions.get(&slot).is_some_and(|v| v.id.is_some() && !v.compromised);
        self.impossible |= !known || self.run.leak(slot, LEAK).is_err();
    }

    fn meddled(&mut self, could: bool) {
        self.impossible |= !could;
        self.run.world.meddled = true;
    }

    /// How a call is answered by what is broken for good.
    fn by_health(&self, command: &Command) -> Answer {
        let hit = self.sick.iter().any(|(lasting, at)| match lasting {
            Lasting::Call => command == at,
            Lasting::Provider => command.slot_changed().is_some() || *command == Command::ListVersions,
            Lasting::Store(store) => match command {
                Command::CheckWritable(e) | Command::ReadEntry(e) | Command::Write(e, _) => {
                    self.run.r.plan.entries.get(e).is_some_and(|e| e.store == *store)
                }
                _ => false,
            },
            Lasting::Mail => command.is_mail() || *command == Command::Control,
            Lasting::NewMail => match command {
                Command::Auth(slot) => !slot.is_old(),
                Command::Probe(e) => self.run.world.entries.get(e) != Some(&self.run.r.plan.old.id),
                Command::TestSend(s) => self.run.world.services.get(s) != Some(&self.run.r.plan.old.id),
                _ => false,
            },
            Lasting::DeafService(_) => false,
        });
        if hit { Answer::NotDone(FaultClass::Temporary) } else { Answer::Well }
    }

    /// What earlier owners left in the air lands at its last moment.
    fn land(&mut self, until: Millis) {
        while let Some((index, at)) =
            self.run.late.iter().enumerate().map(|(i, l)| (i, l.until)).filter(|(_, t)| *t <= until).min_by_key(|(_, t)| *t)
        {
            self.run.now = self.run.now.max(at);
            self.run.land_late(index);
        }
    }

    fn note_dark(&mut self, before: Millis) {
        let passed = self.run.now.since(before);
        for service in self.run.world.shut_out() {
            let span = self.dark.entry(service).or_default();
            span.0 = span.0.saturating_add(passed.0);
        }
    }

    fn finding(self) -> Finding {
        let run = self.run;
        let lasting = run.world.shut_out();
        let resting = matches!(run.r.phase, Phase::Stuck { .. } | Phase::Ended(_));
        let mut broken = run.wrong().to_vec();
        // What shuts a compromised version out is tried for as long as it takes; everything else comes to an end.
        let trying = run.r.must_contain() && run.world.accepted(&run.r.plan.old.id);
        if !resting && broken.is_empty() && !trying {
            broken.push("L1: it does not come to an end".to_owned());
        }
        let ends = match run.r.phase {
            _ if !broken.is_empty() => Ends::Broken,
            Phase::Ended(Ending::Done) => Ends::Done,
            Phase::Ended(Ending::RolledBack) => Ends::RolledBack,
            Phase::Ended(Ending::Refused) => Ends::Refused,
            _ => Ends::Stuck,
        };
        let outages = self
            .dark
            .into_iter()
            .map(|(service, span)| Outage { lasting: lasting.contains(&service), service, span })
            .filter(|o| o.span.0 > 0 || o.lasting)
            .collect();
        Finding {
            happened: !self.impossible && self.next == self.cases.len(),
            cases: self.cases.to_vec(),
            ends,
            outages,
            took: run.now.since(run.r.started_at),
            uncontained: trying,
            failure: run.r.failure.as_ref().map(|f| f.fault.message.clone()),
            todo: match ends {
                Ends::Stuck if !resting => {
                    vec!["mend what gives no answer: until then it is tried again and again".to_owned()]
                }
                Ends::Stuck => run.todo,
                _ => Vec::new(),
            },
            broken,
        }
    }
}

fn impossible(cases: &[Case], why: &str) -> Finding {
    Finding {
        cases: cases.to_vec(),
        happened: true,
        ends: Ends::Broken,
        outages: Vec::new(),
        took: Span(0),
        uncontained: false,
        failure: Some(why.to_owned()),
        todo: Vec::new(),
        broken: vec![why.to_owned()],
    }
}
