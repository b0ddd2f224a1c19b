//! The inventory that the sandbox writes for itself, as a person would write it.

use std::fmt::Write as _;
use std::path::Path;

use super::layout::{ENVIRONMENTS, HOST, Layout, PROBE_FROM, PROBE_TO, Ports, service_name};

/// The text of `DIR/inventory.yaml`. `by_hand` is a sandbox that pretends to have no API.
pub(super) fn text(layout: &Layout, ports: Ports, credentials: &[String], services: usize, by_hand: bool) -> String {
    let mut all = String::new();
    // Writing to a String cannot fail.
    write_all(&mut all, layout, ports, credentials, services, by_hand).map(|()| all).unwrap_or_default()
}

fn write_all(
    out: &mut String,
    layout: &Layout,
    ports: Ports,
    credentials: &[String],
    services: usize,
    by_hand: bool,
) -> std::fmt::Result {
    writeln!(
        out,
        "# Written by `handover sandbox` at every start, unless it was edited: then what it would write goes to `inventory.yaml.new`."
    )?;
    writeln!(out, "version: 1")?;
    if by_hand {
        writeln!(out, "providers:\n  sandbox:\n    kind: manual\n    propagation: 2s")?;
        writeln!(out, "    console: {}", text_of(&console(layout)))?;
        writeln!(out, "    instructions: {}", text_of(INSTRUCTIONS))?;
    } else {
        writeln!(out, "providers:\n  sandbox: {{kind: sandbox, dir: {}}}", quoted(&layout.dir))?;
    }
    writeln!(out, "stores:\n  hosts: {{kind: env-file}}")?;
    writeln!(out, "credentials:")?;
    for credential in credentials {
        writeln!(out, "  {credential}:")?;
        writeln!(out, "    provider: sandbox\n    account: {credential}")?;
        let (port, ca) = (ports.starttls, quoted(&layout.ca_file()));
        writeln!(out, "    smtp: {{host: {HOST}, port: {port}, tls: starttls, ca_file: {ca}}}")?;
        let mail = quoted(&layout.mail());
        writeln!(out, "    probe: {{from: {PROBE_FROM}, to: {PROBE_TO}, arrival: {{maildir: {mail}}}}}")?;
        writeln!(out, "    entries:")?;
        for entry in ENVIRONMENTS {
            let path = quoted(&layout.env_file(credential, entry));
            writeln!(out, "      {entry}:")?;
            writeln!(out, "        store: hosts\n        path: {path}")?;
            writeln!(out, "        fields: {{username: {}, password: {}}}", super::env::USERNAME, super::env::PASSWORD)?;
            writeln!(out, "        environment: {entry}")?;
        }
        writeln!(out, "    on_leak: {{playbook: leak}}")?;
    }
    writeln!(out, "services:")?;
    for credential in credentials {
        for entry in ENVIRONMENTS {
            let criticality = if entry == "production" { "high" } else { "low" };
            for n in 0..services {
                let name = service_name(credential, entry, n);
                let url = |ability: &str| format!("\"http://{HOST}:{}/{name}/{ability}\"", ports.http);
                writeln!(out, "  {name}:")?;
                writeln!(out, "    credential: {credential}\n    entry: {entry}\n    environment: {entry}")?;
                writeln!(out, "    owner: newsletter-oncall@sandbox.test\n    criticality: {criticality}")?;
                writeln!(out, "    reload: {{http: {{method: POST, url: {}}}}}", url("reload"))?;
                writeln!(out, "    test_send: {{http: {{method: POST, url: {}}}}}", url("test-send"))?;
                writeln!(out, "    attest: {{http: {{url: {}}}}}", url("smtp-fingerprint"))?;
            }
        }
    }
    Ok(())
}

/// What a person is told of the sandbox's console.
const INSTRUCTIONS: &str = "ACTION NAME is one of create ACCOUNT, disable LOGIN, enable LOGIN, delete LOGIN";

/// How a person gets to it.
fn console(layout: &Layout) -> String {
    format!("handover sandbox --dir {} --person ACTION NAME", layout.dir.display())
}

/// A path as a YAML string.
fn quoted(path: &Path) -> String {
    text_of(&path.to_string_lossy())
}

/// JSON's strings are YAML's.
fn text_of(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
