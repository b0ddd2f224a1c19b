//! The machine in a world of virtual time that fails in every way: whatever happens, a rotation ends clean or rests as stuck,
//! and no rule is broken on the way.
//!
//! ```text
//! world    what is true outside, a process that dies, and the shipped playbooks as plans
//! faults   one fault at every call, any faults anywhere      saga    the three properties of every step
//! weather  mail fails for everyone                          leaks   someone else knows a version
//! meddling someone else changes things                      people  gates, and resuming what is stuck
//! by_hand  a person makes and revokes, where there is no API
//! explore  every order of what may happen, by a model checker
//! mutants  every hand-made break is noticed
//! rules    what `permit` refuses
//! ```

#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests print what they counted, and their world is not the machine"
)]

mod by_hand;
mod explore;
mod faults;
mod leaks;
mod meddling;
#[cfg(feature = "mutants")]
mod mutants;
mod people;
mod rules;
mod saga;
mod weather;
mod world;
