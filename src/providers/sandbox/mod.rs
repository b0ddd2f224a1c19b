//! The sandbox's provider: accounts and versions in files, so that a whole rotation can be run on one machine.
//!
//! [`ledger`] is the provider's own database and [`account`] its rules, [`faults`] the switches that make it misbehave,
//! [`provider`] the adapter that Handover talks to, `files` the writing that a kill at any instant cannot tear. The SMTP
//! server and the sample services stand one floor up, in `src/sandbox`, and look at the same files. Nothing here talks to
//! a network.

pub mod account;
pub mod faults;
pub(crate) mod files;
pub mod ledger;
pub mod provider;

pub use provider::{SandboxProvider, SandboxProviderOptions};
