//! What is learned from a fact, and whether it is good enough to go on, as tables: a state made by hand, one answer, and what is
//! known after it.

use handover_rotation::command::{Command, Fact, SeenVersion, Which};
use handover_rotation::event::Event;
use handover_rotation::name::{Fingerprint, Slot, Tag};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::Shape::{Alternating, DeleteOnly, InPlace, Reversible};
use handover_rotation::state::{Flight, Live, Login, Phase, Rotation, Version};
use handover_rotation::time::Millis;

use crate::world::hand::{BEGAN, NEW, at, held, used, version, wants};
use crate::world::plans::{entry, service};
use crate::world::{id, user};

const T: u64 = BEGAN.0;
const SPREAD: u64 = 10_000;
const HALF: u64 = SPREAD / 2;

fn seen(name: &str, tag: Option<Tag>, active: bool) -> SeenVersion {
    SeenVersion { id: id(name), username: user(name), tag, active, last_used: None, last_refused: None }
}

/// A look, or an effect under way, is answered.
fn hears(r: &mut Rotation, began: u64, command: Command, fact: Fact) {
    let effect = command.is_effect().then(|| {
        r.flights.insert(7, Flight { command: command.clone(), deadline: BEGAN, before: None });
        7
    });
    let settled = Event::Settled { effect, command, began: Millis(began), outcome: Outcome::Done(fact) };
    r.apply(Millis(began + 100), &settled).expect("it is under way");
}

fn lists(r: &mut Rotation, began: u64, list: Vec<SeenVersion>) {
    hears(r, began, Command::ListVersions, Fact::Versions(list));
}

/// The code of the fault that an answer amounts to, with its hint.
fn trouble(mut r: Rotation, command: Command, fact: Fact) -> Option<(String, String)> {
    hears(&mut r, T, command.clone(), fact);
    assert_eq!(r.passed.contains(&command), !r.tries.contains_key(&command), "`{command}` has passed or failed");
    assert_eq!(r.sampled.get(&command), Some(&BEGAN), "either way it was looked at");
    let fault = &r.tries.get(&command)?.fault;
    Some((fault.code.clone(), format!("{} {}", fault.message, fault.hint.clone().unwrap_or_default())))
}

fn code(r: &Rotation, command: Command, fact: Fact) -> Option<String> {
    trouble(r.clone(), command, fact).map(|(code, _)| code)
}

/// S9: one list that does not show a version proves nothing. When it counts, and how often it must be said.
#[test]
fn s9_absence_is_believed_late_and_twice() {
    let quiet = T + 30_000;
    let set = |live, quiet_until: u64, absent: Option<u64>, deleting, known: bool| {
        move |v: &mut Version| {
            (v.live, v.quiet_until, v.changed_at) = (live, Millis(quiet_until), Millis(T));
            (v.absent_since, v.delete_intended) = (absent.map(Millis), deleting);
            if !known {
                v.id = None;
            }
        }
    };
    let first = T + SPREAD;
    let table = [
        (set(Live::Active, 0, None, false, true), first - 1, Live::Active, None),
        (set(Live::Active, 0, None, false, true), first, Live::Active, Some(first)),
        (set(Live::Active, 0, Some(first), false, true), first + HALF - 1, Live::Active, Some(first)),
        (set(Live::Active, 0, Some(first), false, true), first + HALF, Live::Deleted, None),
        (set(Live::Inactive, 0, Some(first), false, true), first + HALF, Live::Deleted, None),
        (set(Live::Doubt, 0, Some(first), false, true), first + HALF, Live::Deleted, None),
        (set(Live::Doubt, 0, Some(first), false, false), first + HALF, Live::Absent, None),
        // A call may still land: nothing counts before. Then the window begins.
        (set(Live::Doubt, quiet, None, false, false), quiet - 1, Live::Doubt, None),
        (set(Live::Doubt, quiet, None, false, false), quiet + SPREAD - 1, Live::Doubt, None),
        (set(Live::Doubt, quiet, None, false, false), quiet + SPREAD, Live::Doubt, Some(quiet + SPREAD)),
        // What was being deleted is gone when one list says so that is not from before it was made.
        (set(Live::Doubt, quiet, None, true, true), quiet - 1, Live::Doubt, None),
        (set(Live::Doubt, quiet, None, true, true), quiet, Live::Deleted, None),
        (set(Live::Doubt, 0, None, true, true), first - 1, Live::Doubt, None),
        (set(Live::Doubt, 0, None, true, true), first, Live::Deleted, None),
        (set(Live::Doubt, quiet, None, true, false), quiet, Live::Doubt, None),
        (set(Live::Active, 0, None, true, true), first, Live::Active, Some(first)),
        // Nothing is learned of what does not exist.
        (set(Live::Absent, 0, None, false, false), quiet, Live::Absent, None),
        (set(Live::Deleted, 0, None, true, true), quiet, Live::Deleted, None),
    ];
    for (number, (change, began, live, absent)) in table.into_iter().enumerate() {
        let mut r = at("scheduled", Reversible, "push");
        change(version(&mut r, NEW));
        lists(&mut r, began, vec![seen("v0", None, true)]);
        let v = &r.versions[&NEW];
        assert_eq!((v.live, v.absent_since), (live, absent.map(Millis)), "line {number}");
    }
}

