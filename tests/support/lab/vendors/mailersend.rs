//! MailerSend's SMTP users, from its reference: names of 50 characters at most, and passwords in every answer.

use serde_json::{Value, json};

use super::{Asked, FULL_KEY, LOOK_KEY, Reply, Vendor};

pub(crate) struct MailerSend {
    pub(crate) users: Vec<User>,
    made: usize,
}

pub(crate) struct User {
    id: String,
    domain: String,
    pub(crate) name: String,
    username: String,
    password: String,
    enabled: bool,
}

impl MailerSend {
    pub(crate) fn new() -> Self {
        Self { users: Vec::new(), made: 0 }
    }

    pub(crate) fn make(&mut self, domain: &str, name: &str, enabled: bool) -> &User {
        self.made += 1;
        self.users.push(User {
            id: format!("0wkg2zj19ovx{:04}", self.made),
            domain: domain.to_owned(),
            name: name.to_owned(),
            username: format!("MS_bGQ{:04}@{domain}.example.com", self.made),
            password: format!("mssp.W3XCfDM6NWs69puR.{:04}", self.made),
            enabled,
        });
        self.users.last().expect("it was just made")
    }
}

fn shown(user: &User) -> Value {
    json!({
        "id": user.id, "name": user.name, "username": user.username, "password": user.password, "enabled": user.enabled,
        "accessed_at": null, "server": "smtp.mailersend.net", "port": 587, "domain_id": user.domain,
    })
}

fn refusal(status: u16, message: &str) -> Reply {
    Reply(status, json!({"message": message}))
}

impl Vendor for MailerSend {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match asked.bearer() {
            Some(FULL_KEY) => {}
            Some(LOOK_KEY) if asked.method == "GET" => {}
            Some(LOOK_KEY) => return refusal(403, "This action is unauthorized."),
            _ => return refusal(401, "Unauthenticated."),
        }
        let (method, path) = asked.call();
        let ["v1", "domains", domain, "smtp-users", rest @ ..] = path.as_slice() else { return refusal(404, "Not Found") };
        let at = rest.first().map(|id| self.users.iter().position(|u| u.id == *id && u.domain == *domain));
        match (method, at) {
            ("GET", None) => {
                let number = |name: &str, usual: usize| asked.query(name).map_or(Some(usual), |t| t.parse().ok());
                let (Some(page @ 1..), Some(limit @ 10..=100)) = (number("page", 1), number("limit", 25)) else {
                    return refusal(422, "The limit must be between 10 and 100.");
                };
                let all = self.users.iter().filter(|u| u.domain == *domain);
                let data: Vec<_> = all.skip((page - 1) * limit).take(limit).map(shown).collect();
                Reply(200, json!({"data": data}))
            }
            ("POST", None) => {
                let Some(body) = asked.json(&["name", "enabled"]) else {
                    return refusal(422, "The given data was invalid.");
                };
                match body["name"].as_str() {
                    Some(name) if name.chars().count() <= 50 => {
                        let user = self.make(domain, name, body["enabled"].as_bool().unwrap_or(true));
                        Reply(201, json!({"data": shown(user)}))
                    }
                    _ => refusal(422, "The name must not be greater than 50 characters."),
                }
            }
            (_, Some(None)) => refusal(404, "Not Found"),
            ("GET", Some(Some(at))) => Reply(200, json!({"data": shown(&self.users[at])})),
            ("PUT", Some(Some(at))) => {
                let Some(body) = asked.json(&["name", "enabled"]) else {
                    return refusal(422, "The given data was invalid.");
                };
                let Some(name) = body["name"].as_str() else { return refusal(422, "The name field is required.") };
                let user = &mut self.users[at];
                user.name = name.to_owned();
                user.enabled = body["enabled"].as_bool().unwrap_or(user.enabled);
                Reply(200, json!({"data": shown(user)}))
            }
            ("DELETE", Some(Some(at))) => {
                self.users.remove(at);
                Reply(204, Value::Null)
            }
            _ => refusal(405, "Method Not Allowed"),
        }
    }

    fn foreign(&mut self, name: &str) -> (String, String) {
        let domain = format!("7nxe3yjmeq{name}");
        (domain.clone(), self.make(&domain, "Support SMTP", true).id.clone())
    }

    fn accepts(&self, username: &str, password: &str) -> bool {
        self.users.iter().any(|u| u.enabled && u.username == username && u.password == password)
    }
}
