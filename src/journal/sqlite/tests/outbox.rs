//! The outbox: kept with the events or not at all, due in order, told at least once, and known again by its id.

use super::{World, id, more};
use crate::journal::{Append, Journal, Kind, NOTICE_MAX, NewNotice, OUTBOX_WAIT_MOST, Outbox, Standing, Tried};

const NOW: u64 = 1_700_000_000_000;

fn notice(name: &str, target: &str, thread: &str) -> NewNotice {
    let text = format!("{{\"notice\":\"{name}\"}}");
    NewNotice { id: name.to_owned(), target: target.to_owned(), thread: thread.to_owned(), text, at_ms: NOW }
}

async fn due(journal: &dyn Outbox, target: &str, now: u64) -> Vec<String> {
    journal.due(target, now, 10).await.unwrap().into_iter().map(|q| q.notice.id).collect()
}

async fn number(journal: &dyn Outbox, target: &str, name: &str) -> u64 {
    let due = journal.due(target, NOW + 10 * OUTBOX_WAIT_MOST, 10).await.unwrap();
    due.into_iter().find(|q| q.notice.id == name).unwrap().number
}

#[tokio::test]
async fn a_notice_is_kept_with_its_events_or_not_at_all() {
    let world = World::new();
    let journal = world.open();
    world.begin(&journal, "r1").await;
    let with = |append: Append, name| Append { notices: vec![notice(name, "ops", "r1")], ..append };
    // Another owner has written meanwhile: neither the rows nor the notice.
    let refused = journal.append(with(more("r1", 1, 7), "lost")).await.unwrap_err();
    assert_eq!((refused.kind, due(&journal, "ops", NOW).await.len()), (Kind::Superseded, 0));
    journal.append(with(more("r1", 1, 1), "r1:2")).await.unwrap();
    journal.finish(with(more("r1", 1, 2), "r1:3")).await.unwrap();
    drop(journal);
    let journal = world.open();
    assert_eq!(due(&journal, "ops", NOW).await, ["r1:2"]);
    assert_eq!(journal.load(&id("r1")).await.unwrap().len(), 3);
}

#[tokio::test]
async fn one_id_is_kept_once_for_each_target_even_after_it_was_told() {
    let journal = World::new();
    let journal = journal.open();
    let both = || vec![notice("n1", "ops", "a"), notice("n1", "pager", "a")];
    journal.put(both()).await.unwrap();
    journal.put(both()).await.unwrap();
    assert_eq!(journal.targets().await.unwrap(), ["ops", "pager"]);
    let told = number(&journal, "ops", "n1").await;
    journal.tried(told, Tried::Sent).await.unwrap();
    journal.put(both()).await.unwrap();
    assert_eq!(due(&journal, "ops", NOW).await, Vec::<String>::new());
    assert_eq!(due(&journal, "pager", NOW).await, ["n1"]);
    // What was told stays told, whatever comes later of an earlier try.
    journal.tried(told, Tried::GivenUp { why: "late".to_owned() }).await.unwrap();
    let ops = Standing { target: "ops".to_owned(), waiting: 0, oldest_ms: None, given_up: 0, why: None };
    assert_eq!(journal.standing().await.unwrap()[0], ops);
}

#[tokio::test]
async fn of_a_thread_only_the_oldest_is_due_and_threads_do_not_wait_for_each_other() {
    let world = World::new();
    let journal = world.open();
    let put = [("trigger", "incident"), ("other", "alone"), ("resolve", "incident")];
    journal.put(put.map(|(name, thread)| notice(name, "pager", thread)).to_vec()).await.unwrap();
    assert_eq!(due(&journal, "pager", NOW - 1).await, Vec::<String>::new());
    assert_eq!(due(&journal, "pager", NOW).await, ["trigger", "other"]);
    let trigger = number(&journal, "pager", "trigger").await;
    journal.tried(trigger, Tried::Again { at_ms: NOW + 60_000, why: "no connection".to_owned() }).await.unwrap();
    assert_eq!(due(&journal, "pager", NOW + 59_999).await, ["other"]);
    let again = journal.due("pager", NOW + 60_000, 10).await.unwrap();
    let again: Vec<_> = again.iter().map(|q| (q.notice.id.as_str(), q.attempts)).collect();
    assert_eq!(again, [("other", 0), ("trigger", 1)], "what failed comes last");
    // The wall clock went back by an hour: nothing waits for that hour.
    assert_eq!(due(&journal, "pager", NOW - 3_600_000).await, ["other", "trigger"]);
    let standing = journal.standing().await.unwrap();
    assert_eq!((standing[0].waiting, standing[0].why.as_deref()), (3, Some("no connection")));
    journal.tried(trigger, Tried::GivenUp { why: "refused".to_owned() }).await.unwrap();
    assert_eq!(due(&journal, "pager", NOW).await, ["other", "resolve"]);
    let standing = journal.standing().await.unwrap();
    assert_eq!((standing[0].waiting, standing[0].given_up, standing[0].oldest_ms), (2, 1, Some(NOW)));
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_and_what_was_told_is_swept() {
    let world = World::new();
    let journal = world.open();
    let large = NewNotice { text: "x".repeat(NOTICE_MAX + 1), ..notice("n", "ops", "a") };
    for wrong in [large, notice("", "ops", "a"), notice("n", "", "a"), notice("n", "ops", &"t".repeat(600))] {
        let error = journal.put(vec![notice("fine", "ops", "a"), wrong]).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid);
    }
    assert_eq!(journal.standing().await.unwrap(), []);
    journal.put(vec![notice("a", "ops", "a"), notice("b", "ops", "b"), notice("c", "ops", "c")]).await.unwrap();
    journal.tried(number(&journal, "ops", "a").await, Tried::Sent).await.unwrap();
    journal.tried(number(&journal, "ops", "b").await, Tried::GivenUp { why: "gone".to_owned() }).await.unwrap();
    assert_eq!(journal.sweep(NOW).await.unwrap(), 0);
    assert_eq!(journal.sweep(NOW + 1).await.unwrap(), 2);
    assert_eq!(due(&journal, "ops", NOW).await, ["c"]);
}
