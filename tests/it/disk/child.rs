//! The process that plays a series on a failing disk. It tells what came of each call when it is there, and goes on after every
//! failure as far as it can, so that what comes after a failure is tried too.

use std::collections::BTreeMap;
use std::path::PathBuf;

use handover::journal::{
    Append, Filter, Journal, JournalError, NewEvent, NewRotation, Options, Owner, Room, SealedBlob, Sealer, SqliteJournal,
    Wrote, open_sealer, system_stamp,
};
use handover::secret::Secret;
use handover_rotation::name::RotationId;
use handover_rotation::time::Millis;

use super::series::{Call, LINEAGE, NEW, OLD, Part, REQUEST, payload, secret};

/// The folder to play in, which series, and how to end.
pub(super) const FOLDER: &str = "HANDOVER_SERIES_FOLDER";
pub(super) const PART: &str = "HANDOVER_SERIES_PART";
pub(super) const ENDING: &str = "HANDOVER_SERIES_ENDING";
/// What each line that it tells begins with.
pub(super) const MARK: &str = "@@ ";
/// The name of this process's test.
pub(super) const TEST: &str = "disk::child::plays_a_series";

/// Run by the tests of `journal` in a process of its own; by itself it plays the first series on a sound disk.
#[test]
fn plays_a_series() {
    let given = std::env::var_os(FOLDER).map(PathBuf::from);
    let alone = given.is_none().then(|| crate::support::disk::quick_temporary("handover-series-"));
    let folder = given.or_else(|| alone.as_ref().map(|a| a.path().to_owned())).expect("one of the two");
    let part = if std::env::var(PART).is_ok_and(|p| p == "Second") { Part::Second } else { Part::First };
    let ending = std::env::var(ENDING).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let player = Player { folder, first: ending == "Died", ..Player::default() };
    let player = runtime.block_on(player.play(part));
    if ending == "Left" {
        // As if it had been killed: nothing is closed.
        std::process::exit(0);
    }
    let told = player.told;
    drop(player);
    println!("\n{MARK}closed");
    assert_eq!(told, part.calls().len(), "each call was answered");
}

#[derive(Default)]
struct Player {
    folder: PathBuf,
    /// Whether it dies at the first failure.
    first: bool,
    journal: Option<SqliteJournal>,
    sealer: Option<Sealer>,
    owner: Option<Owner>,
    /// The last sequence number and the epoch of each rotation, as a writer knows them.
    known: BTreeMap<&'static str, (u64, u64)>,
    told: usize,
}

impl Player {
    async fn play(mut self, part: Part) -> Self {
        for (number, call) in part.calls().iter().enumerate() {
            // What nothing works without is tried a second time, as a person would.
            let tries = if matches!(call, Call::Open | Call::Key) { 2 } else { 1 };
            for n in 1..=tries {
                let Err(error) = self.call(number, *call).await else {
                    println!("\n{MARK}{number} ok");
                    break;
                };
                let wrote = if error.wrote == Wrote::No { "no" } else { "unknown" };
                println!("\n{MARK}{number} err {} {wrote} {}", error.code, error.fault().message);
                if self.first {
                    std::process::exit(0);
                }
                if n == tries && tries > 1 {
                    self.told = part.calls().len();
                    return self;
                }
            }
            self.told += 1;
        }
        self
    }

