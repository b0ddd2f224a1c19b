//! The source `exim-log`: Exim's main log. A mail that comes by a login is one `<=` line with `A=`, a refused login another.
//!
//! The sender, the name of the other host and the name of a refused login are chosen by the other side. A sender in quotes may hold
//! blanks, so it is passed over as a whole; the rest is read word by word, and what stands behind the size is not read.

use super::Sight;
use super::log::{LogFormat, LogSource, Said, program};
use super::network::address;
use super::stamp;

/// Exim's log as evidence.
pub type EximLog = LogSource<Exim>;

/// How Exim writes.
#[derive(Debug, Default)]
pub struct Exim;

const REFUSED: &str = ": 535 Incorrect authentication data";

impl LogFormat for Exim {
    const KIND: &'static str = "exim-log";
    const SIGHT: Sight = Sight::Mail;
    const LIMIT: Option<&'static str> = None;

    fn said<'l>(&mut self, rest: &'l str) -> Said<'l> {
        // By syslog it may have a second time, its own.
        let rest = match program(rest) {
            Some((name, text)) if name.starts_with("exim") => stamp::split(text).map_or(text, |(_, text)| text),
            _ => rest,
        };
        let rest = without_pid(rest);
        accepted(rest).or_else(|| refused(rest)).unwrap_or(Said::Nothing)
    }
}

/// Without `[4711] ` before it.
fn without_pid(text: &str) -> &str {
    let inside = text.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    match inside {
        Some((pid, rest)) if pid.bytes().all(|b| b.is_ascii_digit()) => rest,
        _ => text,
    }
}

/// `ID <= SENDER H=HOST (HELO) [IP]:PORT P=esmtpsa … A=AUTHENTICATOR:NAME S=SIZE …`.
fn accepted(text: &str) -> Option<Said<'_>> {
    let (id, text) = text.split_once(" <= ")?;
    if !(16..=23).contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return None;
    }
    let mut ip = None;
    let (mut host, mut protocols) = (false, 0);
    let mut name = None;
    for word in after_sender(text)?.split(' ') {
        if let Some(rest) = word.strip_prefix("H=") {
            host = true;
            ip = rest.strip_prefix('[').and_then(|_| address(rest));
        } else if word.starts_with("P=") {
            protocols += 1;
        } else if word.starts_with("S=") {
            break;
        } else if host && ip.is_none() && word.starts_with('[') {
            ip = address(word);
        } else if let Some(rest) = word.strip_prefix("A=")
            && name.is_none()
        {
            name = rest.split_once(':').map(|(_, name)| name.split(':').next().unwrap_or(name));
        }
    }
    let name = name?;
    // A host that calls itself by words of a log line, which Exim takes only with `helo_accept_junk_hosts`.
    if protocols > 1 {
        return Some(Said::Doubtful);
    }
    Some(Said::Login { name, address: ip, accepted: true, times: 1 })
}

/// What follows the sender: an address, `<>`, or one whose first part is in quotes.
fn after_sender(text: &str) -> Option<&str> {
    let mut end = 0;
    if text.starts_with('"') {
        let mut escaped = false;
        end = text.char_indices().skip(1).find_map(|(at, c)| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes.then_some(at + 1)
        })?;
    }
    let rest = &text[end..];
    rest.find(' ').map(|at| &rest[at + 1..])
}

/// `AUTHENTICATOR authenticator failed for HOST (HELO) [IP]:PORT: 535 Incorrect authentication data (set_id=NAME)`.
fn refused(text: &str) -> Option<Said<'_>> {
    let (authenticator, text) = text.split_once(" authenticator failed for ")?;
    if authenticator.contains(' ') {
        return None;
    }
    let (host, said) = text.split_once(REFUSED)?;
    if said.contains(REFUSED) {
        return Some(Said::Doubtful);
    }
    let ip = host.split(' ').find(|word| word.starts_with('[')).and_then(address);
    let Some(name) = said.strip_prefix(" (set_id=").and_then(|rest| rest.strip_suffix(')')) else {
        return Some(Said::Nameless);
    };
    Some(Said::Login { name, address: ip, accepted: false, times: 1 })
}

#[cfg(test)]
mod tests {
    use super::super::log::tests::{said, shown};
    use super::*;

    const HEAD: &str = "2026-11-26 22:01:02 ";

