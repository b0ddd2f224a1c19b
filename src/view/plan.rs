//! The view of a plan: what a rotation would do, to what, for how long, and up to where it can be undone. It changes nothing
//! and promises nothing that the machine does not keep.

mod estimate;
mod unknowns;

use handover_rotation::name::Environment;
use handover_rotation::plan::{ArrivalKind, Plan, PlannedService, Shape};
use handover_rotation::playbook::{Containment, OnFailure, Step};
use handover_rotation::time::Span;
use serde_json::{Value, json};

use super::by_hand;
use super::page::{Page, Paint, paint, table};
use super::style::{Style, took};
use super::words;

pub use estimate::expected;
pub(crate) use estimate::gap_most;
use estimate::{call_time, wait_time};
use unknowns::unknowns;

/// The plan as a page. `remarks` are what preflight wants a person to know.
#[must_use]
pub fn plan(plan: &Plan, hash: &str, remarks: &[String], style: Style) -> String {
    let mut page = Page::new(style);
    head(&mut page, plan);
    waves(&mut page, plan);
    steps(&mut page, plan);
    way_back(&mut page, plan);
    by_hand::in_plan(&mut page, plan);
    let unknown = unknowns(plan);
    if !unknown.is_empty() {
        page.heading("what Handover cannot know");
        bullets(&mut page, &unknown);
    }
    if !remarks.is_empty() {
        page.heading("remarks of preflight");
        bullets(&mut page, remarks);
    }
    page.heading("to run exactly this");
    page.line("  the hash stands for this plan: `rotate` refuses if the plan has changed since");
    page.exact("");
    for line in command_lines(plan, hash, style.width) {
        page.exact(&line);
    }
    page.finish()
}

fn bullets(page: &mut Page, lines: &[String]) {
    for line in lines {
        page.labelled("  - ", line);
    }
}

fn head(page: &mut Page, plan: &Plan) {
    let title = format!("plan: rotate {} with playbook {}", plan.credential, plan.playbook.name);
    page.line(&paint(Paint::Bold, &title));
    if !plan.playbook.summary.is_empty() {
        page.line(&format!("  {}", plan.playbook.summary));
    }
    page.gap();
    let facts = &plan.facts;
    page.labelled("  provider   ", &format!("{} ({}), account {}", plan.provider, facts.kind, plan.account));
    page.labelled("  shape      ", facts.shape.describe());
    page.labelled("  server     ", &plan.smtp);
    let fingerprint = plan.old.fingerprint.as_ref().map_or_else(String::new, |f| format!(", fingerprint {f}"));
    page.labelled("  replaces   ", &format!("{} (login {}{fingerprint})", plan.old.id, plan.old.username));
    if plan.compromised {
        page.labelled(
            "",
            &paint(Paint::Red, "             compromised: it is never enabled, pushed or verified with again"),
        );
    }
    let proof = match plan.arrival {
        ArrivalKind::Maildir => "a mail counts when it is found in a Maildir here",
        ArrivalKind::Imap => "a mail counts when it is found over IMAP",
        ArrivalKind::None => "a mail counts when the server accepts it (weaker: nobody looks for it)",
    };
    page.labelled("  mail       ", &format!("{proof}; {} in a row", plan.policy.sends));
    if plan.time_scale > 1 {
        page.labelled("  time scale ", &format!("the waits of the playbook are divided by {} (sandbox)", plan.time_scale));
    }
}

/// The environments in the order in which the playbook reaches them.
fn waves_in_order(plan: &Plan) -> Vec<(Environment, bool)> {
    let pushed: Vec<Environment> =
        plan.playbook.steps.iter().filter_map(|s| if let Step::Push { to } = s { Some(to.clone()) } else { None }).collect();
    let rest = plan.environments().into_iter().filter(|e| !pushed.contains(e)).map(|e| (e, false));
    pushed.iter().cloned().map(|e| (e, true)).chain(rest.collect::<Vec<_>>()).collect()
}

fn waves(page: &mut Page, plan: &Plan) {
    for (i, (environment, reached)) in waves_in_order(plan).iter().enumerate() {
        if *reached {
            page.heading(&format!("wave {}: {environment}", i + 1));
        } else {
            page.heading(&format!("not reached by this playbook: {environment}"));
        }
        for name in plan.entries_in(environment) {
            let Some(entry) = plan.entries.get(name) else { continue };
            page.labelled(&format!("  entry    {name}  "), &format!("{} {}", entry.store_kind, entry.location));
        }
        for name in plan.services_in(environment) {
            let Some(service) = plan.services.get(name) else { continue };
            let owner = service.owner.as_ref().map_or_else(|| "no owner".to_owned(), |o| format!("owner {o}"));
            page.labelled(&format!("  service  {name}  "), &format!("reads {}, {owner}", service.entry));
            page.labelled("             reload: ", service.reload.as_deref().unwrap_or("none: it cannot be made to"));
            page.labelled("             proof:  ", &proof(service));
        }
    }
}

