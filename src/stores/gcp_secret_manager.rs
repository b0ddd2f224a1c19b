//! The store `gcp-secret-manager`: secrets of Google Cloud's Secret Manager, through its REST API.
//!
//! A write adds a version, and `latest`, which readers follow, is the version that was made last. An answer that is lost may have
//! made one or none, and a request that was repeated on its way two of the same value: reading `latest` tells. What this must not
//! do: believe bytes whose checksum is another, or disable and destroy versions, which are the way back of others.

use std::path::PathBuf;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc::{CRC_32_ISCSI, Crc};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::time::Span;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::texts::{Got, Text, TextStore, Texts};
use crate::config::fields::Fields;
use crate::tokens::options;
use crate::tokens::session::{Login, Session};
use crate::web::{Answer, Api, Lost, STORE};

/// For one request.
const CALL_TIMEOUT: Span = Span::seconds(10);

/// CRC-32C, as `data_crc32c` is.
const CASTAGNOLI: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// What must be allowed.
const ACCESS: &str = "secretmanager.versions.access";
const ADD: &str = "secretmanager.versions.add";

/// What an inventory may say about a store of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcpOptions {
    /// `project`: its id.
    pub project: String,
    /// `location`: of regional secrets; global ones if left out.
    pub location: Option<String>,
    /// `address`: of the API; Google's if left out.
    pub address: Option<Url>,
    /// `ca_file`: PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    auth: Login,
}

/// Secrets of one project.
pub struct Gcp {
    session: Session,
    project: String,
    location: Option<String>,
}

/// Keeps logins in Google Cloud's Secret Manager. The path of an entry is the id of a secret whose value is a JSON object, or has a
/// `*` in it for a secret a field: see [`super::texts`].
pub type GcpSecretManagerStore = TextStore<Gcp>;

#[derive(Deserialize)]
struct Accessed {
    #[serde(default)]
    name: String,
    payload: Payload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    #[serde(default)]
    data: String,
    /// An `int64`, which JSON of Google writes as a text.
    #[serde(default)]
    data_crc32c: Option<Value>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    name: String,
    #[serde(default)]
    state: String,
}

#[derive(Deserialize)]
struct Granted {
    #[serde(default)]
    permissions: Vec<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: Refusal,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    #[serde(default)]
    expire_time: Option<String>,
    #[serde(default)]
    rotation: Option<Value>,
}

impl TextStore<Gcp> {
    /// Reads the options: see `docs/kinds/gcp-secret-manager.md`.
    pub fn options(fields: &mut Fields<'_>) -> Option<GcpOptions> {
        let project = fields.required_str("project");
        let given = (fields.has("location"), fields.has("address"));
        let location = fields.optional_str("location");
        let address = fields.optional_url("address");
        let ca_file = fields.optional_path("ca_file");
        let auth = options::google(fields);
        if (given.0 && location.is_none()) || (given.1 && address.is_none()) {
            return None;
        }
        let options = GcpOptions { project: project?, location, address, ca_file, auth: auth? };
        for (key, value) in [("project", Some(&options.project)), ("location", options.location.as_ref())] {
            let Some(value) = value else { continue };
            if !value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-:.".contains(&b)) {
                let message = format!("`{key}` has a character that none has");
                fields.problem("HO0113", key, message, "write only the id: `mail-production`, `europe-west3`");
                return None;
            }
        }
        Some(options)
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        let id = json!({ "type": "string", "pattern": "^[a-z0-9.:-]+$" });
        json!({
            "type": "object", "additionalProperties": false, "required": ["project", "auth"],
            "properties": {
                "project": id, "location": id,
                "address": { "type": "string", "pattern": "^https?://" },
                "ca_file": { "$ref": "#/$defs/text" },
                "auth": options::google_schema(),
            }
        })
    }

    /// A store with these options. Nothing is sent and no secret is read before the first call.
    ///
    /// # Errors
    /// `HO0634`: an address or `ca_file` cannot be used.
    pub fn open(options: GcpOptions) -> Result<Self, Fault> {
        let GcpOptions { project, location, address, ca_file, auth } = options;
        let host = match &location {
            Some(location) => format!("https://secretmanager.{location}.rep.googleapis.com"),
            None => "https://secretmanager.googleapis.com".to_owned(),
        };
        let usual = || Url::parse(&host).ok();
        let Some(address) = address.or_else(usual) else {
            return Err(Fault::new(FaultClass::Permanent, "HO0634", "Google Secret Manager: its address cannot be used"));
        };
        let api = Api::new("Google Secret Manager", &address, ca_file.as_deref(), CALL_TIMEOUT, STORE)?;
        let session = Session::new(api, auth, ca_file.as_deref(), CALL_TIMEOUT, STORE)?;
        Ok(Self { texts: Gcp { session, project, location } })
    }
}

