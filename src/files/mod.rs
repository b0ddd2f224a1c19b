//! Files of this machine that others read while they change: whoever looks finds the old bytes or the new ones, never half of
//! either, whatever fails or is killed (safety.md S25).
//!
//! `disk` has the calls, each a point at which a test can make it fail; `replace` their order; `copy` lets a program change a copy,
//! `append` adds lines.
//! What the bytes mean is the business of the kinds that keep logins in files.

mod append;
pub(crate) mod copy;
pub(crate) mod disk;
pub(crate) mod replace;