/// S16, finding 1: what a list shows counts from when nothing can land any more, and never against what is newer than it.
#[test]
fn s16_a_list_counts_when_it_cannot_be_older_than_what_is_known() {
    const QUIET: u64 = T + 30_000;
    let settled = QUIET + SPREAD;
    type Change = fn(&mut Version);
    let table: [(Slot, Live, Change, bool, u64, Live); 21] = [
        (NEW, Live::Doubt, |_| {}, true, QUIET - 1, Live::Doubt),
        (NEW, Live::Doubt, |_| {}, true, QUIET, Live::Active),
        (NEW, Live::Doubt, |_| {}, false, QUIET, Live::Inactive),
        (NEW, Live::Doubt, |v| v.disable_intended = true, true, QUIET, Live::Active),
        // A call that was given up as absent has landed after all.
        (NEW, Live::Absent, |_| {}, true, 5, Live::Active),
        (NEW, Live::Absent, |_| {}, false, 5, Live::Inactive),
        (NEW, Live::Deleted, |_| {}, true, settled, Live::Deleted),
        // Someone else has switched it.
        (NEW, Live::Active, |v| v.changed_at = Millis(T), false, T + SPREAD - 1, Live::Active),
        (NEW, Live::Active, |v| v.changed_at = Millis(T), false, T + SPREAD, Live::Inactive),
        (NEW, Live::Inactive, |v| v.changed_at = Millis(T), true, T + SPREAD - 1, Live::Inactive),
        (NEW, Live::Inactive, |v| v.changed_at = Millis(T), true, T + SPREAD, Live::Active),
        // The old version is not put back to on the word of a list that may be from before its retirement.
        (Slot::OLD, Live::Doubt, |v| v.disable_intended = true, true, QUIET, Live::Doubt),
        (Slot::OLD, Live::Doubt, |v| v.disable_intended = true, true, settled - 1, Live::Doubt),
        (Slot::OLD, Live::Doubt, |v| v.disable_intended = true, true, settled, Live::Active),
        (Slot::OLD, Live::Doubt, |v| v.disable_intended = true, false, QUIET, Live::Inactive),
        (Slot::OLD, Live::Doubt, |v| v.changed_at = Millis(1), true, QUIET, Live::Doubt),
        (
            Slot::OLD,
            Live::Doubt,
            |v| (v.changed_at, v.disable_intended, v.delete_intended) = (Millis(1), true, true),
            true,
            QUIET,
            Live::Doubt,
        ),
        // One that was never touched, or is being deleted as it was: that it is there is no old news.
        (Slot::OLD, Live::Doubt, |_| {}, true, QUIET, Live::Active),
        (Slot::OLD, Live::Doubt, |v| (v.disable_intended, v.delete_intended) = (true, true), true, QUIET, Live::Active),
        (Slot::OLD, Live::Doubt, |v| v.changed_at = Millis(QUIET + 50), true, QUIET + 50 + SPREAD - 1, Live::Doubt),
        (Slot::OLD, Live::Doubt, |v| v.changed_at = Millis(QUIET + 50), true, QUIET + 50 + SPREAD, Live::Active),
    ];
    for (number, (slot, live, change, active, began, expected)) in table.into_iter().enumerate() {
        let mut r = at("scheduled", Reversible, "push");
        let v = version(&mut r, slot);
        (v.live, v.quiet_until) = (live, Millis(QUIET));
        change(v);
        lists(&mut r, began, vec![seen(if slot.is_old() { "v0" } else { "v1" }, None, active)]);
        assert_eq!(r.versions[&slot].live, expected, "line {number}");
    }
    // What is as it was is not taken for a change: the login that proved it stays.
    let mut r = at("scheduled", Reversible, "push");
    version(&mut r, NEW).absent_since = Some(BEGAN);
    let before = r.versions[&NEW].clone();
    lists(&mut r, T + SPREAD, vec![seen("v0", None, true), seen("v1", None, true)]);
    assert_eq!(r.versions[&NEW], Version { absent_since: None, ..before });
}

