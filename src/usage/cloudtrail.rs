//! The source `cloudtrail`: the API calls of each access key, by the event history or by exported log files.
//!
//! **Sending over SES's SMTP interface is not in CloudTrail**, so it never shows that a login was unused. But the key of an SMTP login
//! has no business with any API: a call made with it is a stranger looking around, or a service that does what nobody knew.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use serde::Deserialize;
use serde_json::{Value, json};

use super::log::{blocking, unreadable};
use super::names::Who;
use super::network::address;
use super::records::trail_records;
use super::rotated;
use super::tally::Sighting;
use super::vendor::Pace;
use super::{Coverage, Evidence, Found, Question, Sight};
use crate::aws::{Aws, AwsOptions, json::Service};
use crate::config::Fields;
use crate::web::{Answer, Lost, USAGE, outcome};

/// How far back the event history goes.
const KEPT: Span = Span::minutes(90 * 24 * 60);
/// Events come late: "typically within 15 minutes".
const LATE: Span = Span::minutes(15);
/// Two requests a second are allowed, for an account in a region.
const EACH: Duration = Duration::from_millis(500);
/// So long is waited at most for others who ask at the same time.
const MOST_WAIT: Duration = Duration::from_secs(16);
/// The most that one page has.
const PAGE: u8 = 50;
/// More pages of one key in one region than these are not read: they take eight minutes.
const MOST_PAGES: usize = 1000;

const PART: &str = "sending over SES's SMTP interface is not in CloudTrail: it has calls of the API only";

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudTrailOptions {
    /// The event history, in these regions.
    History {
        /// Who Handover is there.
        aws: AwsOptions,
        /// Where.
        regions: Vec<String>,
    },
    /// Exported log files.
    Files(PathBuf),
}

/// CloudTrail as evidence.
pub struct CloudTrail(Kind);

enum Kind {
    History(Vec<(String, Service)>),
    Files(PathBuf),
}

/// Reads `regions`; by default the one of `region`.
pub(super) fn regions(fields: &mut Fields<'_>, aws: Option<&AwsOptions>) -> Option<Vec<String>> {
    let regions = fields.optional_list("regions");
    let usual = || aws.map(|aws| vec![aws.region.clone()]);
    match regions {
        None => usual(),
        Some(regions) => {
            if let Some(bad) = regions.iter().find(|region| !crate::aws::is_region(region)) {
                fields.problem("HO0113", "regions", format!("`{bad}` is no AWS region"), "write it as `eu-central-1`");
                return None;
            }
            Some(regions)
        }
    }
}

/// The schema of `regions`.
pub(super) fn regions_schema() -> Value {
    json!({"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^[a-z]{2,4}(-[a-z]+)+-[0-9]+$"}})
}

