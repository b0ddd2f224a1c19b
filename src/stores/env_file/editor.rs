//! The pure editor of env files: reads two keys and replaces their values, and leaves every other byte as it is.
//!
//! It refuses rather than guesses (see `dialect`). A key that is given twice is refused, naming both lines: programs take
//! the first or the last, so a file with two is read in two ways, and replacing both would hide that. A key that is
//! missing is appended. What was edited is read again before it is handed out. No disk, no clock.

use zeroize::Zeroizing;

use super::dialect::{Dialect, Doubt};
use super::scan::{Assignment, assignments};

/// Why a file cannot be read or edited. Never carries a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// A key stands twice.
    #[error("`{key}` stands in line {first} and in line {second}, and programs differ on which one counts")]
    Twice {
        /// The key.
        key: String,
        /// The first of the two lines.
        first: usize,
        /// The second.
        second: usize,
    },
    /// Programs read a line in different ways.
    #[error("programs disagree about `{key}` in line {line}: {doubt}")]
    Doubtful {
        /// The key.
        key: String,
        /// The line.
        line: usize,
        /// What they disagree about.
        doubt: &'static str,
    },
    /// A quote is never closed.
    #[error("line {line} opens a quote that is never closed")]
    Unclosed {
        /// The line.
        line: usize,
    },
    /// A NUL byte, or a carriage return that ends no line.
    #[error("line {line} has a NUL byte or a stray carriage return")]
    Bytes {
        /// The line.
        line: usize,
    },
    /// No way of writing the value is read as this value by every program of the dialect.
    #[error("the value for `{key}` cannot be written safely in the dialect `{dialect}`")]
    Unwritable {
        /// The key.
        key: String,
        /// The dialect.
        dialect: Dialect,
    },
    /// The two keys are the same, or one is not a name that every program takes.
    #[error("`{key}` cannot be used as a key: it must be letters, digits and `_`, and differ from the other")]
    Key {
        /// The key.
        key: String,
    },
    /// The edited file did not read back.
    #[error("after the edit, `{key}` would not be read as it was written; look at the last lines of the file")]
    NotReadBack {
        /// The key.
        key: String,
    },
}

/// What programs of the dialect see for `keys`: `None` for a key that is missing.
///
/// # Errors
/// [`EditError`].
pub fn read<'t>(text: &'t [u8], dialect: Dialect, keys: [&str; 2]) -> Result<[Option<&'t str>; 2], EditError> {
    let [first, second] = locate(text, dialect, keys)?;
    Ok([first.map(|f| f.value), second.map(|f| f.value)])
}

/// The file with `pairs` of key and value set.
///
/// # Errors
/// [`EditError`].
pub fn set(text: &[u8], dialect: Dialect, pairs: [(&str, &str); 2]) -> Result<Zeroizing<Vec<u8>>, EditError> {
    let keys = pairs.map(|(key, _)| key);
    let found = locate(text, dialect, keys)?;
    let mut edits = Vec::new();
    let mut missing = Vec::new();
    for ((key, value), found) in pairs.into_iter().zip(&found) {
        let unwritable = || EditError::Unwritable { key: key.to_owned(), dialect };
        // Not even where it is empty already: an empty login is none.
        if value.is_empty() {
            return Err(unwritable());
        }
        let encode = |like| dialect.encode(value, like).ok_or_else(unwritable);
        match found {
            Some(found) if found.value == value => {}
            Some(found) => edits.push((found.at.value.clone(), encode(found.raw)?)),
            None => missing.push((key, encode("")?)),
        }
    }
    edits.sort_by_key(|(range, _)| range.start);
    // Room for everything at once: a buffer that grows leaves copies behind that nobody wipes.
    let room: usize = edits.iter().map(|(_, new)| new.len()).sum::<usize>()
        + missing.iter().map(|(key, new)| key.len() + new.len() + 5).sum::<usize>();
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() + room));
    let mut at = 0;
    for (range, new) in &edits {
        out.extend_from_slice(&text[at..range.start]);
        out.extend_from_slice(new.as_bytes());
        at = range.end;
    }
    out.extend_from_slice(&text[at..]);
    append(&mut out, &missing);
    read_back(&out, dialect, pairs)?;
    Ok(out)
}

/// Adds lines as the file's other lines are: its kind of line break, and a final one if it had one or was empty.
fn append(out: &mut Vec<u8>, missing: &[(&str, Zeroizing<String>)]) {
    let line_break: &[u8] = match out.iter().rposition(|b| *b == b'\n') {
        Some(i) if i > 0 && out[i - 1] == b'\r' => b"\r\n",
        _ => b"\n",
    };
    let closed = out.is_empty() || out.ends_with(b"\n") || *out == b"\xef\xbb\xbf";
    for (key, value) in missing {
        if !closed {
            out.extend_from_slice(line_break);
        }
        for part in [key.as_bytes(), b"=", value.as_bytes()] {
            out.extend_from_slice(part);
        }
        if closed {
            out.extend_from_slice(line_break);
        }
    }
}

/// A last line that swallows what follows it shows only here.
fn read_back(out: &[u8], dialect: Dialect, pairs: [(&str, &str); 2]) -> Result<(), EditError> {
    let seen = read(out, dialect, pairs.map(|(key, _)| key)).unwrap_or_default();
    match pairs.into_iter().zip(seen).find(|((_, value), seen)| *seen != Some(*value)) {
        Some(((key, _), _)) => Err(EditError::NotReadBack { key: key.to_owned() }),
        None => Ok(()),
    }
}

struct Found<'t> {
    at: Assignment,
    raw: &'t str,
    value: &'t str,
}

fn locate<'t>(text: &'t [u8], dialect: Dialect, keys: [&str; 2]) -> Result<[Option<Found<'t>>; 2], EditError> {
    for (i, key) in keys.iter().enumerate() {
        let name =
            key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !key.starts_with(|c: char| c.is_ascii_digit());
        if key.is_empty() || !name || keys[..i].contains(key) {
            return Err(EditError::Key { key: (*key).to_owned() });
        }
    }
    let mut found = [None, None];
    for at in assignments(text, dialect, keys)? {
        let (slot, key) = (at.key, keys[at.key].to_owned());
        if let Some(Found { at: first, .. }) = &found[slot] {
            return Err(EditError::Twice { key, first: first.line, second: at.line });
        }
        let doubtful = |doubt: Doubt| EditError::Doubtful { key: key.clone(), line: at.line, doubt };
        if let Some(doubt) = at.doubt {
            return Err(doubtful(doubt));
        }
        let raw = std::str::from_utf8(&text[at.value.clone()]).map_err(|_| doubtful("bytes that are not UTF-8"))?;
        let value = dialect.decode(raw).map_err(doubtful)?;
        found[slot] = Some(Found { at, raw, value });
    }
    Ok(found)
}

#[cfg(test)]
#[path = "editor_tests.rs"]
mod tests;
