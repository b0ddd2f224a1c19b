//! What is unusual about what was seen. Pure: counts in, flags out. The thresholds, and where each comes from, are in docs/usage.md.

use std::collections::BTreeSet;

use serde::Serialize;

use super::network::Network;
use super::tally::{Count, Tally};
use super::{Calls, Question};

/// So many uses, on so many days, before what is usual is known well enough to call an hour odd or an hour busy. Ours.
pub(super) const ENOUGH_USES: u64 = 20;
/// See above.
pub(super) const ENOUGH_DAYS: u64 = 7;
/// A volume of so many times the most before is a spike. Ours.
pub(super) const SPIKE_TIMES: u64 = 3;
/// Not below so many in an hour. Ours.
pub(super) const SPIKE_HOUR: u64 = 20;
/// Nor so many in a day: a published limit of logins a day of one account.
pub(super) const SPIKE_DAY: u64 = 80;
/// Networks on one day: the Exim wiki's `DetectSMTPAuthAbuse` takes more than ten addresses.
pub(super) const MANY_NETWORKS: usize = 10;

/// Calls by which whoever finds a key finds out what it can do (Datadog def-000-su2, Permiso's "SES-pionage"), and by which it is made
/// to send (Sigma 60b84424).
const RECON: [&str; 12] = [
    "GetAccount",
    "GetAccountSendingEnabled",
    "GetCallerIdentity",
    "GetIdentityVerificationAttributes",
    "GetSendQuota",
    "GetSendStatistics",
    "ListEmailIdentities",
    "ListIdentities",
    "ListServiceQuotas",
    "UpdateAccountSendingEnabled",
    "VerifyDomainIdentity",
    "VerifyEmailIdentity",
];

/// How much a flag weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// To be known.
    Note,
    /// Not usual, or a sign of others.
    Warning,
    /// Something is broken, or others are in.
    Alarm,
}

/// Something unusual. Times are in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "flag", rename_all = "kebab-case")]
pub enum Flag {
    /// A version was accepted after it was revoked: the revocation has failed.
    AfterRevocation {
        /// The source.
        source: String,
        /// The version.
        version: String,
        /// When it was revoked.
        revoked_ms: u64,
        /// Its uses.
        uses: Count,
        /// From where.
        networks: Vec<Network>,
    },
    /// The key of an SMTP login called an API.
    ApiCall {
        /// The source.
        source: String,
        /// The call.
        call: String,
        /// How often.
        calls: Count,
        /// Whether it is one by which a finder looks around.
        recon: bool,
    },
    /// Uses from a network that was never seen before.
    UnfamiliarAddress {
        /// The source.
        source: String,
        /// The network.
        network: Network,
        /// Its uses.
        uses: Count,
    },
    /// Uses from more networks than are kept apart.
    ManyMoreAddresses {
        /// The source.
        source: String,
        /// Their uses.
        uses: Count,
    },
    /// Uses at hours of the day at which there were none before.
    OddHours {
        /// The source.
        source: String,
        /// The hours, UTC.
        hours: Vec<u8>,
        /// Their uses.
        uses: u64,
    },
    /// An hour or a day with far more uses than any before.
    VolumeSpike {
        /// The source.
        source: String,
        /// When it began.
        at_ms: u64,
        /// `hour` or `day`.
        per: &'static str,
        /// Its uses.
        uses: u64,
        /// The most before.
        most_before: u64,
    },
    /// A day with uses from many networks.
    ManyAddresses {
        /// The source.
        source: String,
        /// The day's beginning, UTC.
        at_ms: u64,
        /// How many networks, at least.
        networks: u64,
        /// The most before.
        most_before: u64,
    },
    /// The name of a revoked version was tried and refused: somebody still tries it, or a service was forgotten.
    OldNameRefused {
        /// The source.
        source: String,
        /// The version.
        version: String,
        /// How often.
        tries: Count,
        /// From where.
        networks: Vec<Network>,
    },
    /// Uses of a version after it was revoked, while that was still spreading.
    WhileSpreading {
        /// The source.
        source: String,
        /// The version.
        version: String,
        /// Its uses.
        uses: Count,
    },
    /// Uses since the leak was first exposed, familiar ones among them.
    AfterExposure {
        /// The source.
        source: String,
        /// The uses.
        uses: Count,
    },
}

