//! What versions are known by to those who find them elsewhere: the provider's id in the clear, the secret by
//! hashes. It is kept with the events that bring a version, so that an alert can be matched without the secret.

use handover_rotation::command::{Command, Fact};
use handover_rotation::event::Event;
use handover_rotation::name::{Slot, VersionId};
use handover_rotation::outcome::Outcome;
use handover_rotation::plan::{ProviderFacts, Shape};

use super::keyring::sealed_name;
use super::prepare::Prepared;
use super::runner::Engine;
use crate::journal::{Known, Sealer};
use crate::marks::Mark;
use crate::secret::Secret;

/// The mark of a raw secret under this journal's key: it fits any secret, and nobody without the key can guess by it (T16).
#[must_use]
pub fn keyed(sealer: &Sealer, secret: &Secret) -> String {
    format!("keyed:{}", sealer.fingerprint(secret))
}

/// The plain hashes of a secret, as texts; none of one that could be guessed. It takes some milliseconds.
#[must_use]
pub fn hashes(secret: &Secret) -> Vec<String> {
    crate::marks::of_secret(secret).iter().map(Mark::text).collect()
}

/// Whether the secrets of a provider have 128 bits or more whoever made them: it makes them itself.
#[must_use]
pub fn is_strong(facts: &ProviderFacts) -> bool {
    !facts.chooses_secret && facts.shape != Shape::Manual
}

/// The version that a sealed secret's name stands for.
#[must_use]
pub fn slot_of(sealed: &str) -> Option<Slot> {
    sealed.strip_prefix("slot-")?.parse().ok().map(Slot)
}

/// What the version is known by that the entries of a credential were found to hold.
#[must_use]
pub fn stock_marks(engine: &Engine, prepared: &Prepared) -> Vec<String> {
    let plan = &prepared.plan;
    let mut marks = vec![Mark::KeyId(plan.old.id.to_string()).text()];
    if let Some(login) = &prepared.old {
        marks.extend(of_secret(engine, &login.password, is_strong(&plan.facts)));
    }
    marks
}

/// What a secret is known by. Plain hashes only of one that nobody can guess.
pub(super) fn of_secret(engine: &Engine, secret: &Secret, strong: bool) -> Vec<String> {
    let mut known = vec![keyed(&engine.sealer, secret)];
    if strong {
        known.extend((engine.hashes)(secret));
    }
    known
}

/// The ids of the versions that an event brings.
pub(super) fn of_event(event: &Event) -> Vec<Known> {
    // Not its login name: vendors share that among keys.
    let by_id =
        |slot: Slot, id: &VersionId| vec![Known { slot: sealed_name(slot), mark: Mark::KeyId(id.to_string()).text() }];
    match event {
        Event::Started { plan, .. } => by_id(Slot::OLD, &plan.old.id),
        Event::Settled { command: Command::Create(slot), outcome: Outcome::Done(Fact::Created { id, .. }), .. }
        | Event::Supplied { slot, fact: Fact::Created { id, .. }, .. } => by_id(*slot, id),
        _ => Vec::new(),
    }
}
