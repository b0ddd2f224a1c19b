//! The probe: one small text message that says what it is, carries its nonce, and asks nobody for an answer.

use std::str::FromStr;

use aws_lc_rs::rand;
use handover_rotation::outcome::Fault;
use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};

use super::faults;

/// The header that carries the nonce.
pub(super) const NONCE_HEADER: &str = "X-Handover-Nonce";

/// A message ready to go.
pub(super) struct Probe {
    /// Without brackets.
    pub(super) message_id: String,
    /// Header and body, lines ended by CRLF.
    pub(super) bytes: Vec<u8>,
}

/// An address that can be written into a command: ASCII, without anything that needs quoting.
pub(super) fn address(text: &str, what: &str) -> Result<Address, Fault> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && !b"<>()[]\\,;:\"".contains(&b));
    Address::from_str(text).ok().filter(|_| plain).ok_or_else(|| faults::unwritable(what))
}

/// Whether `nonce` can go into a header, a subject and an IMAP search as it is.
pub(super) fn check_nonce(nonce: &str) -> Result<(), Fault> {
    let plain = nonce.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if plain && (1..=64).contains(&nonce.len()) { Ok(()) } else { Err(faults::unwritable("the nonce")) }
}

/// Writes the probe with `nonce`.
pub(super) fn probe(from: &Address, to: &Address, nonce: &str) -> Result<Probe, Fault> {
    check_nonce(nonce)?;
    let mut random = [0; 8];
    rand::fill(&mut random).map_err(|_| faults::unwritable("the random source"))?;
    let message_id = format!("{nonce}.{}@{}", hex::encode(random), from.domain());
    let header = |name, value: &str| HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned());
    let message = Message::builder()
        .from(Mailbox::new(None, from.clone()))
        .to(Mailbox::new(None, to.clone()))
        .subject(format!("Handover probe {nonce}"))
        .message_id(Some(format!("<{message_id}>")))
        .raw_header(header(NONCE_HEADER, nonce))
        // RFC 3834: no vacation notes, no bounces of bounces.
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .header(ContentType::TEXT_PLAIN)
        .body(format!("This message proves that an SMTP login works. Nobody needs to read it.\r\n\r\nNonce: {nonce}\r\n"))
        .map_err(|_| faults::unwritable("the probe message"))?;
    Ok(Probe { message_id, bytes: message.formatted() })
}

#[cfg(test)]
mod tests {
    use super::{address, check_nonce, probe};

    #[test]
    fn the_probe_says_what_it_is() {
        let from = address("probe@example.com", "from").unwrap();
        let to = address("sink@example.org", "to").unwrap();
        let nonce = "n".repeat(64);
        let probe_1 = probe(&from, &to, &nonce).unwrap();
        let text = String::from_utf8(probe_1.bytes).unwrap();
        let has = |line: &str| assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        has("From: probe@example.com");
        has("To: sink@example.org");
        has("Auto-Submitted: auto-generated");
        has(&format!("Message-ID: <{}>", probe_1.message_id));
        assert!(probe_1.message_id.ends_with("@example.com"));
        assert!(text.is_ascii());
        assert!(text.lines().all(|l| l.len() <= 200));
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
        let unfolded = text.replace("\r\n ", " ");
        assert!(unfolded.lines().any(|l| l == format!("Subject: Handover probe {nonce}")), "{text}");
        assert!(unfolded.lines().any(|l| l.split_once(": ") == Some(("X-Handover-Nonce", &nonce))), "{text}");
        assert_ne!(probe(&from, &to, &nonce).unwrap().message_id, probe_1.message_id);
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        for text in
            ["", "x", "a b@example.com", "a@example.com>\r\nRCPT TO:<b@example.com", "\u{fc}@example.com", "a@[1.2.3.4]"]
        {
            assert_eq!(address(text, "x").unwrap_err().code, "HO0840", "{text}");
        }
        for nonce in ["", "a b", "a\r\nb", "a\"b", &"x".repeat(65)] {
            assert_eq!(check_nonce(nonce).unwrap_err().code, "HO0840", "{nonce}");
        }
        assert!(check_nonce("01JD-x_y.z").is_ok());
    }
}
