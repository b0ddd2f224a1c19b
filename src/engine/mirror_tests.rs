//! Holds the copy of the shipped playbooks, which the tests of the pure machine run, equal to the files.

use std::collections::BTreeMap;
use std::path::Path;

use handover_rotation::plan::Shape;
use handover_rotation::playbook::Playbook;

use super::prepare::arrange;
use crate::config::load_playbooks;

#[test]
fn the_machine_is_tested_with_the_playbooks_that_are_shipped() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let written = load_playbooks(&root.join("playbooks")).unwrap_or_else(|problems| panic!("{problems:?}"));
    let in_place: BTreeMap<String, Playbook> =
        written.iter().map(|(name, p)| (name.clone(), arrange(p, Shape::InPlace, 1))).collect();
    let shipped = BTreeMap::from([("as-written", written), ("in-place", in_place)]);
    let expected = serde_json::to_string_pretty(&shipped).unwrap() + "\n";
    let copy = std::fs::read_to_string(root.join("src/rotation/tests/world/playbooks.json")).unwrap_or_default();
    assert!(copy == expected, "a playbook has changed: put this in src/rotation/tests/world/playbooks.json:\n{expected}");
}
