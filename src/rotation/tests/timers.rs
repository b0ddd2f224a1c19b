//! When the machine tries again, gives up, looks again and goes on: the edges of its times, as tables. A state is made by hand,
//! and `decide` is asked one millisecond before an edge and at it.

use std::collections::BTreeSet;

use handover_rotation::command::{Command, Which};
use handover_rotation::name::{RotationId, Slot};
use handover_rotation::outcome::FaultClass::{self, Credential, Environment, Permanent, Temporary};
use handover_rotation::plan::Shape::{self, Alternating, InPlace, Reversible};
use handover_rotation::state::{Flight, Live, Phase, Rotation};
use handover_rotation::time::Millis;

use crate::world::hand::{BEGAN, NEW, at, failed, held, used, version, wants};
use crate::world::plans::{entry, service};

const T: u64 = BEGAN.0;
/// The hold of the shipped playbooks, and the propagation of the tests' provider.
const HOLD: u64 = 600_000;
const SPREAD: u64 = 10_000;

fn probe() -> Command {
    Command::Probe(entry("staging"))
}

/// The wait of the machine before the next try of what failed at `T`.
fn wait(r: &Rotation) -> u64 {
    let text = wants(r, BEGAN);
    text.strip_prefix("waits ")
        .and_then(|t| t.strip_suffix("ms"))
        .and_then(|t| t.parse().ok())
        .unwrap_or_else(|| panic!("{text}"))
}

/// A write that has failed `count` times, the last time at [`BEGAN`].
fn retried(count: u8) -> Rotation {
    let mut r = at("scheduled", Reversible, "push");
    held(&mut r, "staging").holds = Some(Which::Slot(Slot::OLD));
    let mut plan = r.plan.as_ref().clone();
    plan.policy.attempts = u8::MAX;
    r.plan = plan.into();
    failed(&mut r, &Command::Write(entry("staging"), NEW), count, Temporary, [T; 3]);
    r
}

/// L7: the wait doubles up to its most, less a jitter of at most a quarter, and ends to the millisecond.
#[test]
fn l7_the_wait_between_tries_doubles_and_is_bounded() {
    for (count, most) in [(1, 500), (2, 1000), (3, 2000), (4, 4000), (6, 16_000), (7, 30_000), (17, 30_000), (200, 30_000)] {
        let r = retried(count);
        let wait = wait(&r);
        assert!((most * 3 / 4..=most).contains(&wait), "{count}: {wait} of {most}");
        assert_eq!(wants(&r, Millis(T + wait - 1)), "waits 1ms");
        assert_eq!(wants(&r, Millis(T + wait)), "write the new version to staging");
    }
}

/// Rotations that fail at the same moment do not all come back at the same moment.
#[test]
fn l7_waits_are_spread_over_a_quarter() {
    let waits: BTreeSet<u64> = (0..400)
        .map(|n| {
            let mut r = retried(7);
            r.id = RotationId::new(format!("rot-{n}")).expect("an id");
            wait(&r)
        })
        .collect();
    let (least, most) = (waits.first().copied().expect("one"), waits.last().copied().expect("one"));
    assert!(least >= 22_500 && most <= 30_000, "{least} to {most}");
    assert!(least < 22_800 && most > 29_700 && waits.len() > 120, "{least} to {most}, {} waits", waits.len());
    // One rotation's own commands are spread too.
    let mut r = retried(7);
    held(&mut r, "staging").holds = Some(Which::Slot(NEW));
    r.step += 1;
    used(&mut r, "api-staging").reloaded = None;
    failed(&mut r, &Command::Reload(service("api-staging")), 7, Temporary, [T; 3]);
    assert_ne!(wait(&r), wait(&retried(7)));
}

/// What the machine does about a command that has failed: at which step, how often, of which class, and for how long.
struct Failed {
    command: Command,
    count: u8,
    class: FaultClass,
    /// How long ago the first try failed. The last ended now, long enough ago for another.
    ago: u64,
}

fn verdict(mut r: Rotation, f: &Failed, change: impl FnOnce(&mut Rotation)) -> String {
    let now = T + 10 * HOLD;
    failed(&mut r, &f.command, f.count, f.class, [now - f.ago, now - 40_000, now - 40_000]);
    change(&mut r);
    wants(&r, Millis(now))
}

/// In the middle of proving staging, where one mail is missing.
fn proving(shape: Shape) -> Rotation {
    let mut r = at("scheduled", shape, "verify");
    held(&mut r, "staging").probes = 0;
    r
}

const AGAIN: &str = "send with what staging holds";
const ASK: &str = "control send with the old version";
const BACK: &str = "rolls back: Target HO0000";
const WEATHER: &str = "is stuck: Environment HO0000";

