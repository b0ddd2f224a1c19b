//! The rule of one credential: its times as moments, each with its jitter and outside of blackouts. It knows no past and no `now`.
//!
//! ```text
//! cron ──▶ time on the wall ──▶ moment ──▶ + jitter ──▶ in a blackout? ──▶ fires, later than the moment and before the next one
//!                               (its name)                          └─▶ dropped: a later one fires for it, or none does
//! ```

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};
use chrono_tz::Tz;
use handover_rotation::time::Span;

use super::blackout::{self, Blackout, Dark};
use super::cron::Cron;
use super::zone;

/// When a credential is rotated by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The credential's name: two with the same times get different jitters by it.
    pub name: String,
    /// Its times, by the clock on the wall.
    pub cron: Cron,
    /// Whose wall.
    pub timezone: Tz,
    /// It fires up to so much later than its time: always the same for one time, so that a restart changes nothing. Never as
    /// late as its next time.
    pub jitter: Span,
    /// When nothing begins.
    pub blackouts: Vec<Blackout>,
    /// What becomes of a time within one.
    pub in_blackout: InBlackout,
    /// A current version older than this is due now.
    pub max_age: Option<Span>,
    /// What becomes of times that were missed.
    pub catch_up: CatchUp,
    /// The least time between the beginnings of two rotations. What would begin sooner waits.
    pub min_interval: Span,
}

/// What becomes of a time within a blackout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InBlackout {
    /// It fires when the blackout ends; several of them once.
    #[default]
    Defer,
    /// It does not fire.
    Skip,
}

/// What becomes of times that were missed, since nobody was there or something was in the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatchUp {
    /// One rotation makes up for all of them.
    #[default]
    Once,
    /// Nothing.
    Skip,
}

/// A time of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Its name, which is kept: the moment, in milliseconds since the Unix epoch.
    pub(super) at_ms: u64,
    /// What the expression said.
    pub(super) wall: NaiveDateTime,
}

/// What becomes of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It fires then: at its moment or later, and before the next one. `dark` is the last blackout that it waits for.
    Fires { at_ms: u64, dark: Option<Dark> },
    /// It does not, nor does any other one from `from_ms` on that comes before `until_ms`.
    Dropped { from_ms: u64, until_ms: u64 },
}

/// More windows in a row than this have no end.
const MOST_WINDOWS: usize = 1000;

impl Rule {
    /// The usual distance between the beginnings of two rotations, at least.
    pub const MIN_INTERVAL: Span = Span::minutes(60);

    /// A rule with nothing but its times.
    #[must_use]
    pub fn new(name: impl Into<String>, cron: Cron, timezone: Tz) -> Self {
        Self {
            name: name.into(),
            cron,
            timezone,
            jitter: Span(0),
            blackouts: Vec::new(),
            in_blackout: InBlackout::default(),
            max_age: None,
            catch_up: CatchUp::default(),
            min_interval: Self::MIN_INTERVAL,
        }
    }

    /// What its times depend on. Where this changes, times of the new rule that are over were never announced to anyone:
    /// whoever keeps it tells by it that a rule has only come into force.
    #[must_use]
    pub fn mark(&self) -> String {
        format!("{} {}", self.cron.text(), self.timezone.name())
    }

    /// A moment as its zone writes it, such as `2026-03-29 03:00:00 +02:00`.
    #[must_use]
    pub fn local(&self, at_ms: u64) -> String {
        zone::text(self.timezone, at_ms)
    }

    /// Whether it can ever fire, dated windows aside.
    #[must_use]
    pub fn fires(&self) -> bool {
        if blackout::cover_the_week(&self.blackouts) {
            return false;
        }
        let weekly = |b: &&Blackout| !matches!(b.window, blackout::Window::Once(..));
        let rule = Self { blackouts: self.blackouts.iter().filter(weekly).cloned().collect(), ..self.clone() };
        let some_day = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default();
        let mut moment = rule.after(zone::begins(self.timezone, some_day.into()));
        // So many that the 29th of February has been on every weekday.
        for _ in 0..400 {
            let Some(now) = moment else { return false };
            match rule.fate(&now) {
                Some(Fate::Fires { .. }) => return true,
                Some(dropped) => moment = rule.beyond(dropped),
                None => return false,
            }
        }
        false
    }

    /// Its first time after a moment.
    pub(super) fn after(&self, at_ms: u64) -> Option<Moment> {
        let mut wall = self.cron.from(zone::shown(self.timezone, at_ms)?)?;
        loop {
            let moment = self.moment(wall);
            if moment.at_ms > at_ms {
                return Some(moment);
            }
            wall = self.cron.from(wall + TimeDelta::minutes(1))?;
        }
    }

