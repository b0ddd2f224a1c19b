//! What is sent elsewhere tells on a journal that was edited, cut or put back, and on itself (safety.md S22, S23, threat T5).

use std::fs;

use rusqlite::{Connection, params};

use super::super::{Options, SqliteJournal};
use super::{World, id, more};
use crate::journal::chain::row_hash;
use crate::journal::shipping::Sent;
use crate::journal::{Checkpoint, Cursor, Journal, Kind, Reading, Row, Shipped, Shipping, Signer, judge};

fn signer(seed: u8) -> Signer {
    Signer::new(&[seed; 32]).unwrap()
}

async fn sign(journal: &SqliteJournal, by: &Signer) -> Checkpoint {
    let made = by.sign(journal.instance_id(), journal.head().await.unwrap(), 1_000);
    journal.keep_checkpoint(made.clone()).await.unwrap();
    made
}

/// Five rows of two rotations, signed after the second and after the last.
async fn written() -> (World, SqliteJournal, Vec<Checkpoint>) {
    let world = World::new();
    let journal = world.open();
    world.begin(&journal, "r1").await;
    world.begin(&journal, "r2").await;
    let first = sign(&journal, &signer(1)).await;
    journal.append(more("r1", 1, 1)).await.unwrap();
    journal.append(more("r2", 1, 1)).await.unwrap();
    journal.finish(more("r2", 1, 2)).await.unwrap();
    let second = sign(&journal, &signer(1)).await;
    (world, journal, vec![first, second])
}

/// All lines for a new sink, and where it is then.
async fn lines(journal: &SqliteJournal, most: u32, bytes: usize) -> (Vec<String>, Cursor) {
    let (mut at, mut all) = (journal.cursor("new").await.unwrap(), Vec::new());
    loop {
        let items = journal.next(&at, most, bytes).await.unwrap();
        let Some(last) = items.last() else { return (all, at) };
        at = last.after.clone();
        assert!(items.len() <= most as usize);
        all.extend(items.into_iter().map(|item| item.line));
    }
}

#[tokio::test]
async fn s22_every_row_is_sent_once_in_order_with_each_checkpoint_after_what_it_signs() {
    let (_world, journal, _) = written().await;
    let (all, at) = lines(&journal, 500, 1 << 20).await;
    let kinds: Vec<&str> = all.iter().map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(kinds, ["row", "row", "checkpoint", "row", "row", "row", "checkpoint"]);
    assert_eq!((at.head.n, at.checkpoint), (5, 2));
    // However small the pieces are.
    for (most, bytes) in [(1, 1 << 20), (2, 1 << 20), (3, 1), (500, 1), (500, 700)] {
        assert_eq!(lines(&journal, most, bytes).await.0, all, "{most} {bytes}");
    }
    // The rows come back as they are in the journal, and the cursor never goes back.
    let rows: Vec<Row> = all.iter().filter_map(|line| Sent::parse(line)).map(|sent| sent.row).collect();
    assert_eq!(rows, journal.export_rows(None).await.unwrap());
    journal.shipped("new", at.clone()).await.unwrap();
    journal.shipped("new", Cursor { told_ms: Some(7), ..journal.cursor("other").await.unwrap() }).await.unwrap();
    assert_eq!(journal.cursor("new").await.unwrap(), Cursor { told_ms: Some(7), ..at });
}

fn read(lines: &[String]) -> Shipped {
    let mut reading = Reading::new(Some(signer(1).public().clone()));
    for (n, line) in lines.iter().enumerate() {
        reading.line(&format!("line {}", n + 1), line);
    }
    reading.end()
}

