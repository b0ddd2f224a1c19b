//! A login at Vault or OpenBao, and calls made with it: logs in when it must, and says exactly why a call was refused.
//!
//! vaultrs gives the requests and the forms of the answers; `web` sends them. vaultrs's own client is not used: it takes settings
//! and proxies from the environment, follows redirects, reads bodies of any size, logs what the server says, and panics on a token
//! that is no header. What this must not do: show a token, or repeat a call that may have been carried out.

use std::sync::Arc;
use std::time::Duration;

use handover_rotation::outcome::{Fault, FaultClass};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};
use rustify::Endpoint;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::sync::Mutex;
use tokio::time::Instant;
use vaultrs::api::auth::approle::requests::LoginWithApproleRequest;
use vaultrs::api::auth::kubernetes::requests::LoginWithKubernetesRequest;
use vaultrs::api::auth::oidc::requests::JWTLoginRequest;
use vaultrs::api::token::responses::LookupTokenResponse;
use vaultrs::api::{AuthInfo, EndpointError, EndpointResult};
use zeroize::{Zeroize, Zeroizing};

use super::login::Auth;
use crate::secret::Secret;
use crate::web::{Answer, Api, Lost};

/// One request. Its path is without `v1`.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Option<Zeroizing<Vec<u8>>>,
    pub(crate) merge: bool,
}

impl Call {
    /// What an endpoint of vaultrs asks for.
    pub(crate) fn of(endpoint: &impl Endpoint) -> Option<Self> {
        let body = endpoint.body().ok()?.map(Zeroizing::new);
        let path = endpoint.path().trim_start_matches('/').to_owned();
        Some(Self { method: endpoint.method().into(), path, body, merge: false })
    }

    /// One that vaultrs has no endpoint for.
    pub(crate) fn new(method: Method, path: impl Into<String>, body: Option<Vec<u8>>) -> Self {
        Self { method, path: path.into(), body: body.map(Zeroizing::new), merge: false }
    }
}

/// The `data` of an answer.
pub(crate) fn data<T: DeserializeOwned>(answer: &Answer) -> Option<T> {
    answer.json::<EndpointResult<T>>()?.data
}

/// Whether one of the errors that the server names has these words in it. They are looked at and never shown: a server may
/// repeat in them what it was sent.
pub(crate) fn says(answer: &Answer, words: &str) -> bool {
    answer.json::<EndpointError>().is_some_and(|e| e.errors.iter().any(|error| error.contains(words)))
}

/// A token, and when it is to be replaced.
struct Live {
    token: Secret,
    /// From then on it is renewed or replaced before it is used.
    due: Option<Instant>,
    /// Whether its life can be made longer.
    renewable: bool,
    /// Whether it can only be replaced by whoever made it.
    bare: bool,
    /// How long it lives still, when it was looked at; 0 for ever.
    ttl: Option<u64>,
}

/// A server with a login.
pub(crate) struct Session {
    pub(crate) api: Api,
    auth: Auth,
    namespace: Option<HeaderValue>,
    live: Mutex<Option<Arc<Live>>>,
}

impl Session {
    pub(crate) fn new(api: Api, auth: Auth, namespace: Option<&str>) -> Self {
        let namespace = namespace.and_then(|n| HeaderValue::from_str(n).ok());
        Self { api, auth, namespace, live: Mutex::new(None) }
    }

    /// Sends a call with the token, and once more with a new one if it was refused and there is a way to get one: what is refused
    /// has not happened. Any other end than success, 400 and 404 is a fault already. `doing` and `policy` name what the token
    /// must be allowed.
    pub(crate) async fn ask(&self, call: &Call, doing: &str, policy: &str) -> Result<Answer, Lost> {
        let live = self.live(None).await?;
        let mut answer = self.once(call, Some(&live.token)).await?;
        let mut used = live;
        if answer.status == StatusCode::FORBIDDEN {
            let newer = self.live(Some(&used)).await?;
            if !Arc::ptr_eq(&newer, &used) {
                answer = self.once(call, Some(&newer.token)).await?;
                used = newer;
            }
        }
        match answer.status.as_u16() {
            200..=299 | 400 | 404 => Ok(answer),
            403 => Err(Lost::Before(self.denied(&used, doing, policy).await)),
            _ => Err(self.refused(&answer, doing)),
        }
    }

    /// The same, once, whatever comes of it: for what may fail without harm.
    pub(crate) async fn try_once(&self, call: &Call) {
        if let Ok(live) = self.live(None).await {
            let _ = self.once(call, Some(&live.token)).await;
        }
    }

