//! The journal: the one truth about rotations, on disk before anything is done, and the audit log at the same time.
//!
//! ```text
//!   engine ──▶ trait Journal ──▶ sqlite (today)      record   what is kept
//!                                                    chain    one hash chain over all rows
//!   engine ──▶ Sealer (seal)                         anchor   the chain's head, beside the database
//!              secrets are sealed before             owner    who holds a rotation, and lives
//!              they come here                        place    a safe folder     reserve   room for a full disk
//!   daemon ──▶ trait Outbox ──▶ sqlite              what is to be told
//!   daemon ──▶ trait Shipping ──▶ sqlite            what is sent elsewhere: rows, and checkpoints (signed heads)
//!   verify ──▶ shipped                              what a sink has, checked without the journal
//!   Sealer ◀── data key (envelope) ◀── trait KeySource: a file (key_file), or what `keys` knows
//! ```
//!
//! It knows no adapters and not what an event means. It must never see a secret in the clear.

mod anchor;
mod chain;
mod checkpoint;
mod envelope;
mod envelope_file;
mod error;
mod key_file;
mod outbox;
mod owner;
mod place;
mod record;
mod register;
mod reserve;
mod seal;
mod shipped;
mod shipping;
mod sqlite;

use std::collections::BTreeSet;
use std::path::Path;

use async_trait::async_trait;
use handover_rotation::name::RotationId;

pub use self::checkpoint::{Checkpoint, PublicKey, Signer};
pub use self::envelope::{
    Key, KeySource, Passing, Rewrapped, Wrapped, WrappedBy, migrate_seal, open_seal, rotate_seal, wrapped_by,
};
pub use self::error::{JournalError, Kind, Wrote};
pub use self::key_file::KeyFile;
pub use self::outbox::{NOTICE_MAX, NewNotice, OUTBOX_WAIT_MOST, Outbox, Queued, Standing, Tried};
pub use self::owner::{Liveness, Owner, system_stamp};
pub(crate) use self::place::look as check_folder;
pub use self::record::{
    Append, Claim, FORMAT, Filter, Head, Header, LEASE, NewEvent, NewRotation, PAYLOAD_MAX, Report, Room, Row, SealedBlob,
    Stamp, TakenFrom, Why,
};
pub use self::register::{Alert, AlertChange, AlertState, Bearer, Known, NewAlert, Register, Tick, TokenRow, Trigger};
pub use self::seal::{Sealer, another_key};
pub use self::shipped::{Reading, Shipped, judge};
pub use self::shipping::{Cursor, Item, Shipping, head_of};
#[cfg(feature = "crash-points")]
pub use self::sqlite::AppendHook;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::sqlite::doors;
pub use self::sqlite::{Options, SqliteJournal};

/// A place that keeps rotations.
///
/// # Guarantees
/// * A write that returned `Ok` survives the loss of power. One that failed with [`Wrote::No`] left nothing behind.
/// * `append` and `finish` succeed only with the epoch of the last claim and the sequence number of the last row, so of two
///   writers one loses with [`Kind::Superseded`] (safety.md S7). Epochs of a rotation only grow.
/// * A batch is written whole or not at all, its sealed secrets with it (S5, S6).
/// * At most one rotation of a lineage is not finished, over all processes (S14).
/// * `load` gives every row that was written, in order, checked against its hash and its neighbours, or an error (S28).
/// * Rows are never changed or removed. Sealed secrets go with `finish`, in the same transaction.
///
/// # Assumptions
/// * Payloads hold no secret. Blobs were made by a [`Sealer`] for the same rotation and slot.
/// * Whoever starts effects outside looks at [`Claim::taken_from`], and waits out the calls of an owner that did not release.
/// * The disk keeps what it says it has kept.
///
/// # Caveats
/// * A claim does not stop the calls outside of the owner before; it only stops its writes here.
/// * A call whose future is dropped may still happen: treat it as [`Wrote::Unknown`].
/// * The chain has no key: whoever can rewrite the database and the anchor can forge both. Signed [`Checkpoint`]s elsewhere tell.
///
/// # Errors
/// Kinds are for decisions, codes and hints for people. After [`Wrote::Unknown`] only a journal opened anew tells the truth.
/// Where [`JournalError::halts`] is true, no new effect may be started.
#[async_trait]
pub trait Journal: Send + Sync {
    /// The random name of this journal, made with it. Sealed secrets are bound to it.
    fn instance_id(&self) -> &str;

    /// Begins a rotation with its first events, held by `owner`.
    ///
    /// # Errors
    /// `OneRotation` if the lineage has one that is not finished; it names that one, which is `new.id` itself if this is a
    /// repetition. `Invalid` if the id was used before.
    async fn begin(&self, new: NewRotation, owner: &Owner) -> Result<Claim, JournalError>;

