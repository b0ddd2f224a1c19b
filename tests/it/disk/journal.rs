//! The journal on a disk that fails at the n-th operation, for every n and every way to fail. Afterwards a sound process opens it
//! and compares what is there with what was acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use handover::journal::{
    Append, Filter, Journal, JournalError, NewEvent, Options, Owner, Room, SqliteJournal, Wrote, open_sealer, system_stamp,
};
use handover_rotation::time::Millis;

use super::child::{ENDING, FOLDER, MARK, PART, TEST};
use super::series::{Answer, Held, Model, NEW, OLD, Part, payload};
use crate::support::disk::{FailingDisk, How, Op, Seen, quick_temporary, seen};
use crate::support::{Going, Run};

/// Children side by side.
const WORKERS: usize = 3;
/// How many operations the two series have at least. Fewer would mean that the disk does not see them.
const LEAST: usize = 300;

/// How often a run is repeated in which the operation was another one.
const TRIES: usize = 5;

/// How the process that met the failure ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It goes on to the end of the series, and closes the journal.
    Closed,
    /// It goes on to the end, and then is gone without closing anything.
    Left,
    /// It is gone at the first failure that it is told of.
    Died,
}

#[derive(Clone, Debug)]
struct Case {
    part: Part,
    op: Op,
    how: How,
    ending: Ending,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { part, op, how, ending } = self;
        write!(f, "{part:?} series, {how:?} at operation {} ({} {}), {ending:?}", op.number, op.name, op.path)
    }
}

/// What was seen in all runs.
#[derive(Default)]
struct Tally {
    runs: BTreeMap<How, usize>,
    struck: usize,
    again: usize,
    acknowledged: usize,
    refused: usize,
    unknown: usize,
    unknown_and_there: usize,
    unknown_and_not: usize,
    codes: BTreeMap<String, usize>,
    violations: Vec<String>,
}

#[test]
fn whichever_operation_fails_the_journal_tells_the_truth() {
    let began = Instant::now();
    let disk = FailingDisk::build();
    let base = quick_temporary("handover-disk-");
    let left = base.path().join("left");
    let mut tally = Tally::default();
    let mut cases = VecDeque::new();
    let mut operations = 0;
    for part in [Part::First, Part::Second] {
        let sound = sound(part, &disk, &base.path().join(format!("sound-{part:?}")), &left);
        operations += sound.len();
        for how in How::ALL {
            for op in sound.iter().filter(|op| how.fits(op)) {
                for ending in endings(how, op) {
                    cases.push_back(Case { part, op: op.clone(), how, ending: *ending });
                }
            }
        }
    }
    // For a look at a few: `HANDOVER_DISK=Second series, Full`.
    if let Ok(only) = std::env::var("HANDOVER_DISK") {
        cases.retain(|c| c.to_string().contains(&only));
    }
    let total = cases.len();
    let queue = Mutex::new(cases);
    let all = Mutex::new(&mut tally);
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (queue, all, disk, base, left) = (&queue, &all, &disk, base.path(), &left);
            scope.spawn(move || {
                while let Some(case) = next(queue) {
                    let found = try_case(&case, disk, &base.join(format!("worker-{worker}")), left);
                    all.lock().unwrap_or_else(PoisonError::into_inner).take(found);
                }
            });
        }
    });
    println!(
        "journal on a failing disk: {operations} operations, {total} runs {:?} ({} repeated), {} failures struck, \
         {} violations, {:.0?}",
        tally.runs,
        tally.again,
        tally.struck,
        tally.violations.len(),
        began.elapsed()
    );
    println!(
        "  calls acknowledged {}, refused {}, unknown {} (there {}, not there {}); codes {:?}",
        tally.acknowledged, tally.refused, tally.unknown, tally.unknown_and_there, tally.unknown_and_not, tally.codes
    );
    assert!(tally.violations.is_empty(), "{}", tally.violations.join("\n\n"));
    assert!(operations >= LEAST, "only {operations} operations were seen");
    if std::env::var("HANDOVER_DISK").is_err() {
        assert!(tally.refused > 0 && tally.unknown_and_there > 0 && tally.unknown_and_not > 0);
    }
}

