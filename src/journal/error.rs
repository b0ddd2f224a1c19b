//! What can go wrong with the journal, as kinds that the engine decides on and words that a person acts on.
//!
//! The words never hold a payload or a blob. Siblings: every file of this folder makes these errors, none prints them.

use std::fmt;

use handover_rotation::name::RotationId;
use handover_rotation::outcome::{Fault, FaultClass};

use super::owner::Owner;

/// Whether the write that failed has reached the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// Nothing of it is in the journal.
    No,
    /// It may or may not be there, and may yet show after a restart. Only `load` by a freshly opened journal can tell.
    Unknown,
}

/// What kind of trouble it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Another owner has taken the rotation over, or the sequence number is not the next one: this writer has lost.
    Superseded,
    /// A live owner holds the rotation.
    Busy {
        /// Who holds it.
        other: Box<Owner>,
    },
    /// The lineage already has a rotation that has not ended (safety.md S14).
    OneRotation {
        /// That rotation.
        other: RotationId,
    },
    /// No such rotation.
    NotFound,
    /// The rotation has ended: nothing can be added.
    Finished,
    /// What should set the rotation going has set one going before (safety.md S15).
    Ticked,
    /// The request itself is wrong: an empty batch, a payload that is too large.
    Invalid,
    /// Another process has kept the file locked for too long. Worth another try.
    Locked,
    /// No room on the disk.
    Full,
    /// The disk or the file system failed.
    Io,
    /// The place where the journal is kept is not safe: modes, owner, links, a network file system.
    Place,
    /// Written by a newer release, or by something else. Nothing may be done with it (S28).
    Version,
    /// The log is damaged or was changed: a gap, a short log, a broken chain. Nothing may be done with it (S23, S28).
    Corrupt {
        /// The first row of the chain that is wrong, where one is known.
        n: Option<u64>,
    },
    /// The journal is older than what was seen before: a backup was put back, or rows were cut off (threat T5).
    RolledBack,
    /// The sealing key is missing, unsafe or another one, or a sealed secret does not open (S24).
    Seal,
    /// The sealing key is kept elsewhere, and cannot be had from there. Nothing was changed.
    Source {
        /// Whether it is worth another try.
        class: FaultClass,
    },
}

/// Trouble with the journal.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct JournalError {
    /// What kind of trouble.
    pub kind: Kind,
    /// Whether the write has happened. For reads always `No`.
    pub wrote: Wrote,
    /// A stable code with a page of its own, `HO03nn`.
    pub code: &'static str,
    /// What went wrong, in lower case, to be read after "failed to …: ".
    pub message: String,
    /// What a person can do about it.
    pub hint: Option<String>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl JournalError {
    /// Trouble of a kind, which has written nothing.
    #[must_use]
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, wrote: Wrote::No, code, message: message.into(), hint: None, source: None }
    }

    /// The lineage has a rotation that has not ended (S14).
    pub(crate) fn one_rotation(other: RotationId) -> Self {
        let text = format!("rotation {other} of the same account has not ended");
        let hint = format!("`handover status {other}` says what it waits for; resume or abort it first");
        Self::new(Kind::OneRotation { other }, "HO0311", text).hint(hint)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    pub(crate) fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The same, where nobody can say whether it was written.
    #[must_use]
    pub fn unknown(mut self) -> Self {
        self.wrote = Wrote::Unknown;
        self
    }

    /// The same trouble for another waiting caller: one failed commit fails every request in it.
    pub(crate) fn duplicate(&self) -> Self {
        let source = self.source.as_ref().map(|s| Box::new(Said(s.to_string())) as Box<_>);
        Self {
            kind: self.kind.clone(),
            wrote: self.wrote,
            hint: self.hint.clone(),
            message: self.message.clone(),
            code: self.code,
            source,
        }
    }

    /// Whether no new effect may be started anywhere on the word of this journal (H in the fault matrix of safety.md).
    #[must_use]
    pub fn halts(&self) -> bool {
        match self.kind {
            Kind::Version | Kind::Corrupt { .. } | Kind::RolledBack | Kind::Seal | Kind::Io | Kind::Full => true,
            Kind::Source { .. } => true,
            Kind::Superseded
            | Kind::Busy { .. }
            | Kind::OneRotation { .. }
            | Kind::NotFound
            | Kind::Finished
            | Kind::Invalid
            | Kind::Ticked
            | Kind::Locked
            | Kind::Place => false,
        }
    }

    /// The same as a fault, for reports that know no journal.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let class = match self.kind {
            Kind::Locked | Kind::Busy { .. } => FaultClass::Temporary,
            Kind::Source { class } => class,
            _ => FaultClass::Permanent,
        };
        let message = self.source.as_ref().map_or_else(|| self.message.clone(), |s| format!("{}: {s}", self.message));
        let fault = Fault::new(class, self.code, message);
        match &self.hint {
            Some(hint) => fault.hint(hint.clone()),
            None => fault,
        }
    }
}

/// A cause that is kept by its words only, as its type cannot be copied.
#[derive(Debug)]
struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}

/// An error of a file, with what was being done to which path.
pub(crate) fn io(
    doing: &str,
    path: &std::path::Path,
    source: impl std::error::Error + Send + Sync + 'static,
) -> JournalError {
    JournalError::new(Kind::Io, "HO0317", format!("cannot {doing} {}", path.display()))
        .hint("see that the disk is sound, has room, and that this user may write there")
        .because(source)
}
