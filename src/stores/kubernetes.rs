//! The store `kubernetes`: logins kept as two keys of a Secret.
//!
//! A Secret is read whole and put back whole with the resource version that was read: the server takes it only if nobody has changed
//! anything since. What this must not do: force a write, touch other keys, or show an answer, which holds all values.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_rotation::name::Username;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use reqwest::{Method, Url};
use serde_json::{Map, Value, json};
use zeroize::{Zeroize, Zeroizing};

use super::{EntryRef, Held, Store};
use crate::config::fields::Fields;
use crate::kubernetes::ClusterOptions;
use crate::kubernetes::cluster::{Call, Cluster, is_not_found, is_object_name};
use crate::secret::{Login, Secret};
use crate::web::{Answer, Lost, STORE, outcome};

/// The most requests that one `write` makes: look, write, look again, and each once more with a new token.
const MOST_CALLS: u64 = 6;

/// The most that a Secret may hold.
const MOST_DATA: usize = 1 << 20;

/// Keeps logins in Secrets. The path of an entry is the Secret's name, its fields are keys of `data`.
///
/// # Guarantees
/// - A write names the resource version that was read; if anything of the Secret has changed since, nothing is written. Other keys,
///   labels, annotations and the type are kept.
/// - A Secret that is `immutable` is refused by preflight.
///
/// # Caveats
/// - There is no history: the old login is put back by its value.
/// - What runs in a pod sees the change late (a volume) or not at all before a restart (environment variables, `subPath`).
pub struct KubernetesStore {
    cluster: Cluster,
}

/// A Secret as it was read. It is wiped when it goes.
struct Whole(Value);

impl Drop for Whole {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Whole {
    fn data(&self, key: &str) -> Option<&str> {
        self.0.get("data")?.get(key)?.as_str()
    }

    fn is_immutable(&self) -> bool {
        self.0.get("immutable").and_then(Value::as_bool).unwrap_or(false)
    }

    fn metadata(&self, key: &str) -> Option<&Value> {
        self.0.get("metadata")?.get(key)
    }
}

impl KubernetesStore {
    /// A store with these options. Nothing is sent and no secret is read before the first call.
    ///
    /// # Errors
    /// `HO0634`: the address or `ca_file` cannot be used.
    pub fn open(options: ClusterOptions) -> Result<Self, Fault> {
        Ok(Self { cluster: Cluster::open(options, STORE)? })
    }

    /// Reads the options: see `docs/kinds/kubernetes.md`.
    pub fn options(fields: &mut Fields<'_>) -> Option<ClusterOptions> {
        ClusterOptions::read(fields)
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        json!({
            "type": "object", "additionalProperties": false, "required": ClusterOptions::REQUIRED,
            "properties": ClusterOptions::properties(),
        })
    }

    fn about(&self, entry: &EntryRef) -> String {
        format!("secret {}/{}", self.cluster.namespace, entry.path)
    }

    fn fault(&self, class: FaultClass, code: &str, entry: &EntryRef, what: impl std::fmt::Display) -> Fault {
        self.cluster.api.fault(class, code, format!("{}: {what}", self.about(entry)))
    }

    fn odd(&self, entry: &EntryRef, what: &str, hint: &str) -> Lost {
        Lost::Before(self.fault(FaultClass::Permanent, "HO0634", entry, what).hint(hint))
    }

    async fn ask(
        &self,
        entry: &EntryRef,
        method: Method,
        url: Url,
        body: Option<Zeroizing<Vec<u8>>>,
        verb: &'static str,
    ) -> Result<Answer, Lost> {
        let rule =
            format!("{{apiGroups: [\"\"], resources: [secrets], resourceNames: [{}], verbs: [get, update]}}", entry.path);
        let body = body.map(|body| ("application/json", body));
        self.cluster.ask(Call { method, url, body, accept: None, about: &self.about(entry), verb, rule }).await
    }

    fn url(&self, entry: &EntryRef) -> Result<Url, Lost> {
        if !is_object_name(&entry.path) {
            return Err(self.odd(entry, "the path is no name of a Secret", "write only the name: `newsletter-smtp`"));
        }
        self.cluster.api.url(&["api", "v1", "namespaces", &self.cluster.namespace, "secrets", &entry.path])
    }

    /// `None` if there is no such Secret.
    async fn see(&self, entry: &EntryRef) -> Result<Option<Whole>, Lost> {
        let answer = self.ask(entry, Method::GET, self.url(entry)?, None, "get").await?;
        match answer.status.as_u16() {
            200 => {
                let whole = answer.json::<Value>().map(Whole).filter(|whole| whole.0.get("metadata").is_some());
                whole.map(Some).ok_or_else(|| self.cluster.api.garbled("get a secret"))
            }
            404 if is_not_found(&answer) => Ok(None),
            404 => Err(self.odd(entry, "what answers there is no API server", "correct `address`")),
            _ => Err(self.cluster.api.refused(&answer, "get a secret")),
        }
    }

