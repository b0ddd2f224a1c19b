//! `serve` as a process: how it starts and why not, what it tells systemd, what signals do, and TLS.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{House, exists, run};
use crate::support::HANDOVER;
use crate::support::exit::{BAD_INPUT, ERROR, REFUSED};
use crate::support::lab::ca::Ca;
use crate::support::serve::Serve;

fn command(house: &House, state: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(HANDOVER);
    command.args(["serve", "--json", "--inventory"]).arg(house.inventory());
    command.arg("--playbooks").arg(house.world.dir().join("playbooks")).arg("--state").arg(state).args(more);
    command
}

fn start(house: &House, more: &[&str]) -> Serve {
    let log = house.world.dir().join("daemon.log");
    Serve::start(command(house, &house.state, more), &log).unwrap_or_else(|ended| panic!("{ended:?}"))
}

fn local(house: &House) -> Client {
    Client::builder().no_proxy().unix_socket(house.socket()).build().expect("a client")
}

async fn get(client: &Client, path: &str) -> Value {
    let answer = client.get(format!("http://handover{path}")).send().await.expect("an answer");
    answer.json().await.expect("JSON")
}

#[test]
fn tls_is_spoken_to_those_who_trust_it_and_nobody_else_is_answered() {
    let house = House::new();
    let ca = Ca::make(&house.world.dir().join("tls"));
    let (cert, key) = (ca.certificate.display().to_string(), ca.key.display().to_string());
    // Reached by others: with TLS, or not at all.
    let daemon = start(&house, &["--listen", "0.0.0.0:0", "--tls-cert", &cert, "--tls-key", &key]);
    let port = daemon.address().port();
    run(async {
        let pem = Certificate::from_pem(&std::fs::read(&ca.ca).expect("it reads")).expect("a certificate");
        let knows = Client::builder().no_proxy().tls_certs_only([pem]).build().expect("a client");
        for host in ["127.0.0.1", "localhost"] {
            let answer = knows.get(format!("https://{host}:{port}/healthz")).send().await.expect("an answer");
            assert_eq!(answer.text().await.expect("text"), "ok\n");
        }
        let answer = knows.get(format!("https://127.0.0.1:{port}/api/v1/credentials")).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 401, "over the network a token is needed");
        let other = Ca::make(&house.world.dir().join("other"));
        let pem = Certificate::from_pem(&std::fs::read(&other.ca).expect("it reads")).expect("a certificate");
        let stranger = Client::builder().no_proxy().tls_certs_only([pem]).build().expect("a client");
        assert!(stranger.get(format!("https://127.0.0.1:{port}/healthz")).send().await.is_err(), "not trusted");
        let plain = Client::builder().no_proxy().build().expect("a client");
        assert!(plain.get(format!("http://127.0.0.1:{port}/healthz")).send().await.is_err(), "plain HTTP is not answered");
    });
}

