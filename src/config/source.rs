//! A file that was read, and places in it: what a problem points at. It keeps the lines for showing, and never shows a
//! secret: values that are hidden are masked before a line can be asked for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::secrets;

/// What stands for a masked value in a shown line.
pub(super) const MASK: &str = "***";

/// A file that was read.
pub struct Source {
    name: String,
    folder: PathBuf,
    lines: OnceLock<Vec<String>>,
    /// Line, first column and the column after the last of each masked stretch within one line: it shifts what follows.
    shifts: OnceLock<Vec<(usize, usize, usize)>>,
}

impl Source {
    /// A file by the name that people see and the folder that its relative paths start from.
    pub(super) fn new(name: String, folder: PathBuf) -> Arc<Self> {
        Arc::new(Self { name, folder, lines: OnceLock::new(), shifts: OnceLock::new() })
    }

    /// The name that people see.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder that relative paths in the file start from.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Line `number` (from 1) as it may be shown: hidden values are masked.
    #[must_use]
    pub fn line(&self, number: usize) -> Option<&str> {
        self.lines.get()?.get(number.checked_sub(1)?).map(String::as_str)
    }

    /// Line `number` as it is drawn, with the column in it for a column in the file. Of a very long line, only the part around
    /// that column.
    pub(super) fn window(&self, number: usize, column: usize) -> Option<(Cow<'_, str>, usize)> {
        const AROUND: usize = 200;
        let line = self.line(number)?;
        let column = self.shown_column(number, column);
        if line.len() <= 2 * AROUND {
            return Some((Cow::Borrowed(line), column));
        }
        let skipped = column.saturating_sub(AROUND);
        let part: String = line.chars().skip(skipped).take(2 * AROUND).collect();
        Some((Cow::Owned(part), column - skipped))
    }

    /// The column in the shown line for a column in the file: masks are as long as they are, not as long as the secret.
    fn shown_column(&self, line: usize, column: usize) -> usize {
        let shifts = self.shifts.get().map(Vec::as_slice).unwrap_or_default();
        let before = shifts.iter().filter(|(number, _, to)| *number == line && column >= *to);
        before.fold(column, |shown, (_, from, to)| shown.saturating_sub(to - from) + MASK.len())
    }

    /// Keeps the lines of `text` for showing, with the `hidden` stretches masked. Where the text was not `whole`, which is
    /// to say not readable to its end, nobody knows where all secrets stand, and each line that looks like one is masked.
    pub(super) fn keep(&self, text: &str, hidden: &[Hidden], whole: bool) {
        let mut lines: Vec<String> = lines(text).map(str::to_owned).collect();
        mask(&mut lines, hidden);
        if !whole {
            secrets::mask_lines(&mut lines);
        }
        let shifts = hidden.iter().filter(|h| h.from.0 == h.to.0 && h.from.1 < h.to.1);
        let _ = self.shifts.set(shifts.map(|h| (h.from.0, h.from.1, h.to.1)).collect());
        // A second call would be a mistake of ours; the first one stays.
        let _ = self.lines.set(lines);
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name).finish()
    }
}

/// A stretch of a file that is never shown: line and column (from 1) of its first character and of the one after its last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hidden {
    pub(super) from: (usize, usize),
    pub(super) to: (usize, usize),
}

/// The lines of a text as YAML counts them: a carriage return by itself ends one too. Counted otherwise, the lines after one
/// would be shown, and masked, in place of their neighbours.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('\r'))
}

/// Masks the stretches, each line in one go: a file may hold thousands of them in one line.
fn mask(lines: &mut [String], hidden: &[Hidden]) {
    let mut pieces: BTreeMap<usize, Vec<(usize, Option<usize>)>> = BTreeMap::new();
    for stretch in hidden {
        for number in stretch.from.0..=stretch.to.0 {
            let (first, last) = (number == stretch.from.0, number == stretch.to.0);
            if last && !first && stretch.to.1 <= 1 {
                continue;
            }
            let from = if first { stretch.from.1.saturating_sub(1) } else { 0 };
            let to = last.then(|| stretch.to.1.saturating_sub(1));
            pieces.entry(number).or_default().push((from, to));
        }
    }
    for (number, mut pieces) in pieces {
        let Some(line) = number.checked_sub(1).and_then(|i| lines.get_mut(i)) else { continue };
        pieces.sort_unstable();
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        let mut pieces = pieces.into_iter().map(|(from, to)| (from.max(indent), to)).peekable();
        let mut shown = String::with_capacity(line.len());
        let mut skip_to: Option<usize> = None;
        for (i, c) in line.chars().enumerate() {
            while let Some((_, to)) = pieces.next_if(|(from, _)| *from == i) {
                let to = to.unwrap_or(usize::MAX);
                if to > i && skip_to.is_none_or(|until| i >= until) {
                    shown.push_str(MASK);
                }
                skip_to = Some(skip_to.map_or(to, |until| until.max(to)));
            }
            if skip_to.is_none_or(|until| i >= until) {
                shown.push(c);
            }
        }
        *line = shown;
    }
}

/// Where a value or a key stands.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file.
    pub source: Arc<Source>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Length in characters within the line, at least 1.
    pub length: usize,
}

impl Place {
    /// The start of a file, for problems of the file as a whole.
    pub(super) fn start(source: &Arc<Source>) -> Self {
        Self { source: Arc::clone(source), line: 1, column: 1, length: 1 }
    }

    /// `path` as the file means it: relative to the folder of the file. The one place where that is decided.
    ///
    /// `..` at its beginning goes up from that folder, which the loader gives without symbolic links; `..` further on is
    /// left to the system, since what stands before it may be a link.
    #[must_use]
    pub fn resolve(&self, path: &str) -> PathBuf {
        let mut base = self.source.folder();
        let mut rest = Path::new(path);
        loop {
            if let Ok(tail) = rest.strip_prefix(".")
                && tail != rest
            {
                rest = tail;
            } else if let (Ok(tail), Some(parent)) = (rest.strip_prefix(".."), base.parent())
                && base.is_absolute()
            {
                (base, rest) = (parent, tail);
            } else {
                return base.join(rest);
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.name(), self.line, self.column)
    }
}
