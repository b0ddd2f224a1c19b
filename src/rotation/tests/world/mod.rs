//! What is true outside of the machine: a provider, entries, services and mail, in virtual time and under full control.

pub(crate) mod plans;
pub(crate) mod sim;

use std::collections::BTreeMap;

use handover_rotation::command::{Command, Fact, SeenVersion, Which};
use handover_rotation::event::Ending;
use handover_rotation::invariant::unclean_end;
use handover_rotation::name::{EntryName, Fingerprint, ServiceName, Slot, Tag, Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{Plan, Shape};
use handover_rotation::state::{Phase, Rotation};

pub(crate) fn id(text: &str) -> VersionId {
    VersionId::new(text).expect("an id")
}

pub(crate) fn user(text: &str) -> Username {
    Username::new(text).expect("a name")
}

/// A version at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Real {
    pub(crate) tag: Option<Tag>,
    pub(crate) active: bool,
}

/// What is true outside, and how it misbehaves.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) versions: BTreeMap<VersionId, Real>,
    pub(crate) created: u32,
    pub(crate) entries: BTreeMap<EntryName, VersionId>,
    pub(crate) services: BTreeMap<ServiceName, VersionId>,
    pub(crate) in_place: bool,
    /// Reloads do nothing.
    pub(crate) ignores_reload: bool,
    /// A new version does not fit here.
    pub(crate) full: Option<EntryName>,
    /// Mail fails for everyone.
    pub(crate) weather: bool,
    /// Mail fails for everyone but the old version.
    pub(crate) only_old_sends: bool,
    /// Someone else has changed something: S1 is not the machine's alone to keep.
    pub(crate) meddled: bool,
    /// How often the old version was made active again.
    pub(crate) revived: u32,
}

/// A call with everything it needs, so that it may land later than it was issued.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) command: Command,
    version: Option<VersionId>,
    tag: Option<Tag>,
    entry: Option<EntryName>,
    known: BTreeMap<VersionId, Slot>,
    leak: bool,
}

impl Issued {
    pub(crate) fn new(r: &Rotation, command: &Command) -> Self {
        let slot = match command {
            Command::Auth(slot) | Command::Write(_, slot) => Some(*slot),
            Command::Control => Some(Slot::OLD),
            other => other.slot_changed(),
        };
        let entry = match command {
            Command::Reload(service) => r.plan.services.get(service).map(|s| s.entry.clone()),
            _ => None,
        };
        Self {
            command: command.clone(),
            version: slot.and_then(|s| r.versions[&s].id.clone()),
            tag: slot.map(|s| r.tag(s)),
            entry,
            known: r.versions.iter().filter_map(|(s, v)| v.id.clone().map(|id| (id, *s))).collect(),
            leak: r.is_leak(),
        }
    }

    fn which(&self, held: &VersionId) -> Which {
        self.known.get(held).map_or(Which::Foreign, |slot| Which::Slot(*slot))
    }
}

fn refused(class: FaultClass, text: &str) -> Outcome<Fact> {
    Outcome::NotDone(Fault::new(class, "HO0000", text))
}

