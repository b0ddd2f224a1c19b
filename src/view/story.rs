//! The story of one rotation, read from its events: steps with their times, evidence, trouble and how it was resolved. It is
//! folded once and read by every view. It never decides anything.

mod bars;
mod measure;
mod read;

use std::collections::BTreeMap;

use handover_rotation::command::{Command, Which};
use handover_rotation::event::{Ending, Failure};
use handover_rotation::name::{EntryName, ServiceName, Slot};
use handover_rotation::outcome::Fault;
use handover_rotation::state::Rotation;
use handover_rotation::time::{Millis, Span};

pub use bars::{Bar, BarEnd, Row};
pub use measure::{Overlap, Served};
pub(crate) use read::doubt_ended;

/// What happened, in order.
#[derive(Clone, Debug)]
pub struct Story {
    /// The state after the last event.
    pub last: Rotation,
    /// Who started it.
    pub by: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// The hash of its plan.
    pub plan_hash: String,
    /// What ran when: a row a step, and rows for rolling back and for resting.
    pub rows: Vec<Row>,
    /// Points that matter, in order of time.
    pub marks: Vec<Mark>,
    /// Failures that could not be passed, in order: each led to rolling back or to a rest.
    pub failures: Vec<(Millis, Failure)>,
    /// What the last rest asked of people.
    pub todo: Vec<String>,
    /// What happened to each entry.
    pub entries: BTreeMap<EntryName, EntryStory>,
    /// What happened to each service.
    pub services: BTreeMap<ServiceName, ServiceStory>,
    /// What the server said to logins, in order.
    pub logins: Vec<LoginStory>,
    /// What went wrong on the way, each with how it was resolved.
    pub troubles: Vec<Trouble>,
    /// How long old and new were both accepted, as far as known.
    pub overlap: Overlap,
    /// When the old version was last disabled or deleted: the instant after which its login had to be refused.
    pub retired_at: Option<Millis>,
    /// Who asked to stop, and why.
    pub aborted: Option<(Millis, String, Option<String>)>,
    /// Gates that were opened: when, which step, by whom.
    pub approvals: Vec<(Millis, usize, String)>,
    /// How many events it has.
    pub events: usize,
    /// Why the fold stopped before the last event, if the events do not follow.
    pub broken: Option<String>,
}

/// A point that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: Millis,
    /// What it is.
    pub kind: MarkKind,
    /// In a few words.
    pub text: String,
}

/// What a mark stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkKind {
    /// Something failed for good.
    Failure,
    /// A version was found to be compromised.
    Compromised,
    /// The compromised version began to be shut out.
    Containment,
    /// From here on there is no way back.
    NoReturn,
    /// Another process took over.
    TakeOver,
    /// A person acted.
    Person,
}

/// What happened to an entry.
#[derive(Clone, Debug, Default)]
pub struct EntryStory {
    /// Writes that are known to have happened.
    pub writes: Vec<(Millis, Slot)>,
    /// Mails that Handover sent with what it held.
    pub mails: Vec<Mailed>,
}

/// What happened to a service.
#[derive(Clone, Debug)]
pub struct ServiceStory {
    /// Reloads that were carried out.
    pub reloads: Vec<Millis>,
    /// Mails that it sent itself.
    pub mails: Vec<Mailed>,
    /// What it said it presents.
    pub attested: Vec<(Millis, Which)>,
    /// The version that it uses, by the best evidence.
    pub uses: Slot,
    /// How long it was left with a version that the server refused, at most.
    pub gap: Span,
    /// When the gap now running began.
    pub gap_since: Option<Millis>,
    /// Whether it has a login that works, as far as known.
    pub served: Served,
    /// The longest that it was with a version of which nothing was seen yet.
    pub unproven: Span,
    /// Since when nothing is known.
    pub unproven_since: Option<Millis>,
    /// What its own last mail since its reload said of its login.
    own: Option<(Millis, bool)>,
    /// Until when it is known to have had a login that works.
    known_good: Millis,
}

/// A mail that proves something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailed {
    /// When its outcome was known.
    pub at: Millis,
    /// The version it was sent with, by the best evidence; `None` where the service presents something else.
    pub slot: Option<Slot>,
    /// Message-ID or nonce.
    pub message: String,
    /// Where it was found.
    pub arrived: Option<String>,
}

/// What the server said to a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginStory {
    /// When the login was begun.
    pub at: Millis,
    /// The version.
    pub slot: Slot,
    /// Whether it was accepted.
    pub accepted: bool,
    /// The reply's code.
    pub reply: String,
}

/// Trouble with one command, from its first failure to its resolution.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// The command.
    pub command: Command,
    /// When it first failed.
    pub first: Millis,
    /// How often it failed in a row.
    pub count: usize,
    /// The last fault; `None` where a process died while the command was under way.
    pub fault: Option<Fault>,
    /// Whether it was left open if it had happened.
    pub doubt: bool,
    /// When and how it was resolved.
    pub resolved: Option<(Millis, String)>,
}

impl Story {
    /// Reads the events of one rotation. `None` if they do not begin with `started`.
    #[must_use]
    pub fn of(events: &[(Millis, handover_rotation::event::Event)]) -> Option<Self> {
        read::read(events)
    }

    /// How it ended.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        self.last.ended()
    }

    /// How long it has taken, up to its end or to `now`.
    #[must_use]
    pub fn took(&self, now: Millis) -> Span {
        let end = if self.ending().is_some() { self.last.at } else { now.max(self.last.at) };
        end.since(self.last.started_at)
    }

    /// How long old and new were both accepted, at least and at most, up to its end or to `now`.
    #[must_use]
    pub fn overlap(&self, now: Millis) -> (Span, Span) {
        self.overlap.bounds(if self.ending().is_some() { self.last.at } else { now.max(self.last.at) })
    }

    /// How long a service was left with a version that was refused, up to `now`; `None` if it never was.
    #[must_use]
    pub fn gap(&self, service: &ServiceName, now: Millis) -> Option<Span> {
        let story = self.services.get(service)?;
        let end = if self.ending().is_some() { self.last.at } else { now.max(self.last.at) };
        let open = story.gap_since.map_or(0, |since| end.since(since).0);
        let gap = Span(story.gap.0 + open);
        (gap.0 > 0).then_some(gap)
    }

    /// The last failure.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.last.failure.as_ref()
    }
}
