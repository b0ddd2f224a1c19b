//! Authenticity, freshness and size of a delivery: what all sources share. Every comparison of something secret is in constant
//! time, over the raw bytes (safety.md S26, threats T1, T15 and T20).

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::json::Json;
use super::{Delivery, Rejected};
use crate::secret::Secret;

/// The largest body that is taken.
pub(super) const MOST_BODY: usize = 256 * 1024;

/// How far a signed time may lie from now, either way.
pub(super) const WINDOW_MS: u64 = 300_000;

/// The most signatures of one header that are tried: more than a sender has secrets.
const MOST_SIGNATURES: usize = 8;

/// No signature, or none of ours.
pub(super) fn unauthentic(why: &str) -> Rejected {
    Rejected { status: 401, code: "HO1110", why: why.to_owned() }
}

/// Refused for another reason.
pub(super) fn malformed(why: impl Into<String>) -> Rejected {
    Rejected { status: 400, code: "HO1112", why: why.into() }
}

/// What each delivery must be before it is looked into: of our size, in no compression, and of a type that is asked for.
pub(super) fn outside(delivery: &Delivery<'_>, types: &[&str]) -> Result<(), Rejected> {
    if delivery.body.len() > MOST_BODY {
        let why = format!("the body is larger than {} KiB", MOST_BODY / 1024);
        return Err(Rejected { status: 413, code: "HO1113", why });
    }
    let wrong = |why: String| Err(Rejected { status: 415, code: "HO1114", why });
    if delivery.header("content-encoding").is_some_and(|e| !e.trim().eq_ignore_ascii_case("identity")) {
        return wrong("the body is compressed: send it as it is".to_owned());
    }
    let kind = delivery.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match types.contains(&kind.as_str()) {
        true => Ok(()),
        false => wrong(format!("the content type is none of: {}", types.join(", "))),
    }
}

/// The body as JSON.
pub(super) fn json(delivery: &Delivery<'_>) -> Result<Json, Rejected> {
    Json::read(delivery.body).map_err(|error| malformed(format!("the body cannot be read: {error}")))
}

/// Whether a signed time is near enough to now.
pub(super) fn fresh(signed_ms: u64, now_ms: u64) -> Result<(), Rejected> {
    match signed_ms.abs_diff(now_ms) <= WINDOW_MS {
        true => Ok(()),
        false => {
            let why = "the signed time is more than five minutes away: an old delivery, or a clock that is wrong";
            Err(Rejected { status: 401, code: "HO1111", why: why.to_owned() })
        }
    }
}

/// From when on a delivery of that time is stale.
pub(super) fn stale(signed_ms: u64) -> Option<u64> {
    Some(signed_ms.saturating_add(WINDOW_MS))
}

/// Which of the two secrets that a source may have while one is being replaced made an HMAC-SHA-256 over `parts`, if any. `given`
/// are the bytes of one or more signatures: all are tried, whether or not one fits.
pub(super) fn signed(keys: &[hmac::Key], parts: &[&[u8]], given: &[Vec<u8>]) -> bool {
    let mut good = false;
    for key in keys {
        let mut context = hmac::Context::with_key(key);
        parts.iter().for_each(|part| context.update(part));
        let tag = context.sign();
        for given in given.iter().take(MOST_SIGNATURES) {
            good |= constant_time::verify_slices_are_equal(tag.as_ref(), given).is_ok();
        }
    }
    good
}

/// The key of a text secret, byte for byte.
pub(super) fn key(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes())
}

/// Whether a token that came in the clear is one of ours. Their hashes are compared, so that not even a length is told by time.
pub(super) fn same_token(ours: &[Secret], given: &str) -> bool {
    let hash = |text: &str| digest::digest(&digest::SHA256, text.as_bytes());
    let given = hash(given);
    ours.iter().fold(false, |good, ours| {
        good | constant_time::verify_slices_are_equal(hash(ours.expose()).as_ref(), given.as_ref()).is_ok()
    })
}

/// The 32 bytes of `prefix` and 64 hex digits, as senders write a signature; `None` if it is of another form.
pub(super) fn hex_after(prefix: &str, text: &str) -> Option<Vec<u8>> {
    let digits = text.trim().strip_prefix(prefix)?;
    hex::decode(digits).ok().filter(|bytes| bytes.len() == 32)
}

/// The same in base64.
pub(super) fn base64_after(prefix: &str, text: &str) -> Option<Vec<u8>> {
    let digits = text.trim().strip_prefix(prefix)?;
    BASE64_STANDARD.decode(digits).ok().filter(|bytes| bytes.len() == 32)
}

