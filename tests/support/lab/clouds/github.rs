//! Secrets and variables of GitHub Actions (docs.github.com, REST 2022-11-28): what is sealed for the key of a place is opened with its
//! private half, and never given back. Its clock goes a second further at each change, as long as it is not held.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dryoc::classic::crypto_box::{PublicKey, SecretKey, crypto_box_keypair, crypto_box_seal_open};
use dryoc::constants::CRYPTO_BOX_SEALBYTES;
use serde_json::{Value, json};

use super::super::vendors::Asked;
use super::{Cloud, Said};

/// What a token may do.
#[derive(Clone, Default)]
pub(crate) struct Token {
    /// The scopes of a classic one; `None` for a fine-grained one.
    pub(crate) scopes: Option<&'static str>,
    pub(crate) writes_secrets: bool,
    pub(crate) writes_variables: bool,
    /// Whether its owner may push to repositories.
    pub(crate) pushes: bool,
    /// When it ends, as GitHub writes it.
    pub(crate) ends: Option<&'static str>,
}

#[derive(Clone)]
pub(crate) struct Secret {
    pub(crate) value: String,
    pub(crate) updated: u64,
    /// Of an organization: who sees it.
    pub(crate) visibility: Option<String>,
    pub(crate) repositories: Vec<u64>,
}

