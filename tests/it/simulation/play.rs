//! Plays one seed from its beginning to its rest: starts processes, lets them die, has others take over, waits, and looks at
//! what came of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use handover::engine::clock::Clock as _;
use handover::engine::{EngineError, Request, Rest, Signal, replay};
use handover::journal::{Journal, Kind as Trouble, NewEvent, NewRotation, Options, Sealer, SqliteJournal};
use handover_rotation::decide::Wanted;
use handover_rotation::event::Ending;
use handover_rotation::name::RotationId;
use handover_rotation::time::Millis;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::case::Case;
use super::chance::Chance;
use super::faults::{Faults, Kind};
use super::meddle;
use super::net::Process;
use super::process::{End, Shift, owner, post};
use super::script::Script;
use super::world::{Sim, Wish, World};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
/// Once no fault strikes any more, it ends within this time: a process may be left dead for three days, and a watch lasts one.
const BOUND: u64 = 5 * 24 * HOUR;
/// A run whose faults never stop is left alone after this time.
const HORIZON: u64 = 12 * 24 * HOUR;
/// More processes one after the other than it takes where nothing fails, and than is worth its time where everything does.
const MOST_SHIFTS: u32 = 40;

/// What came of a seed.
pub(crate) struct Played {
    pub(crate) seed: u64,
    pub(crate) case: String,
    pub(crate) broken: Option<String>,
    pub(crate) story: String,
    pub(crate) trace: u64,
    pub(crate) hits: BTreeMap<Kind, u64>,
    pub(crate) ending: &'static str,
    pub(crate) simulated: u64,
    /// What the wall clock showed at the beginning.
    pub(crate) wall: i64,
    pub(crate) events: u64,
    pub(crate) calls: u64,
    pub(crate) rows: u64,
    /// What became of the script.
    pub(crate) script: Option<Script>,
}

/// Where processes say how they ended, and where that is heard.
type Ends = (mpsc::UnboundedSender<(u32, End)>, mpsc::UnboundedReceiver<(u32, End)>);

struct Player {
    sim: Arc<Sim>,
    case: Arc<Case>,
    folder: tempfile::TempDir,
    real: Arc<SqliteJournal>,
    sealer: Arc<Sealer>,
    id: RotationId,
    crew: BTreeMap<u32, (Arc<Process>, watch::Sender<Signal>)>,
    ends: Ends,
    started: u32,
    alerts: Vec<u8>,
    resumes: bool,
    /// When faults stop, if they do.
    until: Option<u64>,
}

/// What the player does after a shift.
enum Next {
    Again(u64),
    Over(&'static str),
}

/// Plays a seed. `faulty` false is the clean path.
pub(crate) fn play(seed: u64, faulty: bool, loud: bool) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let mut chance = Chance::new(seed);
        let case = Case::draw(&mut chance);
        let until = chance.hits(500).then(|| chance.pick(&[10_000, 2 * MINUTE, 40 * MINUTE, 26 * HOUR]));
        let faults = if faulty { Faults::draw(&mut chance, until) } else { Faults::none() };
        let world = World::new(chance, faults, case.facts.shape, usize::from(case.facts.quota));
        to_the_end(world, case, seed, until, loud).await
    })
}

/// Plays a case by a script: nothing goes wrong but what it says, and then it has to end.
pub(crate) fn act_out(case: Case, script: Script, loud: bool) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let mut world = World::new(Chance::new(0), Faults::none(), case.facts.shape, usize::from(case.facts.quota));
        world.script = Some(script);
        to_the_end(world, case, 0, Some(0), loud).await
    })
}

async fn to_the_end(mut world: World, case: Case, seed: u64, until: Option<u64>, loud: bool) -> Played {
    case.furnish(&mut world);
    let sim = Sim::new(world, case.wall, loud);
    let mut player = Player::new(&sim, case, seed, until);
    let ending = player.play().await;
    player.look_back(ending == "stuck").await;
    let mut world = sim.lock();
    Played {
        seed,
        case: player.case.describe(),
        broken: world.broken.clone(),
        story: world.story(),
        trace: world.trace(),
        hits: world.faults.hits.clone(),
        ending,
        simulated: sim.now(),
        wall: player.case.wall,
        events: world.events,
        calls: world.calls,
        rows: world.book.rows,
        script: world.script.take(),
    }
}

pub(crate) fn open(sim: &Arc<Sim>, folder: &Path) -> Arc<SqliteJournal> {
    let clock = Arc::clone(sim);
    let options = Options::new(folder.join("state")).clock(move || clock.stamp()).inline();
    Arc::new(SqliteJournal::open(options).expect("a journal"))
}

