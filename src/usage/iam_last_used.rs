//! The source `iam-last-used`: when IAM last saw each access key of a user, and with which service. Weak: only the last use is told,
//! and whether a login by SMTP counts as one, AWS does not say.

use async_trait::async_trait;
use aws_sdk_iam::Client as Iam;
use handover_rotation::outcome::{Fault, Outcome};
use serde_json::{Value, json};

use super::names::Who;
use super::tally::Sighting;
use super::{Coverage, Evidence, Found, Question, Sight};
use crate::aws::{Aws, AwsOptions};
use crate::config::Fields;
use crate::web::{Lost, USAGE, outcome};

/// Keys that are asked about: a user has two at a time, and the journal may know many that are gone.
const MOST_KEYS: usize = 32;

/// IAM's last use of the keys of a user.
pub struct IamLastUsed {
    aws: Aws,
}

impl IamLastUsed {
    /// Reads the options: those of every kind at AWS.
    pub fn options(fields: &mut Fields<'_>) -> Option<AwsOptions> {
        AwsOptions::read(fields)
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        json!({"type": "object", "additionalProperties": false, "required": ["region"], "properties": AwsOptions::schema()})
    }

    /// A source with these options. Contacts nothing.
    ///
    /// # Errors
    /// None.
    pub fn open(options: AwsOptions) -> Result<Self, Fault> {
        Ok(Self { aws: Aws::new(options, USAGE) })
    }

    /// The ids of the keys that the user has now.
    async fn keys(&self, iam: &Iam, account: &str) -> Result<Vec<String>, Lost> {
        let mut keys = Vec::new();
        let mut marker = None;
        loop {
            let page = iam.list_access_keys().user_name(account).set_marker(marker).send().await;
            let page = page.map_err(|error| self.aws.lost(&error, "iam:ListAccessKeys"))?;
            keys.extend(page.access_key_metadata().iter().filter_map(|key| key.access_key_id().map(str::to_owned)));
            marker = page.marker().filter(|_| page.is_truncated()).map(str::to_owned);
            if marker.is_none() || keys.len() > MOST_KEYS {
                return Ok(keys);
            }
        }
    }

    async fn try_look(&self, question: &Question) -> Result<Found, Lost> {
        let iam = Iam::new(self.aws.config().await?);
        let part = "only the last use of a key is told, and whether a login by SMTP counts as one, AWS does not say";
        let mut found = Found::new(question, Sight::Part(part));
        let known = question.versions.iter().filter_map(|v| v.id.as_ref().map(|id| id.as_str().to_owned()));
        let mut keys: Vec<String> = known.collect();
        for key in self.keys(&iam, &question.account).await? {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        for key in keys.iter().take(MOST_KEYS) {
            let used = match iam.get_access_key_last_used().access_key_id(key).send().await {
                Ok(used) => used,
                Err(error) => {
                    let lost = self.aws.lost(&error, "iam:GetAccessKeyLastUsed");
                    // A key that is gone and forgotten; that it may be refused is told by the ones that are there.
                    if error.as_service_error().is_some_and(|e| e.meta().code() == Some("NoSuchEntity")) {
                        continue;
                    }
                    return Err(lost);
                }
            };
            let Some(last) = used.access_key_last_used() else { continue };
            let at_ms = last.last_used_date().and_then(|at| u64::try_from(at.to_millis().ok()?).ok());
            let Some(at_ms) = at_ms else {
                found.notes.push(format!("{key} was never used, as far as IAM knows"));
                continue;
            };
            let word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'/');
            let by = match (last.service_name(), last.region()) {
                (service, region) if word(service) && word(region) => format!(" by {service} in {region}"),
                _ => String::new(),
            };
            let day = i64::try_from(at_ms).ok().and_then(chrono::DateTime::from_timestamp_millis);
            let day = day.map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M UTC").to_string());
            found.notes.push(format!("{key} was last used {day}{by}"));
            let version = question.versions.iter().position(|v| v.id.as_ref().is_some_and(|id| id.as_str() == key));
            let who = version.map_or(Who::Credential, Who::Version);
            found.seen.see(Sighting { at_ms, address: None, who, accepted: true, times: 1 });
        }
        found.covered = Coverage::of(question.earliest_ms(), question.until_ms);
        Ok(found)
    }
}

#[async_trait]
impl Evidence for IamLastUsed {
    async fn look(&self, question: &Question) -> Outcome<Found> {
        outcome(self.try_look(question).await)
    }
}
