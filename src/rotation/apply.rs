//! `apply`: the only way state changes. Total over (state, event): an event that has no place is a typed error, and then
//! nothing has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::command::{Command, Fact};
use crate::event::{Ending, Event, FailureKind};
use crate::invariant::{permit, unclean_end};
use crate::learn;
use crate::mutant::{Mutant, broken};
use crate::name::{ServiceName, Slot};
use crate::outcome::{Fault, FaultClass, Outcome};
use crate::plan::Shape;
use crate::playbook::Step;
use crate::state::{EntryState, Flight, Live, Phase, Rotation, ServiceState, Tries, Version};
use crate::time::Millis;

/// An event that has no place in the state it met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event `{event}` has no place here: {why}")]
pub struct Illegal {
    /// The event's name.
    pub event: &'static str,
    /// Why.
    pub why: String,
}

fn illegal<T>(event: &'static str, why: impl Into<String>) -> Result<T, Illegal> {
    Err(Illegal { event, why: why.into() })
}

/// Folds the events of one rotation, each with its time.
///
/// # Errors
/// The first event that has no place, with its position from 0 (safety.md S28: the caller halts).
pub fn fold<'a>(events: impl IntoIterator<Item = (Millis, &'a Event)>) -> Result<Rotation, (usize, Illegal)> {
    let mut events = events.into_iter().enumerate();
    let Some((_, (at, first))) = events.next() else {
        return Err((0, Illegal { event: "none", why: "the journal has no events of this rotation".into() }));
    };
    let mut rotation = Rotation::begin(at, first).map_err(|e| (0, e))?;
    for (position, (at, event)) in events {
        rotation.apply(at, event).map_err(|e| (position, e))?;
    }
    Ok(rotation)
}

/// Whether a version that a list did not show may be there after this. To disable or delete brings nothing back: what is tried
/// for ever on a version that is gone must not undo the evidence that it is gone.
fn may_bring_back(command: &Command) -> bool {
    !matches!(command, Command::Disable(_) | Command::Delete(_))
}

impl Rotation {
    /// The state after the first event.
    ///
    /// # Errors
    /// If it is not `Started`.
    pub fn begin(at: Millis, event: &Event) -> Result<Self, Illegal> {
        let Event::Started { rotation, plan, old_sealed, .. } = event else {
            return illegal("first", "a rotation begins with `started`");
        };
        let old = Version {
            id: Some(plan.old.id.clone()),
            username: Some(plan.old.username.clone()),
            fingerprint: plan.old.fingerprint.clone(),
            live: Live::Active,
            sealed: *old_sealed,
            compromised: plan.compromised,
            ..Version::fresh(Millis(0))
        };
        let entry = EntryState { holds: None, touched: false, quiet_until: Millis(0), probes: 0, probed: Slot::OLD };
        let service = ServiceState { touched: false, reloading: None, reloaded: None, presents: None, sends: 0 };
        Ok(Self {
            id: rotation.clone(),
            started_at: at,
            at,
            phase: Phase::Forward,
            step: 0,
            step_started: None,
            target: Slot::OLD,
            versions: BTreeMap::from([(Slot::OLD, old)]),
            entries: plan.entries.keys().map(|n| (n.clone(), entry.clone())).collect(),
            services: plan.services.keys().map(|n| (n.clone(), service.clone())).collect(),
            flights: BTreeMap::new(),
            next_effect: 1,
            tries: BTreeMap::new(),
            passed: BTreeSet::new(),
            sampled: BTreeMap::new(),
            control: None,
            approved: BTreeSet::new(),
            abort: None,
            contain_by: plan.containment_deadline().map(|span| at.after(span)),
            containing: false,
            failure: None,
            no_return: false,
            plan: Arc::new(plan.as_ref().clone()),
        })
    }

