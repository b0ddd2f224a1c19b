//! The provider `mailcow`: app passwords of a mailbox, for SMTP only. Handover chooses the password; all of a mailbox have its
//! address as login name.
//!
//! Two things of this API are dangerous. An error is an HTTP 200 with `danger` in it, and an edit or a delete takes *any* id: an
//! edit moves the app password to the mailbox that it names. So an id is looked up in its mailbox before it is changed, and what
//! came of it is looked up again.

use async_trait::async_trait;
use handover_rotation::name::{Tag, VersionId};
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::plan::{ProviderFacts, Shape};
use handover_rotation::time::Span;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rest::{Common, Group, MANY, Rest, Shown, listed, looked, no_account, no_secret};
use super::{CreatedVersion, ListedVersion, Provider};
use crate::config::fields::Fields;
use crate::secret::Secret;
use crate::web::{Answer, Lost, PROVIDER, outcome};

/// Its Dovecot keeps a password for 300 seconds.
const PROPAGATION: Span = Span::seconds(300);

/// Mailcow.
pub struct MailcowProvider {
    rest: Rest,
    options: MailcowOptions,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailcowOptions {
    common: Common,
}

/// An app password as it is listed. Its hash is in the answer as well.
#[derive(Deserialize)]
struct AppPassword {
    id: Value,
    name: String,
    mailbox: String,
    #[serde(default)]
    active: Value,
    #[serde(default)]
    active_int: Value,
}

#[derive(Deserialize)]
struct Note {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    msg: Value,
}

impl AppPassword {
    fn id(&self) -> String {
        number(&self.id)
    }

