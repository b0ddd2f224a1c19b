//! `mailgun`.

use std::sync::Arc;

use handover::providers::Provider;
use handover::providers::mailgun::MailgunProvider;
use handover::secret::Secret;
use handover_rotation::name::{RotationId, Slot, Tag, VersionId};
use handover_rotation::outcome::Outcome;

use super::{Bench, opened};
use crate::conformance::providers::ProviderBench;
use crate::support::lab::vendors::Vendor;
use crate::support::lab::vendors::mailgun::{Login, Mailgun};

fn open(options: &str) -> Arc<dyn Provider> {
    opened(options, MailgunProvider::options, MailgunProvider::open)
}

#[tokio::test]
async fn keeps_the_contract_however_the_vendor_reads_a_login() {
    for short in [false, true] {
        let bench = Bench::start(Mailgun::new(short), open, "").await;
        bench.keeps_the_contract("mailgun").await;
        assert!(!bench.server.state().wiped, "a delete without a login");
    }
}

#[tokio::test]
async fn no_id_makes_a_delete_of_all() {
    let bench = Bench::start(Mailgun::new(true), open, "").await;
    let (account, _) = bench.server.state().foreign("plain");
    let odd =
        ["@plain.example.com", "plain.example.com", ".@plain.example.com", "..@plain.example.com", "/@plain.example.com"];
    for id in odd.into_iter().chain(["x/../..@plain.example.com", "#@plain.example.com", "=@plain.example.com"]) {
        let _ = bench.provider().delete(&account, &VersionId::new(id).expect("an id")).await;
        let state = bench.server.state();
        assert!(!state.wiped && state.logins.len() == 1, "{id}");
    }
}

#[tokio::test]
async fn a_list_of_many_pages_is_read_to_its_end_and_passwords_fit() {
    let bench = Bench::start(Mailgun::new(false), open, "").await;
    for n in 0..250 {
        let address = format!("user{n}@news.example.com");
        bench.server.state().logins.push(Login { address, password: "12345".to_owned() });
    }
    let provider = bench.provider();
    let Outcome::Done(list) = provider.list("news.example.com").await else { panic!("it lists") };
    assert_eq!(list.len(), 250);
    // A capital in the name of the credential: this vendor's logins are in lower case.
    let tag = Tag::of(&RotationId::new("News_1").expect("an id"), Slot(1));
    let secret = Secret::new("x".repeat(provider.secret_length()));
    let made = provider.create("News.Example.com", &tag, Some(&secret)).await;
    assert!(matches!(made, Outcome::Done(_)));
    let Outcome::Done(list) = provider.list("news.example.com").await else { panic!("it lists") };
    assert_eq!(list.iter().filter(|v| v.tag.as_ref() == Some(&tag)).count(), 1);
}
