//! Leak alerts: one file a source, which proves that a delivery is authentic, and says what it tells in one form, [`Report`].
//! What it must not do: say whose secret it is. That is told by the marks of our own versions, never by a name in an alert
//! (safety.md S26). It changes nothing but the incident at the source itself, and knows neither journal nor engine.
//!
//! ```text
//! delivery (raw bytes) ─▶ verify ─▶ json ─▶ the source ─▶ Report ─▶ who matches (the daemon)
//! file of a scanner    ─▶ files  ─▶ json ─────────────────▲
//! ```

pub mod alertmanager;
mod aws_event;
pub mod aws_sns;
mod candidates;
#[cfg(test)]
#[path = "contract_tests.rs"]
mod contract;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod doors;
pub mod files;
pub mod gitguardian;
pub mod github;
pub mod gitlab;
pub mod hasmysecretleaked;
mod json;
mod options;
pub mod pagerduty;
mod report;
mod source;
mod standard;
pub mod standard_webhooks;
mod verify;

pub use report::{MOST_RAW, Report};
pub use source::{Ability, Delivery, Known, Polled, Received, Rejected, Source};
