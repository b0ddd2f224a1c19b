//! `rehearse`: every failure at every step of a plan, in the model. It contacts nothing, so it can guard a pull request.

use std::time::{Duration, Instant};

use super::args::RehearseArgs;
use super::context::{Context, credential_name};
use super::failure::{Exit, Failure};
use super::out;
use super::plan::missing;
use crate::engine::sketch::sketch;
use crate::registry::Registry;
use crate::rehearse::{Extent, rehearse};
use crate::view;

pub(super) fn run(context: &Context, args: &RehearseArgs) -> Result<Exit, Failure> {
    let inventory = context.inventory()?;
    let playbooks = context.playbooks()?;
    let name = credential_name(&args.credential)?;
    let Some(credential) = inventory.credentials.get(&name) else {
        return Err(missing("credential", &args.credential, inventory.credentials.keys().map(|n| n.as_str()), "HO0440"));
    };
    let default = if context.global.sandbox { "drill" } else { "scheduled" };
    let scheduled = credential.schedule.as_ref().map(|s| s.playbook.as_str());
    let wanted = args.playbook.as_deref().or(scheduled).unwrap_or(default);
    let playbook =
        playbooks.get(wanted).ok_or_else(|| missing("playbook", wanted, playbooks.keys().map(String::as_str), "HO0447"))?;
    let facts = Registry.facts(&inventory, &name);
    let plan = sketch(&inventory, &name, playbook, facts).map_err(|fault| Failure::new(Exit::BadInput, fault))?;
    let began = Instant::now();
    let mut told = began;
    let rehearsal = rehearse(&plan, Extent { pairs: args.pairs }, |done, total| {
        if told.elapsed() >= Duration::from_secs(2) && done < total {
            told = Instant::now();
            context.say(&format!("rehearsing: {done} of {total}"));
        }
    });
    let took = began.elapsed();
    if let Some(path) = &args.html {
        let page = view::rehearsal::page(&rehearsal, out::stdout_style()).map_err(|error| {
            let fault = handover_rotation::outcome::Fault::new(
                handover_rotation::outcome::FaultClass::Permanent,
                "HO0467",
                format!("the page cannot be made: {error}"),
            );
            Failure::new(Exit::Error, fault)
        })?;
        super::audit::write(path, &page)?;
        context.say(&format!("written: {}", path.display()));
    }
    if context.global.json {
        for line in view::rehearsal::json(&rehearsal) {
            context.text(&line.to_string())?;
        }
    } else {
        context.text(&view::rehearsal::rehearsal(&rehearsal, args.all, out::stdout_style()))?;
        context.say(&format!("({:.1} s)", took.as_secs_f64()));
    }
    let sound = rehearsal.is_sound() && (!args.strict || rehearsal.advice.is_empty());
    Ok(if sound { Exit::Done } else { Exit::Stuck })
}
