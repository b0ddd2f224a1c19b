//! Mailgun's SMTP credentials, from its reference and its SDK's mock: passwords of 5 to 32 characters, and a DELETE without a login
//! deletes all.

use serde_json::json;

use super::{Asked, FULL_KEY, LOOK_KEY, Reply, Vendor};

pub(crate) struct Mailgun {
    pub(crate) logins: Vec<Login>,
    /// Whether somebody deleted without naming a login.
    pub(crate) wiped: bool,
    /// Whether logins are known by the part before the `@` only, as the SDK has it, and not by the address, as the reference has it.
    pub(crate) short: bool,
}

pub(crate) struct Login {
    pub(crate) address: String,
    pub(crate) password: String,
}

impl Mailgun {
    pub(crate) fn new(short: bool) -> Self {
        Self { logins: Vec::new(), wiped: false, short }
    }

    fn of(&self, domain: &str) -> impl Iterator<Item = &Login> {
        self.logins.iter().filter(move |l| l.address.ends_with(&format!("@{domain}")))
    }
}

fn message(status: u16, text: &str) -> Reply {
    Reply(status, json!({"message": text}))
}

impl Vendor for Mailgun {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match asked.basic("api").as_deref() {
            Some(FULL_KEY) => {}
            Some(LOOK_KEY) if asked.method == "GET" => {}
            Some(LOOK_KEY) => return message(403, "Forbidden"),
            _ => return message(401, "Invalid private key"),
        }
        let (method, path) = asked.call();
        let ["v3", "domains", domain, "credentials", rest @ ..] = path.as_slice() else { return message(404, "Not Found") };
        match (method, rest) {
            ("GET", []) => {
                let number = |name: &str| asked.query(name).map_or(Some(0), |text| text.parse::<usize>().ok());
                let (Some(skip), Some(limit)) = (number("skip"), number("limit")) else { return message(400, "bad paging") };
                let all: Vec<_> = self.of(domain).collect();
                let page = all.iter().skip(skip).take(if limit == 0 { 100 } else { limit });
                let items: Vec<_> = page
                    .map(|l| {
                        json!({"login": l.address, "mailbox": l.address, "size_bytes": null,
                               "created_at": "Fri, 06 Oct 2023 23:47:56 GMT"})
                    })
                    .collect();
                Reply(200, json!({"items": items, "total_count": all.len()}))
            }
            ("POST", []) => {
                let Some(form) = asked.form() else { return message(400, "no form") };
                if form.iter().any(|(name, _)| !["login", "mailbox", "password", "system"].contains(&name.as_str())) {
                    return message(400, "unknown parameter");
                }
                let field = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
                let (Some(login), Some(password)) = (field("login"), field("password")) else {
                    return message(400, "login parameter is missing");
                };
                if !(5..=32).contains(&password.len()) {
                    return message(400, "password should be in range 5-32 characters");
                }
                let address = if login.contains('@') { login } else { format!("{login}@{domain}") };
                if !address.ends_with(&format!("@{domain}")) || address != address.to_lowercase() {
                    return message(400, "invalid login");
                }
                self.logins.push(Login { address, password });
                message(200, "Created 1 credentials pair(s)")
            }
            ("DELETE", [] | [""]) => {
                self.wiped = true;
                let end = format!("@{domain}");
                self.logins.retain(|l| !l.address.ends_with(&end));
                message(200, "Credentials have been deleted")
            }
            ("DELETE", [spec]) => {
                let address = if self.short { format!("{spec}@{domain}") } else { (*spec).to_owned() };
                let before = self.logins.len();
                self.logins.retain(|l| l.address != address);
                match before == self.logins.len() {
                    true => message(404, "Credentials not found"),
                    false => message(200, "Credentials have been deleted"),
                }
            }
            _ => message(405, "Method Not Allowed"),
        }
    }

    fn foreign(&mut self, name: &str) -> (String, String) {
        let domain = format!("{name}.example.com");
        let address = format!("postmaster@{domain}");
        self.logins.push(Login { address: address.clone(), password: "of another team".to_owned() });
        (domain, address)
    }

    fn accepts(&self, username: &str, password: &str) -> bool {
        self.logins.iter().any(|l| l.address == username && l.password == password)
    }
}
