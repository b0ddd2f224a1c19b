//! `abort`: rolls a rotation back, here or in the process that holds it.

use handover_rotation::event::Event;
use handover_rotation::name::RotationId;
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::state::Rotation;

use super::args::AbortArgs;
use super::context::{Context, find_rotation, read_rotation};
use super::failure::{Exit, Failure};
use super::follow::{Show, follow};
use super::resume::take;
use super::rotate::whoami;
use crate::engine::by_hand::wanted;
use crate::engine::{Engine, Request};

pub(super) async fn run(context: &Context, args: AbortArgs) -> Result<Exit, Failure> {
    if let Some(daemon) = super::beside::Beside::if_it_answers(context).await? {
        return super::through::abort(context, &daemon, &args).await;
    }
    let engine = context.engine().await?;
    let header = find_rotation(engine.journal.as_ref(), &args.rotation).await?;
    let id = header.id;
    let event = Event::AbortRequested { by: whoami(), reason: args.reason.clone() };
    // Tried on a copy: what has no place is refused before anyone is asked.
    let (before, _) = read_rotation(engine.journal.as_ref(), &id).await?;
    let mut rotation = before.clone();
    if let Err(why) = rotation.apply(rotation.at, &event) {
        let fault = Fault::new(FaultClass::Permanent, "HO0459", format!("rotation {id} cannot be aborted: {}", why.why));
        return Err(Failure::new(Exit::Refused, fault.hint(format!("`handover status {id}` says what is safe"))));
    }
    note(context, &before);
    if header.holder.is_some() {
        let request = Request::Abort { by: whoami(), reason: args.reason };
        return post(context, &engine, &id, &request, "roll back").await;
    }
    let signals = context.signals();
    let mut runner = take(context, &engine, &id).await?;
    let mut show = Show::resumed(context, &runner).await?;
    runner.tell(event, &mut show).await?;
    follow(context, runner, show, false, signals).await
}

/// What nobody handed over, nobody but that person knows of.
pub(super) fn note(context: &Context, rotation: &Rotation) {
    if wanted(rotation).is_some() {
        context.say("note: if the new login was made at the provider already, delete it there: it was not handed over");
    }
}

/// Leaves a request with the process that holds the rotation.
pub(super) async fn post(
    context: &Context,
    engine: &Engine,
    id: &RotationId,
    request: &Request,
    what: &str,
) -> Result<Exit, Failure> {
    let text = serde_json::to_string(request).unwrap_or_default();
    engine.journal.post(id, &text).await?;
    if context.global.json {
        context.text(&serde_json::json!({"event": "requested", "rotation": id, "request": request}).to_string())?;
    } else {
        context.say(&format!("the process that runs {id} was asked to {what}; `handover status {id}` shows it"));
    }
    Ok(Exit::Waiting)
}
