//! The engine runs decisions: effects, timers, leases, recovery. It sees adapters as traits only.
//!
//! ```text
//! prepare   inventory + live looks ──▶ plan
//! sketch    a plan from the files alone, for the rehearsal
//! binding   what an inventory says of what a plan names, and whether it still does
//! current   which version is current, by what entries hold and the server says    elsewhere   signs of other journals
//! last      what the last finished rotation has left
//! begin     plan ──▶ first row, lock of the lineage ──▶ runner
//! runner    decide ──▶ intents ──▶ execute ──▶ outcomes, until it rests
//! book      state and rows as one       keyring   secrets in memory       clock   the one file that reads time
//! known     what versions are known by to those who find them elsewhere
//! past      what the journal knows of a credential, as its schedule asks for it
//! requests  what people ask of it, also while another process runs it        by_hand   what is asked of a person (shape D)
//! contained when the containment of a leak came to its moments
//! uses      the versions of a credential and their times, by what the journal says
//! breaker   what gives no answer is left alone for a while
//! ```

mod begin;
pub mod binding;
mod book;
mod breaker;
pub mod by_hand;
pub mod clock;
pub mod contained;
pub mod crash;
mod current;
mod elsewhere;
mod error;
mod execute;
mod keyring;
pub mod known;
mod last;
#[cfg(test)]
mod mirror_tests;
pub mod past;
pub mod ports;
pub mod prepare;
mod requests;
mod runner;
pub mod sketch;
pub mod uses;
mod writable;

pub use begin::{Who, plan_hash};
pub use book::{events, replay};
pub use breaker::Breakers;
pub use error::{EngineError, Refusal};
pub use last::Last;
pub use requests::Request;
pub use runner::{Engine, LONG_WAIT, Observer, Rest, Runner, Signal, Silent};
