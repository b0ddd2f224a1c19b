//! Reads configuration files from disk, capped in size and number. Nothing but regular files is opened: a FIFO in a folder
//! must not hold `check` for ever.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::diagnostic::{Problem, Problems};
use super::node::{MOST_BYTES, Node};
use super::source::Source;

/// The most files a folder may hold.
const MOST_FILES: usize = 1000;

/// The files that `path` means: itself, or the `*.yaml` and `*.yml` of the folder, sorted by name.
pub(super) fn find(path: &Path, what: &str, problems: &mut Problems) -> Vec<PathBuf> {
    let shown = path.display().to_string();
    match std::fs::metadata(path) {
        Err(error) => {
            problems.push(unreadable(&shown, &error));
            return Vec::new();
        }
        Ok(facts) if !facts.is_dir() => return vec![path.to_owned()],
        Ok(_) => {}
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(unreadable(&shown, &error));
            return Vec::new();
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) if is_yaml(&entry.path()) => files.push(entry.path()),
            Ok(_) => {}
            Err(error) => problems.push(unreadable(&shown, &error)),
        }
    }
    files.sort();
    if files.is_empty() {
        let message = format!("the folder holds no {what}: no file that ends in `.yaml` or `.yml`");
        problems.push(Problem::of_file("HO0108", &shown, message).hint("name another folder, or a file"));
    }
    if files.len() > MOST_FILES {
        let message = format!("the folder holds {} files; at most {MOST_FILES} are read", files.len());
        problems.push(Problem::of_file("HO0102", &shown, message).hint("name a folder that holds only these files"));
        files.clear();
    }
    files
}

/// What tells these files from all others: where they are and every byte of them. `None` where one cannot be read, or is too many.
#[must_use]
pub fn digest(roots: &[&Path]) -> Option<String> {
    let mut hash = Context::new(&SHA256);
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for root in roots {
        // Paths in a file count from its folder: the same bytes elsewhere may mean something else.
        let root = std::fs::canonicalize(root).ok()?;
        let mut problems = Problems::default();
        for path in find(&root, "", &mut problems) {
            part(path.as_os_str().as_encoded_bytes());
            part(read_text(&path).ok()?.as_bytes());
        }
        if !problems.is_empty() {
            return None;
        }
    }
    Some(hex::encode(&hash.finish().as_ref()[..16]))
}

fn is_yaml(path: &Path) -> bool {
    let hidden = path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with('.'));
    !hidden && path.extension().is_some_and(|e| e == "yaml" || e == "yml")
}

/// One file as a tree.
pub(super) fn read(path: &Path, problems: &mut Problems) -> Option<Node> {
    let shown = path.display().to_string();
    let text = match read_text(path) {
        Ok(text) => text,
        Err(problem) => {
            problems.push(*problem);
            return None;
        }
    };
    // Without symbolic links, so that `..` at the beginning of a path in the file can be taken at its word.
    let folder = std::fs::canonicalize(path).ok().and_then(|p| p.parent().map(Path::to_owned)).unwrap_or_default();
    Node::parse(&Source::new(shown, folder), &text, problems)
}

fn read_text(path: &Path) -> Result<String, Box<Problem>> {
    let shown = path.display().to_string();
    let facts = std::fs::metadata(path).map_err(|error| Box::new(unreadable(&shown, &error)))?;
    if !facts.is_file() {
        let problem = Problem::of_file("HO0101", &shown, "this is not a regular file");
        return Err(Box::new(problem.hint("remove it, or name another file")));
    }
    let mut bytes = Vec::new();
    let limit = MOST_BYTES as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| Box::new(unreadable(&shown, &error)))?;
    if bytes.len() > MOST_BYTES {
        let message = format!("the file is larger than {} KiB", MOST_BYTES / 1024);
        let problem = Problem::of_file("HO0102", &shown, message).hint("split it: a folder of files is read as one");
        return Err(Box::new(problem));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        let message = format!("line {line} is not UTF-8 text");
        Box::new(Problem::of_file("HO0101", &shown, message).hint("save the file as UTF-8"))
    })
}

fn unreadable(shown: &str, error: &std::io::Error) -> Problem {
    let (message, hint) = match error.kind() {
        ErrorKind::NotFound => {
            ("no such file or folder".to_owned(), "check the path; relative ones start from where you are")
        }
        ErrorKind::PermissionDenied => ("no permission to read it".to_owned(), "check its owner and mode, and its folder's"),
        _ => (format!("cannot be read: {error}"), "check the path and the disk"),
    };
    Problem::of_file("HO0101", shown, message).hint(hint)
}
