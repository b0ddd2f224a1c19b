//! Hand-made breaks of the engine and the journal, each one switch, in test builds only. A rule that no break turns red would
//! prove nothing. Those of the machine are in `src/rotation/mutant.rs`.
//!
//! Without the feature `mutants` no switch exists and [`broken`] is a constant. It stands on the ground, as every floor may be
//! broken, and knows nothing of any.

/// One break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The journal takes rows of an owner that has been superseded.
    NoFence,
    /// The journal takes rows whatever their writer knew of those before.
    NoSequence,
    /// The rows of one batch are not chained.
    ChainUnlinked,
    /// The end of a rotation leaves its sealed secrets behind.
    SecretsKept,
    /// An owner that cannot be seen from here counts as dead.
    LivingOwnerDead,
    /// Who takes over does not write it down: nothing comes into doubt.
    ClaimUnwritten,
    /// An owner whose successor died before it wrote anything counts as dead with it.
    SuccessorTrusted,
    /// An effect starts before its intent is durable.
    IntentLate,
    /// An effect starts, and goes on, after its deadline.
    DeadlineForgotten,
    /// A call without an answer counts as a failure.
    TimeoutIsFailure,
    /// The secret that a provider has made is not sealed.
    SecretUnsealed,
    /// The secret that was chosen for a new version is not sealed.
    ChosenUnsealed,
    /// A new secret is used before it is durable.
    SecretUsedEarly,
    /// Waits follow the wall clock.
    WallClockTrusted,
    /// A mail is sent with whatever an entry holds by now.
    ProbeUnread,
    /// A request is taken out of the inbox before what comes of it is written.
    RequestLost,
    /// In a leak too, a target that gives no answer is left alone.
    BreakerInLeak,
    /// A rotation begins although its lineage has one that has not ended.
    TwoAtOnce,
    /// What the journal did not take is applied all the same.
    AppliedUnwritten,
    /// An env file is written where it stands.
    WrittenInPlace,
    /// A replaced env file has neither the owner nor the mode that it had.
    ModeForgotten,
    /// The plan that is carried out need not be the one that was agreed to.
    HashIgnored,
    /// The hash of a plan tells nothing of its services.
    HashOfLess,
}

#[cfg(feature = "mutants")]
mod switch {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Mutant;

    const NUMBER: &str = "HANDOVER_BROKEN";

    /// A process may be broken from its beginning, so that a test that knows of no break can be run under one.
    static BROKEN: LazyLock<AtomicU64> = LazyLock::new(|| {
        let number = std::env::var(NUMBER).ok().and_then(|n| n.parse::<u32>().ok());
        AtomicU64::new(number.and_then(|n| 1_u64.checked_shl(n)).unwrap_or_default())
    });

    /// The variable, with its value, that breaks this and nothing else in a process and those that it starts.
    #[must_use]
    pub fn variable(mutant: Mutant) -> (&'static str, String) {
        (NUMBER, (mutant as u64).to_string())
    }

    /// Breaks this, and nothing else, in the whole process.
    pub fn breaks(mutant: Mutant) {
        BROKEN.store(1 << mutant as u64, Ordering::SeqCst);
    }

    /// Whether this is broken.
    #[must_use]
    pub fn broken(mutant: Mutant) -> bool {
        BROKEN.load(Ordering::Relaxed) & (1 << mutant as u64) != 0
    }
}

#[cfg(feature = "mutants")]
pub use switch::{breaks, broken, variable};

/// Whether this is broken: never.
#[cfg(not(feature = "mutants"))]
#[must_use]
pub const fn broken(_: Mutant) -> bool {
    false
}
