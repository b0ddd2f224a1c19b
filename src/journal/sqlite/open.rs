//! Opening: a safe place, a sound SQLite, the settings that make a commit durable, the right schema, the right head.
//!
//! Everything is set and then read back, as a shared file may have been opened otherwise by something else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::rand;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::Options;
use super::read::meta;
use super::rows::{damaged, int, sql};
use super::write::head;
use crate::journal::anchor::{Anchor, rolled_back, sweep};
use crate::journal::error::{JournalError, Kind, io as io_error};
use crate::journal::place;
use crate::journal::reserve::Reserve;

/// Older ones can corrupt a write-ahead log that two connections use.
const OLDEST_SQLITE: i32 = 3_051_003;
const APPLICATION: i64 = 0x484F_5652;
/// Version 2 has the tables of `later.sql`.
const SCHEMA: i64 = 2;
/// What this release opens and grows.
const OLDEST_SCHEMA: i64 = 1;
/// Each table of these is made where it is missing.
const LATER: &str = include_str!("later.sql");
/// How long a checkpoint waits for readers: it is tried again, and others wait behind it.
const CHECKPOINT_PATIENCE: Duration = Duration::from_millis(200);

pub(super) struct Opened {
    pub(super) folder: PathBuf,
    pub(super) instance: String,
    pub(super) writer: Connection,
    pub(super) reader: Connection,
}

pub(super) fn open(options: &Options) -> Result<Opened, JournalError> {
    check_sqlite(rusqlite::version_number(), rusqlite::version())?;
    let folder = place::folder(&options.folder)?;
    sweep(&folder);
    let path = folder.join("journal.db");
    let missing = matches!(fs::symlink_metadata(&path), Err(e) if e.kind() == io::ErrorKind::NotFound);
    // The anchor is written after the database is made: an anchor alone means that the database was lost.
    if missing && !options.accept_head && Anchor::read(&folder)?.is_some() {
        return Err(rolled_back("HO0309", format!("{} is missing, and its anchor is still there", path.display())));
    }
    if place::file(&path)? {
        place::sync_folder(&folder).map_err(|e| io_error("make durable", &folder, e))?;
    }

    let mut writer = connect(&path, options.patience)?;
    identify(&mut writer)?;
    settle(&writer)?;
    let instance = meta(&writer, "instance")?.ok_or_else(|| damaged("the journal has no name of its own"))?;
    quick_check(&writer)?;
    check_anchor(&writer, &folder, &instance, options.accept_head)?;
    grow(&mut writer, &folder)?;
    // A process that was killed after a rotation's end may have left its sealed secrets in the write-ahead log.
    if let Err(e) = checkpoint(&writer, options.patience) {
        tracing::warn!(code = e.code, "{e}");
    }

    let reader = connect(&path, options.patience)?;
    settle(&reader)?;
    reader.pragma_update(None, "query_only", true).map_err(sql("set up reading"))?;
    Ok(Opened { folder, instance, writer, reader })
}

fn check_sqlite(number: i32, version: &str) -> Result<(), JournalError> {
    if number >= OLDEST_SQLITE {
        return Ok(());
    }
    Err(JournalError::new(Kind::Version, "HO0304", format!("SQLite {version} can corrupt a journal that two processes use"))
        .hint("build Handover with its bundled SQLite (3.51.3 or newer)"))
}

fn connect(path: &Path, patience: Duration) -> Result<Connection, JournalError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags).map_err(sql("open the file"))?;
    connection.busy_timeout(patience).map_err(sql("set up waiting"))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Makes the schema in an empty file; refuses a file of a newer release or of another program before it is changed.
