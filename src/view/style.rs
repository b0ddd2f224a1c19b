//! How text may look: colour, characters, width and the zone of its clock. Given by the caller, never guessed here.

use chrono::{DateTime, Datelike, Local, TimeZone, Utc};
use handover_rotation::time::{Millis, Span};

/// What a terminal, a file or a pipe can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether ANSI colours may be used. Nothing is said by colour alone.
    pub colour: bool,
    /// Whether characters beyond ASCII may be used.
    pub unicode: bool,
    /// Columns.
    pub width: usize,
    /// Whose clock times are shown by.
    pub zone: Zone,
}

/// Whose clock times are shown by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zone {
    /// The clock of this machine.
    #[default]
    Local,
    /// UTC.
    Utc,
}

impl Style {
    /// Without colour, in ASCII, 80 columns: what every place can show.
    #[must_use]
    pub const fn plain() -> Self {
        Self { colour: false, unicode: false, width: 80, zone: Zone::Local }
    }

    /// One of two texts: the first where characters beyond ASCII may be used.
    #[must_use]
    pub const fn pick(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }

    /// The mark of something that is well.
    #[must_use]
    pub const fn ok(self) -> &'static str {
        self.pick("✓", "ok")
    }

    /// The mark of something that is not.
    #[must_use]
    pub const fn bad(self) -> &'static str {
        self.pick("✗", "x")
    }

    /// An arrow from the old to the new.
    #[must_use]
    pub const fn arrow(self) -> &'static str {
        self.pick("→", "->")
    }

    /// The time of day, such as `03:12:04`.
    #[must_use]
    pub fn clock(self, at: Millis) -> String {
        self.format(at, "%H:%M:%S")
    }

    /// Date and time of day, such as `2026-03-01 03:12:04`.
    #[must_use]
    pub fn date(self, at: Millis) -> String {
        self.format(at, "%Y-%m-%d %H:%M:%S")
    }

    /// Date and time of day without seconds.
    #[must_use]
    pub fn minute(self, at: Millis) -> String {
        self.format(at, "%Y-%m-%d %H:%M")
    }

    /// Date, time of day and the zone's offset, such as `2026-03-01 03:12:04 +01:00`.
    #[must_use]
    pub fn full(self, at: Millis) -> String {
        self.format(at, "%Y-%m-%d %H:%M:%S %:z")
    }

    /// The time of day, with its date where that is not the date of `now`.
    #[must_use]
    pub fn moment(self, at: Millis, now: Millis) -> String {
        let day = |t: Millis| self.day(t);
        if day(at) == day(now) { self.clock(at) } else { self.date(at) }
    }

    fn day(self, at: Millis) -> Option<i32> {
        let utc = utc(at)?;
        Some(match self.zone {
            Zone::Utc => utc.num_days_from_ce(),
            Zone::Local => utc.with_timezone(&Local).num_days_from_ce(),
        })
    }

    fn format(self, at: Millis, pattern: &str) -> String {
        let Some(utc) = utc(at) else { return format!("{} ms", at.0) };
        match self.zone {
            Zone::Utc => utc.format(pattern).to_string(),
            Zone::Local => utc.with_timezone(&Local).format(pattern).to_string(),
        }
    }
}

fn utc(at: Millis) -> Option<DateTime<Utc>> {
    Utc.timestamp_millis_opt(i64::try_from(at.0).ok()?).single()
}

/// A length of time as playbooks write it: hours up to two days, so that `24h30m` does not shrink to `1d`.
#[must_use]
pub fn took(span: Span) -> String {
    let minutes = span.0 / 60_000;
    if (1440..2880).contains(&minutes) {
        let rest = if minutes.is_multiple_of(60) { String::new() } else { format!("{}m", minutes % 60) };
        return format!("{}h{rest}", minutes / 60);
    }
    span.to_string()
}

/// Writes characters that could deceive or steer a terminal as escapes: control characters, line breaks, changes of the
/// direction of writing, and characters without width (threat T19).
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_written_as_an_escape() {
        assert_eq!(visible("a\u{1b}[31mb\r\nc"), "a\\u{1b}[31mb\\u{d}\\u{a}c");
        assert_eq!(visible("pay\u{202e}dab"), "pay\\u{202e}dab");
        assert_eq!(visible("\u{61c}b"), "\\u{61c}b");
        assert_eq!(visible("Grüße ✓"), "Grüße ✓");
    }

    #[test]
    fn a_day_is_written_in_hours() {
        assert_eq!(took(Span::minutes(1440)), "24h");
        assert_eq!(took(Span::minutes(1470)), "24h30m");
        assert_eq!(took(Span::minutes(2880)), "2d");
        assert_eq!(took(Span(350)), "350ms");
    }

    #[test]
    fn a_moment_of_another_day_has_its_date() {
        let style = Style { zone: Zone::Utc, ..Style::plain() };
        let now = Millis(1_772_334_724_000);
        assert_eq!(style.moment(now, now), "03:12:04");
        assert_eq!(style.moment(Millis(now.0 - 86_400_000), now), "2026-02-28 03:12:04");
        assert_eq!(style.full(now), "2026-03-01 03:12:04 +00:00");
        assert_eq!(style.clock(Millis(u64::MAX)), "18446744073709551615 ms");
    }
}
