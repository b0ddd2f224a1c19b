//! The outbox: what is to be told to people, kept in the journal until it has been told (fault matrix B19).
//!
//! A notice is written in the transaction of the events that it tells of ([`Append::notices`](super::Append)), or by itself, and
//! is then delivered at least once by whoever runs a delivery loop. The journal does not know what a notice says. It must hold no
//! secret, and nothing waits for it: no rotation is slower or stops because nobody can be told.

use async_trait::async_trait;

use super::error::JournalError;

/// The longest time between two tries, in milliseconds. A row that would wait longer is due: the wall clock went back.
pub const OUTBOX_WAIT_MOST: u64 = 15 * 60_000;

/// The largest text of one notice in bytes.
pub const NOTICE_MAX: usize = 64 << 10;

/// The longest id, target and thread of a notice in bytes.
const NAME_MAX: usize = 512;

/// A notice for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNotice {
    /// What it is called for ever: receivers tell a repetition by it, and so does the outbox. A second one of the same id for the
    /// same target is not kept.
    pub id: String,
    /// The notifier by its name in the inventory, or who it is for.
    pub target: String,
    /// What it belongs to, such as a rotation: of one thread and target a notice is sent only after those before it.
    pub thread: String,
    /// What it says, as the caller's JSON.
    pub text: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl NewNotice {
    /// Why it cannot be kept, if so.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let names = [&self.id, &self.target, &self.thread];
        if names.iter().any(|n| n.is_empty() || n.len() > NAME_MAX) {
            return Some("a notice needs an id, a target and a thread, each of at most 512 bytes");
        }
        (self.text.len() > NOTICE_MAX).then_some("a notice is larger than 64 KiB")
    }
}

/// A notice that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its place in the outbox.
    pub number: u64,
    /// The notice.
    pub notice: NewNotice,
    /// How often it was tried.
    pub attempts: u32,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// The receiver has it.
    Sent,
    /// It may not have it: to be tried again at this time, in milliseconds since the Unix epoch.
    Again {
        /// When.
        at_ms: u64,
        /// Why, in words that a person may see.
        why: String,
    },
    /// It will not be tried again.
    GivenUp {
        /// Why, in words that a person may see.
        why: String,
    },
}

/// How the outbox of one target stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The target.
    pub target: String,
    /// Notices that wait.
    pub waiting: u64,
    /// When the oldest of them was made, in milliseconds since the Unix epoch.
    pub oldest_ms: Option<u64>,
    /// Notices that were given up and are still kept.
    pub given_up: u64,
    /// Why the newest of those that failed did.
    pub why: Option<String>,
}

/// A place that keeps notices until they are told.
///
/// # Guarantees
/// * What was put survives the loss of power, and stays due until [`Tried::Sent`] or [`Tried::GivenUp`] was written: at least once.
/// * One id is kept once for each target, for as long as it is not swept.
/// * Of one target and thread only the oldest that waits is due; threads and targets do not wait for each other.
///
/// # Caveats
/// A process that dies between the call and `tried` tells again: receivers tell repetitions by the id.
///
/// # Errors
/// Those of a journal. `Invalid` for a notice that cannot be kept.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Keeps notices, all or none. Those whose id is known for their target are left as they are.
    ///
    /// # Errors
    /// `Invalid`, `Full`, `Locked`, `Io`.
    async fn put(&self, notices: Vec<NewNotice>) -> Result<(), JournalError>;

    /// Whom something is kept for that waits.
    ///
    /// # Errors
    /// `Locked`, `Io`.
    async fn targets(&self) -> Result<Vec<String>, JournalError>;

    /// What a target is to be told at this time, at most `most`: what was tried least often first, so that one that is refused
    /// for ever holds up no other, and of those the oldest.
    ///
    /// # Errors
    /// `Locked`, `Io`.
    async fn due(&self, target: &str, now_ms: u64, most: u32) -> Result<Vec<Queued>, JournalError>;

    /// Writes down what came of a try. Of one that is not waiting any more nothing changes.
    ///
    /// # Errors
    /// `Full`, `Locked`, `Io`.
    async fn tried(&self, number: u64, tried: Tried) -> Result<(), JournalError>;

    /// How each target stands, by name.
    ///
    /// # Errors
    /// `Locked`, `Io`.
    async fn standing(&self) -> Result<Vec<Standing>, JournalError>;

    /// Forgets what was sent or given up and was made before this time; says how many those were.
    ///
    /// # Errors
    /// `Full`, `Locked`, `Io`.
    async fn sweep(&self, before_ms: u64) -> Result<u64, JournalError>;
}
