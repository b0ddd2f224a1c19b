//! `mailersend`.

use std::sync::Arc;

use handover::providers::Provider;
use handover::providers::mailersend::MailerSendProvider;
use handover_rotation::name::VersionId;
use handover_rotation::outcome::Outcome;

use super::{Bench, opened};
use crate::conformance::providers::ProviderBench;
use crate::support::lab::vendors::Vendor;
use crate::support::lab::vendors::mailersend::MailerSend;

fn open(options: &str) -> Arc<dyn Provider> {
    opened(options, MailerSendProvider::options, MailerSendProvider::open)
}

#[tokio::test]
async fn keeps_the_contract() {
    Bench::start(MailerSend::new(), open, "").await.keeps_the_contract("mailersend").await;
}

#[tokio::test]
async fn disabling_keeps_the_name_and_the_whole_list_is_read() {
    let bench = Bench::start(MailerSend::new(), open, "").await;
    let (account, id) = bench.server.state().foreign("plain");
    for n in 0..200 {
        bench.server.state().make(&account, &format!("user {n}"), true);
    }
    let id = VersionId::new(id).expect("an id");
    assert!(matches!(bench.provider().disable(&account, &id).await, Outcome::Done(())));
    assert_eq!(bench.server.state().users[0].name, "Support SMTP");
    let Outcome::Done(list) = bench.provider().list(&account).await else { panic!("it lists") };
    assert_eq!(list.len(), 201);
}
