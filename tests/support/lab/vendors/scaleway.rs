//! Scaleway's IAM API keys, from its SDK (iam/v1alpha1): the secret is shown once, and deleting is for ever.

use serde_json::{Value, json};

use super::{Asked, FULL_KEY, LOOK_KEY, Reply, Vendor};

pub(crate) const PROJECT: &str = "6170692e-7363-616c-6577-61792e636f6d";

pub(crate) struct Scaleway {
    pub(crate) keys: Vec<Key>,
    /// How many an application may have.
    pub(crate) quota: usize,
    /// Whether it lists the keys of all, whatever it is asked for.
    pub(crate) lists_all: bool,
    made: usize,
}

pub(crate) struct Key {
    access: String,
    secret: String,
    application: String,
    pub(crate) description: String,
    pub(crate) expires: Option<&'static str>,
}

impl Scaleway {
    pub(crate) fn new() -> Self {
        Self { keys: Vec::new(), quota: 100, lists_all: false, made: 0 }
    }

    pub(crate) fn make(&mut self, application: &str, description: &str) -> &mut Key {
        self.made += 1;
        self.keys.push(Key {
            access: format!("SCWXXXXXXXXXXXXX{:04}", self.made),
            secret: format!("11111111-1111-4111-8111-{:012}", self.made),
            application: application.to_owned(),
            description: description.to_owned(),
            expires: None,
        });
        self.keys.last_mut().expect("it was just made")
    }
}

fn shown(key: &Key) -> Value {
    json!({
        "access_key": key.access, "secret_key": null, "application_id": key.application, "description": key.description,
        "created_at": "2023-10-06T23:47:56.678Z", "updated_at": "2023-10-06T23:47:56.678Z", "expires_at": key.expires,
        "default_project_id": PROJECT, "editable": true, "deletable": true, "managed": false,
    })
}

fn refusal(status: u16, kind: &str) -> Reply {
    Reply(status, json!({"type": kind, "message": kind}))
}

impl Vendor for Scaleway {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match asked.header("x-auth-token") {
            Some(FULL_KEY) => {}
            Some(LOOK_KEY) if asked.method == "GET" => {}
            Some(LOOK_KEY) => return refusal(403, "permissions_denied"),
            _ => return refusal(401, "denied_authentication"),
        }
        let (method, path) = asked.call();
        let ["iam", "v1alpha1", "api-keys", rest @ ..] = path.as_slice() else { return refusal(404, "unknown_resource") };
        match (method, rest) {
            ("GET", []) => {
                let number = |name: &str, usual: usize| asked.query(name).map_or(Some(usual), |t| t.parse().ok());
                let (Some(page @ 1..), Some(size @ 1..=100)) = (number("page", 1), number("page_size", 20)) else {
                    return refusal(400, "invalid_arguments");
                };
                let of = asked.query("bearer_id").filter(|_| !self.lists_all);
                let all: Vec<_> = self.keys.iter().filter(|k| of.is_none_or(|of| of == k.application)).collect();
                let data: Vec<_> = all.iter().skip((page - 1) * size).take(size).map(|k| shown(k)).collect();
                Reply(200, json!({"api_keys": data, "total_count": all.len()}))
            }
            ("POST", []) => {
                let known = ["application_id", "user_id", "description", "expires_at", "default_project_id"];
                let Some(body) = asked.json(&known) else { return refusal(400, "invalid_arguments") };
                let (Some(application), Some(description)) = (body["application_id"].as_str(), body["description"].as_str())
                else {
                    return refusal(400, "invalid_arguments");
                };
                if description.len() > 200 || body["default_project_id"] != PROJECT {
                    return refusal(400, "invalid_arguments");
                }
                if self.keys.iter().filter(|k| k.application == application).count() >= self.quota {
                    return refusal(403, "quotas_exceeded");
                }
                let key = self.make(application, description);
                let mut made = shown(key);
                made["secret_key"] = json!(key.secret);
                Reply(200, made)
            }
            ("DELETE", [access]) => match self.keys.iter().position(|k| k.access == *access) {
                Some(at) => {
                    self.keys.remove(at);
                    Reply(204, Value::Null)
                }
                None => refusal(404, "not_found"),
            },
            _ => refusal(405, "invalid_request_error"),
        }
    }

    fn foreign(&mut self, name: &str) -> (String, String) {
        let application = format!("aaaaaaaa-{name}");
        self.make(&application, "another team");
        self.make("bbbbbbbb", name);
        (format!("{application}/{name}"), self.make(&application, name).access.clone())
    }

    fn accepts(&self, username: &str, password: &str) -> bool {
        username == PROJECT && self.keys.iter().any(|k| k.secret == password)
    }
}
