//! One rotation: where it stands and what is safe to do first, then its steps, then what is known, then what happened. A script asks
//! for the page again when something has happened; without it, the browser does so from time to time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::sse::{Event as Sse, KeepAlive, Sse as Stream};
use axum::response::{IntoResponse, Response};
use handover_rotation::event::Event;
use handover_rotation::name::RotationId;
use handover_rotation::state::{Phase, Rotation};
use handover_rotation::time::Millis;
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::super::Api;
use super::super::call::{Call, Trouble};
use super::super::rotations::now as now_of;
use super::super::serve::Peer;
use super::guard::visitor;
use super::home::State;
use super::parts::{Frame, Moment, STYLE_OF_PAGES, page};
use crate::daemon::news::News;
use crate::engine::{events, replay};
use crate::journal::Filter;
use crate::view::line::{Doubts, lines};
use crate::view::report::headline;
use crate::view::status::status_json;
use crate::view::story::{Bar, BarEnd, Story};
use crate::view::style::{Zone, took};
use crate::view::{acts, html, words};

/// The most lines of what happened that are shown.
const LINES: usize = 200;
/// How often a stream looks by itself, at the rotation and at whether its session is still open.
const LOOK: Duration = Duration::from_secs(2);
/// A burst of events is one renewal.
const PAUSE: Duration = Duration::from_millis(400);

struct Step {
    number: String,
    name: String,
    state: State,
    from: String,
    took: String,
}

