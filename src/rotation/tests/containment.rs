//! What a leak asks for, in place of and beside the steps, as tables: a state made by hand, and the next wish (L5, S19).

use handover_rotation::command::{Command, Which};
use handover_rotation::decide::{Decision, decide};
use handover_rotation::name::Slot;
use handover_rotation::outcome::FaultClass::{Credential, Permanent, Temporary};
use handover_rotation::plan::Shape::{Alternating, DeleteOnly, InPlace, Manual, Reversible};
use handover_rotation::playbook::Step;
use handover_rotation::state::{Flight, Live, Phase, Rotation, Version};
use handover_rotation::time::{Millis, Span};

use crate::world::hand::{BEGAN, NEW, at, at_the_end, changed, failed, held, looked, refused, used, version, wants};
use crate::world::id;
use crate::world::plans::{entry, service};

const T: u64 = BEGAN.0;
const LIST: &str = "list versions";
const DISABLE: &str = "disable the old version";

fn now(r: &Rotation) -> String {
    wants(r, BEGAN)
}

/// L5: when containment begins, and what it does about the old version, in every phase.
#[test]
fn l5_containment_begins_at_its_deadline_and_never_gives_up() {
    let leaking = |change: fn(&mut Rotation)| {
        changed(at("leak", Reversible, "verify"), |r| {
            r.contain_by = Some(Millis(T + 1_000));
            change(r);
        })
    };
    let at_time = |r: &Rotation, after: u64| wants(r, Millis(T + after));
    let moving = |r: &mut Rotation| held(r, "staging").probes = 0;
    assert_eq!(at_time(&leaking(moving), 999), "send with what staging holds");
    assert_eq!(at_time(&leaking(moving), 1_000), "contains, unproven 0");
    assert_eq!(at_time(&leaking(|r| used(r, "api-staging").presents = None), 1_000), "contains, unproven 1");
    assert_eq!(at_time(&leaking(|r| r.target = Slot::OLD), 1_000), "contains, unproven 2");
    // Whatever is waited for meanwhile, it is not late.
    let waiting = leaking(|r| {
        held(r, "staging").probes = 0;
        let command = Command::Probe(entry("staging"));
        r.flights.insert(1, Flight { command, deadline: BEGAN, before: None });
    });
    let wake = |r: &Rotation| match decide(r, BEGAN) {
        Decision::Act { wake, .. } => wake,
        other => panic!("{other:?}"),
    };
    assert_eq!(wake(&waiting), Some(Millis(T + 1_000)));
    assert_eq!(wake(&changed(waiting.clone(), |r| version(r, Slot::OLD).compromised = false)), None);
    // With both compromised nothing is left to wait for.
    assert_eq!(at_time(&leaking(|r| version(r, NEW).compromised = true), 0), "contains, unproven 0");
    let sound = leaking(|r| version(r, Slot::OLD).compromised = false);
    assert!(!at_time(&sound, 1_000).starts_with("contains"));
    // Stuck is no reason to leave it alive.
    let stuck = |change: fn(&mut Rotation)| changed(leaking(change), |r| r.phase = Phase::Stuck { rolling_back: false });
    assert_eq!(at_time(&stuck(|_| {}), 0), "waits 1000ms");
    assert_eq!(at_time(&stuck(|_| {}), 1_000), "contains, unproven 0");
    assert_eq!(at_time(&stuck(|r| r.containing = true), 0), DISABLE);
    assert_eq!(at_time(&stuck(|r| r.contain_by = None), 0), "rests");
    assert_eq!(at_time(&stuck(|r| version(r, Slot::OLD).compromised = false), 0), "rests");
    for live in [Live::Inactive, Live::Deleted] {
        let r = changed(stuck(|r| r.containing = true), |r| version(r, Slot::OLD).live = live);
        assert_eq!(at_time(&r, 0), "rests");
    }
    let doubtful = stuck(|r| (r.containing, version(r, Slot::OLD).live) = (true, Live::Doubt));
    assert_eq!(at_time(&doubtful, 0), DISABLE, "a doubt is answered by doing it again");
    for (shape, expected) in [
        (DeleteOnly, "delete the old version"),
        (Alternating, DISABLE),
        (Manual, "asks a person to disable the old version"),
        (InPlace, "rests"),
    ] {
        let r = changed(at("leak", shape, "verify"), |r| {
            (r.phase, r.containing) = (Phase::Stuck { rolling_back: false }, true);
        });
        assert_eq!(now(&r), expected, "{shape:?}");
    }
    let flying = changed(stuck(|r| r.containing = true), |r| {
        r.flights.insert(1, Flight { command: Command::Disable(Slot::OLD), deadline: BEGAN, before: None });
    });
    assert_eq!(at_time(&flying, 0), "waits for an answer");
    // It is tried for ever, and looked for: it may be gone already.
    for class in [Permanent, Temporary, Credential] {
        for (seen, expected) in [(None, "disable the old version, list versions"), (Some(T - 40_000), DISABLE)] {
            let mut r = stuck(|r| r.containing = true);
            failed(&mut r, &Command::Disable(Slot::OLD), 200, class, [T - 99_000, T - 40_000, T - 40_000]);
            r.sampled.extend(seen.map(|at| (Command::ListVersions, Millis(at))));
            assert_eq!(at_time(&r, 0), expected, "{class:?} {seen:?}");
            r.sampled.insert(Command::ListVersions, Millis(T - 40_001));
            assert_eq!(at_time(&r, 0), "disable the old version, list versions", "that list is older than the try");
        }
    }
}

