//! Whether every entry could be written now (P1), asked before a rotation begins: what is found here costs nothing.

use handover_rotation::outcome::{Fault, FaultClass, Outcome};

use super::error::Refusal;
use super::ports::Ports;
use super::prepare::{look, patience};

/// Asks the store of every entry.
///
/// # Errors
/// Some entry cannot be written, or its store does not say. In a leak that is told, and holds nothing up.
pub(super) async fn check(ports: &Ports, leak: bool) -> Result<Vec<String>, Refusal> {
    let asked = ports.entries.iter().map(|(name, port)| async move {
        let limit = patience(port.store.request_timeout(), leak);
        let fault = match look(limit, port.store.check_writable(&port.place)).await {
            Outcome::Done(()) => return None,
            Outcome::NotDone(fault) | Outcome::Unknown(fault) => fault,
        };
        let place = &port.place.path;
        let place = if fault.message.contains(place) { name.to_string() } else { format!("{name} ({place})") };
        Some((format!("entry {place} cannot be written: {}", fault.message), fault))
    });
    let found: Vec<_> = futures::future::join_all(asked).await.into_iter().flatten().collect();
    if leak {
        return Ok(found.into_iter().map(|(what, _)| what).collect());
    }
    let Some((_, first)) = found.first() else { return Ok(Vec::new()) };
    let what: Vec<&str> = found.iter().map(|(what, _)| what.as_str()).collect();
    // What is only busy now is asked again by whoever can wait.
    let passes = found.iter().all(|(_, fault)| super::error::passes(fault));
    let class = if passes { FaultClass::Temporary } else { FaultClass::Permanent };
    let fault = Fault::new(class, &first.code, what.join("; "));
    Err(match &first.hint {
        Some(hint) => fault.hint(hint.clone()),
        None => fault,
    }
    .into())
}
