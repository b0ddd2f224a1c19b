//! Finds the lines of an env file that give keys their values, in the way the programs of its dialect would.
//!
//! What matters besides the plain line: a quoted value may run over several lines, and text in it is no assignment;
//! programs differ on `export`, a mark at the start of the file, comments that end in a backslash. Such lines are found
//! and marked doubtful, since to overlook one would append a second. Pure; it changes nothing.

use std::ops::Range;

use super::dialect::{Dialect, Doubt};
use super::editor::EditError;

/// A line that gives one of the asked keys its value, or may do so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    /// Which of the asked keys.
    pub(super) key: usize,
    /// The line, from 1.
    pub(super) line: usize,
    /// Where the text of the value stands, quotes included.
    pub(super) value: Range<usize>,
    /// Why readers may not take it as an assignment of this value.
    pub(super) doubt: Option<Doubt>,
}

/// All assignments of `keys` in `text`.
pub(super) fn assignments(text: &[u8], dialect: Dialect, keys: [&str; 2]) -> Result<Vec<Assignment>, EditError> {
    let odd = |i: &usize| text[*i] == 0 || (text[*i] == b'\r' && text.get(i + 1) != Some(&b'\n'));
    if let Some(at) = (0..text.len()).find(odd) {
        return Err(EditError::Bytes { line: line_of(text, at) });
    }
    let mut found = Vec::new();
    let mut at = 0;
    let mut after_escaped_comment = false;
    while at < text.len() {
        let start = skip_mark(text, at);
        let end = line_end(text, start);
        let first = blanks(text, start, end);
        let mut next = end;
        let mut escaped_comment = false;
        if is_comment(dialect, text.get(first).filter(|_| first < end)) {
            escaped_comment = dialect == Dialect::Systemd && text[..end].ends_with(b"\\");
        } else {
            let naming = keys.iter().enumerate().find_map(|(i, key)| Some((i, naming(text, first..end, key, dialect)?)));
            let value_start = match &naming {
                Some((_, Naming::Clean(at))) => Some(*at),
                _ => text[first..end].iter().position(|b| *b == b'=').map(|i| first + i + 1),
            };
            let value = match value_start {
                Some(at) => extent(text, at, end, dialect).ok_or(EditError::Unclosed { line: line_of(text, at) })?,
                None => Extent { raw: end..end, end, doubt: None },
            };
            next = value.end;
            if let Some((key, naming)) = naming {
                let marked = start > at && dialect != Dialect::Docker;
                let doubt = match naming {
                    Naming::Doubtful(doubt) => Some(doubt),
                    Naming::Clean(_) if marked => Some("a byte order mark before the key"),
                    Naming::Clean(_) if after_escaped_comment => Some("the comment above ends in a backslash"),
                    Naming::Clean(_) if value.end > end => Some("the value runs over several lines"),
                    Naming::Clean(_) => value.doubt,
                };
                found.push(Assignment { key, line: line_of(text, first), value: value.raw, doubt });
            }
            inside(text, end..next, keys, dialect, &mut found);
        }
        after_escaped_comment = escaped_comment;
        at = text[next..].iter().position(|b| *b == b'\n').map_or(text.len(), |i| next + i + 1);
    }
    Ok(found)
}

/// The number of the line that `at` is in, from 1.
fn line_of(text: &[u8], at: usize) -> usize {
    1 + text[..at].iter().filter(|b| **b == b'\n').count()
}

/// The end of the line without its line break.
fn line_end(text: &[u8], from: usize) -> usize {
    let end = text[from..].iter().position(|b| *b == b'\n').map_or(text.len(), |i| from + i);
    if end > from && text[end - 1] == b'\r' { end - 1 } else { end }
}

fn skip_mark(text: &[u8], at: usize) -> usize {
    if at == 0 && text.starts_with(b"\xef\xbb\xbf") { 3 } else { at }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)
}

fn blanks(text: &[u8], from: usize, end: usize) -> usize {
    text[from..end].iter().position(|b| !is_blank(*b)).map_or(end, |i| from + i)
}

fn is_comment(dialect: Dialect, first: Option<&u8>) -> bool {
    match first {
        None | Some(b'#') => true,
        Some(b';') => dialect == Dialect::Systemd,
        Some(_) => false,
    }
}

enum Naming {
    /// An assignment; the value begins after this point.
    Clean(usize),
    /// The line names the key in a way that not all readers take as an assignment.
    Doubtful(Doubt),
}

