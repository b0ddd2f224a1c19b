//! Leak alerts, the newest first, each with its clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use handover_rotation::name::RotationId;

use super::super::Api;
use super::super::call::{Call, Trouble};
use super::home::State;
use super::parts::{Frame, Moment, page, seconds};
use crate::daemon::leak::Kept;
use crate::engine::contained::Contained;
use crate::journal::{Alert, AlertState};

/// How many alerts a page shows: of each its rotation is read.
const A_PAGE: usize = 20;
/// How far back pages go.
const MOST: u32 = 1000;

/// One part of a clock.
struct Part {
    name: &'static str,
    at: Option<Moment>,
    /// How long after the alert.
    after: String,
}

struct Shown {
    number: u64,
    source: String,
    reference: String,
    /// Where it can be looked at, if that is an address of the web.
    url: Option<String>,
    credential: String,
    rotation: String,
    state: State,
    note: String,
    parts: Vec<Part>,
    /// The one figure: how long until it was refused, or that it is not.
    figure: String,
}

#[derive(Template)]
#[template(path = "alerts.page")]
struct Alerts {
    frame: Frame,
    shown: Vec<Shown>,
    number: usize,
    pages: usize,
    /// Whether there may be older ones that are not paged.
    cut: bool,
}

fn state(alert: &Alert) -> State {
    let (tone, sign, word) = match alert.state {
        AlertState::New => ("bad", "✗", "not contained: being looked at"),
        AlertState::Containing => ("bad", "✗", "not contained yet: under way"),
        AlertState::Contained => ("good", "✓", "contained; to be closed at its source"),
        AlertState::Closed => ("good", "✓", "closed"),
        AlertState::Unknown => ("warn", "?", "fits nothing; nothing was changed"),
    };
    State { tone, sign, word: word.to_owned() }
}

fn show(alert: &Alert, clock: Option<&Contained>, now_ms: u64) -> Shown {
    let kept: Option<Kept> = serde_json::from_str(&alert.report).ok();
    let closed = (alert.state == AlertState::Closed).then_some(alert.changed_ms);
    let part = |name, at: Option<u64>| Part {
        name,
        at: at.map(|at| Moment::of(at, now_ms)),
        after: at.map_or_else(String::new, |at| format!("+{}", seconds(at.saturating_sub(alert.at_ms)))),
    };
    let mut parts = vec![Part { after: String::new(), ..part("received", Some(alert.at_ms)) }];
    let none = Contained::default();
    let open = matches!(alert.state, AlertState::New | AlertState::Containing);
    if let Some(clock) = clock.or(open.then_some(&none)) {
        parts.push(part("first tried", clock.first_attempt));
        parts.push(part("acknowledged", clock.acknowledged));
        parts.push(part("refused", clock.refused));
        parts.push(part("all services moved", clock.moved));
    }
    parts.push(part("closed", closed));
    let refused = clock.and_then(|clock| clock.refused);
    let figure = match (alert.state, refused) {
        (_, Some(at)) => format!("refused {} after it came in", seconds(at.saturating_sub(alert.at_ms))),
        (AlertState::New | AlertState::Containing, None) => {
            format!("{} since it came in", seconds(now_ms.saturating_sub(alert.at_ms)))
        }
        _ => String::new(),
    };
    let kept_url = kept.as_ref().and_then(|kept| kept.url.clone());
    Shown {
        number: alert.number,
        source: alert.source.clone(),
        reference: kept.map(|kept| kept.reference).unwrap_or_default(),
        // Whoever sent it chose it: only what leads to the web is a link.
        url: kept_url.filter(|url| url.starts_with("https://") || url.starts_with("http://")),
        credential: alert.credential.clone().unwrap_or_default(),
        rotation: alert.rotation.as_ref().map(ToString::to_string).unwrap_or_default(),
        state: state(alert),
        note: alert.note.clone(),
        parts,
        figure,
    }
}

pub(in super::super) async fn alerts(api: Arc<Api>, call: Call) -> Result<Response, Trouble> {
    let now_ms = api.desk.wall_ms();
    let all = api.desk.register.alerts(None, MOST).await?;
    let pages = all.len().div_ceil(A_PAGE).max(1);
    let number = call.query.get("page").and_then(|text| text.parse().ok()).unwrap_or(1_usize).clamp(1, pages);
    let mut clocks: BTreeMap<RotationId, Contained> = BTreeMap::new();
    let mut shown = Vec::new();
    for alert in all.iter().skip((number - 1) * A_PAGE).take(A_PAGE) {
        if let Some(id) = &alert.rotation
            && !clocks.contains_key(id)
        {
            // One that cannot be read hides no alert.
            let rows = api.desk.engine.journal.load(id).await.unwrap_or_default();
            clocks.insert(id.clone(), Contained::of(&rows).unwrap_or_default());
        }
        shown.push(show(alert, alert.rotation.as_ref().and_then(|id| clocks.get(id)), now_ms));
    }
    let frame = Frame::of(&call, "leak alerts", now_ms);
    page(StatusCode::OK, &Alerts { frame, shown, number, pages, cut: all.len() >= MOST as usize })
}