/// L5: while it is shut out, nothing waits for a gate or a soak, and what can be moved is moved.
#[test]
fn l5_while_it_is_shut_out_everything_that_can_be_moved_is() {
    let containing = |step: &str, change: fn(&mut Rotation)| {
        changed(at("leak", Reversible, step), |r| {
            (r.containing, r.contain_by) = (true, Some(BEGAN));
            change(r);
        })
    };
    let unmoved = |r: &mut Rotation| {
        for e in r.entries.values_mut() {
            e.holds = Some(Which::Slot(Slot::OLD));
        }
    };
    let both = "disable the old version, write the new version to production, write the new version to staging";
    for step in ["push", "reload", "verify"] {
        assert_eq!(now(&containing(step, unmoved)), both, "{step}");
    }
    assert_eq!(now(&containing("deactivate", |_| {})), DISABLE);
    assert_eq!(now(&containing("push", |_| {})), DISABLE);
    assert_eq!(now(&containing("push", refused)), "finishes push, begins reload");
    let spoilt = containing("push", |r| {
        refused(r);
        r.entries.values_mut().for_each(|e| e.holds = Some(Which::Slot(Slot::OLD)));
        (version(r, NEW).compromised, version(r, NEW).live) = (true, Live::Inactive);
    });
    assert_eq!(now(&spoilt), "delete the new version", "what others know is not kept, disabled or not");
    let tried = containing("push", |r| version(r, Slot::OLD).live = Live::Inactive);
    assert_eq!(now(&tried), "log in with the old version", "a provider's word is not enough");
    // The steps that retire it go on when it is shut out; what was put back meanwhile is moved first.
    let retired = |step: &str, change: fn(&mut Rotation)| {
        changed(containing(step, refused), |r| {
            r.passed.insert(Command::Auth(NEW));
            change(r);
        })
    };
    let put_back = |r: &mut Rotation| held(r, "staging").holds = Some(Which::Slot(Slot::OLD));
    let write = "write the new version to staging";
    for (step, next) in
        [("deactivate", "finishes deactivate, begins confirm"), ("confirm", "finishes confirm, begins delete")]
    {
        assert_eq!(now(&retired(step, |_| {})), next);
        assert_eq!(now(&retired(step, put_back)), write, "{step}");
    }
    let unproven = retired("deactivate", |r| version(r, Slot::OLD).login = None);
    assert_eq!(now(&unproven), "finishes deactivate, begins confirm", "its refusal is the matter of `confirm`");
    // Preflight is through before a version is made; where it is shut out first, one is made without waiting for that step.
    let without = |r: &mut Rotation| {
        r.versions.remove(&NEW);
        r.target = Slot::OLD;
        r.passed.extend([Command::CheckHost, Command::ListVersions, Command::Auth(Slot::OLD)]);
        r.passed.extend(r.entries.keys().cloned().map(Command::ReadEntry));
        r.passed.extend(r.entries.keys().cloned().map(Command::CheckWritable));
        r.passed.extend(r.services.keys().cloned().map(Command::Attest));
    };
    assert_eq!(now(&containing("preflight", without)), DISABLE);
    let emergency = |change: fn(&mut Rotation)| {
        changed(changed(at("emergency", Reversible, "deactivate"), without), |r| {
            (r.containing, r.contain_by) = (true, Some(BEGAN));
            change(r);
        })
    };
    assert_eq!(now(&emergency(|_| {})), "opens new");
    assert_eq!(now(&emergency(|r| (r.containing, r.contain_by) = (false, None))), DISABLE);
    // Nobody is asked to open a gate that is not waited for, nor while everything is put back.
    let gate = |r: &mut Rotation| {
        let mut plan = r.plan.as_ref().clone();
        plan.playbook.steps[r.step] = Step::Approve { by: "ann".into(), within: Span::minutes(5) };
        r.plan = plan.into();
    };
    assert_eq!(now(&changed(containing("confirm", unmoved), gate)), both);
    let back = changed(at("scheduled", Reversible, "soak"), |r| {
        gate(r);
        r.phase = Phase::RollingBack;
        version(r, Slot::OLD).live = Live::Inactive;
    });
    assert_eq!(now(&back), "enable the old version");
    // A watch of a version that leaks meanwhile, where none could be disabled.
    let watching = changed(at("scheduled", DeleteOnly, "watch"), |r| {
        version(r, Slot::OLD).compromised = true;
        (r.containing, r.contain_by) = (true, Some(BEGAN));
    });
    assert_eq!(now(&watching), "delete the old version");
    // What cannot be moved holds up nothing else, until that is all that is left.
    let broken = |change: fn(&mut Rotation)| {
        let mut r = changed(containing("push", refused), |r| {
            held(r, "staging").holds = Some(Which::Foreign);
            change(r);
        });
        r.at = BEGAN;
        r
    };
    assert_eq!(now(&broken(|_| {})), "is stuck: Target HO0417");
    let others = broken(|r| held(r, "production").holds = Some(Which::Slot(Slot::OLD)));
    assert_eq!(now(&others), "write the new version to production");
    let under_way = broken(|r| {
        held(r, "production").holds = None;
        let command = Command::Write(entry("production"), NEW);
        r.flights.insert(1, Flight { command, deadline: BEGAN, before: None });
    });
    assert_eq!(now(&under_way), "waits for an answer");
    // A mail that is refused: someone else may have deleted the new version, and only a list tells.
    let refusing = |shape, class| {
        let mut r = changed(at("leak", shape, "push"), |r| {
            (r.containing, r.contain_by) = (true, Some(BEGAN));
            refused(r);
            held(r, "staging").probes = 0;
        });
        failed(&mut r, &Command::Probe(entry("staging")), 1, class, [T - 90_000; 3]);
        r
    };
    let send = "send with what staging holds";
    assert_eq!(now(&refusing(Reversible, Credential)), format!("{send}, {LIST}"));
    assert_eq!(now(&refusing(Reversible, Temporary)), send);
    assert_eq!(now(&refusing(Manual, Credential)), send);
    let mut r = refusing(Reversible, Temporary);
    failed(&mut r, &Command::Reload(service("api-staging")), 1, Credential, [T - 90_000; 3]);
    assert_eq!(now(&r), send, "only a login can be refused");
}

