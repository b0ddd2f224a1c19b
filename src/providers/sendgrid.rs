//! The provider `sendgrid`: API keys that may do nothing but send. The login name is always `apikey`; the id of a key is the
//! middle of the key itself, so a password tells whose it is.
//!
//! What it must not do: make a key without naming its scopes, which would be one with full access. There is one place that
//! makes a request to create, and it cannot leave them out.

use async_trait::async_trait;
use handover_rotation::name::{Tag, VersionId};
use handover_rotation::outcome::{Fault, Outcome};
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::time::Span;
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

use super::rest::{Common, Group, Hidden, MANY, Rest, Shown, full, listed, looked, no_account, only_deletes};
use super::{CreatedVersion, ListedVersion, Permitted, Provider};
use crate::config::fields::Fields;
use crate::secret::{Login, Secret};
use crate::web::{Lost, outcome};

/// The login name of every key.
const USERNAME: &str = "apikey";
/// What a key is for.
const SEND: &str = "mail.send";
/// What a key may do that is disabled: at least one scope must be left, and this one reads nothing of mail.
const HARMLESS: &str = "user.profile.read";
/// "Some small propagation delay" is all that the vendor says.
const PROPAGATION: Span = Span::minutes(5);

/// SendGrid.
pub struct SendGridProvider {
    rest: Rest,
    options: SendGridOptions,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendGridOptions {
    common: Common,
    subuser: Option<String>,
    soft_disable: bool,
}

#[derive(Deserialize)]
struct Key {
    name: String,
    api_key_id: String,
}

#[derive(Deserialize)]
struct Keys {
    result: Vec<Key>,
}

#[derive(Deserialize)]
struct Made {
    api_key: Hidden,
    api_key_id: String,
}

/// A key by its id: the vendor's specification has it in a list of one, its examples elsewhere as it is.
#[derive(Deserialize)]
struct Scoped {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    scopes: Option<Vec<String>>,
    #[serde(default)]
    result: Vec<Scopes>,
}

#[derive(Deserialize)]
struct Scopes {
    name: String,
    scopes: Vec<String>,
}

/// What the key of the caller may do.
#[derive(Deserialize)]
struct Allowed {
    scopes: Vec<String>,
}

#[derive(Deserialize)]
struct Complaint {
    errors: Vec<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    message: String,
}

impl SendGridProvider {
    /// Reads the options: `{api_key: SECRET, subuser: NAME, soft_disable: false}` and those of every vendor.
    pub fn options(fields: &mut Fields<'_>) -> Option<SendGridOptions> {
        let common = Common::options(fields, Some("https://api.sendgrid.com"), PROPAGATION);
        let subuser = fields.optional_str("subuser");
        let soft_disable = fields.optional_bool("soft_disable");
        Some(SendGridOptions { common: common?, subuser, soft_disable: soft_disable.unwrap_or(false) })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        Common::schema(&[], json!({"subuser": {"type": "string", "minLength": 1}, "soft_disable": {"type": "boolean"}}))
    }

    /// What it can do and how fast.
    #[must_use]
    pub fn usual(options: &SendGridOptions) -> ProviderFacts {
        let shape = if options.soft_disable { Shape::Reversible } else { Shape::DeleteOnly };
        options.common.facts("sendgrid", shape, MANY)
    }

    /// SendGrid as the inventory describes it. It contacts nothing.
    ///
    /// # Errors
    /// The address or the CA file cannot be used.
    pub fn open(options: SendGridOptions) -> Result<Self, Fault> {
        Ok(Self { rest: Rest::open("SendGrid", &options.common, Shown::Bearer)?, options })
    }

