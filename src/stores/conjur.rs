//! The store `conjur`: logins kept as two variables of CyberArk Conjur.
//!
//! Conjur has no check-and-set and writes one variable at a time. So each variable is read directly before it is written, and the
//! two are written in an order that leaves something to go on from: the username first, the password last. What this must not do:
//! make variables (policies do), or take a 404 for "nothing there" when it writes: it also means "not allowed".

mod session;

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use handover_rotation::name::Username;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use self::session::Session;
use super::{EntryRef, Held, Store};
use crate::config::fields::Fields;
use crate::config::inventory::SecretRef;
use crate::secret::{Login, Secret};
use crate::web::{Api, Lost, STORE, outcome};

/// For one request.
const CALL_TIMEOUT: Span = Span::seconds(10);

/// The most requests that one `write` makes: log in, read (three ways), write two, one of them again after a new login, look again.
const MOST_CALLS: u64 = 8;

/// What an inventory may say about a store of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConjurOptions {
    /// `address`: of the server; a path in it is kept, such as `/api` of Conjur Cloud.
    pub address: Url,
    /// `ca_file`: PEM certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// `account`: of the organisation.
    pub account: String,
    /// `login`: `host/…` or a user.
    pub login: String,
    /// `api_key`: of the login.
    pub api_key: SecretRef,
}

/// Keeps logins in variables. The path of an entry is the policy branch, its fields are names in it: the variable's id is
/// `path/field`.
///
/// # Guarantees
/// - Only the two variables are written; one that holds the value already is not.
/// - A password that is not expected is not overwritten; the username is written only after that was seen.
/// - If the password is refused after the username was written, the username is put back.
///
/// # Caveats
/// - Conjur has no check-and-set: what somebody else writes between the look and the write is lost.
/// - A crash between the two writes leaves the new username beside the old password, which no server accepts. `read` tells so
///   truthfully; the engine knows both and writes again, and `write` goes on from it, since the password is one that it expects.
/// - Conjur keeps twenty versions of a variable and says the number of none: what was there is put back by its value.
pub struct ConjurStore {
    session: Session,
}

/// The values of the two variables; empty where there is none or it may not be seen.
struct Pair {
    username: Zeroizing<String>,
    password: Zeroizing<String>,
}

impl ConjurStore {
    /// A store with these options. Nothing is sent and no secret is read before the first call.
    ///
    /// # Errors
    /// `HO0634`: the address or `ca_file` cannot be used.
    pub fn open(options: ConjurOptions) -> Result<Self, Fault> {
        let api = Api::new("Conjur", &options.address, options.ca_file.as_deref(), CALL_TIMEOUT, STORE)?;
        Ok(Self { session: Session::new(api, options.account, options.login, options.api_key) })
    }

    /// Reads the options: see `docs/kinds/conjur.md`.
    pub fn options(fields: &mut Fields<'_>) -> Option<ConjurOptions> {
        let address = fields.required_url("address");
        let ca_file = fields.optional_path("ca_file");
        let account = fields.required_str("account");
        let login = fields.required_str("login");
        let api_key = fields.required_secret("api_key");
        let options = ConjurOptions { address: address?, ca_file, account: account?, login: login?, api_key: api_key? };
        if options.account.contains([':', '/', ',']) {
            fields.problem("HO0113", "account", "`account` has a character that no account has", "write it as `myorg`");
            return None;
        }
        Some(options)
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        let text = json!({ "$ref": "#/$defs/text" });
        json!({
            "type": "object", "additionalProperties": false, "required": ["address", "account", "login", "api_key"],
            "properties": {
                "address": { "type": "string", "pattern": "^https?://" },
                "ca_file": text,
                "account": { "type": "string", "pattern": "^[^:/,]+$" },
                "login": text,
                "api_key": { "$ref": "#/$defs/secret" },
            }
        })
    }

    fn fault(&self, class: FaultClass, code: &str, what: impl std::fmt::Display) -> Fault {
        self.session.api.fault(class, code, what)
    }

    fn ids(entry: &EntryRef) -> [String; 2] {
        let path = entry.path.trim_matches('/');
        [&entry.username_field, &entry.password_field].map(|field| format!("{path}/{}", field.trim_matches('/')))
    }

    /// Both values in one call where that works, else one by one.
    async fn both(&self, entry: &EntryRef) -> Result<Pair, Lost> {
        let ids = Self::ids(entry);
        if let Some(pair) = self.batch(&ids).await? {
            return Ok(pair);
        }
        let [username, password] = &ids;
        Ok(Pair { username: self.value(username).await?, password: self.value(password).await? })
    }

