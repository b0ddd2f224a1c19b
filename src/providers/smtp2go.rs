//! The provider `smtp2go`: SMTP users, which can be blocked and allowed again. Handover chooses the login name and the password;
//! the description carries the tag. The vendor shows passwords whenever a user is read: no answer of it is kept.

use async_trait::async_trait;
use handover_rotation::name::{Tag, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::time::Span;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rest::{Common, Group, MANY, Rest, Shown, listed, looked, no_account, no_secret, spell};
use super::{CreatedVersion, ListedVersion, Provider};
use crate::config::fields::Fields;
use crate::secret::Secret;
use crate::web::{Answer, Lost, PROVIDER, outcome};

/// Nothing is documented.
const PROPAGATION: Span = Span::minutes(5);

/// SMTP2GO.
pub struct Smtp2goProvider {
    rest: Rest,
    options: Smtp2goOptions,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp2goOptions {
    common: Common,
}

#[derive(Deserialize)]
struct Reply {
    data: Results,
}

#[derive(Deserialize)]
struct Results {
    results: Vec<User>,
}

/// A user without its password, which is in the answer as well.
#[derive(Deserialize)]
struct User {
    username: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    sending_allowed: Option<bool>,
}

#[derive(Deserialize)]
struct Complaint {
    data: Problem,
}

#[derive(Deserialize)]
struct Problem {
    error_code: String,
}

impl User {
    /// A user in the state `sandbox` is accepted, though nothing of it is delivered.
    fn is_accepted(&self) -> bool {
        self.status.as_deref() != Some("blocked") && self.sending_allowed != Some(false)
    }
}

impl Smtp2goProvider {
    /// Reads the options: `{api_key: SECRET}` and those of every vendor.
    pub fn options(fields: &mut Fields<'_>) -> Option<Smtp2goOptions> {
        let common = Common::options(fields, Some("https://api.smtp2go.com"), PROPAGATION);
        Some(Smtp2goOptions { common: common? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        Common::schema(&[], json!({}))
    }

    /// What it can do and how fast.
    #[must_use]
    pub fn usual(options: &Smtp2goOptions) -> ProviderFacts {
        let facts = options.common.facts("smtp2go", Shape::Reversible, MANY);
        ProviderFacts { chooses_secret: true, ..facts }
    }

    /// SMTP2GO as the inventory describes it. It contacts nothing.
    ///
    /// # Errors
    /// The address or the CA file cannot be used.
    pub fn open(options: Smtp2goOptions) -> Result<Self, Fault> {
        Ok(Self { rest: Rest::open("SMTP2GO", &options.common, Shown::Header("x-smtp2go-api-key"))?, options })
    }

    /// One call; a missing permission is a 400 here, told by its code.
    async fn call(&self, method: Method, action: &str, body: &Value, doing: &str) -> Result<Answer, Lost> {
        let request = self.rest.request(method, &["v3", "users", "smtp", action], &[])?.json(body);
        let answer = self.rest.api.send(request).await?;
        let complaint = answer.json::<Complaint>().map(|c| c.data.error_code);
        match complaint.as_deref().map(|code| code.rsplit('.').next().unwrap_or_default()) {
            Some("ENDPOINT_PERMISSION_DENIED") => {
                let fault =
                    self.rest.api.fault(FaultClass::Permanent, PROVIDER.forbidden, format!("it does not let us {doing}"));
                Err(Lost::Before(fault.hint("give the API key the endpoints on this kind's page")))
            }
            _ if !answer.status.is_success() => Err(self.rest.api.refused(&answer, doing)),
            Some(_) => Err(Lost::Before(self.rest.refusal(&format!("it refused to {doing}")))),
            None => Ok(answer),
        }
    }

    async fn users(&self) -> Result<Vec<User>, Lost> {
        let doing = "view SMTP users";
        let reply: Option<Reply> = self.call(Method::POST, "view", &json!({}), doing).await?.json();
        Ok(reply.ok_or_else(|| self.rest.api.garbled(doing))?.data.results)
    }

    /// Sets the state of a user, and believes only what the answer says of it.
    async fn set(&self, id: &VersionId, status: &str) -> Outcome<()> {
        let set = async {
            let doing = "edit an SMTP user";
            let body = json!({"username": id.as_str(), "status": status});
            // PATCH changes what is named; POST would replace the whole user.
            let reply: Option<Reply> = self.call(Method::PATCH, "edit", &body, doing).await?.json();
            let users = reply.map(|r| r.data.results).unwrap_or_default();
            let is_set = users.iter().any(|u| u.username == id.as_str() && u.status.as_deref() == Some(status));
            if is_set { Ok(()) } else { Err(self.rest.api.garbled(doing)) }
        };
        outcome(set.await)
    }
}

fn group(account: &str) -> Result<Group<'_>, Lost> {
    match account.trim() {
        "" => Err(no_account("SMTP2GO", account, "the description of its SMTP user")),
        _ => Ok(Group::named(account)),
    }
}

#[async_trait]
impl Provider for Smtp2goProvider {
    fn facts(&self) -> ProviderFacts {
        Self::usual(&self.options)
    }

    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>> {
        let look = async {
            let group = group(account)?;
            let version = |user: User| {
                let tag = group.tag(user.description.as_deref().unwrap_or_default())?;
                listed(&user.username, &user.username, tag, user.is_accepted())
            };
            Ok(self.users().await?.into_iter().filter_map(version).collect())
        };
        outcome(look.await)
    }

    async fn create(&self, account: &str, tag: &Tag, secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        let make = async {
            let name = group(account)?.name(tag);
            let secret = secret.ok_or_else(|| no_secret("SMTP2GO"))?;
            let username = spell(tag);
            let body = json!({
                "username": username, "email_password": secret.expose(), "description": name, "status": "allowed",
            });
            self.call(Method::POST, "add", &body, "add an SMTP user").await?;
            self.rest.made(&username, &username, None)
        };
        outcome(make.await)
    }

    async fn disable(&self, _account: &str, id: &VersionId) -> Outcome<()> {
        self.set(id, "blocked").await
    }

    async fn enable(&self, _account: &str, id: &VersionId, _secret: Option<&Secret>) -> Outcome<()> {
        self.set(id, "allowed").await
    }

    async fn delete(&self, _account: &str, id: &VersionId) -> Outcome<()> {
        let body = json!({"username": id.as_str()});
        let refused = match self.call(Method::POST, "remove", &body, "remove an SMTP user").await {
            Ok(_) => return Outcome::Done(()),
            Err(Lost::Before(fault)) if fault.code == PROVIDER.odd => fault,
            Err(lost) => return lost.into(),
        };
        // What it answers for a user that is gone is not documented: a look tells.
        match self.users().await.map_err(looked) {
            Ok(users) if users.iter().all(|user| user.username != id.as_str()) => Outcome::Done(()),
            _ => Outcome::NotDone(refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rest::tests::hold;
    use super::*;

    #[test]
    fn its_options_are_read_and_others_refused() {
        let good = ["{api_key: {env: KEY}}", "{api_key: {env: KEY}, address: \"https://eu-api.smtp2go.com\"}"];
        hold(&good, &["{}", "{api_key: {env: KEY}, region: eu}"], Smtp2goProvider::options, Smtp2goProvider::schema);
    }

    #[test]
    fn who_is_blocked_is_not_accepted() {
        for (text, accepted) in [
            (r#"{"username": "a", "status": "allowed", "sending_allowed": true}"#, true),
            (r#"{"username": "a", "status": "sandbox"}"#, true),
            (r#"{"username": "a"}"#, true),
            (r#"{"username": "a", "status": "blocked"}"#, false),
            (r#"{"username": "a", "sending_allowed": false}"#, false),
        ] {
            assert_eq!(serde_json::from_str::<User>(text).expect("a user").is_accepted(), accepted, "{text}");
        }
    }
}
