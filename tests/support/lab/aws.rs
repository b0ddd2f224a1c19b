//! AWS on this machine: moto's server, what it lacks, and SES's SMTP endpoint, all in one Python process (`aws.py`).
//!
//! moto is an emulator. `aws.py` adds what AWS does and moto does not, and says what. Tests look at it through requests of their
//! own, signed by nobody: until `enforce` moto believes whom they say they are.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::ca::Ca;
use super::venv;
use crate::support::ledger::Smtp;
use crate::support::login;

pub(crate) const REGION: &str = "eu-central-1";

#[derive(serde::Deserialize)]
struct Ports {
    moto: u16,
    aws: u16,
    smtp: u16,
}

/// A running AWS.
pub(crate) struct AwsLab {
    process: Child,
    ports: Ports,
    pub(crate) ca: Ca,
    folder: TempDir,
    client: reqwest::Client,
}

impl AwsLab {
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("handover-aws-").tempdir().expect("a folder");
        let ca = Ca::make(&folder.path().join("tls"));
        for part in ["mail/new", "mail/cur", "mail/tmp"] {
            std::fs::create_dir_all(folder.path().join(part)).expect("a Maildir");
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/lab/aws.py");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let mut process = Command::new(venv("python"))
            .arg(script)
            .arg(REGION)
            .args([&ca.certificate, &ca.key])
            .arg(folder.path().join("mail"))
            // Neither looks for the machine's own keys, nor asks the network for some.
            .env("AWS_ACCESS_KEY_ID", "lab")
            .env("AWS_SECRET_ACCESS_KEY", "lab")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("python starts");
        let stdout = process.stdout.take().expect("piped");
        let ports = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| serde_json::from_str(&line).ok())
            .unwrap_or_else(|| panic!("{}", std::fs::read_to_string(folder.path().join("log")).unwrap_or_default()));
        Self { process, ports, ca, folder, client: reqwest::Client::new() }
    }

    /// The port that takes the place of AWS.
    pub(crate) fn port(&self) -> u16 {
        self.ports.aws
    }

    /// moto's own port, where nobody is asked who they are until `enforce`.
    pub(crate) fn moto(&self) -> u16 {
        self.ports.moto
    }

    pub(crate) fn maildir(&self) -> PathBuf {
        self.folder.path().join("mail")
    }

    pub(crate) fn smtp(&self) -> Smtp {
        Smtp { host: "127.0.0.1".to_owned(), starttls_port: self.ports.smtp, ca_file: self.ca.ca.display().to_string() }
    }

    /// The reply code of SES's SMTP endpoint to a client that is not ours.
    pub(crate) fn login(&self, username: &str, password: &str) -> u16 {
        login::reply(&self.smtp(), username, password)
    }

    /// A call with a JSON body, for Secrets Manager and SSM.
    pub(crate) async fn json(&self, service: &str, target: &str, body: Value) -> Value {
        let answer = self.client.post(format!("http://127.0.0.1:{}/", self.ports.moto));
        let answer = answer
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", target)
            .header("authorization", scope(service))
            .body(body.to_string());
        let answer = answer.send().await.expect("moto answers");
        let (status, body) = (answer.status(), answer.text().await.expect("a body"));
        assert!(status.is_success(), "{target}: {status} {body}");
        serde_json::from_str(&body).unwrap_or(Value::Null)
    }

    /// A call of IAM or SES.
    pub(crate) async fn query(&self, service: &str, form: &[(&str, &str)]) -> String {
        let mut body = reqwest::Url::parse("x:?").expect("a url");
        body.query_pairs_mut().extend_pairs(form);
        let answer = self.client.post(format!("http://127.0.0.1:{}/", self.ports.moto));
        let answer = answer
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", scope(service))
            .body(body.query().unwrap_or_default().to_owned());
        let answer = answer.send().await.expect("moto answers");
        let (status, body) = (answer.status(), answer.text().await.expect("a body"));
        assert!(status.is_success(), "{form:?}: {status} {body}");
        body
    }

    pub(crate) async fn iam(&self, action: &str, more: &[(&str, &str)]) -> String {
        let mut form = vec![("Action", action), ("Version", "2010-05-08")];
        form.extend_from_slice(more);
        self.query("iam", &form).await
    }

    /// A user with a policy, and an access key for it: its id and secret.
    pub(crate) async fn user(&self, name: &str, actions: &[&str]) -> (String, String) {
        self.iam("CreateUser", &[("UserName", name)]).await;
        let policy = serde_json::json!({
            "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}],
        });
        let policy = policy.to_string();
        self.iam("PutUserPolicy", &[("UserName", name), ("PolicyName", "own"), ("PolicyDocument", &policy)]).await;
        self.key(name).await
    }

    /// One more key for a user, made by somebody else.
    pub(crate) async fn key(&self, name: &str) -> (String, String) {
        let made = self.iam("CreateAccessKey", &[("UserName", name)]).await;
        (inside(&made, "AccessKeyId"), inside(&made, "SecretAccessKey"))
    }

    /// A call that is made with a key: from then on IAM knows it as used.
    pub(crate) async fn used_by(&self, key_id: &str) {
        let answer = self.client.post(format!("http://127.0.0.1:{}/", self.ports.moto));
        let answer = answer
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", scope("iam").replace("Credential=lab", &format!("Credential={key_id}")))
            .body("Action=GetUser&Version=2010-05-08&UserName=smtp-newsletter");
        assert!(answer.send().await.expect("moto answers").status().is_success());
    }

    /// A mail from an address that nobody has verified: SES rejects it, and counts that.
    pub(crate) async fn rejected_mail(&self) {
        let form = "Action=SendEmail&Version=2010-12-01&Source=nobody%40example.com&Destination.ToAddresses.member.1=a%40example.com\
                    &Message.Subject.Data=x&Message.Body.Text.Data=x";
        let answer = self.client.post(format!("http://127.0.0.1:{}/", self.ports.moto));
        let answer =
            answer.header("content-type", "application/x-www-form-urlencoded").header("authorization", scope("email"));
        assert_eq!(answer.body(form).send().await.expect("moto answers").status(), 400, "it is rejected");
    }

    /// The ids of a user's keys with their states.
    pub(crate) async fn keys(&self, name: &str) -> Vec<(String, String)> {
        let list = self.iam("ListAccessKeys", &[("UserName", name)]).await;
        let members = list.split("<member>").skip(1);
        members.map(|m| (inside(m, "AccessKeyId"), inside(m, "Status"))).collect()
    }

    /// From now on signatures and policies are checked, of all callers: looks of the tests' own too.
    pub(crate) async fn enforce(&self, on: bool) {
        let count = if on { "0" } else { "1000000" };
        let url = format!("http://127.0.0.1:{}/moto-api/reset-auth", self.ports.moto);
        let answer = self.client.post(url).body(count).send().await.expect("moto answers");
        assert!(answer.status().is_success());
    }

    /// From now on calls with these words are refused by the front with this code, once or always.
    pub(crate) async fn refuse(&self, words: &str, code: &str, always: bool) {
        let body = serde_json::json!({"words": words, "code": code, "always": always});
        self.front(&body).await;
    }

    /// The most keys that any user has had at once, as the front saw them after each call.
    pub(crate) async fn most_keys(&self) -> u64 {
        self.front(&serde_json::json!({})).await["most_keys"].as_u64().expect("a number")
    }

    async fn front(&self, body: &Value) -> Value {
        let url = format!("http://127.0.0.1:{}/lab", self.ports.aws);
        let answer = self.client.post(url).body(body.to_string()).send().await.expect("the front answers");
        serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON")
    }

    /// Files with an access key, as an inventory names them.
    pub(crate) fn keep(&self, name: &str, key: &(String, String)) -> (PathBuf, PathBuf) {
        let (id, secret) =
            (self.folder.path().join(format!("{name}.id")), self.folder.path().join(format!("{name}.secret")));
        std::fs::write(&id, &key.0).expect("it is written");
        std::fs::write(&secret, &key.1).expect("it is written");
        (id, secret)
    }

    /// Options of a kind at AWS, in YAML, at a port.
    pub(crate) fn options(&self, port: u16, key: &(PathBuf, PathBuf)) -> String {
        format!(
            "region: {REGION}, endpoint: \"http://127.0.0.1:{port}\", credentials: {{access_key_id: {{file: {}}}, \
             secret_access_key: {{file: {}}}}}",
            key.0.display(),
            key.1.display()
        )
    }
}

impl Drop for AwsLab {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn scope(service: &str) -> String {
    format!("AWS4-HMAC-SHA256 Credential=lab/20261126/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0")
}

/// The text of the first element of this name.
fn inside(xml: &str, name: &str) -> String {
    let text = xml.split(&format!("<{name}>")).nth(1).and_then(|rest| rest.split('<').next());
    text.unwrap_or_else(|| panic!("no {name} in {xml}")).to_owned()
}