#[derive(Template)]
#[template(path = "rotation.page")]
struct Shown {
    frame: Frame,
    id: String,
    credential: String,
    state: State,
    headline: String,
    waits: String,
    until: Option<Moment>,
    next: String,
    next_command: String,
    undo: String,
    asked: Vec<(&'static str, String)>,
    failure: String,
    failure_hint: String,
    failure_code: String,
    todo: Vec<String>,
    safe: Vec<String>,
    not_safe: Vec<String>,
    can: Vec<(&'static str, &'static str, bool)>,
    facts: Vec<(&'static str, String)>,
    began: Moment,
    last: Moment,
    steps: Vec<Step>,
    picture: String,
    marks: Vec<(String, String)>,
    versions: Vec<[String; 4]>,
    entries: Vec<[String; 2]>,
    services: Vec<[String; 3]>,
    happened: Vec<(String, Vec<String>)>,
    earlier: usize,
    over: bool,
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(String::new, ToOwned::to_owned)
}

/// Where it stands, in the words of `status`.
fn state(status: &Value) -> State {
    let phase = status["phase"].as_str().unwrap_or_default();
    let (tone, sign, word) = match (status["standing"].as_str().unwrap_or_default(), phase) {
        ("not-shut-out", _) => ("bad", "✗", "NOT SHUT OUT".to_owned()),
        ("stuck", _) => ("bad", "✗", "STUCK".to_owned()),
        ("waiting", _) => ("warn", "?", "WAITING".to_owned()),
        ("stopped", _) => ("warn", "‖", "STOPPED".to_owned()),
        ("ended", "done") => ("good", "✓", "DONE".to_owned()),
        (_, "rolling-back" | "rolled-back" | "refused") => ("warn", "↩", phase.replace('-', " ").to_uppercase()),
        (_, "containing") => ("bad", "▸", "CONTAINING".to_owned()),
        _ => ("busy", "▸", phase.replace('-', " ").to_uppercase()),
    };
    State { tone, sign, word }
}

/// What is next, without the command that does it at a terminal.
fn next(advice: &Value) -> String {
    let verb = match advice["command"].as_str().and_then(|command| command.split(' ').nth(1)) {
        Some("resume") => "resume it",
        Some("approve") => "approve it",
        Some("rotate") => "rotate again",
        Some("supply") => "hand the new login over",
        Some("done") => "say that it is done",
        _ => return text(&advice["text"]),
    };
    match advice["text"].as_str() {
        None | Some("") => verb.to_owned(),
        Some(why) => format!("{verb} ({why})"),
    }
}

/// In a line: the step while it goes forward, else what the report says.
fn in_a_line(r: &Rotation) -> String {
    let line = headline(r);
    let line = line.split_once("  ").map_or(line.as_str(), |(_, rest)| rest);
    match (r.phase, r.current_step()) {
        (Phase::Forward, Some(step)) => {
            let versions = line.split_once("; ").map_or("", |(_, rest)| rest);
            let of = r.plan.playbook.steps.len();
            format!("step {} of {of}, {}; {versions}", r.step + 1, words::step(step))
        }
        _ => line.to_owned(),
    }
}

fn steps(r: &Rotation, story: Option<&Story>, now: Millis) -> Vec<Step> {
    let row = |number: Option<usize>, name: String, bars: &[Bar]| {
        let (tone, sign, word) = match bars.last().map(|bar| bar.end) {
            None if r.ended().is_some() => ("plain", "–", "not reached"),
            None => ("plain", "·", "to come"),
            Some(BarEnd::Running) => ("busy", "▸", "now"),
            Some(BarEnd::Done) => ("good", "✓", "done"),
            Some(BarEnd::Failed) => ("bad", "✗", "failed"),
            Some(BarEnd::Undone) => ("warn", "↩", "put back"),
            Some(BarEnd::Rested) => ("warn", "‖", "rested"),
        };
        let sum: u64 = bars.iter().map(|bar| bar.to.unwrap_or(now).since(bar.from).0).sum();
        Step {
            number: number.map_or_else(String::new, |n| n.to_string()),
            name,
            state: State { tone, sign, word: word.to_owned() },
            from: bars.first().map(|bar| STYLE_OF_PAGES.date(bar.from)).unwrap_or_default(),
            took: if bars.is_empty() { String::new() } else { took(handover_rotation::time::Span(sum)) },
        }
    };
    let rows = story.map(|story| story.rows.as_slice()).unwrap_or_default();
    let planned = r.plan.playbook.steps.iter().enumerate().map(|(i, step)| {
        let bars = rows.iter().find(|row| row.number == Some(i + 1)).map(|row| row.bars.as_slice()).unwrap_or_default();
        row(Some(i + 1), words::step(step), bars)
    });
    let others = rows.iter().filter(|r| r.number.is_none()).map(|r| row(None, r.label.clone(), &r.bars));
    planned.chain(others).collect()
}

/// What happened, the newest first, and how many lines are left out.
fn happened(all: &[(Millis, Event)]) -> (Vec<(String, Vec<String>)>, usize) {
    let (mut state, mut doubts, mut told) = (None::<Rotation>, Doubts::default(), Vec::new());
    for (at, event) in all {
        let before = state.take();
        let after = match before.clone() {
            None => Rotation::begin(*at, event).ok(),
            Some(mut rotation) => rotation.apply(*at, event).is_ok().then_some(rotation),
        };
        let Some(after) = after else { break };
        let mut of_it = lines(event, *at, &after, STYLE_OF_PAGES);
        of_it.extend(before.map(|before| doubts.lines(&before, &after, event, STYLE_OF_PAGES)).unwrap_or_default());
        if !of_it.is_empty() {
            told.push((STYLE_OF_PAGES.date(*at), of_it));
        }
        state = Some(after);
    }
    let earlier = told.len().saturating_sub(LINES);
    told.reverse();
    told.truncate(LINES);
    (told, earlier)
}

fn asked(status: &Value) -> Vec<(&'static str, String)> {
    let asked = &status["asked"];
    [
        ("what", "action"),
        ("service", "service"),
        ("owner", "owner"),
        ("account", "account"),
        ("provider", "provider"),
        ("login", "username"),
        ("where", "console"),
        ("how", "instructions"),
        ("again", "again"),
        ("then run", "command"),
    ]
    .into_iter()
    .filter_map(|(label, key)| Some((label, asked[key].as_str()?.to_owned())))
    .collect()
}

fn yes(value: &Value) -> String {
    if value.as_bool() == Some(true) { "✓ yes" } else { "not yet" }.to_owned()
}

fn facts(r: &Rotation, story: Option<&Story>) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("playbook", r.plan.playbook.name.clone()),
        ("provider", format!("{} ({}), account {}", r.plan.provider, r.plan.facts.kind, r.plan.account)),
        ("server", r.plan.smtp.clone()),
    ];
    if let Some(story) = story {
        facts.push(("begun by", story.by.clone()));
        facts.extend(story.reason.clone().map(|reason| ("reason", reason)));
        for (_, step, by) in &story.approvals {
            facts.push(("approved", format!("step {} by {by}", step + 1)));
        }
        facts.push(("plan", story.plan_hash.clone()));
    }
    facts
}

