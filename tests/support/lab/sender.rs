//! A credential with two services that send through the lab's mail server: one script that reads its env file at each call, in the
//! place of a service.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::mail::{INBOX, INBOX_PASSWORD, Mail};
use crate::support::{Going, HANDOVER, Run, service};

const SCRIPT: &str = r#"
import hashlib, hmac, json, smtplib, ssl, sys
from email.message import EmailMessage
file, host, port, ca, action, *rest = sys.argv[1:]
held = dict(line.rstrip("\n").split("=", 1) for line in open(file) if "=" in line)
username, password = held["SMTP_USERNAME"], held["SMTP_PASSWORD"]
if action == "attest":
    proof = hmac.new(password.encode(), rest[0].encode(), hashlib.sha256).hexdigest()
    print(json.dumps({"username": username, "proof": proof}))
else:
    nonce, to = rest
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"], mail["X-Handover-Nonce"] = to, to, "test " + nonce, nonce
    mail.set_content("A test.")
    client = smtplib.SMTP(host, int(port), timeout=20)
    client.starttls(context=ssl.create_default_context(cafile=ca))
    client.login(username, password)
    client.send_message(mail)
    client.quit()
"#;

/// The credential `newsletter` with a staging and a production service.
pub(crate) struct Sender {
    folder: TempDir,
}

impl Sender {
    /// Writes an inventory with `provider` as its provider, and entries that hold this login.
    pub(crate) fn new(mail: &Mail, provider: &str, username: &str, password: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("handover-sender-").tempdir().expect("a folder");
        let dir = folder.path();
        std::fs::write(dir.join("sender.py"), SCRIPT).expect("is written");
        std::fs::write(dir.join("imap.txt"), INBOX_PASSWORD).expect("is written");
        let (host, port, ca) = (&mail.smtp.host, mail.smtp.starttls_port, &mail.smtp.ca_file);
        let mut entries = String::new();
        let mut services = String::new();
        for environment in ["staging", "production"] {
            let env = dir.join(format!("{environment}.env"));
            let text = format!("# {environment}\nSMTP_USERNAME={username}\nSMTP_PASSWORD={password}\n");
            std::fs::write(&env, text).expect("is written");
            std::fs::set_permissions(&env, std::fs::Permissions::from_mode(0o600)).expect("a mode");
            let env = env.display();
            entries += &format!(
                "      {environment}: {{store: hosts, path: \"{env}\", environment: {environment},
        fields: {{username: SMTP_USERNAME, password: SMTP_PASSWORD}}}}\n"
            );
            let script = format!("/usr/bin/python3, {}, {env}, {host}, \"{port}\", {ca}", dir.join("sender.py").display());
            services += &format!(
                "  {environment}-api:
    credential: newsletter
    entry: {environment}
    environment: {environment}
    reload: {{command: [/bin/true]}}
    test_send: {{command: [{script}, send]}}
    attest: {{command: [{script}, attest]}}\n"
            );
        }
        let inventory = format!(
            "version: 1
providers:
  mail: {provider}
stores:
  hosts: {{kind: env-file}}
credentials:
  newsletter:
    provider: mail
    account: newsletter
    smtp: {{host: {host}, port: {port}, tls: starttls, ca_file: {ca}}}
    probe:
      from: {INBOX}
      to: {INBOX}
      arrival:
        imap: {{host: {host}, port: {imap}, ca_file: {ca}, username: {INBOX}, password: {{file: imap.txt}}}}
    entries:
{entries}services:
{services}",
            imap = mail.imap_port
        );
        std::fs::write(dir.join("inventory.yaml"), inventory).expect("is written");
        Self { folder }
    }

    pub(crate) fn env_file(&self, environment: &str) -> PathBuf {
        self.folder.path().join(format!("{environment}.env"))
    }

    /// The login that an entry holds.
    pub(crate) fn held(&self, environment: &str) -> (String, String) {
        service::held(&self.env_file(environment))
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let dir = self.folder.path();
        let mut command = Command::new(HANDOVER);
        command.args(args).arg("--inventory").arg(dir.join("inventory.yaml"));
        command.arg("--playbooks").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks"));
        command.arg("--state").arg(dir.join("state")).arg("--json");
        command
    }

    pub(crate) fn rotate(&self, playbook: &str) -> Run {
        Going::start(self.command(&["rotate", "newsletter", "--playbook", playbook, "--yes", "--wait"])).end()
    }
}
