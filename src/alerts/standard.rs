//! Signatures of Standard Webhooks: HMAC-SHA-256 over `id.timestamp.body` with a key of 24 to 64 bytes. GitLab's signing tokens and
//! our own generic form are made of it. Ed25519 (`v1a`) is not taken.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use handover_rotation::outcome::{Fault, FaultClass};
use zeroize::Zeroizing;

use super::verify::{base64_after, digest_of, fresh, signed, stale, unauthentic, unix_seconds};
use super::{Delivery, Rejected};
use crate::secret::Secret;

/// The secrets of a sender.
pub(super) struct Keys(Vec<hmac::Key>);

/// What an authentic delivery is known by.
pub(super) struct Authentic {
    pub(super) digest: [u8; 32],
    pub(super) stale_ms: Option<u64>,
}

impl Keys {
    /// The keys that are written `whsec_` and base64.
    ///
    /// # Errors
    /// `HO1131`: a secret is of another form.
    pub(super) fn new(secrets: &[Secret]) -> Result<Self, Fault> {
        secrets.iter().map(key).collect::<Result<_, _>>().map(Self)
    }

    /// Proves that a delivery is fresh and made with one of the keys.
    pub(super) fn verify(&self, source: &str, delivery: &Delivery<'_>) -> Result<Authentic, Rejected> {
        let missing = || unauthentic("one of the headers webhook-id, webhook-timestamp and webhook-signature is missing");
        let id = delivery.header("webhook-id").filter(|id| !id.is_empty() && id.len() <= 256).ok_or_else(missing)?;
        let time = delivery.header("webhook-timestamp").ok_or_else(missing)?;
        let signatures = delivery.header("webhook-signature").ok_or_else(missing)?;
        let signed_ms = unix_seconds(time).ok_or_else(|| unauthentic("webhook-timestamp is no time in seconds"))?;
        let given: Vec<Vec<u8>> = signatures.split(' ').filter_map(|one| base64_after("v1,", one)).collect();
        let parts: [&[u8]; 5] = [id.as_bytes(), b".", time.as_bytes(), b".", delivery.body];
        if !signed(&self.0, &parts, &given) {
            return Err(unauthentic("no signature fits"));
        }
        fresh(signed_ms, delivery.now_ms)?;
        // Another attempt has the same id and body, but may have another time.
        let digest = digest_of(source, &[id.as_bytes(), delivery.body]);
        Ok(Authentic { digest, stale_ms: stale(signed_ms) })
    }
}

