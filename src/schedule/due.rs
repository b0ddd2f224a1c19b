//! What is due, what comes next, and what is in the way: of a rule, what was stored, and `now`.
//!
//! A tick has a name, the moment of its time, and is dealt with once: whoever deals with it keeps the name, and nothing at or
//! before the last name that was kept is due again, wherever the clock goes. A clock that runs ahead makes many ticks one.

use handover_rotation::time::Span;

use super::rule::{CatchUp, Fate, Moment, Rule};
use super::zone;

/// What is known of a credential. All of it is stored, so that a restart changes nothing. Milliseconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The name of the last tick that was dealt with ([`Tick::at_ms`]).
    pub last_ms: Option<u64>,
    /// When the rule came into force ([`Rule::mark`]): none of its times up to then was missed. Zero where it always was: then
    /// without a last tick the last time before now is due.
    pub known_ms: u64,
    /// When its last rotation began, whoever began it.
    pub started_ms: Option<u64>,
    /// When its current version was made.
    pub current_ms: Option<u64>,
}

/// A time at which a rotation begins by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Its name, which is kept when it is dealt with: never that of an earlier tick, whatever changes in the rule but its times.
    pub at_ms: u64,
    /// When it fires: later than its name where it has jitter or waits for something. Of a tick that is due, when it should have.
    pub fires_ms: u64,
    /// The same by the clock of the rule's zone, such as `2026-03-29 03:00:00 +02:00`.
    pub local: String,
    /// Why it is one.
    pub why: Why,
    /// Why it does not fire at the time that the expression says, jitter aside.
    pub moved: Option<Moved>,
}

/// Why a tick is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its time has come.
    Regular,
    /// It makes up for times that were missed.
    CaughtUp,
    /// The current version is too old.
    TooOld,
}

/// Why a tick does not fire at the time that the expression says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The clock leaves that time out, as it is set forward. Such as `2026-03-29 02:30`.
    Gap(String),
    /// It waited for the end of this one of the rule's blackouts.
    Blackout(usize),
    /// It waited for the distance from the rotation before.
    Interval,
}

/// What is in the way of a tick that is due, or would be of one that became so now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// The clock is behind what was stored: by it, something happened in the future.
    Clock {
        /// When.
        last_ms: u64,
    },
    /// A rotation needs a person.
    Stuck {
        /// Its id.
        rotation: String,
    },
    /// A rotation is under way.
    UnderWay {
        /// Its id.
        rotation: String,
    },
    /// A blackout.
    Blackout {
        /// Which of the rule's.
        which: usize,
        /// When something may begin again, with the blackouts that follow; nothing if there is no end.
        until_ms: Option<u64>,
    },
    /// The rotation before began not long ago.
    Interval {
        /// When the next may.
        until_ms: u64,
    },
}

/// A rotation of the credential that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its id.
    pub rotation: String,
    /// Whether it rests until a person acts.
    pub stuck: bool,
}

/// So late a tick may come without having been missed: a restart, or a busy moment.
pub const LATE: Span = Span::minutes(10);
/// What a version that is too old is not tried again within.
pub const AGAIN: Span = Span::seconds(86_400);
/// So far a clock may be set back without a word.
const BEHIND: Span = Span::minutes(60);
/// More moments than this are not looked at for one tick.
const MOST_LOOKS: usize = 1000;

/// The tick that is due: at most one, which stands for all before it. Nothing is while a blackout lasts, or too soon after the
/// rotation before. Whether another rotation is under way is not asked here: see [`blocked`].
#[must_use]
pub fn due(rule: &Rule, past: &Past, now_ms: u64) -> Option<Tick> {
    if held(rule, past).is_some_and(|until| until > now_ms) || rule.dark(now_ms).is_some() {
        return None;
    }
    let old = too_old(rule, past).filter(|at_ms| *at_ms <= now_ms);
    let regular =
        last(rule, past, now_ms).filter(|(_, fires_ms)| rule.catch_up == CatchUp::Once || !late(*fires_ms, now_ms));
    match (regular, old) {
        (Some((moment, fires_ms)), old) if old.is_none_or(|at_ms| at_ms <= moment.at_ms) => {
            let why = if late(fires_ms, now_ms) { Why::CaughtUp } else { Why::Regular };
            Some(tick(rule, moment.at_ms, fires_ms, why, moved(rule, &moment)))
        }
        (_, old) => old.map(|at_ms| tick(rule, at_ms, at_ms, Why::TooOld, None)),
    }
}

/// The last tick that was missed for good, as the rule does not catch up. To be dealt with once: by telling people.
#[must_use]
pub fn missed(rule: &Rule, past: &Past, now_ms: u64) -> Option<Tick> {
    let (moment, fires_ms) = last(rule, past, now_ms)?;
    (rule.catch_up == CatchUp::Skip && late(fires_ms, now_ms))
        .then(|| tick(rule, moment.at_ms, fires_ms, Why::Regular, moved(rule, &moment)))
}