/// Where it does not start: the status, the code and a word of the message.
#[test]
fn what_cannot_be_served_is_refused_with_a_status_and_a_word() {
    let house = House::new();
    let (dir, taken) = (house.world.dir().to_owned(), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let taken_at = taken.local_addr().expect("an address").to_string();
    let ca = Ca::make(&dir.join("tls"));
    let (cert, key) = (ca.certificate.display().to_string(), ca.key.display().to_string());
    let other_key = Ca::make(&dir.join("other")).key.display().to_string();
    let no_key = dir.join("inventory.yaml").display().to_string();
    std::fs::write(dir.join("a-file"), "x").expect("it writes");
    let (state, below) = (dir.join("refused"), dir.join("a-file/state"));
    type Case<'a> = (&'a str, PathBuf, Vec<&'a str>, i32, &'a str, &'a str);
    let table: Vec<Case<'_>> = vec![
        ("others reach it", state.clone(), vec!["--listen", "0.0.0.0:0"], REFUSED, "HO1013", "TLS"),
        ("the port is taken", state.clone(), vec!["--listen", &taken_at], REFUSED, "HO1014", &taken_at),
        ("no address", state.clone(), vec!["--listen", "localhost"], BAD_INPUT, "HO1017", "ADDRESS:PORT"),
        ("no key", state.clone(), vec!["--tls-cert", &cert, "--tls-key", &no_key], BAD_INPUT, "HO1018", "PEM"),
        ("another's key", state.clone(), vec!["--tls-cert", &cert, "--tls-key", &other_key], BAD_INPUT, "HO1018", &cert),
        ("no certificate", state.clone(), vec!["--tls-cert", &no_key, "--tls-key", &key], BAD_INPUT, "HO1018", "inventory"),
        ("no folder", below, vec![], ERROR, "HO0317", "a-file"),
        ("not writable", PathBuf::from("/proc/self/handover"), vec![], ERROR, "HO0317", "/proc/self/handover"),
    ];
    for (what, state, more, code, fault, word) in table {
        let log = dir.join("refused.log");
        let ended = Serve::start(command(&house, &state, &more), &log).err().unwrap_or_else(|| panic!("{what}: it starts"));
        println!("{what}: {:?}\n{}", ended.code, ended.said);
        assert_eq!(ended.code, Some(code), "{what}: {}", ended.said);
        assert!(ended.said.contains(fault) && ended.said.contains(word), "{what}: {}", ended.said);
        assert!(!exists(&state.join("daemon.sock")), "{what}: a socket is left");
    }
    // A second one beside the first, which goes on.
    let daemon = start(&house, &[]);
    let log = dir.join("refused.log");
    let ended = Serve::start(command(&house, &house.state, &[]), &log).err().expect("it does not start");
    assert_eq!(ended.code, Some(REFUSED), "{}", ended.said);
    assert!(ended.said.contains("HO1015"), "{}", ended.said);
    run(async {
        assert_eq!(get(&local(&house), "/api/v1/credentials").await["credentials"][0]["credential"], "newsletter")
    });
    drop(daemon);
}

/// The datagrams that a daemon sends to systemd.
struct Systemd(UnixDatagram);

