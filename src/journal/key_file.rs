//! The key source where none is named: wrapping keys are files of their own in the state folder, one after the other.
//!
//! It protects against a copy of the database alone. Whoever reads the whole folder has everything.

use std::fs;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use handover_rotation::outcome::{Fault, FaultClass};

use super::envelope::{DIRECT, IN_FOLDER, Key, KeySource, Passing, Wrapped};
use super::error::{JournalError, Kind, io as io_error};
use super::place::sync_folder;
use super::seal;

const START: &str = "seal-key.";

/// Wrapping keys in the state folder.
pub struct KeyFile {
    folder: PathBuf,
}

impl KeyFile {
    /// Of this state folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }
}

fn is_name(name: &str) -> bool {
    name.strip_prefix(START).is_some_and(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn fault(error: JournalError) -> Fault {
    error.fault()
}

#[async_trait]
impl KeySource for KeyFile {
    fn kind(&self) -> &'static str {
        IN_FOLDER
    }

    fn id(&self) -> String {
        "in the state folder".to_owned()
    }

    fn strength(&self) -> String {
        "whoever reads it and the journal can read what is sealed".to_owned()
    }

    async fn make(&self, instance: &str) -> Result<(Key, Wrapped), Fault> {
        let id = crate::random::hex_id(8)
            .map_err(|e| Fault::new(FaultClass::Temporary, "HO0328", format!("no randomness: {e}")))?;
        let name = format!("{START}{id}");
        seal::create(&self.folder.join(&name)).map_err(fault)?;
        let key = self.unwrap(instance, &name).await?;
        Ok((key, Wrapped { text: name, version: None }))
    }

    async fn unwrap(&self, _: &str, text: &str) -> Result<Key, Fault> {
        if !is_name(text) {
            let what = "`seal.json` names a key file that is none";
            return Err(Fault::new(FaultClass::Permanent, "HO0390", what));
        }
        let mut key = Key::default();
        key.copy_from_slice(&seal::read(&self.folder.join(text)).map_err(fault)?);
        Ok(key)
    }

    async fn rewrap(&self, _: &str, _: &str) -> Result<Option<Wrapped>, Fault> {
        Ok(None)
    }
}

/// Removes the key files that nothing names any more. Only under the lock, and once `seal.json` is durable.
pub(super) fn sweep(folder: &Path, keep: Option<&str>, passing: Passing<'_>) -> Result<(), JournalError> {
    let fail = |e| io_error("remove an old sealing key in", folder, e).with_kind(Kind::Seal);
    let mut gone = false;
    for entry in fs::read_dir(folder).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        let Some(name) = name.to_str() else { continue };
        if (name == DIRECT || is_name(name)) && Some(name) != keep {
            fs::remove_file(folder.join(name)).map_err(fail)?;
            gone = true;
            passing("removed")?;
        }
    }
    if gone {
        sync_folder(folder).map_err(fail)?;
    }
    passing("swept")
}
