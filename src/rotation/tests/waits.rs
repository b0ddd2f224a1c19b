//! How long the machine waits before it looks, samples and goes on: the edges of its waits, as tables. A state is made by hand,
//! and `decide` is asked one millisecond before an edge and at it. Tries and giving up are in `timers`.

use handover_rotation::command::{Command, Which};
use handover_rotation::name::Slot;
use handover_rotation::outcome::FaultClass::{Permanent, Temporary};
use handover_rotation::plan::Shape::{Alternating, DeleteOnly, InPlace, Manual, Reversible};
use handover_rotation::state::{Flight, Live, Login, Phase, Rotation};
use handover_rotation::time::{Millis, Span};

use crate::world::hand::{BEGAN, NEW, at, at_the_end, changed, failed, held, looked, mutes, used, version, wants};
use crate::world::plans::entry;

const T: u64 = BEGAN.0;
/// The propagation of the tests' provider, and half of it.
const SPREAD: u64 = 10_000;
const HALF: u64 = SPREAD / 2;
const AGAIN: &str = "send with what staging holds";

fn probe() -> Command {
    Command::Probe(entry("staging"))
}

/// S9: a doubt about a version is ended by looking when nothing can land any more, again when every server has heard of it, and
/// for an absence once more half a window later.
#[test]
fn s9_a_doubt_is_looked_at_when_a_look_counts() {
    let quiet = T + 7_000;
    let settled = quiet + SPREAD;
    let look = "list versions".to_owned();
    let waits = |ms: u64| format!("waits {ms}ms");
    let table = [
        (None, None, quiet - 1, waits(1)),
        (None, None, quiet, look.clone()),
        (Some(quiet - 1), None, quiet, look.clone()),
        (Some(quiet), None, quiet, waits(SPREAD)),
        (Some(quiet), None, settled - 1, waits(1)),
        (Some(quiet), None, settled, look.clone()),
        (Some(settled - 1), None, settled, look.clone()),
        // Seen to be missing once.
        (Some(settled), Some(settled), settled, waits(HALF)),
        (Some(settled), Some(settled), settled + HALF - 1, waits(1)),
        (Some(settled), Some(settled), settled + HALF, look.clone()),
        // A look before its time does not count, and does not put it off.
        (Some(settled + 2_000), Some(settled), settled + 2_000, waits(HALF - 2_000)),
        // Looked at every time that counts, and still in doubt.
        (Some(settled), None, settled, waits(HALF)),
        (Some(settled), None, settled + HALF, look),
    ];
    for (last, absent, now, expected) in table {
        let mut r = at("scheduled", Reversible, "generate");
        let new = version(&mut r, NEW);
        (new.live, new.quiet_until, new.changed_at) = (Live::Doubt, Millis(quiet), Millis(T));
        new.absent_since = absent.map(Millis);
        if let Some(last) = last {
            r.sampled.insert(Command::ListVersions, Millis(last));
        }
        assert_eq!(wants(&r, Millis(now)), expected, "last look {last:?}, absent {absent:?}, at {now}");
    }
    // What was changed after the quiet time settles from there on.
    let mut r = at("scheduled", Reversible, "generate");
    let new = version(&mut r, NEW);
    (new.live, new.quiet_until, new.changed_at) = (Live::Doubt, Millis(T), Millis(T + 2_000));
    r.sampled.insert(Command::ListVersions, Millis(T));
    assert_eq!(wants(&r, Millis(T)), waits(2_000 + SPREAD));
    // A provider that knows everything at once is not asked without a pause.
    let mut plan = r.plan.as_ref().clone();
    plan.facts.propagation = Span(0);
    r.plan = plan.into();
    r.sampled.insert(Command::ListVersions, Millis(T + 2_000));
    assert_eq!(wants(&r, Millis(T + 2_000)), waits(500));
}

