//! A disk that fails on demand: builds the library of `disk/failing.c`, puts it under a command, and reads its log.
//!
//! It sees what goes through the C library: SQLite, and files by `std`. What `rustix` asks the kernel directly it does not see;
//! in a state folder that is `statfs` on the folder, and the rename of a new sealing key.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::world::quick_folder;

/// How an operation fails. The words are those of `failing.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    /// It fails, and nothing has happened.
    Eio,
    /// It happens, and is said to have failed.
    After,
    /// It finds no room.
    Enospc,
    /// A write takes half of its bytes, and the next one finds no room.
    Short,
    /// From there on there is no room for anything new.
    Full,
    /// From there on everything fails.
    Dead,
}

impl How {
    pub(crate) const ALL: [Self; 6] = [Self::Eio, Self::After, Self::Enospc, Self::Short, Self::Full, Self::Dead];

    /// Whether this can happen to an operation. A disk that is full from a look on is full from the next write on.
    pub(crate) fn fits(self, op: &Op) -> bool {
        match self {
            Self::Eio | Self::Dead => true,
            Self::After | Self::Enospc => op.class != "look",
            Self::Short => op.name.contains("write"),
            Self::Full => op.class == "room",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Eio => "eio",
            Self::After => "after",
            Self::Enospc => "enospc",
            Self::Short => "short",
            Self::Full => "full",
            Self::Dead => "dead",
        }
    }
}

/// A file operation that was seen.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) number: usize,
    pub(crate) class: String,
    pub(crate) name: String,
    pub(crate) path: String,
}

/// The operations of one process, and those of them that failed.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) all: Vec<Op>,
    pub(crate) struck: Vec<usize>,
}

/// The library, built for as long as this lives.
pub(crate) struct FailingDisk {
    folder: TempDir,
}

impl FailingDisk {
    /// Builds it. There is a C compiler wherever the tests were built: SQLite is built with it.
    pub(crate) fn build() -> Self {
        let disk = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/disk/failing.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(disk.library()).arg(source).arg("-ldl");
        let built = cc.output().expect("there is a C compiler, called `cc`");
        assert!(built.status.success(), "failing.c does not build: {}", String::from_utf8_lossy(&built.stderr));
        disk
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("failing.so")
    }

    /// Watches the operations of a command below a folder, and makes the `at`th fail.
    pub(crate) fn under(&self, command: &mut Command, below: &Path, log: &Path, blow: Option<(usize, How)>) {
        let below = below.canonicalize().expect("the folder is there");
        let _ = std::fs::remove_file(log);
        command.env("LD_PRELOAD", self.library());
        command.env("HANDOVER_DISK_BELOW", below).env("HANDOVER_DISK_LOG", log);
        if let Some((at, how)) = blow {
            command.env("HANDOVER_DISK_AT", at.to_string()).env("HANDOVER_DISK_HOW", how.word());
        }
    }
}

/// What the log says.
pub(crate) fn seen(log: &Path) -> Seen {
    let mut seen = Seen::default();
    for line in std::fs::read_to_string(log).unwrap_or_default().lines() {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let first = word();
        if first == "STRUCK" {
            seen.struck.push(word().parse().expect("a number"));
        } else {
            seen.all.push(Op { number: first.parse().expect("a number"), class: word(), name: word(), path: word() });
        }
    }
    seen
}

/// A folder that goes away with its value, in memory where there is such a folder.
pub(crate) fn quick_temporary(prefix: &str) -> TempDir {
    tempfile::Builder::new().prefix(prefix).tempdir_in(quick_folder()).expect("a temporary folder")
}
