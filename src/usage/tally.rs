//! What a source has seen, counted on the way: its size depends on the window and on limits, never on how much there was to read.
//!
//! Nothing that others chose is kept: times, networks and numbers only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

use super::names::Who;
use super::network::Network;
use super::question::{OwnLogin, Question};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Networks that are kept of the uses; what comes from further ones is counted together.
pub(super) const MOST_NETWORKS: usize = 1024;
/// Networks that are kept of a day: only whether they are many is asked.
const MOST_A_DAY: usize = 64;
/// Networks that are kept of what a revoked version did.
const MOST_OF_A_VERSION: usize = 16;
/// How far the clock of a server may be from ours (S29).
const CLOCKS: u64 = 5_000;

/// One thing that a source has seen.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// From where, if the source tells.
    pub address: Option<IpAddr>,
    /// Whose login.
    pub who: Who,
    /// Whether it was accepted.
    pub accepted: bool,
    /// How often.
    pub times: u64,
}

/// How often, first and last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How often.
    pub times: u64,
    /// When first, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_ms: Option<u64>,
    /// When last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_ms: Option<u64>,
}

impl Count {
    /// Counts.
    pub fn add(&mut self, at_ms: u64, times: u64) {
        self.merge(&Self { times, first_ms: Some(at_ms), last_ms: Some(at_ms) });
    }

    /// Adds another count.
    pub fn merge(&mut self, other: &Self) {
        self.times = self.times.saturating_add(other.times);
        self.first_ms = [self.first_ms, other.first_ms].into_iter().flatten().min();
        self.last_ms = self.last_ms.max(other.last_ms);
    }
}

/// What came from one network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Before the divide.
    pub before: Count,
    /// After it, within the window.
    pub after: Count,
}

/// What was seen of a version after it was revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    /// Accepted after it should have been refused everywhere.
    pub accepted: Count,
    /// Accepted while that was still spreading.
    pub spreading: Count,
    /// Refused.
    pub refused: Count,
    /// From where.
    pub networks: BTreeSet<Network>,
}

/// What a source has seen.
#[derive(Clone, Debug)]
pub struct Tally {
    learn_from_ms: u64,
    divide_ms: u64,
    since_ms: u64,
    until_ms: u64,
    spreading_ms: u64,
    revoked_ms: Vec<Option<u64>>,
    own: Vec<(OwnLogin, bool)>,
    /// Uses within the window.
    pub window: Count,
    /// Uses before the divide, from which the usual is learned.
    pub before: Count,
    /// Uses after the divide, within the window.
    pub after: Count,
    /// Refused logins within the window.
    pub refused: Count,
    /// Handover's own logins.
    pub own_seen: u64,
    /// Uses by network.
    pub networks: BTreeMap<Network, Place>,
    /// Uses from networks beyond those that are kept.
    pub beyond: Place,
    /// Uses without an address.
    pub nowhere: Place,
    /// Uses before the divide by hour of the day (UTC).
    pub hours_before: [u64; 24],
    /// Uses after it.
    pub hours_after: [u64; 24],
    /// Uses by hour since the Unix epoch.
    pub by_hour: BTreeMap<u64, u64>,
    /// Networks by day since the Unix epoch.
    pub by_day: BTreeMap<u64, BTreeSet<Network>>,
    /// What was seen of each version after it was revoked.
    pub versions: Vec<Revoked>,
}

impl Tally {
    /// An empty one for a question.
    #[must_use]
    pub fn new(question: &Question) -> Self {
        Self {
            learn_from_ms: question.learn_from_ms(),
            divide_ms: question.divide_ms(),
            since_ms: question.since_ms,
            until_ms: question.until_ms,
            spreading_ms: question.spreading.0,
            revoked_ms: question.versions.iter().map(|v| v.revoked_ms).collect(),
            own: question.own.iter().map(|own| (*own, false)).collect(),
            window: Count::default(),
            before: Count::default(),
            after: Count::default(),
            refused: Count::default(),
            own_seen: 0,
            networks: BTreeMap::new(),
            beyond: Place::default(),
            nowhere: Place::default(),
            hours_before: [0; 24],
            hours_after: [0; 24],
            by_hour: BTreeMap::new(),
            by_day: BTreeMap::new(),
            versions: vec![Revoked::default(); question.versions.len()],
        }
    }

    /// Takes in what was seen. What lies outside of all that is asked about is left out.
    pub fn see(&mut self, seen: Sighting) {
        let at = seen.at_ms;
        if at > self.until_ms.saturating_add(CLOCKS) || at < self.learn_from_ms.min(self.since_ms) || seen.times == 0 {
            return;
        }
        if self.is_own(&seen) {
            self.own_seen += 1;
            return;
        }
        self.see_revoked(&seen);
        let within = at >= self.since_ms;
        let before = at < self.divide_ms;
        if !seen.accepted {
            if within {
                self.refused.add(at, seen.times);
            }
            return;
        }
        if within {
            self.window.add(at, seen.times);
        }
        // What lies between the divide and a later window is neither usual nor asked about.
        if !before && !within || at < self.learn_from_ms {
            return;
        }
        let network = seen.address.map(Network::of);
        let full = self.networks.len() >= MOST_NETWORKS;
        let place = match network {
            None => &mut self.nowhere,
            Some(network) if full && !self.networks.contains_key(&network) => &mut self.beyond,
            Some(network) => self.networks.entry(network).or_default(),
        };
        let hour = usize::try_from(at / HOUR % 24).unwrap_or(0);
        if before {
            place.before.add(at, seen.times);
            self.before.add(at, seen.times);
            self.hours_before[hour] = self.hours_before[hour].saturating_add(seen.times);
        } else {
            place.after.add(at, seen.times);
            self.after.add(at, seen.times);
            self.hours_after[hour] = self.hours_after[hour].saturating_add(seen.times);
        }
        let of_hour = self.by_hour.entry(at / HOUR).or_default();
        *of_hour = of_hour.saturating_add(seen.times);
        if let Some(network) = network {
            let day = self.by_day.entry(at / DAY).or_default();
            if day.len() < MOST_A_DAY {
                day.insert(network);
            }
        }
    }

