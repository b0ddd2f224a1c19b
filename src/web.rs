//! Calls over HTTPS to the APIs of providers and stores: one client, one way to tell what an end without an answer means, and
//! answers that are wiped when they go. What it must not do: follow redirects, ask a proxy, repeat a call, or put a body, a
//! header or a query into a fault (S21, T8).

mod outward;
mod signed;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Certificate, Client, ClientBuilder, RequestBuilder, Response, StatusCode, Url, redirect, retry};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

pub use self::outward::Outward;
use crate::egress::Refusal;

/// The most that is read of an answer.
pub const MOST_BODY: usize = 4 << 20;

/// And never more than half of the whole: a connection that was not made must be told from an answer that did not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The codes that an area of adapters uses for the ends of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codes {
    /// No connection, or TLS failed: nothing was sent.
    pub unreachable: &'static str,
    /// The answer did not come, or not in whole.
    pub lost: &'static str,
    /// 401 and 403.
    pub forbidden: &'static str,
    /// 408, 429 and 5xx: it may have happened.
    pub busy: &'static str,
    /// Any other refusal, and what cannot be understood.
    pub odd: &'static str,
}

/// Of providers.
pub const PROVIDER: Codes =
    Codes { unreachable: "HO0501", lost: "HO0505", forbidden: "HO0515", busy: "HO0516", odd: "HO0517" };

/// Of stores.
pub const STORE: Codes = Codes { unreachable: "HO0630", lost: "HO0631", forbidden: "HO0632", busy: "HO0633", odd: "HO0634" };

/// Of the endpoint that gives tokens for a login.
pub const TOKEN: Codes = Codes { unreachable: "HO0850", lost: "HO0851", forbidden: "HO0852", busy: "HO0853", odd: "HO0854" };

/// Of sources of evidence.
pub const USAGE: Codes = Codes { unreachable: "HO0961", lost: "HO0962", forbidden: "HO0963", busy: "HO0964", odd: "HO0965" };

/// How a call ended that brought nothing.
#[derive(Debug)]
pub enum Lost {
    /// Nothing has happened and nothing will.
    Before(Fault),
    /// It may have happened.
    Maybe(Fault),
}

impl Lost {
    /// The end of a call that changes nothing, before the one that matters: that one was not sent.
    #[must_use]
    pub fn before_the_change(self) -> Self {
        let (Self::Before(fault) | Self::Maybe(fault)) = self;
        Self::Before(fault)
    }
}

impl<T> From<Lost> for Outcome<T> {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Before(fault) => Self::NotDone(fault),
            Lost::Maybe(fault) => Self::Unknown(fault),
        }
    }
}

/// The outcome of a call that ended well or was lost.
pub fn outcome<T>(result: Result<T, Lost>) -> Outcome<T> {
    result.map_or_else(Outcome::from, Outcome::Done)
}

/// One API: where it is, and how long a call may take.
#[derive(Clone)]
pub struct Api {
    /// Makes the requests.
    pub client: Client,
    base: Url,
    who: String,
    codes: Codes,
    timeout: Span,
}

