//! The store `gitlab-ci`: logins kept as two CI/CD variables of a GitLab project.
//!
//! A variable has no version and no check-and-set, and two are not written at once: each is read directly before, the username is
//! written first and the password last. What this must not do: let GitLab expand a `$` in a password, or write a variable that
//! cannot be read back.

use std::path::PathBuf;

use async_trait::async_trait;
use handover_rotation::name::Username;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{EntryRef, Held, Store};
use crate::config::fields::Fields;
use crate::config::inventory::SecretRef;
use crate::secret::{Login, Secret};
use crate::web::{Answer, Api, Lost, STORE, outcome};

/// For one request.
const CALL_TIMEOUT: Span = Span::seconds(10);

/// The most requests that one `write` makes: look at two, write two, write one back.
const MOST_CALLS: u64 = 5;

/// The shortest value that GitLab masks.
const SHORTEST_MASKED: usize = 8;

/// What an inventory may say about a store of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitlabOptions {
    /// `address`: of the server; <https://gitlab.com> if left out.
    pub address: Option<Url>,
    /// `ca_file`: PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// `token`: a personal, project or group access token with the scope `api`.
    pub token: SecretRef,
    /// `environment_scope`: of the variables; `*` if left out.
    pub environment_scope: String,
}

/// Keeps logins in variables of projects. The path of an entry is the project, `group/project` or its number; its fields are keys.
///
/// # Guarantees
/// - Only the values of the two variables are written, as `raw`, so that a `$` in them is not expanded. A variable that has its value
///   already is not written. Protection, masking, type and scope stay.
/// - A password that is not expected is not overwritten. If the password is refused after the username was written, the username is
///   put back.
///
/// # Caveats
/// - There is no check-and-set: what somebody else writes between the look and the write is lost.
/// - A crash between the two writes leaves the new username beside the old password: `read` tells so, and `write` goes on from it.
/// - A hidden variable cannot be read back, and is refused.
pub struct GitlabStore {
    api: Api,
    token: SecretRef,
    scope: String,
}

/// A variable, as the server tells it.
#[derive(Deserialize)]
struct Told {
    value: Option<String>,
    #[serde(default)]
    raw: bool,
    #[serde(default)]
    masked: bool,
    #[serde(default)]
    hidden: bool,
}

struct Variable {
    value: Zeroizing<String>,
    masked: bool,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    scopes: Vec<String>,
}

impl GitlabStore {
    /// A store with these options. Nothing is sent and no secret is read before the first call.
    ///
    /// # Errors
    /// `HO0634`: the address or `ca_file` cannot be used.
    pub fn open(options: GitlabOptions) -> Result<Self, Fault> {
        let address = match options.address {
            Some(address) => address,
            None => Url::parse("https://gitlab.com")
                .map_err(|_| Fault::new(FaultClass::Permanent, "HO0634", "GitLab: its address cannot be used"))?,
        };
        let api = Api::new("GitLab", &address, options.ca_file.as_deref(), CALL_TIMEOUT, STORE)?;
        Ok(Self { api, token: options.token, scope: options.environment_scope })
    }

    /// Reads the options: see `docs/kinds/gitlab-ci.md`.
    pub fn options(fields: &mut Fields<'_>) -> Option<GitlabOptions> {
        let given = (fields.has("address"), fields.has("environment_scope"));
        let address = fields.optional_url("address");
        let ca_file = fields.optional_path("ca_file");
        let token = fields.required_secret("token");
        let scope = fields.optional_str("environment_scope");
        if (given.0 && address.is_none()) || (given.1 && scope.is_none()) {
            return None;
        }
        Some(GitlabOptions { address, ca_file, token: token?, environment_scope: scope.unwrap_or_else(|| "*".to_owned()) })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        let text = json!({ "$ref": "#/$defs/text" });
        json!({
            "type": "object", "additionalProperties": false, "required": ["token"],
            "properties": {
                "address": { "type": "string", "pattern": "^https?://" },
                "ca_file": text,
                "token": { "$ref": "#/$defs/secret" },
                "environment_scope": text,
            }
        })
    }

