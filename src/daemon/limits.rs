//! Limits: how much a source of alerts may bring, and how often what is refused is logged. A source that is flooded, or that somebody
//! floods, must not fill the journal and bury people; what fits a version that is known is not kept out by it (threats T1 and T21).
//!
//! Each source may bring [`BURST`] alerts at once and [`A_MINUTE`] more each minute. Beyond that a delivery is answered with 429 and
//! leaves nothing behind, unless it fits a version that is known: of these one is taken every [`APART`], which joins what is under
//! way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many alerts of a source are taken at once.
const BURST: f64 = 300.0;
/// How many more each minute.
const A_MINUTE: f64 = 60.0;
/// Beyond the limit, alerts that fit the same mark are taken so far apart.
const APART: Duration = Duration::from_secs(10);
/// What is refused for the same reason is logged so often.
const SAID: Duration = Duration::from_secs(10);

/// So many deliveries are remembered, so that a repetition of one counts for nothing. The journal remembers all.
const REMEMBERED: usize = 1_024;

/// What was taken and said of late.
#[derive(Default)]
pub(super) struct Limits {
    taken: Mutex<VecDeque<[u8; 32]>>,
    sources: Mutex<BTreeMap<String, Bucket>>,
    fitting: Mutex<BTreeMap<String, Instant>>,
    said: Mutex<BTreeMap<(String, String), Said>>,
}

struct Bucket {
    left: f64,
    at: Instant,
}

struct Said {
    at: Instant,
    since: u64,
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Limits {
    /// Whether a delivery was taken of late: answered as if it were done, and not held against its source.
    pub(super) fn knows(&self, digest: &[u8; 32]) -> bool {
        lock(&self.taken).contains(digest)
    }

    /// Remembers a delivery that is durable.
    pub(super) fn took(&self, digest: [u8; 32]) {
        let mut taken = lock(&self.taken);
        if taken.len() >= REMEMBERED {
            taken.pop_front();
        }
        taken.push_back(digest);
    }

    /// Whether a source may bring so many alerts now. A delivery is taken whole: what it has too many is held against the next.
    pub(super) fn admits(&self, source: &str, alerts: usize, now: Instant) -> bool {
        let mut sources = lock(&self.sources);
        let bucket = sources.entry(source.to_owned()).or_insert(Bucket { left: BURST, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.left, bucket.at) = ((bucket.left + passed * A_MINUTE / 60.0).min(BURST), now);
        let admits = bucket.left >= 1.0;
        if admits {
            bucket.left -= alerts as f64;
        }
        admits
    }

    /// Whether an alert beyond the limit is taken although: the first in a while that fits this mark, which is one of ours.
    pub(super) fn admits_mark(&self, mark: &str, now: Instant) -> bool {
        let mut fitting = lock(&self.fitting);
        fitting.retain(|_, at| now.saturating_duration_since(*at) < APART);
        let first = !fitting.contains_key(mark);
        if first {
            fitting.insert(mark.to_owned(), now);
        }
        first
    }

    /// An alert that was taken by a mark could not be kept: the next one is the first again.
    pub(super) fn forget(&self, mark: &str) {
        lock(&self.fitting).remove(mark);
    }

    /// Whether a refusal is to be logged, and how many like it were not since the last time. Sources and codes are ours, so that
    /// there are few of them.
    pub(super) fn says(&self, source: &str, code: &str, now: Instant) -> Option<u64> {
        let mut said = lock(&self.said);
        match said.get_mut(&(source.to_owned(), code.to_owned())) {
            Some(last) if now.saturating_duration_since(last.at) < SAID => {
                last.since += 1;
                None
            }
            Some(last) => {
                last.at = now;
                Some(std::mem::take(&mut last.since))
            }
            None => {
                said.insert((source.to_owned(), code.to_owned()), Said { at: now, since: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t21_a_source_has_its_burst_and_its_rate_and_holds_up_no_other() {
        let (limits, start) = (Limits::default(), Instant::now());
        let taken = (0..1000).filter(|_| limits.admits("one", 1, start)).count();
        assert_eq!(taken, 300);
        assert!(limits.admits("other", 1, start));
        let later = start + Duration::from_secs(10);
        assert_eq!((0..1000).filter(|_| limits.admits("one", 1, later)).count(), 10);
        let much_later = start + Duration::from_secs(86_400);
        assert_eq!((0..1000).filter(|_| limits.admits("one", 1, much_later)).count(), 300);
        // Many in one delivery are held against what comes next.
        assert!(limits.admits("third", 1000, start));
        assert!(!limits.admits("third", 1, start + Duration::from_secs(600)));
        assert!(limits.admits("third", 1, start + Duration::from_secs(702)));
    }

    #[test]
    fn t21_beyond_the_limit_what_fits_is_taken_and_its_repetitions_join_it() {
        let (limits, start) = (Limits::default(), Instant::now());
        assert!(limits.admits_mark("sha256:aa", start) && limits.admits_mark("sha256:bb", start));
        assert!(!limits.admits_mark("sha256:aa", start + Duration::from_secs(9)));
        limits.forget("sha256:bb");
        assert!(limits.admits_mark("sha256:bb", start + Duration::from_secs(1)), "what could not be kept is sent again");
        assert!(limits.admits_mark("sha256:aa", start + Duration::from_secs(10)));
    }

    #[test]
    fn what_is_refused_again_and_again_is_said_now_and_then_with_how_often() {
        let (limits, start) = (Limits::default(), Instant::now());
        assert_eq!(limits.says("a", "HO1110", start), Some(0));
        assert!((0..50).all(|_| limits.says("a", "HO1110", start + Duration::from_secs(9)).is_none()));
        assert_eq!(limits.says("a", "HO1111", start), Some(0));
        assert_eq!(limits.says("a", "HO1110", start + Duration::from_secs(10)), Some(50));
    }
}
