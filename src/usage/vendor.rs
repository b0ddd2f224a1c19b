//! What the vendors' APIs of activity have in common: a key, an address, how long the vendor keeps what it saw, and a pace.

use std::path::PathBuf;
use std::time::Duration;

use handover_rotation::outcome::{Fault, Outcome};
use handover_rotation::time::Span;
use reqwest::{RequestBuilder, Url};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::config::inventory::SecretRef;
use crate::config::{Fields, schema};
use crate::secret::Secret;
use crate::web::{Api, Lost, USAGE};

/// How long one call may take.
const TIMEOUT: Span = Span::seconds(20);

/// The options that both vendors have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Common {
    address: Url,
    ca_file: Option<PathBuf>,
    key: SecretRef,
    /// How long the vendor keeps what it saw.
    pub(super) retention: Option<Span>,
}

impl Common {
    /// Reads `api_key`, `address`, `ca_file` and `retention`.
    pub(super) fn options(fields: &mut Fields<'_>, usual: &str) -> Option<Self> {
        let key = fields.required_secret("api_key");
        let address = fields.optional_url("address").or_else(|| Url::parse(usual).ok());
        let ca_file = fields.optional_path("ca_file");
        let retention = fields.optional_duration("retention", Span::minutes(60)..=Span::minutes(730 * 24 * 60));
        Some(Self { address: address?, ca_file, key: key?, retention })
    }

    /// The schema of a map with these options and `more`.
    pub(super) fn schema(more: Value) -> Value {
        let mut properties = json!({
            "api_key": {"$ref": "#/$defs/secret"},
            "address": {"type": "string", "pattern": "^https?://"},
            "ca_file": {"type": "string", "minLength": 1},
            "retention": schema::duration(),
        });
        if let (Some(all), Value::Object(more)) = (properties.as_object_mut(), more) {
            all.extend(more);
        }
        json!({"type": "object", "additionalProperties": false, "required": ["api_key"], "properties": properties})
    }

    /// The API of `who`.
    pub(super) fn api(&self, who: &str) -> Result<Api, Fault> {
        Api::new(who, &self.address, self.ca_file.as_deref(), TIMEOUT, USAGE)
    }

    /// The key, as it is now.
    pub(super) fn key(&self) -> Result<Secret, Lost> {
        self.key.read().map_err(Lost::Before)
    }
}

/// Sends a look and reads its answer. `doing` is the permission that a refusal names.
pub(super) async fn read<T: DeserializeOwned>(api: &Api, request: RequestBuilder, doing: &str) -> Result<T, Lost> {
    let answer = api.send(request).await?;
    if !answer.status.is_success() {
        return Err(api.refused(&answer, doing));
    }
    answer.json().ok_or_else(|| api.garbled(doing))
}

/// What a look that was lost means: nothing was learned, whatever became of it.
pub(super) fn outcome<T>(result: Result<T, Lost>) -> Outcome<T> {
    crate::web::outcome(result)
}

/// A vendor's limit of requests: so many at once, and then one each so often.
pub(super) struct Pace {
    left: u32,
    each: Duration,
}

impl Pace {
    pub(super) fn new(at_once: u32, each: Duration) -> Self {
        Self { left: at_once, each }
    }

    /// Waits until the next request may leave.
    pub(super) async fn next(&mut self) {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => tokio::time::sleep(self.each).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_keep_their_pace() {
        let mut pace = Pace::new(3, Duration::from_secs(10));
        let began = tokio::time::Instant::now();
        for expected in [0, 0, 0, 10, 20] {
            pace.next().await;
            assert_eq!(began.elapsed().as_secs(), expected);
        }
    }
}
