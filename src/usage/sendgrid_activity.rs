//! The source `sendgrid-activity`: SendGrid's Email Activity, an add-on. A mail's record names the key that it was sent with and the
//! address that it came from.
//!
//! The list cannot be paged, and six requests a minute are allowed, so mails are counted by one search and looked at by sample. That the
//! search by key understands the key's id, SendGrid does not say (its guide shows another part of a key, which is never sent here):
//! where it finds nothing, it is tried on the key of another mail, and believed only if it finds that one.

use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use handover_rotation::name::VersionId;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::names::Who;
use super::network::address;
use super::tally::Sighting;
use super::vendor::{Common, Pace, outcome, read};
use super::{Coverage, Evidence, Found, Question, Sight};
use crate::config::Fields;
use crate::web::{Api, Lost, USAGE};

/// What the vendor allows in a minute.
const AT_ONCE: u32 = 6;
const EACH: Duration = Duration::from_secs(10);
/// The most that one search gives.
const LIMIT: usize = 1000;
/// Mails that are looked at of one key.
const SAMPLE: usize = 4;

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendGridActivityOptions {
    common: Common,
    subuser: Option<String>,
}

/// SendGrid's Email Activity.
pub struct SendGridActivity {
    api: Api,
    options: SendGridActivityOptions,
    each: Duration,
}

#[derive(Deserialize)]
struct List {
    messages: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    msg_id: String,
    last_event_time: String,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    api_key_id: Option<String>,
    #[serde(default)]
    originating_ip: Option<String>,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    processed: Option<String>,
}

impl Message {
    /// When it was sent: the first of its events.
    fn at_ms(&self) -> Option<u64> {
        self.events.iter().filter_map(|e| millis(e.processed.as_deref()?)).min()
    }
}

fn millis(text: &str) -> Option<u64> {
    u64::try_from(DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis()).ok()
}

fn written(ms: u64) -> Option<String> {
    let at = DateTime::from_timestamp_millis(i64::try_from(ms).ok()?)?;
    Some(at.format("%Y-%m-%dT%H:%M:%S.000Z").to_string())
}

