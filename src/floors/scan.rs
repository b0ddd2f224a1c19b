//! Reads Rust sources as far as imports go: comments, texts and test code are blanked, and the paths that are left are found.

use std::path::Path;

/// A file of the library without its test code.
pub(super) struct Source {
    pub(super) path: String,
    code: String,
}

/// A module of the library that a path leads to.
#[derive(Debug)]
pub(super) struct Import {
    pub(super) module: String,
    pub(super) line: usize,
    /// Whether it goes on into a module of that module, and not only to its types and functions.
    pub(super) reaches_inside: bool,
}

/// All `.rs` files under a folder that is there, with their paths in it.
pub(super) fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&next) else { continue };
        for entry in entries {
            let path = entry.expect("lists").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("reads");
                found.push((path.strip_prefix(folder).expect("is inside").display().to_string(), text));
            }
        }
    }
    found.sort();
    found
}

/// The files of the library that are not test code.
pub(super) fn sources(folder: &Path) -> Vec<Source> {
    let exempt = |path: &str| {
        path.starts_with("rotation/")
            || path.starts_with("floors/")
            || ["lib.rs", "main.rs"].contains(&path)
            || path.split('/').any(|part| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs"))
    };
    files(folder).into_iter().filter(|(path, _)| !exempt(path)).map(|(path, text)| Source::new(&path, &text)).collect()
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), code: without_tests(&code_only(text)) }
    }

    /// Whether its code has this text.
    pub(super) fn says(&self, text: &str) -> bool {
        self.code.contains(text)
    }

    /// The module of the library that it belongs to.
    pub(super) fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many modules deep it is.
    fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    /// Everything that a path from the root of the library leads to.
    pub(super) fn imports(&self) -> Vec<Import> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("crate::") {
            if !self.ends_word(at) {
                self.targets(at + "crate::".len(), &mut found);
            }
        }
        // As many `super::` as the file is deep lead to the root.
        let climb = "super::".repeat(self.depth());
        for (at, _) in self.code.match_indices(&climb) {
            if !self.ends_word(at) && !self.code[..at].ends_with("super::") {
                self.targets(at + climb.len(), &mut found);
            }
        }
        found
    }

    fn ends_word(&self, at: usize) -> bool {
        self.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
    }

    /// The modules named at `at`: one, or those of a group in braces.
    fn targets(&self, at: usize, found: &mut Vec<Import>) {
        let line = self.code[..at].lines().count().max(1);
        for path in group(&self.code[at..]) {
            let (module, rest) = path.split_once("::").unwrap_or((path, ""));
            let module = module.split_whitespace().next().unwrap_or_default();
            let inside = group(rest).iter().any(|p| p.contains("::") && p.starts_with(char::is_lowercase));
            found.push(Import { module: module.to_owned(), line, reaches_inside: inside });
        }
    }
}

/// The paths that a path goes on with: itself, or each of those in braces.
fn group(text: &str) -> Vec<&str> {
    let Some(inner) = text.strip_prefix('{') else {
        let mut depth = 0_usize;
        let end = text.find(|c: char| match c {
            '{' => {
                depth += 1;
                false
            }
            '}' if depth > 0 => {
                depth -= 1;
                false
            }
            ',' | ' ' | '\n' if depth > 0 => false,
            _ => !(c.is_alphanumeric() || c == '_' || c == ':'),
        });
        return vec![text[..end.unwrap_or(text.len())].trim()];
    };
    let mut paths = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' if depth == 0 => {
                paths.push(inner[start..at].trim());
                start = at + 1;
            }
            '}' => {
                paths.push(inner[start..at].trim());
                break;
            }
            _ => {}
        }
    }
    paths.retain(|p| !p.is_empty());
    paths
}

/// The text with comments and literals blanked, its lines where they were.
fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let literal = literal_length(rest, out.ends_with(|c: char| c.is_alphanumeric() || c == '_'));
        if literal > 0 {
            out.extend(rest[..literal].chars().filter(|c| *c == '\n'));
            rest = &rest[literal..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// How many bytes of a comment or literal stand here; 0 if none does.
fn literal_length(rest: &str, in_word: bool) -> usize {
    let until = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until("*/", 2);
    }
    if !in_word && let Some(raw) = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r')) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let open = rest.len() - raw.len() + hashes + 1;
            return until(&format!("\"{}", "#".repeat(hashes)), open);
        }
    }
    if let Some(inner) = rest.strip_prefix('"') {
        let mut escaped = false;
        let end = inner.find(|c: char| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        return end.map_or(rest.len(), |at| at + 2);
    }
    match rest.strip_prefix('\'') {
        Some(inner) if inner.starts_with('\\') => until("'", 3),
        // A letter between two quotes; anything else is a lifetime.
        Some(inner) => match inner.char_indices().nth(1) {
            Some((at, '\'')) => at + 2,
            _ => 0,
        },
        None => 0,
    }
}

/// The code without items under `#[cfg(test)]`, as rustfmt lays them out.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            out += line;
            out.push('\n');
            continue;
        }
        out.push('\n');
        let indent = &line[..line.len() - line.trim_start().len()];
        let mut inside = false;
        for line in lines.by_ref() {
            out.push('\n');
            inside |= line.trim_end().ends_with('{');
            if inside && line.trim_end() == format!("{indent}}}") || !inside && line.trim_end().ends_with(';') {
                break;
            }
        }
    }
    out
}
