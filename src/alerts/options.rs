//! Options that several kinds of source have: the secret that deliveries are signed with, a second one while it is being replaced,
//! and the API to ask and to close at.

use std::path::{Path, PathBuf};

use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder, Url};
use serde_json::{Value, json};

use super::json::Json;
use crate::config::fields::Fields;
use crate::config::inventory::SecretRef;
use crate::config::schema;
use crate::secret::Secret;
use crate::web::{Answer, Api, Codes, Lost};

/// The ends of calls to sources of alerts.
const CODES: Codes = Codes { unreachable: "HO1120", lost: "HO1121", forbidden: "HO1122", busy: "HO1123", odd: "HO1124" };

/// How long one call may take.
pub(super) const TIMEOUT: Span = Span::seconds(20);

/// How often a source is asked, where the inventory does not say.
const EVERY: Span = Span::minutes(5);

/// One or two references, which are both taken: the second is that of before, while the sender may still use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shared(Vec<SecretRef>);

impl Shared {
    /// Reads `key`, which must be there, and `previous_key`.
    pub(super) fn required(fields: &mut Fields<'_>, key: &str) -> Option<Self> {
        let first = fields.required_secret(key);
        let previous = fields.optional_secret(&format!("previous_{key}"));
        Some(Self(first.into_iter().chain(previous).collect())).filter(|shared| !shared.0.is_empty())
    }

    /// Reads them where the first may be missing.
    pub(super) fn optional(fields: &mut Fields<'_>, key: &str) -> Option<Self> {
        let first = fields.optional_secret(key);
        let previous = fields.optional_secret(&format!("previous_{key}"));
        if first.is_none() && previous.is_some() {
            fields.problem(
                "HO1130",
                &format!("previous_{key}"),
                "the secret of before stands alone",
                "name the one of now as well",
            );
        }
        first.map(|first| Self([first].into_iter().chain(previous).collect()))
    }

    /// The secrets, as they are now.
    pub(super) fn read(&self) -> Result<Vec<Secret>, Fault> {
        self.0.iter().map(SecretRef::read).collect()
    }
}

/// The schema of a closed map of options. `required` are those that must be there.
pub(super) fn schema(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

/// The same, where one of several keys must be there, and each `previous_…` needs the one of now.
pub(super) fn one_of(word: &str, keys: &[&str], properties: Value) -> Value {
    let mut whole = schema(&[], properties);
    let previous = |key: &&str| Some((format!("previous_{key}"), json!([key])));
    let known = |key: &str| whole["properties"].get(key).is_some();
    let needs: serde_json::Map<String, Value> = keys.iter().filter_map(previous).filter(|(key, _)| known(key)).collect();
    if let Some(map) = whole.as_object_mut() {
        map.insert(word.to_owned(), keys.iter().map(|key| json!({"required": [key]})).collect());
        map.insert("dependentRequired".to_owned(), Value::Object(needs));
    }
    whole
}

/// The schema of where a secret is.
pub(super) fn secret() -> Value {
    json!({"$ref": "#/$defs/secret"})
}

/// An API to ask for incidents and to close them at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
    key: SecretRef,
    address: Url,
    ca_file: Option<PathBuf>,
    pub(super) every: Span,
}

impl Access {
    /// Reads `{key, address, ca_file, every}`; `usual` is the address of most.
    pub(super) fn read(fields: &mut Fields<'_>, usual: &str) -> Option<Self> {
        let key = fields.required_secret("key");
        let address = fields.optional_url("address").or_else(|| Url::parse(usual).ok());
        let ca_file = fields.optional_path("ca_file");
        let every = fields.optional_duration("every", Span::seconds(1)..=Span::minutes(24 * 60));
        Some(Self { key: key?, address: address?, ca_file, every: every.unwrap_or(EVERY) })
    }

