//! The kinds that ask an API, each against a server written from the vendor's contract.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use handover::usage::cloudtrail::CloudTrail;
use handover::usage::mailgun_events::MailgunEvents;
use handover::usage::sendgrid_activity::SendGridActivity;
use handover::usage::{Evidence, Question, Sight};

use super::super::table;
use super::{Act, DAY, NOW, UsageBench, look, made, opened, question, run, version};
use crate::support::lab::free_port;
use crate::support::lab::vendors::cloudtrail::Trail;
use crate::support::lab::vendors::mailgun_events::Events;
use crate::support::lab::vendors::sendgrid_activity::Activity;
use crate::support::lab::vendors::{FULL_KEY, LOOK_KEY, Served, Vendor};

const NO_REFUSALS: &str = "refused logins are not in it";

/// A vendor that keeps what happens.
trait Keeps: Vendor {
    fn keep(&mut self, act: Act);
    fn open(address: &str, key: &str) -> Arc<dyn Evidence>;
    fn question() -> Question;
    /// Why another's use cannot be told from ours, if it cannot.
    const SHARED: Option<&'static str> = None;
}

struct Bench<V> {
    server: Served<V>,
    keys: tempfile::TempDir,
}

impl<V: Keeps> Bench<V> {
    async fn start(vendor: V) -> Self {
        let keys = tempfile::tempdir().expect("a folder");
        for key in [FULL_KEY, LOOK_KEY] {
            std::fs::write(keys.path().join(key), format!("{key}\n")).expect("it is written");
        }
        Self { server: Served::start(vendor).await, keys }
    }

    fn at(&self, address: &str, key: &str) -> Arc<dyn Evidence> {
        V::open(address, &self.keys.path().join(key).display().to_string())
    }
}

#[async_trait]
impl<V: Keeps> UsageBench for Bench<V> {
    fn source(&self) -> Arc<dyn Evidence> {
        self.at(&self.server.address(), FULL_KEY)
    }

    fn nowhere(&self) -> Result<Arc<dyn Evidence>, &'static str> {
        Ok(self.at(&format!("http://127.0.0.1:{}", free_port()), FULL_KEY))
    }

    async fn forbidden(&self) -> Result<Arc<dyn Evidence>, &'static str> {
        Ok(self.at(&self.server.address(), LOOK_KEY))
    }

    fn question(&self) -> Question {
        V::question()
    }

    async fn act(&self, act: Act) -> Result<u64, &'static str> {
        if !act.accepted {
            return Err(NO_REFUSALS);
        }
        if let (Some(why), false) = (V::SHARED, act.ours) {
            return Err(why);
        }
        self.server.state().keep(act);
        Ok(act.at_ms)
    }
}

impl Keeps for Activity {
    fn keep(&mut self, act: Act) {
        self.sent(if act.ours { "key-1" } else { "key-9" }, act.at_ms, act.address);
    }

    fn open(address: &str, key: &str) -> Arc<dyn Evidence> {
        let text = format!("{{address: \"{address}\", api_key: {{file: {key}}}, retention: 30d}}");
        Arc::new(made(&text, SendGridActivity::options, SendGridActivity::open).paced(Duration::ZERO))
    }

    fn question() -> Question {
        question("sendgrid", "newsletter", version("key-1", "apikey"), NOW)
    }
}

impl Keeps for Events {
    fn keep(&mut self, act: Act) {
        self.accepted(act.at_ms, act.address, "smtp");
    }

    fn open(address: &str, key: &str) -> Arc<dyn Evidence> {
        let text = format!("{{address: \"{address}\", api_key: {{file: {key}}}, retention: 30d}}");
        opened(&text, MailgunEvents::options, MailgunEvents::open)
    }

    fn question() -> Question {
        question("mailgun", "mg.example.com", version("news@mg.example.com", "news@mg.example.com"), NOW)
    }

    const SHARED: Option<&'static str> = Some("it does not tell with which login of the domain");
}

impl Keeps for Trail {
    fn keep(&mut self, act: Act) {
        self.called(if act.ours { "AKIA1" } else { "AKIA9" }, "GetSendQuota", act.at_ms, act.address);
    }

    fn open(address: &str, key: &str) -> Arc<dyn Evidence> {
        let secret = format!("{{file: {key}}}");
        let text = format!(
            "{{region: eu-central-1, endpoint: \"{address}\", credentials: {{access_key_id: {secret}, secret_access_key: {secret}}}}}"
        );
        opened(&text, CloudTrail::options, CloudTrail::open)
    }