    fn group<'a>(&self, account: &'a str) -> Result<Group<'a>, Lost> {
        match account.trim() {
            "" => Err(no_account("SendGrid", account, "the name of its API key")),
            _ => Ok(Group::named(account)),
        }
    }

    fn request(&self, method: Method, id: Option<&VersionId>) -> Result<RequestBuilder, Lost> {
        let path: Vec<&str> = ["v3", "api_keys"].into_iter().chain(id.map(VersionId::as_str)).collect();
        let request = self.rest.request(method, &path, &[])?;
        Ok(match &self.options.subuser {
            Some(subuser) => request.header("on-behalf-of", subuser),
            None => request,
        })
    }

    async fn keys(&self) -> Result<Vec<Key>, Lost> {
        let keys: Keys = self.rest.read(self.request(Method::GET, None)?, "list API keys").await?;
        Ok(keys.result)
    }

    async fn scoped(&self, id: &VersionId) -> Result<Scopes, Lost> {
        let doing = "read an API key";
        let found: Scoped = self.rest.read(self.request(Method::GET, Some(id))?, doing).await?;
        let whole = found.name.zip(found.scopes).map(|(name, scopes)| Scopes { name, scopes });
        whole.or_else(|| found.result.into_iter().next()).ok_or_else(|| self.rest.api.garbled(doing))
    }

    /// Gives a key the scope to send, or takes it; its name and its other scopes stay as they are.
    async fn sending(&self, id: &VersionId, may: bool) -> Outcome<()> {
        let set = async {
            // Name and scopes go with every change. Reading them changes nothing.
            let Scopes { name, scopes } = self.scoped(id).await.map_err(looked)?;
            let request =
                self.request(Method::PUT, Some(id))?.json(&json!({"name": name, "scopes": with_send(scopes, may)}));
            self.rest.send(request, "change the scopes of an API key").await.map(drop)
        };
        outcome(set.await)
    }
}

/// The scopes with the one to send, or without.
fn with_send(mut scopes: Vec<String>, may: bool) -> Vec<String> {
    scopes.retain(|scope| scope != SEND);
    match (may, scopes.as_slice()) {
        (true, [only]) if only == HARMLESS => vec![SEND.to_owned()],
        (true, _) => [SEND.to_owned()].into_iter().chain(scopes).collect(),
        (false, []) => vec![HARMLESS.to_owned()],
        (false, _) => scopes,
    }
}

#[async_trait]
impl Provider for SendGridProvider {
    fn facts(&self) -> ProviderFacts {
        Self::usual(&self.options)
    }

    /// A key is `SG.ID.SECRET`.
    fn may_be(&self, version: &ListedVersion, login: &Login) -> bool {
        let mut parts = login.password.expose().split('.');
        let id = (parts.next() == Some("SG")).then(|| parts.next()).flatten();
        login.username.as_str() == USERNAME && id == Some(version.id.as_str()) && parts.next().is_some()
    }

    /// SendGrid tells what a key may do. The names of these scopes are not in its specification, so that one that is missing only
    /// means that it cannot be told.
    async fn permitted(&self, _account: &str) -> Outcome<Permitted> {
        let look = async {
            let request = self.rest.request(Method::GET, &["v3", "scopes"], &[])?;
            let request = match &self.options.subuser {
                Some(subuser) => request.header("on-behalf-of", subuser),
                None => request,
            };
            let allowed: Allowed = self.rest.read(request, "read the scopes of its own key").await?;
            let soft = self.options.soft_disable.then_some("api_keys.update");
            let mut needed = [SEND, "api_keys.read", "api_keys.create", "api_keys.delete"].into_iter().chain(soft);
            let has_all = needed.all(|scope| allowed.scopes.iter().any(|s| s == scope));
            Ok(if has_all { Permitted::Yes } else { Permitted::CannotTell })
        };
        outcome(look.await)
    }

    async fn warnings(&self, _account: &str) -> Vec<String> {
        if !self.options.soft_disable {
            return Vec::new();
        }
        vec![
            "`soft_disable` takes the scope mail.send from the old key instead of deleting it; that SendGrid then refuses its \
             logins is not documented: if `confirm` still sees it accepted, nothing is retired and a person is asked"
                .to_owned(),
        ]
    }

    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>> {
        let look = async {
            let group = self.group(account)?;
            let mut versions = Vec::new();
            for key in self.keys().await? {
                let Some(tag) = group.tag(&key.name) else { continue };
                let Some(mut version) = listed(&key.api_key_id, USERNAME, tag, true) else { continue };
                if self.options.soft_disable && !self.scoped(&version.id).await?.scopes.iter().any(|s| s == SEND) {
                    version.state = super::LiveState::Inactive;
                }
                versions.push(version);
            }
            Ok(versions)
        };
        outcome(look.await)
    }

