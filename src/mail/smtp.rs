//! The one kind of mail: SMTP submission over TLS. Puts the parts of this room together and holds the contract of `Mail`;
//! each `auth` and `send` is a connection of its own, under one limit of time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, Outcome};
use lettre::Address;
use tokio::time::timeout;

use super::arrival::Place;
use super::auth::{Answer, log_in};
use super::classify::{Class, Phase};
use super::client::{Secured, Timeouts, connect};
use super::message::{address, check_nonce, probe};
use super::transcript::Transcript;
use super::{Arrival, ArrivalReport, AuthReport, Mail, SendReport, Verdict, faults};
use crate::config::inventory::SmtpServer;
use crate::secret::Login;

/// A server need not answer QUIT; we need not wait for it.
pub(super) const QUIT: Duration = Duration::from_secs(1);
/// How much of the reply to a message is kept.
const KEPT: usize = 240;

/// Mail over SMTP submission.
pub struct SmtpMail {
    server: SmtpServer,
    from: Address,
    to: Address,
    place: Place,
    timeouts: Timeouts,
}

impl SmtpMail {
    /// Mail through `server`, from and to these addresses, looked for in `arrival`. Contacts nobody.
    ///
    /// # Errors
    /// `HO0840` if an address cannot be written into a command.
    pub fn new(server: SmtpServer, from: &str, to: &str, arrival: Arrival, timeouts: Timeouts) -> Result<Self, Fault> {
        let from = address(from, "`probe.from`")?;
        let to = address(to, "`probe.to`")?;
        Ok(Self { server, from, to, place: Place::new(arrival), timeouts })
    }

    /// `auth`, with what was said written down in `transcript`.
    pub async fn auth_noting(&self, login: &Login, transcript: &Transcript) -> Outcome<AuthReport> {
        let talk = async {
            let mut client = connect(&self.server, self.timeouts, transcript.clone()).await?;
            let answer = log_in(&mut client, login).await?;
            Ok((client, answer))
        };
        // A login changes nothing outside, so even a lost answer is "not done": no verdict.
        let (client, answer) = match self.bounded(talk).await {
            Ok(found) => found,
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
            let mut client = connect(&self.server, self.timeouts, transcript.clone()).await?;
            accepted(log_in(&mut client, login).await?)?;
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
