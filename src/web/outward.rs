//! Calls to addresses that someone chose freely, such as a webhook's: one client that connects only where `egress` lets it, to
//! the address that was judged (safety.md S27). Where an address stands in a secret, it is read for each call and kept nowhere.

use std::path::Path;

use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::time::Span;
use reqwest::{Client, Url};

use super::{Api, Codes, builder, certificates, is_loopback};
use crate::egress::Guard;

/// A client for one kind of receiver. Cheap to clone.
#[derive(Clone)]
pub struct Outward {
    client: Client,
    guard: Guard,
    what: String,
    codes: Codes,
    timeout: Span,
}

impl Outward {
    /// For receivers that people know as `what`, such as `Slack`. `ca_file` holds PEM certificates to trust instead of the
    /// system's.
    ///
    /// # Errors
    /// The file cannot be read, or TLS cannot be set up: `codes.odd`.
    pub fn new(what: &str, ca_file: Option<&Path>, timeout: Span, codes: Codes, guard: Guard) -> Result<Self, Fault> {
        let refuse = |message: &str, hint: &str| {
            Fault::new(FaultClass::Permanent, codes.odd, format!("{what}: {message}")).hint(hint)
        };
        let mut builder = builder(timeout).dns_resolver(guard.clone());
        if let Some(path) = ca_file {
            let found = certificates(path).map_err(|why| refuse(&why, "`ca_file` is a file of PEM certificates"))?;
            builder = builder.tls_certs_only(found);
        }
        let client =
            builder.build().map_err(|_| refuse("TLS could not be set up", "are the system's certificates there?"))?;
        Ok(Self { client, guard, what: what.to_owned(), codes, timeout })
    }

    /// The API at an address, which is known to people by its host alone: a path or a query may be secret.
    ///
    /// # Errors
    /// `HO1202` if it is not https, or has a login in it; plain http goes to an address of this machine that the inventory
    /// allows. `HO1201` if it is an address that may not be called.
    pub fn at(&self, base: &Url) -> Result<Api, Fault> {
        let refuse = |message: &str| {
            let fault = Fault::new(FaultClass::Permanent, "HO1202", format!("{}: its address {message}", self.what));
            Err(fault.hint("write it as https://host/path, without a login"))
        };
        let Some(host) = base.host_str().filter(|_| !base.cannot_be_a_base()) else {
            return refuse("cannot be used");
        };
        if !base.username().is_empty() || base.password().is_some() {
            return refuse("has a login in it");
        }
        // A name for this machine could be answered by another.
        let here = is_loopback(base) && host != "localhost";
        if base.scheme() != "https" && !(base.scheme() == "http" && here) {
            return refuse("is not https");
        }
        self.guard.check_literal(host).map_err(|refusal| refusal.fault(&self.what, self.codes.unreachable))?;
        Ok(Api {
            client: self.client.clone(),
            base: base.clone(),
            who: self.what.clone(),
            codes: self.codes,
            timeout: self.timeout,
        })
    }

    /// After this long a call has surely ended.
    #[must_use]
    pub fn request_timeout(&self) -> Span {
        Span(self.timeout.0.saturating_add(1_000))
    }
}
