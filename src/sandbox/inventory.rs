//! The inventory that the sandbox writes for itself, as a person would write it.

use std::fmt::Write as _;
use std::path::Path;

use super::layout::{ENVIRONMENTS, HOST, Layout, PROBE_FROM, PROBE_TO, Ports, service_name};

/// The text of `DIR/inventory.yaml`.
pub(super) fn text(layout: &Layout, ports: Ports, credentials: &[String], services: usize) -> String {
    let mut all = String::new();
    // Writing to a String cannot fail.
    write_all(&mut all, layout, ports, credentials, services).map(|()| all).unwrap_or_default()
}

fn write_all(out: &mut String, layout: &Layout, ports: Ports, credentials: &[String], services: usize) -> std::fmt::Result {
    writeln!(
        out,
        "# Written by `handover sandbox` at every start, unless it was edited: then what it would write goes to `inventory.yaml.new`."
    )?;
    writeln!(out, "version: 1")?;
    writeln!(out, "providers:\n  sandbox: {{kind: sandbox, dir: {}}}", quoted(&layout.dir))?;
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

/// A path as a YAML string: JSON's strings are YAML's.
fn quoted(path: &Path) -> String {
    serde_json::Value::String(path.to_string_lossy().into_owned()).to_string()
}
