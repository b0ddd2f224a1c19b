//! The world: what is true outside, one clock, one stream of chance, and the story of what happened. It knows nothing of the
//! machine but what the journal holds, and trusts none of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handover::engine::clock::Clock;
use handover::journal::Stamp;
use handover_rotation::plan::Shape;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::book::Book;
use super::chance::Chance;
use super::faults::{Faults, Kind};
use super::script::Script;

/// How much of the story is kept.
const KEPT: usize = 60;
/// More outside calls than any run needs.
const MOST_CALLS: u64 = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    Inactive,
    Deleted,
}

/// A version at the provider, with all that it ever was.
pub(crate) struct Version {
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) tag: Option<String>,
    pub(crate) turns: Vec<(u64, State)>,
    pub(crate) used: Option<u64>,
    pub(crate) refused: Option<u64>,
}

impl Version {
    pub(crate) fn state(&self) -> State {
        self.turns.last().map_or(State::Deleted, |t| t.1)
    }

    /// As it was at `at`; `None` before it was made.
    pub(crate) fn state_at(&self, at: u64) -> Option<State> {
        self.turns.iter().rev().find(|t| t.0 <= at).map(|t| t.1)
    }

    pub(crate) fn turn(&mut self, now: u64, state: State) {
        if self.state() != state {
            self.turns.push((now, state));
        }
    }
}

pub(crate) type Pair = (String, String);

/// What someone asks the player to do, who may await.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Abort,
    Alert(Vec<u8>),
    Stop,
    Reboot,
    Second,
    /// A process stands still for so long.
    Standstill(u64),
}

/// What is true outside.
pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) faults: Faults,
    /// What is told beforehand, where nothing is left to chance.
    pub(crate) script: Option<Script>,
    pub(crate) shape: Shape,
    pub(crate) quota: usize,
    pub(crate) versions: BTreeMap<String, Version>,
    pub(crate) made: u32,
    pub(crate) entries: BTreeMap<String, Pair>,
    /// The entry that a service reads, and what it uses.
    pub(crate) services: BTreeMap<String, (String, Pair)>,
    /// When each mail arrives.
    pub(crate) mails: BTreeMap<String, u64>,
    /// Until then all mail fails.
    pub(crate) storm: u64,
    /// Until then the journal's disk is full, and whether the reserve is gone as well.
    pub(crate) full: (u64, bool),
    pub(crate) book: Book,
    /// What someone else has changed: versions, entries.
    pub(crate) meddled: BTreeSet<String>,
    pub(crate) wishes: VecDeque<Wish>,
    /// Requests in the inbox that nobody has taken.
    pub(crate) posted: u64,
    pub(crate) calls: u64,
    pub(crate) events: u64,
    pub(crate) broken: Option<String>,
    /// Calls on their way.
    pub(crate) flying: u64,
    story: VecDeque<(u64, String)>,
    trace: u64,
}

/// The clocks of the one machine.
struct Clocks {
    /// Each boot with the true time at which it began.
    boots: Vec<u64>,
    /// The wall clock at true time zero.
    wall: i64,
}

/// One simulation.
pub(crate) struct Sim {
    world: Mutex<World>,
    clocks: Mutex<Clocks>,
    start: Instant,
    pub(crate) bell: Notify,
    /// Whether the whole story is printed as it happens.
    loud: bool,
}

