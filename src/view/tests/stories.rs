//! Stories for the goldens: rotations in a small world of virtual time, driven by `decide`, with the trouble each needs.

use std::collections::BTreeMap;

use handover_rotation::command::{Command, Fact, SeenVersion, Which};
use handover_rotation::decide::{Decision, Wanted, decide};
use handover_rotation::event::Event;
use handover_rotation::name::{
    CredentialName, EntryName, Environment, Fingerprint, ProviderName, RotationId, ServiceName, Slot, StoreName, Username,
    VersionId,
};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{
    ArrivalKind, ByHand, OldVersion, Plan, PlannedEntry, PlannedService, Policy, ProviderFacts, Shape,
};
use handover_rotation::playbook::{Containment, OnFailure, Playbook, Step};
use handover_rotation::state::{Live, Rotation};
use handover_rotation::time::{Millis, Span};

use crate::view::{Style, Zone};

/// 2026-03-01 03:12:04 UTC.
pub(crate) const START: Millis = Millis(1_772_334_724_000);
/// How goldens are drawn: in ASCII, in UTC.
pub(crate) const STYLE: Style = Style { colour: false, unicode: false, width: 80, zone: Zone::Utc };
/// The same with characters beyond ASCII.
pub(crate) const UNICODE: Style = Style { unicode: true, ..STYLE };

pub(crate) type Events = Vec<(Millis, Event)>;

fn env(name: &str) -> Environment {
    Environment::new(name).expect("a name")
}

fn id(n: u32) -> VersionId {
    VersionId::new(format!("AKIA{:04}", 4710 + n)).expect("an id")
}

fn user(n: u32) -> Username {
    Username::new(format!("smtp-{}", 4710 + n)).expect("a name")
}

pub(crate) fn playbook(name: &str) -> Playbook {
    let mut steps = vec![Step::Preflight, Step::Generate];
    for e in ["staging", "production"] {
        steps.extend([Step::Push { to: env(e) }, Step::Reload { services: env(e) }, Step::Verify { services: env(e) }]);
    }
    let mut containment = None;
    let mut summary = "Routine rotation. The old credential stays valid until every service has sent mail with the new one.";
    match name {
        "leak" => {
            containment = Some(Containment::Deadline(Span::minutes(10)));
            summary = "For a leaked credential: replaces it, and shuts the old one out after ten minutes whatever happens.";
            steps.extend([Step::Deactivate, Step::Confirm, Step::Delete]);
        }
        "drill" => {
            steps.push(Step::Soak { lasting: Span::seconds(2) });
            steps.push(Step::Approve { by: "ops@example.com".into(), within: Span::minutes(240) });
            steps.extend([Step::Deactivate, Step::Confirm, Step::Watch { lasting: Span::seconds(2) }, Step::Delete]);
        }
        _ => {
            steps.push(Step::Soak { lasting: Span::minutes(30) });
            steps.extend([Step::Deactivate, Step::Confirm, Step::Watch { lasting: Span::minutes(1440) }, Step::Delete]);
        }
    }
    Playbook {
        name: name.into(),
        summary: summary.into(),
        steps,
        on_failure: OnFailure::RollBack,
        hold: Span::minutes(10),
        containment,
    }
}

pub(crate) fn plan(name: &str, shape: Shape) -> Plan {
    let mut entries = BTreeMap::new();
    let mut services = BTreeMap::new();
    for e in ["staging", "production"] {
        entries.insert(
            EntryName::new(e).expect("a name"),
            PlannedEntry {
                store: StoreName::new("hosts").expect("a name"),
                store_kind: "env-file".into(),
                location: format!("/etc/newsletter/{e}.env"),
                environment: env(e),
                request_timeout: Span::seconds(5),
                landing: Span(0),
                write_only: false,
            },
        );
        services.insert(
            ServiceName::new(format!("api-{e}")).expect("a name"),
            PlannedService {
                entry: EntryName::new(e).expect("a name"),
                environment: env(e),
                owner: (e == "production").then(|| "growth-oncall@example.com".into()),
                reload: Some("command systemctl".into()),
                by_hand: None,
                test_send: true,
                attest: true,
                request_timeout: Span::seconds(5),
            },
        );
    }
    let playbook = playbook(name);
    Plan {
        credential: CredentialName::new("newsletter").expect("a name"),
        compromised: playbook.containment.is_some(),
        playbook,
        provider: ProviderName::new("ses").expect("a name"),
        account: "smtp-newsletter".into(),
        facts: ProviderFacts {
            kind: "ses".into(),
            shape,
            quota: 2,
            propagation: Span::seconds(10),
            request_timeout: Span::seconds(5),
            landing: Span::seconds(5),
            chooses_secret: false,
            tells_last_use: false,
        },
        smtp: "email-smtp.eu-central-1.amazonaws.com:587 starttls".into(),
        arrival: ArrivalKind::Maildir,
        old: OldVersion { id: id(1), username: user(1), fingerprint: Some(Fingerprint::new("k7:9f31c2aa").expect("f")) },
        entries,
        services,
        policy: Policy::default(),
        time_scale: 1,
        bindings: Default::default(),
        by_hand: None,
    }
}

