//! `history`: rotations, the newest first.

use handover_rotation::time::Millis;

use super::args::HistoryArgs;
use super::context::{Context, credential_name, read_rotation};
use super::failure::{Exit, Failure};
use super::out;
use super::plan::missing;
use crate::journal::{Filter, system_stamp};
use crate::view;

pub(super) async fn run(context: &Context, args: HistoryArgs) -> Result<Exit, Failure> {
    let journal = context.existing_journal().await?;
    let credential = args.credential.as_deref().map(credential_name).transpose()?.map(String::from);
    let headers =
        journal.list(Filter { credential: credential.clone(), limit: Some(args.limit), ..Filter::default() }).await?;
    if let (Some(name), true) = (&credential, headers.is_empty()) {
        known(context, name)?;
    }
    let mut rotations = Vec::new();
    for header in headers {
        rotations.push(read_rotation(journal.as_ref(), &header.id).await?.0);
    }
    if context.global.json {
        for rotation in &rotations {
            context.text(&view::history::history_json(rotation).to_string())?;
        }
    } else {
        context.text(&view::history::history(&rotations, Millis(system_stamp().wall_ms), out::stdout_style()))?;
    }
    Ok(Exit::Done)
}

/// A name without rotations is one of the inventory, where that can be read.
fn known(context: &Context, name: &str) -> Result<(), Failure> {
    match context.inventory() {
        Ok(inventory) if !inventory.credentials.keys().any(|n| n.as_str() == name) => {
            Err(missing("credential", name, inventory.credentials.keys().map(|n| n.as_str()), "HO0440"))
        }
        _ => Ok(()),
    }
}
