//! CloudTrail's event history, from AWS's model of the service (cloudtrail 2013-11-01): one attribute a call, 50 events a page, two
//! requests a second, and a token that goes with the same question only. Signatures are looked at for their form.

use std::time::Instant;

use serde_json::{Value, json};

use super::{Asked, FULL_KEY, Reply, Vendor};
use crate::conformance::usage::MARK;

const PAGE: usize = 50;
const KNOWN: [&str; 5] = ["LookupAttributes", "StartTime", "EndTime", "MaxResults", "NextToken"];

#[derive(Default)]
pub(crate) struct Trail {
    events: Vec<Event>,
    asked: Vec<Instant>,
    pub(crate) throttled: usize,
}

struct Event {
    key: String,
    name: String,
    at_ms: u64,
    address: String,
}

impl Trail {
    pub(crate) fn called(&mut self, key: &str, name: &str, at_ms: u64, address: &str) {
        self.events.push(Event { key: key.to_owned(), name: name.to_owned(), at_ms, address: address.to_owned() });
    }

    pub(crate) fn requests(&self) -> usize {
        self.asked.len()
    }

    fn look_up(&self, body: &Value) -> Option<Reply> {
        let map = body.as_object()?;
        if !map.keys().all(|key| KNOWN.contains(&key.as_str())) || body["MaxResults"].as_u64()? > 50 {
            return None;
        }
        let [attribute] = body["LookupAttributes"].as_array()?.as_slice() else { return None };
        if attribute["AttributeKey"] != "AccessKeyId" {
            return None;
        }
        let key = attribute["AttributeValue"].as_str()?;
        let (from, to) = (body["StartTime"].as_u64()? * 1000, body["EndTime"].as_u64()? * 1000);
        let fits = |event: &&Event| event.key == key && (from..=to).contains(&event.at_ms);
        let mut found: Vec<&Event> = self.events.iter().filter(fits).collect();
        found.sort_by_key(|event| std::cmp::Reverse(event.at_ms));
        let question = format!("{key}.{from}.{to}.");
        let skip = match body["NextToken"].as_str() {
            None => 0,
            // It goes with the same question only.
            Some(token) => token.strip_prefix(&question)?.parse::<usize>().ok()?,
        };
        let page: Vec<Value> = found.iter().skip(skip).take(PAGE).map(|event| told(event)).collect();
        let mut answer = json!({"Events": page});
        if found.len() > skip + PAGE {
            answer["NextToken"] = format!("{question}{}", skip + PAGE).into();
        }
        Some(Reply(200, answer))
    }
}

fn told(event: &Event) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "it is what AWS gives")]
    let time = event.at_ms as f64 / 1000.0;
    let inside = json!({
        "eventVersion": "1.08", "userIdentity": {"accessKeyId": event.key}, "eventName": event.name, "sourceIPAddress": event.address,
        "userAgent": MARK, "requestParameters": {"name": MARK},
    });
    json!({
        "EventId": MARK, "EventName": event.name, "ReadOnly": "true", "AccessKeyId": event.key, "EventTime": time,
        "EventSource": "ses.amazonaws.com", "Username": "smtp-newsletter", "Resources": [], "CloudTrailEvent": inside.to_string(),
    })
}

impl Vendor for Trail {
    fn answer(&mut self, asked: &Asked) -> Reply {
        let refusal = |code: &str| Reply(400, json!({"__type": code, "message": MARK}));
        let target = asked.header("x-amz-target");
        if target != Some("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents")
            || asked.header("content-type") != Some("application/x-amz-json-1.1")
        {
            return refusal("UnknownOperationException");
        }
        let signed = asked.header("authorization").unwrap_or_default();
        if !signed.starts_with("AWS4-HMAC-SHA256 Credential=") || !signed.contains("/eu-central-1/cloudtrail/aws4_request") {
            return refusal("IncompleteSignatureException");
        }
        if !signed.contains(&format!("Credential={FULL_KEY}/")) {
            return refusal("AccessDeniedException");
        }
        let now = Instant::now();
        self.asked.push(now);
        // Two a second. A little less is let pass, as it leaves the other side at its pace and arrives here as it will.
        let recent = self.asked.iter().filter(|at| now.duration_since(**at).as_millis() < 900).count();
        if recent > 2 {
            self.throttled += 1;
            return refusal("ThrottlingException");
        }
        let body = serde_json::from_slice::<Value>(&asked.body).unwrap_or_default();
        self.look_up(&body).unwrap_or_else(|| refusal("InvalidLookupAttributesException"))
    }

    fn foreign(&mut self, _name: &str) -> (String, String) {
        unreachable!("it issues nothing")
    }

    fn accepts(&self, _username: &str, _password: &str) -> bool {
        unreachable!("it issues nothing")
    }
}
