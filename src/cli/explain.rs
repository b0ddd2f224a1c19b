//! `explain`: the page behind a code.

use handover_rotation::outcome::{Fault, FaultClass};

use super::args::ExplainArgs;
use super::failure::{Exit, Failure};
use super::out;
use crate::explain::{codes, page};

pub(super) fn run(args: &ExplainArgs) -> Result<Exit, Failure> {
    let text = match &args.code {
        Some(code) => match page(code) {
            Some(page) => page.to_owned(),
            None => {
                let fault = Fault::new(FaultClass::Permanent, "HO0465", format!("there is no code {code:?}"));
                return Err(Failure::new(Exit::BadInput, fault.hint("`handover explain` lists all codes")));
            }
        },
        None => codes().into_iter().filter_map(page).filter_map(|p| p.lines().next()).map(|l| format!("{l}\n")).collect(),
    };
    out::data(&text).map_err(Failure::output)?;
    Ok(Exit::Done)
}
