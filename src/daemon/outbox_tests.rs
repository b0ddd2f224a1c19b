//! Delivery in virtual time, from a real journal, to receivers that are up, down, hanging and gone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass, Outcome};
use handover_rotation::time::Span;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{Delivery, WallClock, rows};
use crate::config::Node;
use crate::config::inventory::KindSpec;
use crate::config::notify::NotifierSpec;
use crate::journal::{JournalError, NewNotice, Options, Outbox, Queued, SqliteJournal, Standing, Tried};
use crate::notify::{Notice, NoticeKind, Notifier, Notifiers, Severity};

/// What a receiver does, by the number of the call.
type Plays = fn(usize, &Notice) -> Play;

#[derive(Clone, Copy)]
enum Play {
    Take,
    Down,
    Refuse,
    Hang,
}

#[derive(Clone)]
struct Receiver {
    plays: Plays,
    told: Arc<Mutex<Vec<(Duration, String)>>>,
    begun: Instant,
}

impl Receiver {
    fn told(&self) -> Vec<(u64, String)> {
        self.told.lock().unwrap().iter().map(|(at, id)| (at.as_secs(), id.clone())).collect()
    }
}

#[async_trait]
impl Notifier for Receiver {
    fn request_timeout(&self) -> Span {
        Span::seconds(15)
    }

    async fn tell(&self, notice: &Notice, _: Option<&str>) -> Outcome<()> {
        let n = {
            let mut told = self.told.lock().unwrap();
            told.push((self.begun.elapsed(), notice.id.clone()));
            told.len() - 1
        };
        let fault = |class| Fault::new(class, "HO1213", "it said no");
        match (self.plays)(n, notice) {
            Play::Take => Outcome::Done(()),
            Play::Down => Outcome::Unknown(fault(FaultClass::Temporary)),
            Play::Refuse => Outcome::NotDone(fault(FaultClass::Permanent)),
            Play::Hang => std::future::pending().await,
        }
    }
}

/// A journal and some receivers by name.
struct World {
    _dir: tempfile::TempDir,
    outbox: Arc<SqliteJournal>,
    receivers: BTreeMap<&'static str, Receiver>,
    notifiers: watch::Sender<Arc<Notifiers>>,
    wake: Arc<Notify>,
    clock: WallClock,
}

