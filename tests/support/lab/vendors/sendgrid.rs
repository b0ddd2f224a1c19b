//! SendGrid's API keys, from its own specification (tsg_api_keys_v3): 100 keys, 403 beyond; a key made without scopes may do all.

use serde_json::{Value, json};

use super::{Asked, FULL_KEY, LOOK_KEY, Reply, Vendor};

const MOST: usize = 100;

pub(crate) struct SendGrid {
    pub(crate) keys: Vec<Key>,
    /// What the caller's own key may do.
    pub(crate) scopes: Vec<&'static str>,
    /// Whether keys of a subuser are asked for by this name.
    pub(crate) subuser: Option<&'static str>,
    made: usize,
}

pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) key: String,
}

impl SendGrid {
    pub(crate) fn new() -> Self {
        let scopes = vec!["mail.send", "api_keys.read", "api_keys.create", "api_keys.delete", "2fa_required"];
        Self { keys: Vec::new(), scopes, subuser: None, made: 0 }
    }

    pub(crate) fn make(&mut self, name: &str, scopes: Vec<String>) -> &Key {
        self.made += 1;
        let id = format!("qfTQ6KG0QBiwWdJ0-p{:04}", self.made);
        let key = format!("SG.{id}.secret-of-{:04}-{}", self.made, "x".repeat(20));
        self.keys.push(Key { id, name: name.to_owned(), scopes, key });
        self.keys.last().expect("it was just made")
    }
}

fn refusal(status: u16, message: &str) -> Reply {
    Reply(status, json!({"errors": [{"field": null, "message": message}]}))
}

fn scopes(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|s| s.as_str().map(str::to_owned)).collect()
}

impl Vendor for SendGrid {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match asked.bearer() {
            Some(FULL_KEY) => {}
            Some(LOOK_KEY) if asked.method == "GET" => {}
            Some(LOOK_KEY) => return refusal(403, "access forbidden"),
            _ => return refusal(401, "authorization required"),
        }
        if asked.header("on-behalf-of") != self.subuser {
            return refusal(401, "authorization required");
        }
        match asked.call() {
            ("GET", path) if path == ["v3", "api_keys"] => {
                let all: Vec<_> = self.keys.iter().map(|k| json!({"name": k.name, "api_key_id": k.id})).collect();
                Reply(200, json!({"result": all}))
            }
            ("GET", path) if path == ["v3", "scopes"] => Reply(200, json!({"scopes": self.scopes})),
            ("POST", path) if path == ["v3", "api_keys"] => {
                let Some(body) = asked.json(&["name", "scopes"]) else { return refusal(400, "invalid body") };
                let Some(name) = body["name"].as_str() else { return refusal(400, "missing required argument") };
                if self.keys.len() >= MOST {
                    return refusal(403, "Cannot create more than 100 API Keys");
                }
                // What the vendor does with none: the whole account.
                let given = scopes(&body["scopes"]).filter(|s| !s.is_empty());
                let given = given.unwrap_or_else(|| vec!["mail.send".to_owned(), "everything.else".to_owned()]);
                let key = self.make(name, given);
                let made = json!({"api_key": key.key, "api_key_id": key.id, "name": key.name, "scopes": key.scopes});
                Reply(201, made)
            }
            (method, path) if path.len() == 3 && path[..2] == ["v3", "api_keys"] => {
                let Some(at) = self.keys.iter().position(|k| k.id == path[2]) else {
                    return refusal(404, "unable to find API Key");
                };
                match method {
                    "GET" => {
                        let key = &self.keys[at];
                        Reply(200, json!({"result": [{"name": key.name, "api_key_id": key.id, "scopes": key.scopes}]}))
                    }
                    "PUT" => {
                        let Some(body) = asked.json(&["name", "scopes"]) else { return refusal(400, "invalid body") };
                        let given = scopes(&body["scopes"]).filter(|s| !s.is_empty());
                        let (Some(name), Some(given)) = (body["name"].as_str(), given) else {
                            return refusal(400, "at least one scope is required");
                        };
                        let key = &mut self.keys[at];
                        (key.name, key.scopes) = (name.to_owned(), given);
                        Reply(200, json!({"name": key.name, "api_key_id": key.id, "scopes": key.scopes}))
                    }
                    "DELETE" => {
                        self.keys.remove(at);
                        Reply(204, Value::Null)
                    }
                    _ => refusal(405, "method not allowed"),
                }
            }
            _ => refusal(404, "not found"),
        }
    }

    fn foreign(&mut self, name: &str) -> (String, String) {
        // Another's key beside it, which is of no account of the suite.
        self.make(&format!("{name} of another team"), vec!["mail.send".to_owned()]);
        (name.to_owned(), self.make(name, vec!["mail.send".to_owned()]).id.clone())
    }

    fn accepts(&self, username: &str, password: &str) -> bool {
        let may = |key: &Key| key.key == password && key.scopes.iter().any(|s| s == "mail.send");
        username == "apikey" && self.keys.iter().any(may)
    }
}
