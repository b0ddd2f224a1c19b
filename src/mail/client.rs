//! A small SMTP submission client of our own over tokio-rustls: one connection, one command at a time.
//!
//! Why not `lettre::AsyncSmtpConnection` (0.11.23, read for this): its `starttls` keeps the read buffer over the handshake,
//! so words put in behind the plaintext `220` would be taken for replies of the secured server; its line cap is checked
//! after `read_line` has buffered the whole line; `message` writes the body and the last dot and reads the reply in one
//! call, so that nobody can know whether a lost answer means "not sent" or "unknown"; negative replies come as glued text
//! without their enhanced code; it has no time limits of its own and no SCRAM. Each of these is a promise of this module.
//! `lettre` builds the message (`message.rs`), which it does well.
//!
//! Nothing is sent in clear but EHLO, STARTTLS and QUIT.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use handover_rotation::outcome::Fault;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;

use super::classify::{Class, Phase, classify};
use super::faults;
use super::lines::Lines;
use super::reply::{Assembler, Reply};
use super::tls::{Trust, describe};
use super::transcript::{Hidden, Transcript};
use crate::config::inventory::{SmtpServer, Tls};

/// How long each phase may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The lookup of the name and the TCP connection.
    pub connect: Duration,
    /// The TLS handshake.
    pub handshake: Duration,
    /// The reply to a command.
    pub reply: Duration,
    /// The reply to a step of AUTH: servers that were given wrong passwords answer late on purpose.
    pub auth: Duration,
    /// The reply to the message.
    pub message: Duration,
    /// Everything, from the lookup to the last reply.
    pub whole: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            reply: Duration::from_secs(30),
            auth: Duration::from_secs(45),
            message: Duration::from_secs(60),
            whole: Duration::from_secs(120),
        }
    }
}

impl Timeouts {
    fn of(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Auth => self.auth,
            Phase::Message => self.message,
            _ => self.reply,
        }
    }
}

/// A connection to a submission server.
pub(super) struct Client<S> {
    lines: Lines<S>,
    timeouts: Timeouts,
    hello: String,
    capabilities: Vec<String>,
    transcript: Transcript,
    /// What must not be shown if the server echoes it.
    pub(super) hidden: Hidden,
}

/// A connection that is secured.
pub(super) type Secured = Client<TlsStream<TcpStream>>;

/// Connects and secures the connection in the way that `server` says, up to the EHLO over TLS.
pub(super) async fn connect(server: &SmtpServer, timeouts: Timeouts, transcript: Transcript) -> Result<Secured, Fault> {
    secured(server, timeouts, transcript, tcp(&server.host, server.port, timeouts.connect)).await
}

/// The same over one of these addresses, whatever else the server's name leads to.
pub(super) async fn connect_through(
    server: &SmtpServer,
    places: &[SocketAddr],
    timeouts: Timeouts,
    transcript: Transcript,
) -> Result<Secured, Fault> {
    let stream = first_of(TcpStream::connect(places), &server.host, server.port, timeouts.connect);
    secured(server, timeouts, transcript, stream).await
}

async fn secured(
    server: &SmtpServer,
    timeouts: Timeouts,
    transcript: Transcript,
    stream: impl Future<Output = Result<TcpStream, Fault>>,
) -> Result<Secured, Fault> {
    let trust = Trust { host: server.host.clone(), ca_file: server.ca_file.clone() };
    let config = trust.config().await?;
    let stream = stream.await?;
    let hello = hello(stream.local_addr().ok());
    let stream = match server.tls {
        Tls::Implicit => stream,
        Tls::StartTls => {
            let mut plain = Client::new(stream, timeouts, hello.clone(), transcript.clone());
            plain.greet().await?;
            plain.ehlo().await?;
            plain.start_tls(&server.host).await?
        }
    };
    let stream = trust.handshake(config, stream, timeouts.handshake).await?;
    transcript.note(&describe(&stream));
    let mut client = Client::new(stream, timeouts, hello, transcript);
    if server.tls == Tls::Implicit {
        client.greet().await?;
    }
    // What the server said before TLS is forgotten: anyone could have said it (RFC 3207 section 4.2).
    client.ehlo().await?;
    Ok(client)
}

/// A TCP connection to the first address of `host` that answers.
pub(super) async fn tcp(host: &str, port: u16, limit: Duration) -> Result<TcpStream, Fault> {
    first_of(TcpStream::connect((host, port)), host, port, limit).await
}