impl Sim {
    pub(crate) fn new(world: World, wall: i64, loud: bool) -> Arc<Self> {
        let clocks = Mutex::new(Clocks { boots: vec![0], wall });
        Arc::new(Self { world: Mutex::new(world), clocks, start: Instant::now(), bell: Notify::new(), loud })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clocks(&self) -> MutexGuard<'_, Clocks> {
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True time, in milliseconds since the simulation began.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The true time that a stamp was made at.
    pub(crate) fn truth(&self, stamp: &Stamp) -> u64 {
        let boot: usize = stamp.boot_id.trim_start_matches("boot-").parse().unwrap_or_default();
        self.clocks().boots.get(boot).copied().unwrap_or_default() + stamp.boot_ms
    }

    pub(crate) fn boot_id(&self) -> String {
        format!("boot-{}", self.clocks().boots.len() - 1)
    }

    pub(crate) fn set_wall(&self, by: i64) {
        self.clocks().wall += by;
    }

    /// The machine starts anew. Its wall clock is right again, or wrong by `off`.
    pub(crate) fn reboot(&self, honest_wall: i64, off: i64) {
        let now = self.now();
        let mut clocks = self.clocks();
        clocks.boots.push(now);
        clocks.wall = clocks.wall.min(honest_wall) + off;
    }

    /// Notes what happened, for the story and the trace.
    pub(crate) fn note(&self, text: impl FnOnce() -> String) {
        let now = self.now();
        self.lock().note(now, text(), self.loud);
    }

    pub(crate) fn wish(&self, wish: Wish) {
        self.lock().wishes.push_back(wish);
        self.bell.notify_one();
    }

    /// Whether something is broken, or the run goes on for ever.
    pub(crate) fn is_broken(&self) -> bool {
        let mut world = self.lock();
        if world.calls > MOST_CALLS {
            world.breaks(format!("L1: more than {MOST_CALLS} calls and no end"));
        }
        world.broken.is_some()
    }

    pub(crate) fn strikes(&self, kind: Kind) -> bool {
        let now = self.now();
        let world = &mut *self.lock();
        world.faults.strikes(kind, now, &mut world.chance)
    }

    pub(crate) fn between(&self, from: u64, to: u64) -> u64 {
        self.lock().chance.between(from, to)
    }
}

impl Clock for Sim {
    fn stamp(&self) -> Stamp {
        let now = self.now();
        let clocks = self.clocks();
        let began = clocks.boots.last().copied().unwrap_or_default();
        let wall = clocks.wall.saturating_add_unsigned(now).max(0);
        Stamp { wall_ms: wall.unsigned_abs(), boot_ms: now - began, boot_id: format!("boot-{}", clocks.boots.len() - 1) }
    }
}

fn line(now: u64, text: &str) -> String {
    let (day, hour, minute, second) = (now / 86_400_000, now / 3_600_000 % 24, now / 60_000 % 60, now / 1000 % 60);
    format!("{day:>4}d {hour:02}:{minute:02}:{second:02}.{:03}  {text}", now % 1000)
}

impl World {
    pub(crate) fn new(chance: Chance, faults: Faults, shape: Shape, quota: usize) -> Self {
        Self {
            chance,
            faults,
            script: None,
            shape,
            quota,
            versions: BTreeMap::new(),
            made: 0,
            entries: BTreeMap::new(),
            services: BTreeMap::new(),
            mails: BTreeMap::new(),
            storm: 0,
            full: (0, false),
            book: Book::default(),
            meddled: BTreeSet::new(),
            wishes: VecDeque::new(),
            posted: 0,
            calls: 0,
            events: 0,
            broken: None,
            flying: 0,
            story: VecDeque::new(),
            trace: 0xcbf2_9ce4_8422_2325,
        }
    }

    pub(crate) fn note(&mut self, now: u64, text: String, loud: bool) {
        self.events += 1;
        for byte in now.to_le_bytes().into_iter().chain(text.bytes()) {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if loud {
            eprintln!("{}", line(now, &text));
        }
        if self.story.len() == KEPT {
            self.story.pop_front();
        }
        self.story.push_back((now, text));
    }

    /// A rule is broken: the first one counts.
    pub(crate) fn breaks(&mut self, why: String) {
        let now = self.story.back().map_or(0, |l| l.0);
        self.story.push_back((now, format!("BROKEN {why}")));
        self.broken.get_or_insert(why);
    }

    pub(crate) fn trace(&self) -> u64 {
        self.trace
    }

    pub(crate) fn story(&self) -> String {
        let from = self.story.len().saturating_sub(45);
        self.story.iter().skip(from).map(|(now, text)| line(*now, text) + "\n").collect()
    }

    /// The version that a login is.
    pub(crate) fn version_of(&self, pair: &Pair) -> Option<&str> {
        let same = |v: &&Version| v.username == pair.0 && v.password == pair.1;
        self.versions.iter().find(|(_, v)| same(v)).map(|(id, _)| id.as_str())
    }

    /// What the machine calls a version: 0 the old one, else the number on its tag.
    pub(crate) fn slot_of(&self, id: &str) -> Option<u8> {
        if id == "v0" {
            return Some(0);
        }
        let tag = self.versions.get(id)?.tag.as_ref()?;
        tag.strip_prefix("handover:")?.rsplit_once('.')?.1.parse().ok()
    }

    /// Whether another version has its tag: the one that was answered with, or else the one that was made first.
    pub(crate) fn is_stray(&self, id: &str, slot: u8) -> bool {
        let first = || self.versions.keys().filter(|id| self.slot_of(id) == Some(slot)).min_by_key(|id| (id.len(), *id));
        self.book.answered.get(&slot).or_else(first).is_some_and(|of| of != id)
    }

    pub(crate) fn is_active(&self, id: &str) -> bool {
        self.versions.get(id).is_some_and(|v| v.state() == State::Active)
    }

    /// The versions of this rotation that exist: the old one and those with its tag.
    pub(crate) fn ours(&self) -> Vec<&str> {
        let kept = self.versions.iter().filter(|(_, v)| v.state() != State::Deleted);
        kept.map(|(id, _)| id.as_str()).filter(|id| self.slot_of(id).is_some()).collect()
    }
}
