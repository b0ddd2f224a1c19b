//! What was said on one connection, as evidence: both sides, without the secret parts, without control characters, capped.

use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::reply::escape;

/// More lines than any honest talk has.
const MOST_LINES: usize = 200;
/// The longest line that is kept.
const MOST_CHARACTERS: usize = 300;

/// What was said on one connection. Clones share it, so that it outlives a talk that was cut off.
#[derive(Clone, Debug, Default)]
pub struct Transcript(Arc<Mutex<Vec<String>>>);

impl Transcript {
    /// The lines so far, `C:` for us and `S:` for the server.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn client(&self, shown: &str) {
        self.add("C", shown);
    }

    pub(super) fn server(&self, shown: &str) {
        self.add("S", shown);
    }

    /// Something that neither side said, such as the TLS handshake.
    pub(super) fn note(&self, shown: &str) {
        self.add("*", shown);
    }

    fn add(&self, who: &str, shown: &str) {
        let line: String = format!("{who}: {}", escape(shown.as_bytes())).chars().take(MOST_CHARACTERS).collect();
        tracing::debug!(target: "handover::mail", "{line}");
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < MOST_LINES {
            lines.push(line);
        }
    }
}

/// The forms of a password that a server could echo. A line that has one is not shown to anyone.
#[derive(Default)]
pub(super) struct Hidden(Vec<Zeroizing<Vec<u8>>>);

impl Hidden {
    pub(super) fn add(&mut self, form: &[u8]) {
        if !form.is_empty() {
            self.0.push(Zeroizing::new(form.to_vec()));
        }
    }

    /// Whether `bytes` has one of the forms in it.
    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|form| bytes.windows(form.len()).any(|window| window == form.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Hidden, Transcript};

    #[test]
    fn lines_are_capped_and_safe() {
        let transcript = Transcript::default();
        for _ in 0..500 {
            transcript.server(&format!("250 \x1b[2J{}", "x".repeat(1000)));
        }
        let lines = transcript.lines();
        assert_eq!(lines.len(), 200);
        assert!(lines[0].starts_with("S: 250 \\u{1b}[2Jx"));
        assert!(lines.iter().all(|l| l.chars().count() <= 300));
    }

    #[test]
    fn an_echoed_form_is_found() {
        let mut hidden = Hidden::default();
        hidden.add(b"");
        assert!(!hidden.is_in(b"anything"));
        hidden.add(b"marked");
        assert!(hidden.is_in(b"535 marked was wrong"));
        assert!(!hidden.is_in(b"535 mark"));
    }
}