    /// Applies one event that happened at `at`.
    ///
    /// # Errors
    /// If the event has no place here; then nothing has changed.
    pub fn apply(&mut self, at: Millis, event: &Event) -> Result<(), Illegal> {
        if let Phase::Ended(_) = self.phase {
            return illegal("any", "the rotation has ended");
        }
        let at = at.max(self.at);
        match event {
            Event::Started { .. } => return illegal("started", "the rotation has begun already"),
            Event::Claimed { proven_dead, .. } => self.interrupt(at, *proven_dead),
            Event::StepStarted { step } => {
                if *step != self.step || self.step_started.is_some() || self.current_step().is_none() {
                    return illegal("step-started", format!("step {step} is not next"));
                }
                self.step_started = Some(at);
                self.clear_step();
            }
            Event::StepFinished { step } => {
                if *step != self.step || self.step_started.is_none() {
                    return illegal("step-finished", format!("step {step} is not under way"));
                }
                self.step += 1;
                self.step_started = None;
            }
            Event::SlotOpened { slot } => {
                if slot.0 != self.target.0.saturating_add(1) {
                    return illegal("slot-opened", format!("{slot:?} does not follow {:?}", self.target));
                }
                self.versions.insert(*slot, Version::fresh(at));
                self.target = *slot;
                self.tries.clear();
            }
            Event::Intended { effect, command, deadline } => {
                if !broken(Mutant::NoPermit) {
                    permit(self, *effect, command)?;
                }
                self.intend(*effect, command, *deadline);
            }
            Event::Settled { effect, command, began, outcome } => self.settle(at, *effect, command, *began, outcome)?,
            Event::AbortRequested { reason, by } => {
                if self.no_return {
                    return illegal("abort-requested", "the old version is being deleted: there is no way back");
                }
                if self.is_leak() && self.has_changed_anything() && !broken(Mutant::LeakRollsBack) {
                    return illegal("abort-requested", "a compromised version is never put back: it only goes forward");
                }
                let why = reason.as_deref().unwrap_or("no reason given");
                self.abort = Some(Fault::new(FaultClass::Permanent, "HO0420", format!("{by} asked to stop: {why}")));
                if let Phase::Stuck { .. } = self.phase {
                    self.phase = Phase::Forward;
                    self.clear_step();
                }
            }
            Event::Approved { step, .. } => {
                if !matches!(self.plan.playbook.steps.get(*step), Some(Step::Approve { .. })) {
                    return illegal("approved", format!("step {step} is not a gate"));
                }
                self.approved.insert(*step);
            }
            Event::Supplied { slot, fact, .. } => {
                let asked = self.shape() == Shape::Manual && *slot == self.target && !slot.is_old();
                if !asked || self.new_version().is_none_or(|v| v.live != Live::Absent || v.sealed) {
                    return illegal("supplied", "no version is asked for");
                }
                learn::learn(self, at, at, &Command::Create(*slot), fact);
            }
            Event::TaskDone { command: Command::Reload(name), .. } => {
                if !self.is_reloaded_by_hand(name) {
                    return illegal("task-done", "nobody is asked to restart it");
                }
                // What they did, and how well, shows when it is asked: from now on it may present either version.
                self.begin_reload(name);
                learn::learn(self, at, at, &Command::Reload(name.clone()), &Fact::Done);
            }
            Event::TaskDone { command, .. } => {
                let version = command.slot_changed().and_then(|slot| self.versions.get(&slot));
                let asked = self.shape() == Shape::Manual && !matches!(command, Command::Create(_));
                if !asked || version.is_none_or(|v| v.id.is_none()) {
                    return illegal("task-done", "nobody is asked for it");
                }
                if let (false, Some(slot)) = (broken(Mutant::TaskForgotten), command.slot_changed())
                    && let Some(version) = self.versions.get_mut(&slot)
                {
                    version.disable_intended |= matches!(command, Command::Disable(_) | Command::Delete(_));
                    version.delete_intended |= matches!(command, Command::Delete(_));
                    self.no_return |= matches!(command, Command::Delete(_)) && slot.is_old();
                }
                learn::learn(self, at, at, command, &Fact::Done);
            }
            Event::Compromised { slot, within, .. } => {
                let due = at.after(*within);
                let Some(version) = self.versions.get_mut(slot) else {
                    return illegal("compromised", "no such version");
                };
                version.compromised = true;
                if slot.is_old() {
                    self.contain_by = Some(self.contain_by.map_or(due, |t| t.min(due)));
                    self.turn_round();
                }
            }
            Event::ContainmentBegan { .. } => {
                if !self.is_leak() {
                    return illegal("containment-began", "the old version is not compromised");
                }
                self.containing = true;
            }
            Event::RollbackStarted { failure } => {
                let leak = self.is_leak() && !broken(Mutant::LeakRollsBack);
                if self.phase != Phase::Forward || leak && self.has_changed_anything() || self.no_return {
                    return illegal("rollback-started", "there is no way back from here");
                }
                self.failure = Some(failure.clone());
                self.phase = Phase::RollingBack;
                self.clear_step();
            }
            Event::Stuck { failure, .. } => {
                let rolling_back = self.phase == Phase::RollingBack;
                if !rolling_back || failure.kind != FailureKind::Abort {
                    self.failure = Some(failure.clone());
                }
                self.phase = Phase::Stuck { rolling_back };
            }
            Event::Resumed { .. } => {
                let Phase::Stuck { rolling_back } = self.phase else {
                    return illegal("resumed", "it is not stuck");
                };
                // Without a list, that the login is refused whatever a person says is all that tells.
                let refused = self.shape() == Shape::Manual && crate::word::is_refused_for_good(self.old());
                let gone = rolling_back && (self.old().live == Live::Deleted || refused);
                // Someone has deleted the new version when the old one could not come back any more.
                let lost = self.no_return && self.new_version().is_some_and(|v| v.live == Live::Deleted);
                self.phase = if rolling_back && !gone { Phase::RollingBack } else { Phase::Forward };
                if gone || lost {
                    // Nothing is left to go back to. Steps ask only for what is missing, so they can be entered again.
                    let generate = self.plan.playbook.steps.iter().position(|s| matches!(s, Step::Generate));
                    self.step = generate.unwrap_or(self.step);
                    self.step_started = None;
                    self.abort = None;
                    // What a person has seen was another version.
                    self.approved.clear();
                }
                self.clear_step();
                self.look_again();
            }
            Event::Finished { ending } => {
                if !self.flights.is_empty() {
                    return illegal("finished", "an effect has no outcome yet");
                }
                if *ending == Ending::Refused && self.has_changed_anything() {
                    return illegal("finished", "something was changed: it cannot end as refused");
                }
                let before = std::mem::replace(&mut self.phase, Phase::Ended(*ending));
                if let Some(first) = unclean_end(self).into_iter().next() {
                    self.phase = before;
                    return illegal("finished", first);
                }
            }
        }
        self.at = at;
        Ok(())
    }

