//! What each event changes, and where it has no place (S28): an illegal event is a typed error, and then nothing has changed.

use handover_rotation::apply::fold;
use handover_rotation::command::{Command, Fact, Which};
use handover_rotation::event::{Ending, Event, Failure, FailureKind};
use handover_rotation::name::{Fingerprint, Slot};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::Shape::{Manual, Reversible};
use handover_rotation::state::{Flight, Live, Login, Phase, Rotation, Version};
use handover_rotation::time::{Millis, Span};

use crate::world::hand::{BEGAN, NEW, at, changed, held, mutes, restored, used, version};
use crate::world::plans::{entry, plan, service};
use crate::world::{id, user};

const T: u64 = BEGAN.0;
pub(crate) const NOW: Millis = Millis(T + 1_000);

fn failure(kind: FailureKind) -> Failure {
    Failure { kind, command: None, fault: Fault::new(FaultClass::Permanent, "HO0000", "it failed") }
}

fn abort() -> Event {
    Event::AbortRequested { by: "ann".into(), reason: None }
}

fn started() -> Event {
    let mut plan = Box::new(plan("scheduled", Reversible));
    plan.old.fingerprint = Some(Fingerprint::new("f0").expect("one"));
    let rotation = handover_rotation::name::RotationId::new("rot-1").expect("an id");
    Event::Started { rotation, plan, plan_hash: "h".into(), old_sealed: true, by: "ann".into(), reason: None }
}

fn leak(slot: Slot, within: u64) -> Event {
    Event::Compromised { slot, within: Span(within), source: "scanner".into() }
}

/// The state after an event that is legal.
pub(crate) fn after(mut r: Rotation, event: &Event) -> Rotation {
    r.apply(NOW, event).expect("it has a place");
    assert_eq!(r.at, NOW);
    r
}

fn stuck(rolling_back: bool) -> Rotation {
    let mut r = if rolling_back { restored() } else { at("scheduled", Reversible, "watch") };
    r.phase = Phase::Stuck { rolling_back };
    r
}

/// One change makes it illegal: without it the same event has a place.
pub(crate) fn illegal(r: &Rotation, event: &Event, change: impl FnOnce(&mut Rotation)) {
    let mut legal = r.clone();
    assert_eq!(legal.apply(NOW, event), Ok(()), "{event:?} before the change");
    let mut changed = r.clone();
    change(&mut changed);
    let before = changed.clone();
    changed.apply(NOW, event).expect_err("it has no place");
    assert_eq!(changed, before, "{event:?} has changed something");
}

#[test]
fn s28_a_journal_begins_once_and_events_follow_each_other() {
    let r = at("scheduled", Reversible, "push");
    assert_eq!(fold([]).expect_err("nothing").0, 0);
    assert_eq!(fold([(Millis(1), &abort())]).expect_err("no beginning").0, 0);
    let begun = fold([(Millis(7), &started())]).expect("a beginning");
    assert_eq!((begun.started_at, begun.at, begun.step, begun.phase), (Millis(7), Millis(7), 0, Phase::Forward));
    let (old, named) = (begun.old(), &begun.plan.old);
    assert_eq!((old.id.as_ref(), old.username.as_ref()), (Some(&named.id), Some(&named.username)));
    assert_eq!(old.fingerprint.as_ref().map(Fingerprint::as_str), Some("f0"));
    let twice = [(Millis(7), &started()), (Millis(8), &Event::StepStarted { step: 0 }), (Millis(9), &started())];
    assert_eq!(fold(twice).expect_err("twice").0, 2);
    illegal(&r, &abort(), |r| r.phase = Phase::Ended(Ending::Done));

    let waiting = Rotation { step_started: None, ..r.clone() };
    let step = r.step;
    illegal(&waiting, &Event::StepStarted { step }, |r| r.step += 1);
    illegal(&waiting, &Event::StepStarted { step }, |r| r.step_started = Some(BEGAN));
    let end = r.plan.playbook.steps.len();
    illegal(&Rotation { step: end - 1, ..waiting.clone() }, &Event::StepStarted { step: end - 1 }, |r| r.step = end);
    let mut past = Rotation { step: end, ..waiting };
    past.apply(NOW, &Event::StepStarted { step: end }).expect_err("there is no such step");
    illegal(&r, &Event::StepFinished { step }, |r| r.step_started = None);
    illegal(&r, &Event::StepFinished { step }, |r| r.step -= 1);
    illegal(&r, &Event::SlotOpened { slot: Slot(2) }, |r| r.target = Slot(2));
    illegal(&r, &Event::SlotOpened { slot: Slot(2) }, |r| r.target = Slot::OLD);
    // Time does not run backwards, whatever it is given.
    let mut r = r;
    r.apply(Millis(T - 1), &Event::StepFinished { step }).expect("it is under way");
    assert_eq!(r.at, BEGAN);
}

