//! Rehearsal: everything that can go wrong once, at every call of a plan, run through the real machine in the model's world, and
//! what each would end in. Nothing outside is touched, so it can guard a pull request.
//!
//! ```text
//! plan ──▶ one run without faults: its calls ──▶ cases: every fault at every call ──▶ findings, the worst first
//!                                                                                └──▶ advice
//! ```

mod advice;
mod case;
mod drive;

use std::collections::BTreeSet;

use handover_rotation::plan::Plan;

pub use self::advice::{Advice, advise};
pub use self::case::{Case, Ends, Fault, Finding, Lasting, Moment, Outage};
use self::drive::Driver;

/// How much is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Also every two faults, one after the other.
    pub pairs: bool,
}

/// What a rehearsal has found.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// What was rehearsed.
    pub plan: Plan,
    /// The run in which nothing goes wrong.
    pub plain: Finding,
    /// Every other run, the worst first.
    pub findings: Vec<Finding>,
    /// How many different states the machine and its world were in.
    pub states: usize,
    /// What would make it better.
    pub advice: Vec<Advice>,
}

impl Rehearsal {
    /// Whether nobody needs to be afraid of it: the plain run is done, no rule is broken, and no single fault leaves a service
    /// without a login that works until a person acts.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.plain.ends == Ends::Done && self.findings.iter().all(|f| f.ends != Ends::Broken) && self.harmful().count() == 0
    }

    /// The findings in which a routine rotation leaves a service unable to send until a person acts, though nobody else has
    /// broken anything. A leak may have to: shutting the compromised version out comes first.
    pub fn harmful(&self) -> impl Iterator<Item = &Finding> {
        let routine = !self.plan.compromised;
        let own = |f: &&Finding| !f.cases.iter().any(|c| c.fault.is_someone_elses());
        self.findings.iter().filter(move |_| routine).filter(own).filter(|f| f.outages.iter().any(|o| o.lasting))
    }

    /// How many findings end like this.
    #[must_use]
    pub fn count(&self, ends: Ends) -> usize {
        self.findings.iter().filter(|f| f.ends == ends).count()
    }
}

/// Rehearses a plan. `progress` is told how many runs are done and how many there will be.
#[must_use]
pub fn rehearse(plan: &Plan, extent: Extent, mut progress: impl FnMut(usize, usize)) -> Rehearsal {
    let mut driver = Driver::new(plan);
    let (plain, moments) = driver.plain();
    let cases = case::cases(plan, &moments);
    let mut findings: Vec<Finding> = Vec::new();
    let total = if extent.pairs { cases.len() + cases.len() * cases.len() / 2 } else { cases.len() };
    for (number, case) in cases.iter().enumerate() {
        progress(number, total);
        findings.push(driver.run(std::slice::from_ref(case)));
    }
    if extent.pairs {
        let mut number = cases.len();
        for (index, first) in cases.iter().enumerate() {
            for second in cases[index..].iter().filter(|second| second.moment.number > first.moment.number) {
                number += 1;
                if number.is_multiple_of(64) {
                    progress(number.min(total), total);
                }
                findings.push(driver.run(&[first.clone(), second.clone()]));
            }
        }
    }
    progress(total, total);
    // What has no place at its moment, such as stopping where there is no way back, is not a case.
    findings.retain(|f| f.happened);
    findings.sort_by_key(Finding::badness);
    findings.reverse();
    let advice = advise(plan, &findings);
    Rehearsal { plan: plan.clone(), plain, findings, states: driver.states(), advice }
}

/// States by their fingerprints.
type Seen = BTreeSet<u64>;

#[cfg(test)]
mod tests;
