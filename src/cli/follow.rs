//! Follows a rotation that runs here: progress, signals, the closing report and the exit status. Used by `rotate`, `resume`,
//! `abort` and `approve`.

use handover_rotation::command::Command;
use handover_rotation::decide::Wanted;
use handover_rotation::event::{Ending, Event};
use handover_rotation::state::Rotation;
use handover_rotation::time::Millis;
use tokio::sync::watch;

use super::context::Context;
use super::failure::{Exit, Failure};
use super::live::{JsonLines, Live};
use super::out;
use crate::engine::{Observer, Rest, Runner, Signal};
use crate::view;
use crate::view::line::{Closing, finished_line};

/// What shows the progress.
pub(super) enum Show {
    Live(Box<Live>),
    Json(JsonLines),
}

impl Show {
    /// `next` is the number of the next event of the rotation.
    pub(super) fn new(context: &Context, next: u64) -> Self {
        if context.global.json {
            Self::Json(JsonLines::new(next))
        } else {
            Self::Live(Box::new(Live::new().repeating(&context.global)))
        }
    }

    /// For a rotation that was taken up: what was before is known, and not shown again.
    pub(super) async fn resumed(context: &Context, runner: &Runner) -> Result<Self, Failure> {
        let mut show = Self::new(context, runner.next_seq());
        if let Self::Live(live) = &mut show {
            live.catch_up(&runner.events().await?, runner.rotation());
        }
        Ok(show)
    }

    /// Shows the first events of a rotation that was begun before anyone looked.
    pub(super) async fn begun(&mut self, runner: &Runner) -> Result<(), Failure> {
        let events = runner.events().await?;
        self.recorded(&events, runner.rotation());
        Ok(())
    }
}

impl Observer for Show {
    fn recorded(&mut self, events: &[(Millis, Event)], rotation: &Rotation) {
        match self {
            Self::Live(live) => live.recorded(events, rotation),
            Self::Json(json) => json.recorded(events, rotation),
        }
    }

    fn started(&mut self, commands: &[Command], now: Millis) {
        if let Self::Live(live) = self {
            live.started(commands, now);
        }
    }

    fn asked(&mut self, wanted: Option<&Wanted>, rotation: &Rotation, now: Millis) {
        // A gate is a step of its own, and shown as one.
        let command = wanted.and_then(|w| if let Wanted::Task(command) = w { Some(command) } else { None });
        match self {
            Self::Live(live) => live.asked(command, rotation, now),
            Self::Json(json) => json.asked(command, rotation, now),
        }
    }
}

/// The exit status of whoever leaves a rotation as it stands: one with a compromised version that may still be accepted is not
/// safe, and needs a person.
fn left(rotation: &Rotation) -> Exit {
    if rotation.must_contain() { Exit::Stuck } else { Exit::Waiting }
}

/// Runs it to its rest and reports.
pub(super) async fn follow(
    context: &Context,
    mut runner: Runner,
    mut show: Show,
    patient: bool,
    mut signals: watch::Receiver<Signal>,
) -> Result<Exit, Failure> {
    let id = &runner.rotation().id;
    let leaving = format!("left at once; what was under way is looked up by `handover resume {id}`");
    context.leaving(&leaving, left(runner.rotation()));
    let result = runner.run(patient, &mut signals, &mut show).await;
    if let Show::Live(live) = &mut show {
        live.finish();
    }
    let rotation = runner.rotation().clone();
    let rest = match result {
        Ok(rest) => rest,
        Err(error) => {
            let id = &rotation.id;
            context.say(&format!(
                "rotation {id} stopped; everything it did is in the journal: `handover resume {id}` looks and goes on"
            ));
            let failure = Failure::from(error);
            let exit = match failure.exit() {
                // Nobody is at work on it any more: what may still be accepted needs a person.
                _ if rotation.must_contain() => Exit::Stuck,
                // Refused is what has changed nothing.
                Exit::Refused if rotation.has_changed_anything() => Exit::Error,
                exit => exit,
            };
            return Err(Failure::Stopped(exit, rotation.id, Box::new(failure)));
        }
    };
    let (closing, exit) = match &rest {
        Rest::Ended(Ending::Done) => (Closing::Done, Exit::Done),
        Rest::Ended(Ending::RolledBack) => (Closing::RolledBack, Exit::RolledBack),
        Rest::Ended(Ending::Refused) => (Closing::Refused, Exit::Refused),
        Rest::Stuck => (Closing::Stuck, Exit::Stuck),
        Rest::Waiting { .. } => (Closing::Waiting, left(&rotation)),
        Rest::Stopped => (Closing::Stopped, left(&rotation)),
    };
    let now = runner.now();
    let warnings = runner.warnings().await;
    if context.global.json {
        for warning in warnings {
            context.report(&serde_json::json!({"event": "warning", "text": warning}).to_string());
        }
        super::used::ask(context, &rotation).await;
        context.report(&finished_line(Some(&rotation.id), closing, exit as u8, Some(&rotation), now, None));
        return Ok(exit);
    }
    let events = runner.events().await?;
    if rotation.ended().is_some() {
        let mut report = view::report::report(&rotation, &events, now, out::stdout_style());
        for warning in warnings {
            report += &format!("WARNING: {}\n", view::style::visible(&warning));
        }
        context.report(&report);
        super::used::ask(context, &rotation).await;
    } else {
        context.report(&view::status::status(&rotation, &events, now, None, out::stdout_style()));
    }
    Ok(exit)
}