    /// The schema of that map, with `more` in it.
    pub(super) fn schema(more: Value) -> Value {
        let mut properties = json!({
            "key": secret(),
            "address": {"type": "string", "pattern": "^https?://"},
            "ca_file": {"type": "string", "minLength": 1},
            "every": schema::duration(),
        });
        if let (Some(all), Value::Object(more)) = (properties.as_object_mut(), more) {
            all.extend(more);
        }
        json!({"type": "object", "additionalProperties": false, "required": ["key"], "properties": properties})
    }

    /// The API of `who`, whose key stands behind `word` in the header `Authorization`.
    ///
    /// # Errors
    /// Those of [`Api::new`].
    pub(super) fn open(&self, who: &str, word: &'static str) -> Result<Caller, Fault> {
        let api = Api::new(who, &self.address, self.ca_file.as_deref(), TIMEOUT, CODES)?;
        Ok(Caller { api, key: Some(self.key.clone()), word })
    }
}

/// An API of `who` at an address that needs no key, or whose key is told with each call.
pub(super) fn open(who: &str, address: &Url, ca_file: Option<&Path>, timeout: Span) -> Result<Caller, Fault> {
    Ok(Caller { api: Api::new(who, address, ca_file, timeout, CODES)?, key: None, word: "" })
}

/// Makes calls to one API. The key is read for each, so that its file may be renewed under a daemon.
pub(super) struct Caller {
    pub(super) api: Api,
    key: Option<SecretRef>,
    word: &'static str,
}

impl Caller {
    /// A request with the key on it.
    pub(super) fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<RequestBuilder, Lost> {
        let mut url = self.api.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.api.client.request(method, url);
        match &self.key {
            None => Ok(request),
            Some(key) => self.authorize(request, self.word, &key.read().map_err(Lost::Before)?),
        }
    }

    /// The request with `word` and a key in the header `Authorization`.
    pub(super) fn authorize(&self, request: RequestBuilder, word: &str, key: &Secret) -> Result<RequestBuilder, Lost> {
        let text = zeroize::Zeroizing::new(format!("{word} {}", key.expose()));
        match HeaderValue::from_str(&text) {
            Ok(mut value) => {
                value.set_sensitive(true);
                Ok(request.header(AUTHORIZATION, value))
            }
            Err(_) => Err(Lost::Before(self.refusal("its key has a character that no header may have"))),
        }
    }

    /// Sends it: an answer of success, or how it was lost. `doing` names the permission for a 401 or 403.
    pub(super) async fn send(&self, request: RequestBuilder, doing: &str) -> Result<Answer, Lost> {
        let answer = self.api.send(request).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.api.refused(&answer, doing)) }
    }

    /// Sends it and reads the answer as JSON.
    pub(super) async fn read(&self, request: RequestBuilder, doing: &str) -> Result<Json, Lost> {
        self.json(&self.send(request, doing).await?, doing)
    }

    /// The answer as JSON.
    pub(super) fn json(&self, answer: &Answer, doing: &str) -> Result<Json, Lost> {
        Json::read(answer.bytes()).map_err(|_| self.api.garbled(doing))
    }

    /// A refusal that repeating does not mend.
    pub(super) fn refusal(&self, what: &str) -> Fault {
        self.api.fault(FaultClass::Permanent, CODES.odd, what)
    }
}

/// What a source without an API answers.
pub(super) fn no_api<T>() -> Outcome<T> {
    let fault = Fault::new(FaultClass::Permanent, "HO1101", "this source of alerts has no `api` in the inventory");
    Outcome::NotDone(fault.hint("see docs/alerts.md: with `api` it can be asked, and incidents can be closed there"))
}

/// Reports that two things are missing of which one is needed.
pub(super) fn neither(fields: &mut Fields<'_>, one: &str, other: &str) {
    if !fields.has(one) && !fields.has(other) {
        let message = format!("{} has neither `{one}` nor `{other}`: it could hear of nothing", fields.what());
        fields.problem("HO1130", one, message, format!("add `{one}: {{file: PATH}}`, as docs/alerts.md says"));
    }
}
