//! Journals of older releases: they open, get the tables that they lack, and keep everything that they had.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;

use super::{World, id, more};
use crate::journal::{Filter, Journal, Outbox};

/// What version 1 did not have.
const SINCE: &str = "DROP TABLE outbox; PRAGMA user_version = 1;";

fn schema(world: &World) -> (i64, Vec<(String, String)>) {
    let c = Connection::open(world.path().join("journal.db")).unwrap();
    let version = c.query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
    let mut statement = c.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
    let tables = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap();
    (version, tables)
}

/// A journal as version 1 left it, with what it held.
async fn older() -> World {
    let world = World::new();
    let journal = world.open();
    world.begin(&journal, "r1").await;
    journal.append(more("r1", 1, 1)).await.unwrap();
    drop(journal);
    let c = Connection::open(world.path().join("journal.db")).unwrap();
    c.execute_batch(SINCE).unwrap();
    world
}

#[tokio::test]
async fn a_journal_of_version_1_grows_and_keeps_what_it_had() {
    let made = World::new();
    drop(made.open());
    let world = older().await;
    assert!(schema(&world).1.iter().all(|(name, _)| name != "outbox"));
    let journal = world.open();
    assert_eq!((journal.load(&id("r1")).await.unwrap().len(), journal.verify().await.unwrap().rows), (2, 2));
    assert_eq!(journal.targets().await.unwrap(), Vec::<String>::new());
    drop(journal);
    assert_eq!(schema(&world), schema(&made), "it is what a new one is");
}

#[tokio::test]
async fn a_table_that_is_missing_is_made_whatever_the_version_says() {
    let world = older().await;
    Connection::open(world.path().join("journal.db")).unwrap().execute_batch("PRAGMA user_version = 2").unwrap();
    assert_eq!(world.open().standing().await.unwrap(), []);
}

#[tokio::test]
async fn a_journal_that_is_refused_is_not_grown() {
    let world = older().await;
    fs::remove_file(world.path().join("anchor")).unwrap();
    assert_eq!(world.try_open().err().unwrap().code, "HO0310");
    assert_eq!(schema(&world).0, 1);
}

#[tokio::test]
async fn many_that_open_it_at_once_grow_it_once() {
    let world = older().await;
    std::thread::scope(|scope| {
        let opening: Vec<_> = (0..8).map(|_| scope.spawn(|| drop(world.open()))).collect();
        opening.into_iter().for_each(|o| o.join().unwrap());
    });
    assert_eq!(schema(&world).0, 2);
    assert_eq!(world.open().list(Filter::default()).await.unwrap().len(), 1);
    let mode = fs::metadata(world.path().join("journal.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
