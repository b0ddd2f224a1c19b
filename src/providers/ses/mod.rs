//! The provider `ses`: Amazon SES by SMTP. A version is an access key of one IAM user, its password derived from the key's secret
//! for one region (shape A).
//!
//! IAM gives a key no name, so what a rotation writes on it is a tag of the user: `<key id> = <rotation>`. It can only be written when
//! the id is known, so before the call another tag says what is about to be made and which keys there were: a key whose answer
//! was lost is found by it.

mod account;
mod marks;
mod password;
mod policy;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_sdk_iam::Client as Iam;
use aws_sdk_iam::types::StatusType;
use handover_rotation::name::{Tag, Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::time::Span;

use self::marks::{Marks, PENDING};
pub use self::password::derive as smtp_password;
use super::{CreatedVersion, ListedVersion, LiveState, Permitted, Provider};
use crate::aws::{Aws, AwsOptions, REQUEST_TIMEOUT};
use crate::config::{Fields, schema};
use crate::secret::{Login, Secret};
use crate::web::{Lost, PROVIDER, outcome};

/// IAM's own limit, inactive keys counted.
const QUOTA: u8 = 2;

/// AWS names no bound; in practice it is seconds. Where a region takes longer, the inventory says so.
const PROPAGATION: Span = Span::seconds(60);

/// For the marks on a key that was made: much less than the whole of a call, past which its secret would be lost.
const MARKING: Duration = Duration::from_secs(2);

/// What an inventory may say about a provider of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SesOptions {
    aws: AwsOptions,
    identity: Option<String>,
    propagation: Option<Span>,
}

/// Access keys of an IAM user that does nothing but send.
///
/// # Guarantees
/// - The user is named in every call: without a name, IAM would take the caller's own keys.
/// - A key is deleted, disabled or enabled by its id only; no other key is touched, whatever the quota.
/// - No call is repeated by itself.
///
/// # Assumptions
/// - Nobody else makes a key for the user within two minutes around a `CreateAccessKey` of ours whose answer was lost.
///
/// # Caveats
/// - A user has two keys. Two keys that are there already leave no room, and none is removed to make some.
pub struct SesProvider {
    aws: Aws,
    options: SesOptions,
}

