//! Who may write: claims, take-overs, lost writers, one rotation of a lineage, and many writers in one commit.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::super::writer::Note;
use super::{Clocks, World, id, more, new};
use crate::journal::{Filter, Journal, Kind, LEASE, Options, Owner, SqliteJournal, TakenFrom, Why, Wrote};

/// A process that lives until it is killed here.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> (Self, Owner) {
        let child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let owner = Owner::of(child.id()).unwrap();
        (Self(child), owner)
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_live_owner_keeps_its_rotation_and_a_killed_one_loses_it() {
    let world = World::new();
    let journal = world.open();
    let (sleeper, other) = Sleeper::start();
    journal.begin(new("r1", "a"), &other).await.unwrap();

    let error = journal.claim(&id("r1"), &world.owner).await.unwrap_err();
    assert_eq!((error.code, error.wrote), ("HO0312", Wrote::No));
    assert!(error.message.contains(&other.pid.to_string()), "{error}");
    assert_eq!(error.kind, Kind::Busy { other: Box::new(other.clone()) });
    assert_eq!(journal.list(Filter::default()).await.unwrap()[0].holder, Some(other.clone()));

    drop(sleeper);
    assert_eq!(journal.list(Filter::default()).await.unwrap()[0].holder, None);
    let claim = journal.claim(&id("r1"), &world.owner).await.unwrap();
    assert_eq!((claim.epoch, claim.seq), (2, 1));
    assert_eq!(claim.taken_from, Some(TakenFrom { owner: other, why: Why::Gone }));

    let error = journal.append(more("r1", 1, 1)).await.unwrap_err();
    assert_eq!((error.kind, error.code, error.wrote), (Kind::Superseded, "HO0313", Wrote::No));
    assert_eq!(journal.renew(&id("r1"), 1).await.unwrap_err().kind, Kind::Superseded);
    assert_eq!(journal.release(&id("r1"), 1).await.unwrap_err().kind, Kind::Superseded);
    assert_eq!(journal.append(more("r1", 2, 1)).await.unwrap(), 2);
}

#[tokio::test]
async fn an_owner_that_cannot_be_seen_keeps_its_rotation_until_its_lease_ends() {
    // On the same kernel (another container) the clock since boot counts, on another host the wall clock.
    for (boot_id, counts) in [("here", (0, LEASE.0)), ("there", (LEASE.0, 0))] {
        let world = World::new();
        let clocks = Clocks::new("here");
        let journal = SqliteJournal::open(clocks.options(world.path())).unwrap();
        let far = Owner { host: "elsewhere".to_owned(), boot_id: boot_id.to_owned(), ..world.owner.clone() };
        journal.begin(new("r1", "a"), &far).await.unwrap();

        clocks.pass(counts.1 * 2, counts.0 * 2);
        assert!(matches!(journal.claim(&id("r1"), &world.owner).await.unwrap_err().kind, Kind::Busy { .. }), "{boot_id}");
        clocks.pass(counts.0 / 2, counts.1 / 2);
        journal.renew(&id("r1"), 1).await.unwrap();
        clocks.pass(counts.0 / 2, counts.1 / 2);
        assert!(matches!(journal.claim(&id("r1"), &world.owner).await.unwrap_err().kind, Kind::Busy { .. }), "{boot_id}");
        clocks.pass(counts.0 / 2, counts.1 / 2);
        let claim = journal.claim(&id("r1"), &world.owner).await.unwrap();
        assert_eq!(claim.taken_from.unwrap().why, Why::Expired);
    }
}

