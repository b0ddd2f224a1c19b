//! PagerDuty by its Events API v2: a notice opens an incident or adds to it, the last word on it closes it. The incident is known by
//! its key, so that a repetition opens no second one.
//!
//! Source: PagerDuty/developer-docs docs/events-API-v2, PagerDuty/api-schema reference/events-v2. 202 means that the event was taken;
//! an end for an incident that was never opened is taken as well and does nothing.

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, Outcome};
use handover_rotation::time::Span;
use reqwest::Url;
use serde_json::{Value, json};
use std::path::PathBuf;

use super::{CODES, DEFAULT_TIMEOUT, Notice, NoticeKind, Notifier};
use crate::config::fields::Fields;
use crate::config::inventory::{MOST_TIMEOUT, SecretRef};
use crate::config::schema;
use crate::egress::Guard;
use crate::secret::Secret;
use crate::web::{Lost, Outward, outcome};

const US: &str = "https://events.pagerduty.com/v2/enqueue";
const EU: &str = "https://events.eu.pagerduty.com/v2/enqueue";

/// What wakes people: not every step of a rotation that goes well.
const USUAL: [NoticeKind; 5] =
    [NoticeKind::Failure, NoticeKind::Stuck, NoticeKind::Containment, NoticeKind::Alert, NoticeKind::Page];

/// The options of the kind.
pub struct Options {
    routing_key: SecretRef,
    url: Option<Url>,
    europe: bool,
    ca_file: Option<PathBuf>,
    timeout: Span,
}

/// One integration of a PagerDuty service.
pub struct PagerDuty {
    routing_key: SecretRef,
    url: Result<Url, Fault>,
    way: Outward,
}

impl PagerDuty {
    /// Reads the options: `{routing_key, region, url, ca_file, timeout}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<Options> {
        let routing_key = fields.required_secret("routing_key");
        let europe = fields.optional_choice("region", &[("us", false), ("eu", true)]).unwrap_or_default();
        let url = fields.optional_url("url");
        let ca_file = fields.optional_path("ca_file");
        let timeout = fields.optional_duration("timeout", Span::seconds(1)..=MOST_TIMEOUT);
        let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT);
        Some(Options { routing_key: routing_key?, url, europe, ca_file, timeout })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        json!({
            "required": ["routing_key"],
            "properties": {
                "routing_key": { "$ref": "#/$defs/secret" },
                "region": { "enum": ["us", "eu"] },
                "url": { "type": "string", "pattern": "^\\s*[hH][tT][tT][pP][sS]?:" },
                "ca_file": { "$ref": "#/$defs/text" },
                "timeout": schema::duration(),
            },
        })
    }

    /// Makes it of its options. The key is read at each call.
    ///
    /// # Errors
    /// The CA file cannot be read.
    pub fn open(options: Options, guard: &Guard) -> Result<Self, Fault> {
        let way = Outward::new("PagerDuty", options.ca_file.as_deref(), options.timeout, CODES, guard.clone())?;
        let usual = if options.europe { EU } else { US };
        let url =
            options.url.map_or_else(|| Url::parse(usual).map_err(|_| super::slack::no_address("PagerDuty", "url")), Ok);
        Ok(Self { routing_key: options.routing_key, url, way })
    }

    async fn post(&self, notice: &Notice) -> Result<(), Lost> {
        let key = self.routing_key.read().map_err(Lost::Before)?;
        let url = self.url.clone().map_err(Lost::Before)?;
        let api = self.way.at(&url).map_err(Lost::Before)?;
        let answer = api.send_for_status(api.client.post(url).json(&event(notice, &key))).await?;
        if answer.status.is_success() { Ok(()) } else { Err(api.refused(&answer, "take an event")) }
    }
}

#[async_trait]
impl Notifier for PagerDuty {
    fn request_timeout(&self) -> Span {
        self.way.request_timeout()
    }

    fn usual(&self) -> &'static [NoticeKind] {
        &USUAL
    }

    fn keeps_incidents(&self) -> bool {
        true
    }

    async fn tell(&self, notice: &Notice, _: Option<&str>) -> Outcome<()> {
        outcome(self.post(notice).await)
    }
}

/// The event, with the key that says whose it is.
fn event(notice: &Notice, key: &Secret) -> Value {
    let mut event = body(notice);
    event["routing_key"] = json!(key.expose());
    event
}

/// The event without its key.
#[must_use]
pub fn body(notice: &Notice) -> Value {
    if notice.ends {
        return json!({ "event_action": "resolve", "dedup_key": notice.incident });
    }
    json!({
        "event_action": "trigger",
        "dedup_key": notice.incident,
        "client": "Handover",
        "payload": {
            "summary": notice.title,
            "source": notice.credential.as_deref().unwrap_or("handover"),
            "severity": notice.severity.word(),
            "timestamp": notice.time(),
            "component": notice.credential,
            "class": notice.kind.word(),
            "custom_details": {
                "what": notice.lines,
                "next": notice.command,
                "rotation": notice.rotation,
                "services": notice.services,
                "owners": notice.owners,
                "notice": notice.id,
            },
        },
    })
}
