//! Inventory and playbooks as they are in force. They are read again when a file changes or a signal says so; where they are bad,
//! those before stay in force and people are told. Rotations under way keep their plan in any case.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use handover_rotation::playbook::Playbook;

use super::inbound::Sources;
use crate::config::diagnostic::Problems;
use crate::config::inventory::Inventory;
use crate::config::load::load_inventory;
use crate::config::playbooks::load_playbooks;
use crate::registry::Registry;

/// The files of one moment, checked.
pub struct InForce {
    /// The inventory.
    pub inventory: Inventory,
    /// The playbooks, by name.
    pub playbooks: BTreeMap<String, Playbook>,
    /// The sources of alerts that the inventory names.
    pub sources: Sources,
    /// How many times they were read anew since the start.
    pub generation: u64,
    /// What tells them from all others: where they are and every byte of them.
    pub digest: Option<String>,
}

/// Where the files are, and what is in force.
pub struct Files {
    inventory: PathBuf,
    playbooks: PathBuf,
    now: RwLock<Arc<InForce>>,
    seen: RwLock<Seen>,
}

/// Paths with their sizes and times: enough to see that something has changed.
type Seen = Vec<(PathBuf, u64, SystemTime)>;

impl Files {
    /// Reads them for the first time.
    ///
    /// # Errors
    /// Every problem of them.
    pub fn open(inventory: PathBuf, playbooks: PathBuf) -> Result<Self, Problems> {
        let seen = look(&[&inventory, &playbooks]);
        let now = Arc::new(read(&inventory, &playbooks, 0)?);
        Ok(Self { inventory, playbooks, now: RwLock::new(now), seen: RwLock::new(seen) })
    }

    /// Where the inventory is, and the playbooks.
    #[must_use]
    pub fn places(&self) -> (&Path, &Path) {
        (&self.inventory, &self.playbooks)
    }

    /// What is in force now.
    #[must_use]
    pub fn now(&self) -> Arc<InForce> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a file has changed since it was last read. Blocks: a few system calls a file.
    #[must_use]
    pub fn changed(&self) -> bool {
        *self.seen.read().unwrap_or_else(PoisonError::into_inner) != look(&[&self.inventory, &self.playbooks])
    }

    /// Reads them again. Blocks.
    ///
    /// # Errors
    /// Every problem of them; then those before stay in force.
    pub fn reload(&self) -> Result<Arc<InForce>, Problems> {
        // Before they are read: a change meanwhile is seen the next time.
        let seen = look(&[&self.inventory, &self.playbooks]);
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = seen;
        let fresh = Arc::new(read(&self.inventory, &self.playbooks, self.now().generation + 1)?);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&fresh);
        Ok(fresh)
    }
}

fn read(inventory: &Path, playbooks: &Path, generation: u64) -> Result<InForce, Problems> {
    // Before they are read, as above.
    let digest = crate::config::digest(&[inventory, playbooks]);
    let inventory = load_inventory(inventory, &Registry)?;
    let playbooks = load_playbooks(playbooks)?;
    let sources = Registry.alerts(&inventory);
    Ok(InForce { inventory, playbooks, sources, generation, digest })
}

fn look(roots: &[&Path]) -> Seen {
    let mut seen = Vec::new();
    for root in roots {
        let below = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in std::iter::once(root.to_path_buf()).chain(below) {
            if let Ok(meta) = std::fs::metadata(&path) {
                seen.push((path, meta.len(), meta.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
            }
        }
    }
    seen.sort();
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(folder: &Path) -> (PathBuf, PathBuf) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (inventory, playbooks) = (folder.join("inventory.yaml"), folder.join("playbooks"));
        std::fs::copy(root.join("inventory/example.yaml"), &inventory).expect("it copies");
        std::fs::create_dir(&playbooks).expect("a folder");
        for entry in std::fs::read_dir(root.join("playbooks")).expect("they are there").flatten() {
            std::fs::copy(entry.path(), playbooks.join(entry.file_name())).expect("it copies");
        }
        (inventory, playbooks)
    }

    #[test]
    fn a_bad_file_is_refused_and_the_old_one_stays_in_force() {
        let folder = tempfile::tempdir().expect("a folder");
        let (inventory, playbooks) = copied(folder.path());
        let files = Files::open(inventory.clone(), playbooks).expect("they are good");
        let before = files.now();
        assert!(!files.changed());
        let good = std::fs::read_to_string(&inventory).expect("it reads");
        std::fs::write(&inventory, format!("{good}\nnonsense: true\n")).expect("it writes");
        assert!(files.changed());
        let problems = files.reload().err().expect("it is bad");
        assert!(problems.to_string().contains("nonsense"), "{problems}");
        assert!(Arc::ptr_eq(&before, &files.now()), "what was in force stays");
        assert!(!files.changed(), "it is told once and not each time");
        std::fs::write(&inventory, good).expect("it writes");
        assert!(files.changed());
        assert_eq!(files.reload().unwrap_or_else(|problems| panic!("{problems}")).generation, 1);
        assert_eq!(files.now().generation, 1);
    }
}