/// Trouble for a call: the rotation, the command, and how often this command was called before.
pub(crate) type Trouble = fn(&Rotation, &Command, usize) -> Option<Trick>;

/// What goes wrong with a call.
pub(crate) enum Trick {
    /// It does not happen.
    Fails(Fault),
    /// It happens, and its answer is lost.
    Lost,
    /// The service says that it did, and did not.
    Ignored,
    /// The process dies before the call lands.
    Killed,
    /// It says this.
    Says(Fact),
}

pub(crate) struct World {
    versions: BTreeMap<VersionId, (Option<Slot>, bool)>,
    entries: BTreeMap<EntryName, VersionId>,
    services: BTreeMap<ServiceName, VersionId>,
    created: u32,
    mails: u32,
    calls: BTreeMap<Command, usize>,
    trouble: Trouble,
    in_place: bool,
}

impl World {
    fn new(plan: &Plan, trouble: Trouble) -> Self {
        Self {
            versions: BTreeMap::from([(id(1), (None, true))]),
            entries: plan.entries.keys().map(|e| (e.clone(), id(1))).collect(),
            services: plan.services.keys().map(|s| (s.clone(), id(1))).collect(),
            created: 1,
            mails: 0,
            calls: BTreeMap::new(),
            trouble,
            in_place: plan.facts.shape == Shape::InPlace,
        }
    }

    fn which(r: &Rotation, held: &VersionId) -> Which {
        r.versions.iter().find(|(_, v)| v.id.as_ref() == Some(held)).map_or(Which::Foreign, |(s, _)| Which::Slot(*s))
    }

    fn act(&mut self, r: &Rotation, command: &Command) -> Outcome<Fact> {
        let real = |slot: &Slot| r.versions[slot].id.clone().expect("an id");
        Outcome::Done(match command {
            Command::CheckHost | Command::CheckWritable(_) => Fact::Done,
            Command::ListVersions => Fact::Versions(
                self.versions
                    .iter()
                    .enumerate()
                    .map(|(i, (id, (slot, active)))| SeenVersion {
                        id: id.clone(),
                        username: user(u32::try_from(i).expect("few") + 1),
                        tag: slot.map(|s| r.tag(s)),
                        active: *active,
                        last_used: None,
                        last_refused: None,
                    })
                    .collect(),
            ),
            Command::ReadEntry(e) => Fact::Holds(Self::which(r, &self.entries[e])),
            Command::Attest(s) => Fact::Presents(Self::which(r, &self.services[s])),
            Command::Auth(slot) => {
                let accepted = self.versions.get(&real(slot)).is_some_and(|v| v.1);
                Fact::Login { accepted, reply: if accepted { "235 2.7.0" } else { "535 5.7.8" }.into() }
            }
            Command::Create(slot) => {
                self.created += 1;
                if self.in_place {
                    self.versions.values_mut().for_each(|v| v.1 = false);
                }
                self.versions.insert(id(self.created), (Some(*slot), true));
                let fingerprint = Fingerprint::new("k7:51d0be42").expect("f");
                Fact::Created { id: id(self.created), username: user(self.created), fingerprint }
            }
            Command::Disable(slot) | Command::Enable(slot) => {
                let enable = matches!(command, Command::Enable(_));
                self.versions.get_mut(&real(slot)).expect("a version").1 = enable;
                Fact::Done
            }
            Command::Delete(slot) => {
                self.versions.remove(&real(slot));
                Fact::Done
            }
            Command::Write(e, slot) => {
                self.entries.insert(e.clone(), real(slot));
                Fact::Done
            }
            Command::Reload(s) => {
                let held = self.entries[&r.plan.services[s].entry].clone();
                self.services.insert(s.clone(), held);
                Fact::Done
            }
            Command::Probe(_) | Command::TestSend(_) | Command::Control => {
                let used = match command {
                    Command::Probe(e) => self.entries[e].clone(),
                    Command::TestSend(s) => self.services[s].clone(),
                    _ => id(1),
                };
                if !self.versions.get(&used).is_some_and(|v| v.1) {
                    return refused();
                }
                self.mails += 1;
                let message = format!("{:04x}c0de.{}@handover", self.mails * 2654, self.mails);
                Fact::Mailed { message, arrived: Some(format!("new/1772334{}.M{}", 700 + self.mails, self.mails)) }
            }
        })
    }

