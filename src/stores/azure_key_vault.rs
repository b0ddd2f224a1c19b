//! The store `azure-key-vault`: secrets of a key vault of Azure, through its REST API, version 7.4.
//!
//! A write makes a new version, which is the newest at once; versions before it stay. What else belongs to a version (its content
//! type, tags and dates) is given to the next one, which would have none of it otherwise. What this must not do: recover, purge or
//! disable a secret, or write one that belongs to a certificate.

use std::path::PathBuf;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::time::Span;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::texts::{Got, Text, TextStore, Texts};
use crate::config::fields::Fields;
use crate::tokens::options;
use crate::tokens::session::{Login, Session};
use crate::web::{Answer, Api, Lost, STORE};

/// For one request.
const CALL_TIMEOUT: Span = Span::seconds(10);

/// The version of the contract.
const API_VERSION: &str = "7.4";

/// What tokens are for, national clouds aside.
const RESOURCE: &str = "https://vault.azure.net";

/// What an inventory may say about a store of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureOptions {
    /// `vault`: its address, such as `https://mail.vault.azure.net`.
    pub vault: Url,
    /// `ca_file`: PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    auth: Login,
}

/// Secrets of one vault.
pub struct Azure {
    session: Session,
    /// For commands that a person may copy.
    vault: String,
}

/// Keeps logins in a key vault. The path of an entry is the name of a secret whose value is a JSON object, or has a `*` in it for a
/// secret a field: see [`super::texts`].
pub type AzureKeyVaultStore = TextStore<Azure>;

#[derive(Deserialize)]
struct Bundle {
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    id: String,
    #[serde(default, rename = "contentType")]
    content_type: Option<String>,
    #[serde(default)]
    tags: Option<Map<String, Value>>,
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    managed: bool,
}

#[derive(Default, Deserialize)]
struct Attributes {
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    exp: Option<i64>,
}

#[derive(Deserialize)]
struct Deleted {
    #[serde(default, rename = "scheduledPurgeDate")]
    purge: Option<i64>,
}

#[derive(Deserialize)]
struct Refused {
    error: Refusal,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    code: String,
    #[serde(default, alias = "innerError", rename = "innererror")]
    inner: Option<Box<Self>>,
}

impl Refusal {
    /// The innermost code: what is above it is the status in words.
    fn word(answer: &Answer) -> String {
        let Some(Refused { error }) = answer.json() else { return String::new() };
        match error.inner {
            Some(inner) if !inner.code.is_empty() => inner.code,
            _ => error.code,
        }
    }
}

impl TextStore<Azure> {
    /// Reads the options: see `docs/kinds/azure-key-vault.md`.
    pub fn options(fields: &mut Fields<'_>) -> Option<AzureOptions> {
        let vault = fields.required_url("vault");
        let given = fields.has("resource");
        let resource = fields.optional_url("resource");
        let ca_file = fields.optional_path("ca_file");
        if given && resource.is_none() {
            return None;
        }
        let resource = resource.map_or_else(|| RESOURCE.to_owned(), |url| url.as_str().trim_end_matches('/').to_owned());
        let auth = options::azure(fields, &resource);
        let options = AzureOptions { vault: vault?, ca_file, auth: auth? };
        if !matches!(options.vault.path(), "" | "/") {
            let hint = "write only `https://mail.vault.azure.net`; names of secrets belong into entries";
            fields.problem("HO0113", "vault", "`vault` has a path", hint);
            return None;
        }
        Some(options)
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        let url = json!({ "type": "string", "pattern": "^https?://" });
        json!({
            "type": "object", "additionalProperties": false, "required": ["vault", "auth"],
            "properties": {
                "vault": { "type": "string", "pattern": "^https?://[^/]+/?$" },
                "resource": url,
                "ca_file": { "$ref": "#/$defs/text" },
                "auth": options::azure_schema(),
            }
        })
    }

