//! The timeline as a picture: the places of its bars and marks; the template draws them.

use handover_rotation::time::{Millis, Span};

use crate::view::story::{BarEnd, MarkKind, Story};
use crate::view::style::{Style, took, visible};
use crate::view::timeline::Axis;

const LEFT: f64 = 190.0;
const WIDTH: f64 = 690.0;
const ROW: f64 = 22.0;
const TOP: f64 = 8.0;

/// What the template draws.
#[derive(Debug, Default)]
pub(super) struct Picture {
    pub(super) height: String,
    pub(super) bottom: String,
    pub(super) text_y: String,
    pub(super) mark_y: String,
    pub(super) rows: Vec<PictureRow>,
    pub(super) marks: Vec<PictureMark>,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) note: &'static str,
}

#[derive(Debug)]
pub(super) struct PictureRow {
    pub(super) y: String,
    pub(super) text_y: String,
    pub(super) label: String,
    pub(super) total: String,
    pub(super) bars: Vec<PictureBar>,
}

#[derive(Debug)]
pub(super) struct PictureBar {
    pub(super) x: String,
    pub(super) width: String,
    pub(super) class: &'static str,
    pub(super) title: String,
}

#[derive(Debug)]
pub(super) struct PictureMark {
    pub(super) x: String,
    pub(super) label_x: String,
    pub(super) number: usize,
    pub(super) class: &'static str,
    pub(super) at: String,
    pub(super) text: String,
}

impl Picture {
    pub(super) fn of(story: &Story, now: Millis, style: Style) -> Self {
        let axis = Axis::of(story, now, 230);
        let x = |at: Millis| LEFT + axis.at(at) * WIDTH;
        let mut y = TOP;
        let mut rows = Vec::new();
        for row in &story.rows {
            let total: u64 = row.bars.iter().map(|b| b.to.unwrap_or(axis.to).since(b.from).0).sum();
            let bars = row.bars.iter().map(|bar| {
                let to = bar.to.unwrap_or(axis.to);
                let class = match bar.end {
                    BarEnd::Running => "running",
                    BarEnd::Done => "done",
                    BarEnd::Failed => "failed",
                    BarEnd::Undone => "undone",
                    BarEnd::Rested => "rested",
                };
                let title = format!("{} to {}, {}", style.full(bar.from), style.full(to), to.since(bar.from));
                PictureBar { x: px(x(bar.from)), width: px((x(to) - x(bar.from)).max(3.0)), class, title }
            });
            let number = row.number.map_or_else(String::new, |n| format!("{n}. "));
            rows.push(PictureRow {
                y: px(y),
                text_y: px(y + 12.0),
                label: short(&visible(&format!("{number}{}", row.label))),
                total: took(Span(total)),
                bars: bars.collect(),
            });
            y += ROW;
        }
        let mut label = 0.0_f64;
        let marks = story.marks.iter().enumerate().map(|(i, mark)| PictureMark {
            x: px(x(mark.at)),
            label_x: {
                // Numbers of marks close to each other stand side by side.
                label = x(mark.at).max(label + 12.0);
                px(label)
            },
            number: i + 1,
            class: match mark.kind {
                MarkKind::Failure | MarkKind::Compromised | MarkKind::Containment => "bad",
                MarkKind::NoReturn => "warn",
                MarkKind::TakeOver | MarkKind::Person => "plain",
            },
            at: style.full(mark.at),
            text: visible(&mark.text),
        });
        Self {
            height: px(y + 44.0),
            bottom: px(y + 4.0),
            text_y: px(y + 36.0),
            mark_y: px(y + 17.0),
            rows,
            marks: marks.collect(),
            from: style.clock(axis.from),
            to: style.clock(axis.to),
            note: if axis.to_scale { "" } else { "not to scale: long stretches are shortened" },
        }
    }
}

/// What fits to the left of the bars.
fn short(label: &str) -> String {
    const MOST: usize = 26;
    if label.chars().count() <= MOST {
        return label.to_owned();
    }
    label.chars().take(MOST - 1).chain(['…']).collect()
}

fn px(value: f64) -> String {
    format!("{value:.1}")
}
