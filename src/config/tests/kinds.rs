//! A small set of kinds, as the registry has them.

use handover_rotation::time::Span;
use serde_json::{Value, json};

use crate::config::inventory::MOST_TIMEOUT;
use crate::config::notify::MailLogin;
use crate::config::{Fields, Kinds, Role};

pub(super) struct TestKinds;

impl Kinds for TestKinds {
    fn names(&self, role: Role) -> Vec<&'static str> {
        match role {
            Role::Provider => vec!["manual", "sandbox"],
            Role::Store => vec!["env-file"],
            Role::Reload => vec!["command", "http", "manual"],
            Role::TestSend | Role::Attest => vec!["command", "http"],
            Role::Notifier => vec!["hook", "post"],
            Role::Alert => vec!["hook"],
            Role::Usage => vec!["postfix-log"],
            Role::Audit => vec!["file", "hook"],
        }
    }

    fn left_out(&self, role: Role, kind: &str) -> Option<&'static str> {
        (role == Role::Provider && kind == "ses").then_some("aws")
    }

    fn check(&self, role: Role, kind: &str, fields: &mut Fields<'_>) {
        let timeout = |fields: &mut Fields<'_>| fields.optional_duration("timeout", Span::seconds(1)..=MOST_TIMEOUT);
        match (role, kind) {
            (Role::Provider, "manual") => {
                fields.optional_str("console");
                fields.optional_str("instructions");
                fields.optional_duration("propagation", Span(0)..=MOST_TIMEOUT);
            }
            (Role::Reload, "manual") => {
                fields.required_str("task");
            }
            (Role::Provider, _) => {
                fields.required_path("dir");
                let shapes = ["reversible", "delete-only", "alternating", "in-place", "manual"].map(|s| (s, ()));
                fields.optional_choice("shape", &shapes);
            }
            (Role::Store, _) => {
                fields.optional_choice("dialect", &[("dotenv", ()), ("systemd", ()), ("docker", ())]);
            }
            (Role::Notifier, "post") => {
                let _ = self.mail_login(kind, fields);
            }
            (Role::Audit, "file") => {
                fields.required_path("path");
            }
            (Role::Notifier | Role::Alert | Role::Audit, _) => {
                fields.required_secret("secret");
            }
            (Role::Usage, _) => {
                fields.required_path("path");
            }
            (_, "command") => {
                if fields.whole_list().is_none() {
                    fields.required_list("argv");
                    timeout(fields);
                }
            }
            (_, _) => {
                fields.optional_choice("method", &[("GET", ()), ("POST", ()), ("PUT", ())]);
                fields.required_url("url");
                timeout(fields);
            }
        }
    }

    fn mail_login(&self, kind: &str, fields: &mut Fields<'_>) -> Option<MailLogin> {
        let host = (kind == "post").then(|| fields.required_str("host"))?;
        let (username, password) = (fields.required_str("username"), fields.required_secret("password"));
        Some(MailLogin { host: host?, username: username?, password: password? })
    }

    fn schema(&self, role: Role, kind: &str) -> Value {
        let text = json!({ "type": "string" });
        let argv = json!({ "type": "array", "items": text, "minItems": 1 });
        let object = |required: &[&str], properties: Value| json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties });
        match (role, kind) {
            (Role::Provider, "manual") => object(&[], json!({ "console": text, "instructions": text, "propagation": text })),
            (Role::Reload, "manual") => object(&["task"], json!({ "task": text })),
            (Role::Provider, _) => object(&["dir"], json!({ "dir": text, "shape": text })),
            (Role::Store, _) => object(&[], json!({ "dialect": text })),
            (Role::Notifier, "post") => object(
                &["host", "username", "password"],
                json!({ "host": text, "username": text, "password": { "$ref": "#/$defs/secret" } }),
            ),
            (Role::Notifier, _) => object(&["secret"], json!({ "secret": { "$ref": "#/$defs/secret" } })),
            (Role::Audit, "file") => object(&["path"], json!({ "path": text })),
            (Role::Alert | Role::Audit, _) => object(&["secret"], json!({ "secret": { "$ref": "#/$defs/secret" } })),
            (Role::Usage, _) => object(&["path"], json!({ "path": text })),
            (_, "command") => json!({ "oneOf": [argv, object(&["argv"], json!({ "argv": argv, "timeout": text }))] }),
            _ => object(&["url"], json!({ "method": text, "url": text, "timeout": text })),
        }
    }
}
