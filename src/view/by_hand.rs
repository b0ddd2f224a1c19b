//! What a person is asked to do: at a provider without an API, or to a service that nothing else restarts. What, where, and how to
//! say that it is done. The same words in every view.

use handover_rotation::command::{Command, Which};
use handover_rotation::name::Slot;
use handover_rotation::plan::{Plan, Shape};
use handover_rotation::playbook::Step;
use handover_rotation::state::{Live, Rotation};
use handover_rotation::time::Millis;
use handover_rotation::word::proved_wrong;
use serde_json::{Value, json};

use super::page::Page;
use super::words;
use crate::engine::by_hand::asked;

/// What they are asked to do, after "to".
#[must_use]
pub fn task(r: &Rotation, command: &Command) -> String {
    let account = &r.plan.account;
    match command {
        Command::Create(_) => format!("make a new version of {account} at {}", r.plan.provider),
        Command::Reload(service) => {
            let owner = r.plan.services.get(service).and_then(|plan| plan.owner.as_deref());
            let entry = r.plan.services.get(service).map(|plan| &plan.entry);
            let read = entry.and_then(|entry| r.entries.get(entry)).and_then(|entry| match entry.holds {
                Some(Which::Slot(slot)) => Some(format!(", so that it reads {}", words::version(r, slot))),
                _ => None,
            });
            let owner = owner.map_or_else(String::new, |owner| format!(" (owner {owner})"));
            format!("restart {service}{owner}{}", read.unwrap_or_default())
        }
        other => format!("{} of {account} at {}", words::command(r, other), r.plan.provider),
    }
}

/// The command that hands over what was made.
#[must_use]
pub fn supply(r: &Rotation) -> String {
    format!("handover supply {} --username NAME --password-file FILE", r.id)
}

/// The command that says that it is done.
#[must_use]
pub fn done(r: &Rotation) -> String {
    format!("handover done {}", r.id)
}

/// The command that goes on once it is done.
#[must_use]
pub fn then(r: &Rotation, command: &Command) -> String {
    if matches!(command, Command::Create(_)) { supply(r) } else { done(r) }
}

/// Why they are asked again, where what they said before proved wrong.
#[must_use]
pub fn again(r: &Rotation, command: &Command) -> Option<String> {
    if let Command::Reload(service) = command {
        let state = r.services.get(service).filter(|state| state.reloaded.is_some())?;
        let presents = match state.presents? {
            Which::Slot(slot) => words::version(r, slot),
            other => other.to_string(),
        };
        return Some(format!("again: {service} was said to be restarted, and presents {presents}"));
    }
    let slot = command.slot_changed()?;
    let version = r.versions.get(&slot)?;
    let (said, server) = match command {
        Command::Disable(_) | Command::Delete(_) if proved_wrong(version) => {
            (if matches!(command, Command::Delete(_)) { "deleted" } else { "disabled" }, "still accepts")
        }
        Command::Enable(_)
            if version.live == Live::Active && version.login.is_some_and(|l| !l.accepted && l.at >= version.changed_at) =>
        {
            ("enabled again", "still refuses")
        }
        _ => return None,
    };
    Some(format!("again: {} was said to be {said}, and the server {server} its login", words::version(r, slot)))
}

/// The lines about where and how, without the command.
fn details(plan: &Plan, command: Option<&Command>) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(Command::Reload(service)) = command {
        lines.extend(plan.services.get(service).and_then(|plan| plan.by_hand.clone()).map(|text| ("task", text)));
        return lines;
    }
    if let Some(by_hand) = &plan.by_hand {
        lines.extend(by_hand.console.clone().map(|text| ("console", text)));
        lines.extend(by_hand.instructions.clone().map(|text| ("note", text)));
    }
    lines
}

/// The part of a status that asks.
pub(super) fn section(page: &mut Page, r: &Rotation, now: Millis) {
    let Some(command) = asked(r, now) else { return };
    page.heading("asked of a person");
    if let Some(again) = again(r, &command) {
        page.labelled("  ", &again);
    }
    let beside = match &command {
        Command::Create(_) => {
            format!(": a login of its own beside {}, with a new password", words::version(r, Slot::OLD))
        }
        _ => String::new(),
    };
    page.labelled("  what       ", &format!("{}{beside}", task(r, &command)));
    for (label, text) in details(&r.plan, Some(&command)) {
        page.labelled(&format!("  {label:<11}"), &text);
    }
    let how = match &command {
        Command::Create(_) => "hand it over; without `--password-file` the password is asked for and not shown",
        Command::Reload(_) => "say so; it is asked what it presents",
        _ => "say so; it is checked by a login",
    };
    page.labelled("  then       ", how);
    page.exact(&format!("    {}", then(r, &command)));
}

