//! Follows a rotation that runs here: progress, signals, the closing report and the exit status. Used by `rotate`, `resume`,
//! `abort` and `approve`.

use std::sync::{Arc, OnceLock};

use handover_rotation::command::Command;
use handover_rotation::event::{Ending, Event};
use handover_rotation::state::Rotation;
use handover_rotation::time::Millis;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::context::Context;
use super::failure::{Exit, Failure};
use super::live::{JsonLines, Live};
use super::view::line::{Closing, finished_line};
use super::{flags, out, view};
use crate::engine::{Observer, Rest, Runner, Signal};

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
}

/// Ctrl-C and SIGTERM, and what to say when they end the process at once.
pub(super) struct Signals {
    told: watch::Receiver<Signal>,
    leaving: Arc<OnceLock<(String, Exit)>>,
}

/// Ctrl-C and SIGTERM stop at a safe boundary; a second one leaves at once, which is safe too but leaves more to look at.
/// To be called before a rotation is begun or taken up: from then on none of the two ends the process as it is.
pub(super) fn listen(context: &Context) -> Signals {
    let (told, signals) = watch::channel(Signal::Run);
    let leaving = Arc::new(OnceLock::<(String, Exit)>::new());
    let said = Arc::clone(&leaving);
    let early = flags::repeat(&context.global, "left at once; `handover status` says whether anything had begun");
    let caught = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = caught else {
            // Without signal handlers a signal ends the process, which a rotation survives. The channel stays open.
            std::future::pending::<()>().await;
            drop(told);
            return;
        };
        let mut times = 0;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            times += 1;
            if times > 1 {
                let (text, exit) = said.get().map_or((early.as_str(), Exit::Waiting), |(text, exit)| (text, *exit));
                out::note(text);
                std::process::exit(i32::from(exit as u8));
            }
            out::note("stopping at the next safe boundary; once more to leave at once");
            if told.send(Signal::Stop).is_err() {
                return;
            }
        }
    });
    Signals { told: signals, leaving }
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
    mut signals: Signals,
) -> Result<Exit, Failure> {
    let id = &runner.rotation().id;
    let leaving = format!("left at once; what was under way is looked up by `handover resume {id}`");
    let _ = signals.leaving.set((flags::repeat(&context.global, &leaving), left(runner.rotation())));
    let result = runner.run(patient, &mut signals.told, &mut show).await;
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
            return Err(error.into());
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
    if context.global.json {
        context.text(&finished_line(Some(&rotation.id), closing, exit as u8, Some(&rotation), now))?;
        return Ok(exit);
    }
    let events = runner.events().await?;
    if rotation.ended().is_some() {
        context.text(&view::report::report(&rotation, &events, now, out::stdout_style()))?;
    } else {
        context.text(&view::status::status(&rotation, &events, now, None, out::stdout_style()))?;
    }
    Ok(exit)
}
