//! The checks of the outside, by what is true and not by what the machine believes.

use handover_rotation::event::Ending;
use handover_rotation::plan::Shape;

use super::world::{State, World};

impl World {
    /// After every event outside.
    pub(crate) fn check(&mut self) {
        if self.broken.is_some() {
            return;
        }
        if let Some(why) = self.locked_out().or_else(|| self.dangling()) {
            self.breaks(why);
        }
    }

    fn excused(&self, version: &str, entry: &str) -> bool {
        self.meddled.contains(version) || self.meddled.contains(entry)
    }

    /// S1: what a running service presents is active, but in place and with the waiver of containment.
    fn locked_out(&self) -> Option<String> {
        if self.shape == Shape::InPlace || self.book.containing {
            return None;
        }
        self.services.iter().find_map(|(name, (entry, uses))| {
            let id = self.version_of(uses).unwrap_or("a login that no version has");
            let out = !self.is_active(id) && !self.excused(id, entry);
            out.then(|| format!("S1: {name} uses {id}, which is refused"))
        })
    }

    /// S2: nothing points at a deleted version.
    fn dangling(&self) -> Option<String> {
        let waived = self.book.containing && self.shape == Shape::DeleteOnly;
        if self.shape == Shape::InPlace || waived {
            return None;
        }
        let deleted = |id: &str| self.versions.get(id).is_some_and(|v| v.state() == State::Deleted);
        self.entries.iter().find_map(|(name, held)| {
            let id = self.version_of(held)?;
            // What is compromised may be shut out before its entries are moved.
            let waived = self.book.containing && self.slot_of(id).is_some_and(|s| self.book.compromised.contains(&s));
            let points = deleted(id) && !waived && !self.excused(id, name);
            points.then(|| format!("S2: entry {name} holds {id}, which is deleted"))
        })
    }

    /// Once nothing is on its way any more: S4, and L5 for what leaked.
    pub(crate) fn check_rest(&self, stuck: bool) -> Option<String> {
        let contained = !self.book.compromised.contains(&0) || !self.is_active("v0") || self.meddled.contains("v0");
        // Who stops a leak's rotation before it has changed anything takes it upon themselves.
        let given_up = self.book.ending == Some(Ending::Refused) && self.book.aborted;
        let rests = stuck || self.book.ending.is_some() && !given_up;
        if rests && !contained && self.shape != Shape::InPlace {
            return Some("L5: it rests while the compromised version is accepted".to_owned());
        }
        let ending = self.book.ending?;
        let wanted = match ending {
            Ending::Done => self.newest()?,
            Ending::RolledBack | Ending::Refused => "v0".to_owned(),
        };
        if ending == Ending::Done && wanted == "v0" {
            return Some("S4: done, and no new version is there".to_owned());
        }
        let live: Vec<&str> = self.ours().into_iter().filter(|id| self.is_active(id)).collect();
        if let Some(id) = live.iter().find(|id| **id != wanted && !self.meddled.contains(**id)) {
            return Some(format!("S4: {ending:?}, and {id} is active beside {wanted}"));
        }
        if !live.contains(&wanted.as_str()) && !self.meddled.contains(&wanted) {
            return Some(format!("S4: {ending:?}, and {wanted} is not active"));
        }
        let left = self.ours().into_iter().find(|id| *id != wanted && *id != "v0" && !self.meddled.contains(*id));
        if let Some(id) = left.filter(|_| self.shape != Shape::InPlace) {
            return Some(format!("S4: {ending:?}, and {id} is left over"));
        }
        for (name, held) in &self.entries {
            let id = self.version_of(held).unwrap_or("what no version has");
            if id != wanted && !self.excused(&wanted, name) {
                return Some(format!("S4: {ending:?}, and entry {name} holds {id}"));
            }
        }
        for (name, (entry, uses)) in &self.services {
            let id = self.version_of(uses).unwrap_or("what no version has");
            if id != wanted && !self.excused(&wanted, entry) {
                return Some(format!("S4: {ending:?}, and {name} uses {id}"));
            }
        }
        None
    }

    /// The version of this rotation that was made last and still is there; else the one that someone else took away.
    fn newest(&self) -> Option<String> {
        let kept = self.ours().into_iter().max_by_key(|id| self.slot_of(id)).map(str::to_owned);
        kept.filter(|id| id != "v0").or_else(|| {
            let made = self.versions.keys().filter_map(|id| Some((self.slot_of(id)?, id)));
            made.max().map(|(_, id)| id.clone())
        })
    }
}
