//! After a leak was contained here: asks whether the login was used, and keeps the answer for the report, as the daemon does.

use std::time::Duration;

use handover_rotation::state::Rotation;

use super::context::Context;
use super::failure::Failure;
use crate::daemon::used::{inquire, is_leak};
use crate::journal::system_stamp;
use crate::usage::{Assessment, Strangers};

/// How long one source may take while somebody waits at a terminal.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks about the leak of a rotation that has ended here. What is in the way is told, and changes nothing of how it ended.
pub(super) async fn ask(context: &Context, rotation: &Rotation) {
    if !is_leak(rotation) || rotation.ended().is_none() {
        return;
    }
    let name = &rotation.plan.credential;
    match asked(context, rotation).await {
        Ok(Some(assessment)) if context.global.json => {
            let line = serde_json::json!({"event": "used", "rotation": rotation.id, "assessment": assessment});
            context.report(&line.to_string());
        }
        Ok(Some(assessment)) => {
            let told = match assessment.strangers {
                Strangers::Flagged => "SOMETHING SPEAKS FOR IT",
                Strangers::NothingUnusual => "nothing speaks for it",
                Strangers::CannotTell => "cannot tell",
            };
            let why = assessment.strangers_why.first().map(|why| format!(" ({why})")).unwrap_or_default();
            context.report(&format!("used by others: {told}{why}; `handover usage {name}` says more\n"));
        }
        Ok(None) => {}
        Err(failure) => {
            if let Failure::Fault(_, fault) = failure {
                context.say(&format!("note: whether the leaked login of {name} was used is not known: {fault}"));
            }
        }
    }
}

async fn asked(context: &Context, rotation: &Rotation) -> Result<Option<Assessment>, Failure> {
    let inventory = context.inventory()?;
    if inventory.usage_of(&rotation.plan.credential).next().is_none() {
        // `audit export` says that nobody was asked.
        return Ok(None);
    }
    let Some(journal) = context.journal_if_any().await? else { return Ok(None) };
    let now_ms = system_stamp().wall_ms;
    Ok(inquire(journal.as_ref(), journal.as_ref(), &inventory, rotation, now_ms, PATIENCE).await?)
}
