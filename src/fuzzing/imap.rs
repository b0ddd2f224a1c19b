//! An IMAP server that says anything: it is heard alike in whatever pieces its bytes come, and what is told of it is bounded,
//! calm and without the password.

use super::{below, panic_at, steers};
use crate::mail::doors::{PASSWORD, imap};

/// Runs one input: the bytes of the server.
pub(super) fn run(data: &[u8]) {
    let whole = imap(&[data]);
    // One by one, unless there are so many that a look at them would take all the time.
    let bytes: Vec<&[u8]> = data.chunks(data.len() / 1024 + 1).collect();
    assert_eq!(imap(&bytes), whole, "byte by byte");
    let (head, tail) = data.split_at(below(data, 1, data.len() + 1));
    assert_eq!(imap(&[head, tail]), whole, "in two pieces, {} and {} bytes", head.len(), tail.len());
    let Err(told) = whole else { return };
    if told.chars().any(steers) {
        panic_at("a fault", &format!("is told as {told:?}"));
    }
    assert!(!told.contains(PASSWORD), "the password is told: {told}");
    assert!(told.chars().count() <= 1000, "{} characters", told.chars().count());
}
