//! The hash chain over all rows of a journal: what is hashed, and the walk that finds the first row that is wrong.
//!
//! One chain for the whole journal and not one a rotation, so that the loss of a whole rotation is seen (safety.md S23). Pure:
//! it reads no file. `anchor` keeps the chain's head where the database cannot change it by accident.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256};
use handover_rotation::name::RotationId;
use handover_rotation::time::Millis;

use super::error::{JournalError, Kind};
use super::record::{FORMAT, Head, Header, Report, Row};

/// The header's columns that never change: they are hashed with the first row of the rotation.
#[derive(Clone, Copy)]
pub(crate) struct Begin<'a> {
    pub(crate) credential: &'a str,
    pub(crate) lineage: &'a str,
    pub(crate) created_at: Millis,
}

/// Hashes fields with their lengths before them, so that no two lists of fields hash alike.
pub(crate) struct Fields(Context);

impl Fields {
    pub(crate) fn of(purpose: &str) -> Self {
        Self(Context::new(&SHA256)).text(purpose)
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(bytes);
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn number(self, n: u64) -> Self {
        self.bytes(&n.to_be_bytes())
    }

    pub(crate) fn hash(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}

/// What the first row of a journal has as its `prev`.
pub(crate) fn genesis(instance: &str) -> [u8; 32] {
    Fields::of("handover journal").text(instance).hash()
}

/// The hash that belongs into `row.hash`.
pub(crate) fn row_hash(row: &Row, begin: Option<Begin<'_>>) -> [u8; 32] {
    let fields = Fields::of("handover row")
        .bytes(&row.prev)
        .number(row.n)
        .text(row.rotation.as_str())
        .number(row.seq)
        .number(row.epoch)
        .number(row.format.into())
        .number(row.stamp.wall_ms)
        .number(row.stamp.boot_ms)
        .text(&row.stamp.boot_id)
        .number(row.at.0)
        .text(&row.payload)
        .number(row.last.into());
    match begin {
        Some(begin) => fields.text(begin.credential).text(begin.lineage).number(begin.created_at.0).hash(),
        None => fields.hash(),
    }
}

/// Where the chain is broken, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Break {
    pub(crate) n: u64,
    pub(crate) why: String,
}

impl From<Break> for JournalError {
    fn from(Break { n, why }: Break) -> Self {
        Self::new(Kind::Corrupt { n: Some(n) }, "HO0307", format!("row {n} of the journal is not as it was written: {why}"))
            .hint("keep the state folder as it is, restore it from a backup, and compare with `handover audit export`")
    }
}

/// A row of a format that this release does not know.
pub(crate) fn unknown_format(row: &Row) -> JournalError {
    let Row { n, rotation, format, .. } = row;
    JournalError::new(
        Kind::Version,
        "HO0324",
        format!("row {n} (rotation {rotation}) has format {format}, and this release knows {FORMAT}"),
    )
    .hint("use the release that wrote it, or a newer one")
}

#[derive(Default)]
struct Seen {
    seq: u64,
    epoch: u64,
    finished: bool,
}

/// Takes all rows in order, then all headers.
pub(crate) struct Walk {
    head: Head,
    rotations: BTreeMap<RotationId, Seen>,
}

impl Walk {
    pub(crate) fn new(instance: &str) -> Self {
        Self { head: Head { n: 0, hash: genesis(instance) }, rotations: BTreeMap::new() }
    }

    /// Checks the next row. `begin` is the header's part, where the row is a first one and has a header.
    pub(crate) fn step(&mut self, row: &Row, begin: Option<Begin<'_>>) -> Result<(), Break> {
        let n = self.head.n + 1;
        let broken = |why: String| Err(Break { n, why });
        if row.n != n {
            return broken(format!("it is missing, the next one is {}", row.n));
        }
        if row.prev != self.head.hash {
            return broken("it does not follow the row before it".to_owned());
        }
        if row_hash(row, begin) != row.hash {
            return broken("its hash does not match its columns".to_owned());
        }
        let seen = self.rotations.entry(row.rotation.clone()).or_default();
        if row.seq != seen.seq + 1 {
            return broken(format!("it is event {} of {}, after event {}", row.seq, row.rotation, seen.seq));
        }
        if row.epoch < seen.epoch {
            return broken(format!("its epoch {} is lower than {} before it", row.epoch, seen.epoch));
        }
        if seen.finished {
            return broken(format!("{} had already ended", row.rotation));
        }
        *seen = Seen { seq: row.seq, epoch: row.epoch, finished: row.last };
        self.head = Head { n, hash: row.hash };
        Ok(())
    }

    /// Checks that the headers say what the rows say.
    pub(crate) fn end(mut self, headers: &[Header]) -> Result<Report, Break> {
        let n = self.head.n;
        let broken = |why: String| Err(Break { n, why });
        let rotations = u64::try_from(self.rotations.len()).unwrap_or(u64::MAX);
        for header in headers {
            let Some(seen) = self.rotations.remove(&header.id) else {
                return broken(format!("rotation {} has a header and no rows", header.id));
            };
            if (header.seq, header.finished) != (seen.seq, seen.finished) || header.epoch < seen.epoch {
                return broken(format!("the header of rotation {} does not match its rows", header.id));
            }
        }
        match self.rotations.into_keys().next() {
            Some(id) => broken(format!("rotation {id} has rows and no header")),
            None => Ok(Report { rows: n, rotations, head: self.head }),
        }
    }
}
