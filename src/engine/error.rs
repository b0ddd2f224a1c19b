//! What stops the engine itself, apart from what a rotation can end in.

use handover_rotation::apply::Illegal;
use handover_rotation::outcome::{Fault, FaultClass};

use crate::journal::JournalError;

/// The engine cannot go on. The rotation keeps its place in the journal.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal could not be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A row of the journal is not an event that this release knows.
    #[error("row {row} of rotation {rotation} is not an event that this release knows")]
    UnknownEvent {
        /// The rotation.
        rotation: String,
        /// The row, from 1.
        row: usize,
    },
    /// The events of a rotation do not follow from each other.
    #[error("row {row} of rotation {rotation} does not follow from the rows before it: {why}")]
    Unfoldable {
        /// The rotation.
        rotation: String,
        /// The row, from 1.
        row: usize,
        /// Why.
        why: Illegal,
    },
    /// A decision broke a rule: a bug that was stopped before it had an effect.
    #[error("a decision broke a rule and was stopped: {0}")]
    Rule(Illegal),
    /// It could not be started or resumed.
    #[error("{0}")]
    Refused(Refusal),
}

/// Why nothing was begun.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Why.
    pub fault: Fault,
    /// What it was found at, a line each; empty where the fault says it all.
    pub details: Vec<String>,
}

/// Whether another try may go otherwise than the one that ended with this.
pub(super) fn passes(fault: &Fault) -> bool {
    matches!(fault.class, FaultClass::Temporary | FaultClass::Environment)
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { fault, details: Vec::new() }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.fault.fmt(f)
    }
}

impl EngineError {
    /// The same as a fault with a code, for output.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Journal(error) => error.fault(),
            Self::Refused(refusal) => refusal.fault.clone(),
            Self::UnknownEvent { .. } => Fault::new(FaultClass::Permanent, "HO0431", self.to_string())
                .hint("a newer release wrote it: use that release; nothing was done"),
            Self::Unfoldable { .. } => Fault::new(FaultClass::Permanent, "HO0432", self.to_string())
                .hint("run `handover audit verify`; nothing was done"),
            Self::Rule(_) => Fault::new(FaultClass::Permanent, "HO0433", self.to_string())
                .hint("this is a bug: nothing was done; keep the journal and report it"),
        }
    }
}