    fn call(&mut self, r: &Rotation, command: &Command) -> Option<Outcome<Fact>> {
        let nth = self.calls.entry(command.clone()).or_default();
        let trick = (self.trouble)(r, command, *nth);
        *nth += 1;
        match trick {
            None => Some(self.act(r, command)),
            Some(Trick::Fails(fault)) => Some(Outcome::NotDone(fault)),
            Some(Trick::Lost) => {
                self.act(r, command);
                let text = "no answer within 5s";
                Some(Outcome::Unknown(Fault::new(FaultClass::Temporary, "HO0401", text)))
            }
            Some(Trick::Ignored) => Some(Outcome::Done(Fact::Done)),
            Some(Trick::Says(fact)) => Some(Outcome::Done(fact)),
            Some(Trick::Killed) => None,
        }
    }
}

fn refused() -> Outcome<Fact> {
    Outcome::NotDone(Fault::new(FaultClass::Credential, "HO0801", "the server refused the login: 535 5.7.8"))
}

fn duration(command: &Command) -> u64 {
    match command {
        Command::CheckHost | Command::CheckWritable(_) | Command::ReadEntry(_) => 12,
        Command::Write(..) => 45,
        Command::Attest(_) => 90,
        Command::Auth(_) => 210,
        Command::Probe(_) | Command::Control => 640,
        Command::TestSend(_) => 780,
        Command::Reload(_) => 1300,
        _ => 320,
    }
}

/// Drives a plan until it rests, or until a person is asked and `person` is not there.
pub(crate) fn drive(plan: &Plan, trouble: Trouble, person: bool) -> Events {
    let mut world = World::new(plan, trouble);
    let mut now = START;
    let mut events: Events = Vec::new();
    let started = Event::Started {
        rotation: RotationId::new("rot-7f3k").expect("an id"),
        plan: Box::new(plan.clone()),
        plan_hash: "3f9a1c77e0b24d6f8a5590c1d2e3f4a5b6c7d8e9f00112233445566778899aab".into(),
        old_sealed: true,
        by: "ana@ops1".into(),
        reason: Some("quarterly rotation".into()),
    };
    let mut r = Rotation::begin(now, &started).expect("started");
    events.push((now, started));
    let record = |r: &mut Rotation, events: &mut Events, now: Millis, event: Event| {
        r.apply(now, &event).unwrap_or_else(|e| panic!("{e}"));
        events.push((now, event));
    };
    record(&mut r, &mut events, now, claim(1, "ana@ops1 4711"));
    'live: loop {
        assert!(events.len() < 10_000, "no end");
        now = now.after(Span(1));
        match decide(&r, now) {
            Decision::Record(list) => {
                for event in list {
                    record(&mut r, &mut events, now, event);
                }
            }
            Decision::Rest => return events,
            Decision::Act { start, wake, person: wanted } => {
                if let Some(Wanted::Approval(step)) = wanted {
                    if !person {
                        return events;
                    }
                    now = now.after(Span::seconds(7));
                    record(&mut r, &mut events, now, Event::Approved { step, by: "lee@ops2".into() });
                    continue;
                }
                if start.is_empty() {
                    let Some(wake) = wake else { return events };
                    now = wake.max(now);
                    continue;
                }
                let began = now;
                let mut sent = Vec::new();
                for command in start {
                    let effect = command.is_effect().then_some(r.next_effect);
                    if let Some(effect) = effect {
                        let deadline = now.after(Span::seconds(5));
                        record(&mut r, &mut events, now, Event::Intended { effect, command: command.clone(), deadline });
                    }
                    sent.push((duration(&command), effect, command));
                }
                sent.sort_by_key(|(took, ..)| *took);
                for (took, effect, command) in sent {
                    let Some(outcome) = world.call(&r, &command) else {
                        now = began.after(Span::seconds(8));
                        record(&mut r, &mut events, now, claim(2, "ana@ops1 4950"));
                        continue 'live;
                    };
                    let took = if matches!(outcome, Outcome::Unknown(_)) { 5000 } else { took };
                    now = now.max(began.after(Span(took)));
                    record(&mut r, &mut events, now, Event::Settled { effect, command, began, outcome });
                }
            }
        }
    }
}

