//! What no look can tell: said before a rotation, so that nobody takes silence for proof.

use handover_rotation::name::ServiceName;
use handover_rotation::plan::{ArrivalKind, MOST_REFUSALS, Plan, PlannedService, Shape};
use handover_rotation::playbook::Step;

use crate::view::words;

/// The lines, most important first.
pub(super) fn unknowns(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    let named = |test: &dyn Fn(&PlannedService) -> bool| -> Vec<&ServiceName> {
        plan.services.iter().filter(|(_, s)| test(s)).map(|(n, _)| n).collect()
    };
    let mut say = |names: Vec<&ServiceName>, text: &str| {
        if !names.is_empty() {
            lines.push(format!("{text}: {}", words::list(names)));
        }
    };
    say(named(&|s| s.is_silent()), "whether these moved at all (they can prove nothing; a person must approve)");
    say(
        named(&|s| s.test_send && !s.attest),
        "which version these use (no `attest`: their mail passes with the old one too; a person must approve)",
    );
    say(named(&|s| s.attest && !s.test_send), "whether these can send (no `test_send`; only what they present is known)");
    say(named(&|s| s.reload.is_none()), "how to make these read again (no `reload`): the rotation will stop there");
    say(named(&|s| s.owner.is_none()), "whom to call about these (no `owner`)");
    let unread: Vec<_> = plan.entries.keys().filter(|e| !plan.services.values().any(|s| s.entry == **e)).collect();
    if !unread.is_empty() {
        lines.push(format!("who reads these entries (no service does): {}", words::list(unread)));
    }
    if plan.arrival == ArrivalKind::None {
        lines.push("whether mail arrives: acceptance by the server is the evidence".to_owned());
    }
    if plan.old.fingerprint.is_none() {
        lines.push(format!(
            "the password of {} (no entry holds it): that it is refused in the end cannot be tried",
            plan.old.id
        ));
    }
    if matches!(plan.facts.shape, Shape::InPlace | Shape::Alternating) {
        lines.push(format!(
            "whether refused logins lock {}: `confirm` sees the old one refused twice, and where a login is refused {MOST_REFUSALS} \
             times in a row no more is tried",
            plan.account
        ));
    }
    if plan.facts.shape == Shape::Manual {
        lines.push("what the person does at the provider, and what others do there, beyond what logins can show".to_owned());
    }
    let watched = plan.playbook.steps.iter().any(|s| matches!(s, Step::Watch { .. }));
    lines.push(if !plan.facts.shape.lists() {
        format!("who else uses {} without being in the inventory: this provider cannot be asked", plan.old.id)
    } else if watched {
        format!("who else uses {} without being in the inventory; `watch` looks for it", plan.old.id)
    } else {
        format!("who else uses {} without being in the inventory: this playbook does not watch", plan.old.id)
    });
    lines
}
