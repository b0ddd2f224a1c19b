//! What a person can do with a rotation: the next command, the undo, what is safe, and what is not. Each line follows from the
//! rules of the machine; a command that the machine would refuse is never named.

use handover_rotation::command::{Command, Which};
use handover_rotation::decide::{Decision, Wanted, decide};
use handover_rotation::event::{Ending, Event};
use handover_rotation::name::{ServiceName, Slot};
use handover_rotation::playbook::Step;
use handover_rotation::state::{Live, Phase, Rotation};
use handover_rotation::time::Millis;
use serde_json::{Value, json};

use super::by_hand;
use super::standing::is_exposed;
use super::story::Served;
use super::style::Style;
use super::words;

/// Something to do: in words, with the command where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Advice {
    pub(super) command: Option<String>,
    pub(super) text: String,
}

impl Advice {
    fn none(text: impl Into<String>) -> Self {
        Self { command: None, text: text.into() }
    }

    fn run(command: String, text: impl Into<String>) -> Self {
        Self { command: Some(command), text: text.into() }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "command": self.command, "text": self.text })
    }

    /// The command alone, or what is to be said instead of one.
    pub(super) fn short(&self) -> &str {
        self.command.as_deref().unwrap_or(&self.text)
    }

    /// The command with its explanation, or the explanation alone.
    pub(super) fn line(&self) -> String {
        match &self.command {
            Some(command) if self.text.is_empty() => command.clone(),
            Some(command) => format!("{command}   ({})", self.text),
            None => self.text.clone(),
        }
    }
}

/// What it waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// What is under way or asked of a person.
    pub(super) on: Vec<String>,
    /// Until when, where a time is known.
    pub(super) until: Option<Millis>,
    /// Whether what it waits for are calls, under way or to be made.
    pub(super) calls: bool,
    /// Whether it could go on right now.
    pub(super) due: bool,
    /// Whether a person is asked for something.
    pub(super) person: bool,
}

pub(super) fn waiting(r: &Rotation, now: Millis) -> Waiting {
    let mut waiting = Waiting::default();
    if r.ended().is_some() {
        return waiting;
    }
    let decision = decide(r, now);
    waiting.on.extend(r.flights.values().map(|f| words::command(r, &f.command)));
    match decision {
        Decision::Record(events) => {
            waiting.due = true;
            // Whoever goes on must know that it goes back from here.
            waiting.on.extend(events.iter().find_map(|e| match e {
                Event::RollbackStarted { failure } => {
                    Some(format!("someone to go on: it will roll back, {}", failure.fault.message))
                }
                _ => None,
            }));
        }
        Decision::Rest => {}
        Decision::Act { start, wake, person } => {
            waiting.due = !start.is_empty();
            waiting.on.extend(start.iter().map(|c| words::command(r, c)));
            waiting.calls = !waiting.on.is_empty();
            waiting.until = wake;
            waiting.person = person.is_some();
            if waiting.on.is_empty() && !r.tries.is_empty() {
                waiting.on.extend(r.tries.keys().take(2).map(|c| format!("the next try: {}", words::command(r, c))));
            }
            match person {
                Some(Wanted::Approval(step)) => waiting.on.push(approval(r, step)),
                Some(Wanted::Task(command)) => waiting.on.push(format!("a person to {}", by_hand::task(r, &command))),
                None => {}
            }
        }
    }
    let started = r.step_started.filter(|_| r.phase == Phase::Forward);
    if let (Some(started), Some(Step::Soak { lasting } | Step::Watch { lasting })) = (started, r.current_step()) {
        // Samples on the way are no news: what counts is the end of the wait.
        let end = started.after(*lasting);
        if now < end {
            waiting.on = vec!["the end of the wait; samples are taken while someone runs it".to_owned()];
            waiting.calls = false;
            waiting.until = Some(end);
            waiting.due = false;
        }
    }
    waiting
}

fn approval(r: &Rotation, step: usize) -> String {
    match r.plan.playbook.steps.get(step) {
        Some(Step::Approve { by, .. }) => format!("{by} to approve"),
        _ => "a person to approve".to_owned(),
    }
}