fn key(secret: &Secret) -> Result<hmac::Key, Fault> {
    let text = secret.expose().strip_prefix("whsec_").unwrap_or(secret.expose());
    let bytes = BASE64_STANDARD.decode(text).map(Zeroizing::new).ok().filter(|bytes| (24..=64).contains(&bytes.len()));
    let fault = || {
        Fault::new(FaultClass::Permanent, "HO1131", "the secret of a webhook is not of the form that Standard Webhooks have")
            .hint("it is `whsec_` and the base64 of 24 to 64 bytes: printf whsec_; openssl rand -base64 32")
    };
    bytes.map(|bytes| hmac::Key::new(hmac::HMAC_SHA256, &bytes)).ok_or_else(fault)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::verify::tests::deliver;
    use super::*;

    /// The vector of the specification's libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIME: &str = "1614265330";
    const BODY: &[u8] = b"{\"test\": 2432232314}";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const NOW: u64 = 1_614_265_330_000;

    fn keys(secrets: &[&str]) -> Result<Keys, Fault> {
        let secrets: Vec<Secret> = secrets.iter().map(|s| Secret::new((*s).to_owned())).collect();
        Keys::new(&secrets)
    }

    /// The three headers of a delivery signed with a key.
    pub(in crate::alerts) fn sign(secret: &str, id: &str, now_ms: u64, body: &[u8]) -> [(&'static str, String); 3] {
        let time = (now_ms / 1_000).to_string();
        let content = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
        let tag = hmac::sign(&key(&Secret::new(secret.to_owned())).expect("a key"), &content);
        let signature = format!("v1,{}", BASE64_STANDARD.encode(tag));
        [("webhook-id", id.to_owned()), ("webhook-timestamp", time), ("webhook-signature", signature)]
    }

    fn verify(keys: &Keys, id: &str, time: &str, signature: &str, body: &[u8], now: u64) -> Result<Authentic, Rejected> {
        let headers = [("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)];
        deliver(&headers, body, now, |d| keys.verify("mine", &d))
    }

    #[test]
    fn the_vector_of_the_specification_is_authentic_and_what_differs_is_not() {
        let keys = keys(&[SECRET]).expect("keys");
        let twice = format!("v1,AAAA v1a,AAAA {SIGNATURE}");
        let crowd = format!("{} {SIGNATURE}", vec![format!("v1,{}", BASE64_STANDARD.encode([0; 32])); 50].join(" "));
        for (id, time, signature, body, now, good) in [
            (ID, TIME, SIGNATURE, BODY, NOW, true),
            (ID, TIME, SIGNATURE, BODY, NOW + 300_000, true),
            (ID, TIME, &*twice, BODY, NOW, true),
            (ID, TIME, SIGNATURE, BODY, NOW + 300_001, false),
            (ID, TIME, SIGNATURE, BODY, NOW - 301_000, false),
            (ID, TIME, &*crowd, BODY, NOW, false),
            (ID, TIME, SIGNATURE, b"{\"test\": 2432232315}", NOW, false),
            (ID, TIME, SIGNATURE, b"{\"test\":2432232314}", NOW, false),
            (ID, "1614265331", SIGNATURE, BODY, NOW, false),
            ("msg_other", TIME, SIGNATURE, BODY, NOW, false),
            (ID, TIME, "", BODY, NOW, false),
            (ID, TIME, "v1,", BODY, NOW, false),
            (ID, TIME, &SIGNATURE[3..], BODY, NOW, false),
            (ID, TIME, &SIGNATURE.replace("v1", "v1a"), BODY, NOW, false),
            ("", TIME, SIGNATURE, BODY, NOW, false),
            (ID, "01614265330", SIGNATURE, BODY, NOW, false),
            (ID, "", SIGNATURE, BODY, NOW, false),
        ] {
            let result = verify(&keys, id, time, signature, body, now);
            assert_eq!(result.as_ref().err().map(|r| r.status), (!good).then_some(401), "{id} {time} {signature} {now}");
        }
        for missing in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            let headers = [("webhook-id", ID), ("webhook-timestamp", TIME), ("webhook-signature", SIGNATURE)];
            let headers: Vec<_> = headers.into_iter().filter(|(name, _)| *name != missing).collect();
            assert!(deliver(&headers, BODY, NOW, |d| keys.verify("mine", &d)).is_err(), "without {missing}");
        }
    }

    #[test]
    fn another_attempt_is_the_same_delivery() {
        let keys = keys(&[SECRET]).expect("keys");
        let digest = |id: &str, now: u64, body: &[u8]| {
            let [id, time, signature] = sign(SECRET, id, now, body).map(|(_, value)| value);
            verify(&keys, &id, &time, &signature, body, now).map(|a| (a.digest, a.stale_ms)).expect("authentic")
        };
        let (first, stale) = digest("a", NOW, b"{}");
        assert_eq!(stale, Some(NOW + 300_000));
        assert_eq!(first, digest("a", NOW + 5_000, b"{}").0);
        assert_ne!(first, digest("b", NOW, b"{}").0);
        assert_ne!(first, digest("a", NOW, b"{ }").0);
    }

    #[test]
    fn the_secret_of_before_is_taken_too_and_one_of_another_form_is_none() {
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let both = keys(&[other, SECRET]).expect("keys");
        assert!(verify(&both, ID, TIME, SIGNATURE, BODY, NOW).is_ok());
        assert!(keys(&[&SECRET[6..]]).is_ok(), "the prefix may be left out");
        for bad in ["whsec_", "whsec_AAAA", "hunter2", &format!("whsec_{}", "A".repeat(88))] {
            let fault = keys(&[bad]).err().unwrap_or_else(|| panic!("{bad}"));
            assert!(fault.code == "HO1131" && !fault.to_string().contains(bad));
        }
    }
}
