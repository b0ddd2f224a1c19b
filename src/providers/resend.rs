//! The provider `resend`: API keys that may send and nothing else, from one domain where the inventory names it. The login name
//! is always `resend`, and a key does not tell its id.

use async_trait::async_trait;
use handover_rotation::name::{Tag, VersionId};
use handover_rotation::outcome::{Fault, Outcome};
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::time::Span;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rest::{Common, Group, Hidden, MANY, MOST_PAGES, Rest, Shown, listed, millis, no_account, only_deletes};
use super::{CreatedVersion, ListedVersion, Provider};
use crate::config::fields::Fields;
use crate::secret::Secret;
use crate::web::{Lost, outcome};

/// The login name of every key.
const USERNAME: &str = "resend";
/// Nothing is documented.
const PROPAGATION: Span = Span::minutes(5);

/// Resend.
pub struct ResendProvider {
    rest: Rest,
    options: ResendOptions,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResendOptions {
    common: Common,
    domain_id: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    has_more: bool,
    data: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    id: String,
    name: String,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    last_used_at: Option<String>,
}

#[derive(Deserialize)]
struct Made {
    id: String,
    token: Hidden,
}

impl ResendProvider {
    /// Reads the options: `{api_key: SECRET, domain_id: ID}` and those of every vendor.
    pub fn options(fields: &mut Fields<'_>) -> Option<ResendOptions> {
        let common = Common::options(fields, Some("https://api.resend.com"), PROPAGATION);
        let domain_id = fields.optional_str("domain_id");
        Some(ResendOptions { common: common?, domain_id })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        Common::schema(&[], json!({"domain_id": {"type": "string", "minLength": 1}}))
    }

    /// What it can do and how fast.
    #[must_use]
    pub fn usual(options: &ResendOptions) -> ProviderFacts {
        options.common.facts("resend", Shape::DeleteOnly, MANY)
    }

    /// Resend as the inventory describes it. It contacts nothing.
    ///
    /// # Errors
    /// The address or the CA file cannot be used.
    pub fn open(options: ResendOptions) -> Result<Self, Fault> {
        Ok(Self { rest: Rest::open("Resend", &options.common, Shown::Bearer)?, options })
    }

    async fn keys(&self) -> Result<Vec<Key>, Lost> {
        let mut all: Vec<Key> = Vec::new();
        for _ in 0..MOST_PAGES {
            let mut query = vec![("limit", "100")];
            if let Some(last) = all.last() {
                query.push(("after", last.id.as_str()));
            }
            let request = self.rest.request(Method::GET, &["api-keys"], &query)?;
            let page: Page = self.rest.read(request, "list API keys").await?;
            let more = page.has_more && !page.data.is_empty();
            all.extend(page.data);
            if !more {
                return Ok(all);
            }
        }
        Err(self.rest.endless())
    }
}

fn group(account: &str) -> Result<Group<'_>, Lost> {
    match account.trim() {
        "" => Err(no_account("Resend", account, "the name of its API key")),
        _ => Ok(Group::named(account)),
    }
}

#[async_trait]
impl Provider for ResendProvider {
    fn facts(&self) -> ProviderFacts {
        Self::usual(&self.options)
    }

    async fn warnings(&self, _account: &str) -> Vec<String> {
        match self.options.domain_id {
            Some(_) => Vec::new(),
            None => vec!["without `domain_id`, keys are made that may send from every domain of the Resend team".to_owned()],
        }
    }

    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>> {
        let look = async {
            let group = group(account)?;
            let version = |key: Key| {
                let version = listed(&key.id, USERNAME, group.tag(&key.name)?, true)?;
                let [created_at, last_used_at] = [key.created_at, key.last_used_at].map(|t| t.as_deref().and_then(millis));
                Some(ListedVersion { created_at, last_used_at, ..version })
            };
            Ok(self.keys().await?.into_iter().filter_map(version).collect())
        };
        outcome(look.await)
    }

    async fn create(&self, account: &str, tag: &Tag, _secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        let make = async {
            let mut body = json!({"name": group(account)?.name(tag), "permission": "sending_access"});
            if let Some(domain) = &self.options.domain_id {
                body["domain_id"] = json!(domain);
            }
            let request = self.rest.request(Method::POST, &["api-keys"], &[])?.json(&body);
            let made: Made = self.rest.read(request, "make an API key").await?;
            self.rest.made(&made.id, USERNAME, Some(made.token.0))
        };
        outcome(make.await)
    }

    async fn disable(&self, _account: &str, _id: &VersionId) -> Outcome<()> {
        only_deletes("Resend")
    }

    async fn enable(&self, _account: &str, _id: &VersionId, _secret: Option<&Secret>) -> Outcome<()> {
        only_deletes("Resend")
    }

    async fn delete(&self, _account: &str, id: &VersionId) -> Outcome<()> {
        let request = self.rest.request(Method::DELETE, &["api-keys", id.as_str()], &[]);
        self.rest.delete(request, "delete an API key").await
    }
}

#[cfg(test)]
mod tests {
    use super::super::rest::tests::hold;
    use super::*;

    #[test]
    fn its_options_are_read_and_others_refused() {
        let good = ["{api_key: {env: KEY}}", "{api_key: {env: KEY}, domain_id: d91cd9bd-1176-453e-8fc1-35364d380206}"];
        let bad = ["{}", "{api_key: {env: KEY}, domain: example.com}", "{api_key: {env: KEY}, permission: full_access}"];
        hold(&good, &bad, ResendProvider::options, ResendProvider::schema);
    }
}
