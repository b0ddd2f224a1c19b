//! `entra`.

use std::sync::Arc;

use handover::providers::Provider;
use handover::providers::entra::EntraProvider;
use handover::secret::Login;
use handover_rotation::name::{RotationId, Slot, Tag};
use handover_rotation::outcome::Outcome;

use super::{Bench, opened};
use crate::conformance::providers::ProviderBench;
use crate::support::lab::vendors::entra::{CLIENT, Entra, TENANT, USERNAME};

fn open(options: &str) -> Arc<dyn Provider> {
    opened(options, EntraProvider::options, EntraProvider::open)
}

async fn start() -> Bench<Entra> {
    // The token endpoint stands on the same port.
    let more = format!(", login_address: \"ADDRESS\", tenant: {TENANT}, client_id: {CLIENT}, username: {USERNAME}");
    let mut bench = Bench::start(Entra::new(), open, &more).await;
    bench.key = "client_secret";
    bench
}

#[tokio::test]
async fn keeps_the_contract() {
    start().await.keeps_the_contract("entra").await;
}

#[tokio::test]
async fn a_secret_that_ends_is_told_of_and_each_is_known_by_its_beginning() {
    let bench = start().await;
    let provider = bench.provider();
    bench.server.state().make("0aaaaaaa", "news");
    let tag = Tag::of(&RotationId::new("news-1").expect("an id"), Slot(1));
    let Outcome::Done(made) = provider.create("0aaaaaaa/news", &tag, None).await else { panic!("it makes one") };
    let Outcome::Done(list) = provider.list("0aaaaaaa/news").await else { panic!("it lists") };
    let login = Login { username: made.username, password: made.secret.expect("a secret") };
    let known: Vec<_> = list.iter().filter(|v| provider.may_be(v, &login)).map(|v| &v.id).collect();
    assert_eq!((list.len(), known), (2, vec![&made.id]));
    let told = provider.warnings("0aaaaaaa/news").await;
    assert!(told.len() == 2 && told[0].contains("2028-08-01"), "{told:?}");
}