    /// A store with these options. Nothing is sent and no secret is read before the first call.
    ///
    /// # Errors
    /// `HO0634`: an address or `ca_file` cannot be used.
    pub fn open(options: AzureOptions) -> Result<Self, Fault> {
        let AzureOptions { vault, ca_file, auth } = options;
        let api = Api::new("Azure Key Vault", &vault, ca_file.as_deref(), CALL_TIMEOUT, STORE)?;
        let session = Session::new(api, auth, ca_file.as_deref(), CALL_TIMEOUT, STORE)?;
        let vault = vault.host_str().unwrap_or_default().split('.').next().unwrap_or_default().to_owned();
        Ok(Self { texts: Azure { session, vault } })
    }
}

impl Azure {
    fn url(&self, path: &[&str]) -> Result<Url, Lost> {
        let mut url = self.session.api.url(path)?;
        url.query_pairs_mut().append_pair("api-version", API_VERSION);
        Ok(url)
    }

    async fn ask(&self, method: Method, url: Url, body: Option<&Zeroizing<Vec<u8>>>) -> Result<Answer, Lost> {
        self.session.ask(&method, &url, body).await
    }

    fn permanent(&self, code: &str, name: &str, what: &str) -> Fault {
        self.fault(FaultClass::Permanent, code, name, what)
    }

    /// What a refusal means. `action` is the data action of Azure's roles that the call needs.
    fn refused(&self, name: &str, answer: &Answer, action: &str, doing: &str) -> Lost {
        let status = answer.status.as_u16();
        let word = if matches!(status, 401 | 403 | 409) { Refusal::word(answer) } else { String::new() };
        match (status, word.as_str()) {
            (403, "ForbiddenByFirewall" | "ForbiddenByConnection") => {
                let fault = self.permanent("HO0632", name, "the vault's firewall does not let this machine in");
                Lost::Before(fault.hint("let its address or network in, or use the vault's private endpoint"))
            }
            (401 | 403, _) => {
                let what = format!("the login may not do `{action}`");
                Lost::Before(self.permanent("HO0632", name, &what).hint(
                    "give it the role `Key Vault Secrets Officer` on this secret, or in a vault with access policies `get` and `set`",
                ))
            }
            (409, "ObjectIsDeletedButRecoverable") => self.deleted(name, None),
            (409, _) => {
                let fault = self.fault(FaultClass::Temporary, "HO0636", name, "it is being deleted or recovered");
                Lost::Before(fault.hint("find out who does that; it takes a minute or so"))
            }
            _ => self.session.api.refused(answer, doing),
        }
    }

    fn deleted(&self, name: &str, purge: Option<i64>) -> Lost {
        let until = purge.and_then(|at| chrono::DateTime::from_timestamp(at, 0));
        let until = until.map_or_else(String::new, |at| format!(" until {}", at.format("%Y-%m-%d")));
        let what = format!("it was deleted, and can be recovered{until}");
        Lost::Before(self.permanent("HO0636", name, &what).hint(format!(
            "find out who deleted it, and bring it back: `az keyvault secret recover --vault-name {} --name {name}`",
            self.vault
        )))
    }

    /// That there is none is told apart from one that was deleted, where the login may see that.
    async fn absent(&self, name: &str) -> Result<Got, Lost> {
        let answer = self.ask(Method::GET, self.url(&["deletedsecrets", name])?, None).await?;
        match answer.json::<Deleted>().filter(|_| answer.status.is_success()) {
            Some(deleted) => Err(self.deleted(name, deleted.purge)),
            None => Ok(Got::Nothing("there is no such secret in this vault".to_owned())),
        }
    }
}

#[async_trait]
impl Texts for Azure {
    const KIND: &'static str = "azure-key-vault";

    /// Of 25 KB, as the vendor says it.
    const MOST: usize = 25_000;

    fn misnamed(name: &str) -> Option<String> {
        let sound = (1..=127).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (!sound).then(|| format!("`{name}` is no name of a secret: those are 1 to 127 letters, digits and `-`"))
    }

    fn fault(&self, class: FaultClass, code: &str, name: &str, what: &str) -> Fault {
        self.session.api.fault(class, code, format!("secret {name}: {what}"))
    }

