//! Messages signed as Standard Webhooks says: the receiver checks who sent it, when, and knows a repetition by its id.
//!
//! Source: spec/standard-webhooks.md of the standard-webhooks repository. Symmetric signatures only (`v1`).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use handover_rotation::outcome::{Fault, FaultClass};
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use zeroize::Zeroizing;

use super::{Lost, Outward};
use crate::secret::Secret;

/// The length of a key in bytes.
const KEY: std::ops::RangeInclusive<usize> = 24..=64;

impl Outward {
    /// Posts a JSON body under an id that is the same for each try. Of the answer only its status is read.
    ///
    /// # Errors
    /// `HO1221` if the secret cannot sign; what `at` and [`Api::send_for_status`](super::Api::send_for_status) say; a refusal.
    pub async fn post_signed(&self, url: &Url, secret: &Secret, id: &str, body: String) -> Result<(), Lost> {
        let api = self.at(url).map_err(Lost::Before)?;
        // The time of this try: the receiver takes no message that is older than five minutes.
        let timestamp = chrono::Utc::now().timestamp();
        let signature = sign(secret, id, timestamp, body.as_bytes()).map_err(Lost::Before)?;
        let request = api
            .client
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", header(id))
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body);
        let answer = api.send_for_status(request).await?;
        if answer.status.is_success() { Ok(()) } else { Err(api.refused(&answer, "take a message")) }
    }
}

/// An id as it can stand in a header and in what is signed: a dot would end it there.
fn header(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':') { c } else { '_' }).collect()
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