impl SesProvider {
    /// Reads the options: `{region, endpoint, profile, credentials, identity, propagation}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<SesOptions> {
        let aws = AwsOptions::read(fields);
        let identity = fields.optional_str("identity");
        let propagation = fields.optional_duration("propagation", Span::seconds(1)..=Span::minutes(60));
        Some(SesOptions { aws: aws?, identity, propagation })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        let mut properties = AwsOptions::schema();
        properties.insert("identity".to_owned(), serde_json::json!({"type": "string", "minLength": 1}));
        properties.insert("propagation".to_owned(), schema::duration());
        serde_json::json!({
            "type": "object", "additionalProperties": false, "required": ["region"], "properties": properties,
        })
    }

    /// A provider with these options. Contacts nothing.
    ///
    /// # Errors
    /// None.
    pub fn open(options: SesOptions) -> Result<Self, Fault> {
        Ok(Self { aws: Aws::new(options.aws.clone(), PROVIDER), options })
    }

    /// What it can do and how fast.
    #[must_use]
    pub fn usual(options: &SesOptions) -> ProviderFacts {
        ProviderFacts {
            kind: "ses".to_owned(),
            shape: Shape::Reversible,
            quota: QUOTA,
            propagation: options.propagation.unwrap_or(PROPAGATION),
            request_timeout: REQUEST_TIMEOUT,
            landing: REQUEST_TIMEOUT,
            chooses_secret: false,
            // Whether logins by SMTP count as use, and how soon, AWS does not say.
            tells_last_use: false,
        }
    }

    async fn iam(&self) -> Result<Iam, Lost> {
        Ok(Iam::new(self.aws.config().await?))
    }

    fn no_user(account: &str) -> Lost {
        let fault = Fault::new(FaultClass::Permanent, "HO0502", format!("IAM has no user {account:?}"));
        Lost::Before(fault.hint("`account` of the credential is the name of the IAM user that sends"))
    }

    fn no_key(id: &VersionId) -> Lost {
        Lost::Before(Fault::new(FaultClass::Permanent, "HO0506", format!("IAM has no access key {id} of this user")))
    }

    async fn keys(&self, iam: &Iam, account: &str) -> Result<Vec<ListedVersion>, Lost> {
        let mut keys = Vec::new();
        let mut marker = None;
        loop {
            let page = iam.list_access_keys().user_name(account).set_marker(marker).send().await;
            let page = page.map_err(|error| match error.as_service_error() {
                Some(e) if e.is_no_such_entity_exception() => Self::no_user(account),
                _ => self.aws.lost(&error, "iam:ListAccessKeys"),
            })?;
            for key in page.access_key_metadata() {
                let Some(id) = key.access_key_id() else { continue };
                let (Ok(id), Ok(username)) = (VersionId::new(id), Username::new(id)) else { continue };
                keys.push(ListedVersion {
                    id,
                    username,
                    tag: None,
                    // `Expired`, and what AWS may add: not accepted.
                    state: match key.status() {
                        Some(StatusType::Active) => LiveState::Active,
                        _ => LiveState::Inactive,
                    },
                    created_at: key.create_date().and_then(|at| u64::try_from(at.to_millis().ok()?).ok()),
                    last_used_at: None,
                    last_refused_at: None,
                });
            }
            marker = page.marker().filter(|_| page.is_truncated()).map(str::to_owned);
            if marker.is_none() {
                return Ok(keys);
            }
        }
    }

    async fn marks(&self, iam: &Iam, account: &str) -> Result<Marks, Lost> {
        let mut marks = Marks::default();
        let mut marker = None;
        loop {
            let page = iam.list_user_tags().user_name(account).set_marker(marker).send().await;
            let page = page.map_err(|error| self.aws.lost(&error, "iam:ListUserTags"))?;
            for tag in page.tags() {
                marks.add(tag.key(), tag.value());
            }
            marker = page.marker().filter(|_| page.is_truncated()).map(str::to_owned);
            if marker.is_none() {
                return Ok(marks);
            }
        }
    }

    /// When a key was last used, which is not part of what a rotation needs: a missing permission is no trouble.
    async fn last_used(iam: &Iam, id: &VersionId) -> Option<u64> {
        let used = iam.get_access_key_last_used().access_key_id(id.as_str()).send().await.ok()?;
        u64::try_from(used.access_key_last_used()?.last_used_date()?.to_millis().ok()?).ok()
    }

    async fn try_list(&self, account: &str) -> Result<Vec<ListedVersion>, Lost> {
        let iam = self.iam().await?;
        let (keys, marks) = futures::future::join(self.keys(&iam, account), self.marks(&iam, account)).await;
        let (mut keys, marks) = (keys?, marks?);
        marks.name(&mut keys);
        let used = futures::future::join_all(keys.iter().map(|key| Self::last_used(&iam, &key.id))).await;
        for (key, used) in keys.iter_mut().zip(used) {
            key.last_used_at = used;
        }
        Ok(keys)
    }

    async fn mark(&self, iam: &Iam, account: &str, key: &str, value: &str) -> Result<(), Lost> {
        let tag = aws_sdk_iam::types::Tag::builder().key(key).value(value).build().map_err(|_| {
            Lost::Before(Fault::new(FaultClass::Permanent, "HO0517", "IAM: the rotation's mark cannot be a tag"))
        })?;
        let sent = iam.tag_user().user_name(account).tags(tag).send().await;
        sent.map(drop).map_err(|error| self.aws.lost(&error, "iam:TagUser"))
    }

    /// Takes marks away. What stays is only untidy: it names keys that are there or were.
    async fn unmark(&self, iam: &Iam, account: &str, key: &str) {
        if let Err(error) = iam.untag_user().user_name(account).tag_keys(key).send().await {
            let (Lost::Before(fault) | Lost::Maybe(fault)) = self.aws.lost(&error, "iam:UntagUser");
            tracing::warn!(%account, %key, "a mark of the user stays: {fault}");
        }
    }

    async fn try_create(&self, account: &str, tag: &Tag) -> Result<CreatedVersion, Lost> {
        let iam = self.iam().await?;
        let before = self.keys(&iam, account).await.map_err(Lost::before_the_change)?;
        if before.len() >= usize::from(QUOTA) {
            return Err(Lost::Before(full(account, &before)));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // Nothing has been made yet, so whatever becomes of this call, the key was not.
        if let Err(Lost::Before(fault) | Lost::Maybe(fault)) =
            self.mark(&iam, account, PENDING, &marks::pending(tag, now, &before)).await
        {
            return Err(Lost::Before(fault));
        }
        let made = match iam.create_access_key().user_name(account).send().await {
            Ok(made) => made,
            Err(error) => {
                let lost = match error.as_service_error() {
                    Some(e) if e.is_limit_exceeded_exception() => Lost::Before(full(account, &before)),
                    Some(e) if e.is_no_such_entity_exception() => Self::no_user(account),
                    _ => self.aws.lost(&error, "iam:CreateAccessKey"),
                };
                if matches!(lost, Lost::Before(_)) {
                    self.unmark(&iam, account, PENDING).await;
                }
                return Err(lost);
            }
        };
        let odd = || Lost::Maybe(Fault::new(FaultClass::Permanent, "HO0517", "IAM answered without a key"));
        let key = made.access_key().ok_or_else(odd)?;
        let made = (VersionId::new(key.access_key_id()), Username::new(key.access_key_id()));
        let (Ok(id), Ok(username)) = made else { return Err(odd()) };
        // The key is there and its secret is known: what fails from here on must not lose it, nor take so long that the caller gives
        // up. Until it is marked by its id, the mark of what was pending tells whose it is.
        let marked = async {
            match self.mark(&iam, account, id.as_str(), tag.as_str()).await {
                Ok(()) => self.unmark(&iam, account, PENDING).await,
                Err(Lost::Before(fault) | Lost::Maybe(fault)) => {
                    tracing::warn!(%account, key = %id, "the key is made but not marked by its id: {fault}");
                }
            }
        };
        if tokio::time::timeout(MARKING, marked).await.is_err() {
            tracing::warn!(%account, key = %id, "the key is made but not marked by its id: no answer in time");
        }
        let secret = password::derive(key.secret_access_key(), self.aws.region());
        Ok(CreatedVersion { id, username, secret: Some(secret) })
    }

    async fn set(&self, account: &str, id: &VersionId, status: StatusType) -> Result<(), Lost> {
        let iam = self.iam().await?;
        let sent = iam.update_access_key().user_name(account).access_key_id(id.as_str()).status(status).send().await;
        sent.map(drop).map_err(|error| match error.as_service_error() {
            Some(e) if e.is_no_such_entity_exception() => Self::no_key(id),
            _ => self.aws.lost(&error, "iam:UpdateAccessKey"),
        })
    }

    async fn try_delete(&self, account: &str, id: &VersionId) -> Result<(), Lost> {
        let iam = self.iam().await?;
        let sent = iam.delete_access_key().user_name(account).access_key_id(id.as_str()).send().await;
        match sent {
            Ok(_) => self.unmark(&iam, account, id.as_str()).await,
            Err(error) => match error.as_service_error() {
                Some(e) if e.is_no_such_entity_exception() => {}
                _ => return Err(self.aws.lost(&error, "iam:DeleteAccessKey")),
            },
        }
        Ok(())
    }
}

