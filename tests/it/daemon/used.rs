//! What follows of a leak beside its containment: whether it was used, in its report and told to people; and what is known in public.

use std::process::Command;
use std::sync::{Arc, Mutex};

use aws_lc_rs::aead::{AES_256_GCM, Aad, RandomizedNonceKey};
use aws_lc_rs::digest::{SHA256, digest};
use axum::Json;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover::alerts::Report;
use handover::journal::{AlertState, Register};
use handover::marks::hmsl;
use handover::secret::Secret;
use handover_rotation::event::Ending;
use handover_rotation::state::Rotation;
use serde_json::{Value, json};

use super::killed::login;
use super::{House, end, run, until};

/// Adds a section to the inventory.
fn section(house: &House, text: &str) {
    let before = std::fs::read_to_string(house.inventory()).expect("it reads");
    std::fs::write(house.inventory(), format!("{before}\n{text}\n")).expect("it writes");
}

fn export(house: &House, rotation: &Rotation, format: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
    command.args(["--state"]).arg(&house.state).args(["audit", "export", rotation.id.as_str(), "--format", format]);
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn whether_a_leaked_login_was_used_is_in_its_report_and_told() {
    let house = House::new();
    let log = house.world.dir().join("dovecot.log");
    section(&house, &format!("usage:\n  logins: {{kind: dovecot-log, credentials: [newsletter], path: {}}}", log.display()));
    // Nobody is there: that they are to be told is kept.
    let chat = house.world.dir().join("chat.url");
    std::fs::write(&chat, "http://127.0.0.1:9/hook").expect("it writes");
    std::fs::set_permissions(&chat, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    section(&house, &format!("notify:\n  chat: {{kind: slack, url: {{file: {}}}}}", chat.display()));
    let (username, password) = login(&house);
    // Somebody logs in from elsewhere after the secret was exposed.
    let now = chrono::Utc::now();
    let line = |at: chrono::DateTime<chrono::Utc>, ip: &str| {
        let at = at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        format!(
            "{at} mx dovecot: submission-login: Login: user=<{username}>, method=PLAIN, rip={ip}, lip=192.0.2.1, mpid=7, TLS, session=<a>\n"
        )
    };
    let hours = |n: i64| now - chrono::TimeDelta::hours(n);
    let text: String = (2..60).rev().map(|n| line(hours(n * 12), "192.0.2.7")).collect();
    std::fs::write(&log, text + &line(hours(1), "198.51.100.66")).expect("a log");
    run(async {
        let (daemon, journal) = house.daemon().await;
        let exposed = u64::try_from(hours(2).timestamp_millis()).ok();
        let report = Report::new("scanner", "finding 7").raw(vec![Secret::new(password.clone())]).exposed(exposed);
        daemon.desk.take_in([1; 32], vec![report]).await.expect("it is kept");
        let (rotation, ending) = end(&daemon.desk, &journal).await;
        assert_eq!(ending, Ending::Done);
        let ended = journal_end(&journal, &rotation).await;
        // Once it was refused, and once more after the end: logs come late.
        until("the answer after the end", || async {
            let kept = journal.assessments(&rotation.id).await.expect("they are there");
            kept.last().is_some_and(|(at, _)| *at >= ended && kept.len() >= 2).then_some(())
        })
        .await;
        until("word of it", || async {
            let db = rusqlite::Connection::open(house.state.join("journal.db")).expect("it opens");
            let told: Vec<String> = db
                .prepare("SELECT notice FROM outbox")
                .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect())
                .unwrap_or_default();
            told.iter().any(|notice| notice.contains("something speaks for its use by others")).then_some(())
        })
        .await;
        daemon.stop().await;
        let page = export(&house, &rotation, "html");
        for part in ["Was it used?", "something speaks for it", "198.51.100.0/24", "first exposed"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains(&password));
        let json: Value = serde_json::from_str(&export(&house, &rotation, "json")).expect("JSON");
        assert_eq!(json["usage"]["assessment"]["strangers"], "flagged", "{}", json["usage"]);
        assert_eq!(json["usage"]["assessment"]["verdict"], "used");
    });
}

async fn journal_end(journal: &handover::journal::SqliteJournal, rotation: &Rotation) -> u64 {
    let rows = handover::journal::Journal::load(journal, &rotation.id).await.expect("it loads");
    rows.last().expect("rows").stamp.wall_ms
}

/// HasMySecretLeaked from its documents: it is sent prefixes only, and answers each with what fits, encrypted with the whole hash.
async fn hasmysecretleaked(leaked: [u8; 32], asked: Arc<Mutex<Vec<String>>>) -> String {
    let answer = move |Json(body): Json<Value>| {
        let prefixes: Vec<String> = serde_json::from_value(body["prefixes"].clone()).expect("prefixes");
        asked.lock().expect("nobody failed").extend(prefixes.iter().cloned());
        let fits = prefixes.iter().any(|prefix| hex::encode(leaked).starts_with(prefix));
        let key = RandomizedNonceKey::new(&AES_256_GCM, &leaked).expect("a key");
        let mut sealed = json!({"c": 3, "l": {"u": "https://git.example.com/app/blob/main/.env"}}).to_string().into_bytes();
        let nonce = key.seal_in_place_append_tag(Aad::empty(), &mut sealed).expect("sealed");
        let payload = STANDARD.encode([nonce.as_ref().as_slice(), &sealed].concat());
        let hint = hex::encode(digest(&SHA256, &leaked));
        let matches = if fits { vec![json!({"hint": hint, "payload": payload})] } else { Vec::new() };
        async move { Json(json!({"matches": matches})) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = axum::Router::new().route("/v1/prefixes", post(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

#[test]
fn a_rotation_asks_whether_the_old_version_is_known_in_public_and_what_is_becomes_a_leak() {
    let house = House::new();
    let (_, password) = login(&house);
    let hash = hmsl(&Secret::new(password.clone())).expect("a hash");
    run(async {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let address = hasmysecretleaked(hash, Arc::clone(&asked)).await;
        section(&house, &format!("alerts:\n  hmsl: {{kind: hasmysecretleaked, address: \"{address}\"}}"));
        let (daemon, journal) = house.daemon().await;
        let begin = |name: &str| handover::daemon::Begin {
            credential: handover_rotation::name::CredentialName::new("newsletter").expect("a name"),
            playbook: name.to_owned(),
            plan: None,
            by: "a test".to_owned(),
            reason: None,
            trigger: None,
            time_scale: 1,
            replaces: None,
        };
        let id = daemon.crew.begin(&begin("drill")).await.expect("it begins");
        let (rotation, ending) = end(&daemon.desk, &journal).await;
        assert_eq!((&rotation.id, ending), (&id, Ending::Done));
        assert!(rotation.old().compromised, "the rotation under way was told");
        let alert = until("the alert", || async {
            let all = journal.alerts(Some(AlertState::Closed), 10).await.expect("they are there");
            all.into_iter().next()
        })
        .await;
        assert_eq!((alert.source.as_str(), alert.rotation.as_ref()), ("hmsl", Some(&id)));
        assert!(alert.report.contains("in 3 places") && !alert.report.contains(&password), "{}", alert.report);
        // Nothing but the first 20 bits has left.
        let sent = asked.lock().expect("nobody failed").clone();
        assert!(!sent.is_empty() && sent.iter().all(|prefix| prefix.len() == 5), "{sent:?}");
        // The new one is not known there, and its rotation is none of a leak; what made it knew its hash.
        let fresh = login(&house).1;
        let id = daemon.crew.begin(&begin("drill")).await.expect("it begins");
        let (rotation, ending) = end(&daemon.desk, &journal).await;
        assert_eq!((&rotation.id, ending), (&id, Ending::Done));
        assert!(!rotation.is_leak());
        let hash = hmsl(&Secret::new(fresh)).map(|hash| hex::encode(hash)[..5].to_owned());
        let sent = asked.lock().expect("nobody failed").clone();
        assert_eq!(sent.last(), hash.as_ref());
        assert_eq!(journal.alerts(None, 10).await.expect("they are there").len(), 1);
        daemon.stop().await;
    });
}