#[test]
fn a_version_is_known_by_its_id_and_before_that_by_its_tag() {
    let mut r = at("scheduled", Reversible, "generate");
    let ours = Some(r.tag(NEW));
    let v = version(&mut r, NEW);
    (v.live, v.id, v.username, v.sealed) = (Live::Doubt, None, None, false);
    let other = Some(Tag::new("handover:rot-2.1").expect("a tag"));
    lists(&mut r, T, vec![seen("v8", other, true), seen("v9", None, true)]);
    assert_eq!(r.versions[&NEW].live, Live::Doubt, "those are someone else's");
    lists(&mut r, T, vec![seen("v8", None, true), seen("v1", ours.clone(), true)]);
    let v = &r.versions[&NEW];
    assert_eq!((v.live, v.id.as_ref(), v.username.as_ref()), (Live::Active, Some(&id("v1")), Some(&user("v1"))));
    assert!(!v.sealed, "its secret is not known by that");
    assert_eq!(r.strays().count(), 0);
    // Further ones with our tag were made by a request that was repeated: each gets a slot of its own, once.
    let more = vec![seen("v1", ours.clone(), true), seen("v2", ours.clone(), true), seen("v3", ours, false)];
    for _ in 0..2 {
        lists(&mut r, T, more.clone());
        let strays: Vec<_> = r.strays().map(|(slot, v)| (slot.0, v.id.clone(), v.live, v.sealed)).collect();
        let expected = [(128, Some(id("v2")), Live::Active, false), (129, Some(id("v3")), Live::Inactive, false)];
        assert_eq!(strays, expected);
    }
}

