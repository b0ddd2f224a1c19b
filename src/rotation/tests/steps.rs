//! What each step asks for, and what a leak asks for in its place, as tables: a state made by hand, and the next wish.

use handover_rotation::command::{Command, Which};
use handover_rotation::event::Event;
use handover_rotation::name::Slot;
use handover_rotation::outcome::FaultClass::{Permanent, Temporary};
use handover_rotation::plan::Shape::{self, Alternating, DeleteOnly, InPlace, Manual, Reversible};
use handover_rotation::playbook::OnFailure;
use handover_rotation::state::{Flight, Live, Login, Phase, Rotation, Version};
use handover_rotation::time::Millis;

use crate::world::hand::{
    BEGAN, NEW, at, at_the_end, changed, failed, gated, held, looked, mutes, refused, restored, used, version, wants,
};
use crate::world::id;
use crate::world::plans::{entry, service};

const T: u64 = BEGAN.0;
const LIST: &str = "list versions";
const DISABLE: &str = "disable the old version";

fn now(r: &Rotation) -> String {
    wants(r, BEGAN)
}

#[test]
fn p_preflight_looks_at_everything_and_changes_nothing() {
    let r = changed(at("scheduled", Reversible, "preflight"), |r| {
        r.versions.remove(&NEW);
        r.target = Slot::OLD;
    });
    let all = "check this machine, list versions, log in with the old version, check that production can be written, \
               read production, check that staging can be written, read staging, ask api-production what it presents, \
               ask api-staging what it presents";
    assert_eq!(now(&r), all);
    let unsealed = changed(r.clone(), |r| version(r, Slot::OLD).sealed = false);
    assert_eq!(now(&unsealed), all.replace("log in with the old version, ", ""), "nobody knows its password");
    let mute = changed(r.clone(), |r| {
        let mut plan = r.plan.as_ref().clone();
        plan.services.get_mut(&service("api-staging")).expect("a service").attest = false;
        r.plan = plan.into();
    });
    assert_eq!(now(&mute), all.replace(", ask api-staging what it presents", ""));
    // A look that failed is tried again, but in a leak it is advice: once is enough.
    for (name, expected) in [("scheduled", all.to_owned()), ("leak", all.replace("check this machine, ", ""))] {
        let mut r = changed(at(name, Reversible, "preflight"), |r| {
            r.versions.remove(&NEW);
            r.target = Slot::OLD;
        });
        failed(&mut r, &Command::CheckHost, 1, Temporary, [T - 90_000; 3]);
        assert_eq!(now(&r), expected, "{name}");
    }
    let passed = changed(looked(r), |r| {
        r.passed.extend([Command::CheckHost, Command::Auth(Slot::OLD)]);
        r.passed.extend(r.entries.keys().cloned().map(Command::CheckWritable));
    });
    assert_eq!(now(&passed), "finishes preflight, begins generate");
}

