//! The fuzz targets: each feeds bytes to one reader of untrusted things and asserts what must hold whatever they are.
//!
//! ```text
//! fuzz/ (libFuzzer) ──▶ TARGETS ◀── tests (the committed corpora, one by one)
//! ```
//!
//! Not part of the product: built for tests and with the feature `fuzzing`. A target asserts and never repairs; what it finds
//! is mended where it is wrong.

mod alerts;
mod calendar;
mod env_file;
mod escaping;
mod imap;
mod inventory;
mod journal;
mod mail_log;
mod playbook;
mod problems;
mod sealed;
mod smtp_reply;
#[cfg(test)]
mod tests;

/// A target: panics where a property does not hold.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("alerts", alerts::run),
    ("calendar", calendar::run),
    ("env_file", env_file::run),
    ("escaping", escaping::run),
    ("imap", imap::run),
    ("inventory", inventory::run),
    ("journal", journal::run),
    ("mail_log", mail_log::run),
    ("playbook", playbook::run),
    ("sealed", sealed::run),
    ("smtp_reply", smtp_reply::run),
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

/// A number that the input itself decides on: what a target chooses is chosen again when the input is replayed.
fn chosen(data: &[u8], salt: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64 ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = data.iter().fold(start, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    hash ^ (hash >> 29)
}

/// A choice below `most`, which is above zero.
fn below(data: &[u8], salt: u64, most: usize) -> usize {
    usize::try_from(chosen(data, salt) % u64::try_from(most.max(1)).unwrap_or(1)).unwrap_or(0)
}

/// Whether a character steers a terminal or turns the direction of writing. Written down apart from the code that it judges:
/// control characters, and those that Unicode calls `Bidi_Control`.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Asserts that a page of several lines steers no terminal.
fn assert_calm(what: &str, page: &str) {
    if let Some(c) = page.chars().find(|c| *c != '\n' && steers(*c)) {
        panic_at(what, &format!("has {c:?}:\n{}", page.escape_debug()));
    }
}

/// The end of a target that has found something.
#[expect(clippy::panic, reason = "a target tells by a panic what it has found")]
fn panic_at(what: &str, why: &str) -> ! {
    panic!("{what}: {why}")
}
