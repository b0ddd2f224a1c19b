//! The daemon in this process, against the sandbox: schedules, leak alerts, adoption, and the API with its roles.

mod api;
mod audit;
mod beside;
mod files;
mod hostile;
mod killed;
mod leaks;
mod pages;
mod process;
mod reload;
mod schedules;
mod traces;
mod used;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use handover::daemon::api::Listen;
use handover::daemon::{Daemon, Desk, Files};
use handover::engine::clock::Clock;
use handover::engine::{Breakers, Engine};
use handover::journal::{self, Header, Journal, Outbox, Owner, Register, SqliteJournal, Stamp, open_sealer, system_stamp};
use handover_rotation::event::Ending;
use handover_rotation::state::Rotation;

use crate::support::World;

/// The clocks of this machine, the wall clock as a test has set it.
#[derive(Default)]
struct Wall(AtomicI64);

impl Wall {
    fn set(&self, wall_ms: u64) {
        let now = system_stamp().wall_ms;
        self.0.store(i64::try_from(wall_ms).expect("a time") - i64::try_from(now).expect("a time"), Ordering::SeqCst);
    }
}

impl Wall {
    fn now(&self) -> u64 {
        self.stamp().wall_ms
    }
}

impl Clock for Wall {
    fn stamp(&self) -> Stamp {
        let stamp = system_stamp();
        Stamp { wall_ms: stamp.wall_ms.saturating_add_signed(self.0.load(Ordering::SeqCst)), ..stamp }
    }
}

/// A sandbox with a daemon's files.
struct House {
    world: World,
    wall: Arc<Wall>,
    state: PathBuf,
}

impl House {
    fn new() -> Self {
        Self::within(World::start())
    }

    fn within(world: World) -> Self {
        let state = world.dir().join("daemon");
        Self { world, wall: Arc::default(), state }
    }

    fn inventory(&self) -> PathBuf {
        self.world.dir().join("inventory.yaml")
    }

    /// Adds lines to the credential of the inventory.
    fn add(&self, lines: &str) {
        let text = std::fs::read_to_string(self.inventory()).expect("it reads");
        let at = text.find("    smtp:").expect("a credential");
        std::fs::write(self.inventory(), format!("{}{lines}{}", &text[..at], &text[at..])).expect("it writes");
    }

    async fn desk(&self) -> (Arc<Desk>, Arc<SqliteJournal>) {
        let journal = Arc::new(SqliteJournal::open(journal::Options::new(&self.state)).expect("the journal opens"));
        let sealer = open_sealer(journal.as_ref(), &self.state.join("seal.key")).await.expect("it has a key");
        let engine = Engine {
            journal: Arc::clone(&journal) as Arc<dyn Journal>,
            sealer: Arc::new(sealer),
            clock: Arc::clone(&self.wall) as Arc<dyn Clock>,
            owner: Owner::current().expect("this process"),
            breakers: Breakers::default(),
            hashes: handover::engine::known::hashes,
            host: Arc::new(|| Ok(())),
        };
        let files = Files::open(self.inventory(), self.world.dir().join("playbooks")).expect("good files");
        let register = Arc::clone(&journal) as Arc<dyn Register>;
        (Arc::new(Desk::new(engine, register, files, "a test".to_owned())), journal)
    }

    async fn daemon(&self) -> (Daemon, Arc<SqliteJournal>) {
        let (desk, journal) = self.desk().await;
        let outbox = Arc::clone(&journal) as Arc<dyn Outbox>;
        let daemon = Daemon::start(
            desk,
            outbox,
            vec![(Listen::Unix(self.socket()), None), (Listen::parse("127.0.0.1:0").expect("an address"), None)],
        )
        .await
        .expect("it starts");
        (daemon, journal)
    }

    fn socket(&self) -> PathBuf {
        self.state.join("daemon.sock")
    }

    fn env_file(&self, environment: &str) -> String {
        std::fs::read_to_string(self.world.env_file(environment)).expect("the entry is there")
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime").block_on(work)
}

/// Looks again and again until there is something.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not come within a minute");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn rotations(journal: &SqliteJournal) -> Vec<Header> {
    journal.list(journal::Filter::default()).await.expect("it lists")
}

/// The end of the newest rotation.
async fn end(desk: &Desk, journal: &SqliteJournal) -> (Rotation, Ending) {
    until("the end of the rotation", || async {
        let header = rotations(journal).await.into_iter().next()?;
        let rotation = desk.rotation(&header.id).await.expect("it folds");
        rotation.ended().map(|ending| (rotation, ending))
    })
    .await
}

/// Where it listens for others.
fn address(daemon: &Daemon) -> std::net::SocketAddr {
    let tcp = daemon.serving.iter().find_map(|serving| match serving.listen {
        Listen::Tcp(address) => Some(address),
        Listen::Unix(_) => None,
    });
    tcp.expect("an address")
}

fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}