    async fn get(&self, name: &str) -> Result<Got, Lost> {
        let doing = "read a secret";
        let answer = self.ask(Method::GET, self.url(&["secrets", name])?, None).await?;
        match answer.status.as_u16() {
            200 => {}
            404 => return self.absent(name).await,
            403 if Refusal::word(&answer) == "SecretDisabled" => {
                let why = "its newest version is disabled, and nobody can read it: enable it, or set another";
                return Ok(Got::Nothing(why.to_owned()));
            }
            _ => return Err(self.refused(name, &answer, "Microsoft.KeyVault/vaults/secrets/getSecret/action", doing)),
        }
        let Some(bundle) = answer.json::<Bundle>() else { return Err(self.session.api.garbled(doing)) };
        let value = bundle.value.map(Zeroizing::new);
        let (Some(value), Some((_, version))) = (value, bundle.id.rsplit_once('/')) else {
            return Err(self.session.api.garbled(doing));
        };
        if bundle.managed {
            let fault = self.permanent("HO0634", name, "it belongs to a certificate, which keeps its key there");
            return Err(Lost::Before(fault.hint("correct the entry's `path`")));
        }
        let mut more = Map::new();
        if let Some(kind) = bundle.content_type {
            more.insert("contentType".to_owned(), Value::String(kind));
        }
        if let Some(tags) = bundle.tags {
            more.insert("tags".to_owned(), Value::Object(tags));
        }
        let dates = [("nbf", bundle.attributes.nbf), ("exp", bundle.attributes.exp)];
        let dates = dates.into_iter().filter_map(|(name, at)| Some((name.to_owned(), json!(at?))));
        let mut attributes: Map<String, Value> = dates.collect();
        attributes.insert("enabled".to_owned(), Value::Bool(true));
        more.insert("attributes".to_owned(), Value::Object(attributes));
        Ok(Got::Text(Text { value, version: version.to_owned(), more: Value::Object(more) }))
    }

    async fn put(&self, name: &str, value: &str, before: &Text) -> Result<(), Lost> {
        let doing = "set a secret";
        let more = before.more.to_string();
        // As large as it may get: a growing one would leave copies behind. What is kept is an object with something in it.
        let mut body = Zeroizing::new(Vec::with_capacity(6 * value.len() + more.len() + 64));
        body.extend_from_slice(b"{\"value\":");
        let written = serde_json::to_writer(&mut *body, value);
        let Some(more) = more.strip_prefix('{').filter(|_| written.is_ok()) else {
            return Err(Lost::Before(self.permanent("HO0634", name, "its value cannot be written")));
        };
        body.push(b',');
        body.extend_from_slice(more.as_bytes());
        let answer = self.ask(Method::PUT, self.url(&["secrets", name])?, Some(&body)).await?;
        match answer.status.as_u16() {
            200 => Ok(()),
            _ => Err(self.refused(name, &answer, "Microsoft.KeyVault/vaults/secrets/setSecret/action", doing)),
        }
    }

    /// An update that changes nothing of the newest version needs the right to write, and makes no version.
    async fn may_put(&self, name: &str, before: &Text) -> Result<(), Lost> {
        let url = self.url(&["secrets", name, before.version.as_str()])?;
        let answer = self.ask(Method::PATCH, url, Some(&Zeroizing::new(b"{}".to_vec()))).await?;
        match answer.status.as_u16() {
            // Somebody has deleted this version's secret since: the write will tell.
            200 => Ok(()),
            _ => Err(self.refused(
                name,
                &answer,
                "Microsoft.KeyVault/vaults/secrets/update/action",
                "update nothing of a secret, as a trial",
            )),
        }
    }

    async fn warnings(&self, name: &str) -> Vec<String> {
        let Ok(Got::Text(text)) = self.get(name).await else { return Vec::new() };
        let ends = text.more["attributes"]["exp"].as_i64().and_then(|at| chrono::DateTime::from_timestamp(at, 0));
        let told = ends.map(|at| {
            format!("secret {name} ends at {}, and versions that Handover makes end then as well", at.format("%Y-%m-%d"))
        });
        told.into_iter().collect()
    }

    fn call_timeout(&self) -> Span {
        // One that is not there is looked for among the deleted ones.
        Span(self.session.request_timeout().0.saturating_mul(2))
    }

    fn landing(&self) -> Span {
        self.session.api.request_timeout()
    }
}
