//! The built daemon on real servers, from a time of its schedule to a closed incident: a login of Dovecot, kept in OpenBao, is rotated
//! by itself; GitGuardian says that the new one has leaked; it is shut out and replaced, and only then the incident is resolved.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use reqwest::Client;
use serde_json::{Value, json};

use super::ends;
use super::lab_mail_lab_bao::{FIRST, furnish, in_vault, vault};
use crate::support::exit::DONE;
use crate::support::lab::bao::Bao;
use crate::support::lab::desk::{CREDENTIAL, Desk};
use crate::support::lab::mail::{Mail, Users, hash};
use crate::support::lab::vendors::Served;
use crate::support::lab::vendors::gitguardian::{API_KEY, GitGuardian, Incident};
use crate::support::login;
use crate::support::secrets::{found, needles};
use crate::support::serve::Serve;

const SIGNING: &str = "signature-token-of-the-webhook";
const INCIDENT: u64 = 3_827_964;

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

/// The hash by which HasMySecretLeaked and GitGuardian know a secret, made by Python.
fn hmsl(secret: &str) -> String {
    use std::io::Write as _;
    let code = "import hashlib, sys\nsalt = hashlib.sha256(b'GitGuardian').digest()\n\
                print(hashlib.scrypt(sys.stdin.read().encode(), salt=salt, n=2048, r=8, p=1, dklen=32).hex())";
    let mut child = Command::new("python3")
        .args(["-c", code])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    child.stdin.take().expect("piped").write_all(secret.as_bytes()).expect("it reads");
    let out = child.wait_with_output().expect("it ends");
    String::from_utf8(out.stdout).expect("text").trim().to_owned()
}

/// The schedule of the next minute that is far enough away for the daemon to have started.
fn soon() -> String {
    let minute = (now_ms() + 6_000) / 60_000 + 1;
    let at: DateTime<Utc> = DateTime::from_timestamp_millis((minute * 60_000) as i64).expect("a time");
    at.format("%-M %-H * * *").to_string()
}

fn add(desk: &Desk, api: &str) {
    let dir = desk.dir();
    for (name, secret) in [("webhook.txt", SIGNING), ("api.txt", API_KEY)] {
        std::fs::write(dir.join(name), secret).expect("it is written");
    }
    let path = dir.join("inventory.yaml");
    let text = std::fs::read_to_string(&path).expect("it reads");
    let more = format!(
        "    account: newsletter\n    schedule: {{playbook: drill, cron: \"{}\", timezone: UTC}}\n    on_leak: {{playbook: emergency}}\n",
        soon()
    );
    let text = text.replacen("    account: newsletter\n", &more, 1);
    let alerts = format!(
        "alerts:\n  gitguardian:\n    kind: gitguardian\n    secret: {{file: webhook.txt}}\n    \
         api: {{key: {{file: api.txt}}, address: \"{api}\"}}\n"
    );
    desk.inventory(&format!("{text}{alerts}"));
}

/// Whether a client that is not ours may log in, as soon as the server says yes or no: on a slow machine it says 454 at times.
fn accepted(mail: &Mail, username: &str, password: &str) -> bool {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match login::reply(&mail.smtp, username, password) {
            235 => return true,
            535 => return false,
            other => assert!(Instant::now() < end, "a login of {username} got {other}: {}", mail.said()),
        }
    }
}

/// GitGuardian's delivery about an incident, signed as it signs.
async fn deliver(to: std::net::SocketAddr, hash: &str) -> (u16, String) {
    let body = json!({
        "source": "GitGuardian", "timestamp": "2026-03-01T12:00:01.000000Z", "action": "incident_triggered",
        "message": "A new incident has been detected.",
        "incident": {
            "id": INCIDENT, "date": "2026-03-01T12:00:00Z", "detector": {"name": "smtp_credentials"}, "hmsl_hash": hash,
            "secret_hash": "Ri9FjVgdOlPnBmujoxP4XPJcbe82BhJXB/SAngijw/juCISuOMgPzYhV28m6OG24", "status": "triggered",
            "validity": "not_checked", "gitguardian_url": "https://dashboard.gitguardian.com/workspace/1/incidents/3827964",
        },
    })
    .to_string();
    let time = (now_ms() / 1000).to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, format!("{time}{SIGNING}").as_bytes());
    let signature = format!("sha256={}", hex::encode(hmac::sign(&key, body.as_bytes())));
    let client = Client::builder().no_proxy().build().expect("a client");
    let request = client
        .post(format!("http://{to}/alerts/gitguardian"))
        .header("content-type", "application/json")
        .header("timestamp", time)
        .header("gitguardian-signature", signature);
    let answer = request.body(body).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