    fn fault(&self, class: FaultClass, code: &str, entry: &EntryRef, what: impl std::fmt::Display) -> Fault {
        self.api.fault(class, code, format!("project {}: {what}", entry.path.trim_matches('/')))
    }

    fn odd(&self, entry: &EntryRef, what: &str, hint: &str) -> Lost {
        Lost::Before(self.fault(FaultClass::Permanent, "HO0634", entry, what).hint(hint))
    }

    async fn send(&self, method: Method, url: Url, body: Option<&Zeroizing<Vec<u8>>>) -> Result<Answer, Lost> {
        let token = self.token.read().map_err(Lost::Before)?;
        let plain = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
        let Some(mut header) = HeaderValue::from_str(token.expose()).ok().filter(|_| plain) else {
            let fault = self.api.fault(FaultClass::Permanent, "HO0632", "the token has a character that no token has");
            return Err(Lost::Before(fault.hint("look into its file")));
        };
        header.set_sensitive(true);
        let mut request = self.api.client.request(method, url).header("PRIVATE-TOKEN", header);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        }
        self.api.send(request).await
    }

    fn denied(&self, entry: &EntryRef, status: u16) -> Lost {
        let (what, hint) = match status {
            401 => ("the token is not taken: it has expired or was revoked", "put a new token where the inventory says"),
            _ => ("the token may not do this", "it needs the scope `api` and the role Maintainer in the project"),
        };
        Lost::Before(self.fault(FaultClass::Permanent, "HO0632", entry, what).hint(hint))
    }

    fn url(&self, entry: &EntryRef, key: &str) -> Result<Url, Lost> {
        let sound = (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !sound {
            let what = format!("`{key}` is no key of a variable");
            let fault = self.fault(FaultClass::Permanent, "HO0616", entry, what);
            return Err(Lost::Before(fault.hint("keys are made of letters, digits and `_`")));
        }
        let mut url = self.api.url(&["api", "v4", "projects", entry.path.trim_matches('/'), "variables", key])?;
        // Several variables may have one key; without this the server would not say which is meant.
        url.query_pairs_mut().append_pair("filter[environment_scope]", &self.scope);
        Ok(url)
    }

    /// `None` if there is no such variable.
    async fn variable(&self, entry: &EntryRef, key: &str) -> Result<Option<Variable>, Lost> {
        let answer = self.send(Method::GET, self.url(entry, key)?, None).await?;
        let doing = format!("read the variable {key}");
        match answer.status.as_u16() {
            200 => {}
            404 => return Ok(None),
            status @ (401 | 403) => return Err(self.denied(entry, status)),
            _ => return Err(self.api.refused(&answer, &doing)),
        }
        let Some(told) = answer.json::<Told>() else { return Err(self.api.garbled(&doing)) };
        let value = Zeroizing::new(told.value.unwrap_or_default());
        if told.hidden {
            let what = format!("the variable {key} is hidden, and cannot be read back");
            return Err(self.odd(entry, &what, "make it anew as masked, without hidden"));
        }
        if !told.raw && value.contains('$') {
            let what = format!("the variable {key} has a `$` that is expanded: what jobs get cannot be known");
            return Err(self.odd(entry, &what, "turn off `Expand variable reference` for it"));
        }
        Ok(Some(Variable { value, masked: told.masked }))
    }

    async fn both(&self, entry: &EntryRef) -> Result<[Option<Variable>; 2], Lost> {
        Ok([self.variable(entry, &entry.username_field).await?, self.variable(entry, &entry.password_field).await?])
    }

    async fn look(&self, entry: &EntryRef) -> Result<Held, Lost> {
        let [Some(username), Some(password)] = self.both(entry).await? else { return Ok(Held::Nothing) };
        if username.value.is_empty() || password.value.is_empty() {
            return Ok(Held::Nothing);
        }
        // The reason is left out: it may name a character, and if the two fields are swapped it is the password's.
        let username = Username::new(username.value.as_str()).map_err(|_| {
            let what = format!("the variable {} is not a login name", entry.username_field);
            let fault = self.fault(FaultClass::Permanent, "HO0622", entry, what);
            Lost::Before(fault.hint("are the two fields of the entry swapped?"))
        })?;
        Ok(Held::Login(Login { username, password: Secret::new(password.value.as_str().to_owned()) }))
    }

    fn absent(&self, entry: &EntryRef, key: &str) -> Lost {
        let what = format!("there is no variable {key} of the scope {}, or the token may not see the project", self.scope);
        let fault = self.fault(FaultClass::Permanent, "HO0635", entry, what);
        Lost::Before(fault.hint("make it once with the current value, or correct `path`, `fields` and `environment_scope`"))
    }

    /// To read a variable needs the role that may write it too; but not the scope.
    async fn check(&self, entry: &EntryRef) -> Result<(), Lost> {
        let variables = self.both(entry).await?;
        for (variable, key) in variables.iter().zip([&entry.username_field, &entry.password_field]) {
            if variable.is_none() {
                return Err(self.absent(entry, key));
            }
        }
        let url = self.api.url(&["api", "v4", "personal_access_tokens", "self"])?;
        let answer = self.send(Method::GET, url, None).await?;
        let doing = "ask what its token may do";
        match answer.status.as_u16() {
            200 => {}
            status @ (401 | 403) => return Err(self.denied(entry, status)),
            _ => return Err(self.api.refused(&answer, doing)),
        }
        let Some(token) = answer.json::<Token>() else { return Err(self.api.garbled(doing)) };
        if token.scopes.iter().any(|scope| scope == "api") { Ok(()) } else { Err(self.denied(entry, 403)) }
    }

    async fn holds(&self, entry: &EntryRef, login: &Login) -> Result<(), Lost> {
        let values = [(&entry.username_field, login.username.as_str()), (&entry.password_field, login.password.expose())];
        for (variable, (key, value)) in self.both(entry).await?.iter().zip(values) {
            let masked = variable.as_ref().is_some_and(|v| v.masked);
            let short = value.chars().count() < SHORTEST_MASKED || value.chars().any(char::is_whitespace);
            if masked && short {
                let what =
                    format!("the variable {key} is masked: it takes {SHORTEST_MASKED} characters or more, and no blanks");
                let fault = self.fault(FaultClass::Permanent, "HO0615", entry, what);
                return Err(Lost::Before(fault.hint("do not mask the username, or use a longer value")));
            }
        }
        Ok(())
    }

    async fn set(&self, entry: &EntryRef, key: &str, value: &str) -> Result<(), Lost> {
        let doing = format!("write the variable {key}");
        // As large as it may get: a growing one would leave copies behind.
        let mut body = Zeroizing::new(Vec::with_capacity(6 * value.len() + 64));
        body.extend_from_slice(b"{\"raw\":true,\"value\":");
        if serde_json::to_writer(&mut *body, value).is_err() {
            return Err(self.odd(entry, "the value cannot be written", "use a value of letters, digits, `_` and `-`"));
        }
        body.push(b'}');
        let answer = self.send(Method::PUT, self.url(entry, key)?, Some(&body)).await?;
        match answer.status.as_u16() {
            200..=299 => Ok(()),
            status @ (401 | 403) => Err(self.denied(entry, status)),
            404 => Err(self.absent(entry, key)),
            400 | 422 => {
                let what = format!("it does not take the value of the variable {key}");
                Err(self.odd(entry, &what, "a masked variable takes 8 characters or more, and no blanks"))
            }
            _ => Err(self.api.refused(&answer, &doing)),
        }
    }

    async fn put(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Result<(), Lost> {
        let [username, password] = self.both(entry).await.map_err(nothing_sent)?;
        let Some(username) = username else { return Err(self.absent(entry, &entry.username_field)) };
        let Some(password) = password else { return Err(self.absent(entry, &entry.password_field)) };
        let held = Secret::new(password.value.as_str().to_owned());
        let (same_name, same) = (username.value.as_str() == login.username.as_str(), held.matches(&login.password));
        let expected = match password.value.as_str() {
            "" => expect.is_empty(),
            _ => same || expect.iter().any(|secret| secret.matches(&held)),
        };
        if !expected {
            let what = match password.value.as_str() {
                "" => format!("the variable {} is empty", entry.password_field),
                _ => format!("{}: the entry holds another password than expected", entry.password_field),
            };
            let fault = self.fault(FaultClass::Permanent, "HO0611", entry, format!("{what}; someone else changed it"));
            let hint = "find out who wrote it; then run `handover status` for what is safe next";
            return Err(Lost::Before(fault.hint(hint)));
        }
        if !same_name {
            self.set(entry, &entry.username_field, login.username.as_str()).await?;
        }
        if same {
            return Ok(());
        }
        match self.set(entry, &entry.password_field, login.password.expose()).await {
            Err(Lost::Before(fault)) if !same_name => {
                // The username is not left alone with a password of another version.
                let undone = self.set(entry, &entry.username_field, &username.value).await.is_ok();
                Err(if undone { Lost::Before(fault) } else { Lost::Maybe(fault) })
            }
            result => result,
        }
    }
}

/// The end of a call before the first write: nothing was written.
fn nothing_sent(lost: Lost) -> Lost {
    match lost {
        Lost::Before(fault) | Lost::Maybe(fault) => Lost::Before(fault),
    }
}

#[async_trait]
impl Store for GitlabStore {
    fn kind(&self) -> &'static str {
        "gitlab-ci"
    }

    fn request_timeout(&self) -> Span {
        Span(self.api.request_timeout().0.saturating_mul(MOST_CALLS))
    }

    fn landing(&self) -> Span {
        self.api.request_timeout()
    }

    async fn check_writable(&self, entry: &EntryRef) -> Outcome<()> {
        outcome(self.check(entry).await.map_err(nothing_sent))
    }

    async fn read(&self, entry: &EntryRef) -> Outcome<Held> {
        outcome(self.look(entry).await)
    }

    async fn lacks(&self, entry: &EntryRef) -> String {
        for key in [&entry.username_field, &entry.password_field] {
            match self.variable(entry, key).await {
                Ok(Some(variable)) if !variable.value.is_empty() => {}
                Ok(Some(_)) => return format!("the variable {key} is empty"),
                Ok(None) => {
                    let scope = &self.scope;
                    return format!("there is no variable {key} of the scope {scope}, or the token may not see the project");
                }
                Err(Lost::Before(fault) | Lost::Maybe(fault)) => return fault.to_string(),
            }
        }
        "it has a login now, and had none a moment ago".to_owned()
    }

    async fn can_hold(&self, entry: &EntryRef, login: &Login) -> Outcome<()> {
        outcome(self.holds(entry, login).await.map_err(nothing_sent))
    }

    async fn write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Outcome<()> {
        outcome(self.put(entry, login, expect).await)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Node;

    fn options(text: &str) -> Result<GitlabOptions, String> {
        let node = Node::from_yaml("test.yaml", Path::new("/etc/handover"), text).unwrap_or_else(|p| panic!("{p}"));
        let mut fields = Fields::new(&node, "store `ci`");
        let read = GitlabStore::options(&mut fields);
        let problems = fields.finish();
        read.filter(|_| !problems.has_errors()).ok_or_else(|| problems.to_string())
    }

    #[test]
    fn gitlab_options_are_read_and_mistakes_are_told() {
        let read = options("token: {file: token}\n").expect("they are sound");
        assert_eq!((read.address.as_ref(), read.environment_scope.as_str()), (None, "*"));
        assert!(GitlabStore::open(read).is_ok());
        let read = options("token: {env: T}\naddress: https://git.internal\nenvironment_scope: production\n");
        assert_eq!(read.expect("they are sound").environment_scope, "production");
        for (text, says) in [
            ("address: https://git\n", "lacks the key `token`"),
            ("token: {file: t}\naddress: git\n", "`address`"),
            ("token: {file: t}\nscope: x\n", "has no key `scope`"),
        ] {
            let problems = options(text).expect_err(text);
            assert!(problems.contains(says), "{text}: {problems}");
        }
    }
}
