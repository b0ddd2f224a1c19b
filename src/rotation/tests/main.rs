//! The machine in a world of virtual time that fails in every way: whatever happens, a rotation ends clean or rests as stuck,
//! and no rule is broken on the way.
//!
//! ```text
//! world    what is true outside, a process that dies, and the shipped playbooks as plans
//! faults   one fault at every call, any faults anywhere      saga    the three properties of every step
//! weather  mail fails for everyone                          leaks   someone else knows a version
//! meddling someone else changes things                      rules   what `permit` refuses
//! ```

mod faults;
mod leaks;
mod meddling;
mod rules;
mod saga;
mod weather;
mod world;