/// An answer. Its body may hold secrets: it is never shown, and wiped when it goes.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header `Retry-After`, in seconds, where it is a number.
    pub retry_after: Option<u64>,
    headers: HeaderMap,
    body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// The body.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The address of the next page of a list, by the header `Link`. It is the server's word: only what is asked for may be taken
    /// from it, and no call made to it.
    #[must_use]
    pub fn next_page(&self) -> Option<Url> {
        self.header("link")?.split(',').find_map(|link| {
            let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
            let is_next = |p: &str| matches!(p.trim(), "rel=\"next\"" | "rel=next");
            parameters.split(';').any(is_next).then(|| Url::parse(address).ok()).flatten()
        })
    }

    /// A header as text, if there is one.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON; `None` if it is not of this form.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl Api {
    /// An API at `base`, known to people as `what`, such as `SendGrid`. `ca_file` holds PEM certificates to trust instead of the
    /// system's. Plain `http` goes to loopback only: what is sent here are secrets.
    ///
    /// # Errors
    /// The address is no such, the file cannot be read, or TLS cannot be set up: `codes.odd`.
    pub fn new(what: &str, base: &Url, ca_file: Option<&Path>, timeout: Span, codes: Codes) -> Result<Self, Fault> {
        Self::at(what, base, ca_file, timeout, codes, is_loopback(base))
    }

    /// The metadata service of the machine that this runs on, which speaks plain `http` by nature: nothing secret is sent there,
    /// and what it answers does not leave the host. Only a link-local address or loopback will do.
    ///
    /// # Errors
    /// The address is no such: `codes.odd`.
    pub fn of_this_machine(what: &str, base: &Url, timeout: Span, codes: Codes) -> Result<Self, Fault> {
        Self::at(what, base, None, timeout, codes, is_loopback(base) || is_link_local(base))
    }

    fn at(
        what: &str,
        base: &Url,
        ca_file: Option<&Path>,
        timeout: Span,
        codes: Codes,
        may_be_plain: bool,
    ) -> Result<Self, Fault> {
        let refuse = |message: String, hint: &str| {
            Err(Fault::new(FaultClass::Permanent, codes.odd, format!("{what}: {message}")).hint(hint))
        };
        if base.cannot_be_a_base() || base.host_str().is_none() || !base.username().is_empty() || base.password().is_some() {
            return refuse("its address cannot be used".to_owned(), "write it as https://host, without a login");
        }
        if base.scheme() != "https" && !may_be_plain {
            return refuse(
                "its address is not https, and secrets would cross the network in the clear".to_owned(),
                "write it with https://; plain http is for this machine only",
            );
        }
        let mut builder = builder(timeout);
        if let Some(path) = ca_file {
            match certificates(path) {
                Ok(found) => builder = builder.tls_certs_only(found),
                Err(why) => return refuse(why, "`ca_file` is a file of PEM certificates"),
            }
        } else if base.scheme() == "http" {
            builder = builder.tls_certs_only([]);
        }
        match builder.build() {
            Ok(client) => Ok(Self { client, base: base.clone(), who: what.to_owned(), codes, timeout }),
            Err(_) => refuse("TLS could not be set up".to_owned(), "are the system's certificates there?"),
        }
    }

    /// The name for messages: what it is and where.
    #[must_use]
    pub fn who(&self) -> String {
        let port = self.base.port().map_or_else(String::new, |port| format!(":{port}"));
        format!("{} at {}{port}", self.who, self.base.host_str().unwrap_or_default())
    }

    /// Where it is, as it was given.
    #[must_use]
    pub fn base(&self) -> Url {
        self.base.clone()
    }

    /// After this long a call has surely ended.
    #[must_use]
    pub fn request_timeout(&self) -> Span {
        Span(self.timeout.0.saturating_add(1_000))
    }

    /// The address of a path, given in segments: each is percent-encoded as a whole, so that no name reaches another path.
    ///
    /// # Errors
    /// A segment is empty, `.` or `..`: a call with a missing name could mean everything (Mailgun's delete without one does).
    pub fn url(&self, segments: &[&str]) -> Result<Url, Lost> {
        let mut url = self.base.clone();
        if segments.iter().any(|s| matches!(*s, "" | "." | "..")) {
            return Err(Lost::Before(self.fault(FaultClass::Permanent, self.codes.odd, "a name in a call is empty")));
        }
        match url.path_segments_mut() {
            Ok(mut path) => drop(path.pop_if_empty().extend(segments)),
            Err(()) => {
                return Err(Lost::Before(self.fault(FaultClass::Permanent, self.codes.odd, "its address cannot be used")));
            }
        }
        Ok(url)
    }

    /// A fault about this API.
    #[must_use]
    pub fn fault(&self, class: FaultClass, code: &str, what: impl std::fmt::Display) -> Fault {
        Fault::new(class, code, format!("{}: {what}", self.who()))
    }

    /// A refusal of the login, or of what it may do. Nothing has happened.
    #[must_use]
    pub fn forbidden(&self, what: impl std::fmt::Display) -> Fault {
        self.fault(FaultClass::Permanent, self.codes.forbidden, what)
    }

    /// A refusal for another reason, which repeating does not mend.
    #[must_use]
    pub fn odd(&self, what: impl std::fmt::Display) -> Fault {
        self.fault(FaultClass::Permanent, self.codes.odd, what)
    }

    /// Sends a request and reads its answer, whatever the status.
    ///
    /// # Errors
    /// [`Lost::Before`] if no connection was made, [`Lost::Maybe`] if no whole answer came.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, Lost> {
        let mut response = request.send().await.map_err(|error| self.not_answered(&error))?;
        let retry_after = retry_after(&response);
        let headers = std::mem::take(response.headers_mut());
        // Grown by hand, so that no copy of a part is left behind.
        let mut body = Zeroizing::new(Vec::new());
        loop {
            match response.chunk().await {
                Ok(None) => return Ok(Answer { status: response.status(), retry_after, headers, body }),
                Ok(Some(chunk)) if body.len() + chunk.len() <= MOST_BODY => {
                    let mut longer = Zeroizing::new(Vec::with_capacity(body.len() + chunk.len()));
                    longer.extend_from_slice(&body);
                    longer.extend_from_slice(&chunk);
                    body = longer;
                }
                Ok(Some(_)) => {
                    return Err(Lost::Maybe(self.fault(FaultClass::Permanent, self.codes.odd, "its answer is too large")));
                }
                Err(error) => return Err(self.not_answered(&error)),
            }
        }
    }

    /// Sends a request and reads no more than the head of its answer: what else it says does not matter, may be large, and may
    /// never come to an end.
    ///
    /// # Errors
    /// As `send`.
    pub async fn send_for_status(&self, request: RequestBuilder) -> Result<Answer, Lost> {
        let response = request.send().await.map_err(|error| self.not_answered(&error))?;
        Ok(Answer {
            status: response.status(),
            retry_after: retry_after(&response),
            headers: HeaderMap::new(),
            body: Zeroizing::default(),
        })
    }

    fn not_answered(&self, error: &reqwest::Error) -> Lost {
        if error.is_builder() {
            return Lost::Before(self.fault(FaultClass::Permanent, self.codes.odd, "no request can be made of it"));
        }
        if let Some(refusal) = refused_address(error) {
            return Lost::Before(refusal.fault(&self.who, self.codes.unreachable));
        }
        if error.is_connect() {
            let fault = match tls_cause(error) {
                Some(cause) => self
                    .fault(FaultClass::Environment, self.codes.unreachable, format!("TLS failed: {cause}"))
                    .hint("is `ca_file` the CA of this server, and is its certificate valid?"),
                None => self
                    .fault(FaultClass::Temporary, self.codes.unreachable, "no connection")
                    .hint("is it up, and is this its address?"),
            };
            return Lost::Before(fault);
        }
        let what = match error.is_timeout() {
            true => format!("no answer within {}", self.timeout),
            false => "the connection was lost before the answer".to_owned(),
        };
        Lost::Maybe(self.fault(FaultClass::Temporary, self.codes.lost, what))
    }

    /// What a status that is no success means: 408, 429 and 5xx leave it open whether it happened, the rest do not. `doing` is
    /// the permission that a 401 or 403 says is missing.
    #[must_use]
    pub fn refused(&self, answer: &Answer, doing: &str) -> Lost {
        let status = answer.status.as_u16();
        match status {
            401 | 403 => {
                let what = format!("it answered {status} to: {doing}");
                let fault = self.fault(FaultClass::Permanent, self.codes.forbidden, what);
                Lost::Before(fault.hint("has the login that Handover uses here expired, and may it do this?"))
            }
            408 | 429 | 500.. => {
                let mut what = format!("it answered {status} to: {doing}");
                if let Some(seconds) = answer.retry_after {
                    what.push_str(&format!("; it asks to wait {seconds} s"));
                }
                Lost::Maybe(self.fault(FaultClass::Temporary, self.codes.busy, what))
            }
            _ => {
                let what = format!("it answered {status} to: {doing}");
                Lost::Before(self.fault(FaultClass::Permanent, self.codes.odd, what))
            }
        }
    }

    /// The fault for a successful answer that is not of the form that the vendor describes. It has happened all the same.
    #[must_use]
    pub fn garbled(&self, doing: &str) -> Lost {
        let what = format!("it answered something else than expected to: {doing}");
        Lost::Maybe(self.fault(FaultClass::Permanent, self.codes.odd, what))
    }
}

