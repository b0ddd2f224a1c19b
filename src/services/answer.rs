//! What services answer, over HTTP or on standard output: typed, capped, and then dropped. No text of a service goes into
//! a fault, but for the code of an SMTP reply.

use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use serde::Deserialize;

use super::Attestation;

#[derive(Deserialize)]
struct RawAttestation {
    username: String,
    proof: String,
}

#[derive(Deserialize)]
struct RawSend {
    accepted: bool,
    #[serde(default)]
    reply: Option<String>,
}

/// Reads `{"username": …, "proof": …}`.
pub(super) fn attestation(who: &str, text: &[u8]) -> Outcome<Attestation> {
    let shaped = |raw: &RawAttestation| {
        let name = (1..=256).contains(&raw.username.len()) && raw.username.chars().all(|c| c.is_ascii_graphic());
        name && raw.proof.len() == 64 && raw.proof.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    match serde_json::from_slice::<RawAttestation>(text) {
        Ok(raw) if shaped(&raw) => Outcome::Done(Attestation { username: raw.username, proof: raw.proof }),
        // The parser's own words may quote what it read.
        Ok(_) | Err(_) => {
            let message = format!("{who}: the answer is not {{\"username\", \"proof\"}} with 64 hex digits of proof");
            let hint = "the proof is hex(HMAC-SHA-256(key = password, message = challenge)), in lower case";
            Outcome::NotDone(Fault::new(FaultClass::Permanent, "HO0709", message).hint(hint))
        }
    }
}

/// Reads `{"accepted": false, "reply": …}`: what a service says that its SMTP server answered. `None` if the text says no
/// such thing.
pub(super) fn refused_send(who: &str, text: &[u8]) -> Option<Fault> {
    let RawSend { accepted: false, reply } = serde_json::from_slice(text).ok()? else { return None };
    let reply = reply.as_deref().and_then(reply_code);
    let (class, code, meaning) = match reply.as_ref().map(|(code, _)| *code) {
        Some(525 | 535) => (FaultClass::Credential, "HO0710", "its SMTP server refused the login"),
        Some(400..=499) => (FaultClass::Temporary, "HO0711", "its SMTP server put it off"),
        Some(_) => (FaultClass::Environment, "HO0712", "its SMTP server did not take the mail"),
        None => (FaultClass::Environment, "HO0712", "it could not send, and names no SMTP reply"),
    };
    let shown = reply.map_or_else(String::new, |(_, shown)| format!(" ({shown})"));
    Some(Fault::new(class, code, format!("{who}: {meaning}{shown}")))
}

/// The code at the start of a reply, and it with the enhanced code (RFC 3463) for showing.
fn reply_code(reply: &str) -> Option<(u16, String)> {
    let digits = reply.get(..3).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
    let code = digits.parse().ok().filter(|code| (200..600).contains(code))?;
    let rest = &reply[3..];
    if !rest.is_empty() && !rest.starts_with([' ', '-']) {
        return None;
    }
    let word = rest.get(1..).unwrap_or_default().split(' ').next().unwrap_or_default();
    let mut parts = word.split('.');
    let number = |part: Option<&str>, most: usize| {
        part.is_some_and(|p| (1..=most).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
    };
    let enhanced = number(parts.next(), 1) && number(parts.next(), 3) && number(parts.next(), 3) && parts.next().is_none();
    Some((code, if enhanced { format!("{digits} {word}") } else { digits.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attestation_is_taken_only_in_its_shape() {
        let proof = "0123456789abcdef".repeat(4);
        let good = format!(r#"{{"username": "AKIA.1@x", "proof": "{proof}", "pid": 7}}"#);
        let expected = Attestation { username: "AKIA.1@x".to_owned(), proof: proof.clone() };
        assert_eq!(attestation("x", good.as_bytes()), Outcome::Done(expected));
        let table = [
            String::new(),
            "MARK".to_owned(),
            r#"{"username": "MARK"}"#.to_owned(),
            format!(r#"{{"username": "", "proof": "{proof}"}}"#),
            format!(r#"{{"username": "a\nb", "proof": "{proof}"}}"#),
            format!(r#"{{"username": 7, "proof": "{proof}"}}"#),
            format!(r#"{{"username": "MARK", "proof": "{}"}}"#, proof.to_uppercase()),
            r#"{"username": "MARK", "proof": "00"}"#.to_owned(),
            "[".repeat(100_000),
        ];
        for text in table {
            let outcome = attestation("x", text.as_bytes());
            assert!(matches!(&outcome, Outcome::NotDone(fault) if fault.code == "HO0709"), "{text:.40}");
            assert!(!format!("{outcome:?}").contains("MARK"));
        }
    }

    #[test]
    fn only_the_reply_code_decides_and_is_shown() {
        use FaultClass::{Credential, Environment, Temporary};
        let table = [
            ("535 5.7.8 bad MARK", Credential, "x: its SMTP server refused the login (535 5.7.8)"),
            ("535-5.7.8 bad", Credential, "x: its SMTP server refused the login (535 5.7.8)"),
            ("525 5.7.13 off", Credential, "x: its SMTP server refused the login (525 5.7.13)"),
            ("535", Credential, "x: its SMTP server refused the login (535)"),
            ("454 4.7.0 later", Temporary, "x: its SMTP server put it off (454 4.7.0)"),
            ("421 MARK", Temporary, "x: its SMTP server put it off (421)"),
            ("550 5.1.MARK", Environment, "x: its SMTP server did not take the mail (550)"),
            ("530 5.7.0", Environment, "x: its SMTP server did not take the mail (530 5.7.0)"),
            ("5350 MARK", Environment, "x: it could not send, and names no SMTP reply"),
            ("099 MARK", Environment, "x: it could not send, and names no SMTP reply"),
            ("timeout MARK", Environment, "x: it could not send, and names no SMTP reply"),
            ("é5 MARK", Environment, "x: it could not send, and names no SMTP reply"),
            ("", Environment, "x: it could not send, and names no SMTP reply"),
        ];
        for (reply, class, message) in table {
            let text = serde_json::json!({"accepted": false, "reply": reply}).to_string();
            let fault = refused_send("x", text.as_bytes()).expect("it was refused");
            assert_eq!((fault.class, fault.message.as_str()), (class, message));
        }
        let silent = refused_send("x", br#"{"accepted": false}"#).expect("it was refused");
        assert_eq!(silent.class, Environment);
        for text in [r#"{"accepted": true}"#, "{}", "", "no", r#"{"accepted": "false"}"#] {
            assert_eq!(refused_send("x", text.as_bytes()), None, "{text}");
        }
    }
}
