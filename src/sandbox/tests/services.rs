use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use handover_rotation::name::{EntryName, VersionId};
use handover_rotation::outcome::Outcome;
use handover_rotation::time::Span;
use serde_json::json;

use super::world::{World, done, eventually};
use crate::providers::Provider as _;
use crate::sandbox::env::first_content;
use crate::sandbox::store::FaultyStore;
use crate::secret::{Login, Secret};
use crate::stores::{EntryRef, Held, Store};

const CHALLENGE: &str = "00112233445566778899aabbccddeeff";

async fn uses(world: &World, service: &str) -> (String, String) {
    let (status, body) = world.http("GET", &format!("/{service}/smtp-fingerprint?challenge={CHALLENGE}"), "").await;
    assert_eq!(status, 200);
    let field = |name: &str| body[name].as_str().expect("a text").to_owned();
    (field("username"), field("proof"))
}

fn proof(password: &str) -> String {
    hex::encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, password.as_bytes()), CHALLENGE.as_bytes()))
}

/// Puts a login in an entry's file, as a store would.
fn push(world: &World, entry: &str, login: &Login) {
    let file = world.sandbox.layout().env_file("newsletter", entry);
    std::fs::write(file, first_content("x", entry, login).as_bytes()).expect("writes");
}

#[tokio::test]
async fn a_service_changes_its_login_by_reload_and_proves_it() {
    let world = World::start().await;
    let old = world.entry("staging");
    let made = world.create("r1").await;
    let new = Login { username: made.username, password: made.secret.expect("chosen") };
    let before = ("newsletter.1".to_owned(), proof(old.password.expose()));
    let after = ("newsletter.2".to_owned(), proof(new.password.expose()));
    assert_eq!(uses(&world, "newsletter-staging").await, before);
    push(&world, "staging", &new);
    assert_eq!(uses(&world, "newsletter-staging").await, before, "nothing changes by itself");

    world.fault("ignore-reload=newsletter-staging");
    assert_eq!(world.http("POST", "/newsletter-staging/reload", "").await.0, 200);
    assert_eq!(uses(&world, "newsletter-staging").await, before, "the reload was a lie");
    world.fault("ignore-reload=off");
    assert_eq!(world.http("POST", "/newsletter-staging/reload", "").await.0, 200);
    assert_eq!(uses(&world, "newsletter-staging").await, after);
    assert_eq!(uses(&world, "newsletter-production").await, before, "the other is untouched");
}

#[tokio::test]
async fn a_reload_without_a_login_fails_and_keeps_the_old_one() {
    let world = World::start().await;
    let before = uses(&world, "newsletter-staging").await;
    let file = world.sandbox.layout().env_file("newsletter", "staging");
    for content in ["", "SMTP_USERNAME=x\nSMTP_PASSWORD=\n", "SMTP_PASSWORD=x\n"] {
        std::fs::write(&file, content).expect("writes");
        assert_eq!(world.http("POST", "/newsletter-staging/reload", "").await.0, 500);
        assert_eq!(uses(&world, "newsletter-staging").await, before);
    }
}

#[tokio::test]
async fn a_test_mail_is_sent_with_the_login_in_memory() {
    let world = World::start().await;
    let ask = json!({ "nonce": "n-0123", "to": "inbox@sandbox.test" }).to_string();
    let (status, body) = world.http("POST", "/newsletter-production/test-send", &ask).await;
    assert_eq!((status, body), (200, json!({ "accepted": true })));
    let mails = world.mails();
    assert_eq!(mails.len(), 1);
    for part in [
        "Subject: Test of newsletter-production n-0123\r\n",
        "X-Handover-Nonce: n-0123\r\n",
        "To: inbox@sandbox.test\r\n",
        "(authenticated as newsletter.1)",
    ] {
        assert!(mails[0].contains(part), "{part}: {}", mails[0]);
    }

    done(world.provider.disable("newsletter", &VersionId::new("newsletter#1").expect("valid")).await);
    let (status, body) = world.http("POST", "/newsletter-production/test-send", &ask).await;
    assert_eq!(status, 502);
    assert_eq!(body["accepted"], false);
    assert!(body["reply"].as_str().is_some_and(|r| r.starts_with("535 5.7.8")), "{body}");

    world.fault("smtp-4xx=auth");
    let (status, body) = world.http("POST", "/newsletter-production/test-send", &ask).await;
    assert!(status == 502 && body["reply"].as_str().is_some_and(|r| r.starts_with("454 4.7.0")), "{body}");

    world.fault("none");
    world.fault("tls-expired");
    let (status, body) = world.http("POST", "/newsletter-production/test-send", &ask).await;
    assert!(status == 504 && body["accepted"].is_null(), "{body}");
    assert_eq!(world.mails().len(), 1);
}

