//! The provider `mailjet`: API keys of sub-accounts, which can be switched off and on. The API key is the login name, its secret
//! the password.
//!
//! The vendor's reference has no way to delete a key. What is deleted here is switched off and renamed, so that it belongs to no
//! account any more; it still counts for the plan's limit. The master key is never touched.

use async_trait::async_trait;
use handover_rotation::name::{Tag, VersionId};
use handover_rotation::outcome::{Fault, Outcome};
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::time::Span;
use reqwest::Method;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::rest::{Common, Group, Hidden, MANY, MOST_PAGES, PAGE, Rest, Shown, listed, looked, millis, no_account};
use super::{CreatedVersion, ListedVersion, Provider};
use crate::config::fields::Fields;
use crate::secret::Secret;
use crate::web::{Lost, outcome};

/// A replaced secret is accepted over SMTP for "more than one hour"; that of a key which was switched off is taken to be the same.
const PROPAGATION: Span = Span::minutes(120);
/// What the name of a key begins with that counts as deleted.
const RETIRED: &str = "retired ";

/// Mailjet.
pub struct MailjetProvider {
    rest: Rest,
    options: MailjetOptions,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailjetOptions {
    common: Common,
    api_user: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page<T> {
    data: Vec<T>,
}

/// A key without its secret.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    #[serde(rename = "ID")]
    id: u64,
    #[serde(rename = "APIKey")]
    api_key: String,
    name: String,
    #[serde(deserialize_with = "lenient")]
    is_active: bool,
    #[serde(default, deserialize_with = "lenient")]
    is_master: bool,
    #[serde(default)]
    created_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    #[serde(rename = "ID")]
    id: u64,
    #[serde(rename = "APIKey")]
    api_key: String,
    secret_key: Hidden,
}

/// The SDK has a boolean where the reference shows a text.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Bool(value) => Ok(value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(serde::de::Error::custom("neither true nor false")),
    }
}

impl MailjetProvider {
    /// Reads the options: `{api_user: KEY, api_key: SECRET}` of the master key, and those of every vendor.
    pub fn options(fields: &mut Fields<'_>) -> Option<MailjetOptions> {
        let common = Common::options(fields, Some("https://api.mailjet.com"), PROPAGATION);
        let api_user = fields.required_str("api_user");
        Some(MailjetOptions { common: common?, api_user: api_user? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        Common::schema(&["api_user"], json!({"api_user": {"type": "string", "minLength": 1}}))
    }

    /// What it can do and how fast.
    #[must_use]
    pub fn usual(options: &MailjetOptions) -> ProviderFacts {
        options.common.facts("mailjet", Shape::Reversible, MANY)
    }

    /// Mailjet as the inventory describes it. It contacts nothing.
    ///
    /// # Errors
    /// The address or the CA file cannot be used.
    pub fn open(options: MailjetOptions) -> Result<Self, Fault> {
        Ok(Self { rest: Rest::open("Mailjet", &options.common, Shown::Basic(options.api_user.clone()))?, options })
    }

    async fn keys(&self) -> Result<Vec<Key>, Lost> {
        let mut all = Vec::new();
        for page in 0..MOST_PAGES {
            let (offset, limit) = ((page * PAGE).to_string(), PAGE.to_string());
            // Without a limit there are ten.
            let query = [("Limit", limit.as_str()), ("Offset", offset.as_str())];
            let request = self.rest.request(Method::GET, &path(None), &query)?;
            let Page::<Key> { data } = self.rest.read(request, "list API keys").await?;
            let last = data.len() < PAGE;
            all.extend(data);
            if last {
                return Ok(all);
            }
        }
        Err(self.rest.endless())
    }

    /// Looks at a key before it is changed. `None` if there is none.
    async fn key(&self, id: &VersionId) -> Result<Option<Key>, Lost> {
        let doing = "read an API key";
        let answer = self.rest.api.send(self.rest.request(Method::GET, &path(Some(id)), &[])?).await.map_err(looked)?;
        if answer.status.as_u16() == 404 {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(looked(self.rest.api.refused(&answer, doing)));
        }
        let found: Option<Page<Key>> = answer.json();
        let key = found.and_then(|page| page.data.into_iter().find(|key| key.id.to_string() == id.as_str()));
        match key {
            Some(key) if key.is_master => Err(Lost::Before(self.rest.refusal("the master key is never changed"))),
            Some(key) => Ok(Some(key)),
            None => Err(looked(self.rest.api.garbled(doing))),
        }
    }

    /// Changes a key, and believes only what the answer says of it.
    async fn put(&self, id: &VersionId, body: Value, held: impl Fn(&Key) -> bool) -> Result<(), Lost> {
        let doing = "change an API key";
        let request = self.rest.request(Method::PUT, &path(Some(id)), &[])?.json(&body);
        let Page::<Key> { data } = self.rest.read(request, doing).await?;
        if data.iter().any(|key| key.id.to_string() == id.as_str() && held(key)) {
            return Ok(());
        }
        Err(self.rest.api.garbled(doing))
    }

    async fn switch(&self, id: &VersionId, on: bool) -> Outcome<()> {
        let switch = async {
            if self.key(id).await?.is_none() {
                return Err(Lost::Before(self.rest.refusal("it has no such API key")));
            }
            self.put(id, json!({"IsActive": on}), |key| key.is_active == on).await
        };
        outcome(switch.await)
    }
}

fn path(id: Option<&VersionId>) -> Vec<&str> {
    ["v3", "REST", "apikey"].into_iter().chain(id.map(VersionId::as_str)).collect()
}

fn group(account: &str) -> Result<Group<'_>, Lost> {
    match account.trim() {
        "" => Err(no_account("Mailjet", account, "the name of its API key")),
        _ => Ok(Group::named(account)),
    }
}

#[async_trait]
impl Provider for MailjetProvider {
    fn facts(&self) -> ProviderFacts {
        Self::usual(&self.options)
    }

