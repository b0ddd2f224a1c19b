//! What effects do to what is known: an intent puts it in doubt, an outcome ends or keeps the doubt, and a take-over waits for what
//! may still land. As tables: a state made by hand, one event, and what is known after it.

use handover_rotation::command::{Command, Fact, Which};
use handover_rotation::event::Event;
use handover_rotation::name::Slot;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::Shape::{self, InPlace, Reversible};
use handover_rotation::state::{Flight, Live, Phase, Rotation};
use handover_rotation::time::{Millis, Span};

use crate::events::{NOW, after, illegal};
use crate::world::hand::{BEGAN, NEW, at, held, used, version};
use crate::world::plans::{entry, service};

const T: u64 = BEGAN.0;
/// How long a call on a version may still land, with the tests' provider.
const LANDING: u64 = 5_000;

fn settled(effect: Option<u32>, command: Command, outcome: Outcome<Fact>) -> Event {
    Event::Settled { effect, command, began: BEGAN, outcome }
}

/// S6, S7, S9: from its intent on, what an effect may change is in doubt.
#[test]
fn s6_an_intent_puts_what_it_may_change_in_doubt() {
    let intend = |r: Rotation, command: &Command| {
        let mut r = r;
        let effect = r.next_effect;
        let event = Event::Intended { effect, command: command.clone(), deadline: NOW };
        r.apply(NOW, &event).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(r.next_effect, effect + 1);
        assert_eq!(r.flights[&effect].command, *command);
        r
    };
    let leaking = |step| {
        let mut r = at("leak", Reversible, step);
        r.containing = true;
        version(&mut r, Slot::OLD).absent_since = Some(BEGAN);
        version(&mut r, NEW).absent_since = Some(BEGAN);
        r
    };
    for (command, slot, disables, deletes, no_return) in [
        (Command::Disable(Slot::OLD), Slot::OLD, true, false, false),
        (Command::Delete(Slot::OLD), Slot::OLD, true, true, true),
        (Command::Delete(NEW), NEW, true, true, false),
    ] {
        let mut r = leaking("generate");
        version(&mut r, NEW).compromised = true;
        let r = intend(r, &command);
        let v = &r.versions[&slot];
        assert_eq!((v.live, v.disable_intended, v.delete_intended), (Live::Doubt, disables, deletes), "{command}");
        assert_eq!(r.no_return, no_return, "{command}");
        assert_eq!(v.absent_since, Some(BEGAN), "{command} brings nothing back");
    }
    let mut fresh = leaking("generate");
    (version(&mut fresh, NEW).live, version(&mut fresh, Slot::OLD).live) = (Live::Absent, Live::Inactive);
    let r = intend(fresh, &Command::Create(NEW));
    let v = &r.versions[&NEW];
    assert_eq!((v.live, v.absent_since, v.disable_intended, v.delete_intended), (Live::Doubt, None, false, false));

    let write = Command::Write(entry("staging"), NEW);
    let mut r = at("scheduled", Reversible, "push");
    (held(&mut r, "staging").touched, used(&mut r, "api-staging").touched) = (false, false);
    let production = (r.entries[&entry("production")].clone(), r.services[&service("api-production")].clone());
    let r = intend(r, &write);
    let (e, s) = (&r.entries[&entry("staging")], &r.services[&service("api-staging")]);
    assert_eq!((e.touched, e.holds, e.probes), (true, None, 0));
    assert_eq!((s.touched, s.reloaded, s.presents, s.sends), (false, None, None, 0), "what reads it must read again");
    assert_eq!((r.entries[&entry("production")].clone(), r.services[&service("api-production")].clone()), production);

    for (holds, reloading) in [(Some(Which::Slot(NEW)), Some(NEW)), (Some(Which::Foreign), None), (None, None)] {
        let mut r = at("scheduled", Reversible, "reload");
        held(&mut r, "staging").holds = holds;
        let r = intend(r, &Command::Reload(service("api-staging")));
        let s = &r.services[&service("api-staging")];
        assert_eq!((s.touched, s.reloading, s.reloaded, s.presents, s.sends), (true, reloading, None, None, 0), "{holds:?}");
    }
}

