//! The kinds at AWS, against moto.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use handover::config::{Fields, Node};
use handover::providers::Provider;
use handover::providers::ses::SesProvider;
use handover::secret::Secret;
use handover::stores::aws_secrets_manager::SecretsManagerStore;
use handover::stores::aws_ssm::SsmStore;
use handover::stores::{EntryRef, Store};
use handover_rotation::name::{EntryName, VersionId};
use handover_rotation::outcome::Fault;
use serde_json::{Value, json};

use super::providers::{self, ProviderBench};
use super::stores::{self, StoreBench};
use super::table;
use crate::support::lab::aws::AwsLab;
use crate::support::lab::free_port;
use crate::support::lab::proxy::Proxy;

const ROTATOR: &[&str] = &["iam:*", "ses:*", "secretsmanager:*", "ssm:*"];
const READER: &[&str] = &[
    "iam:List*",
    "iam:Get*",
    "secretsmanager:GetSecretValue",
    "secretsmanager:DescribeSecret",
    "ssm:GetParameter",
    "ssm:GetParameterHistory",
];

struct Bench {
    lab: AwsLab,
    proxy: Proxy,
    rotator: (PathBuf, PathBuf),
    reader: (PathBuf, PathBuf),
}

impl Bench {
    async fn start() -> Self {
        let lab = AwsLab::start();
        let proxy = Proxy::before(lab.port()).await;
        let rotator = lab.keep("rotator", &lab.user("rotator", ROTATOR).await);
        let reader = lab.keep("reader", &lab.user("reader", READER).await);
        Self { lab, proxy, rotator, reader }
    }

    fn options(&self, port: u16, key: &(PathBuf, PathBuf)) -> String {
        format!("{{{}}}", self.lab.options(port, key))
    }
}