#[test]
fn mail_that_fails_is_tried_again_then_compared_with_a_control() {
    let now = T + 10 * HOLD;
    let last = Millis(now - 40_000);
    type Sent = Option<(Millis, bool)>;
    let table: [(u8, FaultClass, u64, Sent, &str); 16] = [
        (4, Temporary, 50_000, None, AGAIN),
        (5, Temporary, 50_000, None, ASK),
        (4, Environment, 50_000, None, AGAIN),
        (5, Environment, 50_000, None, ASK),
        // A refused login is evidence, and two are enough to ask.
        (1, Credential, 50_000, None, AGAIN),
        (2, Credential, 50_000, None, ASK),
        (1, Permanent, 50_000, None, BACK),
        // The control worked: it is the new version. It failed as well: it is the weather, for as long as it is held.
        (5, Temporary, 50_000, Some((last, true)), BACK),
        (5, Temporary, 50_000, Some((last, false)), AGAIN),
        (5, Temporary, HOLD - 1, Some((last, false)), AGAIN),
        (5, Temporary, HOLD, Some((last, false)), WEATHER),
        (5, Temporary, HOLD, Some((last, true)), BACK),
        // A control from before the last try says nothing about it.
        (5, Temporary, 50_000, Some((Millis(last.0 - 1), true)), ASK),
        (5, Temporary, HOLD, Some((Millis(last.0 - 1), false)), ASK),
        (2, Credential, 50_000, Some((last, true)), BACK),
        (2, Credential, HOLD, Some((last, false)), WEATHER),
    ];
    for (count, class, ago, control, expected) in table {
        let f = Failed { command: probe(), count, class, ago };
        let found = verdict(proving(Reversible), &f, |r| r.control = control);
        assert_eq!(found, expected, "{count} {class:?} {ago} {control:?}");
    }
    // While the control is on its way, it is waited for.
    let f = Failed { command: probe(), count: 5, class: Temporary, ago: 50_000 };
    let found = verdict(proving(Reversible), &f, |r| {
        r.flights.insert(1, Flight { command: Command::Control, deadline: Millis(now), before: None });
    });
    assert_eq!(found, "waits for an answer");
    // After one that failed, the next try waits its turn like any other.
    let found = verdict(proving(Reversible), &f, |r| {
        let tries = r.tries.get_mut(&probe()).expect("tries");
        tries.last = Millis(now);
        r.control = Some((Millis(now), false));
    });
    assert!(found.starts_with("waits ") && found != "waits for an answer", "{found}");
}

/// Where no control can tell, trouble that may pass is held like weather, and a refusal is not.
#[test]
fn mail_without_a_control_is_held() {
    type Change = fn(&mut Rotation);
    let cannot: [(&str, Shape, Change); 4] = [
        ("the old version is disabled", Reversible, |r| version(r, Slot::OLD).live = Live::Inactive),
        ("its secret is not known", Reversible, |r| version(r, Slot::OLD).sealed = false),
        ("there is one password", InPlace, |_| {}),
        ("it is in doubt", Alternating, |r| version(r, Slot::OLD).live = Live::Doubt),
    ];
    for (why, shape, change) in cannot {
        for (count, class, ago, expected) in [
            (4, Temporary, HOLD, AGAIN),
            (5, Temporary, HOLD - 1, AGAIN),
            (5, Temporary, HOLD, WEATHER),
            (5, Environment, HOLD - 1, AGAIN),
            (5, Environment, HOLD, WEATHER),
            (1, Credential, 50_000, AGAIN),
            (2, Credential, 50_000, BACK),
        ] {
            let f = Failed { command: probe(), count, class, ago };
            assert_eq!(verdict(proving(shape), &f, change), expected, "{why}: {count} {class:?} {ago}");
        }
    }
}

/// A new version that the servers do not all know yet is refused for a while: that is no evidence.
#[test]
fn a_refusal_counts_from_when_every_server_knows_the_version() {
    for (began, count, expected) in [(SPREAD - 1, 9, AGAIN), (SPREAD, 2, ASK), (SPREAD, 1, AGAIN)] {
        let f = Failed { command: probe(), count, class: Credential, ago: 50_000 };
        let found = verdict(proving(Reversible), &f, |r| {
            r.tries.get_mut(&probe()).expect("tries").began = Millis(5_000 + began);
            version(r, NEW).changed_at = Millis(5_000);
        });
        assert_eq!(found, expected, "{began} after it was made, {count} times");
    }
    // Only a refusal is too early. Preflight asks with the old version, which everyone knows.
    let f = Failed { command: probe(), count: 5, class: Temporary, ago: 50_000 };
    let early = |r: &mut Rotation| version(r, NEW).changed_at = Millis(T + 10 * HOLD);
    assert_eq!(verdict(proving(Reversible), &f, early), ASK);
    let mut preflight = at("scheduled", Reversible, "preflight");
    preflight.passed.clear();
    let f = Failed { command: Command::Auth(Slot::OLD), count: 2, class: Credential, ago: 50_000 };
    assert_eq!(verdict(preflight, &f, early), BACK);
}

