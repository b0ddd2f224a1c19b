//! What `permit` refuses, rule by rule: each state is made by hand, one step away from one that is permitted, so that a rule is
//! seen to be what makes the difference. `decide` never asks for these; `permit` is there for the day when it does.

use handover_rotation::command::{Command, Which};
use handover_rotation::event::Event;
use handover_rotation::invariant::permit;
use handover_rotation::name::Slot;
use handover_rotation::plan::Shape;
use handover_rotation::state::{Flight, Live, Login, Phase, Rotation, Version};
use handover_rotation::time::Millis;

use crate::world::hand::{NEW, gated, held, mutes, proven, restored, used, version};
use crate::world::plans::{entry, service};

/// Permitted as it is; refused by `rule` after `change`.
fn refuses(rule: &str, r: &Rotation, command: &Command, change: impl FnOnce(&mut Rotation)) {
    assert_eq!(permit(r, r.next_effect, command), Ok(()), "{rule}: `{command}` is permitted before the change");
    let mut changed = r.clone();
    change(&mut changed);
    let refusal = permit(&changed, changed.next_effect, command).expect_err("it is refused");
    assert!(refusal.why.starts_with(&format!("{rule}: ")), "{rule}: {}", refusal.why);
    let deadline = Millis(10);
    let intended = Event::Intended { effect: changed.next_effect, command: command.clone(), deadline };
    let before = changed.clone();
    assert_eq!(changed.apply(Millis(5), &intended), Err(refusal), "`apply` asks `permit`");
    assert_eq!(changed, before, "and nothing has changed");
}

#[test]
fn nothing_changes_before_preflight_has_passed() {
    let mut r = proven("scheduled", Shape::Reversible, "generate");
    version(&mut r, NEW).live = Live::Absent;
    refuses("P", &r, &Command::Create(NEW), |r| r.step = 0);
    let reload = Command::Reload(service("api-staging"));
    r.step = 0;
    r.phase = Phase::RollingBack;
    refuses("P", &r, &reload, |r| r.phase = Phase::Forward);
}

#[test]
fn s1_nobody_is_locked_out_without_the_waiver_of_containment() {
    let mut r = proven("leak", Shape::Reversible, "verify");
    r.containing = true;
    refuses("S1", &r, &Command::Disable(Slot::OLD), |r| r.containing = false);
}

#[test]
fn s1_nothing_is_moved_to_a_version_that_the_server_has_not_accepted() {
    let r = proven("scheduled", Shape::Reversible, "push");
    let push = Command::Write(entry("staging"), NEW);
    refuses("S1", &r, &push, |r| version(r, NEW).login = None);
    refuses("S1", &r, &push, |r| version(r, NEW).login = Some(Login { at: Millis(1), accepted: false, streak: 1 }));
}

#[test]
fn s3_no_version_is_made_twice_or_beside_two_others() {
    let mut r = proven("scheduled", Shape::Reversible, "generate");
    version(&mut r, NEW).live = Live::Absent;
    for live in [Live::Active, Live::Inactive, Live::Doubt, Live::Deleted] {
        refuses("S3", &r, &Command::Create(NEW), |r| version(r, NEW).live = live);
    }
    refuses("S3", &r, &Command::Create(NEW), |r| r.target = Slot(2));
    let mut r = r.clone();
    // In place there is one password, however often it is set.
    let mut in_place = proven("scheduled", Shape::InPlace, "generate");
    let fresh = Version { live: Live::Absent, ..in_place.versions[&NEW].clone() };
    in_place.versions.insert(Slot(2), fresh);
    in_place.target = Slot(2);
    assert_eq!(permit(&in_place, in_place.next_effect, &Command::Create(Slot(2))), Ok(()));
    r.target = Slot(2);
    let third = r.versions[&NEW].clone();
    r.versions.insert(Slot(2), third);
    for live in [Live::Active, Live::Inactive, Live::Doubt] {
        refuses("S3", &r, &Command::Create(Slot(2)), |r| version(r, NEW).live = live);
    }
}

#[test]
fn s5_a_version_whose_secret_is_not_sealed_is_never_used() {
    let r = proven("scheduled", Shape::Reversible, "push");
    refuses("S5", &r, &Command::Write(entry("staging"), NEW), |r| version(r, NEW).sealed = false);
}

#[test]
fn s6_an_effect_has_one_intent_a_number_of_its_own_and_its_version_to_itself() {
    let r = proven("scheduled", Shape::Reversible, "deactivate");
    let disable = Command::Disable(Slot::OLD);
    let flight = |command: &Command| Flight { command: command.clone(), deadline: Millis(9), before: None };
    refuses("S6", &r, &disable, |r| drop(r.flights.insert(1, flight(&Command::Enable(Slot::OLD)))));
    refuses("S6", &r, &Command::Reload(service("api-staging")), |r| {
        r.flights.insert(1, flight(&Command::Reload(service("api-staging"))));
    });
    for wrong in [r.next_effect - 1, r.next_effect + 1] {
        assert!(permit(&r, wrong, &disable).expect_err("a gap or a repetition").why.starts_with("S6: "));
    }
    for look in [Command::ListVersions, Command::CheckHost, Command::Auth(NEW), Command::ReadEntry(entry("staging"))] {
        assert!(permit(&r, r.next_effect, &look).expect_err("a look").why.starts_with("S6: "), "{look}");
    }
}

