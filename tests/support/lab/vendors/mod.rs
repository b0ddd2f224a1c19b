//! Vendors as servers written from their contracts: strict, with a state of their own, on a loopback port. One file a vendor says
//! what it answers; here is what they share. What they are written from is on the kinds' pages, with what is unverified.

pub(crate) mod cloudtrail;
pub(crate) mod entra;
pub(crate) mod gitguardian;
pub(crate) mod mailcow;
pub(crate) mod mailersend;
pub(crate) mod mailgun;
pub(crate) mod mailgun_events;
pub(crate) mod mailjet;
pub(crate) mod relay;
pub(crate) mod resend;
pub(crate) mod scaleway;
pub(crate) mod sendgrid;
pub(crate) mod sendgrid_activity;
pub(crate) mod smtp2go;
pub(crate) mod stalwart;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// The API key that may do everything, and the one that may only look.
pub(crate) const FULL_KEY: &str = "full-key";
pub(crate) const LOOK_KEY: &str = "look-key";

/// A request as a vendor sees it.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) async fn read(request: Request) -> Self {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
        let decoded = |part: &str| pairs(&format!("x={}", part.replace('+', "%2B"))).expect("a query").remove(0).1;
        Self {
            method: parts.method,
            path: parts.uri.path().trim_start_matches('/').split('/').map(decoded).collect(),
            query: pairs(parts.uri.query().unwrap_or_default()).expect("a query"),
            headers: parts.headers,
            body,
        }
    }

    /// Method and path, for a match.
    pub(crate) fn call(&self) -> (&str, Vec<&str>) {
        (self.method.as_str(), self.path.iter().map(String::as_str).collect())
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    pub(crate) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The password of HTTP Basic with this name.
    pub(crate) fn basic(&self, name: &str) -> Option<String> {
        use base64::Engine as _;
        let coded = self.header("authorization")?.strip_prefix("Basic ")?;
        let text = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(coded).ok()?).ok()?;
        text.strip_prefix(name)?.strip_prefix(':').map(str::to_owned)
    }

    /// The body as a JSON object with no other keys than these.
    pub(crate) fn json(&self, known: &[&str]) -> Option<Value> {
        if self.header("content-type") != Some("application/json") {
            return None;
        }
        let value: Value = serde_json::from_slice(&self.body).ok()?;
        value.as_object()?.keys().all(|key| known.contains(&key.as_str())).then_some(value)
    }

    /// The body as a form.
    pub(crate) fn form(&self) -> Option<Vec<(String, String)>> {
        if self.header("content-type") != Some("application/x-www-form-urlencoded") {
            return None;
        }
        pairs(std::str::from_utf8(&self.body).ok()?)
    }
}

fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let url = reqwest::Url::parse(&format!("http://x/?{text}")).ok()?;
    Some(url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
}

/// What a vendor answers.
pub(crate) struct Reply(pub(crate) u16, pub(crate) Value);

/// What a vendor does.
pub(crate) trait Vendor: Send + 'static {
    /// Answers one request.
    fn answer(&mut self, asked: &Asked) -> Reply;

    /// An active version that somebody else made in an account for a test of this name: the account and the version's id.
    fn foreign(&mut self, name: &str) -> (String, String);

    /// Whether its SMTP server accepts a login.
    fn accepts(&self, username: &str, password: &str) -> bool;

    /// Whether a request changes something.
    fn changes(asked: &Asked) -> bool {
        asked.method != Method::GET
    }
}

/// A vendor that is served. It ends with the runtime.
pub(crate) struct Served<V> {
    vendor: Arc<Mutex<V>>,
    port: u16,
    cutting: u16,
    cut: Arc<AtomicBool>,
}

impl<V: Vendor> Served<V> {
    pub(crate) async fn start(vendor: V) -> Self {
        let vendor = Arc::new(Mutex::new(vendor));
        let cut = Arc::new(AtomicBool::new(false));
        let port = serve(Arc::clone(&vendor), None).await;
        let cutting = serve(Arc::clone(&vendor), Some(Arc::clone(&cut))).await;
        Self { vendor, port, cutting, cut }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where the answer to a change is cut off after it has been made.
    pub(crate) fn cutting_address(&self) -> String {
        format!("http://127.0.0.1:{}", self.cutting)
    }

    /// Whether an answer was cut off.
    pub(crate) fn has_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }

    /// Its state.
    pub(crate) fn state(&self) -> MutexGuard<'_, V> {
        self.vendor.lock().expect("no test has failed in it")
    }
}

async fn serve<V: Vendor>(vendor: Arc<Mutex<V>>, cut: Option<Arc<AtomicBool>>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let app = Router::new().fallback(move |request: Request| {
        let (vendor, cut) = (Arc::clone(&vendor), cut.clone());
        async move {
            let asked = Asked::read(request).await;
            let Reply(status, value) = vendor.lock().expect("no test has failed in it").answer(&asked);
            match cut {
                Some(cut) if V::changes(&asked) => {
                    cut.store(true, Ordering::SeqCst);
                    lost()
                }
                _ => answer(status, &value),
            }
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    port
}

fn answer(status: u16, value: &Value) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    match value {
        Value::Null => status.into_response(),
        value => (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response(),
    }
}

/// An answer whose body breaks off before its first byte.
fn lost() -> Response {
    let broken: [Result<Bytes, std::io::Error>; 1] = [Err(std::io::Error::other("cut"))];
    Body::from_stream(futures::stream::iter(broken)).into_response()
}
