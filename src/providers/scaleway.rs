//! The provider `scaleway`: IAM API keys of one application, as passwords of Transactional Email. The login name is the project's
//! id, and a key does not tell its access key.
//!
//! An expiry in the past might disable a key and one in the future enable it again; that is not documented, so this kind deletes.

use async_trait::async_trait;
use handover_rotation::name::{Tag, VersionId};
use handover_rotation::outcome::{Fault, Outcome};
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::time::Span;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rest::{
    Common, Group, Hidden, MANY, MOST_PAGES, PAGE, Rest, Shown, full, listed, millis, no_account, only_deletes,
};
use super::{CreatedVersion, ListedVersion, Provider};
use crate::config::fields::Fields;
use crate::secret::Secret;
use crate::web::{Lost, outcome};

/// Nothing is documented.
const PROPAGATION: Span = Span::minutes(5);

/// Scaleway.
pub struct ScalewayProvider {
    rest: Rest,
    options: ScalewayOptions,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalewayOptions {
    common: Common,
    project: String,
}

#[derive(Deserialize)]
struct Page {
    api_keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    access_key: String,
    #[serde(default)]
    application_id: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    expires_at: Option<String>,
}

#[derive(Deserialize)]
struct Made {
    access_key: String,
    secret_key: Hidden,
}

#[derive(Deserialize)]
struct Complaint {
    #[serde(rename = "type")]
    kind: String,
}

impl ScalewayProvider {
    /// Reads the options: `{api_key: SECRET, project: ID}` and those of every vendor.
    pub fn options(fields: &mut Fields<'_>) -> Option<ScalewayOptions> {
        let common = Common::options(fields, Some("https://api.scaleway.com"), PROPAGATION);
        let project = fields.required_str("project");
        Some(ScalewayOptions { common: common?, project: project? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        Common::schema(&["project"], json!({"project": {"type": "string", "minLength": 1}}))
    }

    /// What it can do and how fast.
    #[must_use]
    pub fn usual(options: &ScalewayOptions) -> ProviderFacts {
        options.common.facts("scaleway", Shape::DeleteOnly, MANY)
    }

    /// Scaleway as the inventory describes it. It contacts nothing.
    ///
    /// # Errors
    /// The address or the CA file cannot be used.
    pub fn open(options: ScalewayOptions) -> Result<Self, Fault> {
        Ok(Self { rest: Rest::open("Scaleway", &options.common, Shown::Header("x-auth-token"))?, options })
    }

    /// The keys of an application that belong to a group.
    async fn keys(&self, account: &str) -> Result<Vec<(Key, Option<Tag>)>, Lost> {
        let (application, group) = place(account)?;
        let mut all = Vec::new();
        for page in 1..=MOST_PAGES {
            let (page, size) = (page.to_string(), PAGE.to_string());
            let query = [("bearer_id", application), ("page", page.as_str()), ("page_size", size.as_str())];
            let request = self.rest.request(Method::GET, &path(None), &query)?;
            let Page { api_keys } = self.rest.read(request, "list API keys").await?;
            let last = api_keys.len() < PAGE;
            let ours = |key: &Key| key.application_id.as_deref() == Some(application);
            all.extend(api_keys.into_iter().filter(ours).filter_map(|key| {
                let tag = group.tag(&key.description)?;
                Some((key, tag))
            }));
            if last {
                return Ok(all);
            }
        }
        Err(self.rest.endless())
    }
}

fn path(id: Option<&VersionId>) -> Vec<&str> {
    ["iam", "v1alpha1", "api-keys"].into_iter().chain(id.map(VersionId::as_str)).collect()
}

fn place(account: &str) -> Result<(&str, Group<'_>), Lost> {
    let (application, group) = Group::within(account);
    let sound = !application.is_empty() && application.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    match sound {
        true => Ok((application, group)),
        false => Err(no_account("Scaleway", account, "APPLICATION_ID or APPLICATION_ID/DESCRIPTION")),
    }
}

#[async_trait]
impl Provider for ScalewayProvider {
    fn facts(&self) -> ProviderFacts {
        Self::usual(&self.options)
    }

    async fn warnings(&self, account: &str) -> Vec<String> {
        let expiring = |(key, _): (Key, Option<Tag>)| {
            let expires = key.expires_at.filter(|at| millis(at).is_some())?;
            Some(format!("API key {} ends at {expires}: it has to be rotated before", key.access_key))
        };
        self.keys(account).await.map(|keys| keys.into_iter().filter_map(expiring).collect()).unwrap_or_default()
    }

    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>> {
        let look = async {
            let version = |(key, tag): (Key, Option<Tag>)| {
                let version = listed(&key.access_key, &self.options.project, tag, true)?;
                Some(ListedVersion { created_at: key.created_at.as_deref().and_then(millis), ..version })
            };
            Ok(self.keys(account).await?.into_iter().filter_map(version).collect())
        };
        outcome(look.await)
    }

    async fn create(&self, account: &str, tag: &Tag, _secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        let make = async {
            let (application, group) = place(account)?;
            let doing = "make an API key";
            let body = json!({
                "application_id": application, "description": group.name(tag), "default_project_id": self.options.project,
            });
            let answer = self.rest.api.send(self.rest.request(Method::POST, &path(None), &[])?.json(&body)).await?;
            if !answer.status.is_success() {
                let is_full = answer.json::<Complaint>().is_some_and(|c| c.kind == "quotas_exceeded");
                let may_be = !answer.status.is_server_error() && answer.status.as_u16() != 429;
                return Err(if is_full && may_be { full("Scaleway") } else { self.rest.api.refused(&answer, doing) });
            }
            let made: Made = answer.json().ok_or_else(|| self.rest.api.garbled(doing))?;
            self.rest.made(&made.access_key, &self.options.project, Some(made.secret_key.0))
        };
        outcome(make.await)
    }

    async fn disable(&self, _account: &str, _id: &VersionId) -> Outcome<()> {
        only_deletes("Scaleway")
    }

    async fn enable(&self, _account: &str, _id: &VersionId, _secret: Option<&Secret>) -> Outcome<()> {
        only_deletes("Scaleway")
    }

    async fn delete(&self, _account: &str, id: &VersionId) -> Outcome<()> {
        self.rest.delete(self.rest.request(Method::DELETE, &path(Some(id)), &[]), "delete an API key").await
    }
}

#[cfg(test)]
mod tests {
    use super::super::rest::tests::hold;
    use super::*;

    #[test]
    fn its_options_are_read_and_others_refused() {
        let good = ["{api_key: {env: KEY}, project: 6170692e-7363-616c-6577-61792e636f6d}"];
        let bad = ["{api_key: {env: KEY}}", "{project: x}", "{api_key: {env: KEY}, project: x, soft_disable: true}"];
        hold(&good, &bad, ScalewayProvider::options, ScalewayProvider::schema);
    }

    #[test]
    fn an_account_is_an_application_and_maybe_a_name() {
        for (account, sound) in [("0a-1b", true), ("0a-1b/news", true), ("", false), ("/news", false), ("a b", false)] {
            assert_eq!(place(account).is_ok(), sound, "{account}");
        }
    }
}
