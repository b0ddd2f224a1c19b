//! The provider `stalwart`: app passwords of one mail account, over JMAP (Stalwart 0.16 and newer). Each account works with an API
//! key of its own, and the server says whose key it is.
//!
//! The server takes a wrong account id for the caller's own. So the session is asked first, and its login name must be the one
//! that the inventory has.

use std::collections::BTreeMap;

use async_trait::async_trait;
use handover_rotation::name::{Tag, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::time::Span;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rest::{Common, Group, Hidden, Rest, Shown, full, listed, looked, millis, no_account, only_deletes};
use super::{CreatedVersion, ListedVersion, Provider};
use crate::config::fields::Fields;
use crate::secret::Secret;
use crate::web::{Lost, PROVIDER, outcome};

/// The capability, and the key of the account that the caller has.
const STALWART: &str = "urn:stalwart:jmap";
/// A change drops the sign-in that is cached; the bound is for servers with several nodes.
const PROPAGATION: Span = Span::seconds(60);
/// App passwords of an account, where its administrator has not changed that.
const QUOTA: u8 = 5;

/// Stalwart.
pub struct StalwartProvider {
    rest: Rest,
    options: StalwartOptions,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StalwartOptions {
    common: Common,
    quota: u8,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    username: String,
    primary_accounts: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Responses {
    method_responses: Vec<(String, Reply, String)>,
}

/// What a method answers, whichever it is: an error has a type and nothing else. Read at once, so that no secret in it passes
/// through another form.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Reply {
    #[serde(rename = "type")]
    kind: Option<String>,
    list: Option<Vec<AppPassword>>,
    created: Option<BTreeMap<String, Made>>,
    not_created: Option<BTreeMap<String, Problem>>,
    destroyed: Option<Vec<String>>,
    not_destroyed: Option<BTreeMap<String, Problem>>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AppPassword {
    id: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    created_at: Option<String>,
}

#[derive(Deserialize)]
struct Made {
    id: String,
    secret: Hidden,
}

impl StalwartProvider {
    /// Reads the options: `{address: URL, api_key: SECRET, quota: 5}` and those of every vendor.
    pub fn options(fields: &mut Fields<'_>) -> Option<StalwartOptions> {
        let common = Common::options(fields, None, PROPAGATION);
        let quota = fields.optional_int("quota", 2..=100).and_then(|n| u8::try_from(n).ok());
        Some(StalwartOptions { common: common?, quota: quota.unwrap_or(QUOTA) })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        Common::schema(&["address"], json!({"quota": {"type": "integer", "minimum": 2, "maximum": 100}}))
    }

    /// What it can do and how fast.
    #[must_use]
    pub fn usual(options: &StalwartOptions) -> ProviderFacts {
        options.common.facts("stalwart", Shape::DeleteOnly, options.quota)
    }

    /// Stalwart as the inventory describes it. It contacts nothing.
    ///
    /// # Errors
    /// The address or the CA file cannot be used.
    pub fn open(options: StalwartOptions) -> Result<Self, Fault> {
        Ok(Self { rest: Rest::open("Stalwart", &options.common, Shown::Bearer)?, options })
    }

    /// The id of the account, if the key is of the login name that the inventory has.
    async fn own_account(&self, login: &str) -> Result<String, Lost> {
        let doing = "open a JMAP session";
        let request = self.rest.request(Method::GET, &["jmap", "session"], &[])?;
        let mut session: Session = self.rest.read(request, doing).await.map_err(looked)?;
        let refuse = |what: &str, hint: &str| {
            Err(Lost::Before(self.rest.api.fault(FaultClass::Permanent, "HO0502", what).hint(hint)))
        };
        if !session.username.eq_ignore_ascii_case(login) {
            return refuse("the API key is of another account", "each account needs an API key of its own");
        }
        match session.primary_accounts.remove(STALWART) {
            Some(id) => Ok(id),
            None => refuse("it has no app passwords over JMAP", "Stalwart 0.16 or newer is needed"),
        }
    }

    /// One method call on app passwords.
    async fn call(&self, method: &str, arguments: Value, doing: &str) -> Result<Reply, Lost> {
        let body = json!({
            "using": ["urn:ietf:params:jmap:core", STALWART],
            "methodCalls": [[format!("x:AppPassword/{method}"), arguments, "0"]],
        });
        let request = self.rest.request(Method::POST, &["jmap"], &[])?.json(&body);
        let responses: Responses = self.rest.read(request, doing).await?;
        match responses.method_responses.into_iter().next() {
            Some((name, answer, _)) if name.strip_prefix("x:AppPassword/") == Some(method) => Ok(answer),
            Some((name, Reply { kind: Some(kind), .. }, _)) if name == "error" => Err(self.error(&kind, doing)),
            _ => Err(self.rest.api.garbled(doing)),
        }
    }

    /// What an error of a method or of one object means (RFC 8620, 3.6.2 and 5.3).
    fn error(&self, kind: &str, doing: &str) -> Lost {
        let fault = |class, code| self.rest.api.fault(class, code, format!("it refused to {doing}"));
        match kind {
            "overQuota" => full("Stalwart"),
            "forbidden" | "accountReadOnly" => {
                let hint = "the account needs sysAppPasswordGet, sysAppPasswordCreate and sysAppPasswordDestroy";
                Lost::Before(fault(FaultClass::Permanent, PROVIDER.forbidden).hint(hint))
            }
            "serverUnavailable" | "serverFail" | "serverPartialFail" | "rateLimit" => {
                Lost::Maybe(fault(FaultClass::Temporary, PROVIDER.busy))
            }
            _ => Lost::Before(fault(FaultClass::Permanent, PROVIDER.odd)),
        }
    }
}

/// The login name, and the descriptions of its app passwords that belong to the account.
fn place(account: &str) -> Result<(&str, Group<'_>), Lost> {
    let (login, group) = Group::within(account);
    match login.trim() {
        "" => Err(no_account("Stalwart", account, "LOGIN or LOGIN/DESCRIPTION")),
        _ => Ok((login, group)),
    }
}

#[async_trait]
impl Provider for StalwartProvider {
    fn facts(&self) -> ProviderFacts {
        Self::usual(&self.options)
    }

    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>> {
        let look = async {
            let (login, group) = place(account)?;
            let doing = "list app passwords";
            let id = self.own_account(login).await?;
            let reply = self.call("get", json!({"accountId": id, "ids": null}), doing).await?;
            let all = reply.list.ok_or_else(|| self.rest.api.garbled(doing))?;
            let version = |password: AppPassword| {
                let version = listed(&password.id, login, group.tag(&password.description)?, true)?;
                Some(ListedVersion { created_at: password.created_at.as_deref().and_then(millis), ..version })
            };
            Ok(all.into_iter().filter_map(version).collect())
        };
        outcome(look.await)
    }

    async fn create(&self, account: &str, tag: &Tag, _secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        let make = async {
            let (login, group) = place(account)?;
            let doing = "make an app password";
            let id = self.own_account(login).await?;
            let new = json!({"description": group.name(tag), "permissions": {"@type": "Inherit"}});
            let mut reply = self.call("set", json!({"accountId": id, "create": {"new": new}}), doing).await?;
            if let Some(problem) = reply.not_created.as_ref().and_then(|all| all.get("new")) {
                return Err(self.error(&problem.kind, doing));
            }
            let made = reply.created.as_mut().and_then(|all| all.remove("new"));
            let made = made.ok_or_else(|| self.rest.api.garbled(doing))?;
            self.rest.made(&made.id, login, Some(made.secret.0))
        };
        outcome(make.await)
    }

    async fn disable(&self, _account: &str, _id: &VersionId) -> Outcome<()> {
        only_deletes("Stalwart")
    }

    async fn enable(&self, _account: &str, _id: &VersionId, _secret: Option<&Secret>) -> Outcome<()> {
        only_deletes("Stalwart")
    }

    async fn delete(&self, account: &str, id: &VersionId) -> Outcome<()> {
        let delete = async {
            let doing = "delete an app password";
            let own = self.own_account(place(account)?.0).await?;
            let reply = self.call("set", json!({"accountId": own, "destroy": [id.as_str()]}), doing).await?;
            let problem = reply.not_destroyed.as_ref().and_then(|all| all.get(id.as_str()));
            match problem.map(|problem| problem.kind.as_str()) {
                Some("notFound") => Ok(()),
                Some(kind) => Err(self.error(kind, doing)),
                None if reply.destroyed.is_some_and(|ids| ids.iter().any(|gone| gone == id.as_str())) => Ok(()),
                None => Err(self.rest.api.garbled(doing)),
            }
        };
        outcome(delete.await)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rest::tests::{hold, read};
    use super::*;

    #[test]
    fn its_options_are_read_and_others_refused() {
        let at = "address: \"https://mail.example.com\", api_key: {env: KEY}";
        let good = [format!("{{{at}}}"), format!("{{{at}, quota: 9}}")];
        let bad = [format!("{{{at}, quota: 1}}"), "{api_key: {env: KEY}}".to_owned(), format!("{{{at}, account: c}}")];
        let (good, bad) = (good.each_ref().map(String::as_str), bad.each_ref().map(String::as_str));
        hold(&good, &bad, StalwartProvider::options, StalwartProvider::schema);
        for (text, quota) in [(good[0], 5), (good[1], 9)] {
            let options = read(text, StalwartProvider::options).expect("options");
            assert_eq!(StalwartProvider::usual(&options).quota, quota);
        }
    }

    #[test]
    fn an_error_says_whether_it_can_have_happened() {
        let text = "{address: \"https://mail.example.com\", api_key: {env: KEY}}";
        let provider = StalwartProvider::open(read(text, StalwartProvider::options).expect("options")).expect("it opens");
        for (kind, happened, code) in [
            ("overQuota", false, "HO0503"),
            ("forbidden", false, "HO0515"),
            ("invalidProperties", false, "HO0517"),
            ("serverFail", true, "HO0516"),
        ] {
            let (maybe, fault) = match provider.error(kind, "do it") {
                Lost::Before(fault) => (false, fault),
                Lost::Maybe(fault) => (true, fault),
            };
            assert_eq!((maybe, fault.code.as_str()), (happened, code), "{kind}");
        }
    }
}