/// L3, S9: the end is claimed on a list that shows everything that requests of this rotation may have made.
#[test]
fn l3_the_last_look_is_late_enough() {
    let made = |shape, at: u64, seen: u64| {
        let mut r = at_the_end("scheduled", shape);
        version(&mut r, NEW).made_at = Some(Millis(at));
        r.sampled.insert(Command::ListVersions, Millis(seen));
        r
    };
    assert_eq!(wants(&made(Reversible, T, T), Millis(T + SPREAD - 1)), "waits 1ms");
    assert_eq!(wants(&made(Reversible, T, T + SPREAD - 1), Millis(T + SPREAD)), "list versions");
    assert_eq!(wants(&made(Reversible, T, T + SPREAD), Millis(T + SPREAD)), "ends Done");
    assert_eq!(wants(&made(DeleteOnly, T, T), Millis(T)), format!("waits {SPREAD}ms"));
    // One password for an account: a request that is repeated makes nothing more.
    assert_eq!(wants(&made(Alternating, T, T), Millis(T)), "ends Done");
    let mut r = made(Alternating, T, T - 1);
    assert_eq!(wants(&r, Millis(T)), "ends Done");
    version(&mut r, NEW).changed_at = Millis(T);
    assert_eq!(wants(&r, Millis(T)), "list versions", "a list from before the last change says nothing about the end");
    r.sampled.insert(Command::ListVersions, Millis(T));
    assert_eq!(wants(&r, Millis(T)), "ends Done");
    // The list did not show the new version: it is looked for again before the end is claimed.
    version(&mut r, NEW).absent_since = Some(Millis(T));
    assert_eq!(wants(&r, Millis(T + HALF - 1)), "waits 1ms");
    assert_eq!(wants(&r, Millis(T + HALF)), "list versions");
    r.sampled.insert(Command::ListVersions, Millis(T + HALF));
    assert_eq!(wants(&r, Millis(T + HALF)), "ends Done");
}

/// Finding 7: the old version is dead when its login was refused twice since it was disabled.
#[test]
fn the_refusal_of_the_old_version_is_proven_twice_since_it_was_disabled() {
    let disabled = T;
    let auth = "log in with the old version";
    let bound = 2 * SPREAD + 5_000;
    let login = |at: u64, accepted, streak| Some(Login { at: Millis(at), accepted, streak });
    let next = "finishes confirm, begins watch";
    let table = [
        (None, T, auth),
        (login(disabled - 1, false, 9), T, auth),
        (login(disabled, false, 2), T, next),
        (login(disabled, false, 1), T + SPREAD / 20 - 1, "waits 1ms"),
        (login(disabled, false, 1), T + SPREAD / 20, auth),
        // It may take the provider a while, and no longer than that.
        (login(disabled, true, 9), T + 499, "waits 1ms"),
        (login(disabled, true, 9), T + bound - 1, auth),
        (login(disabled, true, 1), T + bound, "rolls back: Target HO0425"),
        (login(disabled, false, 1), T + bound, auth),
    ];
    let confirming = |login| {
        let mut r = at("scheduled", Reversible, "confirm");
        let old = version(&mut r, Slot::OLD);
        (old.live, old.changed_at, old.login) = (Live::Inactive, Millis(disabled), login);
        r.passed.insert(Command::Auth(NEW));
        r.passed.extend(r.services.keys().cloned().map(Command::TestSend));
        r
    };
    for (login, now, expected) in table {
        assert_eq!(wants(&confirming(login), Millis(now)), expected, "{login:?} at {now}");
    }
    // A try that failed is followed at its own pace.
    let mut r = confirming(login(disabled, false, 1));
    failed(&mut r, &Command::Auth(Slot::OLD), 7, Temporary, [T; 3]);
    assert!(wants(&r, BEGAN).starts_with("waits 2"), "more than twenty seconds");
    // Without its secret nothing can be tried; the new one is asked all the same.
    let mut r = confirming(None);
    version(&mut r, Slot::OLD).sealed = false;
    assert_eq!(wants(&r, BEGAN), next);
    r.passed.remove(&Command::Auth(NEW));
    assert_eq!(wants(&r, BEGAN), "log in with the new version");
    // In a leak it is tried up to the deadline. When every server must know, it is disabled once more, until that is done (B16).
    let leaking = |shape, due| {
        let mut r = at("leak", shape, "confirm");
        let old = version(&mut r, Slot::OLD);
        (old.live, old.changed_at, old.login) = (Live::Inactive, Millis(disabled), login(disabled, true, 9));
        r.passed.insert(Command::Auth(NEW));
        (r.contain_by, r.containing) = (Some(Millis(T + due)), true);
        r
    };
    let both = "log in with the old version, disable the old version";
    for (shape, due, at, expected) in [
        (Reversible, bound + 1, SPREAD - 1, auth),
        (Reversible, bound + 1, SPREAD, both),
        (Alternating, bound + 1, bound, both),
        (DeleteOnly, bound + 1, bound, auth),
        (Reversible, bound, bound, "is stuck: Target HO0425"),
    ] {
        assert_eq!(wants(&leaking(shape, due), Millis(T + at)), expected, "{shape:?} {due} {at}");
    }
    let disable = Command::Disable(Slot::OLD);
    let mut r = leaking(Reversible, bound + 1);
    failed(&mut r, &disable, 1, Temporary, [T + bound; 3]);
    assert_eq!(wants(&r, Millis(T + bound)), auth, "not again at once");
    r.passed.insert(disable);
    assert_eq!(wants(&r, Millis(T + bound)), auth, "it was done again");
    // The pause follows the provider, within bounds.
    for (propagation, pause) in [(1_000, 200), (4_000, 200), (60_000, 3_000), (200_000, 5_000)] {
        let mut r = confirming(login(disabled, false, 1));
        let mut plan = r.plan.as_ref().clone();
        plan.facts.propagation = Span(propagation);
        r.plan = plan.into();
        assert_eq!(wants(&r, BEGAN), format!("waits {pause}ms"), "{propagation}");
    }
}

