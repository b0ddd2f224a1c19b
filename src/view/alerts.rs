//! The view of leak alerts: a line each, the newest first, with the clock that runs from when it was received.

use handover_rotation::time::{Millis, Span};
use serde_json::{Value, json};

use super::page::Page;
use super::style::Style;
use crate::engine::contained::Contained;

/// How long after an alert was received its moments came; `None` for what has not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    moments: [Option<Span>; 5],
}

/// The moments, in their order.
const NAMES: [&str; 5] = ["first_attempt", "acknowledged", "refused", "all_services_moved", "closed"];

impl Clock {
    /// The clock of an alert, all in milliseconds since the Unix epoch. What a rotation has done before a later alert told of the same
    /// leak counts as done at once.
    #[must_use]
    pub fn new(received_ms: u64, contained: Option<&Contained>, closed_ms: Option<u64>) -> Self {
        let of = |moment: fn(&Contained) -> Option<u64>| contained.and_then(moment);
        let moments = [of(|c| c.first_attempt), of(|c| c.acknowledged), of(|c| c.refused), of(|c| c.moved), closed_ms];
        Self { moments: moments.map(|at| at.map(|at| Span(at.saturating_sub(received_ms)))) }
    }

    /// Seconds by moment, `null` for what has not come.
    #[must_use]
    pub fn json(&self) -> Value {
        let seconds = self.moments.map(|span| span.map(|span| span.0 as f64 / 1000.0));
        NAMES
            .iter()
            .zip(seconds)
            .map(|(name, seconds)| ((*name).to_owned(), json!(seconds)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

/// An alert in a list.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its number.
    pub number: u64,
    /// When it was received.
    pub received: Millis,
    /// Its source.
    pub source: String,
    /// What it is called there.
    pub reference: String,
    /// Where it stands, in a word.
    pub state: &'static str,
    /// The credential that it concerns.
    pub credential: Option<String>,
    /// The rotation that contains it.
    pub rotation: Option<String>,
    /// What was found.
    pub note: String,
    /// When its moments came.
    pub clock: Clock,
}

/// What each moment is called in a line.
const WORDS: [&str; 5] = ["tried", "shut out", "refused", "all services moved", "closed"];

/// The list of alerts, the clock below each, and what is said of those that are not closed.
#[must_use]
pub fn alerts(lines: &[Line], style: Style) -> String {
    let mut page = Page::new(style);
    if lines.is_empty() {
        page.line("no leak alerts yet");
        return page.finish();
    }
    for line in lines {
        let about = line.credential.as_deref().unwrap_or("no credential");
        page.line(&format!("{}  {}  {}  {}  {about}", line.number, style.date(line.received), line.source, line.state));
        let came = WORDS.iter().zip(line.clock.moments).filter_map(|(word, span)| Some((word, span?)));
        let came: Vec<String> = came.map(|(word, span)| format!("{word} after {:.1}s", span.0 as f64 / 1000.0)).collect();
        if !came.is_empty() {
            page.labelled("   ", &came.join(", "));
        }
        if line.state == "closed" {
            continue;
        }
        page.labelled("   ", &line.reference);
        if !line.note.is_empty() {
            page.labelled("   ", &line.note);
        }
        if let Some(rotation) = &line.rotation {
            page.exact(&format!("   next: handover status {rotation}"));
        }
    }
    page.finish()
}

/// An alert as one JSON object.
#[must_use]
pub fn alert_json(line: &Line) -> Value {
    json!({
        "event": "alert",
        "alert": line.number,
        "source": line.source,
        "received_at": line.received,
        "state": line.state,
        "reference": line.reference,
        "credential": line.credential,
        "rotation": line.rotation,
        "note": line.note,
        "seconds": line.clock.json(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Zone;

    fn line(number: u64, state: &'static str, clock: Clock) -> Line {
        Line {
            number,
            received: Millis(1_772_334_724_000),
            source: "gitguardian".to_owned(),
            reference: "3827964\u{1b}[2J".to_owned(),
            state,
            credential: Some("newsletter".to_owned()),
            rotation: Some("newsletter-20260301-031204-ab12".to_owned()),
            note: "it is being shut out".to_owned(),
            clock,
        }
    }

    #[test]
    fn each_alert_shows_how_long_after_it_was_received_what_came() {
        let contained = Contained {
            first_attempt: Some(1_772_334_724_812),
            acknowledged: Some(1_772_334_725_100),
            refused: Some(1_772_334_725_900),
            moved: None,
        };
        let running = Clock::new(1_772_334_724_000, Some(&contained), None);
        // A later alert of the same leak: what was done before it is done at once.
        let later = Clock::new(1_772_334_725_500, Some(&contained), Some(1_772_334_729_500));
        let style = Style { zone: Zone::Utc, ..Style::plain() };
        let text = alerts(&[line(2, "closed", later), line(1, "containing", running)], style);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "2  2026-03-01 03:12:04  gitguardian  closed  newsletter",
                "   tried after 0.0s, shut out after 0.0s, refused after 0.4s, closed after 4.0s",
                "1  2026-03-01 03:12:04  gitguardian  containing  newsletter",
                "   tried after 0.8s, shut out after 1.1s, refused after 1.9s",
                "   3827964\\u{1b}[2J",
                "   it is being shut out",
                "   next: handover status newsletter-20260301-031204-ab12",
            ]
        );
        assert!(!text.contains('\u{1b}'));
        assert_eq!(
            alert_json(&line(1, "containing", running))["seconds"],
            json!({"first_attempt": 0.812, "acknowledged": 1.1, "refused": 1.9, "all_services_moved": null, "closed": null})
        );
    }
}