#[test]
fn s16_l9_stopping_is_refused_where_there_is_no_way_back() {
    let r = at("scheduled", Reversible, "push");
    illegal(&r, &abort(), |r| r.no_return = true);
    illegal(&r, &abort(), |r| version(r, Slot::OLD).compromised = true);
    // A leak of which nothing has been done yet can be called off.
    let mut early = at("leak", Reversible, "preflight");
    early.versions.remove(&NEW);
    early.target = Slot::OLD;
    early.entries.values_mut().for_each(|e| e.touched = false);
    early.services.values_mut().for_each(|s| s.touched = false);
    assert!(after(early.clone(), &abort()).abort.is_some());
    let back = Event::RollbackStarted { failure: failure(FailureKind::Target) };
    assert_eq!(after(early, &back).phase, Phase::RollingBack);
    illegal(&r, &back, |r| version(r, Slot::OLD).compromised = true);
    illegal(&r, &back, |r| r.no_return = true);
    illegal(&r, &back, |r| r.phase = Phase::RollingBack);
    illegal(&r, &back, |r| r.phase = Phase::Stuck { rolling_back: false });
    // Whoever stops what is stuck sets it going.
    for (r, phase) in [(stuck(false), Phase::Forward), (r, Phase::Forward), (restored(), Phase::RollingBack)] {
        assert_eq!(after(r, &abort()).phase, phase);
    }
}

#[test]
fn gates_supplies_and_alerts_have_their_place() {
    let mut r = at("scheduled", Reversible, "soak");
    let mut plan = r.plan.as_ref().clone();
    plan.playbook.steps[r.step] = handover_rotation::playbook::Step::Approve { by: "ann".into(), within: Span(1) };
    r.plan = plan.into();
    let approved = Event::Approved { step: r.step, by: "ann".into() };
    illegal(&r, &approved, |r| r.plan = at("scheduled", Reversible, "soak").plan);
    assert!(after(r.clone(), &approved).approved.contains(&r.step));

    let fact = || Fact::Created { id: id("v9"), username: user("v9"), fingerprint: Fingerprint::new("f").expect("one") };
    let supplied = Event::Supplied { slot: NEW, fact: fact(), by: None };
    let r = changed(at("scheduled", Manual, "generate"), |r| {
        (version(r, NEW).live, version(r, NEW).sealed) = (Live::Absent, false);
    });
    illegal(&r, &supplied, |r| r.target = Slot(2));
    illegal(&r, &supplied, |r| version(r, NEW).sealed = true);
    illegal(&r, &supplied, |r| version(r, NEW).live = Live::Active);
    illegal(&r, &supplied, |r| r.plan = at("scheduled", Reversible, "generate").plan);
    let mut old = Rotation { target: Slot::OLD, ..r.clone() };
    old.apply(NOW, &Event::Supplied { slot: Slot::OLD, fact: fact(), by: None }).expect_err("the old one is there");
    let made = after(r.clone(), &supplied);
    assert_eq!(made.versions[&NEW].id, Some(id("v9")));

    illegal(&r, &leak(NEW, 5), |r| drop(r.versions.remove(&NEW)));
    let began = Event::ContainmentBegan { unproven: Vec::new() };
    let leaking = at("leak", Reversible, "push");
    illegal(&leaking, &began, |r| version(r, Slot::OLD).compromised = false);
    assert!(after(leaking, &began).containing);
}

/// L5: of two deadlines the earlier counts, and only a leak of the old version has one.
#[test]
fn l5_the_earlier_deadline_counts() {
    let due = NOW.after(Span(5_000));
    let earlier = Millis(due.0 - 1);
    let later = Millis(due.0 + 1);
    for (slot, before, expected) in [
        (Slot::OLD, None, Some(due)),
        (Slot::OLD, Some(earlier), Some(earlier)),
        (Slot::OLD, Some(later), Some(due)),
        (NEW, None, None),
        (NEW, Some(earlier), Some(earlier)),
    ] {
        let mut r = at("scheduled", Reversible, "push");
        r.contain_by = before;
        let r = after(r, &leak(slot, 5_000));
        assert_eq!(r.contain_by, expected, "{slot} {before:?}");
        assert_eq!((r.old().compromised, r.versions[&NEW].compromised), (slot.is_old(), !slot.is_old()));
        assert_eq!(r.phase, Phase::Forward);
    }
}

