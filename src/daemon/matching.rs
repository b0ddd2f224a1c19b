//! Whose secret an alert is about: marks against every version that was ever known, and where that version stands now. An alert
//! never names its target; a name in it is only words (safety.md S26).

use std::collections::BTreeSet;
use std::time::Duration;

use handover_rotation::event::Ending;
use handover_rotation::name::{CredentialName, RotationId, Slot, VersionId};
use handover_rotation::outcome::Outcome;
use handover_rotation::state::Rotation;
use handover_rotation::time::Span;

use super::desk::Desk;
use super::start::{NotBegun, playbook_of};
use crate::engine::EngineError;
use crate::engine::known::{slot_of, stock_marks};
use crate::journal::{Bearer, Filter};
use crate::providers::LiveState;

/// A version that an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The credential.
    pub credential: CredentialName,
    /// The provider's id of the version.
    pub version: VersionId,
    /// The rotation that has retired it, if one has.
    pub retired_by: Option<RotationId>,
}

/// Where a version stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In a rotation under way.
    UnderWay(RotationId, Slot),
    /// Accepted, and no rotation is under way: current, as far as anybody knows.
    Live,
    /// Disabled or deleted, in these words.
    Dead(String),
    /// The provider does not list it. A list may be stale for so long: only a second look after that tells (safety.md S9).
    Absent(Span),
    /// Nobody could tell, and why.
    Unsure(String),
}

impl Standing {
    /// In a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::UnderWay(..) => "under-way",
            Self::Live => "live",
            Self::Dead(_) => "dead",
            Self::Absent(_) => "not-listed",
            Self::Unsure(_) => "unsure",
        }
    }
}

impl Desk {
    /// The versions that bear one of these marks.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn targets(&self, marks: &[String]) -> Result<BTreeSet<Target>, EngineError> {
        let mut found = BTreeSet::new();
        for mark in marks {
            for bearer in self.register.bearers(mark).await? {
                let target = match bearer {
                    Bearer::Stock { credential, version } => pair(&credential, &version),
                    Bearer::Rotation { id, slot } => {
                        let rotation = self.rotation(&id).await?;
                        let version = slot_of(&slot).and_then(|slot| rotation.versions.get(&slot)?.id.clone());
                        let retired = rotation.ended() == Some(Ending::Done) && slot_of(&slot) != Some(rotation.target);
                        let retired_by = retired.then(|| rotation.id.clone());
                        let credential = rotation.plan.credential.clone();
                        version.map(|version| Target { credential, version, retired_by })
                    }
                };
                found.extend(target);
            }
        }
        Ok(found)
    }

    /// Where a version stands now.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn standing(&self, target: &Target) -> Result<Standing, EngineError> {
        let files = self.files.now();
        let Some(credential) = files.inventory.credentials.get(&target.credential) else {
            return Ok(Standing::Unsure(format!("credential {} is not in the inventory any more", target.credential)));
        };
        if let Some(rotation) = self.under_way(&format!("{}/{}", credential.provider, credential.account)).await? {
            let slot = rotation.versions.iter().find(|(_, v)| v.id.as_ref() == Some(&target.version)).map(|(slot, _)| *slot);
            if let Some(slot) = slot {
                return Ok(Standing::UnderWay(rotation.id.clone(), slot));
            }
        }
        let provider = match self.ports(&files.inventory, &target.credential, true) {
            Ok(ports) => ports.provider,
            Err(fault) => return Ok(Standing::Unsure(fault.to_string())),
        };
        let facts = provider.facts();
        if !facts.shape.lists() {
            // A person revokes there, and nobody lists: what no rotation has proven to be refused is taken for live.
            return Ok(match &target.retired_by {
                Some(id) => Standing::Dead(format!("rotation {id} has retired it, and its login was refused then")),
                None => Standing::Live,
            });
        }
        let limit = Duration::from_millis(facts.request_timeout.0);
        Ok(match tokio::time::timeout(limit, provider.list(&credential.account)).await {
            Ok(Outcome::Done(versions)) => match versions.iter().find(|v| v.id == target.version).map(|v| v.state) {
                Some(LiveState::Active) => Standing::Live,
                Some(LiveState::Inactive) => Standing::Dead("the provider lists it as disabled".to_owned()),
                None => match &target.retired_by {
                    Some(id) => {
                        Standing::Dead(format!("the provider does not list it any more, as rotation {id} has left it"))
                    }
                    None => Standing::Absent(facts.propagation),
                },
            },
            Ok(Outcome::NotDone(fault) | Outcome::Unknown(fault)) => Standing::Unsure(fault.to_string()),
            Err(_) => Standing::Unsure("the provider gave no answer".to_owned()),
        })
    }

    /// The rotation of a lineage that has not ended.
    async fn under_way(&self, lineage: &str) -> Result<Option<Rotation>, EngineError> {
        let of = Filter { finished: Some(false), lineage: Some(lineage.to_owned()), ..Filter::default() };
        match self.engine.journal.list(of).await?.first() {
            Some(header) => Ok(Some(self.rotation(&header.id).await?)),
            None => Ok(None),
        }
    }

    /// Looks at what the entries of a credential hold, and remembers what that is known by. Changes nothing outside.
    ///
    /// # Errors
    /// It cannot be told which version is current, or the journal cannot be written.
    pub async fn take_stock(&self, credential: &CredentialName) -> Result<(), NotBegun> {
        let files = self.files.now();
        let playbook = files.inventory.credentials.get(credential).map(|c| playbook_of(c, false)).unwrap_or_default();
        let (prepared, _) = self.plan(credential, &playbook, 1, None).await?;
        let marks = stock_marks(&self.engine, &prepared);
        let version = prepared.plan.old.id.as_str();
        Ok(self.register.stock(credential.as_str(), version, marks, self.wall_ms()).await.map_err(EngineError::from)?)
    }
}

fn pair(credential: &str, version: &str) -> Option<Target> {
    Some(Target {
        credential: CredentialName::new(credential).ok()?,
        version: VersionId::new(version).ok()?,
        retired_by: None,
    })
}
