//! Breakers: a target that gives no answer is left alone for a while by all rotations of this process, so that a thousand of
//! them do not hammer what is trying to come back.
//!
//! ```text
//!            8 failures in a row              the pause is over
//!   closed ──────────────────────▶ open ──────────────────────▶ one call may try
//!      ▲                             ▲   the pause, doubled ──────────┤
//!      └─────────────────────────────┼──── it was answered ───────────┘
//! ```
//!
//! What is refused here was not sent: its outcome is `NotDone`, and the machine's own patience decides. A refusal of a login or
//! of a request is an answer, so it never opens a breaker. Containment passes always (safety.md L5).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::{Millis, Span};

/// So many failures in a row open a breaker.
const FAILURES: u32 = 8;
/// The first pause; each further one is twice as long.
const PAUSE: Span = Span::seconds(2);
/// The longest pause.
const LONGEST: Span = Span::seconds(60);

/// The breakers of this process, by target.
#[derive(Clone, Debug, Default)]
pub struct Breakers(Arc<Mutex<BTreeMap<String, State>>>);

#[derive(Clone, Debug, Default)]
struct State {
    failures: u32,
    /// The last of them.
    last: String,
    /// Open until then; `None` while closed.
    until: Option<Millis>,
    /// The call that tries has to answer until then, or another one may.
    trying: Option<Millis>,
}

impl Breakers {
    /// Whether `target` may be called at `now` (time since boot) for at most `limit`.
    ///
    /// # Errors
    /// It is left alone: a temporary fault that says until when.
    pub(crate) fn ask(&self, target: &str, now: Millis, limit: Span) -> Result<(), Fault> {
        let mut all = self.lock();
        let Some(state) = all.get_mut(target) else { return Ok(()) };
        let Some(until) = state.until else { return Ok(()) };
        let again = state.trying.map_or(until, |t| t.max(until));
        if now < again {
            let message = format!(
                "{target} failed {} times in a row and is left alone for {}; last: {}",
                state.failures,
                again.since(now),
                state.last
            );
            return Err(Fault::new(FaultClass::Temporary, "HO0407", message)
                .hint("nothing was sent; see whether it is up and reachable from here"));
        }
        state.trying = Some(now.after(limit));
        Ok(())
    }

    /// Takes in how a call to `target` ended at `now`.
    pub(crate) fn learn<T>(&self, target: &str, now: Millis, outcome: &Outcome<T>) {
        let passing = |fault: &&Fault| matches!(fault.class, FaultClass::Temporary | FaultClass::Environment);
        let failure = match outcome {
            Outcome::Unknown(fault) => Some(fault),
            Outcome::NotDone(fault) => Some(fault).filter(passing),
            Outcome::Done(_) => None,
        };
        let mut all = self.lock();
        let Some(fault) = failure else {
            all.remove(target);
            return;
        };
        let state = all.entry(target.to_owned()).or_default();
        state.failures = state.failures.saturating_add(1);
        state.last.clone_from(&fault.message);
        // What was sent before the pause began and fails in it says nothing new.
        let news = state.until.is_none_or(|until| now >= until);
        if state.failures >= FAILURES && news {
            let doubled = PAUSE.0.saturating_mul(1 << (state.failures - FAILURES).min(16));
            state.until = Some(now.after(Span(doubled.min(LONGEST.0))));
            state.trying = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Span = Span::seconds(10);

    fn failing(breakers: &Breakers, times: u32, now: u64) {
        for _ in 0..times {
            let fault = Fault::new(FaultClass::Temporary, "HO0401", "no answer");
            breakers.learn::<()>("store vault", Millis(now), &Outcome::Unknown(fault));
        }
    }

    fn open(breakers: &Breakers, now: u64) -> bool {
        breakers.ask("store vault", Millis(now), LIMIT).is_err()
    }

    #[test]
    fn a_target_without_answers_is_left_alone_and_then_tried_by_one() {
        let breakers = Breakers::default();
        failing(&breakers, FAILURES - 1, 1000);
        assert!(!open(&breakers, 1000), "one answer fewer than it takes");
        failing(&breakers, 1, 1000);
        assert!(open(&breakers, 2999));
        assert!(breakers.ask("store other", Millis(2999), LIMIT).is_ok(), "others go on");
        assert!(!open(&breakers, 3000), "after the pause one may try");
        assert!(open(&breakers, 3000), "and only one");
        assert!(!open(&breakers, 13_000), "unless it never says how it went");
        failing(&breakers, 1, 13_100);
        assert!(open(&breakers, 17_099) && !open(&breakers, 17_100), "the next pause is twice as long");
        breakers.learn("store vault", Millis(17_200), &Outcome::Done(()));
        assert!(!open(&breakers, 17_200) && !open(&breakers, 17_200), "an answer closes it");
        failing(&breakers, FAILURES - 1, 20_000);
        assert!(!open(&breakers, 20_000), "and the count begins anew");
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let breakers = Breakers::default();
        for class in [FaultClass::Permanent, FaultClass::Credential] {
            failing(&breakers, FAILURES - 1, 0);
            breakers.learn::<()>("store vault", Millis(0), &Outcome::NotDone(Fault::new(class, "HO0410", "no")));
            failing(&breakers, FAILURES - 1, 0);
            assert!(!open(&breakers, 0), "{class:?}");
            breakers.learn("store vault", Millis(0), &Outcome::Done(()));
        }
    }

    #[test]
    fn what_fails_late_does_not_lengthen_the_pause_and_no_pause_is_longer_than_a_minute() {
        let breakers = Breakers::default();
        failing(&breakers, FAILURES + 500, 0);
        assert!(open(&breakers, 1999) && !open(&breakers, 2000));
        failing(&breakers, 1, 2000);
        assert!(open(&breakers, 61_999) && !open(&breakers, 62_000));
    }
}