/// The provider is given the hold once something has changed: going back would need the same provider.
#[test]
fn the_provider_is_held_and_other_targets_are_not() {
    let list = Command::ListVersions;
    let disable = Command::Disable(Slot::OLD);
    let retiring = || {
        let mut r = at("scheduled", Reversible, "deactivate");
        for (name, held) in r.entries.clone() {
            r.passed.insert(Command::ReadEntry(name));
            assert_eq!(held.holds, Some(Which::Slot(NEW)));
        }
        for name in r.services.clone().into_keys() {
            r.passed.insert(Command::Attest(name));
        }
        r
    };
    let proven = || {
        let mut r = retiring();
        r.passed.insert(Command::ListVersions);
        r
    };
    let write = Command::Write(entry("staging"), NEW);
    let pushing = || {
        let mut r = at("scheduled", Reversible, "push");
        held(&mut r, "staging").holds = Some(Which::Slot(Slot::OLD));
        r
    };
    let untouched = || {
        let mut r = at("scheduled", Reversible, "generate");
        version(&mut r, NEW).live = Live::Absent;
        r.entries.values_mut().for_each(|e| e.touched = false);
        r.services.values_mut().for_each(|s| s.touched = false);
        r
    };
    let table = [
        ("list", retiring(), &list, 4, Temporary, HOLD, "list versions"),
        ("list", retiring(), &list, 5, Temporary, HOLD - 1, "list versions"),
        ("list", retiring(), &list, 5, Temporary, HOLD, WEATHER),
        ("list", retiring(), &list, 5, Environment, HOLD - 1, "list versions"),
        ("list", retiring(), &list, 1, Permanent, 50_000, BACK),
        ("list", retiring(), &list, 2, Credential, 50_000, BACK),
        ("disable", proven(), &disable, 5, Temporary, HOLD - 1, "disable the old version"),
        ("disable", proven(), &disable, 5, Temporary, HOLD, WEATHER),
        // Nothing has changed yet: nobody needs to wait.
        ("before", untouched(), &list, 4, Temporary, 50_000, "list versions"),
        ("before", untouched(), &list, 5, Temporary, 50_000, BACK),
        // A store that stays away can be gone back from.
        ("write", pushing(), &write, 4, Temporary, 50_000, "write the new version to staging"),
        ("write", pushing(), &write, 5, Temporary, 50_000, BACK),
        ("write", pushing(), &write, 5, Environment, 50_000, BACK),
    ];
    for (what, r, command, count, class, ago, expected) in table {
        let f = Failed { command: command.clone(), count, class, ago };
        assert_eq!(verdict(r, &f, |_| {}), expected, "{what}: {count} {class:?} {ago}");
    }
    let deleting = {
        let mut r = proven();
        r.step = r.plan.playbook.steps.len() - 1;
        version(&mut r, Slot::OLD).live = Live::Inactive;
        r
    };
    for (ago, expected) in [(HOLD - 1, "delete the old version"), (HOLD, WEATHER)] {
        let f = Failed { command: Command::Delete(Slot::OLD), count: 5, class: Temporary, ago };
        assert_eq!(verdict(deleting.clone(), &f, |_| {}), expected);
    }
}

/// Undoing has twice the patience of doing: being stuck half-way is the worst end.
#[test]
fn rolling_back_has_more_patience() {
    let stuck = "is stuck: Target HO0000";
    let write = Command::Write(entry("production"), Slot::OLD);
    let auth = Command::Auth(Slot::OLD);
    let r = || {
        let mut r = at("scheduled", Reversible, "watch");
        r.phase = Phase::RollingBack;
        for name in ["staging", "production"] {
            held(&mut r, name).holds = Some(Which::Slot(Slot::OLD));
        }
        for name in ["api-staging", "api-production"] {
            used(&mut r, name).reloaded = Some(Slot::OLD);
            used(&mut r, name).presents = Some(Which::Slot(Slot::OLD));
        }
        r
    };
    let unwritten = || {
        let mut r = r();
        held(&mut r, "production").holds = Some(Which::Slot(NEW));
        r
    };
    let table = [
        (unwritten(), &write, 9, Temporary, HOLD, "write the old version to production"),
        (unwritten(), &write, 10, Temporary, 50_000, stuck),
        (unwritten(), &write, 9, Permanent, 50_000, "write the old version to production"),
        (unwritten(), &write, 10, Permanent, 50_000, stuck),
        // Mail trouble is held like weather; a refusal, or what will not pass, is counted.
        (r(), &auth, 200, Temporary, HOLD - 1, "log in with the old version"),
        (r(), &auth, 1, Temporary, HOLD, WEATHER),
        (r(), &auth, 200, Environment, HOLD - 1, "log in with the old version"),
        (r(), &auth, 9, Credential, HOLD, "log in with the old version"),
        (r(), &auth, 10, Credential, 50_000, stuck),
        (r(), &auth, 9, Permanent, HOLD, "log in with the old version"),
        (r(), &auth, 10, Permanent, 50_000, stuck),
    ];
    for (r, command, count, class, ago, expected) in table {
        let f = Failed { command: command.clone(), count, class, ago };
        assert_eq!(verdict(r, &f, |_| {}), expected, "{command} {count} {class:?} {ago}");
    }
}
