//! Looks at a rotation that the daemon runs, to its rest: its stream of events says that there is something new, the journal says
//! what. It changes nothing: whoever leaves, or loses the daemon, has lost a look and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::StreamExt as _;
use handover_rotation::command::Command;
use handover_rotation::decide::{Decision, Wanted, decide};
use handover_rotation::event::{Ending, Event};
use handover_rotation::name::RotationId;
use handover_rotation::state::{Phase, Rotation};
use handover_rotation::time::Millis;
use tokio::sync::watch;
use tokio::time::Instant;

use super::beside::Beside;
use super::context::{Context, trusted_now};
use super::failure::{Exit, Failure};
use super::follow::Show;
use super::out;
use crate::engine::{LONG_WAIT, Observer, Signal, events, replay};
use crate::journal::{Filter, Journal, JournalError, Kind, Row};
use crate::view;
use crate::view::line::{Closing, finished_line};
use crate::view::standing::is_exposed;

/// How often the journal is looked at where nothing is heard of it.
const LOOK: Duration = Duration::from_secs(2);
/// How long a daemon that has gone is waited for.
const GONE: Duration = Duration::from_secs(10);
/// The stream says at least every 15 seconds that it lives.
const SILENCE: Duration = Duration::from_secs(40);

/// A rotation that the daemon runs.
pub(super) struct Look<'a> {
    pub(super) context: &'a Context,
    pub(super) daemon: &'a Beside,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) id: RotationId,
    /// Sit out long waits.
    pub(super) patient: bool,
}

/// What is known of it.
struct Known {
    rows: Vec<Row>,
    events: Vec<(Millis, Event)>,
    rotation: Rotation,
    holder: Option<String>,
}

