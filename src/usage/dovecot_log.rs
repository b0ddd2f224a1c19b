//! The source `dovecot-log`: what Dovecot's login processes and its auth process log. Every login is a line, with its name and address.
//!
//! The forms are those of Dovecot 2.3 and 2.4 with their usual `login_log_format_elements`. The name of a refused login is chosen by
//! the other side, and so is the password that verbose modes write behind it: neither is kept, and a line that can be read in two ways
//! counts for nobody.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Sight;
use super::log::{LogFormat, LogSource, Said, program};
use super::network::address;

/// Dovecot's log as evidence.
pub type DovecotLog = LogSource<Dovecot>;

/// How Dovecot writes. The auth process and the login process may both tell of one refused login: the session tells that it is one.
#[derive(Debug, Default)]
pub struct Dovecot {
    recent: VecDeque<u64>,
}

/// Sessions that are remembered.
const MOST_RECENT: usize = 1024;
/// Nobody tries more often in one connection.
const MOST_TRIES: u64 = 1000;
/// What a refused login is called; the first only says that one of the user databases does not have the name.
const REFUSALS: [&str; 4] =
    [UNKNOWN, "Password mismatch", "pam_authenticate() failed: Authentication failure", "user is disabled"];
const UNKNOWN: &str = "unknown user";

impl LogFormat for Dovecot {
    const KIND: &'static str = "dovecot-log";
    const SIGHT: Sight = Sight::Logins;
    const LIMIT: Option<&'static str> =
        Some("it has the logins that Dovecot takes itself: those that it checks for Postfix are in Postfix's log");

    fn said<'l>(&mut self, rest: &'l str) -> Said<'l> {
        // By syslog, or by Dovecot's own `log_path`.
        let text = match program(rest) {
            Some(("dovecot", text)) => text,
            _ => rest,
        };
        let end = text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'-').count();
        let (service, text) = text.split_at(end);
        match service {
            "auth" | "auth-worker" => self.by_auth(text).unwrap_or(Said::Nothing),
            _ if service.ends_with("-login") => self.by_login(text).unwrap_or(Said::Nothing),
            _ => Said::Nothing,
        }
    }
}

impl Dovecot {
    /// `: Login: user=<NAME>, method=PLAIN, rip=IP, …` and `: Disconnected (auth failed, 3 attempts in 9 secs): user=<NAME>, …`.
    fn by_login<'l>(&mut self, text: &'l str) -> Option<Said<'l>> {
        let text = level(text.strip_prefix(": ")?);
        let (said, text) = text.split_once(": user=<")?;
        let accepted = matches!(said, "Login" | "Logged in");
        let times = match accepted {
            true => 1,
            false => tries(said)?,
        };
        // Behind the name everything is Dovecot's own: the last mark is the genuine one.
        let (name, text) = text.rsplit_once(">, method=")?;
        let ip = text.split_once(", rip=")?.1.split(',').next()?;
        if let (false, Some(session)) = (accepted, text.rsplit_once("session=<").and_then(|(_, s)| s.strip_suffix('>')))
            && self.recent.contains(&hash(session))
        {
            return None;
        }
        if name.is_empty() {
            return Some(if accepted { Said::Nothing } else { Said::Nameless });
        }
        Some(Said::Login { name, address: address(ip), accepted, times })
    }

    /// `: passwd-file(NAME,IP,<SESSION>): Password mismatch`, and since 2.4 `(NAME,IP,sasl:plain)<SESSION>: sql: Password mismatch`.
    fn by_auth<'l>(&mut self, text: &'l str) -> Option<Said<'l>> {
        let text = pid(text);
        let (inside, session, said) = match text.strip_prefix(": ") {
            Some(text) => {
                let text = level(text);
                let text = &text[text.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"-_/".contains(b)).count()..];
                let said = |after: &'l str| after.strip_prefix("): ").filter(|said| refusal(said)).map(|said| (None, said));
                match only(text.strip_prefix('(')?, said) {
                    Only::One(inside, (_, said)) => match inside.rsplit_once(",<") {
                        Some((inside, session)) => (inside, session.strip_suffix('>'), said),
                        None => (inside, None, said),
                    },
                    Only::None => return None,
                    Only::Several => return Some(Said::Doubtful),
                }
            }
            None => match only(text.strip_prefix('(')?, with_session) {
                Only::One(inside, (session, said)) => {
                    (inside.rsplit_once(",sasl:").map_or(inside, |(inside, _)| inside), session, said)
                }
                Only::None => return None,
                Only::Several => return Some(Said::Doubtful),
            },
        };
        let (name, ip) = inside.rsplit_once(',')?;
        let address = Some(address(ip)?);
        if begins(said, UNKNOWN) {
            return Some(Said::Unknown { name, address });
        }
        if let Some(session) = session {
            if self.recent.len() == MOST_RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(hash(session));
        }
        Some(Said::Login { name, address, accepted: false, times: 1 })
    }
}

