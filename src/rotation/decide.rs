//! `decide`: what to do next. A function of the state and the time, and of nothing else.

use crate::command::{Command, Which};
use crate::contain;
use crate::event::{Ending, Event, Failure, FailureKind};
use crate::forward;
use crate::mutant::{Mutant, broken};
use crate::name::{ServiceName, Slot};
use crate::playbook::{OnFailure, Step};
use crate::progress::Progress;
use crate::state::{EntryState, Live, Phase, Rotation, ServiceState};
use crate::time::Millis;
use crate::todo::todo;
use crate::undo;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Record these events, in one transaction, and ask again.
    Record(Vec<Event>),
    /// Start what is not under way yet, then wait for an answer, a person, or the time.
    Act {
        /// What should be under way. Looks are not in the state, so the caller leaves out those that it has running.
        start: Vec<Command>,
        /// When to ask again at the latest.
        wake: Option<Millis>,
        /// What a person is asked to do, or the gate they are asked to open.
        person: Option<Wanted>,
    },
    /// Nothing: it has ended, or is stuck until a person acts.
    Rest,
}

/// What a person is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To open the gate of this step.
    Approval(usize),
    /// To do this at the provider (shape D), or to restart a service.
    Task(Command),
}

/// Says what to do next.
#[must_use]
pub fn decide(r: &Rotation, now: Millis) -> Decision {
    let now = now.max(r.at);
    match r.phase {
        Phase::Ended(_) => Decision::Rest,
        Phase::Stuck { .. } => stuck(r, now),
        Phase::RollingBack => rolling_back(r, now),
        Phase::Forward => going_forward(r, now),
    }
}

/// Stuck is a rest, but a compromised version is contained from every state (L5).
fn stuck(r: &Rotation, now: Millis) -> Decision {
    if broken(Mutant::StuckForgetsLeak) {
        return Decision::Rest;
    }
    if let Some(event) = contain::due(r, now) {
        return Decision::Record(vec![event]);
    }
    if r.containing {
        let progress = contain::disabled(r, now);
        if !progress.is_ready() {
            return act(r, progress);
        }
    } else if r.is_leak()
        && let Some(due) = r.contain_by
    {
        return Decision::Act { start: Vec::new(), wake: Some(due), person: None };
    }
    Decision::Rest
}

fn going_forward(r: &Rotation, now: Millis) -> Decision {
    // Who asked to stop before the old version leaked did not ask for a compromised version back.
    let stop = r.abort.as_ref().filter(|_| !(r.is_leak() && r.has_changed_anything()));
    let stop = stop.filter(|_| !broken(Mutant::AbortIgnored));
    if let Some(fault) = stop {
        let failure = Failure { kind: FailureKind::Abort, command: None, fault: fault.clone() };
        return Decision::Record(vec![Event::RollbackStarted { failure }]);
    }
    if let Some(event) = contain::due(r, now) {
        return Decision::Record(vec![event]);
    }
    let Some(step) = r.current_step() else { return finishing(r, now) };
    let Some(started) = r.step_started else {
        return Decision::Record(vec![Event::StepStarted { step: r.step }]);
    };
    // A new version that others know, or that is lost where losing is forgiven, is replaced by another.
    let creating = matches!(step, Step::Generate) || r.containing && r.step > 0 || r.is_leak() && has_generated(r);
    if creating && forward::needs_another(r) && r.flights.is_empty() {
        return Decision::Record(vec![Event::SlotOpened { slot: Slot(r.target.0 + 1) }]);
    }
    if let Some(failure) = compromised_target(r) {
        return fail(r, failure);
    }
    let progress = progress(r, step, started, now);
    if let Some(failure) = &progress.failed
        && (!r.containing || progress.is_hopeless())
    {
        return fail(r, failure.clone());
    }
    if progress.is_ready() {
        let mut events = vec![Event::StepFinished { step: r.step }];
        if r.step + 1 < r.plan.playbook.steps.len() {
            events.push(Event::StepStarted { step: r.step + 1 });
        }
        return Decision::Record(events);
    }
    act(r, progress)
}

fn progress(r: &Rotation, step: &Step, started: Millis, now: Millis) -> Progress {
    let own = forward::step(r, step, started, now);
    if !r.containing {
        return if is_replaced(r) {
            contain::moved(r, now).then(|| own)
        } else if is_put_back(r) {
            contain::moved_again(r, now).then(|| own)
        } else {
            own
        };
    }
    if matches!(step, Step::Deactivate | Step::Confirm | Step::Watch { .. } | Step::Delete)
        && (is_replaced(r) || is_put_back(r))
    {
        return contain::everything(r, now).then(|| forward::step(r, step, started, now));
    }
    match step {
        // Nothing waits for a look, a gate or a soak while the old version is being shut out.
        Step::Preflight => own.and(contain::disabled(r, now)),
        Step::Soak { .. } | Step::Approve { .. } => contain::everything(r, now),
        Step::Deactivate => contain::disabled(r, now),
        // The alert may come when a provider that cannot disable still has the old version, or after someone enabled it again.
        Step::Watch { .. } if broken(Mutant::WatchForgetsLeak) => own,
        Step::Confirm | Step::Watch { .. } | Step::Delete => {
            contain::disabled(r, now).then(|| forward::step(r, step, started, now))
        }
        Step::Generate | Step::Push { .. } | Step::Reload { .. } | Step::Verify { .. } => contain::everything(r, now),
    }
}

