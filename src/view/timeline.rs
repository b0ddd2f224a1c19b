//! A timeline drawn in the terminal: a row a step, all on one axis, and marks for the points that matter.

mod axis;

use handover_rotation::time::{Millis, Span};

use super::page::Page;
use super::story::{Bar, BarEnd, MarkKind, Story};
use super::style::{Style, took};

pub use axis::Axis;

/// The most marks that are explained; more would push the rest from the screen.
const MOST_MARKS: usize = 10;
/// The widest label.
const LABEL: usize = 22;

/// The timeline as lines, indented by two.
#[must_use]
pub fn timeline(story: &Story, now: Millis, style: Style) -> String {
    let mut page = Page::new(style);
    draw(&mut page, story, now);
    page.finish()
}

pub(super) fn draw(page: &mut Page, story: &Story, now: Millis) {
    let style = page.style();
    if story.rows.is_empty() {
        page.line("  nothing has begun yet");
        return;
    }
    let label = story.rows.iter().map(|r| r.label.chars().count()).max().unwrap_or(0).min(LABEL);
    // Two of indent, three for the number, the label, and eight for the length.
    let columns = style.width.max(60) - 2 - 3 - label - 2 - 8;
    let axis = Axis::of(story, now, columns);
    for row in &story.rows {
        let number = row.number.map_or_else(String::new, |n| n.to_string());
        let text: String = row.label.chars().take(label).collect();
        let total = Span(row.bars.iter().map(|b| b.to.unwrap_or(axis.to).since(b.from).0).sum());
        let cells = cells(&axis, &row.bars, columns, style);
        let running = if row.bars.iter().any(|b| b.to.is_none()) { "+" } else { "" };
        page.exact(&format!("  {number:>2} {text:<label$} {cells} {:>7}", format!("{}{running}", took(total))));
    }
    marks(page, story, &axis, label, columns);
}

fn cells(axis: &Axis, bars: &[Bar], columns: usize, style: Style) -> String {
    let mut cells = vec![" "; columns];
    for bar in bars {
        let from = axis.column(bar.from, columns);
        let to = axis.column(bar.to.unwrap_or(axis.to), columns).max(from + 1).min(columns);
        let fill = match bar.end {
            BarEnd::Done => style.pick("█", "="),
            BarEnd::Failed => style.pick("█", "="),
            BarEnd::Undone => style.pick("◂", "<"),
            BarEnd::Running => style.pick("▒", "~"),
            BarEnd::Rested => style.pick("·", "."),
        };
        for cell in cells.iter_mut().take(to).skip(from) {
            *cell = fill;
        }
        if bar.end == BarEnd::Failed
            && let Some(cell) = cells.get_mut(to.saturating_sub(1))
        {
            *cell = style.bad();
        }
    }
    cells.concat()
}

fn sign(kind: MarkKind, style: Style) -> &'static str {
    match kind {
        MarkKind::Failure => style.bad(),
        MarkKind::Compromised | MarkKind::Containment => "!",
        MarkKind::NoReturn => style.pick("◆", "#"),
        MarkKind::TakeOver => "+",
        MarkKind::Person => "*",
    }
}

fn marks(page: &mut Page, story: &Story, axis: &Axis, label: usize, columns: usize) {
    let style = page.style();
    let indent = 2 + 3 + label + 1;
    if !story.marks.is_empty() {
        let mut cells = vec![" "; columns];
        for mark in &story.marks {
            cells[axis.column(mark.at, columns)] = sign(mark.kind, style);
        }
        page.exact(&format!("{:indent$}{}", "", cells.concat()));
    }
    let (from, to) = (style.moment(axis.from, axis.from), style.moment(axis.to, axis.from));
    let gap = columns.saturating_sub(from.len() + to.len());
    let rule = style.pick("─", "-").repeat(gap.saturating_sub(2));
    page.exact(&format!("{:indent$}{from} {rule} {to}", ""));
    if !axis.to_scale {
        page.exact(&format!("{:indent$}(not to scale: long stretches are shortened)", ""));
    }
    for mark in story.marks.iter().take(MOST_MARKS) {
        page.labelled(&format!("  {} {}  ", sign(mark.kind, style), style.moment(mark.at, axis.from)), &mark.text);
    }
    if story.marks.len() > MOST_MARKS {
        page.line(&format!("  and {} more marks", story.marks.len() - MOST_MARKS));
    }
}
