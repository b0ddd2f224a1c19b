//! `doctor`: what this installation can and cannot do. Looks at this machine, and at the accounts and entries that the inventory
//! names. It changes nothing.

use std::path::Path;
use std::time::Duration;

use handover_rotation::outcome::{Fault, Outcome};
use tokio::time::timeout;

use super::context::Context;
use super::failure::{Exit, Failure};
use crate::config::inventory::Inventory;
use crate::config::kinds::{Kinds, Role};
use crate::journal::{Journal, KeyFile, KeySource, Options, Sealer, SqliteJournal, WrappedBy, open_seal, wrapped_by};
use crate::registry::Registry;
use crate::view::style::visible;

/// What came of one check.
enum Found {
    Well(String),
    Warning(String),
    Bad(String),
}

impl From<Result<String, String>> for Found {
    fn from(result: Result<String, String>) -> Self {
        result.map_or_else(Self::Bad, Self::Well)
    }
}

pub(super) async fn run(context: &Context) -> Result<Exit, Failure> {
    let state = context.state_path()?;
    let read = context.inventory();
    let places = match &read {
        Ok(inventory) => places(inventory).await,
        Err(_) => Vec::new(),
    };
    let opened = open(&state);
    let mut checks = vec![
        ("inventory".to_owned(), read.map(|i| counts(&i)).map_err(words).into()),
        ("playbooks".to_owned(), context.playbooks().map(|p| format!("{} sound", p.len())).map_err(words).into()),
        ("journal".to_owned(), journal(&state, &opened).into()),
        ("disk and clock".to_owned(), host(&state).into()),
        ("sealing key".to_owned(), sealing_key(context, &state, opened.as_ref()).await),
        ("system roots for TLS".to_owned(), roots().into()),
    ];
    checks.extend(places);
    let well = !checks.iter().any(|(_, found)| matches!(found, Found::Bad(_)));
    if context.global.json {
        for (name, found) in &checks {
            let (Found::Well(text) | Found::Warning(text) | Found::Bad(text)) = found;
            let (ok, warning) = (!matches!(found, Found::Bad(_)), matches!(found, Found::Warning(_)));
            let line = serde_json::json!({"check": name, "ok": ok, "warning": warning, "text": text});
            context.text(&line.to_string())?;
        }
    } else {
        let mut text = format!("handover {} with SQLite {}\n\n", env!("CARGO_PKG_VERSION"), rusqlite::version());
        for (name, found) in &checks {
            let (mark, words) = match found {
                Found::Well(words) => ("ok", words),
                Found::Warning(words) => ("!!", words),
                Found::Bad(words) => ("NO", words),
            };
            text += &format!("{mark}  {name:<22}{}\n", visible(words));
        }
        for (role, name) in [(Role::Provider, "providers"), (Role::Store, "stores"), (Role::Reload, "services")] {
            text += &format!("    {name:<22}{}\n", Registry.names(role).join(", "));
        }
        text += "\nnot in this release: a journal in PostgreSQL, pages of the daemon\n";
        context.text(&text)?;
    }
    Ok(if well { Exit::Done } else { Exit::Error })
}

fn words(failure: Failure) -> String {
    match failure {
        Failure::Problems(problems) => format!("{}; see `handover check`", problems.summary()),
        Failure::Fault(_, fault) => full(&fault),
        Failure::Refusal(refusal) => full(&refusal.fault),
        Failure::Stopped(.., failure) => words(*failure),
    }
}

/// A fault with what can be done about it.
fn full(fault: &Fault) -> String {
    match &fault.hint {
        Some(hint) => format!("{fault}: {hint}"),
        None => fault.to_string(),
    }
}

fn counts(inventory: &Inventory) -> String {
    format!("{} credentials, {} services", inventory.credentials.len(), inventory.services.len())
}

/// The journal, if there is one, or why none can be made in a folder that is there. Opening makes none.
fn open(state: &Path) -> Option<Result<SqliteJournal, Fault>> {
    let path = state.join("journal.db");
    if std::fs::symlink_metadata(&path).is_err() {
        let unsafe_place = state.exists().then(|| crate::journal::check_folder(state).err()).flatten()?;
        return Some(Err(unsafe_place.fault()));
    }
    Some(SqliteJournal::open(Options::new(state)).map_err(|e| e.fault()))
}

fn journal(state: &Path, opened: &Option<Result<SqliteJournal, Fault>>) -> Result<String, String> {
    match opened {
        None => Ok(format!("none yet in {}; made at the first rotation", state.display())),
        Some(Ok(_)) => Ok(format!("sound, in {}", state.display())),
        Some(Err(fault)) => Err(full(fault)),
    }
}

fn host(state: &Path) -> Result<String, String> {
    let there = state.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    super::host::check(there, None).map(|()| "room for the journal, clock set".to_owned()).map_err(|f| full(&f))
}

