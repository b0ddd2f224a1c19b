//! Where a rotation stands, in the first words that a person reads. Nothing is called running where nobody is at work.

use handover_rotation::state::{Phase, Rotation};
use handover_rotation::time::Millis;

use super::next::waiting;
use super::words;

/// Where a rotation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// A process is at work on it.
    AtWork,
    /// Nobody is, and nothing is due: it waits for a time or a person.
    Waiting,
    /// Nobody is, and it could go on.
    Stopped,
    /// Nobody is, and a compromised version may still be accepted.
    NotShutOut,
    /// It rests until a person acts.
    Stuck,
    /// It is over.
    Ended,
}

/// Whether a compromised version may still be accepted while nobody is at work on shutting it out.
#[must_use]
pub fn is_exposed(r: &Rotation, holder: Option<&str>) -> bool {
    r.must_contain() && holder.is_none()
}

pub(super) fn standing(r: &Rotation, now: Millis, holder: Option<&str>) -> Standing {
    if r.ended().is_some() {
        return Standing::Ended;
    }
    if is_exposed(r, holder) {
        return Standing::NotShutOut;
    }
    let waiting = waiting(r, now);
    match (r.phase, holder) {
        (Phase::Stuck { .. }, _) => Standing::Stuck,
        (_, Some(_)) => Standing::AtWork,
        (_, None) if waiting.due || !r.flights.is_empty() => Standing::Stopped,
        (_, None) if waiting.until.is_some_and(|t| t > now) || !waiting.on.is_empty() => Standing::Waiting,
        (_, None) => Standing::Stopped,
    }
}

impl Standing {
    /// The word in JSON.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::AtWork => "at-work",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
            Self::NotShutOut => "not-shut-out",
            Self::Stuck => "stuck",
            Self::Ended => "ended",
        }
    }

    /// The first words of a status, and what follows them in the same line.
    pub(super) fn head(self, r: &Rotation) -> (String, String) {
        let old = &r.plan.old.id;
        let what = format!("{} {}, playbook {}", r.id, r.plan.credential, r.plan.playbook.name);
        match (self, r.phase) {
            (Self::NotShutOut, phase) => {
                let word = if matches!(phase, Phase::Stuck { .. }) { "STUCK, NOT SHUT OUT" } else { "NOT SHUT OUT" };
                let text = format!("{what}: {old} is compromised and is NOT being shut out, because nobody is at work");
                (word.to_owned(), text)
            }
            (Self::Stopped, Phase::Forward | Phase::RollingBack) => {
                ("STOPPED".to_owned(), format!("{what}: nobody is at work on it"))
            }
            (Self::Waiting, _) => ("WAITING".to_owned(), what),
            _ => (words::phase_text(r).to_uppercase(), what),
        }
    }
}
