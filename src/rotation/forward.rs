//! The steps of a playbook, each as a wish. What a step has already is not done again, so a step can be entered any number of
//! times: after a restart, a stuck rest, or a doubt.

use crate::command::{Command, Which};
use crate::contain::{entries_moved, moved_again, still_listed};
use crate::event::FailureKind;
use crate::invariant::{evidence_missing, is_accepted, is_seen_in_use};
use crate::mutant::{Mutant, broken};
use crate::name::{EntryName, Environment, Slot};
use crate::outcome::{Fault, FaultClass};
use crate::plan::Shape;
use crate::playbook::Step;
use crate::progress::{Progress, all, attempt, attempt_forever, once};
use crate::state::{Live, Rotation};
use crate::time::{Millis, Span};
use crate::wish::{
    entry_holds, entry_proven, gone, listed_after, listed_once, makings_listed, not_missing, resolved, service_proven,
    service_reloaded, strays_gone, version_is,
};
use crate::word::{accepted_after, is_gone, known_from};

/// The most versions that one rotation makes before it gives up.
const MOST_SLOTS: u8 = 4;

/// What a step still lacks. `started` is when it began.
pub(crate) fn step(r: &Rotation, step: &Step, started: Millis, now: Millis) -> Progress {
    match step {
        Step::Preflight => preflight(r, now),
        Step::Generate => generate(r, now).then(|| new_accepted(r, now)),
        Step::Push { to } => target_alive(r, now).then(|| new_accepted(r, now)).then(|| push(r, to, now)),
        Step::Reload { services } => all(r.plan.services_in(services).map(|s| service_reloaded(r, s, r.target, now))),
        Step::Verify { services } => target_alive(r, now).then(|| verify(r, services, now)),
        Step::Soak { lasting } => soak(r, *lasting, started, now),
        Step::Approve { by, within } => approve(r, by, *within, started, now),
        Step::Deactivate => deactivate(r, now),
        Step::Confirm => still_retired(r, now).then(|| confirm(r, now)),
        Step::Watch { lasting } => still_retired(r, now).then(|| watch(r, *lasting, started, now)),
        Step::Delete => still_retired(r, now).then(|| delete(r, now)),
    }
}

/// P1 to P9: looks only. In a leak they are advice: each is tried once, and what fails is seen again when it matters.
fn preflight(r: &Rotation, now: Millis) -> Progress {
    if broken(Mutant::PreflightSkipped) {
        return Progress::ready();
    }
    let mut looks = vec![Command::CheckHost];
    if r.shape().lists() {
        looks.push(Command::ListVersions);
    }
    if r.old().sealed {
        looks.push(Command::Auth(Slot::OLD));
    }
    for name in r.plan.entries.keys() {
        looks.push(Command::CheckWritable(name.clone()));
        looks.push(Command::ReadEntry(name.clone()));
    }
    for (name, service) in &r.plan.services {
        if service.attest {
            looks.push(Command::Attest(name.clone()));
        }
    }
    if r.is_leak() {
        looks.retain(|c| !r.tries.contains_key(c));
    }
    all(looks.into_iter().map(|c| once(r, c, now)))
}

/// The pending version exists and its secret is sealed.
pub(crate) fn generate(r: &Rotation, now: Millis) -> Progress {
    let Some(version) = r.new_version() else { return Progress::pending() };
    let slot = r.target;
    if r.in_flight(&Command::Create(slot)) && !broken(Mutant::EffectTwice) {
        return Progress::pending();
    }
    // In place, setting the old password again does away with the new one: what is still under way is waited for.
    if r.shape() == Shape::InPlace && r.flights.values().any(|f| f.command.slot_changed().is_some()) {
        return Progress::pending();
    }
    match version.live {
        Live::Active if broken(Mutant::UnsealedUsed) => Progress::ready(),
        Live::Active if version.sealed && (!version.compromised || broken(Mutant::SpoiltIsKept)) => Progress::ready(),
        Live::Doubt if broken(Mutant::CreateUnreconciled) => attempt(r, Command::Create(slot), now),
        Live::Doubt if broken(Mutant::EffectTwice) => Progress::go(Command::Create(slot)),
        // Someone else disabled it. It is sound, and who did that may undo it: a person decides, and is looked after.
        Live::Inactive if version.sealed && !version.compromised => listed_once(r, now).then(|| target_alive(r, now)),
        // It exists, but nobody knows its secret, or the wrong ones do: never used, only deleted (S5, S19). `decide` opens the
        // next slot after it.
        Live::Active | Live::Inactive => version_is(r, slot, Live::Deleted, Command::Delete(slot), now),
        Live::Doubt => resolved(r, slot, now),
        Live::Deleted if needs_another(r) => Progress::pending(),
        // Nobody but a person says so, and nothing proves it yet: one more beside it would be one too many (S3).
        Live::Deleted if !is_gone(r, version) => gone(r, slot, version, now),
        Live::Deleted => too_many(r),
        Live::Absent if r.shape() == Shape::Manual => Progress::ask(Command::Create(slot)),
        Live::Absent => {
            // A request of an earlier slot may have been repeated on its way: one more would be one too many (S3).
            let listed = listed_once(r, now).then(|| makings_listed(r, now));
            listed.then(|| strays_gone(r, now)).then(|| attempt(r, Command::Create(slot), now))
        }
    }
}

