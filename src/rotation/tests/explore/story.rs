//! A way to a broken rule, told so that a person can follow it.

use std::fmt::Write as _;

use handover_rotation::model::Answer;
use handover_rotation::plan::Plan;

use super::actions::{Action, State};

/// One line for everything that happened, with where the rotation stood, and at the end what was broken and what was true.
pub(crate) fn story(plan: &Plan, rule: &str, path: Vec<(State, Option<Action>)>) -> String {
    let mut text = String::new();
    for (state, action) in &path {
        let step = state.run.r.current_step().map_or_else(|| "the sweep".to_owned(), ToString::to_string);
        let _ = write!(text, "{:>9}ms  {:?} {step}: ", state.run.now.0 - 1_000_000, state.run.r.phase);
        match action {
            Some(Action::Answer(index, answer)) => {
                let command = state.run.calls.get(*index).map_or_else(String::new, |c| c.command.to_string());
                let _ = match answer {
                    Answer::Well => writeln!(text, "{command}: well"),
                    other => writeln!(text, "{command}: {other:?}  <--"),
                };
            }
            Some(Action::Wait(until)) => {
                let _ = writeln!(text, "waits {}", until.since(state.run.now));
            }
            Some(Action::Land(index)) => {
                let command = state.run.late.get(*index).map_or_else(String::new, |l| l.issued.command.to_string());
                let _ = writeln!(text, "`{command}` of an earlier owner lands  <--");
            }
            Some(other) => {
                let _ = writeln!(text, "{other:?}  <--");
            }
            None => {
                let _ = writeln!(text, "breaks {rule}: {:?}", state.run.wrong());
                let _ = writeln!(text, "what is true: {}", state.run.world.roles(&state.run.r).join(", "));
                if state.run.wrong().is_empty() {
                    let by_itself = rule.contains("by itself");
                    let mut run = state.run.clone();
                    if run.owned && !by_itself {
                        run.die();
                    }
                    run.finish();
                    let who = if by_itself { "it" } else { "a fresh owner" };
                    let _ = writeln!(text, "{who} ends in {:?} with {:?}", run.r.phase, run.wrong());
                    let _ = writeln!(text, "  and then: {}", run.world.roles(&run.r).join(", "));
                }
            }
        }
    }
    let _ = write!(text, "(playbook {}, {:?})", plan.playbook.name, plan.facts.shape);
    text
}
