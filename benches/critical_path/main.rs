//! What the engine adds to the calls that it makes.
//!
//! Every call to a provider, store, service or mail server takes 50 ms here and nothing else, and the rest is real: the
//! machine, the runner, the SQLite journal with a full sync for every commit.
//!
//! * One rotation: its time against its critical path, the longest chain of calls of which each began after the one before
//!   had ended. The ratio must be at most 1.15. What the machine waits for on purpose (the pause between two refused logins)
//!   counts as added.
//! * A thousand rotations at once in one process on one journal: time, commits, memory.
//!
//! `cargo bench --bench critical_path` (`-- 50` for another number than a thousand, `-- 0` for none).

mod fakes;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handover::config::load_playbooks;
use handover::engine::clock::SystemClock;
use handover::engine::{Engine, Rest, Signal, Silent, Who};
use handover::journal::{Options, Owner, Sealer, SqliteJournal};
use handover_rotation::event::Ending;
use handover_rotation::plan::Plan;
use handover_rotation::playbook::{Playbook, Step};
use handover_rotation::time::Span;
use tokio::sync::watch;

use self::fakes::{Call, Outside, plan};

/// The most that may be added.
const MOST: f64 = 1.15;
/// Rotations one after the other, of which the median counts.
const SINGLE: usize = 5;

type Failed = Box<dyn std::error::Error + Send + Sync>;

struct House {
    engine: Engine,
    journal: Arc<SqliteJournal>,
    _folder: tempfile::TempDir,
}

fn house() -> Result<House, Failed> {
    let folder = tempfile::tempdir()?;
    let journal = Arc::new(SqliteJournal::open(Options::new(folder.path().join("state")))?);
    let instance = handover::journal::Journal::instance_id(journal.as_ref()).to_owned();
    let sealer = Sealer::from_file_or_new(&folder.path().join("state/key"), &instance)?;
    let engine = Engine {
        journal: Arc::clone(&journal) as Arc<dyn handover::journal::Journal>,
        sealer: Arc::new(sealer),
        clock: Arc::new(SystemClock),
        owner: Owner::current()?,
        breakers: handover::engine::Breakers::default(),
        hashes: |_| Vec::new(),
        host: Arc::new(|| Ok(())),
    };
    Ok(House { engine, journal, _folder: folder })
}

/// The shipped drill without its waits: what is left is what depends on calls.
fn drill() -> Result<Playbook, Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
    let mut playbook = load_playbooks(&path).ok().and_then(|mut all| all.remove("drill")).ok_or("there is no drill")?;
    for step in &mut playbook.steps {
        if let Step::Soak { lasting } | Step::Watch { lasting } = step {
            *lasting = Span(0);
        }
    }
    Ok(playbook)
}

async fn rotate(engine: &Engine, plan: Plan, outside: &Arc<Outside>) -> Result<Duration, Failed> {
    let began = Instant::now();
    let ports = Arc::new(outside.ports());
    let who = Who { by: "bench".to_owned(), reason: None, trigger: None };
    let mut runner = engine.begin(plan, ports, Some(outside.login()), &who).await?;
    let (_running, mut signal) = watch::channel(Signal::Run);
    match runner.run(true, &mut signal, &mut Silent).await? {
        Rest::Ended(Ending::Done) => Ok(began.elapsed()),
        other => Err(format!("it ended otherwise: {other:?} {:?}", runner.rotation().failure).into()),
    }
}

/// The longest chain of calls, each begun after the end of the one before, by the time that the calls themselves took.
fn critical_path(calls: &[Call]) -> (Duration, usize) {
    let mut calls: Vec<&Call> = calls.iter().collect();
    calls.sort_by_key(|c| c.began);
    let mut chains: Vec<(Duration, usize)> = Vec::new();
    for call in &calls {
        let before = calls.iter().zip(&chains).filter(|(c, _)| c.ended <= call.began).map(|(_, chain)| *chain).max();
        let (time, length) = before.unwrap_or_default();
        chains.push((time + (call.ended - call.began), length + 1));
    }
    chains.into_iter().max().unwrap_or_default()
}

fn ms(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1000.0)
}

/// A figure of this process from the kernel, such as `VmHWM`, in MiB.
fn memory(what: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(what)).unwrap_or_default();
    let kib: f64 = line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or_default();
    kib / 1024.0
}

/// Time that all threads of this process have computed.
fn computed() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>()).unwrap_or_default();
    let ticks: u64 = [11, 12].iter().filter_map(|i| fields.get(*i)?.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

async fn one(playbook: &Playbook) -> Result<f64, Failed> {
    let mut runs = Vec::new();
    for number in 0..SINGLE {
        let house = house()?;
        let outside = Outside::new(true);
        let before = (house.journal.commits(), computed());
        let total = rotate(&house.engine, plan(number, playbook), &outside).await?;
        let (path, length) = critical_path(&outside.calls());
        let commits = house.journal.commits() - before.0;
        runs.push((total.as_secs_f64() / path.as_secs_f64(), total, path, length, commits, computed() - before.1));
        if number + 1 == SINGLE && std::env::var_os("HANDOVER_BENCH_CALLS").is_some() {
            outside.print();
        }
    }
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    println!("one rotation (drill without waits, calls of {})", ms(fakes::CALL));
    println!("  ratio   total     critical path        added   commits  computed");
    for (ratio, total, path, length, commits, cpu) in &runs {
        let (added, total, path, cpu) = (ms(total.saturating_sub(*path)), ms(*total), ms(*path), ms(*cpu));
        println!("  {ratio:.3}   {total}   {path} in {length} calls   {added}   {commits}       {cpu}");
    }
    Ok(runs[runs.len() / 2].0)
}

async fn many(playbook: &Playbook, number: usize) -> Result<(), Failed> {
    let house = house()?;
    let began = (Instant::now(), computed(), house.journal.commits());
    let mut jobs = tokio::task::JoinSet::new();
    for i in 0..number {
        let (engine, plan) = (house.engine.clone(), plan(i, playbook));
        jobs.spawn(async move {
            let outside = Outside::new(false);
            rotate(&engine, plan, &outside).await
        });
    }
    let mut times = Vec::new();
    while let Some(done) = jobs.join_next().await {
        times.push(done??);
    }
    times.sort();
    let (total, cpu) = (began.0.elapsed(), computed() - began.1);
    println!("{number} rotations at once, one process, one journal");
    println!("  all done after   {}", ms(total));
    println!("  one rotation     median {}, slowest {}", ms(times[times.len() / 2]), ms(times[times.len() - 1]));
    println!("  commits          {}", house.journal.commits() - began.2);
    println!("  computed         {} ({:.1} ms a rotation)", ms(cpu), cpu.as_secs_f64() * 1000.0 / number as f64);
    println!("  peak memory      {:.0} MiB", memory("VmHWM:"));
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let number = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(1000);
    let playbook = drill()?;
    let ratio = one(&playbook).await?;
    println!("  median ratio {ratio:.3}, at most {MOST} is allowed");
    if number > 0 {
        many(&playbook, number).await?;
    }
    if ratio > MOST {
        return Err(format!("the engine adds too much: {ratio:.3} is above {MOST}").into());
    }
    Ok(())
}
