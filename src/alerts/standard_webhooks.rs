//! The source `standard-webhooks`: our own form, for senders that can be told what to send. Signed as the specification of Standard
//! Webhooks says, with a body whose every key is known: what is mistyped is refused, not lost. The form is in docs/alerts.md.

use async_trait::async_trait;
use handover_rotation::outcome::Fault;
use serde_json::{Value, json};

use super::candidates::candidates;
use super::json::Json;
use super::options::{Shared, schema, secret};
use super::standard::Keys;
use super::verify::{self, malformed, rfc3339};
use super::{Ability, Delivery, Received, Rejected, Report, Source};
use crate::config::fields::Fields;
use crate::marks::Mark;

/// The most marks and the most secrets of one delivery.
const MOST: usize = 16;

/// Our own form.
pub struct StandardWebhooks {
    name: String,
    keys: Keys,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandardWebhooksOptions {
    secret: Shared,
}

impl StandardWebhooks {
    /// Reads the options: `{secret: SECRET, previous_secret: SECRET}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<StandardWebhooksOptions> {
        Some(StandardWebhooksOptions { secret: Shared::required(fields, "secret")? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        schema(&["secret"], json!({"secret": secret(), "previous_secret": secret()}))
    }

    /// The source of this name.
    ///
    /// # Errors
    /// A secret cannot be read, or is not of its form.
    pub fn open(name: &str, options: StandardWebhooksOptions) -> Result<Self, Fault> {
        Ok(Self { name: name.to_owned(), keys: Keys::new(&options.secret.read()?)? })
    }
}

/// The report of a body.
pub(super) fn event(source: &str, body: &Json) -> Result<Report, String> {
    only(body, "the body", &["type", "timestamp", "data"])?;
    let kind = body.text(&["type"]).unwrap_or_default();
    let (closing, suspected) = match kind {
        "leak.detected" => (false, false),
        "leak.suspected" => (false, true),
        "leak.closed" => (true, false),
        _ => return Err("`type` is none of leak.detected, leak.suspected and leak.closed".to_owned()),
    };
    let data = body.get("data").ok_or("`data` is missing")?;
    only(data, "`data`", &["reference", "url", "exposed_at", "marks", "secrets"])?;
    let reference = data.text(&["reference"]).filter(|r| !r.trim().is_empty()).ok_or("`data` lacks a text `reference`")?;
    let exposed_ms = match data.get("exposed_at") {
        None => None,
        Some(_) => Some(data.text(&["exposed_at"]).and_then(rfc3339).ok_or("`exposed_at` is no time of RFC 3339")?),
    };
    let mut report = Report::new(source, reference).exposed(exposed_ms).url(data.text(&["url"]));
    for word in list(data, "marks")? {
        let mark = Mark::parse(word).ok_or("`marks` has what is no mark: key-id:…, hmsl:…, sha256:… or sha1:…")?;
        report = report.mark(Some(mark));
    }
    let mut raw = Vec::new();
    for value in list(data, "secrets")? {
        raw.extend(candidates(value));
    }
    report = report.raw(raw);
    if report.marks.is_empty() && report.raw.is_empty() {
        return Err("`data` has neither `marks` nor `secrets`: it could be about anything".to_owned());
    }
    (report.closing, report.suspected) = (closing, suspected);
    Ok(report)
}

/// Refuses keys that are not known. The key itself is not told: it is the sender's.
fn only(map: &Json, what: &str, known: &[&str]) -> Result<(), String> {
    if !matches!(map, Json::Map(_)) {
        return Err(format!("{what} is no map"));
    }
    match map.pairs().iter().any(|(key, _)| !known.contains(&key.as_str())) {
        true => Err(format!("{what} has a key that is none of: {}", known.join(", "))),
        false => Ok(()),
    }
}

/// A list of texts, which may be missing.
fn list<'j>(data: &'j Json, key: &str) -> Result<Vec<&'j str>, String> {
    let wrong = || format!("`{key}` is no list of texts, {MOST} at most");
    let items = match data.get(key) {
        None => return Ok(Vec::new()),
        Some(Json::List(items)) if items.len() <= MOST => items,
        Some(_) => return Err(wrong()),
    };
    items.iter().map(|item| item.text(&[]).ok_or_else(wrong)).collect()
}

