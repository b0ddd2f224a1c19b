//! The provider `mailersend`: SMTP users of a domain, which can be disabled and enabled. The vendor chooses login name and
//! password, and shows the password whenever a user is read: no answer of it is kept.

use async_trait::async_trait;
use handover_rotation::name::{Tag, VersionId};
use handover_rotation::outcome::{Fault, Outcome};
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::time::Span;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rest::{
    Common, Group, Hidden, MANY, MOST_PAGES, PAGE, Rest, Shown, listed, looked, millis, no_account, too_long,
};
use super::{CreatedVersion, ListedVersion, Provider};
use crate::config::fields::Fields;
use crate::secret::Secret;
use crate::web::{Lost, outcome};

/// Of a user's name.
const LONGEST_NAME: usize = 50;
/// Nothing is documented.
const PROPAGATION: Span = Span::minutes(5);

/// MailerSend.
pub struct MailerSendProvider {
    rest: Rest,
    options: MailerSendOptions,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailerSendOptions {
    common: Common,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

/// A user without its password, which is in the answer as well.
#[derive(Deserialize)]
struct User {
    id: String,
    name: String,
    username: String,
    enabled: bool,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    accessed_at: Option<String>,
}

#[derive(Deserialize)]
struct Made {
    id: String,
    username: String,
    password: Hidden,
}

impl MailerSendProvider {
    /// Reads the options: `{api_key: SECRET}` and those of every vendor.
    pub fn options(fields: &mut Fields<'_>) -> Option<MailerSendOptions> {
        let common = Common::options(fields, Some("https://api.mailersend.com"), PROPAGATION);
        Some(MailerSendOptions { common: common? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        Common::schema(&[], json!({}))
    }

    /// What it can do and how fast.
    #[must_use]
    pub fn usual(options: &MailerSendOptions) -> ProviderFacts {
        options.common.facts("mailersend", Shape::Reversible, MANY)
    }

    /// MailerSend as the inventory describes it. It contacts nothing.
    ///
    /// # Errors
    /// The address or the CA file cannot be used.
    pub fn open(options: MailerSendOptions) -> Result<Self, Fault> {
        Ok(Self { rest: Rest::open("MailerSend", &options.common, Shown::Bearer)?, options })
    }

    async fn users(&self, domain: &str) -> Result<Vec<User>, Lost> {
        let mut all = Vec::new();
        for page in 1..=MOST_PAGES {
            let (page, limit) = (page.to_string(), PAGE.to_string());
            let query = [("page", page.as_str()), ("limit", limit.as_str())];
            let request = self.rest.request(Method::GET, &path(domain, None), &query)?;
            let Data { data }: Data<Vec<User>> = self.rest.read(request, "list SMTP users").await?;
            let last = data.len() < PAGE;
            all.extend(data);
            if last {
                return Ok(all);
            }
        }
        Err(self.rest.endless())
    }

    async fn set(&self, domain: &str, id: &VersionId, enabled: bool) -> Outcome<()> {
        let set = async {
            let path = path(place(domain)?, Some(id));
            // The name goes with every change. Reading it changes nothing.
            let request = self.rest.request(Method::GET, &path, &[])?;
            let found: Data<User> = self.rest.read(request, "read an SMTP user").await.map_err(looked)?;
            let body = json!({"name": found.data.name, "enabled": enabled});
            let request = self.rest.request(Method::PUT, &path, &[])?.json(&body);
            self.rest.send(request, "change an SMTP user").await.map(drop)
        };
        outcome(set.await)
    }
}

fn path<'a>(domain: &'a str, id: Option<&'a VersionId>) -> Vec<&'a str> {
    ["v1", "domains", domain, "smtp-users"].into_iter().chain(id.map(VersionId::as_str)).collect()
}

fn place(account: &str) -> Result<&str, Lost> {
    match account.chars().all(|c| c.is_ascii_alphanumeric()) && !account.is_empty() {
        true => Ok(account),
        false => Err(no_account("MailerSend", account, "the id of a domain, such as 7nxe3yjmeq28vp0k")),
    }
}

#[async_trait]
impl Provider for MailerSendProvider {
    fn facts(&self) -> ProviderFacts {
        Self::usual(&self.options)
    }

    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>> {
        let look = async {
            let (domain, group) = Group::within(account);
            let version = |user: User| {
                let version = listed(&user.id, &user.username, group.tag(&user.name)?, user.enabled)?;
                let [created_at, last_used_at] = [user.created_at, user.accessed_at].map(|t| t.as_deref().and_then(millis));
                Some(ListedVersion { created_at, last_used_at, ..version })
            };
            Ok(self.users(place(domain)?).await?.into_iter().filter_map(version).collect())
        };
        outcome(look.await)
    }

    async fn create(&self, account: &str, tag: &Tag, _secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        let make = async {
            let (domain, group) = Group::within(account);
            let name = group.name(tag);
            if name.chars().count() > LONGEST_NAME {
                return Err(too_long("MailerSend", &name, LONGEST_NAME));
            }
            let request = self.rest.request(Method::POST, &path(place(domain)?, None), &[])?;
            let request = request.json(&json!({"name": name, "enabled": true}));
            let made: Data<Made> = self.rest.read(request, "make an SMTP user").await?;
            self.rest.made(&made.data.id, &made.data.username, Some(made.data.password.0))
        };
        outcome(make.await)
    }

    async fn disable(&self, account: &str, id: &VersionId) -> Outcome<()> {
        self.set(Group::within(account).0, id, false).await
    }

    async fn enable(&self, account: &str, id: &VersionId, _secret: Option<&Secret>) -> Outcome<()> {
        self.set(Group::within(account).0, id, true).await
    }

    async fn delete(&self, account: &str, id: &VersionId) -> Outcome<()> {
        let request = place(Group::within(account).0)
            .and_then(|domain| self.rest.request(Method::DELETE, &path(domain, Some(id)), &[]));
        self.rest.delete(request, "delete an SMTP user").await
    }
}

#[cfg(test)]
mod tests {
    use handover_rotation::name::{RotationId, Slot};

    use super::super::rest::tests::{hold, read};
    use super::*;

    #[test]
    fn its_options_are_read_and_others_refused() {
        let bad = ["{}", "{api_key: {env: KEY}, domain: x}", "{api_key: {env: KEY}, address: \"ftp://x\"}"];
        hold(&["{api_key: {env: KEY}}"], &bad, MailerSendProvider::options, MailerSendProvider::schema);
    }

    #[tokio::test]
    async fn a_name_that_does_not_fit_is_refused_before_anything_is_sent() {
        let text = "{api_key: {env: PATH}, address: \"http://127.0.0.1:1\"}";
        let options = read(text, MailerSendProvider::options).expect("options");
        let provider = MailerSendProvider::open(options).expect("it opens");
        let tag = Tag::of(&RotationId::new("n".repeat(40)).expect("an id"), Slot(1));
        for (account, code) in [("7nxe3yjmeq28vp0k", "HO0517"), ("example.com", "HO0517"), ("", "HO0517")] {
            match provider.create(account, &tag, None).await {
                Outcome::NotDone(fault) => assert_eq!(fault.code, code, "{fault}"),
                other => panic!("{:?}", other.map(|made| made.id)),
            }
        }
        let id = VersionId::new("x").expect("an id");
        for outcome in [provider.disable("example.com", &id).await, provider.delete("", &id).await] {
            assert!(matches!(outcome, Outcome::NotDone(fault) if fault.code == "HO0502"));
        }
    }
}
