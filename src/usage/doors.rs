//! Narrow ways in, for fuzzing.

use chrono_tz::Tz;

pub(crate) use super::dovecot_log::Dovecot as DovecotFormat;
pub(crate) use super::exim_log::Exim as EximFormat;
pub(crate) use super::log::{LogFormat, Said};
pub(crate) use super::postfix_log::Postfix as PostfixFormat;
pub(crate) use super::records::{ses_record, trail_records};
use super::stamp::{Dates, LogZone, split};

/// What a line of a log says, and what of it a format was given; `None` for a line without a time.
pub(crate) fn said_by<F: LogFormat>(line: &str) -> Option<(&str, Said<'_>)> {
    let (_, rest) = split(line)?;
    Some((rest, F::default().said(rest)))
}

/// The moments of the lines of a file that was last written at `anchor_ms`.
pub(crate) fn moments<'l>(lines: impl Iterator<Item = &'l str>, anchor_ms: i64) -> Vec<i64> {
    let mut dates = Dates::new(LogZone::Named(Tz::Australia__Lord_Howe), anchor_ms);
    lines.filter_map(|line| dates.moment(split(line)?.0)).collect()
}