#[tokio::test]
async fn s22_what_was_sent_is_checked_by_itself() {
    let (_world, journal, _) = written().await;
    let all = lines(&journal, 500, 1 << 20).await.0;
    let whole = read(&all);
    assert_eq!((whole.first, whole.head, whole.checkpoints), (1, Some(journal.head().await.unwrap()), 2));
    assert_eq!((whole.wrong.len(), whole.repeated, whole.cut), (0, 0, 0));
    assert_eq!(whole.journal.as_deref(), Some(journal.instance_id()));

    // No harm: a lost answer, a writer that was killed, an older file that was carried away, a file that ends in half of a line.
    let again = [&all[..], &all[3..]].concat();
    assert_eq!((read(&again).wrong, read(&again).repeated), (vec![], 3));
    let mut cut = all.clone();
    cut.insert(3, all[3][..all[3].len() / 2].to_owned());
    assert_eq!((read(&cut).wrong, read(&cut).cut), (vec![], 1));
    assert_eq!((read(&all[3..]).wrong, read(&all[3..]).first), (vec![], 3));
    let mut short = all.clone();
    short[6].truncate(40);
    assert_eq!((read(&short).wrong, read(&short).head.unwrap().n), (vec![], 5));

    // Harm, and what is said of it.
    let other = { written().await.1 };
    let foreign = lines(&other, 500, 1 << 20).await.0;
    let forged = Checkpoint { wall_ms: 1, ..Checkpoint::parse(&all[2]).unwrap() }.line();
    let stranger = signer(2).sign(journal.instance_id(), Checkpoint::parse(&all[2]).unwrap().head, 1).line();
    let elsewhere = signer(1).sign(journal.instance_id(), Checkpoint::parse(&all[6]).unwrap().head, 1).line();
    let put = |at: usize, line: &str| {
        let mut lines = all.clone();
        lines[at] = line.to_owned();
        lines
    };
    let without = |at: usize| [&all[..at], &all[at + 1..]].concat();
    let table = [
        ("an event", put(3, &all[3].replace("{\"at\":2}", "{\"at\":3}")), "line 4: row 3 is not as it was sent"),
        ("a number", put(3, &all[3].replace("\"seq\":2", "\"seq\":3")), "line 4: row 3 is not as it was sent"),
        ("who began", put(0, &all[0].replace("newsletter", "newsletters")), "line 1: row 1 is not as it was sent"),
        ("a row that is gone", without(3), "line 4: rows 3 to 3 are missing"),
        ("a row of another journal", put(3, &foreign[3]), "line 4: it is of the journal"),
        ("a forged checkpoint", put(2, &forged), "line 3: the checkpoint of row 2 is forged"),
        ("a stranger's", put(2, &stranger), "line 3: the checkpoint of row 2 is forged, or signed by another key"),
        ("one of later", put(2, &elsewhere), "line 3: the checkpoint signs row 5, which is not there"),
        ("what is no line of ours", put(2, "{\"n\":1}"), "line 3: it is neither"),
    ];
    for (what, lines, says) in table {
        assert!(lines != all, "{what} changes nothing");
        let wrong = read(&lines).wrong;
        assert!(wrong.first().is_some_and(|why| why.starts_with(says)), "{what}: {wrong:?}");
    }
    // Another history under the same numbers, each sound in itself.
    let (world, journal, _) = written().await;
    let sent = lines(&journal, 500, 1 << 20).await.0;
    drop(journal);
    edit(&world, 4);
    let journal = SqliteJournal::open(Options::new(world.path()).accept_head()).unwrap();
    let edited = lines_of(&journal).await;
    let both = [&sent[..], &edited[3..4]].concat();
    assert!(read(&both).wrong[0].contains("row 4 was there before and was another one"), "{:?}", read(&both).wrong);
}

/// The lines of its rows alone.
async fn lines_of(journal: &SqliteJournal) -> Vec<String> {
    let all = lines(journal, 500, 1 << 20).await.0;
    all.into_iter().filter(|line| Sent::parse(line).is_some()).collect()
}

