//! The faults of the mail room, one function for each: its code, class, words and hint in one place. Nothing here ever sees
//! a password, and what a server said is cut short and has no control character.

use std::io;
use std::path::Path;
use std::time::Duration;

use handover_rotation::outcome::{Fault, FaultClass};

use super::classify::{Class, Phase};
use super::reply::{Reply, ReplyError};
use super::scram::ScramError;

/// How much of a reply a message quotes.
const QUOTED: usize = 240;

/// What a reply that is not a success comes to.
pub(super) fn replied(phase: Phase, class: Class, reply: &Reply) -> Fault {
    let said = format!("the server answered {} with {}", phase.word(), reply.summary(QUOTED));
    match class {
        Class::Refused => Fault::new(FaultClass::Credential, "HO0801", said)
            .hint("this username and password are not valid at this server, or not yet"),
        Class::Temporary => Fault::new(FaultClass::Temporary, "HO0802", said),
        Class::Throttled => Fault::new(FaultClass::Temporary, "HO0803", said)
            .hint("wait before the next attempt: the server limits the pace"),
        Class::Environment => Fault::new(FaultClass::Environment, "HO0804", said)
            .hint("this is the server's policy or our configuration, not the login: check host, port and `tls`"),
        Class::Mechanism => Fault::new(FaultClass::Environment, "HO0805", said)
            .hint("the server does not take this way of logging in: it may ask for OAuth, or another port"),
        Class::Authorisation => Fault::new(FaultClass::Environment, "HO0806", said)
            .hint("the login is valid but may not send this: check `probe.from`, `probe.to` and the account's permissions"),
        Class::ActionNeeded => Fault::new(FaultClass::Environment, "HO0807", said)
            .hint("the account's owner has to act at the provider first; waiting will not help"),
        Class::Source => Fault::new(FaultClass::Environment, "HO0808", said)
            .hint("the server refuses this machine's address: allow it there, or run from where the services run"),
        Class::Accepted | Class::Unexpected => Fault::new(FaultClass::Environment, "HO0813", said)
            .hint("this reply has no meaning here: check that host and port are a submission server"),
    }
}

/// The lookup of the name or the TCP connection failed.
pub(super) fn connect(host: &str, port: u16, error: &io::Error) -> Fault {
    Fault::new(FaultClass::Temporary, "HO0810", format!("{host}:{port} cannot be reached: {error}"))
        .hint("check the name, the port and the way there")
}

/// No answer in time.
pub(super) fn slow(what: &str, limit: Duration) -> Fault {
    Fault::new(FaultClass::Temporary, "HO0811", format!("no end of {what} within {limit:?}"))
}

/// The connection ended while `what` was going on.
pub(super) fn lost(what: &str, error: Option<&io::Error>) -> Fault {
    let why = error.map_or_else(|| "the server closed it".to_owned(), |e| e.kind().to_string());
    Fault::new(FaultClass::Temporary, "HO0812", format!("the connection was lost at {what}: {why}"))
}

/// The answer is not an SMTP reply, or over a cap.
pub(super) fn garbled(what: &str, error: ReplyError) -> Fault {
    Fault::new(FaultClass::Environment, "HO0813", format!("the answer to {what} is not a proper reply: {error}"))
        .hint("check that host and port are a submission server")
}

/// A reply came before its command: the talk is out of step.
pub(super) fn out_of_step(what: &str) -> Fault {
    Fault::new(FaultClass::Environment, "HO0813", format!("the server spoke before {what} was sent"))
        .hint("check that host and port are a submission server")
}

/// The message's last byte went out, and no clear answer came.
pub(super) fn doubtful(cause: &Fault) -> Fault {
    Fault::new(
        FaultClass::Temporary,
        "HO0814",
        format!("the message went out whole, but its answer is missing: {} ({})", cause.message, cause.code),
    )
    .hint("it may arrive: look for its nonce, then send another with a new one")
}

/// STARTTLS is not offered: nothing is sent in clear, ever (threat T4).
pub(super) fn no_starttls(host: &str) -> Fault {
    Fault::new(FaultClass::Environment, "HO0820", format!("{host} does not offer STARTTLS"))
        .hint("someone on the way may have removed it; if the port speaks TLS from the first byte, say `tls: implicit`")
}

/// Bytes in clear behind the reply to STARTTLS (threat T4).
pub(super) fn injected() -> Fault {
    Fault::new(FaultClass::Environment, "HO0821", "bytes in clear came after STARTTLS and before TLS")
        .hint("someone on the way may be putting in words of their own; no password has been sent")
}

/// The certificate or the handshake is not right. `code` says which way.
pub(super) fn tls(code: &str, message: String, hint: &str) -> Fault {
    Fault::new(FaultClass::Environment, code, message).hint(hint)
}

/// The certificates to trust cannot be read.
pub(super) fn roots(message: String) -> Fault {
    Fault::new(FaultClass::Environment, "HO0826", message).hint("`ca_file` must name a readable file of PEM certificates")
}

/// No mechanism that both sides know.
pub(super) fn no_mechanism(offered: &str) -> Fault {
    let offered = if offered.is_empty() { "none" } else { offered };
    Fault::new(
        FaultClass::Environment,
        "HO0830",
        format!(
            "no usable AUTH mechanism: the server offers {offered}, and we speak SCRAM-SHA-256, SCRAM-SHA-1, PLAIN, LOGIN"
        ),
    )
    .hint("check the port; some servers ask for OAuth instead")
}

