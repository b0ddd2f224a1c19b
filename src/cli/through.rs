//! What is done through the daemon where one runs: it plans by its own files, which must be those that whoever asks has named, and
//! it runs the rotation. Here it is shown, agreed to, and followed.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use handover_rotation::name::RotationId;
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::Plan;
use serde::Deserialize;
use serde_json::{Value, json};

use super::args::{AbortArgs, ApproveArgs, ResumeArgs, RotateArgs};
use super::beside::{Beside, Files, Refused, is_silent};
use super::context::{Context, credential_name, find_rotation, read_rotation};
use super::failure::{Exit, Failure};
use super::resume::not_ended;
use super::rotate::{agree, same, told_before};
use super::watch::Look;
use crate::engine::{Refusal, plan_hash};
use crate::journal::{Filter, Journal};

/// Changed files are taken by the daemon within so long.
const RELOAD: (Duration, u32) = (Duration::from_millis(500), 8);
/// The longest pause between two tries in a leak.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A plan of the daemon.
#[derive(Deserialize)]
struct Planned {
    plan: Plan,
    plan_hash: String,
    remarks: Vec<String>,
}

/// Rotates through the daemon.
pub(super) async fn rotate(context: &Context, daemon: &Beside, args: &RotateArgs) -> Result<Exit, Failure> {
    let name = credential_name(&args.plan.credential)?;
    if !args.plan.ended_elsewhere.is_empty() {
        return Err(only_here("`--ended-elsewhere` is not taken by the daemon"));
    }
    let files = same_files(context, daemon).await?;
    let mut wanted = json!({"time_scale": args.plan.time_scale});
    if let Some(playbook) = playbook(context, daemon, args).await? {
        wanted["playbook"] = json!(playbook);
    }
    let path = format!("/api/v1/credentials/{name}/plan");
    let leak = |playbook: &Value| playbook.as_str().is_some_and(|name| files.contain.iter().any(|known| known == name));
    let insist = leak(&wanted["playbook"]);
    let mut planned = plan(context, daemon, &path, &wanted, insist).await?;
    if let Some(wanted) = &args.hash {
        same(wanted, &planned.plan)?;
    }
    if args.yes || args.hash.is_some() || context.global.sandbox {
        told_before(context, planned.remarks.iter().filter_map(|remark| remark.strip_prefix("WARNING: ")));
    } else {
        agree(context, &planned.plan, &planned.remarks)?;
        // An answer may take its time: what was agreed to is looked at again.
        let hash = planned.plan_hash.clone();
        planned = plan(context, daemon, &path, &wanted, insist).await?;
        same(&hash, &planned.plan)?;
    }
    let body = json!({
        "credential": name,
        "playbook": planned.plan.playbook.name,
        "plan": planned.plan_hash,
        "reason": args.reason,
        "time_scale": args.plan.time_scale,
    });
    begin(context, daemon, name.as_str(), &body, planned.plan.playbook.containment.is_some(), args.wait).await
}

/// The playbook that is asked for; `None` for what the daemon takes where none is.
async fn playbook(context: &Context, daemon: &Beside, args: &RotateArgs) -> Result<Option<String>, Failure> {
    if args.plan.playbook.is_some() || !context.global.sandbox {
        return Ok(args.plan.playbook.clone());
    }
    let credential = daemon.get(&format!("/api/v1/credentials/{}", args.plan.credential)).await?;
    Ok(Some(credential["schedule"]["playbook"].as_str().unwrap_or("drill").to_owned()))
}

