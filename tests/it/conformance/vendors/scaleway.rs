//! `scaleway`.

use std::sync::Arc;

use handover::providers::Provider;
use handover::providers::scaleway::ScalewayProvider;
use handover_rotation::name::{RotationId, Slot, Tag};
use handover_rotation::outcome::Outcome;

use super::{Bench, opened};
use crate::conformance::providers::ProviderBench;
use crate::support::lab::vendors::scaleway::{PROJECT, Scaleway};

fn open(options: &str) -> Arc<dyn Provider> {
    opened(options, ScalewayProvider::options, ScalewayProvider::open)
}

async fn start() -> Bench<Scaleway> {
    Bench::start(Scaleway::new(), open, &format!(", project: {PROJECT}")).await
}

#[tokio::test]
async fn keeps_the_contract() {
    start().await.keeps_the_contract("scaleway").await;
}

#[tokio::test]
async fn a_quota_is_named_and_a_key_that_ends_is_told_of() {
    let bench = start().await;
    bench.server.state().quota = 2;
    bench.server.state().make("app-1", "news").expires = Some("2027-01-01T00:00:00Z");
    bench.server.state().make("app-1", "other");
    let tag = Tag::of(&RotationId::new("news-1").expect("an id"), Slot(1));
    match bench.provider().create("app-1/news", &tag, None).await {
        Outcome::NotDone(fault) => assert_eq!(fault.code, "HO0503", "{fault}"),
        other => panic!("{:?}", other.map(|made| made.id)),
    }
    let told = bench.provider().warnings("app-1/news").await;
    assert!(told.len() == 1 && told[0].contains("2027-01-01"), "{told:?}");
    bench.server.state().make("app-2", "news");
    bench.server.state().lists_all = true;
    let Outcome::Done(list) = bench.provider().list("app-1").await else { panic!("it lists") };
    assert_eq!(list.len(), 2, "without a name, all keys of the application belong to the account");
}
