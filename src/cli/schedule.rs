//! `schedule`: the next times of each credential, and what is in the way. Reads the inventory and, if there is one, the journal;
//! contacts nobody.

use std::collections::BTreeMap;

use handover_rotation::name::CredentialName;
use handover_rotation::time::Millis;

use super::args::ScheduleArgs;
use super::context::{Context, credential_name};
use super::failure::{Exit, Failure};
use super::out;
use super::plan::missing;
use crate::config::inventory::Credential;
use crate::engine::past::{Known, known};
use crate::journal::{Register, Tick, system_stamp};
use crate::schedule::{Past, blocked, upcoming};
use crate::view::schedule::{Scheduled, schedule_json, schedules};

/// How many times are told of each.
const SHOWN: usize = 3;

pub(super) async fn run(context: &Context, args: ScheduleArgs) -> Result<Exit, Failure> {
    let inventory = context.inventory()?;
    let only = args.credential.as_deref().map(credential_name).transpose()?;
    if let Some(name) = only.as_ref().filter(|name| !inventory.credentials.contains_key(name)) {
        return Err(missing("credential", name.as_str(), inventory.credentials.keys().map(|n| n.as_str()), "HO0440"));
    }
    let (known, kept) = match context.journal_if_any().await? {
        Some(journal) => (known(journal.as_ref(), only.as_ref()).await?, journal.last_ticks().await?),
        None => (BTreeMap::new(), Vec::new()),
    };
    let now = Millis(system_stamp().wall_ms);
    let ticks = last_ticks(&known, kept);
    let nothing = Known::default();
    let shown: Vec<Scheduled<'_>> = inventory
        .credentials
        .iter()
        .filter(|(name, _)| only.as_ref().is_none_or(|only| only == *name))
        .map(|(name, credential)| {
            scheduled(name, credential, known.get(name).unwrap_or(&nothing), ticks.get(name).copied(), now)
        })
        .collect();
    if context.global.json {
        for one in &shown {
            context.text(&schedule_json(one, now).to_string())?;
        }
    } else {
        context.text(&schedules(&shown, now, out::stdout_style()))?;
    }
    Ok(Exit::Done)
}

/// The names of the last ticks: those that the daemon has kept. Where none has ever run, a rotation of the credential, whoever began
/// it, stands for all times before it.
fn last_ticks(known: &BTreeMap<CredentialName, Known>, kept: Vec<Tick>) -> BTreeMap<CredentialName, u64> {
    let mut last: BTreeMap<CredentialName, u64> =
        known.iter().filter_map(|(name, known)| Some((name.clone(), known.past.started_ms?))).collect();
    last.extend(kept.into_iter().filter_map(|tick| Some((CredentialName::new(tick.credential).ok()?, tick.at_ms))));
    last
}

fn scheduled<'a>(
    name: &'a CredentialName,
    credential: &'a Credential,
    known: &'a Known,
    last_ms: Option<u64>,
    now: Millis,
) -> Scheduled<'a> {
    // Where nothing was ever dealt with, the schedule counts from now on.
    let known_ms = if last_ms.is_some() { 0 } else { now.0 };
    let past = Past { last_ms, known_ms, ..known.past.clone() };
    let rule = credential.schedule.as_ref().map(|schedule| &schedule.rule);
    Scheduled {
        credential: name,
        schedule: credential.schedule.as_ref(),
        version: known.current.as_ref(),
        made: known.past.current_ms.map(Millis),
        ticks: rule.map(|rule| upcoming(rule, &past, now.0, SHOWN)).unwrap_or_default(),
        blocks: rule.map(|rule| blocked(rule, &past, known.open.as_ref(), now.0)).unwrap_or_default(),
    }
}
