//! Credentials and alerts, for whoever looks.

use std::ops::Bound;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use handover_rotation::name::CredentialName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::call::{Call, Trouble, answer, found};
use crate::alerts::Delivery;
use crate::config::inventory::Credential;
use crate::daemon::clock::{clock, contained};
use crate::daemon::start::playbook_of;
use crate::engine::contained::Contained;
use crate::engine::plan_hash;
use crate::journal::{Alert, AlertState};
use crate::view::impact::impact_json;
use crate::view::plan::plan_json;

impl Api {
    /// How a credential stands, as JSON.
    fn standing_of(&self, name: &CredentialName, credential: &Credential, now_ms: u64) -> Value {
        let account = self.desk.ledger.account(name.as_str());
        let next = self.desk.next_run(name, credential, now_ms);
        let latest = account.latest.as_ref().map(|latest| {
            json!({
                "rotation": latest.id,
                "playbook": latest.playbook,
                "began_at": latest.began_ms,
                "last_event_at": latest.at_ms,
                "open": latest.is_open(),
                "stuck": latest.is_stuck(),
                "exposed": latest.exposed,
                "step": latest.step,
            })
        });
        json!({
            "credential": name,
            "provider": credential.provider,
            "account": credential.account,
            "entries": credential.entries.len(),
            "current_since": account.current_ms,
            "age_ms": account.current_ms.map(|made| now_ms.saturating_sub(made)),
            "schedule": credential.schedule.as_ref().map(|s| json!({"cron": s.rule.cron.text(), "timezone": s.rule.timezone.name(), "playbook": s.playbook})),
            "on_leak": playbook_of(credential, true),
            "next": next.map(|tick| json!({"at": tick.fires_ms, "local": tick.local})),
            "latest": latest,
        })
    }
}

pub(super) async fn list(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let (files, now_ms) = (api.desk.files.now(), api.desk.wall_ms());
    let all = &files.inventory.credentials;
    let limit = if call.query.contains_key("limit") { call.limit()? as usize } else { usize::MAX };
    let after = match call.query.get("after") {
        None => Bound::Unbounded,
        Some(text) => Bound::Excluded(
            CredentialName::new(text.as_str())
                .map_err(|_| Trouble::new(StatusCode::BAD_REQUEST, "HO1003", "`after` is not the name of a credential"))?,
        ),
    };
    let mut rest = all.range((after, Bound::Unbounded));
    let mut page: Vec<Value> = Vec::new();
    let mut last = None;
    for (name, credential) in rest.by_ref().take(limit) {
        page.push(api.standing_of(name, credential, now_ms));
        last = Some(name);
    }
    let next = last.filter(|_| rest.next().is_some());
    found(&json!({"credentials": page, "total": all.len(), "next": next}))
}

pub(super) async fn one(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let (files, name) = (api.desk.files.now(), call.credential()?);
    let credential = files.inventory.credentials.get(&name).ok_or_else(|| Trouble::missing("credential"))?;
    found(&api.standing_of(&name, credential, api.desk.wall_ms()))
}

pub(super) async fn impact(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let (files, name) = (api.desk.files.now(), call.credential()?);
    if !files.inventory.credentials.contains_key(&name) {
        return Err(Trouble::missing("credential"));
    }
    found(&impact_json(&files.inventory, &name))
}

/// What a plan is to be made of.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    playbook: Option<String>,
    #[serde(default = "one_time")]
    time_scale: u32,
}

fn one_time() -> u32 {
    1
}

pub(super) async fn plan(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let (files, name, wanted) = (api.desk.files.now(), call.credential()?, call.json::<Wanted>()?);
    let credential = files.inventory.credentials.get(&name).ok_or_else(|| Trouble::missing("credential"))?;
    let playbook = wanted.playbook.unwrap_or_else(|| playbook_of(credential, false));
    let (prepared, _) = api.desk.plan(&name, &playbook, wanted.time_scale, None).await?;
    found(&plan_json(&prepared.plan, &plan_hash(&prepared.plan), &prepared.told()))
}

fn alert_json(alert: &Alert, contained: Option<&Contained>) -> Value {
    // What was kept of it holds no secret, but marks are nobody's business who only looks.
    let report: Value = serde_json::from_str(&alert.report).unwrap_or_default();
    json!({
        "alert": alert.number,
        "source": alert.source,
        "received_at": alert.at_ms,
        "changed_at": alert.changed_ms,
        "state": alert.state.text(),
        "reference": report["reference"],
        "url": report["url"],
        "exposed_at": report["exposed_ms"],
        "credential": alert.credential,
        "rotation": alert.rotation,
        "note": alert.note,
        "seconds": clock(alert, contained).json(),
    })
}

pub(super) async fn alerts(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let state = match call.query.get("state") {
        None => None,
        Some(text) => Some(AlertState::parse(text).ok_or_else(|| {
            Trouble::new(StatusCode::BAD_REQUEST, "HO1003", "`state` is none of new, containing, contained, closed, unknown")
        })?),
    };
    let alerts = api.desk.register.alerts(state, call.limit()?).await?;
    let told = contained(api.desk.engine.journal.as_ref(), &alerts).await?;
    let of = |alert: &Alert| alert.rotation.as_ref().and_then(|id| told.get(id));
    found(&json!({"alerts": alerts.iter().map(|alert| alert_json(alert, of(alert))).collect::<Vec<_>>()}))
}

/// A delivery of a source: it is answered when it is durable, and dealt with after that.
pub(super) async fn deliver(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let headers = |name: &str| -> Option<&str> {
        let mut values = call.headers.get_all(name).iter();
        let only = values.next()?;
        if values.next().is_some() { None } else { only.to_str().ok() }
    };
    let delivery = Delivery { headers: &headers, body: &call.body, now_ms: api.desk.wall_ms() };
    match api.desk.deliver(call.param("source"), &delivery).await {
        Ok(new) => Ok(answer(StatusCode::ACCEPTED, &json!({"new": new}))),
        Err(refused) => {
            let (status, code, why) = refused.answer();
            Err(Trouble::new(status, code, why))
        }
    }
}
