//! The daemon for a day with many credentials: its real rooms on the real journal, in virtual time, against an outside that keeps the
//! rules by what is true. Alerts arrive, calls fail, and the whole daemon dies at moments of chance and is started again. In the end
//! every time that has come has been dealt with once, every alert is closed with its version refused, and memory has not grown.
//!
//! `HANDOVER_SOAK_CREDENTIALS` and `HANDOVER_SOAK_HOURS` make it larger: see scripts/soak.

mod outside;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use handover::alerts::Report;
use handover::daemon::{Daemon, Desk, Files};
use handover::engine::clock::Clock;
use handover::engine::{Breakers, Engine};
use handover::journal::{
    AlertState, Filter, Journal, Options, Outbox, Owner, Register, SqliteJournal, Stamp, open_sealer, system_stamp,
};
use handover::marks::Mark;

use self::outside::Outside;
use crate::support::disk::quick_temporary;

/// 2026-06-01T00:00:00Z.
const START: u64 = 1_780_272_000_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
/// After the last time that comes, so long is waited for what was begun.
const DRAIN: u64 = 2 * HOUR;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn name(n: usize) -> String {
    format!("mail-{n:05}")
}

/// Inventory and playbooks: each credential has one time a day, all of them spread over the hours.
fn files(folder: &Path, credentials: usize, hours: u64) -> (PathBuf, PathBuf, BTreeMap<String, u64>) {
    let (inventory, playbooks) = (folder.join("inventory"), folder.join("playbooks"));
    std::fs::create_dir(&inventory).expect("a folder");
    std::fs::create_dir(&playbooks).expect("a folder");
    let head = "version: 1\nproviders:\n  relay: {kind: sandbox, dir: /nowhere}\nstores:\n  hosts: {kind: env-file}\n";
    std::fs::write(inventory.join("a.yaml"), head).expect("it writes");
    let mut times = BTreeMap::new();
    for (part, all) in (0..credentials).collect::<Vec<_>>().chunks(150).enumerate() {
        let (mut text, mut services) = ("version: 1\ncredentials:\n".to_owned(), "services:\n".to_owned());
        for &n in all {
            let name = name(n);
            // What has come in the last hours of a whole day must not come again while the end is waited for.
            let first = 5 + (hours * HOUR + DRAIN).saturating_sub(24 * HOUR) / MINUTE;
            let minute = first + n as u64 * (hours * 60 - 5 - first) / credentials as u64;
            times.insert(name.clone(), START + minute * MINUTE);
            let (cron, path) = (format!("{} {} * * *", minute % 60, minute / 60 % 24), format!("/srv/{name}.env"));
            writeln!(text, "  {name}:\n    provider: relay\n    account: {name}").expect("a text");
            writeln!(text, "    smtp: {{host: mail.example.com, port: 587, tls: starttls}}").expect("a text");
            writeln!(text, "    probe: {{from: a@example.com, to: b@example.com, arrival: none}}").expect("a text");
            writeln!(text, "    entries:\n      main: {{store: hosts, path: {path}, fields: {{username: U, password: P}}, environment: production}}").expect("a text");
            writeln!(
                text,
                "    schedule: {{playbook: routine, cron: \"{cron}\", timezone: UTC}}\n    on_leak: {{playbook: shut}}"
            )
            .expect("a text");
            writeln!(services, "  {name}-api:\n    credential: {name}\n    entry: main\n    environment: production")
                .expect("a text");
            writeln!(services, "    reload: {{http: {{method: POST, url: \"http://127.0.0.1:9/{name}/reload\"}}}}")
                .expect("a text");
            writeln!(services, "    attest: {{http: {{url: \"http://127.0.0.1:9/{name}/fingerprint\"}}}}").expect("a text");
        }
        std::fs::write(inventory.join(format!("b{part:03}.yaml")), text + &services).expect("it writes");
    }
    let steps = |waits: &str| {
        format!(
            "steps:\n  - preflight\n{}  - generate\n  - push: {{to: production}}\n  - reload: {{services: production}}\n  \
             - verify: {{services: production}}\n{waits}on_failure: roll-back\n",
            if waits.contains("soak") { "" } else { "  - deactivate\n" }
        )
    };
    let routine = "  - soak: {for: 10m}\n  - deactivate\n  - confirm\n  - watch: {for: 10m}\n  - delete\n";
    let head = |name: &str| format!("version: 1\nname: {name}\nsummary: Of the soak.\n");
    std::fs::write(playbooks.join("routine.yaml"), head("routine") + &steps(routine)).expect("it writes");
    let shut = head("shut") + "containment: revoke-first\n" + &steps("  - confirm\n  - delete\n");
    std::fs::write(playbooks.join("shut.yaml"), shut).expect("it writes");
    (inventory, playbooks, times)
}

