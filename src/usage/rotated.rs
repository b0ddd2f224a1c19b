//! A log and its rotated ones: `mail.log`, `mail.log.1`, `mail.log.2.gz`, `mail.log-20261126.gz`. Each log with its rotated ones is a
//! group, the newest file first.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use flate2::read::MultiGzDecoder;

/// More files than these are not read: then a part is missing, which is told.
const MOST_FILES: usize = 10_000;
/// How deep folders of records are looked into: AWS writes one a day below account, region and year.
const MOST_DEPTH: usize = 10;
/// What is read at once.
const BUFFER: usize = 64 << 10;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogFile {
    /// Where it is.
    pub path: PathBuf,
    /// When it was last written, in milliseconds since the Unix epoch.
    pub written_ms: i64,
    /// Whether it is compressed by gzip.
    gzip: bool,
    order: Order,
}

/// The order of the files of a group: what is written now, by number, by date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Live,
    Number(u64),
    Date(std::cmp::Reverse<u64>),
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct FoundFiles {
    /// The groups, each with its newest file first.
    pub groups: Vec<Vec<LogFile>>,
    /// How many files are compressed in a way that is not read.
    pub unread: usize,
    /// Whether there were more than are read.
    pub too_many: bool,
}

/// The log at `path` with its rotated ones, or all logs of the folder `path`.
///
/// # Errors
/// It cannot be looked at.
pub(super) fn logs(path: &Path) -> io::Result<FoundFiles> {
    let (folder, only) = match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => (path, None),
        // A log that was rotated away a moment ago has its siblings still.
        Ok(_) => (parent(path), path.file_name()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (parent(path), path.file_name()),
        Err(error) => return Err(error),
    };
    let only = only.map(|name| name.to_string_lossy().into_owned());
    let mut groups: BTreeMap<String, Vec<LogFile>> = BTreeMap::new();
    let mut found = FoundFiles::default();
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Some((stem, order, packed)) = take_apart(&name, only.as_deref()) else { continue };
        // The log that is named may be a link, as /var/log often has them; what lies beside it may not.
        let meta = if only.as_deref() == Some(name.as_str()) { std::fs::metadata(entry.path()) } else { entry.metadata() };
        let Ok(meta) = meta else { continue };
        if !meta.is_file() || meta.len() == 0 {
            continue;
        }
        if packed == Packed::Otherwise {
            found.unread += 1;
            continue;
        }
        count += 1;
        if count > MOST_FILES {
            found.too_many = true;
            break;
        }
        let file = LogFile { path: entry.path(), written_ms: written(&meta), gzip: packed == Packed::Gzip, order };
        groups.entry(stem).or_default().push(file);
    }
    for mut group in groups.into_values() {
        group.sort_by(|a, b| (a.order, b.written_ms).cmp(&(b.order, a.written_ms)));
        found.groups.push(group);
    }
    Ok(found)
}

/// What a walk has passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Walked {
    /// Files that were given.
    pub(super) files: u64,
    /// Files that are packed in a way that is not read, and folders that are too deep.
    pub(super) unread: u64,
}

/// Gives every file at or below `path` to `each`, for records that carry their own time. Folders are not kept, however many files
/// they have. What was last written before `since_ms` holds nothing later and is left out. `each` says whether to go on.
///
/// # Errors
/// `path` or a folder below it cannot be looked at.
pub(super) fn records(path: &Path, since_ms: u64, each: &mut dyn FnMut(&LogFile) -> bool) -> io::Result<Walked> {
    let mut walked = Walked::default();
    let mut give = |walked: &mut Walked, path: PathBuf, name: &str, meta: &std::fs::Metadata| {
        let packed = Packed::of(name).0;
        if !meta.is_file() || meta.len() == 0 {
            return true;
        }
        if packed == Packed::Otherwise {
            walked.unread += 1;
            return true;
        }
        walked.files += 1;
        let written_ms = written(meta);
        if u64::try_from(written_ms).is_ok_and(|written| written < since_ms) {
            return true;
        }
        each(&LogFile { path, written_ms, gzip: packed == Packed::Gzip, order: Order::Live })
    };
    let meta = std::fs::metadata(path)?;
    if meta.is_file() {
        give(&mut walked, path.to_owned(), &path.file_name().unwrap_or_default().to_string_lossy(), &meta);
        return Ok(walked);
    }
    let mut open = vec![std::fs::read_dir(path)?];
    while let Some(folder) = open.last_mut() {
        let Some(entry) = folder.next() else {
            open.pop();
            continue;
        };
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let meta = entry.metadata()?;
        if !meta.is_dir() {
            if !give(&mut walked, entry.path(), &name, &meta) {
                return Ok(walked);
            }
        } else if open.len() > MOST_DEPTH {
            walked.unread += 1;
        } else {
            open.push(std::fs::read_dir(entry.path())?);
        }
    }
    Ok(walked)
}

