//! Edits, cuts, lost rotations and restored backups are found, by the reader of one rotation or by the whole check.

use std::fs;

use super::super::{Options, SqliteJournal};
use super::{World, id, more};
use crate::journal::{Journal, JournalError, Kind};

/// Two rotations whose rows lie between each other: r1 has n 1, 3, 4, r2 has 2, 5, 6 and has ended.
async fn written() -> World {
    let world = World::new();
    let journal = world.open();
    world.begin(&journal, "r1").await;
    world.begin(&journal, "r2").await;
    journal.append(more("r1", 1, 1)).await.unwrap();
    journal.append(more("r1", 1, 2)).await.unwrap();
    journal.append(more("r2", 1, 1)).await.unwrap();
    journal.finish(more("r2", 1, 2)).await.unwrap();
    journal.verify().await.unwrap();
    world
}

#[tokio::test]
async fn every_change_to_any_column_is_found() {
    let set = |what: &str| format!("UPDATE events SET {what} WHERE n = 3");
    let changes = [
        set("payload = '{}'"),
        set("at = at + 1"),
        set("wall_ms = wall_ms + 1"),
        set("boot_ms = boot_ms + 1"),
        set("boot_id = 'x'"),
        set("epoch = epoch + 1"),
        set("seq = 9"),
        set("rotation = 'r2', seq = 9"),
        set("last = 1"),
        set("prev = zeroblob(32)"),
        set("hash = zeroblob(32)"),
        "UPDATE rotations SET credential = 'x' WHERE id = 'r1'".to_owned(),
        "UPDATE rotations SET lineage = 'x' WHERE id = 'r1'".to_owned(),
        "UPDATE rotations SET created_at = 0 WHERE id = 'r1'".to_owned(),
        "UPDATE rotations SET seq = seq + 1 WHERE id = 'r1'".to_owned(),
        "UPDATE rotations SET finished = 1 WHERE id = 'r1'".to_owned(),
    ];
    for change in changes {
        let world = written().await;
        world.intrude(&change);
        let journal = world.open();
        let load = journal.load(&id("r1")).await.unwrap_err();
        assert!(matches!(load.kind, Kind::Corrupt { .. }) && load.halts(), "{change}: {load}");
        let verify = journal.verify().await.unwrap_err();
        assert!(matches!(verify.kind, Kind::Corrupt { n: Some(3 | 1 | 6) }), "{change}: {verify:?}");
    }
}

#[tokio::test]
async fn an_epoch_lower_than_its_rows_is_found() {
    let world = written().await;
    let journal = world.open();
    journal.release(&id("r1"), 1).await.unwrap();
    journal.claim(&id("r1"), &world.owner).await.unwrap();
    journal.append(more("r1", 2, 3)).await.unwrap();
    world.intrude("UPDATE rotations SET epoch = 1 WHERE id = 'r1'");
    assert_eq!(journal.verify().await.unwrap_err().code, "HO0307");
}

#[tokio::test]
async fn lost_rows_and_rotations_are_found() {
    // What is removed; the code that reading r1 gives, if it sees it; the row that the whole check names.
    let table = [
        ("DELETE FROM events WHERE n = 3", Some("HO0308"), 3),
        ("DELETE FROM events WHERE n = 4", Some("HO0307"), 4),
        ("DELETE FROM events WHERE n = 1", Some("HO0308"), 1),
        ("DELETE FROM events WHERE n = 2", Some("HO0307"), 2),
        ("DELETE FROM events WHERE rotation = 'r2' AND n < 6; DELETE FROM rotations WHERE id = 'r2'", Some("HO0307"), 2),
        ("DELETE FROM events WHERE rotation = 'r1'; DELETE FROM rotations WHERE id = 'r1'", Some("HO0314"), 1),
        ("DELETE FROM rotations WHERE id = 'r2'", None, 2),
    ];
    for (change, code, n) in table {
        let world = written().await;
        world.intrude(change);
        let journal = world.open();
        let load = journal.load(&id("r1")).await;
        assert_eq!(load.err().map(|e| e.code), code, "{change}");
        let verify = journal.verify().await.unwrap_err();
        assert_eq!(verify.kind, Kind::Corrupt { n: Some(n) }, "{change}: {verify}");
    }
}

/// Cuts the tail of the chain so that it hangs together again: only the anchor knows.
#[tokio::test]
async fn a_cut_tail_is_found_by_the_anchor() {
    let world = written().await;
    let cut = "DELETE FROM events WHERE n > 4; UPDATE rotations SET seq = 1, finished = 0 WHERE id = 'r2'";
    world.intrude(cut);
    let error = refused(&world);
    assert_eq!((error.kind, error.code), (Kind::RolledBack, "HO0309"));

    // A journal that is open while it happens finds it when it checks.
    let world = written().await;
    let journal = world.open();
    world.intrude(cut);
    assert_eq!(journal.verify().await.unwrap_err().code, "HO0309");
}