/// Edits a row as one would who knows the chain: every hash from there on is made anew.
fn edit(world: &World, n: u64) {
    world.intrude("SELECT 1");
    let c = Connection::open(world.path().join("journal.db")).unwrap();
    let mut statement = c.prepare("SELECT n FROM events WHERE n >= ?1 ORDER BY n").unwrap();
    let numbers: Vec<i64> = statement.query_map([n as i64], |r| r.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let mut prev: Option<[u8; 32]> = None;
    for number in numbers {
        let query = format!("SELECT {} FROM events e WHERE e.n = ?1", super::super::rows::COLUMNS);
        let mut row = c.query_row(&query, [number], |r| Ok(super::super::rows::row(r).unwrap())).unwrap();
        if row.n == n {
            row.payload = "{\"at\":999}".to_owned();
        }
        row.prev = prev.unwrap_or(row.prev);
        assert!(row.seq > 1, "a first row is hashed with its header");
        let hash = row_hash(&row, None);
        prev = Some(hash);
        c.execute(
            "UPDATE events SET payload = ?2, prev = ?3, hash = ?4 WHERE n = ?1",
            params![number, row.payload, row.prev, hash],
        )
        .unwrap();
    }
}

const CUT: &str = "DELETE FROM events WHERE n > 3; UPDATE rotations SET seq = 1, finished = 0 WHERE id = 'r2';
    UPDATE rotations SET seq = 2 WHERE id = 'r1'";

#[tokio::test]
async fn s23_a_journal_that_was_edited_cut_or_put_back_is_told_by_its_checkpoints_although_it_is_sound_in_itself() {
    let key = signer(1).public().clone();
    let backup = |world: &World| ["journal.db", "anchor"].map(|name| (name, fs::read(world.path().join(name)).unwrap()));
    for (what, code) in
        [("nothing", None), ("edited", Some("HO1074")), ("cut", Some("HO1073")), ("put back", Some("HO1073"))]
    {
        let (world, journal, _) = written().await;
        drop(journal);
        let older = backup(&world);
        let journal = world.open();
        journal.append(more("r1", 1, 2)).await.unwrap();
        let newest = sign(&journal, &signer(1)).await;
        drop(journal);
        match what {
            "edited" => edit(&world, 4),
            "cut" => world.intrude(CUT),
            "put back" => older.iter().for_each(|(name, bytes)| fs::write(world.path().join(name), bytes).unwrap()),
            _ => {}
        }
        // As an intruder who has the anchor as well.
        let journal = SqliteJournal::open(Options::new(world.path()).accept_head()).unwrap();
        let report = journal.verify().await.unwrap_or_else(|e| panic!("{what}: {e}"));
        let hash = journal.hash_at(newest.head.n).await.unwrap();
        let judged = judge(&newest, &key, journal.instance_id(), report.rows, hash);
        assert_eq!(judged.as_ref().err().map(|(code, _)| *code), code, "{what}: {judged:?}");

        // A checkpoint that would fit if it were believed.
        let head = report.head.clone();
        for (by, name, want) in [(2, journal.instance_id(), "HO1071"), (1, "another", "HO1072")] {
            let false_one = signer(by).sign(name, head.clone(), 1);
            let judged = judge(&false_one, &key, journal.instance_id(), report.rows, Some(head.hash));
            assert_eq!(judged.unwrap_err().0, want, "{what}");
        }
    }
}

#[tokio::test]
async fn s22_a_log_that_is_not_the_one_that_was_sent_is_not_sent_on() {
    for (what, n) in [("edited", 4), ("edited behind it", 5), ("cut", 0)] {
        let (world, journal, _) = written().await;
        let head = crate::journal::Head { n: 4, hash: journal.hash_at(4).await.unwrap().unwrap() };
        let at = Cursor { head, checkpoint: 1, told_ms: None };
        journal.shipped("siem", at.clone()).await.unwrap();
        match what {
            "cut" => world.intrude(CUT),
            "edited" => edit(&world, n),
            _ => world.intrude("UPDATE events SET payload = '{}' WHERE n = 5"),
        }
        let error = journal.next(&journal.cursor("siem").await.unwrap(), 500, 1 << 20).await.unwrap_err();
        assert_eq!((error.kind.clone(), error.code), (Kind::RolledBack, "HO1070"), "{what}: {error}");
        // A new sink is not given what does not hang together either.
        if what == "edited behind it" {
            let error = journal.next(&journal.cursor("new").await.unwrap(), 500, 1 << 20).await.unwrap_err();
            assert_eq!(error.code, "HO1070");
        }
    }
    // What went on after it was sent is sent.
    let (_world, journal, _) = written().await;
    let (_, at) = lines(&journal, 500, 1 << 20).await;
    journal.append(more("r1", 1, 2)).await.unwrap();
    let items = journal.next(&at, 500, 1 << 20).await.unwrap();
    assert_eq!(items.iter().map(|item| item.after.head.n).collect::<Vec<_>>(), [6]);
    assert_eq!(journal.load(&id("r1")).await.unwrap().len(), 3);
}