/// S19: what was being put back to a version that leaks turns round, to where the new version is made.
#[test]
fn s19_a_leak_turns_a_rollback_round() {
    let (generate, watch) = (1, at("scheduled", Reversible, "watch").step);
    for (phase, step, expected, entered) in [
        (Phase::RollingBack, watch, generate, false),
        (Phase::Stuck { rolling_back: true }, watch, generate, false),
        (Phase::RollingBack, generate, generate, true),
        (Phase::RollingBack, 0, 0, true),
        (Phase::Stuck { rolling_back: false }, watch, watch, true),
        (Phase::Forward, watch, watch, true),
    ] {
        let mut r = at("scheduled", Reversible, "watch");
        (r.phase, r.step) = (phase, step);
        let r = after(r, &leak(Slot::OLD, 5));
        assert_eq!((r.phase, r.step), (Phase::Forward, expected), "{phase:?} {step}");
        assert_eq!(r.step_started.is_some(), entered, "{phase:?} {step}");
    }
    // Where only the new one leaks, going back is right.
    let mut r = at("scheduled", Reversible, "watch");
    r.phase = Phase::RollingBack;
    assert_eq!(after(r, &leak(NEW, 5)).phase, Phase::RollingBack);
}

#[test]
fn s18_stuck_keeps_why_and_resuming_looks_afresh() {
    // That someone asked to stop is known; why undoing is stuck is news.
    for (back, kind, news) in [
        (true, FailureKind::Abort, false),
        (true, FailureKind::Target, true),
        (false, FailureKind::Abort, true),
        (false, FailureKind::Gate, true),
    ] {
        let mut r = if back { restored() } else { at("scheduled", Reversible, "push") };
        r.failure = Some(failure(FailureKind::Environment));
        let r = after(r, &Event::Stuck { failure: failure(kind), todo: Vec::new() });
        assert_eq!(r.phase, Phase::Stuck { rolling_back: back });
        assert_eq!(r.failure.expect("why").kind, if news { kind } else { FailureKind::Environment }, "{back} {kind:?}");
    }
    let resumed = Event::Resumed { by: "ann".into() };
    illegal(&stuck(false), &resumed, |r| r.phase = Phase::Forward);
    for (rolling_back, old, phase, step) in [
        (false, Live::Active, Phase::Forward, stuck(false).step),
        (true, Live::Active, Phase::RollingBack, stuck(true).step),
        // Nothing is left to go back to: forward, from where the new version is made.
        (true, Live::Deleted, Phase::Forward, 1),
        (false, Live::Deleted, Phase::Forward, stuck(false).step),
    ] {
        let mut r = stuck(rolling_back);
        version(&mut r, Slot::OLD).live = old;
        r.abort = Some(failure(FailureKind::Abort).fault);
        let r = after(r, &resumed);
        assert_eq!((r.phase, r.step), (phase, step), "{rolling_back} {old:?}");
        assert_eq!(r.abort.is_none(), rolling_back && old == Live::Deleted);
    }
    // Without a list, a login that was refused for good since the last word on it tells that it is gone.
    for (shape, refusals, login, expected) in [
        (Manual, 16, Some((BEGAN, false)), (Phase::Forward, 1)),
        (Manual, 15, Some((BEGAN, false)), (Phase::RollingBack, stuck(true).step)),
        (Manual, 16, Some((Millis(T - 1), false)), (Phase::RollingBack, stuck(true).step)),
        (Manual, 16, Some((BEGAN, true)), (Phase::RollingBack, stuck(true).step)),
        (Manual, 16, None, (Phase::RollingBack, stuck(true).step)),
        (Reversible, 16, Some((BEGAN, false)), (Phase::RollingBack, stuck(true).step)),
    ] {
        let mut r = changed(stuck(true), |r| r.plan = plan("scheduled", shape).into());
        let old = version(&mut r, Slot::OLD);
        (old.changed_at, old.refusals) = (BEGAN, refusals);
        old.login = login.map(|(at, accepted)| Login { at, accepted, streak: 1 });
        let r = after(r, &resumed);
        assert_eq!((r.phase, r.step), expected, "{shape:?} {refusals} {login:?}");
    }
    // Someone deleted the new version when there was no way back any more: another is made.
    for (no_return, new, step) in
        [(true, Live::Deleted, 1), (true, Live::Active, stuck(false).step), (false, Live::Deleted, stuck(false).step)]
    {
        let mut r = stuck(false);
        r.no_return = no_return;
        r.approved.insert(4);
        version(&mut r, NEW).live = new;
        let r = after(r, &resumed);
        assert_eq!((r.phase, r.step), (Phase::Forward, step), "{no_return} {new:?}");
        assert_eq!(r.approved.is_empty(), step == 1, "what was approved was another version");
    }
    for (holds, kept) in
        [(Some(Which::Foreign), None), (Some(Which::Nothing), None), (Some(Which::Slot(NEW)), Some(Which::Slot(NEW)))]
    {
        let mut r = stuck(false);
        held(&mut r, "staging").holds = holds;
        assert_eq!(after(r, &resumed).entries[&entry("staging")].holds, kept, "{holds:?}");
    }
    for (presents, attest, reloaded) in [
        (Some(Which::Slot(NEW)), true, Some(NEW)),
        (Some(Which::Slot(Slot::OLD)), true, None),
        (None, true, None),
        (None, false, Some(NEW)),
    ] {
        let mut r = stuck(false);
        used(&mut r, "api-staging").presents = presents;
        let mut plan = r.plan.as_ref().clone();
        plan.services.get_mut(&service("api-staging")).expect("a service").attest = attest;
        r.plan = plan.into();
        assert_eq!(after(r, &resumed).services[&service("api-staging")].reloaded, reloaded, "{presents:?} {attest}");
    }
}

