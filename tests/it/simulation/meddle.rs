//! What people and the weather do by themselves, at any event outside: alerts, aborts, other hands at the provider and in the
//! entries, clocks, crashes.

use super::faults::Kind;
use super::world::{Sim, State, Wish, World};

const HOUR: i64 = 3_600_000;

/// Something may happen now.
pub(crate) fn stir(sim: &Sim) {
    let now = sim.now();
    let mut told: Vec<String> = Vec::new();
    let mut wishes = Vec::new();
    {
        let world = &mut *sim.lock();
        for kind in Kind::ALL {
            if let Some(text) = act(world, *kind, now, &mut wishes) {
                told.push(text);
            }
        }
    }
    for text in told {
        sim.note(|| text);
    }
    for (kind, sign) in [(Kind::ClockForward, 1), (Kind::ClockBack, -1)] {
        if sim.strikes(kind) {
            let by = i64::try_from(sim.between(1, 24 * 365)).unwrap_or(1) * HOUR * sign;
            sim.note(|| format!("the wall clock is set by {} h", by / HOUR));
            sim.set_wall(by);
        }
    }
    for wish in wishes {
        sim.wish(wish);
    }
    sim.lock().check();
}

fn act(world: &mut World, kind: Kind, now: u64, wishes: &mut Vec<Wish>) -> Option<String> {
    let strikes = |world: &mut World| world.faults.strikes(kind, now, &mut world.chance);
    match kind {
        Kind::Abort | Kind::LeakOld | Kind::LeakNew | Kind::LeakBoth | Kind::Stopped | Kind::Reboot | Kind::Second => {
            if !strikes(world) {
                return None;
            }
            let new = world.versions.keys().filter_map(|id| world.slot_of(id)).max().unwrap_or_default().max(1);
            wishes.push(match kind {
                Kind::Abort => Wish::Abort,
                Kind::LeakOld => Wish::Alert(vec![0]),
                Kind::LeakNew => Wish::Alert(vec![new]),
                Kind::LeakBoth => Wish::Alert(vec![0, new]),
                Kind::Stopped => Wish::Stop,
                Kind::Reboot => Wish::Reboot,
                _ => Wish::Second,
            });
            None
        }
        Kind::DeletedNew | Kind::DisabledNew | Kind::EnabledOld | Kind::DeletedOld => {
            let old = matches!(kind, Kind::EnabledOld | Kind::DeletedOld);
            let id = if old { Some("v0".to_owned()) } else { new_version(world) }?;
            let from = world.versions.get(&id)?.state();
            let to = match kind {
                Kind::DisabledNew => State::Inactive,
                Kind::EnabledOld => State::Active,
                _ => State::Deleted,
            };
            let possible = match kind {
                Kind::EnabledOld => from == State::Inactive,
                Kind::DisabledNew => from == State::Active,
                _ => from != State::Deleted,
            };
            let in_place = world.shape == handover_rotation::plan::Shape::InPlace;
            if !possible || in_place || !strikes(world) {
                return None;
            }
            world.versions.get_mut(&id)?.turn(now, to);
            world.meddled.insert(id.clone());
            Some(format!("someone else: {id} is {to:?}"))
        }
        Kind::EditedEntry => {
            if !strikes(world) {
                return None;
            }
            let names: Vec<String> = world.entries.keys().cloned().collect();
            let at = usize::try_from(world.chance.below(names.len() as u64)).unwrap_or_default();
            let name = names.get(at)?;
            world.entries.insert(name.clone(), ("someone".to_owned(), "someone else's".to_owned()));
            world.meddled.insert(name.clone());
            Some(format!("someone else: entry {name} is edited"))
        }
        Kind::Forgotten => {
            if !strikes(world) {
                return None;
            }
            let old = world.versions.get_mut("v0")?;
            if old.state() == State::Active {
                old.used = Some(now);
            } else {
                old.refused = Some(now);
            }
            Some("someone else logs in with v0".to_owned())
        }
        Kind::Restarted => {
            if !strikes(world) {
                return None;
            }
            let names: Vec<String> = world.services.keys().cloned().collect();
            let at = usize::try_from(world.chance.below(names.len() as u64)).unwrap_or_default();
            let name = names.get(at)?;
            world.reread(name);
            Some(format!("{name} restarts by itself"))
        }
        _ => None,
    }
}

/// The last version that this rotation has made and that is still there.
fn new_version(world: &World) -> Option<String> {
    let made = world.ours().into_iter().filter(|id| *id != "v0");
    made.max_by_key(|id| world.slot_of(id)).map(str::to_owned)
}