    /// Takes a rotation that nobody alive holds. Every earlier claim loses its right to write.
    ///
    /// # Errors
    /// `Busy` with the live owner; `NotFound`; `Finished`.
    async fn claim(&self, id: &RotationId, owner: &Owner) -> Result<Claim, JournalError>;

    /// Moves the end of the lease to [`LEASE`] from now. To be called every third of it; appends do it too.
    ///
    /// # Errors
    /// `Superseded` if someone else has claimed it: no effect may be started any more.
    async fn renew(&self, id: &RotationId, epoch: u64) -> Result<(), JournalError>;

    /// Gives a rotation back. Only when no call outside is in flight, as the next owner will not wait.
    ///
    /// # Errors
    /// `Superseded`.
    async fn release(&self, id: &RotationId, epoch: u64) -> Result<(), JournalError>;

    /// Adds events; gives the sequence number of the last.
    ///
    /// # Errors
    /// `Superseded`, `Finished`, `NotFound`, `Invalid`, `Full`, `Locked`, `Io`.
    async fn append(&self, append: Append) -> Result<u64, JournalError>;

    /// Adds the last events, marks the rotation as finished, and destroys its sealed secrets.
    ///
    /// # Errors
    /// As `append`.
    async fn finish(&self, append: Append) -> Result<u64, JournalError>;

    /// Leaves a request for the owner of a rotation, in the caller's own words.
    ///
    /// # Errors
    /// `NotFound`, `Finished`, `Full`, `Locked`, `Io`.
    async fn post(&self, id: &RotationId, request: &str) -> Result<(), JournalError>;

    /// The requests that were left for a rotation, each with its number, the oldest first.
    ///
    /// # Errors
    /// `Io`, `Locked`.
    async fn inbox(&self, id: &RotationId) -> Result<Vec<(u64, String)>, JournalError>;

    /// The rotations for which requests were left.
    ///
    /// # Errors
    /// `Io`, `Locked`.
    async fn asked(&self) -> Result<BTreeSet<RotationId>, JournalError>;

    /// Removes a request. To be called when what came of it is written: a request seen twice does no harm, a lost one does.
    ///
    /// # Errors
    /// `Full`, `Locked`, `Io`.
    async fn take_from_inbox(&self, id: &RotationId, number: u64) -> Result<(), JournalError>;

    /// Every row of a rotation, checked.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` for a gap, a short log, or a row that does not match its hash or its neighbours; `Version` for a
    /// format that this release does not know.
    async fn load(&self, id: &RotationId) -> Result<Vec<Row>, JournalError>;

    /// Headers, the newest first.
    ///
    /// # Errors
    /// `Io`, `Locked`, `Corrupt`.
    async fn list(&self, filter: Filter) -> Result<Vec<Header>, JournalError>;

    /// The sealed secret of a slot, if there is one.
    ///
    /// # Errors
    /// `Io`, `Locked`.
    async fn sealed(&self, id: &RotationId, slot: &str) -> Result<Option<Vec<u8>>, JournalError>;

    /// Checks every row, every header and the anchor.
    ///
    /// # Errors
    /// `Corrupt` with the first row that is wrong and why; `RolledBack`; `Version`.
    async fn verify(&self) -> Result<Report, JournalError>;

    /// The rows of one rotation or of all, in the order of the chain, as they are: unchecked, for the audit.
    ///
    /// # Errors
    /// `Io`, `Locked`, `Corrupt` where a column cannot be read at all.
    async fn export_rows(&self, id: Option<&RotationId>) -> Result<Vec<Row>, JournalError>;

    /// The mark of the sealing key that this journal was bound to, if it was.
    ///
    /// # Errors
    /// `Io`, `Locked`.
    async fn key_mark(&self) -> Result<Option<String>, JournalError>;

    /// Binds the journal to a sealing key by its mark, once.
    ///
    /// # Errors
    /// `Seal` if it is bound to another one.
    async fn bind_key(&self, mark: &str) -> Result<(), JournalError>;

    /// Writes the anchor, and moves the write-ahead log into the database. Also done from time to time and at the end.
    ///
    /// # Errors
    /// `Io`, `Locked`.
    async fn flush(&self) -> Result<(), JournalError>;
}

/// Opens the sealing key of a journal; makes it where the journal was never bound to one.
///
/// A missing key of a bound journal is an error and not made anew: what was sealed with it would be lost in silence.
///
/// # Errors
/// `Seal` if the key is unsafe, unreadable, missing or another one; what the journal says otherwise.
pub async fn open_sealer(journal: &dyn Journal, key_file: &Path) -> Result<Sealer, JournalError> {
    let bound = journal.key_mark().await?;
    let sealer = if bound.is_some() {
        Sealer::from_file(key_file, journal.instance_id())?
    } else {
        Sealer::from_file_or_new(key_file, journal.instance_id())?
    };
    journal.bind_key(sealer.mark()).await?;
    Ok(sealer)
}
