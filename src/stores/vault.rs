//! The store `vault`: logins kept in the KV engine of HashiCorp Vault or OpenBao, version 2 or 1.
//!
//! `vault::session` logs in and sends, `entry` knows what is at a path. This joins them to what a rotation may rely on: a write names the
//! version that was read, so that it replaces nothing that nobody has seen. What it must not do: show an error text of the server,
//! which may repeat what it was sent.

mod entry;
mod options;

use async_trait::async_trait;
use handover_rotation::name::Username;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::entry::{Content, Seen, Spot};
pub use self::options::{Auth, Kv, VaultOptions};
use super::{EntryRef, Held, Store};
use crate::config::fields::Fields;
use crate::secret::{Login, Secret};
use crate::vault::session::{Call, Session, data, nothing_sent, says};
use crate::web::{Api, Lost, STORE, outcome};

/// For one request.
const CALL_TIMEOUT: Span = Span::seconds(10);

/// The most requests that one `write` makes: token, log in, look, the same again after a refusal, write, look again, name the
/// owner.
const MOST_CALLS: u64 = 6;

/// The mark that tells other programs whose secret it is, as external-secrets writes it.
const OWNER: (&str, &str) = ("managed-by", "handover");

/// Keeps logins in the KV engine. The path of an entry is the secret's path in the mount, its fields are keys of the secret.
///
/// # Guarantees
/// - KV v2: a write names the version that was read; if another one came between, nothing is written. The other keys of the
///   secret are kept, and the old login comes back as a new version with the data that the old one had.
/// - A soft-deleted secret is told from one that never was.
/// - Only 403 is repeated, once, after a new login.
///
/// # Caveats
/// - KV v1 has no check-and-set: it is read again directly before the write, and what is written between is lost. `warnings` says so.
/// - A key beside the two that holds a number with a fraction cannot be kept to the last bit: such a secret is refused.
/// - `managed-by: handover` is put in the custom metadata after a write if it names nobody and the token may do that.
pub struct VaultStore {
    session: Session,
    mount: String,
    kv: Kv,
}

#[derive(Deserialize)]
struct Mount {
    #[serde(rename = "type")]
    engine: String,
    options: Option<MountOptions>,
}

#[derive(Deserialize)]
struct MountOptions {
    version: Option<String>,
}

impl VaultStore {
    /// A store with these options. Nothing is sent and no secret is read before the first call.
    ///
    /// # Errors
    /// `HO0634`: the address or `ca_file` cannot be used.
    pub fn open(options: VaultOptions) -> Result<Self, Fault> {
        let api = Api::new("Vault", &options.address, options.ca_file.as_deref(), CALL_TIMEOUT, STORE)?;
        let session = Session::new(api, options.auth, options.namespace.as_deref());
        Ok(Self { session, mount: options.mount, kv: options.kv })
    }

    /// Reads the options: see `docs/kinds/vault.md`.
    pub fn options(fields: &mut Fields<'_>) -> Option<VaultOptions> {
        options::read(fields)
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        options::schema()
    }

    fn spot<'s>(&'s self, entry: &'s EntryRef) -> Spot<'s> {
        Spot { kv: self.kv, mount: &self.mount, path: entry.path.trim_matches('/') }
    }

    fn fault(&self, class: FaultClass, code: &str, entry: &EntryRef, what: impl std::fmt::Display) -> Fault {
        self.session.api.fault(class, code, format!("{}/{}: {what}", self.mount, entry.path.trim_matches('/')))
    }

    fn odd(&self, entry: &EntryRef, what: &str, hint: &str) -> Lost {
        Lost::Before(self.fault(FaultClass::Permanent, "HO0634", entry, what).hint(hint))
    }