impl Gcp {
    /// The address of a secret, or of what is below it: `rest` follows its id.
    fn url(&self, name: &str, rest: &[&str], verb: &str) -> Result<Url, Lost> {
        let mut path = vec!["v1", "projects", self.project.as_str()];
        if let Some(location) = &self.location {
            path.extend(["locations", location.as_str()]);
        }
        path.extend(["secrets", name]);
        path.extend(rest);
        let last = format!("{}{verb}", path.pop().unwrap_or_default());
        path.push(&last);
        self.session.api.url(&path)
    }

    async fn ask(&self, method: Method, url: Url, body: Option<&Zeroizing<Vec<u8>>>) -> Result<Answer, Lost> {
        self.session.ask(&method, &url, body).await
    }

    fn permanent(&self, code: &str, name: &str, what: &str) -> Fault {
        self.fault(FaultClass::Permanent, code, name, what)
    }

    fn forbidden(&self, name: &str, permission: &str) -> Lost {
        let what = format!("the login may not do `{permission}`, or there is no such secret");
        let role = match permission {
            ADD => "roles/secretmanager.secretVersionAdder",
            _ => "roles/secretmanager.secretAccessor",
        };
        Lost::Before(self.permanent("HO0632", name, &what).hint(format!(
            "`gcloud secrets add-iam-policy-binding {name} --project={} --role={role} --member=serviceAccount:…`",
            self.project
        )))
    }

    fn refused(&self, name: &str, answer: &Answer, permission: &str, doing: &str) -> Lost {
        match answer.status.as_u16() {
            401 | 403 => self.forbidden(name, permission),
            _ => self.session.api.refused(answer, doing),
        }
    }

    /// Why the newest version cannot be read, although there is one.
    async fn unreadable(&self, name: &str, refusal: Lost) -> Result<Got, Lost> {
        let url = self.url(name, &["versions", "latest"], "")?;
        let answer = self.ask(Method::GET, url, None).await?;
        let version: Option<Version> = answer.json().filter(|_| answer.status.is_success());
        let Some(version) = version else { return Err(refusal) };
        let number = number(&version.name).map_or_else(String::new, |n| format!(" {n}"));
        match version.state.as_str() {
            "DISABLED" => Ok(Got::Nothing(format!(
                "its newest version{number} is disabled, and whoever reads `latest` gets nothing: enable it, or add another"
            ))),
            "DESTROYED" => Ok(Got::Nothing(format!(
                "its newest version{number} is destroyed, and whoever reads `latest` gets nothing: add another"
            ))),
            _ => Err(refusal),
        }
    }
}

/// The number at the end of a version's name.
fn number(name: &str) -> Option<u64> {
    name.rsplit_once("/versions/")?.1.parse().ok()
}

#[async_trait]
impl Texts for Gcp {
    const KIND: &'static str = "gcp-secret-manager";

    const MOST: usize = 64 << 10;