/// S11: a provider that tells of uses has time to notice one: it is asked again at a pace that follows it, and not for ever.
#[test]
fn s11_a_provider_that_tells_of_uses_is_given_time_to_notice() {
    let retiring = |propagation| {
        changed(looked(at("scheduled", Reversible, "deactivate")), |r| {
            let mut plan = r.plan.as_ref().clone();
            (plan.facts.tells_last_use, plan.facts.propagation) = (true, Span(propagation));
            r.plan = plan.into();
            r.sampled.insert(Command::ListVersions, BEGAN);
        })
    };
    let bound = 2 * SPREAD + 5_000;
    for (seen, now, expected) in [
        (0, SPREAD / 4 - 1, "waits 1ms"),
        (0, SPREAD / 4, "list versions"),
        (2_000, SPREAD / 4 + 1_999, "waits 1ms"),
        (2_000, SPREAD / 4 + 2_000, "list versions"),
        (0, bound - 1, "list versions"),
        (0, bound, "rolls back: Target HO0424"),
    ] {
        let mut r = retiring(SPREAD);
        r.sampled.insert(Command::ListVersions, Millis(T + seen));
        assert_eq!(wants(&r, Millis(T + now)), expected, "seen at {seen}, now {now}");
    }
    for (propagation, pause) in [(400, 250), (4_000, 1_000), (400_000, 30_000)] {
        assert_eq!(wants(&retiring(propagation), BEGAN), format!("waits {pause}ms"), "{propagation}");
    }
    let used = changed(retiring(SPREAD), |r| version(r, NEW).last_used = Some(1));
    assert_eq!(wants(&used, BEGAN), "disable the old version");
}

