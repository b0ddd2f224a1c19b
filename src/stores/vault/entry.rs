//! What is at a path of a KV engine, and the requests that read and write it.

use reqwest::StatusCode;
use serde_json::{Map, Value};
use vaultrs::api::kv1::requests::{GetSecretRequest, SetSecretRequest as SetV1};
use vaultrs::api::kv2::requests::{ReadSecretRequest, SetSecretRequest as SetV2, SetSecretRequestOptions};
use vaultrs::api::kv2::responses::ReadSecretResponse;
use zeroize::Zeroize;

use super::options::Kv;
use crate::vault::session::{Call, data};
use crate::web::Answer;

/// A path that can be asked for.
#[derive(Clone, Copy)]
pub(super) struct Spot<'s> {
    pub(super) kv: Kv,
    pub(super) mount: &'s str,
    pub(super) path: &'s str,
}

/// What is there.
pub(super) enum Seen {
    /// Nothing, and nothing was.
    Absent,
    /// A version whose data was deleted: softly, or for good.
    Deleted { version: u64, at: String, destroyed: bool },
    /// Data.
    Here(Content),
}

/// The data of one version. It is wiped when it goes.
pub(super) struct Content {
    pub(super) data: Map<String, Value>,
    /// 0 for KV v1.
    pub(super) version: u64,
    /// `managed-by` of its custom metadata.
    pub(super) manager: Option<String>,
    /// When the server will delete this version by itself.
    pub(super) ends: Option<String>,
}

impl Drop for Content {
    fn drop(&mut self) {
        self.data.values_mut().for_each(wipe);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Content {
    /// A field: empty where it is missing, `None` where it is no text.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.data.get(name).map_or(Some(""), Value::as_str)
    }

    /// A field beside the two that would not be the same after it was read and written: the value of a number with a fraction is
    /// not kept to the last bit.
    pub(super) fn unkept(&self, ours: [&str; 2]) -> Option<&str> {
        let mut siblings = self.data.iter().filter(|(name, _)| !ours.contains(&name.as_str()));
        siblings.find(|(_, value)| has_fraction(value)).map(|(name, _)| name.as_str())
    }
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(map) => map.values().any(has_fraction),
        _ => false,
    }
}

impl Spot<'_> {
    /// The path that policies speak of.
    pub(super) fn api_path(&self) -> String {
        match self.kv {
            Kv::V1 => format!("{}/{}", self.mount, self.path),
            Kv::V2 => format!("{}/data/{}", self.mount, self.path),
        }
    }

    /// Where the metadata of a v2 secret is.
    pub(super) fn metadata_path(&self) -> String {
        format!("{}/metadata/{}", self.mount, self.path)
    }

    pub(super) fn read(&self) -> Option<Call> {
        let (mount, path) = (self.mount.to_owned(), self.path.to_owned());
        match self.kv {
            Kv::V1 => Call::of(&GetSecretRequest { mount, path }),
            Kv::V2 => Call::of(&ReadSecretRequest { mount, path, version: None }),
        }
    }

    /// What an answer to [`Self::read`] says; `None` if it is not of a form that the server has.
    pub(super) fn seen(&self, answer: &Answer) -> Option<Seen> {
        let missing = answer.status == StatusCode::NOT_FOUND;
        if self.kv == Kv::V1 {
            if missing {
                return Some(Seen::Absent);
            }
            return match data::<Value>(answer)? {
                Value::Object(data) => Some(Seen::Here(Content { data, version: 0, manager: None, ends: None })),
                _ => None,
            };
        }
        // A 404 with metadata is a version that was deleted; the one without is a path where nothing is.
        let Some(read) = data::<ReadSecretResponse>(answer) else { return missing.then_some(Seen::Absent) };
        let metadata = read.metadata;
        let at = metadata.deletion_time;
        match read.data {
            Value::Object(data) => Some(Seen::Here(Content {
                data,
                version: metadata.version,
                manager: metadata.custom_metadata.and_then(|mut map| map.remove("managed-by")),
                ends: (!at.is_empty()).then_some(at),
            })),
            Value::Null => Some(Seen::Deleted { version: metadata.version, at, destroyed: metadata.destroyed }),
            _ => None,
        }
    }

    /// Writes all fields, if the version is still this one.
    pub(super) fn write(&self, fields: Map<String, Value>, version: u64) -> Option<Call> {
        let (mount, path) = (self.mount.to_owned(), self.path.to_owned());
        let mut data = Value::Object(fields);
        match self.kv {
            Kv::V1 => {
                let bytes = serde_json::to_vec(&data).ok();
                wipe(&mut data);
                let mut request = SetV1 { mount, path, data: bytes? };
                let call = Call::of(&request);
                request.data.zeroize();
                call
            }
            Kv::V2 => {
                let Ok(cas) = u32::try_from(version) else {
                    wipe(&mut data);
                    return None;
                };
                let mut request = SetV2 { mount, path, data, options: Some(SetSecretRequestOptions { cas }) };
                let call = Call::of(&request);
                wipe(&mut request.data);
                call
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(value: Value) -> Content {
        let Value::Object(data) = value else { panic!("a map") };
        Content { data, version: 1, manager: None, ends: None }
    }

    #[test]
    fn what_vault_would_not_keep_is_found_however_deep() {
        let ours = ["u", "p"];
        assert_eq!(secret(json!({"u": "x", "p": "y", "n": 9_007_199_254_740_993_u64, "t": "1.5"})).unkept(ours), None);
        assert_eq!(secret(json!({"u": "x", "p": "y", "deep": {"list": [1, 0.1]}})).unkept(ours), Some("deep"));
        let large: Value = serde_json::from_str(r#"{"n": 12345678901234567890123}"#).expect("json");
        assert_eq!(secret(large).unkept(ours), Some("n"));
    }

    #[test]
    fn a_write_to_vault_names_the_version_that_was_read_and_stays_in_its_path() {
        let spot = Spot { kv: Kv::V2, mount: "team/kv", path: "a/b" };
        let Value::Object(map) = json!({"u": "x"}) else { panic!("a map") };
        let call = spot.write(map, 7).expect("a call");
        assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "team/kv/data/a/b"));
        let body: Value = serde_json::from_slice(&call.body.expect("a body")).expect("json");
        assert_eq!(body, json!({"data": {"u": "x"}, "options": {"cas": 7}}));
        let spot = Spot { kv: Kv::V1, ..spot };
        let Value::Object(map) = json!({"u": "x"}) else { panic!("a map") };
        let call = spot.write(map, 0).expect("a call");
        assert_eq!(call.path, "team/kv/a/b");
        assert_eq!(call.body.expect("a body").as_slice(), br#"{"u":"x"}"#);
        assert_eq!(spot.read().expect("a call").body.map(|b| b.to_vec()), None);
    }
}
