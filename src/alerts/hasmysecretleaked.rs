//! The source `hasmysecretleaked`: asks HasMySecretLeaked whether hashes of ours are known to have leaked in public. Of a hash only
//! the first 20 bits are sent; what comes back for them is encrypted with the whole hashes.

use std::path::PathBuf;

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use handover_rotation::outcome::{Fault, Outcome};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::json::Json;
use super::options::{Access, Caller, TIMEOUT, open, schema};
use super::{Ability, Delivery, Known, Received, Rejected, Source};
use crate::config::fields::Fields;
use crate::secret::Secret;
use crate::web::Lost;

/// Where it is.
const ADDRESS: &str = "https://api.hasmysecretleaked.com";

/// How many prefixes a call may have.
const MOST_PREFIXES: usize = 10;

/// How many hashes may be asked for at once.
const MOST_HASHES: usize = 1_000;

/// Hex digits of a prefix.
const PREFIX: usize = 5;

/// HasMySecretLeaked.
pub struct HasMySecretLeaked {
    caller: Caller,
    /// Where a token for it comes from: without one it answers a few questions a day.
    tokens: Option<Caller>,
    audience: String,
}

/// What an inventory says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HasMySecretLeakedOptions {
    address: Url,
    ca_file: Option<PathBuf>,
    api: Option<Access>,
}

impl HasMySecretLeaked {
    /// Reads the options: `{address: URL, ca_file: PATH, api: {key: SECRET, address: URL, ca_file: PATH}}`, where `api` is
    /// GitGuardian's, for a token.
    pub fn options(fields: &mut Fields<'_>) -> Option<HasMySecretLeakedOptions> {
        let address = fields.optional_url("address").or_else(|| Url::parse(ADDRESS).ok());
        let ca_file = fields.optional_path("ca_file");
        let api = fields.optional_map("api", |fields| Access::read(fields, "https://api.gitguardian.com"));
        Some(HasMySecretLeakedOptions { address: address?, ca_file, api })
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> Value {
        let properties = json!({
            "address": {"type": "string", "pattern": "^https?://"},
            "ca_file": {"type": "string", "minLength": 1},
            "api": Access::schema(json!({})),
        });
        schema(&[], properties)
    }

    /// The source. It contacts nothing.
    ///
    /// # Errors
    /// An address cannot be used.
    pub fn open(_name: &str, options: HasMySecretLeakedOptions) -> Result<Self, Fault> {
        Ok(Self {
            caller: open("HasMySecretLeaked", &options.address, options.ca_file.as_deref(), TIMEOUT)?,
            tokens: options.api.map(|access| access.open("GitGuardian", "Token")).transpose()?,
            audience: options.address.as_str().trim_end_matches('/').to_owned(),
        })
    }

    async fn token(&self) -> Result<Option<Secret>, Lost> {
        let Some(tokens) = &self.tokens else { return Ok(None) };
        let doing = "get a token for HasMySecretLeaked";
        let request = tokens.request(Method::POST, &["v1", "auth", "jwt"], &[])?;
        let request = request.json(&json!({"audience": self.audience, "audience_type": "hmsl"}));
        let answer = tokens.read(request, doing).await?;
        answer.text(&["token"]).map(|token| Some(Secret::new(token.to_owned()))).ok_or_else(|| tokens.api.garbled(doing))
    }

    async fn ask(&self, hashes: &[[u8; 32]]) -> Result<Vec<Known>, Lost> {
        if hashes.len() > MOST_HASHES {
            return Err(Lost::Before(self.caller.refusal("more than 1000 hashes are asked for at once")));
        }
        let doing = "ask for prefixes of hashes";
        let token = self.token().await.map_err(Lost::before_the_change)?;
        let mut prefixes: Vec<String> = hashes.iter().map(prefix).collect();
        // In the order of the alphabet, so that it does not tell which belong together.
        prefixes.sort();
        prefixes.dedup();
        let mut known = Vec::new();
        for batch in prefixes.chunks(MOST_PREFIXES) {
            let mut request = self.caller.request(Method::POST, &["v1", "prefixes"], &[])?;
            if let Some(token) = &token {
                request = self.caller.authorize(request, "Bearer", token)?;
            }
            let answer = self.caller.read(request.json(&json!({"prefixes": batch})), doing).await?;
            let Some(Json::List(matches)) = answer.get("matches") else { return Err(self.caller.api.garbled(doing)) };
            for hash in hashes.iter().filter(|hash| batch.contains(&prefix(hash))) {
                let hint = hint(hash);
                let Some(found) = matches.iter().find(|m| m.text(&["hint"]) == Some(&hint)) else { continue };
                let payload = found.text(&["payload"]).and_then(|payload| opened(hash, payload));
                known.push(payload.ok_or_else(|| self.caller.api.garbled(doing))?);
            }
        }
        Ok(known)
    }
}

fn prefix(hash: &[u8; 32]) -> String {
    hex::encode(hash).chars().take(PREFIX).collect()
}

/// What stands for a hash in an answer.
fn hint(hash: &[u8; 32]) -> String {
    hex::encode(digest::digest(&digest::SHA256, hash))
}

/// The payload of a match, decrypted with the whole hash: a nonce, and AES-256-GCM of `{"c": count, "l": {"u": address}}`.
fn opened(hash: &[u8; 32], payload: &str) -> Option<Known> {
    let bytes = BASE64_STANDARD.decode(payload).ok()?;
    let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, hash).ok()?);
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let plain = key.open_in_place(Nonce::try_assume_unique_for_key(nonce).ok()?, Aad::empty(), &mut buffer).ok()?;
    let told = Json::read(plain).ok()?;
    let report = super::Report::new("", "").url(told.text(&["l", "u"]));
    Some(Known { hash: *hash, count: told.number(&["c"])?, url: report.url })
}

#[async_trait]
impl Source for HasMySecretLeaked {
    fn able(&self) -> Ability {
        Ability { knows: true, ..Ability::default() }
    }

    async fn receive(&self, _delivery: &Delivery<'_>) -> Result<Received, Rejected> {
        let why = "HasMySecretLeaked sends nothing".to_owned();
        Err(Rejected { status: 403, code: "HO1115", why })
    }

    async fn known(&self, hashes: &[[u8; 32]]) -> Outcome<Vec<Known>> {
        crate::web::outcome(self.ask(hashes).await)
    }
}

#[cfg(test)]
#[path = "hasmysecretleaked_tests.rs"]
mod tests;
