//! The source `pagerduty`: version 3 of PagerDuty's webhooks. PagerDuty knows no secrets: the incident's key says by which marks a
//! version is known, if it begins with `handover` (docs/alerts.md). Titles are not looked at: many may write them.

use async_trait::async_trait;
use aws_lc_rs::hmac;
use handover_rotation::outcome::Fault;
use serde_json::{Value, json};

use super::json::Json;
use super::options::{Shared, schema, secret};
use super::verify::{self, digest_of, hex_after, key, malformed, rfc3339, unauthentic};
use super::{Ability, Delivery, Received, Rejected, Report, Source};
use crate::config::fields::Fields;
use crate::marks::Mark;

/// PagerDuty.
pub struct PagerDuty {
    name: String,
    keys: Vec<hmac::Key>,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagerDutyOptions {
    secret: Shared,
}

impl PagerDuty {
    /// Reads the options: `{secret: SECRET, previous_secret: SECRET}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<PagerDutyOptions> {
        Some(PagerDutyOptions { secret: Shared::required(fields, "secret")? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        schema(&["secret"], json!({"secret": secret(), "previous_secret": secret()}))
    }

    /// The source of this name.
    ///
    /// # Errors
    /// A secret cannot be read.
    pub fn open(name: &str, options: PagerDutyOptions) -> Result<Self, Fault> {
        Ok(Self { name: name.to_owned(), keys: options.secret.read()?.iter().map(key).collect() })
    }
}

/// The marks in a text that begins with `handover`: words between blanks and commas.
pub(super) fn marks_of(text: &str) -> Option<Vec<Mark>> {
    let rest = text.strip_prefix("handover")?;
    let words = rest.split(|c: char| c.is_whitespace() || c == ',').map(|word| word.trim_start_matches('/'));
    Some(words.filter_map(Mark::parse).collect())
}

pub(super) fn event(source: &str, body: &Json) -> Option<Report> {
    let closing = match body.text(&["event", "event_type"])? {
        "incident.triggered" | "incident.reopened" => false,
        "incident.resolved" => true,
        _ => return None,
    };
    let incident = body.at(&["event", "data"])?;
    // An incident that is not for us is none of ours: PagerDuty carries those of everything.
    let marks = marks_of(incident.text(&["incident_key"])?)?;
    let id = incident.text(&["id"]).unwrap_or("an incident without an id");
    let mut report =
        Report::new(source, id).url(incident.text(&["html_url"])).exposed(incident.text(&["created_at"]).and_then(rfc3339));
    for mark in marks {
        report = report.mark(Some(mark));
    }
    report.closing = closing;
    Some(report)
}

#[async_trait]
impl Source for PagerDuty {
    fn able(&self) -> Ability {
        Ability { receives: true, ..Ability::default() }
    }

    async fn receive(&self, delivery: &Delivery<'_>) -> Result<Received, Rejected> {
        verify::outside(delivery, &["application/json"])?;
        let header = delivery
            .header("x-pagerduty-signature")
            .ok_or_else(|| unauthentic("the header x-pagerduty-signature is missing"))?;
        // Several, while a secret is being replaced there.
        let given: Vec<Vec<u8>> = header.split(',').filter_map(|one| hex_after("v1=", one)).collect();
        if !verify::signed(&self.keys, &[delivery.body], &given) {
            return Err(unauthentic("no signature fits"));
        }
        let body = verify::json(delivery)?;
        if body.get("event").is_none() {
            return Err(malformed("the body is not of version 3 of PagerDuty's webhooks: it has no `event`"));
        }
        let reports = event(&self.name, &body).into_iter().collect();
        Ok(Received { digest: digest_of(&self.name, &[delivery.body]), stale_ms: None, reports, confirm: None, note: None })
    }
}

#[cfg(test)]
mod tests {
    use super::super::verify::tests::deliver;
    use super::*;
    use crate::secret::Secret;

