//! The built daemon, killed again and again while a leak is to be contained; and deliveries that are not to be believed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::json;

use super::{House, run};
use crate::support::secrets::{found, needles};

pub(super) const KEY: &[u8] = b"a-key-of-the-scanner-of-32-bytes";

/// A daemon as a process of its own.
pub(super) struct Process {
    child: Child,
    pub(super) address: SocketAddr,
    socket: std::path::PathBuf,
}

impl Process {
    pub(super) fn start(house: &House, log: &std::path::Path) -> Self {
        Self::start_within(house, log, None)
    }

    /// The same, where no file can become longer than so many bytes: writing more finds no room.
    pub(super) fn start_within(house: &House, log: &std::path::Path, room: Option<u64>) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log");
        let mut command = Command::new(match room {
            Some(_) => "/bin/bash",
            None => env!("CARGO_BIN_EXE_handover"),
        });
        if let Some(room) = room {
            // In blocks of 1,024 bytes. The signal would end it where a full disk only fails.
            let limit = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", room / 1024);
            command.args(["-c", &limit, "bash", env!("CARGO_BIN_EXE_handover")]);
        }
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--inventory"]).arg(house.inventory());
        command.arg("--playbooks").arg(house.world.dir().join("playbooks")).arg("--state").arg(&house.state);
        command.env("HANDOVER_LOG", "trace").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it speaks");
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        let tcp = ready["listen"].as_array().and_then(|all| all.last()?.as_str()).unwrap_or_else(|| panic!("{line}"));
        Self { child, address: tcp.parse().expect("an address"), socket: house.socket() }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    pub(super) fn kill(mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn house(on_leak: &str) -> House {
    let house = House::new();
    let secret = house.world.dir().join("scanner.secret");
    std::fs::write(&secret, format!("whsec_{}", STANDARD.encode(KEY))).expect("it writes");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&secret, mode).expect("a mode");
    let text = std::fs::read_to_string(house.inventory()).expect("it reads");
    let text = text.replace("on_leak: {playbook: leak}", &format!("on_leak: {{playbook: {on_leak}}}"));
    assert!(text.contains(on_leak), "{text}");
    let alerts = format!("\nalerts:\n  scanner: {{kind: standard-webhooks, secret: {{file: {}}}}}\n", secret.display());
    std::fs::write(house.inventory(), text + &alerts).expect("it writes");
    house
}

pub(super) fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A delivery, signed with `key`.
fn delivery(address: SocketAddr, path: &str, id: &str, at: u64, body: &str, key: &[u8]) -> RequestBuilder {
    // Made once: each reads the certificates of the system anew.
    static CLIENT: LazyLock<Client> = LazyLock::new(|| Client::builder().no_proxy().build().expect("a client"));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), format!("{id}.{at}.{body}").as_bytes());
    let request = CLIENT.post(format!("http://{address}{path}"));
    request
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", at.to_string())
        .header("webhook-signature", format!("v1,{}", STANDARD.encode(mac.as_ref())))
        .body(body.to_owned())
}

/// Sends one, and waits for its answer.
pub(super) async fn deliver(
    address: SocketAddr,
    path: &str,
    id: &str,
    at: u64,
    body: &str,
    key: &[u8],
) -> (StatusCode, String) {
    let sent = delivery(address, path, id, at, body, key).timeout(Duration::from_secs(30)).send();
    let answer = sent.await.expect("an answer within half a minute");
    (answer.status(), answer.text().await.expect("text"))
}

pub(super) fn leak(secret: &str) -> String {
    json!({"type": "leak.detected", "timestamp": "2026-03-01T12:00:00Z",
        "data": {"reference": "scan 7, finding 1", "secrets": [secret]}})
    .to_string()
}

/// The login that the services have.
pub(super) fn login(house: &House) -> (String, String) {
    let text = house.env_file("production");
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("it is there");
        line.trim_matches(['\'', '"']).to_owned()
    };
    (value("SMTP_USERNAME="), value("SMTP_PASSWORD="))
}

