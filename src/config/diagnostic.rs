//! Problems of files, as people and programs see them: where, the offending line, why, and what to do about it.
//!
//! A shown line comes from `Source`, which masks secrets; a message never quotes a value that could be one.

use std::fmt;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use super::source::{Place, Source};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The files cannot be used.
    Error,
    /// They can, but someone should look at this.
    Warning,
}

/// Another place that belongs to a problem.
#[derive(Clone, Debug, Serialize)]
pub struct Related {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Length in characters.
    pub length: usize,
    /// What stands there.
    pub message: String,
    #[serde(skip)]
    source: Option<Arc<Source>>,
}

/// One problem of a file.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// A stable code with a page of its own, such as `HO0110`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The file.
    pub file: String,
    /// Line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 for the file as a whole.
    pub column: usize,
    /// Length in characters; 0 for the file as a whole.
    pub length: usize,
    /// Other places that belong to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
    #[serde(skip)]
    source: Option<Arc<Source>>,
}

impl Problem {
    /// An error at a place.
    #[must_use]
    pub fn error(code: &'static str, at: &Place, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: clean(&message.into()),
            hint: None,
            file: clean(at.source.name()),
            line: at.line,
            column: at.column,
            length: at.length,
            related: Vec::new(),
            source: Some(Arc::clone(&at.source)),
        }
    }

    /// A warning at a place.
    #[must_use]
    pub fn warning(code: &'static str, at: &Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, at, message) }
    }

    /// An error of a file as a whole.
    #[must_use]
    pub fn of_file(code: &'static str, file: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: clean(&message.into()),
            hint: None,
            file: clean(file),
            line: 0,
            column: 0,
            length: 0,
            related: Vec::new(),
            source: None,
        }
    }

    /// The same with what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(clean(&hint.into()));
        self
    }

    /// The same with another place that belongs to it.
    #[must_use]
    pub fn related(mut self, at: &Place, message: impl Into<String>) -> Self {
        self.related.push(Related {
            file: clean(at.source.name()),
            line: at.line,
            column: at.column,
            length: at.length,
            message: clean(&message.into()),
            source: Some(Arc::clone(&at.source)),
        });
        self
    }

    /// As people read it: where, the line with a caret, and the hint.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(self.message.as_str()).id(self.code));
        match self.source.as_ref().and_then(|s| s.window(self.line, self.column)) {
            Some((line, column)) => {
                let line = straight(&line);
                let span = bytes(&line, column, self.length);
                group = group.element(
                    Snippet::source(line)
                        .line_start(self.line)
                        .path(self.file.as_str())
                        .annotation(AnnotationKind::Primary.span(span)),
                );
            }
            None if self.line > 0 => {
                group = group.element(Origin::path(self.file.as_str()).line(self.line).char_column(self.column));
            }
            None => group = group.element(Origin::path(self.file.as_str())),
        }
        for related in &self.related {
            let Some(source) = &related.source else { continue };
            let Some((line, column)) = source.window(related.line, related.column) else { continue };
            let line = straight(&line);
            let span = bytes(&line, column, related.length);
            group = group.element(
                Snippet::source(line)
                    .line_start(related.line)
                    .path(related.file.as_str())
                    .annotation(AnnotationKind::Context.span(span).label(related.message.as_str())),
            );
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.decor_style(DecorStyle::Ascii).render(&[group])
    }
}

/// The byte range of `length` characters from `column` (from 1) in `line`, never empty unless at the line's end.
fn bytes(line: &str, column: usize, length: usize) -> std::ops::Range<usize> {
    let at = |n: usize| line.char_indices().nth(n).map_or(line.len(), |(i, _)| i);
    let start = column.saturating_sub(1);
    at(start)..at(start.saturating_add(length.max(1)))
}

/// Text without characters that move a terminal's cursor or turn its writing around (threat T19).
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || turns(c) { '\u{fffd}' } else { c }).take(1000).collect()
}

/// A shown line without characters that turn its writing around. The renderer knows control characters and most of these, but
/// not the marks U+061C, U+200E and U+200F.
fn straight(line: &str) -> String {
    line.chars().map(|c| if turns(c) { '\u{fffd}' } else { c }).collect()
}

/// What Unicode calls `Bidi_Control`.
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// All problems that were found.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

/// More than this are counted but not shown.
const MOST_SHOWN: usize = 100;

impl Problems {
    /// Takes one more in.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Takes all of `others` in.
    pub fn extend(&mut self, others: impl IntoIterator<Item = Problem>) {
        self.0.extend(others);
    }

    /// Whether there is none, not even a warning.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are, warnings included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is one that is not just a warning.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|p| p.severity == Severity::Error)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Puts them in the order of the files: by file as first met, then line and column.
    pub fn sort(&mut self) {
        let mut files: Vec<String> = Vec::new();
        for problem in &self.0 {
            if !files.contains(&problem.file) {
                files.push(problem.file.clone());
            }
        }
        let rank = |file: &str| files.iter().position(|f| f == file);
        self.0.sort_by_key(|p| (rank(&p.file), p.line, p.column));
    }

    /// As people read them, with a closing line that counts. `color` only for a terminal.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let mut text = String::new();
        for problem in self.0.iter().take(MOST_SHOWN) {
            text.push_str(&problem.render(color));
            text.push_str("\n\n");
        }
        text.push_str(&self.summary());
        text.push('\n');
        text
    }

    /// One line that counts them.
    #[must_use]
    pub fn summary(&self) -> String {
        let errors = self.0.iter().filter(|p| p.severity == Severity::Error).count();
        let warnings = self.0.len() - errors;
        let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let mut text = match (errors, warnings) {
            (0, 0) => "no problems".to_owned(),
            (0, w) => count(w, "warning"),
            (e, 0) => count(e, "error"),
            (e, w) => format!("{}, {}", count(e, "error"), count(w, "warning")),
        };
        if self.0.len() > MOST_SHOWN {
            text.push_str(&format!("; the first {MOST_SHOWN} are shown"));
        }
        text
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        Self(problems.into_iter().collect())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}
