//! `doctor`: what this installation can and cannot do. Looks at this machine only.

use std::path::Path;

use super::context::{Context, check_host};
use super::failure::{Exit, Failure};
use crate::config::kinds::{Kinds, Role};
use crate::journal::{Options, SqliteJournal};
use crate::registry::Registry;

pub(super) fn run(context: &Context) -> Result<Exit, Failure> {
    let state = context.state_path()?;
    let key = state.join("seal.key");
    let checks = [
        ("inventory", inventory(context)),
        ("playbooks", context.playbooks().map(|p| format!("{} sound", p.len())).map_err(words)),
        ("journal", journal(&state)),
        ("disk and clock", host(&state)),
        ("sealing key", sealing_key(&key)),
        ("system roots for TLS", roots()),
    ];
    let well = checks.iter().all(|(_, result)| result.is_ok());
    if context.global.json {
        for (name, result) in &checks {
            let (ok, text) = match result {
                Ok(text) => (true, text),
                Err(text) => (false, text),
            };
            context.text(&serde_json::json!({"check": name, "ok": ok, "text": text}).to_string())?;
        }
    } else {
        let mut text = format!("handover {} with SQLite {}\n\n", env!("CARGO_PKG_VERSION"), rusqlite::version());
        for (name, result) in &checks {
            let (mark, words) = match result {
                Ok(words) => ("ok", words),
                Err(words) => ("NO", words),
            };
            text += &format!("{mark}  {name:<22}{words}\n");
        }
        for (role, name) in [(Role::Provider, "providers"), (Role::Store, "stores"), (Role::Reload, "services")] {
            text += &format!("    {name:<22}{}\n", Registry.names(role).join(", "));
        }
        text += "\nnot in this release: PostgreSQL, leak alerts, usage, rehearse, the daemon\n";
        context.text(&text)?;
    }
    Ok(if well { Exit::Done } else { Exit::Error })
}

fn words(failure: Failure) -> String {
    match failure {
        Failure::Problems(problems) => format!("{}; see `handover check`", problems.summary()),
        Failure::Fault(_, fault) => fault.to_string(),
    }
}

fn inventory(context: &Context) -> Result<String, String> {
    let inventory = context.inventory().map_err(words)?;
    Ok(format!("{} credentials, {} services", inventory.credentials.len(), inventory.services.len()))
}

fn journal(state: &Path) -> Result<String, String> {
    if !state.join("journal.db").exists() {
        return Ok(format!("none yet in {}; made at the first rotation", state.display()));
    }
    SqliteJournal::open(Options::new(state))
        .map(|_| format!("sound, in {}", state.display()))
        .map_err(|e| e.fault().to_string())
}

fn host(state: &Path) -> Result<String, String> {
    let there = state.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    check_host(there).map(|()| "room for the journal, clock set".to_owned()).map_err(|f| f.to_string())
}

fn sealing_key(key: &Path) -> Result<String, String> {
    match std::fs::symlink_metadata(key) {
        Err(_) => Ok(format!("a file, made at the first rotation: {}", key.display())),
        Ok(meta) => {
            use std::os::unix::fs::PermissionsExt;
            let mode = meta.permissions().mode() & 0o777;
            if meta.is_file() && mode & 0o077 == 0 {
                Ok(format!(
                    "a file, {mode:04o}: whoever reads it and the journal can read what is sealed ({})",
                    key.display()
                ))
            } else {
                Err(format!("{} has mode {mode:04o}: make it 0600", key.display()))
            }
        }
    }
}

fn roots() -> Result<String, String> {
    match rustls_native_certs::load_native_certs().certs.len() {
        0 => Err("none: name a `ca_file` for each server, or install ca-certificates".to_owned()),
        n => Ok(format!("{n} certificates")),
    }
}