fn full(account: &str, keys: &[ListedVersion]) -> Fault {
    let names: Vec<String> = keys
        .iter()
        .map(|key| match key.state {
            LiveState::Active => format!("{} (active)", key.id),
            LiveState::Inactive => format!("{} (inactive)", key.id),
        })
        .collect();
    let message = format!("IAM user {account} has two access keys, which is the most: {}", names.join(", "));
    Fault::new(FaultClass::Permanent, "HO0503", message)
        .hint("find out which of them nothing uses, and delete it by hand; inactive ones count")
}

#[async_trait]
impl Provider for SesProvider {
    fn facts(&self) -> ProviderFacts {
        Self::usual(&self.options)
    }

    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>> {
        outcome(self.try_list(account).await)
    }

    async fn permitted(&self, account: &str) -> Outcome<Permitted> {
        outcome(self.try_permitted(account).await)
    }

    async fn warnings(&self, account: &str) -> Vec<String> {
        self.all_warnings(account).await
    }

    fn remark(&self, login: &Login) -> Option<String> {
        password::is_legacy(&login.password).then(|| {
            format!("the password of {} is of the form from before 2019, which AWS asks to replace", login.username)
        })
    }

    async fn create(&self, account: &str, tag: &Tag, _secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        outcome(self.try_create(account, tag).await)
    }

