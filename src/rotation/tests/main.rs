//! The machine in a world of virtual time that fails in every way: whatever happens, a rotation ends clean or rests as stuck,
//! and no rule is broken on the way.
//!
//! ```text
//! world    what is true outside, a process that dies, and the shipped playbooks as plans
//! faults   one fault at every call, any faults anywhere      saga    the three properties of every step
//! weather  mail fails for everyone                          leaks   someone else knows a version
//! logins   how often a login is refused, and whether the provider saw one
//! meddling someone else changes things                      people  gates, and resuming what is stuck
//! by_hand  a person makes and revokes, where there is no API
//! restarts a person restarts services that nothing else does
//! explore  every order of what may happen, by a model checker
//! mutants  every hand-made break is noticed
//! ```
//!
//! Beside the world there are tables: a state made by hand, one change or one millisecond, and what the machine makes of it. They
//! hold the edges that no run comes by often enough, and each is what some mutant of `cargo mutants` dies of.
//!
//! ```text
//! rules    what `permit` refuses                            events       what each event changes, and where it has no place
//! steps    what each step asks for                          containment  what a leak asks for
//! timers   when it tries again and gives up                 waits        how long it waits, looks and samples
//! facts    what an answer teaches and means                 told         what a stuck rotation tells a person
//! words    names, times and texts                           effects      what intents and outcomes do to what is known
//! ```

#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests print what they counted, and their world is not the machine"
)]

mod by_hand;
mod containment;
mod effects;
mod events;
mod explore;
mod facts;
mod faults;
mod leaks;
mod logins;
mod lost;
mod meddling;
#[cfg(feature = "mutants")]
mod mutants;
mod people;
mod restarts;
mod rules;
mod saga;
mod steps;
mod timers;
mod told;
mod waits;
mod weather;
mod words;
mod world;
