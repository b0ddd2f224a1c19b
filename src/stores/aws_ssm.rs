//! The store `aws-ssm`: an entry is a SecureString of AWS Systems Manager's Parameter Store whose value is a JSON object.
//!
//! One parameter holds both fields, so a reader never sees a new name with an old password. Parameter Store has no compare-and-swap:
//! the value is read right before it is written, and the number of the version that was written tells whether anyone came between.

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroize;

use super::object::Object;
use super::{EntryRef, Held, Store};
use crate::aws::json::{Refused, Service};
use crate::aws::{Aws, AwsOptions, REQUEST_TIMEOUT};
use crate::config::Fields;
use crate::secret::{Login, Secret};
use crate::web::{Lost, STORE, outcome};

/// So many versions are kept; the next removes the oldest, and cannot if that has a label.
const MOST_VERSIONS: u64 = 100;
/// What a value of the standard tier may have, in bytes.
const MOST_BYTES: usize = 4096;

/// Parameters of Parameter Store.
///
/// # Guarantees
/// - A value is replaced in one call, of its type and key as it was; all other keys of the object are kept.
/// - A parameter that is not there, or no SecureString, is not made.
///
/// # Caveats
/// - Who writes in the instant between the look and the write is overwritten; the log says so.
/// - The keys of the object are written in the order of the alphabet.
pub struct SsmStore {
    service: Service,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Got {
    parameter: Parameter,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    r#type: String,
    value: String,
    version: u64,
}

impl Drop for Parameter {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    version: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct History {
    parameters: Vec<Old>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Old {
    version: u64,
    #[serde(default)]
    labels: Vec<String>,
}

struct Current {
    version: u64,
    object: Object,
}

impl SsmStore {
    /// Reads the options: `{region, endpoint, profile, credentials}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<AwsOptions> {
        AwsOptions::read(fields)
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        serde_json::json!({
            "type": "object", "additionalProperties": false, "required": ["region"], "properties": AwsOptions::schema(),
        })
    }

    /// A store with these options. Contacts nothing.
    ///
    /// # Errors
    /// Its address cannot be used.
    pub fn open(options: AwsOptions) -> Result<Self, Fault> {
        Ok(Self { service: Service::new(Aws::new(options, STORE), "ssm", "AmazonSSM")? })
    }

    async fn current(&self, entry: &EntryRef) -> Result<Option<Current>, Lost> {
        let body = json!({"Name": entry.path, "WithDecryption": true});
        let answer = match self.service.call("GetParameter", &body).await {
            Ok(answer) => answer,
            Err(Refused { code, .. }) if code == "ParameterNotFound" => return Ok(None),
            Err(refused) => return Err(refused.lost),
        };
        let got: Got = answer.json().ok_or_else(|| permanent("HO0634", entry, "AWS answered without a parameter"))?;
        if got.parameter.r#type != "SecureString" {
            return Err(permanent("HO0634", entry, "it is no SecureString: its value lies in the clear"));
        }
        let object = Object::read(&got.parameter.value);
        let object = object.map_err(|why| Lost::Before(why.fault(format_args!("parameter {}", entry.path))))?;
        Ok(Some(Current { version: got.parameter.version, object }))
    }

    async fn try_check(&self, entry: &EntryRef) -> Result<(), Lost> {
        let Some(current) = self.current(entry).await? else { return Err(absent(entry)) };
        if current.version >= MOST_VERSIONS {
            let body = json!({"Name": entry.path, "MaxResults": 50, "WithDecryption": false});
            let answer = self.service.call("GetParameterHistory", &body).await.map_err(Lost::from)?;
            let history: History =
                answer.json().ok_or_else(|| permanent("HO0634", entry, "AWS answered without a history"))?;
            let oldest = history.parameters.iter().min_by_key(|old| old.version);
            let full = current.version - oldest.map_or(current.version, |old| old.version) + 1 >= MOST_VERSIONS;
            if let Some(old) = oldest.filter(|old| full && !old.labels.is_empty()) {
                let what = format!(
                    "version {} is the oldest of {MOST_VERSIONS} and has the label `{}`, so no other can be written",
                    old.version,
                    old.labels.join("`, `")
                );
                return Err(permanent("HO0634", entry, what));
            }
        }
        // It is there, so one that must not replace anything is refused: for lack of permission, or because it is there.
        let body = json!({"Name": entry.path, "Value": "-", "Type": "SecureString", "Overwrite": false});
        match self.service.call("PutParameter", &body).await {
            Err(Refused { code, .. }) if code == "ParameterAlreadyExists" => Ok(()),
            Err(refused) => Err(refused.lost),
            Ok(_) => {
                let what = "it was deleted while it was looked at, and the look has made one with the value `-` in its stead: \
                            put the current login there, or delete it";
                Err(permanent("HO0635", entry, what))
            }
        }
    }

