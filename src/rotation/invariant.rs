//! The rules of safety.md as functions: asked before every intent, at run time as in the tests and the model.
//!
//! `decide` is built so that it never asks for what these refuse. They are written apart from it, on purpose: a mistake must be
//! made twice to reach a provider.

use crate::apply::Illegal;
use crate::command::{Command, Which};
use crate::event::Ending;
use crate::mutant::{Mutant, broken};
use crate::name::Slot;
use crate::plan::Shape;
use crate::playbook::Step;
use crate::state::{Live, Phase, Rotation};
use crate::undo::affected;

/// What is missing before the old version may be retired (S11). Empty means that the gate is open.
#[must_use]
pub fn evidence_missing(r: &Rotation) -> Vec<String> {
    let mut missing = Vec::new();
    let target = r.target;
    match r.new_version() {
        Some(v) if v.live == Live::Active && v.absent_since.is_none() && v.sealed && !v.compromised => {}
        _ => missing.push("there is no sound new version".to_owned()),
    }
    for (name, entry) in &r.entries {
        if entry.holds != Some(Which::Slot(target)) {
            missing.push(format!("entry {name} is not read back with the new version"));
        }
        if entry.probed != target || entry.probes < r.plan.policy.sends {
            missing.push(format!("{} mails in a row were not sent with what entry {name} holds", r.plan.policy.sends));
        }
    }
    if r.plan.facts.tells_last_use && !is_seen_in_use(r) {
        missing.push("the provider has seen no login with the new version".to_owned());
    }
    let gate_opened = r.plan.playbook.gates_of_proof().any(|step| r.approved.contains(&step));
    for name in r.plan.unvouched().filter(|_| !gate_opened && !r.is_leak()) {
        missing.push(format!("entry {name} gives nothing back, no service tells what it reads there, and nobody approved"));
    }
    let services = if broken(Mutant::OneServiceIsEnough) { 1 } else { usize::MAX };
    for (name, plan) in r.plan.services.iter().rev().take(services) {
        if !r.is_proven(name, target) {
            missing.push(format!("service {name} is not proven to use the new version"));
        } else if !plan.can_prove() && !gate_opened && !r.is_leak() {
            missing.push(format!("service {name} cannot say which version it uses, and nobody approved"));
        }
    }
    missing
}

/// Whether the provider tells of a login with the new version.
pub(crate) fn is_seen_in_use(r: &Rotation) -> bool {
    r.new_version().is_some_and(|v| v.last_used.is_some())
}

/// Whether the server has accepted a login with the version since it was last changed, or that cannot be waited for (in place).
#[must_use]
pub fn is_accepted(r: &Rotation, slot: Slot) -> bool {
    !r.shape().overlaps() || r.versions.get(&slot).is_some_and(|v| v.login.is_some_and(|l| l.accepted))
}

/// Whether an effect may be intended now. `Err` names the rule.
///
/// # Errors
/// The first rule that it would break.
pub fn permit(r: &Rotation, effect: u32, command: &Command) -> Result<(), Illegal> {
    let deny = |why: String| Err(Illegal { event: "intended", why: format!("{why} (`{command}`)") });
    if effect != r.next_effect {
        return deny(format!("S6: effect {effect} is not the next, {}", r.next_effect));
    }
    if !command.is_effect() {
        return deny("S6: a look has no intent".into());
    }
    if r.in_flight(command) {
        return deny("S6: the same effect is under way".into());
    }
    if let Some(slot) = command.slot_changed()
        && r.flights.values().any(|f| f.command.slot_changed() == Some(slot))
    {
        return deny("S6: another effect on this version is under way".into());
    }
    let leak = r.is_leak();
    if !leak && r.step == 0 && r.phase == Phase::Forward {
        return deny("P: nothing may change before preflight has passed".into());
    }
    let version = |slot: &Slot| {
        r.versions.get(slot).ok_or_else(|| Illegal { event: "intended", why: format!("S10: {slot} is unknown") })
    };
    match command {
        Command::Create(slot) => {
            if version(slot)?.live != Live::Absent || *slot != r.target {
                return deny("S3: this version was made already, or may have been".into());
            }
            let live = r.versions.values().filter(|v| matches!(v.live, Live::Active | Live::Inactive | Live::Doubt)).count();
            if live > 1 && r.shape() != Shape::InPlace {
                return deny("S3: two versions of this rotation may be live already".into());
            }
        }
        Command::Disable(slot) | Command::Delete(slot) => {
            let v = version(slot)?;
            if v.id.is_none() {
                return deny("S10: its id is not known".into());
            }
            if slot.is_old() {
                retire_old(r, command).or_else(deny)?;
            } else {
                delete_new(r, *slot).or_else(deny)?;
            }
        }
        Command::Enable(slot) => {
            if version(slot)?.compromised {
                return deny("S19: a compromised version is never enabled again".into());
            }
            if r.phase != Phase::RollingBack {
                return deny("S16: only rolling back enables a version".into());
            }
        }
        Command::Write(name, slot) => {
            let v = version(slot)?;
            if v.compromised {
                return deny("S19: a compromised version is never pushed".into());
            }
            if !v.sealed {
                return deny("S5: its secret is not sealed".into());
            }
            if v.live != Live::Active {
                return deny("S16: it is not known to be active".into());
            }
            if !slot.is_old() && !leak && !is_accepted(r, *slot) {
                return deny("S1: the server has not accepted a login with it yet".into());
            }
            if r.entries.get(name).is_some_and(|e| e.holds == Some(Which::Foreign)) {
                return deny("S12: someone else changed the entry".into());
            }
        }
        Command::Reload(name) if r.is_reloaded_by_hand(name) => return deny("S6: a person is asked to do it".into()),
        Command::Control if r.old().compromised => return deny("S19: never verified with a compromised version".into()),
        _ => {}
    }
    Ok(())
}

