//! `approve`: opens the gate that a rotation waits at, and goes on from there.

use handover_rotation::event::Event;
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::playbook::Step;

use super::abort::post;
use super::args::ApproveArgs;
use super::context::{Context, find_rotation, read_rotation};
use super::failure::{Exit, Failure};
use super::follow::{Show, follow};
use super::resume::take;
use super::rotate::whoami;
use crate::engine::Request;

pub(super) async fn run(context: &Context, args: ApproveArgs) -> Result<Exit, Failure> {
    if let Some(daemon) = super::beside::Beside::if_it_answers(context).await? {
        return super::through::approve(context, &daemon, &args).await;
    }
    let engine = context.engine().await?;
    let header = find_rotation(engine.journal.as_ref(), &args.rotation).await?;
    let id = header.id;
    let (rotation, _) = read_rotation(engine.journal.as_ref(), &id).await?;
    let step = rotation.step;
    if !matches!(rotation.current_step(), Some(Step::Approve { .. })) || rotation.step_started.is_none() {
        let fault = Fault::new(FaultClass::Permanent, "HO0460", format!("rotation {id} does not wait at a gate"));
        return Err(Failure::new(Exit::Refused, fault.hint(format!("`handover status {id}` says what it waits for"))));
    }
    if header.holder.is_some() {
        return post(context, &engine, &id, &Request::Approve { step, by: whoami() }, "go on").await;
    }
    let signals = context.signals();
    let mut runner = take(context, &engine, &id).await?;
    let mut show = Show::resumed(context, &runner).await?;
    runner.tell(Event::Approved { step, by: whoami() }, &mut show).await?;
    follow(context, runner, show, false, signals).await
}
