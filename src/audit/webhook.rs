//! A webhook, signed as Standard Webhooks says (`web::signed`): many lines at once.

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, Outcome};
use handover_rotation::time::Span;
use reqwest::Url;
use serde_json::Value;

use super::{Batch, CODES, DEFAULT_TIMEOUT, Sink};
use crate::config::fields::Fields;
use crate::config::hook::Hook;
use crate::config::inventory::SecretRef;
use crate::egress::Guard;
use crate::web::{Lost, Outward, outcome};

/// Receivers take as much and seldom more.
const MOST: usize = 256 << 10;

/// One receiver.
pub struct WebhookSink {
    url: Url,
    secret: SecretRef,
    way: Outward,
}

impl WebhookSink {
    /// Reads the options: `{url, secret, ca_file, timeout}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<Hook> {
        Hook::options(fields, DEFAULT_TIMEOUT)
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        Hook::schema()
    }

    /// Makes it of its options. The secret is read at each call.
    ///
    /// # Errors
    /// The CA file cannot be read.
    pub fn open(options: Hook, guard: &Guard) -> Result<Self, Fault> {
        let way = Outward::new("audit webhook", options.ca_file.as_deref(), options.timeout, CODES, guard.clone())?;
        Ok(Self { url: options.url, secret: options.secret, way })
    }

    async fn post(&self, batch: &Batch) -> Result<(), Lost> {
        let secret = self.secret.read().map_err(Lost::Before)?;
        self.way.post_signed(&self.url, &secret, &batch.id, body(batch)).await
    }
}

#[async_trait]
impl Sink for WebhookSink {
    fn request_timeout(&self) -> Span {
        self.way.request_timeout()
    }

    fn most(&self) -> usize {
        MOST
    }

    async fn last(&self) -> Result<Option<String>, Fault> {
        // It cannot be asked.
        Ok(None)
    }

    async fn put(&self, batch: &Batch) -> Outcome<()> {
        outcome(self.post(batch).await)
    }
}

/// Type, time and data, as the standard advises. The lines as they are: what is hashed in them is their bytes.
fn body(batch: &Batch) -> String {
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    format!(r#"{{"type":"handover.audit","timestamp":"{now}","data":{{"lines":[{}]}}}}"#, batch.lines.join(","))
}
