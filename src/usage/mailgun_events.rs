//! The source `mailgun-events`: Mailgun's `accepted` events of a domain. They name the address that a mail came from and whether it
//! came by SMTP, but not the login.
//!
//! So what is seen may be of another login of the domain, and that nothing is seen holds for all of them. The address of whoever opens
//! a mail is the recipient's, and is not read.

use std::collections::{HashSet, VecDeque};

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::names::Who;
use super::network::address;
use super::tally::Sighting;
use super::vendor::{Common, outcome, read};
use super::{Coverage, Evidence, Found, Question, Sight};
use crate::config::Fields;
use crate::web::{Api, Lost, USAGE};

/// How long the vendor keeps events at least, as its reference says.
const KEPT: Span = Span::minutes(3 * 24 * 60);
/// The most that one page has.
const PAGE: &str = "300";
/// More pages than these are not read.
const MOST_PAGES: usize = 1000;
/// Mails that are remembered, since each recipient has an event of its own.
const MOST_RECENT: usize = 4096;

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailgunEventsOptions {
    common: Common,
}

/// Mailgun's events.
pub struct MailgunEvents {
    api: Api,
    options: MailgunEventsOptions,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Item>,
    #[serde(default)]
    paging: Paging,
}

#[derive(Default, Deserialize)]
struct Paging {
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    timestamp: f64,
    #[serde(default)]
    method: Option<String>,
    #[serde(rename = "originating-ip", default)]
    originating_ip: Option<String>,
    #[serde(default)]
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    headers: Headers,
}

#[derive(Default, Deserialize)]
struct Headers {
    #[serde(rename = "message-id", default)]
    message_id: Option<String>,
}

impl MailgunEvents {
    /// Reads the options: `{api_key, region, address, ca_file, retention}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<MailgunEventsOptions> {
        let (us, eu) = ("https://api.mailgun.net", "https://api.eu.mailgun.net");
        let region = fields.optional_choice("region", &[("us", us), ("eu", eu)]);
        let common = Common::options(fields, region.unwrap_or(us));
        Some(MailgunEventsOptions { common: common? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        Common::schema(json!({"region": {"enum": ["us", "eu"]}}))
    }

    /// Mailgun as the inventory describes it. Contacts nothing.
    ///
    /// # Errors
    /// The address or the CA file cannot be used.
    pub fn open(options: MailgunEventsOptions) -> Result<Self, Fault> {
        Ok(Self { api: options.common.api("Mailgun")?, options })
    }

    async fn page(&self, url: Url) -> Result<Page, Lost> {
        let key = self.options.common.key()?;
        let request = self.api.client.get(url).basic_auth("api", Some(key.expose()));
        read(&self.api, request, "read the domain's events").await
    }

    /// The next page. Its address comes from the answer: only what comes after the events of this domain is taken from it, so that
    /// the key is shown to nobody else.
    fn next(&self, domain: &str, next: Option<&str>) -> Option<Url> {
        let given = Url::parse(next?).ok()?;
        let mut path = given.path_segments()?;
        let token = path.next_back().filter(|token| !token.is_empty())?;
        (path.next_back()? == "events").then_some(())?;
        // What is percent-encoded in it would be encoded twice.
        let plain = token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=.~".contains(&b));
        plain.then(|| self.api.url(&["v3", domain, "events", token]).ok())?
    }

    async fn try_look(&self, question: &Question) -> Result<Found, Lost> {
        // `domain`, or `name@domain` in all logins of it.
        let domain = question.account.rsplit('@').next().unwrap_or_default();
        let mut found = Found::new(question, Sight::Mail);
        found.shared = Some("it does not tell with which login of the domain");
        let kept_from = question.until_ms.saturating_sub(self.options.common.retention.unwrap_or(KEPT).0);
        let begin_ms = kept_from.max(question.earliest_ms());
        let mut url = self.api.url(&["v3", domain, "events"])?;
        let seconds = |ms: u64| (ms / 1000).to_string();
        url.query_pairs_mut().extend_pairs([
            ("event", "accepted"),
            ("begin", &seconds(begin_ms)),
            ("end", &seconds(question.until_ms)),
            ("ascending", "yes"),
            ("limit", PAGE),
        ]);
        let (mut order, mut known) = (VecDeque::new(), HashSet::new());
        let (mut api, mut last_ms) = (0_u64, begin_ms);
        let mut whole = false;
        for _ in 0..MOST_PAGES {
            let page = self.page(url).await?;
            for item in &page.items {
                let Some(at_ms) = ms(item.timestamp) else { continue };
                last_ms = last_ms.max(at_ms);
                // One mail has an event for each recipient.
                let id = item.message.as_ref().and_then(|m| m.headers.message_id.clone());
                if let Some(id) = id {
                    if !known.insert(id.clone()) {
                        continue;
                    }
                    order.push_back(id);
                    if order.len() > MOST_RECENT
                        && let Some(old) = order.pop_front()
                    {
                        known.remove(&old);
                    }
                }
                match item.method.as_deref().map(str::to_ascii_lowercase).as_deref() {
                    // Where it is not told, it counts.
                    Some("smtp") | None => {}
                    Some(_) => {
                        api += 1;
                        continue;
                    }
                }
                let address = item.originating_ip.as_deref().and_then(address);
                found.seen.see(Sighting { at_ms, address, who: Who::Credential, accepted: true, times: 1 });
            }
            match self.next(domain, page.paging.next.as_deref()) {
                Some(next) if !page.items.is_empty() => url = next,
                _ => {
                    // A page without a next one that can be followed is the last only if it is empty or says so.
                    whole = page.items.is_empty() || page.paging.next.is_none();
                    break;
                }
            }
        }
        let end_ms = if whole { question.until_ms } else { last_ms };
        found.covered = Coverage::of(begin_ms, end_ms);
        if !whole {
            found.notes.push("its list was not read to the end".to_owned());
        }
        if self.options.common.retention.is_none() {
            found
                .notes
                .push("Mailgun keeps events for three days at least; `retention` says if your plan has more".to_owned());
        }
        if api > 0 {
            found.notes.push(format!("{api} mails came by Mailgun's API and not by SMTP"));
        }
        Ok(found)
    }
}

/// A time in seconds with a fraction.
fn ms(seconds: f64) -> Option<u64> {
    let ms = seconds * 1000.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is within the range, and half a millisecond is nothing"
    )]
    (ms.is_finite() && (0.0..1e15).contains(&ms)).then_some(ms as u64)
}

#[async_trait]
impl Evidence for MailgunEvents {
    async fn look(&self, question: &Question) -> Outcome<Found> {
        if question.account.rsplit('@').next().unwrap_or_default().is_empty() {
            return Outcome::NotDone(Fault::new(FaultClass::Permanent, USAGE.odd, "Mailgun: the account names no domain"));
        }
        outcome(self.try_look(question).await)
    }
}