fn identify(c: &mut Connection) -> Result<(), JournalError> {
    if versions(c)? == (0, 0, 0) {
        let transaction = Transaction::new(c, TransactionBehavior::Immediate).map_err(sql("make the schema"))?;
        // Another process may have been faster.
        if versions(&transaction)? == (0, 0, 0) {
            let mut instance = [0; 16];
            rand::fill(&mut instance).map_err(|_| damaged("the system has no randomness"))?;
            let set = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {SCHEMA};");
            transaction
                .execute_batch(include_str!("schema.sql"))
                .and_then(|()| transaction.execute_batch(LATER))
                .and_then(|()| transaction.execute("INSERT INTO meta VALUES ('instance', ?1)", [hex::encode(instance)]))
                .and_then(|_| transaction.execute_batch(&set))
                .map_err(sql("make the schema"))?;
        }
        transaction.commit().map_err(sql("make the schema"))?;
    }
    match versions(c)? {
        (APPLICATION, OLDEST_SCHEMA..=SCHEMA, _) => Ok(()),
        (APPLICATION, newer, _) => Err(JournalError::new(
            Kind::Version,
            "HO0305",
            format!("the journal has version {newer}, and this release knows {SCHEMA}"),
        )
        .hint("use the release that wrote it, or a newer one")),
        _ => Err(JournalError::new(Kind::Version, "HO0326", "journal.db was not made by Handover")
            .hint("name another folder with --state")),
    }
}

/// Adds the tables that an older release did not have: on a journal that was found sound, in one transaction. From then on that
/// older release refuses it. On a full disk it may use the reserve, as a leak must be contained all the same.
fn grow(c: &mut Connection, folder: &Path) -> Result<(), JournalError> {
    let made = add_tables(c);
    if matches!(&made, Err(e) if e.kind == Kind::Full) && Reserve::new(folder).release() {
        return add_tables(c);
    }
    made
}

fn add_tables(c: &mut Connection) -> Result<(), JournalError> {
    if versions(c)?.1 == SCHEMA {
        // Nothing is written where they are all there.
        return c.execute_batch(LATER).map_err(sql("add a table"));
    }
    let transaction = Transaction::new(c, TransactionBehavior::Immediate).map_err(sql("add a table"))?;
    transaction.execute_batch(LATER).map_err(sql("add a table"))?;
    // Another process may have been faster, and a newer release.
    if versions(&transaction)?.1 < SCHEMA {
        transaction.pragma_update(None, "user_version", SCHEMA).map_err(sql("add a table"))?;
    }
    transaction.commit().map_err(sql("add a table"))
}

fn versions(c: &Connection) -> Result<(i64, i64, i64), JournalError> {
    let one = |query| c.query_row(query, [], |r| r.get(0)).map_err(sql("read its version"));
    Ok((one("PRAGMA application_id")?, one("PRAGMA user_version")?, one("SELECT count(*) FROM sqlite_schema")?))
}