/// Looks through the socket until there is something.
async fn until(desk: &Desk, path: &str, what: &str, look: impl Fn(&Value) -> Option<Value>) -> Value {
    let client = Client::builder().no_proxy().unix_socket(desk.dir().join("state/daemon.sock")).build().expect("a client");
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let answer = client.get(format!("http://handover{path}")).send().await.expect("an answer");
        let seen: Value = answer.json().await.expect("JSON");
        if let Some(found) = look(&seen) {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not come: {seen:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_comes_a_leak_is_told_and_its_incident_is_resolved_once_the_login_is_refused() {
    let mail = Mail::start(&Users::File);
    std::fs::write(mail.users_file(), format!("newsletter-a:{}\n", hash(FIRST))).expect("it is written");
    let (bao, desk, api) = (Bao::start().await, Desk::new(), Served::start(GitGuardian::default()).await);
    let kept = [vault(&bao, "first", "staging").await, vault(&bao, "second", "production").await];
    let (users, socket) = (mail.users_file(), mail.auth_socket());
    let provider = format!("{{kind: dovecot, passwd_file: {}, auth_socket: {}}}", users.display(), socket.display());
    let _app = furnish(&desk, &mail, &provider, &kept);
    add(&desk, &api.address());
    let log = desk.dir().join("daemon.log");
    let mut command = desk.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("HANDOVER_LOG", "trace");
    let daemon = Serve::start(command, &log).unwrap_or_else(|ended| panic!("{ended:?}"));

    // A time of the schedule.
    let ended = |rotation: &Value| rotation["phase"].as_str().is_some_and(|phase| phase == "done");
    let first = until(&desk, "/api/v1/rotations", "the rotation of the schedule", |seen| {
        seen["rotations"].as_array()?.iter().find(|rotation| ended(rotation)).cloned()
    })
    .await;
    assert_eq!(first["playbook"], "drill");
    let (username, password) = in_vault(&bao, "second").await;
    assert_eq!(username, "newsletter-b", "it was rotated");
    assert!(!accepted(&mail, "newsletter-a", FIRST) && accepted(&mail, &username, &password));

    // GitGuardian knows the login that is current now. A client that is not ours tries it all the while.
    let known = hmsl(&password);
    api.state().incidents.insert(INCIDENT, Incident { hmsl_hash: known.clone(), ..Incident::default() });
    let (smtp, leaked) = (mail.smtp.clone(), (username.clone(), password.clone()));
    let thief = std::thread::spawn(move || {
        let mut accepted_ms = 0;
        loop {
            match login::reply(&smtp, &leaked.0, &leaked.1) {
                235 => accepted_ms = now_ms(),
                535 => return (accepted_ms, now_ms()),
                // The server is slow: that says nothing.
                _ => {}
            }
        }
    });
    let sent_ms = now_ms();
    let (status, text) = deliver(daemon.address(), &known).await;
    assert_eq!((status, &*text), (202, r#"{"new":1}"#));
    let alert = until(&desk, "/api/v1/alerts", "the end of the alert", |seen| {
        seen["alerts"].as_array()?.iter().find(|alert| alert["state"] == "closed").cloned()
    })
    .await;
    let (last_accepted_ms, first_refused_ms) = thief.join().expect("it tried");
    let rotation = alert["rotation"].as_str().expect("a rotation").to_owned();
    until(&desk, &format!("/api/v1/rotations/{rotation}"), "the end of the rotation", |seen| {
        (seen["phase"] == "done").then(|| seen.clone())
    })
    .await;
    let alert = until(&desk, "/api/v1/alerts", "the alert", |seen| seen["alerts"].as_array()?.first().cloned()).await;

    // The clock, and what others saw of it.
    println!("{:#}", alert["seconds"]);
    let seconds = |name: &str| alert["seconds"][name].as_f64().unwrap_or_else(|| panic!("no {name}: {alert:#}"));
    let order = ["first_attempt", "acknowledged", "refused", "all_services_moved"].map(seconds);
    assert!(order[0] <= 5.0 && order[1] <= 60.0, "{alert:#}");
    assert!(order[0] <= order[1] && order[1] <= order[2] && order[2] <= seconds("closed"), "{alert:#}");
    let received_ms = alert["received_at"].as_u64().expect("a time");
    assert!(
        received_ms >= sent_ms && last_accepted_ms < received_ms + (order[2] * 1000.0) as u64,
        "{last_accepted_ms} {alert:#}"
    );
    println!(
        "a client of others: accepted last {:.1}s, refused first {:.1}s after the alert",
        (last_accepted_ms as f64 - received_ms as f64) / 1000.0,
        (first_refused_ms as f64 - received_ms as f64) / 1000.0
    );
    {
        let vendor = api.state();
        let incident = &vendor.incidents[&INCIDENT];
        let (resolved_ms, revoked) = incident.resolved.expect("it is resolved");
        assert!(revoked && resolved_ms >= received_ms + (order[2] * 1000.0) as u64 && resolved_ms > last_accepted_ms);
        println!("resolved at GitGuardian {:.1}s after the alert", (resolved_ms - received_ms) as f64 / 1000.0);
        let [(noted_ms, note)] = incident.notes.as_slice() else { panic!("{:?}", incident.notes) };
        assert!(note.contains("refused") && *noted_ms <= resolved_ms, "{note}");
        assert_eq!(vendor.odd, Vec::<String>::new());
    }
    assert!(!accepted(&mail, &username, &password), "the leaked login, by a client that is not ours");
    let (now_used, now_password) = in_vault(&bao, "first").await;
    assert_eq!(in_vault(&bao, "second").await, (now_used.clone(), now_password.clone()));
    assert!(now_used != username && accepted(&mail, &now_used, &now_password));

    // The list at the command line, and the report.
    let listed = desk.run(&["alert", "--list"]);
    ends(&listed, DONE);
    assert_eq!(listed.events()[0]["seconds"], alert["seconds"]);
    let report = desk.run(&["audit", "export", &rotation, "--format", "json"]);
    ends(&report, DONE);
    assert!(report.stdout.contains("gitguardian alert 1") && report.stdout.contains("containment-began"), "{report}");
    let by_schedule = desk.run(&["audit", "export", first["rotation"].as_str().expect("an id"), "--format", "json"]);
    assert!(by_schedule.stdout.contains(r#""by": "schedule""#), "{by_schedule}");
    ends(&desk.run(&["audit", "export", CREDENTIAL]), DONE);
    let said = std::fs::read(&log).expect("a log");
    assert_eq!(found(&said, &needles(&username, &password)), Vec::<String>::new(), "a secret is in the log");
    drop(daemon);
}
