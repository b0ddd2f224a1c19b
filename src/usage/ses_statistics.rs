//! The source `ses-statistics`: how much the whole account sends in a region, by the quarter of an hour, for two weeks. It names neither
//! key nor address: it shows a wave of mail that no other source has seen, and no more.

use async_trait::async_trait;
use aws_sdk_ses::Client as Ses;
use handover_rotation::outcome::{Fault, Outcome};
use handover_rotation::time::Span;
use serde_json::{Value, json};

use super::cloudtrail::{regions, regions_schema};
use super::names::Who;
use super::tally::Sighting;
use super::{Coverage, Evidence, Found, Question, Sight};
use crate::aws::{Aws, AwsOptions};
use crate::config::Fields;
use crate::web::{Lost, USAGE, outcome};

/// How far back they go.
const KEPT: Span = Span::minutes(14 * 24 * 60);

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SesStatisticsOptions {
    aws: AwsOptions,
    regions: Vec<String>,
}

/// SES's statistics.
pub struct SesStatistics {
    regions: Vec<Aws>,
}

impl SesStatistics {
    /// Reads the options: those of every kind at AWS, and `regions`.
    pub fn options(fields: &mut Fields<'_>) -> Option<SesStatisticsOptions> {
        let aws = AwsOptions::read(fields);
        let regions = regions(fields, aws.as_ref());
        Some(SesStatisticsOptions { aws: aws?, regions: regions? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        let mut properties = AwsOptions::schema();
        properties.insert("regions".to_owned(), regions_schema());
        json!({"type": "object", "additionalProperties": false, "required": ["region"], "properties": properties})
    }

    /// A source with these options. Contacts nothing.
    ///
    /// # Errors
    /// None.
    pub fn open(options: SesStatisticsOptions) -> Result<Self, Fault> {
        Ok(Self { regions: options.regions.iter().map(|region| Aws::new(options.aws.in_region(region), USAGE)).collect() })
    }

    async fn try_look(&self, question: &Question) -> Result<Found, Lost> {
        let part = "they are of a whole account, and a login that sends nothing is not in them";
        let mut found = Found::new(question, Sight::Part(part));
        found.shared = Some("it counts the mail of the whole account, not of one key");
        for aws in &self.regions {
            let ses = Ses::new(aws.config().await?);
            let sent = ses.get_send_statistics().send().await.map_err(|error| aws.lost(&error, "ses:GetSendStatistics"))?;
            for point in sent.send_data_points() {
                let at_ms = point.timestamp().and_then(|at| u64::try_from(at.to_millis().ok()?).ok());
                let (Some(at_ms), Ok(times)) = (at_ms, u64::try_from(point.delivery_attempts() + point.rejects())) else {
                    continue;
                };
                found.seen.see(Sighting { at_ms, address: None, who: Who::Credential, accepted: true, times });
            }
        }
        found.covered = Coverage::of(question.until_ms.saturating_sub(KEPT.0), question.until_ms);
        let names: Vec<&str> = self.regions.iter().map(Aws::region).collect();
        found.notes.push(format!("asked in {}; a key sends in any region", names.join(", ")));
        Ok(found)
    }
}

#[async_trait]
impl Evidence for SesStatistics {
    async fn look(&self, question: &Question) -> Outcome<Found> {
        outcome(self.try_look(question).await)
    }
}