    async fn see(&self, entry: &EntryRef) -> Result<Seen, Lost> {
        let spot = self.spot(entry);
        let call = spot.read().ok_or_else(|| self.odd(entry, "the path cannot be asked for", "correct `path`"))?;
        let policy = format!("path \"{}\" {{ capabilities = [\"read\", \"update\"] }}", spot.api_path());
        let answer = self.session.ask(&call, &format!("read {}", spot.api_path()), &policy).await?;
        if answer.status == StatusCode::NOT_FOUND && says(&answer, "no handler for route") {
            let what = format!("there is no mount {}", self.mount);
            return Err(self.odd(entry, &what, "correct `mount`, and `namespace` if the server has them"));
        }
        match answer.status {
            StatusCode::OK | StatusCode::NOT_FOUND => {
                spot.seen(&answer).ok_or_else(|| self.session.api.garbled(&format!("read {}", spot.api_path())))
            }
            _ => Err(self.odd(entry, "it refuses to read this path", "correct `path` and `kv`")),
        }
    }

    fn field<'c>(&self, entry: &EntryRef, content: &'c Content, name: &str) -> Result<&'c str, Lost> {
        let what = format!("`{name}` is not a text");
        content.field(name).ok_or_else(|| self.odd(entry, &what, "correct the entry's `fields`, or put a text there"))
    }

    /// Both fields; each is empty if it is missing.
    fn both<'c>(&self, entry: &EntryRef, content: &'c Content) -> Result<[&'c str; 2], Lost> {
        Ok([self.field(entry, content, &entry.username_field)?, self.field(entry, content, &entry.password_field)?])
    }

    fn lack(entry: &EntryRef, seen: &Seen) -> Option<String> {
        match seen {
            Seen::Absent => Some("there is no secret at its path".to_owned()),
            Seen::Deleted { version, destroyed: true, .. } => {
                Some(format!("its newest version ({version}) was destroyed: write the current login there once by hand"))
            }
            Seen::Deleted { version, at, .. } => {
                Some(format!("its newest version ({version}) was deleted at {at}: undelete it, or write it anew"))
            }
            Seen::Here(content) => [&entry.username_field, &entry.password_field].into_iter().find_map(|name| {
                match (content.data.contains_key(name), content.field(name)) {
                    (false, _) => Some(format!("the secret has no key `{name}`")),
                    (true, Some("")) => Some(format!("`{name}` is empty")),
                    _ => None,
                }
            }),
        }
    }

    async fn look(&self, entry: &EntryRef) -> Result<Held, Lost> {
        let Seen::Here(content) = self.see(entry).await? else { return Ok(Held::Nothing) };
        let [username, password] = self.both(entry, &content)?;
        if username.is_empty() || password.is_empty() {
            return Ok(Held::Nothing);
        }
        // The reason is left out: it may name a character, and if the two fields are swapped it is the password's.
        let username = Username::new(username).map_err(|_| {
            let what = format!("`{}` is not a login name", entry.username_field);
            let fault = self.fault(FaultClass::Permanent, "HO0622", entry, what);
            Lost::Before(fault.hint("are the two fields of the entry swapped?"))
        })?;
        Ok(Held::Login(Login { username, password: Secret::new(password.to_owned()) }))
    }

    /// Whether the mount is what the inventory says, as far as the token may know.
    async fn check_mount(&self, entry: &EntryRef) -> Result<(), Lost> {
        let call = Call::new(Method::GET, format!("sys/internal/ui/mounts/{}", self.mount), None);
        let Ok(answer) = self.session.ask(&call, "look at its mount", "the policy `default`").await else { return Ok(()) };
        let Some(mount) = data::<Mount>(&answer) else { return Ok(()) };
        let version = mount.options.and_then(|o| o.version);
        let found = match (mount.engine.as_str(), version.as_deref()) {
            ("kv", Some("2")) => Kv::V2,
            ("kv" | "generic", _) => Kv::V1,
            (engine, _) => {
                let engine: String = engine.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
                let what = format!("the mount {} is an engine of type {engine}", self.mount);
                return Err(self.odd(entry, &what, "name a mount of type kv"));
            }
        };
        if found == self.kv {
            return Ok(());
        }
        let number = if found == Kv::V1 { 1 } else { 2 };
        let what = format!("the mount {} is KV version {number}", self.mount);
        Err(self.odd(entry, &what, &format!("write `kv: {number}` in the store's options")))
    }

    async fn check(&self, entry: &EntryRef) -> Result<(), Lost> {
        self.check_mount(entry).await?;
        let seen = self.see(entry).await?;
        let path = self.spot(entry).api_path();
        let body = json!({ "paths": [path] }).to_string().into_bytes();
        let call = Call::new(Method::POST, "sys/capabilities-self", Some(body));
        let ask = "path \"sys/capabilities-self\" { capabilities = [\"update\"] }";
        let answer = self.session.ask(&call, "ask what it may do", ask).await?;
        let Some(Value::Array(may)) = data::<Map<String, Value>>(&answer).and_then(|mut map| map.remove(&path)) else {
            return Err(self.session.api.garbled("ask what the token may do"));
        };
        let may = |what: &str| may.iter().any(|word| word == what || word == "root");
        let mut needed = vec!["read", "update"];
        if matches!(seen, Seen::Absent) {
            needed.push("create");
        }
        let lacking: Vec<&str> = needed.iter().filter(|what| !may(what)).copied().collect();
        if !lacking.is_empty() {
            let what = format!("the token may not {} it", lacking.join(" or "));
            let hint = format!("add to its policy: path \"{path}\" {{ capabilities = {needed:?} }}");
            return Err(Lost::Before(self.fault(FaultClass::Permanent, "HO0632", entry, what).hint(hint)));
        }
        if let Seen::Here(content) = &seen {
            self.both(entry, content)?;
            self.can_keep(entry, content)?;
        }
        Ok(())
    }

    fn can_keep(&self, entry: &EntryRef, content: &Content) -> Result<(), Lost> {
        match content.unkept([&entry.username_field, &entry.password_field]) {
            None => Ok(()),
            Some(name) => {
                let what =
                    format!("`{name}` beside it is a number with a fraction or of more than 64 bits, which may change");
                Err(self.odd(entry, &what, "write it as a text, in quotes, or keep the login in a secret of its own"))
            }
        }
    }

    async fn put(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Result<(), Lost> {
        let seen = self.see(entry).await.map_err(nothing_sent)?;
        let [username, password] = match &seen {
            Seen::Here(content) => self.both(entry, content)?,
            Seen::Absent | Seen::Deleted { .. } => ["", ""],
        };
        let held = Secret::new(password.to_owned());
        if username == login.username.as_str() && held.matches(&login.password) {
            return Ok(());
        }
        let expected = match password {
            "" => expect.is_empty(),
            _ => expect.iter().any(|secret| secret.matches(&held)),
        };
        if !expected {
            return Err(self.changed(entry, &seen));
        }
        let (mut fields, version, owned) = match seen {
            Seen::Absent => (Map::new(), 0, false),
            Seen::Deleted { version, .. } => (Map::new(), version, false),
            Seen::Here(mut content) => {
                self.can_keep(entry, &content)?;
                (std::mem::take(&mut content.data), content.version, content.manager.is_some())
            }
        };
        fields.insert(entry.username_field.clone(), Value::String(login.username.as_str().to_owned()));
        fields.insert(entry.password_field.clone(), Value::String(login.password.expose().to_owned()));
        let spot = self.spot(entry);
        let call = spot.write(fields, version).ok_or_else(|| self.odd(entry, "it cannot be written", "correct `path`"))?;
        let doing = format!("write {}", spot.api_path());
        let policy = format!("path \"{}\" {{ capabilities = [\"read\", \"update\"] }}", spot.api_path());
        let answer = self.session.ask(&call, &doing, &policy).await?;
        match answer.status.as_u16() {
            200..=299 => {
                if self.kv == Kv::V2 && !owned {
                    self.name_owner(&spot).await;
                }
                Ok(())
            }
            400 if says(&answer, "check-and-set parameter did not match") => self.lost_the_race(entry, login).await,
            _ => Err(self.odd(entry, "it refuses to write this", "compare `kv` and `path` with the server")),
        }
    }

    fn changed(&self, entry: &EntryRef, seen: &Seen) -> Lost {
        let what = Self::lack(entry, seen).unwrap_or_else(|| "the entry holds another password than expected".to_owned());
        if let Seen::Absent = seen {
            let fault = self.fault(FaultClass::Permanent, "HO0635", entry, what);
            return Lost::Before(fault.hint("put the current login there once by hand, or correct `path`"));
        }
        let fault = self.fault(FaultClass::Permanent, "HO0611", entry, format!("{what}; someone else changed it"));
        Lost::Before(fault.hint("find out who wrote it; then run `handover status` for what is safe next"))
    }

    /// Another version came between the look and the write. It may be a write of ours whose answer was lost.
    async fn lost_the_race(&self, entry: &EntryRef, login: &Login) -> Result<(), Lost> {
        // Refused for sure, whatever the look says.
        let seen = self.see(entry).await.map_err(nothing_sent)?;
        if let Seen::Here(content) = &seen {
            let [username, password] = self.both(entry, content)?;
            if username == login.username.as_str() && Secret::new(password.to_owned()).matches(&login.password) {
                return Ok(());
            }
        }
        Err(self.changed(entry, &seen))
    }

    /// Names Handover as the owner. It has been written already: whether this works changes nothing.
    async fn name_owner(&self, spot: &Spot<'_>) {
        let body = json!({ "custom_metadata": { OWNER.0: OWNER.1 } }).to_string().into_bytes();
        // vaultrs has no PATCH, and a POST would replace what others keep there.
        let call = Call { merge: true, ..Call::new(Method::PATCH, spot.metadata_path(), Some(body)) };
        self.session.try_once(&call).await;
    }
}

