//! What a person is told when a rotation is stuck, line by line: first what to do, then what is where, and nothing that would
//! change nothing (S18).

use handover_rotation::command::{Command, Which};
use handover_rotation::event::{Failure, FailureKind};
use handover_rotation::name::Slot;
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::Shape::{Manual, Reversible};
use handover_rotation::state::{Live, Login, Phase, Rotation, Version};
use handover_rotation::time::{Millis, Span};
use handover_rotation::todo::todo;
use handover_rotation::word::proved_wrong;

use crate::world::hand::{BEGAN, NEW, at, changed, failed, held, restored, used, version};
use crate::world::id;
use crate::world::plans::{entry, service};

fn failure(kind: FailureKind, command: Option<Command>, class: FaultClass) -> Failure {
    Failure { kind, command, fault: Fault::new(class, "HO0000", "it failed") }
}

fn target() -> Failure {
    failure(FailureKind::Target, None, FaultClass::Permanent)
}

/// Everything is on the new version and proven: nothing is left to say but why.
fn sound() -> Rotation {
    at("scheduled", Reversible, "soak")
}

/// The lines about entries and services, and those about versions.
fn lines(r: &Rotation, failure: &Failure) -> (Vec<String>, Vec<String>) {
    let all = todo(r, failure).into_iter().filter(|l| !l.contains("then `handover resume"));
    all.partition(|line| line.starts_with("entry ") || line.starts_with("service "))
}

fn line(r: &Rotation, failure: &Failure) -> String {
    lines(r, failure).0.join("; ")
}

#[test]
fn s18_the_first_line_says_what_to_do_and_how_to_go_on() {
    use FailureKind::{Environment, Target};
    let probe = || Some(Command::Probe(entry("staging")));
    let active = "mail fails with the old version too, so nothing speaks against the new one; both are live and safe";
    let retired = "mail fails for now, which by itself speaks against no version; the old one is no longer active";
    let provider = "the provider does not answer for now, which speaks against no version; nothing is retired meanwhile";
    for (kind, command, old, expected) in [
        (Environment, probe(), Live::Active, Some(active)),
        (Environment, None, Live::Active, Some(active)),
        (Environment, probe(), Live::Inactive, Some(retired)),
        (Environment, Some(Command::ListVersions), Live::Active, Some(provider)),
        (Environment, Some(Command::Disable(Slot::OLD)), Live::Doubt, Some(provider)),
        (Target, probe(), Live::Active, None),
    ] {
        let r = changed(sound(), |r| version(r, Slot::OLD).live = old);
        let lines = todo(&r, &failure(kind, command.clone(), FaultClass::Temporary));
        let (weather, mend) = lines.split_at(usize::from(expected.is_some()));
        assert_eq!(weather, expected.as_slice(), "{kind:?} {command:?} {old:?}");
        assert_eq!(mend[0], "have this mended: it failed; then `handover resume rot-1`");
    }
    let mut hinted = target();
    hinted.fault.hint = Some("look at it.".into());
    assert_eq!(todo(&sound(), &hinted)[0], "look at it; then `handover resume rot-1`");

    // A refused login is a matter of the server.
    let third = changed(sound(), |r| {
        let made = Version { id: Some(id("v2")), ..r.versions[&NEW].clone() };
        r.versions.insert(Slot(2), made);
        r.target = Slot(2);
    });
    let back = changed(sound(), |r| r.phase = Phase::Stuck { rolling_back: true });
    let unnamed = changed(third.clone(), |r| version(r, Slot(2)).id = None);
    for (r, command, who) in [
        (&sound(), Some(Command::Auth(NEW)), "the new version"),
        (&sound(), Some(Command::Auth(Slot::OLD)), "the old version"),
        (&sound(), probe(), "the new version"),
        (&sound(), None, "the new version"),
        (&restored(), None, "the old version"),
        (&back, None, "the old version"),
        (&third, probe(), "the new version v2"),
        (&unnamed, probe(), "the new version"),
    ] {
        let first = todo(r, &failure(Target, command.clone(), FaultClass::Credential)).remove(0);
        let expected = format!(
            "find out at the mail server localhost:587 why it refuses {who} (it failed): restarting services does not help; \
             then `handover resume rot-1`"
        );
        assert_eq!(first, expected, "{command:?}");
    }
    let listing = failure(Target, Some(Command::ListVersions), FaultClass::Credential);
    assert!(todo(&sound(), &listing)[0].starts_with("have this mended"), "a provider's refusal is not one of a login");
}

