//! Resend's API keys, from its specification (resend-openapi 1.5.0): a key may do all or only send, and has no other states.

use serde_json::json;

use super::{Asked, FULL_KEY, LOOK_KEY, Reply, Vendor};

pub(crate) struct Resend {
    pub(crate) keys: Vec<Key>,
    made: usize,
}

pub(crate) struct Key {
    id: String,
    pub(crate) name: String,
    pub(crate) permission: String,
    pub(crate) domain: Option<String>,
    pub(crate) token: String,
}

impl Resend {
    pub(crate) fn new() -> Self {
        Self { keys: Vec::new(), made: 0 }
    }

    pub(crate) fn make(&mut self, name: &str, permission: &str, domain: Option<&str>) -> &Key {
        self.made += 1;
        self.keys.push(Key {
            id: format!("b6d24b8e-af0b-4c3c-be0c-{:012}", self.made),
            name: name.to_owned(),
            permission: permission.to_owned(),
            domain: domain.map(str::to_owned),
            token: format!("re_c1tpEyD8_{:04}secret", self.made),
        });
        self.keys.last().expect("it was just made")
    }
}

fn refusal(status: u16, name: &str) -> Reply {
    Reply(status, json!({"statusCode": status, "name": name, "message": "see the name"}))
}

impl Vendor for Resend {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match asked.bearer() {
            Some(FULL_KEY) => {}
            Some(LOOK_KEY) if asked.method == "GET" => {}
            Some(LOOK_KEY) => return refusal(401, "restricted_api_key"),
            _ => return refusal(403, "invalid_api_key"),
        }
        let (method, path) = asked.call();
        match (method, path.as_slice()) {
            ("GET", ["api-keys"]) => {
                let limit = asked.query("limit").and_then(|l| l.parse().ok()).unwrap_or(20_usize);
                if !(1..=100).contains(&limit) {
                    return refusal(422, "validation_error");
                }
                let from = match asked.query("after") {
                    None => 0,
                    Some(after) => match self.keys.iter().position(|k| k.id == after) {
                        Some(at) => at + 1,
                        None => return refusal(422, "validation_error"),
                    },
                };
                let page = self.keys.iter().skip(from).take(limit);
                let data: Vec<_> = page
                    .map(|k| {
                        json!({"id": k.id, "name": k.name, "created_at": "2023-10-06 23:47:56.678+00", "last_used_at": null})
                    })
                    .collect();
                let more = from + data.len() < self.keys.len();
                Reply(200, json!({"object": "list", "has_more": more, "data": data}))
            }
            ("POST", ["api-keys"]) => {
                let Some(body) = asked.json(&["name", "permission", "domain_id"]) else {
                    return refusal(422, "validation_error");
                };
                let Some(name) = body["name"].as_str() else { return refusal(422, "missing_required_field") };
                // What the vendor takes where none is given.
                let permission = body["permission"].as_str().unwrap_or("full_access");
                if !["full_access", "sending_access"].contains(&permission) {
                    return refusal(422, "validation_error");
                }
                let key = self.make(name, permission, body["domain_id"].as_str());
                Reply(201, json!({"id": key.id, "token": key.token}))
            }
            ("DELETE", ["api-keys", id]) => match self.keys.iter().position(|k| k.id == *id) {
                Some(at) => {
                    let key = self.keys.remove(at);
                    Reply(200, json!({"object": "api-key", "id": key.id, "deleted": true}))
                }
                None => refusal(404, "not_found"),
            },
            _ => refusal(405, "method_not_allowed"),
        }
    }

    fn foreign(&mut self, name: &str) -> (String, String) {
        self.make(&format!("{name} of another team"), "sending_access", None);
        (name.to_owned(), self.make(name, "sending_access", None).id.clone())
    }

    fn accepts(&self, username: &str, password: &str) -> bool {
        username == "resend" && self.keys.iter().any(|k| k.token == password)
    }
}
