//! Client secrets of an application in Microsoft Graph (application-addpassword, -removepassword) and the token endpoint before it,
//! on one port: a secret is shown once, its first three characters always.

use serde_json::{Value, json};

use super::{Asked, FULL_KEY, LOOK_KEY, Reply, Vendor};

pub(crate) const TENANT: &str = "72f988bf-tenant";
pub(crate) const CLIENT: &str = "rotator-client";
/// The application that sends.
pub(crate) const SENDER: &str = "sender-client";
pub(crate) const USERNAME: &str = "acs.app.tenant";

pub(crate) struct Entra {
    pub(crate) secrets: Vec<ClientSecret>,
    made: usize,
}

pub(crate) struct ClientSecret {
    pub(crate) id: String,
    application: String,
    name: String,
    text: String,
}

impl Entra {
    pub(crate) fn new() -> Self {
        Self { secrets: Vec::new(), made: 0 }
    }

    pub(crate) fn make(&mut self, application: &str, name: &str) -> &ClientSecret {
        self.made += 1;
        self.secrets.push(ClientSecret {
            id: format!("f0b0b335-1d71-4883-8f98-{:012}", self.made),
            application: application.to_owned(),
            name: name.to_owned(),
            text: format!("{:03}8Q~client-secret-text-{}", self.made, "z".repeat(12)),
        });
        self.secrets.last().expect("it was just made")
    }
}

fn shown(secret: &ClientSecret) -> Value {
    json!({
        "keyId": secret.id, "displayName": secret.name, "hint": secret.text[..3], "secretText": null,
        "customKeyIdentifier": null, "startDateTime": "2026-08-01T10:00:00Z", "endDateTime": "2028-08-01T10:00:00Z",
    })
}

fn refusal(status: u16, code: &str) -> Reply {
    Reply(status, json!({"error": {"code": code, "message": "see the code"}}))
}

impl Vendor for Entra {
    fn answer(&mut self, asked: &Asked) -> Reply {
        let (method, path) = asked.call();
        if let ("POST", [tenant, "oauth2", "v2.0", "token"]) = (method, path.as_slice()) {
            let form = asked.form().unwrap_or_default();
            let field = |name: &str| form.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str());
            let given =
                |token: String| Reply(200, json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token}));
            let refused = |error: &str, code: u32| {
                // The description repeats what it was sent.
                let text = format!("AADSTS{code}: refused, {}", field("client_secret"));
                Reply(401, json!({"error": error, "error_description": text, "error_codes": [code], "trace_id": "t"}))
            };
            if *tenant != TENANT || field("grant_type") != "client_credentials" {
                return refused("invalid_request", 900_023);
            }
            return match (field("client_id"), field("scope"), field("client_secret")) {
                (CLIENT, "https://graph.microsoft.com/.default", key) if [FULL_KEY, LOOK_KEY].contains(&key) => {
                    given(format!("token-of-{key}"))
                }
                (SENDER, "https://outlook.office365.com/.default", key) if self.secrets.iter().any(|s| s.text == key) => {
                    given("token-for-smtp".to_owned())
                }
                (CLIENT | SENDER, _, _) => refused("invalid_client", 7_000_215),
                _ => refused("unauthorized_client", 700_016),
            };
        }
        match asked.bearer().and_then(|token| token.strip_prefix("token-of-")) {
            Some(FULL_KEY) => {}
            Some(LOOK_KEY) if method == "GET" => {}
            Some(_) => return refusal(403, "Authorization_RequestDenied"),
            None => return refusal(401, "InvalidAuthenticationToken"),
        }
        match (method, path.as_slice()) {
            ("GET", ["v1.0", "applications", application]) => {
                if asked.query("$select") != Some("passwordCredentials") {
                    return refusal(400, "BadRequest");
                }
                let of = self.secrets.iter().filter(|s| s.application == *application);
                Reply(200, json!({"passwordCredentials": of.map(shown).collect::<Vec<_>>()}))
            }
            ("POST", ["v1.0", "applications", application, "addPassword"]) => {
                let body = asked.json(&["passwordCredential"]);
                let Some(name) = body.as_ref().and_then(|b| b["passwordCredential"]["displayName"].as_str()) else {
                    return refusal(400, "BadRequest");
                };
                let made = self.make(application, name);
                let mut answer = shown(made);
                answer["secretText"] = json!(made.text);
                Reply(200, answer)
            }
            ("POST", ["v1.0", "applications", application, "removePassword"]) => {
                let Some(body) = asked.json(&["keyId"]) else { return refusal(400, "BadRequest") };
                let is = |s: &ClientSecret| s.application == *application && Some(s.id.as_str()) == body["keyId"].as_str();
                match self.secrets.iter().position(is) {
                    Some(at) => {
                        self.secrets.remove(at);
                        Reply(204, Value::Null)
                    }
                    None => refusal(400, "Request_BadRequest"),
                }
            }
            _ => refusal(404, "Request_ResourceNotFound"),
        }
    }

    fn foreign(&mut self, name: &str) -> (String, String) {
        let application = format!("0aaaaaaa-{name}");
        self.make(&application, "another team");
        (format!("{application}/news"), self.make(&application, "news").id.clone())
    }

    fn accepts(&self, username: &str, password: &str) -> bool {
        username == USERNAME && self.secrets.iter().any(|s| s.text == password)
    }

    fn changes(asked: &Asked) -> bool {
        asked.path.last().is_some_and(|action| action.ends_with("Password"))
    }
}
