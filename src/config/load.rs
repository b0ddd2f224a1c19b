//! Loads an inventory: finds the files, merges them, and makes the checked types. Nothing is contacted.
//!
//! `credential` and `service` read the parts, `references` checks what only the whole can show.

use std::collections::BTreeMap;
use std::path::Path;

use handover_rotation::name::{CredentialName, NameError};

use super::diagnostic::{Problem, Problems};
use super::fields::Fields;
use super::files;
use super::inventory::{Inventory, KindSpec};
use super::kinds::{Kinds, Role};
use super::node::{Node, Pair, Value};
use super::{credential, egress, notify, references, service, suggest, usage};
use crate::egress::Allowed;

/// The parts of all files put together, each name once. References are checked on this, so that a fault inside of a part
/// hides no other fault.
#[derive(Debug, Default)]
pub(super) struct Merged<'n> {
    pub(super) providers: BTreeMap<&'n str, &'n Pair>,
    pub(super) stores: BTreeMap<&'n str, &'n Pair>,
    pub(super) credentials: BTreeMap<&'n str, &'n Pair>,
    pub(super) services: BTreeMap<&'n str, &'n Pair>,
    pub(super) notify: BTreeMap<&'n str, &'n Pair>,
    pub(super) egress: Allowed,
    pub(super) alerts: BTreeMap<&'n str, &'n Pair>,
    pub(super) usage: BTreeMap<&'n str, &'n Pair>,
    pub(super) audit: BTreeMap<&'n str, &'n Pair>,
}

/// Loads the inventory at `path`: a file, or a folder whose `*.yaml` and `*.yml` are read as one. Warnings are kept in it.
///
/// # Errors
/// All problems of all files, in their order.
pub fn load_inventory(path: &Path, kinds: &dyn Kinds) -> Result<Inventory, Problems> {
    let mut problems = Problems::default();
    let nodes: Vec<Node> =
        files::find(path, "inventory", &mut problems).iter().filter_map(|file| files::read(file, &mut problems)).collect();
    build(&nodes, kinds, problems)
}

/// The inventory of trees that were read.
pub(super) fn build(nodes: &[Node], kinds: &dyn Kinds, mut problems: Problems) -> Result<Inventory, Problems> {
    let mut merged = Merged::default();
    for node in nodes {
        merge(node, &mut merged, &mut problems);
    }
    let mut inventory = Inventory::default();
    for (name, pair) in &merged.providers {
        let spec = kind_spec(pair, Role::Provider, kinds, &mut problems);
        insert(&mut inventory.providers, name, pair, spec, &mut problems);
    }
    for (name, pair) in &merged.stores {
        let spec = kind_spec(pair, Role::Store, kinds, &mut problems);
        insert(&mut inventory.stores, name, pair, spec, &mut problems);
    }
    for (name, pair) in &merged.credentials {
        let mut fields = fields_of(pair, "credential");
        let value = credential::read(&mut fields, name, &merged, kinds, &mut inventory.places);
        problems.extend(fields.finish());
        inventory.places.insert(format!("credential `{name}`"), pair.key_at.clone());
        insert(&mut inventory.credentials, name, pair, value, &mut problems);
    }
    for (name, pair) in &merged.services {
        let mut fields = fields_of(pair, "service");
        let value = service::read(&mut fields, kinds);
        problems.extend(fields.finish());
        insert(&mut inventory.services, name, pair, value, &mut problems);
    }
    inventory.notify = notify::read(&merged, kinds, &mut problems);
    inventory.egress = merged.egress.clone();
    for (name, pair) in &merged.alerts {
        let spec = kind_spec(pair, Role::Alert, kinds, &mut problems);
        insert(&mut inventory.alerts, name, pair, spec, &mut problems);
    }
    for (name, pair) in &merged.usage {
        let source = usage::read(pair, kinds, &mut problems);
        insert(&mut inventory.usage, name, pair, source, &mut problems);
    }
    for (name, pair) in &merged.audit {
        // The same rule as for every other name.
        if let Err(error) = CredentialName::new(*name) {
            problems.push(bad_name(pair, &error));
        }
        if let Some(spec) = kind_spec(pair, Role::Audit, kinds, &mut problems) {
            inventory.audit.insert((*name).to_owned(), spec);
        }
    }
    references::check(&merged, kinds, &mut problems);
    problems.sort();
    if problems.has_errors() {
        return Err(problems);
    }
    inventory.warnings = problems;
    Ok(inventory)
}

/// A reader over the value of a named part.
pub(super) fn fields_of<'n>(pair: &'n Pair, what: &str) -> Fields<'n> {
    Fields::new(&pair.value, format!("{what} `{}`", pair.key)).at(&pair.key_at)
}

