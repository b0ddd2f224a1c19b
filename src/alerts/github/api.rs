//! GitHub's REST API: open secret scanning alerts of an organization or of repositories page by page, one by its number, and
//! resolving one as revoked.

use handover_rotation::outcome::Fault;
use handover_rotation::time::Span;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::super::json::Json;
use super::super::options::{Access, Caller};
use super::super::verify::rfc3339;
use super::super::{Polled, Report};
use super::alert_report;
use crate::config::fields::Fields;
use crate::web::Lost;

/// How many alerts are asked for on a page: the most that the API gives.
const PAGE: usize = 100;

/// How many pages are asked for at once, for each place.
const MOST_PAGES: usize = 20;

/// The longest comment, in characters, as GitHub has it for its other alerts.
const MOST_COMMENT: usize = 280;

/// What is asked for alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Organization(String),
    Repository(Repository),
}

/// `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repository {
    owner: String,
    name: String,
}

impl Repository {
    fn parse(text: &str) -> Option<Self> {
        let (owner, name) = text.split_once('/')?;
        (is_name(owner) && is_name(name)).then(|| Self { owner: owner.to_owned(), name: name.to_owned() })
    }

    fn full(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

fn is_name(text: &str) -> bool {
    let sound = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    (1..=100).contains(&text.len()) && text.bytes().all(sound) && !matches!(text, "." | "..")
}

impl Place {
    /// Reads `organization` and `repositories`, of which one must be there.
    pub(super) fn options(fields: &mut Fields<'_>) -> Option<Vec<Self>> {
        let organization = fields.optional_str("organization");
        let repositories = fields.optional_list("repositories").unwrap_or_default();
        let mut places = Vec::new();
        if let Some(name) = organization {
            match is_name(&name) {
                true => places.push(Self::Organization(name)),
                false => fields.problem("HO1130", "organization", "this is no name of an organization", "as in its address"),
            }
        }
        for text in &repositories {
            match Repository::parse(text) {
                Some(repository) => places.push(Self::Repository(repository)),
                None => {
                    let what = format!("`{text}` is no name of a repository");
                    fields.problem("HO1130", "repositories", what, "write it `owner/name`");
                }
            }
        }
        if !fields.has("organization") && !fields.has("repositories") {
            let what = format!("{} names nothing to ask for alerts", fields.what());
            fields.problem("HO1130", "organization", what, "add `organization: NAME` or `repositories: [OWNER/NAME]`");
        }
        (!places.is_empty()).then_some(places)
    }
}

pub(super) struct Api {
    caller: Caller,
    places: Vec<Place>,
    pub(super) every: Span,
}

impl Api {
    pub(super) fn open(access: &Access, places: Vec<Place>) -> Result<Self, Fault> {
        Ok(Self { caller: access.open("GitHub", "Bearer")?, places, every: access.every })
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<RequestBuilder, Lost> {
        let request = self.caller.request(method, path, query)?;
        Ok(request.header("accept", "application/vnd.github+json").header("x-github-api-version", "2022-11-28"))
    }

    pub(super) async fn open_alerts(&self, source: &str, since_ms: u64) -> Result<Polled, Lost> {
        let mut polled = Polled { reports: Vec::new(), complete: true };
        for place in &self.places {
            polled.complete &= self.open_alerts_of(place, source, since_ms, &mut polled.reports).await?;
        }
        Ok(polled)
    }

    /// Whether these are all that have changed since then. The newest come first.
    async fn open_alerts_of(
        &self,
        place: &Place,
        source: &str,
        since_ms: u64,
        reports: &mut Vec<Report>,
    ) -> Result<bool, Lost> {
        let (path, repository): (Vec<&str>, Option<String>) = match place {
            Place::Organization(name) => (vec!["orgs", name, "secret-scanning", "alerts"], None),
            Place::Repository(r) => (vec!["repos", &r.owner, &r.name, "secret-scanning", "alerts"], Some(r.full())),
        };
        let doing = "list secret scanning alerts (permission secret_scanning_alerts: read)";
        for page in 1..=MOST_PAGES {
            let (page, size) = (page.to_string(), PAGE.to_string());
            let query =
                [("state", "open"), ("sort", "updated"), ("direction", "desc"), ("per_page", &*size), ("page", &*page)];
            let Json::List(alerts) = self.caller.read(self.request(Method::GET, &path, &query)?, doing).await? else {
                return Err(self.caller.api.garbled(doing));
            };
            for alert in &alerts {
                let changed = ["updated_at", "created_at"].iter().find_map(|key| alert.text(&[key])).and_then(rfc3339);
                if changed.is_some_and(|at| at < since_ms) {
                    return Ok(true);
                }
                reports.push(alert_report(source, alert, repository.as_deref()));
            }
            if alerts.len() < PAGE {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn look(&self, repository: &Repository, number: &str) -> Result<Json, Lost> {
        let path = ["repos", &repository.owner, &repository.name, "secret-scanning", "alerts", number];
        self.caller
            .read(
                self.request(Method::GET, &path, &[])?,
                "read a secret scanning alert (permission secret_scanning_alerts: read)",
            )
            .await
    }

    pub(super) async fn alert(&self, source: &str, reference: &str) -> Result<Report, Lost> {
        let (repository, number) = self.place(reference)?;
        Ok(alert_report(source, &self.look(&repository, number).await?, Some(&repository.full())))
    }

    pub(super) async fn resolve(&self, reference: &str, note: &str) -> Result<(), Lost> {
        let (repository, number) = self.place(reference)?;
        // Resolving one that is resolved is refused with 400, and its comment can be written once only.
        let alert = self.look(&repository, number).await.map_err(Lost::before_the_change)?;
        if alert.text(&["state"]) == Some("resolved") {
            return Ok(());
        }
        let path = ["repos", &repository.owner, &repository.name, "secret-scanning", "alerts", number];
        let comment: String = note.chars().take(MOST_COMMENT).collect();
        let body = json!({"state": "resolved", "resolution": "revoked", "resolution_comment": comment});
        let doing = "resolve a secret scanning alert (permission secret_scanning_alerts: write)";
        self.caller.send(self.request(Method::PATCH, &path, &[])?.json(&body), doing).await.map(drop)
    }

    /// The repository and number of a reference. It comes from a journal, and must lead to no other path.
    fn place<'a>(&self, reference: &'a str) -> Result<(Repository, &'a str), Lost> {
        let place = reference.split_once('#').and_then(|(repository, number)| {
            let sound = (1..=12).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
            Some((Repository::parse(repository)?, sound.then_some(number)?))
        });
        place.ok_or_else(|| Lost::Before(self.caller.refusal("the reference is no alert of GitHub: OWNER/NAME#NUMBER")))
    }
}