/// S3, S5, S9: what `generate` does about a version, wherever it stands.
#[test]
fn s5_generate_makes_one_sound_version() {
    let r = |change: fn(&mut Version)| changed(looked(at("scheduled", Reversible, "generate")), |r| change(version(r, NEW)));
    let next = "finishes generate, begins push";
    let create = "create the new version";
    let delete = "delete the new version";
    type Change = fn(&mut Version);
    let table: [(Change, &str); 9] = [
        (|_| {}, next),
        (|v| v.login = None, "log in with the new version"),
        (|v| v.live = Live::Absent, create),
        // Nobody knows its secret: it is never used, only deleted, and another is made.
        (|v| v.sealed = false, delete),
        (|v| (v.sealed, v.live) = (false, Live::Inactive), delete),
        (|v| v.live = Live::Deleted, "opens new#2"),
        (|v| v.live = Live::Doubt, LIST),
        // Someone else disabled it: a person decides.
        (|v| v.live = Live::Inactive, "rolls back: Target HO0422"),
        (|v| v.compromised = true, "rolls back: Target HO0427"),
    ];
    for (number, (change, expected)) in table.into_iter().enumerate() {
        assert_eq!(now(&r(change)), expected, "line {number}");
    }
    let unlooked = |live| changed(at("scheduled", Reversible, "generate"), |r| version(r, NEW).live = live);
    assert_eq!(now(&unlooked(Live::Absent)), LIST, "whether one more fits is looked at first");
    assert_eq!(now(&unlooked(Live::Inactive)), LIST);
    assert_eq!(
        now(&changed(r(|v| v.live = Live::Absent), |r| {
            let made = Version { live: Live::Active, id: Some(id("v7")), ..r.versions[&NEW].clone() };
            r.versions.insert(Slot(128), made);
        })),
        "delete the stray#1 version",
        "a stray takes the room of a version"
    );
    let flying = |command: Command| {
        let flight = Flight { command, deadline: BEGAN, before: None };
        changed(r(|v| v.live = Live::Doubt), |r| drop(r.flights.insert(1, flight)))
    };
    assert_eq!(now(&flying(Command::Create(NEW))), "waits for an answer");
    // In place, a password that is being set may do away with the one to be made; elsewhere one is not in the way of the other.
    for (name, shape, command, expected) in [
        ("scheduled", InPlace, Command::Enable(Slot::OLD), "waits for an answer"),
        ("leak", Reversible, Command::Disable(Slot::OLD), create),
    ] {
        let r = changed(looked(at(name, shape, "generate")), |r| {
            version(r, NEW).live = Live::Absent;
            r.containing = r.is_leak();
            r.flights.insert(1, Flight { command, deadline: BEGAN, before: None });
        });
        assert_eq!(now(&r), expected, "{shape:?}");
    }
    // While something is under way no further version is opened, and nothing is given up.
    let deleting = changed(r(|v| v.live = Live::Deleted), |r| {
        let flight = Flight { command: Command::Delete(Slot(128)), deadline: BEGAN, before: None };
        r.flights.insert(1, flight);
    });
    assert_eq!(now(&deleting), "waits for an answer");
    let by_person = changed(looked(at("scheduled", Manual, "generate")), |r| version(r, NEW).live = Live::Absent);
    assert_eq!(now(&by_person), "asks a person to create the new version");
    let disabled = changed(at("scheduled", Manual, "generate"), |r| version(r, NEW).live = Live::Inactive);
    assert_eq!(now(&disabled), "rolls back: Target HO0422", "there is no list to look at first");
    let none = changed(looked(at("scheduled", Reversible, "generate")), |r| {
        r.versions.remove(&NEW);
        r.target = Slot::OLD;
    });
    assert_eq!(now(&none), "opens new");
    let busy = changed(none, |r| {
        r.flights.insert(1, Flight { command: Command::Delete(Slot(128)), deadline: BEGAN, before: None });
    });
    assert_eq!(now(&busy), "waits for an answer");
}

