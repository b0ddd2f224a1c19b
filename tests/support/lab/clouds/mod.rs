//! Clouds as servers written from their contracts: strict, with a state of their own, on a loopback port. One file a cloud says what
//! it answers. What they are written from is on the kinds' pages, with what is unverified.

pub(crate) mod azure;
pub(crate) mod github;
pub(crate) mod google;

use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::vendors::Asked;

/// What a cloud answers.
pub(crate) struct Said {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

impl Said {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What a cloud does.
pub(crate) trait Cloud: Send + 'static {
    /// Answers one request.
    fn answer(&mut self, asked: &Asked) -> Said;
}

/// A cloud that is served. It ends with the runtime.
pub(crate) struct Served<C> {
    cloud: Arc<Mutex<C>>,
    pub(crate) port: u16,
}

impl<C: Cloud> Served<C> {
    pub(crate) async fn start(cloud: C) -> Self {
        let cloud = Arc::new(Mutex::new(cloud));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let inside = Arc::clone(&cloud);
        let app = Router::new().fallback(move |request: Request| {
            let cloud = Arc::clone(&inside);
            async move {
                let asked = Asked::read(request).await;
                let said = cloud.lock().expect("no test has failed in it").answer(&asked);
                spoken(said)
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { cloud, port }
    }

    /// Its state.
    pub(crate) fn state(&self) -> MutexGuard<'_, C> {
        self.cloud.lock().expect("no test has failed in it")
    }
}

fn spoken(said: Said) -> Response {
    let status = StatusCode::from_u16(said.status).expect("a status");
    let mut response = match said.body {
        Value::Null => status.into_response(),
        body => (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body.to_string()).into_response(),
    };
    for (name, value) in said.headers {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response
}