fn merge<'n>(node: &'n Node, merged: &mut Merged<'n>, problems: &mut Problems) {
    let mut fields = Fields::new(node, "the inventory");
    version(&mut fields);
    fields.optional_map("egress", |fields| {
        egress::read(fields, &mut merged.egress);
        Some(())
    });
    let parts: [(&str, &str, &mut BTreeMap<&'n str, &'n Pair>); 8] = [
        ("providers", "provider", &mut merged.providers),
        ("stores", "store", &mut merged.stores),
        ("credentials", "credential", &mut merged.credentials),
        ("services", "service", &mut merged.services),
        ("notify", "notifier", &mut merged.notify),
        ("alerts", "alert", &mut merged.alerts),
        ("usage", "usage", &mut merged.usage),
        ("audit", "audit sink", &mut merged.audit),
    ];
    for (key, what, part) in parts {
        let Some(pair) = fields.pair(key) else { continue };
        if !matches!(pair.value.value, Value::Map(_) | Value::Null | Value::Hidden) {
            let message = format!("`{key}` must be a map of names, but is {}", pair.value.describe());
            fields.problem("HO0112", key, message, "write `name: {…}` lines, indented below it");
        }
        for named in pair.value.pairs() {
            match part.get(named.key.as_str()) {
                None => {
                    part.insert(&named.key, named);
                }
                Some(first) => {
                    let message = format!("{what} `{}` is defined twice", named.key);
                    let problem = Problem::error("HO0120", &named.key_at, message).related(&first.key_at, "first here");
                    fields.push(problem.hint("rename or remove one of the two; files of a folder are read as one"));
                }
            }
        }
    }
    problems.extend(fields.finish());
}

/// Checks `version: 1`, which inventories and playbooks begin with.
pub(super) fn version(fields: &mut Fields<'_>) {
    let hint = "write `version: 1`";
    let Some(pair) = fields.pair("version") else {
        if fields.is_map() {
            let message = format!("{} lacks the key `version`", fields.what());
            fields.problem("HO0109", "version", message, "begin the file with `version: 1`");
        }
        return;
    };
    match &pair.value.value {
        Value::Number(raw) if raw == "1" => {}
        Value::Number(raw) => {
            fields.problem("HO0109", "version", format!("version {raw} of the format is not known"), hint);
        }
        _ => fields.problem("HO0109", "version", format!("`version` must be 1, but is {}", pair.value.describe()), hint),
    }
}

fn insert<K: TryFrom<String, Error = NameError> + Ord, V>(
    map: &mut BTreeMap<K, V>,
    name: &str,
    pair: &Pair,
    value: Option<V>,
    problems: &mut Problems,
) {
    match (K::try_from(name.to_owned()), value) {
        (Ok(name), Some(value)) => {
            map.insert(name, value);
        }
        (Ok(_), None) => {}
        (Err(error), _) => problems.push(bad_name(pair, &error)),
    }
}

/// The problem of a name that is not allowed.
pub(super) fn bad_name(pair: &Pair, error: &NameError) -> Problem {
    let problem = Problem::error("HO0113", &pair.key_at, format!("the name `{}` {error}", pair.key));
    problem.hint("names are made of letters, digits, `-`, `_` and `.`")
}

/// A provider, a store, a sink or a source of alerts or evidence: its kind, and the options as the kind reads them.
pub(super) fn kind_spec(pair: &Pair, role: Role, kinds: &dyn Kinds, problems: &mut Problems) -> Option<KindSpec> {
    let mut fields = fields_of(pair, role.word());
    let what = fields.what().to_owned();
    let Some(kind) = fields.required_str("kind") else {
        let unread = fields.finish();
        // Which keys are known depends on the kind: only what concerns the kind itself can be told.
        problems.extend(unread.into_iter().filter(|p| p.code != "HO0110"));
        return None;
    };
    let names = kinds.names(role);
    if !names.contains(&kind.as_str()) {
        let hint = match kinds.left_out(role, &kind) {
            Some(feature) => format!("this build leaves it out: build Handover with the feature `{feature}`"),
            None => suggest::hint(&kind, names.iter().copied()),
        };
        let at = pair.value.get("kind").map_or(&pair.key_at, |node| &node.at);
        let message = format!("{} kind `{kind}` is not known", role.word());
        problems.push(Problem::error("HO0121", at, message).hint(hint));
        return None;
    }
    let others = pair.value.pairs().iter().filter(|p| p.key != "kind").cloned().collect();
    let options = Node { value: Value::Map(others), at: pair.key_at.clone() };
    let mut fields = Fields::new(&options, what);
    kinds.check(role, &kind, &mut fields);
    problems.extend(fields.finish());
    Some(KindSpec { kind, options })
}
