//! Telling people: what happened, what is safe next, and the command to type, in the words of the receiver's kind.
//!
//! ```text
//!   rotation and event ──compose──▶ Notice ──route──▶ outbox (journal) ──▶ Notifier: slack, webhook, pagerduty, email
//!         text: cleans every word of it; no secret ever comes here
//! ```
//!
//! One file a kind. A notifier makes one call and never repeats it: the delivery loop has the patience, and nothing waits for it.
//! It knows neither the journal nor the engine, and sends mail only through a [`Carrier`] that it is given.

pub mod compose;
pub mod email;
mod notice;
pub mod pagerduty;
pub mod route;
pub mod slack;
mod text;
pub mod webhook;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, Outcome};
use handover_rotation::time::Span;

pub use self::email::Carrier;
pub use self::notice::{FORMAT, Notice, Severity};
pub use self::route::{Notifiers, Recipients, Route};
pub use crate::config::notify::NoticeKind;
use crate::web::Codes;

/// The time a call may take if the inventory says nothing.
pub const DEFAULT_TIMEOUT: Span = Span::seconds(15);

/// The ends of a call to a receiver.
pub const CODES: Codes = Codes { unreachable: "HO1210", lost: "HO1211", forbidden: "HO1212", busy: "HO1213", odd: "HO1214" };

/// Tells people of a kind of place.
///
/// # Guarantees
/// - One call at most; never a repetition inside.
/// - What the receiver may know a repetition by is the notice's id, the same for each try.
/// - `NotDone` means that nobody was told by this call. `Unknown` that they may have been: telling again is right (B19).
///
/// # Assumptions
/// The notice holds no secret. What a provider or a server said in it was cut and cleaned by [`Notice`].
///
/// # Errors
/// A permanent fault where the same call will not work again. Bodies of answers are never read, let alone shown.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// After this long a call has surely ended.
    fn request_timeout(&self) -> Span;

    /// What it is told of if the inventory does not say.
    fn usual(&self) -> &'static [NoticeKind] {
        &NoticeKind::ALL
    }

    /// Whether it keeps incidents open, and so must hear of their end whatever it is told of.
    fn keeps_incidents(&self) -> bool {
        false
    }

    /// Whom it tells, where each is told by a call of their own.
    fn recipients(&self) -> Option<&Recipients> {
        None
    }

    /// Tells; `to` is one of the recipients, where there are any.
    async fn tell(&self, notice: &Notice, to: Option<&str>) -> Outcome<()>;
}

/// A notifier whose options could not be used: it says so each time.
pub struct Broken(pub Fault);

#[async_trait]
impl Notifier for Broken {
    fn request_timeout(&self) -> Span {
        Span::seconds(1)
    }

    async fn tell(&self, _: &Notice, _: Option<&str>) -> Outcome<()> {
        Outcome::NotDone(self.0.clone())
    }
}

#[cfg(test)]
mod tests;