impl SendGridActivity {
    /// Reads the options: `{api_key, subuser, address, ca_file, retention}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<SendGridActivityOptions> {
        let common = Common::options(fields, "https://api.sendgrid.com");
        let subuser = fields.optional_str("subuser");
        Some(SendGridActivityOptions { common: common?, subuser })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        Common::schema(json!({"subuser": {"type": "string", "minLength": 1}}))
    }

    /// SendGrid as the inventory describes it. Contacts nothing.
    ///
    /// # Errors
    /// The address or the CA file cannot be used.
    pub fn open(options: SendGridActivityOptions) -> Result<Self, Fault> {
        Ok(Self { api: options.common.api("SendGrid")?, options, each: EACH })
    }

    /// The same, not waiting so long between requests: for a server that is not SendGrid.
    #[must_use]
    pub fn paced(mut self, each: Duration) -> Self {
        self.each = each;
        self
    }

    fn request(&self, url: Url) -> Result<reqwest::RequestBuilder, Lost> {
        let key = self.options.common.key()?;
        let request = self.api.client.get(url).bearer_auth(key.expose());
        Ok(match &self.options.subuser {
            Some(subuser) => request.header("on-behalf-of", subuser),
            None => request,
        })
    }

    async fn search(&self, pace: &mut Pace, query: &str, limit: usize) -> Result<Vec<Listed>, Lost> {
        pace.next().await;
        let mut url = self.api.url(&["v3", "messages"])?;
        url.query_pairs_mut().append_pair("query", query).append_pair("limit", &limit.to_string());
        let list: List = read(&self.api, self.request(url)?, "search the email activity").await?;
        Ok(list.messages)
    }

    async fn message(&self, pace: &mut Pace, id: &str) -> Result<Message, Lost> {
        pace.next().await;
        let url = self.api.url(&["v3", "messages", id])?;
        read(&self.api, self.request(url)?, "read a mail's activity").await
    }

    async fn try_look(&self, question: &Question) -> Result<Found, Lost> {
        let keys: Vec<(usize, &VersionId)> =
            question.versions.iter().enumerate().filter_map(|(n, v)| Some((n, v.id.as_ref()?))).collect();
        let odd = |what: &str| Lost::Before(self.api.fault(FaultClass::Permanent, USAGE.odd, what));
        if keys.is_empty() {
            let fault =
                Fault::new(FaultClass::Permanent, "HO0967", format!("no key id of {} is known", question.credential));
            return Err(Lost::Before(fault.hint("give --state of the journal that has its rotations")));
        }
        let mut pace = Pace::new(AT_ONCE, self.each);
        let mut found = Found::new(question, Sight::Mail);
        let kept = self.options.common.retention.map(|kept| question.until_ms.saturating_sub(kept.0));
        let from_ms = kept.unwrap_or(0).max(question.earliest_ms());
        let (Some(from), Some(to)) = (written(from_ms), written(question.until_ms)) else {
            return Err(odd("the window is no time"));
        };
        let within = format!("last_event_time BETWEEN TIMESTAMP \"{from}\" AND TIMESTAMP \"{to}\"");
        let (mut proven, mut all) = (false, true);
        for (n, id) in keys {
            // What an id may hold cannot end the quotes of the query.
            let mails = self.search(&mut pace, &format!("api_key_id=\"{id}\" AND {within}"), LIMIT).await?;
            if mails.len() >= LIMIT {
                found.notes.push(format!("{id} has more mails in the window than one search gives ({LIMIT})"));
            }
            let sample = mails.len().min(SAMPLE);
            // The newest and the oldest: what has changed lies between them.
            let chosen =
                mails.iter().take(sample.div_ceil(2)).chain(mails.iter().skip(sample.div_ceil(2)).rev().take(sample / 2));
            for mail in chosen {
                let message = self.message(&mut pace, &mail.msg_id).await?;
                if message.api_key_id.as_deref() != Some(id.as_str()) {
                    continue;
                }
                proven = true;
                let Some(at_ms) = message.at_ms().or_else(|| millis(&mail.last_event_time)) else { continue };
                let address = message.originating_ip.as_deref().and_then(address);
                found.seen.see(Sighting { at_ms, address, who: Who::Version(n), accepted: true, times: 1 });
            }
            if mails.len() > sample {
                all = false;
                found.notes.push(format!("{id} has {} mails in the window; {sample} were looked at", mails.len()));
            }
        }
        if !proven {
            proven = self.search_is_proven(&mut pace, &within).await?;
        }
        found.sight = match (proven, all) {
            (true, true) => Sight::Mail,
            (true, false) => Sight::Part("not every mail of the key was looked at"),
            (false, _) => Sight::Part("whether its search knows the key's id is not proven"),
        };
        match kept {
            Some(kept) => found.covered = Coverage::of(kept, question.until_ms),
            None => found.notes.push("how long SendGrid keeps this depends on the plan: `retention` says so".to_owned()),
        }
        Ok(found)
    }

    /// Whether the search by key can be believed where it found nothing: no mail at all was sent, or it finds another one by its key.
    async fn search_is_proven(&self, pace: &mut Pace, within: &str) -> Result<bool, Lost> {
        let any = self.search(pace, within, 1).await?;
        let Some(mail) = any.first() else { return Ok(true) };
        let Some(key) = self.message(pace, &mail.msg_id).await?.api_key_id.and_then(|id| VersionId::new(id).ok()) else {
            return Ok(false);
        };
        Ok(!self.search(pace, &format!("api_key_id=\"{key}\" AND {within}"), 1).await?.is_empty())
    }
}

#[async_trait]
impl Evidence for SendGridActivity {
    async fn look(&self, question: &Question) -> Outcome<Found> {
        outcome(self.try_look(question).await)
    }
}
