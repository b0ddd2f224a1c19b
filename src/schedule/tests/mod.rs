//! Tests of schedules: tables by hand, a scan over all minutes that has read the policy and nothing else, and chance.

mod chance;
mod past;
mod policy;
mod restarts;
mod scan;
mod windows;

use chrono::DateTime;
use chrono_tz::Tz;
use handover_rotation::time::Span;

use super::{Blackout, Cron, Past, Rule, Window};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A rule whose rotations may begin as close together as they like.
fn rule(cron: &str, zone: Tz) -> Rule {
    let cron = Cron::parse(cron).unwrap_or_else(|(message, _)| panic!("{message}"));
    Rule { min_interval: Span(0), ..Rule::new("newsletter", cron, zone) }
}

fn blackout(from: &str, to: &str) -> Blackout {
    Blackout { window: Window::parse(from, to).unwrap_or_else(|e| panic!("{from} to {to}: {e:?}")), reason: None }
}

/// A moment such as `2026-03-29 03:00 +02:00`.
#[track_caller]
fn at(text: &str) -> u64 {
    let at = DateTime::parse_from_str(text, "%Y-%m-%d %H:%M %z").unwrap_or_else(|e| panic!("{text}: {e}"));
    u64::try_from(at.timestamp_millis()).expect("after 1970")
}

/// The past of a credential whose last tick was that.
fn since(last_ms: u64) -> Past {
    Past { last_ms: Some(last_ms), ..Past::default() }
}
