//! Delivery to a Maildir: written in `tmp`, flushed, renamed into `new`; only then does the server say 250.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::providers::sandbox::files::{now_ms, private_dir};

/// What the server knows about a message besides its content.
pub(super) struct Envelope {
    pub(super) helo: String,
    pub(super) username: String,
    pub(super) from: String,
    pub(super) to: Vec<String>,
}

/// A Maildir.
pub(super) struct Maildir {
    path: PathBuf,
    count: AtomicU64,
}

impl Maildir {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        for folder in ["tmp", "new", "cur"] {
            private_dir(&path.join(folder))?;
        }
        Ok(Self { path, count: AtomicU64::new(0) })
    }

    /// Delivers a message and answers the id under which it was taken.
    pub(super) fn deliver(&self, envelope: &Envelope, content: &[u8]) -> io::Result<String> {
        let (now, count) = (now_ms(), self.count.fetch_add(1, Ordering::Relaxed));
        let name = format!("{}.M{}P{}Q{count}.sandbox", now / 1000, now % 1000, std::process::id());
        let id = format!("{:x}{count:x}", now);
        let (tmp, new) = (self.path.join("tmp").join(&name), self.path.join("new").join(&name));
        let written = write(&tmp, &trace(envelope, &id), content).and_then(|()| fs::rename(&tmp, &new));
        if let Err(error) = written {
            drop(fs::remove_file(&tmp));
            return Err(error);
        }
        File::open(self.path.join("new"))?.sync_all()?;
        Ok(id)
    }
}

fn write(path: &Path, head: &str, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(head.as_bytes())?;
    file.write_all(content)?;
    file.sync_all()
}

/// The header lines that the server adds. Everything from outside is stripped to harmless characters.
fn trace(envelope: &Envelope, id: &str) -> String {
    let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S +0000");
    let (helo, username, from) = (plain(&envelope.helo), plain(&envelope.username), plain(&envelope.from));
    let mut head = format!("Return-Path: <{from}>\r\n");
    for to in &envelope.to {
        head.push_str(&format!("Delivered-To: {}\r\n", plain(to)));
    }
    head.push_str(&format!(
        "Received: from {helo} ([127.0.0.1]) (authenticated as {username})\r\n\tby localhost (Handover sandbox) with ESMTPSA id {id};\r\n\t{date}\r\n"
    ));
    head
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() && !"<>(),;\\\"".contains(*c)).take(256).collect()
}
