//! How a command ends when it does not end well: an exit status and words.

use handover_rotation::name::RotationId;
use handover_rotation::outcome::{Fault, FaultClass};

use crate::config::diagnostic::Problems;
use crate::engine::{EngineError, Refusal};
use crate::journal::{JournalError, Kind};

/// Exit statuses of the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// An error that is nobody's decision.
    Error = 1,
    /// The input is bad.
    BadInput = 2,
    /// Refused before anything changed.
    Refused = 3,
    /// Rolled back.
    RolledBack = 4,
    /// Stuck, needs a person.
    Stuck = 5,
    /// Safe and waiting, not finished.
    Waiting = 6,
}

/// Why a command did not end well.
#[derive(Debug)]
pub enum Failure {
    /// Problems of files, each with its place.
    Problems(Problems),
    /// One fault, and the exit status that it means.
    Fault(Exit, Box<Fault>),
    /// A refusal with what it was found at.
    Refusal(Box<Refusal>),
    /// Why a rotation that was begun goes no further here, and what that means.
    Stopped(Exit, RotationId, Box<Self>),
}

impl Failure {
    /// A fault with its exit status.
    #[must_use]
    pub fn new(exit: Exit, fault: Fault) -> Self {
        Self::Fault(exit, Box::new(fault))
    }

    /// The exit status.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Problems(_) => Exit::BadInput,
            Self::Fault(exit, _) => *exit,
            Self::Refusal(_) => Exit::Refused,
            Self::Stopped(exit, ..) => *exit,
        }
    }

    /// The same before a rotation is begun: a full disk is a refusal then, and nothing is there to be resumed.
    #[must_use]
    pub(super) fn nothing_begun(self) -> Self {
        match self {
            Self::Fault(Exit::Error, fault) if fault.code == "HO0316" => {
                let hint =
                    "make room on the disk of the state folder, or name another one with --state: nothing was changed";
                Self::new(Exit::Refused, fault.hint(hint))
            }
            other => other,
        }
    }
}

impl Failure {
    /// Standard output cannot be written to.
    pub(super) fn output(error: std::io::Error) -> Self {
        Self::new(
            Exit::Error,
            Fault::new(FaultClass::Permanent, "HO0462", format!("cannot write to standard output: {error}")),
        )
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems)
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        let exit = match error.kind {
            Kind::OneRotation { .. } | Kind::Busy { .. } | Kind::Finished | Kind::Source { .. } => Exit::Refused,
            Kind::NotFound | Kind::Invalid => Exit::BadInput,
            _ => Exit::Error,
        };
        Self::new(exit, error.fault())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Journal(error) => error.into(),
            EngineError::Refused(refusal) => Self::Refusal(Box::new(refusal)),
            other => Self::new(Exit::Error, other.fault()),
        }
    }
}
