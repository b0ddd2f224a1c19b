//! `sendgrid`.

use std::sync::Arc;

use handover::providers::sendgrid::SendGridProvider;
use handover::providers::{LiveState, Permitted, Provider};
use handover_rotation::name::{RotationId, Slot, Tag, VersionId};
use handover_rotation::outcome::Outcome;

use super::{Bench, opened};
use crate::conformance::providers::ProviderBench;
use crate::support::lab::vendors::sendgrid::SendGrid;

fn open(options: &str) -> Arc<dyn Provider> {
    opened(options, SendGridProvider::options, SendGridProvider::open)
}

fn tag() -> Tag {
    Tag::of(&RotationId::new("news-1").expect("an id"), Slot(1))
}

#[tokio::test]
async fn keeps_the_contract() {
    Bench::start(SendGrid::new(), open, "").await.keeps_the_contract("sendgrid").await;
}

#[tokio::test]
async fn keeps_the_contract_with_soft_disable_and_a_subuser() {
    let mut vendor = SendGrid::new();
    vendor.subuser = Some("shop");
    Bench::start(vendor, open, ", subuser: shop, soft_disable: true")
        .await
        .keeps_the_contract("sendgrid soft_disable")
        .await;
}

#[tokio::test]
async fn a_key_may_send_and_nothing_else() {
    // Without scopes, this vendor makes a key with full access, and its server does so as well.
    for soft in ["", ", soft_disable: true"] {
        let bench = Bench::start(SendGrid::new(), open, soft).await;
        let made = bench.provider().create("news", &tag(), None).await;
        assert!(matches!(made, Outcome::Done(_)));
        assert_eq!(bench.server.state().keys[0].scopes, ["mail.send"]);
    }
}

#[tokio::test]
async fn a_full_account_is_said_to_be_full_and_not_forbidden() {
    let bench = Bench::start(SendGrid::new(), open, "").await;
    for n in 0..100 {
        bench.server.state().make(&format!("key {n}"), vec!["mail.send".to_owned()]);
    }
    match bench.provider().create("news", &tag(), None).await {
        Outcome::NotDone(fault) => assert_eq!(fault.code, "HO0503", "{fault}"),
        other => panic!("{:?}", other.map(|made| made.id)),
    }
}

#[tokio::test]
async fn disabling_takes_only_the_scope_to_send() {
    let bench = Bench::start(SendGrid::new(), open, ", soft_disable: true").await;
    let scopes = ["mail.send", "stats.read"].map(str::to_owned);
    let id = VersionId::new(bench.server.state().make("news", scopes.to_vec()).id.clone()).expect("an id");
    let provider = bench.provider();
    assert!(matches!(provider.disable("news", &id).await, Outcome::Done(())));
    assert_eq!(bench.server.state().keys[0].scopes, ["stats.read"]);
    assert_eq!(bench.server.state().keys[0].name, "news");
    let Outcome::Done(list) = provider.list("news").await else { panic!("it lists") };
    assert_eq!(list[0].state, LiveState::Inactive);
    assert!(matches!(provider.enable("news", &id, None).await, Outcome::Done(())));
    assert_eq!(bench.server.state().keys[0].scopes, scopes);
}

#[tokio::test]
async fn what_the_key_may_do_is_told_and_never_guessed() {
    for (more, lacking, expected) in [
        ("", None, Permitted::Yes),
        ("", Some("api_keys.delete"), Permitted::CannotTell),
        ("", Some("mail.send"), Permitted::CannotTell),
        (", soft_disable: true", None, Permitted::CannotTell),
    ] {
        let bench = Bench::start(SendGrid::new(), open, more).await;
        bench.server.state().scopes.retain(|scope| Some(*scope) != lacking);
        assert_eq!(bench.provider().permitted("news").await, Outcome::Done(expected), "{more} {lacking:?}");
    }
}