    /// One value; empty if it is missing.
    fn value(&self, entry: &EntryRef, whole: &Whole, key: &str) -> Result<Zeroizing<String>, Lost> {
        let bytes = Zeroizing::new(STANDARD.decode(whole.data(key).unwrap_or_default()).unwrap_or_else(|_| vec![0xff]));
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Zeroizing::new(text.to_owned())),
            Err(_) => Err(self.odd(entry, &format!("`{key}` is no text"), "correct the entry's `fields`")),
        }
    }

    fn both(&self, entry: &EntryRef, whole: &Whole) -> Result<[Zeroizing<String>; 2], Lost> {
        Ok([self.value(entry, whole, &entry.username_field)?, self.value(entry, whole, &entry.password_field)?])
    }

    fn lack(entry: &EntryRef, whole: Option<&Whole>) -> Option<String> {
        let Some(whole) = whole else { return Some("there is no such Secret".to_owned()) };
        [&entry.username_field, &entry.password_field].into_iter().find_map(|key| match whole.data(key) {
            None => Some(format!("the Secret has no key `{key}`")),
            Some("") => Some(format!("`{key}` is empty")),
            Some(_) => None,
        })
    }

    async fn look(&self, entry: &EntryRef) -> Result<Held, Lost> {
        let Some(whole) = self.see(entry).await? else { return Ok(Held::Nothing) };
        let [username, password] = self.both(entry, &whole)?;
        if username.is_empty() || password.is_empty() {
            return Ok(Held::Nothing);
        }
        // The reason is left out: it may name a character, and if the two fields are swapped it is the password's.
        let username = Username::new(username.as_str()).map_err(|_| {
            let what = format!("`{}` is not a login name (is there a line end after it?)", entry.username_field);
            let fault = self.fault(FaultClass::Permanent, "HO0622", entry, what);
            Lost::Before(fault.hint("are the two fields of the entry swapped?"))
        })?;
        Ok(Held::Login(Login { username, password: Secret::new(password.as_str().to_owned()) }))
    }

    fn check_mutable(&self, entry: &EntryRef, whole: &Whole) -> Result<(), Lost> {
        if whole.is_immutable() {
            return Err(self.odd(entry, "it is immutable", "make the Secret anew without `immutable: true`"));
        }
        if whole.metadata("deletionTimestamp").is_some() {
            let fault = self.fault(FaultClass::Permanent, "HO0636", entry, "it is being deleted");
            return Err(Lost::Before(fault.hint("find out who deletes it, and make it anew")));
        }
        Ok(())
    }

    /// Puts the Secret back as it is, as a trial: the server does everything but keep it.
    async fn check(&self, entry: &EntryRef) -> Result<(), Lost> {
        let Some(whole) = self.see(entry).await? else { return Err(self.absent(entry)) };
        self.check_mutable(entry, &whole)?;
        self.both(entry, &whole)?;
        let mut url = self.url(entry)?;
        url.query_pairs_mut().append_pair("dryRun", "All");
        let body = self.body(entry, &whole)?;
        let answer = self.ask(entry, Method::PUT, url, Some(body), "update").await?;
        match answer.status.as_u16() {
            // Somebody wrote in between; that it may be written is shown all the same.
            200 | 409 => Ok(()),
            422 => Err(self.odd(entry, "the server would not take it", "look at the cluster's admission policies")),
            _ => Err(self.cluster.api.refused(&answer, "try to update a secret")),
        }
    }

    fn absent(&self, entry: &EntryRef) -> Lost {
        let fault = self.fault(FaultClass::Permanent, "HO0635", entry, "there is no such Secret");
        Lost::Before(fault.hint("make it once with the current login, or correct `path` and `namespace`"))
    }

    fn body(&self, entry: &EntryRef, whole: &Whole) -> Result<Zeroizing<Vec<u8>>, Lost> {
        // As large as it may get: a growing one would leave copies behind.
        let mut body = Zeroizing::new(Vec::with_capacity(2 * MOST_DATA));
        match serde_json::to_writer(&mut *body, &whole.0) {
            Ok(()) => Ok(body),
            Err(_) => Err(self.odd(entry, "it cannot be written", "keep the login in a Secret of its own")),
        }
    }

    async fn put(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Result<(), Lost> {
        let Some(mut whole) = self.see(entry).await.map_err(Lost::before_the_change)? else {
            return Err(self.absent(entry));
        };
        let [username, password] = self.both(entry, &whole)?;
        let held = Secret::new(password.as_str().to_owned());
        if username.as_str() == login.username.as_str() && held.matches(&login.password) {
            return Ok(());
        }
        let expected = match password.as_str() {
            "" => expect.is_empty(),
            _ => expect.iter().any(|secret| secret.matches(&held)),
        };
        if !expected {
            return Err(self.changed(entry, Some(&whole)));
        }
        self.check_mutable(entry, &whole)?;
        // Without it the server would take the write whatever has changed.
        if whole.metadata("resourceVersion").and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(self.odd(entry, "the server gave no resource version", "is it an API server that answers there?"));
        }
        let Some(object) = whole.0.as_object_mut() else { return Err(self.cluster.api.garbled("get a secret")) };
        let data = object.entry("data").or_insert_with(|| Value::Object(Map::new()));
        if data.is_null() {
            *data = Value::Object(Map::new());
        }
        let Some(data) = data.as_object_mut() else {
            return Err(self.odd(
                entry,
                "its data has another form than expected",
                "is it an API server that answers there?",
            ));
        };
        let pairs = [(&entry.username_field, login.username.as_str()), (&entry.password_field, login.password.expose())];
        for (key, value) in pairs {
            if let Some(mut old) = data.insert(key.clone(), Value::String(STANDARD.encode(value))) {
                wipe(&mut old);
            }
        }
        let body = self.body(entry, &whole)?;
        let answer = self.ask(entry, Method::PUT, self.url(entry)?, Some(body), "update").await?;
        match answer.status.as_u16() {
            200..=299 => Ok(()),
            409 => self.lost_the_race(entry, login, expect).await,
            404 => Err(self.absent(entry)),
            422 => {
                Err(self.odd(entry, "the server does not take it", "is it immutable, or against a policy of the cluster?"))
            }
            _ => Err(self.cluster.api.refused(&answer, "update a secret")),
        }
    }

    fn changed(&self, entry: &EntryRef, whole: Option<&Whole>) -> Lost {
        let what = Self::lack(entry, whole).unwrap_or_else(|| "the entry holds another password than expected".to_owned());
        let fault = self.fault(FaultClass::Permanent, "HO0611", entry, format!("{what}; someone else changed it"));
        Lost::Before(fault.hint("find out who wrote it; then run `handover status` for what is safe next"))
    }

    /// Something of the Secret was changed between the look and the write. It may be a write of ours whose answer was lost, or
    /// another key or a label, which hinders nobody from trying again.
    async fn lost_the_race(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Result<(), Lost> {
        let whole = self.see(entry).await.map_err(Lost::before_the_change)?;
        let Some(whole) = &whole else { return Err(self.changed(entry, None)) };
        let [username, password] = self.both(entry, whole)?;
        let held = Secret::new(password.as_str().to_owned());
        if username.as_str() == login.username.as_str() && held.matches(&login.password) {
            return Ok(());
        }
        if !expect.iter().any(|secret| secret.matches(&held)) {
            return Err(self.changed(entry, Some(whole)));
        }
        let what = "another part of the Secret was changed at the same moment, and nothing was written";
        Err(Lost::Before(self.fault(FaultClass::Temporary, "HO0633", entry, what)))
    }
}

