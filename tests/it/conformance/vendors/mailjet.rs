//! `mailjet`.

use std::sync::Arc;

use handover::providers::Provider;
use handover::providers::mailjet::MailjetProvider;
use handover_rotation::name::VersionId;
use handover_rotation::outcome::Outcome;

use super::{Bench, opened};
use crate::conformance::providers::ProviderBench;
use crate::support::lab::vendors::mailjet::{MASTER, Mailjet};

fn open(options: &str) -> Arc<dyn Provider> {
    opened(options, MailjetProvider::options, MailjetProvider::open)
}

async fn start() -> Bench<Mailjet> {
    Bench::start(Mailjet::new(), open, &format!(", api_user: {MASTER}")).await
}

#[tokio::test]
async fn keeps_the_contract() {
    start().await.keeps_the_contract("mailjet").await;
}

#[tokio::test]
async fn what_is_deleted_is_switched_off_and_renamed() {
    let bench = start().await;
    let id = bench.server.state().make("news").id;
    let id = VersionId::new(id.to_string()).expect("an id");
    for _ in 0..2 {
        assert!(matches!(bench.provider().delete("news", &id).await, Outcome::Done(())));
        let state = bench.server.state();
        let key = state.keys.last().expect("a key");
        assert_eq!((key.name.as_str(), key.active), ("retired news", false));
    }
}

#[tokio::test]
async fn the_master_key_is_neither_listed_nor_touched() {
    let bench = start().await;
    for n in 0..120 {
        bench.server.state().make(&format!("key {n}"));
    }
    let (master, provider) = (VersionId::new("4000").expect("an id"), bench.provider());
    let Outcome::Done(list) = provider.list("master").await else { panic!("it lists") };
    assert!(list.is_empty());
    for outcome in [provider.disable("master", &master).await, provider.delete("master", &master).await] {
        assert!(matches!(outcome, Outcome::NotDone(_)), "{outcome:?}");
    }
    assert!(bench.server.state().keys[0].active);
    let Outcome::Done(list) = provider.list("key 119").await else { panic!("it lists") };
    assert_eq!(list.len(), 1, "of the last page");
}
