//! `explain`: the page behind a code.

use handover_rotation::outcome::{Fault, FaultClass};

use super::args::{ExplainArgs, Global};
use super::failure::{Exit, Failure};
use super::out;
use crate::explain::{codes, page};

pub(super) fn run(global: &Global, args: &ExplainArgs) -> Result<Exit, Failure> {
    let text = match &args.code {
        Some(code) => match page(&code.to_ascii_uppercase()) {
            Some(page) if global.json => json(page),
            Some(page) => page.to_owned(),
            None => {
                let fault = Fault::new(FaultClass::Permanent, "HO0465", format!("there is no code {code:?}"));
                return Err(Failure::new(Exit::BadInput, fault.hint("`handover explain` lists all codes")));
            }
        },
        None if global.json => codes().into_iter().filter_map(page).map(json).collect(),
        None => codes().into_iter().filter_map(page).filter_map(|p| p.lines().next()).map(|l| format!("{l}\n")).collect(),
    };
    out::data(&text).map_err(Failure::output)?;
    Ok(Exit::Done)
}

/// A page as one JSON object on a line.
fn json(page: &str) -> String {
    let (head, text) = page.split_once('\n').unwrap_or((page, ""));
    let (code, title) = head.trim_start_matches("# ").split_once(' ').unwrap_or((head, ""));
    format!("{}\n", serde_json::json!({"code": code, "title": title, "text": text.trim()}))
}
