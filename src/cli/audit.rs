//! `audit`: writes the evidence of a rotation, sends the log to its sinks, and shows the key of its checkpoints. `verify` checks.

use std::path::Path;
use std::sync::Arc;

use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::time::Millis;

use super::args::{AuditArgs, AuditCommand, ExportArgs, Form};
use super::context::{Context, find_rotation, read_rotation};
use super::failure::{Exit, Failure};
use crate::daemon::{Route, checkpoint};
use crate::engine::events;
use crate::journal::{Journal, Register, Sealer, Shipping, SqliteJournal, open_seal, system_stamp};
use crate::registry::Registry;
use crate::view::html::{AuditRow, Used, audit_json, html};
use crate::view::style::Zone;

pub(super) async fn run(context: &Context, args: AuditArgs) -> Result<Exit, Failure> {
    match args.command {
        AuditCommand::Verify(args) => super::verify::run(context, args).await,
        AuditCommand::Export(args) => export(context, args).await,
        AuditCommand::Ship => ship(context).await,
        AuditCommand::Key => key(context).await,
    }
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

/// The journal's sealing key, which its signing key goes with. None is made.
pub(super) async fn sealer(context: &Context, journal: &SqliteJournal) -> Result<Sealer, Failure> {
    let (source, state) = (context.key_source()?, context.state_path()?);
    if journal.key_mark().await?.is_none() && crate::journal::wrapped_by(&state)?.is_none() {
        let fault = Fault::new(FaultClass::Permanent, "HO1077", "this journal has no key yet: nothing was ever signed");
        return Err(Failure::new(Exit::BadInput, fault.hint("it is made at the first rotation, or when the daemon starts")));
    }
    Ok(open_seal(journal, &state, source.as_deref()).await?)
}

async fn key(context: &Context) -> Result<Exit, Failure> {
    let journal = context.existing_register().await?;
    let sealer = sealer(context, &journal).await?;
    let key = sealer.signer().public();
    if context.global.json {
        let line = serde_json::json!({
            "event": "audit-key", "journal": journal.instance_id(), "key": key.to_string(), "id": key.id(),
        });
        context.text(&line.to_string())?;
    } else {
        let text = format!(
            "{key}\nhint: keep it elsewhere; `handover audit verify --key` takes it. Its id in checkpoints is {}\n",
            key.id()
        );
        context.text(&text)?;
    }
    Ok(Exit::Done)
}

async fn ship(context: &Context) -> Result<Exit, Failure> {
    let sinks = Registry.sinks(&context.inventory()?);
    if sinks.is_empty() {
        let fault = Fault::new(FaultClass::Permanent, "HO1076", "the inventory names no sink for the audit log");
        return Err(Failure::new(Exit::BadInput, fault.hint("add a section `audit` to it; docs/audit.md has examples")));
    }
    let journal = context.existing_register().await?;
    // The rows are sent whether or not they can be signed.
    let signed = match sealer(context, &journal).await {
        Ok(sealer) => {
            let (name, now_ms) = (journal.instance_id().to_owned(), system_stamp().wall_ms);
            checkpoint(journal.as_ref(), sealer.signer(), &name, now_ms, true).await.map(drop).map_err(Failure::from)
        }
        Err(failure) => Err(failure),
    };
    let name = journal.instance_id().to_owned();
    let each = sinks.into_iter().map(|(sink, to)| {
        let mut route = Route::new(Arc::clone(&journal) as Arc<dyn Shipping>, &name, &sink, to);
        async move { (sink, route.send_all().await, route.row()) }
    });
    let mut exit = Exit::Done;
    for (sink, sent, row) in futures::future::join_all(each).await {
        let row = row.unwrap_or_default();
        match sent {
            Ok(lines) if context.global.json => {
                let line = serde_json::json!({"event": "shipped", "sink": sink, "lines": lines, "row": row});
                context.text(&line.to_string())?;
            }
            Ok(lines) => context.text(&format!("{sink}: {lines} lines sent, it has every row up to {row}\n"))?,
            Err(unsent) => {
                exit = Exit::Error;
                let fault = unsent.fault();
                if context.global.json {
                    let line =
                        serde_json::json!({"event": "unshipped", "sink": sink, "code": fault.code, "why": fault.message});
                    context.text(&line.to_string())?;
                } else {
                    let hint = fault.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
                    context.text(&format!("{sink}: NOT sent: {fault}{hint}\n"))?;
                }
            }
        }
    }
    signed.map(|()| exit)
}
