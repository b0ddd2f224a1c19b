//! The API of the daemon over HTTP: on a unix socket for this machine, and where it is asked to listen.
//!
//! ```text
//!   serve    connections, their limits, TLS; who is at the other end of a unix socket
//!   routes   the one table: method, path, role, what it does ──▶ router, openapi, and the test over all routes and roles
//!   access   roles, tokens, who calls
//!   call     one request and its answer       watch   streams of events       metrics   for Prometheus
//!   pages    the same for people with a browser, who sign in with their token
//! ```
//!
//! Denied by default: a route without a role in the table does not exist. It must never show a secret; it has none.

mod access;
mod call;
mod credentials;
mod metrics;
mod openapi;
mod pages;
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
    sessions: pages::Sessions,
    pending: pages::Pending,
}

impl Api {
    /// An API of a crew.
    #[must_use]
    pub fn new(crew: Arc<Crew>) -> Arc<Self> {
        let desk = Arc::clone(&crew.desk);
        Arc::new(Self {
            desk,
            crew,
            metrics: metrics::Metrics::default(),
            sessions: pages::Sessions::default(),
            pending: pages::Pending::default(),
        })
    }

    /// Counts what happens, for ever.
    pub async fn count_for_ever(self: Arc<Self>) {
        let mut news = self.desk.watch();
        self.remember_refused().await;
        loop {
            match news.recv().await {
                Ok(news) => {
                    self.metrics.count(&self.desk, &news).await;
                    self.pending.hear(&news, self.desk.wall_ms());
                }
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
            }
        }
    }
}