/// The files of the daemon, which must be those that were named: what is rotated by others than whoever asks has read is rotated by
/// surprise.
async fn same_files(context: &Context, daemon: &Beside) -> Result<Files, Failure> {
    let (inventory, playbooks) = (context.inventory_path(), context.playbooks_path());
    let global = &context.global;
    let inventory_named = global.inventory.is_some() || global.sandbox || inventory.exists();
    let playbooks_named = global.playbooks.is_some() || global.sandbox || playbooks.exists();
    let mut files = daemon.files().await?;
    if !inventory_named && !playbooks_named {
        context.say(&format!("by the daemon's files: {} and {}", files.inventory.display(), files.playbooks.display()));
        return Ok(files);
    }
    let mine = |files: &Files| {
        let inventory = if inventory_named { inventory.as_path() } else { files.inventory.as_path() };
        let playbooks = if playbooks_named { playbooks.as_path() } else { files.playbooks.as_path() };
        (
            crate::config::digest(&[inventory, playbooks]),
            is_same(inventory, &files.inventory),
            is_same(playbooks, &files.playbooks),
        )
    };
    let (pause, times) = RELOAD;
    for time in 0..=times {
        let (digest, same_inventory, same_playbooks) = mine(&files);
        if digest.is_some() && digest == files.digest {
            return Ok(files);
        }
        let message = match (same_inventory, same_playbooks) {
            (true, true) if time < times => {
                tokio::time::sleep(pause).await;
                files = daemon.files().await?;
                continue;
            }
            (true, true) => "the daemon has not taken the files as they are now".to_owned(),
            (false, _) => format!("the daemon goes by another inventory, {}", files.inventory.display()),
            (true, false) => format!("the daemon goes by other playbooks, in {}", files.playbooks.display()),
        };
        let fault = Fault::new(FaultClass::Permanent, "HO1052", format!("{message}: nothing was changed"));
        let hint = match (same_inventory, same_playbooks) {
            (true, true) => "see `handover check`: bad files are refused, and those before stay in force".to_owned(),
            _ => format!(
                "name the daemon's files: --inventory {} --playbooks {}; or give --here to rotate by yours, here",
                files.inventory.display(),
                files.playbooks.display()
            ),
        };
        return Err(Failure::new(Exit::Refused, fault.hint(hint)));
    }
    Ok(files)
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((std::fs::canonicalize(one), std::fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

/// What cannot be done through the daemon.
fn only_here(message: &str) -> Failure {
    let fault = Fault::new(FaultClass::Permanent, "HO1053", message);
    Failure::new(Exit::Refused, fault.hint("give --here as well: it is run here then, and the journal keeps both apart"))
}

/// A plan of the daemon; in a leak, as soon as there is one.
async fn plan(context: &Context, daemon: &Beside, path: &str, wanted: &Value, insist: bool) -> Result<Planned, Failure> {
    let mut pause = Duration::from_secs(1);
    loop {
        match daemon.post(path, wanted, || {}).await {
            Ok(answer) => {
                let planned: Planned = serde_json::from_value(answer).map_err(|_| other_release())?;
                // What is shown is what the daemon would do, to the last field.
                if plan_hash(&planned.plan) != planned.plan_hash {
                    return Err(other_release());
                }
                return Ok(planned);
            }
            Err(refused) if insist && refused.passes() => {
                if let Refused::Said { fault, details, .. } = refused {
                    let pause = handover_rotation::time::Span(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
                    super::plan::still_exposed(context, &Refusal { fault: *fault, details }, pause);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(refused) => return Err(refused.into()),
        }
    }
}

/// The plan cannot be read as the daemon means it.
fn other_release() -> Failure {
    only_here("the daemon is of another release: its plans cannot be shown")
}

/// Has it begun, and follows it.
async fn begin(
    context: &Context,
    daemon: &Beside,
    credential: &str,
    body: &Value,
    leak: bool,
    patient: bool,
) -> Result<Exit, Failure> {
    let journal = context.existing_journal().await?;
    let before = ids(journal.as_ref(), credential).await?;
    let mut signals = context.looking();
    let waiting = || {
        let what =
            if leak { "the leaked login is NOT being shut out yet: the daemon goes on trying" } else { "not begun yet" };
        context.say(&format!("{what}; Ctrl-C leaves it to the daemon"));
    };
    let answer = tokio::select! {
        answer = daemon.post("/api/v1/rotations", body, waiting) => answer,
        _ = signals.changed() => {
            context.say(&format!("left to the daemon; `handover status {credential}` says whether it has begun"));
            return Ok(Exit::Waiting);
        }
    };
    let id = match answer {
        Ok(answer) => answer["rotation"].as_str().and_then(|id| RotationId::new(id).ok()),
        Err(Refused::Lost(why)) => {
            // Whoever has died has written before what it began. Whoever lives may begin it yet.
            let mut new = ids(journal.as_ref(), credential).await?;
            new.retain(|id| !before.contains(id));
            match (new.into_iter().next(), daemon.listens().await) {
                (Some(id), _) => Some(id),
                (None, false) => {
                    let message = "the daemon has gone and has begun nothing: nothing was changed";
                    let fault = Fault::new(FaultClass::Temporary, "HO1054", message);
                    return Err(Failure::new(Exit::Refused, fault.hint("start it again, or give --here")));
                }
                (None, true) => {
                    let message = format!("the daemon does not say whether it has begun a rotation of {credential}: {why}");
                    let fault = Fault::new(FaultClass::Temporary, "HO1055", message);
                    let hint = format!("look before you repeat it: `handover status {credential}`");
                    return Err(Failure::new(Exit::Waiting, fault.hint(hint)));
                }
            }
        }
        Err(Refused::Said { fault, rotation: Some(other), .. }) => {
            let hint = format!("`handover status {other}` shows it");
            return Err(Failure::new(Exit::Refused, fault.hint(hint)));
        }
        Err(refused) => return Err(refused.into()),
    };
    let Some(id) = id else { return Err(other_release()) };
    Look { context, daemon, journal, id, patient }.follow(0, signals).await
}

async fn ids(journal: &dyn Journal, credential: &str) -> Result<BTreeSet<RotationId>, Failure> {
    let of = Filter { credential: Some(credential.to_owned()), ..Filter::default() };
    Ok(journal.list(of).await?.into_iter().map(|header| header.id).collect())
}

/// Asks something of a rotation, and follows it.
async fn ask(
    context: &Context,
    daemon: &Beside,
    what: &str,
    verb: &str,
    body: &Value,
    patient: bool,
) -> Result<Exit, Failure> {
    let journal = context.existing_journal().await?;
    let id = find_rotation(journal.as_ref(), what).await?.id;
    let (rotation, rows) = read_rotation(journal.as_ref(), &id).await?;
    not_ended(&rotation)?;
    if verb == "abort" {
        super::abort::note(context, &rotation);
    }
    let signals = context.looking();
    match daemon.post(&format!("/api/v1/rotations/{id}/{verb}"), body, || {}).await {
        Ok(_) => {}
        // It is not stuck: then it goes on, and is only looked at.
        Err(Refused::Said { fault, .. }) if fault.code == "HO1004" => {
            context.say(&format!("rotation {id} goes on in the daemon"));
        }
        Err(refused) => return Err(refused.into()),
    }
    Look { context, daemon, journal, id, patient }.follow(rows.len(), signals).await
}

/// Rolls a rotation back through the daemon.
pub(super) async fn abort(context: &Context, daemon: &Beside, args: &AbortArgs) -> Result<Exit, Failure> {
    ask(context, daemon, &args.rotation, "abort", &json!({"reason": args.reason}), false).await
}

/// Opens a gate through the daemon.
pub(super) async fn approve(context: &Context, daemon: &Beside, args: &ApproveArgs) -> Result<Exit, Failure> {
    ask(context, daemon, &args.rotation, "approve", &json!({}), false).await
}

/// Sets a rotation going again through the daemon, or only looks at it.
pub(super) async fn resume(context: &Context, daemon: &Beside, args: &ResumeArgs) -> Result<Exit, Failure> {
    let Some(what) = &args.rotation else {
        context.say("a daemon runs: it goes on by itself with everything that is due");
        return Ok(Exit::Done);
    };
    ask(context, daemon, what, "resume", &json!({}), args.wait).await
}

/// The daemon that a rotation is asked of. One that does not answer is done without where a leak is to be contained: that does not
/// wait for it.
pub(super) async fn daemon_for(context: &Context, args: &RotateArgs) -> Result<Option<Beside>, Failure> {
    match Beside::find(context).await {
        Err(failure) if is_silent(&failure) && contains(context, args) => {
            context.say(
                "warning: a daemon runs and does not answer: what has leaked does not wait for it, and is contained here",
            );
            Ok(None)
        }
        found => found,
    }
}

/// Whether the playbook that was named contains a leak, by the files here.
fn contains(context: &Context, args: &RotateArgs) -> bool {
    let Some(name) = &args.plan.playbook else { return false };
    context.playbooks().is_ok_and(|all| all.get(name).is_some_and(|playbook| playbook.containment.is_some()))
}
