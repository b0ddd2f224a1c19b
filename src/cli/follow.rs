//! Follows a rotation that runs here: progress, signals, the closing report and the exit status. Used by `rotate`, `resume`,
//! `abort` and `approve`.

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
use super::{out, view};
use crate::engine::{Observer, Rest, Runner, Signal};

/// What shows the progress.
pub(super) enum Show {
    Live(Box<Live>),
    Json(JsonLines),
}

impl Show {
    /// `next` is the number of the next event of the rotation.
    pub(super) fn new(context: &Context, next: u64) -> Self {
        if context.global.json { Self::Json(JsonLines::new(next)) } else { Self::Live(Box::default()) }
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

/// Ctrl-C and SIGTERM stop at a safe boundary; a second one leaves at once, which is safe too but leaves more to look at.
/// To be called before a rotation is begun or taken up: from then on none of the two ends the process as it is.
pub(super) fn listen() -> watch::Receiver<Signal> {
    let (told, signals) = watch::channel(Signal::Run);
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
                out::note("left at once; what was under way is looked up by `handover resume`");
                std::process::exit(i32::from(Exit::Waiting as u8));
            }
            out::note("stopping at the next safe boundary; once more to leave at once");
            if told.send(Signal::Stop).is_err() {
                return;
            }
        }
    });
    signals
}

/// Runs it to its rest and reports.
pub(super) async fn follow(
    context: &Context,
    mut runner: Runner,
    mut show: Show,
    patient: bool,
    mut signals: watch::Receiver<Signal>,
) -> Result<Exit, Failure> {
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
            return Err(error.into());
        }
    };
    let (closing, exit) = match &rest {
        Rest::Ended(Ending::Done) => (Closing::Done, Exit::Done),
        Rest::Ended(Ending::RolledBack) => (Closing::RolledBack, Exit::RolledBack),
        Rest::Ended(Ending::Refused) => (Closing::Refused, Exit::Refused),
        Rest::Stuck => (Closing::Stuck, Exit::Stuck),
        Rest::Waiting { .. } => (Closing::Waiting, Exit::Waiting),
        Rest::Stopped => (Closing::Stopped, Exit::Waiting),
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
