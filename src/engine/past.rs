//! What the journal knows of a credential's past, as its schedule asks for it: when it was rotated last, how old its version is,
//! and whether a rotation is open. It decides nothing.

use std::collections::BTreeMap;

use handover_rotation::event::Ending;
use handover_rotation::name::{CredentialName, VersionId};
use handover_rotation::state::{Phase, Rotation};

use super::book::replay;
use super::error::EngineError;
use crate::journal::{Filter, Header, Journal};
use crate::schedule::{Open, Past};

/// What is known of one credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// What its schedule asks for. `last_ms` and `known_ms` are the caller's: they are not in the rotations.
    pub past: Past,
    /// Its current version, if the last rotation of this journal that went well has made one.
    pub current: Option<VersionId>,
    /// The rotation of it that has not ended.
    pub open: Option<Open>,
}

/// What is known of these credentials, or of all that were ever rotated.
///
/// # Errors
/// The journal cannot be read, or has rows that this release does not know (S28).
pub async fn known(
    journal: &dyn Journal,
    only: Option<&CredentialName>,
) -> Result<BTreeMap<CredentialName, Known>, EngineError> {
    let credential = only.map(|name| name.as_str().to_owned());
    let mut all: BTreeMap<CredentialName, Vec<Header>> = BTreeMap::new();
    for header in journal.list(Filter { credential, ..Filter::default() }).await? {
        // What was begun had a name.
        let Ok(name) = CredentialName::new(&header.credential) else { continue };
        all.entry(name).or_default().push(header);
    }
    let mut known = BTreeMap::new();
    for (name, headers) in all {
        known.insert(name, one(journal, &headers).await?);
    }
    Ok(known)
}

/// Of the rotations of one credential, the newest first.
async fn one(journal: &dyn Journal, headers: &[Header]) -> Result<Known, EngineError> {
    let mut known = Known::default();
    known.past.started_ms = headers.first().map(|newest| newest.created_at.0);
    for header in headers {
        let rotation = replay(&header.id, &journal.load(&header.id).await?)?;
        match rotation.phase {
            Phase::Ended(Ending::Done) => {
                (known.current, known.past.current_ms) = made(&rotation);
                break;
            }
            Phase::Ended(_) => {}
            Phase::Stuck { .. } | Phase::Forward | Phase::RollingBack => {
                let stuck = matches!(rotation.phase, Phase::Stuck { .. });
                known.open = Some(Open { rotation: header.id.to_string(), stuck });
            }
        }
    }
    Ok(known)
}

/// The version that a rotation has left as the current one, and when it was made.
fn made(rotation: &Rotation) -> (Option<VersionId>, Option<u64>) {
    let Some(new) = rotation.new_version() else { return (None, None) };
    (new.id.clone(), Some(new.made_at.unwrap_or(new.changed_at).0))
}