    fn misnamed(name: &str) -> Option<String> {
        let sound = (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        (!sound).then(|| format!("`{name}` is no id of a secret: those are 1 to 255 letters, digits, `-` and `_`"))
    }

    fn fault(&self, class: FaultClass, code: &str, name: &str, what: &str) -> Fault {
        self.session.api.fault(class, code, format!("secret {name} of project {}: {what}", self.project))
    }

    async fn get(&self, name: &str) -> Result<Got, Lost> {
        let doing = "read the newest version of a secret";
        let answer = self.ask(Method::GET, self.url(name, &["versions", "latest"], ":access")?, None).await?;
        match answer.status.as_u16() {
            200 => {}
            404 => return Ok(Got::Nothing("there is no such secret, or it has no version".to_owned())),
            400 if answer.json::<Refused>().is_some_and(|r| r.error.status == "FAILED_PRECONDITION") => {
                let what = "its newest version cannot be opened: is it disabled, or its key?";
                return self.unreadable(name, Lost::Before(self.permanent("HO0634", name, what))).await;
            }
            _ => return Err(self.refused(name, &answer, ACCESS, doing)),
        }
        let Some(accessed) = answer.json::<Accessed>() else { return Err(self.session.api.garbled(doing)) };
        let data = Zeroizing::new(accessed.payload.data);
        let Ok(bytes) = STANDARD.decode(data.as_bytes()).map(Zeroizing::new) else {
            return Err(self.session.api.garbled(doing));
        };
        if let Some(told) = &accessed.payload.data_crc32c {
            let told = told.as_u64().or_else(|| told.as_str()?.parse().ok());
            if told != Some(CASTAGNOLI.checksum(&bytes).into()) {
                let what = "its value came with another checksum than it has: it was damaged on its way";
                return Err(Lost::Before(self.fault(FaultClass::Temporary, "HO0634", name, what)));
            }
        }
        let Ok(value) = std::str::from_utf8(&bytes) else {
            return Err(Lost::Before(self.permanent("HO0634", name, "its value is no text")));
        };
        let version = number(&accessed.name).map_or_else(String::new, |n| n.to_string());
        Ok(Got::Text(Text { value: Zeroizing::new(value.to_owned()), version, more: Value::Null }))
    }

    async fn put(&self, name: &str, value: &str, before: &Text) -> Result<(), Lost> {
        let doing = "add a version to a secret";
        let checksum = CASTAGNOLI.checksum(value.as_bytes());
        // As large as it gets, so that no copy of a part is left behind; base64 needs no escapes.
        let mut body = Zeroizing::new(String::with_capacity(2 * value.len() + 128));
        body.push_str("{\"payload\":{\"data\":\"");
        STANDARD.encode_string(value, &mut body);
        body.push_str(&format!("\",\"dataCrc32c\":\"{checksum}\"}}}}"));
        let body = Zeroizing::new(body.as_bytes().to_vec());
        let answer = self.ask(Method::POST, self.url(name, &[], ":addVersion")?, Some(&body)).await?;
        match answer.status.as_u16() {
            200 => {}
            404 => {
                let fault = self.permanent("HO0635", name, "there is no such secret");
                return Err(Lost::Before(fault.hint("someone has deleted it since it was read")));
            }
            _ => return Err(self.refused(name, &answer, ADD, doing)),
        }
        let Some(made) = answer.json::<Version>() else { return Err(self.session.api.garbled(doing)) };
        if let (Some(made), Ok(before)) = (number(&made.name), before.version.parse::<u64>())
            && before.checked_add(1).is_some_and(|next| made > next)
        {
            tracing::warn!(secret = name, before, made, "another version came in between: find out who adds them");
        }
        Ok(())
    }

    async fn may_put(&self, name: &str, _before: &Text) -> Result<(), Lost> {
        let doing = "ask what its login may do";
        let body = Zeroizing::new(json!({ "permissions": [ACCESS, ADD] }).to_string().into_bytes());
        let answer = self.ask(Method::POST, self.url(name, &[], ":testIamPermissions")?, Some(&body)).await?;
        if !answer.status.is_success() {
            return Err(self.refused(name, &answer, ADD, doing));
        }
        let Some(granted) = answer.json::<Granted>() else { return Err(self.session.api.garbled(doing)) };
        match [ACCESS, ADD].into_iter().find(|needed| !granted.permissions.iter().any(|has| has == needed)) {
            Some(missing) => Err(self.forbidden(name, missing)),
            None => Ok(()),
        }
    }

    async fn warnings(&self, name: &str) -> Vec<String> {
        let described = async {
            let answer = self.ask(Method::GET, self.url(name, &[], "")?, None).await?;
            Ok::<_, Lost>(answer.json::<Described>().filter(|_| answer.status.is_success()))
        };
        let Ok(Some(described)) = described.await else { return Vec::new() };
        let ends = described.expire_time.filter(|at| chrono::DateTime::parse_from_rfc3339(at).is_ok());
        let mut told: Vec<String> =
            ends.map(|at| format!("secret {name} ends at {at}, with all its versions")).into_iter().collect();
        if described.rotation.is_some() {
            told.push(format!("secret {name} has a rotation of its own: see that nothing but Handover answers its notices"));
        }
        told
    }

    fn call_timeout(&self) -> Span {
        // A version that cannot be read is looked at once more.
        Span(self.session.request_timeout().0.saturating_mul(2))
    }

    fn landing(&self) -> Span {
        self.session.api.request_timeout()
    }
}
