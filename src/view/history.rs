//! The view of many rotations: one line each, the newest first.

use handover_rotation::event::Ending;
use handover_rotation::state::{Phase, Rotation};
use handover_rotation::time::Millis;
use serde_json::{Value, json};

use super::page::{Page, table};
use super::style::{Style, took};
use super::words;

/// The table of rotations, whose ids begin with the credential. They are shown in the order given.
#[must_use]
pub fn history(rotations: &[Rotation], now: Millis, style: Style) -> String {
    let mut page = Page::new(style);
    if rotations.is_empty() {
        page.line("no rotations yet");
        page.line("hint: `handover plan CREDENTIAL` shows what one would do, and changes nothing");
        return page.finish();
    }
    let rows = rotations.iter().map(|r| {
        let span = if r.ended().is_some() { r.at.since(r.started_at) } else { now.since(r.started_at) };
        vec![
            r.id.to_string(),
            style.minute(r.started_at),
            format!("{}{}", took(span), if r.ended().is_some() { "" } else { "+" }),
            r.plan.playbook.name.clone(),
            result(r),
        ]
    });
    page.block(0, &table(&["rotation", "started", "took", "playbook", "result"], rows, style.width, &[2]));
    let open: Vec<&Rotation> = rotations.iter().filter(|r| r.ended().is_none()).collect();
    if let [one] = open[..] {
        page.gap();
        page.line(&format!("next: handover status {}", one.id));
    } else if !open.is_empty() {
        page.gap();
        page.line(&format!("next: {} not ended; see `handover status ROTATION`", words::count(open.len(), "rotation")));
    }
    page.finish()
}

fn result(r: &Rotation) -> String {
    match r.phase {
        Phase::Ended(Ending::Done) => "done".to_owned(),
        Phase::Ended(_) => match &r.failure {
            Some(f) => format!("{} ({})", words::phase_text(r), f.fault.code),
            None => words::phase_text(r),
        },
        Phase::Stuck { .. } => match &r.failure {
            Some(f) => format!("STUCK ({})", f.fault.code),
            None => "STUCK".to_owned(),
        },
        Phase::RollingBack => "rolling back".to_owned(),
        Phase::Forward => {
            format!("step {} of {}", (r.step + 1).min(r.plan.playbook.steps.len()), r.plan.playbook.steps.len())
        }
    }
}

/// One rotation as one JSON object.
#[must_use]
pub fn history_json(r: &Rotation) -> Value {
    json!({
        "rotation": r.id,
        "credential": r.plan.credential,
        "playbook": r.plan.playbook.name,
        "started_at": r.started_at,
        "last_event_at": r.at,
        "phase": words::phase(r),
        "step": (r.step + 1).min(r.plan.playbook.steps.len()),
        "steps": r.plan.playbook.steps.len(),
        "old": r.plan.old.id,
        "new": r.new_version().and_then(|v| v.id.clone()),
        "failure": r.failure.as_ref().map(|f| json!({ "code": f.fault.code, "message": f.fault.message })),
    })
}
