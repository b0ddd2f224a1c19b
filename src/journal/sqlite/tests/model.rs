//! The journal against a model in memory: any sequence of calls has the same answers, and what is read is what was written.

use std::cell::RefCell;
use std::collections::BTreeMap;

use handover_rotation::name::RotationId;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::super::rows::sql;
use super::super::writer::Note;
use super::{World, event, id};
use crate::journal::{Append, Claim, Journal, Kind, NewRotation, Room, SealedBlob, SqliteJournal};

#[derive(Clone, Debug)]
enum Call {
    Begin { rotation: u8, lineage: u8, events: u8 },
    Append { rotation: u8, epoch_off: i8, seq_off: i8, events: u8, blob: Option<(u8, u8)>, last: bool },
    Claim { rotation: u8 },
    Release { rotation: u8, epoch_off: i8 },
    Reopen,
}

fn call() -> impl Strategy<Value = Call> {
    let rotation = || 0..6_u8;
    let off = || prop_oneof![8 => Just(0_i8), 1 => Just(-1), 1 => Just(1)];
    prop_oneof![
        30 => (rotation(), 0..3_u8, 1..4_u8).prop_map(|(rotation, lineage, events)| Call::Begin { rotation, lineage, events }),
        100 => (rotation(), off(), off(), 0..4_u8, proptest::option::of((0..3_u8, any::<u8>())), proptest::bool::weighted(0.04))
            .prop_map(|(rotation, epoch_off, seq_off, events, blob, last)| Call::Append { rotation, epoch_off, seq_off, events, blob, last }),
        20 => rotation().prop_map(|rotation| Call::Claim { rotation }),
        20 => (rotation(), off()).prop_map(|(rotation, epoch_off)| Call::Release { rotation, epoch_off }),
        1 => Just(Call::Reopen),
    ]
}

#[derive(Default)]
struct Known {
    lineage: u8,
    epoch: u64,
    held: bool,
    finished: bool,
    payloads: Vec<String>,
    sealed: BTreeMap<String, Vec<u8>>,
}

impl Known {
    fn seq(&self) -> u64 {
        self.payloads.len() as u64
    }
}

#[derive(Default)]
struct Model {
    rotations: BTreeMap<RotationId, Known>,
    rows: u64,
}

impl Model {
    fn begin(&mut self, new: &NewRotation, lineage: u8) -> Result<Claim, Kind> {
        if let Some((other, _)) = self.rotations.iter().find(|(_, k)| k.lineage == lineage && !k.finished) {
            return Err(Kind::OneRotation { other: other.clone() });
        }
        if self.rotations.contains_key(&new.id) {
            return Err(Kind::Invalid);
        }
        let payloads: Vec<_> = new.events.iter().map(|e| e.payload.clone()).collect();
        let known = Known { lineage, epoch: 1, held: true, payloads, ..Known::default() };
        self.rows += known.seq();
        let claim = Claim { epoch: 1, seq: known.seq(), taken_from: None };
        self.rotations.insert(new.id.clone(), known);
        Ok(claim)
    }

    fn open(&mut self, id: &RotationId) -> Result<&mut Known, Kind> {
        let known = self.rotations.get_mut(id).ok_or(Kind::NotFound)?;
        if known.finished { Err(Kind::Finished) } else { Ok(known) }
    }

    fn append(&mut self, append: &Append, last: bool) -> Result<u64, Kind> {
        if append.events.is_empty() {
            return Err(Kind::Invalid);
        }
        let known = self.open(&append.id)?;
        if known.epoch != append.epoch || !known.held || known.seq() != append.expected_seq {
            return Err(Kind::Superseded);
        }
        known.payloads.extend(append.events.iter().map(|e| e.payload.clone()));
        known.sealed.extend(append.sealed.iter().map(|s| (s.slot.clone(), s.blob.clone())));
        if last {
            known.finished = true;
            known.sealed.clear();
        }
        let seq = known.seq();
        self.rows += append.events.len() as u64;
        Ok(seq)
    }

    fn claim(&mut self, id: &RotationId) -> Result<u64, Kind> {
        let known = self.open(id)?;
        known.epoch += 1;
        known.held = true;
        Ok(known.epoch)
    }

    fn release(&mut self, id: &RotationId, epoch: u64) -> Result<(), Kind> {
        let known = self.open(id)?;
        if known.epoch != epoch {
            return Err(Kind::Superseded);
        }
        known.held = false;
        Ok(())
    }
}

/// One journal for all cases, as making one costs more than a hundred calls. Each case has names of its own.
struct Bench {
    world: World,
    journal: Option<SqliteJournal>,
    cases: u64,
    rows: u64,
    rotations: u64,
    calls: u64,
}

