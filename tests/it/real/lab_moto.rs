//! SES on moto, with entries in Secrets Manager, in Parameter Store and in an env file.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::exit::{DONE, REFUSED, ROLLED_BACK};
use crate::support::lab::app::App;
use crate::support::lab::aws::{AwsLab, REGION};
use crate::support::lab::desk::{CREDENTIAL, Desk};
use crate::support::lab::proxy::Proxy;
use crate::support::{Going, Run, service};

const USER: &str = "smtp-newsletter";
const ROTATOR: &[&str] = &["iam:*", "ses:*", "secretsmanager:*", "ssm:*"];
const FIELDS: &str = "fields: {username: SMTP_USERNAME, password: SMTP_PASSWORD}";

/// SES and its stores, each holding the same login, and services that use it.
struct Amazon {
    lab: AwsLab,
    desk: Desk,
    app: App,
    rotator: (PathBuf, PathBuf),
    old: (String, String),
}

impl Amazon {
    async fn start() -> Self {
        let lab = AwsLab::start();
        let rotator = lab.keep("rotator", &lab.user("rotator", ROTATOR).await);
        let (id, secret) = lab.user(USER, &["ses:SendRawEmail"]).await;
        let old = (id, handover::providers::ses::smtp_password(&secret, REGION).expose().to_owned());
        let value = json!({"SMTP_USERNAME": old.0, "SMTP_PASSWORD": old.1, "OTHER": "kept"}).to_string();
        let body = json!({"Name": "staging/newsletter", "SecretString": value, "ClientRequestToken": "a".repeat(36)});
        lab.json("secretsmanager", "secretsmanager.CreateSecret", body).await;
        let body = json!({"Name": "/newsletter", "Value": value, "Type": "SecureString"});
        lab.json("ssm", "AmazonSSM.PutParameter", body).await;
        let desk = Desk::new();
        let text = format!("# ours\nSMTP_USERNAME={}\nSMTP_PASSWORD={}\nOTHER=kept\n", old.0, old.1);
        std::fs::write(desk.dir().join("host.env"), text).expect("it is written");
        let url = format!("http://127.0.0.1:{}/", lab.moto());
        let app = App::start(
            &lab.smtp(),
            &[
                (
                    "api-staging",
                    json!({"kind": "secrets-manager", "url": url, "region": REGION, "path": "staging/newsletter"}),
                ),
                ("api", json!({"kind": "ssm", "url": url, "region": REGION, "path": "/newsletter"})),
                ("worker", json!({"kind": "env", "path": desk.dir().join("host.env")})),
            ],
        );
        let amazon = Self { lab, desk, app, rotator, old };
        amazon.inventory(USER, amazon.lab.port(), &amazon.rotator);
        amazon
    }

