//! `impact`: what stops if a credential dies. Reads the inventory only.

use super::args::OfCredential;
use super::context::{Context, credential_name};
use super::failure::{Exit, Failure};
use super::out;
use super::plan::missing;
use crate::view;

pub(super) fn run(context: &Context, args: &OfCredential) -> Result<Exit, Failure> {
    let inventory = context.inventory()?;
    let name = credential_name(&args.credential)?;
    if !inventory.credentials.contains_key(&name) {
        return Err(missing("credential", &args.credential, inventory.credentials.keys().map(|n| n.as_str()), "HO0440"));
    }
    if context.global.json {
        context.text(&view::impact::impact_json(&inventory, &name).to_string())?;
    } else {
        context.text(&view::impact::impact(&inventory, &name, out::stdout_style()))?;
    }
    Ok(Exit::Done)
}