/// Shape D: what a person said of a version is tried by logins; they are asked again when the server has had its time.
#[test]
fn a_persons_word_is_tried_until_the_server_has_had_its_time() {
    let bound = 2 * SPREAD + 5_000;
    let auth = "log in with the old version";
    let enable = "asks a person to enable the old version";
    let back = |change: &dyn Fn(&mut Rotation)| {
        changed(at("scheduled", Manual, "watch"), |r| {
            r.phase = Phase::RollingBack;
            r.entries.values_mut().for_each(|e| e.holds = Some(Which::Slot(Slot::OLD)));
            for s in r.services.values_mut() {
                (s.reloaded, s.presents) = (Some(Slot::OLD), Some(Which::Slot(Slot::OLD)));
            }
            let old = version(r, Slot::OLD);
            (old.live, old.disable_intended, old.changed_at, old.login) = (Live::Active, true, BEGAN, None);
            change(r);
        })
    };
    let login = |at, accepted| Some(Login { at: Millis(at), accepted, streak: 1 });
    for (login, refusals, now, expected) in [
        (None, 0, T, auth),
        (login(T - 1, true), 0, T, auth),
        (login(T, false), 1, T, auth),
        (login(T, false), 1, T + bound - 1, auth),
        (login(T, false), 1, T + bound, enable),
        (login(T, false), 15, T + bound, enable),
        // Whatever is said of it, it is gone.
        (login(T, false), 16, T, "is stuck: Target HO0439"),
        (login(T - 1, false), 16, T, auth),
        (login(T, true), 16, T, "asks a person to delete the new version"),
    ] {
        let r = back(&|r| {
            (version(r, Slot::OLD).login, version(r, Slot::OLD).refusals) = (login, refusals);
            r.passed.extend(login.filter(|l| l.accepted).map(|_| Command::Auth(Slot::OLD)));
        });
        assert_eq!(wants(&r, Millis(now)), expected, "{login:?} {refusals} at {now}");
    }
    let unsealed = back(&|r| version(r, Slot::OLD).sealed = false);
    assert_eq!(wants(&unsealed, BEGAN), "asks a person to delete the new version", "nobody can try it");
    // On the old one everything hangs: its login is tried for ever. That the new one is refused can be given up.
    let failing = |slot, change: &dyn Fn(&mut Rotation)| {
        let mut r = back(change);
        failed(&mut r, &Command::Auth(slot), 200, Permanent, [T - 90_000; 3]);
        wants(&r, BEGAN)
    };
    assert_eq!(failing(Slot::OLD, &|_| {}), auth);
    let said = |r: &mut Rotation| {
        version(r, Slot::OLD).login = login(T, true);
        r.passed.insert(Command::Auth(Slot::OLD));
        (version(r, NEW).live, version(r, NEW).login) = (Live::Deleted, None);
    };
    assert_eq!(wants(&back(&said), BEGAN), "log in with the new version");
    assert_eq!(failing(NEW, &said), "is stuck: Target HO0000");
    // Forward likewise: they are asked again for what they said they did.
    for (deleting, now, expected) in [
        (false, bound - 1, auth),
        (false, bound, "asks a person to disable the old version"),
        (true, bound, "asks a person to delete the old version"),
    ] {
        let r = changed(at("scheduled", Manual, "confirm"), |r| {
            let old = version(r, Slot::OLD);
            (old.live, old.changed_at, old.login) = (Live::Inactive, BEGAN, login(T, true));
            (old.disable_intended, old.delete_intended) = (true, deleting);
            r.passed.insert(Command::Auth(NEW));
        });
        assert_eq!(wants(&r, Millis(T + now)), expected, "{deleting} {now}");
    }
}

const SAMPLES: &str = "send with what production holds, send with what staging holds, have api-production send a mail, \
                       ask api-production what it presents, have api-staging send a mail, ask api-staging what it presents";