pub(super) fn is_active(house: &House, username: &str) -> bool {
    house.world.account().active().iter().any(|version| version.username == username)
}

#[test]
fn b16_a_leak_is_contained_within_a_minute_although_the_daemon_is_killed_every_two_seconds() {
    let house = house("emergency");
    let log = house.world.dir().join("daemon.log");
    let (username, password) = login(&house);
    run(async {
        let process = Process::start(&house, &log);
        // Nothing can be done about it at first, and the daemon does not live long enough to see the end of that.
        house.world.fault("provider-down");
        let began = Instant::now();
        let (status, text) = deliver(process.address, "/alerts/scanner", "msg-1", seconds(), &leak(&password), KEY).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{text}");
        // It is durable once it is answered: killed at once, before anyone can have looked at it.
        process.kill();
        let mut kills = 1;
        let mut process = Process::start(&house, &log);
        while is_active(&house, &username) {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "not contained after {:?}, killed {kills} times",
                began.elapsed()
            );
            let until = Instant::now() + Duration::from_secs(2);
            while Instant::now() < until && is_active(&house, &username) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            process.kill();
            kills += 1;
            if kills == 4 {
                house.world.fault("provider-down=off");
            }
            process = Process::start(&house, &log);
        }
        assert!(kills >= 4);
        println!("contained after {:?}, killed {kills} times", began.elapsed());
        // And everything is moved to the new login.
        let end = Instant::now() + Duration::from_secs(60);
        while login(&house).0 == username || house.world.account().active().len() != 1 {
            assert!(Instant::now() < end, "nothing was moved: {}", std::fs::read_to_string(&log).unwrap_or_default());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let written = std::fs::read(&log).expect("the log");
    assert_eq!(found(&written, &needles(&username, &password)), Vec::<String>::new(), "a secret is in the log");
}

/// Takes connections, reads what comes, and never answers: a store, a notifier or a shipper of logs that hangs.
fn hanging() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let kept: Vec<_> = listener.incoming().collect();
        drop(kept);
    });
    port
}

/// The inventory with every store and notifier at a port that never answers.
fn all_hang(house: &House) {
    let port = hanging();
    let token = house.world.dir().join("token");
    std::fs::write(&token, "a-token").expect("it writes");
    let text = std::fs::read_to_string(house.inventory()).expect("it reads");
    let store = format!(
        "hosts: {{kind: vault, address: \"http://127.0.0.1:{port}\", auth: {{token: {{file: {}}}}}}}",
        token.display()
    );
    let mut text = text.replace("hosts: {kind: env-file}", &store);
    assert!(text.contains("kind: vault"), "{text}");
    let paths: Vec<String> =
        text.lines().filter(|line| line.trim_start().starts_with("path: ")).map(str::to_owned).collect();
    assert!(!paths.is_empty(), "{text}");
    for (n, path) in paths.iter().enumerate() {
        text = text.replacen(path.as_str(), &format!("        path: newsletter/{n}"), 1);
    }
    let secret = house.world.dir().join("scanner.secret");
    text += "egress: {allow: [127.0.0.1]}\nnotify:\n";
    for name in ["siem", "chat"] {
        text += &format!(
            "  {name}: {{kind: webhook, url: \"http://127.0.0.1:{port}/{name}\", secret: {{file: {}}}}}\n",
            secret.display()
        );
    }
    std::fs::write(house.inventory(), text).expect("it writes");
}