impl CloudTrail {
    /// Reads the options: `{path}`, or those of every kind at AWS and `regions`.
    pub fn options(fields: &mut Fields<'_>) -> Option<CloudTrailOptions> {
        if fields.has("path") {
            return Some(CloudTrailOptions::Files(fields.required_path("path")?));
        }
        let aws = AwsOptions::read(fields);
        let regions = regions(fields, aws.as_ref());
        Some(CloudTrailOptions::History { aws: aws?, regions: regions? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        let mut properties = AwsOptions::schema();
        properties.insert("regions".to_owned(), regions_schema());
        properties.insert("path".to_owned(), json!({"type": "string", "minLength": 1}));
        json!({
            "type": "object", "additionalProperties": false, "properties": properties,
            "oneOf": [
                {"required": ["path"], "properties": {"region": false, "regions": false, "endpoint": false, "profile": false, "credentials": false}},
                {"required": ["region"], "properties": {"path": false}},
            ],
        })
    }

    /// A source with these options. Contacts nothing.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn open(options: CloudTrailOptions) -> Result<Self, Fault> {
        Ok(Self(match options {
            CloudTrailOptions::Files(path) => Kind::Files(path),
            CloudTrailOptions::History { aws, regions } => {
                let service = |region: &String| {
                    let aws = Aws::new(aws.in_region(region), USAGE);
                    let prefix = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101";
                    Ok((region.clone(), Service::new(aws, "cloudtrail", prefix)?))
                };
                Kind::History(regions.iter().map(service).collect::<Result<_, Fault>>()?)
            }
        }))
    }
}

/// The keys to look for, each with the version that it is.
fn keys(question: &Question) -> Result<Vec<(usize, String)>, Fault> {
    let ids = question.versions.iter().enumerate().filter_map(|(n, v)| Some((n, v.id.as_ref()?.as_str().to_owned())));
    let keys: Vec<_> = ids.collect();
    if keys.is_empty() {
        let fault = Fault::new(FaultClass::Permanent, "HO0967", format!("no key id of {} is known", question.credential));
        return Err(fault.hint("give --state of the journal that has its rotations"));
    }
    Ok(keys)
}

fn take(found: &mut Found, question: &Question, version: usize, name: &str, at_ms: u64, address: Option<std::net::IpAddr>) {
    if at_ms > question.until_ms || at_ms < question.earliest_ms() {
        return;
    }
    if at_ms >= question.divide_ms().max(question.since_ms) {
        found.call(name, at_ms);
    }
    found.seen.see(Sighting { at_ms, address, who: Who::Version(version), accepted: true, times: 1 });
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    events: Vec<Event>,
    #[serde(default)]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    event_name: String,
    event_time: f64,
    access_key_id: Option<String>,
    /// The event itself, JSON in a text.
    cloud_trail_event: Option<String>,
}

#[derive(Deserialize)]
struct Inside {
    #[serde(rename = "sourceIPAddress", default)]
    source: String,
}

/// What was looked up in one region.
struct Looked {
    events: Vec<(usize, String, u64, Option<std::net::IpAddr>)>,
    whole: bool,
}

/// Events are counted by the page, so that no region keeps all of its own.
async fn look_up(
    service: &Service,
    question: &Question,
    keys: &[(usize, String)],
    take: &std::sync::Mutex<Found>,
) -> Result<bool, Lost> {
    let mut pace = Pace::new(1, EACH);
    let from_ms = question.until_ms.saturating_sub(KEPT.0).max(question.earliest_ms());
    let mut whole = true;
    for (version, key) in keys {
        let mut token: Option<String> = None;
        let mut pages = 0;
        loop {
            pace.next().await;
            let mut body = json!({
                "LookupAttributes": [{"AttributeKey": "AccessKeyId", "AttributeValue": key}],
                "StartTime": from_ms / 1000,
                "EndTime": question.until_ms.div_ceil(1000),
                "MaxResults": PAGE,
            });
            if let Some(token) = &token {
                body["NextToken"] = token.as_str().into();
            }
            let answer = asked(service, &body).await?;
            let odd = || {
                Lost::Maybe(Fault::new(
                    FaultClass::Permanent,
                    USAGE.odd,
                    "AWS: cloudtrail:LookupEvents: it answered something else",
                ))
            };
            let page: Page = answer.json().ok_or_else(odd)?;
            let looked = events(page.events, *version, key);
            if let Ok(mut found) = take.lock() {
                for (version, name, at_ms, address) in looked.events {
                    self::take(&mut found, question, version, &name, at_ms, address);
                }
            }
            whole &= looked.whole;
            pages += 1;
            token = page.next_token;
            if token.is_none() {
                break;
            }
            if pages == MOST_PAGES {
                whole = false;
                break;
            }
        }
    }
    Ok(whole)
}

/// Asks once more, and again, where somebody else's questions have used up what the account may ask: a look changes nothing.
async fn asked(service: &Service, body: &Value) -> Result<Answer, Lost> {
    let mut wait = EACH;
    loop {
        match service.call("LookupEvents", body).await {
            Ok(answer) => return Ok(answer),
            Err(refused) if refused.code.contains("Throttl") && wait < MOST_WAIT => {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            Err(refused) => return Err(refused.lost),
        }
    }
}

/// The events of a page that are of the key that was asked for.
fn events(events: Vec<Event>, version: usize, key: &str) -> Looked {
    let mut looked = Looked { events: Vec::new(), whole: true };
    for event in events {
        if event.access_key_id.as_deref().is_some_and(|id| id != key) {
            continue;
        }
        let ms = event.event_time * 1000.0;
        if !ms.is_finite() || !(0.0..1e15).contains(&ms) {
            looked.whole = false;
            continue;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was looked at")]
        let at_ms = ms as u64;
        let inside = event.cloud_trail_event.and_then(|text| serde_json::from_str::<Inside>(&text).ok());
        let from = inside.and_then(|inside| address(&inside.source));
        looked.events.push((version, event.event_name, at_ms, from));
    }
    looked
}

async fn history(regions: &[(String, Service)], question: &Question) -> Result<Found, Lost> {
    let keys = keys(question).map_err(Lost::Before)?;
    let found = std::sync::Mutex::new(Found::new(question, Sight::Part(PART)));
    let whole = try_join_all(regions.iter().map(|(_, service)| look_up(service, question, &keys, &found))).await?;
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    // What comes late may not be there yet; the window ends now, and the report is of now.
    let from_ms = question.until_ms.saturating_sub(KEPT.0);
    found.covered = Coverage::of(from_ms, question.until_ms);
    if whole.contains(&false) {
        found.covered = Coverage::default();
        found.notes.push("its event history was not read to the end".to_owned());
    }
    let names: Vec<&str> = regions.iter().map(|(name, _)| name.as_str()).collect();
    found.notes.push(format!("asked in {}; events come up to {LATE} late", names.join(", ")));
    Ok(found)
}

fn files(path: &std::path::Path, question: &Question, stop: &AtomicBool) -> Result<Found, Fault> {
    let keys = keys(question)?;
    let shown = path.display();
    let mut found = Found::new(question, Sight::Part(PART));
    let mut broken = 0_u64;
    let walked = rotated::records(path, question.earliest_ms(), &mut |file| {
        let Ok(stream) = file.open() else {
            broken += 1;
            return true;
        };
        let read = trail_records(stream, &mut |record| {
            if let Some(at_ms) = record.at_ms() {
                if (question.earliest_ms()..=question.until_ms).contains(&at_ms) {
                    found.covered.see(at_ms, KEPT_APART_MS);
                }
                if let Some((version, _)) = keys.iter().find(|(_, key)| key == record.key()) {
                    take(&mut found, question, *version, &record.event_name, at_ms, record.address());
                }
            }
            !stop.load(Ordering::Relaxed)
        });
        broken += u64::from(read.is_err());
        !stop.load(Ordering::Relaxed)
    });
    let walked = walked.map_err(|e| unreadable(format!("{shown}: {}", e.kind())))?;
    if stop.load(Ordering::Relaxed) {
        return Err(unreadable("nobody waits for it any more"));
    }
    if walked.files == 0 {
        return Err(unreadable(format!("there is none at {shown}")));
    }
    broken += walked.unread;
    let seen = std::mem::take(&mut found.covered);
    found.covered.join(&seen, KEPT_APART_MS);
    found.covered.ends_at(question.until_ms, KEPT_APART_MS);
    if broken > 0 {
        found.notes.push(format!("{broken} of its files could not be read to their end"));
    }
    Ok(found)
}

/// An account without any call for a day is none.
const KEPT_APART_MS: u64 = 86_400_000;

#[async_trait]
impl Evidence for CloudTrail {
    async fn look(&self, question: &Question) -> Outcome<Found> {
        match &self.0 {
            Kind::History(regions) => outcome(history(regions, question).await),
            Kind::Files(path) => {
                let (path, question) = (path.clone(), question.clone());
                blocking(move |stop| files(&path, &question, stop)).await
            }
        }
    }
}
