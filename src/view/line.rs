//! One line an event, for logs and pipes: only what has changed something or gone wrong, never a look that passed.

use std::collections::BTreeSet;

use handover_rotation::command::{Command, Which};
use handover_rotation::event::{Ending, Event};
use handover_rotation::name::Slot;
use handover_rotation::outcome::Outcome;
use handover_rotation::playbook::Step;
use handover_rotation::state::Rotation;
use handover_rotation::time::Millis;
use serde_json::json;

use super::story::doubt_ended;
use super::style::{Style, visible};
use super::words;

/// The lines of one event, without their time; none where it is no news. `r` is the state after it.
#[must_use]
pub fn lines(event: &Event, at: Millis, r: &Rotation, style: Style) -> Vec<String> {
    raw(event, at, r, style).into_iter().map(|line| visible(&line)).collect()
}

fn raw(event: &Event, at: Millis, r: &Rotation, style: Style) -> Vec<String> {
    let of = r.plan.playbook.steps.len();
    match event {
        Event::Started { rotation, plan, by, .. } => {
            vec![format!("rotation {rotation} of {} began, playbook {}, by {by}", plan.credential, plan.playbook.name)]
        }
        Event::Claimed { by, epoch, .. } if *epoch > 1 => vec![format!("{by} took over")],
        Event::Claimed { .. } => Vec::new(),
        Event::StepStarted { step } => {
            let name = r.plan.playbook.steps.get(*step);
            let wait = match name {
                Some(Step::Soak { lasting } | Step::Watch { lasting } | Step::Approve { within: lasting, .. }) => {
                    format!(", until {}", style.moment(at.after(*lasting), at))
                }
                _ => String::new(),
            };
            vec![format!("step {} of {of}: {}{wait}", step + 1, name.map_or_else(String::new, words::step))]
        }
        Event::SlotOpened { slot } if slot.0 > 1 => vec!["another new version is needed".to_owned()],
        // The next step says it.
        Event::StepFinished { .. } | Event::SlotOpened { .. } | Event::Intended { .. } => Vec::new(),
        Event::Settled { command, outcome, .. } => settled(command, outcome, r, style),
        Event::AbortRequested { by, reason } => {
            let why = reason.as_ref().map_or_else(String::new, |w| format!(": {w}"));
            vec![format!("{by} asked to stop{why}")]
        }
        Event::Approved { step, by } => vec![format!("{by} approved step {}", step + 1)],
        Event::Supplied { slot, .. } => vec![format!("a person supplied {}", words::version(r, *slot))],
        Event::TaskDone { command, by } => vec![format!("{by} says it is done: {}", words::command(r, command))],
        Event::Compromised { slot, within, source } => {
            vec![format!("{} is compromised, says {source}; to be shut out within {within}", words::version(r, *slot))]
        }
        Event::ContainmentBegan { unproven } => {
            let who = if unproven.is_empty() {
                "no service needs it any more".to_owned()
            } else {
                format!("not yet moved: {}", words::list(unproven))
            };
            vec![format!("shutting out {}; {who}", words::version(r, Slot::OLD))]
        }
        Event::RollbackStarted { failure } => {
            let mut lines = vec![format!("{} {failed}: {}", style.bad(), failure.fault, failed = words::kind(failure.kind))];
            lines.extend(failure.fault.hint.iter().map(|h| format!("  hint: {h}")));
            lines.push("rolling back".to_owned());
            lines
        }
        Event::Stuck { failure, todo } => {
            let mut lines = vec![format!("{} STUCK, needs a person: {}", style.bad(), failure.fault)];
            lines.extend(todo.iter().map(|t| format!("  to do: {t}")));
            lines
        }
        Event::Resumed { by } => vec![format!("{by} resumed it")],
        Event::Finished { ending } => vec![match ending {
            Ending::Done => "finished: done".to_owned(),
            Ending::RolledBack => "finished: rolled back".to_owned(),
            Ending::Refused => "finished: refused, nothing was changed".to_owned(),
        }],
    }
}

/// The effects that were left without a certain answer, until a look tells what became of them.
#[derive(Clone, Debug, Default)]
pub struct Doubts(BTreeSet<Command>);

impl Doubts {
    /// The lines of the doubts that this event ended; `before` and `after` are the states around it.
    pub fn lines(&mut self, before: &Rotation, after: &Rotation, event: &Event, style: Style) -> Vec<String> {
        match event {
            Event::Claimed { .. } => self.0.extend(before.flights.values().map(|f| f.command.clone())),
            Event::Settled { command, outcome: Outcome::Unknown(_), .. } if command.is_effect() => {
                self.0.insert(command.clone());
            }
            Event::Settled { command, outcome: Outcome::Done(_), .. } => drop(self.0.remove(command)),
            _ => {}
        }
        let ended: Vec<_> = self.0.iter().filter_map(|c| Some((c.clone(), doubt_ended(before, after, c)?))).collect();
        ended
            .into_iter()
            .map(|(command, found)| {
                self.0.remove(&command);
                let mark = if found.happened { style.ok() } else { "!" };
                visible(&format!("{mark} {}: {}", words::command(after, &command), found.text))
            })
            .collect()
    }
}