impl Flag {
    /// How much it weighs.
    #[must_use]
    pub fn weight(&self) -> Weight {
        match self {
            Self::AfterRevocation { .. } | Self::ApiCall { recon: true, .. } => Weight::Alarm,
            Self::AfterExposure { .. } | Self::WhileSpreading { .. } => Weight::Note,
            _ => Weight::Warning,
        }
    }

    /// Whether it speaks of somebody who uses the login and should not. A refused login is no use.
    #[must_use]
    pub fn is_stranger(&self) -> bool {
        self.weight() > Weight::Note && !matches!(self, Self::OldNameRefused { .. })
    }

    /// Where it stands among others.
    fn order(&self) -> (std::cmp::Reverse<Weight>, u8) {
        let kind = match self {
            Self::AfterRevocation { .. } => 0,
            Self::ApiCall { .. } => 1,
            Self::UnfamiliarAddress { .. } => 2,
            Self::ManyMoreAddresses { .. } => 3,
            Self::OldNameRefused { .. } => 4,
            Self::VolumeSpike { .. } => 5,
            Self::ManyAddresses { .. } => 6,
            Self::OddHours { .. } => 7,
            Self::WhileSpreading { .. } => 8,
            Self::AfterExposure { .. } => 9,
        };
        (std::cmp::Reverse(self.weight()), kind)
    }
}

/// What is usual, learned by all sources from before the divide.
#[derive(Clone, Debug, Default)]
pub(super) struct Usual {
    /// The networks.
    pub networks: BTreeSet<Network>,
    /// Whether there were more networks than are kept: then none can be called unfamiliar.
    pub overflowed: bool,
    /// The hours of the day, UTC.
    pub hours: [u64; 24],
    /// The uses that the source with the most has seen.
    pub uses: u64,
    /// The days with uses that the source with the most has seen.
    pub days: u64,
    /// The first of them.
    pub first_ms: Option<u64>,
}

impl Usual {
    /// Learns from what one source has seen.
    pub(super) fn learn(&mut self, seen: &Tally) {
        self.networks.extend(seen.networks.iter().filter(|(_, place)| place.before.times > 0).map(|(network, _)| *network));
        self.overflowed |= seen.beyond.before.times > 0;
        for (mine, its) in self.hours.iter_mut().zip(seen.hours_before) {
            *mine = mine.saturating_add(its);
        }
        self.uses = self.uses.max(seen.before.times);
        self.days = self.days.max(seen.days_before());
        self.first_ms = [self.first_ms, seen.before.first_ms].into_iter().flatten().min();
    }

    /// Whether it is known well.
    #[must_use]
    pub(super) fn is_known(&self) -> bool {
        self.uses >= ENOUGH_USES && self.days >= ENOUGH_DAYS
    }
}

/// What is unusual about what one source has seen.
#[must_use]
pub(super) fn flags(name: &str, question: &Question, usual: &Usual, seen: &Tally, calls: &Calls) -> Vec<Flag> {
    let mut flags = Vec::new();
    let source = || name.to_owned();
    for (n, (version, revoked)) in question.versions.iter().zip(&seen.versions).enumerate() {
        let Some(revoked_ms) = version.revoked_ms else { continue };
        let networks: Vec<Network> = revoked.networks.iter().copied().collect();
        let version = question.versions.get(n).map_or_else(String::new, super::VersionTimes::shown);
        if revoked.accepted.times > 0 {
            let (version, networks, uses) = (version.clone(), networks.clone(), revoked.accepted);
            flags.push(Flag::AfterRevocation { source: source(), version, revoked_ms, uses, networks });
        }
        if revoked.spreading.times > 0 {
            flags.push(Flag::WhileSpreading { source: source(), version: version.clone(), uses: revoked.spreading });
        }
        if revoked.refused.times > 0 {
            flags.push(Flag::OldNameRefused { source: source(), version, tries: revoked.refused, networks });
        }
    }
    for (call, calls) in calls {
        let recon = RECON.contains(&call.as_str());
        flags.push(Flag::ApiCall { source: source(), call: call.clone(), calls: *calls, recon });
    }
    if question.leaked_ms.is_some() && seen.after.times > 0 {
        flags.push(Flag::AfterExposure { source: source(), uses: seen.after });
    }
    if usual.uses > 0 && !usual.overflowed {
        for (network, place) in &seen.networks {
            if place.after.times > 0 && !usual.networks.contains(network) {
                flags.push(Flag::UnfamiliarAddress { source: source(), network: *network, uses: place.after });
            }
        }
    }
    if seen.beyond.after.times > 0 {
        flags.push(Flag::ManyMoreAddresses { source: source(), uses: seen.beyond.after });
    }
    flags.extend(many_addresses(name, seen));
    if usual.is_known() {
        flags.extend(odd_hours(name, usual, seen));
        flags.extend(spikes(name, seen));
    }
    flags
}