fn claim(epoch: u64, by: &str) -> Event {
    Event::Claimed { epoch, by: by.into(), proven_dead: true }
}

/// The state after events.
pub(crate) fn fold(events: &Events) -> Rotation {
    handover_rotation::apply::fold(events.iter().map(|(at, e)| (*at, e))).expect("events that follow")
}

/// The events up to the beginning of a step, counted from 0.
pub(crate) fn until_step(events: Events, n: usize) -> Events {
    let at = events.iter().position(|(_, e)| *e == Event::StepStarted { step: n }).expect("the step");
    events.into_iter().take(at + 1).collect()
}

/// The events up to some time after the start.
pub(crate) fn until(events: Events, after: Span) -> Events {
    let end = START.after(after);
    events.into_iter().take_while(|(at, _)| *at <= end).collect()
}

fn good(_: &Rotation, _: &Command, _: usize) -> Option<Trick> {
    None
}

/// All well, approved after seven seconds.
pub(crate) fn drill() -> Events {
    drive(&plan("drill", Shape::Reversible), good, true)
}

/// A day of `scheduled`.
pub(crate) fn scheduled() -> Events {
    drive(&plan("scheduled", Shape::Reversible), good, true)
}

/// In place: a gap.
pub(crate) fn in_place() -> Events {
    drive(&plan("drill", Shape::InPlace), good, true)
}

/// Nobody is there to approve.
pub(crate) fn waits_for_approval() -> Events {
    drive(&plan("drill", Shape::Reversible), good, false)
}

/// The plan for a relay without an API.
pub(crate) fn by_hand(playbook: &str) -> Plan {
    let console = Some("https://relay.example.com/logins".to_owned());
    let instructions = Some("Sign in as ops; the password is shown once.".to_owned());
    Plan { by_hand: Some(ByHand { console, instructions }), ..plan(playbook, Shape::Manual) }
}

/// A person is asked to make a version.
pub(crate) fn waits_for_person() -> Events {
    drive(&by_hand("scheduled"), good, false)
}

/// It ends in done, after a lost answer, a slow service, and a process that died.
pub(crate) fn done_after_trouble() -> Events {
    fn trouble(_: &Rotation, command: &Command, nth: usize) -> Option<Trick> {
        let slow = Fault::new(FaultClass::Temporary, "HO0701", "systemctl restart api-staging: exit status 1");
        match command {
            Command::Write(e, _) if e.as_str() == "production" && nth == 0 => Some(Trick::Killed),
            Command::Disable(_) if nth == 0 => Some(Trick::Lost),
            Command::Reload(s) if s.as_str() == "api-staging" && nth < 2 => Some(Trick::Fails(slow)),
            _ => None,
        }
    }
    drive(&plan("drill", Shape::Reversible), trouble, true)
}

/// A service in production ignores reloads.
pub(crate) fn rolled_back() -> Events {
    drive(&plan("drill", Shape::Reversible), ignores_reload, true)
}

fn ignores_reload(_: &Rotation, command: &Command, _: usize) -> Option<Trick> {
    matches!(command, Command::Reload(s) if s.as_str() == "api-production").then_some(Trick::Ignored)
}

/// An entry cannot be written: seen in preflight.
pub(crate) fn refused_in_preflight() -> Events {
    fn trouble(_: &Rotation, command: &Command, _: usize) -> Option<Trick> {
        let fault = Fault::new(FaultClass::Permanent, "HO0603", "/etc/newsletter/production.env: permission denied")
            .hint("let the user that runs Handover write the file and its folder");
        matches!(command, Command::CheckWritable(e) if e.as_str() == "production").then_some(Trick::Fails(fault))
    }
    drive(&plan("drill", Shape::Reversible), trouble, true)
}