    /// Old releases have a word in the reader's language in `active`, and the number beside it.
    fn is_active(&self) -> Option<bool> {
        let told = if self.active_int.is_null() { &self.active } else { &self.active_int };
        match number(told).as_str() {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        }
    }
}

/// A number, which comes as one or as a text.
fn number(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl MailcowProvider {
    /// Reads the options: `{address: URL, api_key: SECRET}` and those of every vendor.
    pub fn options(fields: &mut Fields<'_>) -> Option<MailcowOptions> {
        Some(MailcowOptions { common: Common::options(fields, None, PROPAGATION)? })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        Common::schema(&["address"], json!({}))
    }

    /// What it can do and how fast.
    #[must_use]
    pub fn usual(options: &MailcowOptions) -> ProviderFacts {
        let facts = options.common.facts("mailcow", Shape::Reversible, MANY);
        // A change is three calls: a look, the change, and a look at what came of it.
        let request_timeout = Span(facts.request_timeout.0 / 2 * 3);
        ProviderFacts { chooses_secret: true, request_timeout, ..facts }
    }

    /// Mailcow as the inventory describes it. It contacts nothing.
    ///
    /// # Errors
    /// The address or the CA file cannot be used.
    pub fn open(options: MailcowOptions) -> Result<Self, Fault> {
        Ok(Self { rest: Rest::open("Mailcow", &options.common, Shown::Header("x-api-key"))?, options })
    }

    /// The app passwords of a mailbox.
    async fn passwords(&self, mailbox: &str) -> Result<Vec<AppPassword>, Lost> {
        let doing = "list app passwords";
        let request = self.rest.request(Method::GET, &["api", "v1", "get", "app-passwd", "all", mailbox], &[])?;
        let answer = self.rest.send(request, doing).await?;
        if let Some(all) = answer.json::<Vec<AppPassword>>() {
            return Ok(all.into_iter().filter(|p| p.mailbox.eq_ignore_ascii_case(mailbox)).collect());
        }
        match answer.json::<Value>() {
            // With none, there is an empty map instead of an empty list.
            Some(Value::Object(map)) if map.is_empty() => Ok(Vec::new()),
            _ => Err(self.notes(&answer, doing).err().unwrap_or_else(|| self.rest.api.garbled(doing))),
        }
    }

    /// Whether an answer says that it was done: HTTP 200 does not.
    fn notes(&self, answer: &Answer, doing: &str) -> Result<(), Lost> {
        let one = || answer.json::<Note>().map(|note| vec![note]);
        let notes: Vec<Note> = answer.json().or_else(one).ok_or_else(|| self.rest.api.garbled(doing))?;
        let refused: Vec<&Note> = notes.iter().filter(|note| note.kind != "success").collect();
        match (refused.first(), refused.len() == notes.len()) {
            (None, false) => Ok(()),
            // A part was done and a part refused, or nothing was said.
            (_, false) | (None, true) => Err(self.rest.api.garbled(doing)),
            (Some(note), true) => {
                let word = note.msg.as_str().or_else(|| note.msg.get(0)?.as_str()).unwrap_or_default();
                let code = if word.contains("denied") { PROVIDER.forbidden } else { PROVIDER.odd };
                // Only words of the vendor's own list are shown.
                let plain = word.len() < 64 && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
                let shown = if plain && !word.is_empty() { format!(" ({word})") } else { String::new() };
                let fault = self.rest.api.fault(FaultClass::Permanent, code, format!("it refused to {doing}{shown}"));
                Err(Lost::Before(fault))
            }
        }
    }

    async fn post(&self, action: &str, body: &Value, doing: &str) -> Result<(), Lost> {
        let request = self.rest.request(Method::POST, &["api", "v1", action, "app-passwd"], &[])?.json(body);
        self.notes(&self.rest.send(request, doing).await?, doing)
    }

    async fn find(&self, mailbox: &str, id: &VersionId) -> Result<Option<AppPassword>, Lost> {
        Ok(self.passwords(mailbox).await?.into_iter().find(|p| p.id() == id.as_str()))
    }

    async fn set(&self, account: &str, id: &VersionId, active: bool) -> Outcome<()> {
        let set = async {
            let (mailbox, _) = place(account)?;
            let doing = "edit an app password";
            if self.find(mailbox, id).await.map_err(looked)?.is_none() {
                let what = format!("the mailbox has no app password {id}");
                return Err(Lost::Before(self.rest.api.fault(FaultClass::Permanent, "HO0506", what)));
            }
            // Without the mailbox, it would be given to a user named `API`.
            let attr = json!({"active": if active { "1" } else { "0" }, "username": mailbox});
            self.post("edit", &json!({"items": [id.as_str()], "attr": attr}), doing).await?;
            match self.find(mailbox, id).await {
                Ok(Some(now)) if now.is_active() == Some(active) => Ok(()),
                Ok(_) => Err(self.rest.api.garbled(doing)),
                Err(Lost::Before(fault) | Lost::Maybe(fault)) => Err(Lost::Maybe(fault)),
            }
        };
        outcome(set.await)
    }
}

/// The mailbox, and the names of its app passwords that belong to the account.
fn place(account: &str) -> Result<(&str, Group<'_>), Lost> {
    let (mailbox, group) = Group::within(account);
    let sound = mailbox.contains('@') && mailbox.chars().all(|c| c.is_ascii_alphanumeric() || "@.+-_=".contains(c));
    // Mailcow writes these otherwise, once more at each change.
    match sound && !account.contains(['&', '<', '>', '"', '\'']) {
        true => Ok((mailbox, group)),
        false => Err(no_account("Mailcow", account, "MAILBOX or MAILBOX/NAME")),
    }
}

#[async_trait]
impl Provider for MailcowProvider {
    fn facts(&self) -> ProviderFacts {
        Self::usual(&self.options)
    }

    async fn list(&self, account: &str) -> Outcome<Vec<ListedVersion>> {
        let look = async {
            let (mailbox, group) = place(account)?;
            let mut versions = Vec::new();
            for password in self.passwords(mailbox).await? {
                let Some(tag) = group.tag(&password.name) else { continue };
                let Some(active) = password.is_active() else {
                    return Err(self.rest.api.garbled("list app passwords"));
                };
                versions.extend(listed(&password.id(), mailbox, tag, active));
            }
            Ok(versions)
        };
        outcome(look.await)
    }

    async fn create(&self, account: &str, tag: &Tag, secret: Option<&Secret>) -> Outcome<CreatedVersion> {
        let make = async {
            let (mailbox, group) = place(account)?;
            let secret = secret.ok_or_else(|| no_secret("Mailcow"))?;
            let body = json!({
                "active": "1", "username": mailbox, "app_name": group.name(tag),
                "app_passwd": secret.expose(), "app_passwd2": secret.expose(), "protocols": ["smtp_access"],
            });
            self.post("add", &body, "add an app password").await?;
            // The answer has no id. A look that brings none leaves a version to be found by its tag.
            let unseen = |lost| match lost {
                Lost::Before(fault) | Lost::Maybe(fault) => Lost::Maybe(fault),
            };
            let made = self.passwords(mailbox).await.map_err(unseen)?;
            let mut made = made.iter().filter(|p| group.tag(&p.name) == Some(Some(tag.clone())));
            match (made.next(), made.next()) {
                (Some(one), None) => self.rest.made(&one.id(), mailbox, None),
                _ => Err(self.rest.api.garbled("add an app password")),
            }
        };
        outcome(make.await)
    }

    async fn disable(&self, account: &str, id: &VersionId) -> Outcome<()> {
        self.set(account, id, false).await
    }

    async fn enable(&self, account: &str, id: &VersionId, _secret: Option<&Secret>) -> Outcome<()> {
        self.set(account, id, true).await
    }

    async fn delete(&self, account: &str, id: &VersionId) -> Outcome<()> {
        let delete = async {
            let (mailbox, _) = place(account)?;
            if self.find(mailbox, id).await.map_err(looked)?.is_none() {
                return Ok(());
            }
            let doing = "delete an app password";
            self.post("delete", &json!([id.as_str()]), doing).await?;
            match self.find(mailbox, id).await {
                Ok(None) => Ok(()),
                Ok(Some(_)) => Err(self.rest.api.garbled(doing)),
                Err(Lost::Before(fault) | Lost::Maybe(fault)) => Err(Lost::Maybe(fault)),
            }
        };
        outcome(delete.await)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rest::tests::hold;
    use super::*;

    #[test]
    fn its_options_are_read_and_others_refused() {
        let good = ["{address: \"https://mail.example.com\", api_key: {env: KEY}}"];
        let bad = ["{api_key: {env: KEY}}", "{address: mail.example.com, api_key: {env: KEY}}"];
        hold(&good, &bad, MailcowProvider::options, MailcowProvider::schema);
    }

    #[test]
    fn an_account_is_a_mailbox_and_maybe_a_name() {
        for (account, sound) in [
            ("a@b.example", true),
            ("a@b.example/news", true),
            ("news", false),
            ("", false),
            ("a@b.example/R&D", false),
            ("a?b@c", false),
        ] {
            assert_eq!(place(account).is_ok(), sound, "{account}");
        }
    }

    #[test]
    fn a_state_is_read_as_every_release_writes_it() {
        for (rest, expected) in [
            (r#""active": 1"#, Some(true)),
            (r#""active": "0""#, Some(false)),
            (r#""active": "Oui", "active_int": 1"#, Some(true)),
            (r#""active": "\u2714", "active_int": "0""#, Some(false)),
            (r#""active": "Oui""#, None),
            (r#""name2": 1"#, None),
        ] {
            let text = format!(r#"{{"id": 7, "name": "n", "mailbox": "a@b", {rest}}}"#);
            let password: AppPassword = serde_json::from_str(&text).expect("an app password");
            assert_eq!((password.id().as_str(), password.is_active()), ("7", expected), "{text}");
        }
    }
}
