//! The board of a run: what is under way, a line for each entry and each service. `live` keeps it on the terminal.

use std::collections::BTreeSet;

use handover_rotation::command::{Command, Which};
use handover_rotation::name::Slot;
use handover_rotation::state::{Phase, Rotation};
use handover_rotation::time::{Millis, Span};

use super::by_hand;
use super::style::{Style, visible};
use super::words;

/// The lines of a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// What is under way: the step, or rolling back.
    pub head: String,
    /// The wait of the step: when it began and how long it is.
    pub wait: Option<(Millis, Span)>,
    /// One line for each entry and each service.
    pub targets: Vec<Target>,
}

/// The line of an entry or a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its state, and what is done to it.
    pub text: String,
    /// The command that is under way for it.
    pub doing: Option<Command>,
}

/// The board of a state. `running` are the commands under way, `asked` is what a person is asked to do.
#[must_use]
pub fn board(r: &Rotation, running: &BTreeSet<Command>, asked: Option<&Command>, style: Style) -> Board {
    use handover_rotation::playbook::Step;
    let of = r.plan.playbook.steps.len();
    let (head, wait) = match (r.phase, r.current_step()) {
        (Phase::RollingBack, _) => ("rolling back".to_owned(), None),
        (Phase::Stuck { .. }, _) => ("stuck: needs a person".to_owned(), None),
        (Phase::Ended(_), _) => (words::phase_text(r), None),
        (Phase::Forward, Some(step)) => {
            let wait = match step {
                Step::Soak { lasting } | Step::Watch { lasting } | Step::Approve { within: lasting, .. } => {
                    r.step_started.map(|at| (at, *lasting))
                }
                _ => None,
            };
            (format!("step {} of {of}: {}", r.step + 1, words::step(step)), wait)
        }
        (Phase::Forward, None) => ("a last look".to_owned(), None),
    };
    let others: Vec<String> = running.iter().filter(|c| target(c).is_none()).map(|c| words::command(r, c)).collect();
    let asked = asked.map(|command| format!("{head}: a person is asked to {}", by_hand::task(r, command)));
    let head = asked.unwrap_or(head);
    let head = if others.is_empty() { head } else { format!("{head}: {}", others.join(", ")) };
    let names = r.entries.keys().map(|n| n.as_str()).chain(r.services.keys().map(|n| n.as_str()));
    let width = names.map(str::len).max().unwrap_or(0);
    let line = |mark: &str, kind: &str, name: &str, state: &str, doing: Option<&Command>| {
        let text = join(state, doing.map(words_of));
        let line = visible(&format!("{mark:<2} {kind:<7} {name:<width$}  {text}"));
        Target { text: line.chars().take(style.width.saturating_sub(2)).collect(), doing: doing.cloned() }
    };
    let mut targets = Vec::new();
    for name in r.entries.keys() {
        let (good, state) = entry(r, name);
        let doing = doing(running, name.as_str(), true);
        let mark = mark(good, doing.is_some(), has_trouble(r, name.as_str(), true), style);
        targets.push(line(mark, "entry", name.as_str(), &state, doing));
    }
    for name in r.services.keys() {
        let (good, state) = service(r, name);
        let doing = doing(running, name.as_str(), false);
        let mark = mark(good, doing.is_some(), has_trouble(r, name.as_str(), false), style);
        targets.push(line(mark, "service", name.as_str(), &state, doing));
    }
    Board { head: visible(&head), wait, targets }
}

fn join(state: &str, doing: Option<&'static str>) -> String {
    match doing {
        Some(doing) if state.is_empty() => doing.to_owned(),
        Some(doing) => format!("{state}; {doing}"),
        None => state.to_owned(),
    }
}

fn mark(good: bool, doing: bool, trouble: bool, style: Style) -> &'static str {
    match (trouble, good, doing) {
        (true, ..) => "!",
        (_, true, _) => style.ok(),
        (_, _, true) => style.pick("…", ".."),
        _ => style.pick("·", "-"),
    }
}

/// The version that counts as good: the new one, or the old one on the way back.
fn wanted(r: &Rotation) -> Slot {
    match r.phase {
        Phase::RollingBack | Phase::Stuck { rolling_back: true } => Slot::OLD,
        _ => r.target,
    }
}

fn entry(r: &Rotation, name: &handover_rotation::name::EntryName) -> (bool, String) {
    let Some(entry) = r.entries.get(name) else { return (false, String::new()) };
    let wanted = wanted(r);
    let good = entry.holds == Some(Which::Slot(wanted)) && entry.touched;
    let holds = match entry.holds {
        Some(Which::Slot(slot)) => format!("holds {}", words::version(r, slot)),
        Some(which) => format!("holds {which}"),
        None if entry.touched => "in doubt".to_owned(),
        None => "not read yet".to_owned(),
    };
    let sends = if entry.probes > 0 && entry.holds == Some(Which::Slot(entry.probed)) {
        format!(", {} sent", words::count(usize::from(entry.probes), "mail"))
    } else {
        String::new()
    };
    (good, format!("{holds}{sends}"))
}

fn service(r: &Rotation, name: &handover_rotation::name::ServiceName) -> (bool, String) {
    let (Some(service), Some(plan)) = (r.services.get(name), r.plan.services.get(name)) else {
        return (false, String::new());
    };
    let wanted = wanted(r);
    let good = if wanted.is_old() {
        service.touched && service.presents == Some(Which::Slot(wanted))
    } else {
        r.is_proven(name, wanted)
    };
    let mut parts = Vec::new();
    match (service.presents, service.reloaded) {
        (Some(Which::Slot(slot)), _) => parts.push(format!("presents {}", words::version(r, slot))),
        (Some(which), _) => parts.push(format!("presents {which}")),
        (None, Some(slot)) => parts.push(format!("reloaded with {}", words::version(r, slot))),
        (None, None) => {}
    }
    if plan.test_send && service.sends > 0 {
        parts.push(format!("{} sent", words::count(usize::from(service.sends), "mail")));
    }
    if good && !wanted.is_old() {
        parts.push("proven".to_owned());
    }
    (good, parts.join(", "))
}

/// The entry or service that a command works on: whether it is an entry, and its name.
fn target(command: &Command) -> Option<(bool, &str)> {
    match command {
        Command::CheckWritable(e) | Command::ReadEntry(e) | Command::Write(e, _) | Command::Probe(e) => {
            Some((true, e.as_str()))
        }
        Command::Attest(s) | Command::Reload(s) | Command::TestSend(s) => Some((false, s.as_str())),
        _ => None,
    }
}

fn doing<'c>(running: &'c BTreeSet<Command>, name: &str, is_entry: bool) -> Option<&'c Command> {
    running.iter().find(|c| target(c) == Some((is_entry, name)))
}

fn words_of(command: &Command) -> &'static str {
    match command {
        Command::CheckWritable(_) => "checking that it can be written",
        Command::ReadEntry(_) => "reading",
        Command::Write(..) => "writing",
        Command::Attest(_) => "asking what it presents",
        Command::Reload(_) => "reloading",
        _ => "sending mail",
    }
}

fn has_trouble(r: &Rotation, name: &str, is_entry: bool) -> bool {
    r.tries.keys().any(|c| target(c) == Some((is_entry, name)))
}