impl LogFile {
    /// Opens it, unpacked.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(&self) -> io::Result<BufReader<Box<dyn Read + Send>>> {
        let file = File::open(&self.path)?;
        let plain: Box<dyn Read + Send> =
            if self.gzip { Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, file))) } else { Box::new(file) };
        Ok(BufReader::with_capacity(BUFFER, plain))
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn written(meta: &std::fs::Metadata) -> i64 {
    let since = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.and_then(|d| i64::try_from(d.as_millis()).ok()).unwrap_or(0)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packed {
    Not,
    Gzip,
    Otherwise,
}

impl Packed {
    /// How a file is packed by its name, and the name without it.
    fn of(name: &str) -> (Self, &str) {
        if let Some(stem) = name.strip_suffix(".gz") {
            return (Self::Gzip, stem);
        }
        let other = [".xz", ".bz2", ".zst", ".Z", ".lz4"].iter().find_map(|end| name.strip_suffix(end));
        other.map_or((Self::Not, name), |stem| (Self::Otherwise, stem))
    }
}

/// What a file is: the log that it belongs to, its place among the rotated ones, and how it is packed. With `only`, `None` for all
/// that does not belong to that log.
fn take_apart(name: &str, only: Option<&str>) -> Option<(String, Order, Packed)> {
    if name.starts_with('.') {
        return None;
    }
    let (packed, plain) = Packed::of(name);
    if only == Some(name) {
        return Some((name.to_owned(), Order::Live, packed));
    }
    let of = |stem: &str, rest: &str| {
        let number: String = rest.chars().filter(char::is_ascii_digit).take(14).collect();
        let known = !number.is_empty() && rest.chars().all(|c| c.is_ascii_digit() || c == '-' || c == 'T' || c == '_');
        let number = number.parse::<u64>().ok().filter(|_| known)?;
        let order = if number < 100_000 { Order::Number(number) } else { Order::Date(std::cmp::Reverse(number)) };
        Some((stem.to_owned(), order, packed))
    };
    if let Some(only) = only {
        let rest = plain.strip_prefix(only)?;
        return of(only, rest.strip_prefix(['.', '-'])?);
    }
    // `mail.log-2026-11-26` is one of `mail.log`, not of `mail.log-2026-11`.
    let digits = plain.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '-' | '_' | 'T'));
    let tail = &plain[digits.len()..];
    let rotated = match digits.strip_suffix('.') {
        Some(stem) => of(stem, tail),
        None => tail.strip_prefix('-').and_then(|rest| of(digits, rest)),
    };
    rotated.filter(|(stem, ..)| !stem.is_empty()).or_else(|| Some((plain.to_owned(), Order::Live, packed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &FoundFiles) -> Vec<String> {
        let name = |file: &LogFile| file.path.file_name().expect("a name").to_string_lossy().into_owned();
        found.groups.iter().map(|g| g.iter().map(name).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn a_log_is_found_with_its_rotated_ones_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [
            "mail.log",
            "mail.log.1",
            "mail.log.2.gz",
            "mail.log.10.gz",
            "mail.log.11.xz",
            "mail.log.bak",
            "mail.log.1.old",
            "mail.logs",
            "mail.err",
            "mail.err.1",
            "maillog",
            "maillog-20261119",
            "maillog-20261126.gz",
            ".mail.log.3",
            "other",
        ] {
            std::fs::write(folder.path().join(name), "x").expect("writes");
        }
        std::fs::write(folder.path().join("mail.log.4"), "").expect("writes");
        std::fs::create_dir(folder.path().join("mail.log.3")).expect("a folder");
        std::os::unix::fs::symlink("other", folder.path().join("mail.log.5")).expect("a link");
        let found = logs(&folder.path().join("mail.log")).expect("looks");
        assert_eq!(names(&found), ["mail.log mail.log.1 mail.log.2.gz mail.log.10.gz"]);
        assert_eq!(found.unread, 1);
        assert_eq!(
            names(&logs(&folder.path().join("maillog")).expect("looks")),
            ["maillog maillog-20261126.gz maillog-20261119"]
        );
        assert_eq!(names(&logs(&folder.path().join("gone")).expect("looks")), [""; 0]);
        assert!(logs(&folder.path().join("gone/mail.log")).is_err());
        let all = names(&logs(folder.path()).expect("looks"));
        assert!(all.contains(&"mail.log mail.log.1 mail.log.2.gz mail.log.10.gz".to_owned()), "{all:?}");
        assert!(all.contains(&"mail.err mail.err.1".to_owned()), "{all:?}");
        assert!(all.contains(&"maillog maillog-20261126.gz maillog-20261119".to_owned()), "{all:?}");
    }

    #[test]
    fn records_are_found_at_any_depth_and_links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("AWSLogs/1/CloudTrail/eu-central-1/2026/11/26");
        std::fs::create_dir_all(&deep).expect("folders");
        std::fs::write(deep.join("a.json.gz"), "x").expect("writes");
        std::fs::write(folder.path().join("b.json"), "x").expect("writes");
        std::os::unix::fs::symlink(folder.path(), deep.join("round")).expect("a link");
        let walk = |path: &Path, since_ms: u64| {
            let mut found = Vec::new();
            let walked = records(path, since_ms, &mut |file| {
                found.push(file.path.file_name().expect("a name").to_string_lossy().into_owned());
                true
            });
            found.sort();
            (found, walked.expect("looks"))
        };
        std::fs::write(folder.path().join("c.json.zst"), "x").expect("writes");
        assert_eq!(
            walk(folder.path(), 0),
            (vec!["a.json.gz".to_owned(), "b.json".to_owned()], Walked { files: 2, unread: 1 })
        );
        assert_eq!(walk(&folder.path().join("b.json"), 0).0, ["b.json"]);
        assert_eq!(walk(folder.path(), u64::MAX), (vec![], Walked { files: 2, unread: 1 }));
        let mut first = 0;
        records(folder.path(), 0, &mut |_| {
            first += 1;
            false
        })
        .expect("looks");
        assert_eq!(first, 1, "it stops when it is told to");
        let deep = folder.path().join("1/2/3/4/5/6/7/8/9/10/11/12");
        std::fs::create_dir_all(&deep).expect("folders");
        assert_eq!(walk(folder.path(), 0).1.unread, 2);
    }
}
