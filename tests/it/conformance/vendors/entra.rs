//! `entra`.

use std::sync::Arc;

use handover::oauth::Granted;
use handover::providers::Provider;
use handover::providers::entra::EntraProvider;
use handover::secret::{Login, Secret};
use handover::web::Lost;
use handover_rotation::name::{RotationId, Slot, Tag};
use handover_rotation::outcome::Outcome;

use super::{Bench, opened};
use crate::conformance::providers::ProviderBench;
use crate::support::lab::vendors::entra::{CLIENT, Entra, SENDER, TENANT, USERNAME};

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

/// Microsoft 365: what is proven is whether the secret gets a token, each time anew.
#[tokio::test]
async fn a_secret_gets_tokens_until_it_is_removed_and_nothing_else_is_a_word_about_it() {
    let sender = |client: &str| {
        format!(
            ", login_address: \"ADDRESS\", tenant: {TENANT}, client_id: {CLIENT}, username: news@example.com, \
             xoauth2: {{client_id: {client}}}"
        )
    };
    let mut bench = Bench::start(Entra::new(), open, &sender(SENDER)).await;
    bench.key = "client_secret";
    let provider = bench.provider();
    let bearer = provider.bearer().expect("it takes tokens");
    let tag = Tag::of(&RotationId::new("news-1").expect("an id"), Slot(1));
    let Outcome::Done(made) = provider.create("0aaaaaaa/news", &tag, None).await else { panic!("it makes one") };
    let secret = made.secret.expect("a secret");
    assert!(matches!(bearer.token(&secret).await, Ok(Granted::Token(_))));
    assert!(matches!(provider.delete("0aaaaaaa/news", &made.id).await, Outcome::Done(())));
    match bearer.token(&secret).await {
        Ok(Granted::Refused(code)) => assert_eq!(code, "AADSTS7000215"),
        _ => panic!("a removed secret gets a token"),
    }
    // A mistake of the inventory is no word about the secret.
    let mut wrong = Bench::start(Entra::new(), open, &sender("nobody")).await;
    wrong.key = "client_secret";
    let marked = Secret::new("MARKED-secret".to_owned());
    match wrong.provider().bearer().expect("it takes tokens").token(&marked).await {
        Err(Lost::Before(fault)) => {
            assert!(fault.code == "HO0852" && fault.message.contains("AADSTS700016"), "{fault}");
            assert!(!format!("{fault:?}").contains("MARKED"), "{fault:?}");
        }
        _ => panic!("it is known"),
    }
    // Where the server takes passwords, there are none.
    assert!(start().await.provider().bearer().is_none());
}
