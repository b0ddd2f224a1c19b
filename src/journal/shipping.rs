//! What of the audit log is sent elsewhere: every row as a line that can be checked by itself, checkpoints between them, and how far
//! each sink has come. Plain data and the trait; the statements are the database's, the sending is the daemon's.
//!
//! A line holds what its hash is made of, the event as the exact bytes that were hashed. It holds no secret, as the journal holds none
//! but sealed ones, which are not in its rows.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use handover_rotation::name::RotationId;
use handover_rotation::time::Millis;

use super::chain::{Begin, row_hash};
use super::checkpoint::{Checkpoint, FORM};
use super::error::{JournalError, Kind};
use super::record::{Head, Row, Stamp};

/// How far a sink has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The last row that it has.
    pub head: Head,
    /// The number of the last checkpoint that it has; 0 for none.
    pub checkpoint: u64,
    /// Since when people know that it is behind, by the wall clock, if they do.
    pub told_ms: Option<u64>,
}

/// What is sent: a row, or a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The line, without its end.
    pub line: String,
    /// Where a sink is that has it.
    pub after: Cursor,
}

/// Reads off the log what sinks are to have.
///
/// # Guarantees
/// * Items come in the order of the chain, none left out, each checkpoint after the row that it signs.
/// * A row is given only if it follows from the one that the sink has and its hash is right.
/// * As of the journal: what returned `Ok` survives the loss of power.
///
/// # Errors
/// `RolledBack` where the log is not the one that the sink has; else `Full`, `Locked`, `Io`, `Corrupt`.
#[async_trait]
pub trait Shipping: Send + Sync {
    /// The end of the log.
    ///
    /// # Errors
    /// See the trait.
    async fn head(&self) -> Result<Head, JournalError>;

    /// The hash of a row; of the journal's beginning for 0; `None` where the log is shorter.
    ///
    /// # Errors
    /// See the trait.
    async fn hash_at(&self, n: u64) -> Result<Option<[u8; 32]>, JournalError>;

    /// How far a sink has come; at the beginning for one that is new.
    ///
    /// # Errors
    /// See the trait.
    async fn cursor(&self, sink: &str) -> Result<Cursor, JournalError>;

    /// What comes next for a sink, at most so many items or bytes, but one if there is one.
    ///
    /// # Errors
    /// See the trait.
    async fn next(&self, after: &Cursor, most: u32, bytes: usize) -> Result<Vec<Item>, JournalError>;

    /// Remembers how far a sink has come. It never goes back.
    ///
    /// # Errors
    /// See the trait.
    async fn shipped(&self, sink: &str, cursor: Cursor) -> Result<(), JournalError>;

    /// Keeps a checkpoint.
    ///
    /// # Errors
    /// See the trait.
    async fn keep_checkpoint(&self, checkpoint: Checkpoint) -> Result<(), JournalError>;

    /// The checkpoints that were made, the oldest first.
    ///
    /// # Errors
    /// See the trait.
    async fn checkpoints(&self) -> Result<Vec<Checkpoint>, JournalError>;

    /// The newest of them.
    ///
    /// # Errors
    /// See the trait.
    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, JournalError>;
}

/// What the first row of a rotation is hashed with besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begun {
    pub(super) credential: String,
    pub(super) lineage: String,
    pub(super) created_at: u64,
}

/// A row as it is sent.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    kind: String,
    form: u16,
    journal: String,
    n: u64,
    rotation: RotationId,
    seq: u64,
    epoch: u64,
    format: u16,
    wall_ms: u64,
    boot_ms: u64,
    boot_id: String,
    at: u64,
    last: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begun: Option<Begun>,
    prev: String,
    hash: String,
    event: Box<RawValue>,
}

/// A row that was sent, as it is read back.
pub(super) struct Sent {
    pub(super) journal: String,
    pub(super) row: Row,
    pub(super) begun: Option<Begun>,
}

impl Sent {
    /// The row of a line; `None` if it is none of this form.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let line: Line = serde_json::from_str(line).ok()?;
        if line.kind != "row" || line.form != FORM {
            return None;
        }
        let hash = |text: &str| hex::decode(text).ok()?.try_into().ok();
        let row = Row {
            n: line.n,
            rotation: line.rotation,
            seq: line.seq,
            epoch: line.epoch,
            format: line.format,
            stamp: Stamp { wall_ms: line.wall_ms, boot_ms: line.boot_ms, boot_id: line.boot_id },
            at: Millis(line.at),
            payload: line.event.get().to_owned(),
            last: line.last,
            prev: hash(&line.prev)?,
            hash: hash(&line.hash)?,
        };
        Some(Self { journal: line.journal, row, begun: line.begun })
    }

    /// Whether its hash is that of what it says.
    pub(super) fn is_sound(&self) -> bool {
        let begin = self.begun.as_ref().map(Begun::begin);
        // Both or neither: the header's columns are hashed with the first row.
        begin.is_some() == (self.row.seq == 1) && row_hash(&self.row, begin) == self.row.hash
    }

    /// As a line of JSON, without its end.
    pub(super) fn line(self) -> Result<String, JournalError> {
        let Self { journal, row, begun } = self;
        let n = row.n;
        let odd = || {
            let text = format!("row {n} of the journal cannot be sent: its event is not one line of JSON");
            JournalError::new(Kind::Corrupt { n: Some(n) }, "HO0306", text).hint("see `handover audit verify`")
        };
        if row.payload.contains(['\n', '\r']) {
            return Err(odd());
        }
        let line = Line {
            kind: "row".to_owned(),
            form: FORM,
            journal,
            n,
            rotation: row.rotation,
            seq: row.seq,
            epoch: row.epoch,
            format: row.format,
            wall_ms: row.stamp.wall_ms,
            boot_ms: row.stamp.boot_ms,
            boot_id: row.stamp.boot_id,
            at: row.at.0,
            last: row.last,
            begun,
            prev: hex::encode(row.prev),
            hash: hex::encode(row.hash),
            event: RawValue::from_string(row.payload).map_err(|_| odd())?,
        };
        serde_json::to_string(&line).map_err(|_| odd())
    }
}

impl Begun {
    pub(super) fn begin(&self) -> Begin<'_> {
        Begin { credential: &self.credential, lineage: &self.lineage, created_at: Millis(self.created_at) }
    }
}

/// The last row that a line shows a sink to have: that of the row itself, or the one that a checkpoint signs.
#[must_use]
pub fn head_of(line: &str) -> Option<(String, Head)> {
    if let Some(Sent { journal, row, .. }) = Sent::parse(line) {
        return Some((journal, Head { n: row.n, hash: row.hash }));
    }
    Checkpoint::parse(line).map(|c| (c.journal, c.head))
}

/// The log is not the one that a sink has.
pub(super) fn another(text: String) -> JournalError {
    JournalError::new(Kind::RolledBack, "HO1070", text)
        .hint("nothing is sent there until a person has looked: compare both with `handover audit verify --shipped FILE`")
}