    /// What a person should know about the token.
    pub(crate) async fn warning(&self) -> Option<String> {
        const SOON: u64 = 24 * 3600;
        let live = self.live(None).await.ok()?;
        let ttl = live.ttl.filter(|ttl| (1..SOON).contains(ttl))?;
        (live.bare && !live.renewable).then(|| {
            format!(
                "the token for {} ends within {} minutes and cannot be renewed: use a login method",
                self.api.who(),
                ttl / 60 + 1
            )
        })
    }

    async fn once(&self, call: &Call, token: Option<&Secret>) -> Result<Answer, Lost> {
        let segments: Vec<&str> = std::iter::once("v1").chain(call.path.split('/')).collect();
        let mut request = self.api.client.request(call.method.clone(), self.api.url(&segments)?);
        request = request.header("X-Vault-Request", "true");
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace.clone());
        }
        if let Some(token) = token {
            let plain = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
            let Some(mut header) = HeaderValue::from_str(token.expose()).ok().filter(|_| plain) else {
                return Err(Lost::Before(
                    self.fault("the token has a character that no token has").hint("look into its file"),
                ));
            };
            header.set_sensitive(true);
            request = request.header("X-Vault-Token", header);
        }
        if let Some(body) = &call.body {
            let form = if call.merge { "application/merge-patch+json" } else { "application/json" };
            request = request.header(CONTENT_TYPE, form).body(body.to_vec());
        }
        self.api.send(request).await
    }

    fn fault(&self, what: impl std::fmt::Display) -> Fault {
        self.api.fault(FaultClass::Permanent, "HO0632", what)
    }

    fn refused(&self, answer: &Answer, doing: &str) -> Lost {
        match answer.status.as_u16() {
            503 if says(answer, "sealed") => {
                let fault = self.api.fault(FaultClass::Temporary, "HO0632", "it is sealed");
                Lost::Before(fault.hint("unseal it: `bao operator unseal`, or `vault operator unseal`"))
            }
            301..=308 => {
                let what = format!("it answered {} to: {doing}", answer.status.as_u16());
                let fault = self.api.fault(FaultClass::Permanent, "HO0634", what);
                Lost::Before(fault.hint("a standby that passes nothing on: let `address` name the active node"))
            }
            // A replica that has not caught up with the token or the value.
            412 => {
                Lost::Before(self.api.fault(FaultClass::Temporary, "HO0633", format!("its replica lags behind: {doing}")))
            }
            _ => self.api.refused(answer, doing),
        }
    }

    /// A 403 means a token that is no more, or one that lacks a permission: the server tells the two apart nowhere else.
    async fn denied(&self, live: &Live, doing: &str, policy: &str) -> Fault {
        let look = Call::new(Method::GET, "auth/token/lookup-self", None);
        match self.once(&look, Some(&live.token)).await {
            Ok(answer) if answer.status == StatusCode::FORBIDDEN => {
                let fault = self.fault("the token has expired, was revoked, or is none of this server and namespace");
                fault.hint(match &self.auth {
                    Auth::Token(_) => "put a new token where the configuration says, or use a login method such as approle",
                    _ => "if its policies lack `default`, it may be sound and only lack a permission",
                })
            }
            _ => self.fault(format!("its token may not {doing}")).hint(format!("add to its policy: {policy}")),
        }
    }

    /// A token to use now: another than `refused`, where there is a way to get one.
    async fn live(&self, refused: Option<&Arc<Live>>) -> Result<Arc<Live>, Lost> {
        let mut place = self.live.lock().await;
        if let Some(live) = place.as_ref() {
            let was_refused = refused.is_some_and(|refused| Arc::ptr_eq(refused, live));
            let due = live.due.is_some_and(|due| due <= Instant::now());
            if !was_refused && !due {
                return Ok(Arc::clone(live));
            }
            if due
                && !was_refused
                && live.bare
                && live.renewable
                && let Some(renewed) = self.renew(live).await
            {
                let renewed = Arc::new(renewed);
                *place = Some(Arc::clone(&renewed));
                return Ok(renewed);
            }
            if live.bare
                && let Auth::Token(source) = &self.auth
            {
                // Whoever made it may have put a new one there.
                let again = source.read().map_err(Lost::Before)?;
                if again.matches(&live.token) {
                    return Ok(Arc::clone(live));
                }
            }
        }
        // Nothing of what it is for has been sent.
        let live = Arc::new(self.log_in().await.map_err(nothing_sent)?);
        *place = Some(Arc::clone(&live));
        Ok(live)
    }

    async fn log_in(&self) -> Result<Live, Lost> {
        let odd = || Lost::Before(self.fault("the login cannot be written"));
        let call = match &self.auth {
            Auth::Token(source) => return self.look_at(source.read().map_err(Lost::Before)?).await,
            Auth::AppRole { mount, role_id, secret_id } => {
                let secret_id = secret_id.read().map_err(Lost::Before)?.expose().to_owned();
                let mut login = LoginWithApproleRequest { mount: mount.clone(), role_id: role_id.clone(), secret_id };
                let call = Call::of(&login);
                login.secret_id.zeroize();
                call
            }
            Auth::Kubernetes { mount, role, jwt } => {
                let jwt = jwt.read().map_err(Lost::Before)?.expose().to_owned();
                let mut login = LoginWithKubernetesRequest { mount: mount.clone(), role: role.clone(), jwt };
                let call = Call::of(&login);
                login.jwt.zeroize();
                call
            }
            Auth::Jwt { mount, role, jwt } => {
                let jwt = jwt.read().map_err(Lost::Before)?.expose().to_owned();
                let mut login = JWTLoginRequest { mount: mount.clone(), role: Some(role.clone()), jwt };
                let call = Call::of(&login);
                login.jwt.zeroize();
                call
            }
        };
        let call = call.ok_or_else(odd)?;
        let answer = self.once(&call, None).await?;
        let at = call.path.trim_end_matches("/login").to_owned();
        match answer.status.as_u16() {
            200 => {
                let auth = answer.json::<EndpointResult<IgnoredAny>>().and_then(|r| r.auth);
                auth.map(Live::of).ok_or_else(|| self.api.garbled("log in"))
            }
            404 => {
                Err(Lost::Before(self.fault(format!("nothing to log in at is at {at}")).hint("correct `mount` of `auth`")))
            }
            400 | 401 | 403 => {
                let fault = self.fault(format!("it refused the login at {at}"));
                Err(Lost::Before(
                    fault.hint("is the secret id or token of the login used up or expired, and is the role its own?"),
                ))
            }
            _ => Err(self.refused(&answer, "log in")),
        }
    }

    /// How long a token that was made elsewhere lives, where it may ask that.
    async fn look_at(&self, token: Secret) -> Result<Live, Lost> {
        let look = Call::new(Method::GET, "auth/token/lookup-self", None);
        let answer = self.once(&look, Some(&token)).await?;
        if !answer.status.is_success() {
            return match answer.status.as_u16() {
                // It may lack the permission: what it is used for will tell.
                400..=407 => Ok(Live { token, due: None, renewable: false, bare: true, ttl: None }),
                _ => Err(self.refused(&answer, "look at its token")),
            };
        }
        let Some(mut seen) = data::<LookupTokenResponse>(&answer) else {
            return Ok(Live { token, due: None, renewable: false, bare: true, ttl: None });
        };
        seen.id.zeroize();
        let renewable = seen.renewable.unwrap_or(false);
        // The last third of its life; what cannot be renewed is looked for anew then.
        let due = (seen.ttl > 0).then(|| after(seen.ttl.saturating_sub(seen.creation_ttl / 3)));
        Ok(Live { token, due, renewable, bare: true, ttl: Some(seen.ttl) })
    }

    /// The same token with a longer life.
    async fn renew(&self, live: &Live) -> Option<Live> {
        let call = Call::new(Method::POST, "auth/token/renew-self", Some(b"{}".to_vec()));
        let answer = self.once(&call, Some(&live.token)).await.ok().filter(|a| a.status.is_success())?;
        let auth = answer.json::<EndpointResult<IgnoredAny>>()?.auth?;
        let renewed = Live::of(auth);
        let due = renewed.ttl.filter(|ttl| *ttl > 0).map(|ttl| after(ttl - ttl / 3));
        Some(Live { due, bare: true, ..renewed })
    }
}

impl Live {
    /// What a login gave: used for nine tenths of its life.
    fn of(auth: AuthInfo) -> Self {
        let life = auth.lease_duration;
        let due = (life > 0).then(|| after(life - life.div_ceil(10)));
        Self { token: Secret::new(auth.client_token), due, renewable: auth.renewable, bare: false, ttl: Some(life) }
    }
}

fn after(seconds: u64) -> Instant {
    const LONGEST: u64 = 10 * 365 * 24 * 3600;
    Instant::now() + Duration::from_secs(seconds.min(LONGEST))
}

/// The end of a call before the one that matters: that one was not sent.
pub(crate) fn nothing_sent(lost: Lost) -> Lost {
    match lost {
        Lost::Before(fault) | Lost::Maybe(fault) => Lost::Before(fault),
    }
}