/// Virtual time: that of the runtime, from where the last one has ended.
struct Virtual {
    from_ms: u64,
    began: tokio::time::Instant,
    boot_id: String,
}

impl Clock for Virtual {
    fn stamp(&self) -> Stamp {
        // Outside of a runtime nobody counts.
        let inside = tokio::runtime::Handle::try_current().is_ok();
        let passed = if inside { self.began.elapsed().as_millis() as u64 } else { 0 };
        Stamp { wall_ms: START + self.from_ms + passed, boot_ms: self.from_ms + passed, boot_id: self.boot_id.clone() }
    }
}

/// A process that stands for one daemon: who looks whether the daemon lives sees it.
struct Body(Child);

impl Body {
    fn start() -> Self {
        let mut command = Command::new("cat");
        Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("there is a `cat`"))
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn rss() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("there is a /proc");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it says so");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// What an alert was about, and what must become of it.
struct Sent {
    digest: u64,
    account: Option<String>,
    version: Option<String>,
}

struct Soak {
    folder: tempfile::TempDir,
    inventory: PathBuf,
    playbooks: PathBuf,
    outside: Outside,
    sent: Vec<Sent>,
    /// Resident memory in MiB at the end of each hour.
    memory: BTreeMap<u64, u64>,
}

impl Soak {
    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// One life of the daemon: from a moment on, until it is killed.
    fn life(&mut self, from_ms: u64, until_ms: u64, alerts: &[u64]) {
        let body = Body::start();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let boot_id = system_stamp().boot_id;
            let clock = Arc::new(Virtual { from_ms, began: tokio::time::Instant::now(), boot_id });
            let reads = Arc::clone(&clock);
            let options = Options::new(self.state()).inline().clock(move || reads.stamp());
            let journal = Arc::new(SqliteJournal::open(options).expect("the journal opens"));
            let sealer = open_sealer(journal.as_ref(), &self.state().join("seal.key")).await.expect("it has a key");
            let engine = Engine {
                journal: Arc::clone(&journal) as Arc<dyn Journal>,
                sealer: Arc::new(sealer),
                clock: Arc::clone(&clock) as Arc<dyn Clock>,
                owner: Owner::of(body.0.id()).expect("a process"),
                breakers: Breakers::default(),
                hashes: |_| Vec::new(),
                host: Arc::new(|| Ok(())),
            };
            let files = Files::open(self.inventory.clone(), self.playbooks.clone()).unwrap_or_else(|p| panic!("{p}"));
            let register = Arc::clone(&journal) as Arc<dyn Register>;
            let desk = Desk::new(engine, register, files, "the soak".to_owned()).outside(Arc::new(self.outside.clone()));
            let outbox = Arc::clone(&journal) as Arc<dyn Outbox>;
            let daemon = Daemon::start(Arc::new(desk), outbox, Vec::new()).await.expect("it starts");
            let mut moments: BTreeSet<(u64, bool)> = alerts.iter().map(|at| (*at, true)).collect();
            moments.extend((from_ms / HOUR + 1..=until_ms / HOUR).map(|hour| (hour * HOUR, false)));
            for (at, alert) in moments {
                tokio::time::sleep_until(clock.began + Duration::from_millis(at.saturating_sub(from_ms))).await;
                if alert {
                    self.alert(&daemon.desk).await;
                } else {
                    self.memory.insert(at / HOUR, rss());
                }
            }
            tokio::time::sleep_until(clock.began + Duration::from_millis(until_ms - from_ms)).await;
        });
        // Everything falls where it stands.
        drop(runtime);
        drop(body);
    }

    /// An alert comes in: of what a service has, of what is gone, or of nobody's. Only of what the journal can know: a version that a
    /// rotation has made, or one of those that are looked at first.
    async fn alert(&mut self, desk: &Desk) {
        let digest = self.sent.len() as u64 + 1;
        let (account, version) = {
            let mut world = self.outside.lock();
            let (kind, many) = (world.chance(10), world.accounts.len() as u64);
            let n = world.chance(many) as usize;
            let account = world.accounts.get_mut(&name(n)).expect("an account");
            let current = account.current().to_owned();
            let known = n < 150 || !current.ends_with(".v0");
            match (kind, account.gone.last().cloned()) {
                (0, _) => (None, None),
                (1..=2, Some(gone)) if !gone.ends_with(".v0") || n < 150 => (Some(name(n)), Some(gone)),
                _ if known => {
                    account.leaked.insert(current.clone());
                    (Some(name(n)), Some(current))
                }
                _ => (None, None),
            }
        };
        let mark = version.clone().unwrap_or_else(|| format!("nobody.{digest}"));
        let report = || Report::new("scanner", &format!("finding {digest}")).mark(Mark::key_id(&mark));
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&digest.to_be_bytes());
        // Twice, as senders do.
        for new in [1, 0] {
            let numbers = desk.take_in(bytes, vec![report()]).await.expect("it is kept");
            assert_eq!(numbers.len(), new, "a delivery counts once");
        }
        self.sent.push(Sent { digest, account, version });
    }
}

