//! The provider of the world, by shape: its rules are its own and follow no code of Handover.

use async_trait::async_trait;
use handover::providers::{CreatedVersion, ListedVersion, LiveState, Provider};
use handover::secret::Secret;
use handover_rotation::name::{Tag, Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{ProviderFacts, Shape};

use super::faults::Kind;
use super::net::{Call, Port, fault};
use super::world::{State, Version, World};

/// The account, as it is called in ids and logins.
pub(crate) const ACCOUNT: &str = "newsletter";

/// The provider as one process sees it.
pub(crate) struct Account(pub(crate) Port, pub(crate) ProviderFacts);

fn gone(id: &str) -> Fault {
    fault(FaultClass::Permanent, &format!("there is no version {id}"))
}

impl World {
    fn create(&mut self, now: u64, tag: &str, secret: Option<String>) -> Result<(String, String, Option<String>), Fault> {
        if self.shape == Shape::InPlace {
            // Setting what is set already sets nothing (IP5).
            let same = |v: &Version| v.state() == State::Active && Some(&v.password) == secret.as_ref();
            if let Some((id, v)) = self.versions.iter().find(|(_, v)| same(v)) {
                return Ok((id.clone(), v.username.clone(), None));
            }
            for v in self.versions.values_mut().filter(|v| v.state() == State::Inactive) {
                v.turn(now, State::Deleted);
            }
        }
        let kept = self.versions.values().filter(|v| v.state() != State::Deleted);
        if kept.count() >= self.quota {
            return Err(fault(FaultClass::Permanent, "the quota is used up"));
        }
        let number = self.made + 1;
        let username = match self.shape {
            Shape::InPlace => ACCOUNT.to_owned(),
            Shape::Alternating => {
                let busy = |name: &String| self.versions.values().any(|v| v.username == *name && v.state() == State::Active);
                let mut halves = ["a", "b"].into_iter().map(|half| format!("{ACCOUNT}-{half}"));
                halves.find(|name| !busy(name)).ok_or_else(|| fault(FaultClass::Permanent, "both logins are in use"))?
            }
            _ => format!("{ACCOUNT}.{number}"),
        };
        let alternating = self.shape == Shape::Alternating;
        for v in self.versions.values_mut().filter(|v| v.username == username) {
            match v.state() {
                State::Active => v.turn(now, State::Inactive),
                State::Inactive if alternating => v.turn(now, State::Deleted),
                _ => {}
            }
        }
        self.made = number;
        let password = secret.clone().unwrap_or_else(|| format!("made-{number}-{:016x}", self.chance.next()));
        let version = Version {
            username: username.clone(),
            password: password.clone(),
            tag: Some(tag.to_owned()),
            turns: vec![(now, State::Active)],
            used: None,
            refused: None,
        };
        let id = format!("v{number}");
        self.versions.insert(id.clone(), version);
        Ok((id, username, secret.is_none().then_some(password)))
    }

    fn switch(&mut self, now: u64, id: &str, state: State, secret: Option<&str>) -> Outcome<()> {
        let (shape, Some(version)) = (self.shape, self.versions.get(id)) else { return Outcome::NotDone(gone(id)) };
        if version.state() == State::Deleted {
            return if state == State::Deleted { Outcome::Done(()) } else { Outcome::NotDone(gone(id)) };
        }
        let username = version.username.clone();
        let own = matches!(shape, Shape::Alternating | Shape::InPlace);
        if own && state == State::Active {
            let Some(secret) = secret else { return Outcome::NotDone(fault(FaultClass::Permanent, "no password")) };
            let others = self.versions.iter_mut().filter(|(other, v)| *other != id && v.username == username);
            for (_, other) in others.filter(|(_, v)| v.state() == State::Active) {
                if shape == Shape::Alternating {
                    return Outcome::NotDone(fault(FaultClass::Permanent, "that login has another password now"));
                }
                other.turn(now, State::Inactive);
            }
            if let Some(version) = self.versions.get_mut(id) {
                secret.clone_into(&mut version.password);
            }
        }
        if let Some(version) = self.versions.get_mut(id) {
            version.turn(now, state);
        }
        Outcome::Done(())
    }

    fn list(&mut self, now: u64, spread: u64) -> Vec<ListedVersion> {
        let stale = spread > 0 && self.faults.strikes(Kind::StaleList, now, &mut self.chance);
        let at = if stale { now.saturating_sub(self.chance.below(spread)) } else { now };
        let seen = self.versions.iter().filter_map(|(id, v)| {
            let state = match v.state_at(at)? {
                State::Active => LiveState::Active,
                State::Inactive => LiveState::Inactive,
                State::Deleted => return None,
            };
            Some(ListedVersion {
                id: VersionId::new(id).ok()?,
                username: Username::new(&v.username).ok()?,
                tag: v.tag.as_ref().and_then(|t| Tag::new(t).ok()),
                state,
                created_at: None,
                last_used_at: v.used.filter(|t| *t <= at),
                last_refused_at: v.refused.filter(|t| *t <= at),
            })
        });
        seen.collect()
    }
}

impl Account {
    async fn change(&self, verb: &str, id: &VersionId, state: State, secret: Option<&Secret>) -> Outcome<()> {
        let slot = self.0.sim.lock().slot_of(id.as_str());
        let Some(slot) = slot else {
            self.0.sim.lock().breaks(format!("S10: `{verb}` of {id}, which this rotation neither replaces nor has made"));
            return Outcome::NotDone(gone(id.as_str()));
        };
        let leak = slot == 0 && verb != "enable" && self.0.sim.lock().book.compromised.contains(&0);
        // Containment is monotone and needs no fence.
        let target = (!leak).then(|| format!("version {slot}"));
        if verb == "enable" {
            self.0.refuse_compromised(slot, "enabled");
        }
        let (id, secret) = (id.to_string(), secret.map(|s| s.expose().to_owned()));
        // Where no answer named the version of a slot, the one that was listed first is it: then the slot is what was intended.
        let stray = {
            let world = self.0.sim.lock();
            world.is_stray(&id, slot) && !world.book.is_due(&format!("{verb} {slot}"))
        };
        let name = if stray { "a stray".to_owned() } else { slot.to_string() };
        let target = target.map(|of| if stray { format!("stray {id}") } else { of });
        let call = Call::effect(format!("{verb} {name}"), target, true);
        self.0.call(call, move |world, now| world.switch(now, &id, state, secret.as_deref())).await
    }
}

impl Port {
    /// S19, where the order stems from an owner who knows.
    pub(crate) fn refuse_compromised(&self, slot: u8, what: &str) {
        let mut world = self.sim.lock();
        let epoch = self.process.epoch.load(std::sync::atomic::Ordering::Relaxed);
        if world.book.compromised.contains(&slot) && epoch == world.book.epoch {
            world.breaks(format!("S19: the compromised version of slot {slot} is {what}"));
        }
    }
}

#[async_trait]
impl Provider for Account {
    fn facts(&self) -> ProviderFacts {
        self.1.clone()
    }

    async fn list(&self, _: &str) -> Outcome<Vec<ListedVersion>> {
        let spread = self.1.propagation.0;
        self.0.call(Call::look("list".to_owned()), move |world, now| Outcome::Done(world.list(now, spread))).await
    }

    async fn create(&self, _: &str, tag: &Tag, secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        let slot: u8 = tag.as_str().rsplit_once('.').and_then(|(_, n)| n.parse().ok()).unwrap_or(u8::MAX);
        {
            let mut world = self.0.sim.lock();
            if secret.is_some() && !world.book.sealed.contains(&slot) {
                world.breaks(format!("S5: the secret of slot {slot} leaves before it is sealed"));
            }
            let live = world.ours().len();
            if world.shape != Shape::InPlace && live > 1 {
                let ours = world.ours().join(", ");
                world.breaks(format!("S3: another version is asked for beside {ours}"));
            }
        }
        let (tag, secret) = (tag.to_string(), secret.map(|s| s.expose().to_owned()));
        let call = Call::effect(format!("create {slot}"), Some(format!("version {slot}")), false);
        let made = self.0.call(call, move |world, now| match world.create(now, &tag, secret.clone()) {
            Ok(made) => Outcome::Done(made),
            Err(fault) => Outcome::NotDone(fault),
        });
        made.await.map(|(id, username, password)| CreatedVersion {
            id: VersionId::new(id).expect("an id"),
            username: Username::new(username).expect("a name"),
            secret: password.map(Secret::new),
        })
    }

    async fn disable(&self, _: &str, id: &VersionId) -> Outcome<()> {
        if self.1.shape == Shape::DeleteOnly {
            return Outcome::NotDone(fault(FaultClass::Permanent, "this provider only deletes"));
        }
        self.change("disable", id, State::Inactive, None).await
    }

    async fn enable(&self, _: &str, id: &VersionId, secret: Option<&Secret>) -> Outcome<()> {
        self.change("enable", id, State::Active, secret).await
    }

    async fn delete(&self, _: &str, id: &VersionId) -> Outcome<()> {
        self.change("delete", id, State::Deleted, None).await
    }
}
