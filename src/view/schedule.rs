//! The view of schedules: when each credential is rotated next by itself, and what is in the way.

use handover_rotation::name::{CredentialName, VersionId};
use handover_rotation::time::{Millis, Span};
use serde_json::{Value, json};

use super::page::{Page, Paint, paint, table};
use super::style::{Style, Zone, took};
use crate::config::inventory::Schedule;
use crate::schedule::{Block, Moved, Rule, Tick, Why};

/// The schedule of a credential and what is known of it.
#[derive(Debug)]
pub struct Scheduled<'a> {
    /// The credential.
    pub credential: &'a CredentialName,
    /// Its schedule; a credential without one is rotated by hand.
    pub schedule: Option<&'a Schedule>,
    /// Its current version, if the journal knows.
    pub version: Option<&'a VersionId>,
    /// When that was made.
    pub made: Option<Millis>,
    /// The next ticks.
    pub ticks: Vec<Tick>,
    /// What is in the way now.
    pub blocks: Vec<Block>,
}

/// The table of schedules, in the order given, and below it what a person should know of each.
#[must_use]
pub fn schedules(all: &[Scheduled<'_>], now: Millis, style: Style) -> String {
    let mut page = Page::new(style);
    let (with, without): (Vec<_>, Vec<_>) = all.iter().partition(|s| s.schedule.is_some());
    if with.is_empty() {
        page.line("nothing is rotated by itself: no credential has a schedule");
        page.line("hint: give a credential a `schedule` in the inventory; see `inventory/example.yaml`");
        return page.finish();
    }
    let rows = with.iter().flat_map(|s| rows(s, now));
    let head = ["credential", "playbook", "age", "zone", "next", "in UTC"];
    page.block(0, &table(&head, rows, style.width, &[]));
    for scheduled in &with {
        notes(&mut page, scheduled, now);
    }
    if !without.is_empty() {
        let names: Vec<&str> = without.iter().map(|s| s.credential.as_str()).collect();
        page.gap();
        page.labelled("without a schedule: ", &names.join(", "));
    }
    page.finish()
}

fn rows(scheduled: &Scheduled<'_>, now: Millis) -> Vec<Vec<String>> {
    let Some(schedule) = scheduled.schedule else { return Vec::new() };
    let age = scheduled.made.map_or("?".to_owned(), |made| age(made, now));
    let mut rows: Vec<Vec<String>> = scheduled
        .ticks
        .iter()
        .map(|tick| {
            let utc = if tick.fires_ms <= now.0 { String::new() } else { utc(tick.fires_ms) };
            row(when(tick, now).to_owned(), utc)
        })
        .collect();
    if rows.is_empty() {
        rows.push(row("never".to_owned(), String::new()));
    }
    let zone = schedule.rule.timezone.name().to_owned();
    rows[0].splice(..4, [scheduled.credential.to_string(), schedule.playbook.clone(), age, zone]);
    rows
}

/// A row under that of a credential.
fn row(next: String, utc: String) -> Vec<String> {
    vec![String::new(), String::new(), String::new(), String::new(), next, utc]
}

/// When a tick fires, by the clock of its zone.
fn when(tick: &Tick, now: Millis) -> &str {
    if tick.fires_ms <= now.0 { "due" } else { minute(&tick.local) }
}

/// What the table has no room for.
fn notes(page: &mut Page, scheduled: &Scheduled<'_>, now: Millis) {
    let Some(schedule) = scheduled.schedule else { return };
    let rule = &schedule.rule;
    let blocks = scheduled.blocks.iter().map(|block| (true, blocked(rule, block)));
    let ticks = scheduled.ticks.iter().filter_map(|tick| Some((false, told(rule, tick, now)?)));
    let unknown = rule.max_age.filter(|_| scheduled.made.is_none()).map(|most| {
        (
            false,
            format!("its age is not known: no rotation of this journal made its version, so `max_age` {most} waits for one"),
        )
    });
    let lines: Vec<(bool, String)> = blocks.chain(ticks).chain(unknown).collect();
    if lines.is_empty() {
        return;
    }
    page.heading(scheduled.credential.as_str());
    for (blocks, line) in lines {
        match blocks {
            true => page.labelled("  ", &format!("{} {line}", paint(Paint::Yellow, "BLOCKED"))),
            false => page.labelled("  ", &line),
        }
    }
}

/// What is in the way, after "blocked".
fn blocked(rule: &Rule, block: &Block) -> String {
    match block {
        Block::Clock { last_ms } => {
            let local = rule.local(*last_ms);
            format!("by the clock: the journal knows of {} already, and nothing begins before that", minute(&local))
        }
        Block::Stuck { rotation } => format!("by rotation {rotation}, which is stuck: see `handover status {rotation}`"),
        Block::UnderWay { rotation } => format!("by rotation {rotation}, which is under way"),
        Block::Blackout { which, until_ms } => {
            let until = until_ms.map_or("for ever".to_owned(), |until| format!("until {}", minute(&rule.local(until))));
            format!("{until} by the blackout {}", window(rule, *which))
        }
        Block::Interval { until_ms } => {
            let until = rule.local(*until_ms);
            format!("until {}: rotations begin at least {} apart", minute(&until), rule.min_interval)
        }
    }
}

/// What is unusual about a tick.
fn told(rule: &Rule, tick: &Tick, now: Millis) -> Option<String> {
    let (when, name) = (when(tick, now), rule.local(tick.at_ms));
    match (&tick.why, &tick.moved) {
        (Why::TooOld, _) => {
            let most = rule.max_age.map(|most| most.to_string()).unwrap_or_default();
            Some(format!("{when}: its version is older than {most}{}", if tick.fires_ms <= now.0 { "" } else { " by then" }))
        }
        (Why::CaughtUp, _) => Some(format!("{when}: to make up for what was missed, last at {}", minute(&name))),
        (Why::Regular, Some(Moved::Gap(wall))) => Some(format!("{when}: instead of {wall}, which the clock leaves out")),
        (Why::Regular, Some(Moved::Blackout(which))) => {
            Some(format!("{when}: for {}, after the blackout {}", minute(&name), window(rule, *which)))
        }
        (Why::Regular, Some(Moved::Interval)) => {
            Some(format!("{when}: for {}, {} after the rotation before", minute(&name), rule.min_interval))
        }
        (Why::Regular, None) => None,
    }
}

fn window(rule: &Rule, which: usize) -> String {
    rule.blackouts.get(which).map(ToString::to_string).unwrap_or_default()
}

/// A moment of a rule without its seconds and its offset.
fn minute(local: &str) -> &str {
    local.get(..16).unwrap_or(local)
}

fn utc(at_ms: u64) -> String {
    Style { zone: Zone::Utc, ..Style::plain() }.minute(Millis(at_ms))
}

fn age(made: Millis, now: Millis) -> String {
    match now.since(made).0 / 60_000 {
        0 => "0m".to_owned(),
        minutes => took(Span::minutes(minutes)),
    }
}

/// The schedule of one credential as one JSON object.
#[must_use]
pub fn schedule_json(scheduled: &Scheduled<'_>, now: Millis) -> Value {
    let Some(schedule) = scheduled.schedule else {
        return json!({ "credential": scheduled.credential, "schedule": null });
    };
    let rule = &schedule.rule;
    let next = scheduled.ticks.iter().map(|tick| {
        let moved = tick.moved.as_ref().map(|moved| match moved {
            Moved::Gap(wall) => json!({ "by": "gap", "wall": wall }),
            Moved::Blackout(which) => json!({ "by": "blackout", "window": window(rule, *which) }),
            Moved::Interval => json!({ "by": "interval" }),
        });
        let why = match tick.why {
            Why::Regular => "regular",
            Why::CaughtUp => "caught-up",
            Why::TooOld => "too-old",
        };
        json!({
            "tick_ms": tick.at_ms,
            "at_ms": tick.fires_ms,
            "local": tick.local,
            "utc": Style { zone: Zone::Utc, ..Style::plain() }.date(Millis(tick.fires_ms)),
            "why": why,
            "moved": moved,
        })
    });
    let blocked = scheduled.blocks.iter().map(|block| match block {
        Block::Clock { last_ms } => json!({ "by": "clock", "last_ms": last_ms }),
        Block::Stuck { rotation } => json!({ "by": "stuck", "rotation": rotation }),
        Block::UnderWay { rotation } => json!({ "by": "under-way", "rotation": rotation }),
        Block::Blackout { which, until_ms } => {
            json!({ "by": "blackout", "window": window(rule, *which), "until_ms": until_ms })
        }
        Block::Interval { until_ms } => json!({ "by": "interval", "until_ms": until_ms }),
    });
    json!({
        "credential": scheduled.credential,
        "schedule": { "playbook": schedule.playbook, "cron": rule.cron.text(), "timezone": rule.timezone.name() },
        "version": scheduled.version,
        "age_ms": scheduled.made.map(|made| now.since(made)),
        "max_age_ms": rule.max_age,
        "next": next.collect::<Vec<_>>(),
        "blocked": blocked.collect::<Vec<_>>(),
    })
}