impl Systemd {
    fn hear(&self) -> String {
        let mut bytes = [0; 512];
        let length = self.0.recv(&mut bytes).expect("a datagram within the time");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// Until it hears this, with watchdogs passed over.
    fn wait_for(&self, what: &str) -> String {
        loop {
            let heard = self.hear();
            if heard != "WATCHDOG=1" {
                assert!(heard.starts_with(what), "{heard:?} and not {what}");
                return heard;
            }
        }
    }
}

#[test]
fn systemd_hears_of_its_life_and_a_bad_file_is_refused_while_the_old_one_stays_in_force() {
    let house = House::new();
    let path = house.world.dir().join("notify");
    let systemd = Systemd(UnixDatagram::bind(&path).expect("a socket"));
    systemd.0.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    let log = house.world.dir().join("daemon.log");
    let mut command = command(&house, &house.state, &[]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    let daemon = Serve::start(command, &log).unwrap_or_else(|ended| panic!("{ended:?}"));
    systemd.wait_for("READY=1");
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(systemd.hear(), "WATCHDOG=1");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "in half the time that it is given: {:?}", began.elapsed());

    let good = std::fs::read_to_string(house.inventory()).expect("it reads");
    let cron = || {
        let seen = run(async { get(&local(&house), "/api/v1/credentials/newsletter").await });
        seen["schedule"]["cron"].as_str().map(str::to_owned)
    };
    let reload = || {
        daemon.signal(Signal::HUP);
        let told = systemd.wait_for("RELOADING=1");
        assert!(told.contains("\nMONOTONIC_USEC="), "{told}");
        systemd.wait_for("READY=1");
    };
    assert_eq!(cron(), None);
    house.add("    schedule: {playbook: drill, cron: \"0 3 * * *\", timezone: Europe/Berlin}\n");
    reload();
    assert_eq!(cron().as_deref(), Some("0 3 * * *"), "the good file is in force: {}", daemon.said());
    std::fs::write(house.inventory(), format!("{good}\nnonsense: true\n")).expect("it writes");
    reload();
    daemon.says("those before stay in force");
    assert!(daemon.said().contains("nonsense"), "{}", daemon.said());
    assert_eq!(cron().as_deref(), Some("0 3 * * *"), "the bad file is not");
    std::fs::write(house.inventory(), &good).expect("it writes");
    reload();
    assert_eq!(cron(), None);

    daemon.signal(Signal::TERM);
    systemd.wait_for("STOPPING=1");
    let status = daemon.end();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(!exists(&house.socket()), "the socket goes with it");
}

async fn begin(client: &Client) -> String {
    let wanted = json!({"credential": "newsletter", "playbook": "drill"});
    let answer = client.post("http://handover/api/v1/rotations").json(&wanted).send().await.expect("an answer");
    let begun: Value = answer.json().await.expect("JSON");
    begun["rotation"].as_str().unwrap_or_else(|| panic!("{begun}")).to_owned()
}

async fn until(client: &Client, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let seen = get(client, &format!("/api/v1/rotations/{id}")).await;
        if holds(&seen) {
            return seen;
        }
        assert!(Instant::now() < end, "{what} did not come: {seen:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn told_to_stop_it_comes_to_a_safe_boundary_and_the_next_one_goes_on() {
    let house = House::new();
    let daemon = start(&house, &[]);
    let id = run(async {
        let client = local(&house);
        let id = begin(&client).await;
        until(&client, &id, "a step in the middle", |seen| seen["step"]["number"].as_u64().is_some_and(|n| n >= 4)).await;
        id
    });
    daemon.signal(Signal::TERM);
    let status = daemon.end();
    assert_eq!(status.code(), Some(0), "{status}");
    // Every call that it began has its outcome: nothing is in doubt.
    let journal = rusqlite::Connection::open(house.state.join("journal.db")).expect("the journal");
    let count = |word: &str| -> i64 {
        journal
            .query_row(
                "SELECT count(*) FROM events WHERE CAST(payload AS TEXT) LIKE ?1",
                [format!("%\"event\":\"{word}\"%")],
                |row| row.get(0),
            )
            .expect("a number")
    };
    let effects: i64 = journal
        .query_row("SELECT count(*) FROM events WHERE CAST(payload AS TEXT) LIKE '%\"event\":\"settled\"%' AND CAST(payload AS TEXT) LIKE '%\"effect\":%'", [], |row| row.get(0))
        .expect("a number");
    assert_eq!((count("intended"), count("finished")), (effects, 0));
    assert!(effects > 0);
    let daemon = start(&house, &[]);
    run(async { until(&local(&house), &id, "its end", |seen| seen["phase"] == "done").await });
    assert_eq!(house.world.unclean(None), Vec::<String>::new());
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(0));
}

#[test]
fn told_twice_it_leaves_at_once_and_the_next_one_looks_up_what_was_under_way() {
    let house = House::new();
    let daemon = start(&house, &[]);
    let id = run(async {
        let client = local(&house);
        let id = begin(&client).await;
        house.world.fault("slow=5s");
        until(&client, &id, "a step in the middle", |seen| seen["step"]["number"].as_u64().is_some_and(|n| n >= 2)).await;
        id
    });
    let began = Instant::now();
    daemon.signal(Signal::TERM);
    daemon.says("at its next safe boundary");
    daemon.signal(Signal::TERM);
    let said = daemon.said();
    let status = daemon.end();
    assert_eq!(status.code(), Some(0), "{status}: {said}");
    assert!(began.elapsed() < Duration::from_secs(4), "at once: {:?}", began.elapsed());
    house.world.fault("none");
    let daemon = start(&house, &[]);
    run(async { until(&local(&house), &id, "its end", |seen| seen["phase"] == "done").await });
    assert_eq!(house.world.unclean(None), Vec::<String>::new());
    drop(daemon);
}