/// The lines of a run that begins to ask.
#[must_use]
pub fn lines(r: &Rotation, command: &Command) -> Vec<String> {
    let mut lines = vec![format!("? a person is asked to {}", task(r, command))];
    lines.extend(again(r, command).map(|text| format!("  {text}")));
    lines.extend(details(&r.plan, Some(command)).into_iter().map(|(label, text)| format!("  {label}: {text}")));
    lines.push(format!("  then: {}", then(r, command)));
    lines
}

/// The same for programs; `null` where nothing is asked.
#[must_use]
pub fn json(r: &Rotation, now: Millis) -> Value {
    let Some(command) = asked(r, now) else { return Value::Null };
    let version = command.slot_changed().and_then(|slot| r.versions.get(&slot));
    let by_hand = r.plan.by_hand.as_ref();
    if let Command::Reload(service) = &command {
        let plan = r.plan.services.get(service);
        return json!({
            "action": "restart",
            "service": service,
            "owner": plan.and_then(|plan| plan.owner.clone()),
            "instructions": plan.and_then(|plan| plan.by_hand.clone()),
            "again": again(r, &command),
            "command": then(r, &command),
        });
    }
    json!({
        "action": match &command {
            Command::Create(_) => "create",
            Command::Disable(_) => "disable",
            Command::Enable(_) => "enable",
            _ => "delete",
        },
        "username": version.and_then(|v| v.username.clone()),
        "account": r.plan.account,
        "provider": r.plan.provider,
        "console": by_hand.and_then(|h| h.console.clone()),
        "instructions": by_hand.and_then(|h| h.instructions.clone()),
        "again": again(r, &command),
        "command": then(r, &command),
    })
}

/// What a plan asks of a person, and at which step, counted from 1.
fn tasks(plan: &Plan) -> Vec<(usize, String)> {
    let (old, account) = (&plan.old.id, &plan.account);
    let first = plan.compromised && plan.playbook.revokes_first();
    let manual = plan.facts.shape == Shape::Manual;
    let what = |step: &Step| match step {
        Step::Reload { services } => plan
            .services_in(services)
            .filter_map(|name| Some(format!("restart {name}: {}", plan.services.get(name)?.by_hand.as_ref()?)))
            .collect(),
        Step::Preflight if manual && first => vec![format!("disable {old} of {account}, at once")],
        Step::Generate if manual => vec![format!("make a new login of {account}, and hand it over")],
        Step::Deactivate if manual && !first => vec![format!("disable {old} of {account}")],
        Step::Delete if manual => vec![format!("delete {old} of {account} for good")],
        _ => Vec::new(),
    };
    let steps = plan.playbook.steps.iter().enumerate();
    steps.flat_map(|(i, step)| what(step).into_iter().map(move |what| (i + 1, what))).collect()
}

/// The part of a plan that says what a person will be asked, and when.
pub(super) fn in_plan(page: &mut Page, plan: &Plan) {
    let tasks = tasks(plan);
    if tasks.is_empty() {
        return;
    }
    let manual = plan.facts.shape == Shape::Manual;
    page.heading("asked of a person");
    for (step, what) in tasks {
        page.labelled(&format!("  step {step:<6}"), &what);
    }
    if !plan.compromised && manual {
        page.labelled("  going back ", "delete the new login; and enable the old one again, if it was disabled");
    }
    for (label, text) in details(plan, None) {
        page.labelled(&format!("  {label:<11}"), &text);
    }
    let then = match manual {
        true => "the command `supply` hands over what was made, `done` says that the rest is done",
        false => "the command `done` says that it is done; the service is asked what it presents",
    };
    page.labelled("  then       ", then);
    page.labelled("  meanwhile  ", "it rests, and ends with status 6; after a leak it holds the terminal instead");
}

/// The same for programs.
pub(super) fn plan_json(plan: &Plan) -> Value {
    let tasks = tasks(plan);
    if tasks.is_empty() {
        return Value::Null;
    }
    tasks.into_iter().map(|(step, what)| json!({ "step": step, "what": what })).collect()
}
