//! The source `vault-transit`: a key in the Transit engine of HashiCorp Vault or OpenBao wraps, and never leaves it.
//!
//! Only `datakey`, `decrypt` and `rewrap` are called: `encrypt` would make a key that is missing, in silence, for a token that may
//! `create`. Every call names the journal as its `context`, and a key that does not heed it is refused when it is first used: what
//! was wrapped for one journal must not open for another. Nothing that the server says is shown.

use std::path::PathBuf;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::time::Span;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::CODES;
use crate::config::fields::Fields;
use crate::journal::{Key, KeySource, Wrapped};
use crate::vault::session::{Call, Session, data, says};
use crate::vault::{Auth, login};
use crate::web::{Answer, Api, Lost};

const TIMEOUT: Span = Span::seconds(10);

/// What the file of the sealing key may say about this source.
pub(super) struct Options {
    address: Url,
    ca_file: Option<PathBuf>,
    namespace: Option<String>,
    mount: String,
    key: String,
    auth: Auth,
}

/// Reads the options.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Options> {
    let address = fields.required_url("address");
    let ca_file = fields.optional_path("ca_file");
    let namespace = login::namespace(fields);
    let mount = login::path_or(fields, "mount", "transit");
    let key = fields.required_str("key");
    let auth = fields.required_map("auth", login::auth);
    if key.as_deref().is_some_and(|k| matches!(k, "." | "..") || k.contains('/')) {
        fields.problem(
            "HO0113",
            "key",
            "`key` is no name of a key",
            "write the name that the key has in the Transit engine",
        );
        return None;
    }
    Some(Options { address: address?, ca_file, namespace: namespace?, mount: mount?, key: key?, auth: auth? })
}

pub(super) struct Transit {
    session: Session,
    namespace: Option<String>,
    mount: String,
    key: String,
}

#[derive(Deserialize)]
struct Plain {
    plaintext: String,
}

#[derive(Deserialize)]
struct Cipher {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Both {
    plaintext: String,
    ciphertext: String,
}

impl Transit {
    pub(super) fn new(options: Options) -> Result<Self, Fault> {
        let api = Api::new("Vault Transit", &options.address, options.ca_file.as_deref(), TIMEOUT, CODES)?;
        let session = Session::new(api, options.auth, options.namespace.as_deref());
        Ok(Self { session, namespace: options.namespace, mount: options.mount, key: options.key })
    }

    fn odd(&self, what: impl std::fmt::Display, hint: impl Into<String>) -> Fault {
        self.session.api.fault(FaultClass::Permanent, CODES.odd, what).hint(hint)
    }

    /// A call of the engine that succeeds, or 400 or 404.
    async fn call(&self, path: &str, body: &serde_json::Value) -> Result<Answer, Fault> {
        let path = format!("{}/{path}/{}", self.mount, self.key);
        let policy = format!("path \"{path}\" {{ capabilities = [\"update\"] }}");
        let call = Call::new(Method::POST, path.clone(), Some(body.to_string().into_bytes()));
        self.session.ask(&call, &format!("update {path}"), &policy).await.map_err(|lost| match lost {
            // Nothing is changed by any of the calls: it does not matter whether it was heard.
            Lost::Before(fault) | Lost::Maybe(fault) => fault,
        })
    }

    /// What an answer that is no success means.
    fn refused(&self, answer: &Answer, doing: &str) -> Fault {
        let name = format!("{}/keys/{}", self.mount, self.key);
        let status = answer.status.as_u16();
        if status == 404 || says(answer, "not found") {
            let make = format!("make it once: `bao write {name} type=aes256-gcm96 derived=true`");
            return self.odd(format!("there is no key {name}"), make);
        }
        if says(answer, "disallowed by policy") || says(answer, "too old") {
            let what = format!("the key {name} does not decrypt with the version that this was wrapped by any more");
            return self.odd(what, "lower its `min_decryption_version` again, then run `handover seal rotate`");
        }
        let hint = "was the key deleted and made anew, or is this another server? what it wrapped needs the same key";
        self.odd(format!("it refused to {doing} with the key {name} ({status})"), hint)
    }

    fn garbled(&self, doing: &str) -> Fault {
        self.odd(format!("it answered something else than expected to: {doing}"), "is this a Transit engine?")
    }

