//! How an inventory says how Handover logs in: `auth`, a map with the one way that is used.

use reqwest::Url;
use serde_json::{Value, json};

use super::client::{self, Client, Proof};
use super::machine::{self, Cloud};
use super::session::Login;
use crate::config::fields::Fields;

/// Reads `auth` for Google: `{service_account: SECRET}`, `{metadata: {account, address}}` or `{token: SECRET}`.
pub(crate) fn google(fields: &mut Fields<'_>) -> Option<Login> {
    fields.required_map("auth", |auth| {
        let key = auth.optional_secret("service_account").map(Login::Key);
        let machine = auth.optional_map("metadata", |map| {
            let given = map.has("account");
            let account = map.optional_str("account");
            let address = optional_url(map, "address", machine::address);
            let account = if given { account? } else { "default".to_owned() };
            Some(Login::Machine { cloud: Cloud::Google { account }, address: address? })
        });
        let token = auth.optional_secret("token").map(Login::Token);
        one_of(auth, &["service_account", "metadata", "token"]).then(|| key.or(machine).or(token)).flatten()
    })
}

/// Reads `auth` for Azure, for a token of `resource`: `{client: {tenant, client_id, client_secret or federated_token}}`,
/// `{managed_identity: {client_id, address}}` or `{token: SECRET}`.
pub(crate) fn azure(fields: &mut Fields<'_>, resource: &str) -> Option<Login> {
    fields.required_map("auth", |auth| {
        let client = auth.optional_map("client", |map| {
            let tenant = map.required_str("tenant");
            let client_id = map.required_str("client_id");
            let secret = map.optional_secret("client_secret").map(Proof::Secret);
            let assertion = map.optional_secret("federated_token").map(Proof::Assertion);
            let address = optional_url(map, "login_address", client::address);
            let sound = one_of(map, &["client_secret", "federated_token"]);
            let proof = secret.or(assertion).filter(|_| sound);
            let client = Client { tenant: tenant?, client_id: client_id?, proof: proof? };
            Some(Login::Client { client, address: address?, scope: format!("{resource}/.default") })
        });
        let machine = auth.optional_map("managed_identity", |map| {
            let given = map.has("client_id");
            let client_id = map.optional_str("client_id");
            let address = optional_url(map, "address", machine::address);
            if given && client_id.is_none() {
                return None;
            }
            let cloud = Cloud::Azure { client_id, resource: resource.to_owned() };
            Some(Login::Machine { cloud, address: address? })
        });
        let token = auth.optional_secret("token").map(Login::Token);
        one_of(auth, &["client", "managed_identity", "token"]).then(|| client.or(machine).or(token)).flatten()
    })
}

/// An address that may be left out; `None` if it is wrong.
fn optional_url(fields: &mut Fields<'_>, key: &str, usual: fn(Option<Url>) -> Option<Url>) -> Option<Url> {
    let given = fields.has(key);
    let url = fields.optional_url(key);
    if given && url.is_none() { None } else { usual(url) }
}

/// Whether a map has one of these keys and no more; else it is told.
fn one_of(fields: &mut Fields<'_>, ways: &[&str]) -> bool {
    let many = ways.iter().filter(|way| fields.has(way)).count();
    if many == 1 || !fields.is_map() {
        return many == 1;
    }
    let message = format!("{} names {} ways to log in", fields.what(), if many == 0 { "no" } else { "several" });
    let named: Vec<String> = ways.iter().map(|way| format!("`{way}`")).collect();
    let at = ways.iter().find(|way| fields.has(way)).copied().unwrap_or_default();
    fields.problem("HO0113", at, message, format!("name one of {}", named.join(", ")));
    false
}

/// The JSON Schema of `auth` for Google.
pub(crate) fn google_schema() -> Value {
    let text = json!({ "$ref": "#/$defs/text" });
    one(json!({
        "service_account": { "$ref": "#/$defs/secret" },
        "metadata": {
            "type": "object", "additionalProperties": false,
            "properties": { "account": text, "address": { "type": "string", "pattern": "^https?://" } },
        },
        "token": { "$ref": "#/$defs/secret" },
    }))
}

/// The JSON Schema of `auth` for Azure.
pub(crate) fn azure_schema() -> Value {
    let text = json!({ "$ref": "#/$defs/text" });
    one(json!({
        "client": {
            "type": "object", "additionalProperties": false, "required": ["tenant", "client_id"],
            "oneOf": [{ "required": ["client_secret"] }, { "required": ["federated_token"] }],
            "properties": {
                "tenant": text, "client_id": text,
                "client_secret": { "$ref": "#/$defs/secret" }, "federated_token": { "$ref": "#/$defs/secret" },
                "login_address": { "type": "string", "pattern": "^https?://" },
            },
        },
        "managed_identity": {
            "type": "object", "additionalProperties": false,
            "properties": { "client_id": text, "address": { "type": "string", "pattern": "^https?://" } },
        },
        "token": { "$ref": "#/$defs/secret" },
    }))
}

fn one(properties: Value) -> Value {
    json!({
        "type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1, "properties": properties,
    })
}
