//! Scripts: a run whose every turn is told beforehand. Each boundary that it passes gets a number, what people do comes at a
//! named event, and at one boundary, or two, something is struck.
//!
//! A boundary is a call outside or a call to the journal. It has three places: before the call leaves, after it has happened and
//! before its reply, and after the reply and before its outcome is written.

use std::fmt;
use std::time::Duration;

use handover_rotation::command::Command;
use handover_rotation::event::Event;
use handover_rotation::plan::Plan;
use handover_rotation::playbook::Step;

use super::world::{Sim, Wish};

/// What kind of call passes a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// A look outside.
    Look,
    /// A change outside.
    Effect,
    /// A look at this machine.
    Host,
    /// A write to the journal.
    Commit,
    /// One that an effect is waiting for.
    Intent,
    /// The end of a lease is moved.
    Renewal,
    /// The journal is read.
    Reading,
}

/// Where at a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Before,
    AfterEffect,
    AfterReply,
}

/// What strikes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// The process dies.
    Kill,
    /// It does not happen, and the caller is told: try again.
    NotDone,
    /// It does not happen, and the caller is told: never.
    Refused,
    /// The answer says nothing.
    Unknown,
    /// No answer ever comes.
    Timeout,
    /// It happens when the caller has given up already.
    Late,
    /// It is delivered twice.
    Duplicate,
    /// The process stands still, and another one tries to take over meanwhile.
    Pause,
}

pub(crate) const PLACES: [Place; 3] = [Place::Before, Place::AfterEffect, Place::AfterReply];
pub(crate) const HARMS: [Harm; 8] =
    [Harm::Kill, Harm::NotDone, Harm::Refused, Harm::Unknown, Harm::Timeout, Harm::Late, Harm::Duplicate, Harm::Pause];

/// Why nothing of the kind can be at that place, if it cannot.
pub(crate) fn impossible(nature: Nature, place: Place, harm: Harm) -> Option<&'static str> {
    use Harm::{Duplicate, Late, NotDone, Pause, Refused, Timeout, Unknown};
    use Nature::{Commit, Effect, Host, Intent, Look, Reading, Renewal};
    use Place::{AfterEffect, AfterReply, Before};
    match (nature, place, harm) {
        (Intent, AfterEffect, Pause) => None,
        (_, _, Pause) => {
            Some("who stands still is passed over at the worst moment: with an intent written, and nothing sent")
        }
        (_, AfterEffect | AfterReply, NotDone | Refused) => Some("what has happened cannot be told to be not done"),
        (_, AfterReply, Unknown | Timeout | Late) => Some("the reply is there: nothing about it is in doubt"),
        (_, Before, Duplicate) => Some("what has not left cannot be delivered twice"),
        (_, AfterEffect, Late) => Some("it has happened already, while its caller was waiting"),
        (Look | Host | Reading, _, Duplicate | Late) => Some("a look changes nothing, however often and late it comes"),
        (Look, AfterEffect, _) => Some("a look has no effect: its answer lost is its request lost"),
        (Host | Reading, AfterEffect | AfterReply, _) => Some("a call inside of this machine has no reply on its way"),
        (Host | Reading, Before, Unknown | Timeout) => Some("a call inside of this machine is answered or dies with it"),
        (Reading, Before, Refused) => Some("the journal reads or it fails, and whoever comes next tries again"),
        (Commit | Intent | Renewal, AfterReply, _) => {
            Some("a commit is the writing: what comes after it is the next boundary")
        }
        (Commit | Intent | Renewal, Before, Refused | Late) => Some("a file has no will, and nothing of it is on its way"),
        (Commit | Intent | Renewal, AfterEffect, Timeout) => Some("a commit that is made answers, or its process is dead"),
        (Renewal, AfterEffect, Unknown | Duplicate) => Some("a lease moved twice is a lease moved, and no row tells of it"),
        (Look | Effect | Host | Commit | Intent | Renewal | Reading, _, _) => None,
    }
}

