//! Looks for a probe over IMAP (RFC 3501): LOGIN, EXAMINE, UID SEARCH, over TLS from the first byte. EXAMINE opens the
//! mailbox read-only, so looking marks nothing.
//!
//! Five commands of our own instead of `async-imap` (0.12.0, read for this): that crate writes each command to the `log`
//! crate at trace level, LOGIN with its password in clear among them, buffers answers of up to 512 MiB, and quotes the
//! server's bytes in its errors. Marked secrets must not be in logs at any level.

use std::path::PathBuf;
use std::time::Duration;

use handover_rotation::outcome::{Fault, FaultClass};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout_at};
use zeroize::Zeroizing;

use super::super::client::{Timeouts, tcp};
use super::super::faults;
use super::super::lines::Lines;
use super::super::message::NONCE_HEADER;
use super::super::reply::escape;
use super::super::tls::Trust;
use super::super::transcript::Hidden;
use crate::secret::Secret;

/// The most lines of an answer.
const MOST_LINES: usize = 4096;
/// The longest literal in an answer.
const MOST_LITERAL: usize = 64 * 1024;
/// The wait after the first look, and the longest wait. Servers dislike more.
const WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// How much of an answer a message quotes.
const QUOTED: usize = 160;

/// A mailbox.
pub(in crate::mail) struct Mailbox {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) username: String,
    pub(super) password: Secret,
    pub(super) mailbox: String,
}

impl Mailbox {
    pub(super) async fn look(&self, nonce: &str, within: Duration, timeouts: Timeouts) -> Result<String, Fault> {
        let until = Instant::now() + within;
        let mut trouble: Option<Fault> = None;
        let mut wait = WAITS.0;
        loop {
            match timeout_at(until, self.watch(nonce, timeouts, &mut trouble)).await {
                Ok(Ok(uid)) => return Ok(format!("UID {uid} in {}", escape(self.mailbox.as_bytes()))),
                Ok(Err(fault)) if fault.class != FaultClass::Temporary => return Err(fault),
                // The connection was lost: take another, if there is time.
                Ok(Err(fault)) => trouble = Some(fault),
                Err(_) => {}
            }
            if Instant::now() + wait >= until {
                let place = format!("{} at {}", escape(self.mailbox.as_bytes()), self.host);
                let trouble = trouble.map(|t| format!("{} ({})", t.message, t.code));
                return Err(faults::not_arrived(&place, within, trouble.as_deref()));
            }
            sleep(wait).await;
            wait = (wait * 2).min(WAITS.1);
        }
    }

    /// One connection, until the message is there.
    async fn watch(&self, nonce: &str, timeouts: Timeouts, trouble: &mut Option<Fault>) -> Result<u32, Fault> {
        let trust = Trust { host: self.host.clone(), ca_file: self.ca_file.clone() };
        let config = trust.config().await?;
        let stream = tcp(&self.host, self.port, timeouts.connect).await?;
        let stream = trust.handshake(config, stream, timeouts.handshake).await?;
        let mut talk = Talk { lines: Lines::new(stream), count: 0, limit: timeouts.reply, hidden: Hidden::default() };
        talk.enter(self).await?;
        // Everything works: what went wrong before no longer explains a message that is missing.
        *trouble = None;
        let mut wait = WAITS.0;
        loop {
            if let Some(uid) = talk.search(nonce).await? {
                talk.leave().await;
                return Ok(uid);
            }
            sleep(wait).await;
            wait = (wait * 3 / 2).min(WAITS.1);
            // Some servers look for new mail only when asked.
            talk.ask("NOOP", "NOOP").await?;
        }
    }
}

/// How a command ended.
struct Answer {
    /// `OK`, `NO`, `BAD`.
    status: String,
    /// The text behind it, safe to show.
    text: String,
    /// The untagged lines before it, without their `* `.
    untagged: Vec<String>,
}

impl Answer {
    fn is_ok(&self) -> bool {
        self.status == "OK"
    }
}