impl World {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            versions: BTreeMap::from([(id("v0"), Real { tag: None, active: true })]),
            created: 0,
            entries: plan.entries.keys().map(|e| (e.clone(), id("v0"))).collect(),
            services: plan.services.keys().map(|s| (s.clone(), id("v0"))).collect(),
            in_place: plan.facts.shape == Shape::InPlace,
            ignores_reload: false,
            full: None,
            weather: false,
            only_old_sends: false,
            meddled: false,
            revived: 0,
        }
    }

    pub(crate) fn accepted(&self, version: &VersionId) -> bool {
        self.versions.get(version).is_some_and(|v| v.active)
    }

    /// The versions that a login would be accepted with.
    pub(crate) fn active(&self) -> Vec<VersionId> {
        self.versions.iter().filter(|(_, v)| v.active).map(|(i, _)| i.clone()).collect()
    }

    /// The call happens.
    pub(crate) fn act(&mut self, call: &Issued) -> Outcome<Fact> {
        let version = || call.version.clone().expect("S10: an id");
        match &call.command {
            Command::CheckHost | Command::CheckWritable(_) => Outcome::Done(Fact::Done),
            Command::ListVersions => {
                let seen = self.versions.iter().map(|(i, v)| SeenVersion {
                    id: i.clone(),
                    username: user(i.as_str()),
                    tag: v.tag.clone(),
                    active: v.active,
                    last_used: None,
                    last_refused: None,
                });
                Outcome::Done(Fact::Versions(seen.collect()))
            }
            Command::ReadEntry(e) => Outcome::Done(Fact::Holds(call.which(&self.entries[e]))),
            Command::Attest(s) => Outcome::Done(Fact::Presents(call.which(&self.services[s]))),
            Command::Auth(_) => {
                if self.no_mail(&version()) {
                    return refused(FaultClass::Temporary, "451");
                }
                let accepted = self.accepted(&version());
                Outcome::Done(Fact::Login { accepted, reply: if accepted { "235".into() } else { "535".into() } })
            }
            Command::Create(_) => self.create(call),
            Command::Disable(_) | Command::Enable(_) => self.switch(&version(), matches!(call.command, Command::Enable(_))),
            Command::Delete(_) => {
                let target = version();
                self.versions.remove(&target);
                if !call.leak && !self.meddled {
                    assert!(self.entries.values().all(|v| *v != target), "S2: an entry holds the deleted version");
                    assert!(self.services.values().all(|v| *v != target), "S2: a service uses the deleted version");
                }
                Outcome::Done(Fact::Done)
            }
            Command::Write(e, slot) => {
                if self.full.as_ref() == Some(e) && !slot.is_old() {
                    return refused(FaultClass::Permanent, "disk full");
                }
                if !call.known.contains_key(&self.entries[e]) {
                    return refused(FaultClass::Permanent, "it holds something else by now");
                }
                assert!(!call.leak || *slot != Slot::OLD, "S19: the compromised version is pushed");
                self.entries.insert(e.clone(), version());
                Outcome::Done(Fact::Done)
            }
            Command::Reload(s) => {
                if !self.ignores_reload {
                    let held = self.entries[call.entry.as_ref().expect("an entry")].clone();
                    self.services.insert(s.clone(), held);
                }
                Outcome::Done(Fact::Done)
            }
            Command::Probe(e) => self.send(&self.entries[e]),
            Command::TestSend(s) => self.send(&self.services[s]),
            Command::Control => {
                assert!(!call.leak, "S19: a control send with the compromised version");
                self.send(&version())
            }
        }
    }

    fn create(&mut self, call: &Issued) -> Outcome<Fact> {
        self.created += 1;
        let new = id(&format!("v{}", self.created));
        if self.in_place {
            for v in self.versions.values_mut() {
                v.active = false;
            }
        } else {
            assert!(self.versions.len() < 2, "S3: a third version was asked for");
        }
        self.versions.insert(new.clone(), Real { tag: call.tag.clone(), active: true });
        let fingerprint = Fingerprint::new("f").expect("f");
        Outcome::Done(Fact::Created { username: user(new.as_str()), id: new, fingerprint })
    }

    fn switch(&mut self, target: &VersionId, on: bool) -> Outcome<Fact> {
        if self.in_place && on {
            self.versions.retain(|i, _| i == target);
        }
        let Some(version) = self.versions.get_mut(target) else {
            return refused(FaultClass::Permanent, "no such version");
        };
        version.active = on;
        self.revived += u32::from(on && *target == id("v0"));
        Outcome::Done(Fact::Done)
    }

    fn no_mail(&self, version: &VersionId) -> bool {
        self.weather || self.only_old_sends && *version != id("v0")
    }

    fn send(&self, used: &VersionId) -> Outcome<Fact> {
        if self.no_mail(used) {
            return refused(FaultClass::Temporary, "451");
        }
        if !self.accepted(used) {
            return refused(FaultClass::Credential, "535");
        }
        Outcome::Done(Fact::Mailed { message: "m".into(), arrived: None })
    }

    /// S1: outside of a leak and of a change in place, the login that each service presents is accepted, always.
    pub(crate) fn check(&self, r: &Rotation) {
        if r.is_leak() || self.in_place || self.meddled {
            return;
        }
        for (name, version) in &self.services {
            assert!(self.accepted(version), "S1: {name} uses {version}, which is refused, at step {}", r.step);
        }
    }

    /// What is where, by role: the same for two runs that ended alike, whatever ids the provider gave.
    pub(crate) fn roles(&self, r: &Rotation) -> Vec<String> {
        let target = r.new_version().and_then(|v| v.id.clone());
        let role = |v: &VersionId| match v {
            v if *v == id("v0") => "old".to_owned(),
            v if target.as_ref() == Some(v) => "new".to_owned(),
            other => other.to_string(),
        };
        let versions = self.versions.iter().map(|(v, real)| format!("{} active={}", role(v), real.active));
        let entries = self.entries.iter().map(|(e, v)| format!("{e} holds {}", role(v)));
        let services = self.services.iter().map(|(s, v)| format!("{s} uses {}", role(v)));
        versions.chain(entries).chain(services).collect()
    }
}

/// Whether the world is as the rest that was reached promises.
pub(crate) fn check_end(world: &World, r: &Rotation) {
    assert_eq!(unclean_end(r), Vec::<String>::new());
    match r.phase {
        Phase::Ended(Ending::Done) => {
            let new = r.new_version().and_then(|v| v.id.clone()).expect("a new version");
            assert_eq!(world.active(), std::slice::from_ref(&new));
            assert!(world.entries.values().all(|v| *v == new), "an entry was left behind");
            assert!(world.services.values().all(|v| *v == new), "a service was left behind");
        }
        Phase::Ended(Ending::RolledBack | Ending::Refused) => {
            assert_eq!(world.active(), [id("v0")]);
            assert!(world.in_place || world.versions.len() == 1, "an orphan is left: {:?}", world.versions);
            assert!(world.entries.values().all(|v| *v == id("v0")));
            assert!(world.services.values().all(|v| *v == id("v0")));
        }
        Phase::Stuck { .. } => {
            if r.is_leak() {
                assert!(!world.accepted(&id("v0")), "L5: stuck while the compromised version is accepted: {world:?} {r:#?}");
            }
        }
        _ => panic!("it rests in {:?}", r.phase),
    }
}
