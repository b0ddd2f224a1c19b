//! What belongs to the sandbox in its folder, and what to a person: a folder with other things in it is not touched, and a
//! file that a person has edited is not overwritten.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use handover_rotation::outcome::{Fault, FaultClass};

use super::layout::Layout;
use crate::providers::sandbox::files::{self, Lasting, file_fault};
use crate::providers::sandbox::ledger::Ledger;

/// What a first start that was killed may leave before the folder has its mark, `sandbox.json`.
const EARLY: [&str; 6] = ["running.lock", "ports.json", ".ports.json.tmp", "accounts", "sandbox.lock", ".sandbox.json.tmp"];

/// Refuses a folder that something other than a sandbox has filled. Writes nothing.
///
/// # Errors
/// It is such a folder, or cannot be looked into.
pub fn check_folder(dir: &Path) -> Result<(), Fault> {
    check(&Layout::new(dir)?)
}

/// Refuses a folder that has something in it and was not made by a sandbox. Writes nothing.
pub(super) fn check(layout: &Layout) -> Result<(), Fault> {
    let dir = &layout.dir;
    let trouble = |e: &std::io::Error| file_fault("HO0903", "look into", dir, e);
    let names = match std::fs::read_dir(dir) {
        Ok(entries) => entries.map(|e| e.map(|e| e.file_name().to_string_lossy().into_owned())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(trouble(&e)),
    };
    let names: Vec<String> = names.collect::<Result<_, _>>().map_err(|e| trouble(&e))?;
    if names.iter().any(|name| name == "sandbox.json") {
        // One of that name that is not a sandbox's is damaged to it, which says so.
        return Ledger::open(dir).map(drop);
    }
    let Some(foreign) = names.iter().find(|name| !EARLY.contains(&name.as_str())) else { return Ok(()) };
    let message =
        format!("{} is not empty and not a sandbox's folder (it has {foreign}): nothing was written", dir.display());
    Err(Fault::new(FaultClass::Permanent, "HO0911", message).hint("give an empty folder or a new one with --dir"))
}

/// Files that are written at every start, each with the hash of what was written last.
pub(super) struct Written {
    path: PathBuf,
    hashes: BTreeMap<String, String>,
    /// What a person is to be told.
    pub(super) notes: Vec<String>,
}

impl Written {
    pub(super) fn load(layout: &Layout) -> Result<Self, Fault> {
        let path = layout.dir.join("written.json");
        let bytes = files::read_if_there(&path).map_err(|e| file_fault("HO0903", "read", &path, &e))?;
        // Without it every file that differs counts as edited, which loses nothing.
        let hashes = bytes.and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
        Ok(Self { path, hashes, notes: Vec::new() })
    }

    /// Writes `text` to `path`, unless a person has edited what is there: then it goes to a file beside it.
    pub(super) fn put(&mut self, path: &Path, text: &str) -> Result<(), Fault> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let there = files::read_if_there(path).map_err(|e| file_fault("HO0903", "read", path, &e))?;
        let fresh = hash(text.as_bytes());
        let edited = there.map(|bytes| hash(&bytes)).filter(|h| *h != fresh && self.hashes.get(&name) != Some(h));
        let beside = path.with_file_name(format!("{name}.new"));
        if edited.is_none() {
            write(path, text)?;
            // What an earlier start has put beside it.
            let _ = std::fs::remove_file(beside);
            self.hashes.insert(name, fresh);
            return Ok(());
        }
        write(&beside, text)?;
        self.notes.push(format!(
            "{} was edited and is left as it is; what this start would have written is in {}: delete the edited one to have \
             it back",
            path.display(),
            beside.display()
        ));
        Ok(())
    }

    pub(super) fn save(self) -> Result<Vec<String>, Fault> {
        let text = serde_json::to_string_pretty(&self.hashes).unwrap_or_default();
        write(&self.path, &text)?;
        Ok(self.notes)
    }
}

fn write(path: &Path, text: &str) -> Result<(), Fault> {
    files::replace(path, text.as_bytes(), Lasting::PowerCut).map_err(|e| file_fault("HO0903", "write", path, &e.into()))
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes).as_ref())
}
