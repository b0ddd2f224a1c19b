//! The source `gitguardian`: the custom webhook of GitGuardian, and its API to ask for incidents and to resolve them.
//!
//! GitGuardian sends each event once and never again, so that the API is to be polled besides. It tells no secret but its
//! HMSL hash.

mod api;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use handover_rotation::outcome::{Fault, Outcome};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::json::Json;
use super::options::{Access, Shared, neither, no_api, one_of, secret};
use super::verify::{self, digest_of, fresh, hex_after, rfc3339, stale, unauthentic, unix_seconds};
use super::{Ability, Delivery, Polled, Received, Rejected, Report, Source};
use crate::config::fields::Fields;
use crate::marks::Mark;
use crate::secret::Secret;

/// GitGuardian.
pub struct GitGuardian {
    name: String,
    tokens: Vec<Secret>,
    api: Option<api::Api>,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitGuardianOptions {
    secret: Option<Shared>,
    api: Option<Access>,
}

impl GitGuardian {
    /// Reads the options: `{secret: SECRET, previous_secret: SECRET, api: {key: SECRET, address: URL, ca_file: PATH, every: 5m}}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<GitGuardianOptions> {
        let secret = Shared::optional(fields, "secret");
        let api = fields.optional_map("api", |fields| Access::read(fields, "https://api.gitguardian.com"));
        neither(fields, "secret", "api");
        Some(GitGuardianOptions { secret, api })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        one_of(
            "anyOf",
            &["secret", "api"],
            json!({"secret": secret(), "previous_secret": secret(), "api": Access::schema(json!({}))}),
        )
    }

    /// The source of this name. It contacts nothing.
    ///
    /// # Errors
    /// A secret cannot be read, or an address not be used.
    pub fn open(name: &str, options: GitGuardianOptions) -> Result<Self, Fault> {
        Ok(Self {
            name: name.to_owned(),
            tokens: options.secret.map_or(Ok(Vec::new()), |secret| secret.read())?,
            api: options.api.map(|access| api::Api::open(&access)).transpose()?,
        })
    }

    /// Proves authenticity: the key of the HMAC is the header `Timestamp` with the token behind it.
    fn authentic(&self, delivery: &Delivery<'_>) -> Result<(u64, [u8; 32]), Rejected> {
        let missing = || unauthentic("one of the headers gitguardian-signature and timestamp is missing");
        let signature = delivery.header("gitguardian-signature").ok_or_else(missing)?;
        let time = delivery.header("timestamp").ok_or_else(missing)?;
        // Before it becomes a part of the key: what is no time could take over a part of the token.
        let signed_ms = signed_time(time).ok_or_else(|| unauthentic("the header timestamp is no time"))?;
        let keys: Vec<hmac::Key> = self
            .tokens
            .iter()
            .map(|token| {
                let key = Zeroizing::new([time.as_bytes(), token.expose().as_bytes()].concat());
                hmac::Key::new(hmac::HMAC_SHA256, &key)
            })
            .collect();
        let given: Vec<Vec<u8>> = hex_after("sha256=", signature).into_iter().collect();
        if !verify::signed(&keys, &[delivery.body], &given) {
            return Err(unauthentic("the signature does not fit"));
        }
        fresh(signed_ms, delivery.now_ms)?;
        Ok((signed_ms, digest_of(&self.name, &[time.as_bytes(), delivery.body])))
    }
}

/// The header `Timestamp`: seconds, with a fraction or without, milliseconds, or RFC 3339. Which of them is not documented.
fn signed_time(text: &str) -> Option<u64> {
    if let Some((whole, fraction)) = text.split_once('.')
        && (1..=9).contains(&fraction.len())
        && fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return unix_seconds(whole);
    }
    if text.len() == 13 && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0') {
        return text.parse().ok();
    }
    unix_seconds(text).or_else(|| rfc3339(text))
}

/// What an event says about its incident, by its action; `None` if nothing that concerns us.
fn meaning(action: &str) -> Option<bool> {
    match action {
        "incident_triggered"
        | "incident_reopened"
        | "incident_regression"
        | "incident_validity_changed"
        | "incident_shared_publicly"
        | "new_occurrence" => Some(false),
        "incident_resolved" | "incident_ignored" => Some(true),
        _ => None,
    }
}

/// The report of a body of the webhook; `None` if it tells of no leak. The test message has another shape, and is none.
pub(super) fn event(source: &str, body: &Json) -> Option<Report> {
    let closing = meaning(body.text(&["action"])?)?;
    let incident = body.get("incident")?;
    let mut report = incident_report(source, incident);
    report.closing = closing;
    Some(report)
}

/// The report of an incident as the webhook and the API describe it.
pub(super) fn incident_report(source: &str, incident: &Json) -> Report {
    let id = incident.id(&["id"]).unwrap_or_else(|| "an incident without an id".to_owned());
    let mut report = Report::new(source, &id)
        .url(incident.text(&["gitguardian_url"]))
        .exposed(incident.text(&["date"]).and_then(rfc3339))
        .mark(incident.text(&["hmsl_hash"]).and_then(Mark::hmsl));
    let status = incident.text(&["status"]).unwrap_or_default();
    report.closing = ["resolved", "ignored"].iter().any(|closed| status.eq_ignore_ascii_case(closed));
    report
}

#[async_trait]
impl Source for GitGuardian {
    fn able(&self) -> Ability {
        let polls_every = self.api.as_ref().map(|api| api.every);
        Ability { receives: !self.tokens.is_empty(), polls_every, closes: self.api.is_some(), knows: false }
    }

    async fn receive(&self, delivery: &Delivery<'_>) -> Result<Received, Rejected> {
        verify::outside(delivery, &["application/json"])?;
        let (signed_ms, digest) = self.authentic(delivery)?;
        let body = verify::json(delivery)?;
        let reports = event(&self.name, &body).into_iter().collect();
        Ok(Received { digest, stale_ms: stale(signed_ms), reports, confirm: None, note: None })
    }

    async fn poll(&self, since_ms: u64) -> Outcome<Polled> {
        match &self.api {
            Some(api) => crate::web::outcome(api.open_incidents(&self.name, since_ms).await),
            None => no_api(),
        }
    }

    async fn look(&self, reference: &str) -> Outcome<Report> {
        match &self.api {
            Some(api) => crate::web::outcome(api.incident(&self.name, reference).await),
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
