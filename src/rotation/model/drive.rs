//! What drives a run without choosing anything: everything is written and started, and a sound owner goes on to the end.

use super::run::{Answer, Run, Turn};
use crate::command::{Command, Fact};
use crate::decide::Wanted;
use crate::event::Event;
use crate::name::Slot;
use crate::outcome::Outcome;

/// More moves than any run without faults needs: past them it will not end.
const MOST_MOVES: usize = 5_000;

impl Run {
    /// Writes and starts whatever the machine asks for, until it is its world's turn.
    pub fn go(&mut self) -> Turn {
        // Two decisions in a row without a call in between are few; a machine that only ever records is broken.
        for _ in 0..100 {
            match self.turn() {
                Turn::Record(events) => self.record(&events),
                Turn::Start(commands) => {
                    if self.start(commands) == 0 {
                        return Turn::Rest;
                    }
                }
                other => {
                    self.check_turn(&other);
                    return other;
                }
            }
            if !self.wrong().is_empty() {
                return Turn::Rest;
            }
        }
        self.broken("L1: the machine records events without end");
        Turn::Rest
    }

    /// Goes on without faults until it rests, with people who do what they are asked. What may still land lands at its last
    /// moment. Whoever owned it before is dead.
    pub fn finish(&mut self) {
        if !self.owned {
            self.claim();
        }
        for _ in 0..MOST_MOVES {
            match self.go() {
                Turn::Busy => self.answer(0, Answer::Well),
                Turn::Wait { until, person } => {
                    if let Some(wanted) = person
                        && self.person_acts(&wanted, true)
                    {
                        continue;
                    }
                    let lands = self.late.iter().enumerate().min_by_key(|(_, l)| l.until).map(|(i, l)| (i, l.until));
                    match (until, lands) {
                        (Some(until), Some((index, at))) if at <= until => {
                            self.now = self.now.max(at);
                            self.land_late(index);
                        }
                        (Some(until), _) => self.wait(until),
                        (None, _) => {
                            self.broken("L2: there is nothing to do and nothing to wait for");
                            return;
                        }
                    }
                }
                _ => return,
            }
            if !self.wrong().is_empty() {
                return;
            }
        }
        let r = &self.r;
        let wrong = format!("L1: it does not end: {:?} at step {}, tried {:?}", r.phase, r.step, r.tries.keys());
        self.broken(wrong);
    }

    /// A person does what they are asked, or only says so. False if that has no place now.
    pub fn person_acts(&mut self, wanted: &Wanted, honest: bool) -> bool {
        let by = "someone".to_owned();
        let event = match wanted {
            Wanted::Approval(step) => Event::Approved { step: *step, by },
            Wanted::Task(command) => {
                let issued = super::Issued::new(&self.r, command);
                let outcome = if honest { self.act(&issued) } else { Outcome::Done(Fact::Done) };
                match (command, outcome) {
                    (Command::Create(slot), Outcome::Done(fact)) => {
                        if let Fact::Created { id, .. } = &fact {
                            self.sealed.insert(id.clone());
                        }
                        Event::Supplied { slot: *slot, fact, by: None }
                    }
                    (Command::Create(_), _) => return false,
                    (_, Outcome::Done(_)) => Event::TaskDone { command: command.clone(), by },
                    _ => return false,
                }
            }
        };
        self.now = self.now.after(super::TICK);
        self.tell(&event).is_ok()
    }

    /// An alert: a version is known to others and must be dead within the span.
    ///
    /// # Errors
    /// There is no such version.
    pub fn leak(&mut self, slot: Slot, within: crate::time::Span) -> Result<(), crate::apply::Illegal> {
        self.tell(&Event::Compromised { slot, within, source: "model".into() })
    }
}