/// Whether the line (its leading blanks left out) names `key`, and how.
fn naming(text: &[u8], line: Range<usize>, key: &str, dialect: Dialect) -> Option<Naming> {
    let mut at = line.start;
    let content = &text[line.clone()];
    let exported = content.strip_prefix(b"export").is_some_and(|rest| rest.first().is_some_and(|b| is_blank(*b)));
    if exported {
        at = blanks(text, at + 6, line.end);
    }
    let quoted = text[at..line.end].first().is_some_and(|b| matches!(b, b'\'' | b'"'));
    at += usize::from(quoted);
    let rest = text[at..line.end].strip_prefix(key.as_bytes())?;
    let after = line.end - rest.len();
    if rest.first().is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
        return None;
    }
    let sign = blanks(text, after, line.end);
    Some(if quoted {
        Naming::Doubtful("quotes around the key")
    } else if exported && dialect != Dialect::Dotenv {
        Naming::Doubtful("`export` before the key")
    } else if text[..line.end].get(sign) != Some(&b'=') {
        Naming::Doubtful("no `=` after the key")
    } else if sign > after && dialect == Dialect::Docker {
        Naming::Doubtful("a blank after the key")
    } else {
        Naming::Clean(sign + 1)
    })
}

/// Marks lines inside a value that spans lines and that look like assignments: if the quote is a slip, they are some.
fn inside(text: &[u8], lines: Range<usize>, keys: [&str; 2], dialect: Dialect, found: &mut Vec<Assignment>) {
    let mut at = lines.start;
    while at < lines.end {
        at += text[at..].iter().position(|b| *b == b'\n').map_or(text.len() - at, |i| i + 1);
        let end = line_end(text, at.min(text.len()));
        for (key, name) in keys.iter().enumerate() {
            if at < lines.end && naming(text, blanks(text, at, end)..end, name, dialect).is_some() {
                let doubt = Some("the line is inside a quoted value that runs over several lines");
                found.push(Assignment { key, line: line_of(text, at), value: at..end, doubt });
            }
        }
    }
}

/// Where a value stands, and where the line on which it ends does.
struct Extent {
    raw: Range<usize>,
    end: usize,
    doubt: Option<Doubt>,
}

/// `from` is after the `=`, `end` the end of that line. `None` if a quote is never closed.
fn extent(text: &[u8], from: usize, end: usize, dialect: Dialect) -> Option<Extent> {
    match dialect {
        Dialect::Docker => Some(Extent { raw: from..end, end, doubt: None }),
        Dialect::Dotenv => extent_dotenv(text, from, end),
        Dialect::Systemd => extent_systemd(text, from),
    }
}

fn extent_dotenv(text: &[u8], from: usize, end: usize) -> Option<Extent> {
    let start = blanks(text, from, end);
    let quote = text[start..end].first().copied().filter(|b| matches!(b, b'\'' | b'"' | b'`'));
    if let Some(quote) = quote {
        let close = closing(text, start + 1, quote)?;
        let end = line_end(text, close);
        let after = blanks(text, close + 1, end);
        let doubt = match text[..end].get(after) {
            None => None,
            Some(b'#') if after > close + 1 => None,
            Some(b'#') => Some("a comment that touches the closing quote"),
            Some(_) => Some("text after a closing quote"),
        };
        return Some(Extent { raw: start..close + 1, end, doubt });
    }
    let comment = (start..end).find(|i| text[*i] == b'#' && *i > from && is_blank(text[i - 1]));
    let stop = trimmed(text, start, comment.unwrap_or(end));
    let doubt = (stop == start && comment.is_some()).then_some("a comment in place of a value");
    // An empty value is written right after the `=`.
    let raw = if stop == start { from..from } else { start..stop };
    Some(Extent { raw, end, doubt })
}

/// The closing quote: one without a backslash before it, and if there is none, any.
fn closing(text: &[u8], from: usize, quote: u8) -> Option<usize> {
    let mut quotes = (from..text.len()).filter(|i| text[*i] == quote);
    let plain = quotes.clone().find(|i| text[i - 1] != b'\\');
    plain.or_else(|| quotes.next())
}

fn trimmed(text: &[u8], start: usize, end: usize) -> usize {
    text[start..end].iter().rposition(|b| !is_blank(*b)).map_or(start, |i| start + i + 1)
}

/// Follows systemd's reader: quotes open only before the first plain character, a backslash takes the next byte with it.
fn extent_systemd(text: &[u8], from: usize) -> Option<Extent> {
    let mut quote = None;
    let mut plain = false;
    let mut escaped = false;
    let mut end = text.len();
    for (i, byte) in text.iter().enumerate().skip(from) {
        if escaped {
            escaped = false;
            plain |= quote.is_none();
            continue;
        }
        match (quote, byte) {
            (None, b'\n' | b'\r') => {
                end = i;
                break;
            }
            (None, b'\\') | (Some(b'"'), b'\\') => escaped = true,
            (None, b'\'' | b'"') if !plain => quote = Some(*byte),
            (None, b) => plain |= !is_blank(*b),
            (Some(open), b) if open == *b => quote = None,
            (Some(_), _) => {}
        }
    }
    if quote.is_some() {
        return None;
    }
    let start = blanks(text, from, end);
    let raw = if start == end { from..from } else { start..trimmed(text, start, end) };
    Some(Extent { raw, end, doubt: None })
}
