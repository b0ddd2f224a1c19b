//! `handover alert`: what a scanner wrote, without a daemon and with one.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::House;
use super::killed::{Process, house, is_active, login};

fn alert(house: &House, report: &Value) -> (i32, String) {
    let file = house.world.dir().join("gitleaks.json");
    std::fs::write(&file, report.to_string()).expect("it writes");
    let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
    command.arg("alert").arg(&file).arg("--inventory").arg(house.inventory()).arg("--state").arg(&house.state);
    command.arg("--playbooks").arg(house.world.dir().join("playbooks")).stdin(Stdio::null());
    let output = command.output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

fn finding(secret: &str) -> Value {
    json!([{
        "RuleID": "generic-api-key", "Description": "a key", "StartLine": 3, "EndLine": 3, "StartColumn": 1, "EndColumn": 9,
        "Match": format!("password = {secret}"), "Secret": secret, "File": "deploy/mail.env", "Commit": "", "Entropy": 4.2,
        "Author": "", "Email": "", "Date": "", "Message": "", "Tags": [], "Fingerprint": "deploy/mail.env:generic-api-key:3"
    }])
}

#[test]
fn what_a_scanner_found_is_told_whose_it_is_and_contained_by_the_daemon() {
    let house = house("emergency");
    let (username, password) = login(&house);
    let (code, said) = alert(&house, &finding("nobody-has-this-secret-0123456789abcdefgh"));
    assert!(code == 0 && said.contains("fits no version that was ever known"), "{code}: {said}");

    // Without a daemon nobody contains it, and that is said by the exit status too.
    let (code, said) = alert(&house, &finding(&password));
    assert!(
        code == 5
            && said.contains("LIVE, and no daemon runs: `handover ")
            && said.contains("rotate newsletter --playbook emergency`"),
        "{code}: {said}"
    );
    assert!(!said.contains(&password) && is_active(&house, &username), "{said}");

    let process = Process::start(&house, &house.world.dir().join("daemon.log"));
    let (code, said) = alert(&house, &finding(&password));
    assert!(code == 6 && said.contains("LIVE: the daemon contains it"), "{code}: {said}");
    let end = Instant::now() + Duration::from_secs(60);
    while is_active(&house, &username) {
        assert!(Instant::now() < end, "not contained");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(process);
}
