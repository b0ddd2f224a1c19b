//! Mailjet's API keys, from its guide and its SDK: no way to delete one, ten to a page if nothing is asked, and a truth that comes
//! as a text.

use serde_json::{Value, json};

use super::{Asked, FULL_KEY, LOOK_KEY, Reply, Vendor};

pub(crate) const MASTER: &str = "master-public";

pub(crate) struct Mailjet {
    pub(crate) keys: Vec<Key>,
}

pub(crate) struct Key {
    pub(crate) id: usize,
    pub(crate) name: String,
    pub(crate) active: bool,
    master: bool,
    secret: String,
}

impl Mailjet {
    pub(crate) fn new() -> Self {
        let mut new = Self { keys: Vec::new() };
        new.make("master");
        new.keys[0].master = true;
        new
    }

    pub(crate) fn make(&mut self, name: &str) -> &Key {
        let id = 4000 + self.keys.len();
        let secret = format!("secret-of-{id}-0123456789abcdef");
        self.keys.push(Key { id, name: name.to_owned(), active: true, master: false, secret });
        self.keys.last().expect("it was just made")
    }
}

fn public(key: &Key) -> String {
    format!("public{}", key.id)
}

fn page(keys: &[&Key]) -> Value {
    let data: Vec<_> = keys
        .iter()
        .map(|k| {
            json!({"ID": k.id, "APIKey": public(k), "SecretKey": k.secret, "Name": k.name, "ACL": "",
                   "IsActive": if k.active { json!(true) } else { json!("false") }, "IsMaster": k.master,
                   "Runlevel": "Normal", "CreatedAt": "2023-10-06T23:47:56Z", "UserID": 1})
        })
        .collect();
    json!({"Count": data.len(), "Total": data.len(), "Data": data})
}

fn refusal(status: u16, message: &str) -> Reply {
    Reply(status, json!({"ErrorInfo": "", "ErrorMessage": message, "StatusCode": status}))
}

impl Vendor for Mailjet {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match asked.basic(MASTER).as_deref() {
            Some(FULL_KEY) => {}
            Some(LOOK_KEY) if asked.method == "GET" => {}
            Some(LOOK_KEY) => return refusal(403, "Operation not allowed"),
            _ => return refusal(401, "API key authentication/authorization failure"),
        }
        let (method, path) = asked.call();
        let ["v3", "REST", "apikey", rest @ ..] = path.as_slice() else { return refusal(404, "Object not found") };
        let at = rest.first().map(|id| self.keys.iter().position(|k| k.id.to_string() == *id));
        match (method, at) {
            ("GET", None) => {
                let number = |name: &str, usual: usize| asked.query(name).map_or(Some(usual), |t| t.parse().ok());
                let (Some(limit), Some(offset)) = (number("Limit", 10), number("Offset", 0)) else {
                    return refusal(400, "Invalid filter");
                };
                Reply(200, page(&self.keys.iter().skip(offset).take(limit).collect::<Vec<_>>()))
            }
            ("POST", None) => {
                let Some(body) = asked.json(&["Name", "ACL", "IsActive"]) else { return refusal(400, "Invalid property") };
                match body["Name"].as_str() {
                    Some(name) => Reply(201, page(&[self.make(name)])),
                    None => refusal(400, "A Name must be provided"),
                }
            }
            (_, Some(None)) => refusal(404, "Object not found"),
            ("GET", Some(Some(at))) => Reply(200, page(&[&self.keys[at]])),
            ("PUT", Some(Some(at))) => {
                let Some(body) = asked.json(&["Name", "ACL", "IsActive"]) else { return refusal(400, "Invalid property") };
                let key = &mut self.keys[at];
                if let Some(name) = body["Name"].as_str() {
                    key.name = name.to_owned();
                }
                key.active = body["IsActive"].as_bool().unwrap_or(key.active);
                Reply(200, page(&[&self.keys[at]]))
            }
            _ => refusal(405, "Method not allowed"),
        }
    }

    fn foreign(&mut self, name: &str) -> (String, String) {
        self.make(&format!("{name} of another team"));
        (name.to_owned(), self.make(name).id.to_string())
    }

    fn accepts(&self, username: &str, password: &str) -> bool {
        self.keys.iter().any(|k| k.active && public(k) == username && k.secret == password)
    }
}