async fn first_of(
    connecting: impl Future<Output = std::io::Result<TcpStream>>,
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<TcpStream, Fault> {
    match timeout(limit, connecting).await {
        Err(_) => Err(faults::slow(&format!("the connection to {host}:{port}"), limit)),
        Ok(Err(error)) => Err(faults::connect(host, port, &error)),
        Ok(Ok(stream)) => {
            // Commands are small and each waits for its reply: Nagle's algorithm would only add to the wait.
            _ = stream.set_nodelay(true);
            Ok(stream)
        }
    }
}

/// Our name: the address as a literal, which is always right and tells nothing new (RFC 5321 section 4.1.3).
fn hello(local: Option<SocketAddr>) -> String {
    match local.map(|a| a.ip()) {
        Some(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
        Some(IpAddr::V4(ip)) => format!("[{ip}]"),
        None => "[127.0.0.1]".to_owned(),
    }
}

impl Client<TcpStream> {
    /// STARTTLS. It must be offered, accepted, and followed by nothing in clear.
    async fn start_tls(mut self, host: &str) -> Result<TcpStream, Fault> {
        if !self.capabilities.iter().any(|c| c.eq_ignore_ascii_case("STARTTLS")) {
            return Err(faults::no_starttls(host));
        }
        // Not `command`: here anything unread is an intruder, whatever it says.
        if self.lines.has_unread() {
            return Err(faults::injected());
        }
        self.say(Phase::StartTls, "STARTTLS", None).await?;
        let reply = self.reply(Phase::StartTls).await?;
        check(Phase::StartTls, reply)?;
        self.lines.into_stream().ok_or_else(faults::injected)
    }
}

impl Secured {
    /// Protocol and cipher.
    pub(super) fn tls(&self) -> String {
        describe(self.lines.stream())
    }
}

/// The reply, if it is a success.
fn check(phase: Phase, reply: Reply) -> Result<Reply, Fault> {
    match classify(phase, &reply) {
        Class::Accepted => Ok(reply),
        class => Err(faults::replied(phase, class, &reply)),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    fn new(stream: S, timeouts: Timeouts, hello: String, transcript: Transcript) -> Self {
        let lines = Lines::new(stream);
        Self { lines, timeouts, hello, capabilities: Vec::new(), transcript, hidden: Hidden::default() }
    }

    /// What follows `keyword` in the server's capabilities, in upper case.
    pub(super) fn capability(&self, keyword: &str) -> Vec<String> {
        let mut words = Vec::new();
        for line in &self.capabilities {
            // `AUTH=` is how some old servers write it.
            let line = line.to_ascii_uppercase().replacen('=', " ", 1);
            let mut parts = line.split_ascii_whitespace();
            if parts.next() == Some(keyword) {
                words.extend(parts.map(str::to_owned));
            }
        }
        words
    }

    async fn greet(&mut self) -> Result<(), Fault> {
        let reply = self.reply(Phase::Greeting).await?;
        check(Phase::Greeting, reply).map(drop)
    }

    async fn ehlo(&mut self) -> Result<(), Fault> {
        let reply = self.command(Phase::Ehlo, &format!("EHLO {}", self.hello), None).await?;
        self.capabilities = check(Phase::Ehlo, reply)?.lines.into_iter().skip(1).collect();
        Ok(())
    }

    /// Sends one line and reads the reply, whatever it is. `shown` stands for the line where it is secret.
    pub(super) async fn command(&mut self, phase: Phase, line: &str, shown: Option<&str>) -> Result<Reply, Fault> {
        if self.lines.has_unread() {
            // The one thing that a server may say unasked is that it leaves.
            let early = self.reply(phase).await?;
            return if early.code == 421 { Ok(early) } else { Err(faults::out_of_step(phase.word())) };
        }
        self.say(phase, line, shown).await?;
        self.reply(phase).await
    }

    async fn say(&mut self, phase: Phase, line: &str, shown: Option<&str>) -> Result<(), Fault> {
        self.transcript.client(shown.unwrap_or(line));
        let bytes = zeroize::Zeroizing::new([line.as_bytes(), b"\r\n"].concat());
        self.lines.write(&bytes, self.timeouts.of(phase), phase.word()).await
    }

    pub(super) async fn reply(&mut self, phase: Phase) -> Result<Reply, Fault> {
        let limit = self.timeouts.of(phase);
        let until = Instant::now() + limit;
        let mut assembler = Assembler::default();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = match self.lines.line(left, phase.word()).await {
                Err(fault) if fault.code == "HO0811" => return Err(faults::slow(phase.word(), limit)),
                line => line?,
            };
            let line = if self.hidden.is_in(&line) { hide(&line, &self.hidden) } else { line.to_vec() };
            // A SASL challenge is part of a login: not a secret, and not for logs either.
            let shown = if line.starts_with(b"334") { b"334 [challenge]".as_slice() } else { &line };
            self.transcript.server(&String::from_utf8_lossy(shown));
            let reply = assembler.push(&line).map_err(|error| faults::garbled(phase.word(), error))?;
            if let Some(reply) = reply {
                return Ok(reply);
            }
        }
    }

    /// Sends the message. `sent` is set just before the last dot goes out: from then on a lost answer proves nothing.
    pub(super) async fn deliver(&mut self, from: &str, to: &str, message: &[u8], sent: &AtomicBool) -> Result<Reply, Fault> {
        let commands = [
            (Phase::Mail, format!("MAIL FROM:<{from}>")),
            (Phase::Rcpt, format!("RCPT TO:<{to}>")),
            (Phase::Data, "DATA".into()),
        ];
        for (phase, line) in commands {
            let reply = self.command(phase, &line, None).await?;
            check(phase, reply)?;
        }
        self.transcript.client(&format!("[message of {} bytes]", message.len()));
        self.lines.write(&stuffed(message), self.timeouts.message, Phase::Message.word()).await?;
        sent.store(true, Ordering::SeqCst);
        self.say(Phase::Message, ".", None).await?;
        let reply = self.reply(Phase::Message).await?;
        let class = classify(Phase::Message, &reply);
        if class != Class::Unexpected {
            // A clear word, for good or ill: there is no doubt any more.
            sent.store(false, Ordering::SeqCst);
        }
        if class == Class::Accepted { Ok(reply) } else { Err(faults::replied(Phase::Message, class, &reply)) }
    }

    /// A client that has sent what is in `hidden`: for the fuzz targets.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn listening(stream: S, transcript: Transcript, hidden: &[u8]) -> Self {
        let mut client = Self::new(stream, Timeouts::default(), String::new(), transcript);
        client.hidden.add(hidden);
        client
    }

    /// Leaves politely, for `limit` at the longest. How it ends does not matter: the outcome is known by now.
    pub(super) async fn quit(mut self, limit: Duration) {
        _ = timeout(limit, self.command(Phase::Ehlo, "QUIT", None)).await;
    }
}

/// A line that echoes the password: only its code and enhanced code are kept.
fn hide(line: &[u8], hidden: &Hidden) -> Vec<u8> {
    let head = line.get(..4).unwrap_or_default();
    let enhanced: Vec<u8> = line.iter().skip(4).copied().take_while(|b| b.is_ascii_digit() || *b == b'.').take(11).collect();
    let whole = enhanced.iter().filter(|b| **b == b'.').count() == 2 && !hidden.is_in(&enhanced);
    let enhanced = if whole { enhanced } else { Vec::new() };
    [head, &enhanced, b" [hidden: it repeats the password]"].concat()
}

/// The message with dots doubled at the beginnings of lines, every line ended by CRLF.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    let message = message.strip_suffix(b"\n").unwrap_or(message);
    for line in message.split(|b| *b == b'\n') {
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::{Client, Hidden, Timeouts, Transcript, hello, hide, stuffed};

    /// Takes MAIL, RCPT and DATA, then this many bytes of the message, and goes.
    async fn takes(mut server: DuplexStream, bytes: usize) {
        for (line, reply) in [("MAIL FROM:<a>\r\n", "250 \r\n"), ("RCPT TO:<b>\r\n", "250 \r\n"), ("DATA\r\n", "354 \r\n")] {
            let mut heard = vec![0; line.len()];
            server.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, line.as_bytes());
            server.write_all(reply.as_bytes()).await.unwrap();
        }
        let mut heard = vec![0; bytes];
        server.read_exact(&mut heard).await.unwrap();
    }

    #[tokio::test]
    async fn it_is_known_whether_the_last_dot_went_out() {
        let message = [b'x'; 1000];
        // The pipe holds one byte, the body is 1002 bytes and the dot's line 3: at 1000 a byte of the body is still with us,
        // at 1003 the dot has been read and its line end has not.
        for (read, sent) in [(0, false), (500, false), (1000, false), (1002, true), (1003, true), (1005, true)] {
            let (ours, theirs) = tokio::io::duplex(1);
            let flag = AtomicBool::new(false);
            let mut client = Client::new(ours, Timeouts::default(), String::new(), Transcript::default());
            let (result, ()) = tokio::join!(client.deliver("a", "b", &message, &flag), takes(theirs, read));
            assert_eq!(result.unwrap_err().code, "HO0812");
            assert_eq!(flag.load(Ordering::SeqCst), sent, "{read}");
        }
    }

    #[test]
    fn dots_and_line_ends() {
        let table: [(&[u8], &[u8]); 5] = [
            (b"a\r\nb\r\n", b"a\r\nb\r\n"),
            (b"a\nb", b"a\r\nb\r\n"),
            (b".\r\n..x\r\n", b"..\r\n...x\r\n"),
            (b"", b"\r\n"),
            (b"a\r\n\r\n.", b"a\r\n\r\n..\r\n"),
        ];
        for (message, want) in table {
            assert_eq!(stuffed(message), want);
        }
    }

    #[test]
    fn an_echo_keeps_only_its_codes() {
        let mut hidden = Hidden::default();
        hidden.add(b"7.8.9");
        let table: [(&[u8], &[u8]); 5] = [
            (b"535 7.8.9 is wrong", b"535  [hidden: it repeats the password]"),
            (b"535 5.7.8 pencil is wrong", b"535 5.7.8 [hidden: it repeats the password]"),
            (b"535-pencil", b"535- [hidden: it repeats the password]"),
            (b"535 12345", b"535  [hidden: it repeats the password]"),
            (b"x", b" [hidden: it repeats the password]"),
        ];
        for (line, want) in table {
            assert_eq!(hide(line, &hidden), want);
        }
    }

    #[test]
    fn our_name_is_an_address() {
        assert_eq!(hello("127.0.0.1:1".parse().ok()), "[127.0.0.1]");
        assert_eq!(hello("[::1]:1".parse().ok()), "[IPv6:::1]");
        assert_eq!(hello(None), "[127.0.0.1]");
    }
}
