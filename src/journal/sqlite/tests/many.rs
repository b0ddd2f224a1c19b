//! A journal with much in it: what is asked for is found, in order, and without looking at everything else.

use handover_rotation::time::Millis;
use rusqlite::Connection;

use super::super::read::listing;
use super::{World, id, more, new};
use crate::journal::{AlertState, Filter, Journal, NewAlert, NewRotation, Register, SqliteJournal};

/// Rotations of four accounts, one after the other; the last of each is open.
async fn furnished(world: &World) -> SqliteJournal {
    let journal = world.open();
    for n in 0..40_u32 {
        let (name, account) = (format!("r{n:02}"), n % 4);
        let rotation = NewRotation { credential: format!("c{account}"), ..new(&name, &format!("l{account}")) };
        journal.begin(rotation, &world.owner).await.unwrap();
        if n < 36 {
            journal.finish(more(&name, 1, 1)).await.unwrap();
        }
    }
    journal
}

async fn names(journal: &SqliteJournal, filter: Filter) -> Vec<String> {
    journal.list(filter).await.unwrap().into_iter().map(|header| header.id.to_string()).collect()
}

#[tokio::test]
async fn what_is_asked_for_is_found_the_newest_first() {
    let world = World::new();
    let journal = furnished(&world).await;
    let all = Filter::default;
    let open = ["r39", "r38", "r37", "r36"];
    assert_eq!(names(&journal, Filter { finished: Some(false), ..all() }).await, open);
    assert_eq!(names(&journal, Filter { limit: Some(3), ..all() }).await, open[..3]);
    assert_eq!(names(&journal, Filter { id: Some(id("r07")), ..all() }).await, ["r07"]);
    assert_eq!(names(&journal, Filter { lineage: Some("l1".to_owned()), limit: Some(2), ..all() }).await, ["r37", "r33"]);
    let of = |credential: &str| Filter { credential: Some(credential.to_owned()), finished: Some(true), ..all() };
    let ended = names(&journal, of("c2")).await;
    assert_eq!((ended.len(), ended[0].as_str()), (9, "r34"));
    assert_eq!(names(&journal, of("nobody")).await, Vec::<String>::new());
    let since = journal.list(Filter { id: Some(id("r20")), ..all() }).await.unwrap()[0].created_at;
    let young = names(&journal, Filter { since: Some(Millis(since.0 + 1)), ..all() }).await;
    assert!(open.iter().all(|name| young.contains(&(*name).to_owned())), "open ones are always among them");
    assert_eq!(names(&journal, all()).await.len(), 40);

    journal.post(&id("r37"), "a word").await.unwrap();
    journal.post(&id("r37"), "another").await.unwrap();
    assert_eq!(journal.asked().await.unwrap(), [id("r37")].into());
}

/// What SQLite would look at.
fn plan(world: &World, statement: &str) -> String {
    let c = Connection::open(world.path().join("journal.db")).unwrap();
    let mut prepared = c.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
    let nothing = vec![rusqlite::types::Null; prepared.parameter_count()];
    let rows = prepared.query_map(rusqlite::params_from_iter(nothing), |r| r.get::<_, String>(3)).unwrap();
    rows.map(Result::unwrap).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn what_is_looked_at_all_the_time_has_an_index() {
    let world = World::new();
    drop(furnished(&world).await);
    let open = Filter { finished: Some(false), ..Filter::default() };
    let of = |lineage: &str| Filter { lineage: Some(lineage.to_owned()), ..Filter::default() };
    let credential = Filter { credential: Some("c1".to_owned()), ..Filter::default() };
    let alerts = "SELECT * FROM alerts WHERE number < 9 AND state = 'new' AND state NOT IN ('closed', 'unknown')
                  ORDER BY number DESC LIMIT 9";
    for (statement, index) in [
        (listing(&open), "one_rotation"),
        (listing(&Filter { limit: Some(9), ..open.clone() }), "one_rotation"),
        (listing(&Filter { since: Some(Millis(1)), ..open.clone() }), "one_rotation"),
        (listing(&Filter { lineage: Some("l1".to_owned()), ..open }), "one_rotation"),
        (listing(&of("l1")), "rotations_of_lineage"),
        (listing(&credential), "rotations_of_credential"),
        (alerts.to_owned(), "alerts_open"),
    ] {
        let plan = plan(&world, &statement);
        assert!(plan.contains(index), "{statement}: {plan}");
    }
}

#[tokio::test]
async fn alerts_are_found_by_number_and_page_by_page() {
    let world = World::new();
    let journal = world.open();
    for n in 1..=9_u8 {
        let alert = NewAlert { digest: [n; 32], part: 0, at_ms: 1, source: "s".to_owned(), report: "{}".to_owned() };
        assert_eq!(journal.take_alerts(vec![alert]).await.unwrap(), [u64::from(n)]);
    }
    let change = |state| crate::journal::AlertChange { state, credential: None, rotation: None, note: "known".to_owned() };
    journal.change_alert(4, change(AlertState::Unknown), 2).await.unwrap();
    let numbers = |alerts: Vec<crate::journal::Alert>| alerts.iter().map(|alert| alert.number).collect::<Vec<_>>();
    assert_eq!(numbers(journal.alerts(Some(AlertState::New), 3).await.unwrap()), [9, 8, 7]);
    assert_eq!(numbers(journal.alerts_below(AlertState::New, 7, 3).await.unwrap()), [6, 5, 3]);
    assert_eq!(numbers(journal.alerts_below(AlertState::New, 3, 3).await.unwrap()), [2, 1]);
    assert_eq!(numbers(journal.alerts(Some(AlertState::Unknown), 3).await.unwrap()), [4]);
    assert_eq!(journal.alert(4).await.unwrap().map(|alert| alert.note), Some("known".to_owned()));
    for missing in [0, 10, u64::MAX] {
        assert_eq!(journal.alert(missing).await.unwrap(), None);
    }
}
