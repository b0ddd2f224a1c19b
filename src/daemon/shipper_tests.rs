//! Shipping in virtual time, from a real journal, to sinks that are up, down, hanging and full, and to files that somebody has touched.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use handover_rotation::name::RotationId;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::{Millis, Span};
use rustix::io::Errno;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Line, Route};
use crate::audit::file::FileSink;
use crate::audit::{Batch, Sink};
use crate::files::disk::{Disk, Op, Trouble};
use crate::journal::{
    Append, Checkpoint, Cursor, Head, Item, Journal, JournalError, NewEvent, NewRotation, Options, Owner, Reading, Room,
    Shipping, Signer, SqliteJournal, Stamp,
};
use crate::notify::Notice;

#[derive(Clone, Copy, PartialEq)]
enum Play {
    Take,
    Down,
    Hang,
    /// It has the lines, and the answer is lost.
    Lose,
}

#[derive(Clone)]
struct Receiver {
    play: Arc<Mutex<Play>>,
    has: Arc<Mutex<Vec<String>>>,
    calls: Arc<Mutex<Vec<u64>>>,
    begun: Instant,
}

impl Receiver {
    fn new(play: Play) -> Self {
        let (has, calls) = (Arc::default(), Arc::default());
        Self { play: Arc::new(Mutex::new(play)), has, calls, begun: Instant::now() }
    }

    fn plays(&self, play: Play) {
        *self.play.lock().unwrap() = play;
    }

    fn has(&self) -> Vec<String> {
        self.has.lock().unwrap().clone()
    }

    /// When it was called, in seconds.
    fn calls(&self) -> Vec<u64> {
        self.calls.lock().unwrap().clone()
    }
}

#[async_trait]
impl Sink for Receiver {
    fn request_timeout(&self) -> Span {
        Span::seconds(15)
    }

    fn most(&self) -> usize {
        // Several calls for a few rows.
        1_000
    }

    async fn last(&self) -> Result<Option<String>, Fault> {
        Ok(None)
    }

    async fn put(&self, batch: &Batch) -> Outcome<()> {
        self.calls.lock().unwrap().push(self.begun.elapsed().as_secs());
        let play = *self.play.lock().unwrap();
        if matches!(play, Play::Take | Play::Lose) {
            self.has.lock().unwrap().extend(batch.lines.iter().cloned());
        }
        match play {
            Play::Take => Outcome::Done(()),
            Play::Hang => std::future::pending().await,
            Play::Down | Play::Lose => Outcome::Unknown(Fault::new(FaultClass::Temporary, "HO1083", "it said no")),
        }
    }
}

fn event(at: u64) -> NewEvent {
    let stamp = Stamp { wall_ms: at, boot_ms: at, boot_id: "boot".to_owned() };
    NewEvent { stamp, at: Millis(at), payload: format!("{{\"at\":{at}}}"), known: Vec::new() }
}

struct World {
    dir: tempfile::TempDir,
    journal: Arc<SqliteJournal>,
    told: Arc<Mutex<Vec<(u64, Notice)>>>,
    begun: Instant,
}

fn opened(folder: &Path) -> Arc<SqliteJournal> {
    Arc::new(SqliteJournal::open(Options::new(folder).inline()).unwrap())
}