/// In a leak everything is tried again until the deadline; after it what has failed often enough is told.
#[test]
fn l5_in_a_leak_there_is_patience_until_the_deadline() {
    let r = |due: Option<u64>, count, class| {
        let mut r = changed(at("leak", Reversible, "push"), |r| {
            r.containing = true;
            r.contain_by = due.map(Millis);
            refused(r);
            held(r, "staging").holds = Some(Which::Slot(Slot::OLD));
        });
        failed(&mut r, &Command::Write(entry("staging"), NEW), count, class, [T - 90_000; 3]);
        now(&r)
    };
    let again = "write the new version to staging";
    let stuck = "is stuck: Target HO0000";
    for (due, count, class, expected) in [
        (Some(T + 1), 200, Permanent, again),
        (Some(T), 4, Permanent, again),
        (Some(T), 5, Permanent, stuck),
        (Some(T), 5, Temporary, stuck),
        (None, 4, Temporary, again),
        (None, 5, Temporary, stuck),
    ] {
        assert_eq!(r(due, count, class), expected, "{due:?} {count} {class:?}");
    }
    // Without a deadline, and while it is still active, what fails is told: a person says how soon it must be dead.
    let mut r = changed(at("leak", Alternating, "push"), |r| {
        r.contain_by = None;
        held(r, "staging").holds = Some(Which::Slot(Slot::OLD));
    });
    failed(&mut r, &Command::Write(entry("staging"), NEW), 5, Temporary, [T - 90_000; 3]);
    assert_eq!(now(&r), stuck);
    // The login that proves that it is dead is tried for as long as weather is held.
    for (age, live, expected) in [
        (599_999, Live::Inactive, "log in with the old version"),
        (599_999, Live::Deleted, "log in with the old version"),
        (600_000, Live::Inactive, stuck),
    ] {
        let mut r = changed(at("leak", Reversible, "push"), |r| {
            (r.containing, r.contain_by) = (true, Some(Millis(T - age)));
            version(r, Slot::OLD).live = live;
            version(r, Slot::OLD).login = None;
        });
        failed(&mut r, &Command::Auth(Slot::OLD), 200, Temporary, [T - 90_000; 3]);
        assert_eq!(now(&r), expected, "{age} {live:?}");
    }
    // In place the new password is what shuts it out: that has no end, but where it has been set already.
    for (shape, old, expected) in [
        (InPlace, Live::Active, "create the new version"),
        (InPlace, Live::Inactive, stuck),
        (Alternating, Live::Inactive, stuck),
    ] {
        let mut r = changed(looked(at("leak", shape, "generate")), |r| {
            (r.containing, r.contain_by) = (true, Some(BEGAN));
            refused(r);
            version(r, Slot::OLD).live = old;
            version(r, NEW).live = Live::Absent;
        });
        failed(&mut r, &Command::Create(NEW), 200, Permanent, [T - 90_000; 3]);
        assert_eq!(now(&r), expected, "{shape:?} {old:?}");
    }
}