/// The server accepts the new version: before that, a service that is moved to it could not send (S1). In place there is no
/// choice, the old one is gone. In a leak it is asked too, but containment moves without it (`contain.rs`).
fn new_accepted(r: &Rotation, now: Millis) -> Progress {
    if is_accepted(r, r.target) || broken(Mutant::PushedUnaccepted) {
        Progress::ready()
    } else {
        attempt(r, Command::Auth(r.target), now)
    }
}

/// Whether the version to move to is lost, so that another one is needed.
pub(crate) fn needs_another(r: &Rotation) -> bool {
    let Some(version) = r.new_version() else { return true };
    let lost = is_gone(r, version);
    // In a leak more patience is due: in place, another new version may be all that shuts the old one out.
    let most = if r.is_leak() { MOST_SLOTS * 4 } else { MOST_SLOTS };
    lost && r.target.0 < most && (r.is_leak() || matches!(r.current_step(), Some(Step::Generate)))
}

/// Whether the version to move to is compromised.
pub(crate) fn is_spoilt(r: &Rotation) -> bool {
    r.new_version().is_some_and(|v| v.compromised && !is_gone(r, v)) && !broken(Mutant::SpoiltIsKept)
}

fn too_many(r: &Rotation) -> Progress {
    let message = format!("{} new versions were lost, one after the other", r.target.0);
    let fault = Fault::new(FaultClass::Permanent, "HO0421", message)
        .hint("look at the account: someone or something may be deleting them");
    Progress::failed(FailureKind::Target, Some(Command::Create(r.target)), fault)
}

/// The new version was not taken away behind our back.
fn target_alive(r: &Rotation, now: Millis) -> Progress {
    let Some(version) = r.new_version() else { return Progress::ready() };
    match version.live {
        Live::Active => return Progress::ready(),
        // In place, whether the old password was set again is not known yet.
        Live::Doubt => return resolved(r, r.target, now),
        _ => {}
    }
    let id = version.id.as_ref().map_or_else(|| r.target.to_string(), ToString::to_string);
    let (state, hint) = match (version.live, r.no_return || r.is_leak()) {
        (Live::Inactive, true) => ("was disabled", "find out who did that, and enable it at the provider"),
        (Live::Deleted, true) => ("was deleted", "find out who did that; going on makes another one"),
        _ => ("is no longer active", "someone disabled or deleted it: find out who, or the next one goes the same way"),
    };
    let message = format!("the new version {id} {state} at the provider");
    let fault = Fault::new(FaultClass::Permanent, "HO0422", message).hint(hint);
    Progress::failed(FailureKind::Target, None, fault)
}

fn push(r: &Rotation, to: &Environment, now: Millis) -> Progress {
    all(r.plan.entries_in(to).map(|e| entry_holds(r, e, r.target, now)))
}

fn verify(r: &Rotation, environment: &Environment, now: Millis) -> Progress {
    if broken(Mutant::EvidenceSkipped) || broken(Mutant::OneServiceIsEnough) && environment.as_str() != "staging" {
        return Progress::ready();
    }
    if r.is_leak() {
        // There is no way back: what someone has put back meanwhile is moved again.
        let here = |name: &EntryName| r.plan.entries.get(name).is_some_and(|e| e.environment == *environment);
        return entries_moved(r, here, now);
    }
    let entries = all(r.plan.entries_in(environment).map(|e| entry_proven(r, e, r.target, now)));
    let services = all(r.plan.services_in(environment).map(|s| service_proven(r, s, r.target, now)));
    entries.and(services)
}

