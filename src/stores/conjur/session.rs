//! A login at Conjur, and calls made with it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_rotation::outcome::FaultClass;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::config::inventory::SecretRef;
use crate::web::{Answer, Api, Lost};

/// A token lives eight minutes; none is used that is older than this.
const TOKEN_LIFE: Duration = Duration::from_secs(5 * 60);

struct Token {
    /// `Token token="…"`, ready to be sent.
    header: Zeroizing<String>,
    made: Instant,
}

/// A server with a login.
pub(super) struct Session {
    pub(super) api: Api,
    account: String,
    login: String,
    api_key: SecretRef,
    token: Mutex<Option<Arc<Token>>>,
}

impl Session {
    pub(super) fn new(api: Api, account: String, login: String, api_key: SecretRef) -> Self {
        Self { api, account, login, api_key, token: Mutex::new(None) }
    }

    pub(super) fn login(&self) -> &str {
        &self.login
    }

    pub(super) fn full_id(&self, id: &str) -> String {
        format!("{}:variable:{id}", self.account)
    }

    /// The address of a variable under `secrets` or `resources`.
    pub(super) fn variable(&self, under: &str, id: &str) -> Result<Url, Lost> {
        self.api.url(&[under, &self.account, "variable", id])
    }

    /// Sends a call, and once more with a new token if it was refused as not logged in: that has not happened. Success, 403, 404,
    /// 406 and 422 are for the caller; what else is refused may be too.
    pub(super) async fn ask(
        &self,
        method: Method,
        url: Url,
        body: Option<&Zeroizing<Vec<u8>>>,
        doing: &str,
    ) -> Result<Answer, Lost> {
        let token = self.token(None).await?;
        let answer = self.once(method.clone(), url.clone(), body, &token).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let newer = self.token(Some(&token)).await?;
        let answer = self.once(method, url, body, &newer).await?;
        match answer.status {
            StatusCode::UNAUTHORIZED => Err(self.api.refused(&answer, doing)),
            _ => Ok(answer),
        }
    }

    async fn once(
        &self,
        method: Method,
        url: Url,
        body: Option<&Zeroizing<Vec<u8>>>,
        token: &Token,
    ) -> Result<Answer, Lost> {
        let Ok(mut header) = HeaderValue::from_str(&token.header) else { return Err(self.api.garbled("log in")) };
        header.set_sensitive(true);
        let mut request = self.api.client.request(method, url).header(AUTHORIZATION, header);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/octet-stream").body(body.to_vec());
        }
        self.api.send(request).await
    }

    async fn token(&self, refused: Option<&Arc<Token>>) -> Result<Arc<Token>, Lost> {
        let mut place = self.token.lock().await;
        if let Some(token) = place.as_ref()
            && token.made.elapsed() < TOKEN_LIFE
            && !refused.is_some_and(|refused| Arc::ptr_eq(refused, token))
        {
            return Ok(Arc::clone(token));
        }
        let token = Arc::new(self.log_in().await.map_err(super::nothing_sent)?);
        *place = Some(Arc::clone(&token));
        Ok(token)
    }

    async fn log_in(&self) -> Result<Token, Lost> {
        let key = self.api_key.read().map_err(Lost::Before)?;
        let url = self.api.url(&["authn", &self.account, &self.login, "authenticate"])?;
        let made = Instant::now();
        let request = self.api.client.post(url).header(CONTENT_TYPE, "text/plain").body(key.expose().to_owned());
        let answer = self.api.send(request).await?;
        match answer.status.as_u16() {
            200 if !answer.bytes().is_empty() => {
                let mut header = Zeroizing::new(String::with_capacity(answer.bytes().len() * 2 + 16));
                header.push_str("Token token=\"");
                header.push_str(&Zeroizing::new(STANDARD.encode(answer.bytes())));
                header.push('"');
                Ok(Token { header, made })
            }
            200 => Err(self.api.garbled("log in")),
            401 | 403 => {
                let what = format!("it refused the login {} of the account {}", self.login, self.account);
                let fault = self.api.fault(FaultClass::Permanent, "HO0632", what);
                Err(Lost::Before(fault.hint("is `api_key` that of this login, and is a host written as host/…?")))
            }
            _ => Err(self.api.refused(&answer, "log in")),
        }
    }
}