/// S4: an end is only taken that keeps its rules.
#[test]
fn s4_no_end_is_taken_that_is_not_clean() {
    let done = Event::Finished { ending: Ending::Done };
    let mut r = at("scheduled", Reversible, "delete");
    version(&mut r, Slot::OLD).live = Live::Deleted;
    illegal(&r, &done, |r| {
        r.flights.insert(1, Flight { command: Command::Control, deadline: NOW, before: None });
    });
    for live in [Live::Absent, Live::Inactive, Live::Deleted, Live::Doubt] {
        illegal(&r, &done, |r| version(r, NEW).live = live);
    }
    for live in [Live::Active, Live::Doubt] {
        illegal(&r, &done, |r| version(r, Slot::OLD).live = live);
        illegal(&r, &done, |r| {
            let stray = Version { live, ..r.versions[&NEW].clone() };
            r.versions.insert(Slot(2), stray);
        });
    }
    for which in [None, Some(Which::Slot(Slot::OLD)), Some(Which::Foreign), Some(Which::Nothing)] {
        illegal(&r, &done, |r| held(r, "staging").holds = which);
        illegal(&r, &done, |r| used(r, "api-staging").presents = which);
        illegal(&restored_end(), &Event::Finished { ending: Ending::RolledBack }, |r| {
            held(r, "staging").holds = which.filter(|w| *w != Which::Slot(Slot::OLD));
        });
    }
    // A version that was disabled is as good as gone, and so is one that was never retired where no step does so.
    let mut disabled = r.clone();
    version(&mut disabled, Slot::OLD).live = Live::Inactive;
    assert_eq!(after(disabled, &done).ended(), Some(Ending::Done));
    let keeping = |retires: bool| {
        let mut r = r.clone();
        version(&mut r, Slot::OLD).live = Live::Active;
        let mut plan = r.plan.as_ref().clone();
        plan.playbook.steps.retain(|s| retires && s.word() == "deactivate" || !["deactivate", "delete"].contains(&s.word()));
        r.plan = plan.into();
        r.apply(NOW, &done).is_ok()
    };
    assert_eq!((keeping(false), keeping(true)), (true, false));
    // What was never touched is not looked at, nor what cannot be asked.
    let mut untouched = r.clone();
    (held(&mut untouched, "staging").touched, held(&mut untouched, "staging").holds) = (false, None);
    (used(&mut untouched, "api-staging").touched, used(&mut untouched, "api-staging").presents) = (false, None);
    assert_eq!(after(untouched, &done).ended(), Some(Ending::Done));
    let mut mute = r.clone();
    mutes(&mut mute, "api-staging");
    used(&mut mute, "api-staging").presents = None;
    assert_eq!(after(mute, &done).ended(), Some(Ending::Done));
    illegal(&restored_end(), &Event::Finished { ending: Ending::RolledBack }, |r| version(r, Slot::OLD).live = Live::Doubt);
    // "Refused" says that nothing was changed.
    let refused = Event::Finished { ending: Ending::Refused };
    let mut nothing = at("scheduled", Reversible, "preflight");
    nothing.versions.remove(&NEW);
    nothing.target = Slot::OLD;
    nothing.entries.values_mut().for_each(|e| e.touched = false);
    nothing.services.values_mut().for_each(|s| s.touched = false);
    illegal(&nothing, &refused, |r| held(r, "staging").touched = true);
    illegal(&nothing, &refused, |r| used(r, "api-staging").touched = true);
    illegal(&nothing, &refused, |r| version(r, Slot::OLD).disable_intended = true);
    illegal(&nothing, &refused, |r| r.containing = true);
    illegal(&nothing, &refused, |r| {
        let made = at("scheduled", Reversible, "push").versions[&NEW].clone();
        r.versions.insert(NEW, made);
    });
}

/// Rolled back, with the new version deleted.
fn restored_end() -> Rotation {
    let mut r = restored();
    version(&mut r, NEW).live = Live::Deleted;
    r
}
