//! Access tokens for a client and its secret (OAuth 2.0 client credentials, RFC 6749 section 4.4), as Microsoft Entra hands them out.
//!
//! A provider signs in to its API by one. Where an SMTP server takes tokens and no passwords, a login is proven by one: the secret that
//! rotates is what it is asked for with. Each is made for one use and dropped; none is kept, since a kept one outlives its secret, and
//! would show a version to be accepted that is long removed.

use std::sync::Arc;

use handover_rotation::outcome::FaultClass;
use serde::{Deserialize, Deserializer};

use crate::secret::Secret;
use crate::web::{Answer, Api, Codes, Lost, form};

/// What Entra says of a client secret that is wrong or removed, and of one that has ended.
const REFUSED: [u64; 2] = [7_000_215, 7_000_222];

/// The token endpoint of a tenant.
pub struct Door {
    api: Api,
    tenant: String,
    codes: Codes,
}

/// What came of asking for a token.
pub enum Granted {
    /// A token.
    Token(Secret),
    /// A word about the secret: it is wrong, removed, or has ended. It is told by Entra's code, such as `AADSTS7000215`.
    Refused(String),
}

/// How a login is shown to an SMTP server that takes tokens and no passwords: its password is a client's secret.
pub struct Bearer {
    door: Door,
    client_id: String,
    scope: String,
}

struct Token(Secret);

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

#[derive(Deserialize)]
struct Success {
    access_token: Token,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    error_codes: Vec<u64>,
}

impl Door {
    /// The endpoint of `tenant` at this address, whose faults have these codes.
    #[must_use]
    pub fn new(api: Api, tenant: &str, codes: Codes) -> Self {
        Self { api, tenant: tenant.to_owned(), codes }
    }

    /// Asks for a token. Getting one changes nothing.
    ///
    /// # Errors
    /// It did not come, and that says nothing about the secret: always [`Lost::Before`].
    pub async fn token(&self, client_id: &str, secret: &Secret, scope: &str) -> Result<Granted, Lost> {
        let doing = "sign in as the application of `client_id`";
        let url = self.api.url(&[self.tenant.as_str(), "oauth2", "v2.0", "token"])?;
        let request = form(
            self.api.client.post(url),
            &[
                ("grant_type", "client_credentials"),
                ("client_id", client_id),
                ("client_secret", secret.expose()),
                ("scope", scope),
            ],
        );
        let answer = self.api.send(request).await.map_err(Lost::before_the_change)?;
        match answer.status.as_u16() {
            200 => {
                let success: Option<Success> = answer.json();
                let token = success.map(|success| Granted::Token(success.access_token.0));
                token.ok_or_else(|| self.api.garbled(doing).before_the_change())
            }
            // A wrong client is a 400 or a 401.
            400 | 401 => self.refused(&answer, doing),
            _ => Err(self.api.refused(&answer, doing).before_the_change()),
        }
    }

    fn refused(&self, answer: &Answer, doing: &str) -> Result<Granted, Lost> {
        let codes = answer.json::<Refusal>().map(|refusal| refusal.error_codes).unwrap_or_default();
        if let Some(code) = codes.iter().find(|code| REFUSED.contains(code)) {
            return Ok(Granted::Refused(format!("AADSTS{code}")));
        }
        let code = codes.first().map_or_else(String::new, |code| format!(" (AADSTS{code})"));
        let fault = self.api.fault(FaultClass::Permanent, self.codes.forbidden, format!("it refused to {doing}{code}"));
        Err(Lost::Before(fault.hint("are the tenant, the client id and the scope those of the application?")))
    }
}

impl Bearer {
    /// Tokens of `scope` for the application `client_id`.
    #[must_use]
    pub fn new(door: Door, client_id: &str, scope: &str) -> Arc<Self> {
        Arc::new(Self { door, client_id: client_id.to_owned(), scope: scope.to_owned() })
    }

    /// A token for the password of a login.
    ///
    /// # Errors
    /// Those of [`Door::token`].
    pub async fn token(&self, password: &Secret) -> Result<Granted, Lost> {
        self.door.token(&self.client_id, password, &self.scope).await
    }
}