    /// Whether it is one of Handover's own logins. Each of them answers for one line only, so that nobody hides behind it, and none
    /// for a login that was accepted when it should not have been.
    fn is_own(&mut self, seen: &Sighting) -> bool {
        if seen.times != 1 || (seen.accepted && self.is_revoked(seen)) {
            return false;
        }
        let fits = |own: &OwnLogin| {
            let version = seen.who == Who::Credential || seen.who == Who::Version(own.version);
            let time = own.from_ms.saturating_sub(CLOCKS)..=own.to_ms.saturating_add(CLOCKS);
            version && own.accepted == seen.accepted && time.contains(&seen.at_ms)
        };
        match self.own.iter_mut().find(|(own, taken)| !taken && fits(own)) {
            Some((_, taken)) => {
                *taken = true;
                true
            }
            None => false,
        }
    }

    fn is_revoked(&self, seen: &Sighting) -> bool {
        let Who::Version(n) = seen.who else { return false };
        self.revoked_ms.get(n).copied().flatten().is_some_and(|revoked_ms| seen.at_ms > revoked_ms)
    }

    /// Takes in a login whose name the server does not know. One of several user databases says so of every name that another one
    /// has: only of a version that is revoked it is a refusal.
    pub fn see_unknown(&mut self, seen: Sighting) {
        if self.is_revoked(&seen) {
            self.see(seen);
        }
    }

    fn see_revoked(&mut self, seen: &Sighting) {
        let Who::Version(n) = seen.who else { return };
        let (Some(Some(revoked_ms)), Some(version)) = (self.revoked_ms.get(n), self.versions.get_mut(n)) else { return };
        if seen.at_ms <= *revoked_ms {
            return;
        }
        let count = match (seen.accepted, seen.at_ms > revoked_ms.saturating_add(self.spreading_ms)) {
            (true, true) => &mut version.accepted,
            (true, false) => &mut version.spreading,
            (false, _) => &mut version.refused,
        };
        count.add(seen.at_ms, seen.times);
        if let Some(address) = seen.address
            && version.networks.len() < MOST_OF_A_VERSION
        {
            version.networks.insert(Network::of(address));
        }
    }

    /// Adds what another part of the same source has seen.
    pub fn merge(&mut self, other: &Self) {
        self.window.merge(&other.window);
        self.before.merge(&other.before);
        self.after.merge(&other.after);
        self.refused.merge(&other.refused);
        self.own_seen += other.own_seen;
        let add = |to: &mut Place, from: &Place| {
            to.before.merge(&from.before);
            to.after.merge(&from.after);
        };
        for (network, place) in &other.networks {
            let full = self.networks.len() >= MOST_NETWORKS && !self.networks.contains_key(network);
            add(if full { &mut self.beyond } else { self.networks.entry(*network).or_default() }, place);
        }
        add(&mut self.beyond, &other.beyond);
        add(&mut self.nowhere, &other.nowhere);
        for (mine, its) in [(&mut self.hours_before, &other.hours_before), (&mut self.hours_after, &other.hours_after)] {
            mine.iter_mut().zip(its).for_each(|(mine, its)| *mine = mine.saturating_add(*its));
        }
        for (hour, times) in &other.by_hour {
            let mine = self.by_hour.entry(*hour).or_default();
            *mine = mine.saturating_add(*times);
        }
        for (day, networks) in &other.by_day {
            let mine = self.by_day.entry(*day).or_default();
            let room = MOST_A_DAY.saturating_sub(mine.len());
            mine.extend(networks.iter().take(room));
        }
        for (mine, its) in self.versions.iter_mut().zip(&other.versions) {
            mine.accepted.merge(&its.accepted);
            mine.spreading.merge(&its.spreading);
            mine.refused.merge(&its.refused);
            let room = MOST_OF_A_VERSION.saturating_sub(mine.networks.len());
            mine.networks.extend(its.networks.iter().take(room));
        }
    }

    /// How many things are kept: what bounds its memory.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        let days: usize = self.by_day.values().map(BTreeSet::len).sum();
        let of_versions: usize = self.versions.iter().map(|v| v.networks.len()).sum();
        self.networks.len() + self.by_hour.len() + days + of_versions + self.own.len()
    }

    /// The days before the divide on which there was a use.
    #[must_use]
    pub fn days_before(&self) -> u64 {
        let last = self.divide_ms / HOUR;
        let days: BTreeSet<u64> = self.by_hour.keys().filter(|hour| **hour < last).map(|hour| hour / 24).collect();
        u64::try_from(days.len()).unwrap_or(u64::MAX)
    }

    /// The hours before the divide and from it on: each with its uses. The hour that it cuts counts as after it.
    pub fn split_hours(&self) -> (impl Iterator<Item = (u64, u64)>, impl Iterator<Item = (u64, u64)>) {
        let cut = self.divide_ms / HOUR;
        let each = |range: std::collections::btree_map::Range<'_, u64, u64>| {
            range.map(|(hour, times)| (*hour, *times)).collect::<Vec<_>>().into_iter()
        };
        (each(self.by_hour.range(..cut)), each(self.by_hour.range(cut..)))
    }

    /// The day of the divide, since the Unix epoch.
    #[must_use]
    pub fn divide_day(&self) -> u64 {
        self.divide_ms / DAY
    }
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