impl World {
    /// A journal of this many rows, its head signed.
    async fn new(rows: u64) -> Self {
        let dir =
            tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700)).tempdir().unwrap();
        let journal = opened(&dir.path().join("state"));
        let world = Self { dir, journal, told: Arc::default(), begun: Instant::now() };
        let new = NewRotation {
            id: RotationId::new("r1").unwrap(),
            credential: "newsletter".to_owned(),
            lineage: "relay/newsletter".to_owned(),
            events: (1..=rows).map(event).collect(),
            sealed: vec![],
            trigger: None,
        };
        world.journal.begin(new, &Owner::current().unwrap()).await.unwrap();
        let signer = Signer::new_for_tests();
        let head = world.journal.head().await.unwrap();
        world.journal.keep_checkpoint(signer.sign(world.journal.instance_id(), head, 1)).await.unwrap();
        world
    }

    async fn write(&self) {
        let id = RotationId::new("r1").unwrap();
        let expected_seq = self.journal.load(&id).await.unwrap().len() as u64;
        let events = vec![event(expected_seq + 1)];
        let (sealed, notices, room) = (Vec::new(), Vec::new(), Room::Ordinary);
        self.journal.append(Append { id, epoch: 1, expected_seq, events, sealed, notices, room }).await.unwrap();
    }

    fn ship(&self, name: &str, sink: impl Sink + 'static) -> JoinHandle<()> {
        self.ship_from(Arc::clone(&self.journal) as Arc<dyn Shipping>, name, sink)
    }

    fn ship_from(&self, log: Arc<dyn Shipping>, name: &str, sink: impl Sink + 'static) -> JoinHandle<()> {
        let route = Route::new(log, self.journal.instance_id(), name, Arc::new(sink));
        let (told, begun) = (Arc::clone(&self.told), self.begun);
        let tell = Arc::new(move |notice| told.lock().unwrap().push((begun.elapsed().as_secs(), notice)));
        let clock = Arc::new(move || 1_000_000 + u64::try_from(begun.elapsed().as_millis()).unwrap());
        tokio::spawn(Line::new(route, clock, Arc::new(Notify::new()), tell).run())
    }

    /// Closes the journal; its folder stays.
    async fn close(self) -> tempfile::TempDir {
        let Self { dir, journal, .. } = self;
        // A task that was ended holds it until it is dropped.
        while Arc::strong_count(&journal) > 1 {
            tokio::task::yield_now().await;
        }
        dir
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("audit.jsonl")
    }

    /// What people were told: when, about which sink, and whether it ends it.
    fn told(&self) -> Vec<(u64, String, bool)> {
        self.told.lock().unwrap().iter().map(|(at, n)| (*at, n.incident.clone(), n.ends)).collect()
    }

    async fn has_all(&self, lines: &[String]) -> bool {
        let found = read(lines);
        found.wrong.is_empty() && found.head == Some(self.journal.head().await.unwrap()) && found.checkpoints >= 1
    }
}

fn read(lines: &[String]) -> crate::journal::Shipped {
    let mut reading = Reading::new(None);
    lines.iter().for_each(|line| reading.line("a line", line));
    reading.end()
}