/// What the provider said of the old version when the watch began, and nothing else, is what later uses are compared with.
#[test]
fn a_use_of_the_old_version_is_noticed_in_the_watch() {
    let uses = |used, refused| SeenVersion { last_used: used, last_refused: refused, ..seen("v0", None, false) };
    let watching = |name: &str, step| {
        let mut r = at(name, Reversible, step);
        version(&mut r, Slot::OLD).live = Live::Inactive;
        r
    };
    for (step, phase, list, expected) in [
        ("watch", Phase::Forward, vec![uses(Some(5), None)], Some((Some(5), None))),
        ("watch", Phase::Forward, vec![seen("v1", None, true)], None),
        ("watch", Phase::RollingBack, vec![uses(Some(5), None)], None),
        ("confirm", Phase::Forward, vec![uses(Some(5), None)], None),
    ] {
        let mut r = watching("scheduled", step);
        r.phase = phase;
        lists(&mut r, T, list);
        assert_eq!(r.versions[&Slot::OLD].baseline, expected, "{step} {phase:?}");
        assert_eq!(r.versions[&NEW].baseline, None);
    }
    let march = 1_772_334_724_000;
    for (used, refused, expected) in [
        (Some(5), Some(3), None),
        (Some(4), Some(3), None),
        (Some(march), Some(3), Some("was used after it was retired  (at 2026-03-01 03:12:04 UTC)")),
        (Some(5), Some(march), Some("was tried after it was retired  (at 2026-03-01 03:12:04 UTC)")),
        (Some(march), Some(march), Some("was used after")),
    ] {
        let mut r = watching("scheduled", "watch");
        version(&mut r, Slot::OLD).baseline = Some((Some(5), Some(3)));
        let list = Fact::Versions(vec![uses(used, refused)]);
        let found = trouble(r.clone(), Command::ListVersions, list.clone());
        assert_eq!(found.as_ref().map(|(code, _)| code.as_str()), expected.map(|_| "HO0414"), "{used:?} {refused:?}");
        assert!(found.is_none_or(|(_, text)| text.contains(expected.unwrap_or("-"))), "{used:?} {refused:?}");
        // Where it has leaked, that is evidence and no reason to stop.
        version(&mut r, Slot::OLD).compromised = true;
        assert_eq!(code(&r, Command::ListVersions, list.clone()), None);
        // Before the watch it says nothing.
        let mut r = watching("scheduled", "confirm");
        version(&mut r, Slot::OLD).baseline = Some((Some(5), Some(3)));
        assert_eq!(code(&r, Command::ListVersions, list), None);
    }
    // What was known does not get older by a list that knows less.
    let mut r = watching("scheduled", "confirm");
    lists(&mut r, T, vec![uses(Some(5), Some(6))]);
    lists(&mut r, T, vec![uses(Some(4), None)]);
    assert_eq!((r.old().last_used, r.old().last_refused), (Some(5), Some(6)));
}

/// P3, P4, S3: the current version is there and active, and one more fits beside what others have.
#[test]
fn p3_p4_the_account_is_as_it_should_be_before_anything_changes() {
    let preflight = || {
        let mut r = at("scheduled", Reversible, "preflight");
        r.versions.remove(&NEW);
        r.target = Slot::OLD;
        r
    };
    let shut_out = |live| {
        let mut r = preflight();
        r.containing = true;
        version(&mut r, Slot::OLD).live = live;
        r
    };
    let generating = |name| {
        let mut r = at(name, Reversible, "generate");
        version(&mut r, NEW).live = Live::Absent;
        r
    };
    let (current, foreign) = (seen("v0", None, true), seen("theirs", None, true));
    let ours = |r: &Rotation| seen("v1", Some(r.tag(NEW)), true);
    let mine = ours(&generating("scheduled"));
    let others = seen("theirs", Some(Tag::new("handover:rot-2.1").expect("a tag")), true);
    let mut narrow = preflight();
    let mut plan = narrow.plan.as_ref().clone();
    plan.facts.quota = 1;
    narrow.plan = plan.into();
    let mut alternating = at("scheduled", Alternating, "preflight");
    alternating.versions.remove(&NEW);
    let table = [
        (preflight(), vec![current.clone()], None, ""),
        (preflight(), vec![foreign.clone()], Some("HO0412"), "does not list the current version v0"),
        (preflight(), vec![seen("v0", None, false)], Some("HO0411"), "v0 is disabled"),
        (shut_out(Live::Inactive), vec![seen("v0", None, false)], None, ""),
        (shut_out(Live::Deleted), vec![], None, ""),
        (shut_out(Live::Inactive), vec![], Some("HO0412"), "does not list the current version v0"),
        (preflight(), vec![current.clone(), foreign.clone()], Some("HO0413"), "who uses theirs and delete it"),
        (narrow, vec![current.clone()], Some("HO0413"), "the only version there is the one in use"),
        (alternating, vec![current.clone(), foreign.clone()], None, ""),
        (generating("scheduled"), vec![current.clone()], None, ""),
        (generating("scheduled"), vec![current.clone(), mine], None, ""),
        (generating("scheduled"), vec![current.clone(), others], Some("HO0413"), "has 2 of 2 versions"),
        // In a leak the provider says whether one more fits.
        (generating("leak"), vec![current.clone(), foreign.clone()], None, ""),
        (at("scheduled", Reversible, "push"), vec![current, foreign], None, ""),
    ];
    for (number, (r, list, expected, text)) in table.into_iter().enumerate() {
        let found = trouble(r, Command::ListVersions, Fact::Versions(list));
        assert_eq!(found.as_ref().map(|(code, _)| code.as_str()), expected, "line {number}");
        let told = found.unwrap_or_default().1;
        assert!(told.contains(text), "{told}");
    }
}

