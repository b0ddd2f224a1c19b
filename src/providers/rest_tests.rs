use std::path::Path;

use handover_rotation::name::{RotationId, Slot};

use super::*;
use crate::config::Node;

/// Reads options; `None` if there was a problem.
pub(crate) fn read<T>(text: &str, options: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Option<T> {
    let node = Node::from_yaml("test.yaml", Path::new("/"), text).ok()?;
    let mut fields = Fields::new(&node, "provider");
    let read = options(&mut fields);
    if fields.finish().has_errors() { None } else { read }
}

/// Holds a kind's options: the sound ones are read, and fit its schema as the others do not.
pub(crate) fn hold<T>(good: &[&str], bad: &[&str], options: fn(&mut Fields<'_>) -> Option<T>, schema: fn() -> Value) {
    for text in good {
        assert!(read(text, options).is_some(), "{text}");
    }
    for text in bad {
        assert!(read(text, options).is_none(), "{text}");
    }
    let known = schema();
    for text in good {
        let value: Value = serde_yaml::from_str(text).expect("YAML");
        for key in value.as_object().expect("a map").keys() {
            assert!(known["properties"].get(key).is_some(), "the schema has no {key}");
        }
    }
}

#[test]
fn a_name_tells_whose_it_is_and_which_rotation_made_it() {
    let tag = Tag::of(&RotationId::new("news-1").expect("an id"), Slot(1));
    let table = [
        (Group(None), "anything at all", Some(None)),
        (Group(None), "handover:news-1.1", Some(Some(tag.clone()))),
        (Group::named("news"), "news", Some(None)),
        (Group::named("news"), "news handover:news-1.1", Some(Some(tag.clone()))),
        (Group::named("news"), "news letter", None),
        (Group::named("news"), "newsletter", None),
        (Group::named("news"), "handover:news-1.1", None),
        (Group::named("news"), "", None),
    ];
    for (group, name, expected) in table {
        assert_eq!(group.tag(name), expected, "{name} in {group:?}");
    }
    for group in [Group(None), Group::named("news")] {
        assert_eq!(group.tag(&group.name(&tag)), Some(Some(tag.clone())));
    }
    assert_eq!(Group::within("place/news"), ("place", Group::named("news")));
    assert_eq!(Group::within("place"), ("place", Group(None)));
}

#[test]
fn a_tag_is_spelled_in_lower_case_and_read_back() {
    for rotation in ["news-20260101-000000-ab12", "News_Letter-1", "a__B", "x.y-z"] {
        let tag = Tag::of(&RotationId::new(rotation).expect("an id"), Slot(1));
        let name = spell(&tag);
        assert!(!name.contains(|c: char| c.is_ascii_uppercase() || c == ':'), "{name}");
        assert_eq!(spelled(&name), Some(tag), "{name}");
    }
    for other in ["support", "handover", "handover_x", "handover-a_", "handover-_-1.1", "Handover-x.1", "handover-X.1"] {
        assert_eq!(spelled(other), None, "{other}");
    }
}

#[test]
fn times_are_read_as_vendors_write_them() {
    let at = Some(1_696_636_076_678);
    for (text, expected) in [
        ("2023-10-06T23:47:56.678Z", at),
        ("2023-10-06 23:47:56.678+00", at),
        ("2023-10-06 23:47:56.678+00:00", at),
        ("Fri, 06 Oct 2023 23:47:56 +0000", Some(1_696_636_076_000)),
        ("Fri, 06 Oct 2023 23:47:56 GMT", Some(1_696_636_076_000)),
        ("yesterday", None),
        ("", None),
    ] {
        assert_eq!(millis(text), expected, "{text}");
    }
}
