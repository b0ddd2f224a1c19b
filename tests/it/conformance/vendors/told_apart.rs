//! Which of several versions with one login name is in use: `plan` of the built program, against vendors that tell and that do not.

use std::os::unix::fs::PermissionsExt;

use tokio::process::Command;

use crate::support::HANDOVER;
use crate::support::exit::{DONE, REFUSED};
use crate::support::lab::vendors::resend::Resend;
use crate::support::lab::vendors::sendgrid::SendGrid;
use crate::support::lab::vendors::{FULL_KEY, Served, Vendor};

/// What `plan` says where the entry holds this login, and its exit status.
async fn plan<V: Vendor>(server: &Served<V>, kind: &str, username: &str, password: &str) -> (i32, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("it is written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is closed");
        path
    };
    write("key", FULL_KEY);
    for file in ["smtp.env", "staging.env"] {
        write(file, &format!("SMTP_USERNAME={username}\nSMTP_PASSWORD={password}\n"));
    }
    let inventory = format!(
        r#"version: 1
providers:
  relay: {{kind: {kind}, address: "{}", api_key: {{file: key}}}}
stores:
  hosts: {{kind: env-file}}
credentials:
  newsletter:
    provider: relay
    account: newsletter
    smtp: {{host: 127.0.0.1, port: 1, tls: starttls}}
    probe: {{from: probe@example.com, to: probe@example.com, arrival: none}}
    entries:
      staging: {{store: hosts, path: staging.env, fields: {{username: SMTP_USERNAME, password: SMTP_PASSWORD}}, environment: staging}}
      host: {{store: hosts, path: smtp.env, fields: {{username: SMTP_USERNAME, password: SMTP_PASSWORD}}, environment: production}}
services:
  staging-api:
    credential: newsletter
    entry: staging
    environment: staging
    reload: {{command: ["true"]}}
    attest: {{http: {{url: "http://127.0.0.1:1/smtp-fingerprint"}}}}
  newsletter-api:
    credential: newsletter
    entry: host
    environment: production
    reload: {{systemd: {{unit: newsletter-api.service}}}}
    attest: {{http: {{url: "http://127.0.0.1:1/smtp-fingerprint"}}}}
"#,
        server.address()
    );
    let inventory = write("inventory.yaml", &inventory);
    let output = Command::new(HANDOVER)
        .args(["--inventory".as_ref(), inventory.as_os_str(), "--state".as_ref(), folder.path().join("state").as_os_str()])
        .args(["plan", "newsletter", "--playbook", "scheduled"])
        .env("NO_COLOR", "1")
        .output();
    let output = output.await.expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains(password), "a secret is shown: {said}");
    (output.status.code().expect("it ends"), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sendgrid_key_is_known_by_itself() {
    let server = Served::start(SendGrid::new()).await;
    for _ in 0..2 {
        server.state().make("newsletter", vec!["mail.send".to_owned()]);
    }
    for n in 0..2 {
        let (id, key) = {
            let state = server.state();
            (state.keys[n].id.clone(), state.keys[n].key.clone())
        };
        let (code, said) = plan(&server, "sendgrid", "apikey", &key).await;
        assert_eq!(code, DONE, "{said}");
        assert!(said.contains(&id), "{said}");
        let other = server.state().keys[1 - n].id.clone();
        assert!(!said.contains(&other), "{said}");
        let words: Vec<&str> = said.split_whitespace().collect();
        assert!(words.join(" ").contains("every EnvironmentFile"), "what a reload reads again is told: {said}");
    }
    let (code, said) = plan(&server, "sendgrid", "apikey", "SG.unknown.secret-of-nobody").await;
    assert!(code == REFUSED && said.contains("HO0443"), "{code}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_resend_keys_cannot_be_told_apart() {
    let server = Served::start(Resend::new()).await;
    server.state().make("newsletter", "sending_access", None);
    let token = server.state().keys[0].token.clone();
    let (code, said) = plan(&server, "resend", "resend", &token).await;
    assert_eq!(code, DONE, "{said}");
    assert!(said.contains("every domain"), "a warning about the domain: {said}");
    server.state().make("newsletter", "sending_access", None);
    let (code, said) = plan(&server, "resend", "resend", &token).await;
    assert!(code == REFUSED && said.contains("HO0490"), "{code}: {said}");
}