#[test]
fn s10_only_what_this_rotation_replaces_or_has_made_and_lost_is_destroyed() {
    let r = proven("scheduled", Shape::Reversible, "deactivate");
    refuses("S10", &r, &Command::Disable(Slot::OLD), |r| version(r, Slot::OLD).id = None);
    refuses("S10", &r, &Command::Disable(Slot::OLD), |r| r.phase = Phase::RollingBack);

    let mut lost = proven("scheduled", Shape::Reversible, "generate");
    version(&mut lost, NEW).sealed = false;
    lost.entries.values_mut().for_each(|e| e.holds = Some(Which::Slot(Slot::OLD)));
    // The version that everything is moved to is not deleted while it is sound, nor while an entry holds it.
    refuses("S10", &lost, &Command::Delete(NEW), |r| version(r, NEW).sealed = true);
    refuses("S10", &lost, &Command::Delete(NEW), |r| {
        held(r, "staging").holds = Some(Which::Slot(NEW));
    });
    // One that nothing is moved to any more may go, however sound it is.
    let mut late = lost.clone();
    version(&mut late, NEW).sealed = true;
    late.target = Slot(2);
    refuses("S10", &late, &Command::Delete(NEW), |r| r.target = NEW);
    // The waiver of containment is for what others know, and has to be on record.
    let mut waived = proven("leak", Shape::Reversible, "verify");
    (waived.containing, version(&mut waived, NEW).compromised) = (true, true);
    refuses("S10", &waived, &Command::Delete(NEW), |r| r.containing = false);
    refuses("S10", &waived, &Command::Delete(NEW), |r| {
        (version(r, NEW).compromised, version(r, NEW).sealed) = (false, false);
    });
}

#[test]
fn s11_the_old_version_is_not_retired_before_everything_is_proven() {
    let disable = Command::Disable(Slot::OLD);
    let r = proven("scheduled", Shape::Reversible, "deactivate");
    for which in [None, Some(Which::Slot(Slot::OLD)), Some(Which::Foreign), Some(Which::Nothing)] {
        refuses("S11", &r, &disable, |r| held(r, "staging").holds = which);
        refuses("S11", &r, &disable, |r| used(r, "api-staging").presents = which);
    }
    refuses("S11", &r, &disable, |r| held(r, "production").probes = 0);
    refuses("S11", &r, &disable, |r| held(r, "production").probed = Slot::OLD);
    refuses("S11", &r, &disable, |r| used(r, "api-production").sends = 2);
    refuses("S11", &r, &disable, |r| used(r, "api-production").reloaded = None);
    refuses("S11", &r, &disable, |r| version(r, NEW).live = Live::Doubt);
    refuses("S11", &r, &disable, |r| version(r, NEW).absent_since = Some(Millis(4)));
    refuses("S11", &r, &disable, |r| version(r, NEW).sealed = false);
    refuses("S11", &r, &disable, |r| version(r, NEW).compromised = true);
    refuses("S11", &r, &disable, |r| r.target = Slot::OLD);
}

#[test]
fn s11_where_the_provider_tells_of_uses_it_must_have_seen_the_new_version_in_use() {
    let mut r = proven("scheduled", Shape::Reversible, "deactivate");
    assert_eq!(version(&mut r, NEW).last_used, None, "where it tells nothing, nothing is asked for");
    assert_eq!(permit(&r, r.next_effect, &Command::Disable(Slot::OLD)), Ok(()));
    let mut plan = r.plan.as_ref().clone();
    plan.facts.tells_last_use = true;
    r.plan = plan.into();
    version(&mut r, NEW).last_used = Some(1_772_334_700_000);
    refuses("S11", &r, &Command::Disable(Slot::OLD), |r| version(r, NEW).last_used = None);
}