#[test]
fn b16_a_leak_is_contained_although_every_store_and_notifier_hangs_and_the_daemon_is_killed_every_two_seconds() {
    let house = house("emergency");
    let log = house.world.dir().join("daemon.log");
    let (username, password) = login(&house);
    run(async {
        let daemon_log = log.clone();
        // It has seen what the entries hold while it could.
        let process = Process::start(&house, &log);
        let stocked = || {
            let journal = rusqlite::Connection::open(house.state.join("journal.db")).expect("the journal");
            journal.query_row("SELECT count(*) FROM stock", [], |row| row.get::<_, i64>(0)).is_ok_and(|count| count > 0)
        };
        super::until("the stock", || async { stocked().then_some(()) }).await;
        process.kill();
        all_hang(&house);
        let mut process = Process::start(&house, &log);
        let began = Instant::now();
        let (status, text) = deliver(process.address, "/alerts/scanner", "msg-1", seconds(), &leak(&password), KEY).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{text}");
        process.kill();
        let mut kills = 1;
        process = Process::start(&house, &log);
        while is_active(&house, &username) {
            let log = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "not after {:?}, killed {kills} times: {}",
                began.elapsed(),
                log()
            );
            let until = Instant::now() + Duration::from_secs(2);
            while Instant::now() < until && is_active(&house, &username) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            if is_active(&house, &username) {
                process.kill();
                kills += 1;
                process = Process::start(&house, &daemon_log);
            }
        }
        println!("contained after {:?}, killed {kills} times, every store and notifier hanging", began.elapsed());
        process.kill();
    });
    let written = std::fs::read(&log).expect("the log");
    assert_eq!(found(&written, &needles(&username, &password)), Vec::<String>::new(), "a secret is in the log");
}

#[test]
fn s26_what_is_forged_stale_replayed_or_too_large_changes_nothing_and_leaves_no_trace() {
    let house = house("emergency");
    let log = house.world.dir().join("daemon.log");
    let (username, password) = login(&house);
    run(async {
        let process = Process::start(&house, &log);
        let (to, body, now) = (process.address, leak(&password), seconds());
        let large = leak(&"x".repeat(300 << 10));
        type Case<'a> = (&'a str, &'a str, u64, &'a str, &'a [u8], u16);
        let table: [Case<'_>; 7] = [
            ("forged", "/alerts/scanner", now, &body, b"a-key-of-somebody-else-of-32-byte", 401),
            ("stale", "/alerts/scanner", now - 301, &body, KEY, 401),
            ("of the future", "/alerts/scanner", now + 400, &body, KEY, 401),
            ("to nobody", "/alerts/nobody", now, &body, KEY, 404),
            ("too large", "/alerts/scanner", now, &large, KEY, 413),
            ("no JSON", "/alerts/scanner", now, "{", KEY, 400),
            ("a key twice", "/alerts/scanner", now, r#"{"type": "leak.detected", "type": "leak.closed"}"#, KEY, 400),
        ];
        for (what, path, at, body, key, want) in table {
            let (status, text) = deliver(to, path, what, at, body, key).await;
            assert_eq!(status.as_u16(), want, "{what}: {text}");
            assert!(!text.contains(&password), "{what}: {text}");
        }
        assert!(is_active(&house, &username), "nothing was changed");
        // A thousand forged ones do not hold up the one that is not.
        let flood = tokio::spawn(async move {
            let each = (0..1000).map(|n| delivery(to, "/alerts/scanner", &format!("f{n}"), now, "{}", b"no").send());
            let mut answers = futures::stream::StreamExt::buffer_unordered(futures::stream::iter(each), 50);
            let mut refused = 0;
            while let Some(answer) = futures::stream::StreamExt::next(&mut answers).await {
                // One whose connection was given up in the crowd has no answer.
                if let Ok(answer) = answer {
                    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
                    refused += 1;
                }
            }
            refused
        });
        let began = Instant::now();
        assert_eq!(deliver(to, "/alerts/scanner", "msg-1", seconds(), &body, KEY).await.0, StatusCode::ACCEPTED);
        let (status, text) = deliver(to, "/alerts/scanner", "msg-1", now, &body, KEY).await;
        assert!(status == StatusCode::ACCEPTED, "a repetition is answered as if it were done: {text}");
        while is_active(&house, &username) {
            assert!(began.elapsed() < Duration::from_secs(30), "held up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("contained after {:?} beside a thousand forged deliveries", began.elapsed());
        assert!(flood.await.expect("the flood") > 500);
        process.kill();
    });
    let written = std::fs::read(&log).expect("the log");
    assert_eq!(found(&written, &needles(&username, &password)), Vec::<String>::new(), "a secret is in the log");
}