#[tokio::test]
async fn a_released_rotation_is_free_and_its_writer_has_no_right_any_more() {
    let world = World::new();
    let journal = world.open();
    world.begin(&journal, "r1").await;
    journal.release(&id("r1"), 1).await.unwrap();
    assert_eq!(journal.append(more("r1", 1, 1)).await.unwrap_err().kind, Kind::Superseded);
    let claim = journal.claim(&id("r1"), &Owner::current().unwrap()).await.unwrap();
    assert_eq!((claim.epoch, claim.taken_from), (2, None));
    // The same owner may repeat its claim, when it does not know whether the first one came through.
    let again = Owner::current().unwrap();
    journal.release(&id("r1"), 2).await.unwrap();
    journal.claim(&id("r1"), &again).await.unwrap();
    let repeated = journal.claim(&id("r1"), &again).await.unwrap();
    assert_eq!((repeated.epoch, repeated.taken_from.unwrap().why), (4, Why::Itself));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_handles_that_race_for_a_claim_or_a_row_one_wins() {
    let world = World::new();
    let handles = [Arc::new(world.open()), Arc::new(world.open())];
    world.begin(&handles[0], "r1").await;
    let mut seq = 1;
    for round in 1..=20 {
        handles[0].release(&id("r1"), round).await.unwrap();
        let owners = [Owner::current().unwrap(), Owner::current().unwrap()];
        let r1 = id("r1");
        let (a, b) = tokio::join!(handles[0].claim(&r1, &owners[0]), handles[1].claim(&r1, &owners[1]));
        let epochs: Vec<_> = [&a, &b].into_iter().flatten().map(|c| c.epoch).collect();
        assert_eq!(epochs, [round + 1]);
        assert!([a, b].into_iter().filter_map(Result::err).all(|e| matches!(e.kind, Kind::Busy { .. })));

        let (a, b) =
            tokio::join!(handles[0].append(more("r1", round + 1, seq)), handles[1].append(more("r1", round + 1, seq)));
        seq += 1;
        assert_eq!([&a, &b].into_iter().flatten().collect::<Vec<_>>(), [&seq]);
        assert!([a, b].into_iter().filter_map(Result::err).all(|e| e.kind == Kind::Superseded && e.wrote == Wrote::No));
    }
    assert_eq!(handles[1].load(&id("r1")).await.unwrap().len() as u64, seq);
    handles[1].verify().await.unwrap();
}

#[tokio::test]
async fn a_lineage_has_one_rotation_that_has_not_ended() {
    let world = World::new();
    let (first, second) = (world.open(), world.open());
    first.begin(new("r1", "ses/smtp-newsletter"), &world.owner).await.unwrap();
    let error = second.begin(new("r2", "ses/smtp-newsletter"), &world.owner).await.unwrap_err();
    assert_eq!((error.kind.clone(), error.code), (Kind::OneRotation { other: id("r1") }, "HO0311"));
    assert!(error.message.contains("r1"), "{error}");
    second.begin(new("r3", "ses/another"), &world.owner).await.unwrap();

    first.finish(more("r1", 1, 1)).await.unwrap();
    second.begin(new("r2", "ses/smtp-newsletter"), &world.owner).await.unwrap();
    assert_eq!(first.begin(new("r1", "unused"), &world.owner).await.unwrap_err().kind, Kind::Invalid);

    // The database holds it too, should the code forget.
    drop((first, second));
    let c = rusqlite::Connection::open(world.path().join("journal.db")).unwrap();
    let error =
        c.execute("INSERT INTO rotations VALUES ('r4', 'c', 'ses/another', 1, 1, 1, 0, NULL, 0, 0)", []).unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::ConstraintViolation));
}