/// Everything that is wrong in the end.
fn wrong(soak: &Soak, times: &BTreeMap<String, u64>) -> (Vec<String>, String) {
    let mut wrong = soak.outside.lock().broken.clone();
    let journal = rusqlite::Connection::open(soak.state().join("journal.db")).expect("the journal");
    let mut ticks: BTreeMap<String, Vec<(u64, String, Option<String>)>> = BTreeMap::new();
    let mut statement = journal.prepare("SELECT credential, at_ms, what, rotation FROM ticks").expect("a table");
    let rows = statement.query_map([], |r| {
        Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)? as u64, r.get::<_, String>(2)?, r.get::<_, Option<String>>(3)?))
    });
    for row in rows.expect("rows") {
        let (credential, at, what, rotation) = row.expect("a row");
        ticks.entry(credential).or_default().push((at, what, rotation));
    }
    let leaked: BTreeSet<&String> = soak.sent.iter().filter_map(|sent| sent.account.as_ref()).collect();
    let mut begun: BTreeSet<String> = BTreeSet::new();
    for (name, at) in times {
        match ticks.get(name).map(Vec::as_slice) {
            Some([(tick, what, rotation)]) if tick == at => match rotation {
                Some(id) => drop(begun.insert(id.clone())),
                None if what.contains("was under way") && leaked.contains(name) => {}
                None => wrong.push(format!("{name}: its time came to nothing: {what}")),
            },
            other => wrong.push(format!("{name}: its time is {at}, and what was dealt with is {other:?}")),
        }
    }
    let scheduled = begun.len();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (headers, alerts) = runtime.block_on(async {
        let journal = SqliteJournal::open(Options::new(soak.state())).expect("the journal opens");
        journal.verify().await.expect("it is whole");
        let headers = journal.list(Filter::default()).await.expect("it lists");
        let alerts = journal.alerts(None, u32::MAX).await.expect("it lists");
        (headers, alerts)
    });
    begun.extend(alerts.iter().filter_map(|alert| alert.rotation.as_ref().map(ToString::to_string)));
    for header in &headers {
        if !begun.remove(header.id.as_str()) {
            wrong.push(format!("rotation {} was begun by nothing", header.id));
        }
        if !header.finished {
            wrong.push(format!("rotation {} has not ended", header.id));
        }
    }
    wrong.extend(begun.iter().map(|id| format!("rotation {id} is not there")));
    for sent in &soak.sent {
        let reference = format!("\"finding {}\"", sent.digest);
        let all: Vec<_> = alerts.iter().filter(|alert| alert.report.contains(&reference)).collect();
        let want = if sent.version.is_some() { AlertState::Closed } else { AlertState::Unknown };
        match all.as_slice() {
            [alert] if alert.state == want => {}
            other => wrong.push(format!("alert {} about {:?}: {other:?}", sent.digest, sent.version)),
        }
    }
    let world = soak.outside.lock();
    wrong.extend(world.accounts.keys().flat_map(|name| world.unclean(name)));
    let contained = alerts.iter().filter(|alert| alert.rotation.is_some()).count();
    let figures = format!(
        "{scheduled} scheduled rotations, {} in all, {} alerts ({contained} contained), {} calls outside",
        headers.len(),
        alerts.len(),
        world.calls
    );
    (wrong, figures)
}