impl Bench {
    async fn open(world: World) -> Self {
        let mut bench = Self { world, journal: None, cases: 0, rows: 0, rotations: 0, calls: 0 };
        bench.reopen().await;
        bench
    }

    /// Without syncs: what the disk does is not asked here.
    async fn reopen(&mut self) {
        drop(self.journal.take());
        let journal = self.world.open();
        let fast =
            |c: &rusqlite::Connection| c.execute_batch("COMMIT; PRAGMA synchronous = OFF; BEGIN").map_err(sql("hurry"));
        journal.writer.write(Note::SMALL, fast).await.unwrap_err();
        self.journal = Some(journal);
    }

    async fn run(&mut self, calls: Vec<Call>) {
        self.cases += 1;
        let (case, owner) = (self.cases, self.world.owner.clone());
        let name = |rotation: u8| id(&format!("c{case}-r{rotation}"));
        let mut model = Model::default();
        let off = |n: u64, off: i8| n.saturating_add_signed(off.into());
        for (at, call) in calls.into_iter().enumerate() {
            self.calls += 1;
            let journal = self.journal.as_ref().unwrap();
            let events = |count: u8| (0..count).map(|i| event(at as u64 * 10 + u64::from(i))).collect::<Vec<_>>();
            match call {
                Call::Begin { rotation, lineage, events: count } => {
                    let (credential, text) = ("c".to_owned(), format!("c{case}-l{lineage}"));
                    let new = NewRotation {
                        id: name(rotation),
                        credential,
                        lineage: text,
                        events: events(count),
                        sealed: Vec::new(),
                        trigger: None,
                    };
                    let expected = model.begin(&new, lineage);
                    assert_eq!(journal.begin(new, &owner).await.map_err(|e| e.kind), expected);
                }
                Call::Append { rotation, epoch_off, seq_off, events: count, blob, last } => {
                    let id = name(rotation);
                    let (epoch, seq) = model.rotations.get(&id).map_or((1, 0), |k| (k.epoch, k.seq()));
                    let sealed = blob.map(|(slot, byte)| SealedBlob {
                        slot: format!("s{slot}"),
                        blob: vec![byte; 40],
                        known: Vec::new(),
                    });
                    let append = Append {
                        id,
                        epoch: off(epoch, epoch_off),
                        expected_seq: off(seq, seq_off),
                        events: events(count),
                        sealed: sealed.into_iter().collect(),
                        notices: Vec::new(),
                        room: Room::Reserve,
                    };
                    let expected = model.append(&append, last);
                    let result = if last { journal.finish(append).await } else { journal.append(append).await };
                    assert_eq!(result.map_err(|e| e.kind), expected);
                }
                Call::Claim { rotation } => {
                    let expected = model.claim(&name(rotation));
                    let result = journal.claim(&name(rotation), &owner).await;
                    assert_eq!(result.map(|c| c.epoch).map_err(|e| e.kind), expected);
                }
                Call::Release { rotation, epoch_off } => {
                    let epoch = off(model.rotations.get(&name(rotation)).map_or(1, |k| k.epoch), epoch_off);
                    let expected = model.release(&name(rotation), epoch);
                    assert_eq!(journal.release(&name(rotation), epoch).await.map_err(|e| e.kind), expected);
                }
                Call::Reopen => self.reopen().await,
            }
        }
        self.compare(&model).await;
    }

    async fn compare(&mut self, model: &Model) {
        let journal = self.journal.as_ref().unwrap();
        for (id, known) in &model.rotations {
            let rows = journal.load(id).await.unwrap();
            assert_eq!(rows.iter().map(|r| &r.payload).collect::<Vec<_>>(), known.payloads.iter().collect::<Vec<_>>());
            for slot in ["s0", "s1", "s2"] {
                assert_eq!(journal.sealed(id, slot).await.unwrap().as_ref(), known.sealed.get(slot));
            }
        }
        self.rows += model.rows;
        self.rotations += model.rotations.len() as u64;
    }
}

#[test]
fn any_calls_have_the_answers_of_the_model() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = RefCell::new(runtime.block_on(Bench::open(World::new())));
    let config = ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() };
    let calls = proptest::collection::vec(call(), 1..80);
    let result = TestRunner::new(config).run(&calls, |calls| {
        runtime.block_on(bench.borrow_mut().run(calls));
        Ok(())
    });
    result.unwrap();
    let bench = bench.into_inner();
    let report = runtime.block_on(bench.journal.as_ref().unwrap().verify()).unwrap();
    assert_eq!((report.rows, report.rotations), (bench.rows, bench.rotations));
    assert!(bench.calls > 3000 && bench.rows > 1000, "{} calls, {} rows", bench.calls, bench.rows);
}
