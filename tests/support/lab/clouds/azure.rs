//! Secrets of an Azure key vault (azure-rest-api-specs, Microsoft.KeyVault 7.4) with the ways to a token before it, on one port: Entra's
//! client credentials, and the metadata service of a virtual machine.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::vendors::Asked;
use super::{Cloud, Said};

pub(crate) const TENANT: &str = "t-1";
pub(crate) const CLIENT: &str = "c-1";
const RESOURCE: &str = "https://vault.azure.net";

/// A secret with its versions, the newest last.
#[derive(Default)]
pub(crate) struct Secret {
    pub(crate) versions: Vec<Value>,
    pub(crate) deleted: bool,
}

pub(crate) struct Azure {
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// What a token may do: `get`, `set`, `list`, `delete`, `recover`.
    pub(crate) tokens: BTreeMap<String, Vec<&'static str>>,
    /// Client secrets and assertions that are taken.
    pub(crate) proofs: Vec<&'static str>,
    pub(crate) logins: usize,
    made: u64,
    /// The address where it is, which ids of versions begin with.
    pub(crate) base: String,
}

fn refusal(status: u16, code: &str, inner: &str) -> Said {
    let mut error = json!({"code": code, "message": "see the code"});
    if !inner.is_empty() {
        error["innererror"] = json!({ "code": inner });
    }
    Said::new(status, json!({ "error": error }))
}

impl Azure {
    pub(crate) fn new() -> Self {
        Self {
            secrets: BTreeMap::new(),
            tokens: BTreeMap::new(),
            proofs: Vec::new(),
            logins: 0,
            made: 0,
            base: String::new(),
        }
    }

    /// Sets a secret, as somebody else would.
    pub(crate) fn set(&mut self, name: &str, value: &str, more: &Value) {
        self.made += 1;
        let id = format!("{}/secrets/{name}/{:032x}", self.base, self.made);
        let at = 1_795_000_000 + self.made;
        let mut version = json!({
            "value": value, "id": id,
            "attributes": {"enabled": true, "created": at, "updated": at, "recoveryLevel": "Recoverable+Purgeable"},
        });
        for (key, given) in more.as_object().into_iter().flatten() {
            match (key.as_str(), given.as_object()) {
                ("attributes", Some(given)) => {
                    for (name, value) in given {
                        version["attributes"][name] = value.clone();
                    }
                }
                _ => version[key] = given.clone(),
            }
        }
        self.secrets.entry(name.to_owned()).or_default().versions.push(version);
    }

    fn grant(&mut self, form_of_number: fn(u64) -> Value) -> Said {
        self.logins += 1;
        let token = format!("token-{}", self.logins);
        self.tokens.insert(token.clone(), vec!["get", "set"]);
        Said::new(
            200,
            json!({"token_type": "Bearer", "expires_in": form_of_number(3599), "access_token": token, "resource": RESOURCE}),
        )
    }

