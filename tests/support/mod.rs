//! What the tests of the built program share: a sandbox in a process of its own, runs of `handover` against it, and looks
//! at what is really there. Nothing here knows how the program works inside; it is used as a person would use it.

pub(crate) mod aftermath;
pub(crate) mod disk;
pub(crate) mod lab;
pub(crate) mod ledger;
pub(crate) mod login;
pub(crate) mod person;
pub(crate) mod processes;
pub(crate) mod run;
pub(crate) mod seal;
pub(crate) mod secrets;
pub(crate) mod serve;
pub(crate) mod service;
pub(crate) mod world;

pub(crate) use self::run::{Going, Run};
pub(crate) use self::world::{Case, World};

/// The program under test.
pub(crate) const HANDOVER: &str = env!("CARGO_BIN_EXE_handover");

/// How a run of `handover` may end.
pub(crate) mod exit {
    pub(crate) const DONE: i32 = 0;
    pub(crate) const ERROR: i32 = 1;
    pub(crate) const BAD_INPUT: i32 = 2;
    pub(crate) const REFUSED: i32 = 3;
    pub(crate) const ROLLED_BACK: i32 = 4;
    pub(crate) const STUCK: i32 = 5;
    pub(crate) const WAITING: i32 = 6;
}