#[test]
fn s5_a_version_whose_secret_was_sealed_with_its_intent_outlives_the_call_that_made_it() {
    for (shape, expected) in [(InPlace, true), (Alternating, true), (Reversible, false), (DeleteOnly, false)] {
        let mut r = at("scheduled", shape, "generate");
        r.versions.insert(
            NEW,
            Version { id: None, username: None, sealed: false, live: Live::Absent, ..r.versions[&NEW].clone() },
        );
        let create = Command::Create(NEW);
        r.passed.insert(Command::ListVersions);
        let intended = Event::Intended { effect: r.next_effect, command: create.clone(), deadline: Millis(T + 1000) };
        r.apply(Millis(T), &intended).expect("it is permitted");
        let outcome = Outcome::Unknown(Fault::new(FaultClass::Temporary, "HO0401", "no answer"));
        let effect = Some(r.next_effect - 1);
        r.apply(Millis(T + 1000), &Event::Settled { effect, command: create, began: Millis(T), outcome })
            .expect("it is under way");
        // It was set again so lately that what a list says of it does not count by itself.
        version(&mut r, Slot::OLD).changed_at = Millis(T + 3_599_999);
        let list = vec![seen("v0", None, shape != InPlace), seen("v1", Some(r.tag(NEW)), true)];
        lists(&mut r, T + 3_600_000, list);
        let new = &r.versions[&NEW];
        assert_eq!((new.live, new.sealed), (Live::Active, expected), "{shape:?}");
        assert_eq!(new.id.as_ref().map(ToString::to_string).as_deref(), Some("v1"));
        let old = if shape == InPlace { Live::Inactive } else { Live::Active };
        assert_eq!(r.old().live, old, "{shape:?}: in place the new password has shut the old one out");
        let told = wants(&r, Millis(T + 3_700_000));
        assert_eq!(told.contains("delete the new version"), !expected, "{shape:?}: {told}");
    }
}

#[test]
fn an_entry_that_nobody_can_read_may_be_unknown_until_it_is_written() {
    let read = Command::ReadEntry(entry("staging"));
    for (write_only, touched, step, bad) in [
        (true, false, "preflight", false),
        (true, true, "preflight", true),
        (false, false, "preflight", true),
        (true, false, "deactivate", true),
    ] {
        let mut r = at("scheduled", Reversible, step);
        let mut plan = r.plan.as_ref().clone();
        plan.entries.get_mut(&entry("staging")).expect("an entry").write_only = write_only;
        r.plan = plan.into();
        held(&mut r, "staging").touched = touched;
        let found = code(&r, read.clone(), Fact::Holds(Which::Nothing));
        assert_eq!(found.as_deref(), bad.then_some("HO0415"), "{write_only} {touched} {step}");
        // Somebody's own value is never taken for the old one.
        assert_eq!(code(&r, read.clone(), Fact::Holds(Which::Foreign)).as_deref(), Some("HO0415"));
    }
}

