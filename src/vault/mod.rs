//! What the kinds at Vault and OpenBao share: how to log in, and calls made with that login.
//!
//! The store `vault` keeps logins in the KV engine, the key source `vault-transit` wraps the sealing key. Neither knows the other.

pub(crate) mod login;
pub(crate) mod session;

pub use self::login::Auth;
