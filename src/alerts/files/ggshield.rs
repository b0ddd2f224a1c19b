//! ggshield: incidents by file, inside of scans, which may lie in each other. Without `--show-secrets` the matches are hidden.

use super::super::Report;
use super::super::json::Json;
use super::super::verify::rfc3339;
use super::{Unfit, place, shown};

pub(super) fn is(document: &Json) -> bool {
    document.get("entities_with_incidents").is_some()
        || document.get("secrets_engine_version").is_some()
        || (document.get("scans").is_some() && document.get("total_incidents").is_some())
}

pub(super) fn read(name: &str, document: &Json) -> Result<Vec<Report>, Unfit> {
    if !matches!(document, Json::Map(_)) {
        return Err(Unfit("it is no map".to_owned()));
    }
    let mut reports = Vec::new();
    scan(name, document, &mut reports);
    Ok(reports)
}

fn scan(name: &str, scan_: &Json, reports: &mut Vec<Report>) {
    let date = scan_.text(&["extra_info", "date"]).and_then(rfc3339);
    for entity in scan_.list(&["entities_with_incidents"]) {
        for incident in entity.list(&["incidents"]) {
            let occurrences = incident.list(&["occurrences"]);
            let line = occurrences.first().and_then(|o| o.number(&["line_start"]));
            let values: Vec<&str> = occurrences.iter().filter_map(|o| shown(o.text(&["match"]))).collect();
            let report = Report::new(name, &place(entity.text(&["filename"]), line, scan_.text(&["id"])))
                .url(incident.text(&["incident_url"]))
                .exposed(date)
                .found(&values);
            reports.push(report);
        }
    }
    for inner in scan_.list(&["scans"]) {
        scan(name, inner, reports);
    }
}