/// A soak lasts its time, samples at its intervals, and ends with everything proven.
#[test]
fn s29_a_soak_lasts_its_time_and_samples_meanwhile() {
    let lasting = 30 * 60_000;
    let next = "finishes soak, begins deactivate";
    let quarter = lasting / 4;
    let mut r = at("scheduled", Reversible, "soak");
    for (now, expected) in [
        (0, format!("waits {quarter}ms")),
        (quarter - 1, "waits 1ms".into()),
        (quarter, SAMPLES.into()),
        (lasting - 1, SAMPLES.into()),
        (lasting, next.into()),
    ] {
        assert_eq!(wants(&r, Millis(T + now)), expected, "{now}");
    }
    // The next sample counts from when the last was sent out; one that failed is followed.
    for command in [Command::Probe(entry("staging")), Command::Probe(entry("production"))] {
        r.sampled.insert(command, Millis(T + 1_000));
    }
    let asked = SAMPLES.split_once("holds, have ").expect("services").1;
    assert_eq!(wants(&r, Millis(T + quarter)), format!("have {asked}"));
    assert!(wants(&r, Millis(T + quarter + 1_000)).starts_with("send with what production holds"));
    r.sampled.clear();
    failed(&mut r, &probe(), 1, Temporary, [T; 3]);
    assert_eq!(wants(&r, Millis(T + 600)), AGAIN);
    r.tries.clear();
    // At the end what was not proven is.
    held(&mut r, "staging").probes = 2;
    assert_eq!(wants(&r, Millis(T + lasting)), AGAIN);
    held(&mut r, "staging").probes = 3;
    used(&mut r, "api-production").presents = None;
    assert_eq!(wants(&r, Millis(T + lasting)), "ask api-production what it presents");
    // What was not moved is not sampled; what was moved and holds something else is.
    let mut r = at("scheduled", Reversible, "soak");
    (held(&mut r, "staging").touched, held(&mut r, "staging").holds) = (false, Some(Which::Slot(Slot::OLD)));
    used(&mut r, "api-staging").reloaded = None;
    held(&mut r, "production").holds = Some(Which::Slot(Slot::OLD));
    used(&mut r, "api-production").reloaded = None;
    assert_eq!(wants(&r, Millis(T + quarter)), "send with what production holds");
    // What can neither be asked nor send is not sampled.
    let mute = changed(at("scheduled", Reversible, "soak"), |r| mutes(r, "api-staging"));
    let without = ", have api-staging send a mail, ask api-staging what it presents";
    assert_eq!(wants(&mute, Millis(T + quarter)), SAMPLES.replace(without, ""));
    // Not touched, and holding the new version all the same.
    (held(&mut r, "production").touched, held(&mut r, "production").holds) = (false, Some(Which::Slot(NEW)));
    assert_eq!(wants(&r, Millis(T + quarter)), "send with what production holds");
}

#[test]
fn samples_are_taken_as_often_as_the_policy_says_and_not_without_a_pause() {
    for (lasting, sample, every) in
        [(400_000, 60_000, 60_000), (400_000, 100, 250), (200_000, 60_000, 50_000), (400, 60_000, 250)]
    {
        let mut r = at("scheduled", Reversible, "soak");
        let mut plan = r.plan.as_ref().clone();
        plan.policy.sample = Span(sample);
        plan.playbook.steps[r.step] = handover_rotation::playbook::Step::Soak { lasting: Span(lasting) };
        r.plan = plan.into();
        assert_eq!(wants(&r, BEGAN), format!("waits {every}ms"), "{lasting} {sample}");
    }
}