#[async_trait]
impl Store for VaultStore {
    fn kind(&self) -> &'static str {
        "vault"
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
        match self.see(entry).await {
            Ok(Seen::Absent) => match self.check_mount(entry).await {
                Err(Lost::Before(fault) | Lost::Maybe(fault)) => fault.to_string(),
                Ok(()) => "there is no secret at its path".to_owned(),
            },
            Ok(seen) => {
                Self::lack(entry, &seen).unwrap_or_else(|| "it has a login now, and had none a moment ago".to_owned())
            }
            Err(Lost::Before(fault) | Lost::Maybe(fault)) => fault.to_string(),
        }
    }

    async fn warnings(&self, entry: &EntryRef) -> Vec<String> {
        let mut warnings: Vec<String> = self.session.warning().await.into_iter().collect();
        let path = self.spot(entry).api_path();
        if self.kv == Kv::V1 {
            warnings.push(format!(
                "{path} is in a KV engine of version 1, which has no check-and-set and no versions: what somebody else writes in \
                 the same moment would be lost; use version 2"
            ));
        }
        // What cannot be looked at is told of by `read`.
        if let Ok(Seen::Here(content)) = self.see(entry).await {
            if let Some(manager) = content.manager.as_deref().filter(|manager| *manager != OWNER.1) {
                let manager: String = manager.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
                warnings.push(format!(
                    "{path} is managed by {manager}, as its custom metadata says, which may put the old login back: let only one \
                     of the two write it"
                ));
            }
            if let Some(at) = &content.ends {
                warnings.push(format!(
                    "{path} will delete its newest version by itself at {at}: set `delete_version_after` of the secret to 0"
                ));
            }
        }
        warnings
    }

    async fn write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Outcome<()> {
        outcome(self.put(entry, login, expect).await)
    }
}

#[cfg(test)]
#[path = "vault/race_tests.rs"]
mod race_tests;
