//! `plan`: a live look and the exact steps. Changes nothing.

use std::sync::Arc;
use std::time::Duration;

use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::playbook::Playbook;
use handover_rotation::time::Span;

use super::args::PlanArgs;
use super::context::{Context, credential_name};
use super::failure::{Exit, Failure};
use super::out;
use crate::config::playbooks::DEFAULT_PLAYBOOK;
use crate::engine::plan_hash;
use crate::engine::ports::Ports;
use crate::engine::prepare::{Prepared, Survey};
use crate::engine::{Engine, EngineError, Refusal};
use crate::registry::Registry;
use crate::view;
use crate::view::style::visible;

/// A plan with what it was made from.
pub(super) struct Planned {
    pub(super) engine: Engine,
    pub(super) ports: Arc<Ports>,
    pub(super) prepared: Prepared,
}

/// The longest pause between two looks of who insists.
const LONGEST_PAUSE: Span = Span::seconds(10);

/// Reads the files and looks at what is live. Who insists looks again, in a leak, until what does not answer does: while nothing
/// has begun, nobody else shuts the login out (safety.md L5).
pub(super) async fn make(context: &Context, args: &PlanArgs, insist: bool) -> Result<Planned, Failure> {
    let inventory = context.inventory()?;
    let playbooks = context.playbooks()?;
    let name = credential_name(&args.credential)?;
    let Some(credential) = inventory.credentials.get(&name) else {
        return Err(missing("credential", &args.credential, inventory.credentials.keys().map(|n| n.as_str()), "HO0440"));
    };
    let default = if context.global.sandbox { "drill" } else { DEFAULT_PLAYBOOK };
    let scheduled = credential.schedule.as_ref().map(|s| s.playbook.as_str());
    let wanted = args.playbook.as_deref().or(scheduled).unwrap_or(default);
    let playbook: &Playbook =
        playbooks.get(wanted).ok_or_else(|| missing("playbook", wanted, playbooks.keys().map(String::as_str), "HO0447"))?;
    let ports = match playbook.containment {
        None => Registry.ports(&inventory, &name),
        Some(_) => Registry.ports_in_leak(&inventory, &name),
    };
    let ports = Arc::new(ports.map_err(|fault| Failure::new(Exit::Refused, fault))?);
    let insist = insist && playbook.containment.is_some();
    let engine = engine(context, insist).await?;
    let mut pause = Span::seconds(1);
    let prepared = loop {
        let survey = Survey { ended_elsewhere: &args.ended_elsewhere, time_scale: args.time_scale, leaked: None };
        match engine.survey(&inventory, &name, playbook, &ports, survey).await {
            Err(EngineError::Refused(refusal)) if insist && passes(&refusal.fault) => {
                still_exposed(context, &refusal, pause);
                tokio::time::sleep(Duration::from_millis(pause.0)).await;
                pause = Span(pause.0 * 2).min(LONGEST_PAUSE);
            }
            prepared => break prepared?,
        }
    };
    Ok(Planned { engine, ports, prepared })
}

/// The journal and its key. In a leak a source of the key that is down is asked again: no password of a new version may exist before
/// it can be sealed, so nothing begins without it.
async fn engine(context: &Context, insist: bool) -> Result<Engine, Failure> {
    let mut pause = Span::seconds(1);
    loop {
        match context.engine().await {
            Err(Failure::Fault(_, fault)) if insist && fault.code == "HO0392" && passes(&fault) => {
                still_exposed(context, &Refusal::from(*fault), pause);
                tokio::time::sleep(Duration::from_millis(pause.0)).await;
                pause = Span(pause.0 * 2).min(LONGEST_PAUSE);
            }
            opened => return opened.map_err(Failure::nothing_begun),
        }
    }
}

/// Tells that a leak cannot be planned for yet.
pub(super) fn still_exposed(context: &Context, refusal: &Refusal, pause: Span) {
    let fault = &refusal.fault;
    if context.global.json {
        let line = serde_json::json!({"event": "retrying", "fault": fault, "pause_ms": pause});
        // Whoever cannot be told is no reason to leave a leak alone.
        return drop(context.text(&line.to_string()));
    }
    context.say(&format!(
        "warning: {}; the leaked login is NOT being shut out yet: trying again in {pause}, Ctrl-C gives up",
        visible(&fault.to_string())
    ));
    for detail in &refusal.details {
        context.say(&format!("  {}", visible(detail)));
    }
}

/// Whether another look may find it otherwise.
fn passes(fault: &Fault) -> bool {
    matches!(fault.class, FaultClass::Temporary | FaultClass::Environment)
}

/// A name that the files do not have.
pub(super) fn missing<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone, code: &str) -> Failure {
    let all: Vec<&str> = known.clone().collect();
    let hint = match crate::config::suggest::nearest(name, known) {
        Some(near) => format!("did you mean {near}?"),
        None if all.is_empty() => format!("there is no {what} at all: see `handover check`"),
        None => format!("there are: {}", all.join(", ")),
    };
    Failure::new(Exit::BadInput, Fault::new(FaultClass::Permanent, code, format!("there is no {what} {name:?}")).hint(hint))
}

pub(super) async fn run(context: &Context, args: PlanArgs) -> Result<Exit, Failure> {
    let planned = make(context, &args, false).await?;
    let prepared = &planned.prepared;
    let hash = plan_hash(&prepared.plan);
    if context.global.json {
        context.text(&view::plan::plan_json(&prepared.plan, &hash, &prepared.told()).to_string())?;
    } else {
        context.text(&view::plan::plan(&prepared.plan, &hash, &prepared.told(), out::stdout_style()))?;
    }
    Ok(Exit::Done)
}