/// The operations of a series on a sound disk, after which all must be well. What the first one leaves is kept for the second.
fn sound(part: Part, disk: &FailingDisk, folder: &Path, left: &Path) -> Vec<Op> {
    let log = folder.with_extension("log");
    let names = |ops: &[Op]| ops.iter().map(|op| op.name.clone()).collect::<Vec<_>>();
    let mut before = Vec::new();
    // Twice the same: on a busy machine threads may come in another order.
    for _ in 0..2 * TRIES {
        prepare(part, left, folder);
        let run = play(disk, part, folder, &log, None, Ending::Left);
        if part == Part::First {
            let _ = std::fs::remove_dir_all(left);
            copy(folder, left);
        }
        let told = told(part, &run);
        assert!(told.iter().all(|(_, a)| *a == Answer::Ok) && told.len() == part.calls().len(), "{told:?}\n{run}");
        let wrong = look(part, folder, &run, &mut Tally::default());
        assert!(wrong.is_empty(), "{part:?} on a sound disk: {}", wrong.join("\n"));
        let now = seen(&log).all;
        if names(&now) == names(&before) {
            return now;
        }
        before = now;
    }
    panic!("the operations of the {part:?} series are never the same");
}

/// A failure that is met once is told of in two ways; the others once.
fn endings(how: How, op: &Op) -> &'static [Ending] {
    match how {
        How::Eio if op.class == "look" => &[Ending::Closed],
        How::Eio => &[Ending::Closed, Ending::Died],
        How::After => &[Ending::Left, Ending::Died],
        How::Enospc | How::Full => &[Ending::Closed],
        How::Short | How::Dead => &[Ending::Left],
    }
}

fn next(queue: &Mutex<VecDeque<Case>>) -> Option<Case> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

impl Tally {
    fn take(&mut self, other: Self) {
        for (how, n) in other.runs {
            *self.runs.entry(how).or_default() += n;
        }
        for (code, n) in other.codes {
            *self.codes.entry(code).or_default() += n;
        }
        self.struck += other.struck;
        self.again += other.again;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.unknown_and_there += other.unknown_and_there;
        self.unknown_and_not += other.unknown_and_not;
        for violation in &other.violations {
            println!("VIOLATION {violation}");
        }
        self.violations.extend(other.violations);
    }
}

fn try_case(case: &Case, disk: &FailingDisk, folder: &Path, left: &Path) -> Tally {
    let mut found = Tally::default();
    let log = folder.with_extension("log");
    let mut tries = 0;
    let (run, struck) = loop {
        prepare(case.part, left, folder);
        let run = play(disk, case.part, folder, &log, Some((case.op.number, case.how)), case.ending);
        let Seen { all, struck } = seen(&log);
        tries += 1;
        // Threads may come in another order: then the operation of this number is another one, which this may not fit.
        let met = all.iter().any(|op| op.number == case.op.number && case.how.fits(op));
        if met || tries == TRIES {
            break (run, struck);
        }
        found.again += 1;
    };
    found.runs.insert(case.how, 1);
    found.struck = struck.len();
    let mut wrong = look(case.part, folder, &run, &mut found);
    if struck.first() != Some(&case.op.number) {
        wrong.push(format!("the failure struck at {struck:?}"));
    }
    found.violations = wrong.into_iter().map(|w| format!("{case}: {w}\n{run}")).collect();
    found
}

/// A folder as the series finds it.
fn prepare(part: Part, left: &Path, folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
    match part {
        Part::First => make(folder),
        Part::Second => copy(left, folder),
    }
}

fn copy(from: &Path, to: &Path) {
    make(to);
    for entry in std::fs::read_dir(from).expect("the folder is there").flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a file can be copied");
    }
}

fn make(folder: &Path) {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(folder).expect("a folder");
}

fn play(disk: &FailingDisk, part: Part, folder: &Path, log: &Path, blow: Option<(usize, How)>, ending: Ending) -> Run {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", TEST, "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).env(PART, format!("{part:?}")).env(ENDING, format!("{ending:?}"));
    disk.under(&mut command, folder, log, blow);
    Going::start(command).end()
}