impl Player {
    fn new(sim: &Arc<Sim>, case: Case, seed: u64, until: Option<u64>) -> Self {
        let memory = Path::new("/dev/shm");
        let builder = tempfile::Builder::new().prefix("handover-sim-").to_owned();
        let folder = if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() }.expect("a folder");
        let real = open(sim, folder.path());
        let sealer = Sealer::from_file_or_new(&folder.path().join("key"), real.instance_id()).expect("a key");
        Self {
            sim: Arc::clone(sim),
            case: Arc::new(case),
            folder,
            real,
            sealer: Arc::new(sealer),
            id: RotationId::new(format!("sim-{seed}")).expect("an id"),
            crew: BTreeMap::new(),
            ends: mpsc::unbounded_channel(),
            started: 0,
            alerts: Vec::new(),
            resumes: false,
            until,
        }
    }

    async fn play(&mut self) -> &'static str {
        self.sim.note(|| self.case.describe());
        let (mut stuck, mut calm) = (0, 0);
        for shift in 0.. {
            let now = self.sim.now();
            if self.sim.is_broken() {
                return "broken";
            }
            match self.until {
                Some(until) if now >= until => {
                    calm += 1;
                    if calm > MOST_SHIFTS || now > until + BOUND {
                        let wait = (now - until) / HOUR;
                        self.sim.lock().breaks(format!("L1: {wait} h and {calm} processes after the last fault it goes on"));
                        return "broken";
                    }
                }
                _ if shift > MOST_SHIFTS || now > HORIZON => return "open",
                _ => {}
            }
            let end = self.shift().await;
            match self.after(end, &mut stuck).await {
                Next::Over(ending) => return ending,
                Next::Again(wait) => self.sleep(wait).await,
            }
        }
        "open"
    }

    /// Until nobody is at work any more.
    async fn shift(&mut self) -> End {
        if self.sim.lock().book.plan.is_some() {
            meddle::stir(&self.sim);
        }
        self.wishes().await;
        let namespace = self.namespace();
        self.start(namespace);
        let crash = self.sim.strikes(Kind::CrashAnyTime).then(|| self.later(1, MINUTE));
        let mut crash = crash;
        let mut takeover: Option<Instant> = None;
        // A leak is held on to for ever; the simulation is not.
        let horizon = self.until.map_or(HORIZON, |until| until + BOUND).saturating_sub(self.sim.now());
        let horizon = Instant::now() + Duration::from_millis(horizon);
        loop {
            let next = |at: Option<Instant>| at.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                biased;
                Some((number, end)) = self.ends.1.recv() => {
                    self.crew.remove(&number);
                    self.sim.note(|| format!("process {number}: {}", told(&end)));
                    if self.crew.is_empty() {
                        return end;
                    }
                }
                () = self.sim.bell.notified() => {
                    if let Some(ms) = self.wishes().await
                        && takeover.is_none()
                        && (self.is_scripted() || self.sim.strikes(Kind::TakeOver))
                    {
                        let scripted = Instant::now() + self.sim.standstill().1;
                        takeover = Some(if self.is_scripted() { scripted } else { self.later(1000, ms + 40_000) });
                    }
                }
                () = tokio::time::sleep_until(next(takeover)), if takeover.is_some() => {
                    takeover = None;
                    self.start(self.other_machine());
                }
                () = tokio::time::sleep_until(next(crash)), if crash.is_some() => {
                    crash = None;
                    self.kill("at any time");
                }
                () = tokio::time::sleep_until(horizon) => self.kill("the simulation ends"),
            }
            if self.sim.is_broken() {
                self.kill("something is broken");
            }
        }
    }

    /// Where the next process runs: where it sees whether the one before is dead, or where it does not.
    fn namespace(&self) -> u32 {
        let scripted = self.sim.lock().script.as_ref().map(|s| s.manner.elsewhere);
        let elsewhere = scripted.map_or_else(|| self.sim.between(0, 2) == 0, |e| e && self.started > 0);
        if elsewhere { self.other_machine() } else { 1 }
    }

    fn is_scripted(&self) -> bool {
        self.sim.lock().script.is_some()
    }

    /// One where others of us run as well, or none of us does.
    fn other_machine(&self) -> u32 {
        let shared = !self.is_scripted() && self.sim.between(0, 1) == 0;
        if shared { 2 } else { self.started + 3 }
    }

    fn later(&self, from: u64, to: u64) -> Instant {
        Instant::now() + Duration::from_millis(self.sim.between(from, to))
    }

    fn kill(&self, why: &str) {
        for (process, _) in self.crew.values().filter(|(p, _)| !p.is_dead()) {
            self.sim.note(|| format!("process {} dies ({why})", process.number));
            process.die();
        }
    }

    fn start(&mut self, namespace: u32) {
        self.started += 1;
        let number = self.started;
        let process = Process::new(number);
        let (signal, listening) = watch::channel(Signal::Run);
        {
            let world = self.sim.lock();
            self.alerts.retain(|slot| !world.book.compromised.contains(slot));
        }
        let shift = Shift {
            sim: Arc::clone(&self.sim),
            process: Arc::clone(&process),
            case: Arc::clone(&self.case),
            real: Arc::clone(&self.real),
            sealer: Arc::clone(&self.sealer),
            id: self.id.clone(),
            owner: owner(number, namespace, self.sim.boot_id()),
            alerts: self.alerts.clone(),
            resumes: self.resumes,
        };
        self.sim.note(|| format!("process {number} starts in namespace {namespace}"));
        self.crew.insert(number, (process, signal));
        let ends = self.ends.0.clone();
        tokio::spawn(async move {
            let _ = ends.send((number, shift.live(listening).await));
        });
    }

    /// What was wished for since; gives how long a process stands still, if one does.
    async fn wishes(&mut self) -> Option<u64> {
        let mut still = None;
        loop {
            let Some(wish) = self.sim.lock().wishes.pop_front() else { return still };
            match wish {
                Wish::Abort => {
                    let request = Request::Abort { by: "someone".to_owned(), reason: None };
                    post(&self.sim, &self.real, &self.id, &request).await;
                }
                Wish::Alert(slots) => {
                    self.sim.note(|| format!("alert: slots {slots:?} have leaked"));
                    self.alerts.extend(slots);
                    if self.sim.between(0, 1) == 0 {
                        self.kill("for an alert");
                    } else {
                        self.stop();
                    }
                }
                Wish::Stop => self.stop(),
                Wish::Reboot => {
                    self.kill("reboot");
                    let by = i64::try_from(self.sim.between(0, 48 * HOUR)).unwrap_or_default();
                    // In a leak the clock is believed: its deadline must not wait because the machine was off.
                    let leak = self.case.playbook.containment.is_some()
                        || !self.alerts.is_empty()
                        || !self.sim.lock().book.compromised.is_empty();
                    let off = match self.sim.between(0, 3) {
                        0 => -by,
                        1 if !leak => by,
                        _ => 0,
                    };
                    self.sleep(20_000).await;
                    self.sim.reboot(self.case.wall, off);
                    self.sim.note(|| format!("the machine is up again, its clock off by {off} ms"));
                }
                Wish::Second => self.second().await,
                Wish::Standstill(ms) => still = Some(ms),
            }
        }
    }

    fn stop(&self) {
        self.sim.note(|| "someone stops the process".to_owned());
        for (_, signal) in self.crew.values() {
            let _ = signal.send(Signal::Stop);
        }
    }

    /// S14: a second rotation of the lineage is refused while the first has not ended.
    async fn second(&self) {
        let (begun, ended) = {
            let book = &self.sim.lock().book;
            (book.plan.is_some(), book.ending.is_some())
        };
        if !begun || ended {
            return;
        }
        let new = NewRotation {
            id: RotationId::new("second").expect("an id"),
            credential: "newsletter".to_owned(),
            lineage: format!("sandbox/{}", super::provider::ACCOUNT),
            events: vec![NewEvent { stamp: self.sim.stamp(), at: Millis(0), payload: "{}".to_owned(), known: Vec::new() }],
            sealed: Vec::new(),
            trigger: None,
        };
        let refused = self.real.begin(new, &owner(u32::MAX, 1, self.sim.boot_id())).await;
        self.sim.note(|| "someone begins a second rotation".to_owned());
        if !matches!(&refused, Err(e) if matches!(&e.kind, Trouble::OneRotation { other } if *other == self.id)) {
            self.sim.lock().breaks(format!("S14: a second rotation was not refused: {refused:?}"));
        }
    }

    /// What follows from the end of a shift.
    async fn after(&mut self, end: End, stuck: &mut u32) -> Next {
        self.resumes = false;
        if let Some(ending) = self.sim.lock().book.ending {
            return Next::Over(match ending {
                Ending::Done => "done",
                Ending::RolledBack => "rolled back",
                Ending::Refused => "refused",
            });
        }
        let soon = self.sim.between(10, 2 * MINUTE);
        match end {
            End::Rest(Rest::Stuck, _) => self.stuck(stuck),
            End::Rest(Rest::Waiting { until, person }, now) => self.waiting(until, person, now).await,
            End::Rest(Rest::Ended(_), _) => {
                self.sim.lock().breaks("S30: it says that it has ended, and the journal does not".to_owned());
                Next::Over("broken")
            }
            End::Rest(Rest::Stopped, _) => Next::Again(soon),
            End::Failed(EngineError::Journal(_)) => Next::Again(soon),
            End::Failed(EngineError::Refused(_)) if self.sim.lock().book.plan.is_none() => {
                if self.sim.between(0, 3) == 0 {
                    Next::Over("not begun")
                } else {
                    Next::Again(soon)
                }
            }
            End::Failed(error) => {
                self.sim.lock().breaks(format!("the engine stops: {error}"));
                Next::Over("broken")
            }
            End::Panicked => {
                self.sim.lock().breaks("the engine panics".to_owned());
                Next::Over("broken")
            }
            End::Died => {
                if self.sim.between(0, 9) == 0 {
                    self.real = open(&self.sim, self.folder.path());
                }
                let long = self.sim.between(0, 9) == 0;
                // A script ends within days, however often a process is left dead.
                let longest = if self.is_scripted() { 6 } else { 72 };
                Next::Again(if long { self.sim.between(HOUR, longest * HOUR) } else { soon })
            }
        }
    }

    /// A person comes, mends what someone else has done to an entry, and resumes; a few times at most.
    fn stuck(&mut self, stuck: &mut u32) -> Next {
        *stuck += 1;
        let told = self.sim.lock().book.todo.as_ref().is_some_and(|todo| !todo.is_empty());
        if !told {
            self.sim.lock().breaks("S18: it is stuck and tells nobody what to do".to_owned());
        }
        let calm = self.until.is_some_and(|until| self.sim.now() >= until);
        let again = *stuck < 6 && (calm || self.sim.between(0, 2) > 0);
        if !again {
            return Next::Over("stuck");
        }
        self.resumes = true;
        let mended = self.sim.lock().mend();
        self.sim.note(|| format!("a person resumes; mended: {mended:?}"));
        Next::Again(self.sim.between(MINUTE, if calm { HOUR } else { 12 * HOUR }))
    }

    async fn waiting(&mut self, until: Option<Millis>, person: Option<Wanted>, now: Millis) -> Next {
        let Some(until) = until else {
            self.sim.lock().breaks("L2: it waits for nothing".to_owned());
            return Next::Over("broken");
        };
        let wait = until.since(now).0;
        if let Some(Wanted::Approval(step)) = person
            && self.sim.between(0, 3) > 0
        {
            let request = Request::Approve { step, by: "someone".to_owned() };
            post(&self.sim, &self.real, &self.id, &request).await;
            return Next::Again(self.sim.between(0, wait));
        }
        let early = self.sim.between(0, 3) == 0;
        Next::Again(if early { self.sim.between(0, wait) } else { wait + self.sim.between(0, 10 * MINUTE) })
    }

    async fn sleep(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// When everybody is gone and nothing is on its way any more.
    async fn look_back(&mut self, stuck: bool) {
        self.kill("the end");
        for _ in 0..600 {
            self.sleep(1000).await;
            if self.sim.lock().flying == 0 {
                break;
            }
        }
        if self.sim.lock().broken.is_some() {
            return;
        }
        self.sim.lock().check();
        let wrong = self.sim.lock().check_rest(stuck);
        if let Some(why) = wrong {
            self.sim.lock().breaks(why);
        }
        if self.sim.lock().book.ending.is_some() {
            let made = self.sim.lock().made;
            for slot in 0..=made {
                if !matches!(self.real.sealed(&self.id, &format!("slot-{slot}")).await, Ok(None)) {
                    self.sim.lock().breaks(format!("T18: it has ended, and the secret of slot {slot} is still there"));
                }
            }
        }
        if let Err(error) = self.real.verify().await {
            self.sim.lock().breaks(format!("S23: the audit chain: {error}"));
        }
        if self.sim.lock().book.plan.is_none() {
            return;
        }
        let rows = self.real.load(&self.id).await;
        let written = self.sim.lock().book.rows;
        let why = match rows {
            Ok(rows) if rows.len() as u64 != written => {
                Some(format!("S6: {} rows are there and {written} were committed", rows.len()))
            }
            Ok(rows) => replay(&self.id, &rows).err().map(|e| format!("S28: {e}")),
            Err(error) => Some(format!("S28: {error}")),
        };
        if let Some(why) = why {
            self.sim.lock().breaks(why);
        }
    }
}

fn told(end: &End) -> String {
    match end {
        End::Rest(rest, _) => format!("rests: {rest:?}"),
        End::Failed(error) => format!("fails: {error}"),
        End::Died => "is dead".to_owned(),
        End::Panicked => "panics".to_owned(),
    }
}

impl World {
    /// A person puts back what someone else has written into an entry: what its service uses.
    fn mend(&mut self) -> Vec<String> {
        let edited: Vec<String> = self.entries.keys().filter(|n| self.meddled.contains(*n)).cloned().collect();
        for name in &edited {
            let uses = self.services.values().find(|(entry, _)| entry == name).map(|(_, uses)| uses.clone());
            if let (Some(uses), Some(held)) = (uses, self.entries.get_mut(name)) {
                *held = uses;
            }
        }
        edited
    }
}
