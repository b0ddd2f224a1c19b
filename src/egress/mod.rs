//! Where calls may go whose address someone chose freely, such as a webhook's: a name is looked up once, every address that it has
//! is judged, and the connection is made to one of those and to no other (safety.md S27). `address` has the table.
//!
//! It is a guard, not a client: `web` and `mail` make the calls through it.

mod address;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use handover_rotation::outcome::{Fault, FaultClass};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

pub use self::address::{Allowed, Net, NetError};

/// The addresses of a name, as they come in.
pub type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of a name. Whatever it says is judged afterwards.
pub trait Lookup: Send + Sync {
    /// Looks a name up.
    fn lookup(&self, host: &str) -> Looking;
}

/// The system's own: files, DNS and whatever else it knows.
struct System;

impl Lookup for System {
    fn lookup(&self, host: &str) -> Looking {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Why no connection may be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An address is not one of the public internet, and the inventory does not name it.
    #[error("{host} leads to {ip}, which is {why}")]
    Denied {
        /// The name that was asked for.
        host: String,
        /// The address.
        ip: IpAddr,
        /// What it is.
        why: &'static str,
    },
    /// The name has no address, or nobody could be asked.
    #[error("the name {host} has no address")]
    NoAddress {
        /// The name.
        host: String,
    },
}

impl Refusal {
    /// The fault of a connection that was not made: nothing was sent. `unreachable` is the code of the area for a host that is
    /// not there.
    #[must_use]
    pub fn fault(&self, what: &str, unreachable: &str) -> Fault {
        match self {
            Self::Denied { ip, .. } => {
                let fault = Fault::new(FaultClass::Permanent, "HO1201", format!("{what}: {self}"));
                fault.hint(format!("if it is meant to be called, add it to the inventory: `egress: {{allow: [\"{ip}\"]}}`"))
            }
            Self::NoAddress { .. } => Fault::new(FaultClass::Temporary, unreachable, format!("{what}: {self}"))
                .hint("is the name right, and does this machine's DNS answer?"),
        }
    }
}

/// Lets connections through to addresses that may be called.
#[derive(Clone)]
pub struct Guard {
    allowed: Arc<Allowed>,
    lookup: Arc<dyn Lookup>,
}

impl Guard {
    /// One that lets through to the public internet and to what is `allowed`, and asks the system for names.
    #[must_use]
    pub fn new(allowed: Allowed) -> Self {
        Self::asking(allowed, Arc::new(System))
    }

    /// The same, asking someone else for names.
    #[must_use]
    pub fn asking(allowed: Allowed, lookup: Arc<dyn Lookup>) -> Self {
        Self { allowed: Arc::new(allowed), lookup }
    }

    /// The addresses of a host that may be connected to. They are to be used as they are: a name that is looked up again may
    /// lead elsewhere.
    ///
    /// # Errors
    /// One of them is denied, or there is none. A name with one good and one bad address is refused: which of the two would be
    /// taken is chance.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Refusal> {
        let found = match literal(host) {
            Some(ip) => vec![ip],
            None => self.lookup.lookup(host).await.unwrap_or_default(),
        };
        if found.is_empty() {
            return Err(Refusal::NoAddress { host: host.to_owned() });
        }
        found.iter().try_for_each(|ip| self.check(host, *ip))?;
        Ok(found)
    }

    /// Checks a host that is an address as it stands, which nobody looks up. A name passes: `addresses` is for those.
    ///
    /// # Errors
    /// It is denied.
    pub fn check_literal(&self, host: &str) -> Result<(), Refusal> {
        literal(host).map_or(Ok(()), |ip| self.check(host, ip))
    }

    fn check(&self, host: &str, ip: IpAddr) -> Result<(), Refusal> {
        match self.allowed.denies(ip) {
            None => Ok(()),
            Some(why) => Err(Refusal::Denied { host: host.to_owned(), ip, why }),
        }
    }
}

/// The address that a host is, with or without the brackets of a URL.
fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host).parse().ok()
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = guard.addresses(name.as_str()).await?;
            let addresses: Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests;
