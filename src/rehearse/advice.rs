//! Advice: what would make a rotation safer or its evidence stronger, from the plan and from what the rehearsal has shown.

use handover_rotation::plan::{ArrivalKind, Plan, Shape};
use handover_rotation::playbook::Step;
use handover_rotation::time::Span;

use super::case::Finding;

/// One piece of advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What is weak.
    pub weak: String,
    /// What to do about it.
    pub mend: String,
}

fn advice(weak: impl Into<String>, mend: impl Into<String>) -> Advice {
    Advice { weak: weak.into(), mend: mend.into() }
}

/// What is weak in a plan, the gravest first.
#[must_use]
pub fn advise(plan: &Plan, findings: &[Finding]) -> Vec<Advice> {
    let mut all = Vec::new();
    services(plan, &mut all);
    playbook(plan, &mut all);
    provider(plan, &mut all);
    if findings.iter().any(|f| f.uncontained) {
        all.push(advice(
            "there are faults after which a compromised version stays accepted until a person acts",
            "look at the worst cases above: each names what a person must do",
        ));
    }
    all
}

fn services(plan: &Plan, all: &mut Vec<Advice>) {
    if plan.services.is_empty() {
        all.push(advice(
            "no service is named: that nobody else uses this login is only assumed",
            "name every service that sends with it, or nobody proves that they have moved",
        ));
    }
    for (name, service) in &plan.services {
        if service.reload.is_none() {
            all.push(advice(
                format!("service {name} has no reload: nothing makes it read the new login"),
                "add `reload`; without it the rotation rolls back when it comes to this service",
            ));
        }
        // That it sends proves nothing of which login it uses: its mail passes with the old one as well, until that is retired.
        let without = |what: &str| match plan.compromised {
            true => String::new(),
            false => format!("; without {what} only an `approve` step lets the old version be retired"),
        };
        match (service.attest, service.test_send) {
            (false, false) => all.push(advice(
                format!("service {name} can prove nothing: only a person's word says that it uses the new login"),
                format!("add `attest`, and `test_send` to see that it can send{}", without("`attest`")),
            )),
            (false, true) => all.push(advice(
                format!("service {name} has no attest: its evidence is weak, since mail that arrives does not say with which login"),
                format!("add `attest`{}", without("it")),
            )),
            (true, false) => all.push(advice(
                format!("service {name} has no test_send: it knows the new login, and whether it can send with it is not tried"),
                "add `test_send`",
            )),
            (true, true) => {}
        }
    }
}

fn playbook(plan: &Plan, all: &mut Vec<Advice>) {
    let steps = &plan.playbook.steps;
    let environments: Vec<_> = plan.environments();
    for environment in &environments {
        let pushed = steps.iter().any(|s| matches!(s, Step::Push { to } if to == environment));
        let verified = steps.iter().any(|s| matches!(s, Step::Verify { services } if services == environment));
        if pushed && !verified {
            all.push(advice(
                format!("nothing verifies {environment} after the push"),
                format!("add `verify: {{services: {environment}}}`"),
            ));
        }
    }
    if environments.len() < 2 {
        all.push(advice(
            "there is one environment: the first service that tries the new login is a real one",
            "give the credential a staging entry and service",
        ));
    }
    let waits = |wanted: fn(&Step) -> Option<Span>| steps.iter().find_map(wanted);
    let soak = waits(|s| if let Step::Soak { lasting } = s { Some(*lasting) } else { None });
    if plan.playbook.containment.is_none() && soak.is_none_or(|s| s < Span::seconds(60)) {
        all.push(advice(
            format!("old and new are not watched side by side (soak {})", soak.map_or("none".to_owned(), |s| s.to_string())),
            "a soak of half an hour lets mail of every kind pass with the new login while the old one still works",
        ));
    }
    let watch = waits(|s| if let Step::Watch { lasting } = s { Some(*lasting) } else { None });
    if let Some(watch) = watch.filter(|w| *w < Span::minutes(60) && plan.playbook.containment.is_none()) {
        all.push(advice(
            format!("the watch before the deletion lasts {watch}: a service that nobody named may send only once a day"),
            "watch for a day",
        ));
    }
    if plan.arrival == ArrivalKind::None {
        all.push(advice(
            "no mailbox is looked into: that the server takes a mail is all the evidence there is",
            "give the probe an `arrival`",
        ));
    }
}

fn provider(plan: &Plan, all: &mut Vec<Advice>) {
    match plan.facts.shape {
        Shape::DeleteOnly => all.push(advice(
            "this provider cannot disable a version: after `delete` there is no way back",
            "make the soak long: until then both versions work",
        )),
        Shape::InPlace => all.push(advice(
            "this provider has one password: from `generate` until the last reload mail fails, and staging is no rehearsal",
            "give it a second account, so that the two can alternate",
        )),
        Shape::Manual => all.push(advice(
            "a person creates and revokes the versions: a leak is contained as fast as that person",
            "say in the playbook's summary who that is and where they do it",
        )),
        Shape::Reversible | Shape::Alternating => {}
    }
}
