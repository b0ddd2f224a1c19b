//! Versions that rotations of another journal have made: a sign that somebody rotates the same account from another host or
//! state folder. The lock of the lineage (S14) reaches as far as one journal; the tags at the provider reach further.

use std::collections::BTreeSet;
use std::sync::Arc;

use handover_rotation::name::{RotationId, Tag, VersionId};
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::plan::Shape;

use super::error::Refusal;
use crate::journal::{Filter, Journal, JournalError};
use crate::providers::{ListedVersion, LiveState};

/// The rotation that wrote a tag: `handover:ROTATION.SLOT`.
fn rotation_of(tag: &Tag) -> Option<&str> {
    let (rotation, _slot) = tag.as_str().strip_prefix("handover:")?.rsplit_once('.')?;
    Some(rotation)
}

/// Which rotations are ours: those of the journal, which is asked for the few that a provider names, and those that a person says are
/// over.
#[derive(Clone)]
pub struct Ours {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) over: BTreeSet<String>,
}

impl std::fmt::Debug for Ours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ours").field("over", &self.over).finish_non_exhaustive()
    }
}

impl Ours {
    /// Those of ours that have made one of these versions.
    pub(super) async fn of(&self, listed: &[ListedVersion]) -> Result<BTreeSet<String>, JournalError> {
        let mut ours = self.over.clone();
        for name in listed.iter().filter_map(|version| rotation_of(version.tag.as_ref()?)) {
            let Ok(id) = RotationId::new(name) else { continue };
            let only = Filter { id: Some(id), ..Filter::default() };
            if !ours.contains(name) && !self.journal.list(only).await?.is_empty() {
                ours.insert(name.to_owned());
            }
        }
        Ok(ours)
    }
}

/// The rotation that made a version, if it is none of `known`.
pub(super) fn maker<'v>(version: &'v ListedVersion, known: &BTreeSet<String>) -> Option<&'v str> {
    rotation_of(version.tag.as_ref()?).filter(|rotation| !known.contains(*rotation))
}

/// The refusal that a version asks for. `why` says what makes it look unfinished.
pub(super) fn refusal(version: &ListedVersion, known: &BTreeSet<String>, account: &str, why: &str) -> Refusal {
    let (id, rotation) = (&version.id, maker(version, known).unwrap_or_default());
    let message = format!(
        "version {id} of account {account} was made by rotation {rotation}, which this journal does not know; {why}, so that \
         rotation may be under way from another host or state folder"
    );
    let hint = format!(
        "find the journal that has {rotation} and let it end there, or abort it; if you are sure that it is over and \
         no other one is under way on this account, give --ended-elsewhere {rotation}; do not delete {id}: it may be the way back"
    );
    Fault::new(FaultClass::Permanent, "HO0480", message).hint(hint).into()
}

