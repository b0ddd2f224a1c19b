//! The API of the daemon over HTTP: on a unix socket for this machine, and where it is asked to listen.
//!
//! ```text
//!   serve    connections, their limits, TLS; who is at the other end of a unix socket
//!   routes   the one table: method, path, role, what it does ──▶ router, openapi, and the test over all routes and roles
//!   access   roles, tokens, who calls
//!   call     one request and its answer       watch   streams of events       metrics   for Prometheus
//! ```
//!
//! Denied by default: a route without a role in the table does not exist. It must never show a secret; it has none.

mod access;
mod call;
mod credentials;
mod metrics;
mod openapi;
mod rotations;
mod routes;
mod serve;
mod watch;

use std::sync::Arc;

pub use self::access::{BY, Caller, Role, new_token, token_hash};
pub use self::openapi::document;
pub use self::routes::{Route, routes};
pub use self::serve::{Listen, Peer, Serving, serve};
use super::crew::Crew;
use super::desk::Desk;

/// What the API works with.
pub struct Api {
    pub(super) desk: Arc<Desk>,
    pub(super) crew: Arc<Crew>,
    metrics: metrics::Metrics,
}

impl Api {
    /// An API of a crew.
    #[must_use]
    pub fn new(crew: Arc<Crew>) -> Arc<Self> {
        let desk = Arc::clone(&crew.desk);
        Arc::new(Self { desk, crew, metrics: metrics::Metrics::default() })
    }

    /// Counts what happens, for ever.
    pub async fn count_for_ever(self: Arc<Self>) {
        let mut news = self.desk.watch();
        loop {
            match news.recv().await {
                Ok(news) => self.metrics.count(&self.desk, &news).await,
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
            }
        }
    }
}