    fn source(secrets: &[&str]) -> PagerDuty {
        let keys = secrets.iter().map(|s| key(&Secret::new((*s).to_owned()))).collect();
        PagerDuty { name: "pd".to_owned(), keys }
    }

    fn body(kind: &str, incident_key: &str) -> String {
        format!(
            r#"{{"event": {{"id": "01BEXAMPLE", "event_type": "{kind}", "resource_type": "incident",
            "occurred_at": "2020-10-02T18:45:22.169Z", "data": {{"id": "PGR0VU2", "type": "incident",
            "html_url": "https://acme.pagerduty.com/incidents/PGR0VU2", "number": 2, "status": "triggered",
            "incident_key": "{incident_key}", "created_at": "2020-04-09T15:16:27Z",
            "title": "key-id:AKIAIOSFODNN7EXAMPLE leaked, says somebody"}}}}}}"#
        )
    }

    fn sign(secret: &str, body: &str) -> String {
        format!("v1={}", hex::encode(hmac::sign(&key(&Secret::new(secret.to_owned())), body.as_bytes())))
    }

    fn receive(source: &PagerDuty, signature: &str, body: &str) -> Result<Received, u16> {
        let headers = [("content-type", "application/json"), ("x-pagerduty-signature", signature)];
        let taken = deliver(&headers, body.as_bytes(), 0, |d| futures::executor::block_on(source.receive(&d)));
        taken.map_err(|rejected| rejected.status)
    }

    #[test]
    fn any_of_several_signatures_passes_and_a_foreign_one_does_not() {
        let source = source(&["one", "two"]);
        let text = body("incident.triggered", "handover/key-id:AKIAIOSFODNN7EXAMPLE");
        let (one, two, three) = (sign("one", &text), sign("two", &text), sign("three", &text));
        for (header, good) in [
            (one.clone(), true),
            (two.clone(), true),
            (format!("{three},{one}"), true),
            (format!("{three}, {two}"), true),
            (three.clone(), false),
            (one.to_uppercase(), false),
            (one[3..].to_owned(), false),
            (one[..40].to_owned(), false),
            (String::new(), false),
            (one.replace("v1=", "v2="), false),
        ] {
            assert_eq!(receive(&source, &header, &text).err(), (!good).then_some(401), "{header}");
        }
        assert_eq!(receive(&source, &one, &text.replace("PGR0VU2", "PGR0VU3")).err(), Some(401));
        let other = "{\"messages\": []}";
        assert_eq!(receive(&source, &sign("one", other), other).err(), Some(400));
    }

    #[test]
    fn only_an_incident_key_of_ours_names_marks() {
        let source = source(&["one"]);
        let hash = format!("sha256:{}", "ab".repeat(32));
        for (kind, incident_key, reports, marks, closing) in [
            ("incident.triggered", format!("handover key-id:AKIAIOSFODNN7EXAMPLE,{hash}"), 1, 2, false),
            ("incident.reopened", format!("handover/{hash}"), 1, 1, false),
            ("incident.resolved", format!("handover/{hash}"), 1, 1, true),
            ("incident.triggered", "handover".to_owned(), 1, 0, false),
            ("incident.triggered", hash.clone(), 0, 0, false),
            ("incident.triggered", String::new(), 0, 0, false),
            ("incident.acknowledged", format!("handover/{hash}"), 0, 0, false),
            ("pagey.ping", format!("handover/{hash}"), 0, 0, false),
        ] {
            let text = body(kind, &incident_key);
            let taken = receive(&source, &sign("one", &text), &text).expect("taken");
            let found: usize = taken.reports.iter().map(|r| r.marks.len()).sum();
            assert_eq!((taken.reports.len(), found), (reports, marks), "{kind} {incident_key}");
            assert!(taken.reports.iter().all(|r| r.closing == closing && r.reference == "PGR0VU2"));
        }
    }
}
