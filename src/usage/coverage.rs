//! What stretch of time a source has seen, with its gaps.

use serde::Serialize;

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Stretch {
    /// Its beginning, in milliseconds since the Unix epoch.
    pub from_ms: u64,
    /// Its end.
    pub to_ms: u64,
}

/// More stretches than these are not kept: the earliest go, which only makes the coverage smaller.
const MOST: usize = 256;

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Coverage(Vec<Stretch>);

impl Coverage {
    /// One stretch.
    #[must_use]
    pub fn of(from_ms: u64, to_ms: u64) -> Self {
        Self(vec![Stretch { from_ms, to_ms: to_ms.max(from_ms) }])
    }

    /// The stretches, in order.
    #[must_use]
    pub fn stretches(&self) -> &[Stretch] {
        &self.0
    }

    /// Takes in that something was seen at a moment; moments at most `quiet_ms` apart belong together.
    pub fn see(&mut self, at_ms: u64, quiet_ms: u64) {
        if let Some(last) = self.0.last_mut() {
            // Lines of several processes may be a little out of order.
            if at_ms <= last.to_ms && at_ms.saturating_add(quiet_ms) >= last.from_ms {
                last.from_ms = last.from_ms.min(at_ms);
                return;
            }
            if at_ms > last.to_ms && at_ms - last.to_ms <= quiet_ms {
                last.to_ms = at_ms;
                return;
            }
        }
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push(Stretch { from_ms: at_ms, to_ms: at_ms });
    }

    /// Joins what two parts of one source have seen, as above.
    pub fn join(&mut self, other: &Self, quiet_ms: u64) {
        let mut all: Vec<Stretch> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        let mut joined: Vec<Stretch> = Vec::new();
        for next in all {
            match joined.last_mut() {
                Some(last) if next.from_ms <= last.to_ms.saturating_add(quiet_ms) => last.to_ms = last.to_ms.max(next.to_ms),
                _ => joined.push(next),
            }
        }
        let over = joined.len().saturating_sub(MOST);
        joined.drain(..over);
        self.0 = joined;
    }

    /// Extends the end to `until_ms` where the last thing seen is at most `quiet_ms` before it, and leaves out what lies after it.
    pub fn ends_at(&mut self, until_ms: u64, quiet_ms: u64) {
        self.0.retain(|stretch| stretch.from_ms <= until_ms);
        if let Some(last) = self.0.last_mut()
            && until_ms <= last.to_ms.saturating_add(quiet_ms)
        {
            last.to_ms = until_ms;
        }
    }

    /// The first part of a window that was not seen; `None` if all of it was.
    #[must_use]
    pub fn gap(&self, since_ms: u64, until_ms: u64) -> Option<Stretch> {
        let mut from_ms = since_ms;
        for stretch in &self.0 {
            if stretch.from_ms > from_ms {
                return Some(Stretch { from_ms, to_ms: stretch.from_ms.min(until_ms) });
            }
            if stretch.to_ms >= until_ms {
                return None;
            }
            from_ms = from_ms.max(stretch.to_ms);
        }
        (from_ms < until_ms).then_some(Stretch { from_ms, to_ms: until_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(moments: &[u64]) -> Coverage {
        let mut coverage = Coverage::default();
        moments.iter().for_each(|at| coverage.see(*at, 10));
        coverage
    }

    fn text(coverage: &Coverage) -> String {
        coverage.0.iter().map(|s| format!("{}-{} ", s.from_ms, s.to_ms)).collect()
    }

    #[test]
    fn moments_near_each_other_are_one_stretch() {
        for (moments, expected) in [
            (&[][..], ""),
            (&[5], "5-5 "),
            (&[5, 15, 25], "5-25 "),
            (&[5, 16], "5-5 16-16 "),
            (&[5, 15, 12, 25], "5-25 "),
            (&[15, 9, 30], "9-15 30-30 "),
            (&[100, 5], "100-100 5-5 "),
        ] {
            assert_eq!(text(&seen(moments)), expected, "{moments:?}");
        }
    }

    #[test]
    fn a_window_is_covered_whole_or_has_a_first_gap() {
        let mut all = seen(&[40, 50, 60]);
        all.join(&seen(&[10, 20, 30]), 10);
        assert_eq!(text(&all), "10-60 ");
        all.join(&seen(&[90]), 10);
        all.ends_at(95, 10);
        assert_eq!(text(&all), "10-60 90-95 ");
        let gap = |since, until| all.gap(since, until).map(|s| (s.from_ms, s.to_ms));
        assert_eq!(gap(10, 60), None);
        assert_eq!(gap(9, 60), Some((9, 10)));
        assert_eq!(gap(20, 95), Some((60, 90)));
        assert_eq!(gap(90, 95), None);
        assert_eq!(gap(91, 96), Some((95, 96)));
        assert_eq!(Coverage::default().gap(1, 2).map(|s| (s.from_ms, s.to_ms)), Some((1, 2)));
    }

    #[test]
    fn what_lies_after_the_end_is_left_out_and_a_long_silence_before_it_is_a_gap() {
        let mut all = seen(&[10, 20, 500]);
        all.ends_at(40, 10);
        assert_eq!(text(&all), "10-20 ");
        assert!(all.gap(10, 40).is_some());
    }

    #[test]
    fn stretches_without_number_are_not_kept() {
        let mut all = Coverage::default();
        (0..100_000_u64).for_each(|n| all.see(n * 100, 10));
        assert_eq!(all.0.len(), MOST);
        let other = all.clone();
        all.join(&other, 10);
        assert!(all.0.len() <= MOST);
    }
}