fn retire_old(r: &Rotation, command: &Command) -> Result<(), String> {
    if r.phase == Phase::RollingBack {
        return Err("S10: rolling back never retires the old version".into());
    }
    if r.is_leak() {
        let early = !r.containing
            && !matches!(r.current_step(), Some(Step::Deactivate | Step::Confirm | Step::Watch { .. } | Step::Delete));
        return if early { Err("S1: the waiver of containment is not recorded".into()) } else { Ok(()) };
    }
    if let Some(first) = evidence_missing(r).first() {
        return Err(format!("S11: {first}"));
    }
    if matches!(command, Command::Delete(_)) {
        if !matches!(r.current_step(), Some(Step::Delete)) {
            return Err("S11: only the step `delete` deletes the old version".into());
        }
        if r.old().live == Live::Active && r.shape() != Shape::DeleteOnly {
            return Err("S11: the old version is still active".into());
        }
    }
    Ok(())
}

fn delete_new(r: &Rotation, slot: Slot) -> Result<(), String> {
    let lost = r.versions.get(&slot).is_some_and(|v| !v.sealed || v.compromised);
    if r.phase == Phase::RollingBack {
        let unrestored = r.entries.iter().find(|(_, e)| e.touched && e.holds != Some(Which::Slot(Slot::OLD)));
        if let Some((name, _)) = unrestored {
            return Err(format!("S17: entry {name} is not back on the old version"));
        }
        for name in affected(r) {
            let attest = r.plan.services.get(name).is_some_and(|p| p.attest);
            let presents = r.services.get(name).and_then(|s| s.presents);
            if attest && presents != Some(Which::Slot(Slot::OLD)) {
                return Err(format!("S17: service {name} is not back on the old version"));
            }
        }
        return Ok(());
    }
    let used = r.entries.values().any(|e| e.holds == Some(Which::Slot(slot)));
    // With the waiver of containment a compromised version is shut out although entries still hold it.
    let waived = r.containing && r.versions.get(&slot).is_some_and(|v| v.compromised);
    if slot == r.target && !lost || used && !waived {
        return Err("S10: it is the version that everything is moved to".into());
    }
    Ok(())
}

/// Whether the state keeps the rules of an end (S4). Empty when it does, or when it has not ended.
#[must_use]
pub fn unclean_end(r: &Rotation) -> Vec<String> {
    let Some(ending) = r.ended() else { return Vec::new() };
    let wanted = match ending {
        Ending::Done => r.target,
        // Nothing was changed, which `apply` has seen to.
        Ending::Refused => return Vec::new(),
        Ending::RolledBack => Slot::OLD,
    };
    let mut wrong = Vec::new();
    for (slot, version) in &r.versions {
        let live = matches!(version.live, Live::Active | Live::Doubt);
        let kept = ending == Ending::Done
            && slot.is_old()
            && !r.plan.playbook.steps.iter().any(|s| matches!(s, Step::Delete | Step::Deactivate));
        if *slot == wanted && version.live != Live::Active || *slot != wanted && live && !kept {
            wrong.push(format!("S4: the {slot} version is {:?}", version.live));
        }
    }
    for (name, entry) in &r.entries {
        if entry.touched && entry.holds != Some(Which::Slot(wanted)) {
            wrong.push(format!("S4: entry {name} holds {:?}", entry.holds));
        }
    }
    for name in affected(r) {
        let attest = r.plan.services.get(name).is_some_and(|p| p.attest);
        if attest && r.services.get(name).and_then(|s| s.presents) != Some(Which::Slot(wanted)) {
            wrong.push(format!("S4: service {name} is not proven on the {wanted} version"));
        }
    }
    wrong
}