    /// The old version is compromised: it is not put back any more, and being stuck is no reason to leave it alive. Forward,
    /// where it was being put back again from where the new version is made: what the steps have already is not done again.
    fn turn_round(&mut self) {
        let rolling_back = match self.phase {
            Phase::RollingBack => true,
            Phase::Stuck { rolling_back } => rolling_back,
            _ => return,
        };
        self.phase = Phase::Forward;
        self.clear_step();
        if !rolling_back {
            return;
        }
        let generate = self.plan.playbook.steps.iter().position(|s| matches!(s, Step::Generate));
        if let Some(generate) = generate.filter(|at| *at < self.step) {
            self.step = generate;
            self.step_started = None;
        }
    }

    fn clear_step(&mut self) {
        self.tries.clear();
        self.passed.clear();
        self.control = None;
    }

    /// What a person may have mended is looked at afresh: an entry that someone else had changed is read again, and a service
    /// that did not present what it was to read is reloaded once more.
    fn look_again(&mut self) {
        for entry in self.entries.values_mut() {
            if matches!(entry.holds, Some(crate::command::Which::Foreign | crate::command::Which::Nothing)) {
                entry.holds = None;
            }
        }
        for (name, service) in &mut self.services {
            let asked = self.plan.services.get(name).is_some_and(|p| p.attest);
            if asked && service.presents != service.reloaded.map(crate::command::Which::Slot) {
                service.reloaded = None;
            }
        }
    }

