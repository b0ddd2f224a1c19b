//! What a fact teaches: knowledge gets its new value, and doubts end where a look may end them (safety.md S9).

use crate::command::{Command, Fact, SeenVersion, Which};
use crate::mutant::{Mutant, broken};
use crate::name::Slot;
use crate::plan::Shape;
use crate::playbook::Step;
use crate::state::{Live, Login, Phase, Rotation, Version};
use crate::time::{Millis, Span};

/// Takes in what `command`, sent out at `began` and back at `at`, has taught.
pub(crate) fn learn(r: &mut Rotation, at: Millis, began: Millis, command: &Command, fact: &Fact) {
    match (command, fact) {
        (Command::ListVersions, Fact::Versions(list)) => listed(r, at, began, list),
        (Command::ReadEntry(name), Fact::Holds(which)) => {
            if let Some(entry) = r.entries.get_mut(name)
                && began >= entry.quiet_until
            {
                entry.holds = Some(*which);
            }
        }
        (Command::Auth(slot), Fact::Login { accepted, .. }) => {
            if let Some(version) = r.versions.get_mut(slot) {
                let streak = version.login.filter(|l| l.accepted == *accepted).map_or(0, |l| l.streak);
                version.login = Some(Login { at: began, accepted: *accepted, streak: streak.saturating_add(1) });
            }
        }
        (Command::Attest(name), Fact::Presents(which)) => {
            if let Some(service) = r.services.get_mut(name) {
                service.presents = Some(*which);
            }
        }
        (Command::Create(slot), Fact::Created { id, username, fingerprint }) => {
            if let Some(version) = r.versions.get_mut(slot) {
                version.id = Some(id.clone());
                version.username = Some(username.clone());
                version.fingerprint = Some(fingerprint.clone());
                version.sealed = true;
                version.made_at = Some(at);
                set(version, Live::Active, at);
            }
            replaced(r, at);
        }
        (Command::Disable(slot), _) => change(r, *slot, Live::Inactive, at),
        (Command::Delete(slot), _) => change(r, *slot, Live::Deleted, at),
        (Command::Enable(slot), _) => {
            change(r, *slot, Live::Active, at);
            if r.plan.facts.shape == Shape::InPlace {
                let others: Vec<Slot> = r.versions.keys().filter(|s| *s != slot).copied().collect();
                for other in others {
                    change(r, other, Live::Deleted, at);
                }
            }
        }
        (Command::Reload(name), _) => {
            if let Some(service) = r.services.get_mut(name) {
                service.reloaded = service.reloading;
                if broken(Mutant::ReloadIsProof) {
                    service.presents = service.reloading.map(Which::Slot);
                    service.sends = u8::MAX;
                }
            }
        }
        // Before it sends it reads, and sends only with what everything is moved to.
        (Command::Probe(name), Fact::Holds(which)) => {
            if let Some(entry) = r.entries.get_mut(name) {
                entry.holds = Some(*which);
                entry.probes = 0;
            }
        }
        (Command::Probe(name), _) => {
            if let Some(entry) = r.entries.get_mut(name)
                && let Some(Which::Slot(slot)) = entry.holds
            {
                entry.probes = if entry.probed == slot { entry.probes.saturating_add(1) } else { 1 };
                entry.probed = slot;
            }
        }
        (Command::TestSend(name), _) => {
            if let Some(service) = r.services.get_mut(name) {
                service.sends = service.sends.saturating_add(1);
            }
        }
        (Command::Control, _) => r.control = Some((at, true)),
        _ => {}
    }
}

fn change(r: &mut Rotation, slot: Slot, live: Live, at: Millis) {
    if let Some(version) = r.versions.get_mut(&slot) {
        set(version, live, at);
    }
}

fn set(version: &mut Version, live: Live, at: Millis) {
    version.live = live;
    version.changed_at = at;
    version.absent_since = None;
    version.login = None;
}

