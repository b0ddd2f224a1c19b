//! Leak alerts: one file a source, which proves that a delivery is authentic, and says what it tells in one form, [`Report`].
//! What it must not do: say whose secret it is. That is told by the marks of our own versions, never by a name in an alert
//! (safety.md S26). It changes nothing but the incident at the source itself, and knows neither journal nor engine.
//!
//! ```text
//! delivery (raw bytes) ─▶ verify ─▶ json ─▶ the source ─▶ Report ─▶ who matches (the daemon)
//! file of a scanner    ─▶ files  ─▶ json ─────────────────▲
//! ```

mod report;
mod source;

pub use report::{MOST_RAW, Report};
pub use source::{Ability, Delivery, Known, Polled, Received, Rejected, Source};
