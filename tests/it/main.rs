//! The built program, run as a person would run it, against the sandbox: crashes, faults, secrets and whole stories.

#[path = "../support/mod.rs"]
mod support;

mod binding;
mod conformance;
mod crash;
mod daemon;
mod disk;
mod edges;
mod faults;
mod gap;
mod golden;
mod host;
mod limits;
mod real;
mod rehearsal;
mod rotations;
mod sealing_lab_age;
mod sealing_lab_bao;
mod sealing_lab_moto;
#[cfg(feature = "pkcs11")]
mod sealing_lab_softhsm;
mod secrets;
mod simulation;
mod soak;
mod story;
mod torn;
mod usage;
