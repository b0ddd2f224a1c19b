//! SMTP2GO's SMTP users, from its specification 3.0.4: everything is a POST, errors are 400 with a code, and passwords are in every
//! answer.

use serde_json::{Value, json};

use super::{Asked, FULL_KEY, LOOK_KEY, Reply, Vendor};

pub(crate) struct Smtp2go {
    pub(crate) users: Vec<User>,
}

pub(crate) struct User {
    username: String,
    password: String,
    pub(crate) description: String,
    pub(crate) status: String,
    /// What a full replacement would lose.
    pub(crate) audit_email: Option<String>,
}

fn shown(users: &[&User]) -> Reply {
    let results: Vec<_> = users
        .iter()
        .map(|u| {
            json!({"username": u.username, "email_password": u.password, "sending_allowed": u.status != "blocked",
                   "custom_ratelimit": false, "description": u.description, "status": u.status, "audit_email": u.audit_email})
        })
        .collect();
    Reply(200, json!({"request_id": "1d95eb4c-63c2-11ed-a771-f23c9216ce11", "data": {"results": results}}))
}

fn refusal(code: &str) -> Reply {
    let data = json!({"error": "see the code", "error_code": format!("E_ApiResponseCodes.{code}")});
    Reply(400, json!({"request_id": "22e5acba-43bf-11e6-ae42-408d5cce2644", "data": data}))
}

impl Vendor for Smtp2go {
    fn answer(&mut self, asked: &Asked) -> Reply {
        let (method, path) = asked.call();
        let ["v3", "users", "smtp", action] = path.as_slice() else { return Reply(404, Value::Null) };
        match asked.header("x-smtp2go-api-key") {
            Some(FULL_KEY) => {}
            Some(LOOK_KEY) if *action == "view" => {}
            Some(LOOK_KEY) => return refusal("ENDPOINT_PERMISSION_DENIED"),
            _ => return Reply(401, json!({"data": {"error": "no key", "error_code": "E_ApiResponseCodes.API_KEY"}})),
        }
        let known = ["username", "email_password", "description", "status", "audit_email"];
        let Some(body) = asked.json(&known) else { return refusal("NON_VALIDATING_IN_PAYLOAD") };
        let text = |name: &str| body[name].as_str();
        let status = text("status").unwrap_or("allowed");
        if !["allowed", "blocked", "sandbox"].contains(&status) {
            return refusal("NON_VALIDATING_IN_PAYLOAD");
        }
        let at = text("username").map(|name| self.users.iter().position(|u| u.username == name));
        match (method, *action, at) {
            ("POST", "view", None) => shown(&self.users.iter().collect::<Vec<_>>()),
            ("POST", "add", Some(None)) => {
                let (Some(username), Some(password)) = (text("username"), text("email_password")) else {
                    return refusal("NON_VALIDATING_IN_PAYLOAD");
                };
                if !(5..=100).contains(&username.len()) || password.len() < 12 {
                    return refusal("NON_VALIDATING_IN_PAYLOAD");
                }
                self.users.push(User {
                    username: username.to_owned(),
                    password: password.to_owned(),
                    description: text("description").unwrap_or_default().to_owned(),
                    status: status.to_owned(),
                    audit_email: None,
                });
                shown(&[self.users.last().expect("it was just made")])
            }
            ("PATCH", "edit", Some(Some(at))) => {
                if let Some(status) = text("status") {
                    self.users[at].status = status.to_owned();
                }
                shown(&[&self.users[at]])
            }
            ("POST", "edit", Some(Some(at))) => {
                let user = &mut self.users[at];
                (user.description, user.status, user.audit_email) = (String::new(), status.to_owned(), None);
                shown(&[&self.users[at]])
            }
            ("POST", "remove", Some(Some(at))) => shown(&[&self.users.remove(at)]),
            _ => refusal("NON_VALIDATING_IN_PAYLOAD"),
        }
    }

    fn foreign(&mut self, name: &str) -> (String, String) {
        for (username, description) in
            [(format!("{name}-other"), "another team".to_owned()), (format!("{name}@example.com"), name.to_owned())]
        {
            self.users.push(User {
                username,
                password: "of another team".to_owned(),
                description,
                status: "allowed".to_owned(),
                audit_email: Some("audit@example.com".to_owned()),
            });
        }
        (name.to_owned(), format!("{name}@example.com"))
    }

    fn accepts(&self, username: &str, password: &str) -> bool {
        self.users.iter().any(|u| u.username == username && u.password == password && u.status != "blocked")
    }

    fn changes(asked: &Asked) -> bool {
        asked.path.last().is_none_or(|action| action != "view")
    }
}
