//! The one kind of mail: SMTP submission over TLS. Puts the parts of this room together and holds the contract of `Mail`;
//! each `auth` and `send` is a connection of its own, under one limit of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, Outcome};
use lettre::Address;
use tokio::time::timeout;

use super::arrival::Place;
use super::auth::{Answer, XOAUTH2, log_in, log_in_by_token};
use super::classify::{Class, Phase};
use super::client::{Secured, Timeouts, connect};
use super::message::{address, check_nonce, probe};
use super::transcript::Transcript;
use super::{Arrival, ArrivalReport, AuthReport, Mail, SendReport, Verdict, faults};
use crate::config::inventory::SmtpServer;
use crate::oauth::{Bearer, Granted};
use crate::secret::{Login, Secret};
use crate::web::Lost;

/// A server need not answer QUIT; we need not wait for it.
pub(super) const QUIT: Duration = Duration::from_secs(1);
/// What stands for a reply where it did not come to a server: the status of the endpoint that gives tokens.
const NO_TOKEN: u16 = 401;
/// How much of the reply to a message is kept.
const KEPT: usize = 240;

/// Mail over SMTP submission.
pub struct SmtpMail {
    server: SmtpServer,
    from: Address,
    to: Address,
    place: Place,
    timeouts: Timeouts,
    bearer: Option<Arc<Bearer>>,
}

/// What a login is shown by.
enum Shown {
    Password,
    Token(Secret),
    /// It gets no token, by this code.
    Nothing(String),
}

impl SmtpMail {
    /// Mail through `server`, from and to these addresses, looked for in `arrival`. Contacts nobody.
    ///
    /// # Errors
    /// `HO0840` if an address cannot be written into a command.
    pub fn new(server: SmtpServer, from: &str, to: &str, arrival: Arrival, timeouts: Timeouts) -> Result<Self, Fault> {
        let from = address(from, "`probe.from`")?;
        let to = address(to, "`probe.to`")?;
        Ok(Self { server, from, to, place: Place::new(arrival), timeouts, bearer: None })
    }

    /// The same where the server takes tokens, if it does.
    #[must_use]
    pub fn with_bearer(self, bearer: Option<Arc<Bearer>>) -> Self {
        Self { bearer, ..self }
    }

    async fn shown(&self, login: &Login, transcript: &Transcript) -> Result<Shown, Fault> {
        let Some(bearer) = &self.bearer else { return Ok(Shown::Password) };
        match bearer.token(&login.password).await {
            Ok(Granted::Token(token)) => {
                transcript.note("a token was given for the password");
                Ok(Shown::Token(token))
            }
            Ok(Granted::Refused(code)) => {
                transcript.note(&format!("no token was given for the password: {code}"));
                Ok(Shown::Nothing(code))
            }
            Err(Lost::Before(fault) | Lost::Maybe(fault)) => Err(fault),
        }
    }

    /// `auth`, with what was said written down in `transcript`.
    pub async fn auth_noting(&self, login: &Login, transcript: &Transcript) -> Outcome<AuthReport> {
        let talk = async {
            let shown = self.shown(login, transcript).await?;
            if let Shown::Nothing(code) = shown {
                return Ok(Err(code));
            }
            let mut client = connect(&self.server, self.timeouts, transcript.clone()).await?;
            let answer = by(&mut client, login, &shown).await?;
            Ok(Ok((client, answer)))
        };
        // A login changes nothing outside, so even a lost answer is "not done": no verdict.
        let (client, answer) = match self.bounded(talk).await {
            Ok(Ok(found)) => found,
            Ok(Err(code)) => {
                return Outcome::Done(AuthReport {
                    verdict: Verdict::Refused,
                    code: NO_TOKEN,
                    enhanced: Some(code),
                    mechanism: XOAUTH2,
                    tls: "none: no token was given".to_owned(),
                });
            }
            Err(fault) => return Outcome::NotDone(fault),
        };
        let report = AuthReport {
            verdict: answer.verdict,
            code: answer.reply.code,
            enhanced: answer.reply.enhanced.map(|e| e.to_string()),
            mechanism: answer.mechanism,
            tls: client.tls(),
        };
        client.quit(QUIT).await;
        Outcome::Done(report)
    }

    /// `send`, with what was said written down in `transcript`.
    pub async fn send_noting(&self, login: &Login, nonce: &str, transcript: &Transcript) -> Outcome<SendReport> {
        let probe = match probe(&self.from, &self.to, nonce) {
            Ok(probe) => probe,
            Err(fault) => return Outcome::NotDone(fault),
        };
        let sent = AtomicBool::new(false);
        let talk = async {
            let shown = self.shown(login, transcript).await?;
            if let Shown::Nothing(code) = &shown {
                return Err(faults::no_token(code));
            }
            let mut client = connect(&self.server, self.timeouts, transcript.clone()).await?;
            accepted(by(&mut client, login, &shown).await?)?;
            let reply = client.deliver(self.from.as_ref(), self.to.as_ref(), &probe.bytes, &sent).await?;
            Ok::<(Secured, _), Fault>((client, reply))
        };
        match self.bounded(talk).await {
            Ok((client, reply)) => {
                client.quit(QUIT).await;
                Outcome::Done(SendReport { message_id: probe.message_id, reply: reply.summary(KEPT) })
            }
            Err(fault) if sent.load(Ordering::SeqCst) => Outcome::Unknown(faults::doubtful(&fault)),
            Err(fault) => Outcome::NotDone(fault),
        }
    }

    async fn bounded<T>(&self, talk: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let limit = self.timeouts.whole;
        timeout(limit, talk).await.unwrap_or_else(|_| Err(faults::slow("the whole talk", limit)))
    }
}

async fn by(client: &mut Secured, login: &Login, shown: &Shown) -> Result<Answer, Fault> {
    match shown {
        Shown::Token(token) => log_in_by_token(client, login, token).await,
        Shown::Password | Shown::Nothing(_) => log_in(client, login).await,
    }
}

pub(super) fn accepted(answer: Answer) -> Result<(), Fault> {
    match answer.verdict {
        Verdict::Accepted => Ok(()),
        Verdict::Refused => Err(faults::replied(Phase::Auth, Class::Refused, &answer.reply)),
    }
}

#[async_trait]
impl Mail for SmtpMail {
    async fn auth(&self, login: &Login) -> Outcome<AuthReport> {
        self.auth_noting(login, &Transcript::default()).await
    }

    async fn send(&self, login: &Login, nonce: &str) -> Outcome<SendReport> {
        self.send_noting(login, nonce, &Transcript::default()).await
    }

    async fn arrived(&self, nonce: &str, within: Duration) -> Outcome<ArrivalReport> {
        if let Err(fault) = check_nonce(nonce) {
            return Outcome::NotDone(fault);
        }
        match self.place.look(nonce, within, self.timeouts).await {
            Ok(place) => Outcome::Done(ArrivalReport { place }),
            Err(fault) => Outcome::NotDone(fault),
        }
    }

    fn probe_to(&self) -> String {
        self.to.to_string()
    }
}