#[tokio::test]
async fn a_restored_backup_and_another_history_are_refused_until_a_person_accepts_them() {
    let world = written().await;
    let backup = fs::read(world.path().join("journal.db")).unwrap();
    let journal = world.open();
    journal.append(more("r1", 1, 3)).await.unwrap();
    drop(journal);
    let newest = fs::read(world.path().join("journal.db")).unwrap();

    fs::write(world.path().join("journal.db"), &backup).unwrap();
    let error = refused(&world);
    assert_eq!((error.kind.clone(), error.code, error.halts()), (Kind::RolledBack, "HO0309", true));
    fs::write(world.path().join("journal.db"), &newest).unwrap();
    drop(world.open());

    // The backup, gone on with in another way, has as many rows as the anchor knows.
    fs::write(world.path().join("journal.db"), &backup).unwrap();
    let journal = SqliteJournal::open(Options::new(world.path()).accept_head()).unwrap();
    let mut other = more("r1", 1, 3);
    other.events[0].payload = "{}".to_owned();
    journal.append(other).await.unwrap();
    drop(journal);
    drop(world.open());
    fs::write(world.path().join("journal.db"), &newest).unwrap();
    let error = refused(&world);
    assert_eq!((error.kind, error.code), (Kind::RolledBack, "HO0309"));
}

#[tokio::test]
async fn a_lost_database_or_anchor_or_that_of_another_journal_is_refused() {
    let world = written().await;
    let anchor = fs::read(world.path().join("anchor")).unwrap();
    fs::remove_file(world.path().join("anchor")).unwrap();
    assert_eq!(refused(&world).code, "HO0310");

    fs::write(world.path().join("anchor"), &anchor).unwrap();
    assert_eq!(refused(&world).code, "HO0302", "its mode is loose");
    fs::remove_file(world.path().join("anchor")).unwrap();
    drop(SqliteJournal::open(Options::new(world.path()).accept_head()).unwrap());

    let second = written().await;
    fs::copy(second.path().join("anchor"), world.path().join("anchor")).unwrap();
    assert_eq!(refused(&world).code, "HO0310");

    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        let _ = fs::remove_file(second.path().join(file));
    }
    assert_eq!(refused(&second).code, "HO0309");
    assert!(!second.path().join("journal.db").exists());
}

/// The anchor lags by a second at most, is exact after a rotation's end and after closing, and killing the writer between
/// commit and anchor does no harm.
#[tokio::test]
async fn an_anchor_that_lags_is_accepted() {
    let world = written().await;
    let early = fs::read(world.path().join("anchor")).unwrap();
    let journal = world.open();
    journal.append(more("r1", 1, 3)).await.unwrap();
    journal.flush().await.unwrap();
    let text = fs::read_to_string(world.path().join("anchor")).unwrap();
    assert!(text.contains(&journal.verify().await.unwrap().head.to_string()), "{text}");
    journal.finish(more("r1", 1, 4)).await.unwrap();
    let text = fs::read_to_string(world.path().join("anchor")).unwrap();
    assert!(text.contains(&journal.verify().await.unwrap().head.to_string()), "{text}");
    drop(journal);
    assert_ne!(fs::read(world.path().join("anchor")).unwrap(), early);

    let keep = world.path().join("anchor");
    fs::remove_file(&keep).unwrap();
    std::os::unix::fs::symlink("/nowhere", &keep).unwrap();
    assert_eq!(refused(&world).code, "HO0302");
    fs::remove_file(&keep).unwrap();
    super::super::super::place::file(&keep).unwrap();
    fs::write(&keep, early).unwrap();
    world.open().verify().await.unwrap();
}

#[tokio::test]
async fn unknown_formats_and_versions_halt() {
    let world = written().await;
    world.intrude("UPDATE events SET format = 2 WHERE n = 3");
    let journal = world.open();
    for error in [journal.load(&id("r1")).await.unwrap_err(), journal.verify().await.unwrap_err()] {
        assert_eq!((&error.kind, error.code, error.halts()), (&Kind::Version, "HO0324", true));
    }
    drop(journal);

    world.intrude("PRAGMA user_version = 99");
    assert_eq!(refused(&world).code, "HO0305");
    world.intrude("PRAGMA user_version = 1; PRAGMA application_id = 7");
    assert_eq!(refused(&world).code, "HO0326");
}

#[tokio::test]
async fn a_torn_file_is_refused() {
    let world = written().await;
    let path = world.path().join("journal.db");
    let mut bytes = fs::read(&path).unwrap();
    let page = bytes.len() / 4096 / 2 * 4096;
    bytes[page..page + 2048].fill(0xA5);
    fs::write(&path, &bytes).unwrap();
    let error = refused(&world);
    assert!(matches!(error.kind, Kind::Corrupt { .. }), "{error:?}");
    fs::write(&path, "no database at all, but long enough to be read as the header of one".repeat(100)).unwrap();
    assert!(matches!(refused(&world).kind, Kind::Corrupt { .. }));
}

#[tokio::test]
async fn the_triggers_stop_a_slip_of_the_hand() {
    let world = written().await;
    let c = rusqlite::Connection::open(world.path().join("journal.db")).unwrap();
    for slip in [
        "DELETE FROM events WHERE n = 6",
        "UPDATE events SET payload = '' WHERE n = 6",
        "DELETE FROM rotations",
        "UPDATE rotations SET epoch = 0",
        "UPDATE rotations SET seq = 1 WHERE id = 'r1'",
        "UPDATE rotations SET finished = 0 WHERE id = 'r2'",
    ] {
        assert_eq!(
            c.execute(slip, []).unwrap_err().sqlite_error_code(),
            Some(rusqlite::ErrorCode::ConstraintViolation),
            "{slip}"
        );
    }
}

fn refused(world: &World) -> JournalError {
    world.try_open().err().expect("it must be refused")
}