/// The tick that is due now or comes next, with the moment at which [`due`] will give it if nothing else happens until then.
#[must_use]
pub fn next(rule: &Rule, past: &Past, now_ms: u64) -> Option<Tick> {
    let (mut at_ms, mut waited) = (now_ms, None);
    for _ in 0..MOST_LOOKS {
        if let Some(mut tick) = due(rule, past, at_ms) {
            if tick.fires_ms < at_ms {
                (tick.fires_ms, tick.local) = (at_ms, rule.local(at_ms));
                tick.moved = waited.or(tick.moved);
            }
            return Some(tick);
        }
        (at_ms, waited) = changes(rule, past, at_ms)?;
    }
    None
}

/// The next ticks, the first of which may be due now, if each begins a rotation that goes well.
#[must_use]
pub fn upcoming(rule: &Rule, past: &Past, now_ms: u64, count: usize) -> Vec<Tick> {
    let (mut past, mut at_ms) = (past.clone(), now_ms);
    let each = std::iter::from_fn(|| {
        let tick = next(rule, &past, at_ms)?;
        at_ms = tick.fires_ms;
        past = Past { last_ms: Some(tick.at_ms), started_ms: Some(at_ms), current_ms: Some(at_ms), ..past };
        Some(tick)
    });
    each.take(count).collect()
}

/// What is in the way now, the most important first.
#[must_use]
pub fn blocked(rule: &Rule, past: &Past, open: Option<&Open>, now_ms: u64) -> Vec<Block> {
    let clock = past.last_ms.max(past.started_ms).filter(|last| *last > now_ms.saturating_add(BEHIND.0));
    let rotation = open.map(|open| match open.stuck {
        true => Block::Stuck { rotation: open.rotation.clone() },
        false => Block::UnderWay { rotation: open.rotation.clone() },
    });
    let dark = rule.dark(now_ms).map(|dark| Block::Blackout { which: dark.which, until_ms: rule.light(dark.until_ms) });
    let held = held(rule, past).filter(|until| *until > now_ms && clock.is_none());
    let blocks =
        [clock.map(|last_ms| Block::Clock { last_ms }), rotation, dark, held.map(|until_ms| Block::Interval { until_ms })];
    blocks.into_iter().flatten().collect()
}

/// The next moment after this one at which something may become due, and what ends then.
fn changes(rule: &Rule, past: &Past, at_ms: u64) -> Option<(u64, Option<Moved>)> {
    if let Some(until_ms) = held(rule, past).filter(|until| *until > at_ms) {
        return Some((until_ms, Some(Moved::Interval)));
    }
    if let Some(dark) = rule.dark(at_ms) {
        return Some((dark.until_ms, Some(Moved::Blackout(dark.which))));
    }
    let old = too_old(rule, past).filter(|old| *old > at_ms);
    let regular = rule.fires_after(at_ms.max(since(past))).map(|(_, fires_ms)| fires_ms);
    [old, regular].into_iter().flatten().min().map(|at_ms| (at_ms, None))
}

/// Nothing at or before this moment is due any more.
fn since(past: &Past) -> u64 {
    past.last_ms.unwrap_or(0).max(past.known_ms)
}

/// The last time that has fired and was not dealt with.
fn last(rule: &Rule, past: &Past, now_ms: u64) -> Option<(Moment, u64)> {
    rule.fired_by(now_ms, since(past))
}

/// Before this moment nothing begins.
fn held(rule: &Rule, past: &Past) -> Option<u64> {
    past.started_ms.map(|started| started.saturating_add(rule.min_interval.0))
}

/// When a rotation is due by age. One that did not help is followed by another, but not at once.
fn too_old(rule: &Rule, past: &Past) -> Option<u64> {
    let old_ms = rule.too_old(past.current_ms?)?;
    let tried = past.last_ms.max(past.started_ms).map(|last| last.saturating_add(AGAIN.0));
    Some(old_ms.max(tried.unwrap_or(0)))
}

fn late(fires_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(fires_ms) > LATE.0
}

fn moved(rule: &Rule, moment: &Moment) -> Option<Moved> {
    match rule.fate(moment) {
        Some(Fate::Fires { dark: Some(dark), .. }) => Some(Moved::Blackout(dark.which)),
        _ if zone::shown(rule.timezone, moment.at_ms) != Some(moment.wall) => {
            Some(Moved::Gap(moment.wall.format("%Y-%m-%d %H:%M").to_string()))
        }
        _ => None,
    }
}

fn tick(rule: &Rule, at_ms: u64, fires_ms: u64, why: Why, moved: Option<Moved>) -> Tick {
    Tick { at_ms, fires_ms, local: rule.local(fires_ms), why, moved }
}
