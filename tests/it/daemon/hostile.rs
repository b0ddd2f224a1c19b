//! Every source of alerts × everything that a hostile sender may try, at the endpoint of the built daemon: the right status, nothing
//! changed, and nothing of what was sent in an answer or in the log.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use serde_json::json;

use super::killed::{Process, is_active, login, seconds};
use super::{House, run};
use crate::support::secrets::{found, needles};

/// Stands in every body: where it turns up, something of a delivery was shown.
const PLANTED: &str = "planted-8f1c2b7d-in-every-body";
const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:leaks";
const OURS: &[u8] = b"a-secret-that-both-of-us-have-32";
const THEIRS: &[u8] = b"a-secret-of-somebody-else-who-is";

type Headers = Vec<(&'static str, String)>;

/// A source, and how it signs.
#[derive(Clone, Copy)]
struct Source {
    name: &'static str,
    /// Whether it signs a time.
    timed: bool,
    sign: fn(&[u8], u64, &[u8]) -> Headers,
    /// What it says about a leaked secret, of the version with this id.
    body: fn(&str, &str) -> String,
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

fn text(key: &[u8]) -> String {
    String::from_utf8(key.to_vec()).expect("text")
}

fn gitguardian(body: &[u8], at: u64, key: &[u8]) -> Headers {
    let signature = hex::encode(mac(format!("{at}{}", text(key)).as_bytes(), body));
    vec![("timestamp", at.to_string()), ("gitguardian-signature", format!("sha256={signature}"))]
}

fn github(body: &[u8], _: u64, key: &[u8]) -> Headers {
    vec![
        ("x-hub-signature-256", format!("sha256={}", hex::encode(mac(key, body)))),
        ("x-github-event", "secret_scanning_alert".to_owned()),
    ]
}

fn pagerduty(body: &[u8], _: u64, key: &[u8]) -> Headers {
    vec![("x-pagerduty-signature", format!("v1={}", hex::encode(mac(key, body))))]
}

fn standard(body: &[u8], at: u64, key: &[u8]) -> Headers {
    let signature = STANDARD.encode(mac(key, &[format!("msg-1.{at}.").as_bytes(), body].concat()));
    vec![
        ("webhook-id", "msg-1".to_owned()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", format!("v1,{signature}")),
    ]
}

fn gitlab_token(_: &[u8], _: u64, key: &[u8]) -> Headers {
    vec![("x-gitlab-token", text(key))]
}

fn bearer(_: &[u8], _: u64, key: &[u8]) -> Headers {
    vec![("authorization", format!("Bearer {}", text(key)))]
}

/// SNS signs fields with a key of its own: here nothing is ever signed.
fn sns(_: &[u8], _: u64, _: &[u8]) -> Headers {
    vec![("x-amz-sns-message-type", "Notification".to_owned())]
}

fn vulnerability(secret: &str, _: &str) -> String {
    json!({"object_kind": "vulnerability", "object_attributes": {"url": "https://gitlab.com/a/b/-/security/vulnerabilities/1",
        "title": PLANTED, "state": "detected", "project_id": 50, "report_type": "secret_detection", "raw_source_code_extract": secret}})
    .to_string()
}

fn message(topic: &str, at: &str, version: &str, secret: &str) -> String {
    json!({"Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": topic, "Subject": PLANTED,
        "Message": format!("{version} {secret}"), "Timestamp": at, "SignatureVersion": "2",
        "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem"})
    .to_string()
}

fn rfc3339(at: u64) -> String {
    chrono::DateTime::from_timestamp(at as i64, 0).expect("a time").to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

const SOURCES: [Source; 8] = [
    Source {
        name: "gitguardian",
        timed: true,
        sign: gitguardian,
        body: |secret, _| {
            let hash = handover::marks::hmsl(&handover::secret::Secret::new(secret.to_owned())).map(hex::encode);
            json!({"action": "incident_triggered", "message": PLANTED, "incident": {"id": 7, "hmsl_hash": hash, "status": "triggered",
                "date": "2026-03-01T12:00:00Z"}})
            .to_string()
        },
    },
    Source {
        name: "github",
        timed: false,
        sign: github,
        body: |secret, _| {
            json!({"action": "created", "alert": {"number": 7, "secret_type": PLANTED, "secret": secret, "state": "open"},
                "repository": {"full_name": "acme/shop"}})
            .to_string()
        },
    },
    Source { name: "gitlab", timed: true, sign: standard, body: vulnerability },
    Source { name: "gitlab-by-token", timed: false, sign: gitlab_token, body: vulnerability },
    Source {
        name: "aws",
        timed: true,
        sign: sns,
        body: |secret, version| message(TOPIC, &rfc3339(seconds()), version, secret),
    },
    Source {
        name: "pagerduty",
        timed: false,
        sign: pagerduty,
        body: |secret, version| {
            json!({"event": {"event_type": "incident.triggered", "data": {"id": "Q1", "title": format!("{PLANTED} {secret}"),
                "incident_key": format!("handover key-id:{version}")}}})
            .to_string()
        },
    },
    Source {
        name: "alertmanager",
        timed: false,
        sign: bearer,
        body: |secret, version| {
            json!({"version": "4", "alerts": [{"status": "firing", "fingerprint": "f1", "labels": {"alertname": "Leak",
                "handover_marks": format!("key-id:{version}"), "other": format!("{PLANTED} {secret}")}}]})
            .to_string()
        },
    },
    Source {
        name: "scanner",
        timed: true,
        sign: standard,
        body: |secret, _| json!({"type": "leak.detected", "data": {"reference": PLANTED, "secrets": [secret]}}).to_string(),
    },
];

fn house() -> House {
    let house = House::new();
    let dir = house.world.dir().to_owned();
    let whsec = format!("whsec_{}", STANDARD.encode(OURS));
    for (name, secret) in [("plain", text(OURS)), ("whsec", whsec)] {
        std::fs::write(dir.join(name), secret).expect("it writes");
    }
    let file = |name: &str| format!("{{file: {}}}", dir.join(name).display());
    let (plain, whsec) = (file("plain"), file("whsec"));
    let alerts = format!(
        "\nalerts:\n  gitguardian: {{kind: gitguardian, secret: {plain}}}\n  github: {{kind: github, secret: {plain}}}\n  \
         gitlab: {{kind: gitlab, signing_token: {whsec}}}\n  gitlab-by-token: {{kind: gitlab, token: {plain}}}\n  \
         aws: {{kind: aws-sns, topic: \"{TOPIC}\"}}\n  pagerduty: {{kind: pagerduty, secret: {plain}}}\n  \
         alertmanager: {{kind: alertmanager, token: {plain}}}\n  scanner: {{kind: standard-webhooks, secret: {whsec}}}\n  \
         hmsl: {{kind: hasmysecretleaked}}\n"
    );
    let text = std::fs::read_to_string(house.inventory()).expect("it reads");
    std::fs::write(house.inventory(), text + &alerts).expect("it writes");
    house
}

/// Everything that a delivery could change: tables of the journal, the provider's books, and the entries.
fn standing(house: &House) -> BTreeMap<String, String> {
    let journal = rusqlite::Connection::open(house.state.join("journal.db")).expect("the journal");
    let mut all = BTreeMap::new();
    for table in ["events", "rotations", "alerts", "known", "outbox", "ticks", "tokens"] {
        let count: i64 =
            journal.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("a number");
        all.insert(table.to_owned(), count.to_string());
    }
    all.insert("provider".to_owned(), format!("{:?}", house.world.passwords().keys()));
    all.insert("active".to_owned(), format!("{:?}", house.world.account().active()));
    for environment in ["staging", "production"] {
        all.insert(environment.to_owned(), house.env_file(environment));
    }
    all
}

struct Sender<'a> {
    to: SocketAddr,
    client: Client,
    password: &'a str,
}

impl Sender<'_> {
    /// Sends, and holds that the answer has this status and nothing of what was sent.
    async fn send(&self, what: &str, source: &str, kind: &str, headers: Headers, body: Vec<u8>, want: u16) -> String {
        let mut request = self.client.post(format!("http://{}/alerts/{source}", self.to)).header("content-type", kind);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.body(body).send().await.unwrap_or_else(|e| panic!("{source}, {what}: {e}"));
        let (status, text) = (answer.status().as_u16(), answer.text().await.expect("text"));
        assert_eq!(status, want, "{source}, {what}: {text}");
        assert!(!text.contains(PLANTED) && !text.contains(&self.password[..12]), "{source}, {what}: {text}");
        text
    }
}

fn utf16(text: &str) -> Vec<u8> {
    [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn s26_every_source_refuses_what_is_not_its_own_and_nothing_is_changed_or_shown() {
    const JSON: &str = "application/json";
    let house = house();
    let log = house.world.dir().join("daemon.log");
    let (username, password) = login(&house);
    let version = house.world.account().active()[0].id.clone();
    let asked = run(async {
        let process = Process::start(&house, &log);
        let client = Client::builder().no_proxy().build().expect("a client");
        let sender = Sender { to: process.address, client, password: &password };
        let ready = until_known(&house).await;
        let mut before = standing(&house);
        let mut asked = 0;
        for source in SOURCES {
            let Source { name, timed, sign, body } = source;
            let (good, now) = (body(&password, &version), seconds());
            let with = |begin: &str| good.replacen('{', begin, 1);
            let raw = |bytes: &[u8]| [b"{\"x\": \"", bytes, b"\", ", &good.as_bytes()[1..]].concat();
            let deep = format!("{{\"deep\": {}{}, ", "[".repeat(40), "]".repeat(40));
            let double = "{\"twice\": 1, \"twice\": 2, ";
            let large = with(&format!("{{\"x\": \"{}\", ", "x".repeat(300 << 10)));
            let forged = sign(good.as_bytes(), now, THEIRS);
            let mut cases: Vec<(&str, &str, Headers, Vec<u8>, u16)> = vec![
                ("forged", JSON, forged, good.clone().into(), 401),
                ("unsigned", JSON, Vec::new(), good.clone().into(), 401),
                ("oversized", JSON, sign(large.as_bytes(), now, OURS), large.clone().into(), 413),
                ("UTF-16", JSON, sign(&utf16(&good), now, OURS), utf16(&good), 400),
                ("not UTF-8", JSON, sign(&raw(b"\xff\xfe"), now, OURS), raw(b"\xff\xfe"), 400),
                ("a key twice", JSON, sign(with(double).as_bytes(), now, OURS), with(double).into(), 400),
                ("deep", JSON, sign(with(&deep).as_bytes(), now, OURS), with(&deep).into(), 400),
                ("another type", "text/html", sign(good.as_bytes(), now, OURS), good.clone().into(), 415),
                ("a form", "application/x-www-form-urlencoded", sign(good.as_bytes(), now, OURS), good.clone().into(), 415),
            ];
            let mut packed = sign(good.as_bytes(), now, OURS);
            packed.push(("content-encoding", "gzip".to_owned()));
            cases.push(("gzip", JSON, packed, good.clone().into(), 415));
            if timed && name != "aws" {
                for (what, at) in [("stale", now - 301), ("of the future", now + 400)] {
                    cases.push((what, JSON, sign(good.as_bytes(), at, OURS), good.clone().into(), 401));
                }
            }
            if name == "aws" {
                let other = "arn:aws:sns:eu-central-1:999999999999:leaks";
                let of = |topic: &str, at: u64| message(topic, &rfc3339(at), &version, &password).into_bytes();
                cases.push(("of another topic", JSON, Vec::new(), of(other, now), 403));
                cases.push(("stale", JSON, Vec::new(), of(TOPIC, now - 301), 401));
                cases.push(("of the future", JSON, Vec::new(), of(TOPIC, now + 400), 401));
                let first = good.replace("\"SignatureVersion\":\"2\"", "\"SignatureVersion\":\"1\"");
                assert_ne!(first, good);
                cases.push(("with SHA-1", JSON, Vec::new(), first.into(), 403));
            }
            // As every other source signs, with the secret that it has in common with us.
            for other in SOURCES.iter().filter(|other| other.name != name && other.name != "aws") {
                if !std::ptr::fn_addr_eq(other.sign, sign) {
                    cases.push((
                        "as another source signs",
                        JSON,
                        (other.sign)(good.as_bytes(), now, OURS),
                        good.clone().into(),
                        401,
                    ));
                }
            }
            for (what, kind, headers, bytes, want) in cases {
                sender.send(what, name, kind, headers, bytes, want).await;
                asked += 1;
            }
            assert_eq!(standing(&house), before, "{name} has changed something");
            // What is its own is taken once, however often it comes: about a secret that is nobody's, which changes nothing but that.
            if name != "aws" {
                let nobodys = body("hov_nobody-has-this-secret-0123456789abcdef", "nobodys-version");
                for want in [r#"{"new":1}"#, r#"{"new":0}"#] {
                    let headers = sign(nobodys.as_bytes(), now, OURS);
                    let text = sender.send("its own", name, JSON, headers, nobodys.clone().into(), 202).await;
                    assert_eq!(text, want, "{name}");
                    asked += 1;
                }
                let alerts = before["alerts"].parse::<u32>().expect("a number") + 1;
                before.insert("alerts".to_owned(), alerts.to_string());
                assert_eq!(standing(&house), before, "{name} has changed more than its alert");
            }
        }
        for path in ["hmsl", "nobody", "..%2Fscanner", "%00", "scanner%20"] {
            let good = (SOURCES[7].body)(&password, &version);
            sender.send("to no source", path, JSON, standard(good.as_bytes(), seconds(), OURS), good.into(), 404).await;
            asked += 1;
        }
        assert_eq!(standing(&house), before);
        assert!(ready && is_active(&house, &username), "nothing was contained");
        asked
    });
    println!("{asked} deliveries");
    leaks_nothing(&log, &username, &password);
}

/// Until the daemon knows what the entries hold: from then on each of these bodies would begin a containment if it were believed.
async fn until_known(house: &House) -> bool {
    let known = || {
        let journal = rusqlite::Connection::open(house.state.join("journal.db")).expect("the journal");
        journal.query_row("SELECT count(*) FROM stock", [], |row| row.get::<_, i64>(0)).is_ok_and(|count| count > 0)
    };
    super::until("the stock", || async { known().then_some(true) }).await
}

fn leaks_nothing(log: &Path, username: &str, password: &str) {
    let written = std::fs::read(log).expect("the log");
    assert!(String::from_utf8_lossy(&written).contains("a delivery is refused"), "the log tells that something was refused");
    assert!(!String::from_utf8_lossy(&written).contains(PLANTED), "something of a delivery is in the log");
    assert_eq!(found(&written, &needles(username, password)), Vec::<String>::new(), "a secret is in the log");
}