#[test]
fn s1_steps_go_on_only_with_a_version_that_is_alive_and_accepted() {
    for step in ["push", "verify"] {
        for live in [Live::Inactive, Live::Deleted, Live::Absent] {
            let r = changed(at("scheduled", Reversible, step), |r| version(r, NEW).live = live);
            assert_eq!(now(&r), "rolls back: Target HO0422", "{step} {live:?}");
        }
        let doubtful = changed(at("scheduled", Reversible, step), |r| version(r, NEW).live = Live::Doubt);
        assert_eq!(now(&doubtful), "list versions", "{step}: a doubt is no failure");
    }
    let unproven = |shape| changed(at("scheduled", shape, "push"), |r| version(r, NEW).login = None);
    assert_eq!(now(&unproven(Reversible)), "log in with the new version");
    assert_eq!(now(&unproven(InPlace)), "finishes push, begins push", "in place there is no choice");
    let r = changed(at("scheduled", Reversible, "push"), |r| held(r, "staging").holds = Some(Which::Nothing));
    assert_eq!(now(&r), "write the new version to staging");
    let r = changed(at("scheduled", Reversible, "push"), |r| held(r, "staging").holds = Some(Which::Foreign));
    assert_eq!(now(&r), "rolls back: Target HO0417");
    let r = changed(at("scheduled", Reversible, "push"), |r| held(r, "production").holds = None);
    assert_eq!(now(&r), "finishes push, begins reload", "the other environment is not its matter");
    let r = changed(at("scheduled", Reversible, "reload"), |r| used(r, "api-staging").reloaded = Some(Slot::OLD));
    assert_eq!(now(&r), "reload api-staging");
    let mute = changed(r, |r| {
        let mut plan = r.plan.as_ref().clone();
        plan.services.get_mut(&service("api-staging")).expect("a service").reload = None;
        r.plan = plan.into();
    });
    assert_eq!(now(&mute), "rolls back: Target HO0418");
    for (presents, sends, expected) in [
        (Some(Which::Slot(NEW)), 3, "finishes verify, begins push"),
        (Some(Which::Slot(NEW)), 2, "have api-staging send a mail"),
        (Some(Which::Slot(Slot::OLD)), 3, "ask api-staging what it presents"),
        (None, 0, "ask api-staging what it presents, have api-staging send a mail"),
    ] {
        let r = changed(at("scheduled", Reversible, "verify"), |r| {
            (used(r, "api-staging").presents, used(r, "api-staging").sends) = (presents, sends);
        });
        assert_eq!(now(&r), expected, "{presents:?} {sends}");
    }
    let last = changed(at("scheduled", Reversible, "verify"), |r| {
        r.step = r.plan.playbook.steps.iter().rposition(|s| s.word() == "verify").expect("two");
        held(r, "production").probes = 2;
    });
    assert_eq!(now(&last), "send with what production holds");
    let mute = changed(at("scheduled", Reversible, "verify"), |r| {
        mutes(r, "api-staging");
        (used(r, "api-staging").presents, used(r, "api-staging").sends) = (None, 0);
    });
    assert_eq!(now(&mute), "finishes verify, begins push", "the gate before `deactivate` sees to that one");
    for (probes, probed, expected) in [(3, NEW, "finishes"), (2, NEW, "send with"), (3, Slot::OLD, "send with")] {
        let r = changed(at("scheduled", Reversible, "verify"), |r| {
            (held(r, "staging").probes, held(r, "staging").probed) = (probes, probed);
        });
        assert!(now(&r).starts_with(expected), "{probes} {probed}: {}", now(&r));
    }
}

/// S11: everything is looked at once more, then it is asked whether the evidence is complete, then the old version goes.
#[test]
fn s11_the_old_version_is_retired_on_fresh_evidence() {
    let reads = "read production, read staging, ask api-production what it presents, ask api-staging what it presents";
    let everything = format!("{reads}, {LIST}");
    let by_login = format!("{reads}, log in with the new version");
    for (shape, step, then) in [
        (Reversible, "deactivate", DISABLE),
        (DeleteOnly, "deactivate", "finishes deactivate, begins confirm"),
        (DeleteOnly, "delete", "delete the old version"),
        (Alternating, "deactivate", DISABLE),
        (Manual, "deactivate", "asks a person to disable the old version"),
        (InPlace, "delete", "finishes delete"),
    ] {
        let r = at("scheduled", shape, step);
        let first = match shape {
            InPlace => "finishes delete",
            // Nothing can be listed.
            Manual => by_login.as_str(),
            _ => everything.as_str(),
        };
        assert_eq!(now(&r), first, "{shape:?} {step}");
        let r = changed(r, |r| r.passed.extend((shape == Manual).then_some(Command::Auth(NEW))));
        assert_eq!(now(&looked(r.clone())), then, "{shape:?} {step}");
        if !matches!(shape, InPlace | Manual) {
            // One that can prove nothing, and nobody has said that it may go.
            let mute = changed(looked(r.clone()), |r| {
                let mut plan = r.plan.as_ref().clone();
                let s = plan.services.get_mut(&service("api-staging")).expect("a service");
                (s.attest, s.test_send) = (false, false);
                r.plan = plan.into();
            });
            assert_eq!(now(&mute), "rolls back: Target HO0424", "{shape:?} {step}");
            assert_eq!(now(&changed(mute, |r| gated(r, "deactivate"))), then);
            // The last list did not show the new version.
            let missing = changed(looked(r), |r| version(r, NEW).absent_since = Some(BEGAN));
            assert_eq!(now(&missing), "waits 5000ms", "{shape:?} {step}");
        }
    }
    let unattested = changed(at("scheduled", Reversible, "deactivate"), |r| {
        let mut plan = r.plan.as_ref().clone();
        plan.services.get_mut(&service("api-staging")).expect("a service").attest = false;
        r.plan = plan.into();
    });
    assert_eq!(now(&unattested), everything.replace(", ask api-staging what it presents", ""));
    let next = "finishes deactivate, begins confirm";
    for (shape, live, expected) in [
        (Reversible, Live::Inactive, next),
        (Reversible, Live::Deleted, next),
        (InPlace, Live::Inactive, next),
        (InPlace, Live::Active, next),
        // Whether it was disabled is found out, not done again.
        (Reversible, Live::Doubt, LIST),
    ] {
        let r = changed(at("scheduled", shape, "deactivate"), |r| version(r, Slot::OLD).live = live);
        assert_eq!(now(&r), expected, "{shape:?} {live:?}");
    }
    for (live, expected) in [(Live::Deleted, "finishes delete"), (Live::Doubt, LIST), (Live::Inactive, everything.as_str())]
    {
        let r = changed(at("scheduled", Reversible, "delete"), |r| version(r, Slot::OLD).live = live);
        assert_eq!(now(&r), expected, "{live:?}");
    }
    // In a leak nobody is waited for who could say that it may go.
    for (name, expected) in [("leak", "delete the old version"), ("scheduled", "rolls back: Target HO0424")] {
        let mute = changed(looked(at(name, Reversible, "delete")), |r| {
            refused(r);
            mutes(r, "api-staging");
        });
        assert_eq!(now(&mute), expected, "{name}");
    }
    // Where it can only be deleted, that is when its refusal is proven.
    let r = changed(at("scheduled", DeleteOnly, "delete"), |r| version(r, Slot::OLD).live = Live::Deleted);
    assert_eq!(now(&r), "log in with the old version");
    let disabling = changed(looked(at("scheduled", Reversible, "deactivate")), |r| {
        version(r, Slot::OLD).live = Live::Doubt;
        let flight = Flight { command: Command::Disable(Slot::OLD), deadline: BEGAN, before: None };
        r.flights.insert(1, flight);
    });
    assert_eq!(now(&disabling), "waits for an answer");
}

