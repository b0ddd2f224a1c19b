//! The source `postfix-log`: what Postfix's SMTP server logs. A mail that comes by a login is one line, a refused login another; a login
//! that sends no mail leaves none with its name.
//!
//! The form of the lines is that of Postfix's source (src/smtpd/smtpd.c, smtpd_sasl_glue.c). What others chose stands in them: the
//! name of a refused login, and `sasl_sender` of an accepted one. So lines are read from their beginning, where Postfix itself writes,
//! and a refused login whose name holds the mark of a name counts for nobody.

use super::Sight;
use super::log::{LogFormat, LogSource, Said, program};
use super::network::address;

/// Postfix's log as evidence.
pub type PostfixLog = LogSource<Postfix>;

/// How Postfix writes.
#[derive(Debug, Default)]
pub struct Postfix;

const NAME: &str = ", sasl_username=";
/// What may follow the name.
const AFTER: [&str; 3] = [", sasl_sender=", ", orig_queue_id=", ", orig_client="];
/// Refusals that say nothing of the login.
const NOT_THE_LOGIN: [&str; 2] = ["Connection lost to authentication server", "Invalid authentication mechanism"];

impl LogFormat for Postfix {
    const KIND: &'static str = "postfix-log";
    const SIGHT: Sight = Sight::Mail;
    const LIMIT: Option<&'static str> = None;

    fn said<'l>(&mut self, rest: &'l str) -> Said<'l> {
        let Some((name, text)) = program(rest) else { return Said::Nothing };
        // `postfix/smtpd`, `postfix/submission/smtpd`, `mta-out/smtpd`: the first part is chosen by who runs it.
        if !name.ends_with("/smtpd") {
            return Said::Nothing;
        }
        match text.strip_prefix("warning: ") {
            Some(text) => refused(text).unwrap_or(Said::Nothing),
            None => accepted(text).unwrap_or(Said::Nothing),
        }
    }
}

/// `QUEUEID: client=NAME[IP], sasl_method=METHOD, sasl_username=NAME`.
fn accepted(text: &str) -> Option<Said<'_>> {
    let (queue_id, text) = text.split_once(": client=")?;
    if queue_id.is_empty() || !queue_id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let (ip, text) = client(text)?;
    let text = text.strip_prefix(", sasl_method=")?;
    let (method, text) = text.split_once(NAME)?;
    if method.contains([',', ' ']) {
        return None;
    }
    let end = AFTER.iter().filter_map(|after| text.find(after)).min().unwrap_or(text.len());
    let name = &text[..end];
    if name.contains(NAME) {
        return Some(Said::Doubtful);
    }
    Some(Said::Login { name, address: address(ip), accepted: true, times: 1 })
}

/// `NAME[IP]: SASL METHOD authentication failed: REASON, sasl_username=NAME`.
fn refused(text: &str) -> Option<Said<'_>> {
    let (ip, text) = client(text)?;
    let text = text.strip_prefix(": SASL ")?;
    let (method, text) = text.split_once(" authentication failed: ")?;
    if method.contains(' ') || NOT_THE_LOGIN.iter().any(|reason| text.starts_with(reason)) {
        return None;
    }
    let Some((_, name)) = text.split_once(NAME) else { return Some(Said::Nameless) };
    if name.contains(NAME) {
        return Some(Said::Doubtful);
    }
    if name == "(unavailable)" {
        return Some(Said::Nameless);
    }
    Some(Said::Login { name, address: address(ip), accepted: false, times: 1 })
}

/// Of `NAME[IP]` or `NAME[IP]:PORT` the address, and what follows. The name comes from DNS and has only what a host name may have.
fn client(text: &str) -> Option<(&str, &str)> {
    let (name, text) = text.split_once('[')?;
    if name.contains([',', ' ', ']']) {
        return None;
    }
    let (ip, text) = text.split_once(']')?;
    if ip.contains([',', ' ', '[']) {
        return None;
    }
    let port = match text.strip_prefix(':') {
        Some(port) => port.bytes().take_while(u8::is_ascii_digit).count(),
        None => 0,
    };
    Some((ip, if port > 0 { &text[1 + port..] } else { text }))
}

#[cfg(test)]
mod tests {
    use super::super::log::tests::{said, shown};
    use super::*;