fn retry_after(response: &Response) -> Option<u64> {
    response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok())
}

/// What every client has.
fn builder(timeout: Span) -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .referer(false)
        // A connection that was closed while it lay idle would lose the next request: it could have been sent or not.
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_millis(timeout.0))
        .connect_timeout(CONNECT_TIMEOUT.min(Duration::from_millis(timeout.0 / 2)))
        .user_agent(concat!("handover/", env!("CARGO_PKG_VERSION")))
}

/// The body of a form.
pub fn form(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    // The crate's own address type encodes it, so that no other is needed.
    let body = Url::parse("form:x").ok().and_then(|mut url| {
        url.query_pairs_mut().extend_pairs(fields);
        url.query().map(str::to_owned)
    });
    request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body.unwrap_or_default())
}

/// TLS for what is no HTTP: whom to trust are the certificates of a file, or the system's. Read anew each time, so that a renewed CA
/// needs no restart.
///
/// # Errors
/// The file cannot be used, in words.
pub fn client_tls(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let bad = |what: &str| format!("{}: {what}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).map_err(|_| bad("it cannot be read"))? {
                let certificate = certificate.map_err(|_| bad("it is no certificate"))?;
                roots.add(certificate).map_err(|_| bad("it is no certificate that can be trusted"))?;
            }
            if roots.is_empty() {
                return Err(bad("there is no certificate in it"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| "TLS cannot be set up".to_owned())?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Whether an address leads to this machine only.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// Whether an address leads no further than the link that this machine is on, as those of metadata services do.
fn is_link_local(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_link_local()))
}

/// The certificates of a PEM file.
///
/// # Errors
/// The file cannot be read or holds none, in words.
pub fn certificates(path: &Path) -> Result<Vec<Certificate>, String> {
    let pem = std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("{} holds no PEM certificate", path.display())),
    }
}

/// What TLS says, if it is at the bottom of an error. Errors of I/O keep their cause inside, where `source` does not show it.
#[must_use]
pub fn tls_cause(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls.to_string());
    }
    let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match inside {
        Some(inside) => tls_cause(inside),
        None => error.source().and_then(tls_cause),
    }
}

/// Why the guard let no connection through, if that is at the bottom of an error.
fn refused_address(error: &(dyn Error + 'static)) -> Option<Refusal> {
    match error.downcast_ref::<Refusal>() {
        Some(refusal) => Some(refusal.clone()),
        None => error.source().and_then(refused_address),
    }
}

#[cfg(test)]
#[path = "web_tests.rs"]
mod tests;
