//! The source `aws-sns`: AWS Health and GuardDuty through an SNS topic. The topic is pinned, signatures are of version 2, and the
//! certificate that proves them comes from the topic's own region of SNS and from nowhere else.

mod certificate;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use reqwest::Url;
use serde_json::{Value, json};

use self::certificate::Certificates;
pub use self::certificate::Fetch;
use super::json::Json;
use super::options::{open, schema};
use super::verify::{self, digest_of, fresh, malformed, rfc3339, stale, unauthentic};
use super::{Ability, Delivery, Received, Rejected, Source, aws_event};
use crate::config::fields::Fields;

/// How long a call to SNS may take. It gives up on a delivery after 15 seconds.
const TIMEOUT: Span = Span::seconds(8);

/// A topic of SNS.
pub struct AwsSns {
    name: String,
    topic: Topic,
    least_severity: f64,
    certificates: Certificates,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq)]
pub struct AwsSnsOptions {
    topic: Topic,
    least_severity: f64,
}

/// The ARN of a topic, with what it says of where SNS is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Topic {
    arn: String,
    host: String,
}

impl Topic {
    fn parse(arn: &str) -> Option<Self> {
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", partition, "sns", region, account, name] = parts.as_slice() else { return None };
        let letters = |text: &str, also: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || also.as_bytes().contains(&b))
        };
        let ending = match *partition {
            "aws" | "aws-us-gov" => "amazonaws.com",
            "aws-cn" => "amazonaws.com.cn",
            _ => return None,
        };
        let sound = letters(region, "-") && region.len() <= 32 && letters(account, "") && letters(name, "-_.");
        sound.then(|| Self { arn: arn.to_owned(), host: format!("sns.{region}.{ending}") })
    }

    /// An address of SNS in the topic's region: `https`, the host and nothing else before the path (threat T17).
    fn own(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok()?;
        let bare = url.username().is_empty() && url.password().is_none() && url.port().is_none() && url.fragment().is_none();
        (url.scheme() == "https" && bare && url.host_str() == Some(self.host.as_str())).then_some(url)
    }

    /// The address of a certificate.
    fn certificate(&self, text: &str) -> Option<Url> {
        let url = self.own(text)?;
        let name = url.path().strip_prefix("/SimpleNotificationService-")?.strip_suffix(".pem")?;
        let sound = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_hexdigit());
        (sound && url.query().is_none()).then_some(url)
    }

    /// The address that confirms a subscription to this topic.
    fn confirmation(&self, text: &str) -> Option<Url> {
        let url = self.own(text)?;
        let mut asked: Vec<(String, String)> = url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        asked.sort();
        let [(action, confirm), (token, value), (topic, arn)] = asked.as_slice() else { return None };
        let sound = [action.as_str(), token.as_str(), topic.as_str()] == ["Action", "Token", "TopicArn"]
            && confirm == "ConfirmSubscription"
            && !value.is_empty()
            && *arn == self.arn
            && url.path() == "/";
        sound.then_some(url)
    }
}

impl AwsSns {
    /// Reads the options: `{topic: ARN, least_severity: 7}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<AwsSnsOptions> {
        let arn = fields.required_str("topic");
        let severity = fields.optional_int("least_severity", 1..=10).and_then(|n| u8::try_from(n).ok());
        let topic = arn.as_deref().and_then(Topic::parse);
        if arn.is_some() && topic.is_none() {
            let hint = "write it as SNS shows it: arn:aws:sns:eu-central-1:123456789012:leaks";
            fields.problem("HO1130", "topic", "`topic` is no ARN of an SNS topic", hint);
        }
        Some(AwsSnsOptions { topic: topic?, least_severity: severity.map_or(aws_event::LEAST_SEVERITY, f64::from) })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        let topic = json!({"type": "string", "pattern": "^arn:aws[a-z-]*:sns:[A-Za-z0-9-]+:[A-Za-z0-9]+:[A-Za-z0-9_.-]+$"});
        let severity = json!({"type": "integer", "minimum": 1, "maximum": 10});
        schema(&["topic"], json!({"topic": topic, "least_severity": severity}))
    }

    /// The source of this name. It contacts nothing.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn open(name: &str, options: AwsSnsOptions) -> Result<Self, Fault> {
        let base = Url::parse(&format!("https://{}", options.topic.host)).map_err(|_| {
            Fault::new(FaultClass::Permanent, "HO1130", "the topic's region makes no address").hint("is `topic` right?")
        })?;
        let caller = open("SNS", &base, None, TIMEOUT)?;
        Ok(Self::with(name, options, Box::new(caller)))
    }

    /// The same with another way to fetch certificates.
    #[must_use]
    pub fn with(name: &str, options: AwsSnsOptions, fetch: Box<dyn Fetch>) -> Self {
        let AwsSnsOptions { topic, least_severity } = options;
        Self { name: name.to_owned(), topic, least_severity, certificates: Certificates::new(fetch) }
    }

    /// Proves that a message is fresh, of this topic, and signed by SNS. What is signed comes back with its time.
    async fn authentic(&self, message: &Json, delivery: &Delivery<'_>) -> Result<(Vec<u8>, u64), Rejected> {
        let text = |key: &str| message.text(&[key]);
        let foreign = |why: &str| Err(Rejected { status: 403, code: "HO1115", why: why.to_owned() });
        if text("TopicArn") != Some(self.topic.arn.as_str()) {
            return foreign("the message is not of the topic that the inventory names");
        }
        if text("SignatureVersion") != Some("2") {
            return foreign("the signature is not of version 2: set the topic's attribute SignatureVersion to 2");
        }
        let signed_ms = text("Timestamp").and_then(rfc3339).ok_or_else(|| malformed("the message has no time"))?;
        // Before anything is fetched for it.
        fresh(signed_ms, delivery.now_ms)?;
        let address = text("SigningCertURL").and_then(|url| self.topic.certificate(url));
        let Some(address) = address else {
            return foreign("the certificate is not at SNS in the topic's region");
        };
        let signed = canonical(message).ok_or_else(|| malformed("the message lacks a field that is signed"))?;
        let signature = text("Signature").and_then(certificate::signature);
        let Some(signature) = signature else { return Err(unauthentic("the message has no signature")) };
        match self.certificates.verifies(&address, &signed, &signature, delivery.now_ms).await {
            Ok(true) => Ok((signed, signed_ms)),
            Ok(false) => Err(unauthentic("the signature does not fit")),
            Err(fault) => {
                let why = format!("the certificate of SNS is not at hand: {fault}");
                Err(Rejected { status: 503, code: "HO1116", why })
            }
        }
    }
}