fn settled(
    command: &Command,
    outcome: &Outcome<handover_rotation::command::Fact>,
    r: &Rotation,
    style: Style,
) -> Vec<String> {
    let what = words::command(r, command);
    if let Some(tries) = r.tries.get(command) {
        // The first failures are news; of a long row of them only every doubling is.
        if !tries.count.is_power_of_two() {
            return Vec::new();
        }
        let doubt =
            if matches!(outcome, Outcome::Unknown(_)) && command.is_effect() { "no certain answer" } else { "failed" };
        return vec![match tries.count {
            1 => format!("! {what}: {doubt}: {}", tries.fault),
            n => format!("! {what}: {doubt} again (try {n}, {})", tries.fault.code),
        }];
    }
    // What the attempts do not keep any more, what follows tells: trouble is never ticked off.
    if !matches!(outcome, Outcome::Done(_)) {
        return Vec::new();
    }
    let sampling = matches!(r.current_step(), Some(Step::Soak { .. } | Step::Watch { .. }));
    let policy = r.plan.policy.sends;
    let news = match command {
        Command::Create(_) | Command::Disable(_) | Command::Enable(_) | Command::Delete(_) => true,
        Command::Write(..) | Command::Reload(_) => true,
        // Of several sends only the last is news.
        Command::Probe(name) => !sampling && r.entries.get(name).is_some_and(|e| e.probes == policy),
        Command::TestSend(name) => {
            !sampling
                && r.services
                    .get(name)
                    .is_some_and(|s| s.sends == policy && s.presents.is_none_or(|which| which == Which::Slot(r.target)))
        }
        Command::Auth(slot) => {
            let login = r.versions.get(slot).and_then(|v| v.login);
            slot.is_old() && login.is_some_and(|l| !l.accepted && l.streak == 2)
        }
        _ => false,
    };
    if !news {
        return Vec::new();
    }
    let detail = match command {
        Command::Probe(name) => format!("{policy} mails in a row sent with what {name} holds"),
        Command::TestSend(name) => format!("{name} sent {policy} mails in a row"),
        Command::Auth(_) => format!("{} is refused by the server", words::version(r, Slot::OLD)),
        _ => what,
    };
    vec![format!("{} {detail}", style.ok())]
}

/// An event as one JSON object: as the journal keeps it, with its number, its time and its rotation.
#[must_use]
pub fn json_line(r: &Rotation, seq: u64, at: Millis, event: &Event) -> String {
    let id = json!(r.id);
    // `started` says its rotation itself.
    let rotation = if let Event::Started { .. } = event { String::new() } else { format!(",\"rotation\":{id}") };
    let fields = serde_json::to_string(event).unwrap_or_else(|_| "{\"event\":\"unreadable\"}".to_owned());
    format!("{{\"seq\":{seq},\"at\":{}{rotation},{}", at.0, fields.trim_start_matches('{'))
}

/// How a command leaves a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Done.
    Done,
    /// Everything was put back.
    RolledBack,
    /// It rests, and needs a person.
    Stuck,
    /// Refused before anything changed.
    Refused,
    /// Safe, and waiting for a time or a person.
    Waiting,
    /// Stopped by Ctrl-C or a signal; resumable.
    Stopped,
}

impl Closing {
    /// The word in `--json`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::RolledBack => "rolled-back",
            Self::Stuck => "stuck",
            Self::Refused => "refused",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
        }
    }

    /// The exit status of the design.
    #[must_use]
    pub fn exit(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 3,
            Self::RolledBack => 4,
            Self::Stuck => 5,
            Self::Waiting | Self::Stopped => 6,
        }
    }
}

/// The last line of `--json`. `r` is the rotation, where one began.
#[must_use]
pub fn finished_line(
    rotation: Option<&handover_rotation::name::RotationId>,
    outcome: Closing,
    exit: u8,
    r: Option<&Rotation>,
    now: Millis,
    holder: Option<&str>,
) -> String {
    let mut line = vec![
        ("event", json!("finished")),
        ("rotation", json!(rotation)),
        ("outcome", json!(outcome.word())),
        ("exit", json!(exit)),
    ];
    if let Some(r) = r {
        line.push(("credential", json!(r.plan.credential)));
        line.push(("old", json!(r.plan.old.id)));
        line.push(("new", json!(r.new_version().and_then(|v| v.id.clone()))));
        if outcome != Closing::Done
            && let Some(failure) = &r.failure
        {
            line.push(("failure", json!(failure)));
        }
        line.push(("next", super::next::next(r, now, holder, Style::plain()).json()));
        line.push(("undo", super::next::undo(r).json()));
    }
    let fields: Vec<String> = line.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}
