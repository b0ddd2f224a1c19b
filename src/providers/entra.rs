//! The provider `entra`: client secrets of one application in Microsoft Entra, through Graph, as passwords of an SMTP server that
//! takes them (Azure Communication Services). The login name stays the same; the first characters of a secret tell whose it is.
//!
//! Each call gets a token of its own for Graph. No token is kept.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use handover_rotation::name::{Tag, VersionId};
use handover_rotation::outcome::{Fault, Outcome};
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::time::Span;
use reqwest::{Method, RequestBuilder, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::rest::{Common, Group, Hidden, MANY, listed, millis, no_account, only_deletes};
use super::{CreatedVersion, ListedVersion, Provider};
use crate::config::fields::Fields;
use crate::oauth::client::{self, Client, Proof};
use crate::secret::{Login, Secret};
use crate::web::{Answer, Api, Lost, PROVIDER, outcome};

/// What a token is asked for.
const SCOPE: &str = "https://graph.microsoft.com/.default";

/// Users saw 4 to 18 seconds; nothing is promised.
const PROPAGATION: Span = Span::minutes(2);

/// Microsoft Entra.
pub struct EntraProvider {
    graph: Api,
    door: Api,
    client: Client,
    options: EntraOptions,
    /// How each secret begins, as Graph last told.
    hints: Mutex<BTreeMap<String, String>>,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntraOptions {
    common: Common,
    login_address: Url,
    tenant: String,
    client_id: String,
    username: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Application {
    password_credentials: Vec<Password>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Password {
    key_id: String,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    hint: Option<String>,
    #[serde(default)]
    start_date_time: Option<String>,
    #[serde(default)]
    end_date_time: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    key_id: String,
    secret_text: Hidden,
    #[serde(default)]
    hint: Option<String>,
}

impl EntraProvider {
    /// Reads the options: `{tenant: ID, client_id: ID, client_secret: SECRET, username: NAME, login_address: URL}` and those of
    /// every vendor.
    pub fn options(fields: &mut Fields<'_>) -> Option<EntraOptions> {
        let common = Common::keyed(fields, "client_secret", Some("https://graph.microsoft.com"), PROPAGATION);
        let door = client::address(fields.optional_url("login_address"));
        let tenant = fields.required_str("tenant");
        let client_id = fields.required_str("client_id");
        let username = fields.required_str("username");
        Some(EntraOptions {
            common: common?,
            login_address: door?,
            tenant: tenant?,
            client_id: client_id?,
            username: username?,
        })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        let text = json!({"type": "string", "minLength": 1});
        let more = json!({
            "tenant": text, "client_id": text, "username": text,
            "login_address": {"type": "string", "pattern": "^https?://"},
        });
        Common::keyed_schema("client_secret", &["tenant", "client_id", "username"], more)
    }

    /// What it can do and how fast.
    #[must_use]
    pub fn usual(options: &EntraOptions) -> ProviderFacts {
        let facts = options.common.facts("entra", Shape::DeleteOnly, MANY);
        // A token goes before every call, and a delete that is refused looks once more.
        ProviderFacts { request_timeout: Span(facts.request_timeout.0 * 2), ..facts }
    }

    /// Entra as the inventory describes it. It contacts nothing.
    ///
    /// # Errors
    /// An address or the CA file cannot be used.
    pub fn open(options: EntraOptions) -> Result<Self, Fault> {
        Ok(Self {
            graph: options.common.api("Microsoft Graph")?,
            door: options.common.api_at("Microsoft Entra", &options.login_address)?,
            client: Client {
                tenant: options.tenant.clone(),
                client_id: options.client_id.clone(),
                proof: Proof::Secret(options.common.key_source()),
            },
            options,
            hints: Mutex::default(),
        })
    }

    /// A token for Graph. Getting one changes nothing.
    async fn token(&self) -> Result<Secret, Lost> {
        Ok(self.client.grant(&self.door, SCOPE).await?.token)
    }

    async fn request(&self, method: Method, application: &str, action: &[&str]) -> Result<RequestBuilder, Lost> {
        let token = self.token().await?;
        let path: Vec<&str> = ["v1.0", "applications", application].iter().chain(action).copied().collect();
        let mut url = self.graph.url(&path)?;
        if method == Method::GET {
            url.query_pairs_mut().append_pair("$select", "passwordCredentials");
        }
        Ok(self.graph.client.request(method, url).bearer_auth(token.expose()))
    }

    async fn send(&self, request: RequestBuilder, doing: &str) -> Result<Answer, Lost> {
        let answer = self.graph.send(request).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.graph.refused(&answer, doing)) }
    }

    fn read<T: DeserializeOwned>(&self, answer: &Answer, doing: &str) -> Result<T, Lost> {
        answer.json().ok_or_else(|| self.graph.garbled(doing))
    }

    async fn passwords(&self, application: &str) -> Result<Vec<Password>, Lost> {
        let doing = "read the client secrets of an application";
        let answer = self.send(self.request(Method::GET, application, &[]).await?, doing).await?;
        let found: Application = self.read(&answer, doing)?;
        for password in &found.password_credentials {
            self.remember(&password.key_id, password.hint.as_deref());
        }
        Ok(found.password_credentials)
    }

    fn remember(&self, id: &str, hint: Option<&str>) {
        if let Some(hint) = hint.filter(|hint| !hint.is_empty()) {
            self.hints.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), hint.to_owned());
        }
    }
}