/// Sets what makes a commit durable and a deletion real, and reads it back.
fn settle(c: &Connection) -> Result<(), JournalError> {
    let set = |name: &str, value: &str| {
        c.query_row(&format!("PRAGMA {name} = {value}"), [], |_| Ok(())).or_else(|e| match e {
            rusqlite::Error::QueryReturnedNoRows => Ok(()),
            e => Err(e),
        })
    };
    // The change to WAL does not wait for locks by itself.
    let mut tries = 0;
    while let Err(e) = set("journal_mode", "WAL").map_err(sql("switch to a write-ahead log")) {
        tries += 1;
        if tries == 50 || matches!(e.kind, Kind::Io | Kind::Full) {
            return Err(e);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let settings: [(&str, &str, i64); 9] = [
        ("synchronous", "FULL", 2),
        ("foreign_keys", "ON", 1),
        ("trusted_schema", "OFF", 0),
        ("secure_delete", "ON", 1),
        ("cell_size_check", "ON", 1),
        ("fullfsync", "ON", 1),
        ("checkpoint_fullfsync", "ON", 1),
        ("mmap_size", "0", 0),
        // Nothing of a transaction may go to a temporary file elsewhere.
        ("temp_store", "MEMORY", 2),
    ];
    let mut wrong = Vec::new();
    for (name, value, expected) in settings {
        set(name, value).map_err(sql("make it durable"))?;
        let found: Result<i64, _> = c.query_row(&format!("PRAGMA {name}"), [], |r| r.get(0));
        match found {
            Ok(found) if found == expected => {}
            // Compiled without memory mapping: then there is nothing to read.
            Err(rusqlite::Error::QueryReturnedNoRows) if name == "mmap_size" => {}
            found => wrong.push(format!("{name} is {}", found.map_or_else(|e| e.to_string(), |n| n.to_string()))),
        }
    }
    let mode: String = c.query_row("PRAGMA journal_mode", [], |r| r.get(0)).map_err(sql("make it durable"))?;
    if mode != "wal" {
        wrong.push(format!("journal_mode is {mode}"));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(JournalError::new(
        Kind::Place,
        "HO0322",
        format!("SQLite did not take the settings that keep a commit: {}", wrong.join(", ")),
    )
    .hint("name a folder on a local disk with --state, and build Handover with its bundled SQLite"))
}

fn quick_check(c: &Connection) -> Result<(), JournalError> {
    let found: String = c.query_row("PRAGMA quick_check(1)", [], |r| r.get(0)).map_err(sql("check the file"))?;
    if found == "ok" { Ok(()) } else { Err(damaged(format!("the journal's file is damaged: {found}"))) }
}

fn check_anchor(c: &Connection, folder: &Path, instance: &str, accept: bool) -> Result<(), JournalError> {
    if !accept {
        let mut anchor = Anchor::read(folder)?;
        let mut rows = head(c, instance)?;
        if anchor.is_none() && rows.n > 0 {
            // Another process may have made the journal and its first rows since the first look.
            anchor = Anchor::read(folder)?;
            rows = head(c, instance)?;
        }
        if anchor.is_some() {
            return compare(c, instance, anchor.as_ref());
        }
        if rows.n > 0 {
            return Err(rolled_back(
                "HO0310",
                format!("{} is missing, and the journal has {} rows", Anchor::path(folder).display(), rows.n),
            ));
        }
    }
    let anchor = Anchor { instance: instance.to_owned(), head: head(c, instance)? };
    anchor.write(folder).map_err(|e| io_error("write the anchor in", folder, e))
}

/// Halts if the database is older than what the anchor has seen, or another one (safety.md T5, S23).
pub(super) fn compare(c: &Connection, instance: &str, anchor: Option<&Anchor>) -> Result<(), JournalError> {
    let Some(anchor) = anchor else {
        return Err(rolled_back("HO0310", "the anchor of the journal is missing".to_owned()));
    };
    if anchor.instance != instance {
        return Err(rolled_back("HO0310", "the anchor belongs to another journal".to_owned()));
    }
    let seen = &anchor.head;
    let now = head(c, instance)?;
    if now.n < seen.n {
        let text = format!("the journal has {} rows, and {} were there before: it was rolled back or cut", now.n, seen.n);
        return Err(rolled_back("HO0309", text));
    }
    let hash = if seen.n == 0 {
        crate::journal::chain::genesis(instance)
    } else {
        c.query_row("SELECT hash FROM events WHERE n = ?1", [int(seen.n)?], |r| r.get(0))
            .map_err(sql("find the anchored row"))?
    };
    if hash == seen.hash {
        return Ok(());
    }
    Err(rolled_back(
        "HO0309",
        format!("row {} of the journal is not the one that was there before: another history was put in its place", seen.n),
    ))
}

/// Moves the write-ahead log into the database and empties it. False if another connection is in the way.
pub(super) fn checkpoint(c: &Connection, patience: Duration) -> Result<bool, JournalError> {
    c.busy_timeout(CHECKPOINT_PATIENCE.min(patience)).map_err(sql("set up waiting"))?;
    let busy = c.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get::<_, i64>(0));
    c.busy_timeout(patience).map_err(sql("set up waiting"))?;
    match busy.map_err(sql("empty the write-ahead log")) {
        Ok(busy) => Ok(busy == 0),
        Err(e) if e.kind == Kind::Locked => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::{OLDEST_SQLITE, check_sqlite};

    #[test]
    fn a_sqlite_that_can_corrupt_the_log_is_refused() {
        assert!(rusqlite::version_number() >= OLDEST_SQLITE);
        for (number, accepted) in [(3_051_002, false), (3_050_007, false), (3_051_003, true), (3_054_001, true)] {
            let result = check_sqlite(number, "3.x");
            assert_eq!(result.is_ok(), accepted, "{number}");
            if let Err(e) = result {
                assert_eq!(e.code, "HO0304");
            }
        }
    }
}
