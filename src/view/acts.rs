//! What a person's act would do from here, in words for whoever is asked before it is done; and what a person is asked for.

use handover_rotation::decide::{Decision, Wanted, decide};
use handover_rotation::event::Event;
use handover_rotation::name::Slot;
use handover_rotation::playbook::Step;
use handover_rotation::state::{Phase, Rotation};
use handover_rotation::time::Millis;

use super::next::{undo, what_abort_does};
use super::plan::touches;
use super::{by_hand, words};

/// What a person is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Whether a gate is to be opened; else something is to be done by hand.
    pub approval: bool,
    /// In words.
    pub text: String,
}

/// What a person is asked for now, if for anything.
#[must_use]
pub fn asked(r: &Rotation, now: Millis) -> Option<Asked> {
    let Decision::Act { person, .. } = decide(r, now) else { return None };
    Some(match person? {
        Wanted::Approval(step) => {
            let who = match r.plan.playbook.steps.get(step) {
                Some(Step::Approve { by, .. }) => by.to_string(),
                _ => "a person".to_owned(),
            };
            Asked { approval: true, text: format!("{who} to approve step {}", step + 1) }
        }
        Wanted::Task(command) => Asked { approval: false, text: format!("a person to {}", by_hand::task(r, &command)) },
    })
}

/// Whether it can be aborted.
#[must_use]
pub fn can_abort(r: &Rotation) -> bool {
    let event = Event::AbortRequested { by: String::new(), reason: None };
    r.ended().is_none() && r.clone().apply(r.at, &event).is_ok()
}

/// Whether it waits at a gate.
#[must_use]
pub fn can_approve(r: &Rotation) -> bool {
    r.phase == Phase::Forward && matches!(r.current_step(), Some(Step::Approve { .. })) && r.step_started.is_some()
}

/// Whether it can be set going again.
#[must_use]
pub fn can_resume(r: &Rotation) -> bool {
    matches!(r.phase, Phase::Stuck { .. })
}

/// What aborting would do, a line each.
#[must_use]
pub fn abort(r: &Rotation) -> Vec<String> {
    let old = words::version(r, Slot::OLD);
    let undo = undo(r);
    let mut lines = match undo.command {
        Some(_) => vec![what_abort_does(r)],
        None => vec![undo.text],
    };
    if r.is_leak() {
        lines.push(format!("{old} is compromised: aborting leaves it as it is, and it stays to be shut out"));
    } else {
        lines.push(format!("services go on with {old}"));
    }
    lines
}

/// What opening the gate would set going, a line each.
#[must_use]
pub fn approve(r: &Rotation) -> Vec<String> {
    let of = r.plan.playbook.steps.len();
    let steps = r.plan.playbook.steps.iter().enumerate().skip(r.step + 1);
    let mut lines = Vec::new();
    for (i, step) in steps {
        lines.push(format!("step {} of {of}, {}: {}", i + 1, words::step(step), touches(&r.plan, step)));
        if matches!(step, Step::Approve { .. }) {
            break;
        }
    }
    lines
}

/// What going on would do, a line each.
#[must_use]
pub fn resume(r: &Rotation) -> Vec<String> {
    match (r.phase, r.current_step()) {
        (Phase::Stuck { rolling_back: true }, _) => {
            vec!["it goes on rolling back, and looks before it changes anything".to_owned()]
        }
        (_, Some(step)) => {
            let of = r.plan.playbook.steps.len();
            vec![format!(
                "it goes on with step {} of {of}, {}, and looks before it changes anything",
                r.step + 1,
                words::step(step)
            )]
        }
        (_, None) => vec!["it takes its last look".to_owned()],
    }
}
