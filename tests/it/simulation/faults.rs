//! Faults: what can go wrong in a run, how often, and how often it did.
//!
//! Each seed draws which kinds it suffers from and how badly, so that most runs see a few kinds and get far, and some see all.

use std::collections::BTreeMap;

use super::chance::Chance;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $name:ident = $most:literal,)*) => {
        /// A way to fail, with the most thousandths of the moments at which it can strike.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Kind { $($(#[doc = $doc])* $name,)* }

        impl Kind {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            fn most(self) -> u64 {
                match self { $(Self::$name => $most,)* }
            }
        }
    };
}

kinds! {
    /// The target cannot be reached: nothing was sent.
    Unreachable = 150,
    /// The target refuses for good.
    RefusedForGood = 12,
    /// The request is lost on its way, and nobody answers.
    RequestLost = 60,
    /// It happens, and the answer is lost.
    AnswerLost = 60,
    /// It happens, and the answer is an error that says nothing.
    AnswerBroken = 60,
    /// It does not happen, and the answer is an error that says nothing.
    RequestBroken = 60,
    /// It takes so long that its sender may have given up before it lands.
    Slow = 60,
    /// It happens twice.
    Twice = 60,
    /// A call lands after its sender died or gave up.
    LandedLate = 700,
    /// A list shows what was true a while ago, within the settle window.
    StaleList = 700,
    /// A login server does not know the last change yet, within the settle window.
    Unspread = 700,
    /// Mail is refused for now: 4xx.
    MailLater = 150,
    /// Mail fails for reasons of TLS or policy.
    MailPolicy = 60,
    /// All mail of the server fails for some minutes.
    Storm = 15,
    /// A mail is accepted and never arrives.
    MailLost = 60,
    /// A service says that it has reloaded, and has not.
    ReloadIgnored = 100,
    /// A service restarts by itself and reads its entry.
    Restarted = 40,
    /// No room for an entry.
    EntryFull = 30,
    /// No room for the journal, but for its reserve.
    JournalFull = 25,
    /// Not even the reserve.
    JournalFuller = 8,
    /// The journal's disk fails: nothing was written.
    JournalFails = 10,
    /// It was written, and the writer is told that nobody knows.
    JournalUnknown = 12,
    /// Another process has locked the journal for a moment.
    JournalLocked = 30,
    /// The process dies before a commit.
    CrashBeforeCommit = 20,
    /// The process dies after a commit.
    CrashAfterCommit = 20,
    /// The process dies as it is about to call.
    CrashBeforeCall = 30,
    /// The process dies with an answer that it has not written down.
    CrashAfterCall = 30,
    /// The process dies at any time.
    CrashAnyTime = 150,
    /// The machine is started anew.
    Reboot = 10,
    /// The process stands still for seconds or minutes, in the middle of a write.
    Pause = 30,
    /// Another process takes a rotation over whose owner is not known to be dead.
    TakeOver = 800,
    /// Someone stops the process with Ctrl-C.
    Stopped = 12,
    /// The wall clock is set forward.
    ClockForward = 15,
    /// The wall clock is set back.
    ClockBack = 15,
    /// Someone asks to abort.
    Abort = 15,
    /// The old version leaks.
    LeakOld = 12,
    /// The new version leaks.
    LeakNew = 10,
    /// Both leak.
    LeakBoth = 8,
    /// Someone deletes the new version.
    DeletedNew = 8,
    /// Someone disables the new version.
    DisabledNew = 8,
    /// Someone enables the old version again.
    EnabledOld = 25,
    /// Someone deletes the old version.
    DeletedOld = 8,
    /// Someone changes an entry.
    EditedEntry = 8,
    /// Someone else still uses the old version.
    Forgotten = 12,
    /// Someone starts a second rotation of the same credential.
    Second = 12,
    /// This machine has no room or a wrong clock, as preflight sees it.
    HostRefuses = 15,
}

/// The kinds that `HANDOVER_ONLY` names, separated by commas: each seed then has those, and no others.
fn only() -> Option<Vec<Kind>> {
    let named = std::env::var("HANDOVER_ONLY").ok()?;
    let known = Kind::ALL.iter().copied();
    Some(known.filter(|kind| named.split(',').any(|name| name == format!("{kind:?}"))).collect())
}

/// The faults of one run.
pub(crate) struct Faults {
    rates: BTreeMap<Kind, u64>,
    pub(crate) hits: BTreeMap<Kind, u64>,
    /// No fault after this moment of true time.
    until: Option<u64>,
}

impl Faults {
    /// None at all.
    pub(crate) fn none() -> Self {
        Self { rates: BTreeMap::new(), hits: BTreeMap::new(), until: None }
    }

    /// Some kinds, each up to its worst.
    pub(crate) fn draw(chance: &mut Chance, until: Option<u64>) -> Self {
        let share = chance.pick(&[30, 100, 100, 200, 200, 400, 700]);
        let strength = chance.pick(&[300, 1000, 2000]);
        let mut rates = BTreeMap::new();
        if let Some(only) = only() {
            rates.extend(only.into_iter().map(|kind| (kind, kind.most())));
            return Self { rates, hits: BTreeMap::new(), until };
        }
        for kind in Kind::ALL {
            if chance.hits(share) {
                rates.insert(*kind, (kind.most() * strength / 1000 * chance.between(200, 1000) / 1000).max(1));
            }
        }
        Self { rates, hits: BTreeMap::new(), until }
    }

    pub(crate) fn over(&self, now: u64) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// Whether `kind` strikes now.
    pub(crate) fn strikes(&mut self, kind: Kind, now: u64, chance: &mut Chance) -> bool {
        let Some(rate) = self.rates.get(&kind).copied() else { return false };
        if self.over(now) || !chance.hits(rate) {
            return false;
        }
        *self.hits.entry(kind).or_default() += 1;
        true
    }
}
