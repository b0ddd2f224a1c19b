//! SES on moto, with entries in Secrets Manager, in Parameter Store and in an env file.

use std::path::PathBuf;

use serde_json::json;

use super::amazon::{Amazon, ROTATOR, USER};
use super::ends;
use crate::support::Going;
use crate::support::exit::{DONE, ERROR, REFUSED, ROLLED_BACK, WAITING};
use crate::support::lab::desk::CREDENTIAL;
use crate::support::lab::proxy::Proxy;

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

#[tokio::test(flavor = "multi_thread")]
async fn doctor_tells_of_the_account_what_a_plan_tells() {
    let amazon = Amazon::start().await;
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let own = [("UserName", USER), ("PolicyName", "own"), ("PolicyDocument", &policy.to_string())];
    amazon.lab.iam("PutUserPolicy", &own).await;
    let run = amazon.desk.run(&["doctor"]);
    ends(&run, DONE);
    assert!(run.said().contains("may do more than send mail"), "{run}");
    amazon.inventory("nobody", amazon.lab.port(), &amazon.rotator);
    let run = amazon.desk.run(&["doctor"]);
    ends(&run, ERROR);
    assert!(run.said().contains("IAM has no user"), "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_on_its_way_out_is_said_to_be_that_and_how_it_comes_back() {
    let amazon = Amazon::start().await;
    let body = json!({"SecretId": "staging/newsletter", "RecoveryWindowInDays": 7});
    amazon.lab.json("secretsmanager", "secretsmanager.DeleteSecret", body).await;
    for playbook in ["drill", "leak"] {
        let run = amazon.desk.run(&["plan", CREDENTIAL, "--playbook", playbook]);
        ends(&run, if playbook == "leak" { DONE } else { REFUSED });
        assert!(!run.said().contains("InvalidRequestException"), "{run}");
        for word in ["staging/newsletter", "scheduled for deletion", "restore-secret --region eu-central-1"] {
            assert!(run.said().contains(word), "{word}: {run}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_that_there_is_no_room_and_who_takes_it() {
    let amazon = Amazon::start().await;
    let (foreign, _) = amazon.lab.key(USER).await;
    for playbook in ["drill", "emergency"] {
        let run = amazon.desk.run(&["plan", CREDENTIAL, "--playbook", playbook]);
        ends(&run, DONE);
        for word in [foreign.as_str(), "2 of 2 versions", "no room"] {
            assert!(run.said().contains(word), "{word}: {run}");
        }
    }
}

/// In a leak a full account does not keep the old key alive: it is shut out first, and the new one is made when there is room.
#[tokio::test(flavor = "multi_thread")]
async fn l5_a_full_account_keeps_nothing_accepted() {
    let amazon = Amazon::start().await;
    let (foreign, _) = amazon.lab.key(USER).await;
    let mut going = amazon.desk.rotating("emergency");
    let full = |e: &serde_json::Value| e["command"].get("create").is_some() && e["outcome"]["not-done"]["code"] == "HO0503";
    assert!(tokio::task::block_in_place(|| going.wait_for(full)).is_some(), "there is no room");
    assert_eq!(amazon.lab.login(&amazon.old.0, &amazon.old.1), 535, "the old login");
    amazon.lab.iam("DeleteAccessKey", &[("UserName", USER), ("AccessKeyId", &foreign)]).await;
    let run = tokio::task::block_in_place(|| going.end());
    assert!([DONE, WAITING].contains(&run.code()), "{run}");
    let new = amazon.held().await[0].clone();
    assert!(![&amazon.old.0, &foreign].contains(&&new.0), "{new:?}");
    assert_eq!(amazon.lab.login(&new.0, &new.1), 235);
}
