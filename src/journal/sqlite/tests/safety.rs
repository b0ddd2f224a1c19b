//! The place, the settings, the sealing, the shredding and the full disk.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::super::rows::sql;
use super::super::writer::Note;
use super::{World, event, id, more, with_blob};
use crate::journal::{Append, Journal, Kind, PAYLOAD_MAX, Room, Sealer, Wrote, open_sealer};
use crate::secret::Secret;

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

#[tokio::test]
async fn the_place_is_for_its_owner_only() {
    let world = World::new();
    let journal = world.open();
    world.begin(&journal, "r1").await;
    open_sealer(&journal, &world.path().join("sealing.key")).await.unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(world.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["anchor", "journal.db", "journal.db-shm", "journal.db-wal", "reserve", "sealing.key"]);
    drop(journal);

    fs::set_permissions(world.path().join("journal.db"), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(world.try_open().err().unwrap().code, "HO0302");
    fs::set_permissions(world.path().join("journal.db"), Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(world.path(), Permissions::from_mode(0o777)).unwrap();
    assert_eq!(world.try_open().err().unwrap().code, "HO0301");
}

#[tokio::test]
async fn a_commit_is_durable_by_settings_that_are_read_back() {
    let world = World::new();
    let journal = world.open();
    let read = |c: &rusqlite::Connection| {
        ["journal_mode", "synchronous", "secure_delete", "foreign_keys", "trusted_schema", "cell_size_check"]
            .map(|name| {
                c.query_row(&format!("PRAGMA {name}"), [], |r| r.get::<_, rusqlite::types::Value>(0))
                    .map(|v| format!("{v:?}"))
            })
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(sql("read settings"))
    };
    let expected = [r#"Text("wal")"#, "Integer(2)", "Integer(1)", "Integer(1)", "Integer(0)", "Integer(1)"];
    assert_eq!(journal.writer.write(Note::SMALL, read).await.unwrap(), expected);
    assert_eq!(journal.read(read).await.unwrap(), expected);
    let error = journal.read(|c| c.execute("DELETE FROM meta", []).map_err(sql("write"))).await.unwrap_err();
    assert_eq!(error.kind, Kind::Io, "the reader cannot write");
}

#[tokio::test]
async fn a_sealed_secret_opens_only_where_it_belongs() {
    let world = World::new();
    let journal = world.open();
    let key = world.path().join("sealing.key");
    let sealer = open_sealer(&journal, &key).await.unwrap();
    world.begin(&journal, "r1").await;
    let blob = sealer.seal(&id("r1"), "new", &secret("s3cret-of-the-mail")).unwrap();
    assert!(!blob.windows(4).any(|w| w == b"s3cr"));
    journal.append(with_blob(more("r1", 1, 1), "new", &blob)).await.unwrap();

    let kept = journal.sealed(&id("r1"), "new").await.unwrap().unwrap();
    assert!(sealer.open(&id("r1"), "new", &kept).unwrap().matches(&secret("s3cret-of-the-mail")));
    assert_eq!(journal.sealed(&id("r1"), "old").await.unwrap(), None);
    assert_ne!(blob, sealer.seal(&id("r1"), "new", &secret("s3cret-of-the-mail")).unwrap(), "nonces differ");

    let elsewhere = Sealer::from_file(&key, "another-journal").unwrap();
    let other_key = Sealer::from_file_or_new(&world.path().join("other.key"), journal.instance_id()).unwrap();
    let mut table = vec![
        ("another slot", sealer.open(&id("r1"), "old", &kept)),
        ("another rotation", sealer.open(&id("r2"), "new", &kept)),
        ("another journal", elsewhere.open(&id("r1"), "new", &kept)),
        ("another key", other_key.open(&id("r1"), "new", &kept)),
        ("nothing", sealer.open(&id("r1"), "new", &[])),
        ("a part", sealer.open(&id("r1"), "new", &kept[..20])),
    ];
    for i in 0..kept.len() {
        let mut changed = kept.clone();
        changed[i] ^= 1;
        table.push(("a changed byte", sealer.open(&id("r1"), "new", &changed)));
    }
    for (what, result) in table {
        let error = result.err().expect(what);
        assert_eq!((&error.kind, error.code, error.halts()), (&Kind::Seal, "HO0321", true), "{what}");
    }
    // Where names end is part of the place.
    let blob = sealer.seal(&id("ab"), "c", &secret("x")).unwrap();
    assert!(sealer.open(&id("a"), "bc", &blob).is_err());
}

#[tokio::test]
async fn fingerprints_are_keyed_and_stable() {
    let world = World::new();
    let (a, b) = (world.path().join("a"), world.path().join("b"));
    let first = Sealer::from_file_or_new(&a, "i").unwrap().fingerprint(&secret("x"));
    assert_eq!(first.as_str().len(), 16);
    assert_eq!(first, Sealer::from_file(&a, "i").unwrap().fingerprint(&secret("x")));
    assert_ne!(first, Sealer::from_file(&a, "i").unwrap().fingerprint(&secret("y")));
    assert_ne!(first, Sealer::from_file(&a, "j").unwrap().fingerprint(&secret("x")));
    assert_ne!(first, Sealer::from_file_or_new(&b, "i").unwrap().fingerprint(&secret("x")));
}

#[tokio::test]
async fn a_key_that_is_missing_loose_or_another_one_is_refused_and_not_made_anew() {
    let world = World::new();
    let journal = world.open();
    let key = world.path().join("sealing.key");
    open_sealer(&journal, &key).await.unwrap();
    let bytes = fs::read(&key).unwrap();
    assert_eq!(bytes.len(), 32);
    open_sealer(&journal, &key).await.unwrap();

    fs::set_permissions(&key, Permissions::from_mode(0o604)).unwrap();
    assert_eq!(open_sealer(&journal, &key).await.err().unwrap().code, "HO0319");
    fs::remove_file(&key).unwrap();
    let error = open_sealer(&journal, &key).await.err().unwrap();
    assert_eq!((error.kind, error.code, key.exists()), (Kind::Seal, "HO0319", false));

    Sealer::from_file_or_new(&key, "x").unwrap();
    assert_eq!(open_sealer(&journal, &key).await.err().unwrap().code, "HO0320");
    for wrong in [31, 33] {
        fs::write(&key, vec![7; wrong]).unwrap();
        assert_eq!(open_sealer(&journal, &key).await.err().unwrap().code, "HO0319", "{wrong} bytes");
    }
    fs::write(&key, &bytes).unwrap();
    open_sealer(&journal, &key).await.unwrap();

    fs::rename(&key, world.path().join("moved")).unwrap();
    std::os::unix::fs::symlink("moved", &key).unwrap();
    assert_eq!(open_sealer(&journal, &key).await.err().unwrap().code, "HO0319", "a link");
}

#[test]
fn many_who_make_the_key_at_once_have_the_same_one() {
    let world = World::new();
    let key = world.path().join("sealing.key");
    let marks: Vec<String> = std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..8).map(|_| scope.spawn(|| Sealer::from_file_or_new(&key, "i").unwrap().mark().to_owned())).collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(marks.iter().all(|m| *m == marks[0]));
    assert_eq!(fs::read_dir(world.path()).unwrap().count(), 1, "no temporary file is left");
}

/// How often `mark` is in the files of the state folder.
fn found(world: &World, mark: &[u8]) -> usize {
    let files = fs::read_dir(world.path()).unwrap();
    files.map(|f| fs::read(f.unwrap().path()).unwrap().windows(mark.len()).filter(|w| *w == mark).count()).sum()
}

#[tokio::test]
async fn when_a_rotation_ends_nothing_is_left_of_its_sealed_secrets() {
    let world = World::new();
    let journal = Arc::new(world.open());
    // A small one inside of a page, a replaced one, and one that needs pages of its own.
    let marks: [&[u8]; 3] = [b"PLANTED-small-blob", b"PLANTED-replaced", b"PLANTED-large-blob"];
    let large: Vec<u8> = marks[2].iter().copied().cycle().take(20_000).collect();
    for name in ["r1", "r2"] {
        world.begin(&journal, name).await;
    }
    journal.append(with_blob(more("r1", 1, 1), "new", marks[1])).await.unwrap();
    journal.append(with_blob(more("r1", 1, 2), "new", marks[0])).await.unwrap();
    journal.append(with_blob(more("r1", 1, 3), "large", &large)).await.unwrap();
    journal.append(with_blob(more("r2", 1, 1), "new", b"PLANTED-other")).await.unwrap();
    for mark in marks {
        assert!(found(&world, mark) > 0, "the search finds what is there");
    }
    journal.flush().await.unwrap();
    assert!(found(&world, marks[0]) > 0 && found(&world, marks[2]) > 0);

    let last = with_blob(more("r1", 1, 4), "last", b"PLANTED-with-the-end");
    journal.finish(last).await.unwrap();
    for mark in marks.into_iter().chain([b"PLANTED-with-the-end".as_slice()]) {
        assert_eq!(found(&world, mark), 0, "{}", String::from_utf8_lossy(mark));
    }
    assert_eq!(journal.sealed(&id("r1"), "new").await.unwrap(), None);
    assert!(journal.sealed(&id("r2"), "new").await.unwrap().is_some());
}

#[tokio::test]
async fn a_reader_in_the_way_of_shredding_only_delays_it() {
    let world = World::new();
    let journal = world.open();
    world.begin(&journal, "r1").await;
    journal.append(with_blob(more("r1", 1, 1), "new", b"PLANTED")).await.unwrap();
    let other = rusqlite::Connection::open(world.path().join("journal.db")).unwrap();
    other.execute_batch("BEGIN; SELECT count(*) FROM sealed;").unwrap();
    journal.finish(more("r1", 1, 2)).await.unwrap();
    assert!(found(&world, b"PLANTED") > 0, "the reader still sees it");
    other.execute_batch("ROLLBACK").unwrap();
    journal.flush().await.unwrap();
    assert_eq!(found(&world, b"PLANTED"), 0);
}

/// Lets the database grow to `pages` pages, 0 for no bound, as a full disk would.
async fn bound(journal: &super::SqliteJournal, pages: u32) {
    let set = move |c: &rusqlite::Connection| {
        let pages = if pages == 0 { u32::MAX - 1 } else { pages };
        c.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).map_err(sql("set a bound"))
    };
    journal.writer.write(Note::SMALL, set).await.unwrap();
}

#[tokio::test]
async fn on_a_full_disk_intents_fail_and_the_reserve_is_given_up_for_outcomes() {
    let world = World::new();
    let journal = world.open();
    world.begin(&journal, "r1").await;
    let reserve = world.path().join("reserve");
    assert!(reserve.exists());
    bound(&journal, 1).await;
    let large = |room, seq| {
        let mut append = Append { room, ..more("r1", 1, seq) };
        append.events[0].payload = "x".repeat(100_000);
        append
    };
    let error = journal.append(large(Room::Ordinary, 1)).await.unwrap_err();
    assert_eq!((&error.kind, error.code, error.wrote, error.halts()), (&Kind::Full, "HO0316", Wrote::No, true));
    assert!(!reserve.exists(), "the room was given up");

    // As if the room that was given up were enough for an outcome; it was not for an intent, which is not even tried.
    bound(&journal, 0).await;
    let error = journal.append(more("r1", 1, 1)).await.unwrap_err();
    assert_eq!((error.kind, error.wrote), (Kind::Full, Wrote::No));
    assert_eq!(journal.append(large(Room::Reserve, 1)).await.unwrap(), 2);

    // When there is room again the reserve is made first, and then everything goes on.
    let mut seq = 2;
    let started = std::time::Instant::now();
    while journal.append(more("r1", 1, 2)).await.map(|s| seq = s).is_err() {
        assert!(started.elapsed().as_secs() < 30, "the reserve is never made again");
        tokio::task::yield_now().await;
    }
    assert!(seq == 3 && reserve.exists());
    journal.verify().await.unwrap();
}

#[tokio::test]
async fn wrong_requests_are_refused_before_they_are_queued() {
    let world = World::new();
    let journal = world.open();
    world.begin(&journal, "r1").await;
    let mut large = more("r1", 1, 1);
    large.events[0].payload = "x".repeat(PAYLOAD_MAX + 1);
    let mut far = more("r1", 1, 1);
    far.events = vec![event(2), event(u64::MAX)];
    for wrong in [Append { events: Vec::new(), ..more("r1", 1, 1) }, large, far] {
        let error = journal.append(wrong).await.unwrap_err();
        assert_eq!((error.kind, error.code, error.wrote), (Kind::Invalid, "HO0323", Wrote::No));
    }
    assert_eq!(journal.load(&id("r1")).await.unwrap().len(), 1);
}

#[cfg(feature = "crash-points")]
#[tokio::test]
async fn crash_points_surround_the_commit_of_each_append() {
    use std::sync::Mutex;

    let world = World::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, path) = (Arc::clone(&seen), world.path().join("journal.db"));
    let hook = Arc::new(move |point: &'static str| {
        let c = rusqlite::Connection::open(&path).unwrap();
        let rows: i64 = c.query_row("SELECT count(*) FROM events", [], |r| r.get(0)).unwrap();
        log.lock().unwrap().push((point, rows));
    });
    let journal = super::SqliteJournal::open(super::Options::new(world.path()).hook(hook)).unwrap();
    world.begin(&journal, "r1").await;
    journal.renew(&id("r1"), 1).await.unwrap();
    journal.finish(more("r1", 1, 1)).await.unwrap();
    let expected = [("append.before", 0), ("append.after", 1), ("append.before", 1), ("append.after", 2)];
    assert_eq!(*seen.lock().unwrap(), expected);
}
