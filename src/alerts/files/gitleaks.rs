//! Gitleaks: a list of findings, in the spelling of version 8 or of version 7. With `--redact` the secret is not in it.

use super::super::Report;
use super::super::json::Json;
use super::super::verify::rfc3339;
use super::{Unfit, first_has, items, place, shown};

pub(super) fn is(document: &Json) -> bool {
    first_has(document, &["RuleID", "Fingerprint"])
        || first_has(document, &["RuleID", "Secret"])
        || first_has(document, &["rule", "offender"])
}

pub(super) fn read(name: &str, document: &Json) -> Result<Vec<Report>, Unfit> {
    items(document).iter().map(|item| finding(name, item)).collect()
}

fn finding(name: &str, item: &Json) -> Result<Report, Unfit> {
    let either = |new: &str, old: &str| item.text(&[new]).or_else(|| item.text(&[old]));
    if either("Secret", "offender").is_none() {
        return Err(Unfit("a finding has neither Secret nor offender".to_owned()));
    }
    let line = item.number(&["StartLine"]).or_else(|| item.number(&["lineNumber"]));
    let values = [either("Secret", "offender"), either("Match", "line")];
    let values: Vec<&str> = values.into_iter().filter_map(shown).collect();
    Ok(Report::new(name, &place(either("File", "file"), line, either("Commit", "commit")))
        .url(either("Link", "leakURL"))
        .exposed(either("Date", "date").and_then(rfc3339))
        .found(&values))
}