    /// A take-over: what was under way is in doubt, and looks count only when nothing of it can land any more (S7).
    fn interrupt(&mut self, at: Millis, proven_dead: bool) {
        for flight in std::mem::take(&mut self.flights).into_values() {
            if broken(Mutant::FlightForgotten) {
                self.forget(&flight);
                continue;
            }
            let quiet_from = if proven_dead || broken(Mutant::PausedIsDead) { at } else { at.max(flight.deadline) };
            self.doubt(&flight.command, quiet_from);
        }
    }

    /// For breaks only: the effect counts as not done.
    fn forget(&mut self, flight: &Flight) {
        if let (Some(slot), Some(before)) = (flight.command.slot_changed(), flight.before)
            && let Some(version) = self.versions.get_mut(&slot)
        {
            version.live = before;
        }
    }

    fn doubt(&mut self, command: &Command, from: Millis) {
        let landing = if broken(Mutant::NoQuiescence) { crate::time::Span(0) } else { self.landing() };
        if let Some(slot) = command.slot_changed()
            && let Some(version) = self.versions.get_mut(&slot)
        {
            version.live = Live::Doubt;
            if may_bring_back(command) {
                version.absent_since = None;
            }
            version.quiet_until = version.quiet_until.max(from.after(landing));
            if let Command::Create(_) = command {
                version.made_at = Some(version.quiet_until);
            }
        }
        // In place there is one password: setting the old one again may have done away with the new one.
        if matches!(command, Command::Enable(_)) && self.shape() == Shape::InPlace {
            for version in self.versions.values_mut().filter(|v| matches!(v.live, Live::Active | Live::Inactive)) {
                version.live = Live::Doubt;
                version.absent_since = None;
                version.quiet_until = version.quiet_until.max(from.after(landing));
            }
        }
        if let Command::Write(name, _) = command {
            let landing = self.plan.entries.get(name).map(|e| e.landing).unwrap_or_default();
            if let Some(entry) = self.entries.get_mut(name) {
                entry.holds = None;
                entry.quiet_until = entry.quiet_until.max(from.after(landing));
            }
        }
    }

    fn intend(&mut self, effect: u32, command: &Command, deadline: Millis) {
        let mut before = None;
        if let Some(slot) = command.slot_changed()
            && let Some(version) = self.versions.get_mut(&slot)
        {
            before = Some(version.live);
            version.live = Live::Doubt;
            if may_bring_back(command) {
                version.absent_since = None;
            }
            version.disable_intended |= matches!(command, Command::Disable(_) | Command::Delete(_));
            version.delete_intended |= matches!(command, Command::Delete(_));
        }
        match command {
            // A secret of our own choice was sealed together with this intent: it is not lost with the call (S5).
            Command::Create(slot) if self.plan.facts.chooses_secret => {
                if let Some(version) = self.versions.get_mut(slot) {
                    version.sealed = true;
                }
            }
            Command::Write(name, _) => {
                if let Some(entry) = self.entries.get_mut(name) {
                    entry.touched = true;
                    entry.holds = None;
                    entry.probes = 0;
                }
                for (service, plan) in &self.plan.services {
                    if plan.entry == *name
                        && let Some(state) = self.services.get_mut(service)
                    {
                        *state = ServiceState {
                            touched: state.touched,
                            reloading: None,
                            reloaded: None,
                            presents: None,
                            sends: 0,
                        };
                    }
                }
            }
            Command::Reload(name) => self.begin_reload(name),
            Command::Delete(slot) if slot.is_old() => self.no_return = true,
            _ => {}
        }
        self.flights.insert(effect, Flight { command: command.clone(), deadline, before });
        self.next_effect = effect + 1;
    }