/// The time between two samples: a quarter of the wait, and not more than the policy says.
fn interval(r: &Rotation, lasting: Span) -> Span {
    Span((lasting.0 / 4).clamp(250, r.plan.policy.sample.0.max(250)))
}

fn sampled(r: &Rotation, command: Command, started: Millis, every: Span, now: Millis) -> Progress {
    let last = r.sampled.get(&command).copied().unwrap_or(started).max(started);
    let due = last.after(every);
    if r.tries.contains_key(&command) || now >= due { attempt(r, command, now) } else { Progress::wait(due) }
}

/// Both versions stay live, and what has moved to the new one is sampled. It ends with everything proven afresh: a sample that
/// failed is followed to its end, even past the end of the wait.
fn soak(r: &Rotation, lasting: Span, started: Millis, now: Millis) -> Progress {
    let end = started.after(if broken(Mutant::SoakShortened) { Span(lasting.0 / 2) } else { lasting });
    let every = interval(r, lasting);
    let target = r.target;
    // What was written and holds something else by now is sampled too: that is what a sample is for.
    let moved = r.entries.iter().filter(|(_, e)| e.touched || e.holds == Some(Which::Slot(target)));
    let entries: Vec<_> = moved.map(|(n, _)| n).collect();
    let services: Vec<_> = r.services.iter().filter(|(_, s)| s.reloaded == Some(target)).map(|(n, _)| n).collect();
    if broken(Mutant::EvidenceSkipped) {
        return if now >= end { Progress::ready() } else { Progress::wait(end) };
    }
    if now >= end {
        let held = all(entries.into_iter().map(|e| entry_proven(r, e, target, now)));
        return held.and(all(services.into_iter().map(|s| service_proven(r, s, target, now))));
    }
    let mut samples: Vec<Command> = entries.into_iter().cloned().map(Command::Probe).collect();
    for name in services {
        let Some(plan) = r.plan.services.get(name) else { continue };
        if plan.test_send {
            samples.push(Command::TestSend(name.clone()));
        }
        if plan.attest {
            samples.push(Command::Attest(name.clone()));
        }
    }
    all(samples.into_iter().map(|c| sampled(r, c, started, every, now))).and(Progress::wait(end))
}

fn approve(r: &Rotation, by: &str, within: Span, started: Millis, now: Millis) -> Progress {
    let end = started.after(within);
    if r.approved.contains(&r.step) {
        return Progress::ready();
    }
    if now < end {
        return Progress::wait(end);
    }
    let fault = Fault::new(FaultClass::Permanent, "HO0423", format!("nobody approved within {within} (asked: {by})"))
        .hint("start it again when someone can approve");
    Progress::failed(FailureKind::Gate, None, fault)
}

/// The evidence gate: everything is looked at once more, and only then the old version is disabled (S11).
fn evidence(r: &Rotation, now: Millis) -> Progress {
    if broken(Mutant::EvidenceSkipped) || broken(Mutant::OneServiceIsEnough) {
        return Progress::ready();
    }
    let entries = all(r.plan.entries.keys().map(|e| once(r, Command::ReadEntry(e.clone()), now)));
    let attests = r.plan.services.iter().filter(|(_, s)| s.attest);
    let services = all(attests.map(|(s, _)| once(r, Command::Attest(s.clone()), now)));
    let listed = match r.shape().lists() {
        true => listed_once(r, now).then(|| not_missing(r, r.target, now)).then(|| seen_in_use(r, now)),
        // A login is all that can tell whether someone has taken the new version away.
        false => once(r, Command::Auth(r.target), now),
    };
    entries.and(services).and(listed).then(|| {
        let missing = evidence_missing(r);
        let Some(first) = missing.first() else { return Progress::ready() };
        let message = format!("the old version must not be retired yet: {first}");
        let fault = Fault::new(FaultClass::Permanent, "HO0424", message).hint("nothing was retired; see `handover status`");
        Progress::failed(FailureKind::Target, None, fault)
    })
}