    /// Its last time at or before a moment.
    pub(super) fn up_to(&self, at_ms: u64) -> Option<Moment> {
        let shown = zone::shown(self.timezone, at_ms)?;
        // The clock may have shown later times before it was set back.
        let mut wall = self.cron.up_to(shown + zone::repeated(self.timezone, at_ms))?;
        loop {
            let moment = self.moment(wall);
            if moment.at_ms <= at_ms {
                // Of several that a gap makes one, the first.
                return self.after(moment.at_ms.checked_sub(1)?);
            }
            wall = self.cron.up_to(wall - TimeDelta::minutes(1))?;
        }
    }

    fn moment(&self, wall: NaiveDateTime) -> Moment {
        Moment { at_ms: zone::begins(self.timezone, wall), wall }
    }

    /// The stretch in which nothing begins that a moment is in.
    pub(super) fn dark(&self, at_ms: u64) -> Option<Dark> {
        blackout::dark(&self.blackouts, self.timezone, at_ms)
    }

    /// The first moment from this one on that is in no blackout.
    pub(super) fn light(&self, mut at_ms: u64) -> Option<u64> {
        for _ in 0..MOST_WINDOWS {
            match self.dark(at_ms) {
                Some(dark) => at_ms = dark.until_ms,
                None => return Some(at_ms),
            }
        }
        None
    }

    /// What becomes of a time; nothing where blackouts have no end.
    pub(super) fn fate(&self, moment: &Moment) -> Option<Fate> {
        let next_ms = self.after(moment.at_ms).map_or(u64::MAX, |next| next.at_ms);
        let mut base_ms = moment.at_ms;
        let (mut from_ms, mut last) = (u64::MAX, None);
        for _ in 0..MOST_WINDOWS {
            let at_ms = base_ms.saturating_add(self.late(moment.at_ms, next_ms - base_ms).0);
            let Some(dark) = self.dark(base_ms).or_else(|| self.dark(at_ms)) else {
                return Some(Fate::Fires { at_ms, dark: last });
            };
            from_ms = from_ms.min(dark.from_ms);
            (base_ms, last) = (dark.until_ms, Some(dark));
            if self.in_blackout == InBlackout::Skip || next_ms <= base_ms {
                return Some(Fate::Dropped { from_ms, until_ms: base_ms });
            }
        }
        None
    }

    /// The first time that may fire after some that do not.
    fn beyond(&self, fate: Fate) -> Option<Moment> {
        match (fate, self.in_blackout) {
            (Fate::Fires { at_ms, .. }, _) => self.after(at_ms),
            // Its end is no part of a blackout.
            (Fate::Dropped { until_ms, .. }, InBlackout::Skip) => self.after(until_ms.checked_sub(1)?),
            // The last of those that waited for its end fires for all.
            (Fate::Dropped { until_ms, .. }, InBlackout::Defer) => self.up_to(until_ms),
        }
    }

    /// The first time that fires after a moment, and when.
    pub(super) fn fires_after(&self, at_ms: u64) -> Option<(Moment, u64)> {
        let mut moment = self.up_to(at_ms).or_else(|| self.after(at_ms))?;
        for _ in 0..MOST_WINDOWS {
            match self.fate(&moment)? {
                Fate::Fires { at_ms: fires_ms, .. } if fires_ms > at_ms => return Some((moment, fires_ms)),
                fate => moment = self.beyond(fate).filter(|next| next.at_ms > moment.at_ms)?,
            }
        }
        None
    }

    /// The last time that has fired by a moment, and when, if it is later than `since_ms`.
    pub(super) fn fired_by(&self, at_ms: u64, since_ms: u64) -> Option<(Moment, u64)> {
        let mut moment = self.up_to(at_ms)?;
        for _ in 0..MOST_WINDOWS {
            if moment.at_ms <= since_ms {
                return None;
            }
            let before = match self.fate(&moment)? {
                Fate::Fires { at_ms: fires_ms, .. } if fires_ms <= at_ms => return Some((moment, fires_ms)),
                Fate::Fires { .. } => moment.at_ms,
                Fate::Dropped { from_ms, .. } => moment.at_ms.min(from_ms),
            };
            moment = self.up_to(before.checked_sub(1)?)?;
        }
        None
    }

    /// How much later than its moment this time fires, with so much room to the next one.
    fn late(&self, moment_ms: u64, room_ms: u64) -> Span {
        let most = self.jitter.0.min(room_ms.saturating_sub(1)) / 1000;
        Span::seconds(chance(&self.name, moment_ms) % (most + 1))
    }

    /// When a version that was made then is too old.
    pub(super) fn too_old(&self, made_ms: u64) -> Option<u64> {
        let max_age = self.max_age?;
        Some(made_ms.saturating_add(max_age.0).saturating_add(self.late(made_ms, u64::MAX).0))
    }
}

/// A number that is the same for the same name and moment on every machine and in every release, and looks like chance.
fn chance(name: &str, at_ms: u64) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = name.as_bytes().iter().chain(&at_ms.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, step);
    // The low bits of the sum above hardly depend on the last bytes.
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}
