//! Events: what the journal keeps. State is the fold of these and nothing else (safety.md S30).

use serde::{Deserialize, Serialize};

use crate::command::{Command, Fact};
use crate::name::{RotationId, ServiceName, Slot};
use crate::outcome::{Fault, Outcome};
use crate::plan::Plan;
use crate::time::{Millis, Span};

/// One row of a rotation's journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The rotation began with this plan. Always the first event, and only the first.
    Started {
        /// Its id.
        rotation: RotationId,
        /// What it will do.
        plan: Box<Plan>,
        /// The hash of the plan that a person may have approved.
        plan_hash: String,
        /// Whether the old version's secret was sealed in the same transaction.
        old_sealed: bool,
        /// Who started it.
        by: String,
        /// Why, in their words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A process took the rotation over. Effects without an outcome are unknown from here on.
    Claimed {
        /// The fencing epoch, which only grows.
        epoch: u64,
        /// The process, as `user@host pid`.
        by: String,
        /// Whether the earlier owner is proven dead; otherwise its calls may still be issued until their deadlines.
        proven_dead: bool,
    },
    /// A step began.
    StepStarted {
        /// Its position in the playbook, from 0.
        step: usize,
    },
    /// A step has everything it asks for.
    StepFinished {
        /// Its position in the playbook, from 0.
        step: usize,
    },
    /// A further version is to be made, since the one before was lost or is compromised.
    SlotOpened {
        /// Its number.
        slot: Slot,
    },
    /// An effect is about to start. Durable before it does.
    Intended {
        /// Its number within the rotation, from 1.
        effect: u32,
        /// What it does.
        command: Command,
        /// After this time its owner neither starts it nor waits for it.
        deadline: Millis,
    },
    /// An effect or an observation has ended.
    Settled {
        /// The effect's number; `None` for an observation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        effect: Option<u32>,
        /// What it was.
        command: Command,
        /// When it was sent out.
        began: Millis,
        /// How it ended.
        outcome: Outcome<Fact>,
    },
    /// Someone asked to stop and put everything back.
    AbortRequested {
        /// Who.
        by: String,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Someone opened a gate.
    Approved {
        /// The step, from 0.
        step: usize,
        /// Who.
        by: String,
    },
    /// A person made a version (shape D); its secret was sealed together with this event.
    Supplied {
        /// The version.
        slot: Slot,
        /// What is known of it.
        fact: Fact,
        /// Who handed it over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// A person says that they have done what they were asked: at the provider (shape D), or to a service that only a person
    /// restarts.
    TaskDone {
        /// What they were asked to do.
        command: Command,
        /// Who.
        by: String,
    },
    /// A version is known to others.
    Compromised {
        /// The version.
        slot: Slot,
        /// How soon it must be dead.
        within: Span,
        /// Who said so.
        source: String,
    },
    /// Containment begins: the compromised version is disabled although these services may still use it (S1's waiver).
    ContainmentBegan {
        /// The services not proven to use the new version.
        unproven: Vec<ServiceName>,
    },
    /// Something failed, or someone asked: everything is put back from here on.
    RollbackStarted {
        /// Why.
        failure: Failure,
    },
    /// The rotation rests and needs a person.
    Stuck {
        /// Why.
        failure: Failure,
        /// What is where, with exact ids, and what to do about each.
        todo: Vec<String>,
    },
    /// A person set it going again.
    Resumed {
        /// Who.
        by: String,
    },
    /// The rotation has ended.
    Finished {
        /// How.
        ending: Ending,
    },
}

/// How a rotation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Only the new version is live, everywhere.
    Done,
    /// Only the old version is live, everywhere.
    RolledBack,
    /// Nothing was changed.
    Refused,
}

/// Why a rotation could not go on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failure {
    /// Whether it speaks against the version, a target, or only the weather.
    pub kind: FailureKind,
    /// The command that failed, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
    /// What went wrong.
    pub fault: Fault,
}

/// What a failure speaks against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// A target refused or could not be proven.
    Target,
    /// Mail fails with the old version too: nothing speaks against the new one.
    Environment,
    /// A person asked.
    Abort,
    /// A gate was not opened in time.
    Gate,
}