/// The server takes no tokens, and the provider says that it takes nothing else.
pub(super) fn no_xoauth2(offered: &str) -> Fault {
    let offered = if offered.is_empty() { "none" } else { offered };
    let said = format!("the server offers {offered}, and the provider says that it takes XOAUTH2");
    Fault::new(FaultClass::Environment, "HO0830", said).hint("check host and port, and `xoauth2` of the provider")
}

/// The password gets no token: a word about it.
pub(super) fn no_token(code: &str) -> Fault {
    Fault::new(FaultClass::Credential, "HO0832", format!("the password gets no token: {code}"))
        .hint("it is removed, wrong or at its end; or it is not known everywhere yet")
}

/// The token is sound, and the server does not take it.
pub(super) fn token_refused(status: Option<u16>, reply: &Reply) -> Fault {
    let status = status.map_or_else(String::new, |status| format!(", status {status}"));
    let said = format!("the password gets a token, and the server answered AUTH with {}{status}", reply.summary(QUOTED));
    Fault::new(FaultClass::Environment, "HO0833", said).hint(
        "this is no word about the password: may the application send as this mailbox (SMTP.SendAsApp, its service principal in \
         Exchange, the mailbox's permissions), and is SMTP AUTH on for it?",
    )
}

/// The server's side of SCRAM is not sound.
pub(super) fn scram(error: ScramError) -> Fault {
    Fault::new(FaultClass::Environment, "HO0831", error.to_string())
        .hint("the server is broken, or it is not the one that it says it is")
}

/// The server accepted a SCRAM login without a proof of its own.
pub(super) fn scram_unproven() -> Fault {
    Fault::new(FaultClass::Environment, "HO0831", "the server accepted SCRAM without a proof that it knows the login")
        .hint("the server is broken, or it is not the one that it says it is")
}

/// An address, a nonce or a name that cannot be written into a command.
pub(super) fn unwritable(what: &str) -> Fault {
    Fault::new(FaultClass::Permanent, "HO0840", format!("{what} cannot be used"))
        .hint("addresses are ASCII like `probe@example.com`; nonces are letters, digits, `-`, `_` and `.`")
}

/// The Maildir cannot be read.
pub(super) fn maildir(path: &Path, error: &io::Error) -> Fault {
    Fault::new(FaultClass::Permanent, "HO0841", format!("{} is not a readable Maildir: {error}", path.display()))
        .hint("`arrival.maildir` must name the folder that has `new` and `cur`, readable by this user")
}

/// It has not arrived in time. `trouble` says what got in the way of looking, if anything did.
pub(super) fn not_arrived(place: &str, within: Duration, trouble: Option<&str>) -> Fault {
    let trouble = trouble.map_or_else(String::new, |t| format!("; {t}"));
    Fault::new(FaultClass::Temporary, "HO0842", format!("the message is not in {place} after {within:?}{trouble}"))
        .hint("it may still be on its way, or be filtered elsewhere")
}

/// The IMAP server cannot serve now.
pub(super) fn imap(message: String) -> Fault {
    Fault::new(FaultClass::Temporary, "HO0843", message)
}

/// What the IMAP server says is not IMAP, or over a cap: another connection would not help.
pub(super) fn imap_broken(message: String) -> Fault {
    Fault::new(FaultClass::Environment, "HO0846", message)
        .hint("check that host and port of `probe.arrival.imap` are an IMAP server with TLS from the first byte")
}

/// The IMAP server refused the mailbox's own login. It says nothing about the credential that is being proven.
pub(super) fn imap_login(message: String) -> Fault {
    Fault::new(FaultClass::Environment, "HO0844", message)
        .hint("check `username` and `password` of `probe.arrival.imap`; they are not part of the rotation")
}

/// The IMAP server refused the mailbox or the search.
pub(super) fn imap_mailbox(message: String) -> Fault {
    Fault::new(FaultClass::Environment, "HO0845", message).hint("check `mailbox` of `probe.arrival.imap`")
}

#[cfg(test)]
mod tests {
    /// The codes that the sources use, each in the page, and none in the page that the sources don't use.
    #[test]
    fn every_code_is_explained() {
        let sources = concat!(include_str!("faults.rs"), include_str!("tls.rs"));
        let page = include_str!("../explain/mail.md");
        let codes = |text: &str, before: &str| {
            text.match_indices(before)
                .filter_map(|(at, found)| text.get(at + found.len()..at + found.len() + 6))
                .filter(|c| c.starts_with("HO08") && c[2..].bytes().all(|b| b.is_ascii_digit()))
                .map(str::to_owned)
                .collect::<std::collections::BTreeSet<_>>()
        };
        let mut used = codes(sources, "\"");
        assert!(used.len() > 20, "{used:?}");
        let crate::web::Codes { unreachable, lost, forbidden, busy, odd } = crate::web::TOKEN;
        used.extend([unreachable, lost, forbidden, busy, odd].map(str::to_owned));
        assert_eq!(used, codes(page, "# "));
    }
}