    async fn call(&mut self, number: usize, call: Call) -> Result<(), JournalError> {
        match call {
            Call::Open => {
                self.owner = Some(Owner::current()?);
                self.journal = Some(SqliteJournal::open(Options::new(&self.folder))?);
            }
            Call::Key => self.sealer = Some(open_sealer(self.journal(), &self.folder.join("seal.key")).await?),
            Call::Begin(rotation) => {
                let new = NewRotation {
                    id: id(rotation),
                    credential: "newsletter".to_owned(),
                    lineage: LINEAGE.to_owned(),
                    events: vec![event("begun", 200)],
                    sealed: vec![self.seal(number, rotation, OLD, "old")?],
                    trigger: None,
                };
                let claim = self.journal().begin(new, self.owner()).await?;
                self.known.insert(rotation, (claim.seq, claim.epoch));
            }
            Call::Append { rotation, name, rows, size, room, seals } => {
                let events = (0..rows).map(|n| event(&format!("{name}-{n}"), size)).collect();
                let sealed = if seals { vec![self.seal(number, rotation, NEW, name)?] } else { Vec::new() };
                self.append(rotation, events, sealed, room, false).await?;
            }
            Call::Finish(rotation) => {
                self.append(rotation, vec![event("finished", 200)], Vec::new(), Room::Reserve, true).await?;
            }
            Call::Post(rotation) => self.journal().post(&id(rotation), REQUEST).await?,
            Call::Inbox(rotation) => drop(self.journal().inbox(&id(rotation)).await?),
            Call::Take(rotation) => self.journal().take_from_inbox(&id(rotation), 1).await?,
            Call::Renew(rotation) => {
                let (_, epoch) = self.known(rotation);
                self.journal().renew(&id(rotation), epoch).await?;
            }
            Call::Release(rotation) => {
                let (_, epoch) = self.known(rotation);
                self.journal().release(&id(rotation), epoch).await?;
            }
            Call::Claim(rotation) => {
                let claim = self.journal().claim(&id(rotation), self.owner()).await?;
                self.known.insert(rotation, (claim.seq, claim.epoch));
            }
            Call::Flush => self.journal().flush().await?,
            Call::Load(rotation) => drop(self.journal().load(&id(rotation)).await?),
            Call::Sealed(rotation) => {
                let slot = if self.journal().list(Filter::default()).await?.is_empty() { OLD } else { NEW };
                if let (Some(blob), Some(sealer)) = (self.journal().sealed(&id(rotation), slot).await?, &self.sealer) {
                    sealer.open(&id(rotation), slot, &blob)?;
                }
            }
            Call::Verify => {
                self.journal().verify().await?;
            }
        }
        Ok(())
    }

    async fn append(
        &mut self,
        rotation: &'static str,
        events: Vec<NewEvent>,
        sealed: Vec<SealedBlob>,
        room: Room,
        last: bool,
    ) -> Result<(), JournalError> {
        let (expected_seq, epoch) = self.known(rotation);
        let append = Append { id: id(rotation), epoch, expected_seq, events, sealed, notices: Vec::new(), room };
        let journal = self.journal();
        let seq = if last { journal.finish(append).await? } else { journal.append(append).await? };
        self.known.insert(rotation, (seq, epoch));
        Ok(())
    }

    /// Seals the secret of a slot, and tells the bytes, so that they can be looked for.
    fn seal(&self, number: usize, rotation: &str, slot: &str, name: &str) -> Result<SealedBlob, JournalError> {
        let sealer = self.sealer.as_ref().expect("the series stops without a key");
        let blob = sealer.seal(&id(rotation), slot, &Secret::new(secret(rotation, name)))?;
        println!("\n{MARK}{number} blob {rotation} {}", hex::encode(&blob));
        Ok(SealedBlob { slot: slot.to_owned(), blob, known: Vec::new() })
    }

    fn journal(&self) -> &SqliteJournal {
        self.journal.as_ref().expect("the series stops without a journal")
    }

    fn owner(&self) -> &Owner {
        self.owner.as_ref().expect("the series stops without a journal")
    }

    /// A rotation that could not be begun or claimed is written to all the same, and that must be refused.
    fn known(&self, rotation: &str) -> (u64, u64) {
        self.known.get(rotation).copied().unwrap_or((1, 1))
    }
}

fn id(text: &str) -> RotationId {
    RotationId::new(text).expect("an id")
}

fn event(name: &str, size: usize) -> NewEvent {
    NewEvent { stamp: system_stamp(), at: Millis(1), payload: payload(name, size), known: Vec::new() }
}
