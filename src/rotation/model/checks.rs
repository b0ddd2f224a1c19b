//! The rules of safety.md as the world sees them. They look at what is true, not at what the machine believes.

use super::run::{Run, Turn};
use super::world::{Issued, first_id};
use crate::command::Command;
use crate::event::{Ending, Event};
use crate::invariant::unclean_end;
use crate::name::VersionId;
use crate::plan::Shape;
use crate::playbook::Step;
use crate::state::{Live, Phase};

impl Run {
    fn old(&self) -> VersionId {
        first_id(&self.r.plan)
    }

    /// S1: outside of a leak and of a change in place, the login that each service presents is accepted, always.
    pub(super) fn check_world(&mut self) {
        if self.r.is_leak() || self.world.in_place || self.world.meddled {
            return;
        }
        if let Some(service) = self.world.shut_out().into_iter().next() {
            self.broken(format!("S1: {service} uses a login that is refused, at step {}", self.r.step));
        }
    }

    /// S29: a wait is never shortened. L5: nothing goes on as if a leak's deadline were not due.
    pub(super) fn check_event(&mut self, event: &Event) {
        let Event::StepFinished { step } = event else { return };
        let (Some(Step::Soak { lasting } | Step::Watch { lasting }), Some(began)) =
            (self.r.plan.playbook.steps.get(*step), self.r.step_started)
        else {
            return;
        };
        let gone = self.r.old().live == Live::Deleted && self.r.shape() != Shape::InPlace;
        if self.now < began.after(*lasting) && !self.r.containing && !gone {
            self.broken(format!("S29: step {step} ends {} early", began.after(*lasting).since(self.now)));
        }
    }

    /// S7: no effect is started on what a call of an earlier owner may still change. Shutting out a compromised version, which
    /// nothing may reverse, needs no such wait.
    pub(super) fn check_start(&mut self, command: &Command) {
        // P: everything that must be there was looked at before anything changes.
        let least = 2 + 2 * self.r.plan.entries.len();
        if command.is_effect() && !self.r.is_leak() && self.looks < least {
            self.broken(format!("P: `{command}` is started after {} looks", self.looks));
        }
        let contains = self.r.is_leak()
            && matches!(command, Command::Disable(slot) | Command::Delete(slot) if self.r.versions.get(slot).is_some_and(|v| v.compromised));
        if contains {
            return;
        }
        let same = |other: &Command| match (command, other) {
            (Command::Write(a, _), Command::Write(b, _)) => a == b,
            (a, b) => a.slot_changed().is_some() && a.slot_changed() == b.slot_changed(),
        };
        if let Some(late) = self.late.iter().find(|l| l.until > self.now && same(&l.issued.command)) {
            let earlier = late.issued.command.clone();
            self.broken(format!("S7: `{command}` is started while `{earlier}` of an earlier owner may still land"));
        }
    }

    /// S11: when the old version is retired, everything that can prove what it uses does use another one.
    pub(super) fn check_effect(&mut self, issued: &Issued) {
        let retires = matches!(&issued.command, Command::Disable(slot) | Command::Delete(slot) if slot.is_old());
        if !retires || self.r.is_leak() || self.world.meddled {
            return;
        }
        let old = self.old();
        let behind = self
            .r
            .plan
            .services
            .iter()
            .find(|(name, plan)| plan.can_prove() && self.world.services.get(*name) == Some(&old));
        if let Some((name, _)) = behind {
            self.broken(format!("S11: the old version is retired while {name} uses it"));
        }
        if let Some((name, _)) = self.world.entries.iter().find(|(_, v)| **v == old) {
            self.broken(format!("S11: the old version is retired while {name} holds it"));
        }
    }

    /// L2: there is something to wait for. L5: from its deadline on a compromised version is being shut out, or is tried again
    /// soon, and nothing rests while it is accepted.
    pub(super) fn check_turn(&mut self, turn: &Turn) {
        let wakes = match turn {
            Turn::Wait { until: None, person: None } => {
                self.broken("L2: there is nothing to do and nothing to wait for");
                return;
            }
            Turn::Wait { until, .. } => *until,
            Turn::Rest => None,
            _ => return,
        };
        let by_person = self.r.shape() == Shape::Manual;
        let due = self.r.is_leak() && self.r.contain_by.is_some_and(|t| self.now >= t) && self.r.ended().is_none();
        if !due || by_person || matches!(self.r.old().live, Live::Inactive | Live::Deleted) {
            return;
        }
        let soon = self.now.after(self.r.plan.policy.backoff_most).after(self.r.plan.facts.propagation);
        if wakes.is_none_or(|t| t > soon) {
            self.broken("L5: the deadline has passed and nothing shuts the compromised version out");
        }
    }

    /// S4, S18, L5: a rest is what it says it is.
    pub(super) fn check_rest(&mut self) {
        let old = self.old();
        for line in unclean_end(&self.r) {
            self.broken(line);
        }
        match self.r.phase {
            Phase::Ended(Ending::Done) if self.r.new_version().is_some_and(|v| v.compromised) && !self.r.no_return => {
                self.broken("S19: done with a version that others know");
            }
            Phase::Ended(Ending::Done) if !self.world.meddled => {
                let new = self.r.new_version().and_then(|v| v.id.clone());
                if Some(self.world.active()) != new.clone().map(|v| vec![v]) {
                    self.broken("S4: done, and another version than the new one is accepted");
                }
                if self.world.versions.len() > 1 + usize::from(self.world.versions.contains_key(&old)) {
                    self.broken("L3: done, and an orphan is left");
                }
                if self.world.entries.values().any(|v| Some(v) != new.as_ref()) {
                    self.broken("S4: done, and an entry was left behind");
                }
                if self.world.services.values().any(|v| Some(v) != new.as_ref()) {
                    self.broken("S4: done, and a service was left behind");
                }
            }
            Phase::Ended(Ending::RolledBack | Ending::Refused) if !self.world.meddled => {
                if self.world.active() != [old.clone()] {
                    self.broken("S4: rolled back, and not only the old version is accepted");
                }
                if !self.world.in_place && self.world.versions.len() != 1 {
                    self.broken("L3: rolled back, and an orphan is left");
                }
                if self.world.entries.values().any(|v| *v != old) {
                    self.broken("S4: rolled back, and an entry was left behind");
                }
                if self.world.services.values().any(|v| *v != old) {
                    self.broken("S4: rolled back, and a service was left behind");
                }
            }
            Phase::Stuck { .. } if self.todo.is_empty() => self.broken("S18: stuck without a word on what to do"),
            _ => {}
        }
        if let Some(end) = self.r.ended()
            && end != Ending::Done
            && self.r.is_leak()
            && self.r.has_changed_anything()
        {
            self.broken("L5: a leak ends without a new version");
        }
    }
}