    /// `None` where the two must be asked for one by one: the call gives all or nothing, and names the first that is missing.
    async fn batch(&self, ids: &[String; 2]) -> Result<Option<Pair>, Lost> {
        // The ids are parted by commas, whatever is in them.
        if ids.iter().any(|id| id.contains(',')) {
            return Ok(None);
        }
        let full = ids.each_ref().map(|id| self.session.full_id(id));
        let mut url = self.session.api.url(&["secrets"])?;
        url.query_pairs_mut().append_pair("variable_ids", &full.join(","));
        let answer = self.session.ask(Method::GET, url, None, "read its variables").await?;
        match answer.status.as_u16() {
            200 => {
                let garbled = || self.session.api.garbled("read its variables");
                let mut map = answer.json::<BTreeMap<String, String>>().ok_or_else(garbled)?;
                let [username, password] = full.map(|id| map.remove(&id).map(Zeroizing::new));
                Ok(Some(Pair { username: username.ok_or_else(garbled)?, password: password.ok_or_else(garbled)? }))
            }
            // 403 and 404: of one of the two; 406: a value that is no text.
            403 | 404 | 406 => Ok(None),
            _ => Err(self.session.api.refused(&answer, "read its variables")),
        }
    }

    /// One value as it is; empty where there is none.
    async fn value(&self, id: &str) -> Result<Zeroizing<String>, Lost> {
        let url = self.session.variable("secrets", id)?;
        let doing = format!("read the variable {id}");
        let answer = self.session.ask(Method::GET, url, None, &doing).await?;
        match answer.status.as_u16() {
            200 => match std::str::from_utf8(answer.bytes()) {
                Ok(text) => Ok(Zeroizing::new(text.to_owned())),
                Err(_) => {
                    let fault = self.fault(FaultClass::Permanent, "HO0634", format!("the variable {id} is no text"));
                    Err(Lost::Before(fault.hint("correct the entry's `path` and `fields`")))
                }
            },
            404 => Ok(Zeroizing::default()),
            403 => Err(Lost::Before(self.forbidden(id, "execute"))),
            _ => Err(self.session.api.refused(&answer, &doing)),
        }
    }

    fn forbidden(&self, id: &str, privilege: &str) -> Fault {
        let login = self.session.login();
        let fault = self.fault(FaultClass::Permanent, "HO0632", format!("{login} may not {privilege} the variable {id}"));
        fault.hint(format!(
            "load a policy: `- !permit {{role: …, privileges: [read, execute, update], resource: !variable {id}}}`"
        ))
    }

    /// A 404 has two meanings, and the server does not say which.
    fn absent(&self, id: &str) -> Fault {
        let login = self.session.login();
        let what = format!("the variable {id} is not there, or {login} may not see it: Conjur answers 404 to both");
        self.fault(FaultClass::Permanent, "HO0635", what)
            .hint("load a policy that declares the variable and permits read, execute and update on it")
    }

    async fn seen(&self, id: &str) -> Result<bool, Lost> {
        let url = self.session.variable("resources", id)?;
        let answer = self.session.ask(Method::GET, url, None, "look at a variable").await?;
        match answer.status.as_u16() {
            200 => Ok(true),
            403 | 404 => Ok(false),
            _ => Err(self.session.api.refused(&answer, "look at a variable")),
        }
    }

    async fn may(&self, id: &str, privilege: &str) -> Result<bool, Lost> {
        let mut url = self.session.variable("resources", id)?;
        url.query_pairs_mut().append_pair("check", "true").append_pair("privilege", privilege);
        let answer = self.session.ask(Method::GET, url, None, "ask what it may do").await?;
        match answer.status.as_u16() {
            204 => Ok(true),
            403 | 404 => Ok(false),
            200..=299 => Err(self.session.api.garbled("ask what it may do")),
            _ => Err(self.session.api.refused(&answer, "ask what it may do")),
        }
    }

    async fn check(&self, entry: &EntryRef) -> Result<(), Lost> {
        for id in Self::ids(entry) {
            for privilege in ["execute", "update"] {
                if !self.may(&id, privilege).await? {
                    let known = self.seen(&id).await?;
                    return Err(Lost::Before(if known { self.forbidden(&id, privilege) } else { self.absent(&id) }));
                }
            }
        }
        Ok(())
    }

    async fn look(&self, entry: &EntryRef) -> Result<Held, Lost> {
        let pair = self.both(entry).await?;
        if pair.username.is_empty() || pair.password.is_empty() {
            return Ok(Held::Nothing);
        }
        // The reason is left out: it may name a character, and if the two fields are swapped it is the password's.
        let username = Username::new(pair.username.as_str()).map_err(|_| {
            let what = format!("the variable {} is not a login name", Self::ids(entry)[0]);
            let fault = self.fault(FaultClass::Permanent, "HO0622", what);
            Lost::Before(fault.hint("are the two fields of the entry swapped?"))
        })?;
        Ok(Held::Login(Login { username, password: Secret::new(pair.password.as_str().to_owned()) }))
    }

    async fn set(&self, id: &str, value: &str) -> Result<(), Lost> {
        let url = self.session.variable("secrets", id)?;
        let doing = format!("write the variable {id}");
        let body = Zeroizing::new(value.as_bytes().to_vec());
        let answer = self.session.ask(Method::POST, url, Some(&body), &doing).await?;
        match answer.status.as_u16() {
            200..=299 => Ok(()),
            403 => Err(Lost::Before(self.forbidden(id, "update"))),
            404 => Err(Lost::Before(self.absent(id))),
            _ => Err(self.session.api.refused(&answer, &doing)),
        }
    }

