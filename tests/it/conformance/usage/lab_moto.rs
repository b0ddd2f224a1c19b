//! The kinds at AWS, against moto: when IAM last saw a key, and SES's statistics.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use handover::usage::iam_last_used::IamLastUsed;
use handover::usage::ses_statistics::SesStatistics;
use handover::usage::{Evidence, Question};

use super::super::table;
use super::{Act, UsageBench, opened, question, run, version};
use crate::support::lab::aws::AwsLab;
use crate::support::lab::free_port;

const NO_TIME: &str = "moto gives everything the time at which it happens";
const NO_REFUSALS: &str = "refused logins are not in it";
const NO_ADDRESS: &str = "it tells no address";

struct Bench {
    lab: AwsLab,
    asker: (PathBuf, PathBuf),
    nobody: (PathBuf, PathBuf),
    /// The credential's key, and another user's.
    ours: (String, String),
    theirs: (String, String),
    statistics: bool,
}

impl Bench {
    async fn start(statistics: bool) -> Self {
        let lab = AwsLab::start();
        let asker = lab.keep("asker", &lab.user("asker", &["iam:Get*", "iam:List*", "ses:Get*"]).await);
        let nobody = lab.keep("nobody", &lab.user("nobody", &["sns:Publish"]).await);
        let ours = lab.user("smtp-newsletter", &["ses:*", "iam:*"]).await;
        let theirs = lab.user("smtp-other", &["ses:*", "iam:*"]).await;
        Self { lab, asker, nobody, ours, theirs, statistics }
    }

    fn open(&self, port: u16, key: &(PathBuf, PathBuf)) -> Arc<dyn Evidence> {
        let text = format!("{{{}}}", self.lab.options(port, key));
        match self.statistics {
            true => opened(&text, SesStatistics::options, SesStatistics::open),
            false => opened(&text, IamLastUsed::options, IamLastUsed::open),
        }
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_millis();
    u64::try_from(now).expect("a time")
}

#[async_trait]
impl UsageBench for Bench {
    fn source(&self) -> Arc<dyn Evidence> {
        self.open(self.lab.port(), &self.asker)
    }

    fn nowhere(&self) -> Result<Arc<dyn Evidence>, &'static str> {
        Ok(self.open(free_port(), &self.asker))
    }

    async fn forbidden(&self) -> Result<Arc<dyn Evidence>, &'static str> {
        self.lab.enforce(true).await;
        Ok(self.open(self.lab.port(), &self.nobody))
    }

    fn question(&self) -> Question {
        question("ses", "smtp-newsletter", version(&self.ours.0, &self.ours.0), now() + 2000)
    }

    async fn act(&self, act: Act) -> Result<u64, &'static str> {
        if !act.accepted {
            return Err(NO_REFUSALS);
        }
        if act.at_ms < self.question().since_ms {
            return Err(NO_TIME);
        }
        let at_ms = now();
        if self.statistics {
            if !act.ours {
                return Err("it counts the mail of the whole account");
            }
            // A mail from an address that nobody has verified is rejected, which is what moto counts.
            self.lab.rejected_mail().await;
        } else {
            let key = if act.ours { &self.ours } else { &self.theirs };
            self.lab.used_by(&key.0).await;
        }
        Ok(at_ms)
    }

    fn tells_addresses(&self) -> Result<(), &'static str> {
        Err(NO_ADDRESS)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn iams_last_use_is_as_every_source() {
    let ran = run(&Bench::start(false).await).await;
    table::hold("iam-last-used", &ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn sess_statistics_are_as_every_source() {
    let bench = Bench::start(true).await;
    let ran = run(&bench).await;
    table::hold("ses-statistics", &ran);
}
