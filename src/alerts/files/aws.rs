//! AWS Health and GuardDuty: events of EventBridge as they were sent, and what the APIs of both answer.

use super::super::Report;
use super::super::aws_event::{LEAST_SEVERITY, affected_entities, finding, is_event, reports};
use super::super::json::Json;
use super::{Unfit, items};

pub(super) fn is(document: &Json) -> bool {
    items(document).first().is_some_and(|item| {
        is_event(item)
            || item.list(&["entities"]).first().is_some_and(|entity| entity.get("eventArn").is_some())
            || item.list(&["Findings"]).first().is_some_and(|finding| finding.get("Resource").is_some())
    })
}

pub(super) fn read(name: &str, document: &Json) -> Result<Vec<Report>, Unfit> {
    let mut all = Vec::new();
    for item in items(document) {
        if is_event(item) {
            all.extend(reports(name, item, LEAST_SEVERITY));
        } else if item.get("entities").is_some() {
            all.extend(affected_entities(name, item));
        } else if item.get("Findings").is_some() {
            all.extend(item.list(&["Findings"]).iter().filter_map(|f| finding(name, f, LEAST_SEVERITY)));
        } else {
            return Err(Unfit("it is neither an event nor an answer of one of the two APIs".to_owned()));
        }
    }
    Ok(all)
}
