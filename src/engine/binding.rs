//! Bindings: what an inventory says of everything that a plan names, and whether it still says it. An approval holds for one
//! plan with these bindings (safety.md S31), and evidence from anywhere else proves nothing (S12).
//!
//! It reads the inventory and contacts nothing. Plans in journals carry its digests: how they are made must never change.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use handover_rotation::name::CredentialName;
use handover_rotation::plan::{Bindings, Plan};
use serde_json::{Value as Json, json};

use super::prepare::smtp;
use crate::config::inventory::{Arrival, Credential, Inventory, KindSpec};
use crate::config::node::{Node, Pair, Value};

/// What the inventory says beyond what a plan spells out. Where a secret is read from is not part of it: it may be moved.
#[must_use]
pub fn bindings(inventory: &Inventory, name: &CredentialName) -> Bindings {
    let mut found = Bindings::default();
    let Some(credential) = inventory.credentials.get(name) else { return found };
    let provider = &credential.provider;
    bind(&mut found.targets, format!("an option of provider {provider}"), &kind(inventory.providers.get(provider)));
    for (entry, e) in &credential.entries {
        bind(&mut found.targets, format!("an option of store {}", e.store), &kind(inventory.stores.get(&e.store)));
        let fields = json!([e.username_field, e.password_field]);
        bind(&mut found.targets, format!("a field of entry {entry}"), &fields);
    }
    let trusted = credential.smtp.ca_file.as_deref().map(path);
    bind(&mut found.targets, "the certificate of the server".to_owned(), &json!(trusted));
    bind(&mut found.evidence, "the probe".to_owned(), &probe(credential));
    for (service, s) in inventory.services_of(name) {
        bind(&mut found.evidence, format!("the attest of service {service}"), &kind(s.attest.as_ref()));
        bind(&mut found.evidence, format!("the test_send of service {service}"), &kind(s.test_send.as_ref()));
        bind(&mut found.means, format!("the reload of service {service}"), &kind(s.reload.as_ref()));
    }
    found
}

fn bind(into: &mut BTreeMap<String, String>, what: String, says: &Json) {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, says.to_string().as_bytes());
    into.insert(what, hex::encode(&digest.as_ref()[..8]));
}

fn kind(spec: Option<&KindSpec>) -> Json {
    spec.map_or(Json::Null, |spec| json!([spec.kind, plain(&spec.options)]))
}

/// The same for two texts that mean the same: keys in order, no places, and not where a secret is.
fn plain(node: &Node) -> Json {
    match &node.value {
        Value::Null | Value::Hidden => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Number(text) => json!({ "number": text }),
        Value::Text(text) => json!(text),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Map(pairs) => match pairs.as_slice() {
            [only] if is_secret(only) => json!("a secret"),
            pairs => json!(pairs.iter().map(|p| (p.key.as_str(), plain(&p.value))).collect::<BTreeMap<_, _>>()),
        },
    }
}

/// `{env: NAME}` or `{file: PATH}`.
fn is_secret(pair: &Pair) -> bool {
    matches!(pair.key.as_str(), "env" | "file") && matches!(pair.value.value, Value::Text(_))
}

fn probe(credential: &Credential) -> Json {
    let probe = &credential.probe;
    let arrival = match &probe.arrival {
        Arrival::None => Json::Null,
        Arrival::Maildir(folder) => json!(["maildir", path(folder)]),
        Arrival::Imap { host, port, ca_file, username, password: _, mailbox } => {
            json!(["imap", host, port, ca_file.as_deref().map(path), username, mailbox])
        }
    };
    json!([probe.from, probe.to, arrival])
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What of the inventory uses the credential and is not in the plan: ending the old version would leave it behind.
#[must_use]
pub fn unmoved(plan: &Plan, inventory: &Inventory) -> Vec<String> {
    let Some(credential) = inventory.credentials.get(&plan.credential) else { return Vec::new() };
    let entries = credential.entries.keys().filter(|n| !plan.entries.contains_key(*n));
    let services = inventory.services_of(&plan.credential).filter(|(n, _)| !plan.services.contains_key(*n));
    let entries = entries.map(|n| format!("entry {n} is new: this rotation would not move it"));
    entries.chain(services.map(|(n, _)| format!("service {n} is new: this rotation would not move it"))).collect()
}

/// What an inventory says differently from a plan that was made from it; empty when nothing that matters does.
///
/// Owners, criticality, schedules, other credentials, where secrets are read from and how services are reloaded may change
/// while a rotation is under way. In a `leak` only what calls go to counts: shutting the login out needs no evidence, and must not be
/// held up.
#[must_use]
pub fn differences(plan: &Plan, inventory: &Inventory, leak: bool) -> Vec<String> {
    let Some(credential) = inventory.credentials.get(&plan.credential) else {
        return vec![format!("credential {} is gone", plan.credential)];
    };
    let mut found = Vec::new();
    let mut same = |what: String, is: &dyn Display, was: &dyn Display| {
        let (is, was) = (is.to_string(), was.to_string());
        if is != was {
            found.push(format!("{what} is {is} and was {was}"));
        }
    };
    let account = format!("{}/{}", plan.provider, plan.account);
    same("the account".to_owned(), &format!("{}/{}", credential.provider, credential.account), &account);
    same("the server".to_owned(), &smtp(credential), &plan.smtp);
    for (name, planned) in &plan.entries {
        let Some(e) = credential.entries.get(name) else { continue };
        let place = format!("{}:{}", planned.store, planned.location);
        same(format!("entry {name}"), &format!("{}:{}", e.store, e.path), &place);
        same(format!("the environment of entry {name}"), &e.environment, &planned.environment);
    }
    for (name, planned) in &plan.services {
        let Some(s) = inventory.services.get(name) else { continue };
        same(format!("the credential of service {name}"), &s.credential, &plan.credential);
        same(format!("the entry of service {name}"), &s.entry, &planned.entry);
        same(format!("the environment of service {name}"), &s.environment, &planned.environment);
    }
    let gone = plan.entries.keys().filter(|n| !credential.entries.contains_key(*n)).map(|n| format!("entry {n} is gone"));
    found.extend(gone);
    let gone = plan.services.keys().filter(|n| !inventory.services.contains_key(*n));
    found.extend(gone.map(|n| format!("service {n} is gone")));
    let now = bindings(inventory, &plan.credential);
    found.extend(changed(&plan.bindings.targets, &now.targets));
    if leak {
        return found;
    }
    found.extend(changed(&plan.bindings.evidence, &now.evidence));
    found.extend(unmoved(plan, inventory));
    found
}

/// What is in both and not the same. What is in one alone is told by its name.
fn changed(was: &BTreeMap<String, String>, is: &BTreeMap<String, String>) -> Vec<String> {
    let differs = |(what, digest): &(&String, &String)| is.get(*what).is_some_and(|now| now != *digest);
    was.iter().filter(differs).map(|(what, _)| format!("{what} is not what it was")).collect()
}