/// An effect under way, numbered 1.
fn flying(mut r: Rotation, command: Command, deadline: Millis) -> Rotation {
    let before = command.slot_changed().map(|slot| std::mem::replace(&mut version(&mut r, slot).live, Live::Doubt));
    r.flights.insert(1, Flight { command, deadline, before });
    r
}

/// S7: after a take-over a look counts when nothing of the earlier owner can land any more.
#[test]
fn s7_a_take_over_waits_for_what_may_still_land() {
    let later = Millis(NOW.0 + 700);
    for (proven_dead, deadline, from) in [(true, later, NOW), (false, later, later), (false, BEGAN, NOW)] {
        let claimed = Event::Claimed { epoch: 2, by: "ann".into(), proven_dead };
        let quiet = from.after(Span(LANDING));
        let mut r = flying(at("scheduled", Reversible, "generate"), Command::Create(NEW), deadline);
        version(&mut r, NEW).absent_since = Some(BEGAN);
        let r = after(r, &claimed);
        let v = &r.versions[&NEW];
        assert_eq!((v.live, v.quiet_until, v.made_at, v.absent_since), (Live::Doubt, quiet, Some(quiet), None));
        assert!(r.flights.is_empty());
        assert_eq!((r.old().live, r.old().quiet_until), (Live::Active, Millis(0)));

        let mut r = flying(at("scheduled", Reversible, "delete"), Command::Delete(Slot::OLD), deadline);
        version(&mut r, Slot::OLD).absent_since = Some(BEGAN);
        let r = after(r, &claimed);
        let v = r.old();
        assert_eq!((v.live, v.quiet_until, v.made_at, v.absent_since), (Live::Doubt, quiet, None, Some(BEGAN)));

        // A file is written by its owner itself: nothing of it lands after the owner's end.
        let write = Command::Write(entry("staging"), NEW);
        let r = after(flying(at("scheduled", Reversible, "push"), write, deadline), &claimed);
        let e = &r.entries[&entry("staging")];
        assert_eq!((e.holds, e.quiet_until), (None, from));
        assert_eq!(r.entries[&entry("production")].quiet_until, Millis(0));
    }
    // A later quiet time is not shortened.
    let mut r = flying(at("scheduled", Reversible, "generate"), Command::Create(NEW), NOW);
    version(&mut r, NEW).quiet_until = Millis(NOW.0 + 99_000);
    let r = after(r, &Event::Claimed { epoch: 2, by: "ann".into(), proven_dead: true });
    assert_eq!(r.versions[&NEW].quiet_until, Millis(NOW.0 + 99_000));
}

#[test]
fn s20_in_place_a_doubtful_way_back_puts_the_new_version_in_doubt() {
    let unknown = Outcome::Unknown(Fault::new(FaultClass::Temporary, "HO0000", "no answer"));
    let back = |shape: Shape, command: Command, new| {
        let mut r = at("scheduled", shape, "watch");
        r.phase = Phase::RollingBack;
        (version(&mut r, Slot::OLD).live, version(&mut r, NEW).live) = (Live::Inactive, new);
        version(&mut r, NEW).absent_since = Some(BEGAN);
        let r = flying(r, command.clone(), NOW);
        after(r, &settled(Some(1), command, unknown.clone())).versions[&NEW].clone()
    };
    let quiet = NOW.after(Span(LANDING));
    for (shape, command, new, expected) in [
        (InPlace, Command::Enable(Slot::OLD), Live::Active, Live::Doubt),
        (InPlace, Command::Enable(Slot::OLD), Live::Inactive, Live::Doubt),
        (InPlace, Command::Enable(Slot::OLD), Live::Deleted, Live::Deleted),
        (Reversible, Command::Enable(Slot::OLD), Live::Active, Live::Active),
        (InPlace, Command::Reload(service("api-staging")), Live::Active, Live::Active),
    ] {
        let v = back(shape, command.clone(), new);
        assert_eq!(v.live, expected, "{shape:?} {command} {new:?}");
        let doubt = expected == Live::Doubt;
        assert_eq!((v.absent_since, v.quiet_until), if doubt { (None, quiet) } else { (Some(BEGAN), Millis(0)) });
    }
}