/// One strike. A lock that lasts is what a timeout is to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Strike {
    /// The number of the boundary.
    pub(crate) at: usize,
    pub(crate) place: Place,
    pub(crate) harm: Harm,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:?}:{:?}", self.at, self.place, self.harm)
    }
}

impl Strike {
    /// The other way from `Display`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let at = parts.next()?.parse().ok()?;
        let (place, harm) = (parts.next()?, parts.next()?);
        let place = PLACES.into_iter().find(|p| format!("{p:?}") == place)?;
        let harm = HARMS.into_iter().find(|h| format!("{h:?}") == harm)?;
        Some(Self { at, place, harm })
    }
}

/// How the recovery differs from run to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Processes after the first cannot see whether it is dead: they wait for its lease.
    pub(crate) elsewhere: bool,
    /// What was on its way when its sender died lands late.
    pub(crate) late: bool,
    /// Where it did not kill the owner, the owner dies at its next commit, so that another one recovers. Where it stands still,
    /// that is short.
    pub(crate) dies: bool,
}

impl Manner {
    pub(crate) fn number(n: usize) -> Self {
        Self { elsewhere: n & 1 != 0, late: n & 2 != 0, dies: n & 4 != 0 }
    }
}

/// When something of the scenario happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// A step of this name starts, as `push production`.
    Starts(&'static str),
    /// The versions were listed in this step.
    Lists(&'static str),
    /// Everything is being put back.
    RollsBack,
    /// The waiver of containment is written.
    Contains,
}

/// What happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Abort,
    /// The old version has leaked.
    Leak,
    /// The new version has leaked.
    LeakNew,
    /// The owner dies.
    Die,
    /// Someone else logs in with the old version.
    LogIn,
    /// Someone puts the old login back into the production entry.
    PutBack,
    /// Nobody reaches the provider for so many minutes.
    Outage(u64),
    /// From here on boundaries are part of the sweep.
    Open,
    /// From here on they are not any more.
    Close,
}

/// A boundary that was passed.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    pub(crate) name: String,
    pub(crate) nature: Nature,
    pub(crate) process: u32,
    /// Whether the sweep is about it.
    pub(crate) inside: bool,
}

/// The script of one run.
pub(crate) struct Script {
    pub(crate) cues: Vec<(When, Act)>,
    /// A service that does not read its entry when told to, until then.
    pub(crate) deaf: Option<(&'static str, u64)>,
    /// The provider cannot be reached until then.
    outage: u64,
    pub(crate) strikes: Vec<Strike>,
    pub(crate) manner: Manner,
    pub(crate) passed: Vec<Passed>,
    /// Strikes that the world has seen happen.
    pub(crate) struck: Vec<Strike>,
    inside: bool,
    /// The step that started last.
    step: String,
    /// The process that dies at its next commit.
    doomed: Option<u32>,
}

/// What a step is called in a script.
fn name(step: &Step) -> String {
    match step {
        Step::Push { to } => format!("push {to}"),
        Step::Reload { services } => format!("reload {services}"),
        Step::Verify { services } => format!("verify {services}"),
        other => other.word().to_owned(),
    }
}

impl Script {
    pub(crate) fn new(
        cues: Vec<(When, Act)>,
        deaf: Option<(&'static str, u64)>,
        strikes: Vec<Strike>,
        manner: Manner,
    ) -> Self {
        let inside = !cues.iter().any(|(_, act)| *act == Act::Open);
        Self {
            cues,
            deaf,
            outage: 0,
            strikes,
            manner,
            passed: Vec::new(),
            struck: Vec::new(),
            inside,
            step: String::new(),
            doomed: None,
        }
    }

    /// An event was committed; gives what happens now. Each cue comes once.
    pub(crate) fn heard(&mut self, event: &Event, plan: Option<&Plan>) -> Vec<Act> {
        let mut acts = Vec::new();
        if let Event::StepStarted { step } = event {
            self.step = plan.and_then(|p| p.playbook.steps.get(*step)).map(name).unwrap_or_default();
        }
        let current = &self.step;
        self.cues.retain(|(when, act)| {
            let now = match (when, event) {
                (When::Starts(step), Event::StepStarted { .. }) => current == step,
                (When::Lists(step), Event::Settled { command: Command::ListVersions, .. }) => current == step,
                (When::RollsBack, Event::RollbackStarted { .. }) => true,
                (When::Contains, Event::ContainmentBegan { .. }) => true,
                _ => false,
            };
            if now {
                acts.push(*act);
            }
            !now
        });
        for act in &acts {
            match act {
                Act::Open => self.inside = true,
                Act::Close => self.inside = false,
                _ => {}
            }
        }
        acts
    }
}

impl Sim {
    /// A boundary is passed; gives what strikes at it.
    pub(crate) fn pass(&self, name: &str, nature: Nature, process: u32) -> Option<Strike> {
        let world = &mut *self.lock();
        let script = world.script.as_mut()?;
        let at = script.passed.len();
        script.passed.push(Passed { name: name.to_owned(), nature, process, inside: script.inside });
        script.strikes.iter().find(|s| s.at == at).copied()
    }

