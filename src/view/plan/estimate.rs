//! How long a plan may take: the waits of its playbook, which are exact, and a nominal time a call, which is a guess.

use handover_rotation::plan::{Plan, Shape};
use handover_rotation::playbook::Step;
use handover_rotation::time::Span;

/// One call to a provider, a store or a service.
const CALL: u64 = 500;
/// One mail: connection, login, and arrival.
const MAIL: u64 = 1500;

/// The waits and the calls of a plan, in that order.
#[must_use]
pub fn expected(plan: &Plan) -> (Span, Span) {
    let steps = &plan.playbook.steps;
    let waits = steps.iter().map(|s| wait_time(s).0).sum();
    let calls = steps.iter().map(|s| call_time(plan, s).0).sum();
    (Span(waits), Span(calls))
}

/// What the playbook asks to wait in a step. A person's answer is not in it.
pub(super) fn wait_time(step: &Step) -> Span {
    match step {
        Step::Soak { lasting } | Step::Watch { lasting } => *lasting,
        _ => Span(0),
    }
}

/// What the calls of a step may take: what runs at once is counted once.
pub(super) fn call_time(plan: &Plan, step: &Step) -> Span {
    let proof = MAIL * u64::from(plan.policy.sends);
    Span(match step {
        Step::Preflight | Step::Generate | Step::Push { .. } => 2 * CALL,
        Step::Reload { .. } => 2 * CALL,
        Step::Verify { .. } => proof,
        Step::Soak { .. } | Step::Watch { .. } => MAIL,
        Step::Approve { .. } => 0,
        Step::Deactivate | Step::Delete if plan.facts.shape == Shape::InPlace => 0,
        Step::Delete if plan.compromised && plan.facts.shape == Shape::DeleteOnly => 0,
        Step::Deactivate | Step::Delete => 3 * CALL,
        Step::Confirm => 2 * CALL + plan.facts.propagation.0,
    })
}

/// A gap longer than this is told (IP3): each call between has taken as long as it may, once, and then one mail was sent.
pub(crate) fn gap_most(plan: &Plan) -> Span {
    let entries = plan.entries.values().map(|e| e.request_timeout.0).max().unwrap_or(0);
    let services = plan.services.values().map(|s| s.request_timeout.0).max().unwrap_or(0);
    Span(plan.facts.request_timeout.0 + entries + services + MAIL).max(gap(plan))
}

/// How long services may be without a login that works, where the password is changed in place.
pub(super) fn gap(plan: &Plan) -> Span {
    let after = plan.playbook.steps.iter().skip_while(|s| !matches!(s, Step::Generate));
    let moving = after.take_while(|s| !matches!(s, Step::Deactivate | Step::Confirm | Step::Watch { .. } | Step::Delete));
    let last = moving.clone().collect::<Vec<_>>().iter().rposition(|s| matches!(s, Step::Verify { .. }));
    let until = last.map_or(0, |i| i + 1);
    Span(moving.take(until).map(|s| call_time(plan, s).0 + wait_time(s).0).sum())
}
