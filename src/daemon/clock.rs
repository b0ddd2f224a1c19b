//! The clock of each leak alert: from when it was received to each moment of the rotation that contains it. Read off the journal, so
//! that it is the same for the API, the command line, and after a restart.

use std::collections::BTreeMap;

use handover_rotation::name::RotationId;
use handover_rotation::time::Millis;

use super::leak::Kept;
use crate::engine::EngineError;
use crate::engine::contained::Contained;
use crate::journal::{Alert, AlertState, Journal};
use crate::view::alerts::{Clock, Line};

/// When the rotations of these alerts came to their moments, each read once.
///
/// # Errors
/// The journal cannot be read.
pub async fn contained(journal: &dyn Journal, alerts: &[Alert]) -> Result<BTreeMap<RotationId, Contained>, EngineError> {
    let mut found = BTreeMap::new();
    for id in alerts.iter().filter_map(|alert| alert.rotation.as_ref()) {
        if !found.contains_key(id) {
            found.insert(id.clone(), Contained::of(&journal.load(id).await?)?);
        }
    }
    Ok(found)
}

/// The clock of an alert.
#[must_use]
pub fn clock(alert: &Alert, contained: Option<&Contained>) -> Clock {
    let closed = (alert.state == AlertState::Closed).then_some(alert.changed_ms);
    Clock::new(alert.at_ms, contained, closed)
}

/// An alert as it is listed.
#[must_use]
pub fn line(alert: Alert, contained: Option<&Contained>) -> Line {
    let clock = clock(&alert, contained);
    let kept: Option<Kept> = serde_json::from_str(&alert.report).ok();
    Line {
        number: alert.number,
        received: Millis(alert.at_ms),
        source: alert.source,
        reference: kept.map(|kept| kept.reference).unwrap_or_default(),
        state: alert.state.text(),
        credential: alert.credential,
        rotation: alert.rotation.map(|id| id.to_string()),
        note: alert.note,
        clock,
    }
}
