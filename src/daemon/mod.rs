//! The daemon: rotates on schedule, takes leak alerts and contains them, goes on with whatever was begun, and tells people.
//!
//! ```text
//!   files       inventory and playbooks as they are in force; a bad change is refused, the old ones stay
//!   desk        what all rooms share
//!   scheduler   times that have come ──▶ crew
//!   limits      how much a source may bring
//!   inbound     alerts, made durable before they are answered ──▶ leak   matched, contained, closed ──▶ crew
//!   clock       how long after an alert its leak was tried, shut out, refused
//!   crew        every rotation under way: begun here, or adopted; its events ──▶ news ──▶ API, notices
//!   herald      what people are to be told ──▶ outbox   told at least once, beside everything else
//!   public      at each rotation: is the old version known to have leaked? ──▶ inbound
//!   used        what the sources of evidence say of a leaked login, for the report
//!   witness     signs the head of the audit log ──▶ shipper   sends it to each sink, beside everything else
//!   api         HTTP: health, metrics, alerts, rotations, pages
//! ```
//!
//! It decides nothing about a rotation: that is the machine's. What it remembers beside the rotations is in the journal's
//! [`crate::journal::Register`], so that it may be killed at any instant.

pub mod api;
pub mod clock;
mod crew;
mod desk;
mod files;
mod herald;
mod inbound;
mod leak;
mod ledger;
mod limits;
mod matching;
mod news;
pub mod outbox;
mod public;
mod run;
mod scheduler;
mod shipper;
mod start;
#[cfg(feature = "otlp")]
mod traces;
pub mod used;
mod witness;

pub use self::crew::Crew;
pub use self::desk::{Desk, Opens};
pub use self::files::{Files, InForce};
pub use self::inbound::Sources;
pub use self::leak::{Kept, Responder};
pub use self::ledger::{Account, Latest, Ledger};
pub use self::matching::{Standing, Target};
pub use self::news::News;
pub use self::run::Daemon;
pub use self::scheduler::Scheduler;
pub use self::shipper::{Line, Route, Unsent};
pub use self::start::{Begin, NotBegun};
#[cfg(feature = "otlp")]
pub use self::traces::Traces;
pub use self::witness::checkpoint;
