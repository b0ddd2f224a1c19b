//! What may be the secret inside of a value that a scanner found: scanners report whole lines, assignments, addresses with a login,
//! base64 of all of them, and pairs of a name and a password. Each is hashed by who matches; what is none of ours matches nothing.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::{MOST_RAW, Report};
use crate::marks::Mark;
use crate::secret::Secret;

/// Values longer than this are looked at whole only.
const MOST_LOOKED_INTO: usize = 16 * 1024;

/// Shorter parts are never ours: a strong secret has more characters than this.
const LEAST_PART: usize = 6;

/// Base64 as scanners write it, with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl Report {
    /// With the values that a scanner found: what may be the secret in them, and the AWS key ids among them.
    ///
    /// If there is nothing but key ids, the report is a suspicion: a key id is a login name, which may stand in the open while its
    /// secret does not.
    #[must_use]
    pub(super) fn found(mut self, values: &[&str]) -> Self {
        let values: Vec<&str> = values.iter().copied().filter(|v| !v.trim().is_empty()).collect();
        let all: Vec<Secret> = values.iter().flat_map(|value| candidates(value)).collect();
        for value in &all {
            self = self.mark(aws_key_id(value.expose()));
        }
        self.suspected |= !values.is_empty() && values.iter().all(|value| is_key_id(value.trim()));
        self.raw(all)
    }
}

/// Whether it is nothing but a key id, in base64 or not.
fn is_key_id(value: &str) -> bool {
    let decoded = BASE64.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    aws_key_id(value).is_some() || decoded.is_some_and(|id| aws_key_id(id.trim()).is_some())
}

/// The mark of an AWS access key id, if the text is one and nothing else.
fn aws_key_id(text: &str) -> Option<Mark> {
    let body = text.strip_prefix("AKIA").or_else(|| text.strip_prefix("ASIA"))?;
    let sound = (12..=28).contains(&body.len()) && body.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    sound.then(|| Mark::key_id(text)).flatten()
}