    async fn put(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Result<(), Lost> {
        let [username_id, password_id] = Self::ids(entry);
        let held = self.both(entry).await.map_err(nothing_sent)?;
        let password = Secret::new(held.password.as_str().to_owned());
        let (same_name, same) = (held.username.as_str() == login.username.as_str(), password.matches(&login.password));
        if same_name && same {
            return Ok(());
        }
        let expected = match held.password.as_str() {
            "" => expect.is_empty(),
            _ => expect.iter().any(|secret| secret.matches(&password)),
        };
        if !expected && held.password.is_empty() && !self.seen(&password_id).await.map_err(nothing_sent)? {
            return Err(Lost::Before(self.absent(&password_id)));
        }
        if !expected {
            let what = match held.password.as_str() {
                "" => format!("the variable {password_id} has no value"),
                _ => format!("{password_id}: the entry holds another password than expected"),
            };
            let fault = self.fault(FaultClass::Permanent, "HO0611", format!("{what}; someone else changed it"));
            let hint = "find out who wrote it; then run `handover status` for what is safe next";
            return Err(Lost::Before(fault.hint(hint)));
        }
        if !same_name {
            self.set(&username_id, login.username.as_str()).await?;
        }
        if same {
            return Ok(());
        }
        match self.set(&password_id, login.password.expose()).await {
            Err(Lost::Before(fault)) if !same_name => {
                // The username is not left alone with a password of another version.
                let undone = !held.username.is_empty() && self.set(&username_id, &held.username).await.is_ok();
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
impl Store for ConjurStore {
    fn kind(&self) -> &'static str {
        "conjur"
    }

    fn request_timeout(&self) -> Span {
        Span(self.session.api.request_timeout().0.saturating_mul(MOST_CALLS))
    }

    fn landing(&self) -> Span {
        self.session.api.request_timeout()
    }

    async fn check_writable(&self, entry: &EntryRef) -> Outcome<()> {
        outcome(self.check(entry).await)
    }

    async fn read(&self, entry: &EntryRef) -> Outcome<Held> {
        outcome(self.look(entry).await)
    }

    async fn lacks(&self, entry: &EntryRef) -> String {
        let lack = async {
            for id in Self::ids(entry) {
                if self.value(&id).await?.is_empty() {
                    return Ok(Some(match self.seen(&id).await? {
                        true => format!("the variable {id} has no value"),
                        false => self.absent(&id).to_string(),
                    }));
                }
            }
            Ok(None)
        };
        match lack.await {
            Ok(Some(lack)) => lack,
            Ok(None) => "it has a login now, and had none a moment ago".to_owned(),
            Err(Lost::Before(fault) | Lost::Maybe(fault)) => fault.to_string(),
        }
    }

    async fn write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Outcome<()> {
        outcome(self.put(entry, login, expect).await)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use handover_rotation::name::EntryName;

    use super::*;
    use crate::config::Node;

    fn options(text: &str) -> Result<ConjurOptions, String> {
        let node = Node::from_yaml("test.yaml", Path::new("/etc/handover"), text).unwrap_or_else(|p| panic!("{p}"));
        let mut fields = Fields::new(&node, "store `conjur`");
        let read = ConjurStore::options(&mut fields);
        let problems = fields.finish();
        read.filter(|_| !problems.has_errors()).ok_or_else(|| problems.to_string())
    }

    const SOUND: &str = "address: https://conjur/api\naccount: myorg\nlogin: host/handover\napi_key: {file: key}\n";

    #[test]
    fn conjur_options_are_read_and_mistakes_are_told() {
        let read = options(SOUND).expect("they are sound");
        assert_eq!((read.account.as_str(), read.login.as_str()), ("myorg", "host/handover"));
        assert_eq!(read.api_key, SecretRef::File("/etc/handover/key".into()));
        for (part, by, says) in [
            ("account: myorg\n", "", "lacks the key `account`"),
            ("myorg", "my:org", "no account has"),
            ("api_key: {file: key}", "api_key: {flie: key}", "cannot be read from `flie`"),
            ("login:", "logn:", "did you mean `login`"),
            ("address: https://conjur/api\n", "", "lacks the key `address`"),
        ] {
            let problems = options(&SOUND.replace(part, by)).expect_err(by);
            assert!(problems.contains(says), "{by}: {problems}");
        }
    }

    #[test]
    fn a_variable_of_conjur_is_the_path_and_the_field() {
        let name = EntryName::new("x").expect("a name");
        let entry =
            EntryRef { name, path: "/prod/mail/".into(), username_field: "user".into(), password_field: "a/b".into() };
        assert_eq!(ConjurStore::ids(&entry), ["prod/mail/user", "prod/mail/a/b"]);
    }
}
