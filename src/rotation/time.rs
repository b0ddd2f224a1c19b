//! Time as the machine sees it: a number that it is given. Nothing here reads a clock.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A point in a rotation's trusted time, in milliseconds since the Unix epoch.
///
/// The engine derives it so that it never runs backwards within a rotation and a step of the wall clock does not move it
/// (safety.md S29).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub u64);

impl Millis {
    /// This point moved later by `span`.
    #[must_use]
    pub fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The time from `earlier` to this point; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Span {
    /// `n` seconds.
    #[must_use]
    pub const fn seconds(n: u64) -> Self {
        Self(n.saturating_mul(1000))
    }

    /// `n` minutes.
    #[must_use]
    pub const fn minutes(n: u64) -> Self {
        Self::seconds(n.saturating_mul(60))
    }

    /// This span divided by `scale` (0 counts as 1).
    #[must_use]
    pub fn scaled(self, scale: u32) -> Self {
        Self(self.0 / u64::from(scale.max(1)))
    }
}

impl fmt::Display for Span {
    /// Writes `350ms`, `4s`, `2m30s`, `4h`, `1d2h`: the two largest units.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1000 {
            return f.pad(&format!("{}ms", self.0));
        }
        if self.0 < 10_000 && !self.0.is_multiple_of(1000) {
            return f.pad(&format!("{}.{}s", self.0 / 1000, self.0 % 1000 / 100));
        }
        let seconds = self.0 / 1000;
        let units = [("d", seconds / 86_400), ("h", seconds / 3600 % 24), ("m", seconds / 60 % 60), ("s", seconds % 60)];
        let first = units.iter().position(|(_, n)| *n > 0).unwrap_or(3);
        let text: String = units[first..].iter().take(2).filter(|(_, n)| *n > 0).map(|(u, n)| format!("{n}{u}")).collect();
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn spans_are_written_with_their_two_largest_units() {
        let table = [
            (0, "0ms"),
            (350, "350ms"),
            (1500, "1.5s"),
            (4000, "4s"),
            (150_000, "2m30s"),
            (14_400_000, "4h"),
            (93_600_000, "1d2h"),
            (3_601_000, "1h"),
        ];
        for (ms, text) in table {
            assert_eq!(Span(ms).to_string(), text);
        }
    }
}
