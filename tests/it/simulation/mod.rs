//! Deterministic simulation: the real engine and the real journal on one thread and in virtual time, against a simulated outside
//! that fails in every way, all chance from one seed.
//!
//! ```text
//!  play ── starts, kills, takes over, waits ─▶ process: Engine, Runner (real)
//!                                                 │ ports                    │ journal
//!                                                 ▼                          ▼
//!  meddle ─▶ world ◀── provider, places, mail ◀── net: loss, delay     journal: a disk that fails
//!   people     truth, clocks, story                                      │            └▶ SQLite (real, inline)
//!              └── checks: what is true outside                          └▶ book: what was written, and when
//! ```
//!
//! A run is drawn from a seed (`replay`) or follows a script (`sweep`): what happens at which step, and the one boundary that
//! is struck.
//!
//! `HANDOVER_SEED=7` plays one seed and prints its whole story; `HANDOVER_SEEDS` and `HANDOVER_FIRST_SEED` choose more;
//! `HANDOVER_ONLY=Pause,TakeOver` plays with some kinds of faults and no others.

mod book;
#[cfg(feature = "mutants")]
mod breaks;
mod case;
mod chain;
mod chance;
mod checks;
mod faults;
mod journal;
mod mail;
mod meddle;
mod net;
mod places;
mod play;
mod process;
mod provider;
mod replay;
mod rows;
mod scenario;
mod script;
mod sweep;
mod world;