struct Talk<S> {
    lines: Lines<S>,
    count: u32,
    limit: Duration,
    hidden: Hidden,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    /// Greeting, LOGIN and EXAMINE.
    async fn enter(&mut self, mailbox: &Mailbox) -> Result<(), Fault> {
        // From the first word on: a server may have kept the password from the connection before.
        let password = mailbox.password.expose();
        self.hidden.add(password.as_bytes());
        self.hidden.add(Zeroizing::new(quoted(password)).as_bytes());
        let greeting = self.line("the IMAP greeting").await?;
        let kind = greeting.split_ascii_whitespace().nth(1).unwrap_or_default().to_ascii_uppercase();
        if kind != "OK" && kind != "PREAUTH" {
            let said = format!("the IMAP server greets with {}", cut(&greeting));
            return Err(if kind == "BYE" { faults::imap(said) } else { faults::imap_broken(said) });
        }
        if kind == "OK" {
            self.log_in(mailbox).await?;
        }
        if !mailbox.mailbox.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err(faults::imap_mailbox("mailbox names beyond ASCII are not supported".to_owned()));
        }
        let answer = self.ask(&format!("EXAMINE {}", quoted(&mailbox.mailbox)), "EXAMINE").await?;
        if answer.is_ok() { Ok(()) } else { Err(faults::imap_mailbox(said("EXAMINE", &answer))) }
    }

    async fn log_in(&mut self, mailbox: &Mailbox) -> Result<(), Fault> {
        let offered = self.ask("CAPABILITY", "CAPABILITY").await?;
        if offered.untagged.iter().any(|l| l.to_ascii_uppercase().split_ascii_whitespace().any(|w| w == "LOGINDISABLED")) {
            return Err(faults::imap_login("the IMAP server does not allow LOGIN".to_owned()));
        }
        let password = mailbox.password.expose();
        let tag = self.tag();
        let mut line = Zeroizing::new(format!("{tag} LOGIN"));
        for word in [mailbox.username.as_str(), password] {
            if word.bytes().all(|b| matches!(b, b' '..=b'~')) {
                line.push(' ');
                line.push_str(&Zeroizing::new(quoted(word)));
            } else {
                // Whatever else it holds goes as a literal, which the server has to ask for.
                if word.contains('\0') {
                    return Err(faults::imap_login("IMAP cannot carry a NUL in a username or password".to_owned()));
                }
                line.push_str(&format!(" {{{}}}", word.len()));
                self.write(&line, "LOGIN").await?;
                let ready = self.line("LOGIN").await?;
                if !ready.starts_with('+') {
                    return Err(faults::imap_login(format!("the IMAP server answered LOGIN with {}", cut(&ready))));
                }
                line = Zeroizing::new(word.to_owned());
            }
        }
        self.write(&line, "LOGIN").await?;
        let answer = self.answer(&tag, "LOGIN").await?;
        if answer.is_ok() {
            return Ok(());
        }
        let unavailable = answer.text.to_ascii_uppercase().starts_with("[UNAVAILABLE]");
        Err(if unavailable { faults::imap(said("LOGIN", &answer)) } else { faults::imap_login(said("LOGIN", &answer)) })
    }

    async fn search(&mut self, nonce: &str) -> Result<Option<u32>, Fault> {
        // Our own probes have the header; a service puts the nonce in its subject.
        let nonce = quoted(nonce);
        let search = format!("UID SEARCH OR HEADER {NONCE_HEADER} {nonce} SUBJECT {nonce}");
        let answer = self.ask(&search, "SEARCH").await?;
        if !answer.is_ok() {
            return Err(faults::imap_mailbox(said("SEARCH", &answer)));
        }
        let mut uids = answer.untagged.iter().filter_map(|line| {
            let (word, rest) = line.split_once(' ')?;
            word.eq_ignore_ascii_case("SEARCH").then(|| rest.split_ascii_whitespace().find_map(|uid| uid.parse().ok()))?
        });
        Ok(uids.next())
    }

    async fn leave(&mut self) {
        self.limit = Duration::from_secs(2);
        _ = self.ask("LOGOUT", "LOGOUT").await;
    }

    fn tag(&mut self) -> String {
        self.count += 1;
        format!("h{}", self.count)
    }

    async fn ask(&mut self, command: &str, what: &str) -> Result<Answer, Fault> {
        let tag = self.tag();
        self.write(&format!("{tag} {command}"), what).await?;
        self.answer(&tag, what).await
    }

    async fn write(&mut self, line: &str, what: &str) -> Result<(), Fault> {
        let bytes = Zeroizing::new([line.as_bytes(), b"\r\n"].concat());
        self.lines.write(&bytes, self.limit, what).await
    }

    async fn answer(&mut self, tag: &str, what: &str) -> Result<Answer, Fault> {
        let mut untagged = Vec::new();
        loop {
            let line = self.line(what).await?;
            if let Some(rest) = line.strip_prefix("* ") {
                if untagged.len() >= MOST_LINES {
                    return Err(faults::imap_broken(format!("the answer to {what} is longer than any honest answer")));
                }
                untagged.push(rest.to_owned());
            } else if let Some(rest) = line.strip_prefix(tag).and_then(|r| r.strip_prefix(' ')) {
                let (status, text) = rest.split_once(' ').unwrap_or((rest, ""));
                return Ok(Answer { status: status.to_ascii_uppercase(), text: text.to_owned(), untagged });
            } else {
                return Err(faults::imap_broken(format!("the IMAP server answered {what} with {}", cut(&line))));
            }
        }
    }

    /// One line of the server with its literals, safe to show.
    async fn line(&mut self, what: &str) -> Result<String, Fault> {
        let mut whole = Zeroizing::new(Vec::new());
        loop {
            let line = match self.lines.line(self.limit, what).await {
                Err(fault) if fault.code == "HO0813" => return Err(faults::imap_broken(fault.message)),
                line => line?,
            };
            whole.extend_from_slice(&line);
            let Some(count) = literal(&line) else { break };
            // Not by a sum: the server chooses the number.
            if count > MOST_LITERAL.saturating_sub(whole.len()) {
                return Err(faults::imap_broken(format!("the answer to {what} is longer than any honest answer")));
            }
            whole.extend_from_slice(&Zeroizing::new(self.lines.exactly(count, self.limit, what).await?));
        }
        // Looked for in the whole: half of a password may stand in a literal, and the other half behind it.
        Ok(if self.hidden.is_in(&whole) { status_of(&whole) } else { escape(&whole) })
    }
}

