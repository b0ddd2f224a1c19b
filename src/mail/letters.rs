//! Messages that someone else has written, such as a notice to people: one message, one recipient, one connection. The same talk as
//! for probes; only the address that is connected to is judged before (safety.md S27), as where it leads is free to choose.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use handover_rotation::outcome::{Fault, Outcome};
use handover_rotation::time::Span;
use tokio::time::timeout;

use super::auth::log_in;
use super::client::{Secured, Timeouts, connect_through};
use super::faults;
use super::message::address;
use super::smtp::{QUIT, accepted};
use super::transcript::Transcript;
use crate::config::inventory::SmtpServer;
use crate::egress::Guard;
use crate::secret::Login;

/// A way to a submission server.
pub struct Letters {
    server: SmtpServer,
    guard: Guard,
    timeouts: Timeouts,
}

impl Letters {
    /// Through `server`, where the guard lets it.
    #[must_use]
    pub fn new(server: SmtpServer, guard: Guard, timeouts: Timeouts) -> Self {
        Self { server, guard, timeouts }
    }

    /// After this long a call has surely ended.
    #[must_use]
    pub fn request_timeout(&self) -> Span {
        let whole = self.timeouts.whole + Duration::from_secs(2);
        Span(u64::try_from(whole.as_millis()).unwrap_or(u64::MAX))
    }

    /// Sends a message, headers and all. `NotDone` if it was not taken; `Unknown` if its last byte went out and no answer came.
    pub async fn send(&self, login: &Login, from: &str, to: &str, message: &[u8]) -> Outcome<()> {
        let sent = AtomicBool::new(false);
        let talk = async {
            let (from, to) = (address(from, "the sender")?, address(to, "the recipient")?);
            let found = self.guard.addresses(&self.server.host).await.map_err(|r| r.fault("mail", "HO0810"))?;
            let places: Vec<SocketAddr> = found.into_iter().map(|ip| SocketAddr::new(ip, self.server.port)).collect();
            let mut client = connect_through(&self.server, &places, self.timeouts, Transcript::default()).await?;
            accepted(log_in(&mut client, login).await?)?;
            client.deliver(from.as_ref(), to.as_ref(), message, &sent).await?;
            Ok::<Secured, Fault>(client)
        };
        let limit = self.timeouts.whole;
        match timeout(limit, talk).await.unwrap_or_else(|_| Err(faults::slow("the whole talk", limit))) {
            Ok(client) => {
                client.quit(QUIT).await;
                Outcome::Done(())
            }
            Err(fault) if sent.load(Ordering::SeqCst) => Outcome::Unknown(faults::doubtful(&fault)),
            Err(fault) => Outcome::NotDone(fault),
        }
    }
}
