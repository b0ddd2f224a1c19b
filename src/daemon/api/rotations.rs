//! Rotations: looked at, begun, resumed, aborted, approved.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use handover_rotation::name::{CredentialName, RotationId};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::playbook::Step;
use handover_rotation::state::{Phase, Rotation};
use handover_rotation::time::Millis;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::call::{Call, Trouble, answer, found};
use crate::daemon::start::{Begin, NotBegun, playbook_of};
use crate::engine::clock::TrustedTime;
use crate::engine::{Request, events, replay};
use crate::journal::{Filter, Row};
use crate::view::history::history_json;
use crate::view::status::status_json;

/// The trusted time of a rotation now.
pub(super) fn now(api: &Api, rotation: &Rotation, rows: &[Row]) -> Millis {
    let last = rows.last().map(|row| TrustedTime::of(rotation, row.stamp.clone()));
    last.map_or(rotation.at, |time| time.at(&api.desk.engine.clock.stamp()))
}

pub(super) async fn list(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let finished = match call.query.get("open").map(String::as_str) {
        None => None,
        Some("true") => Some(false),
        Some("false") => Some(true),
        Some(_) => return Err(Trouble::new(StatusCode::BAD_REQUEST, "HO1003", "`open` is neither true nor false")),
    };
    let filter = Filter {
        finished,
        credential: call.query.get("credential").cloned(),
        limit: Some(call.limit()?),
        ..Filter::default()
    };
    let mut all: Vec<Value> = Vec::new();
    for header in api.desk.engine.journal.list(filter).await? {
        let rows = api.desk.engine.journal.load(&header.id).await?;
        all.push(match replay(&header.id, &rows) {
            Ok(rotation) => history_json(&rotation),
            // One that cannot be read hides no other.
            Err(error) => json!({"rotation": header.id, "credential": header.credential, "failure": error.fault()}),
        });
    }
    found(&json!({"rotations": all}))
}

pub(super) async fn one(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let id = call.rotation()?;
    let header =
        api.desk.engine.journal.list(Filter { id: Some(id.clone()), ..Filter::default() }).await?.into_iter().next();
    let Some(header) = header else { return Err(Trouble::missing("rotation")) };
    let rows = api.desk.engine.journal.load(&id).await?;
    let rotation = replay(&id, &rows)?;
    let holder = header.holder.as_ref().map(ToString::to_string);
    found(&status_json(&rotation, &events(&rows)?, now(&api, &rotation, &rows), holder.as_deref()))
}

/// What is to be begun.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    credential: String,
    playbook: Option<String>,
    plan: Option<String>,
    reason: Option<String>,
    #[serde(default = "one_time")]
    time_scale: u32,
}

fn one_time() -> u32 {
    1
}

/// The longest reason, in characters.
const REASON: usize = 1000;

pub(super) async fn begin(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let wanted: Wanted = call.json()?;
    let files = api.desk.files.now();
    let name = CredentialName::new(wanted.credential.as_str()).map_err(|_| Trouble::missing("credential"))?;
    let credential = files.inventory.credentials.get(&name).ok_or_else(|| Trouble::missing("credential"))?;
    let begin = Begin {
        playbook: wanted.playbook.unwrap_or_else(|| playbook_of(credential, false)),
        credential: name,
        plan: wanted.plan,
        by: call.by(),
        reason: wanted.reason.map(|text| plain(&text)),
        trigger: None,
        time_scale: wanted.time_scale,
        replaces: None,
    };
    let id = begin_it(&api, &begin).await?;
    Ok(answer(StatusCode::CREATED, &json!({"rotation": id})))
}

/// Begins it. Whoever asks for containment is not told to come back later.
pub(super) async fn begin_it(api: &Api, begin: &Begin) -> Result<RotationId, NotBegun> {
    let files = api.desk.files.now();
    match files.playbooks.get(&begin.playbook).is_some_and(|playbook| playbook.containment.is_some()) {
        true => api.crew.insist(begin).await,
        false => api.crew.begin(begin).await,
    }
}

/// A reason as it is kept: of one line, and not for ever.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(REASON).collect()
}

/// Why something is asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: Option<String>,
}

/// A body without anything in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// A rotation that has not ended.
pub(super) async fn open(api: &Api, id: &RotationId) -> Result<Rotation, Trouble> {
    let rotation = api.desk.rotation(id).await?;
    match rotation.ended() {
        None => Ok(rotation),
        Some(ending) => {
            Err(Trouble::new(StatusCode::CONFLICT, "HO0458", format!("rotation {id} has ended already: {ending:?}")))
        }
    }
}

/// Leaves a request with whoever runs it, or takes it up to do it.
async fn ask(api: &Api, rotation: &Rotation, request: &Request) -> Result<(), Trouble> {
    let text = serde_json::to_string(request).unwrap_or_default();
    api.desk.engine.journal.post(&rotation.id, &text).await?;
    api.crew.nudge();
    Ok(())
}

/// Asks it to roll back.
pub(super) async fn abort_it(api: &Api, rotation: &Rotation, by: String, reason: Option<String>) -> Result<(), Trouble> {
    let event = handover_rotation::event::Event::AbortRequested { by: by.clone(), reason: reason.clone() };
    let mut copy = rotation.clone();
    if let Err(why) = copy.apply(copy.at, &event) {
        let message = format!("rotation {} cannot be aborted: {}", rotation.id, why.why);
        return Err(Trouble::new(StatusCode::CONFLICT, "HO0459", message));
    }
    ask(api, rotation, &Request::Abort { by, reason }).await
}

/// Opens its gate.
pub(super) async fn approve_it(api: &Api, rotation: &Rotation, by: String) -> Result<(), Trouble> {
    if !matches!(rotation.current_step(), Some(Step::Approve { .. })) || rotation.step_started.is_none() {
        let message = format!("rotation {} does not wait at a gate", rotation.id);
        return Err(Trouble::new(StatusCode::CONFLICT, "HO0460", message));
    }
    ask(api, rotation, &Request::Approve { step: rotation.step, by }).await
}

/// Sets it going again.
pub(super) async fn resume_it(api: &Api, rotation: &Rotation, by: &str) -> Result<(), Trouble> {
    if api.crew.runs(&rotation.id) || !matches!(rotation.phase, Phase::Stuck { .. }) {
        let fault = Fault::new(
            FaultClass::Permanent,
            "HO1004",
            format!("rotation {} is not stuck: it goes on by itself", rotation.id),
        );
        return Err(NotBegun::Fault(fault, Vec::new()).into());
    }
    Ok(api.crew.unstick(&rotation.id, by).await?)
}

fn accepted(rotation: &Rotation) -> Response {
    answer(StatusCode::ACCEPTED, &json!({"rotation": rotation.id}))
}

pub(super) async fn abort(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let reason: Reason = call.json()?;
    let rotation = open(&api, &call.rotation()?).await?;
    abort_it(&api, &rotation, call.by(), reason.reason.as_deref().map(plain)).await?;
    Ok(accepted(&rotation))
}

pub(super) async fn approve(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let Nothing {} = call.json()?;
    let rotation = open(&api, &call.rotation()?).await?;
    approve_it(&api, &rotation, call.by()).await?;
    Ok(accepted(&rotation))
}

pub(super) async fn resume(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let Nothing {} = call.json()?;
    let rotation = open(&api, &call.rotation()?).await?;
    resume_it(&api, &rotation, &call.by()).await?;
    Ok(accepted(&rotation))
}
