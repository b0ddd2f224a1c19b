//! GitGuardian's API, version 1: open incidents page by page, one by its id, and resolving one as revoked.

use chrono::{DateTime, SecondsFormat};
use handover_rotation::outcome::Fault;
use handover_rotation::time::Span;
use reqwest::Method;
use serde_json::json;

use super::super::json::Json;
use super::super::options::{Access, Caller};
use super::super::{Polled, Report};
use super::incident_report;
use crate::web::Lost;

/// How many incidents are asked for on a page: the most that the API gives.
const PAGE: usize = 100;

/// How many pages are asked for at once, for each status.
const MOST_PAGES: usize = 20;

/// The longest note, in characters.
const MOST_NOTE: usize = 1_000;

pub(super) struct Api {
    caller: Caller,
    pub(super) every: Span,
}

impl Api {
    pub(super) fn open(access: &Access) -> Result<Self, Fault> {
        Ok(Self { caller: access.open("GitGuardian", "Token")?, every: access.every })
    }

    pub(super) async fn open_incidents(&self, source: &str, since_ms: u64) -> Result<Polled, Lost> {
        let mut polled = Polled { reports: Vec::new(), complete: true };
        let since = i64::try_from(since_ms).ok().and_then(DateTime::from_timestamp_millis);
        let since = since.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
        let page = PAGE.to_string();
        for status in ["TRIGGERED", "ASSIGNED"] {
            let mut cursor: Option<String> = None;
            for asked in 1.. {
                let mut query = vec![("status", status), ("per_page", &page)];
                query.extend(since.as_deref().filter(|_| since_ms > 0).map(|at| ("date_after", at)));
                query.extend(cursor.as_deref().map(|at| ("cursor", at)));
                let doing = "list incidents (scope incidents:read)";
                let request = self.caller.request(Method::GET, &["v1", "incidents", "secrets"], &query)?;
                let answer = self.caller.send(request, doing).await?;
                let Json::List(incidents) = self.caller.json(&answer, doing)? else {
                    return Err(self.caller.api.garbled(doing));
                };
                polled.reports.extend(incidents.iter().map(|incident| incident_report(source, incident)));
                let next = answer.next_page().and_then(|next| cursor_of(&next));
                if next.is_none() || next == cursor {
                    break;
                }
                if asked == MOST_PAGES {
                    polled.complete = false;
                    break;
                }
                cursor = next;
            }
        }
        Ok(polled)
    }

    /// The answer about one incident. Only ids as GitGuardian gives them: a reference comes from a journal.
    async fn look(&self, reference: &str) -> Result<Json, Lost> {
        let request = self.caller.request(Method::GET, &self.path(reference, None)?, &[])?;
        self.caller.read(request, "read an incident (scope incidents:read)").await
    }

    pub(super) async fn incident(&self, source: &str, reference: &str) -> Result<Report, Lost> {
        Ok(incident_report(source, &self.look(reference).await?))
    }

    pub(super) async fn resolve(&self, reference: &str, note: &str) -> Result<(), Lost> {
        let resolved = |incident: &Json| incident.text(&["status"]).is_some_and(|s| s.eq_ignore_ascii_case("resolved"));
        // What comes before the last call has not resolved anything; a note may stand there twice after a lost answer.
        if resolved(&self.look(reference).await.map_err(Lost::before_the_change)?) {
            return Ok(());
        }
        let doing = "add a note and resolve an incident (scope incidents:write)";
        let comment: String = note.chars().take(MOST_NOTE).collect();
        let request = self.caller.request(Method::POST, &self.path(reference, Some("notes"))?, &[])?;
        let request = request.json(&json!({"comment": comment}));
        self.caller.send(request, doing).await.map_err(Lost::before_the_change)?;
        let request = self.caller.request(Method::POST, &self.path(reference, Some("resolve"))?, &[])?;
        let answer = self.caller.api.send(request.json(&json!({"secret_revoked": true}))).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        let refused = self.caller.api.refused(&answer, doing);
        // A conflict: somebody may have been faster.
        if answer.status.as_u16() == 409 && resolved(&self.look(reference).await?) {
            return Ok(());
        }
        Err(refused)
    }

    fn path<'a>(&self, reference: &'a str, action: Option<&'a str>) -> Result<Vec<&'a str>, Lost> {
        let sound = (1..=20).contains(&reference.len()) && reference.bytes().all(|b| b.is_ascii_digit());
        if !sound {
            return Err(Lost::Before(self.caller.refusal("the reference is no id of an incident of GitGuardian")));
        }
        Ok(["v1", "incidents", "secrets", reference].into_iter().chain(action).collect())
    }
}

/// The cursor in the address of the next page. Nothing else of that address is used: it could lead elsewhere.
fn cursor_of(next: &reqwest::Url) -> Option<String> {
    next.query_pairs().find(|(key, _)| key == "cursor").map(|(_, value)| value.into_owned())
}