/// A watch begins with what the provider knows of the old version, and ends with a look after its end.
#[test]
fn s29_a_watch_lasts_its_time_and_looks_again_after_it() {
    let lasting = 24 * 3_600_000;
    let quarter = lasting / 4;
    let next = "finishes watch, begins delete";
    let watching = |shape| {
        let mut r = at("scheduled", shape, "watch");
        version(&mut r, Slot::OLD).live = Live::Inactive;
        version(&mut r, Slot::OLD).baseline = Some((None, None));
        r
    };
    let both = "send with what production holds, send with what staging holds, list versions";
    let mut r = watching(Reversible);
    for (now, expected) in [
        (0, format!("waits {quarter}ms")),
        (quarter - 1, "waits 1ms".into()),
        (quarter, both.into()),
        (lasting - 1, both.into()),
        // After its end nothing is sampled any more, but the list is looked at once more.
        (lasting, "list versions".into()),
    ] {
        assert_eq!(wants(&r, Millis(T + now)), expected, "{now}");
    }
    for (seen, expected) in [(lasting - 1, "list versions"), (lasting, next)] {
        r.sampled.insert(Command::ListVersions, Millis(T + seen));
        assert_eq!(wants(&r, Millis(T + lasting)), expected);
    }
    // A mail that failed is followed past the end, and what was not proven is.
    failed(&mut r, &probe(), 1, Temporary, [T; 3]);
    assert_eq!(wants(&r, Millis(T + lasting)), AGAIN);
    r.tries.clear();
    held(&mut r, "staging").probes = 2;
    assert_eq!(wants(&r, Millis(T + lasting)), AGAIN);

    // Without a baseline it looks at once, and then as often as everything else.
    for (shape, seen, expected) in [
        (Reversible, T - 1, "list versions".to_owned()),
        (Reversible, T, format!("waits {quarter}ms")),
        (Manual, T - 1, format!("waits {quarter}ms")),
    ] {
        let mut r = watching(shape);
        version(&mut r, Slot::OLD).baseline = None;
        r.sampled.insert(Command::ListVersions, Millis(seen));
        assert_eq!(wants(&r, BEGAN), expected, "{shape:?} {seen}");
    }
    // What is deleted need not be watched; in place that is how it always is.
    let mut r = watching(Reversible);
    version(&mut r, Slot::OLD).live = Live::Deleted;
    assert_eq!(wants(&r, BEGAN), next);
    let mut r = watching(InPlace);
    version(&mut r, Slot::OLD).live = Live::Deleted;
    assert_eq!(wants(&r, BEGAN), format!("waits {quarter}ms"));
}

#[test]
fn a_gate_waits_to_the_millisecond() {
    let mut r = at("scheduled", Reversible, "soak");
    let mut plan = r.plan.as_ref().clone();
    let within = Span(5_000);
    plan.playbook.steps[r.step] = handover_rotation::playbook::Step::Approve { by: "ann".into(), within };
    r.plan = plan.into();
    assert_eq!(wants(&r, Millis(T + 4_999)), "asks for approval");
    assert_eq!(wants(&r, Millis(T + 5_000)), "rolls back: Gate HO0423");
    r.approved.insert(r.step);
    assert_eq!(wants(&r, Millis(T + 5_000)), "finishes approve, begins deactivate");
}

#[test]
fn an_entry_in_doubt_is_read_when_nothing_can_land_any_more() {
    let read = "read staging";
    let write = Command::Write(entry("staging"), NEW);
    let mut r = at("scheduled", Reversible, "push");
    held(&mut r, "staging").holds = None;
    held(&mut r, "staging").quiet_until = Millis(T + 3_000);
    assert_eq!(wants(&r, Millis(T + 2_999)), "waits 1ms");
    assert_eq!(wants(&r, Millis(T + 3_000)), read);
    // After a write that failed it is read first, when the write may be tried again; a look that failed has its own turn.
    failed(&mut r, &write, 7, Temporary, [T; 3]);
    assert!(wants(&r, Millis(T + 3_000)).starts_with("rolls back: Target"), "it is not looked at for ever");
    failed(&mut r, &write, 4, Temporary, [T, T, T + 3_000]);
    assert!(wants(&r, Millis(T + 3_001)).starts_with("waits "));
    assert_eq!(wants(&r, Millis(T + 7_000)), read);
    failed(&mut r, &Command::ReadEntry(entry("staging")), 4, Temporary, [T, T, T + 7_000]);
    assert!(wants(&r, Millis(T + 7_001)).starts_with("waits "));
    assert_eq!(wants(&r, Millis(T + 11_000)), read);
    // While it is being written, nothing else is.
    r.flights.insert(1, Flight { command: write, deadline: Millis(T), before: None });
    assert_eq!(wants(&r, Millis(T + 11_000)), "waits for an answer");
}
