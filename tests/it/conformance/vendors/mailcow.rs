//! `mailcow`.

use std::sync::Arc;

use handover::providers::Provider;
use handover::providers::mailcow::MailcowProvider;
use handover::secret::Secret;
use handover_rotation::name::{RotationId, Slot, Tag, VersionId};
use handover_rotation::outcome::Outcome;

use super::{Bench, opened};
use crate::conformance::providers::ProviderBench;
use crate::support::lab::vendors::Vendor;
use crate::support::lab::vendors::mailcow::Mailcow;

fn open(options: &str) -> Arc<dyn Provider> {
    opened(options, MailcowProvider::options, MailcowProvider::open)
}

fn tag() -> Tag {
    Tag::of(&RotationId::new("news-1").expect("an id"), Slot(1))
}

#[tokio::test]
async fn keeps_the_contract_in_old_and_new_releases() {
    for old in [false, true] {
        Bench::start(Mailcow::new(old), open, "").await.keeps_the_contract("mailcow").await;
    }
}

#[tokio::test]
async fn an_app_password_of_another_mailbox_is_neither_moved_nor_deleted() {
    let bench = Bench::start(Mailcow::new(false), open, "").await;
    let theirs = bench.server.state().make("boss@example.com", "news", "theirs", &["imap_access"]);
    let id = VersionId::new(theirs.to_string()).expect("an id");
    let provider = bench.provider();
    match provider.disable("news@example.com", &id).await {
        Outcome::NotDone(fault) => assert_eq!(fault.code, "HO0506", "{fault}"),
        other => panic!("{other:?}"),
    }
    // There is no such version in this mailbox, so it is gone from there.
    assert!(matches!(provider.delete("news@example.com", &id).await, Outcome::Done(())));
    let state = bench.server.state();
    let [left] = state.passwords.as_slice() else { panic!("one is left") };
    assert_eq!((left.mailbox.as_str(), left.active), ("boss@example.com", true));
}

#[tokio::test]
async fn an_app_password_is_for_smtp_only_and_disabling_keeps_what_it_may() {
    let bench = Bench::start(Mailcow::new(false), open, "").await;
    let (account, _) = bench.server.state().foreign("plain");
    let secret = Secret::new("x".repeat(40));
    let made = bench.provider().create(&account, &tag(), Some(&secret)).await;
    assert!(matches!(made, Outcome::Done(_)));
    assert_eq!(bench.server.state().passwords.last().expect("one").protocols, ["smtp_access"]);
    let phone = VersionId::new("1").expect("an id");
    assert!(matches!(bench.provider().disable(&account, &phone).await, Outcome::Done(())));
    let state = bench.server.state();
    assert_eq!((state.passwords[0].name.as_str(), state.passwords[0].active), ("phone", false));
    assert_eq!(state.passwords[0].protocols, ["imap_access", "smtp_access"]);
}

#[tokio::test]
async fn a_refusal_with_http_200_is_not_done() {
    let bench = Bench::start(Mailcow::new(false), open, "").await;
    match bench.provider().create("plain@example.com", &tag(), Some(&Secret::new(String::new()))).await {
        Outcome::NotDone(fault) => assert!(fault.message.contains("password_complexity"), "{fault}"),
        other => panic!("{:?}", other.map(|made| made.id)),
    }
}