#[test]
fn s11_an_entry_that_nobody_can_read_needs_a_service_that_tells_or_a_persons_word() {
    let mut r = proven("scheduled", Shape::Reversible, "deactivate");
    let disable = Command::Disable(Slot::OLD);
    let change = |r: &mut Rotation, write_only: bool, reads: &str| {
        let mut plan = r.plan.as_ref().clone();
        plan.entries.get_mut(&entry("staging")).expect("an entry").write_only = write_only;
        plan.services.get_mut(&service("api-staging")).expect("a service").entry = entry(reads);
        r.plan = plan.into();
    };
    // Its service attests; or it can be read, and needs none.
    change(&mut r, true, "staging");
    refuses("S11", &r, &disable, |r| change(r, true, "production"));
    change(&mut r, false, "production");
    assert_eq!(permit(&r, r.next_effect, &disable), Ok(()));
    // One that reads it and does not attest vouches for nothing; a person's word is enough, and a leak does not wait for it.
    change(&mut r, true, "production");
    gated(&mut r, "deactivate");
    refuses("S11", &r, &disable, |r| r.approved.clear());
    let mut leak = proven("leak", Shape::Reversible, "deactivate");
    change(&mut leak, true, "production");
    assert_eq!(permit(&leak, leak.next_effect, &disable), Ok(()));
}

#[test]
fn s11_a_service_that_cannot_say_what_it_uses_needs_a_persons_word() {
    // Mail that passes does not say with which version.
    for test_send in [false, true] {
        let mut r = proven("scheduled", Shape::Reversible, "deactivate");
        let mut plan = r.plan.as_ref().clone();
        let mute = plan.services.get_mut(&service("api-staging")).expect("a service");
        (mute.attest, mute.test_send) = (false, test_send);
        r.plan = plan.into();
        let mut early = r.clone();
        gated(&mut r, "deactivate");
        refuses("S11", &r, &Command::Disable(Slot::OLD), |r| r.approved.clear());
        // Whoever was asked before the services were moved has seen nothing of it.
        for word in ["generate", "push", "reload"] {
            gated(&mut early, word);
            let refused = permit(&early, early.next_effect, &Command::Disable(Slot::OLD)).expect_err(word);
            assert!(refused.why.starts_with("S11: "), "{word}: {}", refused.why);
        }
    }
}

#[test]
fn s11_the_old_version_is_deleted_by_its_step_alone_and_after_it_was_disabled() {
    let mut r = proven("scheduled", Shape::Reversible, "delete");
    version(&mut r, Slot::OLD).live = Live::Inactive;
    let delete = Command::Delete(Slot::OLD);
    refuses("S11", &r, &delete, |r| r.step -= 1);
    refuses("S11", &r, &delete, |r| version(r, Slot::OLD).live = Live::Active);
    let r = proven("scheduled", Shape::DeleteOnly, "delete");
    assert_eq!(permit(&r, r.next_effect, &delete), Ok(()), "where nothing can be disabled it is deleted as it is");
}

#[test]
fn s12_an_entry_that_someone_else_changed_is_not_overwritten() {
    let r = proven("scheduled", Shape::Reversible, "push");
    refuses("S12", &r, &Command::Write(entry("staging"), NEW), |r| {
        held(r, "staging").holds = Some(Which::Foreign);
    });
}

#[test]
fn s16_nothing_is_moved_to_a_version_that_is_not_known_to_be_active() {
    let back = restored();
    let forward = proven("scheduled", Shape::Reversible, "push");
    for live in [Live::Absent, Live::Inactive, Live::Deleted, Live::Doubt] {
        let write = |slot| Command::Write(entry("staging"), slot);
        refuses("S16", &back, &write(Slot::OLD), |r| version(r, Slot::OLD).live = live);
        refuses("S16", &forward, &write(NEW), |r| version(r, NEW).live = live);
    }
    let mut disabled = restored();
    version(&mut disabled, Slot::OLD).live = Live::Inactive;
    refuses("S16", &disabled, &Command::Enable(Slot::OLD), |r| r.phase = Phase::Forward);
}

#[test]
fn s17_the_new_version_is_deleted_last() {
    let r = restored();
    let delete = Command::Delete(NEW);
    for which in [None, Some(Which::Slot(NEW)), Some(Which::Foreign), Some(Which::Nothing)] {
        refuses("S17", &r, &delete, |r| held(r, "production").holds = which);
        refuses("S17", &r, &delete, |r| used(r, "api-staging").presents = which);
    }
    // One that cannot be asked cannot be waited for.
    let mut mute = r.clone();
    mutes(&mut mute, "api-staging");
    used(&mut mute, "api-staging").presents = None;
    assert_eq!(permit(&mute, mute.next_effect, &delete), Ok(()));
}

#[test]
fn s19_a_compromised_version_is_never_enabled_pushed_or_verified_with() {
    let mut back = restored();
    version(&mut back, Slot::OLD).live = Live::Inactive;
    refuses("S19", &back, &Command::Enable(Slot::OLD), |r| version(r, Slot::OLD).compromised = true);
    refuses("S19", &restored(), &Command::Write(entry("staging"), Slot::OLD), |r| version(r, Slot::OLD).compromised = true);
    let forward = proven("scheduled", Shape::Reversible, "push");
    refuses("S19", &forward, &Command::Write(entry("staging"), NEW), |r| version(r, NEW).compromised = true);
    refuses("S19", &forward, &Command::Control, |r| version(r, Slot::OLD).compromised = true);
}
