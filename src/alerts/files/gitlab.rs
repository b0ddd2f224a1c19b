//! GitLab's artifact of secret detection, `gl-secret-detection-report.json`: the secret stands in it.

use super::super::Report;
use super::super::json::Json;
use super::super::verify::rfc3339;
use super::{Unfit, first_has, place, shown};

pub(super) fn is(document: &Json) -> bool {
    matches!(document.get("vulnerabilities"), Some(Json::List(_)))
        || first_has(document, &["raw_source_code_extract", "location"])
}

pub(super) fn read(name: &str, document: &Json) -> Result<Vec<Report>, Unfit> {
    let listed = if matches!(document, Json::List(_)) { Some(document) } else { document.get("vulnerabilities") };
    let Some(Json::List(findings)) = listed else {
        return Err(Unfit("it has no list `vulnerabilities`".to_owned()));
    };
    let report = |finding: &Json| {
        let at = finding.get("location");
        let told = |path: &[&str]| at.and_then(|at| at.text(path));
        let line = at.and_then(|at| at.number(&["start_line"]));
        let value = shown(finding.text(&["raw_source_code_extract"]));
        Report::new(name, &place(told(&["file"]), line, told(&["commit", "sha"])))
            .exposed(told(&["commit", "date"]).and_then(rfc3339))
            .found(&Vec::from_iter(value))
    };
    Ok(findings.iter().map(report).collect())
}
