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
use super::live::{JsonLines, Live, finished_line};
use super::{out, view};
use crate::engine::{Observer, Rest, Runner, Signal};

/// What shows the progress.
pub(super) enum Show {
    Live(Box<Live>),
    Json(JsonLines),
}

impl Show {
    pub(super) fn new(context: &Context) -> Self {
        if context.global.json { Self::Json(JsonLines::new()) } else { Self::Live(Box::new(Live::new(out::style_err()))) }
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
fn listen() -> watch::Receiver<Signal> {
    let (told, signals) = watch::channel(Signal::Run);
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            // Without signal handlers a signal ends the process, which a rotation survives.
            return std::future::pending().await;
        };
        let mut times = 0;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            times += 1;
            if times > 1 {
                out::say("left at once; what was under way is looked up by `handover resume`");
                std::process::exit(i32::from(Exit::Waiting as u8));
            }
            out::say("stopping at the next safe boundary; once more to leave at once");
            if told.send(Signal::Stop).is_err() {
                return;
            }
        }
    });
    signals
}

/// Runs it to its rest and reports.
pub(super) async fn follow(context: &Context, mut runner: Runner, mut show: Show, patient: bool) -> Result<Exit, Failure> {
    let mut signals = listen();
    let result = runner.run(patient, &mut signals, &mut show).await;
    if let Show::Live(live) = &mut show {
        live.finish();
    }
    let rotation = runner.rotation().clone();
    let rest = match result {
        Ok(rest) => rest,
        Err(error) => {
            let id = &rotation.id;
            out::say(&format!(
                "rotation {id} stopped; everything it did is in the journal: `handover resume {id}` looks and goes on"
            ));
            return Err(error.into());
        }
    };
    let (outcome, exit) = match &rest {
        Rest::Ended(Ending::Done) => ("done", Exit::Done),
        Rest::Ended(Ending::RolledBack) => ("rolled-back", Exit::RolledBack),
        Rest::Ended(Ending::Refused) => ("refused", Exit::Refused),
        Rest::Stuck => ("stuck", Exit::Stuck),
        Rest::Waiting { .. } => ("waiting", Exit::Waiting),
        Rest::Stopped => ("stopped", Exit::Waiting),
    };
    let now = runner.now();
    drop(runner);
    let journal = context.journal().await?;
    let rows = journal.load(&rotation.id).await?;
    let events = crate::engine::events(&rows)?;
    if context.global.json {
        out::line(&finished_line(&rotation, outcome, exit as u8));
    } else if rotation.ended().is_some() {
        out::text(&view::report::report(&rotation, &events, out::style()));
    } else {
        out::text(&view::status::status(&rotation, &events, now, None, out::style()));
    }
    Ok(exit)
}
