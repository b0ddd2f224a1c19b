//! A desk: an inventory of real parts in a folder of its own, and `handover` run on it as a person would.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Going, HANDOVER, Run};

/// The one credential of every desk.
pub(crate) const CREDENTIAL: &str = "newsletter";

/// A folder with an inventory and a journal.
pub(crate) struct Desk {
    folder: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("handover-desk-").tempdir().expect("a folder");
        Self { folder }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn inventory(&self, text: &str) {
        std::fs::write(self.dir().join("inventory.yaml"), text).expect("it is written");
    }

    fn playbooks() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(HANDOVER);
        command.args(args).arg("--json");
        command.arg("--inventory").arg(self.dir().join("inventory.yaml"));
        command.arg("--playbooks").arg(Self::playbooks());
        command.arg("--state").arg(self.dir().join("state"));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        Going::start(self.command(args)).end()
    }

    pub(crate) fn rotate(&self, playbook: &str) -> Run {
        self.run(&["rotate", CREDENTIAL, "--playbook", playbook, "--yes"])
    }

    pub(crate) fn resume(&self) -> Run {
        self.run(&["resume", CREDENTIAL])
    }

    pub(crate) fn rotating(&self, playbook: &str) -> Going {
        Going::start(self.command(&["rotate", CREDENTIAL, "--playbook", playbook, "--yes"]))
    }
}
