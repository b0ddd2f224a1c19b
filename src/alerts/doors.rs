//! What fuzzing and tests reach of this module, and nothing else may.

use super::json::Json;
use super::{Report, alertmanager, aws_event, gitguardian, github, gitlab, pagerduty, standard_webhooks};

/// What the body of an authentic delivery tells, as each source reads it; `None` if it cannot be read at all.
pub(crate) fn told(body: &[u8]) -> Option<Vec<Report>> {
    let body = Json::read(body).ok()?;
    let mut told = aws_event::reports("x", &body, aws_event::LEAST_SEVERITY);
    told.extend(github::event("x", &body));
    told.extend(gitguardian::event("x", &body));
    told.extend(gitlab::event("x", &body));
    told.extend(pagerduty::event("x", &body));
    told.extend(standard_webhooks::event("x", &body));
    told.extend(body.list(&["alerts"]).iter().map(|one| alertmanager::alert("x", one)));
    Some(told)
}
