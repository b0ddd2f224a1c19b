//! The pure machine of a rotation.
//!
//! `decide` says what to do next, `apply` is the only way state changes, and state is the fold of the events (safety.md
//! S30). There is no I/O, no clock and no randomness here: time comes in as an argument, and `clippy.toml` beside this file
//! makes the rest a build error.
//!
//! From the ground: `name`, `time`, `outcome` → `playbook`, `plan`.

pub mod name;
pub mod outcome;
pub mod plan;
pub mod playbook;
pub mod time;