/// S8: done, not done and unknown are three things.
#[test]
fn s8_an_outcome_is_done_or_not_or_unknown() {
    let fault = Fault::new(FaultClass::Temporary, "HO0000", "it failed");
    let disable = Command::Disable(Slot::OLD);
    let r = flying(at("scheduled", Reversible, "deactivate"), disable.clone(), NOW);
    let not = after(r.clone(), &settled(Some(1), disable.clone(), Outcome::NotDone(fault.clone())));
    assert_eq!((not.old().live, not.old().quiet_until), (Live::Active, Millis(0)), "it is as it was");
    let unknown = after(r.clone(), &settled(Some(1), disable.clone(), Outcome::Unknown(fault.clone())));
    assert_eq!((unknown.old().live, unknown.old().quiet_until), (Live::Doubt, NOW.after(Span(LANDING))));
    let done = after(r.clone(), &settled(Some(1), disable.clone(), Outcome::Done(Fact::Done)));
    assert_eq!(done.old().live, Live::Inactive);
    // What a look has found out meanwhile is not undone by an answer that nothing was done.
    let mut looked = r.clone();
    version(&mut looked, Slot::OLD).live = Live::Deleted;
    let looked = after(looked, &settled(Some(1), disable.clone(), Outcome::NotDone(fault.clone())));
    assert_eq!(looked.old().live, Live::Deleted);
    for (r, tried) in [(&not, true), (&unknown, true), (&done, false)] {
        assert!(r.flights.is_empty());
        assert_eq!(r.tries.contains_key(&disable), tried);
        assert_eq!(r.passed.contains(&disable), !tried);
    }
    // Only what is under way can end, and only looks have no intent.
    let done = |effect, command: &Command| settled(effect, command.clone(), Outcome::Done(Fact::Done));
    illegal(&r, &done(Some(1), &disable), |r| drop(r.flights.remove(&1)));
    illegal(&r, &done(Some(1), &disable), |r| r.flights.get_mut(&1).expect("it").command = Command::Enable(Slot::OLD));
    let mut r = r;
    r.apply(NOW, &done(None, &disable)).expect_err("an effect without an intent");
    r.apply(NOW, &done(None, &Command::CheckHost)).expect("a look");
    // A write of which nobody knows is looked at, and only it is.
    let write = Command::Write(entry("staging"), NEW);
    let r = flying(at("scheduled", Reversible, "push"), write.clone(), NOW);
    let r = after(r, &settled(Some(1), write, Outcome::Unknown(fault)));
    assert_eq!((r.entries[&entry("staging")].holds, r.entries[&entry("staging")].quiet_until), (None, NOW));
}

#[test]
fn failures_are_counted_and_end_what_was_in_a_row() {
    let fault = |code| Fault::new(FaultClass::Temporary, code, "it failed");
    let fails = |r: Rotation, command: &Command, at: u64, code| {
        let mut r = flying(r, command.clone(), NOW);
        r.passed.insert(command.clone());
        let settled = Event::Settled {
            effect: command.is_effect().then_some(1),
            command: command.clone(),
            began: Millis(at - 50),
            outcome: Outcome::NotDone(fault(code)),
        };
        r.apply(Millis(at), &settled).expect("it is under way");
        assert!(!r.passed.contains(command));
        r
    };
    let (probe, send) = (Command::Probe(entry("staging")), Command::TestSend(service("api-staging")));
    let r = fails(at("scheduled", Reversible, "verify"), &probe, T + 100, "HO0001");
    assert_eq!((r.entries[&entry("staging")].probes, r.entries[&entry("production")].probes), (0, 3));
    let r = fails(r, &probe, T + 300, "HO0002");
    let tries = &r.tries[&probe];
    assert_eq!((tries.count, tries.first, tries.began, tries.last), (2, Millis(T + 100), Millis(T + 250), Millis(T + 300)));
    assert_eq!(tries.fault, fault("HO0002"));
    let r = fails(r, &send, T + 400, "HO0001");
    assert_eq!((r.services[&service("api-staging")].sends, r.services[&service("api-production")].sends), (0, 3));
    let r = fails(r, &Command::Control, T + 500, "HO0001");
    assert_eq!(r.control, Some((Millis(T + 500), false)));
    // The next step begins with a clean sheet.
    let step = r.step;
    let r = after(after(r, &Event::StepFinished { step }), &Event::StepStarted { step: step + 1 });
    assert!(r.tries.is_empty() && r.passed.is_empty() && r.control.is_none());
}

