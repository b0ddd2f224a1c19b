//! Checks what a sink has, line by line and without the journal: that rows follow from each other, that repetitions repeat, and that
//! checkpoints sign what is there. It reads no file and keeps no line; a hash for each row is all that it remembers.

use super::checkpoint::{Checkpoint, PublicKey};
use super::record::Head;
use super::shipping::Sent;

/// Takes the lines of a sink, the oldest first.
#[derive(Default)]
pub struct Reading {
    key: Option<PublicKey>,
    journal: Option<String>,
    /// The number of the first row, and the hash of each from there on.
    first: u64,
    hashes: Vec<[u8; 32]>,
    checkpoints: u64,
    repeated: u64,
    cut: u64,
    wrong: Vec<String>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipped {
    /// The journal that it is of, where a line says so.
    pub journal: Option<String>,
    /// The first row.
    pub first: u64,
    /// The last row, where there is one.
    pub head: Option<Head>,
    /// Checkpoints that fit.
    pub checkpoints: u64,
    /// Whether their signatures were looked at.
    pub signatures: bool,
    /// Lines that say again what was there.
    pub repeated: u64,
    /// Lines that are none, as a writer leaves that was killed.
    pub cut: u64,
    /// What is wrong, each with its line's place. Sound if there is none.
    pub wrong: Vec<String>,
}

impl Reading {
    /// A reading that checks signatures by `key`, where there is one.
    #[must_use]
    pub fn new(key: Option<PublicKey>) -> Self {
        Self { key, ..Self::default() }
    }

    /// Takes a line without its end; `place` is what people find it by.
    pub fn line(&mut self, place: &str, line: &str) {
        if line.is_empty() {
            return;
        }
        let found = if let Some(sent) = Sent::parse(line) {
            self.same_journal(&sent.journal).and_then(|()| self.row(&sent))
        } else if let Some(checkpoint) = Checkpoint::parse(line) {
            self.same_journal(&checkpoint.journal).and_then(|()| self.checkpoint(&checkpoint))
        } else if serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok() {
            // A line that is whole was not cut by a crash.
            Err("it is neither a row nor a checkpoint of this form".to_owned())
        } else {
            self.cut += 1;
            Ok(())
        };
        if let Err(why) = found {
            self.wrong.push(format!("{place}: {why}"));
        }
    }

    fn same_journal(&mut self, name: &str) -> Result<(), String> {
        match &self.journal {
            Some(known) if known != name => Err(format!("it is of the journal {name}, and the lines before are of {known}")),
            Some(_) => Ok(()),
            None => {
                self.journal = Some(name.to_owned());
                Ok(())
            }
        }
    }

    fn hash_of(&self, n: u64) -> Option<[u8; 32]> {
        let index = usize::try_from(n.checked_sub(self.first)?).ok()?;
        self.hashes.get(index).copied()
    }

    fn row(&mut self, sent: &Sent) -> Result<(), String> {
        let row = &sent.row;
        if !sent.is_sound() {
            return Err(format!("row {} is not as it was sent: its hash does not match", row.n));
        }
        let Some(last) = self.hashes.last() else {
            self.first = row.n;
            self.hashes.push(row.hash);
            return Ok(());
        };
        let next = self.first + self.hashes.len() as u64;
        if row.n < next {
            return match self.hash_of(row.n) {
                Some(known) if known == row.hash => {
                    self.repeated += 1;
                    Ok(())
                }
                Some(_) => Err(format!("row {} was there before and was another one: the journal has two histories", row.n)),
                None => Err(format!("row {} comes after row {}", row.n, next - 1)),
            };
        }
        let follows = row.n == next && row.prev == *last;
        let missing = row.n > next;
        // What comes after is judged by this one, so that one gap is one fault.
        if missing {
            self.first = row.n;
            self.hashes.clear();
        }
        if missing || follows {
            self.hashes.push(row.hash);
        }
        match (missing, follows) {
            (true, _) => Err(format!("rows {next} to {} are missing before it", row.n - 1)),
            (_, false) => Err(format!("row {} does not follow from the row before it", row.n)),
            _ => Ok(()),
        }
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), String> {
        let n = checkpoint.head.n;
        if let Some(key) = &self.key
            && !checkpoint.is_by(key)
        {
            return Err(format!("the checkpoint of row {n} is forged, or signed by another key than {}", key.id()));
        }
        match self.hash_of(n) {
            Some(hash) if hash == checkpoint.head.hash => {
                self.checkpoints += 1;
                Ok(())
            }
            Some(_) => Err(format!("row {n} is not the one that the checkpoint signs")),
            // The file was begun anew since.
            None if self.hashes.is_empty() || n < self.first => Ok(()),
            None => Err(format!("the checkpoint signs row {n}, which is not there before it")),
        }
    }

    /// What was found.
    #[must_use]
    pub fn end(self) -> Shipped {
        let last = self.first + (self.hashes.len() as u64).saturating_sub(1);
        Shipped {
            journal: self.journal,
            first: self.first,
            head: self.hashes.last().map(|hash| Head { n: last, hash: *hash }),
            checkpoints: self.checkpoints,
            signatures: self.key.is_some(),
            repeated: self.repeated,
            cut: self.cut,
            wrong: self.wrong,
        }
    }
}

/// What a checkpoint says of the journal that it should be of: nothing if the journal still has what was signed. `hash` is that of the
/// signed row today, `None` where the journal is shorter, and `rows` is how many it has.
///
/// # Errors
/// The code and a sentence of what is wrong.
pub fn judge(
    checkpoint: &Checkpoint,
    key: &PublicKey,
    journal: &str,
    rows: u64,
    hash: Option<[u8; 32]>,
) -> Result<(), (&'static str, String)> {
    let n = checkpoint.head.n;
    if !checkpoint.is_by(key) {
        return Err(("HO1071", format!("the checkpoint of row {n} is forged, or signed by another key than {}", key.id())));
    }
    if checkpoint.journal != journal {
        return Err((
            "HO1072",
            format!("the checkpoint of row {n} is of the journal {}, not of this one", checkpoint.journal),
        ));
    }
    match hash {
        Some(hash) if hash == checkpoint.head.hash => Ok(()),
        Some(_) => Err(("HO1074", format!("row {n} is not the one that was signed: the journal was edited up to there"))),
        None => {
            let first = rows + 1;
            Err(("HO1073", format!("rows {first} to {n} are missing: the journal was cut, or put back from a backup")))
        }
    }
}