#[tokio::test]
async fn a_lost_answer_to_a_test_mail_is_no_refusal() {
    let world = World::start().await;
    world.fault("drop-answer=send");
    let ask = json!({ "nonce": "n", "to": "inbox@sandbox.test" }).to_string();
    let (status, body) = world.http("POST", "/newsletter-staging/test-send", &ask).await;
    assert!(status == 504 && body["accepted"].is_null(), "{body}");
    assert_eq!(world.mails().len(), 1, "it arrived all the same");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = World::start().await;
    let table = [
        ("GET", "/newsletter-staging/healthz", "", 200),
        ("GET", "/other/healthz", "", 404),
        ("POST", "/other/reload", "", 404),
        ("GET", "/newsletter-staging/reload", "", 405),
        ("POST", "/newsletter-staging/test-send", "{}", 400),
        ("POST", "/newsletter-staging/test-send", "{\"nonce\":\"a\\r\\nBcc: x@y.z\",\"to\":\"a@b.test\"}", 400),
        ("POST", "/newsletter-staging/test-send", "{\"nonce\":\"a\",\"to\":\"no address\"}", 504),
        ("GET", "/newsletter-staging/smtp-fingerprint", "", 400),
        ("GET", "/newsletter-staging/smtp-fingerprint?challenge=xyz", "", 400),
        ("GET", "/newsletter-staging/smtp-fingerprint?challenge=", "", 400),
    ];
    for (method, path, body, expected) in table {
        assert_eq!(world.http(method, path, body).await.0, expected, "{method} {path} {body}");
    }
    assert!(world.mails().is_empty());
    let huge = "x".repeat(100_000);
    assert_eq!(world.http("POST", "/newsletter-staging/test-send", &huge).await.0, 413);
}

#[tokio::test]
async fn steady_traffic_counts_what_is_lost() {
    let world = World::start_with(|options| options.traffic = Some(Duration::from_millis(5))).await;
    let counts = async || world.status().services["newsletter-staging"];
    let healthy = eventually(
        async || world.status().services.get("newsletter-staging").copied().unwrap_or_default(),
        |traffic| traffic.sent >= 3,
    )
    .await;
    assert_eq!((healthy.refused, healthy.failed), (0, 0));
    done(world.provider.disable("newsletter", &VersionId::new("newsletter#1").expect("valid")).await);
    eventually(counts, |traffic| traffic.refused >= 2).await;
    world.fault("smtp-down");
    eventually(counts, |traffic| traffic.failed >= 1).await;
}

struct Recorder(std::sync::Mutex<u32>);

#[async_trait]
impl Store for Recorder {
    fn kind(&self) -> &'static str {
        "recorder"
    }
    fn request_timeout(&self) -> Span {
        Span::seconds(1)
    }
    async fn check_writable(&self, _: &EntryRef) -> Outcome<()> {
        Outcome::Done(())
    }
    async fn read(&self, _: &EntryRef) -> Outcome<Held> {
        Outcome::Done(Held::Nothing)
    }
    async fn write(&self, _: &EntryRef, _: &Login, _: &[&Secret]) -> Outcome<()> {
        *self.0.lock().expect("sound") += 1;
        Outcome::Done(())
    }
}

#[tokio::test]
async fn a_lost_answer_to_a_write_comes_after_the_write() {
    let world = World::start().await;
    world.fault("drop-answer=write");
    let recorder = Arc::new(Recorder(std::sync::Mutex::new(0)));
    let store = FaultyStore::new(recorder.clone(), world.dir.path().to_path_buf());
    let entry = EntryRef {
        name: EntryName::new("staging").expect("valid"),
        path: "x".to_owned(),
        username_field: "U".to_owned(),
        password_field: "P".to_owned(),
    };
    let login = world.entry("staging");
    assert!(matches!(store.write(&entry, &login, &[]).await, Outcome::Unknown(f) if f.code == "HO0910"));
    assert!(matches!(store.write(&entry, &login, &[]).await, Outcome::Done(())));
    assert_eq!(*recorder.0.lock().expect("sound"), 2);
}