#[test]
fn s11_an_entry_must_hold_what_the_step_stands_on() {
    let read = Command::ReadEntry(entry("staging"));
    for (step, wanted) in [
        ("preflight", Some(Slot::OLD)),
        ("push", None),
        ("verify", None),
        ("deactivate", Some(NEW)),
        ("confirm", None),
        ("delete", Some(NEW)),
    ] {
        for which in [Which::Slot(Slot::OLD), Which::Slot(NEW), Which::Foreign, Which::Nothing] {
            let r = at("scheduled", Reversible, step);
            let bad = wanted.is_some_and(|slot| which != Which::Slot(slot));
            let found = trouble(r.clone(), read.clone(), Fact::Holds(which));
            assert_eq!(found.as_ref().map(|(code, _)| code.as_str()), bad.then_some("HO0415"), "{step} {which}");
            assert!(found.is_none_or(|(_, text)| text.contains("entry staging (/etc/staging.env) holds")));
            let back = Rotation { phase: Phase::RollingBack, ..r };
            assert_eq!(code(&back, read.clone(), Fact::Holds(which)), None, "rolling back it is put back");
        }
    }
    // What an entry holds is taken in from when no write can land any more.
    for (began, expected) in [(T + 999, None), (T + 1000, Some(Which::Foreign))] {
        let mut r = at("scheduled", Reversible, "push");
        (held(&mut r, "staging").holds, held(&mut r, "staging").quiet_until) = (None, Millis(T + 1000));
        hears(&mut r, began, read.clone(), Fact::Holds(Which::Foreign));
        assert_eq!(r.entries[&entry("staging")].holds, expected);
    }
}

#[test]
fn s11_a_service_must_present_what_the_step_stands_on() {
    let attest = Command::Attest(service("api-staging"));
    for (step, phase, wanted) in [
        ("preflight", Phase::Forward, Slot::OLD),
        ("verify", Phase::Forward, NEW),
        ("deactivate", Phase::Forward, NEW),
        ("deactivate", Phase::RollingBack, Slot::OLD),
        ("preflight", Phase::RollingBack, Slot::OLD),
    ] {
        for which in [Which::Slot(Slot::OLD), Which::Slot(NEW), Which::Foreign, Which::Nothing] {
            let mut r = at("scheduled", Reversible, step);
            r.phase = phase;
            let expected = (which != Which::Slot(wanted)).then(|| "HO0416".to_owned());
            assert_eq!(code(&r, attest.clone(), Fact::Presents(which)), expected, "{step} {phase:?} {which}");
            hears(&mut r, T, attest.clone(), Fact::Presents(which));
            assert_eq!(r.services[&service("api-staging")].presents, Some(which));
        }
    }
    // The advice is what helps: a service reads what its entry holds, so the entry comes first.
    let mut r = at("scheduled", Reversible, "verify");
    let mut plan = r.plan.as_ref().clone();
    plan.services.get_mut(&service("api-staging")).expect("a service").owner = Some("ann".into());
    r.plan = plan.into();
    for (holds, advice) in [
        (Some(Which::Slot(NEW)), "may not re-read the entry: restart api-staging (owner ann)"),
        (None, "may not re-read the entry: restart api-staging (owner ann)"),
        (Some(Which::Slot(Slot::OLD)), "its entry staging holds the old version: the entry comes first"),
    ] {
        held(&mut r, "staging").holds = holds;
        held(&mut r, "production").holds = Some(Which::Foreign);
        let text = trouble(r.clone(), attest.clone(), Fact::Presents(Which::Slot(Slot::OLD))).expect("the old one").1;
        assert!(text.contains(advice), "{text}");
    }
}

#[test]
fn a_login_is_judged_by_the_version_and_the_step() {
    let refused = Fact::Login { accepted: false, reply: "535".into() };
    let accepted = Fact::Login { accepted: true, reply: "235".into() };
    let steps = ["preflight", "generate", "push", "verify", "deactivate", "confirm", "watch", "delete"];
    for step in steps {
        for (slot, containing) in [(Slot::OLD, false), (Slot::OLD, true), (NEW, false), (NEW, true)] {
            let mut r = at("scheduled", Reversible, step);
            r.containing = containing;
            let retired = slot.is_old() && (containing || ["confirm", "delete"].contains(&step));
            let found = trouble(r.clone(), Command::Auth(slot), refused.clone());
            assert_eq!(found.as_ref().map(|(code, _)| code.as_str()), (!retired).then_some("HO0410"), "{step} {slot}");
            let advice = if slot.is_old() { "`emergency`" } else { "may need longer to spread the new version" };
            assert!(found.is_none_or(|(_, text)| text.contains(advice)), "{step} {slot}");
            assert_eq!(code(&r, Command::Auth(slot), accepted.clone()), None);
            r.phase = Phase::RollingBack;
            let expected = (!(slot.is_old() && containing)).then(|| "HO0410".to_owned());
            assert_eq!(code(&r, Command::Auth(slot), refused.clone()), expected, "rolling back, {step} {slot}");
        }
    }
    // A new version that was said to be deleted is to be refused.
    for (slot, fact, expected) in [(NEW, &accepted, Some("HO0429")), (NEW, &refused, None), (Slot::OLD, &accepted, None)] {
        let mut r = at("scheduled", Reversible, "watch");
        r.phase = Phase::RollingBack;
        version(&mut r, slot).live = Live::Deleted;
        assert_eq!(code(&r, Command::Auth(slot), fact.clone()).as_deref(), expected);
    }
    // How many times in a row the server has said the same.
    let mut r = at("scheduled", Reversible, "confirm");
    version(&mut r, Slot::OLD).login = None;
    for (fact, accepted, streak) in [(&refused, false, 1), (&refused, false, 2), (&accepted, true, 1), (&refused, false, 1)]
    {
        hears(&mut r, T + 3, Command::Auth(Slot::OLD), fact.clone());
        assert_eq!(r.old().login, Some(Login { at: Millis(T + 3), accepted, streak }));
    }
}

