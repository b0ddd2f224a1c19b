//! Leak reports as files: what scanners write and what sources of alerts answer, for `handover alert FILE`. JSON lines are streamed,
//! a line at a time; other documents are read whole, up to a size.
//!
//! Each format is a sibling in this folder: whether a document is of it, and the findings in it. What has no secret in it, since it
//! was redacted, is a report all the same: people are told.

mod aws;
mod detect_secrets;
mod ggshield;
mod gitguardian;
mod github;
mod gitlab;
mod gitleaks;
mod sarif;
#[cfg(test)]
mod tests;
mod trufflehog;

use std::io::{BufRead, Read};

use handover_rotation::outcome::{Fault, FaultClass};
use zeroize::Zeroizing;

use super::Report;
use super::json::Json;
use super::report::printable;

/// The largest document that is not JSON lines, and the longest first line.
pub const MOST_DOCUMENT: u64 = 32 << 20;

/// The longest line of JSON lines after the first.
pub const MOST_LINE: u64 = 4 << 20;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// It is told by what is in it.
    Auto,
    /// `trufflehog --json`, version 3.
    Trufflehog,
    /// `gitleaks -f json`, versions 7 and 8.
    Gitleaks,
    /// SARIF, of any tool; Gitleaks puts the secret in it.
    Sarif,
    /// `ggshield secret scan --json --show-secrets`.
    Ggshield,
    /// A baseline of detect-secrets.
    DetectSecrets,
    /// GitLab's `gl-secret-detection-report.json`.
    Gitlab,
    /// GitGuardian: bodies of its webhook, incidents of its API.
    Gitguardian,
    /// GitHub: bodies of its webhook, alerts of its API.
    Github,
    /// AWS Health and GuardDuty: events and answers of their APIs.
    AwsHealth,
}

/// One format: its name, whether a document is of it, and what it tells.
struct Kind {
    name: &'static str,
    format: Format,
    is: fn(&Json) -> bool,
    read: fn(&str, &Json) -> Result<Vec<Report>, Unfit>,
}

/// Where a document is not what its format says.
struct Unfit(String);

const KINDS: &[Kind] = &[
    Kind { name: "trufflehog", format: Format::Trufflehog, is: trufflehog::is, read: trufflehog::read },
    Kind { name: "gitleaks", format: Format::Gitleaks, is: gitleaks::is, read: gitleaks::read },
    Kind { name: "sarif", format: Format::Sarif, is: sarif::is, read: sarif::read },
    Kind { name: "ggshield", format: Format::Ggshield, is: ggshield::is, read: ggshield::read },
    Kind { name: "detect-secrets", format: Format::DetectSecrets, is: detect_secrets::is, read: detect_secrets::read },
    Kind { name: "gitlab", format: Format::Gitlab, is: gitlab::is, read: gitlab::read },
    Kind { name: "gitguardian", format: Format::Gitguardian, is: gitguardian::is, read: gitguardian::read },
    Kind { name: "github", format: Format::Github, is: github::is, read: github::read },
    Kind { name: "aws-health", format: Format::AwsHealth, is: aws::is, read: aws::read },
];

impl Format {
    /// The names for a command line: `auto` and those of all formats.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ["auto"].into_iter().chain(KINDS.iter().map(|kind| kind.name))
    }

    /// The format of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let kind = KINDS.iter().find(|kind| kind.name == name).map(|kind| kind.format);
        if name == "auto" { Some(Self::Auto) } else { kind }
    }
}

/// The reports of a text that is at hand. `name` is that of the file, for messages and references.
///
/// # Errors
/// Those of [`stream`].
pub fn read(name: &str, text: &[u8], format: Format) -> Result<Vec<Report>, Fault> {
    let mut reports = Vec::new();
    stream(name, &mut &*text, format, &mut |report| {
        reports.push(report);
        Ok(())
    })?;
    Ok(reports)
}

/// Hands each report of a file to `each`, as it is read, and says how many there were. A fault of `each` ends it.
///
/// # Errors
/// `HO1140` where the file cannot be read or is too large, `HO1141` for a format that is not known, `HO1142` where it is no JSON,
/// `HO1143` where it is not of its format: with file and line, and without a word of it. Reports before that place were handed over.
pub fn stream(
    name: &str,
    reader: &mut dyn BufRead,
    format: Format,
    each: &mut dyn FnMut(Report) -> Result<(), Fault>,
) -> Result<usize, Fault> {
    let file = File { name: printable(name), format };
    let mut reader = Lines { reader, number: 0 };
    let Some(first) = reader.next(&file, MOST_DOCUMENT)? else { return Ok(0) };
    let first_number = reader.number;
    let Ok(document) = Json::read(&first) else {
        // A document of several lines.
        return file.whole(first, first_number, &mut reader, each);
    };
    drop(first);
    let mut count = file.document(first_number, &document, each)?;
    drop(document);
    while let Some(line) = reader.next(&file, MOST_LINE)? {
        let number = reader.number;
        let document = Json::read(&line)
            .map_err(|e| file.fault("HO1142", number, &format!("{}, at column {}", e.what, e.column), JSON_HINT))?;
        count += file.document(number, &document, each)?;
    }
    Ok(count)
}

const JSON_HINT: &str = "is it whole, and nothing but what the tool wrote to its standard output?";