    #[test]
    fn mail_by_a_login_and_refused_logins_are_read() {
        const HEAD: &str = "Nov 26 22:01:02 mx postfix/submission/smtpd[4711]: ";
        for (line, expected) in [
            (
                "3F2A1: client=web.example.com[192.0.2.7], sasl_method=PLAIN, sasl_username=newsletter",
                "+newsletter 192.0.2.7",
            ),
            ("NOQUEUE: client=unknown[unknown], sasl_method=LOGIN, sasl_username=a@b, sasl_sender=x@y", "+a@b nowhere"),
            (
                "4bXyZ1: client=web[2001:db8::7]:5555, sasl_method=PLAIN, sasl_username=a b, c, orig_queue_id=9",
                "+a b, c 2001:db8::7",
            ),
            ("3F2A1: client=localhost[127.0.0.1], sasl_sender=someone@example.com", "nothing"),
            ("3F2A1: client=web.example.com[192.0.2.7]", "nothing"),
            (
                "warning: web[192.0.2.9]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username=newsletter",
                "-newsletter 192.0.2.9",
            ),
            (
                "warning: unknown[192.0.2.9]:25: SASL Plain authentication failed: (reason unavailable), sasl_username=x",
                "-x 192.0.2.9",
            ),
            ("warning: unknown[192.0.2.9]: SASL login authentication failed: authentication failure", "nameless"),
            ("warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: x, sasl_username=(unavailable)", "nameless"),
            (
                "warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: Connection lost to authentication server, sasl_username=x",
                "nothing",
            ),
            (
                "warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: Invalid authentication mechanism: 'X'",
                "nothing",
            ),
            ("warning: unknown[192.0.2.9]: SASL LOGIN authentication aborted", "nothing"),
            ("warning: hostname web does not resolve to address 192.0.2.9", "nothing"),
            ("disconnect from web[192.0.2.7] ehlo=1 auth=1 commands=2", "nothing"),
        ] {
            assert_eq!(shown(said::<Postfix>(&format!("{HEAD}{line}"))), expected, "{line}");
        }
        for tag in ["postfix/smtpd[1]", "postfix-incoming/smtpd[1]", "postfix/smtps/smtpd[1]", "mta-out/smtpd[1]"] {
            let line =
                format!("2026-11-26T22:01:02.1+01:00 mx {tag}: A1: client=w[192.0.2.7], sasl_method=PLAIN, sasl_username=n");
            assert_eq!(shown(said::<Postfix>(&line)), "+n 192.0.2.7", "{tag}");
        }
        for tag in ["postfix/cleanup[1]", "smtpd[1]", "postfix/smtpd[x]", "postfix/smtp[1]"] {
            let line =
                format!("2026-11-26T22:01:02.1+01:00 mx {tag}: A1: client=w[192.0.2.7], sasl_method=PLAIN, sasl_username=n");
            assert_eq!(shown(said::<Postfix>(&line)), "nothing", "{tag}");
        }
    }

    #[test]
    fn a_chosen_name_passes_for_nobody_else() {
        const HEAD: &str = "Nov 26 22:01:02 mx postfix/smtpd[4711]: ";
        for (line, expected) in [
            // The name of a refused login is what the other side sent: neither its beginning nor its end is a name by itself.
            (
                "warning: x[192.0.2.9]: SASL PLAIN authentication failed: r, sasl_username=newsletter, sasl_username=evil",
                "doubtful",
            ),
            (
                "warning: x[192.0.2.9]: SASL PLAIN authentication failed: r, sasl_username=evil, sasl_username=newsletter",
                "doubtful",
            ),
            (
                "warning: x[192.0.2.9]: SASL PLAIN authentication failed: r, sasl_username=x: SASL PLAIN authentication failed: r, sasl_username=newsletter",
                "doubtful",
            ),
            // Whoever is logged in chooses `sasl_sender`: what stands there is not read.
            (
                "A1: client=x[192.0.2.9], sasl_method=PLAIN, sasl_username=evil, sasl_sender=a, sasl_username=newsletter",
                "+evil 192.0.2.9",
            ),
            (
                "A1: client=x[192.0.2.9], sasl_method=PLAIN, sasl_username=newsletter, sasl_sender=a, sasl_username=evil",
                "+newsletter 192.0.2.9",
            ),
            ("A1: client=x[192.0.2.9], sasl_method=PLAIN, sasl_username=evil, sasl_username=newsletter", "doubtful"),
            // A whole line in a name.
            (
                "warning: x[192.0.2.9]: SASL PLAIN authentication failed: r, sasl_username=A1: client=y[192.0.2.1], sasl_method=PLAIN, sasl_username=newsletter",
                "doubtful",
            ),
            (
                "warning: x[192.0.2.9]: SASL PLAIN authentication failed: r, sasl_username=newsletter ",
                "-newsletter  192.0.2.9",
            ),
            ("warning: x[y[192.0.2.9]: SASL PLAIN authentication failed: r, sasl_username=n", "nothing"),
            ("warning: x, client=y[192.0.2.9]: SASL PLAIN authentication failed: r, sasl_username=n", "nothing"),
        ] {
            assert_eq!(shown(said::<Postfix>(&format!("{HEAD}{line}"))), expected, "{line}");
        }
    }
}