/// What is signed: certain fields in their order, each with its name, a line each.
fn canonical(message: &Json) -> Option<Vec<u8>> {
    let (needed, may): (&[&str], &[&str]) = match message.text(&["Type"])? {
        "Notification" => (&["Message", "MessageId", "Timestamp", "TopicArn", "Type"], &["Subject", "SubscribeURL"]),
        "SubscriptionConfirmation" | "UnsubscribeConfirmation" => {
            (&["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"], &["Subject"])
        }
        _ => return None,
    };
    let mut names: Vec<&str> = needed.iter().chain(may).copied().collect();
    names.sort_unstable();
    let mut signed = Vec::new();
    for name in names {
        match message.text(&[name]) {
            // A line more in these could take over a field beside it.
            Some(value) if value.contains('\n') && !matches!(name, "Message" | "Subject") => return None,
            Some(value) => signed.extend_from_slice(format!("{name}\n{value}\n").as_bytes()),
            None if may.contains(&name) => {}
            None => return None,
        }
    }
    Some(signed)
}

#[async_trait]
impl Source for AwsSns {
    fn able(&self) -> Ability {
        Ability { receives: true, ..Ability::default() }
    }

    async fn receive(&self, delivery: &Delivery<'_>) -> Result<Received, Rejected> {
        verify::outside(delivery, &["text/plain", "application/json"])?;
        if delivery.header("x-amz-sns-rawdelivery").is_some() {
            return Err(unauthentic("raw message delivery is on, which leaves the signature out: turn it off"));
        }
        // What is signed are the fields, so that they are read before it is proven who wrote them.
        let message = verify::json(delivery)?;
        let (signed, signed_ms) = self.authentic(&message, delivery).await?;
        let mut received = Received {
            digest: digest_of(&self.name, &[&signed]),
            stale_ms: stale(signed_ms),
            reports: Vec::new(),
            confirm: None,
            note: None,
        };
        match message.text(&["Type"]) {
            Some("Notification") => match Json::read(message.text(&["Message"]).unwrap_or_default().as_bytes()) {
                Ok(event) if aws_event::is_event(&event) => {
                    received.reports = aws_event::reports(&self.name, &event, self.least_severity);
                }
                _ => received.note = Some("a message of the topic is no event of AWS Health or GuardDuty".to_owned()),
            },
            Some("SubscriptionConfirmation") => {
                let address = message.text(&["SubscribeURL"]).and_then(|url| self.topic.confirmation(url));
                let why = "the address that confirms is not of SNS for this topic";
                let refused = Rejected { status: 403, code: "HO1115", why: why.to_owned() };
                received.confirm = Some(address.ok_or(refused)?.to_string());
            }
            _ => {
                let note =
                    "the subscription to the SNS topic was ended: it will send no more until somebody subscribes again";
                received.note = Some(note.to_owned());
            }
        }
        Ok(received)
    }

    async fn confirm(&self, address: &str) -> Outcome<()> {
        let Some(url) = self.topic.confirmation(address) else {
            let fault =
                Fault::new(FaultClass::Permanent, "HO1115", "the address to confirm at is not of SNS for this topic");
            return Outcome::NotDone(fault.hint("subscribe again"));
        };
        crate::web::outcome(self.certificates.fetch.confirm(&url).await)
    }
}
