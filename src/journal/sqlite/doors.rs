//! Ways in for the fuzz targets: a journal in memory, written and read by the statements of this module, whose columns can be
//! changed from the side. Not part of the product.

use handover_rotation::name::RotationId;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::rows::sql;
use super::{read, write};
use crate::journal::record::{Append, NewEvent, NewRotation, Report, Room, Row};
use crate::journal::{JournalError, Owner, Stamp, system_stamp};

/// What of a row can be changed from the side: columns of its table.
pub(crate) const COLUMNS: [&str; 13] =
    ["n", "rotation", "seq", "epoch", "format", "wall_ms", "boot_ms", "boot_id", "at", "payload", "last", "prev", "hash"];

const INSTANCE: &str = "fuzzed";

/// A journal in memory.
pub(crate) struct Memory {
    c: Connection,
    owner: Owner,
    now: Stamp,
}

impl Memory {
    pub(crate) fn new() -> Result<Self, JournalError> {
        let c = Connection::open_in_memory().map_err(sql("open memory"))?;
        // Without types and triggers: what they stop is to be stopped by the reader as well.
        let first = include_str!("schema.sql").split("CREATE TRIGGER").next().unwrap_or_default();
        let tables = [first, include_str!("later.sql")].concat().replace(" STRICT, ", " ").replace(" STRICT", "");
        c.execute_batch(&tables).and_then(|()| c.execute_batch("PRAGMA foreign_keys = OFF")).map_err(sql("make tables"))?;
        Ok(Self { c, owner: Owner::current()?, now: system_stamp() })
    }

    /// A journal of one rotation with these events, for as long as `look` takes.
    pub(crate) fn with<T>(
        &self,
        id: &RotationId,
        events: Vec<NewEvent>,
        last: bool,
        look: impl FnOnce(&Self) -> T,
    ) -> Result<T, JournalError> {
        self.c.execute_batch("BEGIN").map_err(sql("begin"))?;
        let result = self.fill(id, events, last).map(|()| look(self));
        self.c.execute_batch("ROLLBACK").map_err(sql("roll back"))?;
        result
    }

    fn fill(&self, id: &RotationId, mut events: Vec<NewEvent>, last: bool) -> Result<(), JournalError> {
        let rest = events.split_off(1);
        let text = str::to_owned;
        let (credential, lineage) = (text("newsletter"), text("relay/newsletter"));
        let new = NewRotation { id: id.clone(), credential, lineage, events, sealed: Vec::new(), trigger: None };
        let claim = write::begin(&self.c, INSTANCE, &new, &self.owner, &self.now)?;
        if rest.is_empty() {
            return Ok(());
        }
        let (epoch, expected_seq, room) = (claim.epoch, claim.seq, Room::Ordinary);
        let append =
            Append { id: id.clone(), epoch, expected_seq, events: rest, sealed: Vec::new(), notices: Vec::new(), room };
        write::append(&self.c, INSTANCE, &append, last, &self.now).map(drop)
    }

    /// What a column of a row holds.
    pub(crate) fn column(&self, column: &str, seq: u64) -> Option<Value> {
        let query = format!("SELECT {column} FROM events WHERE seq = ?1");
        self.c.prepare_cached(&query).and_then(|mut s| s.query_row([i64::try_from(seq).unwrap_or(0)], |r| r.get(0))).ok()
    }

    /// Changes a column of a row. False where the table itself refuses.
    pub(crate) fn change(&self, column: &str, seq: u64, to: &Value) -> bool {
        let change = format!("UPDATE events SET {column} = ?1 WHERE seq = ?2");
        let seq = i64::try_from(seq).unwrap_or(0);
        self.c.prepare_cached(&change).and_then(|mut s| s.execute((to, seq))).is_ok_and(|changed| changed == 1)
    }

    pub(crate) fn load(&self, id: &RotationId) -> Result<Vec<Row>, JournalError> {
        read::load(&self.c, INSTANCE, id)
    }

    pub(crate) fn verify(&self) -> Result<Report, JournalError> {
        read::verify(&self.c, INSTANCE, &self.owner, &self.now)
    }
}
