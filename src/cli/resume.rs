//! `resume`: goes on with a rotation that nobody holds, or with all whose time has come.

use std::sync::Arc;

use handover_rotation::command::Which;
use handover_rotation::decide::{Decision, decide};
use handover_rotation::event::Event;
use handover_rotation::name::{EntryName, RotationId};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::state::{EntryState, Phase, Rotation};

use super::args::ResumeArgs;
use super::context::{Context, find_rotation, read_rotation};
use super::failure::{Exit, Failure};
use super::follow::{Show, follow};
use super::out;
use super::rotate::whoami;
use crate::engine::clock::TrustedTime;
use crate::engine::ports::Ports;
use crate::engine::{Engine, Runner};
use crate::journal::Filter;
use crate::registry::Registry;

pub(super) async fn run(context: &Context, args: ResumeArgs) -> Result<Exit, Failure> {
    if !args.here
        && args.overwrite.is_empty()
        && let Some(daemon) = super::beside::Beside::if_it_answers(context).await?
    {
        return super::through::resume(context, &daemon, &args).await;
    }
    let engine = context.engine().await?;
    match args.rotation {
        Some(what) => {
            let header = find_rotation(engine.journal.as_ref(), &what).await?;
            one(context, &engine, &header.id, args.wait, &args.overwrite).await
        }
        None => due(context, &engine, args.wait).await,
    }
}

/// Takes up a rotation with the adapters that the inventory names now.
pub(super) async fn take(context: &Context, engine: &Engine, id: &RotationId) -> Result<Runner, Failure> {
    let (rotation, _) = read_rotation(engine.journal.as_ref(), id).await?;
    not_ended(&rotation)?;
    let ports = ports_of(context, &rotation)?;
    Ok(engine.resume(id, Arc::new(ports), &whoami()).await?)
}

/// Nothing can be done with a rotation that has ended.
pub(super) fn not_ended(rotation: &Rotation) -> Result<(), Failure> {
    let Some(ending) = rotation.ended() else { return Ok(()) };
    let id = &rotation.id;
    let fault = Fault::new(FaultClass::Permanent, "HO0458", format!("rotation {id} has ended already: {ending:?}"));
    Err(Failure::new(Exit::Refused, fault.hint(format!("`handover status {id}` shows how"))))
}

/// The adapters that the inventory names now, if it is still what the rotation was planned with.
pub(super) fn ports_of(context: &Context, rotation: &Rotation) -> Result<Ports, Failure> {
    Ok(Registry.ports_of(&context.inventory()?, rotation)?)
}

async fn one(
    context: &Context,
    engine: &Engine,
    id: &RotationId,
    wait: bool,
    overwrite: &[String],
) -> Result<Exit, Failure> {
    let signals = context.signals();
    let mut runner = take(context, engine, id).await?;
    let mut show = Show::resumed(context, &runner).await?;
    let given_up = given_up(runner.rotation(), overwrite)?;
    if matches!(runner.rotation().phase, Phase::Stuck { .. }) {
        // The audit log keeps who gave up what.
        let by = match overwrite {
            [] => whoami(),
            names => format!("{}, who orders to overwrite entry {}", whoami(), names.join(", ")),
        };
        runner.give_up(given_up);
        runner.tell(Event::Resumed { by }, &mut show).await?;
    }
    follow(context, runner, show, wait, signals).await
}

/// The entries that a person gives up what is in: only where a stuck rotation has come upon it.
fn given_up(rotation: &Rotation, names: &[String]) -> Result<Vec<EntryName>, Failure> {
    let refused = |message: String, hint: &str| {
        Err(Failure::new(Exit::Refused, Fault::new(FaultClass::Permanent, "HO0483", message).hint(hint)))
    };
    if !names.is_empty() && !matches!(rotation.phase, Phase::Stuck { .. }) {
        return refused(
            format!("rotation {} is not stuck: nothing is overwritten", rotation.id),
            "leave `--overwrite` out: it is for a rotation that rests because someone else changed an entry",
        );
    }
    let known = |name: &String| rotation.plan.entries.keys().find(|entry| entry.as_str() == name).cloned();
    let mut entries = Vec::new();
    for name in names {
        match known(name) {
            Some(entry) => entries.push(entry),
            None => {
                let all: Vec<&str> = rotation.plan.entries.keys().map(EntryName::as_str).collect();
                let message = format!("rotation {} has no entry {name:?}", rotation.id);
                return refused(message, &format!("it has: {}", all.join(", ")));
            }
        }
    }
    let foreign = |(name, entry): &(&EntryName, &EntryState)| entry.holds == Some(Which::Foreign) && !entries.contains(name);
    if let (false, Some((other, _))) = (entries.is_empty(), rotation.entries.iter().find(foreign)) {
        return refused(
            format!("entry {other} holds a value that rotation {} does not know too", rotation.id),
            "put a value back that the rotation knows, or name it with `--overwrite` as well: nothing was overwritten",
        );
    }
    Ok(entries)
}

/// Those that are stuck are left alone: they need a person, not a clock.
async fn due(context: &Context, engine: &Engine, wait: bool) -> Result<Exit, Failure> {
    let open = Filter { finished: Some(false), ..Filter::default() };
    let mut worst = Exit::Done;
    let mut gone_on = 0;
    for header in engine.journal.list(open).await? {
        if header.holder.is_some() {
            continue;
        }
        let (rotation, rows) = read_rotation(engine.journal.as_ref(), &header.id).await?;
        let Some(last) = rows.last() else { continue };
        let stamp = engine.clock.stamp();
        let now = TrustedTime::of(&rotation, last.stamp.clone()).at(&stamp);
        // After a reboot its time counts only once a process of this boot has written in it.
        let rebooted = stamp.boot_id != last.stamp.boot_id;
        let ready = rebooted && !matches!(rotation.phase, Phase::Stuck { .. })
            || match decide(&rotation, now) {
                Decision::Rest => false,
                Decision::Record(_) => true,
                Decision::Act { start, wake, .. } => {
                    !rotation.flights.is_empty() || !start.is_empty() || wake.is_some_and(|w| now >= w)
                }
            };
        if !ready {
            continue;
        }
        if context.stopping() {
            worst = worst.max(Exit::Waiting);
            break;
        }
        gone_on += 1;
        let exit = match one(context, engine, &header.id, wait, &[]).await {
            Ok(exit) => exit,
            Err(failure) => {
                out::failure(&failure, &context.global);
                failure.exit()
            }
        };
        worst = worst.max(exit);
    }
    if gone_on == 0 && !context.global.json {
        context.say("nothing is due");
    }
    Ok(worst)
}
