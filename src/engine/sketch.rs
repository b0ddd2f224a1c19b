//! A plan from the files alone: nothing is looked at, so the version to replace is only a name. For the rehearsal.

use handover_rotation::name::{CredentialName, Username, VersionId};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::{ArrivalKind, OldVersion, Plan, PlannedEntry, PlannedService, Policy, ProviderFacts, Shape};
use handover_rotation::playbook::Playbook;
use handover_rotation::time::Span;

use super::prepare::{arrange, smtp};
use crate::config::inventory::{Arrival, Inventory};

/// What a call may take where nothing says it.
const CALL: Span = Span::seconds(30);

/// The plan of a credential under a playbook, for a provider with these facts.
///
/// # Errors
/// There is no such credential, or the playbook does not fit it.
pub fn sketch(
    inventory: &Inventory,
    name: &CredentialName,
    playbook: &Playbook,
    facts: ProviderFacts,
) -> Result<Plan, Fault> {
    let refuse = |code: &str, message: String| Fault::new(FaultClass::Permanent, code, message);
    let Some(credential) = inventory.credentials.get(name) else {
        return Err(refuse("HO0440", format!("there is no credential {name} in the inventory")).hint("see `handover check`"));
    };
    let (Ok(id), Ok(username)) = (VersionId::new("the-old-version"), Username::new("the-old-version")) else {
        return Err(refuse("HO0440", "the rehearsal has no name for the old version".to_owned()));
    };
    let entries = credential.entries.iter().map(|(entry, e)| {
        let store_kind = inventory.stores.get(&e.store).map_or_else(String::new, |s| s.kind.clone());
        let planned = PlannedEntry {
            store: e.store.clone(),
            landing: if store_kind == "env-file" { Span(0) } else { CALL },
            // As `env-file`, this kind is known here by its name, since nothing is opened.
            write_only: store_kind == "github-actions",
            store_kind,
            location: e.path.clone(),
            environment: e.environment.clone(),
            request_timeout: CALL,
        };
        (entry.clone(), planned)
    });
    let services = inventory.services_of(name).map(|(service, s)| {
        let planned = PlannedService {
            entry: s.entry.clone(),
            environment: s.environment.clone(),
            owner: s.owner.clone(),
            reload: s.reload.as_ref().map(|r| r.kind.clone()),
            by_hand: s.reload.as_ref().filter(|r| r.kind == "manual").map(|_| "restart it".to_owned()),
            test_send: s.test_send.is_some(),
            attest: s.attest.is_some(),
            request_timeout: CALL,
        };
        (service.clone(), planned)
    });
    let plan = Plan {
        credential: name.clone(),
        compromised: playbook.containment.is_some(),
        playbook: arrange(playbook, facts.shape, 1),
        provider: credential.provider.clone(),
        account: credential.account.clone(),
        facts,
        smtp: smtp(credential),
        arrival: match credential.probe.arrival {
            Arrival::Maildir(_) => ArrivalKind::Maildir,
            Arrival::Imap { .. } => ArrivalKind::Imap,
            Arrival::None => ArrivalKind::None,
        },
        old: OldVersion { id, username, fingerprint: None },
        entries: entries.collect(),
        services: services.collect(),
        // Sampled seldom: what a sample can find, it finds as well once in a quarter of the wait.
        policy: Policy { sample: Span::minutes(6 * 60), ..Policy::default() },
        time_scale: 1,
        bindings: super::binding::bindings(inventory, name),
        by_hand: None,
    };
    match playbook.check_order(&plan.environments()).into_iter().next() {
        Some(problem) => {
            let message = format!("playbook {} does not fit {name}: {}", playbook.name, problem.message);
            Err(refuse("HO0442", message).hint(problem.hint))
        }
        None => Ok(plan),
    }
}

/// What a provider is taken for that tells nothing by its kind alone.
#[must_use]
pub fn usual_facts(kind: &str) -> ProviderFacts {
    ProviderFacts {
        kind: kind.to_owned(),
        shape: Shape::Reversible,
        quota: 2,
        propagation: Span::seconds(10),
        request_timeout: CALL,
        landing: CALL,
        chooses_secret: false,
        tells_last_use: false,
    }
}