fn listed(r: &mut Rotation, at: Millis, began: Millis, list: &[SeenVersion]) {
    let propagation = r.plan.facts.propagation;
    let tags: Vec<_> = r.versions.keys().map(|slot| (*slot, r.tag(*slot))).collect();
    let watching = r.phase == Phase::Forward && matches!(r.current_step(), Some(Step::Watch { .. }));
    let mut took_over = false;
    for (slot, tag) in tags {
        let Some(version) = r.versions.get_mut(&slot) else { continue };
        let seen = list.iter().find(|v| match &version.id {
            Some(id) => v.id == *id,
            None => v.tag.as_ref() == Some(&tag),
        });
        let doubted = version.live == Live::Doubt;
        match seen {
            Some(seen) => present(version, seen, slot, (began, at), propagation),
            None => missing(version, at, began, propagation),
        }
        took_over |= doubted && !slot.is_old() && version.live == Live::Active;
        if slot.is_old() && watching && version.baseline.is_none() && seen.is_some() {
            version.baseline = Some((version.last_used, version.last_refused));
        }
    }
    if took_over {
        replaced(r, at);
    }
    take_in_strays(r, at, list);
}

/// In place, a new password that was set has shut the old one out.
fn replaced(r: &mut Rotation, at: Millis) {
    if r.plan.facts.shape == Shape::InPlace
        && let Some(old) = r.versions.get_mut(&Slot::OLD)
    {
        set(old, Live::Inactive, at);
    }
}

/// A version with one of our tags that is not the one which that tag was answered with: the request was repeated on its way.
/// Nobody knows its secret. It gets a slot of its own, to be deleted.
fn take_in_strays(r: &mut Rotation, at: Millis, list: &[SeenVersion]) {
    let ours: Vec<_> = r.versions.keys().map(|slot| r.tag(*slot)).collect();
    for seen in list.iter().filter(|v| v.tag.as_ref().is_some_and(|t| ours.contains(t))) {
        let known = r.versions.values().any(|v| v.id.as_ref() == Some(&seen.id));
        let known = known || broken(Mutant::StraysIgnored);
        let Some(slot) = Slot::stray(r.strays().count()).filter(|_| !known) else { continue };
        let mut stray = Version::fresh(at);
        stray.id = Some(seen.id.clone());
        stray.username = Some(seen.username.clone());
        stray.live = if seen.active { Live::Active } else { Live::Inactive };
        r.versions.insert(slot, stray);
    }
}

fn present(version: &mut Version, seen: &SeenVersion, slot: Slot, (began, at): (Millis, Millis), propagation: Span) {
    let live = if seen.active { Live::Active } else { Live::Inactive };
    version.id.get_or_insert_with(|| seen.id.clone());
    version.username.get_or_insert_with(|| seen.username.clone());
    version.last_used = seen.last_used.max(version.last_used);
    version.last_refused = seen.last_refused.max(version.last_refused);
    version.absent_since = None;
    // A list from before the old version was retired shows it as active: nothing is put back to it on that word (S16).
    let retired = version.disable_intended && !version.delete_intended || version.changed_at > Millis(0);
    let settled = began >= version.quiet_until.max(version.changed_at).after(propagation);
    let outdated = slot.is_old() && seen.active && retired && !settled;
    match version.live {
        Live::Doubt if outdated => {}
        Live::Doubt if began >= version.quiet_until => set(version, live, at),
        // A call that was given up as absent has landed after all: it is an orphan to be deleted.
        Live::Absent => set(version, live, at),
        // Someone else changed it. Older lists may still show what we changed ourselves.
        Live::Active | Live::Inactive if version.live != live && began >= version.changed_at.after(propagation) => {
            set(version, live, at);
        }
        _ => {}
    }
}

fn missing(version: &mut Version, at: Millis, began: Millis, propagation: Span) {
    if !matches!(version.live, Live::Doubt | Live::Active | Live::Inactive) || began < version.quiet_until {
        return;
    }
    // "Not found" of an id that we were deleting ends the deletion, unless the list may be from before it was made. In every
    // other case it is evidence only after the settle window, seen twice (S9).
    let known = began >= version.changed_at.after(propagation);
    if version.live == Live::Doubt && version.delete_intended && version.id.is_some() && known {
        return set(version, Live::Deleted, at);
    }
    if began < version.quiet_until.max(version.changed_at).after(propagation) && !broken(Mutant::AbsenceUnsettled) {
        return;
    }
    let twice = version.absent_since.is_some_and(|first| began >= first.after(Span(propagation.0 / 2)));
    if twice || broken(Mutant::AbsenceUnsettled) {
        let gone = if version.id.is_some() { Live::Deleted } else { Live::Absent };
        set(version, gone, at);
    } else {
        version.absent_since.get_or_insert(began);
    }
}
