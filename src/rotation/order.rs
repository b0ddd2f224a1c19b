//! The rules of a playbook's order: it is checked like a program, so that no order that could retire a version before its
//! replacement is proven is ever run.

use crate::name::Environment;
use crate::playbook::{Containment, Playbook, Step};
use crate::time::Span;

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
    /// Checks the order like a program: every path that could retire a version before its replacement is proven is an
    /// error, unless the playbook says `containment: revoke-first`. `environments` are those of the credential's entries
    /// and services; leave it empty to check the playbook by itself.
    #[must_use]
    pub fn check_order(&self, environments: &[Environment]) -> Vec<OrderProblem> {
        let mut found = Vec::new();
        if self.steps.is_empty() {
            found.push(OrderProblem::whole("the playbook has no steps", "start from playbooks/scheduled.yaml"));
            return found;
        }
        self.check_positions(&mut found);
        self.check_waves(environments, &mut found);
        self.check_retirement(&mut found);
        found
    }

    fn position(&self, word: &str) -> Option<usize> {
        self.steps.iter().position(|s| s.word() == word)
    }

    fn check_positions(&self, found: &mut Vec<OrderProblem>) {
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
        if self.position("push").is_none() {
            let message = "no `push` step: nothing is moved to the new version";
            found.push(OrderProblem::whole(message, "add push, reload and verify of each environment"));
        }
        if self.position("deactivate").is_none() && self.position("delete").is_none() {
            let message = "no `deactivate` step: the old version would stay valid for ever";
            found.push(OrderProblem::whole(message, "add `- deactivate` and `- confirm` at the end"));
        }
    }

    fn check_waves(&self, environments: &[Environment], found: &mut Vec<OrderProblem>) {
        let generate = self.position("generate").unwrap_or(0);
        for (i, step) in self.steps.iter().enumerate() {
            let Some(environment) = step.environment() else { continue };
            if !environments.is_empty() && !environments.contains(environment) {
                found.push(OrderProblem::at(
                    i,
                    format!("`{step}`, but the credential has no entry in `{environment}`"),
                    "leave this step out, or use an environment of its entries",
                ));
            }
            let before =
                |word: &str| self.steps[..i].iter().any(|s| s.word() == word && s.environment() == Some(environment));
            let problem = match step {
                Step::Push { .. } if i < generate => {
                    Some(("there is no new version yet", "put `- generate` before it".to_owned()))
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
        self.check_one_wave_at_a_time(found);
        self.check_staging_first(found);
        for environment in environments {
            if !self.pushes().any(|(_, to)| to == environment) {
                found.push(OrderProblem::whole(
                    format!(
                        "no `push` to `{environment}`, where the credential has entries: they would keep the old version"
                    ),
                    format!("add push, reload and verify of `{environment}`"),
                ));
            }
        }
    }

    /// The pushes with their positions.
    fn pushes(&self) -> impl Iterator<Item = (usize, &Environment)> {
        self.steps.iter().enumerate().filter_map(|(i, s)| match s {
            Step::Push { to } => Some((i, to)),
            _ => None,
        })
    }

    /// Where the services of an environment are proven, the last time.
    fn verified(&self, environment: &Environment) -> Option<usize> {
        self.steps.iter().rposition(|s| matches!(s, Step::Verify { services } if services == environment))
    }

    fn check_one_wave_at_a_time(&self, found: &mut Vec<OrderProblem>) {
        for (i, to) in self.pushes() {
            for (earlier, environment) in self.pushes().take_while(|(earlier, _)| *earlier < i) {
                if environment != to && self.verified(environment).is_none_or(|v| v > i || v < earlier) {
                    found.push(OrderProblem::at(
                        i,
                        format!(
                            "`{}` comes before `{environment}` is verified: a bad version would reach both",
                            self.steps[i]
                        ),
                        format!("put `- verify: {{services: {environment}}}` before it"),
                    ));
                }
            }
        }
    }

    /// The two environments whose names say which one is there to be broken first.
    fn check_staging_first(&self, found: &mut Vec<OrderProblem>) {
        let position = |name: &str| self.pushes().find(|(_, to)| to.as_str() == name).map(|(i, _)| i);
        if let (Some(staging), Some(production)) = (position("staging"), position("production"))
            && production < staging
        {
            found.push(OrderProblem::at(
                production,
                "`push to production` comes before staging: a bad version would be found by customers",
                "move push, reload and verify of `staging` before it",
            ));
        }
    }

    fn check_retirement(&self, found: &mut Vec<OrderProblem>) {
        let deactivate = self.position("deactivate");
        let delete = self.position("delete");
        let retired = deactivate.into_iter().chain(delete).min();
        for (i, to) in self.pushes() {
            let verified = self.verified(to).filter(|v| *v > i);
            match retired.filter(|_| !self.revokes_first()) {
                Some(at) if i > at => found.push(OrderProblem::at(
                    i,
                    format!(
                        "`push to {to}` comes after `{}`: `{to}` would hold a retired version until then",
                        self.steps[at]
                    ),
                    "push before retiring the old version, or say `containment: revoke-first`",
                )),
                Some(at) if verified.is_none_or(|v| v > at) => found.push(OrderProblem::at(
                    at,
                    format!("`{}` could retire the old version before `{to}` is proven on the new one", self.steps[at]),
                    format!("put `- verify: {{services: {to}}}` before it, or say `containment: revoke-first`"),
                )),
                None if verified.is_none() => found.push(OrderProblem::at(
                    i,
                    format!("`push to {to}`, but nothing proves afterwards that `{to}` works with it"),
                    format!("put `- verify: {{services: {to}}}` after it"),
                )),
                _ => {}
            }
        }
        if let Some(at) = deactivate.filter(|_| delete.is_none())
            && !self.steps[at..].contains(&Step::Confirm)
        {
            found.push(OrderProblem::at(
                at,
                "`deactivate` without `confirm` after it: a disabled version can go on working",
                "put `- confirm` after it",
            ));
        }
        if let Some(at) = deactivate {
            self.check_around(at, found);
        }
        if let Some(at) = delete {
            self.check_delete(at, deactivate, found);
        }
    }

    /// What stands on the wrong side of `deactivate`.
    fn check_around(&self, deactivate: usize, found: &mut Vec<OrderProblem>) {
        if self.revokes_first() && self.steps[..deactivate].iter().any(|s| *s != Step::Preflight) {
            found.push(OrderProblem::at(
                deactivate,
                "`deactivate` comes late for a playbook that says `containment: revoke-first`",
                "put `- deactivate` right after `- preflight`, or say `containment: {deadline: 10m}`",
            ));
        }
        let generate = self.position("generate").unwrap_or(0);
        let mut waits = Span(0);
        for (i, step) in self.steps.iter().enumerate() {
            match step {
                Step::Confirm | Step::Watch { .. } if i < deactivate => found.push(OrderProblem::at(
                    i,
                    format!("`{step}` comes before `deactivate`: the old version is still meant to work"),
                    "put it after `- deactivate`",
                )),
                Step::Soak { .. } if i > deactivate && !self.revokes_first() => found.push(OrderProblem::at(
                    i,
                    format!("`{step}` comes after `deactivate`: there are no two live versions any more"),
                    "put it before `- deactivate`, or use `watch`",
                )),
                Step::Soak { .. } if i < generate => found.push(OrderProblem::at(
                    i,
                    format!("`{step}` comes too early: there is no new version yet"),
                    "put it after the last `verify`",
                )),
                Step::Soak { lasting: wait } | Step::Approve { within: wait, .. } if i < deactivate => {
                    waits = Span(waits.0.saturating_add(wait.0));
                    if let Some(Containment::Deadline(deadline)) = self.containment
                        && waits >= deadline
                    {
                        found.push(OrderProblem::at(
                            i,
                            format!("`{step}` may wait past the containment deadline of {deadline}"),
                            "leave it out: a compromised version is deactivated at the deadline, whatever is still waiting",
                        ));
                    }
                }
                _ => {}
            }
        }
    }

    fn check_delete(&self, delete: usize, deactivate: Option<usize>, found: &mut Vec<OrderProblem>) {
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
            if word == "watch" && self.containment.is_some() || deactivate.is_none() {
                continue;
            }
            // A watch or confirm before `deactivate` is reported as such.
            if !self.steps[..delete].iter().any(|s| s.word() == word) {
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

#[cfg(test)]
mod tests;
