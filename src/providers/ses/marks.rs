//! What rotations have written on the keys of an IAM user, as tags of the user: IAM gives keys no names.

use std::collections::BTreeMap;

use handover_rotation::name::Tag;

use crate::providers::ListedVersion;

/// The tag that says, before the call, which key is about to be made.
pub(super) const PENDING: &str = "handover:pending";

/// So far may the clocks of this machine and of AWS differ, and so long may a call be under way, in seconds.
const SLACK: u64 = 120;

/// The value of the mark [`PENDING`]: the rotation's tag, when, and the keys that there were.
pub(super) fn pending(tag: &Tag, now: u64, before: &[ListedVersion]) -> String {
    let mut value = format!("{tag} {now}");
    for key in before {
        value.push(' ');
        value.push_str(key.id.as_str());
    }
    value
}

/// All marks of a user.
#[derive(Debug, Default)]
pub(super) struct Marks {
    keys: BTreeMap<String, Tag>,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    tag: Tag,
    at: u64,
    before: Vec<String>,
}

impl Marks {
    /// Takes in a tag of the user, if it is one of ours.
    pub(super) fn add(&mut self, key: &str, value: &str) {
        if key == PENDING {
            self.pending = read_pending(value);
        } else if let Ok(tag) = Tag::new(value)
            && tag.is_ours()
        {
            self.keys.insert(key.to_owned(), tag);
        }
    }

    /// Writes on each key what is known of it. A key without a mark of its own is the one that was about to be made if it was not
    /// there before, no other could be meant, and it is as old as the call.
    pub(super) fn name(&self, keys: &mut [ListedVersion]) {
        for key in keys.iter_mut() {
            key.tag = self.keys.get(key.id.as_str()).cloned();
        }
        let Some(pending) = &self.pending else { return };
        if self.keys.values().any(|tag| *tag == pending.tag) {
            return;
        }
        let mut new: Vec<_> = keys
            .iter_mut()
            .filter(|key| key.tag.is_none() && !pending.before.iter().any(|id| id == key.id.as_str()))
            .collect();
        if let [key] = new.as_mut_slice()
            && key.created_at.is_some_and(|at| (at / 1000).abs_diff(pending.at) <= SLACK)
        {
            key.tag = Some(pending.tag.clone());
        }
    }
}

fn read_pending(value: &str) -> Option<Pending> {
    let mut words = value.split(' ');
    let tag = Tag::new(words.next()?).ok().filter(Tag::is_ours)?;
    let at = words.next()?.parse().ok()?;
    Some(Pending { tag, at, before: words.map(str::to_owned).collect() })
}

#[cfg(test)]
mod tests {
    use handover_rotation::name::{RotationId, Slot, Username, VersionId};

    use super::*;
    use crate::providers::LiveState;

    fn key(id: &str, created: u64) -> ListedVersion {
        ListedVersion {
            id: VersionId::new(id).expect("an id"),
            username: Username::new(id).expect("a name"),
            tag: None,
            state: LiveState::Active,
            created_at: Some(created * 1000),
            last_used_at: None,
            last_refused_at: None,
        }
    }

    fn tag(n: u8) -> Tag {
        Tag::of(&RotationId::new("r-1").expect("an id"), Slot(n))
    }

    fn one(key: &ListedVersion) -> &[ListedVersion] {
        std::slice::from_ref(key)
    }

    /// What stands on the keys, by the marks of the user.
    fn named(marks: &[(&str, String)], keys: &[ListedVersion]) -> Vec<Option<Tag>> {
        let mut known = Marks::default();
        for (key, value) in marks {
            known.add(key, value);
        }
        let mut keys = keys.to_vec();
        known.name(&mut keys);
        keys.into_iter().map(|k| k.tag).collect()
    }

    #[test]
    fn a_key_whose_answer_was_lost_is_known_by_what_was_there_before_it() {
        let (old, new) = (key("AKIAOLD", 10), key("AKIANEW", 1_000_030));
        let about = |at: u64, before: &[ListedVersion]| vec![(PENDING, pending(&tag(1), at, before))];
        let both = [old.clone(), new.clone()];
        assert_eq!(named(&about(1_000_000, one(&old)), &both), [None, Some(tag(1))]);
        assert_eq!(named(&about(1_000_000, &both), &both), [None, None], "it was there before");
        assert_eq!(named(&about(999_000, one(&old)), &both), [None, None], "it is younger than the call");
        assert_eq!(named(&about(1_002_000, one(&old)), &both), [None, None], "it is older than the call");
        assert_eq!(named(&about(1_000_000, &[]), &[new.clone(), key("AKIAOTHER", 1_000_031)]), [None, None], "two could be");
        assert_eq!(named(&about(1_000_000, one(&old)), one(&old)), [None], "none was made");
    }

    #[test]
    fn a_key_with_a_mark_of_its_own_ends_what_was_pending() {
        let (old, new, other) = (key("AKIAOLD", 10), key("AKIANEW", 1_000_030), key("AKIAOTHER", 1_000_040));
        let marks = vec![(PENDING, pending(&tag(1), 1_000_000, &[old])), ("AKIANEW", tag(1).as_str().to_owned())];
        assert_eq!(named(&marks, &[new, other]), [Some(tag(1)), None]);
    }

    #[test]
    fn marks_of_others_are_no_marks() {
        let new = key("AKIANEW", 1_000_000);
        for (name, value) in [
            ("AKIANEW", "terraform"),
            ("AKIANEW", "not a tag"),
            (PENDING, ""),
            (PENDING, "handover:r-1.1"),
            (PENDING, "handover:r-1.1 soon"),
            (PENDING, "terraform 1000000"),
        ] {
            assert_eq!(named(&[(name, value.to_owned())], std::slice::from_ref(&new)), [None], "{name} {value}");
        }
    }
}