    async fn decrypt(&self, context: &str, text: &str) -> Result<Result<Key, Fault>, Fault> {
        let body = json!({ "ciphertext": text, "context": STANDARD.encode(context) });
        let answer = self.call("decrypt", &body).await?;
        if !answer.status.is_success() {
            return Ok(Err(self.refused(&answer, "decrypt")));
        }
        let plain = data::<Plain>(&answer).ok_or_else(|| self.garbled("decrypt"))?;
        Ok(key(plain.plaintext).ok_or_else(|| self.garbled("decrypt")))
    }

    fn wrapped(&self, text: String, doing: &str) -> Result<Wrapped, Fault> {
        match version(&text) {
            Some(version) => Ok(Wrapped { text, version: Some(version) }),
            None => Err(self.garbled(doing)),
        }
    }
}

/// The key in an answer, which is wiped.
fn key(plaintext: String) -> Option<Key> {
    let text = Zeroizing::new(plaintext);
    let bytes = Zeroizing::new(STANDARD.decode(text.as_bytes()).ok()?);
    let mut key = Key::default();
    (bytes.len() == key.len()).then(|| key.copy_from_slice(&bytes))?;
    Some(key)
}

/// The version of the key in `vault:v3:…`.
fn version(text: &str) -> Option<u64> {
    let (version, rest) = text.strip_prefix("vault:v")?.split_once(':')?;
    version.parse().ok().filter(|_| !rest.is_empty())
}

/// What binds to a journal.
fn context(instance: &str) -> String {
    format!("handover journal {instance}")
}

#[async_trait]
impl KeySource for Transit {
    fn kind(&self) -> &'static str {
        "vault-transit"
    }

    fn id(&self) -> String {
        // Not the address: a server that moves is the same.
        let namespace = self.namespace.as_deref().map(|n| format!("{}/", n.trim_matches('/'))).unwrap_or_default();
        format!("{namespace}{}/keys/{}", self.mount, self.key)
    }

    fn strength(&self) -> String {
        format!(
            "the state folder alone opens nothing, {} must be asked with its login; whoever has both has everything",
            self.session.api.who()
        )
    }

    async fn make(&self, instance: &str) -> Result<(Key, Wrapped), Fault> {
        let body = json!({ "bits": 256, "context": STANDARD.encode(context(instance)) });
        let answer = self.call("datakey/plaintext", &body).await?;
        if !answer.status.is_success() {
            return Err(self.refused(&answer, "make a data key"));
        }
        let both = data::<Both>(&answer).ok_or_else(|| self.garbled("make a data key"))?;
        let key = key(both.plaintext).ok_or_else(|| self.garbled("make a data key"))?;
        let wrapped = self.wrapped(both.ciphertext, "make a data key")?;
        // A key that is not derived ignores the context, and everything would open everywhere.
        if self.decrypt(&context("another"), &wrapped.text).await?.is_ok() {
            let name = format!("{}/keys/{}", self.mount, self.key);
            let what = format!("the key {name} is not derived: it would open for any journal");
            let hint = "make another one with `derived=true`, and name it: this cannot be changed later";
            return Err(self.odd(what, hint));
        }
        Ok((key, wrapped))
    }

    async fn unwrap(&self, instance: &str, text: &str) -> Result<Key, Fault> {
        self.decrypt(&context(instance), text).await?
    }

    async fn rewrap(&self, instance: &str, text: &str) -> Result<Option<Wrapped>, Fault> {
        let body = json!({ "ciphertext": text, "context": STANDARD.encode(context(instance)) });
        let answer = self.call("rewrap", &body).await?;
        if !answer.status.is_success() {
            return Err(self.refused(&answer, "rewrap"));
        }
        let cipher = data::<Cipher>(&answer).ok_or_else(|| self.garbled("rewrap"))?;
        self.wrapped(cipher.ciphertext, "rewrap").map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_stands_in_what_is_wrapped() {
        for (text, expected) in
            [("vault:v1:abc", Some(1)), ("vault:v12:a:b", Some(12)), ("vault:v1:", None), ("vault:x:abc", None), ("", None)]
        {
            assert_eq!(version(text), expected, "{text}");
        }
        assert!(key(STANDARD.encode([7; 32])).is_some_and(|k| *k == [7; 32]));
        assert!(key(STANDARD.encode([7; 16])).is_none());
        assert!(key("%".to_owned()).is_none());
    }
}