    fn question() -> Question {
        question("ses", "smtp-newsletter", version("AKIA1", "AKIA1"), NOW)
    }
}

#[tokio::test]
async fn sendgrids_activity_is_as_every_source() {
    let ran = run(&Bench::start(Activity::default()).await).await;
    table::hold("sendgrid-activity", &ran);
}

#[tokio::test]
async fn mailguns_events_are_as_every_source() {
    let ran = run(&Bench::start(Events::default()).await).await;
    table::hold("mailgun-events", &ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudtrails_history_is_as_every_source() {
    let ran = run(&Bench::start(Trail::default()).await).await;
    table::hold("cloudtrail", &ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_history_is_paged_at_two_requests_a_second() {
    let bench = Bench::start(Trail::default()).await;
    for n in 0..120 {
        bench.server.state().called("AKIA1", "ListIdentities", NOW - DAY + n * 1000, "192.0.2.7");
    }
    let found = look(&bench).await;
    assert_eq!(found.seen.window.times, 120);
    assert_eq!(found.calls["ListIdentities"].times, 120);
    assert_eq!(bench.server.state().requests(), 3);
    assert_eq!(bench.server.state().throttled, 0, "it asked too fast");
    assert!(matches!(found.sight, Sight::Part(_)));
}

#[tokio::test]
async fn silence_of_sendgrids_search_is_believed_only_if_it_finds_another_key() {
    for (other_mail, knows_ids, expected) in [(false, false, true), (true, true, true), (true, false, false)] {
        let vendor = Activity::whose_search(knows_ids);
        let bench = Bench::start(vendor).await;
        if other_mail {
            bench.server.state().sent("key-9", NOW - DAY, "198.51.100.7");
        }
        let found = look(&bench).await;
        assert_eq!(found.sight == Sight::Mail, expected, "{other_mail} {knows_ids}: {found:?}");
        assert_eq!(found.seen.window.times, 0);
    }
}

#[tokio::test]
async fn of_many_mails_a_sample_is_looked_at_and_that_is_said() {
    let bench = Bench::start(Activity::default()).await;
    for n in 0..30 {
        bench.server.state().sent("key-1", NOW - DAY + n * 1000, "192.0.2.7");
    }
    let found = look(&bench).await;
    assert_eq!(found.seen.window.times, 4);
    assert!(matches!(found.sight, Sight::Part(_)));
    assert!(found.notes.iter().any(|note| note.contains("30 mails in the window; 4 were looked at")), "{:?}", found.notes);
    assert!(bench.server.state().requests <= 6, "more than a minute allows");
}

#[tokio::test]
async fn a_mail_to_many_is_one_use_and_what_came_by_the_api_is_none() {
    let bench = Bench::start(Events::default()).await;
    for _ in 0..700 {
        bench.server.state().recipient("one-mail", NOW - DAY, "192.0.2.7");
    }
    bench.server.state().accepted(NOW - DAY, "203.0.113.7", "http");
    let found = look(&bench).await;
    assert_eq!(found.seen.window.times, 1);
    assert_eq!(found.seen.networks.len(), 1);
    assert!(found.shared.is_some() && found.sight == Sight::Mail);
    assert!(found.notes.iter().any(|note| note.contains("1 mails came by Mailgun's API")), "{:?}", found.notes);
    assert!(bench.server.state().pages > 2);
}

#[tokio::test]
async fn the_key_goes_to_no_other_address_than_the_vendors() {
    let bench = Bench::start(Events::naming("http://127.0.0.1:1/v3/mg.example.com/events/W3siYSI6")).await;
    bench.server.state().accepted(NOW - DAY, "192.0.2.7", "smtp");
    let found = look(&bench).await;
    assert_eq!(found.seen.window.times, 1, "the token is followed at the vendor's own address");
    for next in ["http://127.0.0.1:1/steal", "http://x/v3/mg.example.com/events/%2e%2e", "no address"] {
        let bench = Bench::start(Events::naming(next)).await;
        bench.server.state().accepted(NOW - DAY, "192.0.2.7", "smtp");
        let found = look(&bench).await;
        let asked = bench.question();
        assert!(
            found.covered.gap(asked.since_ms, asked.until_ms).is_some(),
            "{next}: a list that was not read to its end is not whole"
        );
    }
}
