//! For tests: a server on a loopback port that answers as a test says, and the options of a kind from YAML. What a server answers is
//! written from the vendor's documents; it refuses what they do not know.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::config::{Fields, Node};

/// A request as the server sees it.
pub(super) struct Asked {
    pub(super) call: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Asked {
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// Whether the body is a map with exactly these keys.
    pub(super) fn has_only(&self, keys: &[&str]) -> bool {
        self.body.as_object().is_some_and(|map| map.len() == keys.len() && keys.iter().all(|key| map.contains_key(*key)))
    }
}

/// What the server answers.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) link: Option<String>,
}

/// An answer without a next page.
pub(super) fn reply(status: u16, body: Value) -> Reply {
    Reply { status, body, link: None }
}

/// Starts a server; it ends with the runtime. Its address, and the calls that it has seen: `METHOD /path`.
pub(super) async fn serve(answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (seen, answer) = (Arc::clone(&calls), Arc::new(Mutex::new(answer)));
    let app = Router::new().fallback(move |request: Request| {
        let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
        async move {
            let (parts, body) = request.into_parts();
            let bytes = to_bytes(body, 1 << 20).await.expect("a body");
            let url = reqwest::Url::parse(&format!("http://x{}", parts.uri)).expect("an address");
            let asked = Asked {
                call: format!("{} {}", parts.method, url.path()),
                query: url.query_pairs().map(|(n, v)| (n.into_owned(), v.into_owned())).collect(),
                headers: parts.headers,
                body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            };
            seen.lock().expect("calls").push(asked.call.clone());
            let Reply { status, body, link } = answer.lock().expect("an answer")(&asked);
            let mut response: Response = Body::from(body.to_string()).into_response();
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            response.headers_mut().extend(link.map(|l| (axum::http::header::LINK, l.parse().expect("a header"))));
            response
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, calls)
}

/// Reads options; `None` if there was a problem.
pub(super) fn options<T>(text: &str, read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Option<T> {
    let node = Node::from_yaml("test.yaml", Path::new("/"), text).ok()?;
    let mut fields = Fields::new(&node, "alert source `x`");
    let value = read(&mut fields);
    if fields.finish().has_errors() { None } else { value }
}

/// Holds that sound options are read and others are not, and that the schema knows the keys of the sound ones.
pub(super) fn hold<T>(good: &[&str], bad: &[&str], read: fn(&mut Fields<'_>) -> Option<T>, schema: fn() -> Value) {
    for text in good {
        assert!(options(text, read).is_some(), "{text}");
        let value: Value = serde_yaml::from_str(text).expect("YAML");
        for key in value.as_object().expect("a map").keys() {
            assert!(schema()["properties"].get(key).is_some(), "the schema has no {key}");
        }
    }
    for text in bad {
        assert!(options(text, read).is_none(), "{text}");
    }
}

/// A file with a secret in it, which goes with the folder.
pub(super) fn secret_file(folder: &tempfile::TempDir, name: &str, secret: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, secret).expect("a file");
    format!("{{file: \"{}\"}}", path.display())
}