/// A file that is read.
struct File {
    name: String,
    format: Format,
}

impl File {
    fn fault(&self, code: &str, line: usize, what: &str, hint: &str) -> Fault {
        Fault::new(FaultClass::Permanent, code, format!("{}:{line}: {what}", self.name)).hint(hint)
    }

    /// A document of several lines, the first of which is read.
    fn whole(
        &self,
        mut text: Zeroizing<Vec<u8>>,
        first_number: usize,
        reader: &mut Lines<'_>,
        each: &mut dyn FnMut(Report) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let room = MOST_DOCUMENT.saturating_sub(u64::try_from(text.len()).unwrap_or(u64::MAX));
        let mut rest = Zeroizing::new(Vec::new());
        let read = reader.reader.take(room + 1).read_to_end(&mut rest);
        let read =
            read.map_err(|error| self.fault("HO1140", reader.number, &format!("cannot be read: {error}"), "try again"))?;
        if u64::try_from(read).unwrap_or(u64::MAX) > room {
            let what = format!("the document is larger than {} MiB", MOST_DOCUMENT >> 20);
            return Err(self.fault("HO1140", 1, &what, "write it as JSON lines, or split it"));
        }
        text.extend_from_slice(&rest);
        drop(rest);
        let document = Json::read(&text).map_err(|error| {
            let line = first_number - 1 + error.line;
            self.fault("HO1142", line, &format!("{}, at column {}", error.what, error.column), JSON_HINT)
        })?;
        drop(text);
        self.document(first_number, &document, each)
    }

    /// The reports of one document, whole or a line.
    fn document(
        &self,
        line: usize,
        document: &Json,
        each: &mut dyn FnMut(Report) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        // What TruffleHog logs stands between its findings, where both were written to one file.
        let is_log = document.text(&["level"]).is_some() && document.text(&["msg"]).is_some();
        let is_nothing = matches!(document, Json::List(items) if items.is_empty());
        if is_log || is_nothing {
            return Ok(0);
        }
        let kind = match self.format {
            Format::Auto => KINDS.iter().find(|kind| (kind.is)(document)),
            format => KINDS.iter().find(|kind| kind.format == format),
        };
        let Some(kind) = kind else {
            let known: Vec<&str> = Format::names().skip(1).collect();
            let hint = format!("these are known: {}; say which it is with --format", known.join(", "));
            return Err(self.fault("HO1141", line, "its format is not known", &hint));
        };
        let reports = (kind.read)(&self.name, document).map_err(|Unfit(what)| {
            let what = format!("this is not of the format {}: {what}", kind.name);
            self.fault("HO1143", line, &what, "is it of another format, or of another version of the tool?")
        })?;
        let count = reports.len();
        reports.into_iter().try_for_each(each)?;
        Ok(count)
    }
}

/// Lines that are not blank, with their numbers.
struct Lines<'r> {
    reader: &'r mut dyn BufRead,
    number: usize,
}

impl Lines<'_> {
    fn next(&mut self, file: &File, most: u64) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
        loop {
            let mut line = Zeroizing::new(Vec::new());
            let read = (&mut *self.reader).take(most + 1).read_until(b'\n', &mut line);
            self.number += 1;
            let read = read.map_err(|e| file.fault("HO1140", self.number, &format!("cannot be read: {e}"), "try again"))?;
            if read == 0 {
                return Ok(None);
            }
            if u64::try_from(read).unwrap_or(u64::MAX) > most {
                let what = format!("the line is longer than {} MiB", most >> 20);
                return Err(file.fault("HO1140", self.number, &what, "write one finding a line, or split the document"));
            }
            if self.number == 1 {
                if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
                    let hint = "in PowerShell: … | Out-File -Encoding utf8 FILE";
                    return Err(file.fault("HO1142", 1, "it is UTF-16; only UTF-8 is read", hint));
                }
                if line.starts_with(b"\xef\xbb\xbf") {
                    line.drain(..3);
                }
            }
            if line.iter().any(|b| !b.is_ascii_whitespace()) {
                return Ok(Some(line));
            }
        }
    }
}

/// The items of a document that is a list of them, or one of them.
fn items(document: &Json) -> &[Json] {
    match document {
        Json::List(items) => items,
        one => std::slice::from_ref(one),
    }
}

/// Whether a document is such an item, or a list of which the first is.
fn first_has(document: &Json, keys: &[&str]) -> bool {
    items(document).first().is_some_and(|item| keys.iter().all(|key| item.get(key).is_some()))
}

/// A place in a repository or a folder: `file:line`, and the commit.
fn place(file: Option<&str>, line: Option<u64>, commit: Option<&str>) -> String {
    let mut place = file.filter(|f| !f.is_empty()).unwrap_or("a place that is not told").to_owned();
    if let Some(line) = line {
        place.push_str(&format!(":{line}"));
    }
    if let Some(commit) = commit.filter(|c| !c.is_empty()) {
        place.push_str(&format!(" in {}", commit.get(..12).unwrap_or(commit)));
    }
    place
}

/// A value that is the secret, and not what is left of it after a tool has hidden it.
fn shown(value: Option<&str>) -> Option<&str> {
    value.filter(|v| !v.is_empty() && *v != "REDACTED" && !v.contains("***"))
}
