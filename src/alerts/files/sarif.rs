//! SARIF 2.1: results of any tool. Only what stands in the snippet can be the secret, which Gitleaks puts there and others may not.

use super::super::Report;
use super::super::json::Json;
use super::super::verify::rfc3339;
use super::{Unfit, place, shown};

pub(super) fn is(document: &Json) -> bool {
    document.get("runs").is_some() && (document.get("version").is_some() || document.get("$schema").is_some())
}

pub(super) fn read(name: &str, document: &Json) -> Result<Vec<Report>, Unfit> {
    let Some(Json::List(runs)) = document.get("runs") else { return Err(Unfit("it has no list `runs`".to_owned())) };
    let results = runs.iter().flat_map(|run| run.list(&["results"]));
    Ok(results.map(|result| finding(name, result)).collect())
}

fn finding(name: &str, result: &Json) -> Report {
    let at: Vec<&Json> = result.list(&["locations"]).iter().filter_map(|l| l.get("physicalLocation")).collect();
    let first = at.first();
    let told = |path: &[&str]| first.and_then(|at| at.text(path));
    let line = first.and_then(|at| at.number(&["region", "startLine"]));
    let snippets =
        at.iter().flat_map(|at| [at.text(&["region", "snippet", "text"]), at.text(&["contextRegion", "snippet", "text"])]);
    let values: Vec<&str> = snippets.filter_map(shown).collect();
    let reference = place(told(&["artifactLocation", "uri"]), line, result.text(&["partialFingerprints", "commitSha"]));
    Report::new(name, &reference)
        .url(result.text(&["hostedViewerUri"]))
        .exposed(result.text(&["partialFingerprints", "date"]).and_then(rfc3339))
        .found(&values)
}