    async fn disable(&self, account: &str, id: &VersionId) -> Outcome<()> {
        outcome(self.set(account, id, StatusType::Inactive).await)
    }

    async fn enable(&self, account: &str, id: &VersionId, _secret: Option<&Secret>) -> Outcome<()> {
        outcome(self.set(account, id, StatusType::Active).await)
    }

    async fn delete(&self, account: &str, id: &VersionId) -> Outcome<()> {
        outcome(self.try_delete(account, id).await)
    }
}

#[cfg(test)]
mod tests {
    use handover_rotation::name::{RotationId, Slot};

    use super::*;
    use crate::aws::tests::unanswered;

    /// An IAM that makes keys and does not answer when one is to be marked by its id.
    async fn iam(mut near: tokio::net::TcpStream) -> std::io::Result<()> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut said = String::new();
        let mut some = [0; 4096];
        loop {
            let n = near.read(&mut some).await?;
            said.push_str(&String::from_utf8_lossy(&some[..n]));
            if n == 0 {
                return Ok(());
            }
            let body = if said.contains("Action=ListAccessKeys") {
                "<ListAccessKeysResponse><ListAccessKeysResult><AccessKeyMetadata/></ListAccessKeysResult></ListAccessKeysResponse>"
            } else if said.contains("Action=CreateAccessKey") {
                "<CreateAccessKeyResponse><CreateAccessKeyResult><AccessKey><UserName>news</UserName><AccessKeyId>AKIANEW\
                 </AccessKeyId><Status>Active</Status><SecretAccessKey>s</SecretAccessKey></AccessKey></CreateAccessKeyResult>\
                 </CreateAccessKeyResponse>"
            } else if said.contains("Action=TagUser") && said.contains("pending") {
                "<TagUserResponse/>"
            } else {
                continue;
            };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n", body.len());
            near.write_all(format!("{head}{body}").as_bytes()).await?;
            said.clear();
        }
    }

    #[tokio::test]
    async fn a_mark_that_is_not_answered_does_not_lose_the_key() {
        let provider = SesProvider::open(crate::aws::tests::answered(SesProvider::options, iam).await).expect("it opens");
        let tag = Tag::of(&RotationId::new("r-1").expect("an id"), Slot(1));
        let made = tokio::time::timeout(Duration::from_millis(REQUEST_TIMEOUT.0 / 2), provider.create("news", &tag, None));
        match made.await.expect("long before the caller gives up") {
            Outcome::Done(made) => assert!(made.id.as_str() == "AKIANEW" && made.secret.is_some()),
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => panic!("{fault}"),
        }
    }

    #[tokio::test]
    async fn a_look_that_was_lost_made_no_key() {
        let provider = SesProvider::open(unanswered(SesProvider::options).await).expect("it opens");
        let tag = Tag::of(&RotationId::new("r-1").expect("an id"), Slot(1));
        match provider.create("news", &tag, None).await {
            Outcome::NotDone(fault) => assert!(fault.message.contains("iam:ListAccessKeys"), "{fault}"),
            Outcome::Unknown(fault) => panic!("{fault}"),
            Outcome::Done(_) => panic!("made"),
        }
    }
}
