//! Reading the story: one pass over the events, each seen with the state before and after it.

use std::collections::BTreeMap;

use handover_rotation::command::{Command, Fact, Which};
use handover_rotation::event::{Ending, Event};
use handover_rotation::name::Slot;
use handover_rotation::outcome::Outcome;
use handover_rotation::plan::Shape;
use handover_rotation::state::{Live, Rotation};
use handover_rotation::time::{Millis, Span};

use super::bars;
use super::{EntryStory, LoginStory, Mailed, Mark, MarkKind, Overlap, Served, ServiceStory, Story, Trouble};
use crate::view::words;

pub(super) fn read(events: &[(Millis, Event)]) -> Option<Story> {
    let ((at, first), rest) = events.split_first()?;
    let Event::Started { plan_hash, by, reason, .. } = first else { return None };
    let mut r = Rotation::begin(*at, first).ok()?;
    let service = ServiceStory {
        reloads: Vec::new(),
        mails: Vec::new(),
        attested: Vec::new(),
        uses: Slot::OLD,
        gap: Span(0),
        gap_since: None,
        served: Served::Yes,
        unproven: Span(0),
        unproven_since: None,
        own: None,
        known_good: r.at,
    };
    let mut story = Story {
        by: by.clone(),
        reason: reason.clone(),
        plan_hash: plan_hash.clone(),
        rows: Vec::new(),
        marks: Vec::new(),
        failures: Vec::new(),
        todo: Vec::new(),
        entries: r.plan.entries.keys().map(|n| (n.clone(), EntryStory::default())).collect(),
        services: r.plan.services.keys().map(|n| (n.clone(), service.clone())).collect(),
        logins: Vec::new(),
        troubles: Vec::new(),
        overlap: Overlap::default(),
        retired_at: None,
        aborted: None,
        approvals: Vec::new(),
        events: events.len(),
        broken: None,
        last: r.clone(),
    };
    let mut open = BTreeMap::new();
    let mut words = BTreeMap::new();
    for (position, (at, event)) in rest.iter().enumerate() {
        let before = r.clone();
        if let Err(illegal) = r.apply(*at, event) {
            story.broken = Some(format!("event {}: {illegal}", position + 2));
            break;
        }
        let at = r.at;
        bars::draw(&mut story.rows, &before, at, event);
        story.mark(&before, &r, at, event, position);
        story.learn(&r, at, event);
        story.trouble(&mut open, &before, &r, at, event);
        story.measure(&mut words, &before, &r, at, event);
    }
    if r.ended() == Some(Ending::Refused) {
        // Nothing was changed, so there was nothing to put back.
        bars::forget_rollback(&mut story.rows);
    }
    story.last = r;
    Some(story)
}

impl Story {
    fn mark(&mut self, before: &Rotation, r: &Rotation, at: Millis, event: &Event, position: usize) {
        let mut mark = |kind, text: String| self.marks.push(Mark { at, kind, text });
        match event {
            Event::Claimed { by, .. } if position > 0 => mark(MarkKind::TakeOver, format!("taken over by {by}")),
            Event::RollbackStarted { failure } | Event::Stuck { failure, .. } => {
                mark(MarkKind::Failure, format!("failed: {}", failure.fault.message));
                self.failures.push((at, failure.clone()));
                if let Event::Stuck { todo, .. } = event {
                    self.todo.clone_from(todo);
                }
            }
            Event::Compromised { slot, source, .. } => {
                mark(MarkKind::Compromised, format!("{} is compromised, says {source}", words::version(r, *slot)));
            }
            Event::ContainmentBegan { .. } => {
                mark(MarkKind::Containment, format!("containment: {} is shut out", words::version(r, Slot::OLD)));
            }
            Event::Intended { command: Command::Delete(slot), .. } if slot.is_old() && !before.no_return => {
                mark(MarkKind::NoReturn, "point of no return".to_owned());
            }
            Event::AbortRequested { by, reason } => {
                mark(MarkKind::Person, format!("{by} asked to stop"));
                self.aborted = Some((at, by.clone(), reason.clone()));
            }
            Event::Approved { step, by } => {
                mark(MarkKind::Person, format!("approved by {by}"));
                self.approvals.push((at, *step, by.clone()));
            }
            Event::Resumed { by } => mark(MarkKind::Person, format!("resumed by {by}")),
            _ => {}
        }
    }

