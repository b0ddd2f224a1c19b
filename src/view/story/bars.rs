//! What ran when, as rows of bars: a row a step, one for rolling back, one for rests.

use handover_rotation::event::Event;
use handover_rotation::state::{Phase, Rotation};
use handover_rotation::time::Millis;

/// A row of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The number of the step, from 1; `None` for what is no step.
    pub number: Option<usize>,
    /// What ran.
    pub label: String,
    /// When.
    pub bars: Vec<Bar>,
}

/// One stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// When it began.
    pub from: Millis,
    /// When it ended; `None` while it runs.
    pub to: Option<Millis>,
    /// How it ended.
    pub end: BarEnd,
}

/// How a stretch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarEnd {
    /// It runs.
    Running,
    /// With everything it asked for.
    Done,
    /// It could not go on.
    Failed,
    /// It put things back.
    Undone,
    /// It rested, for a person.
    Rested,
}

const BACK: &str = "roll back";
const REST: &str = "stuck, resting";

pub(super) fn draw(rows: &mut Vec<Row>, before: &Rotation, at: Millis, event: &Event) {
    match event {
        Event::StepStarted { step } => begin_step(rows, before, *step, at),
        Event::StepFinished { .. } => close(rows, at, BarEnd::Done),
        Event::RollbackStarted { .. } => {
            close(rows, at, BarEnd::Failed);
            open(rows, None, BACK, at);
        }
        Event::Stuck { .. } => {
            close(rows, at, BarEnd::Failed);
            open(rows, None, REST, at);
            rest(rows);
        }
        Event::Resumed { .. } | Event::AbortRequested { .. } | Event::Compromised { .. } => {
            if let Phase::Stuck { rolling_back } = before.phase {
                if matches!(event, Event::Compromised { .. }) {
                    return;
                }
                close(rows, at, BarEnd::Rested);
                match (rolling_back && matches!(event, Event::Resumed { .. }), before.step_started) {
                    (true, _) => open(rows, None, BACK, at),
                    (false, Some(_)) => begin_step(rows, before, before.step, at),
                    (false, None) => {}
                }
            }
        }
        Event::Finished { .. } => {
            let end = if before.phase == Phase::RollingBack { BarEnd::Undone } else { BarEnd::Done };
            close(rows, at, end);
        }
        _ => {}
    }
}

/// Leaves out the row of rolling back.
pub(super) fn forget_rollback(rows: &mut Vec<Row>) {
    rows.retain(|row| row.label != BACK);
}

/// The bar under way is a rest.
fn rest(rows: &mut [Row]) {
    rows.iter_mut().flat_map(|row| &mut row.bars).filter(|b| b.to.is_none()).for_each(|b| b.end = BarEnd::Rested);
}

fn begin_step(rows: &mut Vec<Row>, r: &Rotation, step: usize, at: Millis) {
    let label = r.plan.playbook.steps.get(step).map_or_else(|| "?".to_owned(), crate::view::words::step);
    open(rows, Some(step + 1), &label, at);
}

fn open(rows: &mut Vec<Row>, number: Option<usize>, label: &str, at: Millis) {
    let bar = Bar { from: at, to: None, end: BarEnd::Running };
    match rows.iter_mut().find(|row| row.number == number && row.label == label) {
        Some(row) => row.bars.push(bar),
        None => rows.push(Row { number, label: label.to_owned(), bars: vec![bar] }),
    }
}

fn close(rows: &mut [Row], at: Millis, end: BarEnd) {
    for bar in rows.iter_mut().flat_map(|row| &mut row.bars) {
        if bar.to.is_none() {
            bar.to = Some(at);
            bar.end = end;
        }
    }
}