/// Who enables a retired version again needs it: it comes back, unless it is compromised.
#[test]
fn a_retired_version_that_is_active_again_brings_everything_back() {
    for step in ["confirm", "watch", "delete"] {
        let r = |name, shape| at(name, shape, step);
        assert_eq!(now(&r("scheduled", Reversible)), "rolls back: Target HO0428", "{step}");
        for shape in [DeleteOnly, InPlace] {
            assert!(!now(&r("scheduled", shape)).starts_with("rolls back"), "{step} {shape:?}: it never was disabled");
        }
        let meant = changed(r("scheduled", Reversible), |r| {
            let mut plan = r.plan.as_ref().clone();
            plan.playbook.steps.retain(|s| s.word() != "deactivate");
            (r.plan, r.step) = (plan.into(), r.step - 1);
        });
        assert!(!now(&meant).starts_with("rolls back"), "{step}: no step has disabled it");
        let sound = changed(r("scheduled", Reversible), |r| version(r, Slot::OLD).live = Live::Inactive);
        assert!(!now(&sound).starts_with("rolls back"), "{step}");
        if step != "watch" {
            assert_eq!(now(&r("leak", Reversible)), DISABLE, "{step}");
        }
    }
}

#[test]
fn confirm_asks_for_the_new_login_once_and_only_where_it_is_alive() {
    let r = |change: fn(&mut Rotation)| changed(changed(at("scheduled", Reversible, "confirm"), refused), change);
    assert_eq!(now(&r(|_| {})), "log in with the new version");
    assert_eq!(now(&r(|r| r.passed.extend([Command::Auth(NEW)]))), "finishes confirm, begins watch");
    assert_eq!(now(&r(|r| version(r, NEW).live = Live::Inactive)), "rolls back: Target HO0422");
    let unsent = |r: &mut Rotation| {
        r.passed.insert(Command::Auth(NEW));
        r.passed.remove(&Command::TestSend(service("api-staging")));
    };
    assert_eq!(now(&r(unsent)), "have api-staging send a mail", "with the old one it could not");
    let failed_once = changed(r(unsent), |r| {
        r.passed.insert(Command::TestSend(service("api-staging")));
        used(r, "api-staging").sends = 1;
    });
    assert_eq!(now(&failed_once), "have api-staging send a mail", "one that failed proves itself as often as at first");
    assert_eq!(
        now(&changed(at("scheduled", DeleteOnly, "confirm"), |r| version(r, Slot::OLD).login = None)),
        "log in with the new version",
        "where the old one is still active, it is not to be refused"
    );
    let gone = changed(at("scheduled", DeleteOnly, "confirm"), |r| version(r, NEW).live = Live::Inactive);
    assert_eq!(now(&gone), "finishes confirm, begins watch", "the samples of the watch see to that one");
}