/// What a replay is known by: the hash of the parts that are signed, each with its length, so that none can be moved into another.
pub(super) fn digest_of(source: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [b"handover alert".as_slice(), source.as_bytes()].into_iter().chain(parts.iter().copied()) {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

/// A whole number of seconds since the Unix epoch, as Standard Webhooks writes it: digits only, and no zero before others.
pub(super) fn unix_seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 11 && text.bytes().all(|b| b.is_ascii_digit());
    let plain = digits && (text.len() == 1 || !text.starts_with('0'));
    text.parse::<u64>().ok().filter(|_| plain).and_then(|seconds| seconds.checked_mul(1_000))
}

/// A time as JSON has it: RFC 3339.
pub(super) fn rfc3339(text: &str) -> Option<u64> {
    u64::try_from(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis()).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A delivery with these headers.
    pub(in crate::alerts) fn deliver<T>(
        headers: &[(&str, &str)],
        body: &[u8],
        now_ms: u64,
        take: impl FnOnce(Delivery<'_>) -> T,
    ) -> T {
        let map: BTreeMap<&str, &str> = headers.iter().copied().collect();
        let find = |name: &str| map.get(name).copied();
        take(Delivery { headers: &find, body, now_ms })
    }

    #[test]
    fn size_encoding_and_type_are_told_before_anything_is_read() {
        let big = vec![b' '; MOST_BODY + 1];
        let json = ("content-type", "application/json");
        for (headers, body, status) in [
            (vec![json], &b"{}"[..], None),
            (vec![("content-type", "Application/JSON; charset=utf-8")], b"{}", None),
            (vec![json, ("content-encoding", "identity")], b"{}", None),
            (vec![json], &big[..MOST_BODY], None),
            (vec![json], &big, Some(413)),
            (vec![json, ("content-encoding", "gzip")], b"{}", Some(415)),
            (vec![("content-type", "application/x-www-form-urlencoded")], b"payload=%7B%7D", Some(415)),
            (vec![("content-type", "text/plain")], b"{}", Some(415)),
            (vec![], b"{}", Some(415)),
        ] {
            let result = deliver(&headers, body, 0, |d| outside(&d, &["application/json"]));
            assert_eq!(result.err().map(|r| r.status), status, "{headers:?}");
        }
    }

    #[test]
    fn every_bit_of_a_signature_counts_and_every_secret_is_tried() {
        let keys = ["one", "two"].map(|text| key(&Secret::new(text.to_owned())));
        for own in &keys {
            let tag = hmac::sign(own, b"ab").as_ref().to_vec();
            assert!(signed(&keys, &[b"a", b"b"], std::slice::from_ref(&tag)));
            for bit in 0..256 {
                let mut bent = tag.clone();
                bent[bit / 8] ^= 1 << (bit % 8);
                assert!(!signed(&keys, &[b"ab"], &[bent]), "bit {bit}");
            }
            for cut in [vec![], tag[..31].to_vec(), [&tag[..], &[0]].concat()] {
                assert!(!signed(&keys, &[b"ab"], &[cut]));
            }
            assert!(
                !signed(&[], &[b"ab"], std::slice::from_ref(&tag))
                    && !signed(&keys, &[b"ab"], &[])
                    && !signed(&keys, &[b"a"], &[tag])
            );
        }
        let tokens = ["one", "two"].map(|text| Secret::new(text.to_owned()));
        assert!(same_token(&tokens, "one") && same_token(&tokens, "two") && !same_token(&[], "one"));
        for wrong in ["", "on", "onee", "One", "one\0", "onetwo"] {
            assert!(!same_token(&tokens, wrong), "{wrong}");
        }
    }

    #[test]
    fn five_minutes_either_way_are_fresh() {
        let now = 1_700_000_000_000;
        for (signed, good) in [
            (now, true),
            (now - 300_000, true),
            (now + 300_000, true),
            (now - 300_001, false),
            (now + 300_001, false),
            (0, false),
            (u64::MAX, false),
        ] {
            assert_eq!(fresh(signed, now).is_ok(), good, "{signed}");
        }
        assert_eq!(stale(now), Some(now + 300_000));
        assert_eq!(stale(u64::MAX), Some(u64::MAX));
    }

    #[test]
    fn times_are_read_strictly() {
        for (text, ms) in [
            ("0", Some(0)),
            ("1614265330", Some(1_614_265_330_000)),
            ("", None),
            ("01614265330", None),
            ("+1614265330", None),
            ("-1", None),
            (" 1614265330", None),
            ("1614265330 ", None),
            ("1e9", None),
            ("1614265330.5", None),
            ("123456789012", None),
            ("१२", None),
        ] {
            assert_eq!(unix_seconds(text), ms, "{text}");
        }
        assert_eq!(rfc3339("2023-12-29T17:38:06.788914Z"), Some(1_703_871_486_788));
        assert_eq!(rfc3339("2023-12-29T18:38:06+01:00"), Some(1_703_871_486_000));
        assert_eq!(rfc3339("1969-12-31T00:00:00Z"), None);
        assert_eq!(rfc3339("2023-12-29"), None);
    }

    #[test]
    fn parts_of_a_digest_cannot_be_moved_into_each_other() {
        let one = digest_of("a", &[b"bc", b"d"]);
        for other in [digest_of("ab", &[b"c", b"d"]), digest_of("a", &[b"b", b"cd"]), digest_of("a", &[b"bcd"])] {
            assert_ne!(one, other);
        }
        assert_eq!(one, digest_of("a", &[b"bc", b"d"]));
    }

    #[test]
    fn a_signature_of_another_form_is_none() {
        let good = "0".repeat(64);
        assert!(hex_after("sha256=", &format!("sha256={good}")).is_some());
        for bad in ["", "sha256=", &good, "sha1=00", &format!("sha256={good}00"), &format!("SHA256={good}"), "sha256=zz"] {
            assert_eq!(hex_after("sha256=", bad), None, "{bad}");
        }
        let good = BASE64_STANDARD.encode([0; 32]);
        assert!(base64_after("v1,", &format!("v1,{good}")).is_some());
        for bad in ["", "v1,", &good, &format!("v1,{}", &good[..43]), &format!("v2,{good}"), "v1,%%%"] {
            assert_eq!(base64_after("v1,", bad), None, "{bad}");
        }
    }
}