    /// Writes the inventory, with the account, the port of AWS and who Handover is there.
    fn inventory(&self, account: &str, port: u16, key: &(PathBuf, PathBuf)) {
        let (smtp, options) = (self.lab.smtp(), self.lab.options(port, key));
        let text = format!(
            "version: 1\nproviders:\n  ses: {{kind: ses, {options}, propagation: 1s}}\nstores:\n  \
             secrets: {{kind: aws-secrets-manager, {options}}}\n  parameters: {{kind: aws-ssm, {options}}}\n  \
             hosts: {{kind: env-file}}\ncredentials:\n  {CREDENTIAL}:\n    provider: ses\n    account: {account}\n    \
             smtp: {{host: {}, port: {}, tls: starttls, ca_file: {}}}\n    \
             probe: {{from: probe@lab.test, to: inbox@lab.test, arrival: {{maildir: {}}}}}\n    entries:\n      \
             staging: {{store: secrets, path: staging/newsletter, {FIELDS}, environment: staging}}\n      \
             parameter: {{store: parameters, path: /newsletter, {FIELDS}, environment: production}}\n      \
             host: {{store: hosts, path: {}, {FIELDS}, environment: production}}\nservices:\n{}{}{}",
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

    /// What the three entries hold, seen without Handover.
    async fn held(&self) -> Vec<(String, String)> {
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
        held
    }

    /// Nothing may be left over: one key, `wanted`, held everywhere.
    async fn holds(&self, wanted: &(String, String)) {
        assert_eq!(self.held().await, vec![wanted.clone(); 3]);
        assert_eq!(self.lab.keys(USER).await, [(wanted.0.clone(), "Active".to_owned())]);
        assert_eq!(self.lab.login(&wanted.0, &wanted.1), 235);
    }
}

#[track_caller]
fn ends(run: &Run, code: i32) {
    assert_eq!(run.code(), code, "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_ses_is_replaced_everywhere_and_the_old_one_refused() {
    let amazon = Amazon::start().await;
    amazon.lab.enforce(false).await;
    ends(&amazon.desk.rotate("drill"), DONE);
    let new = amazon.held().await[0].clone();
    assert_ne!(new.0, amazon.old.0);
    amazon.holds(&new).await;
    assert_eq!(amazon.lab.login(&amazon.old.0, &amazon.old.1), 535, "the old login");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_store_of_three_that_fails_for_good_takes_all_back_to_the_old_key() {
    let amazon = Amazon::start().await;
    // The first write to Parameter Store, and every one after it, is refused as when a policy has changed meanwhile.
    amazon.lab.refuse("AmazonSSM.PutParameter", "AccessDeniedException", true).await;
    ends(&amazon.desk.rotate("drill"), ROLLED_BACK);
    amazon.holds(&amazon.old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_a_key_whose_secret_died_with_the_process_is_removed_and_made_anew() {
    let amazon = Amazon::start().await;
    let mut command = amazon.desk.command(&["rotate", CREDENTIAL, "--playbook", "drill", "--yes"]);
    command.env("HANDOVER_CRASH_AT", "create.after#1");
    assert!(Going::start(command).end().was_killed());
    let keys = amazon.lab.keys(USER).await;
    assert_eq!(keys.len(), 2, "the old one, and one that nobody knows the secret of: {keys:?}");
    let orphan = keys.iter().map(|(id, _)| id.clone()).find(|id| *id != amazon.old.0).expect("a new key");
    ends(&amazon.desk.resume(), DONE);
    let new = amazon.held().await[0].clone();
    assert!(new.0 != orphan && new.0 != amazon.old.0, "{new:?}");
    amazon.holds(&new).await;
    assert!(amazon.lab.most_keys().await <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_new_key_is_no_second_key() {
    let amazon = Amazon::start().await;
    let proxy = Proxy::before(amazon.lab.port()).await;
    proxy.cut_answers_to("Action=CreateAccessKey");
    amazon.inventory(USER, proxy.port(), &amazon.rotator);
    let mut going = amazon.desk.rotating("drill");
    let cut = going.wait_for(|e| e["event"] == "settled" && e["outcome"]["unknown"]["code"] == "HO0505");
    assert!(cut.is_some(), "the answer was cut off");
    proxy.pass();
    ends(&going.end(), DONE);
    let new = amazon.held().await[0].clone();
    amazon.holds(&new).await;
    assert!(amazon.lab.most_keys().await <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_somebody_else_made_is_named_and_left_alone() {
    let amazon = Amazon::start().await;
    let (foreign, _) = amazon.lab.key(USER).await;
    let run = amazon.desk.rotate("drill");
    ends(&run, REFUSED);
    assert!(run.said().contains(&foreign), "{run}");
    let keys: Vec<String> = amazon.lab.keys(USER).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(keys, [amazon.old.0.clone(), foreign]);
}

/// What `plan` says of AWS when something is wrong: it refuses, changes nothing, and names what to mend.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_cannot_end_well_is_refused_with_what_to_mend() {
    let amazon = Amazon::start().await;
    let lab = &amazon.lab;
    let poor = lab.keep("poor", &lab.user("poor", &["iam:List*", "iam:Get*", "secretsmanager:*", "ssm:*"]).await);
    let blind = lab.keep("blind", &lab.user("blind", &["iam:*", "ses:*", "secretsmanager:*"]).await);
    let stranger = lab.keep("stranger", &("AKIASTRANGER00000000".to_owned(), "x".repeat(40)));
    let own = lab.keep("own", &lab.user("own", ROTATOR).await);
    lab.enforce(true).await;
    let refused = |account: &str, key: &(PathBuf, PathBuf), words: &[&str]| {
        amazon.inventory(account, lab.port(), key);
        for args in
            [vec!["plan", CREDENTIAL, "--playbook", "drill"], vec!["rotate", CREDENTIAL, "--playbook", "drill", "--yes"]]
        {
            let run = amazon.desk.run(&args);
            ends(&run, REFUSED);
            for word in words {
                assert!(run.said().contains(word), "{word}: {run}");
            }
        }
    };
    refused(USER, &poor, &["iam:DeleteAccessKey"]);
    refused(USER, &blind, &["ssm:GetParameter"]);
    refused(USER, &stranger, &["credentials"]);
    refused("nobody", &amazon.rotator, &["IAM has no user"]);
    refused("own", &own, &["own"]);
    lab.enforce(false).await;
    let body = json!({"SecretId": "staging/newsletter", "SecretString": "{}", "VersionStages": ["AWSPENDING"],
                      "ClientRequestToken": "b".repeat(36)});
    lab.json("secretsmanager", "secretsmanager.PutSecretValue", body).await;
    refused(USER, &amazon.rotator, &[&"b".repeat(36), "pending"]);
    assert_eq!(amazon.held().await, vec![amazon.old.clone(); 3]);
    assert_eq!(lab.keys(USER).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_leaked_login_could_do_is_told_before_it_leaks() {
    let amazon = Amazon::start().await;
    let policy =
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["ses:*", "s3:GetObject"], "Resource": "*"}]}).to_string();
    amazon.lab.iam("PutUserPolicy", &[("UserName", USER), ("PolicyName", "own"), ("PolicyDocument", &policy)]).await;
    let quarantine = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "iam:*", "Resource": "*"}]});
    let made = [("PolicyName", "AWSCompromisedKeyQuarantineV3"), ("PolicyDocument", &quarantine.to_string())];
    amazon.lab.iam("CreatePolicy", &made).await;
    let arn = "arn:aws:iam::123456789012:policy/AWSCompromisedKeyQuarantineV3";
    amazon.lab.iam("AttachUserPolicy", &[("UserName", USER), ("PolicyArn", arn)]).await;
    let run = amazon.desk.run(&["plan", CREDENTIAL, "--playbook", "drill"]);
    ends(&run, DONE);
    for word in ["s3:GetObject", "ses:*", "AWSCompromisedKeyQuarantineV3", "does not stop"] {
        assert!(run.said().contains(word), "{word}: {run}");
    }
}