/// S11: mails count in a row, with one version, and only while it is what the entry holds.
#[test]
fn s11_mails_are_counted_for_the_version_they_were_sent_with() {
    let probe = Command::Probe(entry("staging"));
    let mailed = Fact::Mailed { message: "m".into(), arrived: None };
    for (holds, probed, probes, expected) in [
        (Some(Which::Slot(NEW)), NEW, 1, (2, NEW)),
        (Some(Which::Slot(NEW)), Slot::OLD, 2, (1, NEW)),
        (Some(Which::Foreign), NEW, 2, (2, NEW)),
        (None, NEW, 2, (2, NEW)),
    ] {
        let mut r = at("scheduled", Reversible, "verify");
        let e = held(&mut r, "staging");
        (e.holds, e.probed, e.probes) = (holds, probed, probes);
        hears(&mut r, T, probe.clone(), mailed.clone());
        let e = &r.entries[&entry("staging")];
        assert_eq!((e.probes, e.probed), expected, "{holds:?}");
        assert!(r.passed.contains(&probe));
    }
    // It found something else there, and did not send.
    let r = at("scheduled", Reversible, "verify");
    for (which, expected) in [(Which::Foreign, "HO0415"), (Which::Slot(Slot::OLD), "HO0415"), (Which::Slot(NEW), "HO0403")] {
        assert_eq!(code(&r, probe.clone(), Fact::Holds(which)).as_deref(), Some(expected), "{which}");
        let mut r = r.clone();
        hears(&mut r, T, probe.clone(), Fact::Holds(which));
        let e = &r.entries[&entry("staging")];
        assert_eq!((e.holds, e.probes), (Some(which), 0));
    }
    let mut r = r;
    used(&mut r, "api-staging").sends = 1;
    hears(&mut r, T, Command::TestSend(service("api-staging")), mailed.clone());
    assert_eq!((r.services[&service("api-staging")].sends, r.services[&service("api-production")].sends), (2, 3));
    hears(&mut r, T, Command::Control, mailed);
    assert_eq!(r.control, Some((Millis(T + 100), true)));
}

