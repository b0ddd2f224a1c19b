//! The store `aws-secrets-manager`: an entry is a secret whose value is a JSON object.
//!
//! A new value is put in under `AWSPENDING` first, where no reader sees it, and becomes current by one call that names the version
//! which it replaces: whoever came in between makes that call fail, and nothing is lost. The version before stays as
//! `AWSPREVIOUS`, so going back is that one call again.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use zeroize::Zeroizing;

use super::object::{Object, Unfit};
use super::{EntryRef, Held, Store};
use crate::aws::{Aws, AwsOptions, REQUEST_TIMEOUT};
use crate::config::Fields;
use crate::random::hex_id;
use crate::secret::{Login, Secret};
use crate::web::{Lost, STORE, outcome};

const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";
const PREVIOUS: &str = "AWSPREVIOUS";

/// What the ids of the versions that Handover makes begin with: one that is pending was left by it, and may be replaced.
const OURS: &str = "handover-";

/// A write is three calls, one after the other.
const WRITE: Span = Span(REQUEST_TIMEOUT.0 * 4);

/// Secrets of AWS Secrets Manager.
///
/// # Guarantees
/// - Readers see the value before or the value after, never one in between; all other keys of the object are kept.
/// - A version that somebody else put in, as current or as pending, is not replaced.
///
/// # Caveats
/// - The keys of the object are written in the order of the alphabet.
/// - Replicas follow by AWS's own means, after the primary.
/// - Two versions a rotation, three with a way back: AWS asks for no more than one in ten minutes sustained.
pub struct SecretsManagerStore {
    aws: Aws,
}

struct Current {
    version: String,
    object: Object,
}

