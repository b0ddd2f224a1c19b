//! Stalwart's app passwords over JMAP, from its reference of objects (0.16): five to an account, a secret that is shown once, and an
//! account id that is not looked at: a wrong one means the caller's own account.

use serde_json::{Value, json};

use super::{Asked, FULL_KEY, LOOK_KEY, Reply, Vendor};

const MOST: usize = 5;

pub(crate) struct Stalwart {
    /// Whose the API key is.
    pub(crate) owner: String,
    pub(crate) passwords: Vec<AppPassword>,
    made: usize,
}

pub(crate) struct AppPassword {
    id: String,
    login: String,
    pub(crate) description: String,
    secret: String,
}

impl Stalwart {
    pub(crate) fn new() -> Self {
        Self { owner: String::new(), passwords: Vec::new(), made: 0 }
    }

    pub(crate) fn make(&mut self, login: &str, description: &str) -> &AppPassword {
        self.made += 1;
        self.passwords.push(AppPassword {
            id: format!("b{}", self.made),
            login: login.to_owned(),
            description: description.to_owned(),
            secret: format!("app_qwertyuiop{:04}", self.made),
        });
        self.passwords.last().expect("it was just made")
    }

    fn set(&mut self, arguments: &Value) -> Value {
        let owner = self.owner.clone();
        let mut reply = json!({"accountId": "d", "created": {}, "notCreated": {}, "destroyed": [], "notDestroyed": {}});
        for (key, new) in arguments["create"].as_object().into_iter().flatten() {
            let known = ["description", "permissions", "expiresAt", "allowedIps"];
            let sound = new["description"].is_string()
                && new["permissions"]["@type"] == "Inherit"
                && new.as_object().is_some_and(|o| o.keys().all(|k| known.contains(&k.as_str())));
            if self.passwords.iter().filter(|p| p.login == owner).count() >= MOST {
                reply["notCreated"][key] = json!({"type": "overQuota"});
            } else if !sound {
                reply["notCreated"][key] = json!({"type": "invalidProperties", "properties": ["permissions"]});
            } else {
                let made = self.make(&owner, new["description"].as_str().unwrap_or_default());
                reply["created"][key] = json!({"id": made.id, "secret": made.secret, "createdAt": "2026-08-01T10:00:00Z"});
            }
        }
        for id in arguments["destroy"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            match self.passwords.iter().position(|p| p.id == id && p.login == owner) {
                Some(at) => {
                    self.passwords.remove(at);
                    reply["destroyed"].as_array_mut().expect("a list").push(json!(id));
                }
                None => reply["notDestroyed"][id] = json!({"type": "notFound"}),
            }
        }
        reply
    }
}

impl Vendor for Stalwart {
    fn answer(&mut self, asked: &Asked) -> Reply {
        let key = asked.bearer();
        if key != Some(FULL_KEY) && key != Some(LOOK_KEY) {
            return Reply(401, json!({"type": "about:blank", "status": 401, "title": "Unauthorized"}));
        }
        let (method, path) = asked.call();
        match (method, path.as_slice()) {
            ("GET", ["jmap", "session"]) => Reply(
                200,
                json!({
                    "username": self.owner, "apiUrl": "https://mail.example.com/jmap/",
                    "primaryAccounts": {"urn:ietf:params:jmap:mail": "d", "urn:stalwart:jmap": "d"},
                }),
            ),
            ("POST", ["jmap"] | ["jmap", ""]) => {
                let Some(body) = asked.json(&["using", "methodCalls"]) else { return Reply(400, Value::Null) };
                let calls = body["methodCalls"].as_array().cloned().unwrap_or_default();
                let [call] = calls.as_slice() else { return Reply(400, Value::Null) };
                let (name, arguments) = (call[0].as_str().unwrap_or_default(), &call[1]);
                let (name, reply) = match name {
                    "x:AppPassword/get" if arguments["ids"].is_null() => {
                        let own = self.passwords.iter().filter(|p| p.login == self.owner);
                        let list: Vec<_> = own
                            .map(|p| {
                                json!({"id": p.id, "description": p.description, "secret": "****",
                                       "createdAt": "2026-08-01T10:00:00Z", "permissions": {"@type": "Inherit"}})
                            })
                            .collect();
                        (name, json!({"accountId": "d", "list": list, "notFound": []}))
                    }
                    "x:AppPassword/set" if key == Some(LOOK_KEY) => ("error", json!({"type": "forbidden"})),
                    "x:AppPassword/set" => (name, self.set(arguments)),
                    _ => ("error", json!({"type": "unknownMethod"})),
                };
                Reply(200, json!({"methodResponses": [[name, reply, call[2]]], "sessionState": "0"}))
            }
            _ => Reply(404, Value::Null),
        }
    }

    /// The keys are of the account that was made last.
    fn foreign(&mut self, name: &str) -> (String, String) {
        self.owner = format!("{name}@example.com");
        let login = self.owner.clone();
        let id = self.make(&login, "laptop").id.clone();
        (login, id)
    }

    fn accepts(&self, username: &str, password: &str) -> bool {
        self.passwords.iter().any(|p| p.login == username && p.secret == password)
    }

    fn changes(asked: &Asked) -> bool {
        String::from_utf8_lossy(&asked.body).contains("AppPassword/set")
    }
}
