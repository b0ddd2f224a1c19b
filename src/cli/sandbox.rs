//! `sandbox`: runs the sandbox until it is stopped, or looks at one, or switches its faults.

use std::time::Duration;

use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::Shape;

use super::args::{Global, SandboxArgs};
use super::failure::{Exit, Failure};
use super::out;
use crate::sandbox::person::by_hand;
use crate::sandbox::{RunningSandbox, Sandbox, SandboxOptions, Status, check_folder, set_fault, status};
use crate::view::style::visible;

pub(super) async fn run(global: &Global, args: SandboxArgs) -> Result<Exit, Failure> {
    let bad = |fault: Fault| Failure::new(Exit::BadInput, fault);
    if !args.fault.is_empty() {
        check_folder(&global.dir).map_err(bad)?;
        for fault in &args.fault {
            if fault == "list" {
                for (form, words) in crate::sandbox::faults::LIST {
                    say(&match global.json {
                        true => serde_json::json!({"fault": form, "text": words}).to_string(),
                        false => format!("{form:<44} {words}\n"),
                    })?;
                }
            } else {
                set_fault(&global.dir, fault).map_err(bad)?;
            }
        }
        return Ok(Exit::Done);
    }
    if let [action, name] = args.person.as_slice() {
        check_folder(&global.dir).map_err(bad)?;
        let did = by_hand(&global.dir, action, name).map_err(bad)?;
        say(&match (global.json, &did.password_file) {
            (true, _) => serde_json::to_string(&did).unwrap_or_default(),
            (false, None) => format!("{} {}: done\n", did.action, did.username),
            (false, Some(file)) => {
                format!(
                    "made {}; its password is in {}, for you alone\n",
                    did.username,
                    visible(&file.display().to_string())
                )
            }
        })?;
        return Ok(Exit::Done);
    }
    if args.status {
        let status = status(&global.dir).map_err(bad)?;
        if global.json {
            say(&serde_json::to_string(&status).unwrap_or_default())?;
        } else {
            say(&lines(&status))?;
        }
        return Ok(Exit::Done);
    }
    let mut options = SandboxOptions::new(&global.dir);
    options.shape = args.shape.as_deref().map(shape).transpose().map_err(bad)?;
    options.traffic = args.traffic.map(Duration::from_millis);
    options.credentials = args.credentials;
    let running = start(options).await?;
    let dir = running.dir().display().to_string();
    if global.json {
        say(&serde_json::json!({"event": "sandbox", "inventory": running.inventory_path()}).to_string())?;
    } else {
        let handover = format!("handover --sandbox --dir {dir}");
        let by_hand = status(&global.dir).is_ok_and(|s| s.shape == Shape::Manual);
        let person =
            if by_hand { format!("  handover sandbox --dir {dir} --person create newsletter\n") } else { String::new() };
        say(&format!(
            "sandbox in {dir}\n\n\
             in another terminal:\n  \
             {handover} rotate newsletter\n  \
             {handover} sandbox --status\n  \
             {handover} sandbox --fault list\n{person}\n\
             Ctrl-C stops it; what it holds stays\n"
        ))?;
    }
    wait().await;
    running.stop().await;
    Ok(Exit::Done)
}

/// Starts it, and tells what it left alone.
pub(super) async fn start(options: SandboxOptions) -> Result<RunningSandbox, Failure> {
    let started = Sandbox::start(options).await;
    let running = started.map_err(|fault| {
        let exit = if fault.code == "HO0911" { Exit::BadInput } else { Exit::Error };
        Failure::new(exit, fault)
    })?;
    for note in running.notes() {
        out::note(&format!("note: {}", visible(note)));
    }
    Ok(running)
}

fn say(text: &str) -> Result<(), Failure> {
    out::data(text).map_err(Failure::output)
}

async fn wait() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}

fn shape(text: &str) -> Result<Shape, Fault> {
    match text {
        "reversible" => Ok(Shape::Reversible),
        "delete-only" => Ok(Shape::DeleteOnly),
        "alternating" => Ok(Shape::Alternating),
        "in-place" => Ok(Shape::InPlace),
        "manual" => Ok(Shape::Manual),
        other => Err(Fault::new(FaultClass::Permanent, "HO0461", format!("{other:?} is not a shape of the sandbox"))
            .hint("one of reversible, delete-only, alternating, in-place, manual")),
    }
}

fn lines(status: &Status) -> String {
    let running = if status.running { "running" } else { "not running" };
    let mut text = format!("{running}; mail in {}\n", status.mail_dir.display());
    for credential in &status.credentials {
        for version in &credential.versions {
            let state = serde_json::to_value(version.state).unwrap_or_default();
            let used = version.last_used_at.as_deref().unwrap_or("never");
            text += &format!(
                "{:<16} {:<20} {:<9} created {}, last used {used}\n",
                credential.credential,
                version.username.to_string(),
                state.as_str().unwrap_or_default(),
                version.created_at
            );
        }
    }
    for (name, value) in &status.faults {
        text += &format!("fault {name}={value}\n");
    }
    text
}
