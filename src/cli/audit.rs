//! `audit`: checks the log, and writes the evidence of a rotation.

use std::path::Path;

use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::time::Millis;

use super::args::{AuditArgs, AuditCommand, ExportArgs, Form};
use super::context::{Context, find_rotation, read_rotation};
use super::failure::{Exit, Failure};
use crate::engine::events;
use crate::journal::{Register, system_stamp};
use crate::view::html::{AuditRow, Used, audit_json, html};
use crate::view::style::Zone;

pub(super) async fn run(context: &Context, args: AuditArgs) -> Result<Exit, Failure> {
    match args.command {
        AuditCommand::Verify => verify(context).await,
        AuditCommand::Export(args) => export(context, args).await,
    }
}

async fn verify(context: &Context) -> Result<Exit, Failure> {
    let journal = context.existing_journal().await?;
    let report = journal.verify().await?;
    if context.global.json {
        let line = serde_json::json!({"event": "verified", "rows": report.rows, "rotations": report.rotations, "head": report.head.to_string()});
        context.text(&line.to_string())?;
    } else {
        context.text(&format!(
            "sound: {} rows of {} rotations, each follows from the one before\nhead: {}\nhint: keep the head elsewhere; a later log must contain it\n",
            report.rows, report.rotations, report.head
        ))?;
    }
    Ok(Exit::Done)
}

async fn export(context: &Context, args: ExportArgs) -> Result<Exit, Failure> {
    let journal = context.existing_journal().await?;
    // Evidence from a log that does not hold together would be none.
    journal.verify().await?;
    let header = find_rotation(journal.as_ref(), &args.rotation).await?;
    let (rotation, rows) = read_rotation(journal.as_ref(), &header.id).await?;
    let audit: Vec<AuditRow> = events(&rows)?
        .into_iter()
        .zip(&rows)
        .map(|((at, event), row)| AuditRow {
            seq: row.seq,
            at,
            epoch: row.epoch,
            hash: hex::encode(row.hash),
            prev: hex::encode(row.prev),
            event,
        })
        .collect();
    let used = match context.journal_if_any().await? {
        Some(register) => register.assessments(&header.id).await?.pop(),
        None => None,
    };
    let used = used.and_then(|(at_ms, document)| Used::read(Millis(at_ms), &document));
    let now = Millis(system_stamp().wall_ms);
    let text = match args.format {
        Form::Json => format!("{:#}\n", audit_json(&audit, &rotation, used.as_ref(), now)),
        Form::Html => html(&audit, &rotation, used.as_ref(), now, Zone::Utc).map_err(|error| {
            Failure::new(
                Exit::Error,
                Fault::new(FaultClass::Permanent, "HO0463", format!("the page cannot be made: {error}")),
            )
        })?,
    };
    match args.output {
        // As it is in the log: not even a command in it is rewritten.
        None => super::out::data(&text).map_err(Failure::output)?,
        Some(path) => {
            write(&path, &text)?;
            context.say(&format!("written: {}", path.display()));
        }
    }
    Ok(Exit::Done)
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| {
        let fault = Fault::new(FaultClass::Permanent, "HO0464", format!("cannot write {}: {error}", path.display()));
        Failure::new(Exit::Error, fault.hint("choose another file"))
    })
}
