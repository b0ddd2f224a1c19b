//! The kinds that read files: logs of mail servers, SES's events, CloudTrail's exported files.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use handover::usage::cloudtrail::CloudTrail;
use handover::usage::dovecot_log::DovecotLog;
use handover::usage::exim_log::EximLog;
use handover::usage::postfix_log::PostfixLog;
use handover::usage::ses_events::SesEvents;
use handover::usage::{Evidence, Question};

use super::super::table::{self, READ_BY_ROOT};
use super::{Act, DAY, MARK, NOW, UsageBench, opened, question, run, version};

const NO_REFUSALS: &str = "refused logins are not in it";

/// A kind of file: how it writes what happens, `None` where it leaves no trace, and a line that says nothing.
#[derive(Clone, Copy)]
enum Kind {
    Postfix,
    Dovecot,
    Exim,
    SesEvents,
    Trail,
}

impl Kind {
    fn open(self, path: &str) -> Arc<dyn Evidence> {
        let text = format!("{{path: \"{path}\"}}");
        match self {
            Self::Postfix => opened(&text, PostfixLog::options, PostfixLog::open),
            Self::Dovecot => opened(&text, DovecotLog::options, DovecotLog::open),
            Self::Exim => opened(&text, EximLog::options, EximLog::open),
            Self::SesEvents => opened(&text, SesEvents::options, SesEvents::open),
            Self::Trail => opened(&text, CloudTrail::options, CloudTrail::open),
        }
    }

    fn line(self, act: &Act) -> Option<String> {
        let time = stamp(act.at_ms);
        let name = if act.ours { "newsletter" } else { MARK };
        let ip = act.address;
        Some(match (self, act.accepted) {
            (Self::Postfix, true) => format!(
                "{time} mx postfix/submission/smtpd[7]: 3F2A1: client=web[{ip}], sasl_method=PLAIN, sasl_username={name}, sasl_sender={MARK}"
            ),
            (Self::Postfix, false) => format!(
                "{time} mx postfix/submission/smtpd[7]: warning: {MARK}.example.com[{ip}]: SASL PLAIN authentication failed: {MARK}, sasl_username={name}"
            ),
            (Self::Dovecot, true) => format!(
                "{time} submission-login: Info: Login: user=<{name}>, method=PLAIN, rip={ip}, lip=192.0.2.1, mpid=7, TLS, session=<{MARK}>"
            ),
            (Self::Dovecot, false) => {
                format!("{time} auth: Info: passwd-file({name},{ip},<{MARK}>): Password mismatch (given password: {MARK})")
            }
            (Self::Exim, true) => format!(
                "{time} 1abcDE-0002Fg-Hi <= {MARK}@example.com H=({MARK}) [{ip}]:25 P=esmtpsa A=plain:{name} S=345 T=\"{MARK}\""
            ),
            (Self::Exim, false) => {
                format!("{time} plain authenticator failed for ({MARK}) [{ip}]: 535 Incorrect authentication data (set_id={name})")
            }
            (Self::SesEvents, true) => serde_json::json!({
                "eventType": "Send",
                "mail": {
                    "timestamp": time, "messageId": format!("{MARK}-{}-{name}", act.at_ms), "commonHeaders": {"subject": MARK},
                    "tags": {"ses:operation": ["SendSmtpEmail"], "ses:source-ip": [ip], "ses:caller-identity": [name]},
                },
            })
            .to_string(),
            (Self::Trail, true) => serde_json::json!({
                "eventTime": time, "eventName": "GetSendQuota", "sourceIPAddress": ip, "userAgent": MARK,
                "userIdentity": {"type": "IAMUser", "accessKeyId": if act.ours { "AKIA1" } else { "AKIA9" }},
            })
            .to_string(),
            (Self::SesEvents | Self::Trail, false) => return None,
        })
    }

    /// What is written when nothing of this credential happens.
    fn other(self, at_ms: u64) -> String {
        let act = Act { at_ms, address: "192.0.2.1", ours: false, accepted: true };
        match self {
            Self::Postfix => format!("{} mx postfix/qmgr[7]: {MARK}", stamp(at_ms)),
            Self::Dovecot => format!("{} master: Info: {MARK}", stamp(at_ms)),
            Self::Exim => format!("{} {MARK}", stamp(at_ms)),
            Self::SesEvents | Self::Trail => self.line(&act).expect("a line"),
        }
    }
}

fn stamp(at_ms: u64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(i64::try_from(at_ms).expect("a time")).expect("a time");
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

struct Bench {
    kind: Kind,
    folder: tempfile::TempDir,
    lines: Mutex<Vec<(u64, String)>>,
}

impl Bench {
    fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // A line every twelve hours, for two weeks.
        let lines = (0..=28).map(|n| NOW - n * DAY / 2).map(|at| (at, kind.other(at))).collect();
        let bench = Self { kind, folder, lines: Mutex::new(lines) };
        bench.write();
        bench
    }

    fn path(&self) -> String {
        self.folder.path().join("log").display().to_string()
    }

    fn write(&self) {
        let mut lines = self.lines.lock().expect("no test has failed in it");
        lines.sort();
        let texts: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
        let text = match self.kind {
            Kind::Trail => format!("{{\"Records\":[{}]}}", texts.join(",")),
            _ => texts.join("\n") + "\n",
        };
        std::fs::write(self.path(), text).expect("it is written");
    }
}

#[async_trait]
impl UsageBench for Bench {
    fn source(&self) -> Arc<dyn Evidence> {
        self.kind.open(&self.path())
    }

    fn nowhere(&self) -> Result<Arc<dyn Evidence>, &'static str> {
        Ok(self.kind.open(&self.folder.path().join("gone/log").display().to_string()))
    }

    async fn forbidden(&self) -> Result<Arc<dyn Evidence>, &'static str> {
        Err(READ_BY_ROOT)
    }

    fn question(&self) -> Question {
        question("dovecot", "newsletter", version("AKIA1", "newsletter"), NOW)
    }

    async fn act(&self, act: Act) -> Result<u64, &'static str> {
        let line = self.kind.line(&act).ok_or(NO_REFUSALS)?;
        self.lines.lock().expect("no test has failed in it").push((act.at_ms, line));
        self.write();
        Ok(act.at_ms)
    }
}

async fn holds(name: &str, kind: Kind) {
    let ran = run(&Bench::new(kind)).await;
    table::hold(name, &ran);
}

#[tokio::test]
async fn logs_are_as_every_source() {
    holds("postfix-log", Kind::Postfix).await;
    holds("dovecot-log", Kind::Dovecot).await;
    holds("exim-log", Kind::Exim).await;
}

#[tokio::test]
async fn records_are_as_every_source() {
    holds("ses-events", Kind::SesEvents).await;
    holds("cloudtrail (files)", Kind::Trail).await;
}

#[tokio::test]
async fn calls_of_an_api_have_their_names_and_nothing_else() {
    let bench = Bench::new(Kind::Trail);
    bench.act(Act { at_ms: NOW - DAY, address: "192.0.2.7", ours: true, accepted: true }).await.expect("it happens");
    let found = super::look(&bench).await;
    let names: Vec<(&str, u64)> = found.calls.iter().map(|(name, count)| (name.as_str(), count.times)).collect();
    assert_eq!(names, [("GetSendQuota", 1)]);
}
