//! The pure machine of a rotation.
//!
//! `decide` says what to do next, `apply` is the only way state changes, and state is the fold of the events (safety.md
//! S30). There is no I/O, no clock and no randomness here: time comes in as an argument, and `clippy.toml` beside this file
//! makes the rest a build error.
//!
//! ```text
//! decide ── forward ─┬─ wish ── progress        what to do: wishes compared with what is known
//!        ├─ contain ─┤
//!        └─ undo ────┘
//! apply ─── learn, judge, invariant             what happened: the fold, its doubts, and the rules before an intent
//! state ─── event ── command ── plan ── playbook ── outcome, name, time
//! ```

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod apply;
pub mod command;
mod contain;
pub mod decide;
pub mod event;
mod forward;
pub mod invariant;
mod judge;
mod learn;
pub mod model;
pub mod mutant;
pub mod name;
mod order;
pub mod outcome;
pub mod plan;
pub mod playbook;
mod progress;
pub mod state;
pub mod time;
pub mod todo;
mod undo;
mod wish;
pub mod word;