/// A provider that tells when a version was last used has time to notice: it is asked again until its bound. What it has not
/// seen by then is missing from the evidence.
fn seen_in_use(r: &Rotation, now: Millis) -> Progress {
    let propagation = r.plan.facts.propagation;
    let began = r.step_started.unwrap_or(now);
    let bound = began.after(Span(propagation.0.saturating_mul(2).saturating_add(5000)));
    if !r.plan.facts.tells_last_use || is_seen_in_use(r) || now >= bound {
        return Progress::ready();
    }
    let last = r.sampled.get(&Command::ListVersions).copied().unwrap_or(began);
    let next = last.after(Span((propagation.0 / 4).clamp(250, 30_000)));
    if r.tries.contains_key(&Command::ListVersions) || now >= next {
        attempt(r, Command::ListVersions, now)
    } else {
        Progress::wait(next)
    }
}

fn deactivate(r: &Rotation, now: Millis) -> Progress {
    let old = r.old();
    if matches!(old.live, Live::Inactive | Live::Deleted) || r.shape() == Shape::InPlace {
        return Progress::ready();
    }
    if r.is_leak() {
        return crate::contain::disabled(r, now);
    }
    if r.shape() == Shape::DeleteOnly {
        // Nothing reversible to do: the old version stays live until `delete`.
        return evidence(r, now);
    }
    let disable = || version_is(r, Slot::OLD, Live::Inactive, Command::Disable(Slot::OLD), now);
    if old.live == Live::Doubt { disable() } else { evidence(r, now).then(disable) }
}

/// The old version was not enabled behind our back. Who did that needs it: it comes back, unless it is compromised.
fn still_retired(r: &Rotation, now: Millis) -> Progress {
    let retired = r.plan.playbook.steps[..r.step].contains(&Step::Deactivate);
    let disables = !matches!(r.shape(), Shape::DeleteOnly | Shape::InPlace);
    if !retired || !disables || r.old().live != Live::Active {
        return Progress::ready();
    }
    if r.is_leak() {
        return crate::contain::disabled(r, now);
    }
    let message = format!("the old version {} was enabled again by someone else", r.plan.old.id);
    let fault = Fault::new(FaultClass::Permanent, "HO0428", message)
        .hint("find out who still needs it, add that as a service, and rotate again");
    Progress::failed(FailureKind::Target, None, fault)
}

/// The old version is refused and the new one accepted, on fresh connections; and services still send without the old one, which
/// shows up those whose reload did nothing and that cannot be asked (B11: then it comes back).
fn confirm(r: &Rotation, now: Millis) -> Progress {
    let old = match r.old().live {
        Live::Active => Progress::ready(),
        _ => old_refused(r, now).then(|| still_sending(r, now)),
    };
    let new = match r.new_version() {
        Some(version) if version.live == Live::Active => once(r, Command::Auth(r.target), now),
        _ => Progress::ready(),
    };
    old.and(new)
}

/// The server refuses the old version, twice in a row since it was disabled: a provider's word is not enough (finding 7).
pub(crate) fn old_refused(r: &Rotation, now: Millis) -> Progress {
    let old = r.old();
    if !old.sealed || broken(Mutant::RefusalUnproven) {
        return Progress::ready();
    }
    let auth = Command::Auth(Slot::OLD);
    let login = old.login.filter(|l| l.at >= old.changed_at);
    match login {
        Some(l) if !l.accepted && l.streak >= 2 => return Progress::ready(),
        None => return attempt(r, auth, now),
        Some(_) => {}
    }
    let bound = known_from(r, old);
    let still_accepted = login.is_some_and(|l| l.accepted);
    if still_accepted && now >= bound && r.shape() == Shape::Manual {
        // They said so, and it is not so: nobody else can do it.
        return Progress::ask(if old.delete_intended { Command::Delete(Slot::OLD) } else { Command::Disable(Slot::OLD) });
    }
    if still_accepted && now >= bound && !(r.is_leak() && r.contain_by.is_some_and(|t| now < t)) {
        let message = format!(
            "the old version {} is still accepted {} after it was disabled",
            r.plan.old.id,
            now.since(old.changed_at)
        );
        let fault = Fault::new(FaultClass::Permanent, "HO0425", message)
            .hint("the provider may take longer than `propagation` says, or another account has the same login");
        return Progress::failed(FailureKind::Target, Some(auth), fault);
    }
    let pause = Span((r.plan.facts.propagation.0 / 20).clamp(200, 5000));
    let next = login.map_or(now, |l| l.at.after(pause));
    let asked = if r.tries.contains_key(&auth) || now >= next { attempt(r, auth, now) } else { Progress::wait(next) };
    let disable = Command::Disable(Slot::OLD);
    let settled = now >= old.changed_at.after(r.plan.facts.propagation);
    let disables = matches!(r.shape(), Shape::Reversible | Shape::Alternating);
    if r.is_leak() && still_accepted && settled && disables && !r.passed.contains(&disable) && !r.in_flight(&disable) {
        // What the provider made of it is not in force: it is done again until the provider says so, or the login is refused (B16).
        return asked.and(attempt_forever(r, disable, now));
    }
    asked
}

