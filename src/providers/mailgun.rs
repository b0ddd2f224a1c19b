//! The provider `mailgun`: a domain has several SMTP logins, and Handover chooses both the login name, which carries the tag, and
//! the password.
//!
//! What it must not do: delete without naming a login. Mailgun takes that for all logins of the domain.

use async_trait::async_trait;
use handover_rotation::name::{Tag, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::time::Span;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rest::{
    Common, MANY, MOST_PAGES, PAGE, Rest, Shown, listed, looked, millis, no_account, no_secret, only_deletes, spell,
    spelled, too_long,
};
use super::{CreatedVersion, ListedVersion, Provider};
use crate::config::fields::Fields;
use crate::secret::Secret;
use crate::web::{Lost, form, outcome};

/// The vendor's SDK knows passwords of 5 to 32 characters.
const LONGEST: usize = 32;
/// Of the part before the `@` (RFC 5321).
const LONGEST_NAME: usize = 64;
/// The vendor says nothing but that its API is eventually consistent.
const PROPAGATION: Span = Span::minutes(5);

/// Mailgun.
pub struct MailgunProvider {
    rest: Rest,
    options: MailgunOptions,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailgunOptions {
    common: Common,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    login: String,
    #[serde(default)]
    created_at: Option<String>,
}

impl MailgunProvider {
    /// Reads the options: `{api_key: SECRET, region: us | eu}` and those of every vendor.
    pub fn options(fields: &mut Fields<'_>) -> Option<MailgunOptions> {
        let (us, eu) = ("https://api.mailgun.net", "https://api.eu.mailgun.net");
        let region = fields.optional_choice("region", &[("us", us), ("eu", eu)]);
        let common = Common::options(fields, Some(region.unwrap_or(us)), PROPAGATION);
        Some(MailgunOptions { common: common? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        Common::schema(&[], json!({"region": {"enum": ["us", "eu"]}}))
    }

    /// What it can do and how fast.
    #[must_use]
    pub fn usual(options: &MailgunOptions) -> ProviderFacts {
        let facts = options.common.facts("mailgun", Shape::DeleteOnly, MANY);
        // A delete may be tried both ways, with a look in between.
        ProviderFacts { chooses_secret: true, request_timeout: Span(facts.request_timeout.0 * 2), ..facts }
    }

    /// Mailgun as the inventory describes it. It contacts nothing.
    ///
    /// # Errors
    /// The address or the CA file cannot be used.
    pub fn open(options: MailgunOptions) -> Result<Self, Fault> {
        Ok(Self { rest: Rest::open("Mailgun", &options.common, Shown::Basic("api".to_owned()))?, options })
    }

    /// Every login of the domain, as a full address.
    async fn logins(&self, domain: &str) -> Result<Vec<Item>, Lost> {
        let mut all = Vec::new();
        for page in 0..MOST_PAGES {
            let (skip, limit) = ((page * PAGE).to_string(), PAGE.to_string());
            let query = [("skip", skip.as_str()), ("limit", limit.as_str())];
            let request = self.rest.request(Method::GET, &["v3", "domains", domain, "credentials"], &query)?;
            let Page { items } = self.rest.read(request, "list SMTP credentials").await?;
            let last = items.len() < PAGE;
            all.extend(items.into_iter().map(|item| match item.login.contains('@') {
                true => item,
                false => Item { login: format!("{}@{domain}", item.login), ..item },
            }));
            if last {
                return Ok(all);
            }
        }
        Err(self.rest.endless())
    }

    /// Deletes by one of the two ways to write a login. `true` if the vendor knew it.
    async fn delete_as(&self, domain: &str, login: &str) -> Result<bool, Lost> {
        // An empty login is refused by `url`, before anything is sent.
        let request = self.rest.request(Method::DELETE, &["v3", "domains", domain, "credentials", login], &[])?;
        let answer = self.rest.api.send(request).await?;
        match answer.status.as_u16() {
            404 => Ok(false),
            _ if answer.status.is_success() => Ok(true),
            _ => Err(self.rest.api.refused(&answer, "delete an SMTP credential")),
        }
    }
}

/// The domain that an account is.
fn domain(account: &str) -> Result<String, Lost> {
    let sound = account.contains('.') && account.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    if sound {
        Ok(account.to_ascii_lowercase())
    } else {
        Err(no_account("Mailgun", account, "a domain, such as mg.example.com"))
    }
}

#[async_trait]
impl Provider for MailgunProvider {
    fn facts(&self) -> ProviderFacts {
        Self::usual(&self.options)
    }

    fn secret_length(&self) -> usize {
        LONGEST
    }

    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>> {
        let look = async {
            let logins = self.logins(&domain(account)?).await?;
            let version = |item: Item| {
                let tag = item.login.split('@').next().and_then(spelled);
                let created_at = item.created_at.as_deref().and_then(millis);
                listed(&item.login, &item.login, tag, true).map(|v| ListedVersion { created_at, ..v })
            };
            Ok(logins.into_iter().filter_map(version).collect())
        };
        outcome(look.await)
    }

    async fn create(&self, account: &str, tag: &Tag, secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        let make = async {
            let domain = domain(account)?;
            let secret = secret.ok_or_else(|| no_secret("Mailgun"))?;
            let name = spell(tag);
            if name.len() > LONGEST_NAME {
                return Err(too_long("Mailgun", &name, LONGEST_NAME));
            }
            let login = format!("{name}@{domain}");
            let request = self.rest.request(Method::POST, &["v3", "domains", &domain, "credentials"], &[])?;
            let request = form(request, &[("login", &login), ("password", secret.expose())]);
            self.rest.send(request, "make an SMTP credential").await?;
            self.rest.made(&login, &login, None)
        };
        outcome(make.await)
    }

    async fn disable(&self, _account: &str, _id: &VersionId) -> Outcome<()> {
        only_deletes("Mailgun")
    }

    async fn enable(&self, _account: &str, _id: &VersionId, _secret: Option<&Secret>) -> Outcome<()> {
        only_deletes("Mailgun")
    }

    async fn delete(&self, account: &str, id: &VersionId) -> Outcome<()> {
        let gone = async {
            let domain = domain(account)?;
            let local = id.as_str().strip_suffix(&format!("@{domain}")).filter(|local| !local.is_empty());
            let Some(local) = local else {
                let what = format!("{id} is no login of {domain}");
                return Err(Lost::Before(self.rest.api.fault(FaultClass::Permanent, "HO0506", what)));
            };
            // The reference wants the address, the vendor's own SDK the part before the `@`. It may also not know the login, or
            // not know it yet: only the list says which.
            if self.delete_as(&domain, id.as_str()).await? {
                return Ok(());
            }
            let left = self.logins(&domain).await.map_err(looked)?.iter().any(|item| item.login == id.as_str());
            if !left || self.delete_as(&domain, local).await? {
                return Ok(());
            }
            Err(Lost::Before(self.rest.refusal("it lists a login and does not know it")))
        };
        outcome(gone.await)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rest::tests::{hold, read};
    use super::*;

    #[test]
    fn its_options_are_read_and_others_refused() {
        let good = ["{api_key: {env: KEY}}", "{api_key: {env: KEY}, region: eu, propagation: 1m}"];
        let bad = ["{region: eu}", "{api_key: {env: KEY}, region: moon}", "{api_key: {env: KEY}, domain: x.example}"];
        hold(&good, &bad, MailgunProvider::options, MailgunProvider::schema);
        for (text, at) in [(good[0], "Mailgun at api.mailgun.net"), (good[1], "Mailgun at api.eu.mailgun.net")] {
            let options = read(text, MailgunProvider::options).expect("options");
            assert_eq!(MailgunProvider::open(options).expect("it opens").rest.api.who(), at);
        }
    }

    #[tokio::test]
    async fn nothing_but_a_login_of_the_domain_can_be_deleted() {
        // Nobody listens there: whatever is refused was refused before it was sent.
        let text = "{api_key: {env: PATH}, address: \"http://127.0.0.1:1\"}";
        let provider = MailgunProvider::open(read(text, MailgunProvider::options).expect("options")).expect("it opens");
        for (account, id, code) in [
            ("mg.example.com", "@mg.example.com", "HO0506"),
            ("mg.example.com", "mg.example.com", "HO0506"),
            ("mg.example.com", "x@other.example.com", "HO0506"),
            ("", "x@", "HO0502"),
            ("mg/..", "x@mg/..", "HO0502"),
            ("mg.example.com", "..@mg.example.com", "HO0501"),
        ] {
            match provider.delete(account, &VersionId::new(id).expect("an id")).await {
                Outcome::NotDone(fault) => assert_eq!(fault.code, code, "{id}"),
                other => panic!("{id}: {other:?}"),
            }
        }
        assert_eq!(provider.secret_length(), 32);
    }
}
