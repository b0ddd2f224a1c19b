//! `resend`.

use std::sync::Arc;

use handover::providers::Provider;
use handover::providers::resend::ResendProvider;
use handover_rotation::name::{RotationId, Slot, Tag};
use handover_rotation::outcome::Outcome;

use super::{Bench, opened};
use crate::conformance::providers::ProviderBench;
use crate::support::lab::vendors::resend::Resend;

fn open(options: &str) -> Arc<dyn Provider> {
    opened(options, ResendProvider::options, ResendProvider::open)
}

#[tokio::test]
async fn keeps_the_contract() {
    Bench::start(Resend::new(), open, "").await.keeps_the_contract("resend").await;
}

#[tokio::test]
async fn a_key_may_send_from_its_domain_and_the_whole_list_is_read() {
    let bench = Bench::start(Resend::new(), open, ", domain_id: d91cd9bd").await;
    for n in 0..230 {
        bench.server.state().make(&format!("key {n}"), "full_access", None);
    }
    let tag = Tag::of(&RotationId::new("news-1").expect("an id"), Slot(1));
    assert!(matches!(bench.provider().create("news", &tag, None).await, Outcome::Done(_)));
    {
        let state = bench.server.state();
        let key = state.keys.last().expect("a key");
        assert_eq!((key.permission.as_str(), key.domain.as_deref()), ("sending_access", Some("d91cd9bd")));
    }
    let Outcome::Done(list) = bench.provider().list("news").await else { panic!("it lists") };
    assert_eq!(list.iter().map(|v| v.created_at).collect::<Vec<_>>(), [Some(1_696_636_076_678)]);
    assert!(bench.provider().warnings("news").await.is_empty());
}
