//! Inventories: any text is a checked inventory or a list of problems that name their places, and a secret in the clear is
//! never shown.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use handover_rotation::playbook::Playbook;

use super::problems::{assert_hidden, check, planted};
use crate::config::doors::{inventory, playbook};
use crate::registry::Registry;

const SHIPPED: [&str; 4] = [
    include_str!("../../playbooks/drill.yaml"),
    include_str!("../../playbooks/emergency.yaml"),
    include_str!("../../playbooks/leak.yaml"),
    include_str!("../../playbooks/scheduled.yaml"),
];

/// Runs one input: the text of a file.
pub(super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    static KNOWN: OnceLock<BTreeMap<String, Playbook>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| SHIPPED.iter().flat_map(|t| playbook(t)).map(|p| (p.name.clone(), p)).collect());
    match inventory(text, &Registry, known) {
        Ok((inventory, named)) => {
            for problems in [&inventory.warnings, &named] {
                if !problems.is_empty() {
                    check(text, problems);
                }
            }
        }
        Err(problems) => check(text, &problems),
    }
    let text = planted(text);
    match inventory(&text, &Registry, known) {
        Ok((inventory, named)) => {
            assert_hidden(&text, &inventory.warnings);
            assert_hidden(&text, &named);
        }
        Err(problems) => assert_hidden(&text, &problems),
    }
}
