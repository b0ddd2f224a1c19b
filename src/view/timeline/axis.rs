//! The time axis that all rows of a timeline share: true to scale where that shows every step, otherwise with long stretches
//! shortened.

use std::collections::BTreeSet;

use handover_rotation::time::Millis;

use crate::view::story::Story;

/// A mapping of times to the stretch from 0 to 1.
#[derive(Clone, Debug)]
pub struct Axis {
    /// The left end.
    pub from: Millis,
    /// The right end.
    pub to: Millis,
    /// Whether lengths can be compared by eye.
    pub to_scale: bool,
    points: Vec<(u64, f64)>,
}

impl Axis {
    /// The axis of a story up to `now`, to be drawn on about `columns` columns.
    #[must_use]
    pub fn of(story: &Story, now: Millis, columns: usize) -> Self {
        let from = story.last.started_at;
        let to = if story.ending().is_some() { story.last.at } else { now.max(story.last.at) };
        let bars: Vec<(u64, u64)> =
            story.rows.iter().flat_map(|r| &r.bars).map(|b| (b.from.0, b.to.unwrap_or(to).0)).collect();
        let mut times: BTreeSet<u64> = bars.iter().flat_map(|(a, b)| [*a, *b]).collect();
        times.extend([from.0, to.0]);
        let times: Vec<u64> = times.into_iter().filter(|t| (from.0..=to.0).contains(t)).collect();
        let total = to.since(from).0.max(1);
        let column = total / u64::try_from(columns.max(1)).unwrap_or(1);
        let hidden = bars.iter().filter(|(a, b)| b.saturating_sub(*a) < column).count();
        let to_scale = hidden * 2 <= bars.len();
        #[expect(clippy::cast_precision_loss, reason = "a picture needs no more than 52 bits of milliseconds")]
        let weigh = |span: u64| if to_scale { span as f64 } else { (span as f64 / 200.0).ln_1p() };
        let mut sum = 0.0;
        let mut points = Vec::with_capacity(times.len());
        for (i, time) in times.iter().enumerate() {
            if i > 0 {
                sum += weigh(time - times[i - 1]);
            }
            points.push((*time, sum));
        }
        if sum > 0.0 {
            for point in &mut points {
                point.1 /= sum;
            }
        }
        Self { from, to, to_scale, points }
    }

    /// Where a time stands, from 0 to 1.
    #[must_use]
    pub fn at(&self, time: Millis) -> f64 {
        let right = self.points.partition_point(|(t, _)| *t < time.0);
        let Some(&(t1, p1)) = self.points.get(right) else { return 1.0 };
        let Some(&(t0, p0)) = right.checked_sub(1).and_then(|i| self.points.get(i)) else { return p1.min(0.0) };
        #[expect(clippy::cast_precision_loss, reason = "a picture needs no more than 52 bits of milliseconds")]
        let share = (time.0 - t0) as f64 / (t1 - t0) as f64;
        p0 + (p1 - p0) * share
    }

    /// The column of a time on `columns` columns.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "between 0 and the number of columns"
    )]
    pub fn column(&self, time: Millis, columns: usize) -> usize {
        ((self.at(time) * columns as f64).floor() as usize).min(columns.saturating_sub(1))
    }
}