/// A soak before anything has happened.
fn soak(credentials: usize, hours: u64, seed: u64) -> (Soak, BTreeMap<String, u64>) {
    let folder = quick_temporary("handover-soak-");
    let (inventory, playbooks, times) = files(folder.path(), credentials, hours);
    let outside = Outside::new((0..credentials).map(name), seed);
    (Soak { folder, inventory, playbooks, outside, sent: Vec::new(), memory: BTreeMap::new() }, times)
}

#[test]
fn a_store_that_is_busy_when_the_time_comes_only_delays_the_rotation() {
    let (mut soak, times) = soak(1, 1, 1);
    soak.outside.lock().busy = 6;
    soak.life(0, 2 * HOUR, &[]);
    assert_eq!(soak.outside.lock().busy, 0, "it was busy often enough");
    let (wrong, figures) = wrong(&soak, &times);
    assert!(wrong.is_empty() && figures.starts_with("1 scheduled"), "{figures}: {wrong:#?}");
}

#[test]
fn a_day_with_many_credentials_alerts_and_kills_misses_nothing_and_does_nothing_twice() {
    let began = Instant::now();
    let (credentials, hours) = (number("HANDOVER_SOAK_CREDENTIALS", 60) as usize, number("HANDOVER_SOAK_HOURS", 2));
    let seed = number("HANDOVER_SOAK_SEED", 1);
    assert!((1..=24).contains(&hours), "each credential has one time a day");
    let (mut soak, times) = soak(credentials, hours, seed);
    // In the last third nothing dies, so that one long life can be seen not to grow.
    let (end_ms, calm_ms) = (hours * HOUR + DRAIN, hours * HOUR * 2 / 3);
    let mut alerts: Vec<u64> = {
        let mut world = soak.outside.lock();
        let many = (credentials / 20).max(12);
        (0..many).map(|_| 5 * MINUTE + world.chance(hours * HOUR - 5 * MINUTE)).collect()
    };
    alerts.sort_unstable();
    let (mut now, mut kills) = (0, 0);
    while now < end_ms {
        let (life, away) = {
            let mut world = soak.outside.lock();
            (30_000 + world.chance(2 * hours.min(12) * HOUR / 12), world.chance(4 * MINUTE))
        };
        let until = if now + life < calm_ms { now + life } else { end_ms };
        let due: Vec<u64> = alerts.iter().copied().filter(|at| (now..until).contains(at)).collect();
        soak.life(now, until, &due);
        kills += u32::from(until < end_ms);
        // Down for a while; alerts that nobody takes in are sent again by their senders, which is theirs to show.
        now = if until < end_ms { until + away } else { end_ms };
    }
    let (wrong, figures) = wrong(&soak, &times);
    println!(
        "soak: {credentials} credentials, {hours} h and {} h after, {kills} kills, {figures}; memory in MiB by the hour {:?}; {:?}",
        DRAIN / HOUR,
        soak.memory,
        began.elapsed()
    );
    assert!(wrong.is_empty(), "{} wrong, such as {:#?}", wrong.len(), &wrong[..wrong.len().min(10)]);
    assert!(soak.sent.len() >= 5 && kills >= 2, "{} alerts, {kills} kills", soak.sent.len());
    // In a short run the first hour stands for the fourth.
    let mut seen = soak.memory.range(if hours > 4 { 4 } else { 1 }..).map(|(_, mib)| *mib);
    let (first, last) = (seen.next().expect("an hour"), seen.next_back().expect("another"));
    assert!(last <= first + 24, "memory has grown from {first} MiB to {last} MiB: {:?}", soak.memory);
}
