//! A run in which nothing goes wrong, as the states that it goes through: from each of them things may go wrong.
//!
//! Forth is the plan as it is meant; back is stopped by a person as far on as that is possible, and rolled back.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use handover_rotation::event::{Ending, Event};
use handover_rotation::model::Run;
use handover_rotation::plan::Plan;
use handover_rotation::state::Phase;

use super::Budget;
use super::actions::{Action, State};

/// The states of one run, in order, and what leads from each to the next.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    moves: Vec<(State, String)>,
    /// The states that are started from, by their number.
    from: Vec<usize>,
}

impl Way {
    /// The way forth, and the way back where there is one.
    pub(crate) fn all(plan: &Plan, budget: Budget) -> Vec<Self> {
        let forth = Self::go(State::new(Run::begin(plan).expect("a plan that can begin"), budget));
        let back = (0..forth.len()).rev().find_map(|at| {
            let mut run = forth[at].0.run.clone();
            run.tell(&Event::AbortRequested { by: "someone".into(), reason: None }).ok()?;
            let back = Self::go(State::new(run, budget));
            let ended = back.last()?.0.run.r.phase;
            let mut moves = forth[..at].to_vec();
            moves.push((forth[at].0.clone(), "someone asks to stop".to_owned()));
            moves.extend(back);
            (ended == Phase::Ended(Ending::RolledBack)).then(|| Self::of("on the way back", moves, at + 1))
        });
        let ended = forth.last().map(|(state, _)| state.run.r.phase);
        assert_eq!(ended, Some(Phase::Ended(Ending::Done)), "the way forth comes to its end");
        std::iter::once(Self::of("on the way forth", forth, 0)).chain(back).collect()
    }

    /// Starts from the first of those that are alike: a step that looks again and again is the same each time.
    fn of(name: &'static str, moves: Vec<(State, String)>, first: usize) -> Self {
        let mut seen = BTreeSet::new();
        let is_new = |at: &usize| {
            let (state, what) = &moves[*at];
            let what = if what.starts_with("waits") { "waits" } else { what.as_str() };
            seen.insert((state.run.r.step, format!("{:?} {what}", state.run.r.phase)))
        };
        let from = (first..moves.len()).filter(is_new).collect();
        Self { name, moves, from }
    }

    fn go(mut state: State) -> Vec<(State, String)> {
        let left = state.left;
        let mut moves = Vec::new();
        while let Some(action) = state.well() {
            let what = match &action {
                Action::Answer(..) => state.run.calls.first().map_or_else(String::new, |c| c.command.to_string()),
                Action::Wait(until) => format!("waits {}", until.since(state.run.now)),
                other => format!("{other:?}"),
            };
            let Some(mut next) = state.after(action) else { break };
            // That a person lets it wait is no fault here.
            next.left = left;
            moves.push((std::mem::replace(&mut state, next), what));
        }
        moves.push((state, String::new()));
        moves
    }

    /// The states to start from.
    pub(crate) fn starts(&self) -> impl Iterator<Item = State> + '_ {
        self.from.iter().map(|at| self.moves[*at].0.clone())
    }

    /// What has happened before one of its states, a line for each step.
    pub(crate) fn before(&self, start: &State) -> String {
        let at = self.from.iter().copied().find(|at| self.moves[*at].0 == *start).unwrap_or_default();
        let mut text = format!("starts after {at} moves without faults, {}:", self.name);
        let mut last = None;
        for (state, what) in &self.moves[..at] {
            let here = (state.run.r.phase, state.run.r.step);
            if last != Some(here) {
                let step = state.run.r.current_step().map_or_else(|| "the sweep".to_owned(), ToString::to_string);
                let _ = write!(text, "\n  {:?} {step}: {what}", state.run.r.phase);
            } else {
                let _ = write!(text, "; {what}");
            }
            last = Some(here);
        }
        text.push('\n');
        text
    }
}