impl Shown {
    fn of(
        frame: Frame,
        r: &Rotation,
        all: &[(Millis, Event)],
        now: Millis,
        holder: Option<&str>,
    ) -> Result<Self, askama::Error> {
        let status = status_json(r, all, now, holder);
        let story = Story::of(all);
        let moment = |at: Millis| Moment::of(at.0, now.0);
        let can = [
            (frame.approves() && acts::can_approve(r), ("approve", "Approve", false)),
            (frame.operates() && acts::can_resume(r), ("resume", "Resume", false)),
            (frame.operates() && acts::can_abort(r), ("abort", "Abort", true)),
        ];
        let (happened, earlier) = happened(all);
        let row = |value: &Value, keys: [&str; 4]| keys.map(|key| value[key].as_str().unwrap_or("–").replace('-', " "));
        let versions = status["versions"].as_array().into_iter().flatten().map(|v| {
            let [slot, .., live] = row(v, ["slot", "slot", "slot", "state"]);
            let login = match v["last_login"]["accepted"].as_bool() {
                Some(true) => "accepted",
                Some(false) => "refused",
                None => "not tried",
            };
            let leaked = if v["compromised"].as_bool() == Some(true) { ", COMPROMISED" } else { "" };
            [slot, v["id"].as_str().unwrap_or("not made yet").to_owned(), format!("{live}{leaked}"), login.to_owned()]
        });
        Ok(Self {
            id: r.id.to_string(),
            credential: r.plan.credential.to_string(),
            state: state(&status),
            headline: in_a_line(r),
            waits: strings(&status["waiting"]["for"]).join("; "),
            until: status["waiting"]["until"].as_u64().map(|at| moment(Millis(at))),
            next: next(&status["next"]),
            next_command: text(&status["next"]["command"]),
            undo: status["undo"]["command"].as_str().map_or_else(|| text(&status["undo"]["text"]), ToOwned::to_owned),
            asked: asked(&status),
            failure: r.failure.as_ref().map(|f| f.fault.message.clone()).unwrap_or_default(),
            failure_hint: r.failure.as_ref().and_then(|f| f.fault.hint.clone()).unwrap_or_default(),
            failure_code: r.failure.as_ref().map(|f| f.fault.code.clone()).unwrap_or_default(),
            todo: strings(&status["todo"]),
            safe: strings(&status["safe_now"]),
            not_safe: strings(&status["not_safe"]),
            can: can.into_iter().filter_map(|(may, act)| may.then_some(act)).collect(),
            facts: facts(r, story.as_ref()),
            began: moment(r.started_at),
            last: moment(r.at),
            steps: steps(r, story.as_ref(), now),
            picture: story.as_ref().map_or_else(|| Ok(String::new()), |story| html::picture(story, now, Zone::Utc))?,
            marks: story
                .iter()
                .flat_map(|story| &story.marks)
                .map(|mark| (STYLE_OF_PAGES.date(mark.at), mark.text.clone()))
                .collect(),
            versions: versions.collect(),
            entries: status["entries"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|e| [text(&e["entry"]), e["holds"].as_str().unwrap_or("not known").to_owned()])
                .collect(),
            services: status["services"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|s| [text(&s["service"]), s["presents"].as_str().unwrap_or("not known").to_owned(), yes(&s["proven"])])
                .collect(),
            happened,
            earlier,
            over: r.ended().is_some(),
            frame,
        })
    }
}

pub(in super::super) async fn rotation(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let id = call.rotation()?;
    let journal = &api.desk.engine.journal;
    let header = journal.list(Filter { id: Some(id.clone()), ..Filter::default() }).await?.into_iter().next();
    let Some(header) = header else { return Err(Trouble::missing("rotation")) };
    let rows = journal.load(&id).await?;
    let r = replay(&id, &rows)?;
    let now = now_of(&api, &r, &rows).max(r.at);
    let frame = Frame::of(&call, format!("{} {}", words::phase_text(&r), r.plan.credential), api.desk.wall_ms());
    let holder = header.holder.as_ref().map(ToString::to_string);
    let shown = Shown::of(frame, &r, &events(&rows)?, now, holder.as_deref());
    let shown =
        shown.map_err(|_| Trouble::new(StatusCode::INTERNAL_SERVER_ERROR, "HO1039", "the page cannot be written"))?;
    page(StatusCode::OK, &shown)
}

/// Where a stream of renewals is.
struct Place {
    api: Arc<Api>,
    call: Call,
    id: RotationId,
    seen: Option<u64>,
    news: Receiver<News>,
    over: bool,
}

impl Place {
    /// How many events there are, and whether it has ended; nothing where whoever watches may not any more.
    async fn look(&self) -> Option<(u64, bool)> {
        let peer = if self.call.visit.as_ref()?.session.is_some() { Peer::Network } else { Peer::User(0) };
        visitor(&self.api, &peer, &self.call.headers).await.ok()??;
        let filter = Filter { id: Some(self.id.clone()), ..Filter::default() };
        let header = self.api.desk.engine.journal.list(filter).await.ok()?.into_iter().next()?;
        Some((header.seq, header.finished))
    }

    async fn wait(&mut self) {
        let id = self.id.clone();
        let heard = async {
            loop {
                match self.news.recv().await {
                    Ok(News::Recorded { rotation, .. }) if rotation.id == id => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                }
            }
        };
        if tokio::time::timeout(LOOK, heard).await.is_ok() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn next(mut self) -> Option<(Result<Sse, Infallible>, Self)> {
        loop {
            if self.over {
                return None;
            }
            let (seq, finished) = self.look().await?;
            self.over = finished;
            let before = self.seen.replace(seq);
            // The page may be older than the stream: the first look is told of as well.
            if finished || before != Some(seq) {
                let name = if finished { "over" } else { "more" };
                return Some((Ok(Sse::default().event(name).data(seq.to_string())), self));
            }
            self.wait().await;
        }
    }
}

/// Says when something has happened, until it has ended or the session has.
pub(in super::super) async fn watch(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let (id, news) = (call.rotation()?, api.desk.watch());
    let place = Place { api, call, id, seen: None, news, over: false };
    if place.look().await.is_none() {
        return Err(Trouble::missing("rotation"));
    }
    let stream = futures::stream::unfold(place, Place::next);
    Ok(Stream::new(stream).keep_alive(KeepAlive::default()).into_response())
}
