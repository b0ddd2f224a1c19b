//! `check`: reads inventory, playbooks and the file of the sealing key, if one is named, and reports every problem. Contacts nothing.

use super::context::Context;
use super::failure::{Exit, Failure};
use super::out;
use crate::config::diagnostic::Problems;
use crate::config::playbooks::check_named;

pub(super) fn run(context: &Context) -> Result<Exit, Failure> {
    let mut problems = Problems::default();
    let inventory = crate::config::load::load_inventory(&context.inventory_path(), &crate::registry::Registry);
    let playbooks = crate::config::playbooks::load_playbooks(&context.playbooks_path());
    let mut counts = None;
    match (&inventory, &playbooks) {
        (Ok(inventory), Ok(playbooks)) => {
            problems.extend(inventory.warnings.iter().cloned());
            problems.extend(check_named(inventory, playbooks).iter().cloned());
            counts = Some((inventory.credentials.len(), inventory.services.len(), playbooks.len()));
        }
        (inventory, playbooks) => {
            if let Ok(inventory) = inventory {
                problems.extend(inventory.warnings.iter().cloned());
            }
            for found in [inventory.as_ref().err(), playbooks.as_ref().err()].into_iter().flatten() {
                problems.extend(found.iter().cloned());
            }
        }
    }
    if let Err(failure) = context.key_source() {
        match failure {
            Failure::Problems(found) => problems.extend(found.iter().cloned()),
            other => return Err(other),
        }
    }
    problems.sort();
    if context.global.json {
        for problem in problems.iter() {
            context.text(&serde_json::to_string(problem).unwrap_or_default())?;
        }
    } else if !problems.is_empty() {
        out::note(&problems.render(out::stderr_style().colour));
    }
    if problems.has_errors() {
        return Ok(Exit::BadInput);
    }
    if let Some((credentials, services, playbooks)) = counts
        && !context.global.json
    {
        let sound = match problems.iter().count() {
            0 => "sound".to_owned(),
            1 => "sound but for the warning above".to_owned(),
            n => format!("sound but for the {n} warnings above"),
        };
        context.text(&format!("{sound}: {credentials} credentials, {services} services, {playbooks} playbooks\n"))?;
    }
    Ok(Exit::Done)
}
