//! The source `alertmanager`: the webhook of Prometheus Alertmanager, which shows a bearer token and signs nothing. The label or
//! annotation `handover_marks` says by which marks a version is known (docs/alerts.md); others are not looked at.

use async_trait::async_trait;
use handover_rotation::outcome::Fault;
use serde_json::{Value, json};

use super::json::Json;
use super::options::{Shared, schema, secret};
use super::verify::{self, digest_of, malformed, rfc3339, same_token, unauthentic};
use super::{Ability, Delivery, Received, Rejected, Report, Source};
use crate::config::fields::Fields;
use crate::marks::Mark;
use crate::secret::Secret;

/// The label or annotation with marks.
const MARKS: &str = "handover_marks";

/// Alertmanager.
pub struct Alertmanager {
    name: String,
    tokens: Vec<Secret>,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertmanagerOptions {
    token: Shared,
}

impl Alertmanager {
    /// Reads the options: `{token: SECRET, previous_token: SECRET}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<AlertmanagerOptions> {
        Some(AlertmanagerOptions { token: Shared::required(fields, "token")? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        schema(&["token"], json!({"token": secret(), "previous_token": secret()}))
    }

    /// The source of this name.
    ///
    /// # Errors
    /// A token cannot be read.
    pub fn open(name: &str, options: AlertmanagerOptions) -> Result<Self, Fault> {
        Ok(Self { name: name.to_owned(), tokens: options.token.read()? })
    }
}

pub(super) fn alert(source: &str, alert: &Json) -> Report {
    let name = alert.text(&["labels", "alertname"]).unwrap_or("an alert without a name");
    let mut report = Report::new(source, &format!("{name} {}", alert.text(&["fingerprint"]).unwrap_or("?")))
        .url(alert.text(&["generatorURL"]))
        .exposed(alert.text(&["startsAt"]).and_then(rfc3339));
    for place in ["labels", "annotations"] {
        let words = alert.text(&[place, MARKS]).unwrap_or_default();
        for word in words.split(|c: char| c.is_whitespace() || c == ',') {
            report = report.mark(Mark::parse(word));
        }
    }
    report.closing = alert.text(&["status"]) == Some("resolved");
    report
}

#[async_trait]
impl Source for Alertmanager {
    fn able(&self) -> Ability {
        Ability { receives: true, ..Ability::default() }
    }

    async fn receive(&self, delivery: &Delivery<'_>) -> Result<Received, Rejected> {
        verify::outside(delivery, &["application/json"])?;
        let header = delivery.header("authorization").ok_or_else(|| unauthentic("the header authorization is missing"))?;
        let (word, token) = header.split_once(' ').unwrap_or((header, ""));
        if !word.eq_ignore_ascii_case("bearer") || !same_token(&self.tokens, token.trim()) {
            return Err(unauthentic("the token does not fit"));
        }
        let body = verify::json(delivery)?;
        let Some(Json::List(alerts)) = body.get("alerts") else {
            return Err(malformed("the body is not of Alertmanager's webhook: it has no list `alerts`"));
        };
        let cut = body.number(&["truncatedAlerts"]).filter(|n| *n > 0);
        let note =
            cut.map(|n| format!("Alertmanager left out {n} alerts of a delivery: set `max_alerts: 0` of this receiver"));
        let reports = alerts.iter().map(|one| alert(&self.name, one)).collect();
        Ok(Received { digest: digest_of(&self.name, &[delivery.body]), stale_ms: None, reports, confirm: None, note })
    }
}

#[cfg(test)]
mod tests {
    use super::super::verify::tests::deliver;
    use super::*;

    fn receive(authorization: Option<&str>, body: &str) -> Result<Received, u16> {
        let source = Alertmanager { name: "am".to_owned(), tokens: vec![Secret::new("the-token".to_owned())] };
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(authorization.map(|value| ("authorization", value)));
        let taken = deliver(&headers, body.as_bytes(), 0, |d| futures::executor::block_on(source.receive(&d)));
        taken.map_err(|rejected| rejected.status)
    }

    const GOOD: Option<&str> = Some("Bearer the-token");

    #[test]
    fn only_the_bearer_of_the_token_is_heard() {
        let body = "{\"version\": \"4\", \"alerts\": []}";
        for (header, status) in [
            (GOOD, None),
            (Some("bearer the-token"), None),
            (None, Some(401)),
            (Some(""), Some(401)),
            (Some("Bearer"), Some(401)),
            (Some("Bearer "), Some(401)),
            (Some("Bearer the-toke"), Some(401)),
            (Some("Bearer the-token2"), Some(401)),
            (Some("Basic dGhlLXRva2Vu"), Some(401)),
            (Some("the-token"), Some(401)),
        ] {
            assert_eq!(receive(header, body).err(), status, "{header:?}");
        }
        for body in ["{}", "[]", "{\"alerts\": {}}", "{\"alerts\": [}"] {
            assert_eq!(receive(GOOD, body).err(), Some(400), "{body}");
        }
    }

    #[test]
    fn each_alert_is_a_report_with_the_marks_that_are_meant_for_us() {
        let hash = format!("sha1:{}", "cd".repeat(20));
        let body = format!(
            r#"{{"version": "4", "groupKey": "x", "truncatedAlerts": 3, "status": "firing", "alerts": [
            {{"status": "firing", "labels": {{"alertname": "Leak", "handover_marks": "key-id:AKIAIOSFODNN7EXAMPLE"}},
             "annotations": {{"handover_marks": "{hash} nonsense key-id:AKIAIOSFODNN7EXAMPLE"}},
             "startsAt": "2018-08-03T09:52:26.739Z", "generatorURL": "http://prometheus/graph?g0.expr=x", "fingerprint": "f1"}},
            {{"status": "resolved", "labels": {{"alertname": "Leak", "instance": "{hash}"}}, "fingerprint": "f2"}},
            7]}}"#
        );
        let taken = receive(GOOD, &body).expect("taken");
        let [first, second, third] = taken.reports.as_slice() else { panic!("three") };
        assert_eq!((first.marks.len(), first.closing), (2, false));
        assert_eq!((&*first.reference, first.url.as_deref()), ("Leak f1", Some("http://prometheus/graph")));
        assert_eq!((second.marks.len(), second.closing), (0, true));
        assert!(third.marks.is_empty());
        assert!(taken.note.is_some_and(|note| note.contains('3')));
    }
}
