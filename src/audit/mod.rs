//! Where the audit log is sent besides the journal, one file a kind: a file, a webhook, the system's log.
//!
//! A sink takes lines as they are, in order, and makes one call for it. It never repeats one: the shipper of the daemon has the
//! patience, and no rotation waits for any of it (safety.md S22, threat T23). It knows neither the journal nor what a line says.

pub mod file;
pub mod syslog;
pub mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, Outcome};
use handover_rotation::time::Span;

use crate::web::Codes;

/// The time a call may take if the inventory says nothing.
pub const DEFAULT_TIMEOUT: Span = Span::seconds(15);

/// The ends of a call to a webhook.
pub const CODES: Codes = Codes { unreachable: "HO1080", lost: "HO1081", forbidden: "HO1082", busy: "HO1083", odd: "HO1084" };

/// Lines that are sent by one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What the receiver may know a repetition by: the same for the same lines.
    pub id: String,
    /// Each a JSON object in one line, without its end. They hold no secret.
    pub lines: Vec<String>,
}

/// Takes the audit log.
///
/// # Guarantees
/// - One call at most; never a repetition inside.
/// - `Done` means that the lines are kept by the receiver, as durable as it keeps anything.
/// - `NotDone` means that it has none of them, `Unknown` that it may have some: sending all of them again is right.
///
/// # Errors
/// A permanent fault where the same call will not work again. Bodies of answers are never read, let alone shown.
#[async_trait]
pub trait Sink: Send + Sync {
    /// After this long a call has surely ended.
    fn request_timeout(&self) -> Span;

    /// The most bytes of one call.
    fn most(&self) -> usize;

    /// The last whole line that it has, if it can tell.
    ///
    /// # Errors
    /// It cannot be asked now.
    async fn last(&self) -> Result<Option<String>, Fault>;

    /// Takes lines.
    async fn put(&self, batch: &Batch) -> Outcome<()>;
}

/// A sink whose options could not be used: it says so each time.
pub struct Broken(pub Fault);

#[async_trait]
impl Sink for Broken {
    fn request_timeout(&self) -> Span {
        Span::seconds(1)
    }

    fn most(&self) -> usize {
        1
    }

    async fn last(&self) -> Result<Option<String>, Fault> {
        Err(self.0.clone())
    }

    async fn put(&self, _: &Batch) -> Outcome<()> {
        Outcome::NotDone(self.0.clone())
    }
}

/// The sinks of an inventory, by name.
pub type Sinks = BTreeMap<String, Arc<dyn Sink>>;