/// Looks for versions of rotations that are none of `known`. In a leak they are only told of: nothing holds it up.
///
/// The current version alone may be of another journal: so it is after a move to a new state folder. Beside another version
/// it means a rotation that has not ended, as one that has leaves a single version.
///
/// # Errors
/// There are such versions, and this is no leak.
pub(super) fn check(
    listed: &[ListedVersion],
    shape: Shape,
    old: &VersionId,
    account: &str,
    known: &BTreeSet<String>,
    leak: bool,
    remarks: &mut Vec<String>,
) -> Result<(), Refusal> {
    // In place there is one password. The inactive ones are those that it has replaced, and tell nothing.
    let live = |v: &&ListedVersion| shape != Shape::InPlace || v.state == LiveState::Active;
    let listed: Vec<&ListedVersion> = listed.iter().filter(live).collect();
    for version in listed.iter().copied() {
        let Some(rotation) = maker(version, known) else { continue };
        let (is_old, id) = (version.id == *old, &version.id);
        let beside: Vec<String> = listed.iter().filter(|v| v.id != *old).map(|v| v.id.to_string()).collect();
        if !leak && !is_old {
            return Err(refusal(version, known, account, "it is not the current one"));
        }
        if !leak && !beside.is_empty() {
            let why = format!("it is current, and {} is still there", beside.join(", "));
            return Err(refusal(version, known, account, &why));
        }
        let role = if is_old { "the current version" } else { "version" };
        remarks.push(format!(
            "{role} {id} was made by rotation {rotation}, which is not in this journal: normal after a move to a new state \
             folder; otherwise see that nobody rotates this account from elsewhere"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use handover_rotation::name::Username;

    use super::*;

    fn version(id: &str, tag: Option<&str>) -> ListedVersion {
        ListedVersion {
            id: VersionId::new(id).expect("an id"),
            username: Username::new(id).expect("a name"),
            tag: tag.map(|t| Tag::new(t).expect("a tag")),
            state: LiveState::Active,
            created_at: None,
            last_used_at: None,
            last_refused_at: None,
        }
    }

    #[test]
    fn a_tag_names_its_rotation() {
        for (tag, rotation) in [
            ("handover:news-20260101-000000-ab12.1", Some("news-20260101-000000-ab12")),
            ("handover:news.letter-1.2", Some("news.letter-1")),
            ("handover:odd", None),
            ("terraform.1", None),
        ] {
            assert_eq!(rotation_of(&Tag::new(tag).expect("a tag")), rotation, "{tag}");
        }
    }

    #[test]
    fn versions_of_unknown_rotations_stop_what_is_no_leak() {
        let known: BTreeSet<String> = ["mine".to_owned()].into();
        let table = [
            ("alone and untagged", vec![("a", None)], None, 0),
            ("made by this journal", vec![("a", Some("handover:mine.1"))], None, 0),
            ("moved from another journal", vec![("a", Some("handover:theirs.1"))], None, 1),
            ("made beside the current one", vec![("a", None), ("b", Some("handover:theirs.1"))], Some("b"), 1),
            ("took over and is not done", vec![("b", None), ("a", Some("handover:theirs.1"))], Some("a"), 1),
            ("someone else's tool", vec![("a", None), ("b", Some("terraform"))], None, 0),
            ("left by a rotation of mine", vec![("a", None), ("b", Some("handover:mine.1"))], None, 0),
        ];
        for (what, versions, named, leaked) in table {
            let listed: Vec<_> = versions.into_iter().map(|(id, tag)| version(id, tag)).collect();
            let old = VersionId::new("a").expect("an id");
            let mut remarks = Vec::new();
            let result = check(&listed, Shape::Reversible, &old, "news", &known, false, &mut remarks);
            match (named, result) {
                (None, Ok(())) => assert_eq!(remarks.len(), leaked, "{what}: {remarks:?}"),
                (Some(id), Err(refusal)) => {
                    assert_eq!(refusal.fault.code, "HO0480", "{what}");
                    let hint = refusal.fault.hint.clone().unwrap_or_default();
                    let text = format!("{} {hint}", refusal.fault);
                    assert!(text.contains(&format!("version {id} ")) && text.contains("theirs"), "{what}: {text}");
                }
                (_, other) => panic!("{what}: {other:?}"),
            }
            let mut remarks = Vec::new();
            assert!(
                check(&listed, Shape::Reversible, &old, "news", &known, true, &mut remarks).is_ok(),
                "{what}: a leak is never held up"
            );
            assert_eq!(remarks.len(), leaked, "{what}: {remarks:?}");
        }
    }

    #[test]
    fn passwords_that_were_replaced_in_place_are_no_sign() {
        let replaced = ListedVersion { state: LiveState::Inactive, ..version("a", Some("handover:earlier.1")) };
        let listed = [replaced, version("b", Some("handover:theirs.1"))];
        let old = VersionId::new("b").expect("an id");
        for (shape, accepted) in [(Shape::InPlace, true), (Shape::Reversible, false), (Shape::Alternating, false)] {
            let mut remarks = Vec::new();
            let result = check(&listed, shape, &old, "news", &BTreeSet::new(), false, &mut remarks);
            assert_eq!(result.is_ok(), accepted, "{shape:?}");
            assert_eq!(remarks.len(), usize::from(accepted), "{shape:?}: the current one is told of");
        }
    }
}
