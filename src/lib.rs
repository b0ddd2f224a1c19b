//! Handover rotates SMTP credentials without losing mail, and proves it.
//!
//! The floors, from the ground; imports point down only, and a test holds the arrows:
//!
//! ```text
//! cli   daemon                  what people start; what runs for months
//! view                          a rotation in words and pictures, for terminals, programs and pages
//! sandbox   registry            to try it all; the list of kinds
//! engine                        runs decisions: effects, timers, leases, recovery
//! providers stores services mail alerts notify usage audit    adapters, one file a kind; they never see each other
//! config   journal              files to checked types; the truth on disk
//! secret   random   web   egress    what may not be shown; chance; calls over HTTP, and where they may go
//! process                       programs of this machine, run to an end
//! marks                         what an alert may know a secret by
//! mutant                        switches that break it, in test builds
//! handover_rotation             the pure machine
//! ```

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)
)]

pub mod alerts;
pub mod audit;
#[cfg(feature = "aws")]
pub mod aws;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod egress;
pub mod engine;
pub mod explain;
mod files;
#[cfg(test)]
mod floors;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod journal;
pub mod keys;
pub mod kubernetes;
pub mod mail;
pub mod marks;
#[doc(hidden)]
pub mod mutant;
pub mod notify;
pub mod oauth;
pub mod process;
pub mod providers;
pub mod random;
pub mod registry;
pub mod rehearse;
pub mod sandbox;
pub mod schedule;
pub mod secret;
pub mod services;
pub mod stores;
mod tokens;
pub mod usage;
#[cfg(feature = "vault")]
pub mod vault;
pub mod view;
pub mod web;
