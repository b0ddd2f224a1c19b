//! `plan`: a live look and the exact steps. Changes nothing.

use std::sync::Arc;

use handover_rotation::playbook::Playbook;

use super::args::PlanArgs;
use super::context::{Context, credential_name};
use super::failure::{Exit, Failure};
use super::{out, view};
use crate::config::playbooks::DEFAULT_PLAYBOOK;
use crate::engine::plan_hash;
use crate::engine::ports::Ports;
use crate::engine::prepare::{Options, Prepared, prepare};
use crate::engine::{Engine, EngineError};
use crate::journal::{Filter, JournalError};
use crate::registry::Registry;

/// A plan with what it was made from.
pub(super) struct Planned {
    pub(super) engine: Engine,
    pub(super) ports: Arc<Ports>,
    pub(super) prepared: Prepared,
}

/// Reads the files and looks at what is live.
pub(super) async fn make(context: &Context, args: &PlanArgs) -> Result<Planned, Failure> {
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
    let ports = Arc::new(Registry.ports(&inventory, &name).map_err(|fault| Failure::new(Exit::Refused, fault))?);
    let engine = context.engine().await.map_err(Failure::nothing_begun)?;
    let headers = engine.journal.list(Filter::default()).await?;
    let lineage = format!("{}/{}", credential.provider, credential.account);
    let under_way = headers.iter().find(|h| !h.finished && h.lineage == lineage).map(|h| h.id.clone());
    let own = headers.into_iter().map(|header| header.id.to_string());
    let known = own.chain(args.ended_elsewhere.iter().cloned()).collect();
    let options = Options { time_scale: args.time_scale, known: Some(known) };
    let prepared = match (prepare(&inventory, &name, playbook, &ports, &engine.sealer, options).await, under_way) {
        // What is odd about the account is its doing.
        (Err(EngineError::Refused(_)), Some(other)) => return Err(JournalError::one_rotation(other).into()),
        (prepared, _) => prepared?,
    };
    Ok(Planned { engine, ports, prepared })
}

/// A name that the files do not have.
pub(super) fn missing<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone, code: &str) -> Failure {
    use handover_rotation::outcome::{Fault, FaultClass};
    let all: Vec<&str> = known.clone().collect();
    let hint = match crate::config::suggest::nearest(name, known) {
        Some(near) => format!("did you mean {near}?"),
        None if all.is_empty() => format!("there is no {what} at all: see `handover check`"),
        None => format!("there are: {}", all.join(", ")),
    };
    Failure::new(Exit::BadInput, Fault::new(FaultClass::Permanent, code, format!("there is no {what} {name:?}")).hint(hint))
}

pub(super) async fn run(context: &Context, args: PlanArgs) -> Result<Exit, Failure> {
    let planned = make(context, &args).await?;
    let prepared = &planned.prepared;
    let hash = plan_hash(&prepared.plan);
    if context.global.json {
        context.text(&view::plan::plan_json(&prepared.plan, &hash, &prepared.told()).to_string())?;
    } else {
        context.text(&view::plan::plan(&prepared.plan, &hash, &prepared.told(), out::stdout_style()))?;
    }
    Ok(Exit::Done)
}
