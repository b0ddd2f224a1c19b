//! Ways in for the fuzz targets: inventories and playbooks from a text instead of a file. Not part of the product.

use std::collections::BTreeMap;
use std::path::Path;

use handover_rotation::playbook::Playbook;

use super::inventory::Inventory;
use super::kinds::Kinds;
use super::source::Source;
use super::{Node, Problems, check_named, load, playbooks, schedule};
use crate::schedule::{Cron, Rule};

/// What `load_inventory` makes of one file with this text, and what is wrong with its playbooks.
pub(crate) fn inventory(
    text: &str,
    kinds: &dyn Kinds,
    known: &BTreeMap<String, Playbook>,
) -> Result<(Inventory, Problems), Problems> {
    let mut problems = Problems::default();
    let source = Source::new("inventory.yaml".to_owned(), Path::new("/srv/handover").to_owned());
    let nodes: Vec<Node> = Node::parse(&source, text, &mut problems).into_iter().collect();
    load::build(&nodes, kinds, problems).map(|inventory| {
        let named = check_named(&inventory, known);
        (inventory, named)
    })
}

/// What `load_playbooks` makes of one file with this text.
pub(crate) fn playbook(text: &str) -> Result<Playbook, Problems> {
    let mut problems = Problems::default();
    let source = Source::new("playbook.yaml".to_owned(), Path::new("/srv/handover").to_owned());
    let playbook = Node::parse(&source, text, &mut problems).and_then(|node| playbooks::read(&node, None, &mut problems));
    problems.sort();
    playbook.filter(|_| problems.is_empty()).ok_or(problems)
}

/// The rule that an inventory may have; else what is wrong, and what to do.
pub(crate) fn rule(cron: &str, timezone: &str) -> Result<Rule, (String, String)> {
    Ok(Rule::new("newsletter", Cron::parse(cron)?, schedule::timezone(timezone)?))
}
