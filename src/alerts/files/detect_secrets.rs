//! detect-secrets: a baseline, with the SHA-1 of each secret by file. One that a person has marked as no secret is a report all the
//! same: if it is ours, the person was wrong.

use super::super::Report;
use super::super::json::Json;
use super::super::verify::rfc3339;
use super::{Unfit, place};
use crate::marks::Mark;

pub(super) fn is(document: &Json) -> bool {
    matches!(document.get("results"), Some(Json::Map(_)))
        && (document.get("plugins_used").is_some() || document.get("generated_at").is_some())
}

pub(super) fn read(name: &str, document: &Json) -> Result<Vec<Report>, Unfit> {
    let Some(results @ Json::Map(_)) = document.get("results") else {
        return Err(Unfit("it has no map `results`".to_owned()));
    };
    let made = document.text(&["generated_at"]).and_then(rfc3339);
    let mut reports = Vec::new();
    for (file, findings) in results.pairs() {
        for finding in findings.list(&[]) {
            let mark = finding.text(&["hashed_secret"]).and_then(Mark::sha1);
            if mark.is_none() {
                return Err(Unfit("a finding has no SHA-1 in hashed_secret".to_owned()));
            }
            let file = finding.text(&["filename"]).unwrap_or(file);
            let reference = place(Some(file), finding.number(&["line_number"]), None);
            reports.push(Report::new(name, &reference).exposed(made).mark(mark));
        }
    }
    Ok(reports)
}
