//! Editing env files: what is written is read back, every other byte stays, and a refusal names a line and no value.
//!
//! An input is a line with the dialect, one with the new username, one with the new password, and the file.

use super::panic_at;
use crate::stores::env_file::{DIALECTS, Dialect, EditError, read_text, set_text};

const KEYS: [&str; 2] = ["SMTP_USERNAME", "SMTP_PASSWORD"];

/// Runs one input.
pub(super) fn run(data: &[u8]) {
    let mut parts = data.splitn(4, |b| *b == b'\n');
    let mut line = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (dialect, username, password) = (line(), line(), line());
    let text = parts.next().unwrap_or_default();
    let dialect = dialect.parse().unwrap_or(DIALECTS[super::below(data, 1, DIALECTS.len())].1);
    edit(text, dialect, [&username, &password]);
}

fn edit(text: &[u8], dialect: Dialect, values: [&str; 2]) {
    let before = read_text(text, dialect, KEYS);
    let pairs = [(KEYS[0], values[0]), (KEYS[1], values[1])];
    let out = match set_text(text, dialect, pairs) {
        Ok(out) => out,
        Err(error) => {
            if let Err(unread) = &before {
                assert_eq!(&error, unread, "reading and editing refuse a file alike");
            }
            return refused(text, &error, values[1]);
        }
    };
    let Ok(before) = before else { panic_at("a file", "is edited that cannot be read") };
    let Ok(after) = read_text(&out, dialect, KEYS) else { panic_at("a file", "cannot be read after its edit") };
    assert_eq!(after, values.map(Some), "what is written is read back");
    assert!(values.iter().all(|v| !v.is_empty()), "an empty value is written");
    kept(text, &before, &out, &after);
    let again = set_text(&out, dialect, pairs);
    assert!(again.is_ok_and(|again| *again == *out), "the second edit changes something");
}

fn refused(text: &[u8], error: &EditError, password: &str) {
    let lines = 1 + text.iter().filter(|b| **b == b'\n').count();
    match error {
        EditError::Twice { first, second, .. } => assert!(1 <= *first && first < second && *second <= lines, "{error}"),
        EditError::Doubtful { line, .. } | EditError::Unclosed { line } | EditError::Bytes { line } => {
            assert!((1..=lines).contains(line), "{error}, of {lines} lines");
        }
        EditError::Unwritable { .. } | EditError::NotReadBack { .. } => {}
        EditError::Key { .. } => panic_at("a sound key", "is refused"),
    }
    let told = format!("{error} {error:?}");
    // Shorter ones stand in the words of a message by chance; and a key is told, in quotes of the debug form.
    let bare = password.trim_matches('"');
    if bare.len() >= 8 && !KEYS.iter().any(|key| key.contains(bare)) {
        let chance = "programs disagree about the value cannot be written safely in the dialect systemd docker dotenv";
        assert!(!told.contains(password) || chance.contains(password), "{told}");
    }
    assert!(!told.chars().any(|c| c.is_control()), "{told:?}");
}

/// Cuts the two values out of both texts, with the quotes around them: what is left must be the same, but for lines that were
/// added at the end for keys that were missing.
fn kept(text: &[u8], before: &[Option<&str>; 2], out: &[u8], after: &[Option<&str>; 2]) {
    let present: Vec<usize> = (0..2).filter(|i| before[*i].is_some()).collect();
    let left = without(text, present.iter().filter_map(|i| before[*i]).collect());
    let right = without(out, present.iter().filter_map(|i| after[*i]).collect());
    if present.len() == 2 {
        assert_eq!(left, right, "other bytes are changed");
        return;
    }
    let Some(added) = right.strip_prefix(left.as_slice()) else { panic_at("an edit", "changes bytes before its end") };
    let lines: Vec<&[u8]> = added.split(|b| *b == b'\n').filter(|l| !l.is_empty() && *l != b"\r").collect();
    assert_eq!(lines.len(), 2 - present.len(), "other lines are added: {}", added.escape_ascii());
}

/// `text` without these parts of it and the pair of quotes around each.
fn without(text: &[u8], mut parts: Vec<&str>) -> Vec<u8> {
    let start = |part: &str| (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    parts.sort_by_key(|part| start(part));
    let (mut left, mut at) = (Vec::new(), 0);
    for part in parts {
        let (mut from, mut to) = (start(part), start(part) + part.len());
        assert!(from <= to && to <= text.len(), "a value that is not part of the text");
        let quotes = from.checked_sub(1).and_then(|i| text.get(i)).zip(text.get(to));
        if let Some((open, close)) = quotes
            && open == close
            && matches!(open, b'\'' | b'"')
        {
            (from, to) = (from - 1, to + 1);
        }
        left.extend_from_slice(&text[at..from]);
        at = to;
    }
    left.extend_from_slice(&text[at..]);
    left
}