/// The next thing to do.
pub(super) fn next(r: &Rotation, now: Millis, holder: Option<&str>, style: Style) -> Advice {
    let id = &r.id;
    let resume = format!("handover resume {id}");
    let exposed = is_exposed(r, holder);
    match r.phase {
        Phase::Ended(Ending::Done) => return Advice::none("nothing to do"),
        Phase::Ended(_) => {
            let scale = if r.plan.time_scale > 1 { format!(" --time-scale {}", r.plan.time_scale) } else { String::new() };
            let again = format!("handover rotate {} --playbook {}{scale}", r.plan.credential, r.plan.playbook.name);
            return Advice::run(again, "once the cause is mended");
        }
        Phase::Stuck { .. } if !exposed => return Advice::run(resume, "once the list is done"),
        Phase::Stuck { .. } | Phase::Forward | Phase::RollingBack => {}
    }
    let waiting = waiting(r, now);
    if let Decision::Act { person: Some(person), .. } = decide(r, now) {
        return match person {
            Wanted::Approval(_) if exposed => Advice::run(resume, now_for(r)),
            Wanted::Approval(_) => {
                let until = waiting.until.map_or_else(String::new, |t| format!(", until {}", style.moment(t, now)));
                Advice::run(format!("handover approve {id}"), format!("{}{until}", waiting.on.join("; ")))
            }
            Wanted::Task(command) => {
                let text = format!("after a person has done this: {}", by_hand::task(r, &command));
                Advice::run(by_hand::then(r, &command), text)
            }
        };
    }
    if exposed {
        return Advice::run(resume, now_for(r));
    }
    match (holder, waiting.due || !r.flights.is_empty(), waiting.until) {
        (Some(holder), ..) => Advice::none(format!("nothing: {holder} is at work on it")),
        (None, false, Some(until)) if until > now => {
            Advice::run(resume, format!("it goes on at {}; earlier is safe too", style.moment(until, now)))
        }
        (None, ..) => Advice::run(resume, "nobody is at work on it"),
    }
}

fn now_for(r: &Rotation) -> String {
    format!("NOW: nobody is shutting out {}", r.plan.old.id)
}

/// The way back.
pub(super) fn undo(r: &Rotation) -> Advice {
    let old = &r.plan.old.id;
    match r.phase {
        Phase::Ended(Ending::Done) => return Advice::none("none: it has ended; if the new version is bad, rotate again"),
        Phase::Ended(_) => return Advice::none("nothing to undo: the old version is in use everywhere"),
        _ => {}
    }
    if r.is_leak() && r.has_changed_anything() {
        return Advice::none(format!("never back: {old} is compromised, so it only goes forward"));
    }
    if r.no_return {
        let state = if r.old().live == Live::Deleted { "is deleted" } else { "is being deleted" };
        return Advice::none(format!("none: past the point of no return, {old} {state}"));
    }
    if r.old().live == Live::Deleted {
        return Advice::none(format!("none: {old} no longer exists"));
    }
    match r.phase {
        Phase::RollingBack => Advice::none("under way: it is rolling back"),
        Phase::Stuck { rolling_back: true } => Advice::run(format!("handover resume {}", r.id), "goes on rolling back"),
        _ => Advice::run(format!("handover abort {}", r.id), what_abort_does(r)),
    }
}

/// What rolling back would do from here.
pub(super) fn what_abort_does(r: &Rotation) -> String {
    if !r.has_changed_anything() {
        return "nothing was changed yet: it just ends".to_owned();
    }
    let mut parts = Vec::new();
    let by_hand = !r.shape().lists();
    if r.old().live != Live::Active {
        let enables = if by_hand { "asks a person to enable" } else { "enables" };
        parts.push(format!("{enables} {}", words::version(r, Slot::OLD)));
    }
    let entries: Vec<_> = r.entries.iter().filter(|(_, e)| e.touched).map(|(n, _)| n).collect();
    if !entries.is_empty() {
        parts.push(format!("writes the old version back to {}", words::list(&entries)));
    }
    let services =
        r.plan.services.iter().filter(|(n, p)| entries.contains(&&p.entry) || r.services.get(*n).is_some_and(|s| s.touched));
    let (hand, own): (Vec<_>, Vec<_>) = services.map(|(n, _)| n).partition(|name| r.is_reloaded_by_hand(name));
    if !own.is_empty() {
        parts.push(format!("reloads {}", words::list(own)));
    }
    if !hand.is_empty() {
        parts.push(format!("asks a person to restart {}", words::list(hand)));
    }
    for (slot, version) in r.versions.iter().filter(|(s, _)| !s.is_old()) {
        if matches!(version.live, Live::Active | Live::Inactive | Live::Doubt) {
            let deletes = if by_hand { "asks a person to delete" } else { "deletes" };
            parts.push(format!("{deletes} {}", words::version(r, *slot)));
        }
    }
    if parts.is_empty() { "ends it".to_owned() } else { parts.join(", ") }
}