/// Shape D: what a person was asked for counts as theirs to have done.
#[test]
fn what_a_person_has_done_is_what_was_asked() {
    let done = |command: &Command| {
        let event = Event::TaskDone { command: command.clone(), by: "ann".into() };
        after(at("scheduled", Shape::Manual, "delete"), &event)
    };
    for (command, slot, live, deletes, no_return) in [
        (Command::Disable(Slot::OLD), Slot::OLD, Live::Inactive, false, false),
        (Command::Delete(Slot::OLD), Slot::OLD, Live::Deleted, true, true),
        (Command::Delete(NEW), NEW, Live::Deleted, true, false),
    ] {
        let r = done(&command);
        let v = &r.versions[&slot];
        assert_eq!((v.live, v.disable_intended, v.delete_intended), (live, true, deletes), "{command}");
        assert_eq!(r.no_return, no_return, "{command}");
    }
    for other in [Command::Delete(Slot(9)), Command::CheckHost, Command::Create(NEW)] {
        let event = Event::TaskDone { command: other.clone(), by: "ann".into() };
        let r = at("scheduled", Shape::Manual, "delete");
        r.clone().apply(NOW, &event).expect_err("nobody is asked for it here");
    }
    let delete = Event::TaskDone { command: Command::Delete(NEW), by: "ann".into() };
    illegal(&at("scheduled", Shape::Manual, "delete"), &delete, |r| version(r, NEW).id = None);
    illegal(&at("scheduled", Shape::Manual, "delete"), &delete, |r| r.plan = at("scheduled", Reversible, "delete").plan);
    let r = done(&Command::Enable(Slot::OLD));
    assert_eq!(
        (r.old().live, r.old().disable_intended, r.old().delete_intended, r.no_return),
        (Live::Active, false, false, false)
    );
}

/// `apply` is total: what is said of something that the plan does not have teaches nothing of what it has.
#[test]
fn what_the_plan_does_not_have_is_not_learned_of() {
    let (e, s, slot) = (entry("nowhere"), service("nobody"), Slot(9));
    let fault = || Fault::new(FaultClass::Temporary, "HO0000", "it failed");
    let created = Fact::Created {
        id: crate::world::id("v9"),
        username: crate::world::user("v9"),
        fingerprint: handover_rotation::name::Fingerprint::new("f9").expect("one"),
    };
    for (command, fact) in [
        (Command::ReadEntry(e.clone()), Fact::Holds(Which::Foreign)),
        (Command::Auth(slot), Fact::Login { accepted: true, reply: "235".into() }),
        (Command::Attest(s.clone()), Fact::Presents(Which::Foreign)),
        (Command::Create(slot), created),
        (Command::Disable(slot), Fact::Done),
        (Command::Write(e.clone(), slot), Fact::Done),
        (Command::Reload(s.clone()), Fact::Done),
        (Command::Probe(e.clone()), Fact::Holds(Which::Foreign)),
        (Command::Probe(e.clone()), Fact::Done),
        (Command::TestSend(s.clone()), Fact::Done),
    ] {
        for outcome in [Outcome::Done(fact), Outcome::NotDone(fault()), Outcome::Unknown(fault())] {
            let before = at("scheduled", Reversible, "verify");
            let mut r = before.clone();
            let effect = command.is_effect().then_some(1);
            if effect.is_some() {
                r.flights.insert(1, Flight { command: command.clone(), deadline: NOW, before: Some(Live::Active) });
            }
            let r = after(r, &settled(effect, command.clone(), outcome));
            assert_eq!(
                (&r.versions, &r.entries, &r.services),
                (&before.versions, &before.entries, &before.services),
                "{command}"
            );
        }
    }
    for command in [Command::Write(e, NEW), Command::Reload(s)] {
        let before = at("scheduled", Reversible, "push");
        let intended = Event::Intended { effect: 1, command, deadline: NOW };
        let r = after(before.clone(), &intended);
        assert_eq!((r.entries, r.services), (before.entries, before.services));
    }
}