    /// The service is about to read what its entry holds.
    fn begin_reload(&mut self, name: &ServiceName) {
        let holds = self.plan.services.get(name).and_then(|p| self.entries.get(&p.entry)).and_then(|e| e.holds);
        if let Some(service) = self.services.get_mut(name) {
            let reloading = match holds {
                Some(crate::command::Which::Slot(slot)) => Some(slot),
                _ => None,
            };
            *service = ServiceState { touched: true, reloading, reloaded: None, presents: None, sends: 0 };
        }
    }

    fn settle(
        &mut self,
        at: Millis,
        effect: Option<u32>,
        command: &Command,
        began: Millis,
        outcome: &Outcome<Fact>,
    ) -> Result<(), Illegal> {
        let flight = match effect {
            None if command.is_effect() => return illegal("settled", format!("`{command}` had no intent")),
            None => None,
            Some(number) => match self.flights.get(&number) {
                Some(flight) if flight.command == *command => self.flights.remove(&number),
                _ => return illegal("settled", format!("effect {number} is not under way")),
            },
        };
        self.count_refusals(command, outcome);
        match outcome {
            Outcome::Done(fact) => {
                learn::learn(self, at, began, command, fact);
                match crate::judge::judge(self, command, fact) {
                    Ok(()) => {
                        self.tries.remove(command);
                        self.passed.insert(command.clone());
                        self.sampled.insert(command.clone(), began);
                    }
                    Err(fault) => {
                        self.sampled.insert(command.clone(), began);
                        self.fail(at, began, command, &fault);
                    }
                }
            }
            Outcome::Unknown(_) if broken(Mutant::LostWriteIsDone) && matches!(command, Command::Write(..)) => {
                if let Command::Write(name, slot) = command
                    && let Some(entry) = self.entries.get_mut(name)
                {
                    entry.holds = Some(crate::command::Which::Slot(*slot));
                }
            }
            Outcome::Unknown(fault) if broken(Mutant::TimeoutIsFailure) => {
                if let Some(flight) = &flight {
                    self.forget(flight);
                }
                self.fail(at, began, command, fault);
            }
            Outcome::NotDone(fault) => {
                if let (Some(slot), Some(Flight { before: Some(before), .. })) = (command.slot_changed(), &flight)
                    && let Some(version) = self.versions.get_mut(&slot)
                    && version.live == Live::Doubt
                {
                    version.live = *before;
                }
                self.fail(at, began, command, fault);
            }
            Outcome::Unknown(fault) => {
                self.doubt(command, at);
                self.fail(at, began, command, fault);
            }
        }
        Ok(())
    }

    /// Refused logins in a row, counted for the login name: that is what a server locks (IP4).
    fn count_refusals(&mut self, command: &Command, outcome: &Outcome<Fact>) {
        let accepted = match outcome {
            Outcome::Done(Fact::Login { accepted, .. }) => *accepted,
            Outcome::Done(Fact::Mailed { .. }) => true,
            Outcome::NotDone(fault) | Outcome::Unknown(fault) if fault.class == FaultClass::Credential => false,
            _ => return,
        };
        let Some(slot) = self.logs_in(command) else { return };
        let name = self.versions.get(&slot).and_then(|v| v.username.clone());
        for (other, version) in &mut self.versions {
            if *other == slot || name.is_some() && version.username == name {
                version.refusals = if accepted { 0 } else { version.refusals.saturating_add(1) };
            }
        }
    }

    fn fail(&mut self, at: Millis, began: Millis, command: &Command, fault: &Fault) {
        match command {
            Command::Probe(name) => {
                if let Some(entry) = self.entries.get_mut(name) {
                    entry.probes = 0;
                }
            }
            Command::TestSend(name) => {
                if let Some(service) = self.services.get_mut(name) {
                    service.sends = 0;
                }
            }
            Command::Control => self.control = Some((at, false)),
            _ => {}
        }
        self.passed.remove(command);
        let tries = self.tries.entry(command.clone()).or_insert(Tries {
            count: 0,
            first: at,
            began,
            last: at,
            fault: fault.clone(),
        });
        tries.count = tries.count.saturating_add(1);
        tries.began = began;
        tries.last = at;
        tries.fault = fault.clone();
    }
}
