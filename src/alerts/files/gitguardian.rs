//! GitGuardian: bodies of its webhook as they were sent, and incidents as its API answers them.

use super::super::Report;
use super::super::gitguardian::{event, incident_report};
use super::super::json::Json;
use super::{Unfit, first_has, items};

pub(super) fn is(document: &Json) -> bool {
    first_has(document, &["action", "incident"])
        || first_has(document, &["gitguardian_url"])
        || first_has(document, &["hmsl_hash"])
}

pub(super) fn read(name: &str, document: &Json) -> Result<Vec<Report>, Unfit> {
    let mut reports = Vec::new();
    for item in items(document) {
        if item.get("action").is_some() {
            reports.extend(event(name, item));
        } else if item.get("id").is_some() {
            reports.push(incident_report(name, item));
        } else {
            return Err(Unfit("it has neither an action nor an id of an incident".to_owned()));
        }
    }
    Ok(reports)
}