/// `)<SESSION>: Info: sql: Password mismatch`: the session, and what is said.
fn with_session(after: &str) -> Option<(Option<&str>, &str)> {
    let (session, text) = after.strip_prefix(")<")?.split_once(">: ")?;
    let (passdb, said) = level(text).split_once(": ")?;
    let sound = !session.contains(' ') && !passdb.contains(' ') && refusal(said);
    sound.then_some((Some(session), said))
}

enum Only<'l> {
    None,
    One(&'l str, (Option<&'l str>, &'l str)),
    Several,
}

/// What stands before the only place that `marks`, and what it says there: the text from it on is asked.
fn only<'l>(text: &'l str, marks: impl Fn(&'l str) -> Option<(Option<&'l str>, &'l str)>) -> Only<'l> {
    let mut found = text.match_indices(')').filter_map(|(at, _)| Some((at, marks(&text[at..])?)));
    match (found.next(), found.next()) {
        (None, _) => Only::None,
        (Some((at, said)), None) => Only::One(&text[..at], said),
        (Some(_), Some(_)) => Only::Several,
    }
}

fn refusal(text: &str) -> bool {
    REFUSALS.iter().any(|known| begins(text, known))
}

fn begins(text: &str, known: &str) -> bool {
    text.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known))
}

/// Without `Info: ` and the like before it, which Dovecot's own files have.
fn level(text: &str) -> &str {
    ["Info: ", "Warning: ", "Error: ", "Debug: ", "Fatal: "]
        .iter()
        .find_map(|level| text.strip_prefix(level))
        .unwrap_or(text)
}

/// Without `(4711)` before it, as workers have it.
fn pid(text: &str) -> &str {
    let inside = text.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    match inside {
        Some((pid, rest)) if !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()) && rest.starts_with(": ") => rest,
        _ => text,
    }
}