/// What is safe now, and what is not.
///
/// `without` are services that use a version which is refused.
pub(super) fn safety(
    r: &Rotation,
    now: Millis,
    holder: Option<&str>,
    without: &[(&ServiceName, Slot, Served)],
) -> (Vec<String>, Vec<String>) {
    let (mut safe, mut unsafe_now) = (Vec::new(), Vec::new());
    if r.ended().is_some() {
        return (safe, unsafe_now);
    }
    let both = r.old().live == Live::Active && r.new_version().is_some_and(|v| v.live == Live::Active);
    let works = if both && r.shape().overlaps() { "both versions work" } else { "nothing is lost" };
    let danger = danger(r, now, holder, without);
    match (holder, r.flights.len()) {
        _ if !danger.is_empty() => unsafe_now.extend(danger),
        (Some(_), 0) => safe.push(format!("stopping the process: {works}, `handover resume {}` goes on", r.id)),
        (Some(_), n) => safe.push(format!(
            "stopping the process, even with kill -9: {works}; `handover resume {}` first looks at the {} under way",
            r.id,
            words::count(n, "call")
        )),
        (None, _) if matches!(r.phase, Phase::Stuck { .. }) => {
            safe.push("leaving it as it is: it rests, and keeps other rotations off this credential".to_owned());
        }
        (None, _) => safe.push(format!("leaving it as it is: {works}")),
    }
    let can_abort = undo(r).command.is_some_and(|c| c.contains(" abort "));
    if can_abort && r.is_leak() {
        unsafe_now.push(format!("aborting: it just ends, and {} stays compromised and alive", words::version(r, Slot::OLD)));
    } else if can_abort {
        safe.push(format!("aborting: {}", what_abort_does(r)));
    }
    if r.is_leak() && !r.containing && r.old().live == Live::Active {
        safe.push(format!("shutting out {} at once by hand, if it is being misused", words::version(r, Slot::OLD)));
    }
    for slot in r.versions.keys() {
        let users: Vec<String> = users(r, *slot);
        let live = r.versions.get(slot).is_some_and(|v| v.live == Live::Active);
        if live && !users.is_empty() && !(slot.is_old() && r.is_leak()) {
            unsafe_now.push(format!(
                "disabling or deleting {} by hand: {} in use by {}",
                words::version(r, *slot),
                if users.len() == 1 { "it is" } else { "still" },
                users.join(", ")
            ));
        }
    }
    let doubtful: Vec<_> = r.entries.iter().filter(|(_, e)| e.touched).map(|(n, _)| n.as_str()).collect();
    if !doubtful.is_empty() && !matches!(r.phase, Phase::Stuck { .. }) {
        unsafe_now.push(format!("editing entry {} by hand: Handover keeps it until the end", doubtful.join(", entry ")));
    }
    (safe, unsafe_now)
}

/// Why leaving it is not safe: a compromised version works, a service cannot send, or mail did not work when last tried.
fn danger(r: &Rotation, now: Millis, holder: Option<&str>, without: &[(&ServiceName, Slot, Served)]) -> Vec<String> {
    let old = words::version(r, Slot::OLD);
    let what = if holder.is_some() { "stopping the process" } else { "leaving it" };
    let resume = format!("`handover resume {}`", r.id);
    let mut lines = Vec::new();
    match (r.must_contain(), holder) {
        (true, None) => lines.push(format!("leaving it: {old} is compromised and nobody shuts it out; run {resume} NOW")),
        (true, Some(_)) => lines.push(format!("stopping the process: {old} is compromised and nobody else shuts it out")),
        _ => {}
    }
    let then = match holder {
        Some(_) => String::new(),
        None if matches!(r.phase, Phase::Stuck { .. }) => format!(": do what is to do, then {resume}"),
        None => format!(": {resume}"),
    };
    let mut versions: Vec<Slot> = without.iter().map(|(_, slot, _)| *slot).collect();
    versions.sort_unstable();
    versions.dedup();
    for slot in versions {
        let of_it = || without.iter().filter(move |(_, s, _)| *s == slot);
        let names = words::list(of_it().map(|(name, ..)| name));
        let until = match of_it().any(|(.., served)| matches!(served, Served::Refused(_))) {
            true => format!("until the server accepts {}", words::version(r, slot)),
            false if of_it().count() > 1 => "until they are moved".to_owned(),
            false => "until it is moved".to_owned(),
        };
        lines.push(format!("{what}: {names} cannot send {until}{then}"));
    }
    let of_mail = r.failure.as_ref().filter(|f| f.command.as_ref().is_some_and(Command::is_mail));
    if let (Phase::Stuck { .. }, true, Some(failure)) = (r.phase, without.is_empty(), of_mail) {
        lines.push(format!(
            "leaving it: mail did not work when it was last tried ({}, {}), so services may not be able to send{then}",
            failure.fault.code,
            words::distance(r.at, now)
        ));
    }
    lines
}

/// Entries that hold a version, and services that use it or may use it.
fn users(r: &Rotation, slot: Slot) -> Vec<String> {
    let entries = r
        .entries
        .iter()
        .filter(|(_, e)| e.holds == Some(Which::Slot(slot)) || e.holds.is_none() && (slot.is_old() || e.touched));
    // Until a service is proven on the new version it may still use the old one.
    let services = r.services.iter().filter(|(name, s)| match s.presents {
        Some(which) => which == Which::Slot(slot),
        None if slot.is_old() => r.target.is_old() || !r.is_proven(name, r.target),
        None => s.touched && slot == r.target && s.reloaded != Some(Slot::OLD),
    });
    entries.map(|(n, _)| format!("entry {n}")).chain(services.map(|(n, _)| n.to_string())).collect()
}
