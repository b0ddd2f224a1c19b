//! Entries and the services that read them.

use async_trait::async_trait;
use aws_lc_rs::hmac;
use handover::secret::{Login, Secret};
use handover::services::{Attest, Attestation, Reload, TestSend};
use handover::stores::{EntryRef, Held, Store};
use handover_rotation::name::Username;
use handover_rotation::outcome::{FaultClass, Outcome};
use handover_rotation::time::Span;

use super::faults::Kind;
use super::net::{Call, Port, fault};
use super::world::{Pair, World};

/// An entry in a store.
pub(crate) struct Entry(pub(crate) Port);

/// A service.
pub(crate) struct Service(pub(crate) Port);

pub(crate) fn pair(login: &Login) -> Pair {
    (login.username.to_string(), login.password.expose().to_owned())
}

pub(crate) fn login(pair: &Pair) -> Login {
    Login { username: Username::new(&pair.0).expect("a name"), password: Secret::new(pair.1.clone()) }
}

impl World {
    /// The service reads its entry.
    pub(crate) fn reread(&mut self, service: &str) {
        if let Some((entry, uses)) = self.services.get_mut(service)
            && let Some(held) = self.entries.get(entry)
        {
            uses.clone_from(held);
        }
    }
}

#[async_trait]
impl Store for Entry {
    fn kind(&self) -> &'static str {
        "simulated"
    }

    fn request_timeout(&self) -> Span {
        Span(self.0.timeout)
    }

    fn landing(&self) -> Span {
        Span(self.0.landing)
    }

    async fn check_writable(&self, _: &EntryRef) -> Outcome<()> {
        self.0.call(Call::look(format!("check {}", self.0.name)), |_, _| Outcome::Done(())).await
    }

    async fn read(&self, _: &EntryRef) -> Outcome<Held> {
        let name = self.0.name.clone();
        let call = Call::look(format!("read {name}"));
        let held = self.0.call(call, move |world, _| match world.entries.get(&name) {
            Some(pair) => Outcome::Done(pair.clone()),
            None => Outcome::NotDone(fault(FaultClass::Permanent, "no such entry")),
        });
        held.await.map(|pair| if pair.0.is_empty() { Held::Nothing } else { Held::Login(login(&pair)) })
    }

    async fn write(&self, _: &EntryRef, new: &Login, expect: &[&Secret]) -> Outcome<()> {
        let new = pair(new);
        let slot = {
            let mut world = self.0.sim.lock();
            let id = world.version_of(&new).map(str::to_owned);
            let slot = id.as_deref().and_then(|id| world.slot_of(id));
            if let Some(slot) = slot.filter(|s| !world.book.sealed.contains(s)) {
                world.breaks(format!("S5: slot {slot} is pushed and its secret is not sealed"));
            }
            slot
        };
        let Some(slot) = slot else {
            self.0.sim.lock().breaks(format!("S10: {} gets a login that no version has", self.0.name));
            return Outcome::NotDone(fault(FaultClass::Permanent, "what is that?"));
        };
        self.0.refuse_compromised(slot, "pushed");
        let name = self.0.name.clone();
        let expect: Vec<String> = expect.iter().map(|s| s.expose().to_owned()).collect();
        let call = Call::effect(format!("write {name} {slot}"), Some(format!("entry {name}")), true);
        let land = move |world: &mut World, now| {
            let World { faults, chance, .. } = world;
            if faults.strikes(Kind::EntryFull, now, chance) {
                return Outcome::NotDone(fault(FaultClass::Permanent, "disk full"));
            }
            let Some(held) = world.entries.get_mut(&name) else {
                return Outcome::NotDone(fault(FaultClass::Permanent, "no such entry"));
            };
            if !expect.contains(&held.1) {
                return Outcome::NotDone(fault(FaultClass::Permanent, "it holds something else by now"));
            }
            held.clone_from(&new);
            let id = world.version_of(&new).unwrap_or_default().to_owned();
            if !world.is_active(&id) && !world.meddled.contains(&id) {
                world.breaks(format!("S16: {name} was moved to {id}, which is not active"));
            }
            Outcome::Done(())
        };
        self.0.call(call, land).await
    }
}

#[async_trait]
impl Reload for Service {
    fn describe(&self) -> String {
        "simulated".to_owned()
    }

    fn request_timeout(&self) -> Span {
        Span(self.0.timeout)
    }

    async fn reload(&self) -> Outcome<()> {
        let name = self.0.name.clone();
        let call = Call::effect(format!("reload {name}"), None, true);
        let land = move |world: &mut World, now| {
            let World { faults, chance, .. } = world;
            let deaf = world.script.as_ref().and_then(|s| s.deaf).is_some_and(|(deaf, until)| deaf == name && now < until);
            if !faults.strikes(Kind::ReloadIgnored, now, chance) && !deaf {
                world.reread(&name);
            }
            Outcome::Done(())
        };
        self.0.call(call, land).await
    }
}

#[async_trait]
impl Attest for Service {
    fn request_timeout(&self) -> Span {
        Span(self.0.timeout)
    }

    async fn attest(&self, challenge: &str) -> Outcome<Attestation> {
        let name = self.0.name.clone();
        let call = Call::look(format!("attest {name}"));
        let uses = self.0.call(call, move |world, _| match world.services.get(&name) {
            Some((_, uses)) => Outcome::Done(uses.clone()),
            None => Outcome::NotDone(fault(FaultClass::Permanent, "no such service")),
        });
        uses.await.map(|(username, password)| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, password.as_bytes());
            Attestation { username, proof: hex::encode(hmac::sign(&key, challenge.as_bytes())) }
        })
    }
}

#[async_trait]
impl TestSend for Service {
    fn request_timeout(&self) -> Span {
        Span(self.0.timeout)
    }

    async fn test_send(&self, nonce: &str, _: &str) -> Outcome<()> {
        let (name, nonce) = (self.0.name.clone(), nonce.to_owned());
        let call = Call::effect(format!("test-send {name}"), None, true);
        let land = move |world: &mut World, now| match world.services.get(&name).map(|s| s.1.clone()) {
            Some(uses) => world.submit(now, &uses, &nonce),
            None => Outcome::NotDone(fault(FaultClass::Permanent, "no such service")),
        };
        self.0.call(call, land).await
    }
}
