//! Logins at clouds that give a token for an hour or so: how one is got, and where it is kept, which is memory and nothing else.
//!
//! ```text
//!  client   an application of Microsoft Entra, with a secret or with a token of another issuer
//!  key      a service account of Google, with its key file
//!  machine  the metadata service of the machine, of either
//!  session  keeps the token, renews it, and puts it on requests
//!  options  how an inventory says which
//! ```
//!
//! What this must not do: show a token or an assertion, or repeat a request that was not refused.

pub(crate) mod client;
pub(crate) mod key;
pub(crate) mod machine;
pub(crate) mod options;
pub(crate) mod session;

use serde::{Deserialize, Deserializer};

use crate::secret::Secret;
use crate::web::{Answer, Api, Lost};

/// A token, and for how many seconds it is good.
pub(crate) struct Grant {
    pub(crate) token: Secret,
    pub(crate) lives: u64,
}

#[derive(Deserialize)]
struct Told {
    access_token: Shown,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: u64,
}

/// A token in an answer.
struct Shown(Secret);

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

/// A number, which Azure's metadata service writes as a text. What is neither is a token of no known life, used once.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let told = serde_json::Value::deserialize(deserializer)?;
    Ok(told.as_u64().or_else(|| told.as_str()?.parse().ok()).unwrap_or_default())
}

/// The token in an answer to `doing`. Whatever is wrong, nothing was changed by asking.
fn granted(door: &Api, answer: &Answer, doing: &str) -> Result<Grant, Lost> {
    match answer.status.as_u16() {
        200 => {
            let told: Option<Told> = answer.json();
            let grant = told.map(|told| Grant { token: told.access_token.0, lives: told.expires_in });
            grant.ok_or_else(|| door.garbled(doing).before_the_change())
        }
        _ => Err(door.refused(answer, doing).before_the_change()),
    }
}
