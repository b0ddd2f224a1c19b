//! `done`: a person says that they did what the rotation asked of them, at the provider or to a service. It goes on with the rotation,
//! which checks their word, or leaves it with the process that runs it.

use std::time::Duration;

use handover_rotation::command::Command;
use handover_rotation::name::RotationId;
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::state::Rotation;

use super::args::DoneArgs;
use super::context::{Context, find_rotation, read_rotation, trusted_now};
use super::failure::{Exit, Failure};
use super::follow::{Show, follow};
use super::resume::{not_ended, take};
use super::rotate::whoami;
use crate::engine::by_hand::{asked, wanted};
use crate::engine::{Engine, Request};
use crate::journal::Row;
use crate::view;

/// How often and how many times the inbox is looked at, until a request was taken.
const LOOKS: (Duration, u32) = (Duration::from_millis(100), 100);

pub(super) async fn run(context: &Context, args: DoneArgs) -> Result<Exit, Failure> {
    let engine = context.engine().await?;
    let header = find_rotation(engine.journal.as_ref(), &args.rotation).await?;
    let id = header.id;
    let (rotation, rows) = read_rotation(engine.journal.as_ref(), &id).await?;
    not_ended(&rotation)?;
    let command = match asked(&rotation, trusted_now(&rotation, &rows)) {
        Some(command) if !matches!(command, Command::Create(_)) => command,
        _ => {
            let message = format!("rotation {id} asks nobody to disable, enable, delete or restart anything");
            let fault = Fault::new(FaultClass::Permanent, "HO0472", message);
            return Err(Failure::new(Exit::Refused, fault.hint(asks_for(&rotation, &rows))));
        }
    };
    if header.holder.is_some() {
        let request = Request::Done { command: command.clone(), by: whoami() };
        // A service is asked so soon that its person may be asked again already.
        let (before, restart) = (rotation.at, matches!(command, Command::Reload(_)));
        let taken = move |r: &Rotation| restart && r.at > before || asked(r, r.at).as_ref() != Some(&command);
        return leave_with(context, &engine, &id, &request, "done", taken).await;
    }
    let signals = context.signals();
    let mut runner = take(context, &engine, &id).await?;
    let mut show = Show::resumed(context, &runner).await?;
    runner.done(&command, &whoami(), &mut show).await?;
    follow(context, runner, show, false, signals).await
}

/// What it asks for instead, as a hint.
pub(super) fn asks_for(r: &Rotation, rows: &[Row]) -> String {
    match asked(r, trusted_now(r, rows)) {
        Some(Command::Create(_)) => format!("it asks for a new version: {}", view::by_hand::supply(r)),
        Some(command) => format!("it asks a person to {}: {}", view::by_hand::task(r, &command), view::by_hand::done(r)),
        None if wanted(r).is_some() => format!("it asks for a new version: {}", view::by_hand::supply(r)),
        None => format!("`handover status {}` says what it waits for", r.id),
    }
}

/// Leaves a request with the process that holds the rotation, and waits until it is taken. `taken` says whether that was heeded.
pub(super) async fn leave_with(
    context: &Context,
    engine: &Engine,
    id: &RotationId,
    request: &Request,
    word: &str,
    taken: impl Fn(&Rotation) -> bool,
) -> Result<Exit, Failure> {
    let text = serde_json::to_string(request).unwrap_or_default();
    engine.journal.post(id, &text).await?;
    let (pause, times) = LOOKS;
    for _ in 0..times {
        tokio::time::sleep(pause).await;
        if engine.journal.inbox(id).await?.iter().any(|(_, left)| *left == text) {
            continue;
        }
        let (rotation, _) = read_rotation(engine.journal.as_ref(), id).await?;
        if !taken(&rotation) {
            let message = format!("the process that runs {id} does not ask for it any more");
            let fault = Fault::new(FaultClass::Permanent, "HO0473", message);
            return Err(Failure::new(Exit::Refused, fault.hint(format!("`handover status {id}` says what it waits for"))));
        }
        if context.global.json {
            context.text(
                &serde_json::json!({"event": "requested", "rotation": id, "request": word, "taken": true}).to_string(),
            )?;
        } else {
            context.say(&format!("the process that runs {id} has taken it and goes on; `handover status {id}` shows it"));
        }
        return Ok(Exit::Waiting);
    }
    if context.global.json {
        context
            .text(&serde_json::json!({"event": "requested", "rotation": id, "request": word, "taken": false}).to_string())?;
    } else {
        context.say(&format!(
            "the process that runs {id} has not taken it yet; it is kept, and if that process is gone `handover resume {id}` \
             takes it"
        ));
    }
    Ok(Exit::Waiting)
}
