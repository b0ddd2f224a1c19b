//! Begins a rotation: its first row, with the old version's secret sealed beside it, under the lock of its lineage (S14).

use std::collections::BTreeMap;
use std::sync::Arc;

use handover_rotation::event::Event;
use handover_rotation::name::{RotationId, Slot};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::Plan;

use super::book::written;
use super::clock::TrustedTime;
use super::error::EngineError;
use super::keyring::sealed_name;
use super::known;
use super::ports::Ports;
use super::runner::{Engine, Runner};
use crate::journal::{NewRotation, SealedBlob, Trigger};
use crate::mutant::{Mutant, broken};
use crate::secret::Login;

/// Who starts a rotation and why.
#[derive(Clone, Debug)]
pub struct Who {
    /// As `user@host`.
    pub by: String,
    /// In their words.
    pub reason: Option<String>,
    /// What set it going, if that does so only once.
    pub trigger: Option<Trigger>,
}

/// The hash of a plan: what an approval binds to (S31). 16 hex digits of SHA-256 over the plan as JSON.
#[must_use]
pub fn plan_hash(plan: &Plan) -> String {
    let text = if broken(Mutant::HashOfLess) {
        serde_json::to_vec(&Plan { services: BTreeMap::new(), ..plan.clone() })
    } else {
        serde_json::to_vec(plan)
    };
    let text = text.unwrap_or_default();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text);
    hex::encode(&digest.as_ref()[..8])
}

impl Engine {
    /// Begins a rotation by `plan`. `old` is the login that the entries hold, if one could be read.
    ///
    /// # Errors
    /// Another rotation of the same lineage is not finished, or the journal cannot be written.
    pub async fn begin(&self, plan: Plan, ports: Arc<Ports>, old: Option<Login>, who: &Who) -> Result<Runner, EngineError> {
        let id = new_id(&plan, self.clock.stamp().wall_ms)?;
        self.begin_as(id, plan, ports, old, who).await
    }

    /// As `begin`, with an id of the caller's making: a replayed run must have the same one, as waits depend on it.
    ///
    /// # Errors
    /// As `begin`; or the id was used before.
    pub async fn begin_as(
        &self,
        id: RotationId,
        plan: Plan,
        ports: Arc<Ports>,
        old: Option<Login>,
        who: &Who,
    ) -> Result<Runner, EngineError> {
        let time = TrustedTime::begin(self.clock.stamp());
        let mut sealed = Vec::new();
        if let Some(login) = &old {
            let slot = sealed_name(Slot::OLD);
            let known = known::of_secret(self, &login.password, known::is_strong(&plan.facts));
            sealed.push(SealedBlob { blob: self.sealer.seal(&id, &slot, &login.password)?, slot, known });
        }
        let started = Event::Started {
            rotation: id.clone(),
            plan_hash: plan_hash(&plan),
            old_sealed: old.is_some(),
            by: who.by.clone(),
            reason: who.reason.clone(),
            plan: Box::new(plan.clone()),
        };
        let new = NewRotation {
            id: id.clone(),
            credential: plan.credential.to_string(),
            lineage: format!("{}/{}", plan.provider, plan.account),
            events: vec![written(&started, self.clock.as_ref(), &time)],
            sealed,
            trigger: who.trigger.clone(),
        };
        super::crash::point("begin.before");
        let claim = self.journal.begin(new, &self.owner).await?;
        super::crash::point("begin.after");
        Runner::open(self.clone(), ports, &id, &claim, &who.by).await
    }

    /// Takes a rotation up again that nobody alive holds.
    ///
    /// # Errors
    /// Someone alive holds it, it has ended, or the journal cannot be read.
    pub async fn resume(&self, id: &RotationId, ports: Arc<Ports>, by: &str) -> Result<Runner, EngineError> {
        let claim = self.journal.claim(id, &self.owner).await?;
        Runner::open(self.clone(), ports, id, &claim, by).await
    }
}

/// Credential, time and chance: sorts by time within a credential, and a person can read it out on the phone.
fn new_id(plan: &Plan, wall_ms: u64) -> Result<RotationId, EngineError> {
    let seconds = i64::try_from(wall_ms / 1000).unwrap_or_default();
    let when =
        chrono::DateTime::from_timestamp(seconds, 0).map_or_else(String::new, |t| t.format("%Y%m%d-%H%M%S").to_string());
    let name: String = plan.credential.as_str().chars().take(32).collect();
    let chance = super::execute::random_hex(2).map_err(|f| EngineError::Refused(f.into()))?;
    RotationId::new(format!("{name}-{when}-{chance}")).map_err(|error| {
        let message = format!("no id can be made for the rotation: it {error}");
        EngineError::Refused(Fault::new(FaultClass::Permanent, "HO0434", message).into())
    })
}