/// S19: after everything was moved, what someone puts back to another version is moved and proven again.
#[test]
fn s19_what_is_put_back_in_a_leak_is_moved_again() {
    let write = "write the new version to staging";
    let send = "send with what staging holds";
    let retired = |step: &str, change: fn(&mut Rotation)| {
        changed(at("leak", Reversible, step), |r| {
            refused(r);
            r.passed.insert(Command::Auth(NEW));
            change(r);
        })
    };
    type Change = fn(&mut Rotation);
    let table: [(&str, Change, &str); 8] = [
        ("confirm", |_| {}, "finishes confirm, begins delete"),
        ("confirm", |r| held(r, "staging").holds = Some(Which::Slot(Slot::OLD)), write),
        ("confirm", |r| held(r, "staging").probes = 2, send),
        ("confirm", |r| held(r, "staging").probed = Slot::OLD, send),
        ("confirm", |r| used(r, "api-staging").presents = Some(Which::Slot(Slot::OLD)), "ask api-staging what it presents"),
        ("confirm", |r| used(r, "api-staging").sends = 2, "have api-staging send a mail"),
        // What was never moved is not the matter of what was put back.
        (
            "confirm",
            |r| (held(r, "staging").touched, held(r, "staging").probes) = (false, 2),
            "finishes confirm, begins delete",
        ),
        (
            "confirm",
            |r| (used(r, "api-staging").touched, used(r, "api-staging").sends) = (false, 2),
            "have api-staging send a mail",
        ),
    ];
    for (number, (step, change, expected)) in table.into_iter().enumerate() {
        assert_eq!(now(&retired(step, change)), expected, "line {number}");
    }
    // Outside of a leak nobody puts anything back by himself.
    let r = changed(at("scheduled", Reversible, "confirm"), |r| {
        refused(r);
        r.passed.insert(Command::Auth(NEW));
        held(r, "staging").holds = Some(Which::Slot(Slot::OLD));
    });
    assert_eq!(now(&r), "finishes confirm, begins watch");
    // At the end likewise.
    let end = |change: fn(&mut Rotation)| changed(at_the_end("leak", Reversible), change);
    assert_eq!(now(&end(|_| {})), "ends Done");
    assert_eq!(now(&end(|r| held(r, "staging").holds = Some(Which::Slot(Slot::OLD)))), write);
    assert_eq!(now(&end(|r| version(r, NEW).live = Live::Deleted)), "opens new#2");
    let busy = changed(end(|r| version(r, NEW).live = Live::Deleted), |r| {
        r.contain_by = None;
        r.flights.insert(1, Flight { command: Command::Reload(service("api-staging")), deadline: BEGAN, before: None });
    });
    assert_eq!(now(&busy), "waits for an answer");
    assert_eq!(now(&end(|r| version(r, NEW).live = Live::Inactive)), "is stuck: Target HO0422");
    // A third version that everything is moved to late is moved to by whichever step noticed it.
    let third = |r: &mut Rotation| {
        let made = Version { id: Some(id("v2")), ..r.versions[&NEW].clone() };
        r.versions.insert(Slot(2), made);
        r.target = Slot(2);
        version(r, NEW).live = Live::Deleted;
    };
    for step in ["confirm", "delete"] {
        let r = changed(retired(step, |_| {}), third);
        assert_eq!(now(&r), "write the new#2 version to production, write the new#2 version to staging", "{step}");
    }
    // It is made first, where that was not done yet.
    let fresh = changed(retired("confirm", |_| {}), |r| {
        third(r);
        (version(r, Slot(2)).live, version(r, Slot(2)).sealed) = (Live::Absent, false);
        r.passed.insert(Command::ListVersions);
    });
    assert_eq!(now(&fresh), "create the new#2 version");
    let r = changed(end(|_| {}), third);
    assert_eq!(now(&r), "write the new#2 version to production, write the new#2 version to staging");
}