/// Sorts flags: the gravest first.
pub(super) fn sort(flags: &mut [Flag]) {
    flags.sort_by_key(Flag::order);
}

/// An hour is odd if neither it nor one beside it had a use: the clock of a service moves by an hour twice a year.
fn odd_hours(name: &str, usual: &Usual, seen: &Tally) -> Option<Flag> {
    let used = |hour: usize| [hour + 23, hour, hour + 1].iter().any(|h| usual.hours[h % 24] > 0);
    let odd: Vec<usize> = (0..24).filter(|hour| seen.hours_after[*hour] > 0 && !used(*hour)).collect();
    let uses = odd.iter().map(|hour| seen.hours_after[*hour]).sum();
    let hours = odd.iter().filter_map(|hour| u8::try_from(*hour).ok()).collect();
    (!odd.is_empty()).then(|| Flag::OddHours { source: name.to_owned(), hours, uses })
}

/// The busiest hour and the busiest day after the divide, each compared with the busiest before. A source that saw nothing before
/// has nothing to compare with.
fn spikes(name: &str, seen: &Tally) -> Vec<Flag> {
    if seen.before.times == 0 {
        return Vec::new();
    }
    let (before, after) = seen.split_hours();
    let (before, after): (Vec<_>, Vec<_>) = (before.collect(), after.collect());
    let by_day = |hours: &[(u64, u64)]| {
        let mut days: std::collections::BTreeMap<u64, u64> = std::collections::BTreeMap::new();
        for (hour, times) in hours {
            let day = days.entry(hour / 24).or_default();
            *day = day.saturating_add(*times);
        }
        days.into_iter().collect::<Vec<_>>()
    };
    let most = |list: &[(u64, u64)]| list.iter().copied().max_by_key(|(at, times)| (*times, std::cmp::Reverse(*at)));
    let spike = |per: &'static str, before: &[(u64, u64)], after: &[(u64, u64)], unit_ms: u64, least: u64| {
        let most_before = most(before).map_or(0, |(_, times)| times);
        let (at, uses) = most(after)?;
        let is = uses >= least && uses > most_before.saturating_mul(SPIKE_TIMES);
        is.then(|| Flag::VolumeSpike { source: name.to_owned(), at_ms: at.saturating_mul(unit_ms), per, uses, most_before })
    };
    let day = spike("day", &by_day(&before), &by_day(&after), 86_400_000, SPIKE_DAY);
    let hour = spike("hour", &before, &after, 3_600_000, SPIKE_HOUR);
    [day, hour].into_iter().flatten().collect()
}

fn many_addresses(name: &str, seen: &Tally) -> Option<Flag> {
    let most = |days: &mut dyn Iterator<Item = (&u64, &BTreeSet<Network>)>| {
        days.map(|(day, networks)| (*day, networks.len())).max_by_key(|(day, n)| (*n, std::cmp::Reverse(*day)))
    };
    let divide = seen.divide_day();
    let before = most(&mut seen.by_day.range(..divide)).map_or(0, |(_, n)| n);
    let (day, networks) = most(&mut seen.by_day.range(divide..))?;
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    (networks > MANY_NETWORKS && networks > before).then(|| Flag::ManyAddresses {
        source: name.to_owned(),
        at_ms: day.saturating_mul(86_400_000),
        networks: count(networks),
        most_before: count(before),
    })
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
