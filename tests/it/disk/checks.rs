//! What is looked at after a series on a failing disk: what the child told, and what a sound process finds in the folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use handover::journal::{
    Append, Filter, Journal, JournalError, NewEvent, Options, Owner, Room, SqliteJournal, Wrote, open_sealer, system_stamp,
};
use handover_rotation::time::Millis;

use super::child::MARK;
use super::series::{Answer, Call, Held, Model, NEW, OLD, Part, payload};
use crate::support::Run;

/// What the answers of one run, or of all, came to.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) acknowledged: usize,
    pub(super) refused: usize,
    pub(super) unknown: usize,
    pub(super) unknown_and_there: usize,
    pub(super) unknown_and_not: usize,
    pub(super) codes: BTreeMap<String, usize>,
}

impl Answers {
    pub(super) fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.unknown_and_there += other.unknown_and_there;
        self.unknown_and_not += other.unknown_and_not;
        for (code, n) in other.codes {
            *self.codes.entry(code).or_default() += n;
        }
    }
}

/// What the child told of each call.
pub(super) fn told(part: Part, run: &Run) -> Vec<(Call, Answer)> {
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
pub(super) fn look(part: Part, folder: &Path, run: &Run, tally: &mut Answers) -> Vec<String> {
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
    told: &[(Call, Answer)],
    tally: &mut Answers,
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
    let event =
        |name: &str| vec![NewEvent { stamp: system_stamp(), at: Millis(2), payload: payload(name, 100), known: Vec::new() }];
    for header in journal.list(Filter { finished: Some(false), ..Filter::default() }).await? {
        let claim = journal.claim(&header.id, &owner).await?;
        let rows = found.rotations[header.id.as_str()].rows.len() as u64;
        let mut append = Append {
            id: header.id.clone(),
            epoch: claim.epoch,
            expected_seq: rows,
            events: event("gone-on"),
            sealed: Vec::new(),
            notices: Vec::new(),
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