    fn log_in(&mut self, asked: &Asked, tenant: &str) -> Said {
        let form = asked.form().unwrap_or_default();
        let field = |name: &str| form.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str());
        let proof = match field("client_assertion_type") {
            "" => field("client_secret"),
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" => field("client_assertion"),
            _ => "",
        };
        let sound = tenant == TENANT
            && field("grant_type") == "client_credentials"
            && field("client_id") == CLIENT
            && field("scope") == format!("{RESOURCE}/.default")
            && self.proofs.contains(&proof);
        match sound {
            true => self.grant(|n| json!(n)),
            false => Said::new(401, json!({"error": "invalid_client", "error_description": "AADSTS7000215"})),
        }
    }

    fn on_vault(&mut self, asked: &Asked, may: &[&str], path: &[&str]) -> Said {
        if asked.query("api-version") != Some("7.4") {
            return refusal(400, "BadParameter", "");
        }
        let method = asked.method.as_str();
        let denied = || refusal(403, "Forbidden", "ForbiddenByRbac");
        let needed = match (method, path) {
            ("GET", ["secrets", _, "versions"]) => "list",
            ("GET", _) => "get",
            ("DELETE", _) => "delete",
            ("POST", [.., "recover"]) => "recover",
            _ => "set",
        };
        if !may.contains(&needed) {
            return denied();
        }
        match (method, path) {
            ("PUT", ["secrets", name]) => {
                let known = ["value", "contentType", "tags", "attributes"];
                let Some(body) = asked.json(&known).filter(|body| body["value"].is_string()) else {
                    return refusal(400, "BadParameter", "");
                };
                if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                    return refusal(400, "BadParameter", "");
                }
                if self.secrets.get(*name).is_some_and(|secret| secret.deleted) {
                    return refusal(409, "Conflict", "ObjectIsDeletedButRecoverable");
                }
                // What is not given is not taken over from the version before.
                self.set(name, body["value"].as_str().unwrap_or_default(), &body);
                Said::new(200, self.secrets[*name].versions.last().expect("it was just set").clone())
            }
            ("GET" | "DELETE" | "POST", ["deletedsecrets", name, ..]) => {
                let Some(secret) = self.secrets.get_mut(*name).filter(|secret| secret.deleted) else {
                    return refusal(404, "SecretNotFound", "");
                };
                secret.deleted = path.last() != Some(&"recover");
                let recovery = format!("{}/deletedsecrets/{name}", self.base);
                Said::new(
                    200,
                    json!({"recoveryId": recovery, "deletedDate": 1_795_000_000, "scheduledPurgeDate": 1_802_736_000,
                           "id": format!("{}/secrets/{name}", self.base), "attributes": {"enabled": true}}),
                )
            }
            (_, ["secrets", name, rest @ ..]) => {
                let Some(secret) = self.secrets.get_mut(*name).filter(|secret| !secret.deleted) else {
                    return refusal(404, "SecretNotFound", "");
                };
                let last = secret.versions.len() - 1;
                let id = |version: &Value| {
                    version["id"].as_str().expect("an id").rsplit('/').next().expect("a version").to_owned()
                };
                match (method, rest) {
                    ("DELETE", []) => {
                        secret.deleted = true;
                        let recovery = format!("{}/deletedsecrets/{name}", self.base);
                        Said::new(200, json!({"recoveryId": recovery, "id": secret.versions[last]["id"], "attributes": {}}))
                    }
                    ("GET", ["versions"]) => {
                        let without = |version: &Value| json!({"id": version["id"], "attributes": version["attributes"]});
                        let all: Vec<Value> = secret.versions.iter().map(without).collect();
                        Said::new(200, json!({"value": all, "nextLink": null}))
                    }
                    ("GET" | "PATCH", which) => {
                        let at = match which {
                            // Some clients ask for the newest with a slash behind the name.
                            [] | [""] => Some(last),
                            [version] => secret.versions.iter().position(|v| id(v) == *version),
                            _ => None,
                        };
                        let Some(version) = at.and_then(|at| secret.versions.get_mut(at)) else {
                            return refusal(404, "SecretNotFound", "");
                        };
                        if method == "PATCH" {
                            let known = ["contentType", "tags", "attributes"];
                            let Some(body) = asked.json(&known) else { return refusal(400, "BadParameter", "") };
                            for (key, value) in body.as_object().expect("a map") {
                                match (key.as_str(), value.as_object()) {
                                    ("attributes", Some(given)) => {
                                        for (name, value) in given {
                                            version["attributes"][name] = value.clone();
                                        }
                                    }
                                    _ => version[key] = value.clone(),
                                }
                            }
                        } else if version["attributes"]["enabled"] == false {
                            return refusal(403, "Forbidden", "SecretDisabled");
                        }
                        let mut shown = version.clone();
                        if method == "PATCH" {
                            shown.as_object_mut().expect("a map").remove("value");
                        }
                        Said::new(200, shown)
                    }
                    _ => refusal(405, "MethodNotAllowed", ""),
                }
            }
            _ => refusal(404, "NotFound", ""),
        }
    }
}

impl Cloud for Azure {
    fn answer(&mut self, asked: &Asked) -> Said {
        let (method, path) = asked.call();
        match (method, path.as_slice()) {
            ("POST", [tenant, "oauth2", "v2.0", "token"]) => self.log_in(asked, tenant),
            ("GET", ["metadata", "identity", "oauth2", "token"]) => {
                let sound = asked.header("metadata") == Some("true")
                    && asked.query("api-version") == Some("2018-02-01")
                    && asked.query("resource") == Some(RESOURCE);
                match asked.query("client_id") {
                    // Numbers are texts here.
                    None | Some(CLIENT) if sound => self.grant(|n| json!(n.to_string())),
                    _ => Said::new(400, json!({"error": "invalid_request", "error_description": "Identity not found"})),
                }
            }
            _ => match asked.bearer().and_then(|token| self.tokens.get(token)).cloned() {
                Some(may) => self.on_vault(asked, &may, &path),
                None => {
                    let challenge = format!("Bearer authorization=\"{}/{TENANT}\", resource=\"{RESOURCE}\"", self.base);
                    refusal(401, "Unauthorized", "").with("www-authenticate", challenge)
                }
            },
        }
    }
}