#[test]
fn l3_the_sweep_leaves_nothing_but_the_version_moved_to() {
    let r = || at_the_end("scheduled", Reversible);
    assert_eq!(now(&r()), "ends Done");
    for (live, expected) in [
        (Live::Active, "delete the new version"),
        (Live::Inactive, "delete the new version"),
        (Live::Deleted, "ends Done"),
        (Live::Absent, "ends Done"),
    ] {
        let two = changed(r(), |r| {
            let second = Version { id: Some(id("v2")), ..r.versions[&NEW].clone() };
            r.versions.insert(Slot(2), second);
            r.target = Slot(2);
            version(r, NEW).live = live;
            for e in r.entries.values_mut() {
                (e.holds, e.probed) = (Some(Which::Slot(Slot(2))), Slot(2));
            }
            for s in r.services.values_mut() {
                (s.presents, s.reloaded) = (Some(Which::Slot(Slot(2))), Some(Slot(2)));
            }
        });
        assert_eq!(now(&two), expected, "{live:?}");
    }
    assert_eq!(now(&changed(r(), |r| version(r, NEW).live = Live::Inactive)), "is stuck: Target HO0422");
    // What a person has mended while it was stuck at the last step is read, and moved again, before the end is claimed.
    assert_eq!(now(&changed(r(), |r| held(r, "staging").holds = None)), "read staging");
    let put_back = changed(r(), |r| held(r, "staging").holds = Some(Which::Slot(Slot::OLD)));
    assert_eq!(now(&put_back), "write the new version to staging");
    let unlisted = |shape| changed(at_the_end("scheduled", shape), |r| r.sampled.clear());
    assert_eq!(
        (now(&unlisted(Reversible)).as_str(), now(&unlisted(Manual)).as_str()),
        (LIST, "log in with the new version")
    );
    let flying = changed(r(), |r| {
        r.flights.insert(1, Flight { command: Command::Control, deadline: BEGAN, before: None });
    });
    assert_eq!(now(&flying), "waits for an answer");
    assert_eq!(now(&changed(r(), |r| version(r, NEW).compromised = true)), "is stuck: Target HO0427");
}

/// Where a failure leads: back, to a rest, or nowhere.
#[test]
fn a_failure_leads_back_where_there_is_a_way_back() {
    let failing = |name: &str| {
        let mut r = changed(at(name, Reversible, "push"), |r| held(r, "staging").holds = Some(Which::Slot(Slot::OLD)));
        failed(&mut r, &Command::Write(entry("staging"), NEW), 9, Permanent, [T - 90_000; 3]);
        r
    };
    let stop = |r: &mut Rotation| {
        let mut plan = r.plan.as_ref().clone();
        plan.playbook.on_failure = OnFailure::Stop;
        r.plan = plan.into();
    };
    let back = "rolls back: Target HO0000";
    let stuck = "is stuck: Target HO0000";
    assert_eq!(now(&failing("scheduled")), back);
    assert_eq!(now(&changed(failing("scheduled"), stop)), stuck);
    assert_eq!(now(&changed(failing("scheduled"), |r| r.no_return = true)), stuck);
    assert_eq!(now(&changed(failing("scheduled"), |r| version(r, Slot::OLD).live = Live::Deleted)), stuck);
    // Nothing was changed: there is nothing to stand still on.
    let mut early = changed(at("scheduled", Reversible, "preflight"), |r| {
        r.versions.remove(&NEW);
        r.target = Slot::OLD;
        r.entries.values_mut().for_each(|e| e.touched = false);
        r.services.values_mut().for_each(|s| s.touched = false);
    });
    failed(&mut early, &Command::CheckHost, 9, Permanent, [T - 90_000; 3]);
    assert_eq!(now(&changed(early.clone(), stop)), back);
    let ended = changed(early, |r| r.phase = Phase::RollingBack);
    assert_eq!(now(&ended), "ends Refused");
    // Who asks to stop is heard before anything else is done; not so when what would be put back has leaked.
    let abort = |r: &mut Rotation| {
        r.apply(BEGAN, &Event::AbortRequested { by: "ann".into(), reason: None }).expect("there is a way back");
    };
    let stopped = changed(at("scheduled", Reversible, "push"), abort);
    assert_eq!(now(&stopped), "rolls back: Abort HO0420");
    assert_eq!(now(&changed(stopped, |r| version(r, Slot::OLD).compromised = true)), "finishes push, begins reload");
    // Over is over, and stuck is a rest.
    for phase in [Phase::Ended(handover_rotation::event::Ending::Done), Phase::Stuck { rolling_back: false }] {
        assert_eq!(now(&changed(at("scheduled", Reversible, "push"), |r| r.phase = phase)), "rests");
    }
}

