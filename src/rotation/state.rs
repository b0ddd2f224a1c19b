//! State: what a rotation knows, as the fold of its events.
//!
//! Knowledge is kept with its doubts. From the moment an effect is intended, what it may change is in doubt; only looking
//! ends the doubt. `decide` compares this with what the step wants and asks for the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::command::{Command, Which};
use crate::event::{Ending, Failure};
use crate::mutant::{Mutant, broken};
use crate::name::{EntryName, Fingerprint, RotationId, ServiceName, Slot, Tag, Username, VersionId};
use crate::outcome::Fault;
use crate::plan::{Plan, Shape};
use crate::playbook::Step;
use crate::time::{Millis, Span};
use crate::word::proved_wrong;

/// One rotation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rotation {
    /// Its id.
    pub id: RotationId,
    /// What it does: fixed.
    pub plan: Arc<Plan>,
    /// When it began.
    pub started_at: Millis,
    /// When the last event happened.
    pub at: Millis,
    /// Where it stands.
    pub phase: Phase,
    /// The step that is next or under way, from 0; the number of steps when all are through.
    pub step: usize,
    /// Whether that step has begun, and when.
    pub step_started: Option<Millis>,
    /// The version that everything is moved to.
    pub target: Slot,
    /// The versions of this rotation.
    pub versions: BTreeMap<Slot, Version>,
    /// The entries of the plan.
    pub entries: BTreeMap<EntryName, EntryState>,
    /// The services of the plan.
    pub services: BTreeMap<ServiceName, ServiceState>,
    /// Effects that are intended and have no outcome.
    pub flights: BTreeMap<u32, Flight>,
    /// The number of the next effect.
    pub next_effect: u32,
    /// Commands that have failed since they last succeeded.
    pub tries: BTreeMap<Command, Tries>,
    /// Looks that have passed since the step began.
    pub passed: BTreeSet<Command>,
    /// When each look or proof that last succeeded was sent out.
    pub sampled: BTreeMap<Command, Millis>,
    /// The last control send: when, and whether it worked.
    pub control: Option<(Millis, bool)>,
    /// Gates that were opened.
    pub approved: BTreeSet<usize>,
    /// Whether someone asked to stop.
    pub abort: Option<Fault>,
    /// When the compromised version must be dead.
    pub contain_by: Option<Millis>,
    /// Whether containment has begun.
    pub containing: bool,
    /// What led to the rollback or to being stuck.
    pub failure: Option<Failure>,
    /// Whether deletion of the old version was ever intended: the point of no return.
    pub no_return: bool,
}

/// Where a rotation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Going through its steps.
    Forward,
    /// Putting everything back.
    RollingBack,
    /// Resting until a person acts. It goes on in the phase given.
    Stuck {
        /// Whether it was rolling back.
        rolling_back: bool,
    },
    /// Over.
    Ended(Ending),
}

/// A version of this rotation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// The provider's id, once known.
    pub id: Option<VersionId>,
    /// Its login name, once known.
    pub username: Option<Username>,
    /// Its fingerprint, once known.
    pub fingerprint: Option<Fingerprint>,
    /// Where it stands at the provider.
    pub live: Live,
    /// Whether its secret is sealed in the journal.
    pub sealed: bool,
    /// Whether others know it: then it never comes back (S19).
    pub compromised: bool,
    /// When it was made, or was last made active or inactive.
    pub changed_at: Millis,
    /// When the last call that makes it was answered or given up: so long after, a list may still lack what that call made.
    pub made_at: Option<Millis>,
    /// Before this time a look does not count: a call may still land.
    pub quiet_until: Millis,
    /// When a list, begun after `quiet_until`, first did not show it.
    pub absent_since: Option<Millis>,
    /// The last word of the server on its login: when, accepted or not, and how many times in a row.
    pub login: Option<Login>,
    /// Our logins with its name that were refused since one was accepted.
    pub refusals: u8,
    /// When it was last accepted, as the provider says.
    pub last_used: Option<u64>,
    /// When it was last refused, as the provider says.
    pub last_refused: Option<u64>,
    /// What the provider said of it when the watch began: last accepted, last refused.
    pub baseline: Option<(Option<u64>, Option<u64>)>,
    /// Whether disabling or deleting was ever intended.
    pub disable_intended: bool,
    /// Whether deleting was ever intended.
    pub delete_intended: bool,
}

/// The last word of the server on a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Login {
    /// When the login was begun.
    pub at: Millis,
    /// Whether it was accepted.
    pub accepted: bool,
    /// How many times in a row, capped at 255.
    pub streak: u8,
}

/// Where a version stands at the provider, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Live {
    /// Never made, or known not to exist.
    Absent,
    /// Accepted.
    Active,
    /// Disabled.
    Inactive,
    /// Deleted for good.
    Deleted,
    /// An effect on it has no certain outcome.
    Doubt,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntryState {
    /// What it holds; `None` while in doubt or never read.
    pub holds: Option<Which>,
    /// Whether a write to it was ever intended.
    pub touched: bool,
    /// Before this time a look does not count.
    pub quiet_until: Millis,
    /// Successful sends in a row with what it holds.
    pub probes: u8,
    /// The version those sends were made with.
    pub probed: Slot,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceState {
    /// Whether a reload was ever intended.
    pub touched: bool,
    /// What its entry held when the reload under way was intended.
    pub reloading: Option<Slot>,
    /// What its entry held at its last successful reload; `None` while in doubt.
    pub reloaded: Option<Slot>,
    /// What it presents; `None` when not asked since the last reload.
    pub presents: Option<Which>,
    /// Its successful sends in a row since the last reload.
    pub sends: u8,
}

/// An effect that is intended and has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flight {
    /// What it does.
    pub command: Command,
    /// After this time its owner neither starts it nor waits for it.
    pub deadline: Millis,
    /// What was known of the version that it changes.
    pub before: Option<Live>,
}

