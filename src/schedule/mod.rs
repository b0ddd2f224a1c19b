//! Schedules: when a credential is rotated by itself. Pure: no clock, no files, no chance; `now` comes in.
//!
//! ```text
//! cron      five fields ──▶ times of the clock on the wall
//! zone      the clock on the wall ◀──▶ moments: what is left out and what comes twice
//! blackout  windows in which nothing begins
//! rule      all of this for one credential: its moments, each with its jitter, outside of blackouts
//! due       what is due, what comes next, what is in the way: from what was stored, and `now`
//! ```
//!
//! Moments are milliseconds since the Unix epoch. Whoever asks stores the name of each tick in the transaction that begins its
//! rotation (safety.md S15); the policy for people is `docs/schedules.md`.

mod blackout;
mod cron;
mod due;
mod rule;
mod zone;

pub use self::blackout::{Blackout, End, Window};
pub use self::cron::Cron;
pub use self::due::{AGAIN, Block, LATE, Moved, Open, Past, Tick, Why, blocked, due, missed, next, upcoming};
pub use self::rule::{CatchUp, InBlackout, Rule};

#[cfg(test)]
mod tests;