fn proof(service: &PlannedService) -> String {
    match (service.test_send, service.attest) {
        (true, true) => "sends a mail itself, and tells which version it presents".to_owned(),
        (true, false) => "sends a mail itself".to_owned(),
        (false, true) => "tells which version it presents; sends no mail itself".to_owned(),
        (false, false) => "none: only a person's word".to_owned(),
    }
}

/// What a step touches, in words.
pub(super) fn touches(plan: &Plan, step: &Step) -> String {
    let old = &plan.old.id;
    let shape = plan.facts.shape;
    match step {
        Step::Preflight if revokes_first(plan) && shape == Shape::Manual => {
            format!("NO WAY BACK FROM HERE: asks a person to disable {old} at once, and looks at what it will need")
        }
        Step::Preflight if revokes_first(plan) => {
            format!("NO WAY BACK FROM HERE: shuts out {old} at once, and looks at what it will need")
        }
        Step::Preflight => "nothing; looks at everything it will need".to_owned(),
        Step::Generate => match shape {
            Shape::Manual if plan.compromised && !revokes_first(plan) => {
                format!("NO WAY BACK FROM HERE: asks a person for a new version of {}", plan.account)
            }
            Shape::Manual => format!("asks a person for a new version of {}", plan.account),
            Shape::InPlace => {
                format!("{}: sets a new password; {old} STOPS WORKING HERE until each service is moved", plan.account)
            }
            _ if plan.compromised && !revokes_first(plan) => {
                format!("NO WAY BACK FROM HERE: makes a new version of {}", plan.account)
            }
            _ => format!("{}: makes a new version beside {old}", plan.account),
        },
        Step::Push { to } => format!("entries: {}", words::list(plan.entries_in(to))),
        Step::Reload { services } => format!("services: {}", or_none(words::list(plan.services_in(services)))),
        Step::Verify { services } => {
            let (entries, services): (Vec<_>, Vec<_>) =
                (plan.entries_in(services).collect(), plan.services_in(services).collect());
            format!(
                "sends mail with {} and {}",
                words::count(entries.len(), "entry"),
                words::count(services.len(), "service")
            )
        }
        Step::Soak { .. } => "nothing; sends samples, both versions work".to_owned(),
        Step::Approve { by, within } => format!("nothing; {by} has {within} to approve"),
        Step::Deactivate => match shape {
            Shape::InPlace => "nothing: the new password has replaced the old one".to_owned(),
            Shape::DeleteOnly if revokes_first(plan) => format!("nothing: {old} is deleted already"),
            Shape::DeleteOnly if plan.compromised => format!("deletes {old} (it cannot be disabled)"),
            Shape::DeleteOnly => format!("nothing: {old} cannot be disabled, and works until `delete`"),
            Shape::Manual if !revokes_first(plan) => format!("asks a person to disable {old}"),
            _ if revokes_first(plan) => format!("nothing: {old} is disabled already"),
            _ => format!("disables {old}"),
        },
        Step::Confirm => "nothing; logs in: old must be refused, new accepted".to_owned(),
        Step::Watch { .. } if !shape.lists() => "nothing; sends samples".to_owned(),
        Step::Watch { .. } => format!("nothing; looks for uses of {old}, sends samples"),
        Step::Delete if shape == Shape::InPlace => "nothing: the old password is gone already".to_owned(),
        Step::Delete if plan.compromised && shape == Shape::DeleteOnly => format!("nothing: {old} is deleted already"),
        Step::Delete if shape == Shape::Manual && plan.compromised => format!("asks a person to delete {old} for good"),
        Step::Delete if shape == Shape::Manual => {
            format!("POINT OF NO RETURN: asks a person to delete {old} for good")
        }
        Step::Delete if plan.compromised => format!("deletes {old} for good"),
        Step::Delete => format!("POINT OF NO RETURN: deletes {old} for good"),
    }
}

fn revokes_first(plan: &Plan) -> bool {
    plan.compromised && plan.playbook.revokes_first()
}

/// The step, from 0, at which the way back ends.
fn no_return(plan: &Plan) -> Option<usize> {
    let first = |word: &str| plan.playbook.steps.iter().position(|s| s.word() == word);
    match plan.facts.shape {
        _ if revokes_first(plan) => Some(0),
        _ if plan.compromised => first("generate"),
        Shape::InPlace => None,
        _ => first("delete"),
    }
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}