/// Whether the key is safe, and the one that the journal was sealed with. It is never made here.
async fn sealing_key(context: &Context, state: &Path, opened: Option<&Result<SqliteJournal, Fault>>) -> Found {
    let source = match context.key_source() {
        Ok(source) => source,
        Err(failure) => return Found::Bad(words(failure)),
    };
    let by = match wrapped_by(state) {
        Ok(by) => by,
        Err(error) => return Found::Bad(full(&error.fault())),
    };
    if by.is_some() || source.as_ref().is_some_and(|s| s.kind() != "file") {
        return wrapped_key(state, opened, by, source.as_deref()).await;
    }
    let path = state.join("seal.key");
    let missing = std::fs::symlink_metadata(&path).is_err();
    let (bound, instance) = match opened {
        Some(Ok(journal)) => match journal.key_mark().await {
            Ok(mark) => (mark, journal.instance_id().to_owned()),
            Err(error) => return Found::Bad(full(&error.fault())),
        },
        Some(Err(_)) => return Found::Warning("not looked at: the journal that it belongs to cannot be opened".to_owned()),
        None => (None, String::new()),
    };
    if missing && bound.is_none() {
        return Found::Well(format!("a file, made at the first rotation: {}", path.display()));
    }
    let sealer = match Sealer::from_file(&path, &instance) {
        Ok(sealer) => sealer,
        Err(error) => return Found::Bad(full(&error.fault())),
    };
    let whose = match &bound {
        Some(mark) if mark == sealer.mark() => "the journal's own; ",
        Some(_) => {
            let error = crate::journal::another_key();
            return Found::Bad(format!("{}: {}", path.display(), full(&error.fault())));
        }
        None => "",
    };
    Found::Well(format!("a file, {whose}whoever reads it and the journal can read what is sealed ({})", path.display()))
}

/// The same for a key that is wrapped, or will be: its source is asked.
async fn wrapped_key(
    state: &Path,
    opened: Option<&Result<SqliteJournal, Fault>>,
    by: Option<WrappedBy>,
    source: Option<&dyn KeySource>,
) -> Found {
    let in_folder = KeyFile::new(state);
    let strong = source.unwrap_or(&in_folder).strength();
    let Some(by) = by else {
        let Some(source) = source else { return Found::Bad("no source".to_owned()) };
        let bound = match opened {
            Some(Ok(journal)) => journal.key_mark().await.ok().flatten().is_some(),
            _ => false,
        };
        if bound || std::fs::symlink_metadata(state.join("seal.key")).is_ok() {
            let what = format!("this journal was sealed without {}", source.kind());
            return Found::Bad(format!("{what}: `seal migrate --to FILE`, without --seal, hands its key over (HO0391)"));
        }
        // A key of nothing: it proves that the source can be used, and is forgotten.
        return match source.make("doctor").await {
            Ok(_) => Found::Well(format!("{} ({}), made at the first rotation; {strong}", source.kind(), source.id())),
            Err(fault) => Found::Bad(full(&fault)),
        };
    };
    let version = by.version.map(|v| format!(", version {v}")).unwrap_or_default();
    match opened {
        Some(Ok(journal)) => match open_seal(journal, state, source).await {
            Ok(_) => Found::Well(format!("{} ({}{version}), the journal's own; {strong}", by.kind, by.id)),
            Err(error) => Found::Bad(full(&error.fault())),
        },
        _ => Found::Warning("not looked at: the journal that it belongs to cannot be opened".to_owned()),
    }
}

/// The accounts and the places of the entries, where something is to be mended. What entries hold is looked at by `plan`.
async fn places(inventory: &Inventory) -> Vec<(String, Found)> {
    let mut all = Vec::new();
    for name in inventory.credentials.keys() {
        let ports = match Registry.ports(inventory, name) {
            Ok(ports) => ports,
            Err(fault) => {
                all.push((name.to_string(), Found::Warning(full(&fault))));
                continue;
            }
        };
        for (entry, port) in &ports.entries {
            // Faults that say who else could write there; whether the file is there at all is asked by `plan`.
            let limit = Duration::from_millis(port.store.request_timeout().0);
            if let Ok(Outcome::NotDone(fault)) = timeout(limit, port.store.read(&port.place)).await
                && ["HO0604", "HO0623"].contains(&fault.code.as_str())
            {
                all.push((format!("{name} {entry}"), Found::Bad(full(&fault))));
            }
        }
        if ports.provider.facts().shape.lists() {
            let limit = Duration::from_millis(ports.provider.facts().request_timeout.0);
            match timeout(limit, ports.provider.permitted(&ports.account)).await {
                Ok(Outcome::Done(_)) => {}
                Ok(Outcome::NotDone(fault) | Outcome::Unknown(fault)) => {
                    all.push((name.to_string(), Found::Bad(full(&fault))));
                }
                Err(_) => all.push((name.to_string(), Found::Warning("its provider did not answer in time".to_owned()))),
            }
        }
        let told = ports.warnings(false).await.into_iter();
        all.extend(told.map(|warning| (name.to_string(), Found::Warning(warning))));
    }
    all
}

fn roots() -> Result<String, String> {
    match rustls_native_certs::load_native_certs().certs.len() {
        0 => Err("none: name a `ca_file` for each server, or install ca-certificates".to_owned()),
        n => Ok(format!("{n} certificates")),
    }
}
