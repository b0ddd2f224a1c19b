//! Hand-made breaks of the protocol, each one switch, in test builds only. A rule that no break turns red would prove nothing.
//!
//! Without the feature `mutants` no switch exists and [`broken`] is a constant.

/// One break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The rules before an intent are not asked. Set together with another, so that the world must notice.
    NoPermit,
    /// After a take-over nothing is waited for.
    NoQuiescence,
    /// An owner that is only paused counts as dead.
    PausedIsDead,
    /// A take-over forgets what was under way.
    FlightForgotten,
    /// A doubt about a new version is answered by making it again.
    CreateUnreconciled,
    /// An answer that never came counts as a failure.
    TimeoutIsFailure,
    /// A write without an answer counts as done.
    LostWriteIsDone,
    /// Absence is believed at once.
    AbsenceUnsettled,
    /// A version that was made twice is overlooked.
    StraysIgnored,
    /// The last look is left out.
    SweepSkipped,
    /// Services are moved before the server knows the new version.
    PushedUnaccepted,
    /// The old version is retired although not every service is proven.
    EvidenceSkipped,
    /// One service speaks for all.
    OneServiceIsEnough,
    /// A reload that was answered counts as proof of what the service uses.
    ReloadIsProof,
    /// Nothing is looked at before the first change.
    PreflightSkipped,
    /// A soak ends at half its time.
    SoakShortened,
    /// A watch ends at half its time.
    WatchShortened,
    /// Rolling back deletes the new version first.
    UndoOutOfOrder,
    /// Rolling back does not put entries back.
    EntriesNotRestored,
    /// Rolling back does not look at services.
    ServicesNotRestored,
    /// Rolling back deletes the old version instead of the new one.
    DestroysTheOther,
    /// A leak is rolled back like anything else.
    LeakRollsBack,
    /// A version that leaked while it was new is kept.
    SpoiltIsKept,
    /// The deadline of a leak is not looked at.
    DeadlineIgnored,
    /// Being stuck ends the containment.
    StuckForgetsLeak,
    /// Shutting out is given up after a failure.
    ContainmentGivesUp,
    /// While old logins are watched, nobody looks at the deadline.
    WatchForgetsLeak,
    /// What a person was asked to do counts as not done until they say so.
    TaskForgotten,
    /// The word of the provider is proof that the old version is refused.
    RefusalUnproven,
    /// What someone else wrote is overwritten.
    ForeignOverwritten,
    /// A mail is sent with whatever an entry holds by now.
    ProbeUnread,
    /// A version that was found by its tag is used, although nobody knows its secret.
    UnsealedUsed,
    /// Rolling back puts entries back to an old version that may be disabled.
    UndoIntoTheDead,
    /// Who asks to stop is not heard.
    AbortIgnored,
    /// Being stuck tells nobody what to do.
    StuckSilently,
    /// A wait has no end.
    WakeForgotten,
    /// The same effect is started while it is under way.
    EffectTwice,
}

#[cfg(feature = "mutants")]
mod switch {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Mutant;

    static BROKEN: AtomicU64 = AtomicU64::new(0);

    /// Breaks this, and nothing else, in the whole process.
    pub fn breaks(mutants: &[Mutant]) {
        BROKEN.store(mutants.iter().fold(0, |all, m| all | 1 << *m as u64), Ordering::SeqCst);
    }

    /// Whether this is broken.
    #[must_use]
    pub fn broken(mutant: Mutant) -> bool {
        BROKEN.load(Ordering::Relaxed) & (1 << mutant as u64) != 0
    }
}

#[cfg(feature = "mutants")]
pub use switch::{breaks, broken};

/// Whether this is broken: never.
#[cfg(not(feature = "mutants"))]
#[must_use]
pub const fn broken(_: Mutant) -> bool {
    false
}
