//! Health, and metrics for Prometheus. The names are stable: alert rules are written against them (`docs/handover.rules.yaml`).

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use handover_rotation::event::{Ending, Event};
use handover_rotation::name::RotationId;
use handover_rotation::state::Rotation;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Api;
use super::call::{Call, Trouble};
use crate::daemon::desk::Desk;
use crate::daemon::news::News;
use crate::engine::contained::Contained;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    credential: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct To {
    sink: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    result: &'static str,
}

/// What is counted since the start.
pub(super) struct Metrics {
    rotations: Family<Ended, Counter>,
    not_begun: Counter,
    alerts: Counter,
    refused_files: Counter,
    containment: Mutex<Histogram>,
    /// The leaks that are in it: what is taken up again tells its events again.
    contained: Mutex<BTreeSet<RotationId>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            rotations: Family::default(),
            not_begun: Counter::default(),
            alerts: Counter::default(),
            refused_files: Counter::default(),
            containment: Mutex::new(Histogram::new([1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 3600.0])),
            contained: Mutex::default(),
        }
    }
}

impl Metrics {
    /// Counts one piece of news.
    pub(super) async fn count(&self, desk: &Desk, news: &News) {
        match news {
            News::Recorded { events, rotation } => {
                if let Some((_, Event::Finished { ending })) =
                    events.iter().find(|(_, e)| matches!(e, Event::Finished { .. }))
                {
                    let result = match ending {
                        Ending::Done => "done",
                        Ending::RolledBack => "rolled-back",
                        Ending::Refused => "refused",
                    };
                    self.rotations.get_or_create(&Ended { result }).inc();
                }
                if rotation.is_leak() && !self.contained().contains(&rotation.id) {
                    self.observe(desk, rotation).await;
                }
            }
            News::NotBegun { .. } => drop(self.not_begun.inc()),
            News::Alert { .. } => drop(self.alerts.inc()),
            News::Reloaded { refused: Some(_) } => drop(self.refused_files.inc()),
            News::Reloaded { refused: None } | News::Halted { .. } | News::Assessed { .. } | News::Notice(_) => {}
        }
    }
}

impl Metrics {
    fn contained(&self) -> std::sync::MutexGuard<'_, BTreeSet<RotationId>> {
        self.contained.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the time of a leak in, once its login is shut out.
    async fn observe(&self, desk: &Desk, rotation: &Rotation) {
        let Ok(rows) = desk.engine.journal.load(&rotation.id).await else { return };
        let (Some(begun), Ok(Contained { acknowledged: Some(at), .. })) = (rows.first(), Contained::of(&rows)) else {
            return;
        };
        if self.contained().insert(rotation.id.clone()) {
            // Of one that was begun by hand nobody knows more than when that was.
            let alerts = desk.register.alerts_of(&rotation.id).await.unwrap_or_default();
            let since = alerts.iter().map(|alert| alert.at_ms).min().unwrap_or(begun.stamp.wall_ms);
            let seconds = at.saturating_sub(since) as f64 / 1000.0;
            self.containment.lock().unwrap_or_else(PoisonError::into_inner).observe(seconds);
        }
    }
}

pub(super) async fn health(_: Arc<Api>, _: Call) -> Result<Response, Trouble> {
    Ok("ok\n".into_response())
}

pub(super) async fn ready(api: Arc<Api>, _: Call) -> Result<Response, Trouble> {
    if api.crew.stopping() {
        return Err(Trouble::new(StatusCode::SERVICE_UNAVAILABLE, "HO1011", "it is stopping"));
    }
    api.desk.engine.journal.key_mark().await?;
    Ok("ready\n".into_response())
}

pub(super) async fn metrics(api: Arc<Api>, _: Call) -> Result<Response, Trouble> {
    let mut registry = Registry::with_prefix("handover");
    let now_ms = api.desk.wall_ms();
    let files = api.desk.files.now();
    let age = Family::<Of, Gauge<f64, AtomicU64>>::default();
    let open = Family::<Of, Gauge>::default();
    let stuck = Family::<Of, Gauge>::default();
    let exposed = Family::<Of, Gauge>::default();
    let next = Family::<Of, Gauge<f64, AtomicU64>>::default();
    for (name, credential) in &files.inventory.credentials {
        let of = Of { credential: name.to_string() };
        let account = api.desk.ledger.account(name.as_str());
        if let Some(made) = account.current_ms {
            age.get_or_create(&of).set(now_ms.saturating_sub(made) as f64 / 1000.0);
        }
        let latest = account.latest.filter(super::super::ledger::Latest::is_open);
        open.get_or_create(&of).set(i64::from(latest.is_some()));
        stuck.get_or_create(&of).set(i64::from(latest.as_ref().is_some_and(super::super::ledger::Latest::is_stuck)));
        exposed.get_or_create(&of).set(i64::from(latest.as_ref().is_some_and(|latest| latest.exposed)));
        if let Some(tick) = api.desk.next_run(name, credential, now_ms) {
            next.get_or_create(&of).set(tick.fires_ms as f64 / 1000.0);
        }
    }
    registry.register("credential_age_seconds", "Age of the current version, where a rotation has made it", age);
    registry.register("rotation_open", "Whether a rotation has not ended", open);
    registry.register("rotation_stuck", "Whether a rotation needs a person", stuck);
    registry.register("compromised_accepted", "Whether a compromised version may still be accepted", exposed);
    registry.register("next_run_timestamp_seconds", "When the schedule rotates it next", next);
    registry.register("rotations", "Rotations that have ended since the start, by result", api.metrics.rotations.clone());
    registry.register(
        "not_begun",
        "Rotations that were due and could not be begun, each try",
        api.metrics.not_begun.clone(),
    );
    registry.register("alert_changes", "Leak alerts that came in or were moved on", api.metrics.alerts.clone());
    registry.register(
        "files_refused",
        "Reloads of inventory or playbooks that were refused",
        api.metrics.refused_files.clone(),
    );
    let behind = Family::<To, Gauge>::default();
    if !files.inventory.audit.is_empty() {
        let head = api.desk.register.head().await?.n;
        for sink in files.inventory.audit.keys() {
            let has = api.desk.register.cursor(sink).await?.head.n;
            let rows = i64::try_from(head.saturating_sub(has)).unwrap_or(i64::MAX);
            behind.get_or_create(&To { sink: sink.clone() }).set(rows);
        }
    }
    registry.register("audit_behind_rows", "Rows of the audit log that a sink does not have yet", behind);
    let running = Gauge::<i64>::default();
    running.set(i64::try_from(api.crew.running()).unwrap_or(i64::MAX));
    registry.register("rotations_running", "Rotations that run here now", running);
    let containment = api.metrics.containment.lock().unwrap_or_else(PoisonError::into_inner).clone();
    registry.register("containment_seconds", "From the alert to the acknowledged deactivation", containment);
    let mut text = String::new();
    encode(&mut text, &registry)
        .map_err(|_| Trouble::new(StatusCode::SERVICE_UNAVAILABLE, "HO1012", "the metrics cannot be written"))?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}