    fn fits(entry: &EntryRef, text: &str) -> Result<(), Lost> {
        if text.len() > MOST_BYTES {
            return Err(permanent("HO0634", entry, format!("its value would have more than {MOST_BYTES} bytes")));
        }
        if text.contains("{{") {
            return Err(permanent("HO0634", entry, "Parameter Store takes no value with `{{` in it"));
        }
        Ok(())
    }

    async fn try_can_hold(&self, entry: &EntryRef, login: &Login) -> Result<(), Lost> {
        let Some(current) = self.current(entry).await? else { return Err(absent(entry)) };
        Self::fits(entry, &current.object.with(entry, login))
    }

    async fn try_write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Result<(), Lost> {
        let current = self.current(entry).await.map_err(Lost::before_the_change)?;
        let Some(current) = current else { return Err(absent(entry)) };
        let expected = match current.object.login(entry) {
            Ok(held) if held.username == login.username && held.password.matches(&login.password) => return Ok(()),
            Ok(held) => expect.iter().any(|secret| secret.matches(&held.password)),
            Err(_) => expect.is_empty(),
        };
        if !expected {
            let message =
                format!("parameter {}: the entry holds another password than expected; someone else changed it", entry.path);
            let hint = "find out who wrote it; then run `handover status` for what is safe next";
            return Err(Lost::Before(Fault::new(FaultClass::Permanent, "HO0611", message).hint(hint)));
        }
        let text = current.object.with(entry, login);
        Self::fits(entry, &text)?;
        let mut body = json!({"Name": entry.path, "Value": text.as_str(), "Type": "SecureString", "Overwrite": true});
        let put = self.service.call("PutParameter", &body).await;
        wipe(&mut body);
        let answer = put.map_err(|refused| match refused.code.as_str() {
            "ParameterMaxVersionLimitExceeded" => {
                permanent("HO0634", entry, "the oldest of its 100 versions has a label: take that away")
            }
            // Nothing was written: it says that another write is under way.
            "TooManyUpdates" => Lost::Before(Fault::new(
                FaultClass::Temporary,
                "HO0633",
                format!("parameter {}: another write is under way", entry.path),
            )),
            _ => refused.lost,
        })?;
        if let Some(put) = answer.json::<Put>()
            && put.version != current.version + 1
        {
            tracing::warn!(
                path = %entry.path,
                "version {} was written where {} was expected: somebody else's was overwritten",
                put.version,
                current.version + 1
            );
        }
        Ok(())
    }
}

fn wipe(body: &mut serde_json::Value) {
    if let Some(serde_json::Value::String(text)) = body.get_mut("Value") {
        text.zeroize();
    }
}

fn permanent(code: &str, entry: &EntryRef, what: impl std::fmt::Display) -> Lost {
    Lost::Before(Fault::new(FaultClass::Permanent, code, format!("parameter {}: {what}", entry.path)))
}

fn absent(entry: &EntryRef) -> Lost {
    permanent("HO0635", entry, "there is none of this name in this region")
}

#[async_trait]
impl Store for SsmStore {
    fn kind(&self) -> &'static str {
        "aws-ssm"
    }

    fn request_timeout(&self) -> Span {
        Span(REQUEST_TIMEOUT.0 * 2)
    }

    fn landing(&self) -> Span {
        REQUEST_TIMEOUT
    }

    async fn check_writable(&self, entry: &EntryRef) -> Outcome<()> {
        outcome(self.try_check(entry).await)
    }

    async fn read(&self, entry: &EntryRef) -> Outcome<Held> {
        let read = self.current(entry).await;
        outcome(read.map(|current| current.map_or(Held::Nothing, |current| current.object.held(entry))))
    }

    async fn lacks(&self, entry: &EntryRef) -> String {
        match self.current(entry).await {
            Ok(None) => "there is no parameter of this name in this region".to_owned(),
            Ok(Some(current)) => current.object.login(entry).err().unwrap_or_else(|| "it has a login now".to_owned()),
            Err(Lost::Before(fault) | Lost::Maybe(fault)) => fault.to_string(),
        }
    }

    async fn can_hold(&self, entry: &EntryRef, login: &Login) -> Outcome<()> {
        outcome(self.try_can_hold(entry, login).await)
    }

    async fn write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Outcome<()> {
        outcome(self.try_write(entry, login, expect).await)
    }
}

#[cfg(test)]
mod tests {
    use handover_rotation::name::{EntryName, Username};

    use super::*;
    use crate::aws::tests::unanswered;

    #[tokio::test]
    async fn a_look_that_was_lost_wrote_nothing() {
        let store = SsmStore::open(unanswered(SsmStore::options).await).expect("it opens");
        let entry = EntryRef {
            name: EntryName::new("e").expect("a name"),
            path: "/p".to_owned(),
            username_field: "user".to_owned(),
            password_field: "pass".to_owned(),
        };
        let login = Login { username: Username::new("a").expect("a name"), password: Secret::new("b".to_owned()) };
        assert!(matches!(store.read(&entry).await, Outcome::Unknown(_)));
        assert!(matches!(store.write(&entry, &login, &[&login.password]).await, Outcome::NotDone(_)));
    }
}
