//! The pages behind the codes: cause and what to do, for `handover explain HOnnnn`. An area keeps its pages in one file beside
//! this one; adding a file is one line of `PAGES`.

/// The files of pages.
const PAGES: &[&str] = &[
    include_str!("explain/alerts.md"),
    include_str!("explain/config.md"),
    include_str!("explain/daemon.md"),
    include_str!("explain/engine.md"),
    include_str!("explain/journal.md"),
    include_str!("explain/mail.md"),
    include_str!("explain/notify.md"),
    include_str!("explain/providers.md"),
    include_str!("explain/sandbox.md"),
    include_str!("explain/services.md"),
    include_str!("explain/stores.md"),
    include_str!("explain/usage.md"),
];

/// The page of a code, such as `HO0601`, with its title first. Case does not matter.
#[must_use]
pub fn page(code: &str) -> Option<&'static str> {
    let code = code.trim().to_ascii_uppercase();
    pages().find(|(found, _)| *found == code).map(|(_, page)| page)
}

/// All codes, in order.
#[must_use]
pub fn codes() -> Vec<&'static str> {
    let mut codes: Vec<_> = pages().map(|(code, _)| code).collect();
    codes.sort_unstable();
    codes
}

fn pages() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGES.iter().flat_map(|file| blocks(file)).filter_map(|block| {
        let title = block.strip_prefix("# ")?;
        let code = title.split([' ', '\n']).next()?;
        is_code(code).then_some((code, title.trim_end()))
    })
}

/// The blocks of a file: each begins with a line `# HOnnnn …`.
fn blocks(file: &'static str) -> impl Iterator<Item = &'static str> {
    let starts: Vec<usize> =
        file.match_indices("# HO").map(|(at, _)| at).filter(|at| *at == 0 || file.as_bytes()[at - 1] == b'\n').collect();
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([file.len()]).collect();
    starts.into_iter().zip(ends).map(|(from, to)| &file[from..to])
}

fn is_code(text: &str) -> bool {
    text.len() == 6 && text.starts_with("HO") && text[2..].bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;

    fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("src/explain.rs") {
                found.push((path.display().to_string(), std::fs::read_to_string(&path).expect("text")));
            }
        }
    }

    /// Codes in string literals outside of tests.
    fn used() -> BTreeMap<String, String> {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let mut used = BTreeMap::new();
        for (path, text) in files.iter().filter(|(p, _)| !p.contains("/tests/") && !p.ends_with("tests.rs")) {
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
            for (at, _) in code.match_indices("\"HO") {
                if let Some(literal) = code.get(at + 1..at + 7).filter(|l| is_code(l)) {
                    used.insert(literal.to_owned(), path.clone());
                }
            }
        }
        used
    }

    #[test]
    fn every_code_has_a_page() {
        let used = used();
        assert!(used.contains_key("HO0410"), "the search finds nothing");
        let missing: Vec<_> = used.iter().filter(|(code, _)| page(code).is_none()).collect();
        assert!(missing.is_empty(), "codes without a page in src/explain: {missing:?}");
    }

    #[test]
    fn no_page_is_without_a_use() {
        let used = used();
        let unused: Vec<_> = codes().into_iter().filter(|c| !used.contains_key(*c)).collect();
        assert!(unused.is_empty(), "pages without a use: {unused:?}");
    }

    #[test]
    fn every_page_says_cause_and_what_to_do_and_no_code_has_two() {
        let mut seen = BTreeSet::new();
        for (code, text) in pages() {
            assert!(seen.insert(code), "{code} has two pages");
            assert!(text.contains("\nCause: ") && text.contains("\nDo: "), "{code} lacks cause or what to do:\n{text}");
            assert!(text.lines().all(|l| l.chars().count() <= 130), "{code} has a line that is too long");
        }
        assert!(seen.len() > 20);
    }

    #[test]
    fn every_file_of_pages_is_listed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/explain");
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("text");
            assert!(PAGES.contains(&text.as_str()), "a file of src/explain is not in PAGES");
        }
    }

    #[test]
    fn a_page_is_found_in_any_case() {
        let page = page(" ho0410 ").expect("a page");
        assert!(page.starts_with("HO0410 "), "{page}");
        assert_eq!(super::page("HO9999"), None);
        assert_eq!(super::page(""), None);
    }
}
