//! What the journal keeps: rows, headers, claims, and what callers hand in. Plain data, no I/O.
//!
//! The journal does not know what an event is: a payload is a text whose exact bytes are hashed. Format versions are here.

use handover_rotation::name::RotationId;
use handover_rotation::time::{Millis, Span};

use super::outbox::NewNotice;
use super::owner::Owner;
use super::register::{Known, Trigger};

/// The format of rows that this release writes, and the newest that it reads.
pub const FORMAT: u16 = 1;

/// How long an owner that cannot be seen is believed to live after its last renewal (`T_lease` of safety.md).
pub const LEASE: Span = Span::seconds(30);

/// The largest payload of one row in bytes.
pub const PAYLOAD_MAX: usize = 1 << 20;

/// Both clocks at one moment (safety.md B18: both are stored).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Milliseconds since the Unix epoch by the wall clock, which people read and nothing relies on.
    pub wall_ms: u64,
    /// Milliseconds since the kernel booted, sleep included.
    pub boot_ms: u64,
    /// Which boot that was: boot times of different boots cannot be compared.
    pub boot_id: String,
}

/// One row of the journal: one event of one rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its place in the chain of the whole journal, from 1, without gaps.
    pub n: u64,
    /// The rotation.
    pub rotation: RotationId,
    /// Its place in the rotation, from 1, without gaps.
    pub seq: u64,
    /// The epoch of the owner that wrote it.
    pub epoch: u64,
    /// The format of the row.
    pub format: u16,
    /// Both clocks when it was made.
    pub stamp: Stamp,
    /// The rotation's trusted time.
    pub at: Millis,
    /// The event, as the caller's canonical JSON.
    pub payload: String,
    /// Whether the rotation ended with this row.
    pub last: bool,
    /// The hash of row `n - 1`, or of the journal's beginning.
    pub prev: [u8; 32],
    /// The hash of all the columns above, and of the header's where `seq` is 1.
    pub hash: [u8; 32],
}

/// What is known of a rotation without its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The rotation.
    pub id: RotationId,
    /// The credential by its name in the inventory.
    pub credential: String,
    /// The lineage: provider and account, of which only one rotation may be under way (S14).
    pub lineage: String,
    /// The trusted time of its first event.
    pub created_at: Millis,
    /// The sequence number of its last row.
    pub seq: u64,
    /// The epoch of its last claim.
    pub epoch: u64,
    /// Whether it has ended.
    pub finished: bool,
    /// Who holds it, if someone does and lives as far as can be told.
    pub holder: Option<Owner>,
}

/// An event to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Both clocks.
    pub stamp: Stamp,
    /// The rotation's trusted time.
    pub at: Millis,
    /// Canonical JSON.
    pub payload: String,
    /// What the versions that it tells of are known by.
    pub known: Vec<Known>,
}

/// A sealed secret to be kept with the events that go with it. A blob in the same slot is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBlob {
    /// Where it is kept; the same name was given to the sealer.
    pub slot: String,
    /// What the sealer made.
    pub blob: Vec<u8>,
    /// What the secret is known by to those who find it elsewhere: hashes, never one that could be guessed from (T16).
    pub known: Vec<String>,
}

/// A rotation to be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRotation {
    /// Its id, never used before.
    pub id: RotationId,
    /// The credential by its name in the inventory.
    pub credential: String,
    /// Provider and account, as one text.
    pub lineage: String,
    /// Its first events, at least one.
    pub events: Vec<NewEvent>,
    /// Secrets that belong to them.
    pub sealed: Vec<SealedBlob>,
    /// What sets it going, if that does so only once.
    pub trigger: Option<Trigger>,
}

/// Whether an append may use the room that is kept back for a full disk (threat T24).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It announces an effect, or can wait: on a full disk it fails, and the effect must not be started.
    Ordinary,
    /// It says what has already happened outside: it may use the reserve.
    Reserve,
}

/// Events to be added to a rotation in one durable transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The rotation.
    pub id: RotationId,
    /// The writer's epoch, from its claim.
    pub epoch: u64,
    /// The sequence number of the last row that the writer knows.
    pub expected_seq: u64,
    /// At least one.
    pub events: Vec<NewEvent>,
    /// Secrets that belong to these events.
    pub sealed: Vec<SealedBlob>,
    /// What is to be told of these events: kept with them or not at all.
    pub notices: Vec<NewNotice>,
    /// Whether it may use the reserve.
    pub room: Room,
}

/// The right to write to a rotation, until someone claims it after us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// To be given with each write.
    pub epoch: u64,
    /// The sequence number of the last row.
    pub seq: u64,
    /// From whom it was taken without a release. Then calls of that owner may still be in flight: wait first (S7).
    pub taken_from: Option<TakenFrom>,
}

/// An owner that did not release its rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenFrom {
    /// The owner.
    pub owner: Owner,
    /// Why it could be taken.
    pub why: Why,
}

/// Why a rotation could be taken from an owner that did not release it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its process has ended.
    Gone,
    /// It cannot be seen from here, and its lease has ended.
    Expired,
    /// The claimer held it already: a claim repeated.
    Itself,
}

/// Which rotations to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this one.
    pub id: Option<RotationId>,
    /// Only of this credential.
    pub credential: Option<String>,
    /// Only of this provider and account.
    pub lineage: Option<String>,
    /// Only open ones, and those that were begun at this time or later.
    pub since: Option<Millis>,
    /// Only ended (true) or only open ones (false).
    pub finished: Option<bool>,
    /// At most this many, the newest first.
    pub limit: Option<u32>,
}

/// What a check of the whole chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Rows in the chain.
    pub rows: u64,
    /// Rotations.
    pub rotations: u64,
    /// The last row's number and hash.
    pub head: Head,
}

/// The end of the chain. Its text, `n:hash`, can be kept elsewhere as a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the last row; 0 for an empty journal.
    pub n: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.n, hex::encode(self.hash))
    }
}
