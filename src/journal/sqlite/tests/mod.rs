//! Tests of the SQLite journal: what the contract promises, and what happens when someone breaks in from the side.

mod grown;
mod many;
mod model;
mod outbox;
mod races;
mod safety;
mod shipping;
mod tamper;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use handover_rotation::name::RotationId;
use handover_rotation::time::Millis;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{Options, SqliteJournal};
use crate::journal::{Append, Claim, Journal, JournalError, NewEvent, NewRotation, Owner, Room, SealedBlob, Stamp};

pub(super) fn id(text: &str) -> RotationId {
    RotationId::new(text).unwrap()
}

pub(super) fn event(at: u64) -> NewEvent {
    let stamp = Stamp { wall_ms: at, boot_ms: at / 2, boot_id: "boot".to_owned() };
    NewEvent { stamp, at: Millis(at), payload: format!("{{\"at\":{at}}}"), known: Vec::new() }
}

pub(super) fn new(name: &str, lineage: &str) -> NewRotation {
    NewRotation {
        id: id(name),
        credential: "newsletter".to_owned(),
        lineage: lineage.to_owned(),
        events: vec![event(1)],
        sealed: vec![],
        trigger: None,
    }
}

pub(super) fn more(name: &str, epoch: u64, expected_seq: u64) -> Append {
    let events = vec![event(expected_seq + 1)];
    Append { id: id(name), epoch, expected_seq, events, sealed: Vec::new(), notices: Vec::new(), room: Room::Ordinary }
}

pub(super) fn with_blob(append: Append, slot: &str, blob: &[u8]) -> Append {
    Append { sealed: vec![SealedBlob { slot: slot.to_owned(), blob: blob.to_vec(), known: vec![] }], ..append }
}

/// A folder with a journal, whose file can be changed from the side.
pub(super) struct World {
    pub(super) dir: TempDir,
    pub(super) owner: Owner,
}

impl World {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), owner: Owner::current().unwrap() }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn open(&self) -> SqliteJournal {
        self.try_open().unwrap()
    }

    pub(super) fn try_open(&self) -> Result<SqliteJournal, JournalError> {
        SqliteJournal::open(Options::new(self.path()))
    }

    /// Begins `name` on a lineage of its own.
    pub(super) async fn begin(&self, journal: &SqliteJournal, name: &str) -> Claim {
        journal.begin(new(name, name), &self.owner).await.unwrap()
    }

    /// Changes the database as an intruder would, with its triggers out of the way.
    pub(super) fn intrude(&self, change: &str) {
        let c = Connection::open(self.path().join("journal.db")).unwrap();
        let triggers = "DROP TRIGGER IF EXISTS events_stay; DROP TRIGGER IF EXISTS events_are_final;
            DROP TRIGGER IF EXISTS rotations_stay; DROP TRIGGER IF EXISTS epochs_grow; PRAGMA foreign_keys = OFF;";
        c.execute_batch(&format!("{triggers} {change}")).unwrap();
    }
}

/// Clocks that stand still until they are moved.
#[derive(Clone)]
pub(super) struct Clocks {
    wall: Arc<AtomicU64>,
    boot: Arc<AtomicU64>,
    boot_id: String,
}

impl Clocks {
    pub(super) fn new(boot_id: &str) -> Self {
        Self {
            wall: Arc::new(AtomicU64::new(1_000_000)),
            boot: Arc::new(AtomicU64::new(1_000_000)),
            boot_id: boot_id.to_owned(),
        }
    }

    pub(super) fn pass(&self, wall: u64, boot: u64) {
        self.wall.fetch_add(wall, Ordering::SeqCst);
        self.boot.fetch_add(boot, Ordering::SeqCst);
    }

    pub(super) fn options(&self, path: &Path) -> Options {
        let clocks = self.clone();
        Options::new(path).clock(move || Stamp {
            wall_ms: clocks.wall.load(Ordering::SeqCst),
            boot_ms: clocks.boot.load(Ordering::SeqCst),
            boot_id: clocks.boot_id.clone(),
        })
    }
}

#[tokio::test]
async fn a_rotation_is_begun_written_read_and_finished() {
    let world = World::new();
    let journal = world.open();
    let claim = world.begin(&journal, "r1").await;
    assert_eq!(claim, Claim { epoch: 1, seq: 1, taken_from: None });
    let two = Append { events: vec![event(2), event(3)], ..more("r1", 1, 1) };
    assert_eq!(journal.append(two).await.unwrap(), 3);
    assert_eq!(journal.finish(more("r1", 1, 3)).await.unwrap(), 4);
    let (commits, rows) = (journal.commits(), journal.load(&id("r1")).await.unwrap());
    assert_eq!(commits, 3);
    assert_eq!(
        rows.iter().map(|r| (r.n, r.seq, r.at.0, r.last)).collect::<Vec<_>>(),
        [(1, 1, 1, false), (2, 2, 2, false), (3, 3, 3, false), (4, 4, 4, true)]
    );
    let instance = journal.instance_id().to_owned();
    drop(journal);

    let journal = world.open();
    assert_eq!(journal.instance_id(), instance);
    assert_eq!(journal.load(&id("r1")).await.unwrap(), rows);
    assert_eq!(journal.export_rows(None).await.unwrap(), rows);
    let report = journal.verify().await.unwrap();
    assert_eq!((report.rows, report.rotations, report.head.hash), (4, 1, rows[3].hash));
}
