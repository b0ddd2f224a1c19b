//! GitHub secret scanning: bodies of its webhook as they were sent, and alerts as its API answers them, with the secret unless
//! `hide_secret` was asked for.

use super::super::Report;
use super::super::github::{alert_report, event};
use super::super::json::Json;
use super::{Unfit, first_has, items};

pub(super) fn is(document: &Json) -> bool {
    first_has(document, &["alert", "repository"]) || first_has(document, &["number", "secret_type"])
}

pub(super) fn read(name: &str, document: &Json) -> Result<Vec<Report>, Unfit> {
    let mut reports = Vec::new();
    for item in items(document) {
        if item.get("alert").is_some() {
            reports.extend(event(name, item));
        } else if item.get("number").is_some() {
            let repository = item.text(&["html_url"]).and_then(repository);
            reports.push(alert_report(name, item, repository.as_deref()));
        } else {
            return Err(Unfit("it has neither an alert nor the number of one".to_owned()));
        }
    }
    for report in &mut reports {
        // A file cannot be asked.
        report.look = false;
    }
    Ok(reports)
}

/// `owner/name` of an address such as `https://github.com/owner/name/security/secret-scanning/2`.
fn repository(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    let mut parts = url.path_segments()?;
    Some(format!("{}/{}", parts.next()?, parts.next()?))
}
