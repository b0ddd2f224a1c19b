//! A webhook of one's own, signed as Standard Webhooks says (`web::signed`).

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, Outcome};
use handover_rotation::time::Span;
use reqwest::Url;
use serde_json::{Value, json};

use super::{CODES, DEFAULT_TIMEOUT, Notice, Notifier};
use crate::config::fields::Fields;
use crate::config::hook::Hook;
use crate::config::inventory::SecretRef;
use crate::egress::Guard;
use crate::web::{Lost, Outward, outcome};

/// One receiver.
pub struct Webhook {
    url: Url,
    secret: SecretRef,
    way: Outward,
}

impl Webhook {
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
        let way = Outward::new("webhook", options.ca_file.as_deref(), options.timeout, CODES, guard.clone())?;
        Ok(Self { url: options.url, secret: options.secret, way })
    }

    async fn post(&self, notice: &Notice) -> Result<(), Lost> {
        let secret = self.secret.read().map_err(Lost::Before)?;
        self.way.post_signed(&self.url, &secret, &notice.id, body(notice).to_string()).await
    }
}

#[async_trait]
impl Notifier for Webhook {
    fn request_timeout(&self) -> Span {
        self.way.request_timeout()
    }

    async fn tell(&self, notice: &Notice, _: Option<&str>) -> Outcome<()> {
        outcome(self.post(notice).await)
    }
}

/// What is posted: type, time and data, as the standard advises.
#[must_use]
pub fn body(notice: &Notice) -> Value {
    json!({
        "type": format!("handover.{}", notice.kind.word()),
        "timestamp": notice.time(),
        "data": {
            "id": notice.id,
            "incident": notice.incident,
            "ends": notice.ends,
            "severity": notice.severity.word(),
            "title": notice.title,
            "lines": notice.lines,
            "command": notice.command,
            "credential": notice.credential,
            "rotation": notice.rotation,
            "services": notice.services,
            "owners": notice.owners,
        },
    })
}
