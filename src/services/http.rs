//! Services reached over HTTP. Every call is a connection of its own, goes where the inventory says and nowhere else: no
//! redirects, no proxy from the environment, no repetition inside the client.
//!
//! Plain `http` is allowed, since services are inside and no secret travels: what is sent is a nonce, an address or a
//! challenge. What comes back is parsed into types and dropped (threats T8, T17).

use std::time::Duration;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect, retry};
use serde::Serialize;

use super::{Attest, Attestation, Reload, TestSend, answer};
use crate::config::fields::Fields;
use crate::config::inventory::MOST_TIMEOUT;
use crate::config::schema;
use crate::web::{Lost, tls_cause};

/// The time a call may take if the inventory says nothing.
pub const DEFAULT_TIMEOUT: Span = Span::seconds(10);

/// The most that is read of an answer.
const MOST_BODY: usize = 1 << 20;

/// And never more than half of the whole: a connection that was not made must be told from an answer that did not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How a service is asked to do something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpMethod {
    /// `method: POST`, the default.
    #[default]
    Post,
    /// `method: PUT`.
    Put,
}

/// One address of a service.
///
/// | ability | request | done |
/// |---|---|---|
/// | reload | `POST`, empty | 2xx |
/// | test-send | `POST {"nonce", "to"}` | 2xx without `"accepted": false` |
/// | attest | `GET ?challenge=` | 2xx with `{"username", "proof"}` |
///
/// Other answers: `502 {"accepted": false, "reply": "535 …"}` to a test-send tells what the service's SMTP server said;
/// any other 5xx, 408, 429 and a connection that is lost after it was made are `Unknown`; 3xx and other 4xx are `NotDone`.
pub struct HttpAction {
    client: Client,
    url: Url,
    method: Method,
    timeout: Span,
}

#[derive(Serialize)]
struct SendRequest<'a> {
    nonce: &'a str,
    to: &'a str,
}