impl Look<'_> {
    async fn read(&self) -> Result<Known, Failure> {
        let rows = self.journal.load(&self.id).await?;
        let (events, rotation) = (events(&rows)?, replay(&self.id, &rows)?);
        let only = Filter { id: Some(self.id.clone()), ..Filter::default() };
        let header = self.journal.list(only).await?.into_iter().next();
        let holder = header.and_then(|header| header.holder).map(|holder| holder.to_string());
        Ok(Known { rows, events, rotation, holder })
    }

    /// How it rests, if it does: as the process that runs it would say.
    async fn rest(&self, known: &Known, now: Millis) -> Result<Option<Closing>, JournalError> {
        let r = &known.rotation;
        match r.phase {
            Phase::Ended(Ending::Done) => return Ok(Some(Closing::Done)),
            Phase::Ended(Ending::RolledBack) => return Ok(Some(Closing::RolledBack)),
            Phase::Ended(Ending::Refused) => return Ok(Some(Closing::Refused)),
            _ => {}
        }
        let closing = match decide(r, now) {
            Decision::Rest if matches!(r.phase, Phase::Stuck { .. }) => Closing::Stuck,
            Decision::Act { start, wake, person } if start.is_empty() && r.flights.is_empty() => {
                let end = r.waits_until().filter(|_| r.tries.is_empty()).or(wake);
                let long = person.is_some() || end.is_none_or(|t| t.since(now).0 > LONG_WAIT.0);
                if !long || self.patient || r.must_contain() {
                    return Ok(None);
                }
                Closing::Waiting
            }
            _ => return Ok(None),
        };
        // What was asked of it and is not taken yet will move it on.
        match self.journal.inbox(&self.id).await {
            Ok(asked) => Ok(asked.is_empty().then_some(closing)),
            Err(error) if matches!(error.kind, Kind::Finished | Kind::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Follows it; events up to `seen` are known to whoever looks.
    pub(super) async fn follow(self, seen: usize, mut signals: watch::Receiver<Signal>) -> Result<Exit, Failure> {
        let mut show = Show::new(self.context, seen as u64 + 1);
        let mut shown = Shown { seen, under_way: BTreeSet::new() };
        let mut stream = None;
        let mut gone: Option<Instant> = None;
        let mut caught_up = false;
        loop {
            let known = match self.read().await {
                Ok(known) => known,
                Err(failure) => return Err(self.lost(show, failure)),
            };
            if !caught_up && let Show::Live(live) = &mut show {
                live.catch_up(&known.events[..seen.min(known.events.len())], &known.rotation);
            }
            caught_up = true;
            let now = trusted_now(&known.rotation, &known.rows);
            shown.show(&mut show, &known, now);
            let rest = match self.rest(&known, now).await {
                Ok(rest) => rest,
                Err(error) => return Err(self.lost(show, error.into())),
            };
            if let Some(closing) = rest {
                return self.close(show, &known, closing, now);
            }
            if *signals.borrow_and_update() == Signal::Stop {
                return self.left(show, &known, now);
            }
            if stream.is_none() {
                stream = self.daemon.events(&self.id, known.events.len() as u64).await.map(Body::into_data_stream);
                match (&stream, gone) {
                    (Some(_), Some(_)) => {
                        gone = None;
                        self.context.say("the daemon is back");
                    }
                    (Some(_), None) => {}
                    (None, None) => {
                        gone = Some(Instant::now());
                        self.context.say("the daemon does not answer any more: waiting for it to be back");
                    }
                    (None, Some(since)) if since.elapsed() > GONE => return self.gone(show, &known, now),
                    (None, Some(_)) => {}
                }
            }
            let heard = async {
                let Some(all) = &mut stream else { return tokio::time::sleep(Duration::from_millis(500)).await };
                match tokio::time::timeout(SILENCE, all.next()).await {
                    Ok(Some(Ok(_))) => {}
                    // It has ended, or nothing was heard for too long.
                    Ok(Some(Err(_)) | None) | Err(_) => {
                        stream = None;
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            };
            tokio::select! {
                () = heard => {}
                () = tokio::time::sleep(LOOK) => {}
                // Told again by the next turn; nobody is there to tell where signals are not listened to.
                changed = signals.changed() => if changed.is_err() { std::future::pending().await },
            }
        }
    }

    fn close(&self, mut show: Show, known: &Known, closing: Closing, now: Millis) -> Result<Exit, Failure> {
        if let Show::Live(live) = &mut show {
            live.finish();
        }
        let r = &known.rotation;
        let holder = known.holder.as_deref();
        let exit = match closing {
            Closing::Done => Exit::Done,
            Closing::RolledBack => Exit::RolledBack,
            Closing::Refused => Exit::Refused,
            Closing::Stuck => Exit::Stuck,
            // One with a compromised version that may still be accepted is not safe where nobody is at work on it.
            Closing::Waiting | Closing::Stopped if is_exposed(r, holder) => Exit::Stuck,
            Closing::Waiting | Closing::Stopped => Exit::Waiting,
        };
        if self.context.global.json {
            self.context.report(&finished_line(Some(&r.id), closing, exit as u8, Some(r), now, holder));
        } else if r.ended().is_some() {
            self.context.report(&view::report::report(r, &known.events, now, out::stdout_style()));
        } else {
            self.context.report(&view::status::status(r, &known.events, now, holder, out::stdout_style()));
        }
        Ok(exit)
    }

    fn left(&self, show: Show, known: &Known, now: Millis) -> Result<Exit, Failure> {
        let exit = self.close(show, known, Closing::Waiting, now);
        let id = &self.id;
        self.context.say(&format!(
            "the rotation goes on in the daemon; `handover status {id}` shows it, `handover abort {id}` rolls it back"
        ));
        exit
    }

    fn gone(&self, show: Show, known: &Known, now: Millis) -> Result<Exit, Failure> {
        let exit = self.close(show, known, Closing::Waiting, now);
        let id = &self.id;
        self.context.say(&format!(
            "the daemon has gone; what it did is in the journal, and it goes on with {id} when it is started again, or `handover \
             resume {id}` does"
        ));
        exit
    }

    /// The journal cannot be read: nothing is said of the rotation, which goes on.
    fn lost(&self, mut show: Show, failure: Failure) -> Failure {
        if let Show::Live(live) = &mut show {
            live.finish();
        }
        let id = &self.id;
        self.context.say(&format!("the rotation is left to the daemon; `handover status {id}` shows it"));
        Failure::Stopped(Exit::Waiting, id.clone(), Box::new(failure))
    }
}

/// What was shown.
struct Shown {
    seen: usize,
    under_way: BTreeSet<Command>,
}

impl Shown {
    fn show(&mut self, show: &mut Show, known: &Known, now: Millis) {
        let (r, new) = (&known.rotation, known.events.get(self.seen..).unwrap_or_default());
        if !new.is_empty() {
            show.recorded(new, r);
            self.seen = known.events.len();
        }
        let under_way: BTreeSet<Command> = r.flights.values().map(|flight| flight.command.clone()).collect();
        let fresh: Vec<Command> = under_way.difference(&self.under_way).cloned().collect();
        if !fresh.is_empty() {
            show.started(&fresh, now);
        }
        self.under_way = under_way;
        let wanted: Option<Wanted> = match decide(r, now) {
            Decision::Act { person, .. } => person,
            _ => None,
        };
        show.asked(wanted.as_ref(), r, now);
    }
}
