//! A world at AWS, and OpenBao if it is wanted.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::lab::app::App;
use crate::support::lab::aws::{AwsLab, REGION};
use crate::support::lab::bao::{Bao, ROOT};
use crate::support::lab::desk::{CREDENTIAL, Desk};
use crate::support::service;

pub(super) const USER: &str = "smtp-newsletter";
pub(super) const ROTATOR: &[&str] = &["iam:*", "ses:*", "secretsmanager:*", "ssm:*"];
const FIELDS: &str = "fields: {username: SMTP_USERNAME, password: SMTP_PASSWORD}";

/// SES and its stores, each holding the same login, and services that use it.
pub(super) struct Amazon {
    pub(super) lab: AwsLab,
    pub(super) desk: Desk,
    app: App,
    pub(super) rotator: (PathBuf, PathBuf),
    pub(super) old: (String, String),
    pub(super) bao: Option<Bao>,
}

impl Amazon {
    /// Without OpenBao.
    pub(super) async fn start() -> Self {
        Self::with(None).await
    }

    /// With a fourth entry in OpenBao.
    pub(super) async fn with_bao() -> Self {
        Self::with(Some(Bao::start().await)).await
    }

    async fn with(bao: Option<Bao>) -> Self {
        let lab = AwsLab::start();
        let rotator = lab.keep("rotator", &lab.user("rotator", ROTATOR).await);
        let (id, secret) = lab.user(USER, &["ses:SendRawEmail"]).await;
        let old = (id, handover::providers::ses::smtp_password(&secret, REGION).expose().to_owned());
        let value = json!({"SMTP_USERNAME": old.0, "SMTP_PASSWORD": old.1, "OTHER": "kept"}).to_string();
        let body = json!({"Name": "staging/newsletter", "SecretString": value, "ClientRequestToken": "a".repeat(36)});
        lab.json("secretsmanager", "secretsmanager.CreateSecret", body).await;
        let body = json!({"Name": "/newsletter", "Value": value, "Type": "SecureString"});
        lab.json("ssm", "AmazonSSM.PutParameter", body).await;
        if let Some(bao) = &bao {
            let value: Value = serde_json::from_str(&value).expect("JSON");
            bao.must("POST", "secret/data/newsletter", json!({"data": value})).await;
        }
        let desk = Desk::new();
        let text = format!("# ours\nSMTP_USERNAME={}\nSMTP_PASSWORD={}\nOTHER=kept\n", old.0, old.1);
        std::fs::write(desk.dir().join("host.env"), text).expect("it is written");
        let url = format!("http://127.0.0.1:{}/", lab.moto());
        let mut services = vec![
            ("api-staging", json!({"kind": "secrets-manager", "url": url, "region": REGION, "path": "staging/newsletter"})),
            ("api", json!({"kind": "ssm", "url": url, "region": REGION, "path": "/newsletter"})),
            ("worker", json!({"kind": "env", "path": desk.dir().join("host.env")})),
        ];
        if let Some(bao) = &bao {
            let source =
                json!({"kind": "vault", "url": bao.address(), "token": ROOT, "mount": "secret", "path": "newsletter"});
            services.push(("web", source));
        }
        let app = App::start(&lab.smtp(), &services);
        let amazon = Self { lab, desk, app, rotator, old, bao };
        amazon.inventory(USER, amazon.lab.port(), &amazon.rotator);
        amazon
    }

    /// Writes the inventory, with the account, the port of AWS and who Handover is there.
    pub(super) fn inventory(&self, account: &str, port: u16, key: &(PathBuf, PathBuf)) {
        let vault = self.bao.as_ref().map(|bao| {
            let token = bao.keep("root", ROOT);
            format!("address: \"{}\", auth: {{token: {{file: {}}}}}", bao.address(), token.display())
        });
        self.inventory_at(account, port, key, vault.as_deref());
    }

    /// The same with the options of OpenBao.
    pub(super) fn inventory_at(&self, account: &str, port: u16, key: &(PathBuf, PathBuf), vault: Option<&str>) {
        let (mut store, mut entry, mut service) = (String::new(), String::new(), String::new());
        if let Some(vault) = vault {
            store = format!("  vault: {{kind: vault, {vault}}}\n");
            entry = format!("      vault: {{store: vault, path: newsletter, {FIELDS}, environment: production}}\n");
            service = self.app.inventory("web", "vault", "production");
        }
        let (smtp, options) = (self.lab.smtp(), self.lab.options(port, key));
        let text = format!(
            "version: 1\nproviders:\n  ses: {{kind: ses, {options}, propagation: 1s}}\nstores:\n  \
             secrets: {{kind: aws-secrets-manager, {options}}}\n  parameters: {{kind: aws-ssm, {options}}}\n  \
             hosts: {{kind: env-file}}\n{store}credentials:\n  {CREDENTIAL}:\n    provider: ses\n    account: {account}\n    \
             smtp: {{host: {}, port: {}, tls: starttls, ca_file: {}}}\n    \
             probe: {{from: probe@lab.test, to: inbox@lab.test, arrival: {{maildir: {}}}}}\n    entries:\n      \
             staging: {{store: secrets, path: staging/newsletter, {FIELDS}, environment: staging}}\n      \
             parameter: {{store: parameters, path: /newsletter, {FIELDS}, environment: production}}\n      \
             host: {{store: hosts, path: {}, {FIELDS}, environment: production}}\n{entry}services:\n{}{}{}{service}",
            smtp.host,
            smtp.starttls_port,
            smtp.ca_file,
            self.lab.maildir().display(),
            self.desk.dir().join("host.env").display(),
            self.app.inventory("api-staging", "staging", "staging"),
            self.app.inventory("api", "parameter", "production"),
            self.app.inventory("worker", "host", "production"),
        );
        self.desk.inventory(&text);
    }

    /// What the entries hold, seen without Handover.
    pub(super) async fn held(&self) -> Vec<(String, String)> {
        let body = json!({"SecretId": "staging/newsletter", "VersionStage": "AWSCURRENT"});
        let secret = self.lab.json("secretsmanager", "secretsmanager.GetSecretValue", body).await;
        let body = json!({"Name": "/newsletter", "WithDecryption": true});
        let parameter = self.lab.json("ssm", "AmazonSSM.GetParameter", body).await;
        let mut held = Vec::new();
        for text in [&secret["SecretString"], &parameter["Parameter"]["Value"]] {
            let value: Value = serde_json::from_str(text.as_str().expect("a text")).expect("JSON");
            assert_eq!(value["OTHER"], "kept");
            let of = |key: &str| value[key].as_str().expect("a text").to_owned();
            held.push((of("SMTP_USERNAME"), of("SMTP_PASSWORD")));
        }
        held.push(service::held(&self.desk.dir().join("host.env")));
        if let Some(bao) = &self.bao {
            let (_, got) = bao.ask("GET", "secret/data/newsletter", None).await;
            let value = &got["data"]["data"];
            assert_eq!(value["OTHER"], "kept");
            let of = |key: &str| value[key].as_str().expect("a text").to_owned();
            held.push((of("SMTP_USERNAME"), of("SMTP_PASSWORD")));
        }
        held
    }

    /// Nothing may be left over: one key, `wanted`, held everywhere.
    pub(super) async fn holds(&self, wanted: &(String, String)) {
        let held = self.held().await;
        assert_eq!(held, vec![wanted.clone(); held.len()]);
        assert_eq!(self.lab.keys(USER).await, [(wanted.0.clone(), "Active".to_owned())]);
        assert_eq!(self.lab.login(&wanted.0, &wanted.1), 235);
    }
}