/// A service ignores reloads, and then the entry cannot be put back: stuck half-way.
pub(crate) fn stuck() -> Events {
    fn trouble(r: &Rotation, command: &Command, n: usize) -> Option<Trick> {
        let full = Fault::new(FaultClass::Permanent, "HO0604", "/etc/newsletter/production.env: no space left on device")
            .hint("free some space on the filesystem of /etc/newsletter");
        match command {
            Command::Write(e, Slot::OLD) if e.as_str() == "production" => Some(Trick::Fails(full)),
            _ => ignores_reload(r, command, n),
        }
    }
    drive(&plan("drill", Shape::Reversible), trouble, true)
}

/// A leak: the old version is shut out at the deadline although a service was not moved.
pub(crate) fn leak_stuck() -> Events {
    drive(&plan("leak", Shape::Reversible), ignores_reload, true)
}

/// The command logs in, or has logged in, with the new version.
fn with_new(r: &Rotation, command: &Command) -> bool {
    match command {
        Command::Auth(slot) => !slot.is_old(),
        Command::Probe(e) => r.entries[e].holds == Some(Which::Slot(Slot(1))),
        Command::TestSend(s) => r.services[s].reloaded == Some(Slot(1)),
        _ => false,
    }
}

fn no_login() -> Trick {
    let fault = Fault::new(FaultClass::Credential, "HO0801", "the server answered AUTH with 535 5.7.8");
    Trick::Fails(fault.hint("this username and password are not valid at this server, or not yet"))
}

/// The server refuses the new version for a while, and takes the old one for a while after it was disabled.
pub(crate) fn slow_server() -> Events {
    fn trouble(r: &Rotation, command: &Command, nth: usize) -> Option<Trick> {
        let late = matches!(command, Command::Auth(Slot::OLD)) && r.old().live != Live::Active && nth < 4;
        if late {
            return Some(Trick::Says(Fact::Login { accepted: true, reply: "235 2.7.0".into() }));
        }
        let staging = matches!(command, Command::Probe(e) if e.as_str() == "staging")
            || matches!(command, Command::TestSend(s) if s.as_str() == "api-staging");
        (staging && nth < 2 && with_new(r, command)).then(no_login)
    }
    drive(&plan("drill", Shape::Reversible), trouble, true)
}

/// A leak: the server never takes the new version, and the old one is shut out.
pub(crate) fn leak_refused() -> Events {
    drive(&plan("leak", Shape::Reversible), |r, c, _| with_new(r, c).then(no_login), true)
}

/// A leak: the provider makes no new version.
pub(crate) fn leak_without_new() -> Events {
    fn trouble(_: &Rotation, command: &Command, _: usize) -> Option<Trick> {
        let fault = Fault::new(FaultClass::Permanent, "HO0508", "the provider makes no version now");
        matches!(command, Command::Create(_)).then_some(Trick::Fails(fault))
    }
    drive(&plan("leak", Shape::Reversible), trouble, true)
}

/// A leak: no entry can be written.
pub(crate) fn leak_disk_full() -> Events {
    fn trouble(_: &Rotation, command: &Command, _: usize) -> Option<Trick> {
        let full =
            Fault::new(FaultClass::Permanent, "HO0608", "the disk is full").hint("free some space; the file is untouched");
        matches!(command, Command::Write(..)).then_some(Trick::Fails(full))
    }
    drive(&plan("leak", Shape::Reversible), trouble, true)
}

/// The provider makes no new version: refused.
pub(crate) fn refused_by_provider() -> Events {
    fn trouble(_: &Rotation, command: &Command, _: usize) -> Option<Trick> {
        let fault = Fault::new(FaultClass::Temporary, "HO0508", "the provider makes no version now");
        matches!(command, Command::Create(_)).then_some(Trick::Fails(fault))
    }
    drive(&plan("drill", Shape::Reversible), trouble, true)
}

/// The old login does not work already: refused.
pub(crate) fn refused_by_server() -> Events {
    fn trouble(_: &Rotation, command: &Command, _: usize) -> Option<Trick> {
        let no = Fact::Login { accepted: false, reply: "535 5.7.8".into() };
        matches!(command, Command::Auth(_)).then_some(Trick::Says(no))
    }
    drive(&plan("drill", Shape::Reversible), trouble, true)
}

/// The answers to a write and to the disabling are lost; both happened.
pub(crate) fn lost_answers() -> Events {
    fn trouble(_: &Rotation, command: &Command, nth: usize) -> Option<Trick> {
        let lost =
            matches!(command, Command::Write(e, _) if e.as_str() == "production") || matches!(command, Command::Disable(_));
        (lost && nth == 0).then_some(Trick::Lost)
    }
    drive(&plan("drill", Shape::Reversible), trouble, true)
}