/// Failures of one command since it last succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tries {
    /// How many.
    pub count: u8,
    /// When the first ended.
    pub first: Millis,
    /// When the last was sent out.
    pub began: Millis,
    /// When the last ended.
    pub last: Millis,
    /// The last fault.
    pub fault: Fault,
}

impl Rotation {
    /// The step that is next or under way.
    #[must_use]
    pub fn current_step(&self) -> Option<&Step> {
        self.plan.playbook.steps.get(self.step)
    }

    /// The old version.
    #[must_use]
    pub fn old(&self) -> &Version {
        &self.versions[&Slot::OLD]
    }

    /// The version that everything is moved to, once there is one.
    #[must_use]
    pub fn new_version(&self) -> Option<&Version> {
        if self.target.is_old() { None } else { self.versions.get(&self.target) }
    }

    /// The shape of the provider.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.plan.facts.shape
    }

    /// Whether the old version is compromised: then nothing is ever put back to it.
    #[must_use]
    pub fn is_leak(&self) -> bool {
        self.old().compromised
    }

    /// The end of the soak or the watch that is under way.
    #[must_use]
    pub fn waits_until(&self) -> Option<Millis> {
        match (self.phase, self.current_step(), self.step_started) {
            (Phase::Forward, Some(Step::Soak { lasting } | Step::Watch { lasting }), Some(began)) => {
                Some(began.after(*lasting))
            }
            _ => None,
        }
    }

    /// Whether a compromised version may still be accepted: then nobody walks away.
    #[must_use]
    pub fn must_contain(&self) -> bool {
        let old = self.old();
        // A person's word that a login has proven wrong counts for nothing.
        let only_said = self.shape() == Shape::Manual && proved_wrong(old);
        let shut_out = matches!(old.live, Live::Inactive | Live::Deleted) && !only_said;
        self.is_leak() && !shut_out && self.ended().is_none()
    }

    /// The tag that this rotation writes on a version.
    #[must_use]
    pub fn tag(&self, slot: Slot) -> Tag {
        Tag::of(&self.id, slot)
    }

    /// Whether it is over.
    #[must_use]
    pub fn ended(&self) -> Option<Ending> {
        match self.phase {
            Phase::Ended(ending) => Some(ending),
            _ => None,
        }
    }

    /// Versions with a tag of this rotation that none of its own requests was answered with, such as those of a request that
    /// something on the way has repeated.
    pub fn strays(&self) -> impl Iterator<Item = (Slot, &Version)> {
        self.versions.iter().filter(|(slot, _)| slot.is_stray()).map(|(slot, version)| (*slot, version))
    }

    /// Whether an effect with this command has no outcome yet.
    #[must_use]
    pub fn in_flight(&self, command: &Command) -> bool {
        self.flights.values().any(|f| f.command == *command)
    }

    /// Whether anything outside may have been changed by this rotation.
    #[must_use]
    pub fn has_changed_anything(&self) -> bool {
        self.versions.iter().any(|(slot, v)| !slot.is_old() && v.live != Live::Absent)
            || self.old().disable_intended
            // A person who was asked to shut it out may have done so and not said it yet.
            || self.containing && !broken(Mutant::TaskForgotten)
            || self.entries.values().any(|e| e.touched)
            || self.services.values().any(|s| s.touched)
            || self.flights.values().any(|f| f.command.slot_changed().is_some())
    }

    /// The version that a command logs in with, as far as is known.
    #[must_use]
    pub fn logs_in(&self, command: &Command) -> Option<Slot> {
        match command {
            Command::Auth(slot) => Some(*slot),
            Command::Control => Some(Slot::OLD),
            // Nothing is sent with another one.
            Command::Probe(_) => Some(self.target),
            Command::TestSend(name) => self.services.get(name).and_then(|s| s.reloaded).or(Some(self.target)),
            _ => None,
        }
    }

    /// How long after its sender died a call on a version may still land.
    #[must_use]
    pub fn landing(&self) -> Span {
        self.plan.facts.landing
    }

    /// Whether nothing but a person makes a service read again.
    #[must_use]
    pub fn is_reloaded_by_hand(&self, service: &ServiceName) -> bool {
        self.plan.services.get(service).is_some_and(|plan| plan.by_hand.is_some())
    }

    /// What is proven of a service for `slot`: it was reloaded with it, presents it, and has sent with it.
    #[must_use]
    pub fn is_proven(&self, service: &ServiceName, slot: Slot) -> bool {
        let (Some(plan), Some(state)) = (self.plan.services.get(service), self.services.get(service)) else { return false };
        state.reloaded == Some(slot)
            && (!plan.attest || state.presents == Some(Which::Slot(slot)))
            && (!plan.test_send || state.sends >= self.plan.policy.sends)
    }
}

impl Version {
    pub(crate) fn fresh(at: Millis) -> Self {
        Self {
            id: None,
            username: None,
            fingerprint: None,
            live: Live::Absent,
            sealed: false,
            compromised: false,
            changed_at: at,
            made_at: None,
            quiet_until: Millis(0),
            absent_since: None,
            login: None,
            refusals: 0,
            last_used: None,
            last_refused: None,
            baseline: None,
            disable_intended: false,
            delete_intended: false,
        }
    }
}