#[async_trait]
impl Store for KubernetesStore {
    fn kind(&self) -> &'static str {
        "kubernetes"
    }

    fn request_timeout(&self) -> Span {
        Span(self.cluster.api.request_timeout().0.saturating_mul(MOST_CALLS))
    }

    fn landing(&self) -> Span {
        self.cluster.api.request_timeout()
    }

    async fn check_writable(&self, entry: &EntryRef) -> Outcome<()> {
        outcome(self.check(entry).await.map_err(Lost::before_the_change))
    }

    async fn read(&self, entry: &EntryRef) -> Outcome<Held> {
        outcome(self.look(entry).await)
    }

    async fn lacks(&self, entry: &EntryRef) -> String {
        match self.see(entry).await {
            Ok(whole) => Self::lack(entry, whole.as_ref())
                .unwrap_or_else(|| "it has a login now, and had none a moment ago".to_owned()),
            Err(Lost::Before(fault) | Lost::Maybe(fault)) => fault.to_string(),
        }
    }

    async fn warnings(&self, entry: &EntryRef) -> Vec<String> {
        // What cannot be looked at is told of by `read`.
        let Ok(Some(whole)) = self.see(entry).await else { return Vec::new() };
        let owned = whole.metadata("ownerReferences").and_then(Value::as_array).is_some_and(|owners| !owners.is_empty());
        let by =
            whole.metadata("labels").and_then(|labels| labels.get("app.kubernetes.io/managed-by")).and_then(Value::as_str);
        let name = self.about(entry);
        match by.filter(|by| *by != "handover") {
            _ if owned => vec![format!(
                "{name} belongs to another object (ownerReferences), whose controller may put the old login back: let it write the \
                 login where it takes it from"
            )],
            Some(by) => {
                let by: String = by.chars().filter(char::is_ascii_graphic).take(64).collect();
                vec![format!(
                    "{name} is managed by {by}, which may put the old login back: let only one of the two write it"
                )]
            }
            None => Vec::new(),
        }
    }

    async fn write(&self, entry: &EntryRef, login: &Login, expect: &[&Secret]) -> Outcome<()> {
        outcome(self.put(entry, login, expect).await)
    }
}

#[cfg(test)]
#[path = "kubernetes_tests.rs"]
mod tests;