#[tokio::test]
async fn what_has_ended_or_never_was_cannot_be_written_to() {
    let world = World::new();
    let journal = world.open();
    world.begin(&journal, "r1").await;
    journal.finish(more("r1", 1, 1)).await.unwrap();
    for (name, kind, code) in [("r1", Kind::Finished, "HO0315"), ("r9", Kind::NotFound, "HO0314")] {
        let claim = journal.claim(&id(name), &world.owner).await.unwrap_err();
        let append = journal.append(more(name, 1, 2)).await.unwrap_err();
        let finish = journal.finish(more(name, 1, 2)).await.unwrap_err();
        for error in [claim, append, finish] {
            assert_eq!((&error.kind, error.code, error.wrote), (&kind, code, Wrote::No));
        }
    }
    assert_eq!(journal.load(&id("r9")).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(journal.load(&id("r1")).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_share_one_commit_and_a_loser_does_not_fail_the_others() {
    let world = World::new();
    let journal = Arc::new(world.open());
    let names: Vec<_> = (0..50).map(|i| format!("r{i}")).collect();
    for name in &names {
        world.begin(&journal, name).await;
    }
    let (open, gate) = channel::<()>();
    let (inside, entered) = channel();
    let busy = tokio::spawn({
        let journal = Arc::clone(&journal);
        async move {
            let wait = move |_: &rusqlite::Connection| {
                let _ = inside.send(());
                let _ = gate.recv();
                Ok(())
            };
            journal.writer.write(Note::SMALL, wait).await
        }
    });
    entered.recv().unwrap();
    let before = journal.commits();
    // Half of them know a wrong epoch. Each is polled once, in order, so that all are in the queue before the gate opens.
    let appends = names.iter().enumerate().map(|(i, name)| journal.append(more(name, 1 + (i as u64 % 2), 1)));
    let mut all = Box::pin(futures::future::join_all(appends));
    assert!(futures::poll!(&mut all).is_pending());
    open.send(()).unwrap();
    let results = all.await;
    busy.await.unwrap().unwrap();

    for (i, result) in results.into_iter().enumerate() {
        match result {
            Ok(seq) => assert_eq!((i % 2, seq), (0, 2)),
            Err(e) => assert_eq!((i % 2, e.kind), (1, Kind::Superseded)),
        }
    }
    // The one that waited, and one for the fifty.
    assert_eq!(journal.commits() - before, 2);
    assert_eq!(journal.verify().await.unwrap().rows, 75);
}

#[tokio::test]
async fn rotations_are_listed_by_what_is_asked() {
    let world = World::new();
    let journal = world.open();
    for name in ["r1", "r2", "r3"] {
        world.begin(&journal, name).await;
    }
    journal.finish(more("r2", 1, 1)).await.unwrap();
    let other = Some("another".to_owned());
    let table = [
        (Filter::default(), vec!["r3", "r2", "r1"]),
        (Filter { finished: Some(false), ..Filter::default() }, vec!["r3", "r1"]),
        (Filter { finished: Some(true), ..Filter::default() }, vec!["r2"]),
        (Filter { limit: Some(1), ..Filter::default() }, vec!["r3"]),
        (Filter { id: Some(id("r1")), ..Filter::default() }, vec!["r1"]),
        (Filter { credential: Some("newsletter".to_owned()), limit: Some(2), ..Filter::default() }, vec!["r3", "r2"]),
        (Filter { credential: other, ..Filter::default() }, vec![]),
    ];
    for (filter, expected) in table {
        let found = journal.list(filter.clone()).await.unwrap();
        assert_eq!(found.iter().map(|h| h.id.as_str()).collect::<Vec<_>>(), expected, "{filter:?}");
    }
    let ended = &journal.list(Filter { finished: Some(true), ..Filter::default() }).await.unwrap()[0];
    assert_eq!((ended.seq, ended.epoch, ended.finished, &ended.holder, ended.created_at.0), (2, 1, true, &None, 1));
}

#[tokio::test]
async fn a_file_that_someone_keeps_locked_is_told_of_and_nothing_is_written() {
    let world = World::new();
    let journal =
        SqliteJournal::open(Options { patience: Duration::from_millis(10), ..Options::new(world.path()) }).unwrap();
    world.begin(&journal, "r1").await;
    let c = rusqlite::Connection::open(world.path().join("journal.db")).unwrap();
    c.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = journal.append(more("r1", 1, 1)).await.unwrap_err();
    assert_eq!((error.kind, error.code, error.wrote), (Kind::Locked, "HO0318", Wrote::No));
    c.execute_batch("ROLLBACK").unwrap();
    journal.append(more("r1", 1, 1)).await.unwrap();
}