    fn learn(&mut self, r: &Rotation, at: Millis, event: &Event) {
        let Event::Settled { command, began, outcome: Outcome::Done(fact), .. } = event else { return };
        match (command, fact) {
            (Command::Probe(name), Fact::Mailed { message, arrived }) => {
                if let (Some(entry), Some(state)) = (self.entries.get_mut(name), r.entries.get(name)) {
                    let (message, arrived) = (message.clone(), arrived.clone());
                    entry.mails.push(Mailed { at, slot: Some(state.probed), message, arrived });
                }
            }
            (Command::TestSend(name), Fact::Mailed { message, arrived }) => {
                if let Some(service) = self.services.get_mut(name) {
                    let state = r.services.get(name);
                    let slot = match state.and_then(|s| s.presents) {
                        Some(Which::Slot(slot)) => Some(slot),
                        Some(_) => None,
                        None => state.and_then(|s| s.reloaded).or(Some(service.uses)),
                    };
                    service.mails.push(Mailed { at, slot, message: message.clone(), arrived: arrived.clone() });
                }
            }
            (Command::Attest(name), Fact::Presents(which)) => {
                if let Some(service) = self.services.get_mut(name) {
                    service.attested.push((at, *which));
                    // A reload may have been ignored: what it presents tells which version its mails since then went with.
                    let since = service.reloads.last().copied().unwrap_or(r.started_at);
                    let slot = if let Which::Slot(slot) = which { Some(*slot) } else { None };
                    service.mails.iter_mut().filter(|m| m.at >= since).for_each(|m| m.slot = slot);
                }
            }
            (Command::Reload(name), _) => {
                if let Some(service) = self.services.get_mut(name) {
                    service.reloads.push(at);
                }
            }
            (Command::Write(name, slot), _) => {
                if let Some(entry) = self.entries.get_mut(name) {
                    entry.writes.push((at, *slot));
                }
            }
            (Command::Auth(slot), Fact::Login { accepted, reply }) => {
                self.logins.push(LoginStory { at: *began, slot: *slot, accepted: *accepted, reply: reply.clone() });
            }
            (Command::Disable(slot) | Command::Delete(slot), _) if slot.is_old() => {
                self.retired_at.get_or_insert(at);
            }
            (Command::Create(_), _) if r.shape() == Shape::InPlace => {
                self.retired_at.get_or_insert(at);
            }
            _ => {}
        }
    }

    fn trouble(&mut self, open: &mut BTreeMap<Command, usize>, before: &Rotation, r: &Rotation, at: Millis, event: &Event) {
        match event {
            Event::Settled { command, outcome, .. } => {
                let fault = match outcome {
                    Outcome::Done(_) => r.tries.get(command).map(|t| t.fault.clone()).filter(|_| {
                        let count = |s: &Rotation| s.tries.get(command).map_or(0, |t| t.count);
                        count(r) > count(before) || count(r) == u8::MAX
                    }),
                    Outcome::NotDone(fault) | Outcome::Unknown(fault) => Some(fault.clone()),
                };
                let doubt = matches!(outcome, Outcome::Unknown(_)) && command.is_effect();
                if let Some(fault) = fault {
                    let index = *open.entry(command.clone()).or_insert_with(|| {
                        self.troubles.push(Trouble::new(command, at, doubt));
                        self.troubles.len() - 1
                    });
                    let trouble = &mut self.troubles[index];
                    trouble.count += 1;
                    trouble.fault = Some(fault);
                    trouble.doubt |= doubt;
                } else if let Some(index) = open.remove(command) {
                    self.troubles[index].resolved.get_or_insert((at, "worked when tried again".to_owned()));
                }
            }
            // What goes well after this goes well for another version.
            Event::RollbackStarted { .. } => open.retain(|_, index| self.troubles[*index].doubt),
            Event::Claimed { .. } => {
                for flight in before.flights.values() {
                    open.entry(flight.command.clone()).or_insert_with(|| {
                        self.troubles.push(Trouble { count: 1, ..Trouble::new(&flight.command, at, true) });
                        self.troubles.len() - 1
                    });
                }
            }
            _ => {}
        }
        open.retain(|command, index| {
            let Some(found) = doubt_ended(before, r, command) else { return true };
            if self.troubles[*index].doubt {
                if let (true, Command::Write(name, slot)) = (found.happened, command)
                    && let Some(entry) = self.entries.get_mut(name)
                {
                    entry.writes.push((at, *slot));
                }
                self.troubles[*index].resolved.get_or_insert((at, found.text));
            }
            !self.troubles[*index].doubt
        });
    }
}

impl Trouble {
    fn new(command: &Command, first: Millis, doubt: bool) -> Self {
        Self { command: command.clone(), first, count: 0, fault: None, doubt, resolved: None }
    }
}

/// What a look has shown of a command that was in doubt.
pub(crate) struct Found {
    /// Whether it had happened.
    pub(crate) happened: bool,
    /// In words.
    pub(crate) text: String,
}

impl Found {
    fn new(how: &str, happened: bool, is: &str) -> Self {
        let not = if happened { "" } else { "not " };
        Self { happened, text: format!("{how} showed that it had {not}happened: {is}") }
    }
}

/// What a look has shown of a command that was in doubt; `None` while the doubt lasts.
pub(crate) fn doubt_ended(before: &Rotation, r: &Rotation, command: &Command) -> Option<Found> {
    if let Some(slot) = command.slot_changed() {
        let (was, is) = (before.versions.get(&slot)?.live, r.versions.get(&slot)?.live);
        if was != Live::Doubt || is == Live::Doubt || before.in_flight(command) {
            return None;
        }
        let wanted = match command {
            Command::Create(_) | Command::Enable(_) => Live::Active,
            Command::Disable(_) => Live::Inactive,
            _ => Live::Deleted,
        };
        return Some(Found::new("a look", is == wanted, words::live(is)));
    }
    if let Command::Write(name, slot) = command {
        let (was, is) = (before.entries.get(name)?.holds, r.entries.get(name)?.holds?);
        if was.is_some() || before.in_flight(command) {
            return None;
        }
        return Some(Found::new("reading it back", is == Which::Slot(*slot), &format!("it holds {}", words::which(r, is))));
    }
    None
}