#[test]
fn s18_every_version_that_may_live_is_named_with_its_id() {
    let old = "old version v0 of account newsletter is active";
    let disabled = "old version v0 of account newsletter is disabled (compromised: never enable it again)";
    let doubt = "is in doubt: the last call to the provider had no certain answer";
    for (live, new) in [
        (Live::Active, Some("new version v1 of account newsletter is active".to_owned())),
        (Live::Inactive, Some("new version v1 of account newsletter is disabled".to_owned())),
        (Live::Doubt, Some(format!("new version v1 of account newsletter {doubt}"))),
        (Live::Absent, None),
        (Live::Deleted, None),
    ] {
        let r = changed(sound(), |r| version(r, NEW).live = live);
        let expected: Vec<String> = std::iter::once(old.to_owned()).chain(new).collect();
        assert_eq!(lines(&r, &target()).1, expected, "{live:?}");
    }
    let r = changed(sound(), |r| {
        (version(r, Slot::OLD).live, version(r, Slot::OLD).compromised) = (Live::Inactive, true);
        version(r, NEW).id = None;
    });
    assert_eq!(lines(&r, &target()).1, [disabled]);
}

#[test]
fn s18_an_entry_is_named_that_does_not_hold_what_it_should() {
    let forward = |holds, touched| {
        let r = changed(sound(), |r| {
            (held(r, "staging").holds, held(r, "staging").touched) = (holds, touched);
        });
        lines(&r, &target()).0.into_iter().filter(|l| l.starts_with("entry ")).collect::<Vec<_>>().join("; ")
    };
    let place = "entry staging (/etc/staging.env)";
    let written = "was to be written, and was not read back since: going on reads it before it writes";
    for (holds, touched, expected) in [
        (Some(Which::Slot(NEW)), true, String::new()),
        (Some(Which::Slot(Slot::OLD)), true, format!("{place} holds the old version")),
        (Some(Which::Foreign), true, format!("{place} holds a value that this rotation does not know")),
        (Some(Which::Nothing), false, format!("{place} holds nothing")),
        (None, true, format!("{place} {written}")),
        (None, false, String::new()),
    ] {
        assert_eq!(forward(holds, touched), expected, "{holds:?} {touched}");
    }
    // Half-way back a person wants to know of each.
    let back = lines(&restored(), &target()).0;
    assert_eq!(back, ["production", "staging"].map(|e| format!("entry {e} (/etc/{e}.env) holds the old version")));
}

