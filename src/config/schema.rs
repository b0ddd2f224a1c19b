//! JSON Schema (2020-12) of the two formats, for editors and other programs. It says what one file can say: references,
//! orders and secrets in the clear are `check`'s business.

use serde_json::{Map, Value, json};

use super::kinds::{Kinds, Role};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of an inventory file.
#[must_use]
pub fn inventory_schema(kinds: &dyn Kinds) -> Value {
    let named = |what: &str, value: Value| {
        json!({
            "type": ["object", "null"],
            "description": what,
            "propertyNames": { "$ref": "#/$defs/name" },
            "additionalProperties": value,
        })
    };
    json!({
        "$schema": DRAFT,
        "title": "Handover inventory",
        "type": "object",
        "additionalProperties": false,
        "required": ["version"],
        "properties": {
            "version": { "const": 1 },
            "providers": named("Who issues credentials and retires them.", with_kind(kinds, Role::Provider)),
            "stores": named("Where credentials are kept.", with_kind(kinds, Role::Store)),
            "credentials": named("SMTP logins that services depend on.", credential()),
            "services": named("Software that sends mail with them.", service(kinds)),
            "notify": named("Who is told what.", with_kind(kinds, Role::Notifier)),
            "egress": super::egress::schema(),
            "alerts": named("Who tells of leaked secrets.", with_kind(kinds, Role::Alert)),
            "usage": named("Who tells whether credentials were used.", usage(kinds)),
            "audit": named("Where the audit log is sent.", with_kind(kinds, Role::Audit)),
        },
        "$defs": {
            "name": { "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$" },
            "text": { "type": "string", "minLength": 1 },
            "port": { "type": "integer", "minimum": 1, "maximum": 65535 },
            "email": { "type": "string", "pattern": "^[^@\\s]+@[^@\\s]+$" },
            "smtp": object(&["host", "port", "tls"], json!({
                "host": { "$ref": "#/$defs/text" },
                "port": { "$ref": "#/$defs/port" },
                "tls": { "enum": ["starttls", "implicit"] },
                "ca_file": { "$ref": "#/$defs/text" },
            })),
            "secret": {
                "description": "Where a secret is; never the secret itself.",
                "oneOf": [
                    object(&["env"], json!({ "env": { "type": "string" } })),
                    object(&["file"], json!({ "file": { "type": "string" } })),
                ],
            },
        },
    })
}

/// The schema of a playbook file.
#[must_use]
pub fn playbook_schema() -> Value {
    let option = |word: &str, inner: Value| object(&[word], json!({ word: inner }));
    let environment = json!({ "$ref": "#/$defs/environment" });
    let wait = object(&["for"], json!({ "for": { "$ref": "#/$defs/duration" } }));
    let of_services = || object(&["services"], json!({ "services": environment }));
    json!({
        "$schema": DRAFT,
        "title": "Handover playbook",
        "type": "object",
        "additionalProperties": false,
        "required": ["version", "name", "summary", "steps"],
        "properties": {
            "version": { "const": 1 },
            "name": { "type": "string", "minLength": 1, "description": "The same as the file's, without its ending." },
            "summary": { "type": "string", "minLength": 1 },
            "steps": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/step" } },
            "on_failure": { "enum": ["roll-back", "stop"] },
            "hold": { "$ref": "#/$defs/duration" },
            "containment": {
                "oneOf": [
                    { "const": "revoke-first" },
                    option("deadline", json!({ "$ref": "#/$defs/duration" })),
                ],
            },
        },
        "$defs": {
            "environment": { "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$" },
            "duration": duration(),
            "step": {
                "oneOf": [
                    { "enum": ["preflight", "generate", "deactivate", "confirm", "delete"] },
                    option("push", object(&["to"], json!({ "to": environment }))),
                    option("reload", of_services()),
                    option("verify", of_services()),
                    option("soak", wait.clone()),
                    option("watch", wait),
                    option("approve", object(&["by", "within"], json!({
                        "by": { "type": "string", "minLength": 1 },
                        "within": { "$ref": "#/$defs/duration" },
                    }))),
                ],
            },
        },
    })
}

/// The schema of a length of time, for the options of kinds. Its bounds are `check`'s business.
#[must_use]
pub fn duration() -> Value {
    json!({
        "type": "string",
        "description": "90s, 30m, 4h, 1d, 1m30s",
        "pattern": "^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
    })
}

/// A closed map.
fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