/// The new version is compromised while the old one is sound: back to the old one. Where that one is gone already, it ends, so
/// that a rotation under a leak playbook can begin.
fn compromised_target(r: &Rotation) -> Option<Failure> {
    use crate::outcome::{Fault, FaultClass};
    let new = r.new_version().filter(|_| !broken(Mutant::SpoiltIsKept))?;
    (new.compromised && !r.is_leak() && !r.no_return).then(|| Failure {
        kind: FailureKind::Target,
        command: None,
        fault: Fault::new(FaultClass::Permanent, "HO0427", "the new version is compromised".to_owned()),
    })
}

/// Whether the step that makes the new version is through.
fn has_generated(r: &Rotation) -> bool {
    r.plan.playbook.steps[..r.step].contains(&Step::Generate)
}

/// In a leak, a new version that had to be replaced late is moved to everywhere, whichever step noticed it.
fn is_replaced(r: &Rotation) -> bool {
    r.is_leak() && has_generated(r) && (r.target > Slot(1) || forward::needs_another(r) || forward::is_spoilt(r))
}

/// In a leak, what someone has put back to another version of this rotation is moved again, and proven again: nobody else knows
/// the new one, and there is no way back. While entries and services are still being moved, the steps that do so see to it themselves.
fn is_put_back(r: &Rotation) -> bool {
    let moving = matches!(
        r.current_step(),
        Some(Step::Preflight | Step::Generate | Step::Push { .. } | Step::Reload { .. } | Step::Verify { .. })
    );
    let held = |e: &EntryState| matches!(e.holds, Some(Which::Slot(slot)) if slot != r.target);
    let entry = |e: &EntryState| e.touched && (held(e) || e.probed != r.target || e.probes < r.plan.policy.sends);
    let service = |(name, s): (&ServiceName, &ServiceState)| s.touched && !r.is_proven(name, r.target);
    r.is_leak() && has_generated(r) && !moving && (r.entries.values().any(entry) || r.services.iter().any(service))
}

fn finishing(r: &Rotation, now: Millis) -> Decision {
    if let Some(failure) = compromised_target(r) {
        return fail(r, failure);
    }
    if is_replaced(r) && forward::needs_another(r) && r.flights.is_empty() {
        return Decision::Record(vec![Event::SlotOpened { slot: Slot(r.target.0 + 1) }]);
    }
    let moved = if is_replaced(r) || is_put_back(r) { contain::moved(r, now) } else { Progress::ready() };
    let progress = moved.then(|| forward::swept(r, now));
    if let Some(failure) = &progress.failed {
        return fail(r, failure.clone());
    }
    if progress.is_ready() && r.flights.is_empty() {
        return Decision::Record(vec![Event::Finished { ending: Ending::Done }]);
    }
    act(r, progress)
}

/// Back where there is a way back; otherwise it rests and calls a person.
fn fail(r: &Rotation, failure: Failure) -> Decision {
    let stop = r.plan.playbook.on_failure == OnFailure::Stop;
    let weather = failure.kind == FailureKind::Environment;
    let changed = r.has_changed_anything();
    let no_way_back = r.no_return || r.old().live == Live::Deleted;
    // A leak is never left as "refused, nothing was changed": someone must see to it.
    let leak = r.is_leak() && !broken(Mutant::LeakRollsBack);
    if leak || changed && (stop || weather || no_way_back) {
        let todo = todo(r, &failure);
        return Decision::Record(vec![Event::Stuck { failure, todo }]);
    }
    Decision::Record(vec![Event::RollbackStarted { failure }])
}

fn rolling_back(r: &Rotation, now: Millis) -> Decision {
    let progress = undo::rolled_back(r, now);
    if let Some(failure) = &progress.failed {
        let todo = todo(r, failure);
        return Decision::Record(vec![Event::Stuck { failure: failure.clone(), todo }]);
    }
    if progress.is_ready() {
        let ending = if r.has_changed_anything() { Ending::RolledBack } else { Ending::Refused };
        return Decision::Record(vec![Event::Finished { ending }]);
    }
    act(r, progress)
}

fn act(r: &Rotation, progress: Progress) -> Decision {
    let gate = match r.current_step() {
        Some(Step::Approve { .. }) if r.phase == Phase::Forward && !r.containing => Some(Wanted::Approval(r.step)),
        _ => None,
    };
    // Whatever else is waited for, containment is not late (L5).
    let due = r.contain_by.filter(|_| r.is_leak() && !r.containing);
    let wake = progress.wake.into_iter().chain(due).min().filter(|_| !broken(Mutant::WakeForgotten));
    Decision::Act { start: progress.go, wake, person: gate.or(progress.person.map(Wanted::Task)) }
}