/// What may be the secret in a value, the likeliest first, each once, [`MOST_RAW`] at most.
pub(super) fn candidates(value: &str) -> Vec<Secret> {
    let mut found = Found::default();
    found.add(value);
    found.add(value.trim().trim_matches(['"', '\'', '`']));
    if value.len() <= MOST_LOOKED_INTO {
        found.decoded(value.trim());
        found.address(value.trim());
        let words = value.split(|c: char| c.is_whitespace() || "\"'`<>(){}[],;".contains(c));
        let mut words: Vec<&str> = words.filter(|w| w.len() >= LEAST_PART).collect();
        // The longest first: it is the likeliest.
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        for word in words {
            found.add(word);
            // `PASSWORD=x`, `password: x`, `name:x`, and an address that has one of them in it.
            for separator in ['=', ':'] {
                found.add(word.split_once(separator).map_or("", |(_, after)| after));
            }
            found.add(word.rsplit_once(':').map_or("", |(_, after)| after));
            found.address(word);
            found.decoded(word);
        }
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<Secret>);

impl Found {
    fn add(&mut self, text: &str) {
        if text.len() < LEAST_PART || self.0.len() >= MOST_RAW {
            return;
        }
        let new = Secret::new(text.to_owned());
        if !self.0.iter().any(|known| known.matches(&new)) {
            self.0.push(new);
        }
    }

    /// The password in an address such as `smtp://name:password@host`. It may have characters that must not stand there.
    fn address(&mut self, text: &str) {
        let Some((_, rest)) = text.split_once("://") else { return };
        let Some((login, _)) = rest.rsplit_once('@') else { return };
        let Some((_, password)) = login.split_once(':') else { return };
        self.add(password);
        if let Some(plain) = percent_decoded(password) {
            self.add(&plain);
        }
    }

    /// The text that base64 stands for, and its parts: `name:password`, and the three of AUTH PLAIN.
    fn decoded(&mut self, text: &str) {
        let Ok(bytes) = BASE64.decode(text).map(Zeroizing::new) else { return };
        let Ok(plain) = std::str::from_utf8(&bytes) else { return };
        self.add(plain);
        self.add(plain.trim());
        self.add(plain.split_once(':').map_or("", |(_, after)| after));
        self.add(plain.rsplit_once('\0').map_or("", |(_, after)| after));
    }
}

/// `None` if it has nothing to decode, or is no text after it.
fn percent_decoded(text: &str) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    let decoded = std::str::from_utf8(&bytes).ok().filter(|plain| *plain != text)?;
    Some(Zeroizing::new(decoded.to_owned()))
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    const SECRET: &str = "BAhX+O5H0bpXZnYEIXx/NvCyGpqLtDzjRzPUVSGWnI8T";

    fn has(value: &str, secret: &str) -> bool {
        candidates(value).iter().any(|c| c.expose() == secret)
    }

    #[test]
    fn a_secret_is_found_where_scanners_leave_it() {
        let base64 = |text: &str| BASE64_STANDARD.encode(text);
        for value in [
            SECRET.to_owned(),
            format!(" {SECRET}\r\n"),
            format!("\"{SECRET}\""),
            format!("SMTP_PASSWORD={SECRET}"),
            format!("export SMTP_PASSWORD='{SECRET}' # old"),
            format!("  password: \"{SECRET}\","),
            format!("AKIAIOSFODNN7EXAMPLE:{SECRET}"),
            format!("smtp://AKIAIOSFODNN7EXAMPLE:{SECRET}@email-smtp.eu-central-1.amazonaws.com:587"),
            format!("url = \"smtps://user%40e.com:{}@mail.example.com\"", SECRET.replace('+', "%2B").replace('/', "%2F")),
            base64(SECRET),
            base64(SECRET).trim_end_matches('=').to_owned(),
            base64(&format!("{SECRET}\n")),
            base64(&format!("\0AKIAIOSFODNN7EXAMPLE\0{SECRET}")),
            format!("Authorization: Basic {}", base64(&format!("user:{SECRET}"))),
            format!("{{\"user\":\"x\",\"pass\":\"{SECRET}\"}}"),
        ] {
            assert!(has(&value, SECRET), "{value}");
        }
        assert!(has("x=ends-with-padding==", "ends-with-padding=="));
        assert!(has("smtp://u:p@ss:w0rd@host", "p@ss:w0rd"));
    }

    #[test]
    fn what_is_looked_at_is_bounded() {
        assert!(candidates(&"word-number-one ".repeat(10_000)).len() <= 2);
        let many: String = (0..600).map(|i| format!("word-{i}=value-{i} ")).collect();
        assert_eq!(candidates(&many).len(), MOST_RAW);
        assert!(candidates("").is_empty() && candidates("short").is_empty());
        for odd in ["%", "smtp://a:%zz%e9%@h", "://:@", "=====", "::::::::", "\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}"] {
            assert!(candidates(odd).len() <= MOST_RAW);
        }
    }

    #[test]
    fn a_key_id_alone_is_a_suspicion() {
        let found = |values: &[&str]| Report::new("scan", "x").found(values);
        let id = Mark::key_id("AKIAIOSFODNN7EXAMPLE");
        let only = found(&["AKIAIOSFODNN7EXAMPLE"]);
        assert!(only.suspected && only.marks == Vec::from_iter(id.clone()));
        let both = found(&["AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"]);
        assert!(!both.suspected && both.marks == Vec::from_iter(id.clone()));
        let old = found(&["QUtJQUlPU0ZPRE5ON0VYQU1QTEU="]);
        assert!(old.suspected && old.marks == Vec::from_iter(id), "base64, as old scanners write it");
        for none in ["AKIA", "AKIAiosfodnn7example", "xAKIAIOSFODNN7EXAMPLE", "ABIAIOSFODNN7EXAMPLE"] {
            assert!(found(&[none]).marks.is_empty(), "{none}");
        }
        assert!(!found(&[""]).suspected && !found(&[]).suspected);
    }
}