/// A provider, a store, a notifier or a source of alerts: one of the kinds, each with its own options.
fn with_kind(kinds: &dyn Kinds, role: Role) -> Value {
    let shared = match role {
        Role::Notifier => into_map(super::notify::shared_schema()).unwrap_or_default(),
        _ => Map::new(),
    };
    let each: Vec<Value> = kinds
        .names(role)
        .into_iter()
        .map(|kind| {
            let mut schema = kinds.schema(role, kind);
            if let Some(map) = schema.as_object_mut() {
                let mut properties = map.remove("properties").and_then(into_map).unwrap_or_default();
                properties.insert("kind".to_owned(), json!({ "const": kind }));
                properties.extend(shared.clone());
                let mut required = map.remove("required").and_then(|r| r.as_array().cloned()).unwrap_or_default();
                required.push(json!("kind"));
                map.insert("properties".to_owned(), Value::Object(properties));
                map.insert("required".to_owned(), Value::Array(required));
                map.insert("type".to_owned(), json!("object"));
                map.insert("additionalProperties".to_owned(), json!(false));
            }
            schema
        })
        .collect();
    json!({ "oneOf": each })
}

/// A source of evidence: one of the kinds, with the credentials that it tells of.
fn usage(kinds: &dyn Kinds) -> Value {
    let mut schema = with_kind(kinds, Role::Usage);
    let credentials = json!({ "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/name" } });
    for each in schema["oneOf"].as_array_mut().into_iter().flatten() {
        if let Some(properties) = each["properties"].as_object_mut() {
            properties.insert("credentials".to_owned(), credentials.clone());
        }
        if let Some(required) = each["required"].as_array_mut() {
            required.push(json!("credentials"));
        }
    }
    schema
}

fn into_map(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

fn credential() -> Value {
    let name = json!({ "$ref": "#/$defs/name" });
    let text = json!({ "$ref": "#/$defs/text" });
    let playbook = object(&["playbook"], json!({ "playbook": text }));
    object(
        &["provider", "account", "smtp", "probe", "entries"],
        json!({
            "provider": name,
            "account": text,
            "smtp": { "$ref": "#/$defs/smtp" },
            "probe": object(&["from", "to", "arrival"], json!({
                "from": { "$ref": "#/$defs/email" },
                "to": { "$ref": "#/$defs/email" },
                "arrival": { "oneOf": [
                    { "const": "none" },
                    object(&["maildir"], json!({ "maildir": text })),
                    object(&["imap"], json!({ "imap": object(&["host", "username", "password"], json!({
                        "host": text,
                        "port": { "$ref": "#/$defs/port" },
                        "ca_file": text,
                        "username": text,
                        "password": { "$ref": "#/$defs/secret" },
                        "mailbox": text,
                    })) })),
                ] },
            })),
            "entries": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": name,
                "additionalProperties": object(&["store", "path", "fields", "environment"], json!({
                    "store": name,
                    "path": text,
                    "fields": object(&["username", "password"], json!({ "username": text, "password": text })),
                    "environment": name,
                })),
            },
            "schedule": schedule(),
            "on_leak": playbook,
        }),
    )
}

fn schedule() -> Value {
    let text = json!({ "$ref": "#/$defs/text" });
    let end = json!({
        "type": "string",
        "description": "08:00, FRI 18:00 or 2026-12-19 00:00, by the clock of the time zone",
        "pattern": "^\\s*(([0-9]{4}-[0-9]{2}-[0-9]{2}|[A-Za-z]{3})\\s+)?[0-9]{2}:[0-9]{2}\\s*$",
    });
    object(
        &["playbook", "cron", "timezone"],
        json!({
            "playbook": text,
            "cron": { "type": "string", "pattern": "^\\s*(\\S+\\s+){4}\\S+\\s*$" },
            "timezone": text,
            "jitter": duration(),
            "blackout": {
                "type": "array",
                "minItems": 1,
                "maxItems": 100,
                "items": object(&["from", "to"], json!({ "from": end, "to": end, "reason": text })),
            },
            "in_blackout": { "enum": ["defer", "skip"] },
            "max_age": duration(),
            "catch_up": { "enum": ["once", "skip"] },
            "min_interval": duration(),
        }),
    )
}

fn service(kinds: &dyn Kinds) -> Value {
    let name = json!({ "$ref": "#/$defs/name" });
    let action = |role: Role| {
        let each: Vec<Value> =
            kinds.names(role).into_iter().map(|kind| object(&[kind], json!({ kind: kinds.schema(role, kind) }))).collect();
        json!({ "oneOf": each })
    };
    object(
        &["credential", "entry", "environment", "reload"],
        json!({
            "credential": name,
            "entry": name,
            "environment": name,
            "owner": { "$ref": "#/$defs/text" },
            "criticality": { "enum": ["low", "medium", "high"] },
            "reload": action(Role::Reload),
            "test_send": action(Role::TestSend),
            "attest": action(Role::Attest),
        }),
    )
}