fn lines_of(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// A disk that has no room for what is appended, until it is told otherwise.
fn full(is_full: &Arc<Mutex<bool>>) -> Disk {
    let is_full = Arc::clone(is_full);
    let hook = move |op, _: &Path| (op == Op::Write && *is_full.lock().unwrap()).then_some(Trouble::After(Errno::NOSPC));
    Disk { hook: Some(Box::new(hook)) }
}

#[tokio::test(start_paused = true)]
async fn s22_a_sink_that_hangs_is_down_or_full_delays_no_other_and_gets_everything_once_it_can() {
    let world = World::new(30).await;
    let (good, hangs, down) = (Receiver::new(Play::Take), Receiver::new(Play::Hang), Receiver::new(Play::Down));
    let is_full = Arc::new(Mutex::new(true));
    let file = FileSink::on(full(&is_full), &world.file()).unwrap();
    let tasks = [
        world.ship("hangs", hangs.clone()),
        world.ship("down", down.clone()),
        world.ship("full", file),
        world.ship("good", good.clone()),
    ];
    pass(1).await;
    assert!(world.has_all(&good.has()).await, "{:?}", good.has());
    world.write().await;
    pass(3).await;
    assert!(world.has_all(&good.has()).await, "what came later as well");
    assert_eq!((hangs.calls().len(), read(&lines_of(&world.file())).head), (1, None));
    pass(600).await;
    // Pauses are bounded: tried every minute at the least, and never at once.
    let calls = down.calls();
    let gaps: Vec<u64> = calls.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(calls.len() > 12 && gaps.iter().all(|gap| (1..=61).contains(gap)), "{calls:?}");
    assert!(std::fs::metadata(world.file()).unwrap().len() == 0, "no halves pile up on a full disk");
    hangs.plays(Play::Take);
    down.plays(Play::Take);
    *is_full.lock().unwrap() = false;
    pass(90).await;
    for (name, lines) in [("hangs", hangs.has()), ("down", down.has()), ("full", lines_of(&world.file()))] {
        assert!(world.has_all(&lines).await, "{name}: {:?}", read(&lines).wrong);
        assert_eq!(read(&lines).repeated, 0, "{name}");
    }
    tasks.iter().for_each(JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn l6_people_are_told_of_a_sink_that_is_behind_for_a_minute_again_while_it_lasts_and_when_it_has_caught_up() {
    let world = World::new(3).await;
    let (siem, good) = (Receiver::new(Play::Down), Receiver::new(Play::Take));
    let tasks = [world.ship("siem", siem.clone()), world.ship("good", good)];
    pass(55).await;
    assert_eq!(world.told(), []);
    pass(15).await;
    let told = world.told();
    assert!(told.len() == 1 && (60..=62).contains(&told[0].0) && told[0].1 == "audit:siem", "{told:?}");
    let first = world.told.lock().unwrap()[0].1.clone();
    assert!(first.title.contains("3 rows behind"), "{}", first.title);
    pass(16 * 60).await;
    assert_eq!(world.told().len(), 2);
    // A daemon that is started anew knows that people know.
    tasks[0].abort();
    siem.plays(Play::Take);
    let again = world.ship("siem", siem.clone());
    pass(5).await;
    let told = world.told();
    assert!(told.len() == 3 && told[2].2, "{told:?}");
    // A repetition has another id; the end belongs to the same incident.
    let ids: std::collections::BTreeSet<String> = world.told.lock().unwrap().iter().map(|(_, n)| n.id.clone()).collect();
    assert_eq!(ids.len(), 3);
    pass(1_000).await;
    assert_eq!(world.told().len(), 3);
    again.abort();
    tasks[1].abort();
}

/// A journal that loses how far a sink has come, as a process does that dies after the call.
struct Forgetful(Arc<SqliteJournal>);

#[async_trait]
impl Shipping for Forgetful {
    async fn head(&self) -> Result<Head, JournalError> {
        self.0.head().await
    }
    async fn hash_at(&self, n: u64) -> Result<Option<[u8; 32]>, JournalError> {
        self.0.hash_at(n).await
    }
    async fn cursor(&self, sink: &str) -> Result<Cursor, JournalError> {
        self.0.cursor(sink).await
    }
    async fn next(&self, after: &Cursor, most: u32, bytes: usize) -> Result<Vec<Item>, JournalError> {
        self.0.next(after, most, bytes).await
    }
    async fn shipped(&self, _: &str, _: Cursor) -> Result<(), JournalError> {
        std::future::pending().await
    }
    async fn keep_checkpoint(&self, checkpoint: Checkpoint) -> Result<(), JournalError> {
        self.0.keep_checkpoint(checkpoint).await
    }
    async fn checkpoints(&self) -> Result<Vec<Checkpoint>, JournalError> {
        self.0.checkpoints().await
    }
    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, JournalError> {
        self.0.last_checkpoint().await
    }
}

#[tokio::test(start_paused = true)]
async fn s22_killed_or_unanswered_at_every_call_nothing_is_lost_and_order_is_kept() {
    let world = World::new(20).await;
    let siem = Receiver::new(Play::Take);
    let mut round = 0;
    while !world.has_all(&siem.has()).await {
        // Dies after the call, then an answer is lost, then one batch comes through.
        let dies = world.ship_from(Arc::new(Forgetful(Arc::clone(&world.journal))), "siem", siem.clone());
        pass(1).await;
        dies.abort();
        siem.plays(Play::Lose);
        let loses = world.ship("siem", siem.clone());
        pass(1).await;
        loses.abort();
        siem.plays(Play::Take);
        let mut route = Route::new(
            Arc::clone(&world.journal) as Arc<dyn Shipping>,
            world.journal.instance_id(),
            "siem",
            Arc::new(siem.clone()),
        );
        route.step().await.unwrap();
        round += 1;
        assert!(round < 30, "it comes to no end");
    }
    assert!(round > 2 && read(&siem.has()).repeated > 4, "{round} rounds, {:?}", read(&siem.has()).repeated);

    // A file shows what it has: what was written before a crash is not written again.
    let dies = world.ship_from(
        Arc::new(Forgetful(Arc::clone(&world.journal))),
        "file",
        FileSink::on(Disk::default(), &world.file()).unwrap(),
    );
    pass(1).await;
    dies.abort();
    let had = lines_of(&world.file()).len();
    assert!(had > 1);
    let task = world.ship("file", FileSink::on(Disk::default(), &world.file()).unwrap());
    pass(3).await;
    let lines = lines_of(&world.file());
    assert!(world.has_all(&lines).await && read(&lines).repeated == 0, "{:?}", read(&lines));
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn s22_a_file_that_is_carried_away_cut_or_lost_is_gone_on_with_and_one_of_another_log_is_not_touched() {
    let world = World::new(5).await;
    let sink = || FileSink::on(Disk::default(), &world.file()).unwrap();
    let task = world.ship("file", sink());
    pass(1).await;
    // Renamed as logrotate does.
    std::fs::rename(world.file(), world.dir.path().join("audit.1")).unwrap();
    world.write().await;
    pass(3).await;
    let both = [lines_of(&world.dir.path().join("audit.1")), lines_of(&world.file())].concat();
    assert!(lines_of(&world.file()).len() == 1 && world.has_all(&both).await, "{both:?}");
    // Half of a line, from a crash: the next one stands whole after it.
    task.abort();
    let text = std::fs::read_to_string(world.file()).unwrap();
    std::fs::write(world.file(), format!("{text}{}", &text[..text.len() / 2])).unwrap();
    world.write().await;
    let task = world.ship("file", sink());
    pass(3).await;
    let both = [lines_of(&world.dir.path().join("audit.1")), lines_of(&world.file())].concat();
    assert!(world.has_all(&both).await && read(&both).cut == 1, "{both:?}");
    task.abort();
    assert_eq!(world.told(), []);

    // A journal that was put back as a whole, with how far the sink had come: the file knows more.
    let backup = tempfile::tempdir().unwrap();
    let dir = world.close().await;
    let state = dir.path().join("state");
    for name in ["journal.db", "anchor"] {
        std::fs::copy(state.join(name), backup.path().join(name)).unwrap();
    }
    let world = World { journal: opened(&state), dir, told: Arc::default(), begun: Instant::now() };
    world.write().await;
    let task = world.ship("file", FileSink::on(Disk::default(), &world.file()).unwrap());
    pass(3).await;
    task.abort();
    let before = std::fs::read_to_string(world.file()).unwrap();
    let dir = world.close().await;
    for name in ["journal.db", "anchor"] {
        std::fs::copy(backup.path().join(name), state.join(name)).unwrap();
    }
    let world = World { journal: opened(&state), dir, told: Arc::default(), begun: Instant::now() };
    let task = world.ship("file", FileSink::on(Disk::default(), &world.file()).unwrap());
    pass(2).await;
    let told = world.told.lock().unwrap().clone();
    assert!(told.len() == 1 && told[0].1.title.contains("nothing is sent there"), "{told:?}");
    assert!(told[0].1.lines[0].contains("which is missing from this journal"), "{:?}", told[0].1.lines);
    world.write().await;
    pass(200).await;
    assert_eq!(std::fs::read_to_string(world.file()).unwrap(), before, "nothing is added to it");
    task.abort();
    // Nor to the log of another journal.
    let other = World::new(9).await;
    let task = other.ship("file", FileSink::on(Disk::default(), &world.file()).unwrap());
    pass(2).await;
    assert!(other.told.lock().unwrap()[0].1.lines[0].contains("another journal"));
    assert_eq!(std::fs::read_to_string(world.file()).unwrap(), before);
    task.abort();
}
