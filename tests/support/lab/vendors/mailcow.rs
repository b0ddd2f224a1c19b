//! Mailcow's app passwords, from its code (functions.app_passwd.inc.php, json_api.php): errors are HTTP 200, no id is told, an edit
//! moves any id to the mailbox that it names, and a delete takes any id.

use serde_json::{Value, json};

use super::{Asked, FULL_KEY, LOOK_KEY, Reply, Vendor};

pub(crate) struct Mailcow {
    pub(crate) passwords: Vec<AppPassword>,
    /// Whether `active` is a word, as in old releases.
    pub(crate) old: bool,
    made: usize,
}

pub(crate) struct AppPassword {
    pub(crate) id: usize,
    pub(crate) name: String,
    pub(crate) mailbox: String,
    pub(crate) active: bool,
    pub(crate) protocols: Vec<String>,
    password: String,
}

impl Mailcow {
    pub(crate) fn new(old: bool) -> Self {
        Self { passwords: Vec::new(), old, made: 0 }
    }

    pub(crate) fn make(&mut self, mailbox: &str, name: &str, password: &str, protocols: &[&str]) -> usize {
        self.made += 1;
        self.passwords.push(AppPassword {
            id: self.made,
            name: name.to_owned(),
            mailbox: mailbox.to_owned(),
            active: true,
            protocols: protocols.iter().map(|p| (*p).to_owned()).collect(),
            password: password.to_owned(),
        });
        self.made
    }

    fn shown(&self, password: &AppPassword) -> Value {
        let number = u8::from(password.active);
        let mut shown = json!({
            "id": password.id, "name": password.name, "mailbox": password.mailbox, "domain": "example.com",
            "password": "{BLF-CRYPT}$2y$10$hash", "created": "2023-10-06 23:47:56", "modified": null, "active": number,
        });
        if self.old {
            shown["active"] = json!(if password.active { "Ja" } else { "Nein" });
            shown["active_int"] = json!(number.to_string());
        }
        shown
    }
}

fn note(kind: &str, msg: impl Into<Value>) -> Value {
    json!({"type": kind, "log": ["app_passwd", "…", {"app_passwd": "*"}], "msg": msg.into()})
}

fn one(kind: &str, msg: impl Into<Value>) -> Reply {
    Reply(200, json!([note(kind, msg)]))
}

fn flag(value: &Value) -> Option<bool> {
    match value.as_str()? {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

impl Vendor for Mailcow {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match asked.header("x-api-key") {
            Some(FULL_KEY) => {}
            Some(LOOK_KEY) if asked.method == "GET" => {}
            Some(LOOK_KEY) => return Reply(403, json!({"type": "error", "msg": "API read/write access denied"})),
            _ => return Reply(401, json!({"type": "error", "msg": "authentication failed"})),
        }
        let (method, path) = asked.call();
        match (method, path.as_slice()) {
            ("GET", ["api", "v1", "get", "app-passwd", "all", mailbox]) => {
                let all: Vec<_> = self.passwords.iter().filter(|p| p.mailbox == *mailbox).map(|p| self.shown(p)).collect();
                Reply(200, if all.is_empty() { json!({}) } else { json!(all) })
            }
            ("POST", ["api", "v1", "add", "app-passwd"]) => {
                let known = ["active", "username", "app_name", "app_passwd", "app_passwd2", "protocols"];
                let Some(body) = asked.json(&known) else { return one("danger", "invalid_json") };
                let text = |name: &str| body[name].as_str().filter(|t| !t.is_empty());
                let Some(mailbox) = text("username").filter(|m| m.contains('@')) else {
                    return one("danger", "access_denied");
                };
                let (Some(first), second) = (text("app_passwd"), text("app_passwd2")) else {
                    return one("danger", "password_complexity");
                };
                if second != Some(first) {
                    return one("danger", "password_mismatch");
                }
                let Some(name) = text("app_name") else { return one("danger", "app_name_empty") };
                let protocols: Vec<&str> =
                    body["protocols"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let id = self.make(mailbox, name, first, &protocols);
                self.passwords
                    .iter_mut()
                    .filter(|p| p.id == id)
                    .for_each(|p| p.active = flag(&body["active"]) == Some(true));
                one("success", "app_passwd_added")
            }
            ("POST", ["api", "v1", "edit", "app-passwd"]) => {
                let Some(body) = asked.json(&["items", "attr"]) else { return one("danger", "invalid_json") };
                // Without a mailbox it is the user of the session, which for the API is none that there is.
                let mailbox = body["attr"]["username"].as_str().filter(|m| m.contains('@'));
                let Some(mailbox) = mailbox else { return Reply(200, json!([note("danger", json!(["mysql_error", {}]))])) };
                let ids: Vec<String> = body["items"].as_array().into_iter().flatten().map(|id| id.to_string()).collect();
                let notes: Vec<Value> = ids
                    .iter()
                    .map(|id| {
                        let id = id.trim_matches('"');
                        match self.passwords.iter_mut().find(|p| p.id.to_string() == id) {
                            Some(password) => {
                                mailbox.clone_into(&mut password.mailbox);
                                password.active = flag(&body["attr"]["active"]).unwrap_or(password.active);
                                note("success", json!(["object_modified", id]))
                            }
                            None => note("danger", json!(["app_passwd_id_invalid", id])),
                        }
                    })
                    .collect();
                Reply(200, json!(notes))
            }
            ("POST", ["api", "v1", "delete", "app-passwd"]) => {
                let ids: Option<Vec<String>> = serde_json::from_slice(&asked.body).ok();
                let Some([id]) = ids.as_deref() else { return one("danger", "invalid_json") };
                let before = self.passwords.len();
                self.passwords.retain(|p| p.id.to_string() != *id);
                match self.passwords.len() < before {
                    true => one("success", json!(["app_passwd_removed", id])),
                    false => one("danger", "app_passwd_id_invalid"),
                }
            }
            _ => Reply(404, json!({"type": "error", "msg": "route not found"})),
        }
    }

    fn foreign(&mut self, name: &str) -> (String, String) {
        let mailbox = format!("{name}@example.com");
        self.make(&mailbox, "phone", "of a person", &["imap_access", "smtp_access"]);
        let id = self.make(&mailbox, "news", "of another team", &["smtp_access"]);
        (format!("{mailbox}/news"), id.to_string())
    }

    fn accepts(&self, username: &str, password: &str) -> bool {
        let may = |p: &AppPassword| p.active && p.protocols.iter().any(|p| p == "smtp_access");
        self.passwords.iter().any(|p| p.mailbox == username && p.password == password && may(p))
    }
}
