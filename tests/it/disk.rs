//! A disk that fails under the state folder, at every file operation: the journal by itself, and the whole program.
//!
//! ```text
//!   journal   for every operation n and every way to fail:
//!               child (a process of its own, on the failing disk)     plays `series` on a real journal and tells what came of it
//!               sound process                                         opens it again: what was acknowledged is there, whole and
//!                                                                     in order, and nothing else
//!   binary    the same with `handover rotate`, at every so many operations, and `handover resume` on a sound disk
//! ```
//!
//! The disk is `support::disk`. What it cannot see is said there: the rename of a new sealing key and `statfs` go to the kernel
//! without the C library. A failed rename of the key takes the same way out as a failed write or sync of it, which are tried.

mod binary;
mod checks;
mod child;
mod journal;
mod series;
