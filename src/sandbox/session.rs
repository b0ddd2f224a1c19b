//! One SMTP dialogue (RFC 5321, 4954, 3207): what may be said when, and what is answered. Its replies are those of a real
//! submission server; the faults change them where they say so.

use std::io;
use std::sync::Arc;

use handover_rotation::name::Username;
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN, AUTH_SCRAM_SHA_256, Error, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

use super::deliver::Envelope;
use super::login::{Verdict, judge};
use super::sasl::{self, Presented, Scram};
use super::smtp::Server;
use super::wire::{Content, Line, MOST_MESSAGE, Wire};
use crate::providers::sandbox::faults::{Effect, Stage, take_drop};

const MOST_COMMANDS: u32 = 500;
const MOST_REFUSALS: u32 = 5;
const MOST_RECIPIENTS: usize = 100;

/// How a dialogue ended.
pub(super) enum End<S> {
    /// It is over.
    Closed,
    /// TLS begins now on the stream.
    StartTls(S),
}

/// What comes after a command.
enum Next {
    Go,
    Close,
    StartTls,
}

/// One dialogue.
pub(super) struct Session<S> {
    server: Arc<Server>,
    wire: Wire<S>,
    secure: bool,
    helo: Option<String>,
    login: Option<String>,
    from: Option<String>,
    to: Vec<String>,
    refusals: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) fn new(server: Arc<Server>, stream: S, secure: bool) -> Self {
        let wire = Wire::new(stream);
        Self { server, wire, secure, helo: None, login: None, from: None, to: Vec::new(), refusals: 0 }
    }

    /// Talks until the end. `greet` is false after STARTTLS, where the client speaks first.
    pub(super) async fn run(mut self, greet: bool) -> io::Result<End<S>> {
        if greet && self.server.faults().smtp_down {
            self.reply("421 4.3.2 localhost is going down, try again later").await?;
            self.wire.close().await;
            return Ok(End::Closed);
        }
        if greet {
            self.reply("220 localhost ESMTP Handover sandbox").await?;
        }
        for _ in 0..MOST_COMMANDS {
            let line = match self.wire.line().await {
                Ok(Line::Text(line)) => line,
                Ok(Line::TooLong) => {
                    self.reply("500 5.5.2 Line too long").await?;
                    continue;
                }
                Ok(Line::Closed) => return Ok(End::Closed),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    self.reply("421 4.4.2 Idle for too long").await?;
                    break;
                }
                Err(error) => return Err(error),
            };
            match self.command(&line).await? {
                Next::Go => {}
                Next::Close => {
                    self.wire.close().await;
                    return Ok(End::Closed);
                }
                Next::StartTls => return Ok(End::StartTls(self.wire.into_stream())),
            }
        }
        self.reply("421 4.7.0 Too many commands").await?;
        self.wire.close().await;
        Ok(End::Closed)
    }

    async fn command(&mut self, line: &[u8]) -> io::Result<Next> {
        let request = match Request::parse(&mut line.iter()) {
            Ok(request) => request,
            Err(error) => {
                let is_auth = line.get(..5).is_some_and(|word| word.eq_ignore_ascii_case(b"AUTH "));
                return self
                    .go(if is_auth { "504 5.5.4 Unrecognized authentication type" } else { words_for(&error) })
                    .await;
            }
        };
        match request {
            Request::Quit => {
                self.reply("221 2.0.0 Bye").await?;
                Ok(Next::Close)
            }
            Request::Noop { .. } => self.go("250 2.0.0 OK").await,
            Request::Ehlo { host } => {
                self.helo = Some(host.into_owned());
                self.reset();
                self.ehlo().await
            }
            Request::Helo { host } => {
                self.helo = Some(host.into_owned());
                self.reset();
                self.go("250 localhost").await
            }
            Request::StartTls if self.secure => self.go("503 5.5.1 TLS already active").await,
            Request::StartTls => {
                self.reply("220 2.0.0 Ready to start TLS").await?;
                Ok(Next::StartTls)
            }
            _ if !self.secure => self.go("530 5.7.0 Must issue a STARTTLS command first").await,
            Request::Rset => {
                self.reset();
                self.go("250 2.0.0 OK").await
            }
            _ if self.helo.is_none() => self.go("503 5.5.1 Send EHLO first").await,
            Request::Auth { mechanism, initial_response } => {
                let initial = Zeroizing::new(initial_response.into_owned());
                self.auth(mechanism, &initial).await
            }
            Request::Mail { from } => self.mail(&from.address, from.size).await,
            Request::Rcpt { to } => self.rcpt(&to.address).await,
            Request::Data => self.data().await,
            Request::Vrfy { .. } => self.go("252 2.5.2 Cannot VRFY user, but will take a message").await,
            _ => self.go("502 5.5.1 Command not implemented").await,
        }
    }

    async fn ehlo(&mut self) -> io::Result<Next> {
        let extra = if self.secure { "AUTH PLAIN LOGIN SCRAM-SHA-256" } else { "STARTTLS" };
        let text = format!(
            "250-localhost\r\n250-PIPELINING\r\n250-SIZE {MOST_MESSAGE}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
             250-ENHANCEDSTATUSCODES\r\n250 {extra}"
        );
        self.go(&text).await
    }

    async fn auth(&mut self, mechanism: u64, initial: &str) -> io::Result<Next> {
        if self.login.is_some() {
            return self.go("503 5.5.1 Already authenticated").await;
        }
        if self.from.is_some() {
            return self.go("503 5.5.1 AUTH not permitted during a mail transaction").await;
        }
        let proof = match mechanism {
            AUTH_PLAIN => self.plain(initial).await?,
            AUTH_LOGIN => self.login(initial).await?,
            AUTH_SCRAM_SHA_256 => self.scram(initial).await?,
            _ => return self.go("504 5.5.4 Unrecognized authentication type").await,
        };
        let Some((username, presented)) = proof else {
            return self.go("501 5.5.2 Cannot decode the response").await;
        };
        let (server, name) = (Arc::clone(&self.server), username.clone());
        // Usernames come from outside: one that could not be ours is not even looked up.
        let known = Username::new(username.as_str()).is_ok();
        let judged = tokio::task::spawn_blocking(move || judge(&server.ledger, &name, &presented));
        let verdict = if known { judged.await.unwrap_or(Ok(Verdict::Later)) } else { Ok(Verdict::Refused) };
        match verdict {
            Ok(Verdict::Accepted(last_word)) => {
                if let Some(word) = last_word {
                    // The client's answer to it is empty; whatever it is, it has proven its password.
                    if self.ask(&sasl::encode(&word)).await?.is_none() {
                        return self.go("501 5.7.0 Authentication cancelled").await;
                    }
                }
                self.login = Some(username);
                self.go("235 2.7.0 Authentication successful").await
            }
            Ok(Verdict::Refused) => {
                self.refusals += 1;
                if self.refusals >= MOST_REFUSALS {
                    self.reply("421 4.7.0 Too many failed logins").await?;
                    return Ok(Next::Close);
                }
                self.go("535 5.7.8 Error: authentication failed").await
            }
            Ok(Verdict::Later) => self.go("454 4.7.0 Temporary authentication failure").await,
            Err(fault) => {
                tracing::warn!(%fault, "sandbox: a login cannot be judged");
                self.go("454 4.7.0 Temporary authentication failure").await
            }
        }
    }

    async fn plain(&mut self, initial: &str) -> io::Result<Option<(String, Presented)>> {
        let Some(message) = self.first(initial, "").await? else { return Ok(None) };
        Ok(sasl::plain(&message).map(|(username, password)| (username, Presented::Password(password))))
    }

    async fn login(&mut self, initial: &str) -> io::Result<Option<(String, Presented)>> {
        let Some(username) = self.first(initial, "Username:").await? else { return Ok(None) };
        let Some(password) = self.ask(&sasl::encode("Password:")).await? else { return Ok(None) };
        let username = String::from_utf8(username.to_vec()).ok();
        Ok(username.zip(sasl::secret(&password).map(Presented::Password)))
    }

    async fn scram(&mut self, initial: &str) -> io::Result<Option<(String, Presented)>> {
        let Some(first) = self.first(initial, "").await? else { return Ok(None) };
        let Some(scram) = Scram::begin(&first) else { return Ok(None) };
        let Some(last) = self.ask(&sasl::encode(scram.server_first())).await? else { return Ok(None) };
        Ok(scram.finish(&last).map(|proof| (scram.username, Presented::Scram(proof))))
    }

    /// The client's first message: from the command, or asked for.
    async fn first(&mut self, initial: &str, question: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        if initial.is_empty() { self.ask(&sasl::encode(question)).await } else { Ok(sasl::decode(initial.as_bytes())) }
    }

    /// Sends a challenge; `None` when the client cancels with `*`, leaves, or sends what is not base64.
    async fn ask(&mut self, challenge: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        self.reply(&format!("334 {challenge}")).await?;
        match self.wire.line().await? {
            Line::Text(line) => Ok(sasl::decode(&line)),
            Line::TooLong | Line::Closed => Ok(None),
        }
    }

    async fn mail(&mut self, from: &str, size: usize) -> io::Result<Next> {
        if self.login.is_none() {
            return self.go("530 5.7.0 Authentication required").await;
        }
        if self.from.is_some() {
            return self.go("503 5.5.1 Nested MAIL command").await;
        }
        if size > MOST_MESSAGE {
            return self.go("552 5.3.4 Message too big").await;
        }
        if self.later(Stage::Mail) {
            return self.go("451 4.3.0 Temporary server error, try again later").await;
        }
        self.from = Some(from.to_owned());
        self.go("250 2.1.0 OK").await
    }

    async fn rcpt(&mut self, to: &str) -> io::Result<Next> {
        if self.from.is_none() {
            return self.go("503 5.5.1 Send MAIL first").await;
        }
        if to.is_empty() {
            // The parser allows the null path, which only senders may have.
            return self.go("501 5.1.3 Bad recipient address").await;
        }
        if self.to.len() >= MOST_RECIPIENTS {
            return self.go("452 4.5.3 Too many recipients").await;
        }
        if self.later(Stage::Rcpt) {
            return self.go("451 4.3.0 Temporary server error, try again later").await;
        }
        self.to.push(to.to_owned());
        self.go("250 2.1.5 OK").await
    }

    async fn data(&mut self) -> io::Result<Next> {
        let (Some(login), Some(from)) = (self.login.clone(), self.from.clone()) else {
            return self.go("503 5.5.1 Send MAIL first").await;
        };
        if self.to.is_empty() {
            return self.go("503 5.5.1 Send RCPT first").await;
        }
        self.reply("354 End data with <CR><LF>.<CR><LF>").await?;
        let content = match self.wire.content().await? {
            Content::Taken(content) => content,
            Content::TooBig => {
                self.reset();
                return self.go("552 5.3.4 Message too big").await;
            }
            Content::Closed => return Ok(Next::Close),
        };
        let to = std::mem::take(&mut self.to);
        self.reset();
        if self.later(Stage::Data) {
            return self.go("451 4.3.0 Temporary server error, try again later").await;
        }
        let envelope = Envelope { helo: self.helo.clone().unwrap_or_default(), username: login, from, to };
        let server = Arc::clone(&self.server);
        let work = move || {
            let id = server.mail.deliver(&envelope, &content)?;
            let lost = take_drop(server.ledger.dir(), Effect::Send).unwrap_or_else(|fault| {
                tracing::warn!(%fault, "sandbox: no answer is dropped");
                false
            });
            Ok::<_, io::Error>((id, lost))
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok((_, true))) => Ok(Next::Close),
            Ok(Ok((id, false))) => self.go(&format!("250 2.0.0 OK: queued as {id}")).await,
            Ok(Err(error)) => {
                tracing::warn!(%error, "sandbox: cannot deliver a message");
                self.go("452 4.3.1 Cannot store the message").await
            }
            Err(_) => self.go("451 4.3.0 Temporary server error, try again later").await,
        }
    }

    fn later(&self, stage: Stage) -> bool {
        self.server.faults().smtp_4xx == Some(stage)
    }

    fn reset(&mut self) {
        self.from = None;
        self.to.clear();
    }

    async fn reply(&mut self, text: &str) -> io::Result<()> {
        let delay = self.server.faults().delay();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.wire.send(&format!("{text}\r\n")).await
    }

    async fn go(&mut self, text: &str) -> io::Result<Next> {
        self.reply(text).await.map(|()| Next::Go)
    }
}

fn words_for(error: &Error) -> &'static str {
    match error {
        Error::UnknownCommand => "500 5.5.1 Command unrecognized",
        Error::InvalidSenderAddress => "501 5.1.7 Bad sender address",
        Error::InvalidRecipientAddress => "501 5.1.3 Bad recipient address",
        Error::UnsupportedParameter { .. } => "555 5.5.4 Unsupported parameter",
        _ => "501 5.5.4 Syntax error",
    }
}
