//! A playbook: the ordered steps of a rotation, and the rules of their order.

use serde::{Deserialize, Serialize};

pub use crate::order::OrderProblem;

use crate::name::Environment;
use crate::time::Span;

/// The ordered steps of a rotation and what happens when one fails.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Playbook {
    /// Its name, as `--playbook` takes it.
    pub name: String,
    /// What it is for, in a sentence or two.
    pub summary: String,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// What a failure leads to.
    pub on_failure: OnFailure,
    /// How long to hold, with both versions live, while mail fails with the old version too, before a person is called.
    #[serde(default = "default_hold")]
    pub hold: Span,
    /// Set for a playbook that deals with a leak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containment: Option<Containment>,
}

/// The hold of a playbook that does not say one.
#[must_use]
pub fn default_hold() -> Span {
    Span::minutes(10)
}

/// What a failure leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Undo in reverse, until only the old version is live everywhere.
    RollBack,
    /// Stop where it stands, as stuck, for a person to look at.
    Stop,
}

/// How a playbook deals with a compromised version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Containment {
    /// Replace first; at the deadline, counted from the start, deactivate whatever else has failed.
    Deadline(Span),
    /// Deactivate at once, replace after it.
    RevokeFirst,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Prove everything that is needed, before anything changes.
    Preflight,
    /// Create the pending version.
    Generate,
    /// Write the pending version to the entries of one environment.
    Push {
        /// The environment.
        to: Environment,
    },
    /// Make the services of one environment read again.
    Reload {
        /// The environment.
        services: Environment,
    },
    /// Prove that the services of one environment send with the pending version.
    Verify {
        /// The environment.
        services: Environment,
    },
    /// Keep both versions live and keep sampling.
    Soak {
        /// How long.
        lasting: Span,
    },
    /// Wait for a person.
    Approve {
        /// Who may approve: a name or address, shown and recorded.
        by: String,
        /// How long to wait before it counts as a failure.
        within: Span,
    },
    /// Disable the previous version, reversibly where the provider can.
    Deactivate,
    /// Prove that the previous version is refused and the new one accepted.
    Confirm,
    /// Look for uses of the previous version and failures of the new.
    Watch {
        /// How long.
        lasting: Span,
    },
    /// Delete the previous version: the point of no return.
    Delete,
}

impl Step {
    /// The word that a playbook uses for the step.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Generate => "generate",
            Self::Push { .. } => "push",
            Self::Reload { .. } => "reload",
            Self::Verify { .. } => "verify",
            Self::Soak { .. } => "soak",
            Self::Approve { .. } => "approve",
            Self::Deactivate => "deactivate",
            Self::Confirm => "confirm",
            Self::Watch { .. } => "watch",
            Self::Delete => "delete",
        }
    }

    /// The environment that the step works on, if it works on one.
    #[must_use]
    pub fn environment(&self) -> Option<&Environment> {
        match self {
            Self::Push { to: e } | Self::Reload { services: e } | Self::Verify { services: e } => Some(e),
            _ => None,
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Push { to } => write!(f, "push to {to}"),
            Self::Reload { services } => write!(f, "reload {services}"),
            Self::Verify { services } => write!(f, "verify {services}"),
            Self::Soak { lasting } => write!(f, "soak {lasting}"),
            Self::Watch { lasting } => write!(f, "watch {lasting}"),
            Self::Approve { by, within } => write!(f, "approve by {by} within {within}"),
            other => f.write_str(other.word()),
        }
    }
}

impl Playbook {
    /// Whether the old version is retired before its replacement is proven, by intent.
    #[must_use]
    pub fn revokes_first(&self) -> bool {
        self.containment == Some(Containment::RevokeFirst)
    }

    /// The gates that a person opens when every service has been moved and the old version still works: only those stand in for
    /// what a service cannot prove by itself.
    pub fn gates_of_proof(&self) -> impl Iterator<Item = usize> {
        let last = |is: fn(&Step) -> bool| self.steps.iter().rposition(is);
        let moved = last(|s| matches!(s, Step::Push { .. } | Step::Reload { .. })).unwrap_or(self.steps.len());
        let retired =
            self.steps.iter().position(|s| matches!(s, Step::Deactivate | Step::Delete)).unwrap_or(self.steps.len());
        let gates = self.steps.iter().enumerate().filter(|(_, s)| matches!(s, Step::Approve { .. }));
        gates.map(|(at, _)| at).filter(move |at| moved < *at && *at < retired)
    }
}
