//! The model: the real machine in a world that is only data. The model checker, the machine's tests and `rehearse` run it.
//!
//! ```text
//!            decide                     land
//!   Rotation ──────▶ Run: calls ──────────────▶ World      provider, entries, services, mail
//!      ▲              │     └─▶ late calls ────────▲       of owners that died or were replaced
//!      └── apply ─────┘
//! ```
//!
//! A [`Run`] is plain data with single moves: ask, start, answer, wait, die, claim. Whoever drives it chooses the order and what
//! goes wrong. The [`World`] knows what is true and keeps the rules of safety.md by itself: it trusts nothing that the machine
//! believes, and what was broken stands in [`Run::wrong`].

mod checks;
mod drive;
mod run;
mod world;

pub use self::run::{Answer, Call, Late, Run, TICK, Turn};
pub use self::world::{Issued, Real, World, first_id};
