//! What is true outside of the machine: a provider, entries, services and mail, and the ways in which they misbehave.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{Command, Fact, SeenVersion, Which};
use crate::mutant::{Mutant, broken};
use crate::name::{EntryName, Fingerprint, ServiceName, Slot, Tag, Username, VersionId};
use crate::outcome::{Fault, FaultClass, Outcome};
use crate::plan::{Plan, Shape};
use crate::state::Rotation;
use crate::time::{Millis, Span};

/// The id of the version that is current when a rotation of the model begins: that of its plan.
#[must_use]
pub fn first_id(plan: &Plan) -> VersionId {
    plan.old.id.clone()
}

/// A version at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Real {
    /// What a rotation wrote on it.
    pub tag: Option<Tag>,
    /// Accepted, or disabled.
    pub active: bool,
    /// Where servers are slow to hear of it, it is refused before this time.
    pub known_at: Millis,
}

/// What is true outside, and how it misbehaves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The versions of the account.
    pub versions: BTreeMap<VersionId, Real>,
    /// How many were made.
    pub created: u32,
    /// What each entry holds.
    pub entries: BTreeMap<EntryName, VersionId>,
    /// Entries that give no value back and have no mark of Handover yet: what they hold cannot be told.
    pub unmarked: BTreeSet<EntryName>,
    /// What each service uses.
    pub services: BTreeMap<ServiceName, VersionId>,
    /// Changing the password does away with the one before.
    pub in_place: bool,
    /// Reloads do nothing.
    pub ignores_reload: bool,
    /// A reload of this one does nothing.
    pub deaf: Option<ServiceName>,
    /// The versions that were accepted, where the provider tells of it.
    pub used: Option<BTreeSet<VersionId>>,
    /// The services that nobody can ask which version they use.
    blind: BTreeSet<ServiceName>,
    /// A new version does not fit here.
    pub full: Option<EntryName>,
    /// Mail fails for everyone.
    pub weather: bool,
    /// Mail fails for everyone but the old version.
    pub only_old_sends: bool,
    /// A new version is refused until the servers have heard of it, which takes this long.
    pub spreads_in: Span,
    /// Someone else has changed something: then not every rule is the machine's alone to keep.
    pub meddled: bool,
    /// How often the old version was made active again.
    pub revived: u32,
    /// The rules that were broken, in order.
    pub wrong: Vec<String>,
    /// The first version.
    old: VersionId,
    /// When something last happened.
    clock: Millis,
    /// The versions as they were before the last change, and when that was: what a stale answer still shows.
    before: (Millis, BTreeMap<VersionId, Real>),
}

/// A call with everything it needs, so that it may land later than it was issued.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Issued {
    /// What it does.
    pub command: Command,
    version: Option<VersionId>,
    tag: Option<Tag>,
    entry: Option<EntryName>,
    known: BTreeMap<VersionId, Slot>,
    leak: bool,
}

impl Issued {
    /// The call that the machine's command becomes in this state.
    #[must_use]
    pub fn new(r: &Rotation, command: &Command) -> Self {
        let slot = match command {
            Command::Auth(slot) | Command::Write(_, slot) => Some(*slot),
            Command::Control => Some(Slot::OLD),
            Command::Probe(_) => Some(r.target),
            other => other.slot_changed(),
        };
        let entry = match command {
            Command::Reload(service) => r.plan.services.get(service).map(|s| s.entry.clone()),
            _ => None,
        };
        Self {
            command: command.clone(),
            version: slot.and_then(|s| r.versions.get(&s)).and_then(|v| v.id.clone()),
            tag: slot.map(|s| r.tag(s)),
            entry,
            known: r.versions.iter().filter_map(|(s, v)| v.id.clone().map(|id| (id, *s))).collect(),
            leak: r.is_leak(),
        }
    }

    /// The version that the call is about, once it is known.
    pub(super) fn version(&self) -> Option<&VersionId> {
        self.version.as_ref()
    }