/// The object id of the application, and the names of its secrets that belong to the account.
fn place(account: &str) -> Result<(&str, Group<'_>), Lost> {
    let (application, group) = Group::within(account);
    let sound = !application.is_empty() && application.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    match sound {
        true => Ok((application, group)),
        false => Err(no_account("Microsoft Entra", account, "OBJECT_ID or OBJECT_ID/NAME")),
    }
}

#[async_trait]
impl Provider for EntraProvider {
    fn facts(&self) -> ProviderFacts {
        Self::usual(&self.options)
    }

    fn may_be(&self, version: &ListedVersion, login: &Login) -> bool {
        let hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = hints.get(version.id.as_str()).is_none_or(|hint| login.password.expose().starts_with(hint));
        version.username == login.username && begins
    }

    async fn warnings(&self, account: &str) -> Vec<String> {
        let Ok((application, group)) = place(account) else { return Vec::new() };
        let ending = |password: Password| {
            group.tag(password.display_name.as_deref().unwrap_or_default())?;
            let ends = password.end_date_time.filter(|at| millis(at).is_some())?;
            Some(format!("client secret {} ends at {ends}: it has to be rotated before", password.key_id))
        };
        self.passwords(application).await.map(|all| all.into_iter().filter_map(ending).collect()).unwrap_or_default()
    }

    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>> {
        let look = async {
            let (application, group) = place(account)?;
            let version = |password: Password| {
                let tag = group.tag(password.display_name.as_deref().unwrap_or_default())?;
                let version = listed(&password.key_id, &self.options.username, tag, true)?;
                Some(ListedVersion { created_at: password.start_date_time.as_deref().and_then(millis), ..version })
            };
            Ok(self.passwords(application).await?.into_iter().filter_map(version).collect())
        };
        outcome(look.await)
    }

    async fn create(&self, account: &str, tag: &Tag, _secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        let make = async {
            let (application, group) = place(account)?;
            let doing = "add a client secret";
            let body = json!({"passwordCredential": {"displayName": group.name(tag)}});
            let request = self.request(Method::POST, application, &["addPassword"]).await?.json(&body);
            let answer = self.send(request, doing).await?;
            let made: Made = self.read(&answer, doing)?;
            self.remember(&made.key_id, made.hint.as_deref());
            match listed(&made.key_id, &self.options.username, None, true) {
                Some(ListedVersion { id, username, .. }) => {
                    Ok(CreatedVersion { id, username, secret: Some(made.secret_text.0) })
                }
                None => Err(self.graph.garbled(doing)),
            }
        };
        outcome(make.await)
    }

    async fn disable(&self, _account: &str, _id: &VersionId) -> Outcome<()> {
        only_deletes("Microsoft Entra")
    }

    async fn enable(&self, _account: &str, _id: &VersionId, _secret: Option<&Secret>) -> Outcome<()> {
        only_deletes("Microsoft Entra")
    }

    async fn delete(&self, account: &str, id: &VersionId) -> Outcome<()> {
        let delete = async {
            let (application, _) = place(account)?;
            let doing = "remove a client secret";
            let body = json!({"keyId": id.as_str()});
            let request = self.request(Method::POST, application, &["removePassword"]).await?.json(&body);
            let refused = match self.send(request, doing).await {
                Ok(_) => return Ok(()),
                Err(Lost::Before(fault)) if fault.code == PROVIDER.odd => fault,
                Err(lost) => return Err(lost),
            };
            // What it answers for one that is gone is not documented: a look tells.
            match self.passwords(application).await {
                Ok(left) if left.iter().all(|password| password.key_id != id.as_str()) => Ok(()),
                _ => Err(Lost::Before(refused)),
            }
        };
        outcome(delete.await)
    }
}

#[cfg(test)]
mod tests {
    use handover_rotation::name::Username;

    use super::super::rest::tests::{hold, read};
    use super::*;

    const GOOD: &str = "{tenant: t-1, client_id: c-1, client_secret: {env: KEY}, username: acs.app.tenant}";

    #[test]
    fn its_options_are_read_and_others_refused() {
        let bad = ["{tenant: t, client_id: c, username: u}", "{tenant: t, client_id: c, api_key: {env: K}, username: u}"];
        hold(&[GOOD], &bad, EntraProvider::options, EntraProvider::schema);
    }

    #[test]
    fn the_beginning_of_a_secret_tells_whose_it_is() {
        let options = read(GOOD, EntraProvider::options).expect("options");
        let provider = EntraProvider::open(options).expect("it opens");
        provider.remember("k-1", Some("abc"));
        provider.remember("k-2", Some("xyz"));
        let login = |password: &str| Login {
            username: Username::new("acs.app.tenant").expect("a name"),
            password: Secret::new(password.to_owned()),
        };
        for (id, password, may) in
            [("k-1", "abc~secret", true), ("k-2", "abc~secret", false), ("k-3", "abc~secret", true), ("k-1", "x", false)]
        {
            let version = listed(id, "acs.app.tenant", None, true).expect("a version");
            assert_eq!(provider.may_be(&version, &login(password)), may, "{id} {password}");
        }
    }
}