impl HttpAction {
    /// Takes an address.
    ///
    /// # Errors
    /// `HO0721` for what is no http or https address, or has a login in it; `HO0722` if TLS cannot be set up.
    pub fn new(url: &str, method: HttpMethod, timeout: Span) -> Result<Self, Fault> {
        let bad = |what: &str| {
            let fault = Fault::new(FaultClass::Permanent, "HO0721", format!("the url cannot be used: {what}"));
            fault.hint("write it as http://host/path or https://host/path")
        };
        let url = Url::parse(url).map_err(|_| bad("it is not a complete address"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(bad("only http and https are spoken here"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it has a login in the clear"));
        }
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_millis(timeout.0))
            .connect_timeout(CONNECT_TIMEOUT.min(Duration::from_millis(timeout.0 / 2)))
            .user_agent(concat!("handover/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == "http" {
            // No redirect can lead to TLS, and to load the system's roots takes longer than many a call.
            builder = builder.tls_certs_only([]);
        }
        let client = builder
            .build()
            .map_err(|_| Fault::new(FaultClass::Permanent, "HO0722", "TLS could not be set up for calls to services"))?;
        let method = match method {
            HttpMethod::Post => Method::POST,
            HttpMethod::Put => Method::PUT,
        };
        Ok(Self { client, url, method, timeout })
    }

    /// After this long a call has surely ended.
    #[must_use]
    pub fn request_timeout(&self) -> Span {
        Span(self.timeout.0.saturating_add(1_000))
    }

    /// `http newsletter-api.internal`: paths and queries may hold what nobody should see.
    fn who(&self) -> String {
        let port = self.url.port().map_or_else(String::new, |port| format!(":{port}"));
        format!("http {}{port}", self.url.host_str().unwrap_or_default())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Lost> {
        request.send().await.map_err(|error| self.not_answered(&error))
    }

    fn not_answered(&self, error: &reqwest::Error) -> Lost {
        let who = self.who();
        if error.is_builder() {
            return Lost::Before(Fault::new(
                FaultClass::Permanent,
                "HO0721",
                format!("{who}: no request can be made of it"),
            ));
        }
        if error.is_connect() {
            let (class, what) = match tls_cause(error).is_some() {
                true => (FaultClass::Environment, "TLS failed"),
                false => (FaultClass::Temporary, "no connection"),
            };
            let fault = Fault::new(class, "HO0723", format!("{who}: {what}"));
            return Lost::Before(fault.hint("is the service up, and is this its address?"));
        }
        let what = match error.is_timeout() {
            true => format!("no answer within {}", self.timeout),
            false => "the connection was lost before the answer".to_owned(),
        };
        Lost::Maybe(Fault::new(FaultClass::Temporary, "HO0724", format!("{who}: {what}")))
    }

    /// The body, if it comes in whole and is not larger than it may be.
    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Lost> {
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(None) => return Ok(body),
                Ok(Some(chunk)) if body.len() + chunk.len() <= MOST_BODY => body.extend_from_slice(&chunk),
                Ok(Some(_)) => {
                    let message = format!("{}: its answer is larger than 1 MiB", self.who());
                    return Err(Lost::Maybe(Fault::new(FaultClass::Permanent, "HO0727", message)));
                }
                Err(error) => return Err(self.not_answered(&error)),
            }
        }
    }

    /// What a status that is not 2xx means.
    fn refused(&self, status: StatusCode) -> Lost {
        let message = format!("{}: it answered {}", self.who(), status.as_u16());
        match status.as_u16() {
            408 | 429 | 500.. => Lost::Maybe(Fault::new(FaultClass::Temporary, "HO0725", message)),
            _ => {
                let fault = Fault::new(FaultClass::Permanent, "HO0726", message);
                Lost::Before(fault.hint("redirects are not followed; correct the url, or the service"))
            }
        }
    }

    async fn try_test_send(&self, nonce: &str, to: &str) -> Result<Outcome<()>, Lost> {
        let request = self.client.request(self.method.clone(), self.url.clone()).json(&SendRequest { nonce, to });
        let response = self.send(request).await?;
        let status = response.status();
        if !status.is_success() && status != StatusCode::BAD_GATEWAY {
            return Err(self.refused(status));
        }
        let body = self.body(response).await?;
        Ok(match answer::refused_send(&self.who(), &body) {
            Some(fault) => Outcome::NotDone(fault),
            None if status.is_success() => Outcome::Done(()),
            None => self.refused(status).into(),
        })
    }

    async fn try_attest(&self, challenge: &str) -> Result<Outcome<Attestation>, Lost> {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("challenge", challenge);
        let response = self.send(self.client.get(url)).await?;
        if !response.status().is_success() {
            return Err(self.refused(response.status()));
        }
        let body = self.body(response).await?;
        Ok(answer::attestation(&self.who(), &body))
    }
}

#[async_trait]
impl Reload for HttpAction {
    fn request_timeout(&self) -> Span {
        Self::request_timeout(self)
    }

    fn describe(&self) -> String {
        self.who()
    }

    async fn reload(&self) -> Outcome<()> {
        // A body of no bytes still states its length, which some servers insist on.
        let request = self.client.request(self.method.clone(), self.url.clone()).header(CONTENT_LENGTH, 0);
        match self.send(request).await {
            Ok(response) if response.status().is_success() => Outcome::Done(()),
            Ok(response) => self.refused(response.status()).into(),
            Err(lost) => lost.into(),
        }
    }
}

#[async_trait]
impl TestSend for HttpAction {
    fn request_timeout(&self) -> Span {
        Self::request_timeout(self)
    }

    async fn test_send(&self, nonce: &str, to: &str) -> Outcome<()> {
        self.try_test_send(nonce, to).await.unwrap_or_else(Outcome::from)
    }
}

#[async_trait]
impl Attest for HttpAction {
    fn request_timeout(&self) -> Span {
        Self::request_timeout(self)
    }

    async fn attest(&self, challenge: &str) -> Outcome<Attestation> {
        self.try_attest(challenge).await.unwrap_or_else(Outcome::from)
    }
}

impl HttpAction {
    /// Reads the options: `{url, method, timeout}`.
    pub fn options(fields: &mut Fields<'_>) -> Option<Self> {
        let url = fields.required_url("url");
        let method = fields.has("method");
        let chosen = fields.optional_choice("method", &[("POST", HttpMethod::Post), ("PUT", HttpMethod::Put)]);
        let timed = fields.has("timeout");
        let timeout = fields.optional_duration("timeout", Span::seconds(1)..=MOST_TIMEOUT);
        let method = if method { chosen? } else { HttpMethod::default() };
        let timeout = if timed { timeout? } else { DEFAULT_TIMEOUT };
        Self::new(url?.as_str(), method, timeout)
            .map_err(|fault| fields.problem("HO0721", "url", fault.message, fault.hint.unwrap_or_default()))
            .ok()
    }

    /// The JSON Schema of the options.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        serde_json::json!({
            "type": "object", "additionalProperties": false, "required": ["url"],
            "properties": {
                "url": {"type": "string", "pattern": "^\\s*[hH][tT][tT][pP][sS]?:"},
                "method": {"enum": ["POST", "PUT"]},
                "timeout": schema::duration(),
            }
        })
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