    fn which(&self, held: &VersionId) -> Which {
        self.known.get(held).map_or(Which::Foreign, |slot| Which::Slot(*slot))
    }
}

fn refused(class: FaultClass, text: &str) -> Outcome<Fact> {
    Outcome::NotDone(Fault::new(class, "MODEL", text))
}

impl World {
    /// Everything uses the version that the plan replaces, and it is accepted.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let old = first_id(plan);
        let versions = BTreeMap::from([(old.clone(), Real { tag: None, active: true, known_at: Millis(0) })]);
        Self {
            created: 0,
            entries: plan.entries.keys().map(|e| (e.clone(), old.clone())).collect(),
            unmarked: plan.entries.iter().filter(|(_, e)| e.write_only).map(|(name, _)| name.clone()).collect(),
            services: plan.services.keys().map(|s| (s.clone(), old.clone())).collect(),
            in_place: plan.facts.shape == Shape::InPlace,
            ignores_reload: false,
            deaf: None,
            used: plan.facts.tells_last_use.then(BTreeSet::new),
            blind: plan.services.iter().filter(|(_, s)| !s.can_prove()).map(|(name, _)| name.clone()).collect(),
            full: None,
            weather: false,
            only_old_sends: false,
            spreads_in: Span(0),
            clock: Millis(0),
            meddled: false,
            revived: 0,
            wrong: Vec::new(),
            before: (Millis(0), versions.clone()),
            versions,
            old,
        }
    }

    /// Whether a login with the version is accepted.
    #[must_use]
    pub fn accepted(&self, version: &VersionId) -> bool {
        self.versions.get(version).is_some_and(|v| v.active && self.clock >= v.known_at)
    }

    /// The versions that a login would be accepted with.
    #[must_use]
    pub fn active(&self) -> Vec<VersionId> {
        self.versions.iter().filter(|(_, v)| v.active).map(|(i, _)| i.clone()).collect()
    }

    /// Whether answers about versions may still be stale at `now`.
    #[must_use]
    pub fn is_settling(&self, now: Millis, propagation: Span) -> bool {
        now < self.before.0.after(propagation) && self.before.1 != self.versions
    }

    /// What a call that only looks would be told by a server that has not heard of the last change yet.
    #[must_use]
    pub fn act_stale(&self, call: &Issued) -> Outcome<Fact> {
        let stale = Self { versions: self.before.1.clone(), ..self.clone() };
        match (&call.command, &call.version) {
            (Command::Auth(_), Some(version)) => stale.login(version),
            _ => stale.listed(),
        }
    }

    /// The call happens.
    pub fn act(&mut self, now: Millis, call: &Issued) -> Outcome<Fact> {
        let versions = self.versions.clone();
        self.clock = now;
        let outcome = self.happen(call);
        self.note_use(call, &outcome);
        if versions != self.versions {
            self.before = (now, versions);
        }
        outcome
    }

    fn note_use(&mut self, call: &Issued, outcome: &Outcome<Fact>) {
        let accepted = matches!(outcome, Outcome::Done(Fact::Mailed { .. } | Fact::Login { accepted: true, .. }));
        let by = match &call.command {
            Command::TestSend(service) => self.services.get(service).cloned(),
            _ => call.version.clone(),
        };
        if let (Some(used), Some(by), true) = (&mut self.used, by, accepted) {
            used.insert(by);
        }
    }

    fn broken(&mut self, rule: impl Into<String>) {
        let rule = rule.into();
        if !self.wrong.contains(&rule) {
            self.wrong.push(rule);
        }
    }

    fn happen(&mut self, call: &Issued) -> Outcome<Fact> {
        let Some(version) = call.version.clone() else { return self.without_version(call) };
        match &call.command {
            Command::Auth(_) => self.login(&version),
            Command::Disable(_) | Command::Enable(_) => {
                self.is_ours(&version, call);
                self.switch(&version, matches!(call.command, Command::Enable(_)), call)
            }
            Command::Delete(_) => {
                self.is_ours(&version, call);
                self.delete(&version, call)
            }
            Command::Write(entry, _) => self.write(entry, &version, call),
            Command::Control => {
                if call.leak {
                    self.broken("S19: a control mail is sent with the compromised version");
                }
                self.send(&version)
            }
            Command::Probe(entry) => self.probe(entry, &version, call),
            _ => self.without_version(call),
        }
    }

    /// It is read first, and sent only with what everything is moved to.
    fn probe(&mut self, entry: &EntryName, target: &VersionId, call: &Issued) -> Outcome<Fact> {
        match &self.entries.get(entry).cloned() {
            Some(_) if self.unmarked.contains(entry) => Outcome::Done(Fact::Holds(Which::Nothing)),
            Some(held) if held == target || broken(Mutant::ProbeUnread) => {
                if call.leak && *held == self.old {
                    self.broken("S19: a mail is sent with the compromised version");
                }
                self.send(held)
            }
            Some(held) => Outcome::Done(Fact::Holds(call.which(held))),
            None => refused(FaultClass::Permanent, "no such place"),
        }
    }

    fn without_version(&mut self, call: &Issued) -> Outcome<Fact> {
        let nothing = || refused(FaultClass::Permanent, "no such place");
        match &call.command {
            Command::CheckHost | Command::CheckWritable(_) => Outcome::Done(Fact::Done),
            Command::ListVersions => self.listed(),
            Command::ReadEntry(e) if self.unmarked.contains(e) => Outcome::Done(Fact::Holds(Which::Nothing)),
            Command::ReadEntry(e) => self.entries.get(e).map_or_else(nothing, |v| Outcome::Done(Fact::Holds(call.which(v)))),
            Command::Attest(s) => {
                self.services.get(s).map_or_else(nothing, |v| Outcome::Done(Fact::Presents(call.which(v))))
            }
            Command::Create(_) => self.create(call, false),
            Command::Reload(s) => {
                let held = call.entry.as_ref().and_then(|e| self.entries.get(e)).cloned();
                let deaf = self.ignores_reload || self.deaf.as_ref() == Some(s);
                if let (Some(held), false) = (held, deaf) {
                    self.services.insert(s.clone(), held);
                }
                Outcome::Done(Fact::Done)
            }
            Command::TestSend(s) => self.services.get(s).map_or_else(nothing, |v| self.send(v)),
            other => {
                self.broken(format!("S10: `{other}` is called without an id"));
                nothing()
            }
        }
    }

    fn listed(&self) -> Outcome<Fact> {
        let seen = self.versions.iter().filter_map(|(i, v)| {
            let username = Username::new(i.as_str()).ok()?;
            let (tag, active) = (v.tag.clone(), v.active);
            // That it was used, and not how often: a later use of the old one is not told apart.
            let last_used = self.used.as_ref().and_then(|used| used.contains(i).then_some(1));
            Some(SeenVersion { id: i.clone(), username, tag, active, last_used, last_refused: None })
        });
        Outcome::Done(Fact::Versions(seen.collect()))
    }

    fn login(&self, version: &VersionId) -> Outcome<Fact> {
        if self.no_mail(version) {
            return refused(FaultClass::Temporary, "451");
        }
        let accepted = self.accepted(version);
        Outcome::Done(Fact::Login { accepted, reply: if accepted { "235".into() } else { "535".into() } })
    }

    /// A version is made. `again` is a request that something on the way has repeated.
    pub(super) fn create(&mut self, call: &Issued, again: bool) -> Outcome<Fact> {
        self.created += 1;
        let text = format!("v{}", self.created);
        let (Ok(new), Ok(username), Ok(fingerprint)) = (VersionId::new(&text), Username::new(&text), Fingerprint::new("f"))
        else {
            return refused(FaultClass::Permanent, "no such id");
        };
        if self.in_place {
            for v in self.versions.values_mut() {
                v.active = false;
            }
        } else if !again && self.versions.values().filter(|v| v.tag.is_some()).count() + 1 > 1 + usize::from(self.meddled) {
            self.broken("S3: a further version is made while one of this rotation exists");
        }
        self.versions
            .insert(new.clone(), Real { tag: call.tag.clone(), active: true, known_at: self.clock.after(self.spreads_in) });
        Outcome::Done(Fact::Created { username, id: new, fingerprint })
    }

    fn switch(&mut self, target: &VersionId, on: bool, call: &Issued) -> Outcome<Fact> {
        if on && call.leak && *target == self.old {
            self.broken("S19: the compromised version is enabled");
        }
        if self.in_place && on {
            self.versions.retain(|i, _| i == target);
        }
        let Some(version) = self.versions.get_mut(target) else {
            return refused(FaultClass::Permanent, "no such version");
        };
        version.active = on;
        self.revived += u32::from(on && *target == self.old);
        Outcome::Done(Fact::Done)
    }

    fn delete(&mut self, target: &VersionId, call: &Issued) -> Outcome<Fact> {
        self.versions.remove(target);
        if !call.leak && !self.meddled {
            if self.entries.values().any(|v| v == target) {
                self.broken("S2: an entry holds the deleted version");
            }
            if self.services.iter().any(|(s, v)| v == target && !self.is_unseen(s)) {
                self.broken("S2: a service uses the deleted version");
            }
        }
        Outcome::Done(Fact::Done)
    }

    fn write(&mut self, entry: &EntryName, version: &VersionId, call: &Issued) -> Outcome<Fact> {
        if self.full.as_ref() == Some(entry) && *version != self.old {
            return refused(FaultClass::Permanent, "disk full");
        }
        // The stores compare before they set.
        if !self.entries.get(entry).is_some_and(|held| call.known.contains_key(held)) {
            return refused(FaultClass::Permanent, "it holds something else by now");
        }
        if call.leak && *version == self.old {
            self.broken("S19: the compromised version is pushed");
        }
        if !self.accepted(version) && !self.meddled && !call.leak && !self.in_place {
            self.broken(format!("S16: {version} is pushed to {entry} and is not accepted"));
        }
        self.entries.insert(entry.clone(), version.clone());
        self.unmarked.remove(entry);
        Outcome::Done(Fact::Done)
    }

    fn is_ours(&mut self, version: &VersionId, call: &Issued) {
        let real = self.versions.get(version);
        let foreign = real.is_some_and(|v| *version != self.old && !v.tag.as_ref().is_some_and(Tag::is_ours));
        if foreign {
            self.broken(format!("S10: `{}` reaches {version}, which is not ours", call.command));
        }
    }

    fn no_mail(&self, version: &VersionId) -> bool {
        self.weather || self.only_old_sends && *version != self.old
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

    /// Whether nobody could have seen which version a service uses: its reloads do nothing, and it cannot be asked.
    #[must_use]
    pub fn is_unseen(&self, service: &ServiceName) -> bool {
        self.blind.contains(service) && (self.ignores_reload || self.deaf.as_ref() == Some(service))
    }

    /// The services whose login would be refused now.
    #[must_use]
    pub fn shut_out(&self) -> BTreeSet<ServiceName> {
        self.services.iter().filter(|(_, v)| !self.accepted(v)).map(|(s, _)| s.clone()).collect()
    }

    /// What is where, by role: the same for two runs that ended alike, whatever ids the provider gave.
    #[must_use]
    pub fn roles(&self, r: &Rotation) -> Vec<String> {
        let target = r.new_version().and_then(|v| v.id.clone());
        let role = |v: &VersionId| match v {
            v if *v == self.old => "old".to_owned(),
            v if target.as_ref() == Some(v) => "new".to_owned(),
            other => other.to_string(),
        };
        let versions = self.versions.iter().map(|(v, real)| format!("{} active={}", role(v), real.active));
        let entries = self.entries.iter().map(|(e, v)| format!("{e} holds {}", role(v)));
        let services = self.services.iter().map(|(s, v)| format!("{s} uses {}", role(v)));
        versions.chain(entries).chain(services).collect()
    }
}