/// The method and the end of a path, the status, and the headers of the answer.
type Refusal = (&'static str, &'static str, u16, Vec<(&'static str, String)>);

pub(crate) struct Github {
    pub(crate) tokens: BTreeMap<String, Token>,
    /// By place, such as `repos/acme/news/actions`, and name.
    pub(crate) secrets: BTreeMap<(String, String), Secret>,
    pub(crate) variables: BTreeMap<(String, String), String>,
    /// The changes, in order.
    pub(crate) changes: Vec<String>,
    /// Seconds since 2026-11-26, 10 o'clock.
    pub(crate) now: u64,
    /// Whether changes take no time.
    pub(crate) held: bool,
    /// Requests with this method and end of the path are answered so, and not done.
    pub(crate) refuse: Option<Refusal>,
    keys: BTreeMap<String, (PublicKey, SecretKey)>,
}

fn message(status: u16, words: &str) -> Said {
    Said::new(
        status,
        json!({"message": words, "documentation_url": "https://docs.github.com/rest", "status": status.to_string()}),
    )
}

/// The time of a second, as GitHub writes it.
pub(crate) fn time(second: u64) -> String {
    format!("2026-11-26T10:{:02}:{:02}Z", second / 60 % 60, second % 60)
}

impl Github {
    pub(crate) fn new() -> Self {
        Self {
            tokens: BTreeMap::new(),
            secrets: BTreeMap::new(),
            variables: BTreeMap::new(),
            changes: Vec::new(),
            now: 0,
            held: false,
            refuse: None,
            keys: BTreeMap::new(),
        }
    }

    /// Puts a secret there, as somebody else would.
    pub(crate) fn put(&mut self, place: &str, name: &str, value: &str) {
        self.tick();
        let before = self.secrets.get(&(place.to_owned(), name.to_owned()));
        let (visibility, repositories) =
            before.map_or((None, Vec::new()), |secret| (secret.visibility.clone(), secret.repositories.clone()));
        let secret = Secret { value: value.to_owned(), updated: self.now, visibility, repositories };
        self.secrets.insert((place.to_owned(), name.to_owned()), secret);
    }

    pub(crate) fn value(&self, place: &str, name: &str) -> String {
        self.secrets[&(place.to_owned(), name.to_owned())].value.clone()
    }

    fn tick(&mut self) {
        self.now += u64::from(!self.held);
    }

    fn key(&mut self, place: &str) -> (String, (PublicKey, SecretKey)) {
        let number = self.keys.len() + 1;
        let pair = *self.keys.entry(place.to_owned()).or_insert_with(|| {
            assert!(number < 1000, "many places");
            crypto_box_keypair()
        });
        (format!("key of {place}"), pair)
    }

    fn on_secret(&mut self, asked: &Asked, token: &Token, place: &str, rest: &[&str]) -> Said {
        let of_organization = place.starts_with("orgs/");
        match (asked.method.as_str(), rest) {
            ("GET", ["public-key"]) => {
                let (id, (public, _)) = self.key(place);
                Said::new(200, json!({"key_id": id, "key": STANDARD.encode(public)}))
            }
            ("GET", [name, "repositories"]) if of_organization => {
                let Some(secret) = self.secrets.get(&(place.to_owned(), name.to_uppercase())) else {
                    return message(404, "Not Found");
                };
                let number = |name: &str| asked.query(name).and_then(|n| n.parse::<usize>().ok()).expect("a page");
                let page = secret.repositories.chunks(number("per_page")).nth(number("page") - 1).unwrap_or_default();
                let page: Vec<Value> = page.iter().map(|id| json!({"id": id, "name": format!("r{id}")})).collect();
                Said::new(200, json!({"total_count": secret.repositories.len(), "repositories": page}))
            }
            ("GET", [name]) => match self.secrets.get(&(place.to_owned(), name.to_uppercase())) {
                Some(secret) => {
                    let mut shown =
                        json!({"name": name.to_uppercase(), "created_at": time(0), "updated_at": time(secret.updated)});
                    if let Some(visibility) = &secret.visibility {
                        shown["visibility"] = json!(visibility);
                    }
                    Said::new(200, shown)
                }
                None => message(404, "Not Found"),
            },
            ("PUT", [name]) => {
                if !token.writes_secrets {
                    return message(403, "Resource not accessible by personal access token");
                }
                let known = ["encrypted_value", "key_id", "visibility", "selected_repository_ids"];
                let Some(body) = asked.json(&known[..if of_organization { 4 } else { 2 }]) else {
                    return message(422, "Invalid request");
                };
                let (id, (public, private)) = self.key(place);
                let sealed =
                    body["encrypted_value"].as_str().and_then(|value| STANDARD.decode(value).ok()).unwrap_or_default();
                let mut value = vec![0; sealed.len().saturating_sub(CRYPTO_BOX_SEALBYTES)];
                let opened = crypto_box_seal_open(&mut value, &sealed, &public, &private).is_ok();
                if body["key_id"] != id.as_str() || !opened || value.len() > 48 << 10 {
                    return message(422, "Bad request: encrypted_value");
                }
                let visibility = body["visibility"].as_str().map(str::to_owned);
                if of_organization && visibility.is_none() {
                    return message(422, "Invalid request.\n\n\"visibility\" wasn't supplied.");
                }
                self.tick();
                let ids = body["selected_repository_ids"].as_array().cloned().unwrap_or_default();
                let repositories = ids.iter().filter_map(Value::as_u64).collect();
                let value = String::from_utf8(value).expect("a text");
                let secret = Secret { value, updated: self.now, visibility, repositories };
                let before = self.secrets.insert((place.to_owned(), name.to_uppercase()), secret);
                match before {
                    Some(_) => Said::new(204, Value::Null),
                    None => Said::new(201, json!({})),
                }
            }
            _ => message(404, "Not Found"),
        }
    }

    fn on_variable(&mut self, asked: &Asked, token: &Token, place: &str, rest: &[&str]) -> Said {
        let method = asked.method.as_str();
        if method != "GET" && !token.writes_variables {
            return message(403, "Resource not accessible by personal access token");
        }
        let known = ["name", "value", "visibility", "selected_repository_ids"];
        let body = || asked.json(&known[..if place.starts_with("orgs/") && method == "POST" { 4 } else { 2 }]);
        match (method, rest) {
            ("POST", []) => {
                let Some(body) = body().filter(|body| body["value"].is_string()) else {
                    return message(422, "Invalid request");
                };
                let name = body["name"].as_str().unwrap_or_default().to_uppercase();
                if place.starts_with("orgs/") && !body["visibility"].is_string() {
                    return message(422, "Invalid request");
                }
                if self.variables.contains_key(&(place.to_owned(), name.clone())) {
                    return message(409, "Already exists - Variable already exists");
                }
                self.tick();
                let value = body["value"].as_str().unwrap_or_default().to_owned();
                self.variables.insert((place.to_owned(), name), value);
                Said::new(201, json!({}))
            }
            (_, [name]) => {
                let at = (place.to_owned(), name.to_uppercase());
                let Some(value) = self.variables.get(&at).cloned() else { return message(404, "Not Found") };
                match method {
                    "GET" => {
                        Said::new(200, json!({"name": at.1, "value": value, "created_at": time(0), "updated_at": time(0)}))
                    }
                    "DELETE" => {
                        self.tick();
                        self.variables.remove(&at);
                        Said::new(204, Value::Null)
                    }
                    "PATCH" => {
                        let Some(body) = body() else { return message(422, "Invalid request") };
                        self.tick();
                        self.variables.insert(at, body["value"].as_str().expect("a value").to_owned());
                        Said::new(204, Value::Null)
                    }
                    _ => message(404, "Not Found"),
                }
            }
            _ => message(404, "Not Found"),
        }
    }

    fn route(&mut self, asked: &Asked, token: &Token) -> Said {
        let (method, path) = asked.call();
        if let ["repos", owner, name] = path.as_slice() {
            let permissions = json!({"pull": true, "push": token.pushes, "admin": false});
            return match method {
                "GET" => Said::new(200, json!({"full_name": format!("{owner}/{name}"), "permissions": permissions})),
                _ => message(404, "Not Found"),
            };
        }
        let split = match path.as_slice() {
            ["repos", _, _, "actions", what, ..] => Some((4, *what)),
            ["repos", _, _, "environments", _, what, ..] => Some((5, *what)),
            ["orgs", _, "actions", what, ..] => Some((3, *what)),
            _ => None,
        };
        let Some((at, what)) = split else { return message(404, "Not Found") };
        let (place, rest) = (path[..at].join("/"), &path[at + 1..]);
        match what {
            "secrets" => self.on_secret(asked, token, &place, rest),
            "variables" => self.on_variable(asked, token, &place, rest),
            _ => message(404, "Not Found"),
        }
    }
}

impl Cloud for Github {
    fn answer(&mut self, asked: &Asked) -> Said {
        assert_eq!(asked.header("accept"), Some("application/vnd.github+json"));
        assert_eq!(asked.header("x-github-api-version"), Some("2022-11-28"));
        assert!(asked.header("user-agent").is_some(), "GitHub refuses a request without one");
        let Some(token) = asked.bearer().and_then(|token| self.tokens.get(token)).cloned() else {
            return message(401, "Bad credentials");
        };
        let path = asked.path.join("/");
        let said = match &self.refuse {
            Some((method, end, status, headers)) if asked.method == *method && path.ends_with(end) => {
                headers.iter().fold(message(*status, "by the test"), |said, (name, value)| said.with(name, value.clone()))
            }
            _ => {
                let said = self.route(asked, &token);
                if asked.method != "GET" && said.status < 300 {
                    self.changes.push(format!("{} {}", asked.method, asked.path.last().map_or("", String::as_str)));
                }
                said
            }
        };
        let date = format!("Thu, 26 Nov 2026 10:{:02}:{:02} GMT", self.now / 60 % 60, self.now % 60);
        let said = said.with("date", date);
        let said = token.scopes.iter().fold(said, |said, scopes| said.with("x-oauth-scopes", *scopes));
        token.ends.iter().fold(said, |said, ends| said.with("github-authentication-token-expiration", *ends))
    }
}