    async fn warnings(&self, _account: &str) -> Vec<String> {
        vec![
            "each Mailjet key is a sub-account with senders and statistics of its own: see that the senders are validated for \
             new keys (a metasender), or mail with the new key is refused"
                .to_owned(),
        ]
    }

    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>> {
        let look = async {
            let group = group(account)?;
            let version = |key: Key| {
                let tag = group.tag(&key.name).filter(|_| !key.is_master)?;
                let version = listed(&key.id.to_string(), &key.api_key, tag, key.is_active)?;
                Some(ListedVersion { created_at: key.created_at.as_deref().and_then(millis), ..version })
            };
            Ok(self.keys().await?.into_iter().filter_map(version).collect())
        };
        outcome(look.await)
    }

    async fn create(&self, account: &str, tag: &Tag, _secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        let make = async {
            let doing = "make an API key";
            let body = json!({"Name": group(account)?.name(tag), "IsActive": true});
            let request = self.rest.request(Method::POST, &path(None), &[])?.json(&body);
            let Page::<Made> { data } = self.rest.read(request, doing).await?;
            let made = data.into_iter().next().ok_or_else(|| self.rest.api.garbled(doing))?;
            self.rest.made(&made.id.to_string(), &made.api_key, Some(made.secret_key.0))
        };
        outcome(make.await)
    }

    async fn disable(&self, _account: &str, id: &VersionId) -> Outcome<()> {
        self.switch(id, false).await
    }

    async fn enable(&self, _account: &str, id: &VersionId, _secret: Option<&Secret>) -> Outcome<()> {
        self.switch(id, true).await
    }

    async fn delete(&self, _account: &str, id: &VersionId) -> Outcome<()> {
        let retire = async {
            let Some(key) = self.key(id).await? else { return Ok(()) };
            if key.name.starts_with(RETIRED) && !key.is_active {
                return Ok(());
            }
            let name = format!("{RETIRED}{}", key.name.trim_start_matches(RETIRED));
            let body = json!({"IsActive": false, "Name": name});
            self.put(id, body, |key| !key.is_active && key.name == name).await
        };
        outcome(retire.await)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rest::tests::hold;
    use super::*;

    #[test]
    fn its_options_are_read_and_others_refused() {
        let good = ["{api_user: abc123, api_key: {env: KEY}}"];
        let bad = ["{api_key: {env: KEY}}", "{api_user: abc123}", "{api_user: abc123, api_key: {env: KEY}, acl: x}"];
        hold(&good, &bad, MailjetProvider::options, MailjetProvider::schema);
    }

    #[test]
    fn a_truth_is_read_as_boolean_and_as_text() {
        for (active, expected) in
            [("true", Some(true)), ("\"false\"", Some(false)), ("\"True\"", Some(true)), ("1", None), ("\"yes\"", None)]
        {
            let text = format!("{{\"ID\": 1, \"APIKey\": \"k\", \"Name\": \"n\", \"IsActive\": {active}}}");
            assert_eq!(serde_json::from_str::<Key>(&text).ok().map(|key| key.is_active), expected, "{active}");
        }
    }
}