/// What the child told of each call.
fn told(part: Part, run: &Run) -> Vec<(super::series::Call, Answer)> {
    let lines = run.stdout.lines().filter_map(|line| line.strip_prefix(MARK));
    let mut told = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let Some(call) = words[0].parse::<usize>().ok().map(|n| part.calls()[n]) else { continue };
        match words[1..] {
            ["ok"] => told.push((call, Answer::Ok)),
            ["err", code, wrote, ..] => {
                let wrote = if wrote == "no" { Wrote::No } else { Wrote::Unknown };
                told.push((call, Answer::Err { code: code.to_owned(), wrote }));
            }
            _ => {}
        }
    }
    told
}

/// The bytes that were sealed, by rotation.
fn blobs(run: &Run) -> Vec<(String, Vec<u8>)> {
    let lines = run.stdout.lines().filter_map(|line| line.strip_prefix(MARK));
    lines
        .filter_map(|line| match line.split(' ').collect::<Vec<_>>()[1..] {
            ["blob", rotation, hex] => Some((rotation.to_owned(), hex::decode(hex).expect("hex"))),
            _ => None,
        })
        .collect()
}

/// Everything that is wrong after a run, as a sound process finds it.
fn look(part: Part, folder: &Path, run: &Run, tally: &mut Tally) -> Vec<String> {
    let mut wrong = Vec::new();
    if run.status.code() != Some(0) {
        wrong.push("the process broke off".to_owned());
    }
    let told = told(part, run);
    for (_, answer) in &told {
        match answer {
            Answer::Ok => tally.acknowledged += 1,
            Answer::Err { wrote: Wrote::No, .. } => tally.refused += 1,
            Answer::Err { wrote: Wrote::Unknown, .. } => tally.unknown += 1,
        }
        if let Answer::Err { code, .. } = answer {
            *tally.codes.entry(code.clone()).or_default() += 1;
            if handover::explain::page(code).is_none() {
                wrong.push(format!("{code} has no page"));
            }
        }
    }
    if run.said().contains("PLANTED") {
        wrong.push("a secret was said".to_owned());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    if let Err(error) = runtime.block_on(compare(part, folder, run, &told, tally, &mut wrong)) {
        let text = format!("a sound process is refused: {} {}", error.code, error.fault().message);
        wrong.push(text);
    }
    wrong
}

async fn compare(
    part: Part,
    folder: &Path,
    run: &Run,
    told: &[(super::series::Call, Answer)],
    tally: &mut Tally,
    wrong: &mut Vec<String>,
) -> Result<(), JournalError> {
    let journal = SqliteJournal::open(Options::new(folder))?;
    journal.verify().await?;
    let found = read(&journal, folder).await?;
    let possible = part.before().possible(told);
    match possible.iter().position(|m| *m == found) {
        None => wrong.push(format!("the journal holds {found:#?}\n  and possible is {possible:#?}")),
        // Of two that are possible the second is the one in which the unknown write has happened.
        Some(n) if possible.len() > 1 && possible[0] != possible[1] => {
            tally.unknown_and_there += usize::from(n > 0);
            tally.unknown_and_not += usize::from(n == 0);
        }
        Some(_) => {}
    }
    let finished = |rotation: &str| found.rotations.get(rotation).is_none_or(|r| r.finished);
    for (rotation, blob) in blobs(run).iter().filter(|(rotation, _)| finished(rotation)) {
        wrong.extend(holds(folder, blob).map(|p| format!("{} keeps a sealed secret of {rotation}", p.display())));
    }
    go_on(&journal, folder, &found).await?;
    for (rotation, blob) in blobs(run) {
        wrong.extend(holds(folder, &blob).map(|p| format!("{} still keeps a sealed secret of {rotation}", p.display())));
    }
    wrong.extend(holds(folder, b"PLANTED").map(|p| format!("{} has a secret in the clear", p.display())));
    journal.verify().await?;
    drop(journal);
    drop(SqliteJournal::open(Options::new(folder))?);
    let wal = folder.join("journal.db-wal");
    if std::fs::metadata(&wal).is_ok_and(|m| m.len() > 0) {
        wrong.push("the write-ahead log is not empty after everything was closed".to_owned());
    }
    let strange = |name: &String| {
        !["anchor", "journal.db", "journal.db-shm", "journal.db-wal", "reserve", "seal.key"].contains(&name.as_str())
    };
    let names =
        std::fs::read_dir(folder).expect("the folder").flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    wrong.extend(names.filter(strange).map(|name| format!("{name} is left over")));
    Ok(())
}

/// What a journal holds.
async fn read(journal: &SqliteJournal, folder: &Path) -> Result<Model, JournalError> {
    let mut model = Model { keyed: journal.key_mark().await?.is_some(), rotations: BTreeMap::new() };
    let key = if model.keyed { Some(open_sealer(journal, &folder.join("seal.key")).await?) } else { None };
    let owned = owned(folder);
    for header in journal.list(Filter::default()).await? {
        let mut held = Held { epoch: header.epoch, finished: header.finished, ..Held::default() };
        held.owned = owned[header.id.as_str()];
        for row in journal.load(&header.id).await? {
            let json: serde_json::Value = serde_json::from_str(&row.payload).expect("JSON");
            held.rows.push(json["name"].as_str().unwrap_or_default().to_owned());
        }
        held.inbox = journal.inbox(&header.id).await?.into_iter().map(|(_, text)| text).collect();
        for slot in [OLD, NEW] {
            if let (Some(blob), Some(key)) = (journal.sealed(&header.id, slot).await?, &key) {
                let secret = key.open(&header.id, slot, &blob)?;
                held.sealed.insert(slot.to_owned(), secret.expose().to_owned());
            }
        }
        model.rotations.insert(header.id.to_string(), held);
    }
    Ok(model)
}

/// What no call tells: whether a rotation was released. And SQLite's own opinion of the whole file.
fn owned(folder: &Path) -> BTreeMap<String, bool> {
    let c = rusqlite::Connection::open(folder.join("journal.db")).expect("the database opens");
    let sound: String = c.query_row("PRAGMA integrity_check", [], |r| r.get(0)).expect("SQLite can check");
    assert_eq!(sound, "ok");
    let mut statement = c.prepare("SELECT id, owner IS NOT NULL FROM rotations").expect("the table is there");
    let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).expect("it can be read");
    rows.collect::<Result<_, _>>().expect("rows")
}

