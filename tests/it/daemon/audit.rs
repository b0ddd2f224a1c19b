//! The audit log at its sinks: a leak is contained while all of them are unable, they get everything in order once they can, killed at
//! any point or not, and what they have can be checked against the journal.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::killed::{KEY, Process, deliver, house, is_active, leak, login, seconds};
use super::{House, run};
use crate::support::secrets::{found, needles};

/// Takes calls, and answers none until it is told to.
struct Receiver {
    port: u16,
    answers: Arc<AtomicBool>,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (answers, bodies) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<Value>>>::default());
        let (open, kept) = (Arc::clone(&answers), Arc::clone(&bodies));
        std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                if !open.load(Ordering::SeqCst) {
                    hanging.push(stream);
                    continue;
                }
                let mut text = Vec::new();
                let mut block = [0; 8192];
                let body = loop {
                    let n = stream.read(&mut block).unwrap_or(0);
                    text.extend_from_slice(&block[..n]);
                    let head = text.windows(4).position(|w| w == b"\r\n\r\n");
                    let length = head.and_then(|end| {
                        let head = String::from_utf8_lossy(&text[..end]).to_ascii_lowercase();
                        let line = head.lines().find_map(|l| l.strip_prefix("content-length: ").map(str::to_owned))?;
                        Some((end + 4, line.trim().parse::<usize>().ok()?))
                    });
                    match length {
                        Some((from, length)) if text.len() >= from + length => break text[from..from + length].to_vec(),
                        _ if n == 0 => break Vec::new(),
                        _ => {}
                    }
                };
                kept.lock().expect("a lock").push(serde_json::from_slice(&body).unwrap_or_default());
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Self { port, answers, bodies }
    }

    /// The numbers of the rows in the order in which they came.
    fn rows(&self) -> Vec<u64> {
        let bodies = self.bodies.lock().expect("a lock");
        let lines = bodies.iter().flat_map(|body| body["data"]["lines"].as_array().cloned().unwrap_or_default());
        lines.filter(|line| line["kind"] == "row").filter_map(|line| line["n"].as_u64()).collect()
    }

    fn text(&self) -> String {
        self.bodies.lock().expect("a lock").iter().map(ToString::to_string).collect()
    }
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).expect("it writes");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("a mode");
}

fn add(house: &House, section: &str) {
    let text = std::fs::read_to_string(house.inventory()).expect("it reads");
    std::fs::write(house.inventory(), format!("{text}\n{section}")).expect("it writes");
}

fn command(house: &House, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
    command.args(args).arg("--inventory").arg(house.inventory()).arg("--state").arg(&house.state);
    command.arg("--playbooks").arg(house.world.dir().join("playbooks")).stdin(Stdio::null());
    command
}