/// S16, S17: the order of a rollback, each thing once the one before is true.
#[test]
fn s17_rolling_back_is_done_in_the_order_that_is_safe() {
    let mut r = restored();
    (r.at, r.step_started) = (BEGAN, Some(BEGAN));
    let old = version(&mut r, Slot::OLD);
    (old.live, old.disable_intended) = (Live::Inactive, true);
    held(&mut r, "staging").holds = Some(Which::Slot(NEW));
    used(&mut r, "api-production").reloaded = None;
    used(&mut r, "api-staging").presents = None;
    let mut then = |expected: &str, change: fn(&mut Rotation)| {
        assert_eq!(now(&r), expected);
        change(&mut r);
    };
    then("enable the old version", |r| version(r, Slot::OLD).live = Live::Active);
    then(LIST, |r| r.passed.extend([Command::ListVersions]));
    then("write the old version to staging", |r| held(r, "staging").holds = Some(Which::Slot(Slot::OLD)));
    then("reload api-production, ask api-staging what it presents", |r| {
        used(r, "api-production").reloaded = Some(Slot::OLD);
        used(r, "api-staging").presents = Some(Which::Slot(Slot::OLD));
    });
    then("log in with the old version", |r| r.passed.extend([Command::Auth(Slot::OLD)]));
    then("delete the new version", |r| version(r, NEW).live = Live::Deleted);
    then("ends RolledBack", |_| {});
    let r = r;
    assert_eq!(now(&changed(r.clone(), |r| version(r, Slot::OLD).live = Live::Deleted)), "is stuck: Target HO0426");
    let unsealed = changed(r.clone(), |r| {
        r.passed.remove(&Command::Auth(Slot::OLD));
        version(r, Slot::OLD).sealed = false;
    });
    assert_eq!(now(&unsealed), "ends RolledBack", "nobody knows the old password");
    let never_disabled = changed(r.clone(), |r| {
        r.passed.remove(&Command::ListVersions);
        version(r, Slot::OLD).disable_intended = false;
    });
    assert_eq!(now(&never_disabled), "ends RolledBack", "what was known before is known still");
    let made = changed(r.clone(), |r| version(r, NEW).made_at = Some(BEGAN));
    assert_eq!(now(&made), "waits 10000ms", "a request that was repeated may still show");
    let flying = changed(r.clone(), |r| {
        r.flights.insert(1, Flight { command: Command::Control, deadline: BEGAN, before: None });
    });
    assert_eq!(now(&flying), "waits for an answer");
    // A service that was not told to reload may have restarted by itself: it is asked, and told when that is so.
    for (presents, expected) in [
        (None, "ask api-staging what it presents"),
        (Some(Which::Slot(NEW)), "reload api-staging"),
        (Some(Which::Foreign), "reload api-staging"),
        (Some(Which::Slot(Slot::OLD)), "ends RolledBack"),
    ] {
        let r = changed(r.clone(), |r| {
            let s = used(r, "api-staging");
            (s.touched, s.reloaded, s.presents) = (false, None, presents);
        });
        assert_eq!(now(&r), expected, "{presents:?}");
    }
    // One whose entry was never written and that was not told anything is none of our business.
    let untouched = changed(r.clone(), |r| {
        held(r, "staging").touched = false;
        let s = used(r, "api-staging");
        (s.touched, s.reloaded, s.presents) = (false, None, None);
    });
    assert_eq!(now(&untouched), "ends RolledBack");
    let unasked = changed(r.clone(), |r| {
        mutes(r, "api-staging");
        let s = used(r, "api-staging");
        (s.touched, s.reloaded, s.presents) = (false, None, None);
    });
    assert_eq!(now(&unasked), "reload api-staging", "one that cannot be asked is told");
    let silent = changed(unasked, |r| used(r, "api-staging").reloaded = Some(Slot::OLD));
    assert_eq!(now(&silent), "ends RolledBack", "one that cannot send either is taken at its reload");
    let told = changed(untouched, |r| used(r, "api-staging").touched = true);
    assert_eq!(now(&told), "reload api-staging");
    let mute = changed(told, |r| {
        used(r, "api-staging").reloaded = Some(Slot::OLD);
        let mut plan = r.plan.as_ref().clone();
        plan.services.get_mut(&service("api-staging")).expect("a service").attest = false;
        r.plan = plan.into();
    });
    assert_eq!(now(&mute), "have api-staging send a mail", "only now it shows that it does not need the new one");
    let sends = changed(mute, |r| r.passed.extend([Command::TestSend(service("api-staging"))]));
    assert_eq!(now(&sends), "ends RolledBack");
}