/// Takes up what is open and brings it to an end: nobody who held it is alive.
async fn go_on(journal: &SqliteJournal, folder: &Path, found: &Model) -> Result<(), JournalError> {
    let owner = Owner::current()?;
    drop(open_sealer(journal, &folder.join("seal.key")).await?);
    let event = |name: &str| vec![NewEvent { stamp: system_stamp(), at: Millis(2), payload: payload(name, 100) }];
    for header in journal.list(Filter { finished: Some(false), ..Filter::default() }).await? {
        let claim = journal.claim(&header.id, &owner).await?;
        let rows = found.rotations[header.id.as_str()].rows.len() as u64;
        let mut append = Append {
            id: header.id.clone(),
            epoch: claim.epoch,
            expected_seq: rows,
            events: event("gone-on"),
            sealed: Vec::new(),
            room: Room::Ordinary,
        };
        append.expected_seq = journal.append(append.clone()).await?;
        append.events = event("finished");
        journal.finish(append).await?;
    }
    Ok(())
}

/// The files that hold some bytes.
fn holds<'a>(folder: &'a Path, bytes: &'a [u8]) -> impl Iterator<Item = PathBuf> + use<'a> {
    let files = std::fs::read_dir(folder).expect("the folder").flatten().map(|e| e.path());
    // The reserve is made of chance, and large.
    files.filter(|p| !p.ends_with("reserve")).filter(move |path| {
        let text = std::fs::read(path).unwrap_or_default();
        text.windows(bytes.len()).any(|w| w == bytes)
    })
}
