//! `stalwart`.

use std::sync::Arc;

use handover::providers::Provider;
use handover::providers::stalwart::StalwartProvider;
use handover_rotation::name::{RotationId, Slot, Tag, VersionId};
use handover_rotation::outcome::Outcome;

use super::{Bench, opened};
use crate::conformance::providers::ProviderBench;
use crate::support::lab::vendors::Vendor;
use crate::support::lab::vendors::stalwart::Stalwart;

fn open(options: &str) -> Arc<dyn Provider> {
    opened(options, StalwartProvider::options, StalwartProvider::open)
}

#[tokio::test]
async fn keeps_the_contract() {
    Bench::start(Stalwart::new(), open, "").await.keeps_the_contract("stalwart").await;
}

#[tokio::test]
async fn a_key_of_another_account_changes_nothing_there() {
    let bench = Bench::start(Stalwart::new(), open, "").await;
    let (_, id) = bench.server.state().foreign("boss");
    let (provider, id) = (bench.provider(), VersionId::new(id).expect("an id"));
    let tag = Tag::of(&RotationId::new("news-1").expect("an id"), Slot(1));
    let account = "news@example.com";
    for outcome in [
        provider.list(account).await.map(drop),
        provider.create(account, &tag, None).await.map(drop),
        provider.delete(account, &id).await,
    ] {
        match outcome {
            Outcome::NotDone(fault) => assert_eq!(fault.code, "HO0502", "{fault}"),
            other => panic!("{other:?}"),
        }
    }
    let state = bench.server.state();
    assert_eq!(state.passwords.iter().map(|p| p.description.as_str()).collect::<Vec<_>>(), ["laptop"]);
}
