//! `smtp2go`.

use std::sync::Arc;

use handover::providers::Provider;
use handover::providers::smtp2go::Smtp2goProvider;
use handover_rotation::name::VersionId;
use handover_rotation::outcome::Outcome;

use super::{Bench, opened};
use crate::conformance::providers::ProviderBench;
use crate::support::lab::vendors::Vendor;
use crate::support::lab::vendors::smtp2go::Smtp2go;

fn open(options: &str) -> Arc<dyn Provider> {
    opened(options, Smtp2goProvider::options, Smtp2goProvider::open)
}

#[tokio::test]
async fn keeps_the_contract() {
    Bench::start(Smtp2go { users: Vec::new() }, open, "").await.keeps_the_contract("smtp2go").await;
}

#[tokio::test]
async fn blocking_changes_nothing_else_and_a_permission_is_told_from_a_refusal() {
    let bench = Bench::start(Smtp2go { users: Vec::new() }, open, "").await;
    let (account, id) = bench.server.state().foreign("news");
    let id = VersionId::new(id).expect("an id");
    assert!(matches!(bench.provider().disable(&account, &id).await, Outcome::Done(())));
    {
        let state = bench.server.state();
        let user = state.users.last().expect("a user");
        assert_eq!((user.status.as_str(), user.description.as_str()), ("blocked", "news"));
        assert_eq!(user.audit_email.as_deref(), Some("audit@example.com"), "it was not replaced as a whole");
    }
    let forbidden = bench.forbidden().await.expect("a key that may look");
    match forbidden.delete(&account, &id).await {
        Outcome::NotDone(fault) => assert_eq!(fault.code, "HO0515", "{fault}"),
        other => panic!("{other:?}"),
    }
}