    #[test]
    fn mail_by_a_login_and_refused_logins_are_read() {
        for (line, expected) in [
            (
                "1abcDE-0002Fg-Hi <= news@example.com H=web.example.com (web) [192.0.2.7]:5555 P=esmtpsa X=TLS1.3:x:256 CV=no A=plain:newsletter S=345 id=x@y",
                "+newsletter 192.0.2.7",
            ),
            ("1abcDE-0002Fg-Hi <= <> H=[192.0.2.7] P=esmtpa A=login:a@b:c@d S=345", "+a@b 192.0.2.7"),
            (
                "1abcDE-000000002Fg-Hi <= news@example.com H=(web) [2001:db8::7] I=[2001:db8::1]:587 P=esmtpsa A=plain:n S=3",
                "+n 2001:db8::7",
            ),
            ("[77] 1abcDE-0002Fg-Hi <= news@example.com H=(web) [192.0.2.7] P=esmtpsa A=plain:n S=3", "+n 192.0.2.7"),
            ("1abcDE-0002Fg-Hi <= news@example.com H=web [192.0.2.7] P=esmtps S=345", "nothing"),
            ("1abcDE-0002Fg-Hi <= news@example.com U=root P=local S=345", "nothing"),
            (
                "1abcDE-0002Fg-Hi => you@example.org R=dnslookup T=remote_smtp H=mx [192.0.2.1] A=plain:n C=\"250 ok\"",
                "nothing",
            ),
            (
                "plain_server authenticator failed for web.example.com (web) [192.0.2.9]:4711: 535 Incorrect authentication data (set_id=n)",
                "-n 192.0.2.9",
            ),
            (
                "login authenticator failed for ([192.0.2.1]) [192.0.2.9] I=[192.0.2.2]:25 Ci=9: 535 Incorrect authentication data (set_id=n)",
                "-n 192.0.2.9",
            ),
            ("login authenticator failed for (web) [192.0.2.9]: 535 Incorrect authentication data", "nameless"),
            (
                "login authenticator failed for (web) [192.0.2.9]: 435 Unable to authenticate at present (set_id=n): x",
                "nothing",
            ),
            ("no host name found for IP address 192.0.2.9", "nothing"),
        ] {
            assert_eq!(shown(said::<Exim>(&format!("{HEAD}{line}"))), expected, "{line}");
        }
        let syslog = "Nov 26 22:01:02 mx exim[77]: ";
        for own in ["", "2026-11-26 22:01:02 "] {
            let line = format!("{syslog}{own}1abcDE-0002Fg-Hi <= a@b H=(web) [192.0.2.7] P=esmtpsa A=plain:n S=3");
            assert_eq!(shown(said::<Exim>(&line)), "+n 192.0.2.7", "{line}");
        }
    }

    #[test]
    fn a_chosen_name_sender_or_subject_passes_for_nobody_else() {
        for (line, expected) in [
            // Mail without a login, from a sender with blanks.
            (
                "1abcDE-0002Fg-Hi <= \"x H=y [192.0.2.1] P=esmtpsa A=plain:newsletter S=1 \"@evil H=e [192.0.2.9] P=esmtp S=9",
                "nothing",
            ),
            (
                "1abcDE-0002Fg-Hi <= \"x\\\" A=plain:newsletter S=1 \"@evil H=e [192.0.2.9] P=esmtpa A=plain:evil S=9",
                "+evil 192.0.2.9",
            ),
            // A subject and an id are behind the size.
            (
                "1abcDE-0002Fg-Hi <= a@b H=e [192.0.2.9] P=esmtp S=9 id=x A=plain:newsletter T=\"A=plain:newsletter\"",
                "nothing",
            ),
            (
                "1abcDE-0002Fg-Hi <= a@b H=e [192.0.2.9] P=esmtpa A=plain:newsletter S=9 T=\" A=plain:other\"",
                "+newsletter 192.0.2.9",
            ),
            // A host that calls itself by an address, or by a whole line.
            ("1abcDE-0002Fg-Hi <= a@b H=([192.0.2.1]) [192.0.2.9] P=esmtpa A=plain:n S=9", "+n 192.0.2.9"),
            ("1abcDE-0002Fg-Hi <= a@b H=(A=plain:newsletter) [192.0.2.9] P=esmtp S=9", "nothing"),
            ("1abcDE-0002Fg-Hi <= a@b H=(y [192.0.2.1] P=esmtpa A=plain:newsletter z) [192.0.2.9] P=esmtp S=9", "doubtful"),
            (
                "login authenticator failed for (web) [192.0.2.9]: 535 Incorrect authentication data (set_id=x (set_id=newsletter))",
                "-x (set_id=newsletter) 192.0.2.9",
            ),
            (
                "login authenticator failed for (web) [192.0.2.9]: 535 Incorrect authentication data (set_id=y: 535 Incorrect authentication data (set_id=newsletter)",
                "doubtful",
            ),
        ] {
            assert_eq!(shown(said::<Exim>(&format!("{HEAD}{line}"))), expected, "{line}");
        }
    }
}