/// Login and one search over this stream, with a password of its own: for the fuzz targets.
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::mail) async fn search<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    password: &str,
    limit: Duration,
) -> Result<Option<u32>, Fault> {
    let text = str::to_owned;
    let (host, username, mailbox) = (text("imap.example.com"), text("probe"), text("INBOX"));
    let password = Secret::new(text(password));
    let mailbox = Mailbox { host, port: 993, ca_file: None, username, password, mailbox };
    let mut talk = Talk { lines: Lines::new(stream), count: 0, limit, hidden: Hidden::default() };
    talk.enter(&mailbox).await?;
    talk.search("0123456789abcdef").await
}

/// A line that echoes the password: only its first two words are kept, if they are what we look for.
fn status_of(line: &[u8]) -> String {
    let text = escape(line);
    let mut words = text.split(' ');
    let tag = words.next().filter(|w| *w == "*" || w.strip_prefix('h').is_some_and(|n| n.parse::<u32>().is_ok()));
    let status = words.next().filter(|w| matches!(*w, "OK" | "NO" | "BAD" | "BYE"));
    format!("{} {} [hidden: it repeats the password]", tag.unwrap_or("?"), status.unwrap_or("?"))
}

/// The size of the literal that `line` announces at its end.
fn literal(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|b| *b == b'{')?;
    std::str::from_utf8(&inner[open + 1..]).ok()?.parse().ok()
}

fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

fn cut(line: &str) -> String {
    line.chars().take(QUOTED).collect()
}

fn said(what: &str, answer: &Answer) -> String {
    format!("the IMAP server answered {what} with {} {}", cut(&answer.status), cut(&answer.text))
}