/// A kind made as the registry makes it.
fn open<T, O>(text: &str, read: impl Fn(&mut Fields<'_>) -> Option<O>, open: impl Fn(O) -> Result<T, Fault>) -> Arc<T> {
    let node = Node::from_yaml("lab.yaml", std::path::Path::new("/"), text).expect("YAML");
    let mut fields = Fields::new(&node, "a kind");
    let options = read(&mut fields).expect("options");
    Arc::new(open(options).expect("it opens"))
}

fn ses(text: &str) -> Arc<dyn Provider> {
    open(text, SesProvider::options, SesProvider::open)
}

#[async_trait]
impl ProviderBench for Bench {
    fn provider(&self) -> Arc<dyn Provider> {
        ses(&self.options(self.lab.port(), &self.rotator))
    }

    fn nowhere(&self) -> Result<Arc<dyn Provider>, &'static str> {
        Ok(ses(&self.options(free_port(), &self.rotator)))
    }

    async fn forbidden(&self) -> Result<Arc<dyn Provider>, &'static str> {
        self.lab.enforce(true).await;
        Ok(ses(&self.options(self.lab.port(), &self.reader)))
    }

    async fn cutting(&self) -> Result<Arc<dyn Provider>, &'static str> {
        self.lab.enforce(false).await;
        self.proxy.cut_answers_to("CreateAccessKey");
        Ok(ses(&self.options(self.proxy.port(), &self.rotator)))
    }

    async fn account(&self, name: &str) -> (String, VersionId) {
        self.lab.enforce(false).await;
        let (id, _) = self.lab.user(name, &["ses:SendRawEmail"]).await;
        (name.to_owned(), VersionId::new(id).expect("an id"))
    }

    async fn accepts(&self, _account: &str, username: &str, password: &Secret) -> bool {
        match self.lab.login(username, password.expose()) {
            235 => true,
            535 => false,
            other => panic!("the server said {other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ses_is_as_every_provider() {
    let bench = Bench::start().await;
    let ran = providers::run(&bench).await;
    table::hold("ses", &ran);
}

/// A store of texts at AWS.
struct Texts {
    bench: Bench,
    ssm: bool,
}

const OTHERS: &str = "kept as it is";

impl Texts {
    fn open(&self, port: u16, key: &(PathBuf, PathBuf)) -> Arc<dyn Store> {
        let text = self.bench.options(port, key);
        match self.ssm {
            true => open(&text, SsmStore::options, SsmStore::open),
            false => open(&text, SecretsManagerStore::options, SecretsManagerStore::open),
        }
    }

    async fn put(&self, path: &str, value: &Value, new: bool) {
        let text = value.to_string();
        match (self.ssm, new) {
            (true, _) => {
                let body = json!({"Name": path, "Value": text, "Type": "SecureString", "Overwrite": !new});
                self.bench.lab.json("ssm", "AmazonSSM.PutParameter", body).await;
            }
            (false, true) => {
                let token = format!("somebody-else-{}", "0".repeat(32));
                let body = json!({"Name": path, "SecretString": text, "ClientRequestToken": token});
                self.bench.lab.json("secretsmanager", "secretsmanager.CreateSecret", body).await;
            }
            (false, false) => {
                let token = format!("somebody-else-{}", "1".repeat(32));
                let body = json!({"SecretId": path, "SecretString": text, "ClientRequestToken": token});
                self.bench.lab.json("secretsmanager", "secretsmanager.PutSecretValue", body).await;
            }
        }
    }

    async fn value(&self, path: &str) -> Value {
        let text = match self.ssm {
            true => {
                let body = json!({"Name": path, "WithDecryption": true});
                let got = self.bench.lab.json("ssm", "AmazonSSM.GetParameter", body).await;
                got["Parameter"]["Value"].as_str().expect("a value").to_owned()
            }
            false => {
                let body = json!({"SecretId": path, "VersionStage": "AWSCURRENT"});
                let got = self.bench.lab.json("secretsmanager", "secretsmanager.GetSecretValue", body).await;
                got["SecretString"].as_str().expect("a value").to_owned()
            }
        };
        serde_json::from_str(&text).expect("JSON")
    }
}

fn entry(path: &str) -> EntryRef {
    EntryRef {
        name: EntryName::new("entry").expect("a name"),
        path: path.to_owned(),
        username_field: "SMTP_USERNAME".to_owned(),
        password_field: "SMTP_PASSWORD".to_owned(),
    }
}

#[async_trait]
impl StoreBench for Texts {
    fn store(&self) -> Arc<dyn Store> {
        self.open(self.bench.lab.port(), &self.bench.rotator)
    }

    fn nowhere(&self) -> Result<Arc<dyn Store>, &'static str> {
        Ok(self.open(free_port(), &self.bench.rotator))
    }

    async fn forbidden(&self) -> Result<Arc<dyn Store>, &'static str> {
        self.bench.lab.enforce(true).await;
        Ok(self.open(self.bench.lab.port(), &self.bench.reader))
    }

    async fn cutting(&self) -> Result<Arc<dyn Store>, &'static str> {
        self.bench.lab.enforce(false).await;
        self.bench.proxy.cut_answers_to(if self.ssm { "AmazonSSM.PutParameter" } else { "UpdateSecretVersionStage" });
        Ok(self.open(self.bench.proxy.port(), &self.bench.rotator))
    }

    async fn entry(&self, name: &str, username: &str, password: &str) -> EntryRef {
        self.bench.lab.enforce(false).await;
        let value = json!({"SMTP_USERNAME": username, "SMTP_PASSWORD": password, "OTHERS": OTHERS, "n": 7});
        self.put(name, &value, true).await;
        entry(name)
    }

    fn missing(&self) -> EntryRef {
        entry("missing")
    }

    async fn held(&self, entry: &EntryRef) -> (String, String) {
        self.bench.lab.enforce(false).await;
        let value = self.value(&entry.path).await;
        let text = |key: &str| value[key].as_str().expect("a text").to_owned();
        (text("SMTP_USERNAME"), text("SMTP_PASSWORD"))
    }

    async fn meddle(&self, entry: &EntryRef, username: &str, password: &str) {
        let value = json!({"SMTP_USERNAME": username, "SMTP_PASSWORD": password, "OTHERS": OTHERS, "n": 7});
        self.put(&entry.path, &value, false).await;
    }

    async fn sibling(&self, entry: &EntryRef) -> Result<bool, &'static str> {
        let value = self.value(&entry.path).await;
        Ok(value["OTHERS"] == OTHERS && value["n"] == 7)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_manager_is_as_every_store() {
    let ran = stores::run(&Texts { bench: Bench::start().await, ssm: false }).await;
    table::hold("aws-secrets-manager", &ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn ssm_is_as_every_store() {
    let ran = stores::run(&Texts { bench: Bench::start().await, ssm: true }).await;
    table::hold("aws-ssm", &ran);
}