impl SecretsManagerStore {
    /// Reads the options: `{region, endpoint, profile, credentials}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<AwsOptions> {
        AwsOptions::read(fields)
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        serde_json::json!({
            "type": "object", "additionalProperties": false, "required": ["region"], "properties": AwsOptions::schema(),
        })
    }

    /// A store with these options. Contacts nothing.
    ///
    /// # Errors
    /// None.
    pub fn open(options: AwsOptions) -> Result<Self, Fault> {
        Ok(Self { aws: Aws::new(options, STORE) })
    }

    async fn client(&self) -> Result<Client, Lost> {
        Ok(Client::new(self.aws.config().await?))
    }

    /// The current version. The stage is named: without it, not every implementation gives the current one after a promotion.
    async fn current(&self, client: &Client, entry: &EntryRef) -> Result<Option<Current>, Lost> {
        let got = client.get_secret_value().secret_id(&entry.path).version_stage(CURRENT).send().await;
        let got = match got {
            Ok(got) => got,
            Err(error) => match error.as_service_error() {
                Some(e) if e.is_resource_not_found_exception() => return Ok(None),
                Some(e) if e.is_decryption_failure() => {
                    return Err(permanent("HO0632", entry, "its KMS key does not decrypt it for us"));
                }
                // That is also what it answers for one that is on its way out, without saying so.
                Some(e) if e.is_invalid_request_exception() => {
                    self.not_deleted(client, entry).await?;
                    return Err(self.aws.lost(&error, "secretsmanager:GetSecretValue"));
                }
                _ => return Err(self.aws.lost(&error, "secretsmanager:GetSecretValue")),
            },
        };
        let text = Zeroizing::new(got.secret_string().unwrap_or_default().to_owned());
        let object = Object::read(&text).map_err(|why| unfit(entry, &why))?;
        let version = got.version_id().unwrap_or_default().to_owned();
        Ok(Some(Current { version, object }))
    }

    async fn not_deleted(&self, client: &Client, entry: &EntryRef) -> Result<DescribeSecretOutput, Lost> {
        let described = client.describe_secret().secret_id(&entry.path).send().await;
        let described = described.map_err(|error| match error.as_service_error() {
            Some(e) if e.is_resource_not_found_exception() => absent(entry),
            _ => self.aws.lost(&error, "secretsmanager:DescribeSecret"),
        })?;
        if described.deleted_date().is_none() {
            return Ok(described);
        }
        let Lost::Before(fault) = permanent("HO0636", entry, "it is scheduled for deletion") else {
            return Ok(described);
        };
        let (path, region) = (&entry.path, self.aws.region());
        let restore = format!("`aws secretsmanager restore-secret --region {region} --secret-id {path}`");
        Err(Lost::Before(fault.hint(format!("find out who deleted it, and bring it back: {restore}"))))
    }

    async fn describe(&self, client: &Client, entry: &EntryRef) -> Result<DescribeSecretOutput, Lost> {
        let described = self.not_deleted(client, entry).await?;
        let stages = described.version_ids_to_stages();
        if let Some(foreign) = at(stages, PENDING)
            && !foreign.starts_with(OURS)
            && at(stages, CURRENT) != Some(foreign)
        {
            let what = format!("version {foreign} is pending there, and is not ours");
            return Err(permanent("HO0636", entry, what));
        }
        Ok(described)
    }

    async fn try_read(&self, entry: &EntryRef) -> Result<Held, Lost> {
        let client = self.client().await?;
        Ok(self.current(&client, entry).await?.map_or(Held::Nothing, |current| current.object.held(entry)))
    }

    /// The value is put in once more under the id that it has: Secrets Manager takes that for a repetition, and changes nothing.
    async fn try_check(&self, entry: &EntryRef) -> Result<(), Lost> {
        let client = self.client().await?;
        self.describe(&client, entry).await?;
        let got = client.get_secret_value().secret_id(&entry.path).version_stage(CURRENT).send().await;
        let got = got.map_err(|error| self.aws.lost(&error, "secretsmanager:GetSecretValue"))?;
        let (Some(text), Some(version)) = (got.secret_string(), got.version_id()) else {
            return Err(permanent("HO0634", entry, "its value is no text"));
        };
        Object::read(text).map_err(|why| unfit(entry, &why))?;
        let again = client
            .put_secret_value()
            .secret_id(&entry.path)
            .client_request_token(version)
            .secret_string(text)
            .version_stages(CURRENT)
            .send()
            .await;
        again.map(drop).map_err(|error| self.aws.lost(&error, "secretsmanager:PutSecretValue"))?;
        // A label that no version has is taken from nothing.
        let nothing = client
            .update_secret_version_stage()
            .secret_id(&entry.path)
            .version_stage("handover-nothing")
            .remove_from_version_id(version)
            .send()
            .await;
        match nothing {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(e) if e.is_invalid_parameter_exception() || e.is_invalid_request_exception() => Ok(()),
                _ => Err(self.aws.lost(&error, "secretsmanager:UpdateSecretVersionStage")),
            },
        }
    }

    async fn try_write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Result<(), Lost> {
        let client = self.client().await?;
        let current = self.current(&client, entry).await.map_err(Lost::before_the_change)?;
        let Some(current) = current else { return Err(absent(entry)) };
        let expected = match current.object.login(entry) {
            Ok(held) if held.username == login.username && held.password.matches(&login.password) => return Ok(()),
            Ok(held) => expect.iter().any(|secret| secret.matches(&held.password)),
            Err(_) => expect.is_empty(),
        };
        if !expected {
            return Err(changed(entry));
        }
        let described = self.describe(&client, entry).await.map_err(Lost::before_the_change)?;
        let stages = described.version_ids_to_stages();
        let text = current.object.with(entry, login);
        for stage in [PENDING, PREVIOUS] {
            // One of these may hold it already: a write that was broken off, or the version that we come from.
            let Some(version) = at(stages, stage).filter(|version| *version != current.version) else { continue };
            if self.holds(&client, entry, version, &text).await.map_err(Lost::before_the_change)? {
                return self.promote(&client, entry, version, &current.version).await;
            }
        }
        let id = hex_id(16).map_err(|_| permanent("HO0634", entry, "no id could be made"))?;
        let id = format!("{OURS}{id}");
        let put = client
            .put_secret_value()
            .secret_id(&entry.path)
            .client_request_token(&id)
            .secret_string(text.as_str())
            .version_stages(PENDING)
            .send()
            .await;
        put.map_err(|error| match error.as_service_error() {
            Some(e) if e.is_limit_exceeded_exception() => {
                permanent("HO0634", entry, "it has as many versions as it may have")
            }
            _ => self.aws.lost(&error, "secretsmanager:PutSecretValue"),
        })?;
        self.promote(&client, entry, &id, &current.version).await
    }

    async fn holds(&self, client: &Client, entry: &EntryRef, version: &str, text: &str) -> Result<bool, Lost> {
        let got = client.get_secret_value().secret_id(&entry.path).version_id(version).send().await;
        let got = got.map_err(|error| self.aws.lost(&error, "secretsmanager:GetSecretValue"))?;
        let held: Option<serde_json::Value> = got.secret_string().and_then(|held| serde_json::from_str(held).ok());
        Ok(held.is_some() && held == serde_json::from_str(text).ok())
    }

    /// Makes `new` current if `old` still is.
    async fn promote(&self, client: &Client, entry: &EntryRef, new: &str, old: &str) -> Result<(), Lost> {
        let moved = client
            .update_secret_version_stage()
            .secret_id(&entry.path)
            .version_stage(CURRENT)
            .move_to_version_id(new)
            .remove_from_version_id(old)
            .send()
            .await;
        let lost = match moved {
            Ok(_) => None,
            Err(error) => match error.as_service_error() {
                Some(e) if e.is_invalid_parameter_exception() || e.is_invalid_request_exception() => Some(changed(entry)),
                _ => Some(self.aws.lost(&error, "secretsmanager:UpdateSecretVersionStage")),
            },
        };
        if let Some(Lost::Maybe(fault)) = lost {
            return Err(Lost::Maybe(fault));
        }
        // The label has done its work. Where it stays, the id says whose it is.
        let unlabel = client.update_secret_version_stage().secret_id(&entry.path).version_stage(PENDING);
        if let Err(error) = unlabel.remove_from_version_id(new).send().await
            && !error.as_service_error().is_some_and(|e| e.is_invalid_parameter_exception())
        {
            tracing::debug!(path = %entry.path, "the label AWSPENDING stays");
        }
        lost.map_or(Ok(()), Err)
    }
}

