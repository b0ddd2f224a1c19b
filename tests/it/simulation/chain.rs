//! Take-overs in a row: what one owner could not know of the one before it, its successor does not know either.

use std::sync::Arc;
use std::time::Duration;

use handover::engine::prepare::{Options, prepare};
use handover::engine::{Breakers, Engine, Who};
use handover::journal::{Append, Journal, NewEvent, Owner, Room, Sealer, SqliteJournal, Why};
use handover_rotation::event::Event;
use handover_rotation::name::RotationId;
use handover_rotation::time::Millis;

use super::case::{credential, inventory};
use super::chance::Chance;
use super::faults::Faults;
use super::net::Process;
use super::play::open;
use super::process::owner;
use super::scenario::SCENARIOS;
use super::world::{Sim, World};

/// What a successor writes about the owners before it: one in namespace 1 that has an effect under way, then `between`, which
/// claim and die before they write anything, then one in the namespace `last`.
pub(crate) async fn proven_dead(between: &[u32], last: u32) -> bool {
    let case = SCENARIOS[0].case();
    let mut world = World::new(Chance::new(0), Faults::none(), case.facts.shape, 2);
    case.furnish(&mut world);
    let sim = Sim::new(world, case.wall, false);
    let folder = tempfile::tempdir().expect("a folder");
    let journal: Arc<SqliteJournal> = open(&sim, folder.path());
    let sealer = Sealer::from_file_or_new(&folder.path().join("key"), journal.instance_id());
    let sealer = Arc::new(sealer.expect("a key"));
    let process = Process::new(1);
    let ports = case.ports(&sim, &process);
    let engine = |owner: Owner| Engine {
        journal: journal.clone(),
        sealer: Arc::clone(&sealer),
        clock: sim.clone(),
        owner,
        host: Arc::new(|| Ok(())),
        breakers: Breakers::default(),
        hashes: |_| Vec::new(),
    };
    let id = RotationId::new("chain").expect("an id");
    let first = engine(owner(1, 1, sim.boot_id()));
    let prepared = prepare(inventory(), &credential(), &case.playbook, &ports, &first.sealer, Options::default()).await;
    let Ok(prepared) = prepared else { panic!("it cannot be prepared") };
    let who = Who { by: "test".to_owned(), reason: None, trigger: None };
    first.begin_as(id.clone(), prepared.plan, Arc::clone(&ports), prepared.old, &who).await.map(drop).expect("it begins");
    let write = |event: Event, seq| {
        let payload = serde_json::to_string(&event).expect("plain data");
        let stamp = handover::engine::clock::Clock::stamp(&*sim);
        let events = vec![NewEvent { at: Millis(stamp.wall_ms), stamp, payload, known: Vec::new() }];
        journal.append(Append {
            id: id.clone(),
            epoch: 1,
            expected_seq: seq,
            events,
            sealed: Vec::new(),
            notices: Vec::new(),
            room: Room::Ordinary,
        })
    };
    write(Event::StepStarted { step: 0 }, 1).await.expect("a row");
    for (number, namespace) in (2..).zip(between) {
        tokio::time::sleep(Duration::from_secs(31)).await;
        let claim = journal.claim(&id, &owner(number, *namespace, sim.boot_id())).await.expect("the lease is over");
        assert!(claim.taken_from.is_some_and(|t| number > 2 || (t.why == Why::Expired) == (*namespace != 1)));
    }
    if between.is_empty() {
        tokio::time::sleep(Duration::from_secs(31)).await;
    }
    let last = engine(owner(99, last, sim.boot_id()));
    let runner = last.resume(&id, ports, "test").await.expect("it is taken over");
    let events = runner.events().await.expect("events");
    match events.last() {
        Some((_, Event::Claimed { proven_dead, .. })) => *proven_dead,
        other => panic!("no claim was written: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn s7_who_is_not_known_to_be_dead_is_not_so_after_another_takeover() {
    // The owner in namespace 1 may only stand still, whoever else has died since.
    assert!(proven_dead(&[], 1).await, "seen from its own namespace");
    assert!(!proven_dead(&[], 2).await, "seen from another namespace");
    assert!(!proven_dead(&[2], 2).await, "after one that died where its successor sees it");
    assert!(!proven_dead(&[2, 2], 2).await, "after two of them");
}
