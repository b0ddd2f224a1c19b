//! The mail server of the world, with its weather.

use std::time::Duration;

use async_trait::async_trait;
use handover::mail::{ArrivalReport, AuthReport, Mail, SendReport, Verdict};
use handover::secret::Login;
use handover_rotation::outcome::{FaultClass, Outcome};

use super::faults::Kind;
use super::net::{Call, Port, fault};
use super::places::pair;
use super::script::{Harm, Nature, Place};
use super::world::{Pair, State, World};

/// The mail server; with how long a change of a version takes to be known to it.
pub(crate) struct Server(pub(crate) Port, pub(crate) u64);

impl World {
    fn weather(&mut self, now: u64) -> Option<Outcome<()>> {
        let Self { faults, chance, .. } = self;
        if faults.strikes(Kind::Storm, now, chance) {
            self.storm = now + chance.between(30_000, 1_200_000);
        }
        let storm = now < self.storm && !faults.over(now);
        if storm || faults.strikes(Kind::MailLater, now, chance) {
            return Some(Outcome::NotDone(fault(FaultClass::Temporary, "451 later")));
        }
        if faults.strikes(Kind::MailPolicy, now, chance) {
            return Some(Outcome::NotDone(fault(FaultClass::Environment, "554 policy")));
        }
        None
    }

    /// Whether a login is accepted, by a server that may not know the last change yet.
    fn accepts(&mut self, now: u64, login: &Pair, spread: u64) -> bool {
        let unspread = spread > 0 && self.faults.strikes(Kind::Unspread, now, &mut self.chance);
        let at = if unspread { now.saturating_sub(self.chance.below(spread)) } else { now };
        let Some(id) = self.version_of(login).map(str::to_owned) else { return false };
        let Some(version) = self.versions.get_mut(&id) else { return false };
        let accepted = version.state_at(at) == Some(State::Active);
        if accepted {
            version.used = Some(now);
        } else {
            version.refused = Some(now);
        }
        accepted
    }

    /// A mail is handed in.
    pub(crate) fn submit(&mut self, now: u64, login: &Pair, nonce: &str) -> Outcome<()> {
        if let Some(refused) = self.weather(now) {
            return refused;
        }
        let spread = self.book.plan.as_ref().map_or(0, |p| p.facts.propagation.0);
        if !self.accepts(now, login, spread) {
            return Outcome::NotDone(fault(FaultClass::Credential, "535"));
        }
        if !self.faults.strikes(Kind::MailLost, now, &mut self.chance) {
            let arrives = now + self.chance.between(50, 3000);
            self.mails.insert(nonce.to_owned(), arrives);
        }
        Outcome::Done(())
    }
}

#[async_trait]
impl Mail for Server {
    async fn auth(&self, login: &Login) -> Outcome<AuthReport> {
        let (login, spread) = (pair(login), self.1);
        let slot = self.0.slot(&login);
        {
            let mut world = self.0.sim.lock();
            if slot.parse().is_ok_and(|slot: u8| !world.book.sealed.contains(&slot)) && world.book.plan.is_some() {
                world.breaks(format!("S5: slot {slot} is tried and its secret is not sealed"));
            }
        }
        let accepted = self.0.call(Call::look(format!("auth {slot}")), move |world, now| match world.weather(now) {
            Some(Outcome::NotDone(fault)) => Outcome::NotDone(fault),
            _ => Outcome::Done(world.accepts(now, &login, spread)),
        });
        accepted.await.map(|accepted| AuthReport {
            verdict: if accepted { Verdict::Accepted } else { Verdict::Refused },
            code: if accepted { 235 } else { 535 },
            enhanced: None,
            mechanism: "PLAIN",
            tls: String::new(),
        })
    }

    async fn send(&self, login: &Login, nonce: &str) -> Outcome<SendReport> {
        let (login, number) = (pair(login), nonce.to_owned());
        let slot = self.0.slot(&login);
        if let Ok(slot) = slot.parse() {
            self.0.refuse_compromised(slot, "sent with");
        }
        let mut call = Call::effect("send".to_owned(), None, true);
        call.label = format!("send with {slot}");
        let sent = self.0.call(call, move |world, now| world.submit(now, &login, &number)).await;
        sent.map(|()| SendReport { message_id: nonce.to_owned(), reply: "250".to_owned() })
    }

    async fn arrived(&self, nonce: &str, within: Duration) -> Outcome<ArrivalReport> {
        self.0.process.alive().await;
        let number = self.0.process.number;
        let strike = self.0.sim.pass("arrival", Nature::Look, number);
        let lost = fault(FaultClass::Temporary, "it cannot be looked for");
        match self.0.sim.hits(strike, Place::Before, number) {
            Some(Harm::Kill) => self.0.process.killed(&self.0.sim).await,
            Some(Harm::NotDone | Harm::Refused) => return Outcome::NotDone(lost),
            Some(Harm::Unknown) => return Outcome::Unknown(lost),
            Some(_) => std::future::pending().await,
            None => {}
        }
        let report = self.wait_for(nonce, within).await;
        if self.0.sim.hits(strike, Place::AfterReply, number).is_some() {
            self.0.process.killed(&self.0.sim).await;
        }
        report
    }

    fn probe_to(&self) -> String {
        "probe@example.com".to_owned()
    }
}

impl Server {
    async fn wait_for(&self, nonce: &str, within: Duration) -> Outcome<ArrivalReport> {
        let arrives = self.0.sim.lock().mails.remove(nonce);
        let now = self.0.sim.now();
        let most = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        match arrives.map(|at| at.saturating_sub(now)).filter(|wait| *wait <= most) {
            Some(wait) => {
                tokio::time::sleep(Duration::from_millis(wait)).await;
                Outcome::Done(ArrivalReport { place: "inbox".to_owned() })
            }
            None => {
                tokio::time::sleep(within).await;
                Outcome::NotDone(fault(FaultClass::Temporary, "it has not arrived"))
            }
        }
    }
}

impl Port {
    /// The slot of a login, for the story.
    fn slot(&self, login: &Pair) -> String {
        let world = self.sim.lock();
        let slot = world.version_of(login).and_then(|id| world.slot_of(id));
        slot.map_or_else(|| "?".to_owned(), |slot| slot.to_string())
    }
}
