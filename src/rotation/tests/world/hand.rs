//! States made by hand: a rotation at a step of its playbook with everything as it should be there, for tests that change one
//! thing of it.

use handover_rotation::command::{Command, Which};
use handover_rotation::decide::{Decision, Wanted, decide};
use handover_rotation::event::Event;
use handover_rotation::name::{RotationId, Slot};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::Shape;
use handover_rotation::playbook::Step;
use handover_rotation::state::{EntryState, Live, Login, Phase, Rotation, ServiceState, Tries, Version};
use handover_rotation::time::{Millis, Span};

use super::plans::{entry, plan, service};
use super::{id, user};

pub(crate) const NEW: Slot = Slot(1);

/// The routine rotation where everything is on the new version and proven, at the step `word`.
pub(crate) fn proven(name: &str, shape: Shape, word: &str) -> Rotation {
    let started = Event::Started {
        rotation: RotationId::new("rot-1").expect("an id"),
        plan: Box::new(plan(name, shape)),
        plan_hash: "h".into(),
        old_sealed: true,
        by: "test".into(),
        reason: None,
    };
    let mut r = Rotation::begin(Millis(1), &started).expect("started");
    r.step = r.plan.playbook.steps.iter().position(|s| s.word() == word).expect("a step");
    let mut new = r.old().clone();
    new.id = Some(id("v1"));
    new.username = Some(user("v1"));
    new.compromised = false;
    new.login = Some(Login { at: Millis(1), accepted: true, streak: 1 });
    r.versions.insert(NEW, new);
    r.target = NEW;
    for held in r.entries.values_mut() {
        held.holds = Some(Which::Slot(NEW));
        held.touched = true;
        held.probes = 3;
        held.probed = NEW;
    }
    for used in r.services.values_mut() {
        used.touched = true;
        used.reloaded = Some(NEW);
        used.presents = Some(Which::Slot(NEW));
        used.sends = 3;
    }
    r
}

/// The same, rolling back, with everything back on the old version.
pub(crate) fn restored() -> Rotation {
    let mut r = proven("scheduled", Shape::Reversible, "watch");
    r.phase = Phase::RollingBack;
    for held in r.entries.values_mut() {
        held.holds = Some(Which::Slot(Slot::OLD));
    }
    for used in r.services.values_mut() {
        used.reloaded = Some(Slot::OLD);
        used.presents = Some(Which::Slot(Slot::OLD));
    }
    r
}

pub(crate) fn version(r: &mut Rotation, slot: Slot) -> &mut Version {
    r.versions.get_mut(&slot).expect("a version")
}

pub(crate) fn held<'r>(r: &'r mut Rotation, name: &str) -> &'r mut EntryState {
    r.entries.get_mut(&entry(name)).expect("an entry")
}

pub(crate) fn used<'r>(r: &'r mut Rotation, name: &str) -> &'r mut ServiceState {
    r.services.get_mut(&service(name)).expect("a service")
}

/// When the step of a state made by hand began: long after everything that was changed before it.
pub(crate) const BEGAN: Millis = Millis(1_000_000);

/// The same as [`proven`], with the step under way since [`BEGAN`].
pub(crate) fn at(name: &str, shape: Shape, word: &str) -> Rotation {
    let mut r = proven(name, shape, word);
    r.step_started = Some(BEGAN);
    r.at = BEGAN;
    // In a leak the deadline is still to come.
    r.contain_by = r.plan.containment_deadline().map(|span| BEGAN.after(span));
    r
}

/// The same with every step done: what is left is the last look.
pub(crate) fn at_the_end(name: &str, shape: Shape) -> Rotation {
    let mut r = at(name, shape, "delete");
    r.step = r.plan.playbook.steps.len();
    r.step_started = None;
    version(&mut r, Slot::OLD).live = Live::Deleted;
    r.sampled.insert(Command::ListVersions, BEGAN);
    r
}

/// Failures of a command: how many, of which class, the first ended at, the last was sent and ended at.
pub(crate) fn failed(r: &mut Rotation, command: &Command, count: u8, class: FaultClass, times: [u64; 3]) {
    let [first, began, last] = times.map(Millis);
    let fault = Fault::new(class, "HO0000", "it failed");
    r.tries.insert(command.clone(), Tries { count, first, began, last, fault });
}

pub(crate) fn changed(mut r: Rotation, change: impl FnOnce(&mut Rotation)) -> Rotation {
    change(&mut r);
    r
}

/// A service that can neither be asked what it presents nor to send.
pub(crate) fn mutes(r: &mut Rotation, name: &str) {
    let mut plan = r.plan.as_ref().clone();
    let s = plan.services.get_mut(&service(name)).expect("a service");
    (s.attest, s.test_send) = (false, false);
    r.plan = plan.into();
}

/// Everything was looked at in this step.
pub(crate) fn looked(mut r: Rotation) -> Rotation {
    r.passed.insert(Command::ListVersions);
    r.passed.extend(r.entries.keys().cloned().map(Command::ReadEntry));
    r.passed.extend(r.services.keys().cloned().map(Command::Attest));
    r
}

/// A refused login of the old version, proven, and every service has sent since.
pub(crate) fn refused(r: &mut Rotation) {
    let old = version(r, Slot::OLD);
    old.live = Live::Inactive;
    old.login = Some(Login { at: BEGAN, accepted: false, streak: 2 });
    r.passed.extend(r.services.keys().cloned().map(Command::TestSend));
}

/// What the machine wants at `now`, in words: the commands to start, or what it records, or how long it waits.
pub(crate) fn wants(r: &Rotation, now: Millis) -> String {
    let event = |event: &Event| match event {
        Event::StepStarted { step } => format!("begins {}", r.plan.playbook.steps[*step].word()),
        Event::StepFinished { step } => format!("finishes {}", r.plan.playbook.steps[*step].word()),
        Event::SlotOpened { slot } => format!("opens {slot}"),
        Event::ContainmentBegan { unproven } => format!("contains, unproven {}", unproven.len()),
        Event::RollbackStarted { failure } => format!("rolls back: {:?} {}", failure.kind, failure.fault.code),
        Event::Stuck { failure, .. } => format!("is stuck: {:?} {}", failure.kind, failure.fault.code),
        Event::Finished { ending } => format!("ends {ending:?}"),
        other => format!("{other:?}"),
    };
    match decide(r, now) {
        Decision::Record(events) => events.iter().map(event).collect::<Vec<_>>().join(", "),
        Decision::Act { start, wake, person } => {
            let mut words: Vec<String> = start.iter().map(ToString::to_string).collect();
            words.extend(person.map(|person| match person {
                Wanted::Approval(_) => "asks for approval".to_owned(),
                Wanted::Task(command) => format!("asks a person to {command}"),
            }));
            if words.is_empty() {
                words.push(wake.map_or_else(|| "waits for an answer".to_owned(), |t| format!("waits {}ms", t.since(now).0)));
            }
            words.join(", ")
        }
        Decision::Rest => "rests".to_owned(),
    }
}

/// Puts a gate before the step `word` of the playbook, and opens it.
pub(crate) fn gated(r: &mut Rotation, word: &str) {
    let mut plan = r.plan.as_ref().clone();
    let at = plan.playbook.steps.iter().position(|s| s.word() == word).expect("a step");
    plan.playbook.steps.insert(at, Step::Approve { by: "ann".into(), within: Span::minutes(60) });
    r.plan = plan.into();
    r.step += usize::from(r.step >= at);
    r.approved.insert(at);
}