fn steps(page: &mut Page, plan: &Plan) {
    page.heading("steps");
    let rows = plan.playbook.steps.iter().enumerate().map(|(i, step)| {
        let time = match step {
            Step::Approve { within, .. } => format!("up to {within}"),
            _ => match call_time(plan, step).0 + wait_time(step).0 {
                0 => "-".to_owned(),
                time => took(Span(time)),
            },
        };
        vec![(i + 1).to_string(), words::step(step), touches(plan, step), time]
    });
    let width = page.style().width.saturating_sub(2);
    page.block(2, &table(&["#", "step", "touches", "about"], rows, width, &[0, 3]));
    let (waits, calls) = expected(plan);
    page.gap();
    let total = took(Span(waits.0 + calls.0));
    let text = if waits.0 == 0 {
        format!("about {total} for calls")
    } else {
        format!("about {total}: {} of waits, {calls} for calls", took(waits))
    };
    page.labelled("  expected   ", &format!("{text}; an estimate: slow targets and retries make it longer"));
    if plan.playbook.steps.iter().any(|s| matches!(s, Step::Approve { .. })) {
        page.labelled("             ", "plus the time until a person approves");
    }
    if plan.facts.shape == Shape::Manual || plan.services.values().any(|s| s.by_hand.is_some()) {
        page.labelled("             ", "plus the time until a person has done what is asked");
    }
}

/// Up to where it can be undone, and what happens where it cannot.
fn way_back(page: &mut Page, plan: &Plan) {
    let old = &plan.old.id;
    for line in way_back_lines(plan) {
        let (label, text) = line;
        page.labelled(&format!("  {label:<11}"), &text);
    }
    match plan.playbook.containment.filter(|_| plan.compromised) {
        Some(Containment::Deadline(span)) => page.labelled(
            "  deadline   ",
            &format!("{span} after the start {old} is shut out, whatever else has failed by then"),
        ),
        Some(Containment::RevokeFirst) => page.labelled(
            "  deadline   ",
            &format!("at once: {old} is shut out first; services cannot send until they are moved"),
        ),
        None => {}
    }
}

fn way_back_lines(plan: &Plan) -> Vec<(&'static str, String)> {
    let old = &plan.old.id;
    let mut lines = Vec::new();
    let delete = plan.playbook.steps.iter().position(|s| matches!(s, Step::Delete)).map(|i| i + 1);
    if plan.compromised {
        lines.push(("undo", format!("none once anything has changed: {old} is compromised, it only goes forward")));
        return lines;
    }
    let action = match plan.playbook.on_failure {
        OnFailure::RollBack => "a failure puts everything back by itself; `handover abort` does it on request",
        OnFailure::Stop => "a failure stops where it stands and calls a person; `handover abort` puts everything back",
    };
    match delete {
        Some(n) if plan.facts.shape != Shape::InPlace => {
            lines.push(("undo", format!("until step {n}: {action}")));
            lines.push(("no return", format!("step {n}, delete: nothing brings {old} back after it")));
        }
        _ => lines.push(("undo", format!("until the end: {action}"))),
    }
    if plan.facts.shape == Shape::InPlace {
        let (gap, most) = (estimate::gap(plan), gap_most(plan));
        lines.push((
            "gap",
            format!(
                "about {gap} without mail, from `generate` until the last service is proven; it is measured, and told if it \
                 is longer than {most}"
            ),
        ));
    }
    lines
}

/// The command, broken with a backslash where it is too long for a line.
fn command_lines(plan: &Plan, hash: &str, width: usize) -> Vec<String> {
    let scale = if plan.time_scale > 1 { format!(" --time-scale {}", plan.time_scale) } else { String::new() };
    let first = format!("  handover rotate {} --playbook {}{scale}", plan.credential, plan.playbook.name);
    let second = format!("--plan {hash}");
    if first.len() + 1 + second.len() <= width {
        vec![format!("{first} {second}")]
    } else {
        vec![format!("{first} \\"), format!("    {second}")]
    }
}

/// The plan as one JSON object.
#[must_use]
pub fn plan_json(plan: &Plan, hash: &str, remarks: &[String]) -> Value {
    let (waits, calls) = expected(plan);
    let in_place = plan.facts.shape == Shape::InPlace;
    let steps: Vec<Value> = plan
        .playbook
        .steps
        .iter()
        .enumerate()
        .map(|(i, step)| {
            json!({
                "number": i + 1,
                "step": step.word(),
                "environment": step.environment(),
                "touches": touches(plan, step),
                "wait_ms": wait_time(step),
                "calls_ms_estimate": call_time(plan, step),
                "point_of_no_return": no_return(plan) == Some(i),
            })
        })
        .collect();
    let waves: Vec<Value> = waves_in_order(plan)
        .into_iter()
        .map(|(environment, reached)| {
            json!({
                "entries": plan.entries_in(&environment).collect::<Vec<_>>(),
                "services": plan.services_in(&environment).collect::<Vec<_>>(),
                "environment": environment,
                "reached": reached,
            })
        })
        .collect();
    json!({
        "plan_hash": hash,
        "credential": plan.credential,
        "playbook": plan.playbook.name,
        "shape": plan.facts.shape.describe(),
        "waves": waves,
        "steps": steps,
        "by_hand": by_hand::plan_json(plan),
        "expected_ms": waits.0 + calls.0,
        "gap_ms_estimate": in_place.then(|| estimate::gap(plan)),
        "gap_ms_most": in_place.then(|| gap_most(plan)),
        "unknown": unknowns(plan),
        "remarks": remarks,
        "command": command_lines(plan, hash, usize::MAX).concat().trim(),
        "plan": plan,
    })
}
