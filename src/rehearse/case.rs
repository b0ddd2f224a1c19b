//! Cases: what goes wrong, and when; and what came of it.

use std::collections::BTreeSet;

use handover_rotation::command::Command;
use handover_rotation::name::{ServiceName, StoreName};
use handover_rotation::plan::{Plan, Shape};
use handover_rotation::state::Phase;
use handover_rotation::time::Span;

/// A call of the run without faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Its number within the run, from 0.
    pub number: usize,
    /// The step, from 0; the number of steps in the last look.
    pub step: usize,
    /// What is called.
    pub command: Command,
}

/// What stays broken once it breaks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lasting {
    /// The provider gives no answer.
    Provider,
    /// A store gives no answer.
    Store(StoreName),
    /// The mail server takes no mail and no login.
    Mail,
    /// The mail server takes no mail with the new version.
    NewMail,
    /// This service says that it has reloaded, and has not.
    DeafService(ServiceName),
    /// This call fails whenever it is made.
    Call,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The call fails once.
    FailsOnce,
    /// No answer, and it was not done.
    NoAnswer,
    /// No answer, and it was done.
    DoneUnanswered,
    /// No answer, and it is done later.
    DoneLate,
    /// It is done twice.
    DoneTwice,
    /// Handover is killed before the call.
    KilledBefore,
    /// Handover is killed after the call, before it could write down what came of it.
    KilledAfter,
    /// Handover is frozen, and another one takes over.
    Frozen,
    /// Something breaks and stays broken.
    Breaks(Lasting),
    /// A person asks to stop.
    Abort,
    /// An alert: the old version has leaked.
    OldLeaks,
    /// An alert: the new version has leaked.
    NewLeaks,
    /// Someone else deletes the new version.
    SomeoneDeletesNew,
    /// Someone else edits an entry.
    SomeoneEdits,
    /// The services restart by themselves.
    Restarts,
}

impl Fault {
    /// Whether someone else has broken something, which no rotation can keep from happening.
    #[must_use]
    pub fn is_someone_elses(&self) -> bool {
        matches!(self, Self::SomeoneDeletesNew | Self::SomeoneEdits | Self::OldLeaks | Self::NewLeaks)
    }
}

/// One thing that goes wrong at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// When.
    pub moment: Moment,
    /// What.
    pub fault: Fault,
}

/// How a run ends. In the order of how bad that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ends {
    /// With the new version everywhere.
    Done,
    /// Before anything was changed.
    Refused,
    /// With the old version everywhere.
    RolledBack,
    /// It rests until a person acts.
    Stuck,
    /// A rule of safety was broken: a defect of Handover.
    Broken,
}

/// A service that could not send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The service.
    pub service: ServiceName,
    /// How long, at least.
    pub span: Span,
    /// Whether it lasts until a person acts.
    pub lasting: bool,
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What went wrong, in order; empty for the run without faults.
    pub cases: Vec<Case>,
    /// Whether all of it could happen.
    pub happened: bool,
    /// How it ends.
    pub ends: Ends,
    /// The services whose login was refused for a time.
    pub outages: Vec<Outage>,
    /// How long it takes.
    pub took: Span,
    /// Whether the compromised version is still accepted at the end.
    pub uncontained: bool,
    /// The failure that decided it.
    pub failure: Option<String>,
    /// What a person is told to do.
    pub todo: Vec<String>,
    /// The rules that were broken.
    pub broken: Vec<String>,
}

impl Finding {
    /// The more, the worse.
    #[must_use]
    pub fn badness(&self) -> (bool, bool, bool, Ends, u64, std::cmp::Reverse<usize>) {
        let dark = self.outages.iter().map(|o| o.span.0).max().unwrap_or(0);
        let lasting = self.outages.iter().any(|o| o.lasting);
        // Of the same badness, what comes first in a rotation is told first.
        let first = self.cases.first().map_or(0, |c| c.moment.number);
        (self.ends == Ends::Broken, self.uncontained, lasting, self.ends, dark, std::cmp::Reverse(first))
    }
}

/// Every fault at every call; of calls that a step repeats, only the first.
pub(super) fn cases(plan: &Plan, moments: &[(Moment, Phase)]) -> Vec<Case> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for (moment, _) in moments {
        if !seen.insert((moment.step, moment.command.clone())) {
            continue;
        }
        let faults = faults(plan, moment);
        all.extend(faults.into_iter().map(|fault| Case { moment: moment.clone(), fault }));
    }
    all
}

fn faults(plan: &Plan, moment: &Moment) -> Vec<Fault> {
    let command = &moment.command;
    let mut faults = vec![
        Fault::FailsOnce,
        Fault::NoAnswer,
        Fault::KilledBefore,
        Fault::KilledAfter,
        Fault::Frozen,
        Fault::Breaks(Lasting::Call),
        Fault::Breaks(lasting(plan, command)),
        Fault::Abort,
        Fault::Restarts,
    ];
    if command.is_effect() {
        faults.extend([Fault::DoneUnanswered, Fault::DoneTwice]);
    }
    if command.slot_changed().is_some() || matches!(command, Command::Write(..)) {
        faults.push(Fault::DoneLate);
    }
    if !plan.compromised {
        faults.push(Fault::OldLeaks);
    }
    if matches!(command, Command::Probe(_) | Command::TestSend(_)) {
        faults.push(Fault::Breaks(Lasting::NewMail));
    }
    if moment.step > 0 {
        faults.extend([Fault::NewLeaks, Fault::SomeoneEdits]);
        if plan.facts.shape != Shape::InPlace {
            faults.push(Fault::SomeoneDeletesNew);
        }
    }
    faults.sort();
    faults.dedup();
    faults
}

/// What is behind a call, and may be gone for good.
fn lasting(plan: &Plan, command: &Command) -> Lasting {
    match command {
        Command::CheckHost | Command::Attest(_) => Lasting::Call,
        Command::Reload(service) => Lasting::DeafService(service.clone()),
        Command::CheckWritable(entry) | Command::ReadEntry(entry) | Command::Write(entry, _) => {
            plan.entries.get(entry).map_or(Lasting::Call, |e| Lasting::Store(e.store.clone()))
        }
        Command::Auth(_) | Command::Probe(_) | Command::TestSend(_) | Command::Control => Lasting::Mail,
        Command::ListVersions | Command::Create(_) | Command::Disable(_) | Command::Enable(_) | Command::Delete(_) => {
            Lasting::Provider
        }
    }
}