    async fn create(&self, account: &str, tag: &Tag, _secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        let make = async {
            let name = self.group(account)?.name(tag);
            let request = self.request(Method::POST, None)?.json(&json!({"name": name, "scopes": [SEND]}));
            let doing = "make an API key";
            let answer = self.rest.api.send(request).await?;
            // Past 100 keys it answers 403 as well.
            let says = |text: &str| {
                answer.json::<Complaint>().is_some_and(|c| c.errors.iter().any(|e| e.message.to_lowercase().contains(text)))
            };
            if answer.status.as_u16() == 403 && says("more than 100") {
                return Err(full("SendGrid"));
            }
            if !answer.status.is_success() {
                return Err(self.rest.api.refused(&answer, doing));
            }
            let made: Made = answer.json().ok_or_else(|| self.rest.api.garbled(doing))?;
            self.rest.made(&made.api_key_id, USERNAME, Some(made.api_key.0))
        };
        outcome(make.await)
    }

    async fn disable(&self, _account: &str, id: &VersionId) -> Outcome<()> {
        match self.options.soft_disable {
            true => self.sending(id, false).await,
            false => only_deletes("SendGrid"),
        }
    }

    async fn enable(&self, _account: &str, id: &VersionId, _secret: Option<&Secret>) -> Outcome<()> {
        match self.options.soft_disable {
            true => self.sending(id, true).await,
            false => only_deletes("SendGrid"),
        }
    }

    async fn delete(&self, _account: &str, id: &VersionId) -> Outcome<()> {
        self.rest.delete(self.request(Method::DELETE, Some(id)), "delete an API key").await
    }
}

#[cfg(test)]
mod tests {
    use handover_rotation::name::Username;

    use super::super::rest::tests::{hold, read};
    use super::*;

    #[test]
    fn its_options_are_read_and_others_refused() {
        let good = [
            "{api_key: {env: KEY}}",
            "{api_key: {file: /k}, subuser: shop, soft_disable: true, address: \"https://api.eu.sendgrid.com\", propagation: 2m}",
        ];
        let bad = ["{}", "{api_key: SG.a.b}", "{api_key: {env: K}, soft_disable: maybe}", "{api_key: {env: K}, subusr: x}"];
        hold(&good, &bad, SendGridProvider::options, SendGridProvider::schema);
        let options = read(good[0], SendGridProvider::options).expect("options");
        assert_eq!(SendGridProvider::usual(&options).shape, Shape::DeleteOnly);
        let options = read(good[1], SendGridProvider::options).expect("options");
        let facts = SendGridProvider::usual(&options);
        assert_eq!((facts.shape, facts.propagation), (Shape::Reversible, Span::minutes(2)));
    }

    #[test]
    fn only_the_scope_to_send_comes_and_goes() {
        let scopes = |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
        for (before, without, again) in [
            ("mail.send", HARMLESS, SEND),
            ("mail.send stats.read", "stats.read", "mail.send stats.read"),
            (HARMLESS, HARMLESS, SEND),
        ] {
            let stripped = with_send(scopes(before), false);
            assert_eq!(stripped, scopes(without));
            assert_eq!(with_send(stripped.clone(), false), stripped, "twice is once");
            let given = with_send(stripped, true);
            assert_eq!(given, scopes(again));
            assert_eq!(with_send(given.clone(), true), given, "twice is once");
        }
    }

    #[tokio::test]
    async fn a_password_tells_whose_it_is_and_soft_disable_what_it_rests_on() {
        let options = read("{api_key: {env: KEY}, soft_disable: true}", SendGridProvider::options).expect("options");
        let provider = SendGridProvider::open(options).expect("it opens");
        let version = listed("abc", USERNAME, None, true).expect("a version");
        for (password, username, same) in [
            ("SG.abc.secret", USERNAME, true),
            ("SG.abd.secret", USERNAME, false),
            ("SG.abc", USERNAME, false),
            ("XX.abc.secret", USERNAME, false),
            ("SG.abc.secret", "other", false),
        ] {
            let login =
                Login { username: Username::new(username).expect("a name"), password: Secret::new(password.to_owned()) };
            assert_eq!(provider.may_be(&version, &login), same, "{password}");
        }
        assert!(provider.warnings("news").await[0].contains("not documented"));
    }
}