fn said(house: &House, args: &[&str]) -> (Option<i32>, String) {
    let output = command(house, args).output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

async fn metrics(process: &Process) -> String {
    let answer = reqwest::Client::builder()
        .no_proxy()
        .unix_socket(process.socket().to_path_buf())
        .build()
        .expect("a client")
        .get("http://handover/metrics")
        .send()
        .await
        .expect("an answer");
    answer.text().await.expect("text")
}

async fn behind(process: &Process, sink: &str) -> u64 {
    let text = metrics(process).await;
    let name = format!("handover_audit_behind_rows{{sink=\"{sink}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.parse().expect("a number")
}

/// A process has no room for a file of more than this, and one is that long.
const ROOM: u64 = 64 << 20;

#[test]
fn s22_b18_a_leak_is_contained_while_every_sink_hangs_is_down_or_full_and_then_they_get_everything() {
    let house = house("emergency");
    let (username, password) = login(&house);
    let receiver = Receiver::start();
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    private(&house.world.dir().join("siem.secret"), &format!("whsec_{}", STANDARD.encode([7; 32])));
    let file = house.world.dir().join("audit.jsonl");
    std::fs::File::create(&file).and_then(|f| f.set_len(ROOM - 1)).expect("a long file");
    std::fs::OpenOptions::new().append(true).open(&file).and_then(|mut f| f.write_all(b"\n")).expect("its end");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("a mode");
    let secret = house.world.dir().join("siem.secret");
    add(
        &house,
        &format!(
            "egress: {{allow: [127.0.0.1]}}\naudit:\n  hangs: {{kind: webhook, url: \"http://127.0.0.1:{}/\", secret: {{file: {s}}}, \
             timeout: 2s}}\n  down: {{kind: webhook, url: \"http://127.0.0.1:{nobody}/\", secret: {{file: {s}}}}}\n  full: {{kind: \
             file, path: {}}}\n",
            receiver.port,
            file.display(),
            s = secret.display()
        ),
    );
    let log = house.world.dir().join("daemon.log");
    run(async {
        let process = Process::start_within(&house, &log, Some(ROOM));
        let began = Instant::now();
        let status = deliver(process.address(), "/alerts/scanner", "msg-1", seconds(), &leak(&password), KEY).await.0;
        assert_eq!(status.as_u16(), 202);
        while is_active(&house, &username) {
            assert!(began.elapsed() < Duration::from_secs(30), "held up by a sink");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = began.elapsed();
        // The sinks were as they were said to be all that time.
        assert_eq!((receiver.rows().len(), std::fs::metadata(&file).expect("it is there").len()), (0, ROOM));
        for sink in ["hangs", "down", "full"] {
            assert!(behind(&process, sink).await > 0, "{sink} has everything");
        }
        println!("contained after {took:?} with every sink unable");
        let end = Instant::now() + Duration::from_secs(90);
        while !metrics(&process).await.contains("handover_rotations_total{result=\"done\"} 1") {
            assert!(Instant::now() < end, "it does not end: {}", std::fs::read_to_string(&log).unwrap_or_default());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // They are well again: one answers, the other has room.
        receiver.answers.store(true, Ordering::SeqCst);
        std::fs::OpenOptions::new().write(true).open(&file).and_then(|f| f.set_len(0)).expect("room");
        let mut caught_up = false;
        let end = Instant::now() + Duration::from_secs(90);
        while !caught_up {
            assert!(Instant::now() < end, "not caught up: {}", std::fs::read_to_string(&log).unwrap_or_default());
            tokio::time::sleep(Duration::from_millis(200)).await;
            // The end of a leak is signed, which comes last of all.
            let text = std::fs::read_to_string(&file).expect("it reads");
            let signed = text.lines().next_back().is_some_and(|line| line.contains("\"kind\":\"checkpoint\""));
            caught_up = signed && behind(&process, "hangs").await + behind(&process, "full").await == 0;
        }
        assert!(behind(&process, "down").await > 0, "it is down to the end");
        drop(process);
    });
    // In order, none left out; what came twice is allowed.
    let mut rows = receiver.rows();
    rows.dedup();
    let last = *rows.last().expect("rows");
    assert_eq!(rows, (1..=last).collect::<Vec<_>>());
    // The whole is sound by the key that the journal shows.
    let (code, key) = said(&house, &["audit", "key", "--json"]);
    let key: Value = serde_json::from_str(&key).unwrap_or_else(|e| panic!("{code:?} {e}: {key}"));
    let (code, text) = said(
        &house,
        &["audit", "verify", "--key", key["key"].as_str().expect("a key"), "--shipped", &file.to_string_lossy()],
    );
    assert!(code == Some(0) && text.contains(&format!("sound: rows 1 to {last}")), "{code:?}: {text}");
    let (code, text) = said(&house, &["audit", "verify", "--checkpoints", &file.to_string_lossy()]);
    assert!(code == Some(0) && text.contains("0 of its"), "the last row is signed, {code:?}: {text}");
    // No secret is in it, in any form.
    let looked =
        [receiver.text().into_bytes(), std::fs::read(&file).expect("it reads"), std::fs::read(&log).expect("the log")];
    for text in looked {
        assert!(!text.is_empty());
        assert_eq!(found(&text, &needles(&username, &password)), Vec::<String>::new());
    }
}

/// A journal with a whole rotation in it, and a sink of the kind `file`.
fn rotated() -> (House, PathBuf) {
    let house = House::new();
    let file = house.world.dir().join("audit.jsonl");
    add(&house, &format!("audit:\n  here: {{kind: file, path: {}}}\n", file.display()));
    let (code, text) = said(&house, &["rotate", "newsletter", "--playbook", "drill", "--yes", "--time-scale", "100"]);
    assert_eq!(code, Some(0), "{text}");
    (house, file)
}

#[test]
fn s22_s23_a_shipper_that_is_killed_at_any_point_loses_nothing_and_what_was_sent_convicts_a_journal_that_was_put_back() {
    let (house, file) = rotated();
    let path = file.to_string_lossy().into_owned();
    let older = house.world.dir().join("older");
    let copy = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to).expect("a folder");
        std::fs::set_permissions(to, PermissionsExt::from_mode(0o700)).expect("a mode");
        for name in ["journal.db", "anchor", "seal.key"] {
            if from.join(name).exists() {
                std::fs::copy(from.join(name), to.join(name)).expect("it copies");
            }
        }
    };
    copy(&house.state, &older);
    let (code, text) = said(&house, &["rotate", "newsletter", "--playbook", "drill", "--yes", "--time-scale", "100"]);
    assert_eq!(code, Some(0), "{text}");
    for at in ["audit-sent#1", "audit-shipped#1"] {
        let status = command(&house, &["audit", "ship"]).env("HANDOVER_CRASH_AT", at).stdout(Stdio::null()).status();
        assert_eq!(status.expect("it runs").code(), None, "{at}: it is killed");
        let _ = std::fs::OpenOptions::new().append(true).open(&file).and_then(|mut f| f.write_all(b"{\"kind\":\"ro"));
    }
    let (code, text) = said(&house, &["audit", "ship"]);
    assert!(code == Some(0) && text.contains("here: "), "{code:?}: {text}");
    let (code, text) = said(&house, &["audit", "verify", "--shipped", &path]);
    assert!(code == Some(0) && text.contains("sound: rows 1 to"), "{code:?}: {text}");
    assert!(text.contains("lines were cut off by a crash") && text.contains("NOT checked"), "{text}");
    let (code, text) = said(&house, &["audit", "verify", "--checkpoints", &path]);
    assert!(code == Some(0) && text.contains("sound: the journal has all"), "{code:?}: {text}");

    // Another key, a forged line, no checkpoint at all.
    let foreign = format!("ed25519:{}", STANDARD.encode([9; 32]));
    let (code, text) = said(&house, &["audit", "verify", "--key", &foreign, "--checkpoints", &path]);
    assert!(code == Some(1) && text.contains("HO1071"), "{code:?}: {text}");
    let (code, text) = said(&house, &["audit", "verify", "--key", "nonsense", "--checkpoints", &path]);
    assert!(code == Some(2) && text.contains("HO1078"), "{code:?}: {text}");
    let lines = std::fs::read_to_string(&file).expect("it reads");
    let forged = house.world.dir().join("forged.jsonl");
    private(&forged, &lines.replace("\"wall_ms\":1", "\"wall_ms\":2"));
    for args in [["audit", "verify", "--checkpoints"], ["audit", "verify", "--shipped"]] {
        let (code, text) = said(&house, &[&args[..], &[&*forged.to_string_lossy()]].concat());
        assert!(code == Some(1) && text.contains("WRONG: "), "{code:?}: {text}");
    }
    private(&forged, "{}\n");
    let (code, text) = said(&house, &["audit", "verify", "--checkpoints", &forged.to_string_lossy()]);
    assert!(code == Some(2) && text.contains("HO1079"), "{code:?}: {text}");

    // The whole folder put back from a backup: it opens, it is sound in itself, and the checkpoint tells.
    std::fs::remove_dir_all(&house.state).expect("it goes");
    copy(&older, &house.state);
    assert_eq!(said(&house, &["audit", "verify"]).0, Some(0));
    let (code, text) = said(&house, &["audit", "verify", "--checkpoints", &path]);
    assert!(code == Some(1) && text.contains("HO1073") && text.contains("are missing"), "{code:?}: {text}");
    let before = std::fs::read(&file).expect("it reads");
    let (code, text) = said(&house, &["audit", "ship"]);
    assert!(code == Some(1) && text.contains("HO1070"), "{code:?}: {text}");
    assert!(std::fs::read(&file).expect("it reads") == before, "nothing is added to another log");
}