impl World {
    fn new(receivers: &[(&'static str, Plays)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Arc::new(SqliteJournal::open(Options::new(dir.path()).inline()).unwrap());
        let begun = Instant::now();
        let made = |(name, plays): &(&'static str, Plays)| (*name, Receiver { plays: *plays, told: Arc::default(), begun });
        let receivers: BTreeMap<_, _> = receivers.iter().map(made).collect();
        let mut all = Notifiers::default();
        for (name, receiver) in &receivers {
            all.add(name, &spec(), Arc::new(receiver.clone()));
        }
        let clock: WallClock = Arc::new(move || 1_700_000_000_000 + u64::try_from(begun.elapsed().as_millis()).unwrap());
        Self { _dir: dir, outbox, receivers, notifiers: watch::Sender::new(Arc::new(all)), wake: Arc::default(), clock }
    }

    /// Puts notices for everyone, each an incident and what it says.
    async fn put(&self, notices: &[(&str, &str)]) {
        let all = self.notifiers.borrow().clone();
        let made = |(incident, what): &(&str, &str)| {
            rows(&all, &Notice::new(NoticeKind::Stuck, Severity::Critical, incident, what, "it is stuck", (self.clock)()))
        };
        self.outbox.put(notices.iter().flat_map(made).collect()).await.unwrap();
    }

    fn deliver_from(&self, outbox: Arc<dyn Outbox>) -> tokio::task::JoinHandle<()> {
        let delivery = Delivery::new(outbox, self.notifiers.subscribe(), Arc::clone(&self.clock), Arc::clone(&self.wake));
        tokio::spawn(delivery.run())
    }

    fn deliver(&self) -> tokio::task::JoinHandle<()> {
        self.deliver_from(self.outbox.clone())
    }

    fn told(&self, name: &str) -> Vec<(u64, String)> {
        self.receivers[name].told()
    }

    async fn standing(&self, name: &str) -> Standing {
        self.outbox.standing().await.unwrap().into_iter().find(|s| s.target == name).unwrap()
    }
}

fn spec() -> NotifierSpec {
    let options = Node::from_yaml("inventory.yaml", Path::new("/"), "{}").unwrap();
    let spec = KindSpec { kind: "test".to_owned(), options };
    NotifierSpec { spec, on: None, credentials: Default::default(), owners: Default::default() }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn ids(told: &[(u64, String)]) -> Vec<&str> {
    told.iter().map(|(_, id)| id.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_or_is_down_delays_no_other() {
    let world = World::new(&[("good", |_, _| Play::Take), ("hangs", |_, _| Play::Hang), ("down", |_, _| Play::Down)]);
    let delivery = world.deliver();
    world.put(&[("r1", "1"), ("r2", "1")]).await;
    world.wake.notify_one();
    pass(1).await;
    assert_eq!(world.told("good"), [(0, "r1:1".to_owned()), (0, "r2:1".to_owned())], "at once");
    world.put(&[("r3", "1")]).await;
    world.wake.notify_one();
    pass(1).await;
    assert_eq!(ids(&world.told("good")), ["r1:1", "r2:1", "r3:1"], "while the others hang and are down");
    assert_eq!(world.told("hangs").len(), 1, "one call at a time");
    // A call without an end is ended, and the next tried.
    pass(60).await;
    assert!(world.told("hangs").len() >= 2);
    // The down one is left alone for longer and longer, and never for more than a minute.
    pass(3_600).await;
    let told = world.told("down");
    let gaps: Vec<u64> = told.windows(2).map(|w| w[1].0 - w[0].0).collect();
    assert!(gaps[0] >= 5 && gaps.iter().all(|g| *g <= 66) && told.len() < 80, "{gaps:?}");
    assert_eq!((world.standing("good").await.waiting, world.standing("down").await.waiting), (0, 3));
    delivery.abort();
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_told_again_under_the_same_id_and_in_order() {
    // It is down for the first three calls.
    let world = World::new(&[("pager", |n, _| if n < 3 { Play::Down } else { Play::Take })]);
    let delivery = world.deliver();
    world.put(&[("r1", "trigger"), ("r1", "resolve")]).await;
    world.wake.notify_one();
    pass(120).await;
    let told = world.told("pager");
    assert_eq!(ids(&told), ["r1:trigger"; 4].iter().copied().chain(["r1:resolve"]).collect::<Vec<_>>());
    let at: Vec<u64> = told.iter().map(|(at, _)| *at).collect();
    assert_eq!((at[0], at[1], at[2], at[3] == at[4]), (0, 5, 15, true), "{at:?}");
    assert_eq!(world.standing("pager").await.waiting, 0);
    delivery.abort();
}

#[tokio::test(start_paused = true)]
async fn what_another_process_puts_there_is_told_without_a_call() {
    let world = World::new(&[("ops", |_, _| Play::Take)]);
    let delivery = world.deliver();
    pass(2).await;
    world.put(&[("r1", "1")]).await;
    pass(6).await;
    assert_eq!(world.told("ops").len(), 1);
    delivery.abort();
}

#[tokio::test(start_paused = true)]
async fn a_refused_notice_and_an_old_one_are_given_up_and_said_so() {
    // One incident is refused for ever, the receiver of the other is down for days.
    let world = World::new(&[
        ("picky", |_, n| if n.incident == "bad" { Play::Refuse } else { Play::Take }),
        ("down", |_, _| Play::Down),
    ]);
    world.put(&[("bad", "1"), ("good", "1"), ("bad", "2")]).await;
    let delivery = world.deliver();
    pass(1).await;
    assert_eq!(ids(&world.told("picky")), ["bad:1", "good:1"], "a refused one holds up no other");
    pass(3 * 3_600).await;
    let standing = world.standing("picky").await;
    assert_eq!((standing.waiting, standing.given_up), (0, 2));
    assert_eq!(standing.why.as_deref(), Some("it said no (HO1213)"));
    assert_eq!(world.told("picky").len(), 25, "twelve times each");
    assert_eq!(world.standing("down").await.given_up, 0, "what is down may come back");
    // One that was made nearly three days ago.
    let mut old = Notice::new(NoticeKind::Stuck, Severity::Critical, "old", "1", "it is stuck", 0);
    old.at_ms = (world.clock)() - 72 * 3_600_000 + 60_000;
    world.outbox.put(rows(&world.notifiers.borrow().clone(), &old)).await.unwrap();
    pass(50).await;
    assert_eq!(world.standing("down").await.given_up, 0);
    pass(600).await;
    assert_eq!((world.standing("down").await.waiting, world.standing("down").await.given_up), (3, 1));
    delivery.abort();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_told_any_more_is_given_up_at_once() {
    let world = World::new(&[("ops", |_, _| Play::Take)]);
    world.put(&[("r1", "1")]).await;
    let newer = "{\"format\":2,\"notice\":{}}".to_owned();
    let row = |id: &str, target: &str, text: String| NewNotice {
        id: id.to_owned(),
        target: target.to_owned(),
        thread: id.to_owned(),
        text,
        at_ms: 0,
    };
    let fine = Notice::new(NoticeKind::Page, Severity::Info, "p", "1", "t", 0).to_json();
    world.outbox.put(vec![row("n2", "ops", newer), row("n3", "gone", fine)]).await.unwrap();
    let delivery = world.deliver();
    pass(1).await;
    assert_eq!(ids(&world.told("ops")), ["r1:1"]);
    let (ops, gone) = (world.standing("ops").await, world.standing("gone").await);
    assert_eq!((ops.given_up, gone.given_up), (1, 1));
    assert_eq!(ops.why.as_deref(), Some("it has form 2, and this release knows 1 (HO1225)"));
    assert!(gone.why.unwrap().contains("`gone`"));
    delivery.abort();
}

/// An outbox that loses what came of a try, as a process does that dies after the call.
struct Forgetful(Arc<SqliteJournal>);

#[async_trait]
impl Outbox for Forgetful {
    async fn put(&self, notices: Vec<NewNotice>) -> Result<(), JournalError> {
        self.0.put(notices).await
    }
    async fn targets(&self) -> Result<Vec<String>, JournalError> {
        self.0.targets().await
    }
    async fn due(&self, target: &str, now_ms: u64, most: u32) -> Result<Vec<Queued>, JournalError> {
        self.0.due(target, now_ms, most).await
    }
    async fn tried(&self, _: u64, _: Tried) -> Result<(), JournalError> {
        std::future::pending().await
    }
    async fn standing(&self) -> Result<Vec<Standing>, JournalError> {
        self.0.standing().await
    }
    async fn sweep(&self, before_ms: u64) -> Result<u64, JournalError> {
        self.0.sweep(before_ms).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_whose_answer_was_lost_is_told_again_and_never_lost() {
    let world = World::new(&[("ops", |_, _| Play::Take)]);
    world.put(&[("r1", "1")]).await;
    for _ in 0..2 {
        let dies = world.deliver_from(Arc::new(Forgetful(world.outbox.clone())));
        pass(1).await;
        dies.abort();
        assert!(dies.await.unwrap_err().is_cancelled());
    }
    let delivery = world.deliver();
    pass(1).await;
    // Three times under one id: the receiver knows a repetition by it.
    assert_eq!(ids(&world.told("ops")), ["r1:1", "r1:1", "r1:1"]);
    pass(600).await;
    assert_eq!(world.told("ops").len(), 3);
    delivery.abort();
}

#[tokio::test(start_paused = true)]
async fn an_inventory_that_is_loaded_anew_is_in_force_at_the_next_try() {
    let world = World::new(&[("ops", |_, _| Play::Down)]);
    let delivery = world.deliver();
    world.put(&[("r1", "1")]).await;
    world.wake.notify_one();
    pass(1).await;
    let mended = Receiver { plays: |_, _| Play::Take, told: Arc::default(), begun: Instant::now() };
    let mut all = Notifiers::default();
    all.add("ops", &spec(), Arc::new(mended.clone()));
    world.notifiers.send_replace(Arc::new(all));
    pass(10).await;
    assert_eq!(ids(&mended.told()), ["r1:1"]);
    delivery.abort();
}
