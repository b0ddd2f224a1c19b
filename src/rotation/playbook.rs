//! A playbook: the ordered steps of a rotation, and the rules of their order.

use serde::{Deserialize, Serialize};

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

/// A break of the rules of order: which step (counted from 0; `None` for the playbook as a whole), why, and the mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderProblem {
    /// Position of the step in the list, from 0.
    pub step: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl OrderProblem {
    fn at(step: usize, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { step: Some(step), message: message.into(), hint: hint.into() }
    }

    fn whole(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { step: None, message: message.into(), hint: hint.into() }
    }
}

impl Playbook {
    /// Whether the old version is retired before its replacement is proven, by intent.
    #[must_use]
    pub fn revokes_first(&self) -> bool {
        self.containment == Some(Containment::RevokeFirst)
    }

    /// Checks the order like a program: every path that could retire a version before its replacement is proven is an
    /// error, unless the playbook says `containment: revoke-first`. `environments` are those of the credential's entries
    /// and services; leave it empty to check the playbook by itself.
    #[must_use]
    pub fn check_order(&self, environments: &[Environment]) -> Vec<OrderProblem> {
        let mut found = Vec::new();
        self.check_positions(&mut found);
        self.check_waves(environments, &mut found);
        self.check_retirement(&mut found);
        found
    }

    fn position(&self, word: &str) -> Option<usize> {
        self.steps.iter().position(|s| s.word() == word)
    }

    fn check_positions(&self, found: &mut Vec<OrderProblem>) {
        if self.steps.is_empty() {
            found.push(OrderProblem::whole("the playbook has no steps", "start from playbooks/scheduled.yaml"));
            return;
        }
        for (i, step) in self.steps.iter().enumerate() {
            let once = matches!(
                step,
                Step::Preflight | Step::Generate | Step::Deactivate | Step::Confirm | Step::Watch { .. } | Step::Delete
            );
            let repeated = self.steps[..i].iter().any(|s| if once { s.word() == step.word() } else { s == step });
            if repeated && !matches!(step, Step::Approve { .. } | Step::Soak { .. }) {
                found.push(OrderProblem::at(i, format!("`{step}` stands twice"), "remove one of the two"));
            }
        }
        if self.position("preflight") != Some(0) {
            let message = "the first step must be `preflight`: nothing may change before it has passed";
            found.push(OrderProblem::at(0, message, "put `- preflight` first"));
        }
        if self.position("generate").is_none() {
            found.push(OrderProblem::whole("no `generate` step: there is no new version to move to", "add `- generate`"));
        }
    }

    fn check_waves(&self, environments: &[Environment], found: &mut Vec<OrderProblem>) {
        let generate = self.position("generate").unwrap_or(usize::MAX);
        for (i, step) in self.steps.iter().enumerate() {
            let Some(environment) = step.environment() else { continue };
            if !environments.is_empty() && !environments.contains(environment) {
                found.push(OrderProblem::at(
                    i,
                    format!("`{step}`: the credential has no entry or service in `{environment}`"),
                    "use an environment of its entries",
                ));
            }
            let before =
                |word: &str| self.steps[..i].iter().any(|s| s.word() == word && s.environment() == Some(environment));
            let problem = match step {
                Step::Push { .. } if i < generate => {
                    Some(("there is no new version yet", "move `generate` before it".to_owned()))
                }
                Step::Reload { .. } if !before("push") => Some((
                    "the services would read the old version again",
                    format!("put `- push: {{to: {environment}}}` before it"),
                )),
                Step::Verify { .. } if !before("reload") => Some((
                    "the services still run with the old version",
                    format!("put `- reload: {{services: {environment}}}` before it"),
                )),
                _ => None,
            };
            if let Some((why, hint)) = problem {
                found.push(OrderProblem::at(i, format!("`{step}` comes too early: {why}"), hint));
            }
        }
        self.check_staging_first(found);
        for environment in environments {
            if !self.steps.iter().any(|s| matches!(s, Step::Push { to } if to == environment)) {
                found.push(OrderProblem::whole(
                    format!(
                        "no `push` to `{environment}`, where the credential has entries: they would keep the old version"
                    ),
                    format!("add push, reload and verify of `{environment}`"),
                ));
            }
        }
    }

    fn check_staging_first(&self, found: &mut Vec<OrderProblem>) {
        let proven = |environment: &Environment, until: usize| {
            self.steps[..until].iter().any(|s| matches!(s, Step::Verify { services } if services == environment))
        };
        for (i, step) in self.steps.iter().enumerate() {
            let Step::Push { to } = step else { continue };
            let earlier = self.steps[..i].iter().filter_map(|s| match s {
                Step::Push { to } => Some(to),
                _ => None,
            });
            for environment in earlier {
                if environment != to && !proven(environment, i) {
                    found.push(OrderProblem::at(
                        i,
                        format!("`{step}` comes before `{environment}` is verified: a bad version would reach both"),
                        format!("put `- verify: {{services: {environment}}}` before it"),
                    ));
                }
            }
        }
    }

    fn check_retirement(&self, found: &mut Vec<OrderProblem>) {
        let deactivate = self.position("deactivate");
        let delete = self.position("delete");
        if !self.revokes_first()
            && let Some(at) = deactivate.into_iter().chain(delete).min()
        {
            for (i, step) in self.steps.iter().enumerate() {
                let Step::Push { to } = step else { continue };
                let verified = self.steps.iter().position(|s| matches!(s, Step::Verify { services } if services == to));
                if verified.is_none_or(|v| v > at) {
                    found.push(OrderProblem::at(
                        at,
                        format!("`{}` could retire the old version before `{to}` is proven on the new one", self.steps[at]),
                        format!("put `- verify: {{services: {to}}}` before it, or say `containment: revoke-first`"),
                    ));
                }
                if i > at {
                    found.push(OrderProblem::at(
                        i,
                        format!("`{step}` comes after `{}`: `{to}` would hold a retired version until then", self.steps[at]),
                        "push before retiring the old version, or say `containment: revoke-first`",
                    ));
                }
            }
        }
        let Some(delete) = delete else { return };
        match deactivate {
            None => found.push(OrderProblem::at(
                delete,
                "`delete` without `deactivate`: the way back would be gone before anyone could miss the old version",
                "put `- deactivate` and `- confirm` before it",
            )),
            Some(at) if at > delete => {
                found.push(OrderProblem::at(
                    at,
                    "`deactivate` after `delete` has nothing to disable",
                    "put it before `delete`",
                ));
            }
            Some(_) => {}
        }
        for (word, hint) in [("confirm", "- confirm"), ("watch", "- watch: {for: 24h}")] {
            if word == "watch" && self.containment.is_some() {
                continue;
            }
            if !self.position(word).is_some_and(|p| p < delete && deactivate.is_none_or(|d| p > d)) {
                found.push(OrderProblem::at(
                    delete,
                    format!("`delete` without `{word}` between `deactivate` and it: deletion cannot be undone"),
                    format!("put `{hint}` before it"),
                ));
            }
        }
        if delete + 1 < self.steps.len() {
            found.push(OrderProblem::at(
                delete + 1,
                "a step after `delete`: there is no way back from here",
                "make `delete` the last step",
            ));
        }
    }
}
