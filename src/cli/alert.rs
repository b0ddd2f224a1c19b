//! `alert`: takes in what leak scanners write, and has what leaked contained by the daemon; without one, says what to run.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use handover_rotation::outcome::{Fault, FaultClass};

use super::args::AlertArgs;
use super::context::Context;
use super::failure::{Exit, Failure};
use super::out;
use super::rotate::whoami;
use crate::alerts::Report;
use crate::alerts::files::{Format, stream};
use crate::daemon::clock::{contained, line};
use crate::daemon::{Desk, Files, Standing, Target};
use crate::journal::{Alert, Register};
use crate::view;
use crate::view::style::visible;

pub(super) async fn run(context: &Context, args: AlertArgs) -> Result<Exit, Failure> {
    if args.list {
        return list(context, args.limit).await;
    }
    let Some(format) = Format::named(&args.format) else {
        let message = format!("{:?} is not the format of a leak report", args.format);
        let names: Vec<&str> = Format::names().collect();
        let fault = Fault::new(FaultClass::Permanent, "HO1141", message).hint(format!("there are: {}", names.join(", ")));
        return Err(Failure::new(Exit::BadInput, fault));
    };
    let mut reports = Vec::new();
    for path in &args.files {
        reports.extend(of_file(path, format)?);
    }
    let open: Vec<Report> = reports.into_iter().filter(|report| !report.closing).collect();
    if open.is_empty() {
        let fault = Fault::new(FaultClass::Permanent, "HO1022", "no leaked secret is in these files".to_owned());
        context.say(&format!("{}: nothing was changed", fault.message));
        return Ok(Exit::Done);
    }
    let files = Files::open(context.inventory_path(), context.playbooks_path())?;
    let (engine, register) = context.engine_and_register().await?;
    let register: Arc<dyn Register> = register;
    let desk = Arc::new(Desk::new(engine, register, files, whoami()));
    let living = tokio::net::UnixStream::connect(context.state_path()?.join(super::serve::SOCKET)).await.is_ok();
    let mut worst = Exit::Done;
    for report in open {
        let reference = visible(&report.reference);
        let targets = desk.whose(&report).await?;
        let mut told = Vec::new();
        for target in &targets {
            let standing = desk.standing(target).await?;
            if !matches!(standing, Standing::Dead(_)) {
                worst = worst.max(if living { Exit::Waiting } else { Exit::Stuck });
            }
            told.push((target, standing));
        }
        show(context, &desk, &reference, &told, living)?;
        if living && !targets.is_empty() {
            let digest = desk.digest_of(&report);
            desk.take_in(digest, vec![report]).await?;
        }
    }
    Ok(worst)
}

/// What came in, with its clock. Reads the journal only; contacts nobody.
async fn list(context: &Context, limit: u32) -> Result<Exit, Failure> {
    let journal = context.existing_register().await?;
    let alerts = journal.alerts(None, limit).await?;
    let told = contained(journal.as_ref(), &alerts).await?;
    let of = |alert: Alert| {
        let contained = alert.rotation.as_ref().and_then(|id| told.get(id)).copied();
        line(alert, contained.as_ref())
    };
    let lines: Vec<_> = alerts.into_iter().map(of).collect();
    if context.global.json {
        for line in &lines {
            context.text(&view::alerts::alert_json(line).to_string())?;
        }
    } else {
        context.text(&view::alerts::alerts(&lines, out::stdout_style()))?;
    }
    Ok(Exit::Done)
}

fn of_file(path: &Path, format: Format) -> Result<Vec<Report>, Failure> {
    let bad = |fault: Fault| Failure::new(Exit::BadInput, fault);
    let name = path.display().to_string();
    let mut reader: Box<dyn BufRead> = match name.as_str() {
        "-" => Box::new(BufReader::new(std::io::stdin())),
        _ => Box::new(BufReader::new(File::open(path).map_err(|error| {
            bad(Fault::new(FaultClass::Permanent, "HO1140", format!("{name} cannot be read: {error}")))
        })?)),
    };
    let mut reports = Vec::new();
    stream(&name, &mut reader, format, &mut |report| {
        reports.push(report);
        Ok(())
    })
    .map_err(bad)?;
    Ok(reports)
}

fn show(context: &Context, desk: &Desk, reference: &str, told: &[(&Target, Standing)], living: bool) -> Result<(), Failure> {
    if context.global.json {
        let targets: Vec<_> = told
            .iter()
            .map(|(target, standing)| {
                serde_json::json!({"credential": target.credential, "version": target.version, "standing": standing.word()})
            })
            .collect();
        let line = serde_json::json!({"event": "alert", "reference": reference, "targets": targets, "daemon": living});
        return context.text(&line.to_string());
    }
    if told.is_empty() {
        return context.text(&format!("{reference}: fits no version that was ever known; nothing was changed"));
    }
    for (target, standing) in told {
        let what = match standing {
            Standing::Dead(why) => format!("dead: {why}"),
            Standing::Absent(_) => "not listed at its provider; a list may be stale, so look again".to_owned(),
            _ if living => "LIVE: the daemon contains it; `handover status` shows how".to_owned(),
            Standing::UnderWay(id, _) => format!("LIVE, in rotation {id}; no daemon runs: `handover status {id}`"),
            Standing::Live | Standing::Unsure(_) => {
                let playbook = desk.leak_playbook(&target.credential);
                format!("LIVE, and no daemon runs: `handover rotate {} --playbook {playbook}`", target.credential)
            }
        };
        context.text(&format!("{reference}: version {} of {}: {what}", target.version, target.credential))?;
    }
    Ok(())
}