/// Of `Disconnected (auth failed, 3 attempts in 9 secs)` the 3.
fn tries(said: &str) -> Option<u64> {
    let (_, rest) = said.split_once("(auth failed, ")?;
    let tries: u64 = rest.split(' ').next()?.parse().ok()?;
    Some(tries.clamp(1, MOST_TRIES))
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::log::tests::{said, shown};
    use super::*;

    const SYSLOG: &str = "Nov 26 22:01:02 mx dovecot: ";
    const OWN: &str = "Nov 26 22:01:02 ";

    #[test]
    fn logins_and_refusals_are_read_in_every_form() {
        for (head, line, expected) in [
            (
                SYSLOG,
                "submission-login: Login: user=<newsletter>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, mpid=7, TLS, session=<aX/b+1>",
                "+newsletter 192.0.2.7",
            ),
            (
                OWN,
                "imap-login: Info: Login: user=<a@b>, method=LOGIN, rip=2001:db8::7, lip=::1, mpid=7, secured, session=<x>",
                "+a@b 2001:db8::7",
            ),
            (
                OWN,
                "imap-login: Info: Logged in: user=<n>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, session=<x>",
                "+n 192.0.2.7",
            ),
            (
                SYSLOG,
                "submission-login: Disconnected (auth failed, 3 attempts in 17 secs): user=<n>, method=PLAIN, rip=192.0.2.9, lip=192.0.2.1, TLS, session=<x>",
                "-n 192.0.2.9 x3",
            ),
            (
                OWN,
                "pop3-login: Info: Aborted login (auth failed, 1 attempts in 2 secs): user=<n>, method=PLAIN, rip=192.0.2.9, lip=192.0.2.1",
                "-n 192.0.2.9",
            ),
            (
                SYSLOG,
                "imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<>, method=PLAIN, rip=192.0.2.9, lip=192.0.2.1",
                "nameless",
            ),
            (
                SYSLOG,
                "imap-login: Disconnected (no auth attempts in 5 secs): user=<>, rip=192.0.2.9, lip=192.0.2.1",
                "nothing",
            ),
            (SYSLOG, "auth: passwd-file(n,192.0.2.9,<sess>): unknown user", "?n 192.0.2.9"),
            (SYSLOG, "auth: passwd-file(n,192.0.2.9): Password mismatch", "-n 192.0.2.9"),
            (
                OWN,
                "auth: Info: passwd-file(n,192.0.2.9,<sess>): unknown user (SHA1 of given password: 5baa61)",
                "?n 192.0.2.9",
            ),
            (SYSLOG, "auth-worker(4711): sql(n,192.0.2.9,<sess>): Password mismatch", "-n 192.0.2.9"),
            (
                SYSLOG,
                "auth-worker(4711): Info: pam(n,192.0.2.9): pam_authenticate() failed: Authentication failure (Password mismatch?)",
                "-n 192.0.2.9",
            ),
            (
                OWN,
                "auth(n,192.0.2.9,sasl:login)<sess>: Info: sql: Password mismatch (given password: hunter2)",
                "-n 192.0.2.9",
            ),
            (OWN, "auth: Error: passwd-file(n): Password mismatch", "nothing"),
            (OWN, "auth: Error: sql(n,192.0.2.9): Password query failed: not connected", "nothing"),
            (OWN, "imap(n)<7><sess>: Info: Disconnected: Logged out in=27 out=500", "nothing"),
            (OWN, "master: Warning: Killed with signal 15", "nothing"),
        ] {
            assert_eq!(shown(said::<Dovecot>(&format!("{head}{line}"))), expected, "{line}");
        }
    }

    #[test]
    fn a_chosen_name_or_password_passes_for_nobody_else() {
        for (line, expected) in [
            (
                "imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<x>, method=PLAIN, rip=192.0.2.1, lip=1, session=<y>, method=PLAIN, rip=192.0.2.9, lip=192.0.2.1, session=<z>",
                "-x>, method=PLAIN, rip=192.0.2.1, lip=1, session=<y 192.0.2.9",
            ),
            (
                "imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<x: Login: user=<newsletter>, method=PLAIN, rip=192.0.2.9, lip=192.0.2.1",
                "-x: Login: user=<newsletter 192.0.2.9",
            ),
            ("auth: passwd-file(newsletter,192.0.2.1): Password mismatch,192.0.2.9): unknown user", "doubtful"),
            ("auth: passwd-file(x,192.0.2.9): Password mismatch (given password: x,192.0.2.1): unknown user)", "doubtful"),
            (
                "auth: passwd-file(x,192.0.2.9,<s>): Password mismatch (given password: user=<newsletter>, method=PLAIN, rip=1)",
                "-x 192.0.2.9",
            ),
            (
                "auth(newsletter,192.0.2.1,sasl:plain)<a>: sql: Password mismatch,192.0.2.9,sasl:plain)<b>: Info: sql: unknown user",
                "doubtful",
            ),
            (
                "auth: pam(x rhost=192.0.2.1 user=newsletter,192.0.2.9): unknown user",
                "?x rhost=192.0.2.1 user=newsletter 192.0.2.9",
            ),
        ] {
            assert_eq!(shown(said::<Dovecot>(&format!("{SYSLOG}{line}"))), expected, "{line}");
        }
    }

    #[test]
    fn one_refusal_that_two_processes_tell_of_is_one() {
        let mut dovecot = Dovecot::default();
        let auth = "mx dovecot: auth: passwd-file(n,192.0.2.9,<sess>): Password mismatch";
        let login = "mx dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<n>, method=PLAIN, rip=192.0.2.9, lip=1, session=<sess>";
        assert!(matches!(dovecot.said(auth), Said::Login { .. }));
        assert_eq!(dovecot.said(login), Said::Nothing);
        assert!(matches!(dovecot.said(&login.replace("sess", "other")), Said::Login { .. }));
        for n in 0..2 * MOST_RECENT {
            let _ = dovecot.said(&auth.replace("sess", &n.to_string()));
        }
        assert_eq!(dovecot.recent.len(), MOST_RECENT);
    }
}