/// IP4: refusals in a row are counted for the version that a login was made with; one that is accepted ends the row.
#[test]
fn ip4_a_refusal_counts_for_the_version_that_was_logged_in_with() {
    let mailed = || Fact::Mailed { message: "m".into(), arrived: None };
    let login = || Fact::Login { accepted: true, reply: "235".into() };
    let sends = Command::TestSend(service("api-staging"));
    for (command, reloaded, fact, slot) in [
        (Command::Auth(Slot::OLD), Some(NEW), login(), Some(Slot::OLD)),
        (Command::Auth(NEW), Some(NEW), login(), Some(NEW)),
        (Command::Control, Some(NEW), mailed(), Some(Slot::OLD)),
        (Command::Probe(entry("staging")), Some(Slot::OLD), mailed(), Some(NEW)),
        (sends.clone(), Some(NEW), mailed(), Some(NEW)),
        (sends.clone(), Some(Slot::OLD), mailed(), Some(Slot::OLD)),
        (sends, None, mailed(), Some(NEW)),
        // The store and the provider have logins of their own.
        (Command::Write(entry("staging"), NEW), Some(NEW), Fact::Done, None),
        (Command::ListVersions, Some(NEW), Fact::Versions(Vec::new()), None),
    ] {
        let mut r = at("scheduled", Reversible, "watch");
        used(&mut r, "api-staging").reloaded = reloaded;
        r.versions.values_mut().for_each(|v| v.refusals = 3);
        assert_eq!(r.logs_in(&command), slot, "{command} {reloaded:?}");
        let counts = |r: &Rotation| [r.old().refusals, r.versions[&NEW].refusals];
        let only = |count| [Slot::OLD, NEW].map(|s| if Some(s) == slot { count } else { 3 });
        let mut accepted = r.clone();
        hears(&mut accepted, T, command.clone(), fact);
        assert_eq!(counts(&accepted), only(0), "{command} {reloaded:?} is accepted");
        let effect = command.is_effect().then_some(7);
        r.flights.extend(effect.map(|n| (n, Flight { command: command.clone(), deadline: BEGAN, before: None })));
        let outcome = Outcome::NotDone(Fault::new(FaultClass::Credential, "HO0410", "535"));
        let settled = Event::Settled { effect, command: command.clone(), began: BEGAN, outcome };
        r.apply(BEGAN, &settled).expect("it is under way");
        assert_eq!(counts(&r), only(4), "{command} {reloaded:?} is refused");
    }
}

/// S20: in place there is one password, so making one does away with the other.
#[test]
fn s20_in_place_one_version_takes_the_place_of_the_other() {
    let made = Fact::Created { id: id("v2"), username: user("v2"), fingerprint: Fingerprint::new("f2").expect("one") };
    for (shape, old) in [(InPlace, Live::Inactive), (Reversible, Live::Active), (Alternating, Live::Active)] {
        let mut r = at("scheduled", shape, "generate");
        let fresh = version(&mut r, NEW);
        (fresh.live, fresh.sealed, fresh.id) = (Live::Absent, false, None);
        hears(&mut r, T, Command::Create(NEW), made.clone());
        let v = &r.versions[&NEW];
        assert_eq!(
            (v.live, v.sealed, v.id.as_ref(), v.made_at),
            (Live::Active, true, Some(&id("v2")), Some(Millis(T + 100)))
        );
        assert_eq!(v.fingerprint.as_ref().map(Fingerprint::as_str), Some("f2"));
        assert_eq!((v.login, v.changed_at), (None, Millis(T + 100)), "the old word on its login is void");
        assert_eq!(r.old().live, old, "{shape:?}");
    }
    for (shape, new) in [(InPlace, Live::Deleted), (Reversible, Live::Active)] {
        let mut r = at("scheduled", shape, "watch");
        r.phase = Phase::RollingBack;
        version(&mut r, Slot::OLD).live = Live::Inactive;
        hears(&mut r, T, Command::Enable(Slot::OLD), Fact::Done);
        assert_eq!((r.old().live, r.versions[&NEW].live), (Live::Active, new), "{shape:?}");
    }
    for (command, live) in [(Command::Disable(Slot::OLD), Live::Inactive), (Command::Delete(Slot::OLD), Live::Deleted)] {
        let mut r = at("scheduled", Reversible, "delete");
        hears(&mut r, T, command, Fact::Done);
        assert_eq!((r.old().live, r.versions[&NEW].live), (live, Live::Active));
    }
    let mut r = at("scheduled", Reversible, "reload");
    let s = used(&mut r, "api-staging");
    (s.reloading, s.reloaded, s.presents) = (Some(NEW), None, None);
    hears(&mut r, T, Command::Reload(service("api-staging")), Fact::Done);
    let s = &r.services[&service("api-staging")];
    assert_eq!((s.reloaded, s.presents), (Some(NEW), None), "a reload that was answered proves nothing");
}
