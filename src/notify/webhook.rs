//! A webhook of one's own, signed as Standard Webhooks says: the receiver checks who sent it, when, and knows a repetition by its id.
//!
//! Source: spec/standard-webhooks.md of the standard-webhooks repository. Symmetric signatures only (`v1`).

use std::path::PathBuf;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{CODES, DEFAULT_TIMEOUT, Notice, Notifier};
use crate::config::fields::Fields;
use crate::config::inventory::{MOST_TIMEOUT, SecretRef};
use crate::config::schema;
use crate::egress::Guard;
use crate::secret::Secret;
use crate::web::{Lost, Outward, outcome};

/// The length of a key in bytes.
const KEY: std::ops::RangeInclusive<usize> = 24..=64;

/// The options of the kind.
pub struct Options {
    url: Url,
    secret: SecretRef,
    ca_file: Option<PathBuf>,
    timeout: Span,
}

/// One receiver.
pub struct Webhook {
    url: Url,
    secret: SecretRef,
    way: Outward,
}

impl Webhook {
    /// Reads the options: `{url, secret, ca_file, timeout}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<Options> {
        let url = fields.required_url("url");
        let secret = fields.required_secret("secret");
        let ca_file = fields.optional_path("ca_file");
        let timeout = fields.optional_duration("timeout", Span::seconds(1)..=MOST_TIMEOUT);
        Some(Options { url: url?, secret: secret?, ca_file, timeout: timeout.unwrap_or(DEFAULT_TIMEOUT) })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        json!({
            "required": ["url", "secret"],
            "properties": {
                "url": { "type": "string", "pattern": "^\\s*[hH][tT][tT][pP][sS]?:" },
                "secret": { "$ref": "#/$defs/secret" },
                "ca_file": { "$ref": "#/$defs/text" },
                "timeout": schema::duration(),
            },
        })
    }

    /// Makes it of its options. The secret is read at each call.
    ///
    /// # Errors
    /// The CA file cannot be read.
    pub fn open(options: Options, guard: &Guard) -> Result<Self, Fault> {
        let way = Outward::new("webhook", options.ca_file.as_deref(), options.timeout, CODES, guard.clone())?;
        Ok(Self { url: options.url, secret: options.secret, way })
    }

    async fn post(&self, notice: &Notice) -> Result<(), Lost> {
        let secret = self.secret.read().map_err(Lost::Before)?;
        let api = self.way.at(&self.url).map_err(Lost::Before)?;
        let body = body(notice).to_string();
        // The time of this try: the receiver takes no message that is older than five minutes.
        let timestamp = chrono::Utc::now().timestamp();
        let signature = sign(&secret, &notice.id, timestamp, body.as_bytes()).map_err(Lost::Before)?;
        let request = api
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", header(&notice.id))
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body);
        let answer = api.send_for_status(request).await?;
        if answer.status.is_success() { Ok(()) } else { Err(api.refused(&answer, "take a message")) }
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

/// An id as it can stand in a header and in what is signed: a dot would end it there.
fn header(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':') { c } else { '_' }).collect()
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

/// The header `webhook-signature` of a message.
fn sign(secret: &Secret, id: &str, timestamp: i64, body: &[u8]) -> Result<String, Fault> {
    let bad = || {
        Fault::new(FaultClass::Permanent, "HO1221", "webhook: the secret cannot sign")
            .hint("it is `whsec_` and the base64 of 24 to 64 random bytes: `echo whsec_$(openssl rand -base64 32)`")
    };
    let text = secret.expose();
    let key = Zeroizing::new(BASE64.decode(text.strip_prefix("whsec_").unwrap_or(text)).map_err(|_| bad())?);
    if !KEY.contains(&key.len()) {
        return Err(bad());
    }
    let signed = [header(id).as_bytes(), b".", timestamp.to_string().as_bytes(), b".", body].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed);
    Ok(format!("v1,{}", BASE64.encode(tag)))
}

#[cfg(test)]
mod tests {
    use super::{header, sign};
    use crate::config::inventory::SecretRef;
    use crate::secret::Secret;

    /// A secret as it comes in: from a file.
    fn secret(text: &str) -> Secret {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        SecretRef::File(file.path().to_owned()).read().unwrap()
    }

    #[test]
    fn it_signs_as_the_standard_does() {
        // The vector of the standard's own libraries.
        let key = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let sign = |id: &str, at, body: &str| sign(&key, id, at, body.as_bytes()).unwrap();
        let (id, at, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(sign(id, at, body), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        for other in [sign("msg_x", at, body), sign(id, at + 1, body), sign(id, at, "{}")] {
            assert_ne!(other, sign(id, at, body));
        }
    }

    #[test]
    fn a_secret_that_is_no_key_signs_nothing_and_is_not_shown() {
        for text in [
            "whsec_",
            "whsec_not base64",
            "whsec_c2hvcnQ=",
            "hunter2hunter2hunter2",
            "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            let Err(fault) = sign(&secret(text), "id", 1, b"") else { panic!("{text}") };
            assert_eq!(fault.code, "HO1221", "{text}");
            assert!(!fault.message.contains("hunter2") && !fault.message.contains(text));
        }
    }

    #[test]
    fn an_id_ends_where_it_is_meant_to() {
        assert_eq!(header("01JD-x:7.stuck\r\nevil: 1"), "01JD-x:7_stuck__evil:_1");
    }
}