/// The version that a stage is on.
fn at<'s>(stages: Option<&'s HashMap<String, Vec<String>>>, stage: &str) -> Option<&'s str> {
    stages?.iter().find(|(_, on)| on.iter().any(|s| s == stage)).map(|(version, _)| version.as_str())
}

fn unfit(entry: &EntryRef, why: &Unfit) -> Lost {
    Lost::Before(why.fault(format_args!("secret {}", entry.path)))
}

fn permanent(code: &str, entry: &EntryRef, what: impl std::fmt::Display) -> Lost {
    Lost::Before(Fault::new(FaultClass::Permanent, code, format!("secret {}: {what}", entry.path)))
}

fn absent(entry: &EntryRef) -> Lost {
    permanent("HO0635", entry, "there is none of this name in this region")
}

fn changed(entry: &EntryRef) -> Lost {
    let message = format!("secret {}: the entry holds another password than expected; someone else changed it", entry.path);
    let hint = "find out who wrote it; then run `handover status` for what is safe next";
    Lost::Before(Fault::new(FaultClass::Permanent, "HO0611", message).hint(hint))
}

#[async_trait]
impl Store for SecretsManagerStore {
    fn kind(&self) -> &'static str {
        "aws-secrets-manager"
    }

    fn request_timeout(&self) -> Span {
        WRITE
    }

    fn landing(&self) -> Span {
        REQUEST_TIMEOUT
    }

    async fn check_writable(&self, entry: &EntryRef) -> Outcome<()> {
        outcome(self.try_check(entry).await)
    }

    async fn read(&self, entry: &EntryRef) -> Outcome<Held> {
        outcome(self.try_read(entry).await)
    }

    async fn lacks(&self, entry: &EntryRef) -> String {
        let look = async { self.current(&self.client().await?, entry).await };
        match look.await {
            Ok(None) => "there is no secret of this name in this region".to_owned(),
            Ok(Some(current)) => current.object.login(entry).err().unwrap_or_else(|| "it has a login now".to_owned()),
            Err(Lost::Before(fault) | Lost::Maybe(fault)) => fault.to_string(),
        }
    }

    async fn warnings(&self, entry: &EntryRef) -> Vec<String> {
        let Ok(client) = self.client().await else { return Vec::new() };
        let Ok(described) = self.describe(&client, entry).await else { return Vec::new() };
        let mut told = Vec::new();
        if described.rotation_enabled() == Some(true) {
            told.push(format!("secret {} is rotated by a Lambda function too: switch that off", entry.path));
        }
        for replica in described.replication_status() {
            if replica.status() == Some(&aws_sdk_secretsmanager::types::StatusType::Failed) {
                let region = replica.region().unwrap_or("another region");
                told.push(format!("the replica of secret {} in {region} does not follow", entry.path));
            }
        }
        told
    }

    async fn write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Outcome<()> {
        outcome(self.try_write(entry, login, expect).await)
    }
}

#[cfg(test)]
mod tests {
    use handover_rotation::name::{EntryName, Username};

    use super::*;
    use crate::aws::tests::unanswered;

    #[tokio::test]
    async fn a_look_that_was_lost_wrote_nothing() {
        let store = SecretsManagerStore::open(unanswered(SecretsManagerStore::options).await).expect("it opens");
        let entry = EntryRef {
            name: EntryName::new("e").expect("a name"),
            path: "/p".to_owned(),
            username_field: "user".to_owned(),
            password_field: "pass".to_owned(),
        };
        let login = Login { username: Username::new("a").expect("a name"), password: Secret::new("b".to_owned()) };
        assert!(matches!(store.read(&entry).await, Outcome::Unknown(_)));
        assert!(matches!(store.write(&entry, &login, &[&login.password]).await, Outcome::NotDone(_)));
    }
}
