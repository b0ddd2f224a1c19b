//! The source `github`: the webhook of GitHub secret scanning, and its API to ask for alerts and to resolve them.
//!
//! GitHub sends no failed delivery again by itself, so that the API is to be polled besides. A delivery does not tell the secret:
//! it is asked for at the API, which does.

mod api;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use handover_rotation::outcome::{Fault, Outcome};
use serde_json::{Value, json};

use self::api::Place;
use super::json::Json;
use super::options::{Access, Shared, neither, no_api, one_of, secret};
use super::verify::{self, digest_of, hex_after, key, rfc3339, unauthentic};
use super::{Ability, Delivery, Polled, Received, Rejected, Report, Source};
use crate::config::fields::Fields;

/// GitHub, or a GitHub Enterprise Server.
pub struct GitHub {
    name: String,
    keys: Vec<hmac::Key>,
    api: Option<api::Api>,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitHubOptions {
    secret: Option<Shared>,
    api: Option<(Access, Vec<Place>)>,
}

impl GitHub {
    /// Reads the options: `{secret: SECRET, previous_secret: SECRET, api: {key: SECRET, organization: NAME, repositories: [OWNER/NAME],
    /// address: URL, ca_file: PATH, every: 5m}}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<GitHubOptions> {
        let secret = Shared::optional(fields, "secret");
        let api = fields.optional_map("api", |fields| {
            let access = Access::read(fields, "https://api.github.com");
            let places = Place::options(fields);
            Some((access?, places?))
        });
        neither(fields, "secret", "api");
        Some(GitHubOptions { secret, api })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        let more = json!({
            "organization": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,100}$"},
            "repositories": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}$"},
            },
        });
        let mut api = Access::schema(more);
        api["anyOf"] = json!([{"required": ["organization"]}, {"required": ["repositories"]}]);
        one_of("anyOf", &["secret", "api"], json!({"secret": secret(), "previous_secret": secret(), "api": api}))
    }

    /// The source of this name. It contacts nothing.
    ///
    /// # Errors
    /// A secret cannot be read, or an address not be used.
    pub fn open(name: &str, options: GitHubOptions) -> Result<Self, Fault> {
        Ok(Self {
            name: name.to_owned(),
            keys: options.secret.map_or(Ok(Vec::new()), |secret| secret.read())?.iter().map(key).collect(),
            api: options.api.map(|(access, places)| api::Api::open(&access, places)).transpose()?,
        })
    }
}

/// The report of a body of the webhook; `None` if it tells of no leaked secret.
pub(super) fn event(source: &str, body: &Json) -> Option<Report> {
    let closing = match body.text(&["action"])? {
        "created" | "reopened" | "publicly_leaked" => false,
        "resolved" | "revoked" => true,
        _ => return None,
    };
    let mut report = alert_report(source, body.get("alert")?, body.text(&["repository", "full_name"]));
    report.closing = closing;
    Some(report)
}

/// The report of an alert as the webhook and the API describe it. `repository` is the one that it is asked of; a list of an
/// organization names it beside each alert.
pub(super) fn alert_report(source: &str, alert: &Json, repository: Option<&str>) -> Report {
    let repository = alert.text(&["repository", "full_name"]).or(repository).unwrap_or("unknown/unknown");
    let number = alert.number(&["number"]).map_or_else(|| "?".to_owned(), |n| n.to_string());
    let value = alert.text(&["secret"]);
    let mut report = Report::new(source, &format!("{repository}#{number}"))
        .url(alert.text(&["html_url"]))
        .exposed(alert.text(&["created_at"]).and_then(rfc3339))
        .found(&Vec::from_iter(value));
    report.closing = alert.text(&["state"]) == Some("resolved");
    report.look = value.is_none();
    report
}

#[async_trait]
impl Source for GitHub {
    fn able(&self) -> Ability {
        let polls_every = self.api.as_ref().map(|api| api.every);
        Ability { receives: !self.keys.is_empty(), polls_every, closes: self.api.is_some(), knows: false }
    }

    async fn receive(&self, delivery: &Delivery<'_>) -> Result<Received, Rejected> {
        verify::outside(delivery, &["application/json"])?;
        let signature = delivery
            .header("x-hub-signature-256")
            .ok_or_else(|| unauthentic("the header x-hub-signature-256 is missing"))?;
        let given: Vec<Vec<u8>> = hex_after("sha256=", signature).into_iter().collect();
        if !verify::signed(&self.keys, &[delivery.body], &given) {
            return Err(unauthentic("the signature does not fit"));
        }
        let body = verify::json(delivery)?;
        // The headers are not signed, X-GitHub-Delivery neither: a replay is known by its body, and so is what it tells of.
        let secret = body.at(&["alert", "secret_type"]).is_some();
        let mut reports: Vec<Report> = event(&self.name, &body).filter(|_| secret).into_iter().collect();
        for report in &mut reports {
            report.look &= self.api.is_some();
        }
        let digest = digest_of(&self.name, &[delivery.body]);
        Ok(Received { digest, stale_ms: None, reports, confirm: None, note: None })
    }

    async fn poll(&self, since_ms: u64) -> Outcome<Polled> {
        match &self.api {
            Some(api) => crate::web::outcome(api.open_alerts(&self.name, since_ms).await),
            None => no_api(),
        }
    }

    async fn look(&self, reference: &str) -> Outcome<Report> {
        match &self.api {
            Some(api) => crate::web::outcome(api.alert(&self.name, reference).await),
            None => no_api(),
        }
    }

    async fn close(&self, reference: &str, note: &str) -> Outcome<()> {
        match &self.api {
            Some(api) => crate::web::outcome(api.resolve(reference, note).await),
            None => no_api(),
        }
    }
}
