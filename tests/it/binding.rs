//! What a plan is bound to: an approval holds for one plan and no other (S31), evidence counts only where it was planned to come
//! from (S12). First every field of a plan, then every line of an inventory, then the program.

#[cfg(feature = "mutants")]
mod breaks;
mod fields;
mod lines;
mod program;

use std::path::Path;

use handover::config::inventory::Inventory;
use handover::config::load::load_inventory;
use handover::config::playbooks::load_playbooks;
use handover::engine::sketch::{sketch, usual_facts};
use handover::registry::Registry;
use handover_rotation::name::CredentialName;
use handover_rotation::plan::Plan;

/// An inventory of one file with this text.
fn inventory(folder: &Path, text: &str) -> Inventory {
    let file = folder.join("inventory.yaml");
    std::fs::write(&file, text).expect("the inventory can be written");
    load_inventory(&file, &Registry).unwrap_or_else(|problems| panic!("{}\n{text}", problems.render(false)))
}

/// The plan of `shop` by a shipped playbook.
fn plan(inventory: &Inventory, playbook: &str) -> Plan {
    let playbooks = load_playbooks(&Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks"));
    let playbooks = playbooks.unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let name = CredentialName::new("shop").expect("a name");
    sketch(inventory, &name, &playbooks[playbook], usual_facts("sandbox")).unwrap_or_else(|fault| panic!("{fault}"))
}

/// The same text with one line changed.
fn edited(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in it");
    text.replace(from, to)
}

const INVENTORY: &str = r#"version: 1
providers:
  relay: {kind: sandbox, dir: /srv/relay}
  other: {kind: sandbox, dir: /srv/other}
stores:
  hosts: {kind: env-file, dialect: systemd}
  more: {kind: env-file}
credentials:
  shop:
    provider: relay
    account: shop
    smtp: {host: mail.example.com, port: 587, tls: starttls, ca_file: /etc/ca.pem}
    probe:
      from: probe@example.com
      to: inbox@example.com
      arrival: {imap: {host: imap.example.com, username: inbox, password: {env: IMAP_PASSWORD}}}
    entries:
      staging: {store: hosts, path: /etc/shop-staging.env, fields: {username: USER, password: PASS}, environment: staging}
      production: {store: hosts, path: /etc/shop.env, fields: {username: USER, password: PASS}, environment: production}
    schedule: {playbook: scheduled, cron: "0 3 * * SUN", timezone: Europe/Berlin}
    on_leak: {playbook: leak}
  bills:
    provider: relay
    account: bills
    smtp: {host: mail.example.com, port: 587, tls: starttls}
    probe: {from: probe@example.com, to: inbox@example.com, arrival: none}
    entries:
      only: {store: more, path: /etc/bills.env, fields: {username: USER, password: PASS}, environment: production}
services:
  shop-staging:
    credential: shop
    entry: staging
    environment: staging
    reload: {command: [/bin/systemctl, restart, shop-staging]}
    attest: {http: {url: "http://127.0.0.1:81/fingerprint"}}
  shop-web:
    credential: shop
    entry: production
    environment: production
    owner: web@example.com
    criticality: high
    reload: {command: [/bin/systemctl, restart, shop-web]}
    test_send: {http: {method: POST, url: "http://127.0.0.1:80/test-mail"}}
    attest: {http: {url: "http://127.0.0.1:80/fingerprint", timeout: 10s}}
  shop-jobs:
    credential: shop
    entry: production
    environment: production
    reload: {command: [/bin/systemctl, restart, shop-jobs]}
    attest: {http: {url: "http://127.0.0.1:82/fingerprint"}}
  bills-jobs:
    credential: bills
    entry: only
    environment: production
    reload: {command: [/bin/systemctl, restart, bills-jobs]}
    attest: {http: {url: "http://127.0.0.1:91/fingerprint"}}
  bills-web:
    credential: bills
    entry: only
    environment: production
    reload: {command: [/bin/systemctl, restart, bills-web]}
    attest: {http: {url: "http://127.0.0.1:90/fingerprint"}}
"#;
