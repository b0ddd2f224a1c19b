//! Tests of configuration as a whole: broken files as golden texts, shipped files, arbitrary text.

mod alerts;
mod arbitrary;
mod audit;
mod broken_inventories;
mod broken_playbooks;
mod disk;
mod kinds;
mod notify;
mod shipped;

use std::collections::BTreeMap;
use std::path::Path;

use super::inventory::Inventory;
use super::source::Source;
use super::{Kinds, Node, Problems, load, playbooks};
use kinds::TestKinds;

/// The inventory of some texts, by file name.
fn inventory(files: &[(&str, &str)]) -> Result<Inventory, Problems> {
    inventory_by(&TestKinds, files)
}

/// The same, read by these kinds.
fn inventory_by(kinds: &dyn Kinds, files: &[(&str, &str)]) -> Result<Inventory, Problems> {
    let mut problems = Problems::default();
    let nodes: Vec<Node> = files
        .iter()
        .filter_map(|(name, text)| {
            Node::parse(&Source::new((*name).to_owned(), Path::new("/srv/handover").to_owned()), text, &mut problems)
        })
        .collect();
    load::build(&nodes, kinds, problems)
}

/// The playbook of a text, in the file `NAME.yaml`.
fn playbook(stem: &str, text: &str) -> Result<handover_rotation::playbook::Playbook, Problems> {
    let mut problems = Problems::default();
    let source = Source::new(format!("playbooks/{stem}.yaml"), Path::new("/srv/handover/playbooks").to_owned());
    let playbook =
        Node::parse(&source, text, &mut problems).and_then(|node| playbooks::read(&node, Some(stem), &mut problems));
    problems.sort();
    playbook.filter(|_| problems.is_empty()).ok_or(problems)
}

/// A sound inventory, which the broken ones are made from.
const SOUND: &str = r#"version: 1
providers:
  relay: {kind: sandbox, dir: sandbox}
stores:
  hosts: {kind: env-file}
credentials:
  newsletter:
    provider: relay
    account: newsletter
    smtp: {host: smtp.example.com, port: 587, tls: starttls}
    probe: {from: probe@example.com, to: inbox@example.com, arrival: none}
    entries:
      staging: {store: hosts, path: staging.env, fields: {username: SMTP_USERNAME, password: SMTP_PASSWORD}, environment: staging}
      production:
        store: hosts
        path: production.env
        fields: {username: SMTP_USERNAME, password: SMTP_PASSWORD}
        environment: production
    schedule: {playbook: scheduled, cron: "0 3 * * SUN", timezone: Europe/Berlin}
    on_leak: {playbook: leak}
services:
  web-staging:
    credential: newsletter
    entry: staging
    environment: staging
    reload: {command: [systemctl, restart, web]}
    attest: {http: {url: "http://127.0.0.1:8080/fingerprint"}}
  web:
    credential: newsletter
    entry: production
    environment: production
    criticality: high
    reload: {command: {argv: [systemctl, restart, web], timeout: 30s}}
    test_send: {http: {method: POST, url: "http://127.0.0.1:8080/test"}}
"#;

/// A sound playbook, which the broken ones are made from.
const SOUND_PLAYBOOK: &str = "version: 1
name: routine
summary: A routine rotation.
steps:
  - preflight
  - generate
  - push: {to: staging}
  - reload: {services: staging}
  - verify: {services: staging}
  - push: {to: production}
  - reload: {services: production}
  - verify: {services: production}
  - soak: {for: 30m}
  - approve: {by: oncall@example.com, within: 4h}
  - deactivate
  - confirm
  - watch: {for: 24h}
  - delete
on_failure: roll-back
";

/// `text` with one part replaced, which must be there.
fn with(text: &str, part: &str, by: &str) -> String {
    assert!(text.contains(part), "the sound text has no {part:?}");
    text.replacen(part, by, 1)
}

/// The shipped playbooks.
fn shipped_playbooks() -> BTreeMap<String, handover_rotation::playbook::Playbook> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
    playbooks::load_playbooks(&folder).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Compares a text that people read with the golden one.
fn golden(name: &str, given: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "../golden",
        prepend_module_to_snapshot => false,
        omit_expression => true,
        description => given,
    }, { insta::assert_snapshot!(name, text) });
}