#[async_trait]
impl Source for StandardWebhooks {
    fn able(&self) -> Ability {
        Ability { receives: true, ..Ability::default() }
    }

    async fn receive(&self, delivery: &Delivery<'_>) -> Result<Received, Rejected> {
        verify::outside(delivery, &["application/json"])?;
        let authentic = self.keys.verify(&self.name, delivery)?;
        let report = event(&self.name, &verify::json(delivery)?).map_err(malformed)?;
        let (digest, stale_ms) = (authentic.digest, authentic.stale_ms);
        Ok(Received { digest, stale_ms, reports: vec![report], confirm: None, note: None })
    }
}

#[cfg(test)]
mod tests {
    use super::super::standard::tests::sign;
    use super::super::verify::tests::deliver;
    use super::*;
    use crate::secret::Secret;

    const NOW: u64 = 1_700_000_000_000;
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn receive(body: &str) -> Result<Received, Rejected> {
        let keys = Keys::new(&[Secret::new(KEY.to_owned())]).expect("keys");
        let source = StandardWebhooks { name: "mine".to_owned(), keys };
        let signed = sign(KEY, "msg_1", NOW, body.as_bytes());
        let mut headers: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.push(("content-type", "application/json"));
        deliver(&headers, body.as_bytes(), NOW, |d| futures::executor::block_on(source.receive(&d)))
    }

    #[test]
    fn the_documented_form_is_taken() {
        let docs = include_str!("../../docs/alerts.md");
        let example = docs.split("```json").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
        let taken = receive(example).expect("the documented example");
        let report = &taken.reports[0];
        assert!(!report.closing && !report.suspected && !report.marks.is_empty() && !report.raw.is_empty());
        assert!(report.url.is_some() && report.exposed_ms.is_some());
        let form =
            |kind: &str| format!(r#"{{"type": "{kind}", "data": {{"reference": "r", "secrets": ["hunter2hunter2"]}}}}"#);
        assert!(receive(&form("leak.closed")).expect("taken").reports[0].closing);
        assert!(receive(&form("leak.suspected")).expect("taken").reports[0].suspected);
    }

    #[test]
    fn what_is_not_of_the_form_is_refused_and_not_repeated() {
        let many =
            format!(r#"{{"type": "leak.detected", "data": {{"reference": "r", "marks": [{}"x"]}}}}"#, "\"x\",".repeat(16));
        for body in [
            "[]",
            "{}",
            r#"{"type": "leak.detected"}"#,
            r#"{"type": "hunter2", "data": {"reference": "r", "marks": ["key-id:a"]}}"#,
            r#"{"type": "leak.detected", "data": {"reference": "r"}}"#,
            r#"{"type": "leak.detected", "data": {"reference": "r", "marks": []}}"#,
            r#"{"type": "leak.detected", "data": {"reference": " ", "marks": ["key-id:a"]}}"#,
            r#"{"type": "leak.detected", "data": {"reference": "r", "marks": ["hunter2"]}}"#,
            r#"{"type": "leak.detected", "data": {"reference": "r", "marks": "key-id:a"}}"#,
            r#"{"type": "leak.detected", "data": {"reference": "r", "secrets": [{"hunter2": 1}]}}"#,
            r#"{"type": "leak.detected", "data": {"reference": "r", "secrets": ["hunter2hunter2"], "hunter2": 1}}"#,
            r#"{"type": "leak.detected", "data": {"reference": "r", "exposed_at": "hunter2", "marks": ["key-id:a"]}}"#,
            r#"{"type": "leak.detected", "hunter2": 1, "data": {"reference": "r", "marks": ["key-id:a"]}}"#,
            r#"{"type": "leak.detected", "type": "leak.closed", "data": {"reference": "r", "marks": ["key-id:a"]}}"#,
            &many,
        ] {
            let rejected = receive(body).err().unwrap_or_else(|| panic!("{body}"));
            assert_eq!((rejected.status, rejected.code), (400, "HO1112"), "{body}");
            assert!(!rejected.why.contains("hunter2"), "{}", rejected.why);
        }
    }
}