    /// A strike happens, at this place of its boundary.
    pub(crate) fn hits(&self, strike: Option<Strike>, place: Place, process: u32) -> Option<Harm> {
        let strike = strike.filter(|s| s.place == place)?;
        {
            let world = &mut *self.lock();
            let script = world.script.as_mut()?;
            script.struck.push(strike);
            if script.manner.dies && !matches!(strike.harm, Harm::Kill | Harm::Pause) {
                script.doomed = Some(process);
            }
        }
        self.note(|| format!("STRIKE {strike}"));
        Some(strike.harm)
    }

    /// Whether the process dies now that it has committed.
    pub(crate) fn is_doomed(&self, process: u32) -> bool {
        let world = &mut *self.lock();
        let Some(script) = world.script.as_mut() else { return false };
        let doomed = script.doomed == Some(process);
        if doomed {
            script.doomed = None;
        }
        doomed
    }

    /// How long a process stands still, and when another one comes: past its lease and past what its successor waits for, or
    /// only for a moment, so that whoever comes has to be turned away.
    pub(crate) fn standstill(&self) -> (Duration, Duration) {
        let short = self.lock().script.as_ref().is_some_and(|s| s.manner.dies);
        let (still, rival) = if short { (8500, 300) } else { (75_000, 32_000) };
        (Duration::from_millis(still), Duration::from_millis(rival))
    }

    /// Whether nobody reaches the provider now.
    pub(crate) fn is_out(&self, port: &str) -> bool {
        let now = self.now();
        port == "provider" && self.lock().script.as_ref().is_some_and(|s| now < s.outage)
    }

    /// What is on its way lands although its sender is gone.
    pub(crate) fn lands_late(&self) -> bool {
        self.lock().script.as_ref().is_some_and(|s| s.manner.late)
    }

    /// The event was committed: what people do at it. True if its writer dies.
    pub(crate) fn cue(&self, event: &Event) -> bool {
        let now = self.now();
        let acts = {
            let world = &mut *self.lock();
            let plan = world.book.plan.as_deref();
            world.script.as_mut().map_or_else(Vec::new, |s| s.heard(event, plan))
        };
        for act in &acts {
            match act {
                Act::Abort => self.wish(Wish::Abort),
                Act::Leak => self.wish(Wish::Alert(vec![0])),
                Act::LeakNew => self.wish(Wish::Alert(vec![1])),
                Act::LogIn => {
                    if let Some(old) = self.lock().versions.get_mut("v0") {
                        old.refused = Some(now);
                    }
                }
                Act::PutBack => {
                    let mut world = self.lock();
                    let old = world.versions.get("v0").map(|v| (v.username.clone(), v.password.clone()));
                    if let (Some(old), Some(held)) = (old, world.entries.get_mut("production")) {
                        *held = old;
                    }
                }
                Act::Outage(minutes) => {
                    if let Some(script) = self.lock().script.as_mut() {
                        script.outage = now + minutes * 60_000;
                    }
                }
                Act::Die | Act::Open | Act::Close => {}
            }
        }
        acts.contains(&Act::Die)
    }
}