/// Shapes whose new version goes another way: one password is overwritten, and a person's word is checked.
#[test]
fn rolling_back_in_place_and_by_a_person() {
    let back = |shape: Shape, old, new, change: fn(&mut Version)| {
        changed(at("scheduled", shape, "watch"), |r| {
            r.phase = Phase::RollingBack;
            r.entries.values_mut().for_each(|e| e.holds = Some(Which::Slot(Slot::OLD)));
            for s in r.services.values_mut() {
                (s.reloaded, s.presents) = (Some(Slot::OLD), Some(Which::Slot(Slot::OLD)));
            }
            r.passed.insert(Command::Auth(Slot::OLD));
            version(r, Slot::OLD).live = old;
            version(r, NEW).live = new;
            change(version(r, NEW));
        })
    };
    let login = |accepted| Some(Login { at: BEGAN, accepted, streak: 1 });
    assert_eq!(now(&back(InPlace, Live::Inactive, Live::Doubt, |_| {})), LIST, "which password is set is found out first");
    let unwritten = changed(back(InPlace, Live::Inactive, Live::Doubt, |_| {}), |r| {
        held(r, "staging").holds = Some(Which::Slot(NEW));
    });
    assert_eq!(now(&unwritten), LIST, "and nothing is put back before that");
    let second = changed(unwritten, |r| {
        let lost = Version { live: Live::Deleted, ..r.versions[&NEW].clone() };
        r.versions.insert(Slot(2), lost);
    });
    assert_eq!(now(&second), LIST, "whatever became of others");
    assert_eq!(now(&back(InPlace, Live::Inactive, Live::Active, |_| {})), "enable the old version");
    assert_eq!(now(&back(InPlace, Live::Active, Live::Inactive, |_| {})), "ends RolledBack");
    assert_eq!(now(&back(Alternating, Live::Active, Live::Inactive, |_| {})), "delete the new version");
    assert_eq!(now(&back(Alternating, Live::Active, Live::Doubt, |_| {})), LIST);
    assert_eq!(now(&back(Manual, Live::Active, Live::Active, |_| {})), "asks a person to delete the new version");
    let try_it = "log in with the new version";
    let deleted = |change| back(Manual, Live::Active, Live::Deleted, change);
    assert_eq!(now(&deleted(|v| v.login = None)), try_it, "a person's word is checked");
    let early = changed(deleted(|_| {}), |r| version(r, NEW).login = login(true));
    assert_eq!(now(&early), "asks a person to delete the new version", "who says so too early is asked again");
    assert_eq!(now(&changed(deleted(|_| {}), |r| version(r, NEW).login = login(false))), "ends RolledBack");
    assert_eq!(now(&deleted(|v| (v.login, v.sealed) = (None, false))), "ends RolledBack");
    let before = deleted(|v| {
        v.login = Some(Login { at: Millis(T - 1), accepted: false, streak: 1 });
        v.changed_at = BEGAN;
    });
    assert_eq!(now(&before), try_it, "a refusal from before it was deleted proves nothing");
    assert_eq!(now(&changed(before, |r| version(r, NEW).login = login(false))), "ends RolledBack");
    assert_eq!(now(&back(Reversible, Live::Active, Live::Deleted, |v| v.login = None)), "ends RolledBack");
}
