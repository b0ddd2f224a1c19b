//! Each kind against a receiver on this machine, by an inventory as a person writes it: what it sends, what each end of the call
//! means, and what it never lets out.

use std::path::Path;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use handover_rotation::outcome::{FaultClass, Outcome};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Notice, NoticeKind, Notifiers, Severity};
use crate::config::load_inventory;
use crate::registry::Registry;
use crate::sandbox::{Sandbox, SandboxOptions};

/// What a receiver does with a call after it has read it.
#[derive(Clone)]
enum Play {
    Answer(&'static str),
    Close,
    Silence,
}

/// A receiver, and what it was sent.
struct Receiver {
    port: u16,
    play: Arc<Mutex<Play>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    async fn new(play: Play, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let play = Arc::new(Mutex::new(play));
        let (log, plays) = (Arc::clone(&heard), Arc::clone(&play));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (play, log, tls) = (plays.lock().unwrap().clone(), Arc::clone(&log), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, play, &log).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, play, &log).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, play, heard }
    }

    async fn answering(status: &'static str) -> Self {
        Self::new(Play::Answer(status), None).await
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// The body of the only call.
    fn body(&self) -> Value {
        let heard = self.heard();
        assert_eq!(heard.len(), 1, "{heard:?}");
        serde_json::from_str(heard[0].split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, play: Play, log: &Mutex<Vec<String>>) {
    let mut text = String::new();
    let mut block = [0; 4096];
    loop {
        let length = |head: &str| {
            let value =
                head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
            value.map_or(0, |v| v.parse().unwrap())
        };
        if text.split_once("\r\n\r\n").is_some_and(|(head, body)| body.len() >= length(head)) {
            break;
        }
        match stream.read(&mut block).await {
            Ok(n @ 1..) => text.push_str(&String::from_utf8_lossy(&block[..n])),
            _ => return,
        }
    }
    log.lock().unwrap().push(text);
    match play {
        Play::Answer(status) => {
            // The body repeats what was sent, as some receivers do.
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: 14\r\nretry-after: 30\r\nconnection: close\r\n\r\nhush-hush-hush"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Play::Close => {}
        Play::Silence => std::future::pending().await,
    }
}

const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";
const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The notifiers of a section, in a folder with the secrets that it names.
fn notifiers(dir: &Path, port: u16, notify: &str, more: &str) -> Notifiers {
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    write("slack", &format!("http://127.0.0.1:{port}/services/T0/B0/hunter2\n"));
    write("routing", ROUTING_KEY);
    write("signing", SIGNING);
    write("inventory.yaml", &format!("version: 1\nnotify:\n{}{more}", notify.replace("PORT", &port.to_string())));
    let inventory = load_inventory(&dir.join("inventory.yaml"), &Registry).unwrap_or_else(|p| panic!("{p}"));
    assert!(inventory.warnings.is_empty(), "{}", inventory.warnings);
    Registry.notifiers(&inventory)
}

const HTTP_KINDS: &str = "  slack: {kind: slack, url: {file: slack}, timeout: 1s}
  hook: {kind: webhook, url: \"http://127.0.0.1:PORT/hook\", secret: {file: signing}, timeout: 1s}
  pager: {kind: pagerduty, url: \"http://127.0.0.1:PORT/v2/enqueue\", routing_key: {file: routing}, timeout: 1s}
";
const ALLOW: &str = "egress: {allow: [127.0.0.1]}\n";

fn notice() -> Notice {
    let mut notice = Notice::new(
        NoticeKind::Stuck,
        Severity::Critical,
        "01JDAA",
        "17",
        "the rotation of newsletter is stuck & <needs> a person",
        1_764_194_400_000,
    )
    .say("Failed to reload web: it answered <!channel> *500* to @here (HO0725).")
    .command("handover status 01JDAA");
    notice.credential = Some("newsletter".to_owned());
    notice.rotation = Some("01JDAA".to_owned());
    notice.services = vec!["web".to_owned()];
    notice.owners = vec!["web@example.com".to_owned()];
    notice
}

#[tokio::test]
async fn slack_gets_a_text_that_calls_and_fetches_nobody() {
    let receiver = Receiver::answering("200 OK").await;
    let dir = tempfile::tempdir().unwrap();
    let all = notifiers(dir.path(), receiver.port, HTTP_KINDS, ALLOW);
    assert_eq!(all.tell("slack", &notice()).await, Outcome::Done(()));
    assert!(receiver.heard()[0].starts_with("POST /services/T0/B0/hunter2 HTTP/1.1\r\n"));
    let body = receiver.body();
    let text = body["text"].as_str().unwrap();
    assert_eq!(
        text,
        ":rotating_light: *the rotation of newsletter is stuck &amp; &lt;needs&gt; a person*\n\
         Failed to reload web: it answered &lt;!channel&gt; *500* to @\u{200b}here (HO0725).\n\
         Next: `handover status 01JDAA`\n_2025-11-26T22:00:00Z · rotation 01JDAA_"
    );
    assert_eq!((&body["unfurl_links"], &body["unfurl_media"]), (&Value::Bool(false), &Value::Bool(false)));
    let long = (0..60).fold(notice(), |n, _| n.say(&"<&>".repeat(300)));
    let text = super::slack::body(&long)["text"].as_str().unwrap().to_owned();
    assert!(text.chars().count() < 4_000 && text.contains("\n…\n") && !text.contains("&l\n"), "{text}");
}

#[tokio::test]
async fn a_webhook_is_signed_over_what_was_sent_and_known_by_the_notices_id() {
    let receiver = Receiver::answering("204 No Content").await;
    let dir = tempfile::tempdir().unwrap();
    let all = notifiers(dir.path(), receiver.port, HTTP_KINDS, ALLOW);
    assert_eq!(all.tell("hook", &notice()).await, Outcome::Done(()));
    let heard = receiver.heard().remove(0);
    let (head, sent) = heard.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| {
        let line = head.lines().find_map(|l| l.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("{name} of {head}")).to_owned()
    };
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    assert_eq!(id, "01JDAA:17");
    let age = chrono::Utc::now().timestamp() - timestamp.parse::<i64>().unwrap();
    assert!((0..60).contains(&age), "{age}");
    // Checked as a receiver does, by the bytes as they came.
    let key = BASE64.decode(SIGNING.trim_start_matches("whsec_")).unwrap();
    let signature = BASE64.decode(header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    hmac::verify(&key, format!("{id}.{timestamp}.{sent}").as_bytes(), &signature).unwrap();
    let body = receiver.body();
    assert_eq!((&body["type"], &body["timestamp"]), (&"handover.stuck".into(), &"2025-11-26T22:00:00Z".into()));
    assert_eq!(body["data"]["command"], "handover status 01JDAA");
    assert_eq!(body["data"]["services"], serde_json::json!(["web"]));
}

#[tokio::test]
async fn pagerduty_opens_one_incident_a_rotation_and_closes_it() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::answering("202 Accepted").await;
    let all = notifiers(dir.path(), receiver.port, HTTP_KINDS, ALLOW);
    assert_eq!(all.tell("pager", &notice()).await, Outcome::Done(()));
    let body = receiver.body();
    assert_eq!((&body["event_action"], &body["dedup_key"]), (&"trigger".into(), &"01JDAA".into()));
    assert_eq!((&body["routing_key"], &body["payload"]["severity"]), (&ROUTING_KEY.into(), &"critical".into()));
    assert_eq!(body["payload"]["custom_details"]["next"], "handover status 01JDAA");

    let receiver = Receiver::answering("202 Accepted").await;
    let all = notifiers(dir.path(), receiver.port, HTTP_KINDS, ALLOW);
    let end = Notice::new(NoticeKind::End, Severity::Info, "01JDAA", "40", "newsletter was rotated", 0).last();
    assert_eq!(all.targets(&end), ["hook", "pager", "slack"], "who keeps incidents hears of their end");
    assert_eq!(all.tell("pager", &end).await, Outcome::Done(()));
    assert_eq!(
        receiver.body(),
        serde_json::json!({ "event_action": "resolve", "dedup_key": "01JDAA", "routing_key": ROUTING_KEY })
    );
}

/// How a call ended, in words.
fn shown(outcome: &Outcome<()>) -> String {
    match outcome {
        Outcome::Done(()) => "done".to_owned(),
        Outcome::NotDone(fault) => format!("not done, {} {:?}", fault.code, fault.class),
        Outcome::Unknown(fault) => format!("unknown, {} {:?}", fault.code, fault.class),
    }
}

#[tokio::test]
async fn each_end_of_a_call_means_the_same_for_every_kind_and_shows_nothing() {
    let table = [
        (Play::Answer("200 OK"), "done"),
        (Play::Answer("302 Found"), "not done, HO1214 Permanent"),
        (Play::Answer("400 Bad Request"), "not done, HO1214 Permanent"),
        (Play::Answer("403 Forbidden"), "not done, HO1212 Permanent"),
        (Play::Answer("404 Not Found"), "not done, HO1214 Permanent"),
        (Play::Answer("410 Gone"), "not done, HO1214 Permanent"),
        (Play::Answer("429 Too Many Requests"), "unknown, HO1213 Temporary"),
        (Play::Answer("500 Internal Server Error"), "unknown, HO1213 Temporary"),
        (Play::Answer("503 Service Unavailable"), "unknown, HO1213 Temporary"),
        (Play::Close, "unknown, HO1211 Temporary"),
        (Play::Silence, "unknown, HO1211 Temporary"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::new(Play::Close, None).await;
    let all = notifiers(dir.path(), receiver.port, HTTP_KINDS, ALLOW);
    let said = notice();
    for (play, want) in table {
        *receiver.play.lock().unwrap() = play;
        receiver.heard.lock().unwrap().clear();
        let (slack, hook, pager) = tokio::join!(all.tell("slack", &said), all.tell("hook", &said), all.tell("pager", &said));
        for outcome in [slack, hook, pager] {
            assert_eq!(shown(&outcome), want);
            let told = format!("{outcome:?}");
            for secret in ["hunter2", "hush", ROUTING_KEY, SIGNING, "services/T0"] {
                assert!(!told.contains(secret), "{told}");
            }
        }
        assert_eq!(receiver.heard().len(), 3, "one call each");
    }
    // Nobody is there.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let all = notifiers(dir.path(), closed, HTTP_KINDS, ALLOW);
    for name in ["slack", "hook", "pager"] {
        assert_eq!(shown(&all.tell(name, &notice()).await), "not done, HO1210 Temporary");
    }
}

#[tokio::test]
async fn what_the_inventory_does_not_allow_is_not_called() {
    let receiver = Receiver::answering("200 OK").await;
    let dir = tempfile::tempdir().unwrap();
    let all = notifiers(dir.path(), receiver.port, HTTP_KINDS, "");
    for name in ["slack", "hook", "pager"] {
        let outcome = all.tell(name, &notice()).await;
        assert_eq!(shown(&outcome), "not done, HO1201 Permanent");
        assert!(outcome.fault().unwrap().hint.as_ref().unwrap().contains("egress: {allow: [\"127.0.0.1\"]}"));
    }
    for secret in ["no address", "https://user:hunter2@example.com/", "http://example.com/hunter2"] {
        std::fs::write(dir.path().join("slack"), secret).unwrap();
        let told = format!("{:?}", all.tell("slack", &notice()).await);
        assert!(told.contains("HO1220") || told.contains("HO1202"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    std::fs::remove_file(dir.path().join("slack")).unwrap();
    assert_eq!(shown(&all.tell("slack", &notice()).await), "not done, HO0446 Permanent");
    assert_eq!(shown(&all.tell("nobody", &notice()).await), "not done, HO1224 Permanent");
    assert_eq!(all.request_timeout("slack").0, 2_000);
    assert_eq!(receiver.heard().len(), 0);
}

#[tokio::test]
async fn over_tls_only_the_named_authority_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let mut made = (0..2).map(|n| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.path().join(format!("ca{n}.pem")), issuer.pem()).unwrap();
        issuer
    });
    let issuer = made.next().unwrap();
    let _other = made.next();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    let receiver = Receiver::new(Play::Answer("200 OK"), Some(TlsAcceptor::from(Arc::new(config)))).await;
    let hook = "  good: {kind: webhook, url: \"https://127.0.0.1:PORT/x\", secret: {file: signing}, ca_file: ca0.pem}
  bad: {kind: webhook, url: \"https://127.0.0.1:PORT/x\", secret: {file: signing}, ca_file: ca1.pem}
  missing: {kind: webhook, url: \"https://127.0.0.1:PORT/x\", secret: {file: signing}, ca_file: ca2.pem}\n";
    let all = notifiers(dir.path(), receiver.port, hook, ALLOW);
    assert_eq!(shown(&all.tell("good", &notice()).await), "done");
    assert_eq!(shown(&all.tell("bad", &notice()).await), "not done, HO1210 Environment");
    assert_eq!(
        shown(&all.tell("missing", &notice()).await),
        "not done, HO1214 Permanent",
        "and the others tell all the same"
    );
    assert_eq!(receiver.heard().len(), 1);
}

/// The sandbox as somebody's mail server, with an inventory that mails through it.
async fn mail_world(dir: &Path) -> (crate::sandbox::RunningSandbox, Notifiers) {
    let sandbox = Sandbox::start(SandboxOptions::new(dir.join("sandbox"))).await.unwrap();
    let login = std::fs::read_to_string(sandbox.layout().env_file("newsletter", "staging")).unwrap();
    let value = |name: &str| {
        let line = login.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('=')).unwrap();
        line.trim_matches(['"', '\'']).to_owned()
    };
    std::fs::write(dir.join("password"), value("SMTP_PASSWORD")).unwrap();
    std::fs::copy(sandbox.layout().ca_file(), dir.join("ca.pem")).unwrap();
    let section = format!(
        "  mail:
    kind: email
    smtp: {{host: 127.0.0.1, port: {}, tls: starttls, ca_file: ca.pem}}
    username: {}
    password: {{file: password}}
    from: handover@example.com
    to: [oncall@example.com]
    to_owners: true
",
        sandbox.ports().starttls,
        value("SMTP_USERNAME"),
    );
    let all = notifiers(dir, 1, &section, "egress: {allow: [127.0.0.1]}\n");
    (sandbox, all)
}

#[tokio::test]
async fn mail_goes_to_those_who_are_named_and_to_the_owners_of_what_is_concerned() {
    let dir = tempfile::tempdir().unwrap();
    let (sandbox, all) = mail_world(dir.path()).await;
    let mut said = notice();
    said.owners = vec!["web@example.com".to_owned(), "oncall@example.com".to_owned(), "growth-team".to_owned()];
    let targets = all.targets(&said);
    assert_eq!(targets, ["mail/oncall@example.com", "mail/web@example.com"], "each once, and only addresses");
    for target in &targets {
        assert_eq!(all.tell(target, &said).await, Outcome::Done(()));
    }
    let folder = sandbox.layout().mail().join("new");
    let mut mails: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap()).collect();
    mails.sort();
    assert_eq!(mails.len(), 2);
    assert!(mails.iter().any(|m| m.contains("To: web@example.com\r\n")), "{mails:?}");
    for mail in &mails {
        assert!(mail.contains("Auto-Submitted: auto-generated") && mail.contains("Next: handover status 01JDAA"), "{mail}");
    }

    // Not through the login that it tells of, whatever its server is called.
    let login = std::fs::read_to_string(sandbox.layout().env_file("newsletter", "staging")).unwrap();
    let username = login.lines().find_map(|l| l.strip_prefix("SMTP_USERNAME=")).unwrap().trim_matches(['"', '\'']);
    said.logins = vec!["other".to_owned(), username.to_uppercase()];
    let outcome = all.tell("mail/web@example.com", &said).await;
    assert_eq!(shown(&outcome), "not done, HO1222 Permanent");
    assert_eq!(shown(&all.tell("mail", &notice()).await), "not done, HO1223 Permanent");
    assert_eq!(std::fs::read_dir(sandbox.layout().mail().join("new")).unwrap().count(), 2);

    // A wrong password is a word about the login, and nothing of it is shown.
    std::fs::write(dir.path().join("password"), "hunter2hunter2").unwrap();
    let outcome = all.tell("mail/web@example.com", &notice()).await;
    assert_eq!(outcome.fault().map(|f| f.class), Some(FaultClass::Credential), "{outcome:?}");
    assert!(!format!("{outcome:?}").contains("hunter2"));
}

#[tokio::test]
async fn mail_goes_nowhere_that_the_inventory_does_not_allow() {
    let dir = tempfile::tempdir().unwrap();
    let (sandbox, _) = mail_world(dir.path()).await;
    let text = std::fs::read_to_string(dir.path().join("inventory.yaml")).unwrap().replace(ALLOW, "");
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1"] {
        let text = text.replace("host: 127.0.0.1", &format!("host: \"{host}\""));
        std::fs::write(dir.path().join("inventory.yaml"), text).unwrap();
        let inventory = load_inventory(&dir.path().join("inventory.yaml"), &Registry).unwrap_or_else(|p| panic!("{p}"));
        let outcome = Registry.notifiers(&inventory).tell("mail/oncall@example.com", &notice()).await;
        assert_eq!(shown(&outcome), "not done, HO1201 Permanent", "{host}");
    }
    assert_eq!(std::fs::read_dir(sandbox.layout().mail().join("new")).unwrap().count(), 0);
}

#[test]
fn who_is_told_of_what() {
    let dir = tempfile::tempdir().unwrap();
    let section = "  all: {kind: slack, url: {file: slack}}
  few: {kind: slack, url: {file: slack}, on: [stuck, page]}
  pager: {kind: pagerduty, routing_key: {file: routing}}
  web: {kind: slack, url: {file: slack}, owners: [web@example.com]}
  news: {kind: slack, url: {file: slack}, credentials: [newsletter]}
";
    let more = "providers: {p: {kind: manual}}
stores: {s: {kind: env-file}}
credentials:
  newsletter:
    provider: p
    account: newsletter
    smtp: {host: smtp.example.com, port: 587, tls: starttls}
    probe: {from: a@example.com, to: b@example.com, arrival: none}
    entries: {e: {store: s, path: e.env, fields: {username: U, password: P}, environment: production}}
services:
  web:
    credential: newsletter
    entry: e
    environment: production
    owner: web@example.com
    reload: {command: [\"true\"]}
    attest: {command: [\"true\"]}
";
    let all = notifiers(dir.path(), 1, section, more);
    let told = |kind, credential: Option<&str>, owner: Option<&str>, ends| {
        let mut notice = Notice::new(kind, Severity::Info, "i", "1", "t", 0);
        notice.credential = credential.map(str::to_owned);
        notice.owners = owner.map(str::to_owned).into_iter().collect();
        notice.ends = ends;
        all.targets(&notice).join(" ")
    };
    use NoticeKind::{Before, Containment, End, Page, Stuck};
    for (kind, credential, owner, ends, want) in [
        (Before, Some("newsletter"), Some("web@example.com"), false, "all news web"),
        (Before, Some("other"), Some("else@example.com"), false, "all"),
        (Stuck, Some("newsletter"), None, false, "all few news pager"),
        (Containment, Some("newsletter"), Some("web@example.com"), false, "all news pager web"),
        (End, Some("newsletter"), None, false, "all news"),
        (End, Some("newsletter"), None, true, "all news pager"),
        (Page, None, None, false, "all few pager"),
    ] {
        assert_eq!(told(kind, credential, owner, ends), want, "{kind:?} {credential:?} {owner:?}");
    }
}

#[test]
fn a_notice_is_read_back_as_it_was_kept_and_one_of_a_newer_form_is_not() {
    let said = notice();
    assert_eq!(Notice::from_json(&said.to_json()), Ok(said.clone()));
    let newer = said.to_json().replace("\"format\":1", "\"format\":2");
    assert_eq!(Notice::from_json(&newer), Err("it has form 2, and this release knows 1".to_owned()));
    for text in ["", "{}", "{\"format\":1}", "{\"format\":1,\"notice\":{}}", "[[[["] {
        assert!(Notice::from_json(text).is_err(), "{text}");
    }
    // What was put into its fields past the doors is cleaned when it is read back.
    let mut raw = said;
    raw.title = format!("a\r\nb\u{202e}{}", "x".repeat(500));
    raw.lines = vec!["l\n".repeat(400); 90];
    let read = Notice::from_json(&raw.to_json()).unwrap();
    assert!(read.title.chars().count() == 200 && read.lines.len() == 40 && read.to_json().len() < 64 << 10);
    assert!(!read.title.contains(['\r', '\n', '\u{202e}']) && !read.lines[0].contains('\n'));
}
