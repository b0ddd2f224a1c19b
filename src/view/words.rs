//! How versions, states, steps and failures are named, the same in every view.

use handover_rotation::command::{Command, Which};
use handover_rotation::event::{Ending, Failure, FailureKind};
use handover_rotation::name::Slot;
use handover_rotation::outcome::Fault;
use handover_rotation::playbook::Step;
use handover_rotation::state::{Live, Phase, Rotation};
use handover_rotation::time::{Millis, Span};

use super::page::Page;
use super::style::took;

/// A version with its id, such as `new AKIA2`; `new` while it has none.
#[must_use]
pub fn version(r: &Rotation, slot: Slot) -> String {
    match r.versions.get(&slot).and_then(|v| v.id.as_ref()) {
        Some(id) => format!("{} {id}", role(slot)),
        None if !slot.is_old() && slot != r.target => "an earlier new one".to_owned(),
        None => role(slot).to_owned(),
    }
}

/// Old or new. Which of several new ones is told by its id: a number beside it would be a second count.
#[must_use]
pub fn role(slot: Slot) -> &'static str {
    if slot.is_old() { "old" } else { "new" }
}

/// What something holds or presents, with ids.
#[must_use]
pub fn which(r: &Rotation, which: Which) -> String {
    match which {
        Which::Slot(slot) => version(r, slot),
        Which::Foreign => "a value not of this rotation".to_owned(),
        Which::Nothing => "nothing".to_owned(),
    }
}

/// Where a version stands, in a word or a few.
#[must_use]
pub fn live(live: Live) -> &'static str {
    match live {
        Live::Absent => "not there",
        Live::Active => "active",
        Live::Inactive => "disabled",
        Live::Deleted => "deleted",
        Live::Doubt => "in doubt",
    }
}

/// A step as the views show it: the word of the playbook and what it works on.
#[must_use]
pub fn step(step: &Step) -> String {
    match step {
        Step::Push { to } => format!("push {to}"),
        Step::Soak { lasting } => format!("soak {}", took(*lasting)),
        Step::Watch { lasting } => format!("watch {}", took(*lasting)),
        Step::Approve { by, .. } => format!("approve by {by}"),
        other => other.to_string(),
    }
}

/// A command with the ids of what it works on.
#[must_use]
pub fn command(r: &Rotation, command: &Command) -> String {
    let id = |slot: Slot| r.versions.get(&slot).and_then(|v| v.id.as_ref()).map_or_else(String::new, |id| format!(" {id}"));
    match command {
        Command::Disable(s) => format!("disable the {} version{}", role(*s), id(*s)),
        Command::Enable(s) => format!("enable the {} version{}", role(*s), id(*s)),
        Command::Delete(s) => format!("delete the {} version{}", role(*s), id(*s)),
        Command::Auth(s) => format!("log in with the {} version{}", role(*s), id(*s)),
        Command::Create(s) if s.0 > 1 => format!("create another new version at {}", r.plan.provider),
        Command::Create(_) => format!("{command} at {}", r.plan.provider),
        Command::Write(entry, s) if s.0 > 1 => format!("write the new version{} to {entry}", id(*s)),
        Command::ListVersions => format!("list the versions of {}", r.plan.account),
        other => other.to_string(),
    }
}

/// `1 mail`, `3 mails`.
#[must_use]
pub fn count(n: usize, one: &str) -> String {
    let plural = match one.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{one}s"),
    };
    if n == 1 { format!("1 {one}") } else { format!("{n} {plural}") }
}

/// Names joined by commas.
pub fn list<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|n| n.to_string()).collect::<Vec<_>>().join(", ")
}

/// Where a rotation stands, in the words that `--json` uses too.
#[must_use]
pub fn phase(r: &Rotation) -> &'static str {
    match r.phase {
        Phase::Forward if r.containing => "containing",
        Phase::Forward => "running",
        Phase::RollingBack => "rolling-back",
        Phase::Stuck { .. } => "stuck",
        Phase::Ended(Ending::Done) => "done",
        Phase::Ended(Ending::RolledBack) => "rolled-back",
        Phase::Ended(Ending::Refused) => "refused",
    }
}

/// The same for people.
#[must_use]
pub fn phase_text(r: &Rotation) -> String {
    phase(r).replace('-', " ")
}

/// What a failure speaks against, as a fragment.
#[must_use]
pub fn kind(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Target => "failed",
        FailureKind::Environment => "mail does not work, with either version",
        FailureKind::Abort => "stopped by a person",
        FailureKind::Gate => "not approved",
    }
}

/// A failure on lines of its own: what failed, why, the hint, and where its page is.
pub fn failure(page: &mut Page, r: &Rotation, label: &str, failure: &Failure) {
    let what = match &failure.command {
        Some(c) => format!("failed to {}: {}", command(r, c), failure.fault.message),
        None => failure.fault.message.clone(),
    };
    page.labelled(label, &what);
    fault_hint(page, label.chars().count(), &failure.fault);
}

/// The hint of a fault and where its page is.
pub fn fault_hint(page: &mut Page, indent: usize, fault: &Fault) {
    if let Some(hint) = &fault.hint {
        page.labelled(&format!("{:indent$}hint: ", ""), hint);
    }
    page.line(&format!("{:indent$}more: handover explain {}", "", fault.code));
}

/// `41s ago`, `in 24s`, `now`.
#[must_use]
pub fn distance(at: Millis, now: Millis) -> String {
    let whole = |span: Span| if span.0 < 1000 { span } else { Span(span.0 / 1000 * 1000) };
    match at.0.cmp(&now.0) {
        std::cmp::Ordering::Less => format!("{} ago", took(whole(now.since(at)))),
        std::cmp::Ordering::Greater => format!("in {}", took(whole(at.since(now)))),
        std::cmp::Ordering::Equal => "now".to_owned(),
    }
}