fn watch(r: &Rotation, lasting: Span, started: Millis, now: Millis) -> Progress {
    let end = started.after(if broken(Mutant::WatchShortened) { Span(lasting.0 / 2) } else { lasting });
    if r.old().live == Live::Deleted && r.shape() != Shape::InPlace {
        return Progress::ready();
    }
    let every = interval(r, lasting);
    let mut wishes = Progress::ready();
    if r.old().baseline.is_none() {
        // One look at once. What is not listed has no baseline, and is looked for as often as everything else.
        wishes = wishes.and(listed_after(r, started, now));
    }
    for name in r.plan.entries.keys() {
        let command = Command::Probe(name.clone());
        if now < end || r.tries.contains_key(&command) {
            wishes = wishes.and(sampled(r, command, started, every, now));
        }
    }
    if now < end {
        let lists = r.shape().lists();
        let listed = if lists { sampled(r, Command::ListVersions, started, every, now) } else { Progress::ready() };
        return wishes.and(listed).and(Progress::wait(end));
    }
    // The last look comes after the end: what happened in the last interval counts too. A sample that failed, and was not
    // followed to its end because the rotation rested meanwhile, is made good.
    let held = all(r.plan.entries.keys().map(|e| entry_proven(r, e, r.target, now)));
    wishes.and(held).and(listed_after(r, end, now))
}

fn delete(r: &Rotation, now: Millis) -> Progress {
    if r.shape() == Shape::InPlace {
        return Progress::ready();
    }
    let deleted = || version_is(r, Slot::OLD, Live::Deleted, Command::Delete(Slot::OLD), now);
    let gone = match r.old().live {
        Live::Deleted => Progress::ready(),
        Live::Doubt => deleted(),
        _ => evidence(r, now).then(deleted),
    };
    gone.then(|| match r.shape() {
        Shape::DeleteOnly => old_refused(r, now).then(|| still_sending(r, now)),
        _ => Progress::ready(),
    })
}

/// Every service that can be asked to has sent once more; one that failed at first, as often as any proof.
fn still_sending(r: &Rotation, now: Millis) -> Progress {
    target_alive(r, now).then(|| still_listed(r, now)).then(|| {
        let asked = r.plan.services.iter().filter(|(_, s)| s.test_send).map(|(name, _)| name);
        all(asked.map(|s| once(r, Command::TestSend(s.clone()), now).then(|| service_proven(r, s, r.target, now))))
    })
}

/// The last look: no version of this rotation is left but the target (S4, L3).
pub(crate) fn swept(r: &Rotation, now: Millis) -> Progress {
    if broken(Mutant::SweepSkipped) {
        return Progress::ready();
    }
    let others = r.versions.iter().filter(|(s, _)| !s.is_old() && **s != r.target);
    // What a person has mended meanwhile was not looked at by every step that it came back in.
    moved_again(r, now)
        .then(|| all(others.map(|(slot, v)| gone(r, *slot, v, now))))
        .then(|| makings_listed(r, now))
        .then(|| {
            // A list from before the last change says nothing about the end.
            let changed = r.versions.values().map(|v| v.changed_at).max().unwrap_or_default();
            match r.shape().lists() {
                true => listed_after(r, changed, now),
                false => accepted_after(r, r.target, changed, now),
            }
        })
        .then(|| not_missing(r, r.target, now))
        .then(|| target_alive(r, now))
}
