//! Writes that meet another one: a server whose secret changes between the look and the write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use handover_rotation::name::EntryName;

use super::*;
use crate::config::inventory::SecretRef;

fn read(version: u64, password: &str) -> String {
    json!({
        "request_id": "", "lease_id": "", "renewable": false, "lease_duration": 0, "wrap_info": null, "warnings": null,
        "auth": null, "data": {
            "data": {"u": "user", "p": password},
            "metadata": {"created_time": "", "custom_metadata": {"managed-by": "handover"}, "deletion_time": "",
                "destroyed": false, "version": version}
        }
    })
    .to_string()
}

/// Holds `old` at the first look and `then` at the second, and refuses every write with `status` and these words.
async fn after_a_race(then: &'static str, status: u16, words: &'static str) -> Outcome<()> {
    let looks = Arc::new(AtomicUsize::new(0));
    let look = move || async move {
        let first = looks.fetch_add(1, Ordering::SeqCst) == 0;
        if first { read(1, "old") } else { read(2, then) }
    };
    let status = StatusCode::from_u16(status).expect("a status");
    let write = move || async move { (status, json!({ "errors": [words] }).to_string()) };
    let router = Router::new().route("/v1/secret/data/x", get(look).post(write));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "token").expect("it is written");
    let store = VaultStore::open(VaultOptions {
        address: format!("http://{address}").parse().expect("a url"),
        ca_file: None,
        namespace: None,
        mount: "secret".to_owned(),
        kv: Kv::V2,
        auth: Auth::Token(SecretRef::File(file)),
    });
    let name = EntryName::new("x").expect("a name");
    let entry = EntryRef { name, path: "x".into(), username_field: "u".into(), password_field: "p".into() };
    let login = Login { username: Username::new("user").expect("a name"), password: Secret::new("new".to_owned()) };
    let store = store.unwrap_or_else(|fault| panic!("{fault}"));
    store.write(&entry, &login, &[&Secret::new("old".to_owned())]).await
}

const RACE: &str = "check-and-set parameter did not match the current version";

#[tokio::test]
async fn a_write_to_vault_that_came_second_overwrites_nothing() {
    let outcome = after_a_race("foreign", 400, RACE).await;
    assert!(matches!(&outcome, Outcome::NotDone(fault) if fault.code == "HO0611"), "{outcome:?}");
}

#[tokio::test]
async fn a_write_to_vault_that_was_our_own_before_is_done() {
    let outcome = after_a_race("new", 400, RACE).await;
    assert!(matches!(outcome, Outcome::Done(())), "{outcome:?}");
}

#[tokio::test]
async fn a_refusal_of_vault_that_may_have_come_too_late_is_unknown() {
    for (status, code) in [(500, "HO0633"), (502, "HO0633"), (503, "HO0633"), (429, "HO0633")] {
        let outcome = after_a_race("old", status, "internal error").await;
        assert!(matches!(&outcome, Outcome::Unknown(fault) if fault.code == code), "{status}: {outcome:?}");
    }
    for (status, words, code) in [
        (400, "something else", "HO0634"),
        (403, "permission denied", "HO0632"),
        (404, "no handler for route", "HO0634"),
        (307, "", "HO0634"),
        (412, "required index state not present", "HO0633"),
        (503, "Vault is sealed", "HO0632"),
    ] {
        let outcome = after_a_race("old", status, words).await;
        assert!(matches!(&outcome, Outcome::NotDone(fault) if fault.code == code), "{status}: {outcome:?}");
    }
}
