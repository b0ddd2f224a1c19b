//! The sandbox: a real SMTP submission server, its provider's accounts and two sample services on this machine, so that a
//! whole rotation can be tried, tested and watched. Loopback only, and never part of a real rotation.
//!
//! ```text
//!  handover ── provider ──▶ DIR/accounts  ◀── AUTH ── smtp ──▶ DIR/mail (Maildir)
//!     │                          ▲                     ▲
//!     ├── store ──▶ DIR/services/*.env ── reload ──▶ service ── sends ─┘
//!     └── reload, test-send, attest ─────────────────▲
//! ```
//!
//! [`control`] starts and stops it, `status` tells about it from outside, [`layout`] says what is where, [`store`] puts
//! its faults in front of a store, [`person`] plays the one at its console. Inside: `ca`, `smtp` with `session`, `wire`, `sasl`, `login` and `deliver`, `service`
//! with `env` and `traffic`; `own` keeps it from what is not its. The accounts and the faults are the provider's: `crate::providers::sandbox`.

mod ca;
pub mod control;
mod deliver;
mod env;
mod inventory;
pub mod layout;
mod login;
mod own;
pub mod person;
mod sasl;
mod service;
mod session;
mod smtp;
pub mod status;
pub mod store;
#[cfg(test)]
mod tests;
mod traffic;
mod wire;

pub use control::{RunningSandbox, Sandbox, SandboxOptions};
pub use own::check_folder;
pub use status::{Status, running as is_running, status};
pub use store::FaultyStore;

pub use crate::providers::sandbox::faults::{self, disk_full, set_fault};
