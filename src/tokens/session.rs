//! An API with a login: the token is got when it is needed, kept in memory, and replaced before it ends or when it is refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use handover_rotation::outcome::Fault;
use handover_rotation::time::Span;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::client::Client;
use super::machine::Cloud;
use super::{Grant, key};
use crate::config::inventory::SecretRef;
use crate::secret::Secret;
use crate::web::{Answer, Api, Codes, Lost};

/// How Handover logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// A token that somebody else makes, and makes anew.
    Token(SecretRef),
    /// An application of Entra, at this address and for this scope.
    Client { client: Client, address: Url, scope: String },
    /// The key file of a service account of Google.
    Key(SecretRef),
    /// The identity of this machine, told by a service at this address.
    Machine { cloud: Cloud, address: Url },
}

/// What is asked for tokens.
enum Door {
    Token(SecretRef),
    Client(Client, Api, String),
    Key(SecretRef, Option<PathBuf>),
    Machine(Cloud, Api),
}

/// A token, and when it is to be replaced.
struct Live {
    token: Secret,
    due: Instant,
}

/// An API with a login.
pub(crate) struct Session {
    pub(crate) api: Api,
    door: Door,
    timeout: Span,
    codes: Codes,
    live: Mutex<Option<Arc<Live>>>,
}

impl Session {
    /// Nothing is sent and no secret is read before the first call.
    pub(crate) fn new(api: Api, login: Login, ca_file: Option<&Path>, timeout: Span, codes: Codes) -> Result<Self, Fault> {
        let door = match login {
            Login::Token(source) => Door::Token(source),
            Login::Client { client, address, scope } => {
                Door::Client(client, Api::new("Microsoft Entra", &address, ca_file, timeout, codes)?, scope)
            }
            Login::Key(source) => Door::Key(source, ca_file.map(Path::to_path_buf)),
            Login::Machine { cloud, address } => {
                Door::Machine(cloud, Api::of_this_machine("the metadata service", &address, timeout, codes)?)
            }
        };
        Ok(Self { api, door, timeout, codes, live: Mutex::new(None) })
    }

    /// Sends a request with the token, and once more with a new one where a login can give one and the first was refused: what is
    /// refused has not happened.
    pub(crate) async fn ask(&self, method: &Method, url: &Url, body: Option<&Zeroizing<Vec<u8>>>) -> Result<Answer, Lost> {
        let live = self.live(None).await?;
        let answer = self.once(method, url, body, &live.token).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        match &self.door {
            Door::Token(_) => {
                let fault = self.api.forbidden("the token is not taken: it has expired, or is for something else");
                Err(Lost::Before(fault.hint("put a new token where the inventory says")))
            }
            _ => {
                let newer = self.live(Some(&live)).await?;
                self.once(method, url, body, &newer.token).await
            }
        }
    }

    async fn once(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&Zeroizing<Vec<u8>>>,
        token: &Secret,
    ) -> Result<Answer, Lost> {
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose()));
        let plain = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
        let Some(mut header) = HeaderValue::from_str(&bearer).ok().filter(|_| plain) else {
            let fault = self.api.forbidden("the token has a character that no token has");
            return Err(Lost::Before(fault.hint("look into its file")));
        };
        header.set_sensitive(true);
        let mut request = self.api.client.request(method.clone(), url.clone()).header(AUTHORIZATION, header);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        }
        self.api.send(request).await
    }

    /// A token to use now: another than `refused`.
    async fn live(&self, refused: Option<&Arc<Live>>) -> Result<Arc<Live>, Lost> {
        let mut place = self.live.lock().await;
        if let Some(live) = place.as_ref()
            && refused.is_none_or(|refused| !Arc::ptr_eq(refused, live))
            && Instant::now() < live.due
        {
            return Ok(Arc::clone(live));
        }
        let Grant { token, lives } = self.grant().await?;
        // Nine tenths of its life, so that it does not end on its way.
        let due = Instant::now() + Duration::from_secs((lives - lives.div_ceil(10)).min(24 * 3600));
        let live = Arc::new(Live { token, due });
        *place = Some(Arc::clone(&live));
        Ok(live)
    }

    async fn grant(&self) -> Result<Grant, Lost> {
        match &self.door {
            // Read each time: whoever makes it may have put a new one there.
            Door::Token(source) => Ok(Grant { token: source.read().map_err(Lost::Before)?, lives: 0 }),
            Door::Client(client, door, scope) => client.grant(door, scope).await,
            Door::Key(source, ca_file) => key::grant(source, ca_file.as_deref(), self.timeout, self.codes).await,
            Door::Machine(cloud, door) => cloud.grant(door).await,
        }
    }

    /// After this long a call has surely ended: a token, the call, a new token, the call again.
    pub(crate) fn request_timeout(&self) -> Span {
        Span(self.api.request_timeout().0.saturating_mul(4))
    }
}
