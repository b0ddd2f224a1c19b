//! The rules of safety.md as the world sees them. They look at what is true, not at what the machine believes.

use std::collections::BTreeMap;

use super::run::{Run, Turn};
use super::world::{Issued, Real, first_id};
use crate::command::{Command, Which};
use crate::event::{Ending, Event};
use crate::invariant::unclean_end;
use crate::name::{Slot, VersionId};
use crate::plan::Shape;
use crate::playbook::Step;
use crate::state::{Live, Phase, Version};

impl Run {
    fn old(&self) -> VersionId {
        first_id(&self.r.plan)
    }

    /// S1: outside of a leak and of a change in place, the login that each service presents is accepted, always.
    pub(super) fn check_world(&mut self) {
        if self.r.is_leak() || self.world.in_place || self.world.meddled {
            return;
        }
        if let Some(service) = self.world.shut_out().into_iter().find(|s| !self.world.is_unseen(s)) {
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
        // S6: of two calls on one thing, nobody could say which came first.
        let alike = |other: &Command| match (command, other) {
            (Command::Write(a, _), Command::Write(b, _)) => a == b,
            (a, b) => a == b || a.slot_changed().is_some() && a.slot_changed() == b.slot_changed(),
        };
        if let Some(other) = self.calls.iter().find(|c| command.is_effect() && alike(&c.command)) {
            let other = other.command.clone();
            self.broken(format!("S6: `{command}` is started while `{other}` is under way"));
        }
        // S12: what someone else has written is theirs.
        if let Command::Write(entry, _) = command
            && self.r.entries.get(entry).is_some_and(|e| e.holds == Some(Which::Foreign))
        {
            self.broken(format!("S12: `{command}` is started where someone else's value was read"));
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

    /// S8: what has no certain outcome is in doubt, and nothing else.
    pub(super) fn check_doubt(&mut self, command: &Command) {
        let known = match command {
            Command::Write(entry, _) => self.r.entries.get(entry).is_some_and(|e| e.holds.is_some()),
            other => {
                let version = other.slot_changed().and_then(|slot| self.r.versions.get(&slot));
                version.is_some_and(|v| v.live != Live::Doubt)
            }
        };
        if known {
            self.broken(format!("S8: `{command}` had no certain outcome, and counts as known"));
        }
    }

    /// S9: what is taken for absent is absent, and stays so: no call that makes it is in the air.
    pub(super) fn check_absence(&mut self, before: &BTreeMap<Slot, Version>) {
        let gone = |live: Live| matches!(live, Live::Absent | Live::Deleted);
        let turned =
            self.r.versions.iter().filter(|(slot, v)| gone(v.live) && before.get(slot).is_some_and(|b| !gone(b.live)));
        let wrong = turned.map(|(slot, _)| *slot).find(|slot| {
            let tag = self.r.tag(*slot);
            let there = |version: &Real| !slot.is_old() && !slot.is_stray() && version.tag.as_ref() == Some(&tag);
            let by_id = self.r.versions.get(slot).and_then(|v| v.id.as_ref());
            let present = match by_id {
                Some(id) => self.world.versions.contains_key(id),
                None => self.world.versions.values().any(there),
            };
            let coming = self.late.iter().any(|l| l.until > self.now && l.issued.command == Command::Create(*slot));
            (present || coming) && !self.world.in_place
        });
        if let Some(slot) = wrong.filter(|_| self.r.shape() != Shape::Manual) {
            self.broken(format!("S9: the {slot} version is taken for absent, and is there or may still come"));
        }
    }

    /// S5: nothing uses a version whose secret the journal does not have. S17: the new version goes when the old one works.
    fn check_use(&mut self, issued: &Issued) {
        let Some(version) = issued.version().cloned() else { return };
        // What is chosen here was sealed with the intent of the call that made it.
        let chosen = self.r.plan.facts.chooses_secret && version != self.old();
        match &issued.command {
            Command::Write(..) | Command::Auth(_) if !self.sealed.contains(&version) && !chosen => {
                self.broken(format!("S5: `{}` uses a version whose secret is not sealed", issued.command));
            }
            Command::Delete(slot) if !slot.is_old() && self.r.phase == Phase::RollingBack => {
                let sound = self.r.is_leak() || self.world.meddled || self.world.in_place;
                if !sound && !self.world.accepted(&self.old()) {
                    self.broken("S17: the new version is deleted while the old one is refused");
                }
            }
            _ => {}
        }
    }

    /// S11: when the old version is retired, everything that can prove what it uses does use another one.
    pub(super) fn check_effect(&mut self, issued: &Issued) {
        self.check_use(issued);
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
        // Who rests before the deadline is not woken by it.
        let rests = *turn == Turn::Rest;
        let due = self.r.is_leak() && self.r.contain_by.is_some_and(|t| rests || self.now >= t) && self.r.ended().is_none();
        if !due || by_person || matches!(self.r.old().live, Live::Inactive | Live::Deleted) {
            return;
        }
        let soon = self.now.after(self.r.plan.policy.backoff_most).after(self.r.plan.facts.propagation);
        if wakes.is_none_or(|t| t > soon) {
            self.broken("L5: the deadline has passed and nothing shuts the compromised version out");
        }
    }

    /// Whether a service uses another version than this one, and that could be seen.
    fn is_left_behind(&self, version: Option<&VersionId>) -> bool {
        let unseen = |name| self.world.is_unseen(name) && self.r.plan.services.get(name).is_some_and(|p| p.is_silent());
        self.world.services.iter().any(|(name, used)| Some(used) != version && !unseen(name))
    }

    /// S4, S18, L5: a rest is what it says it is.
    pub(super) fn check_rest(&mut self) {
        let old = self.old();
        for line in unclean_end(&self.r) {
            self.broken(line);
        }
        // L7: what is lost again and again is not made for ever. A leak has more patience.
        if self.world.created > if self.r.is_leak() { 16 } else { 4 } {
            self.broken(format!("L7: {} versions were made", self.world.created));
        }
        if self.r.ended() == Some(Ending::Done) && self.r.abort.is_some() && !self.r.is_leak() {
            self.broken("L9: done, although someone asked to stop");
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
                if self.is_left_behind(new.as_ref()) {
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
                if self.is_left_behind(Some(&old)) {
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
