//! The mixed rehearsal: one credential of SES, entries in OpenBao, Secrets Manager, Parameter Store and an env file, and every fault
//! that can be made from outside, forth and back.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::amazon::{Amazon, USER};
use super::ends;
use crate::support::exit::{DONE, REFUSED, ROLLED_BACK, WAITING};
use crate::support::lab::bao::ROOT;
use crate::support::lab::desk::CREDENTIAL;
use crate::support::lab::proxy::Proxy;

/// The mixed world with a proxy before AWS and one before OpenBao.
struct Mixed {
    amazon: Amazon,
    aws: Proxy,
    vault: Proxy,
}

impl Mixed {
    async fn start() -> Self {
        let amazon = Amazon::with_bao().await;
        let bao = amazon.bao.as_ref().expect("OpenBao");
        let (aws, vault) = (Proxy::before(amazon.lab.port()).await, Proxy::before(bao.port()).await);
        let options = format!(
            "address: \"http://127.0.0.1:{}\", auth: {{token: {{file: {}}}}}",
            vault.port(),
            token(&amazon).display()
        );
        amazon.inventory_at(USER, aws.port(), &amazon.rotator, Some(&options));
        Self { amazon, aws, vault }
    }
}

fn token(amazon: &Amazon) -> PathBuf {
    amazon.bao.as_ref().expect("OpenBao").keep("root", ROOT)
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The connection is reset after the server has acted, once.
    Cut(At, &'static str),
    /// AWS refuses the call once, with this code.
    Refused(&'static str, &'static str),
}

#[derive(Clone, Copy, Debug)]
enum At {
    Aws,
    Vault,
}

impl Mixed {
    async fn make(&self, fault: Fault) {
        match fault {
            Fault::Cut(At::Aws, words) => self.aws.cut_answer_to(words),
            Fault::Cut(At::Vault, words) => self.vault.cut_answer_to(words),
            Fault::Refused(words, code) => self.amazon.lab.refuse(words, code, false).await,
        }
    }
}

/// Each fault has a world of its own, and some are tried at once: after a lost answer most of the time is waiting until the call
/// can no longer land.
async fn each<F: Future<Output = ()> + Send + 'static>(cases: impl IntoIterator<Item = F>) {
    let room = Arc::new(Semaphore::new(5));
    let mut running = JoinSet::new();
    for case in cases {
        let room = Arc::clone(&room);
        running.spawn(async move {
            let _place = room.acquire_owned().await.expect("room");
            case.await;
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_on_the_way_forth_ends_with_the_new_key_everywhere() {
    let faults = [
        Fault::Cut(At::Aws, "Action=CreateAccessKey"),
        Fault::Cut(At::Aws, "Status=Inactive"),
        Fault::Cut(At::Aws, "AWSPENDING"),
        Fault::Cut(At::Aws, "MoveToVersionId"),
        Fault::Cut(At::Aws, "\"Overwrite\":true"),
        Fault::Cut(At::Vault, "POST /v1/secret/data/newsletter"),
        Fault::Refused("AmazonSSM.PutParameter", "ThrottlingException"),
        Fault::Refused("MoveToVersionId", "InternalServiceError"),
        Fault::Refused("AWSPENDING", "ThrottlingException"),
    ];
    each(faults.map(|fault| Box::pin(forth(fault)))).await;
}

async fn forth(fault: Fault) {
    let mixed = Mixed::start().await;
    let old = mixed.amazon.old.clone();
    mixed.make(fault).await;
    let run = tokio::task::block_in_place(|| mixed.amazon.desk.rotate("drill"));
    assert_eq!(run.code(), DONE, "{fault:?}: {run}");
    let new = mixed.amazon.held().await[0].clone();
    assert_ne!(new, old, "{fault:?}");
    mixed.amazon.holds(&new).await;
    assert_eq!(mixed.amazon.lab.login(&old.0, &old.1), 535, "{fault:?}");
    let cut = mixed.aws.cut() + mixed.vault.cut();
    assert_eq!(cut, usize::from(matches!(fault, Fault::Cut(..))), "{fault:?}");
    assert!(mixed.amazon.lab.most_keys().await <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_on_the_way_back_ends_with_the_old_key_everywhere() {
    let faults = [
        None,
        Some(Fault::Cut(At::Vault, "POST /v1/secret/data/newsletter")),
        Some(Fault::Cut(At::Aws, "Action=DeleteAccessKey")),
        Some(Fault::Cut(At::Aws, "MoveToVersionId")),
        Some(Fault::Refused("AmazonSSM.PutParameter", "ThrottlingException")),
    ];
    each(faults.map(|fault| Box::pin(back(fault)))).await;
}

async fn back(fault: Option<Fault>) {
    let mixed = Mixed::start().await;
    let old = mixed.amazon.old.clone();
    // The soak: everything holds the new key. From here on, everything must be put back.
    let going = tokio::task::block_in_place(|| {
        let mut going = mixed.amazon.desk.rotating("drill");
        going.wait_for_step(8).expect("it comes to the soak");
        going
    });
    if let Some(fault) = fault {
        mixed.make(fault).await;
    }
    let run = tokio::task::block_in_place(|| {
        ends(&mixed.amazon.desk.run(&["abort", CREDENTIAL, "--reason", "a drill"]), WAITING);
        going.end()
    });
    assert_eq!(run.code(), ROLLED_BACK, "{fault:?}: {run}");
    mixed.amazon.holds(&old).await;
    assert!(mixed.amazon.lab.most_keys().await <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_written_now_refuses_the_plan_and_says_what_to_mend() {
    let amazon = Amazon::with_bao().await;
    let bao = amazon.bao.as_ref().expect("OpenBao");
    let root = token(&amazon);
    let wrong = bao.keep("wrong", "no-such-token");
    let policy = "path \"secret/data/*\" { capabilities = [\"read\"] }";
    let reader = bao.token("reader", policy, serde_json::json!({})).await;
    let other = crate::support::lab::ca::Ca::make(&bao.folder.path().join("other")).ca;
    let plain = bao.address();
    let refused = |options: String, word: &str| {
        amazon.inventory_at(USER, amazon.lab.port(), &amazon.rotator, Some(&options));
        for args in
            [vec!["plan", CREDENTIAL, "--playbook", "drill"], vec!["rotate", CREDENTIAL, "--playbook", "drill", "--yes"]]
        {
            let run = amazon.desk.run(&args);
            ends(&run, REFUSED);
            assert!(run.said().contains(word), "{word}: {run}");
        }
    };
    refused(format!("address: \"{plain}\", auth: {{token: {{file: {}}}}}", wrong.display()), "token");
    refused(format!("address: \"{plain}\", auth: {{token: {{file: {}}}}}", reader.display()), "update");
    let (tls, root) = (bao.tls_address(), root.display());
    refused(format!("address: \"{tls}\", ca_file: {}, auth: {{token: {{file: {root}}}}}", other.display()), "ca_file");
    bao.must("POST", "sys/seal", serde_json::json!({})).await;
    refused(format!("address: \"{plain}\", auth: {{token: {{file: {root}}}}}"), "sealed");
    assert_eq!(amazon.lab.keys(USER).await.len(), 1);
}
