//! One suite a trait, run against every kind: what a rotation believes of an adapter is what is asked here. A kind brings a bench,
//! which looks at the real server by another way than the adapter, and says what it ran against.
//!
//! `docs/conformance.md` is the table of it, made by `table`: a test holds it to what the suites ran.

mod dovecot;
mod lab_creds;
mod lab_moto;
mod lab_sops;
#[cfg(feature = "ldap")]
mod ldap;
pub(crate) mod providers;
mod services_kubernetes;
pub(crate) mod stores;
mod stores_azure;
mod stores_conjur;
mod stores_exec;
mod stores_github;
mod stores_gitlab;
mod stores_google;
mod stores_kubernetes;
mod stores_local;
#[cfg(feature = "vault")]
mod stores_vault;
mod table;
pub(crate) mod usage;
mod vendors;

/// What a kind was run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    /// The real server, such as `OpenBao 2.7.2`.
    Real(&'static str),
    /// Somebody else's emulator, such as `moto 5.2.5`.
    Emulator(&'static str),
    /// A server written from the vendor's contract, in tests/support.
    Contract,
    /// Files of this machine.
    Local,
}

/// How a property went: it held, or the kind says why it cannot be asked.
pub(crate) type Ran = Vec<(&'static str, Result<(), &'static str>)>;