/// A service reads what its entry holds: the entry comes first, and what is as it should be is said to be so.
#[test]
fn s18_a_service_is_told_of_with_what_helps() {
    let with = |presents, change: fn(&mut Rotation)| {
        changed(sound(), |r| {
            used(r, "api-staging").presents = presents;
            change(r);
        })
    };
    let (old, new) = (Some(Which::Slot(Slot::OLD)), Some(Which::Slot(NEW)));
    let unsent = |r: &mut Rotation| used(r, "api-staging").sends = 0;
    let leak = |r: &mut Rotation| version(r, Slot::OLD).compromised = true;
    let says = |r: &Rotation| {
        let (all, _) = lines(r, &target());
        all.into_iter().filter(|l| l.starts_with("service ")).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(says(&sound()), "");
    assert_eq!(says(&with(old, |_| {})), "", "outside of a leak the old version is a good place to be");
    assert_eq!(
        says(&with(old, leak)),
        "service api-staging presents the old version, although entry staging holds the new version: restart it"
    );
    for (live, words) in [
        (Live::Inactive, "presents the old version, which is disabled, so it cannot send, although"),
        (Live::Deleted, "presents the old version, which is deleted, so it cannot send, although"),
        (Live::Doubt, "presents the old version, although"),
    ] {
        let text = says(&changed(with(old, leak), |r| version(r, Slot::OLD).live = live));
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(
        says(&with(Some(Which::Foreign), |_| {})),
        "service api-staging presents a value that this rotation does not know, although entry staging holds the new version: \
         restart it"
    );
    assert_eq!(says(&with(new, unsent)), "service api-staging presents the new version, as it should: nothing to do there");
    let refusal = failure(FailureKind::Target, Some(Command::TestSend(service("api-staging"))), FaultClass::Credential);
    assert_eq!(
        line(&with(new, unsent), &refusal),
        "service api-staging presents the new version, as it should, and cannot send while the server refuses it"
    );
    assert_eq!(says(&with(None, |_| {})), "service api-staging is not proven yet: going on asks it again");
    let mut unloaded = with(None, |_| {});
    failed(&mut unloaded, &Command::Reload(service("api-staging")), 1, FaultClass::Temporary, [1; 3]);
    assert_eq!(says(&unloaded), "service api-staging is not proven: its reload did not work: restart it");
    let entry_lost = |r: &mut Rotation| held(r, "staging").holds = Some(Which::Foreign);
    assert_eq!(
        says(&with(None, entry_lost)),
        "service api-staging is not proven; entry staging, which it reads, holds a value that this rotation does not know: the \
         entry comes first, a restart alone changes nothing"
    );
    assert_eq!(
        says(&with(None, |r| held(r, "staging").holds = None)),
        "service api-staging is not proven; entry staging, which it reads, comes first: going on writes it, then reloads"
    );
    let owned = changed(with(None, |_| {}), |r| {
        let mut plan = r.plan.as_ref().clone();
        plan.services.get_mut(&service("api-staging")).expect("a service").owner = Some("ann".into());
        r.plan = plan.into();
    });
    assert!(says(&owned).starts_with("service api-staging, owner ann is not proven"));
    // Half-way back the new version is not where it should be, however well it is proven.
    let back = changed(restored(), |r| used(r, "api-staging").presents = new);
    assert_eq!(
        says(&back),
        "service api-staging presents the new version, although entry staging holds the old version: restart it"
    );
    // Of several new versions it is said which.
    let third = changed(with(Some(Which::Slot(Slot(2))), |_| {}), |r| {
        let made = Version { id: Some(id("v2")), live: Live::Deleted, ..r.versions[&NEW].clone() };
        r.versions.insert(Slot(2), made);
    });
    assert!(says(&third).contains("presents the new version v2, which is deleted, so it cannot send"));
}

/// What others ask a rotation: how long it waits, and whether someone must stay with it.
#[test]
fn a_rotation_tells_how_long_it_waits_and_whether_it_may_be_left() {
    let soak = sound();
    let watch = at("scheduled", Reversible, "watch");
    let half_hour = Some(BEGAN.after(Span::minutes(30)));
    assert_eq!((soak.waits_until(), watch.waits_until()), (half_hour, Some(BEGAN.after(Span::minutes(24 * 60)))));
    for r in [
        changed(soak.clone(), |r| r.phase = Phase::RollingBack),
        changed(soak, |r| r.step_started = None),
        at("scheduled", Reversible, "push"),
    ] {
        assert_eq!(r.waits_until(), None);
    }
    let leaks = |change: fn(&mut Rotation)| changed(at("leak", Reversible, "push"), change).must_contain();
    assert!(leaks(|_| {}) && leaks(|r| version(r, Slot::OLD).live = Live::Doubt));
    assert!(
        !leaks(|r| version(r, Slot::OLD).live = Live::Inactive) && !leaks(|r| version(r, Slot::OLD).live = Live::Deleted)
    );
    assert!(!leaks(|r| version(r, Slot::OLD).compromised = false));
    assert!(!leaks(|r| r.phase = Phase::Ended(handover_rotation::event::Ending::Refused)));
    // A person's word is wrong when the server accepts a login after it. A provider's word is the matter of `confirm`.
    for (shape, said, login, wrong, contain) in [
        (Manual, true, None, false, false),
        (Manual, true, Some((BEGAN, true)), true, true),
        (Manual, true, Some((Millis(BEGAN.0 - 1), true)), false, false),
        (Manual, true, Some((BEGAN, false)), false, false),
        (Manual, false, Some((BEGAN, true)), false, false),
        (Reversible, true, Some((BEGAN, true)), true, false),
    ] {
        let r = changed(at("leak", shape, "confirm"), |r| {
            let old = version(r, Slot::OLD);
            (old.live, old.changed_at, old.disable_intended) = (Live::Inactive, BEGAN, said);
            old.login = login.map(|(at, accepted)| Login { at, accepted, streak: 1 });
        });
        assert_eq!((proved_wrong(r.old()), r.must_contain()), (wrong, contain), "{shape:?} {said} {login:?}");
    }
    // What is proven of a service: reloaded with it, presents it, and has sent with it; where it can be asked.
    let proven = |change: fn(&mut Rotation)| changed(sound(), change).is_proven(&service("api-staging"), NEW);
    let mute = |r: &mut Rotation| {
        let mut plan = r.plan.as_ref().clone();
        let s = plan.services.get_mut(&service("api-staging")).expect("a service");
        (s.attest, s.test_send) = (false, false);
        r.plan = plan.into();
        (used(r, "api-staging").presents, used(r, "api-staging").sends) = (None, 0);
    };
    assert!(proven(|_| {}) && proven(mute));
    assert!(!proven(|r| used(r, "api-staging").reloaded = Some(Slot::OLD)) && !proven(|r| used(r, "api-staging").sends = 2));
    assert!(!proven(|r| used(r, "api-staging").presents = None));
    assert!(!sound().is_proven(&service("nobody"), NEW));
    assert_eq!(sound().started_at, Millis(1));
}
